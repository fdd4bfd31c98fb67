"""Image and trimap to alpha with any engine, on the host or on a CUDA device."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from ..engines import Engine
from ..errors import InputError, NotFiniteError, UsageError
from ..matting.patches import Plan, context_margin, grid_step, plan_adaptive, plan_grid, to_levels
from ..matting.trimap import decode
from ..profiling import stage
from .cuda.arrays import DeviceArray
from .device_memory import DeviceMemory, Levels
from .host_stitch import Progress, stitch
from .loading import PUBLISHED_PATCH_HW, load_engine
from .on_device import OnDevice

if TYPE_CHECKING:
    from .device_stitch import DeviceStitcher, Job

PUBLISHED_STEP = 320

Placement = Literal["adaptive", "grid"]
DEFAULT_PLACEMENT: Placement = "adaptive"

Pixels = NDArray[np.uint8] | Any
"""A NumPy array, or one on the device, as PyTorch, CuPy and PyCUDA have them."""


class Matter:
    """Cuts the foreground out of photos: `Matter.load(path)(image, trimap) -> alpha`."""

    def __init__(
        self,
        engine: Engine,
        *,
        plan: Placement | None = None,
        margin: int | None = None,
        step: int | None = None,
        batch: int | None = None,
        published: bool = False,
    ) -> None:
        """plan: `adaptive`, few patches with `margin` pixels of context (`plan_adaptive`), or `grid`, patches every
        `step` pixels, half a patch by default (`plan_grid`); adaptive unless `step` is given or it is published. batch:
        patches per call of the engine, at most the engine's own where that has a limit; its own, or 1, by default;
        on a device always its own. published: the authors' crop-and-stitch, patches of 640 every 320 pixels,
        background around images smaller than that, and truncated levels. Raises `UsageError` where these contradict
        each other.
        """
        most = engine.batch or engine.most
        if batch is not None and (batch < 1 or (most is not None and batch > most)):
            limit = f"1 to {most}" if most else "1 or more"
            raise UsageError(f"--batch {batch}: {engine.name} takes {limit} patches at a time; export another --batch")
        self.engine = engine
        self._plan = _planner(engine, plan, margin, step, published)
        self._truncate = published
        self._batch = batch or most or 1
        self._device = _device_stitcher(engine, published)

    @classmethod
    def load(
        cls,
        path: str | Path | None = None,
        *,
        plan: Placement | None = None,
        margin: int | None = None,
        step: int | None = None,
        batch: int | None = None,
        **options: Any,
    ) -> Self:
        """A matter with the engine in `path`, or with the shipped weights. options and errors: of `load_engine`."""
        return cls(load_engine(path, batch=batch, **options), plan=plan, margin=margin, step=step, batch=batch)

    @property
    def placement(self) -> str:
        """How patches are placed, in words: `adaptive, margin 128` or `grid, step 320`."""
        chosen = self._plan.keywords
        return f"adaptive, margin {chosen['margin']}" if "margin" in chosen else f"grid, step {chosen['step']}"

    @stage("plan")
    def plan(self, trimap: NDArray[np.uint8]) -> Plan:
        """The patches that run for a checked trimap (H, W)."""
        return self._plan(trimap)

    def device_memory(self, plan: Plan, dtype: Levels = np.float32) -> DeviceMemory | None:
        """What an image with this plan takes on the device; None where the engine works on the host."""
        return None if self._device is None else self._device.memory(plan, dtype)

    def __call__(
        self,
        image: Pixels,
        trimap: Pixels,
        progress: Progress | None = None,
        *,
        dtype: Levels = np.float32,
    ) -> Any:
        """Alpha (H, W) of image (H, W, 3) uint8 RGB and trimap (H, W) uint8 of 0 / 128 / 255.

        dtype: float32 for 0..1, uint8 or uint16 for their levels. Known pixels are 0 or 1; a trimap without unknown
        pixels is its own alpha. Memory beside the engine's, image and trimap: about 12 bytes a pixel, however many
        patches run.

        With an engine on a CUDA device, image and trimap may be arrays there (`__cuda_array_interface__` or DLPack);
        if both are, so is the alpha, and only the trimap is copied to the host, to plan. Raises `InputError`,
        `DeviceError`.
        """
        if self._device is not None:
            return self._device.collect(self._submit(self._device, image, trimap, dtype, progress))
        trimap = _checked(image, trimap)
        alpha = stitch(self.engine, self._batch, image, trimap, self.plan(trimap), progress)
        return to_levels(alpha, dtype, self._truncate) if issubclass(dtype, np.unsignedinteger) else alpha

    def sequence(
        self,
        frames: Iterable[tuple[Pixels, Pixels]],
        *,
        dtype: Levels = np.float32,
        progress: Progress | None = None,
        go_on: bool = False,
    ) -> Iterator[Any]:
        """Alphas of many images, in order; on a device, the copies of neighbours overlap with the computation.

        Each frame is what a call takes, and on a device must not change until its alpha has come. A frame is asked for
        while the one before is computed; if that fails, the alpha before comes first. progress: of the patches of each
        frame; on a device only when all are done, since waiting for them would keep the next frame waiting too.
        go_on: where an alpha is not finite, its `NotFiniteError` comes in its place; otherwise that is raised.
        """
        if self._device is None:
            for image, trimap in frames:
                yield _or_error(partial(self, image, trimap, progress, dtype=dtype), go_on)
            return
        waiting: Job | None = None
        failure: Exception | None = None
        frames = iter(frames)
        try:
            while True:
                try:
                    image, trimap = next(frames)
                    job = self._submit(self._device, image, trimap, dtype, None)
                except StopIteration:
                    break
                except Exception as error:  # noqa: BLE001  # raised again below
                    failure = error
                    break
                ready, waiting = waiting, job
                if ready is not None:
                    yield _or_error(partial(self._device.collect, ready, progress), go_on)
            ready, waiting = waiting, None
            if ready is not None:
                yield _or_error(partial(self._device.collect, ready, progress), go_on)
        finally:
            if waiting is not None:
                self._device.give_up(waiting)
        if failure is not None:
            raise failure

    def _submit(
        self, stitcher: "DeviceStitcher", image: Pixels, trimap: Pixels, dtype: Levels, progress: Progress | None
    ) -> "Job":
        image, trimap = stitcher.seen(image), stitcher.seen(trimap)
        checked = _checked(image, stitcher.fetched(trimap))
        return stitcher.submit(
            image, trimap if isinstance(trimap, DeviceArray) else checked, self.plan(checked), dtype, progress
        )

    def close(self) -> None:
        """Close the engine."""
        if self._device is not None:
            self._device.close()
        self.engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()


def _or_error(matted: Callable[[], Any], go_on: bool) -> Any:
    """An alpha or, if the job goes on, why there is none."""
    try:
        return matted()
    except NotFiniteError as error:
        if not go_on:
            raise
        return error


def _device_stitcher(engine: Engine, truncate: bool) -> "DeviceStitcher | None":
    if not isinstance(engine, OnDevice):
        return None
    from .device_stitch import DeviceStitcher

    return DeviceStitcher(engine, truncate)


def _checked(image: NDArray[np.uint8] | DeviceArray, trimap: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The trimap, of an image and a trimap that can be matted together."""
    if len(image.shape) != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
        raise InputError(f"image is {image.shape} {image.dtype}, wanted (H, W, 3) uint8 RGB")
    if trimap.ndim != 2:
        raise InputError(f"trimap is {trimap.shape} {trimap.dtype}, wanted (H, W) uint8")
    if image.shape[:2] != trimap.shape:
        raise InputError(
            f"image is {image.shape[1]}x{image.shape[0]}, trimap {trimap.shape[1]}x{trimap.shape[0]}: "
            "they must be of one size"
        )
    return decode(trimap)


