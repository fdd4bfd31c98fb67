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
    """Alpha (H, W) float32 of image (H, W, 3) and trimap (H, W) uint8, `batch` patches per call of the engine."""
    image, trimap = plan.pad_image(image), plan.pad_trimap(trimap)
    stitcher = Stitcher(plan, trimap)
    if plan.corners_yx:
        _run(engine, batch, image, trimap, plan, stitcher, progress)
    return stitcher.finish()


def _run(
    engine: Engine,
    batch: int,
    image: NDArray[np.uint8],
    trimap: NDArray[np.uint8],
    plan: Plan,
    stitcher: Stitcher,
    progress: Progress | None,
) -> None:
    """All patches of a plan; the guide's memory is free afterwards."""
    guide = Guide(trimap)
    for first in range(0, len(plan.corners_yx), batch):
        corners = plan.corners_yx[first : first + batch]
        with stage("gather"):
            windows = [plan.window(corner) for corner in corners]
            images = np.stack([network_image(image[window]) for window in windows])
            trimaps = np.stack([one_hot(trimap[window]) for window in windows])
            guides = np.stack([guide.window(*window) for window in windows])
        alphas = engine.run(images, trimaps, guides)
        for corner, alpha in zip(corners, alphas, strict=True):
            stitcher.add(corner, alpha[0])
        if progress is not None:
            progress(first + len(corners), len(plan.corners_yx))
