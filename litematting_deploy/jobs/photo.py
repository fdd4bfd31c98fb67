"""One photo and its trimap to the files that are wanted of it."""

import contextlib
import os
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, NotFiniteError, counted
from ..images.photo import Photo
from ..matting.patches import Plan
from ..matting.trimap import UNKNOWN, unsure
from ..matting.unknown_band import Widths
from ..profiling import note as fact
from ..runtime import Matter, open_matter
from ..segmentation.model import Segmenter
from ..specs import JobSpec
from .outputs import Results, say_band, say_lost, say_pieces, say_share, say_shares
from .progress import ProgressMeter, Report
from .trimaps import closing_masks, open_masks, read_pair


@dataclass(frozen=True)
class PhotoResult:
    """The outcome of a photo.

    - `files`: the files that were written.
    - `hw`: height and width of the alpha, in pixels.
    - `seconds`: duration of the whole job.
    - `plan`, `engine`: in words; empty where only a preview was made.
    - `lacking`: what the trimap has no pixel of, as "no sure foreground"; None where it has both sides.
    - `band_px`: the narrowest and the widest unknown band of a mask's objects, in pixels on each side of the edge; None
      for a trimap.
    """

    files: tuple[str, ...]
    hw: tuple[int, int]
    seconds: float
    plan: str
    engine: str
    lacking: str | None = None
    band_px: Widths | None = None


@dataclass(frozen=True, eq=False)
class Opened:
    """The networks that many jobs share; whoever has opened them closes them.

    matter: runs the engine and the plan of every job. segmenter: that of the jobs' `TrimapSpec`, where they have one.
    """

    matter: Matter
    segmenter: Segmenter | None = None


def matte_photo(job: JobSpec, report: Report | None = None, opened: Opened | None = None) -> PhotoResult:
    """Matte one photo and write its results, the alpha first.

    job: images and source are single files.
    report: is called with the progress of the job.
    opened: what this job shares with others, whose engine and plan it has; only `refine` may differ.

    Raises `UsageError`, `InputError`, `OutputError`, `ForegroundError` where the alpha is written and the colours are
    not, and what opening an engine raises.
    """
    started = time.perf_counter()
    meter = ProgressMeter(report)
    if not os.path.exists(job.images):
        raise InputError(
            f"{job.images}: no such file or folder; give one, or a numbered pattern such as frame.%04d.exr"
        )
    # What is found wrong soonest comes first: names of results, then the pictures, then the engine, which opens
    # slowest.
    results = Results.of(job)
    made = open_masks(job, None if opened is None else opened.segmenter) if job.trimap.kind == "photo" else None
    # Closed before the engine needs the memory.
    with closing_masks(made) if opened is None else contextlib.nullcontext(made) as maker:
        photo, found = read_pair(job.images, job.source, job, maker, alone=True)
    trimap = found.values
    results.check_photo(photo)
    if clipped := results.clipped_share(photo):
        meter.note(
            f"{say_share(clipped)} of the values of {job.images} are outside 0..1, which PNG and TIFF clip; write "
            ".exr to keep them"
        )
    if lost := results.lost_colour(photo):
        meter.note(say_lost(lost, job.images))
    if not (trimap == UNKNOWN).any():
        meter.note(f"{job.source} has no unknown pixels; it is used as the alpha")
    if found.pieces is not None:
        meter.note(say_pieces(found.pieces, job.images))
    if found.beyond is not None:
        meter.note(f"{job.images}: {found.beyond}")
    results.write_preview(photo, found)
    height, width = trimap.shape
    if job.output.alpha is None:
        said = ", ".join(filter(None, (say_band(found.band_px, job.trimap), say_shares(trimap))))
        meter.note(f"{job.source}: {said}")
        return PhotoResult(
            results.files, (height, width), time.perf_counter() - started, "", "", unsure(trimap), found.band_px
        )
    with (
        open_matter(job.engine, job.plan, trimap)
        if opened is None
        else contextlib.nullcontext(opened.matter.refining(job.plan.refines)) as matter
    ):
        plan, engine = matter.plan(trimap), matter.engine.describe()
        _note_details(matter, plan, meter)
        meter.begin("patches", len(plan.corners_yx))
        alpha = alpha_of(photo, trimap, matter, meter)
    fact(patches=len(plan.corners_yx), skipped=plan.skipped, grid=plan.grid_size, engine=engine)
    results.write(photo, alpha, matter.unmix, lambda: meter.begin("foreground colours", None))
    fact(width=width, height=height)
    seconds = time.perf_counter() - started
    return PhotoResult(results.files, (height, width), seconds, str(plan), engine, unsure(trimap), found.band_px)


def alpha_of(photo: Photo, trimap: NDArray[np.uint8], matter: Matter, meter: ProgressMeter) -> NDArray[np.float32]:
    """Return the alpha (H, W), 0..1, of a photo and its trimap (H, W) uint8 of 0 / 128 / 255.

    Raises `NotFiniteError`, which names the photo: the engine has seen patches only.
    """
    try:
        alpha: NDArray[np.float32] = matter(photo.network, trimap, meter.at, allow_no_unknown=True)
    except NotFiniteError as error:
        if error is meter.raised:
            raise
        raise NotFiniteError(f"{photo.path}: {error}") from error
    return alpha


def _note_details(matter: Matter, plan: Plan, meter: ProgressMeter) -> None:
    """Report what is about to run, and the memory of the device that it takes."""
    height, width = plan.patch_hw
    saved = (
        f"{plan.skipped} of {plan.grid_size} skipped"
        if plan.margin is None
        else f"a full grid would run {plan.grid_size}"
    )
    meter.note(f"engine: {matter.engine.describe()}", detail=True)
    meter.note(
        f"plan: {matter.placement}: {counted(len(plan.corners_yx), 'patch')} of {height}x{width}, {saved}", detail=True
    )
    if (memory := matter.device_memory(plan)) is not None:
        meter.note(f"device memory: {memory}", detail=True)
