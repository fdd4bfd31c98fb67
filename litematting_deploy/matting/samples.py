"""One patch of a photo, as an example of what the network sees."""

import numpy as np
from numpy.typing import NDArray

from .guide import transformable_map
from .inputs import network_image, one_hot
from .patches import plan_grid
from .trimap import UNKNOWN


def balanced_patch(
    image: NDArray[np.uint8], trimap: NDArray[np.uint8], patch_hw: tuple[int, int]
) -> dict[str, NDArray[np.float32]]:
    """Return the patch whose share of unknown pixels is nearest to a half, as inputs of batch 1.

    image: (H, W, 3) uint8 RGB. trimap: (H, W) uint8 of 0 / 128 / 255, with unknown pixels.
    Returns image (1, 3, h, w), trimap (1, 3, h, w) and guide (1, 2, h, w), float32, 0..1.
    """
    plan = plan_grid(trimap, patch_hw)
    image, trimap = plan.pad_image(image), plan.pad_trimap(trimap)
    guide = transformable_map(trimap)
    rows, columns = min(
        map(plan.window, plan.corners_yx), key=lambda window: abs(np.mean(trimap[window] == UNKNOWN) - 0.5)
    )
    return {
        "image": network_image(image[rows, columns])[None],
        "trimap": one_hot(trimap[rows, columns])[None],
        "guide": guide[None, :, rows, columns].copy(),
    }
