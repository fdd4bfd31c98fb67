"""What the package ships: weights, the engine that reads them, and the example photo."""

import numpy as np
from numpy.typing import NDArray

from ..files import asset
from ..images.mask import read_trimap
from ..images.photo import read_image
from ..matting.samples import balanced_patch

SHIPPED_CHECKPOINT = asset("litematting.safetensors")
SHIPPED_ENGINE = asset("litematting.onnx")
EXAMPLE_IMAGE = asset("dandelion.jpg")
EXAMPLE_TRIMAP = asset("dandelion_trimap.png")
TINY_ENGINE = asset("tiny.onnx")
EXPECTED = asset("expected.json")


def example_patch(patch_hw: tuple[int, int]) -> dict[str, NDArray[np.float32]]:
    """Return the example's patch of `patch_hw` with the most balanced share of unknown pixels, as inputs of batch 1.

    Returns image (1, 3, h, w), trimap (1, 3, h, w) and guide (1, 2, h, w).
    """
    return balanced_patch(read_image(EXAMPLE_IMAGE), read_trimap(EXAMPLE_TRIMAP), patch_hw)
