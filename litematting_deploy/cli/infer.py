"""ltm-infer: a photo and its trimap to an alpha matte."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import click

from ..errors import counted
from ..files import check_writable, write_json
from ..jobs.api import matte_clip, matte_folder, matte_photo
from ..jobs.frame_numbers import say_numbers
from ..jobs.frames import is_many
from ..jobs.outputs import say_band, say_unsure
from ..jobs.progress import JobResult, Report
from ..matting.unknown_band import Widths
from ..profiling import recording
from ..specs import JobSpec, job_of
from ..video import is_video
from .command import command, listed, notice, say
from .help import plain_option
from .options import folder_options, job_options, motion_options, video_options
from .progress import JobBar


@command("ltm-infer")
@click.argument("image")
@click.argument("trimap", required=False)
@job_options(
    "Alpha matte to write: a PNG, TIFF or EXR file; for many photos a folder; for a clip a clip, and .mov and .webm "
    "are already cut-outs with colours. May be left out with --preview, which is then all that is written.",
    required=False,
)
@folder_options
@motion_options
@video_options
@plain_option(
    "--verbose",
    is_flag=True,
    help="Print the engine before the run; for a photo also the plan and, on a GPU, the memory needed.",
)
@plain_option("--timings", metavar="FILE", help="Also write the time and memory of each stage, as JSON.")
def main(
    image: str,
    trimap: str | None,
    alpha: str | None,
    mask: str | None,
    timings: str | None,
    verbose: bool,
    **options: Any,
) -> int:
    """Cut the subject out of a photo, a folder of frames or a clip, and write its alpha matte.

    \b
    Examples:
      ltm-infer photo.jpg --box 40,20,300,500 -o alpha.png --cutout cutout.png
      ltm-infer shot/frame.%04d.exr --mask roto/mask.%04d.png -o mattes

    TRIMAP is a grey image of the size of IMAGE: white (255) where the subject is solid, black (0) where there is only
    background, grey (128) where its edge is soft and the network decides. Instead of TRIMAP, give a rough mask with
    --mask; or let --box, --key, --clean-plate or --segmenter make one from IMAGE itself. Check the trimap with
    --preview; without -o, only that is written, quickly, since no network runs.

    Many files: IMAGE and TRIMAP (or --mask) may be folders, or numbered patterns such as frame.%04d.exr. OUT, --cutout,
    --foreground and --preview are then folders. If a frame fails, the error is reported and the remaining frames
    continue; the exit code is then 1.

    Clips: IMAGE may be a clip. TRIMAP (or --mask) is then a clip with as many frames, or numbered images, one for each
    frame. OUT, --cutout and --foreground are clips with the same timing, audio and timecode. The ending of OUT selects
    the codec: .mov (ProRes 4444) and .webm (VP9, 8 bits) hold straight foreground colours and alpha; .mp4 (H.264) and
    .mkv (FFV1, lossless) hold a grey matte. In a trimap clip, levels up to 32 are background, from 223 foreground, and
    those between unknown. A frame that fails stops the run; --resume then continues after the last segment, and with
    --failed-frames known it continues past that frame. Each frame is matted on its own; --steady reduces flicker. With
    --keyframes, a sequence or clip needs trimaps or masks for some of its frames only.
    """
    job = job_of(image, alpha, options, trimap=trimap, mask=mask)
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
    matted = f", {result.plan}{_with(job, result.engine, result.band_px)}" if result.engine else ""
    say(f"Wrote {listed(result.files)}: {width}x{height} in {result.seconds:.1f} s{matted}{lacking}")
    return 0


def show_frames(command: str, job: JobSpec, matte: Callable[[Report], JobResult], *, verbose: bool = False) -> int:
    """Show a job of many frames and its outcome, and return the exit code. matte: does the job."""
    with JobBar(command, details=verbose) as bar:
        result = matte(bar)
        if result.missing:
            bar.failures.insert(
                0,
                f"{job.images}: frame{'s' if len(result.missing) > 1 else ''} {say_numbers(result.missing)} not found",
            )
    for note in result.notes:
        notice(f"{command}: {note}")
    part = f"shard {job.shard}: " if job.shard else ""
    missing = f", {len(result.missing)} missing" if result.missing else ""
    say(
        f"{listed(job.output.named.values())}: {part}{_frames(job, result)}, {len(result.failures)} failed{missing}"
        f"{result.left_over}"
        f"{_with(job, result.engine, result.band_px)}{say_unsure(result.remarks)}"
    )
    return 1 if result.failures or result.missing else 0


def _frames(job: JobSpec, result: JobResult) -> str:
    """Return how many frames this run has done, in which time, and how many earlier runs, where it was resumed."""
    done = "previewed" if job.output.alpha is None else "matted"
    before = f", {result.total - result.tried} already done" if job.resume else ""
    return f"{result.done} of {counted(result.total, 'frame')} {done} in {result.seconds:.1f} s{before}"


def _with(job: JobSpec, engine: str, band_px: Widths | None) -> str:
    """Return the part of a line that says what alphas were made with: weights and engine, unless only previews were
    made, the unknown band, unless the job says how wide, and the quality, or whether they were refined."""
    how = f"quality {job.plan.quality}" if job.plan.quality else "refined" if job.plan.refines else ""
    ran = (f"{job.engine.weights} in {engine}", how) if engine else ()
    parts = (*ran, say_band(band_px, job.trimap))
    return "".join(f", {part}" for part in parts if part)


def _clip(job: JobSpec, verbose: bool) -> int:
    """Matte a clip, print what came of it, and return the exit code."""
    with JobBar("ltm-infer", details=verbose) as bar:
        result = matte_clip(job, progress=bar)
        bar.failures[:] = [f"{name}: {why}" for name, why in result.failures.items()]
    if job.resume and not result.engine:
        notice(f"ltm-infer: {job.output.first} is up to date; to make it again, leave `resume` out")
        return 0
    for note in result.notes:
        notice(f"ltm-infer: {note}")
    failed = f", {len(result.failures)} failed and hold only known pixels" if result.failures else ""
    files = listed(f"{path} ({codec})" for path, codec in result.files.items())
    made_with = _with(job, result.engine, result.band_px)
    say(f"Wrote {files}: {_frames(job, result)}{failed}{made_with}{say_unsure(result.remarks)}")
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
