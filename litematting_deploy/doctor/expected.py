"""What the shipped weights make of the example patch and of a flat one, in 64 numbers each: `assets/expected.json`.

The numbers are PyTorch's. After replacing the weights: python -m litematting_deploy.doctor.expected
"""

import json

import numpy as np
from numpy.typing import NDArray

from ..engines import Engine
from ..errors import ArtefactError, ToleranceError
from ..export.scenes import scene
from ..files import replace_file, sha256
from ..runtime.loading import load_engine
from ..runtime.shipped import EXPECTED, SHIPPED_CHECKPOINT, example_patch

TOLERANCE = 0.005
"""Largest difference of a block's mean alpha. Between engines in float32 it is below 0.0001."""
_BLOCKS = 8
_AGAIN = "python -m litematting_deploy.doctor.expected"
_FLAT = "dark grey"
_PATCHES = {"alpha_means": "the example patch", "flat_means": f"a patch of one {_FLAT}"}


def agreement(engine: Engine) -> str:
    """Run the example patch and a flat one, and say how far alpha is from what is stored.

    Raises `ToleranceError` where that is too far, `ArtefactError` where the stored numbers are of other weights.
    """
    stored = json.loads(EXPECTED.read_bytes())
    if stored["checkpoint_sha256"] != sha256(SHIPPED_CHECKPOINT):
        raise ArtefactError(f"{EXPECTED.name} is of other weights than {SHIPPED_CHECKPOINT.name}; make it: {_AGAIN}")
    worst = 1e-4
    for name, patch in _PATCHES.items():
        difference = float(np.abs(_means(engine, name) - np.array(stored[name])).max())
        if not difference <= TOLERANCE:
            raise ToleranceError(
                f"{engine.name} {engine.version}: alpha of {patch} is {difference:.2g} from what it should be, "
                f"wanted at most {TOLERANCE:g}; install another version of it, or use another engine"
            )
        worst = max(worst, difference)
    height, width = engine.patch_hw
    return f"the example patch and a flat one are right to {worst:.1g} ({height}x{width} {engine.precision})"


def _means(engine: Engine, name: str) -> NDArray[np.float64]:
    """Mean alpha in 8x8 blocks of a patch."""
    flat = name == "flat_means"
    inputs = scene(_FLAT, *engine.patch_hw).network_inputs() if flat else example_patch(engine.patch_hw)
    alpha = engine.run(**inputs)[0, 0]
    height, width = alpha.shape
    blocks = alpha.reshape(_BLOCKS, height // _BLOCKS, _BLOCKS, width // _BLOCKS)
    return np.asarray(blocks.mean(axis=(1, 3), dtype=np.float64))


def _written(name: str, engine: Engine) -> str:
    """The numbers of a patch as they are in the file."""
    rows = [[round(float(mean), 5) for mean in row] for row in _means(engine, name)]
    lines = ",\n".join(f"    {row}" for row in rows)
    return f'  "{name}": [\n{lines}\n  ]'


if __name__ == "__main__":
    with load_engine(SHIPPED_CHECKPOINT) as reference:
        parts = [f'  "checkpoint_sha256": "{sha256(SHIPPED_CHECKPOINT)}"', *(_written(n, reference) for n in _PATCHES)]
    text = "{\n" + ",\n".join(parts) + "\n}\n"
    replace_file(EXPECTED, text.encode())
