"""Crop-and-stitch (paper section 4.3) in host memory."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ..engines import Engine
from ..matting.guide import Guide
from ..matting.inputs import network_image, one_hot
from ..matting.patches import Plan, Stitcher
from ..profiling import stage

Progress = Callable[[int, int], None]
"""Called with the patches done and the patches to run."""


def stitch(
    engine: Engine,
    batch: int,
    image: NDArray[np.uint8],
    trimap: NDArray[np.uint8],
    plan: Plan,
    progress: Progress | None = None,
) -> NDArray[np.float32]:
    """Return the alpha (H, W) float32, 0..1, of a photo, `batch` patches per call of the engine.

    image: (H, W, 3) uint8 RGB. trimap: (H, W) uint8 of 0 / 128 / 255. progress: called after each batch.
    """
    image, trimap = plan.pad_image(image), plan.pad_trimap(trimap)
    stitcher = Stitcher(plan, trimap)
    guide = Guide(trimap) if plan.corners_yx else None
    for first in range(0, len(plan.corners_yx), batch):
        corners = plan.corners_yx[first : first + batch]
        # Patches are cut and converted batch by batch: the whole photo in float32 would take twelve bytes a pixel.
        with stage("gather"):
            windows = [plan.window(corner) for corner in corners]
            images = np.stack([network_image(image[window]) for window in windows])
            trimaps = np.stack([one_hot(trimap[window]) for window in windows])
            guides = np.stack([guide.window(*window) for window in windows if guide is not None])
        alphas = engine.run(images, trimaps, guides)
        for corner, alpha in zip(corners, alphas, strict=True):
            stitcher.add(corner, alpha[0])
        if progress is not None:
            progress(first + len(corners), len(plan.corners_yx))
    del guide  # its memory is free before the planes are divided
    return stitcher.finish()
