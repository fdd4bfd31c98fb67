"""The options of ltm-infer that only clips have; the work is in `_video_job`, which needs PyAV."""

from collections.abc import Callable
from typing import Any

import click

from .._optional import require

CODECS = ("prores4444", "prores422hq", "vp9", "h264", "ffv1")
_SEGMENT = 25

_OPTIONS = (
    click.option(
        "--codec",
        type=click.Choice(CODECS),
        help="Of a clip's OUT. prores4444 (.mov) and vp9 (.webm) hold the foreground's colours, straight, and alpha; "
        "prores422hq (.mov), h264 (.mp4) and ffv1 (.mkv, lossless, 16 bits) a grey matte.  [default: by OUT's ending]",
    ),
    click.option("--no-sound", is_flag=True, help="Leave a clip's sound out, which is copied otherwise."),
    click.option(
        "--failed-frames",
        type=click.Choice(["stop", "known"]),
        help="What a clip does at a frame whose trimap or mask is wrong (unreadable, of another size, with values that "
        "mean nothing) or whose alpha is not finite. stop: keep what is done for --resume. known: go on; the frame "
        "holds the known pixels of its trimap, the others transparent, or nothing where the trimap is wrong, and is "
        "named at the end; the exit code is 1. A trimap without unknown pixels is not wrong: it is the frame's alpha.  "
        "[default: stop]",
    ),
    click.option(
        "--segment",
        type=click.IntRange(min=1),
        metavar="FRAMES",
        help=f"Of a clip, how many frames are kept at a time for --resume.  [default: {_SEGMENT}]",
    ),
)
_FLAGS = {"codec": "--codec", "no_sound": "--no-sound", "segment": "--segment", "failed_frames": "--failed-frames"}
_OF_OTHERS = {"frames": "--frames", "part": "--shard", "kind": "--format", "depth": "--depth"} | {
    "preview": "--preview",
    "exposure": "--exposure",
    "published": "--published",
}


def video_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options to a command."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def refuse_video_options(options: dict[str, Any]) -> None:
    """Raise `UsageError` where one of them was given without a clip."""
    for name, flag in _FLAGS.items():
        if options[name]:
            raise click.UsageError(f"{flag} is for clips; leave it out")


def matte_clip(clip: str, source: str, output: str, options: dict[str, Any]) -> int:
    """Matte a clip with the trimaps or masks of `source`. Returns the exit code: 1 where frames failed and it went on.

    Raises `UsageError`, `DependencyError` and what the work raises.
    """
    for name, flag in _OF_OTHERS.items():
        if options[name]:
            raise click.UsageError(f"{flag} is for photos, not for a clip; leave it out")
    require("av", "video", "reading and writing clips")
    from ._video_job import matte

    return matte(clip, source, output, options | {"segment": options["segment"] or _SEGMENT})
