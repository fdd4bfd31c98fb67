"""One photo and its trimap to the files that are wanted of it."""

import os
import time
from dataclasses import dataclass

from ..errors import InputError, NotFiniteError
from ..matting.patches import Plan
from ..matting.trimap import UNKNOWN, unsure
from ..profiling import note as fact
from ..runtime import Matter, open_matter
from ..specs import JobSpec
from .outputs import Results, say_lost, say_pieces, say_share
from .progress import ProgressMeter, Report
from .trimaps import closing_masks, open_masks, read_pair


@dataclass(frozen=True)
class PhotoResult:
    """The outcome of a photo.

    - `files`: the files that were written.
    - `hw`: height and width of the alpha, in pixels.
    - `seconds`: duration of the whole job.
    - `plan`, `engine`: in words.
    - `lacking`: what the trimap has no pixel of, as "no sure foreground"; None where it has both sides.
    """

    files: tuple[str, ...]
    hw: tuple[int, int]
    seconds: float
    plan: str
    engine: str
    lacking: str | None = None


def matte_photo(job: JobSpec, report: Report | None = None) -> PhotoResult:
    """Matte one photo and write its results, the alpha first.

    job: images and source are single files.
    report: is called with the progress of the job.

    Raises `UsageError`, `InputError`, `OutputError`, `ForegroundError` where the alpha is written and the colours are
    not, and what opening an engine raises.
    """
    started = time.perf_counter()
    meter = ProgressMeter(report)
    if not os.path.exists(job.images):
        raise InputError(
            f"{job.images}: no such file or folder; give one, or a pattern of numbers in the file's name, as "
            "frame.%04d.exr"
        )
    # What is found wrong soonest comes first: names of results, then the pictures, then the engine, which opens
    # slowest.
    results = Results.of(job)
    made = open_masks(job) if job.trimap.kind == "photo" else None
    with closing_masks(made) as maker:  # closed before the engine needs the memory
        photo, found = read_pair(job.images, job.source, job, maker, alone=True)
    trimap = found.values
    results.check_photo(photo)
    if clipped := results.clipped_share(photo):
        meter.note(
            f"{say_share(clipped)} of the light of {job.images} lies outside 0..1, which PNG and TIFF cut off; write "
            ".exr to keep it"
        )
    if lost := results.lost_colour(photo):
        meter.note(say_lost(lost, job.images))
    if not (trimap == UNKNOWN).any():
        meter.note(f"{job.source} has no unknown pixels: the alpha is the trimap")
    if found.pieces is not None:
        meter.note(say_pieces(found.pieces, job.images))
    results.write_preview(photo, trimap, found.mask)
    with open_matter(job.engine, job.plan, trimap) as matter:
        plan, engine = matter.plan(trimap), matter.engine.describe()
        _note_details(matter, plan, meter)
        meter.begin("patches", len(plan.corners_yx))
        try:
            alpha = matter(photo.network, trimap, meter.at, allow_no_unknown=True)
        except NotFiniteError as error:
            if error is meter.raised:
                raise
            # The engine has seen patches only, and does not know the photo's name.
            raise NotFiniteError(f"{job.images}: {error}") from error
    fact(patches=len(plan.corners_yx), skipped=plan.skipped, grid=plan.grid_size, engine=engine)
    results.write(photo, alpha, matter.unmix, lambda: meter.begin("foreground colours", None))
    height, width = alpha.shape
    fact(width=width, height=height)
    return PhotoResult(results.files, (height, width), time.perf_counter() - started, str(plan), engine, unsure(trimap))


def _note_details(matter: Matter, plan: Plan, meter: ProgressMeter) -> None:
    """Report what is about to run, and the memory of the device that it takes."""
    height, width = plan.patch_hw
    saved = (
        f"{plan.skipped} of {plan.grid_size} skipped" if plan.margin is None else f"a grid would run {plan.grid_size}"
    )
    meter.note(f"engine: {matter.engine.describe()}", detail=True)
    meter.note(f"plan: {matter.placement}: {len(plan.corners_yx)} patches of {height}x{width}, {saved}", detail=True)
    if (memory := matter.device_memory(plan)) is not None:
        meter.note(f"device memory: {memory}", detail=True)
