"""ltm-infer: a photo and its trimap to an alpha matte."""

import contextlib
import json
import os
import time
from collections.abc import Iterator
from typing import Any

import click

from ..errors import InputError, NotFiniteError
from ..files import check_writable, replace_file
from ..jobs.frames import is_many
from ..matting.patches import Plan
from ..matting.trimap import UNKNOWN, unsure
from ..profiling import note, recording
from ..runtime import Matter
from ..video import is_video
from ._engine import engine_options, open_chosen
from ._folder import folder_options, matte_folder, refuse_folder_options
from ._plan import matter_for, plan_options
from ._results import chosen_results, estimating, result_options, say_lost, say_share
from ._trimap import read_pair, trimap_options, trimap_source
from ._video import matte_clip, refuse_video_options, video_options
from .command import command, max_megapixels_option, notice, patch_progress, stdout


@command("ltm-infer")
@click.argument("image")
@click.argument("trimap", required=False)
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="OUT",
    help="The alpha: PNG, TIFF or EXR; of many, a folder; of a clip, a clip.",
)
@trimap_options
@result_options
@engine_options
@plan_options
@click.option(
    "--verbose",
    is_flag=True,
    help="Also print the engine, the plan and, on a GPU, the memory it takes, before the run; of many the engine.",
)
@click.option("--timings", metavar="FILE", help="Also write where time and memory went, stage by stage, as JSON.")
@folder_options
@video_options
@max_megapixels_option
def main(image: str, trimap: str | None, output: str, **options: Any) -> int:
    """Estimate the alpha matte of IMAGE, whose TRIMAP is 0 background, 128 unknown, 255 foreground.

    IMAGE and TRIMAP, or --mask, may be folders or numbered patterns as frame.%04d.exr: then OUT is a folder, and so are
    --cutout, --foreground and --preview. A frame that fails is told and the others go on; the exit code is 1 then.

    IMAGE may be a clip, TRIMAP or --mask then another clip of as many frames, or numbered images, one for each: OUT,
    --cutout and --foreground are clips with its times, sound and timecode. OUT is by its ending .mov: ProRes 4444,
    straight foreground colours and alpha; .webm: VP9, the same in 8 bits; .mp4: a grey H.264 matte; .mkv: a lossless
    grey FFV1 matte. In a clip of trimaps up to 32 is background, from 223 on foreground, all between unknown. A frame
    that fails ends the run; --resume goes on after the last segment, and with --failed-frames known
    past it. Frames are matted one by one, without smoothing over time.
    """
    source = trimap_source(trimap, options)
    timings = options.pop("timings")
    if is_video(image):
        with _timed(timings):
            return matte_clip(image, source, output, options)
    refuse_video_options(options)
    if is_many(image):
        with _timed(timings):
            return matte_folder(image, source, output, options)
    refuse_folder_options(options)
    with _timed(timings):
        _matte_one(image, source, output, options)
    return 0


@contextlib.contextmanager
def _timed(timings: str | None) -> Iterator[None]:
    """Write the stages of what is inside to a file, if one is wanted."""
    if timings is None:
        yield
        return
    check_writable(timings)
    with recording() as record:
        yield
        replace_file(timings, (json.dumps(record.summary(), indent=2) + "\n").encode())


def _matte_one(image: str, source: str, output: str, options: dict[str, Any]) -> None:
    if not os.path.exists(image):
        raise InputError(
            f"{image}: no such file or folder; give one, or a pattern of numbers in the file's name, as frame.%04d.exr"
        )
    results = chosen_results(output, (image, source, options["background"] or ""), options)
    started = time.perf_counter()
    photo, trimap = read_pair(image, source, options, alone=True)
    results.check_photo(photo)
    if clipped := results.clipped_share(photo):
        notice(
            f"ltm-infer: {say_share(clipped)} of the light of {image} lies outside 0..1, which PNG and TIFF cut off; "
            "write .exr to keep it"
        )
    if lost := results.lost_colour(photo):
        notice(f"ltm-infer: {say_lost(lost, image)}")
    if not (trimap == UNKNOWN).any():
        notice(f"ltm-infer: {source} has no unknown pixels: the alpha is the trimap")
    results.write_preview(photo, trimap)
    with (
        open_chosen(options) as engine,
        matter_for(engine, options) as matter,
    ):
        plan = matter.plan(trimap)
        if options["verbose"]:
            _tell(matter, plan)
        with patch_progress() as progress:
            task = progress.add_task("matting", total=None)
            try:
                alpha = matter(
                    photo.network, trimap, lambda done, total: progress.update(task, completed=done, total=total)
                )
            except NotFiniteError as error:
                raise NotFiniteError(f"{image}: {error}") from error
        note(patches=len(plan.corners_yx), skipped=plan.skipped, grid=plan.grid_size, engine=engine.describe())
        summary = f"{plan}, {engine.describe()}"
        if missing := unsure(trimap):
            summary += f"; {source}: {missing}"
    with estimating(results):
        results.write(photo, alpha)
    height, width = alpha.shape
    note(width=width, height=height)
    seconds = time.perf_counter() - started
    stdout.print(
        f"{' and '.join(results.files)}: {width}x{height} in {seconds:.1f} s, {summary}", markup=False, soft_wrap=True
    )


def _tell(matter: Matter, plan: Plan) -> None:
    """What is about to run, and the memory of the device it takes."""
    (height, width), engine = plan.patch_hw, matter.engine
    notice(f"engine: {engine.describe()}")
    saved = (
        f"{plan.skipped} of {plan.grid_size} skipped" if plan.margin is None else f"a grid would run {plan.grid_size}"
    )
    notice(f"plan: {matter.placement}: {len(plan.corners_yx)} patches of {height}x{width}, {saved}")
    memory = matter.device_memory(plan)
    if memory is not None:
        notice(f"device memory: {memory}")


if __name__ == "__main__":
    main()
