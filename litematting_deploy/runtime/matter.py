"""Image and trimap to alpha with any engine, on the host or on a CUDA device."""

import contextlib
import copy
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeAlias, Unpack

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..engines import Engine
from ..engines.base import check_batch
from ..errors import UsageError, shown
from ..matting.bit_mask import BitMask
from ..matting.inputs import alpha_dtype, as_image, as_trimap, check_image_shape, check_same_size, check_trimap_shape
from ..matting.patches import Plan, context_margin, grid_step, plan_adaptive, plan_grid, to_levels
from ..matting.reduced import enlarged, reduced_image, reduced_trimap
from ..matting.refine import refine
from ..matting.trimap import no_unknown
from ..matting.unmixing import Unmix, unmix
from ..parameters import Callback, path_text
from ..profiling import stage
from ..specs import AUTO, EngineSpec, Placement, PlanSpec, Quality
from .cuda.arrays import DeviceArray
from .device_memory import DeviceMemory
from .device_stitch import DeviceStitcher, Job
from .host_stitch import Progress, stitch
from .loading import PUBLISHED_PATCH_HW, EngineOptions, open_spec
from .on_device import OnDevice
from .sequence import MASK_REMEDY, one_ahead, or_error, pairs_of, with_unknown

PUBLISHED_STEP = 320
DEFAULT_PLACEMENT: Placement = "adaptive"

Pixels: TypeAlias = Any
"""An array, or what NumPy reads as one, or an array on the device, as PyTorch, CuPy and PyCUDA have them."""

