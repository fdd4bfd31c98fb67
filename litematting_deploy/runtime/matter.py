"""Image and trimap to alpha with any engine, on the host or on a CUDA device."""

import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeAlias, Unpack

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..engines import Engine
from ..engines.base import check_batch
from ..errors import NotFiniteError, UsageError
from ..matting.bit_mask import BitMask
from ..matting.inputs import alpha_dtype, as_image, as_trimap, check_image_shape, check_same_size, check_trimap_shape
from ..matting.patches import Plan, context_margin, grid_step, plan_adaptive, plan_grid, to_levels
from ..matting.unmixing import Unmix, unmix
from ..profiling import stage
from ..specs import AUTO, EngineSpec, Placement, PlanSpec
from .cuda.arrays import DeviceArray
from .device_memory import DeviceMemory
from .device_stitch import DeviceStitcher, Job
from .host_stitch import Progress, stitch
from .loading import PUBLISHED_PATCH_HW, EngineOptions, open_spec
from .on_device import OnDevice

PUBLISHED_STEP = 320
DEFAULT_PLACEMENT: Placement = "adaptive"

Pixels: TypeAlias = Any
"""An array, or what NumPy reads as one, or an array on the device, as PyTorch, CuPy and PyCUDA have them."""


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
        check_batch(batch, engine.name, most)
        self.engine = engine
        self._plan = _planner(engine, PlanSpec(plan=plan, margin=margin, step=step, published=published))
        self._truncate, self._closed = published, False
        self._batch = batch or most or 1
        self._device = DeviceStitcher(engine, published) if isinstance(engine, OnDevice) else None

    @classmethod
    def load(
        cls,
        path: str | Path | None = None,
        device: str = AUTO,
        *,
        plan: Placement | None = None,
        margin: int | None = None,
        step: int | None = None,
        **options: Unpack[EngineOptions],
    ) -> Self:
        """Return a matter with the engine in `path`, or with the shipped weights.

        plan, margin, step: as `Matter` takes them. device, options, errors: those of `load_engine`.
        """
        engine = EngineSpec(engine=None if path is None else str(path), device=device, **options)
        return cls.open(engine, PlanSpec(plan=plan, margin=margin, step=step))

    @classmethod
    def open(
        cls,
        engine: EngineSpec = EngineSpec(),
        plan: PlanSpec = PlanSpec(),
        trimap: NDArray[np.uint8] | None = None,
    ) -> Self:
        """Open an engine and return the matter that runs it on the patches of `plan`; close it, or use it in a `with`.

        engine: which engine, and where; `engine.batch` patches go to it at a time. plan: which patches of a photo run.
        trimap: (H, W) uint8 of the only photo that is matted, by which `auto` counts what opening an engine costs.
        Raises what `load_engine` raises, and `UsageError` where the plan does not fit the engine, which is closed then.
        """
        opened = open_spec(engine, trimap)
        with contextlib.ExitStack() as on_error:
            on_error.callback(opened.close)
            matter = cls(opened, batch=engine.batch, **asdict(plan))
            # From here on the matter closes the engine.
            on_error.pop_all()
        return matter

    @property
    def placement(self) -> str:
        """How patches are placed, in words: `adaptive, margin 128` or `grid, step 320`."""
        chosen = self._plan.keywords
        return f"adaptive, margin {chosen['margin']}" if "margin" in chosen else f"grid, step {chosen['step']}"

    @property
    def unmix(self) -> Unmix:
        """What finds foreground colours where alpha is computed: for `estimate_foreground`, also after `close`."""
        return unmix if self._device is None else self._device.unmixer

    @stage("plan")
    def plan(self, trimap: NDArray[np.uint8] | BitMask) -> Plan:
        """Return the patches that run for a trimap (H, W) uint8 of 0 / 128 / 255, or the mask of its unknown pixels."""
        return self._plan(trimap)

    def device_memory(self, plan: Plan) -> DeviceMemory | None:
        """Return what an image with this plan takes on the device; None where the engine works on the host."""
        return None if self._device is None else self._device.memory(plan)

    def __call__(
        self,
        image: Pixels,
        trimap: Pixels,
        progress: Progress | None = None,
        *,
        dtype: DTypeLike = np.float32,
        unit_range: bool = False,
    ) -> Any:
        """Return the alpha (H, W) of a photo.

        image: (H, W, 3) uint8 RGB, or what `matting.inputs.as_image` takes for that, such as a PIL image.
        trimap: (H, W) uint8 of 0 / 128 / 255, or what `matting.inputs.as_trimap` takes for that.
        progress: called with the patches done and the patches to run.
        dtype: float16, float32 or float64 for 0..1, uint8 or uint16 for the nearest level up to 255 or 65535.
        unit_range: the image is (H, W, 3) float, 0..1, and is rounded to 8 bits.

        Known pixels are 0 or 1; a trimap without unknown pixels is its own alpha. Memory beside the engine's, image and
        trimap: about 12 bytes a pixel, however many patches run. With an engine on a CUDA device, image and trimap may
        be uint8 arrays there (`__cuda_array_interface__` or DLPack); if both are, so is the alpha, and only a mask of a
        bit a pixel comes to the host, to plan. Any thread may call. Raises `InputError`, `UsageError`, `DeviceError`,
        `NotFiniteError`.
        """
        self._check_open()
        asked = alpha_dtype(dtype)
        if self._device is not None:
            return self._device.collect(self._submit(self._device, image, trimap, asked, unit_range, progress))
        pixels, checked = as_image(image, unit_range), as_trimap(trimap)
        check_same_size(pixels.shape, checked.shape)
        alpha = stitch(self.engine, self._batch, pixels, checked, self.plan(checked), progress)
        return to_levels(alpha, asked.type, self._truncate) if asked.kind == "u" else alpha.astype(asked, copy=False)

    def sequence(
        self,
        frames: Iterable[tuple[Pixels, Pixels]],
        *,
        dtype: DTypeLike = np.float32,
        unit_range: bool = False,
        progress: Progress | None = None,
        go_on: bool = False,
    ) -> Iterator[Any]:
        """Return the alphas of many images, in order; on a device, the copies of neighbours overlap with computation.

        frames: image and trimap of each, as a call takes them; on a device they must not change until their alpha has
        come. A frame is asked for while the one before is computed; if that fails, the alpha before comes first.
        dtype, unit_range: as a call takes them.
        progress: of the patches of each frame; on a device only when all are done, since waiting for them would keep
        the next frame waiting, too.
        go_on: where an alpha is not finite, its `NotFiniteError` comes in its place; otherwise it is raised.
        """
        self._check_open()
        asked = alpha_dtype(dtype)
        if self._device is not None:
            collect = partial(self._device.collect, progress=progress)
            jobs = (self._submit(self._device, image, trimap, asked, unit_range) for image, trimap in frames)
            return _one_ahead(jobs, lambda job: _or_error(partial(collect, job), go_on), self._device.give_up)
        matted = partial(self, progress=progress, dtype=asked, unit_range=unit_range)
        return (_or_error(partial(matted, image, trimap), go_on) for image, trimap in frames)

    def _submit(
        self,
        stitcher: DeviceStitcher,
        image: Pixels,
        trimap: Pixels,
        dtype: "np.dtype[Any]",
        unit_range: bool,
        progress: Progress | None = None,
    ) -> Job:
        """Check an image and its trimap, and put the image on its way to the device, where it goes while we plan."""
        self._check_open()
        image, trimap = stitcher.seen(image), stitcher.seen(trimap)
        if isinstance(image, DeviceArray):
            check_image_shape(image)
        else:
            image = as_image(image, unit_range)
        # The plan needs to know where unknown pixels are, and the trimap itself can stay on the device.
        if isinstance(trimap, DeviceArray):
            check_trimap_shape(trimap)
        else:
            trimap = as_trimap(trimap)
        check_same_size(image.shape, trimap.shape[:2])
        return stitcher.submit(image, trimap, self.plan, dtype, progress)

    def _check_open(self) -> None:
        """Raise `UsageError` after `close`."""
        if self._closed:
            raise UsageError("this matter was closed; open another with Matter.load")

    def close(self) -> None:
        """Close the engine; the matter answers nothing more."""
        if self._closed:
            return
        self._closed = True
        (self._device or self.engine).close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _one_ahead(jobs: Iterator[Job], collected: Callable[[Job], Any], give_up: Callable[[Job], None]) -> Iterator[Any]:
    """Yield what is collected of each job after the next one is submitted.

    If `jobs` raises, what was submitted before comes first. Jobs that nobody asks for any more are given up.
    """
    waiting: deque[Job] = deque()
    failure: Exception | None = None
    try:
        while failure is None:
            try:
                waiting.append(next(jobs))
            except StopIteration:
                break
            except Exception as error:  # noqa: BLE001  # raised again below
                failure = error
            else:
                if len(waiting) > 1:
                    yield collected(waiting.popleft())
        while waiting:
            yield collected(waiting.popleft())
    finally:
        for job in waiting:
            give_up(job)
    if failure is not None:
        raise failure


