"""Crop-and-stitch (paper section 4.3) in host memory."""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..engines import Engine
from ..engines.base import Batch
from ..matting.guide import Guide
from ..matting.inputs import network_image, one_hot
from ..matting.patches import Plan, Stitcher
from ..matting.trimap import UNKNOWN
from ..profiling import stage

Progress = Callable[[int, int], None]
"""Called with the patches done and the patches to run."""

Window: TypeAlias = tuple[slice, slice]
Run: TypeAlias = Callable[[list[Window]], Batch]


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
    if not plan.corners_yx:
        return stitcher.finish()
    run = (_tensors if engine.reach is None else _pixels)(engine, image, trimap)
    for first in range(0, len(plan.corners_yx), batch):
        corners = plan.corners_yx[first : first + batch]
        alphas = run([plan.window(corner) for corner in corners])
        for corner, alpha in zip(corners, alphas, strict=True):
            stitcher.add(corner, alpha[0])
        if progress is not None:
            progress(first + len(corners), len(plan.corners_yx))
    del run  # the guide's memory is free before the planes are divided
    return stitcher.finish()


def _tensors(engine: Engine, image: NDArray[np.uint8], trimap: NDArray[np.uint8]) -> Run:
    """Return what runs patches of a padded photo as the network's inputs."""
    guide = Guide(trimap)

    def run(windows: list[Window]) -> Batch:
        with stage("gather"):
            images = np.stack([network_image(image[window]) for window in windows])
            trimaps = np.stack([one_hot(trimap[window]) for window in windows])
            guides = np.stack([guide.window(*window) for window in windows])
        return engine.run(images, trimaps, guides)

    return run


def _pixels(engine: Engine, image: NDArray[np.uint8], trimap: NDArray[np.uint8]) -> Run:
    """Return what runs patches of a padded photo as they are, with as much of the trimap around as the engine sees."""
    reach = engine.reach or 0
    seen = np.pad(trimap, reach, constant_values=UNKNOWN)

    def run(windows: list[Window]) -> Batch:
        with stage("gather"):
            images = np.stack([image[window] for window in windows])
            trimaps = np.stack(
                [
                    seen[rows.start : rows.stop + 2 * reach, columns.start : columns.stop + 2 * reach]
                    for rows, columns in windows
                ]
            )
        return engine.run_pixels(images, trimaps)

    return run
