"""Crop-and-stitch inference around an engine (paper section 4.3)."""

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ..engines import Engine
from ..errors import InputError, UsageError
from ..matting.guide import transformable_map
from ..matting.inputs import network_image, one_hot
from ..matting.patches import Padding, Plan, Stitcher, plan_grid
from ..matting.trimap import decode
from .loading import PUBLISHED_PATCH_HW, load_engine

Progress = Callable[[int, int], None]
"""Called with the patches done and the patches to run."""

PUBLISHED_STEP = 320


class Matter:
    """Cuts the foreground out of photos: `Matter.load(path)(image, trimap) -> alpha`."""

    def __init__(
        self, engine: Engine, *, step: int | None = None, batch: int | None = None, published: bool = False
    ) -> None:
        """step: pixels between patches, half a patch by default. batch: patches per call of the engine, at most the
        engine's own batch where that is fixed; its own, or 1, by default. published: the authors' crop-and-stitch,
        patches of 640 every 320 pixels, and background around images smaller than that.
        """
        if batch is not None and (batch < 1 or (engine.batch is not None and batch > engine.batch)):
            limit = f"1 to {engine.batch}" if engine.batch else "1 or more"
            raise UsageError(f"--batch {batch}: {engine.name} takes {limit} patches at a time; export another --batch")
        self.engine = engine
        self._step = _published_step(engine, step) if published else step
        self._padding: Padding = "background" if published else "edge"
        self._batch = batch or engine.batch or 1

    @classmethod
    def load(
        cls,
        path: str | Path | None = None,
        *,
        device: str = "cpu",
        patch_hw: tuple[int, int] | None = None,
        step: int | None = None,
        batch: int | None = None,
    ) -> Self:
        """A matter with the engine in `path`, or with the shipped weights. `patch_hw` and errors as `load_engine`."""
        return cls(load_engine(path, device, patch_hw=patch_hw), step=step, batch=batch)

    def plan(self, trimap: NDArray[np.uint8]) -> Plan:
        """The patches that run for a checked trimap (H, W)."""
        return plan_grid(trimap, self.engine.patch_hw, self._step, self._padding)

    def __call__(
        self, image: NDArray[np.uint8], trimap: NDArray[np.uint8], progress: Progress | None = None
    ) -> NDArray[np.float32]:
        """Alpha (H, W) float32, 0..1, of image (H, W, 3) uint8 RGB and trimap (H, W) uint8 of 0 / 128 / 255.

        Known pixels are 0 or 1; a trimap without unknown pixels is its own alpha. Memory beside the engine's: about
        25 bytes a pixel, however many patches run. Raises `InputError`.
        """
        trimap = self._checked(image, trimap)
        plan = self.plan(trimap)
        image, trimap = plan.pad_image(image), plan.pad_trimap(trimap)
        stitcher = Stitcher(plan, trimap)
        if plan.corners_yx:
            guide = transformable_map(trimap)
        for first in range(0, len(plan.corners_yx), self._batch):
            corners = plan.corners_yx[first : first + self._batch]
            windows = [plan.window(corner) for corner in corners]
            alphas = self.engine.run(
                np.stack([network_image(image[window]) for window in windows]),
                np.stack([one_hot(trimap[window]) for window in windows]),
                np.stack([guide[:, *window] for window in windows]),
            )
            for corner, alpha in zip(corners, alphas, strict=True):
                stitcher.add(corner, alpha[0])
            if progress is not None:
                progress(first + len(corners), len(plan.corners_yx))
        return stitcher.finish()

    def close(self) -> None:
        """Close the engine."""
        self.engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    @staticmethod
    def _checked(image: NDArray[np.uint8], trimap: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
            raise InputError(f"image is {image.shape} {image.dtype}, wanted (H, W, 3) uint8 RGB")
        if trimap.ndim != 2:
            raise InputError(f"trimap is {trimap.shape} {trimap.dtype}, wanted (H, W) uint8")
        if image.shape[:2] != trimap.shape:
            raise InputError(
                f"image is {image.shape[1]}x{image.shape[0]}, trimap {trimap.shape[1]}x{trimap.shape[0]}: "
                "they must be of one size"
            )
        return decode(trimap)


def _published_step(engine: Engine, step: int | None) -> int:
    if engine.patch_hw != PUBLISHED_PATCH_HW:
        raise UsageError(
            f"--published wants patches of 640x640, this engine takes {engine.patch_hw[0]}x{engine.patch_hw[1]}; "
            "make one with: ltm-export MODEL --height 640 --width 640"
        )
    if step not in (None, PUBLISHED_STEP):
        raise UsageError(f"--published has a step of {PUBLISHED_STEP}, not {step}; leave --step out")
    return PUBLISHED_STEP