def _or_error(matted: Callable[[], Any], go_on: bool) -> Any:
    """Return an alpha or, if the job goes on, why there is none."""
    try:
        return matted()
    except NotFiniteError as error:
        if not go_on:
            raise
        return error


def _planner(engine: Engine, spec: PlanSpec) -> "partial[Plan]":
    """Return the function that makes a plan from a trimap. Raises `UsageError` where the spec does not fit the engine.

    `context_margin` and `grid_step` name what is wrong with a margin or a step.
    """
    patch_hw = engine.patch_hw
    if spec.published:
        if patch_hw != PUBLISHED_PATCH_HW:
            raise UsageError(
                f"`published` runs patches of 640x640, and {engine.name} takes {patch_hw[0]}x{patch_hw[1]}; export the "
                "model with ltm-export for patches of 640x640",
                parameter="published",
            )
        if spec.step not in (None, PUBLISHED_STEP):
            raise UsageError(
                f"`step` must be {PUBLISHED_STEP} with `published`; got {spec.step}; leave it out", parameter="step"
            )
        return partial(plan_grid, patch_hw=patch_hw, step=PUBLISHED_STEP, padding="background")
    if spec.step is not None or (spec.plan or DEFAULT_PLACEMENT) == "grid":
        return partial(plan_grid, patch_hw=patch_hw, step=grid_step(patch_hw, spec.step))
    return partial(plan_adaptive, patch_hw=patch_hw, margin=context_margin(patch_hw, spec.margin))