def _planner(
    engine: Engine, plan: Placement | None, margin: int | None, step: int | None, published: bool
) -> "partial[Plan]":
    """What makes a plan of a trimap. Raises `UsageError` where the options contradict each other."""
    given = "--published" if published else f"--step {step}" if step is not None else None
    if given and plan == "adaptive":
        raise UsageError(f"{given} is of a grid, not of --plan adaptive; leave one of them out")
    if given or (plan or DEFAULT_PLACEMENT) == "grid":
        if margin is not None:
            raise UsageError(f"--margin {margin} is of --plan adaptive, not of {given or 'a grid'}; leave one out")
        if published:
            return partial(
                plan_grid, patch_hw=engine.patch_hw, step=_published_step(engine, step), padding="background"
            )
        return partial(plan_grid, patch_hw=engine.patch_hw, step=grid_step(engine.patch_hw, step))
    return partial(plan_adaptive, patch_hw=engine.patch_hw, margin=context_margin(engine.patch_hw, margin))


def _published_step(engine: Engine, step: int | None) -> int:
    if engine.patch_hw != PUBLISHED_PATCH_HW:
        raise UsageError(
            f"--published wants patches of 640x640, this engine takes {engine.patch_hw[0]}x{engine.patch_hw[1]}; "
            "make one with: ltm-export MODEL --height 640 --width 640"
        )
    if step not in (None, PUBLISHED_STEP):
        raise UsageError(f"--published has a step of {PUBLISHED_STEP}, not {step}; leave --step out")
    return PUBLISHED_STEP
