"""Deterministic stand-in weights in the layout of the published LiteMatting checkpoint.

`layout.json` lists every tensor of the published state dict (name -> shape).  `make(layout, salt)` fills each
tensor from a NumPy generator seeded by its name, so that the same checkpoint can be made anywhere.
"""

import json
import zlib
from pathlib import Path

import numpy as np


def make(layout, salt=""):
    """Return {name: float32 array} for `layout` ({name: shape}); another `salt` gives another checkpoint."""
    out = {}
    for name, shape in layout.items():
        rng = np.random.default_rng(zlib.crc32((name + salt).encode()))
        x = rng.standard_normal(shape)
        if len(shape) == 4:  # convolution: unit-variance fan-in
            x *= 1.0 / np.sqrt(np.prod(shape[1:]))
        elif name.endswith("weight"):  # normalisation scale, PReLU slope
            x = 0.6 + 0.2 * x
        else:  # biases
            x *= 0.1
        if name == "out.4.bias":  # keep most of the output inside (0, 1)
            x += 0.5
        out[name] = x.astype(np.float32)
    return out


def load_layout(path=Path(__file__).with_name("layout.json")):
    return json.loads(Path(path).read_text())
