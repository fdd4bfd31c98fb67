"""What the shipped weights make of the example patch, in 64 numbers: `assets/expected.json`.

After replacing the weights: python -m litematting_deploy.doctor.expected
"""

import json

import numpy as np

from .._files import replace_file, sha256
from ..engines import Engine
from ..errors import ArtefactError, ToleranceError
from ..runtime.assets import EXPECTED, SHIPPED_CHECKPOINT, example_patch
from ..runtime.loading import load_engine

TOLERANCE = 0.005
"""Largest difference of a block's mean alpha. Between engines in float32 it is below 0.0001."""
_BLOCKS = 8
_AGAIN = "python -m litematting_deploy.doctor.expected"


def agreement(engine: Engine) -> str:
    """Run the example patch and say how far alpha is from what is stored.

    Raises `ToleranceError` where that is too far, `ArtefactError` where the stored numbers are of other weights.
    """
    stored = json.loads(EXPECTED.read_bytes())
    if stored["checkpoint_sha256"] != sha256(SHIPPED_CHECKPOINT):
        raise ArtefactError(f"{EXPECTED.name} is of other weights than {SHIPPED_CHECKPOINT.name}; make it: {_AGAIN}")
    difference = float(np.abs(_means(engine) - np.array(stored["alpha_means"])).max())
    if not difference <= TOLERANCE:
        raise ToleranceError(
            f"{engine.name} {engine.version}: alpha of the example patch is {difference:.2g} from what it should be, "
            f"wanted at most {TOLERANCE:g}; install another version of it, or use another engine"
        )
    height, width = engine.patch_hw
    return f"the example patch is right to {max(difference, 1e-4):.1g} ({height}x{width} {engine.precision})"


def _means(engine: Engine) -> "np.ndarray[tuple[int, ...], np.dtype[np.float64]]":
    """Mean alpha in 8x8 blocks of the example patch."""
    alpha = engine.run(**example_patch(engine.patch_hw))[0, 0]
    height, width = alpha.shape
    blocks = alpha.reshape(_BLOCKS, height // _BLOCKS, _BLOCKS, width // _BLOCKS)
    return np.asarray(blocks.mean(axis=(1, 3), dtype=np.float64))


if __name__ == "__main__":
    with load_engine() as shipped:
        rows = [[round(float(mean), 5) for mean in row] for row in _means(shipped)]
    lines = ",\n".join(f"    {row}" for row in rows)
    digest = sha256(SHIPPED_CHECKPOINT)
    text = f'{{\n  "checkpoint_sha256": "{digest}",\n  "alpha_means": [\n{lines}\n  ]\n}}\n'
    replace_file(EXPECTED, text.encode())
