"""ltm-infer: a photo and its trimap to an alpha matte."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import click

from ..files import check_writable, write_json
from ..jobs.api import matte_clip, matte_folder, matte_photo
from ..jobs.frames import is_many, say_numbers
from ..jobs.outputs import say_unsure
from ..jobs.progress import JobResult, Report
from ..profiling import recording
from ..specs import JobSpec, job_of
from ..video import is_video
from .command import command, notice, say
from .options import folder_options, job_options, max_megapixels_option, motion_options, video_options
from .progress import JobBar


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
@job_options
@click.option(
    "--verbose",
    is_flag=True,
    help="Also print the engine, the plan and, on a GPU, the memory it takes, before the run; of many the engine.",
)
@click.option("--timings", metavar="FILE", help="Also write where time and memory went, stage by stage, as JSON.")
@folder_options
@motion_options
@video_options
@max_megapixels_option
def main(
    image: str, trimap: str | None, output: str, mask: str | None, timings: str | None, verbose: bool, **options: Any
) -> int:
    """Estimate the alpha matte of IMAGE, whose TRIMAP is 0 background, 128 unknown, 255 foreground.

    Without TRIMAP and --mask, one of --box, --key, --clean-plate and --segmenter makes a mask from IMAGE itself, which
    becomes the trimap; --preview shows it.

    IMAGE and TRIMAP, or --mask, may be folders or numbered patterns as frame.%04d.exr: then OUT is a folder, and so are
    --cutout, --foreground and --preview. A frame that fails is told and the others go on; the exit code is 1 then.

    IMAGE may be a clip, TRIMAP or --mask then another clip of as many frames, or numbered images, one for each: OUT,
    --cutout and --foreground are clips with its times, sound and timecode. OUT is by its ending .mov: ProRes 4444,
    straight foreground colours and alpha; .webm: VP9, the same in 8 bits; .mp4: a grey H.264 matte; .mkv: a lossless
    grey FFV1 matte. In a clip of trimaps up to 32 is background, from 223 on foreground, all between unknown. A frame
    that fails ends the run; --resume goes on after the last segment, and with --failed-frames known
    past it. Frames are matted one by one; --steady smooths over time. With --keyframes a folder or a clip needs
    trimaps or masks for some frames only.
    """
    job = job_of(image, output, options, trimap=trimap, mask=mask)
    with _timed(timings):
        if is_video(image):
            return _clip(job, verbose)
        if is_many(image):
            return show_frames("ltm-infer", job, lambda bar: matte_folder(job, progress=bar), verbose=verbose)
        return _photo(job, verbose)


def _photo(job: JobSpec, verbose: bool) -> int:
    """Matte a photo, print what came of it, and return the exit code."""
    with JobBar("ltm-infer", details=verbose) as bar:
        result = matte_photo(job, progress=bar)
    lacking = f"; {job.source}: {result.lacking}" if result.lacking else ""
    height, width = result.hw
    say(
        f"{' and '.join(result.files)}: {width}x{height} in {result.seconds:.1f} s, {result.plan}, {result.engine}"
        f"{lacking}"
    )
    return 0


def show_frames(command: str, job: JobSpec, matte: Callable[[Report], JobResult], *, verbose: bool = False) -> int:
    """Show a job of many frames and its outcome, and return the exit code. matte: does the job."""
    with JobBar(command, details=verbose) as bar:
        result = matte(bar)
        if result.missing:
            bar.failures.insert(0, f"{job.images}: there is no frame {say_numbers(result.missing)}")
    for note in result.notes:
        notice(f"{command}: {note}")
    part = f" of shard {job.shard}" if job.shard else ""
    missing = f", {len(result.missing)} missing" if result.missing else ""
    say(
        f"{job.output.alpha}: {result.done} of {result.total} frames{part} in {result.seconds:.1f} s"
        f"{_before(job, result)}, {len(result.failures)} failed{missing}{result.left_over}, {result.engine}"
        f"{say_unsure(result.remarks)}"
    )
    return 1 if result.failures or result.missing else 0


def _before(job: JobSpec, result: JobResult) -> str:
    """Return how many frames earlier runs have done, where the job was resumed."""
    return f", {result.total - result.tried} were done" if job.resume else ""


def _clip(job: JobSpec, verbose: bool) -> int:
    """Matte a clip, print what came of it, and return the exit code."""
    with JobBar("ltm-infer", details=verbose) as bar:
        result = matte_clip(job, progress=bar)
        bar.failures[:] = [f"{name}: {why}" for name, why in result.failures.items()]
    if not result.engine:
        notice(f"ltm-infer: {job.output.alpha} is newer than what it is made from; to make it again leave `resume` out")
        return 0
    for note in result.notes:
        notice(f"ltm-infer: {note}")
    failed = f", {len(result.failures)} failed and hold known pixels alone" if result.failures else ""
    files = " and ".join(f"{path} ({codec})" for path, codec in result.files.items())
    say(
        f"{files}: {result.total} frames in {result.seconds:.1f} s{_before(job, result)}{failed}, "
        f"{result.engine}{say_unsure(result.remarks)}"
    )
    return 1 if result.failures else 0


@contextlib.contextmanager
def _timed(timings: str | None) -> Iterator[None]:
    """Write the stages of what is inside to a file, if one is wanted."""
    if timings is None:
        yield
        return
    check_writable(timings)
    with recording() as record:
        yield
        write_json(timings, record.summary())


if __name__ == "__main__":
    main()
