"""Two networks whose alpha is known: the shipped one (`assets/expected.json`) and a tiny one (`assets/tiny.onnx`).

expected.json says, in 64 numbers each, what PyTorch makes of the example patch and of a flat one with the shipped
weights. The tiny network is one convolution that keeps the contract of the real one: builders and runtimes take a
second for it. `recipes/doctor_assets.py` writes both files.
"""

import contextlib
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..engines import Engine
from ..engines.tensorrt.builder import Built, build_engine
from ..engines.tensorrt.profile import BuildProfile
from ..errors import ArtefactError, ToleranceError
from ..export.scenes import scene
from ..files import sha256
from ..runtime.shipped import EXPECTED, SHIPPED_CHECKPOINT, TINY_ENGINE, example_patch
from ..sidecar import Builder

TOLERANCE = 0.005
"""Largest difference of a block's mean alpha. Between engines in float32 it is below 0.0001."""
_BLOCKS = 8
_FLAT = "dark grey"
PATCHES = {"alpha_means": "the example patch", "flat_means": f"a patch of one {_FLAT}"}
_TINY_TOLERANCE = 1e-3


def agreement(engine: Engine) -> str:
    """Run the example patch and a flat one, and return how far alpha is from the stored numbers, in words.

    engine: runs the shipped weights.
    Raises: `ToleranceError` where alpha is too far off; `ArtefactError` where the numbers belong to other weights.
    """
    stored = json.loads(EXPECTED.read_bytes())
    if stored["checkpoint_sha256"] != sha256(SHIPPED_CHECKPOINT):
        raise ArtefactError(
            f"{EXPECTED.name} does not belong to {SHIPPED_CHECKPOINT.name}; reinstall litematting-deploy or, if you "
            "replaced the weights, run recipes/doctor_assets.py"
        )
    # Less is of no interest, and differs between processors.
    worst = 1e-4
    for name, patch in PATCHES.items():
        difference = float(np.abs(block_means(engine, name) - np.array(stored[name])).max())
        if not difference <= TOLERANCE:
            raise ToleranceError(
                f"{engine.name} {engine.version}: the alpha of {patch} is off by {difference:.2g}, expected at most "
                f"{TOLERANCE:g}; install another version of it, or use another engine"
            )
        worst = max(worst, difference)
    height, width = engine.patch_hw
    return f"the example patch and a flat one match to {worst:.1g} ({height}x{width} {engine.precision})"


def block_means(engine: Engine, name: str) -> NDArray[np.float64]:
    """Return the mean alpha in 8x8 blocks of a patch, (8, 8) float64 in 0..1; `name` is a key of the file."""
    flat = name == "flat_means"
    inputs = scene(_FLAT, *engine.patch_hw).network_inputs() if flat else example_patch(engine.patch_hw)
    alpha = engine.run(**inputs)[0, 0]
    height, width = alpha.shape
    blocks = alpha.reshape(_BLOCKS, height // _BLOCKS, _BLOCKS, width // _BLOCKS)
    return np.asarray(blocks.mean(axis=(1, 3), dtype=np.float64))


@contextlib.contextmanager
def built_tiny(backend: Builder, architectures: tuple[str, ...] = ()) -> Iterator[Built]:
    """Build the tiny network as a TensorRT engine with its sidecar, which are gone at the end.

    backend: `tensorrt` or `tensorrt-rtx`.
    architectures: compute capabilities that it is built for, as "8.9"; that of this machine's GPU by default.
    """
    with tempfile.TemporaryDirectory() as folder:
        profile = BuildProfile(backend=backend, architectures=architectures, max_batch=2)
        yield build_engine(TINY_ENGINE, Path(folder) / "tiny.engine", profile)


def tiny_agreement(engine: Engine) -> str:
    """Run the tiny network on a patch of the example, and return in words that alpha is right.

    It is half of what is unknown and all of the foreground. Raises `ToleranceError` where it is not.
    """
    inputs = example_patch(engine.patch_hw)
    wanted = inputs["trimap"][:, 1:2] / 2 + inputs["trimap"][:, 2:3]
    difference = float(np.abs(engine.run(**inputs) - wanted).max())
    if not difference <= _TINY_TOLERANCE:
        raise ToleranceError(
            f"{engine.name} {engine.version}: a convolution is off by {difference:.2g}, expected at most "
            f"{_TINY_TOLERANCE:g}; update the driver, or install another version of it"
        )
    return f"a tiny network matches to {max(difference, 1e-6):.1g}"