Planned: TypeAlias = Callable[[NDArray[np.uint8] | BitMask], Plan]


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
        refine: bool | None = None,
        quality: Quality | None = None,
    ) -> None:
        """Run an open engine on the patches of a plan.

        - `plan`: `adaptive`, few patches with `margin` pixels of context (`plan_adaptive`), or `grid`, patches every
          `step` pixels, half a patch by default (`plan_grid`); adaptive unless `step` or `published` is given.
        - `batch`: patches per call of the engine, at most the engine's limit; by default the engine's own, or 1. On a
          device it is always the engine's own.
        - `published`: reproduce the authors' tiling: 640 px patches every 320 pixels, background around smaller images,
          and truncated levels.
        - `refine`: make alphas follow the photo's own colours (`matting.refine`), on the engine's CUDA device if it
          runs on one, otherwise on the host. By default they are the network's own.
        - `quality`: run the network on the photo at half its size (`fast`), three quarters (`good`) or all of it
          (`best`), and refine the alpha at full size. An engine on a CUDA device accepts only `best`.

        Raises `UsageError` if these contradict each other.
        """
        if not isinstance(engine, Engine):
            raise UsageError(
                f"`engine` must be an engine opened by load_engine; got {shown(engine)}; to open a file, use "
                "Matter.load"
            )
        most = engine.batch or engine.most
        check_batch(batch, engine.name, most)
        self.engine = engine
        self.asked = PlanSpec(plan=plan, margin=margin, step=step, published=published, refine=refine, quality=quality)
        if self.asked.scale != 1 and isinstance(engine, OnDevice):
            raise UsageError(
                f"`quality={quality}` makes the photo smaller on the host, but {engine.name} works on a CUDA device, "
                "where the network takes little time; use `quality=best`"
            )
        self._plan = _planner(engine, self.asked)
        self._truncate, self._refines, self._closed = published, bool(self.asked.refine), False
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
        refine: bool | None = None,
        quality: Quality | None = None,
        **options: Unpack[EngineOptions],
    ) -> Self:
        """Return a `Matter` with the engine in `path`, or with the shipped weights.

        - `plan`, `margin`, `step`, `refine`, `quality`: as in `Matter`.
        - `device`, `options`: as in `load_engine`, whose errors it raises, too.
        """
        engine = EngineSpec(engine=None if path is None else path_text("path", path), device=device, **options)
        return cls.open(engine, PlanSpec(plan=plan, margin=margin, step=step, refine=refine, quality=quality))

    @classmethod
    def open(
        cls,
        engine: EngineSpec = EngineSpec(),
        plan: PlanSpec = PlanSpec(),
        trimap: NDArray[np.uint8] | None = None,
    ) -> Self:
        """Open an engine and return a `Matter` that runs it; close it, or use it in a `with` statement.

        - `engine`: which engine, and where; it runs `engine.batch` patches at a time.
        - `plan`: which patches of a photo run.
        - `trimap`: (H, W) uint8, if only one photo is matted: `auto` then considers the cost of opening an engine.

        Raises what `load_engine` raises, and `UsageError` if the plan does not fit the engine, which is then closed.
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
        """How patches are placed, and what is done besides: `adaptive, margin 128`, `grid, step 320, refined` or, on a
        smaller photo, `adaptive, margin 128, quality fast`."""
        chosen = self._plan.keywords
        placed = f"adaptive, margin {chosen['margin']}" if "margin" in chosen else f"grid, step {chosen['step']}"
        if self.asked.scale != 1:
            return f"{placed}, quality {self.asked.quality}"
        return f"{placed}, refined" if self._refines else placed

    def refining(self, refine: bool) -> Self:
        """Return this matter with alphas refined or not, as a job asks for it that shares the engine with others.

        Both run the same engine, which closes with this one. Raises `UsageError` where `published` forbids it.
        """
        other = copy.copy(self)
        other.asked = replace(self.asked, refine=refine)
        other._refines = refine
        return other

    @property
    def unmix(self) -> Unmix:
        """What finds foreground colours where alpha is computed: for `estimate_foreground`, also after `close`."""
        return unmix if self._device is None else self._device.unmixer

    def plan(self, trimap: Pixels) -> Plan:
        """Return the patches that run for a trimap (H, W) uint8 of 0 / 128 / 255, at the size that the network sees.

        Raises `InputError`.
        """
        return self._planned(self._reduced(as_trimap(trimap)), allow_no_unknown=True)

    @stage("plan")
    def _planned(self, trimap: NDArray[np.uint8] | BitMask, *, allow_no_unknown: bool) -> Plan:
        """Return the patches that run for a checked trimap, or for the mask of its unknown pixels. Raises `InputError`
        where nothing is unknown, unless that is allowed."""
        plan = self._plan(trimap)
        if not plan.corners_yx and not allow_no_unknown:
            raise no_unknown("`trimap`", MASK_REMEDY)
        return plan

    def device_memory(self, plan: Plan) -> DeviceMemory | None:
        """Return what an image with this plan takes on the device; None where the engine works on the host."""
        return None if self._device is None else self._device.memory(plan, self._refines)

    def __call__(
        self,
        image: Pixels,
        trimap: Pixels,
        progress: Progress | None = None,
        *,
        dtype: DTypeLike = np.float32,
        unit_range: bool = False,
        allow_no_unknown: bool = False,
    ) -> Any:
        """Return the alpha (H, W) of a photo.

        - `image`: (H, W, 3) uint8 RGB, or what `matting.inputs.as_image` accepts as one, such as a PIL image.
        - `trimap`: (H, W) uint8 of 0 / 128 / 255, or what `matting.inputs.as_trimap` accepts as one.
        - `progress`: called with the patches done and the patches to run; refinement counts as much as these.
        - `dtype`: float16, float32 or float64 for 0..1, uint8 or uint16 for the nearest level up to 255 or 65535.
        - `unit_range`: the image is (H, W, 3) float, 0..1, and is rounded to 8 bits.
        - `allow_no_unknown`: accept a trimap without unknown pixels as the alpha; otherwise it is refused, since it may
          be a mask.

        Known pixels are 0 or 1. In addition to the engine, image and trimap, this takes about 12 bytes of memory per
        pixel, however many patches run. With an engine on a CUDA device, image and trimap may be uint8 arrays there
        (`__cuda_array_interface__` or DLPack). If both are, so is the alpha, and only one bit per pixel is copied to
        the host, for planning. May be called from any thread. Raises `InputError`, `UsageError`, `DeviceError`,
        `NotFiniteError`.
        """
        self._check_open()
        given = alpha_dtype(dtype), unit_range, partial(self._planned, allow_no_unknown=allow_no_unknown)
        told = None if progress is None else Callback("progress", progress)
        if self._device is not None:
            job = self._submit(self._device, image, trimap, *given, self._patches(told))
            return self._device.collect(job, None, _second_half(told))
        return self._on_host(image, trimap, *given, told)

    def _on_host(
        self,
        image: Pixels,
        trimap: Pixels,
        dtype: "np.dtype[Any]",
        unit_range: bool,
        planned: Planned,
        progress: Progress | None,
    ) -> NDArray[Any]:
        """Return the alpha (H, W) of a photo by an engine on the host."""
        self._check_open()
        pixels, checked = as_image(image, unit_range), as_trimap(trimap)
        check_same_size(pixels.shape, checked.shape)
        scale, smaller = self.asked.scale, self._reduced(checked)
        seen = pixels if scale == 1 else reduced_image(pixels, scale)
        alpha = stitch(self.engine, self._batch, seen, smaller, planned(smaller), self._patches(progress))
        if scale != 1:
            alpha = enlarged(alpha, checked.shape)
        if self._refines:
            alpha = refine(pixels, checked, alpha, _second_half(progress), scale)
        return to_levels(alpha, dtype.type, self._truncate) if dtype.kind == "u" else alpha.astype(dtype, copy=False)

    def sequence(
        self,
        frames: Iterable[tuple[Pixels, Pixels]],
        *,
        dtype: DTypeLike = np.float32,
        unit_range: bool = False,
        progress: Progress | None = None,
        go_on: bool = False,
        allow_no_unknown: bool = False,
    ) -> Iterator[Any]:
        """Return the alphas of many images, in order; on a device, the copies of neighbours overlap with computation.

        - `frames`: image and trimap of each, as a call takes them; on a device they must not change until their alpha
          has come. A frame is asked for while the one before is computed; if that fails, the alpha before comes first.
        - `dtype`, `unit_range`: as a call takes them.
        - `progress`: of the patches of each frame; on a device only when all are done, since waiting for them would
          keep the next frame waiting, too.
        - `go_on`: where an alpha is not finite, its `NotFiniteError` comes in its place; otherwise it is raised.
        - `allow_no_unknown`: no trimap needs unknown pixels. Otherwise one of them does, since an object may leave the
          picture, but masks have none; where all lack them, the last alpha is followed by an `InputError`.
        """
        self._check_open()
        unknown: list[bool] = []  # whether anything is, in each trimap so far

        def planned(trimap: NDArray[np.uint8] | BitMask) -> Plan:
            plan = self._planned(trimap, allow_no_unknown=True)
            unknown.append(bool(plan.corners_yx))
            return plan

        kind, told = alpha_dtype(dtype), Callback("progress", progress)
        pairs, device = pairs_of(frames), self._device
        if device is not None:
            jobs = (self._submit(device, image, trimap, kind, unit_range, planned) for image, trimap in pairs)
            collect = partial(device.collect, progress=self._patches(told), refining=_second_half(told))
            alphas = one_ahead(jobs, lambda job: or_error(partial(collect, job), told, go_on), device.give_up)
        else:
            on_host = partial(self._on_host, dtype=kind, unit_range=unit_range, planned=planned, progress=told)
            alphas = (or_error(partial(on_host, image, trimap), told, go_on) for image, trimap in pairs)
        return alphas if allow_no_unknown else with_unknown(alphas, unknown)

    def _submit(
        self,
        stitcher: DeviceStitcher,
        image: Pixels,
        trimap: Pixels,
        dtype: "np.dtype[Any]",
        unit_range: bool,
        planned: Planned,
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
        return stitcher.submit(image, trimap, planned, dtype, progress, self._refines)

    def _reduced(self, trimap: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return a trimap in the size in which the network sees the photo."""
        return trimap if self.asked.scale == 1 else reduced_trimap(trimap, self.asked.scale)

    def _patches(self, progress: Progress | None) -> Progress | None:
        """Return what is told of patches: all there is to do, or half of it."""
        if progress is None or not self._refines:
            return progress
        return lambda done, total: progress(done, 2 * total)

    def _check_open(self) -> None:
        """Raise `UsageError` after `close`."""
        if self._closed:
            raise UsageError("this Matter is closed; open another with Matter.load")

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


def _second_half(progress: Progress | None) -> Progress | None:
    """Return what is told of the refinement, whose steps are the second half of what there is to do."""
    return None if progress is None else lambda done, total: progress(total + done, 2 * total)


def _planner(engine: Engine, spec: PlanSpec) -> "partial[Plan]":
    """Return the function that makes a plan from a trimap. Raises `UsageError` where the spec does not fit the engine.

    `context_margin` and `grid_step` name what is wrong with a margin or a step.
    """
    patch_hw = engine.patch_hw
    if spec.published:
        if patch_hw != PUBLISHED_PATCH_HW:
            raise UsageError(
                f"`published` requires patches of 640x640, but {engine.name} takes {patch_hw[0]}x{patch_hw[1]}; "
                "export the model for 640x640 with ltm-export",
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
