"""The options that several commands have, and the specs that their values make."""

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, TypeVar, get_args

import click

from ..engines.triton import DEFAULT_TIMEOUT_S
from ..matting.unknown_band import WIDEST
from ..runtime.matter import DEFAULT_PLACEMENT
from ..specs import (
    DEFAULT_SEGMENT,
    DEFAULT_UNKNOWN_WIDTH,
    MAX_MEGAPIXELS,
    Depth,
    Encoding,
    EngineSpec,
    Format,
    JobSpec,
    OnFailure,
    OutputSpec,
    Placement,
    PlanSpec,
    Precision,
    TrimapSpec,
)
from ..video import CODEC_NAMES

Function = TypeVar("Function", bound=Callable[..., Any])
Spec = TypeVar("Spec")


def adding(*options: Callable[[Any], Any]) -> Callable[[Function], Function]:
    """Return a decorator that adds options to a command, in this order."""

    def decorate(function: Function) -> Function:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def _patch(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[int, int] | None:
    if value is None:
        return None
    height, _, width = value.partition("x")
    if not (height.isdecimal() and width.isdecimal()):
        raise click.BadParameter(f"{value!r} is not height x width, as in 640x640", context, parameter)
    return int(height), int(width)


max_megapixels_option = adding(
    click.option(
        "--max-megapixels",
        type=click.FloatRange(min=0, min_open=True),
        default=MAX_MEGAPIXELS,
        show_default=True,
        help="Refuse larger images before decoding them.",
    )
)
engine_options = adding(
    click.option(
        "--engine",
        metavar="ENGINE",
        help="An ONNX, a TensorRT engine (.engine), a checkpoint or, on a Triton server, grpc://HOST:8001/MODEL "
        "(grpcs:// over TLS); the shipped weights by default.",
    ),
    click.option("--device", help="cpu, cuda[:N] or, for an ONNX, tensorrt[:N].  [default: cpu, for an .engine cuda]"),
    click.option(
        "--patch",
        "patch_hw",
        metavar="HxW",
        callback=_patch,
        help="Patch size of a checkpoint; others have their own.",
    ),
    click.option(
        "--batch",
        type=int,
        help="Patches per call of the engine.  [default: 1; 4 on a GPU, or its own; on a server its most]",
    ),
    click.option(
        "--precision", type=click.Choice(get_args(Precision)), help="Of a checkpoint on a GPU.  [default: fp32]"
    ),
    click.option("--compile", "compiled", is_flag=True, help="A checkpoint: by torch.compile, first slow."),
    click.option(
        "--trust",
        is_flag=True,
        help="Run a TensorRT engine without its sidecar. It can run any code: only if you know who built it.",
    ),
    click.option(
        "--timeout",
        "timeout_s",
        type=click.FloatRange(min=0, min_open=True),
        metavar="SECONDS",
        help=f"Of each request to a Triton server.  [default: {DEFAULT_TIMEOUT_S:g}]",
    ),
)
plan_options = adding(
    click.option(
        "--plan",
        type=click.Choice(get_args(Placement)),
        help="adaptive: few patches, only where unknown pixels are. grid: patches every --step pixels.  "
        f"[default: {DEFAULT_PLACEMENT}]",
    ),
    click.option(
        "--margin",
        type=int,
        metavar="PIXELS",
        help="Context that an adaptive plan gives every unknown pixel.  [default: 0.2 of the patch]",
    ),
    click.option("--step", type=int, metavar="PIXELS", help="Between the patches of a grid.  [default: half a patch]"),
    click.option(
        "--published", is_flag=True, help="The authors' crop-and-stitch to the grey level: 640, 320, truncation."
    ),
)
mask_options = adding(
    click.option(
        "--mask-threshold",
        metavar="VALUE",
        help="The mask is foreground from this value on, background below: in the file's own numbers (128; of 16 bits "
        "up to 65535, of OpenEXR 0.5), or in percent of the top of their range (50%).",
    ),
    click.option(
        "--mask-label",
        "mask_labels",
        metavar="ID",
        type=int,
        multiple=True,
        help="The mask holds class ids, and this one is the object: a grey value, or the index of a palette. May be "
        "repeated.",
    ),
    click.option(
        "--unknown",
        "unknown_width",
        metavar="WIDTH",
        help="Width of the unknown band on each side of the mask's edge, in pixels (15), or in percent of the square "
        f"root of each object's area (2%).  [default: {DEFAULT_UNKNOWN_WIDTH}]",
    ),
    click.option(
        "--adaptive",
        is_flag=True,
        help=f"Widen the band, up to {WIDEST:g} times, where the photo is hairy: many edges beyond it that hang "
        "together with it.",
    ),
)
encoding_option = adding(
    click.option(
        "--trimap-encoding",
        type=click.Choice(get_args(Encoding)),
        help="exact: 0, 128, 255 (default). between: all but 0 and 255 is unknown. labels: 0, 1, 2.",
    )
)
trimap_options = adding(
    click.option(
        "--mask",
        metavar="MASK",
        help="A binary or soft mask instead of a trimap, or a folder or pattern of masks; see ltm-trimap. Of many, "
        "masks may be dim, as in a fade, where another one reaches the top of the range.",
    ),
    mask_options,
    encoding_option,
    click.option(
        "--allow-no-unknown",
        is_flag=True,
        help="Take a TRIMAP without unknown pixels as the alpha; of many, where none has any. Otherwise it is refused, "
        "since it may be a mask.",
    ),
)
result_options = adding(
    click.option("--cutout", metavar="FILE", help="Also write RGBA with estimated foreground colours: PNG, TIFF, EXR."),
    click.option("--foreground", metavar="FILE", help="Also write the estimated foreground colours alone, opaque."),
    click.option(
        "--background",
        metavar="COLOUR|IMAGE",
        help="Put this behind the cut-out, which is opaque then: #rrggbb, a name such as white, or an image.",
    ),
    click.option(
        "--premultiplied/--straight",
        "premultiplied",
        default=None,
        help="The cut-out's colours times its alpha, or not.  [default: EXR premultiplied, PNG and TIFF straight]",
    ),
    click.option(
        "--depth",
        type=click.Choice(get_args(Depth)),
        help="Of the results that can have it. PNG and TIFF: 8, 16; EXR: half, float.  [default: loses nothing of the "
        "photo's]",
    ),
    click.option(
        "--preview",
        metavar="FILE",
        help="Also write a picture of what is estimated: the photo with the unknown band tinted and outlined.",
    ),
    click.option(
        "--exposure", type=float, metavar="STOPS", help="Of an EXR photo, for the network only.  [default: 0]"
    ),
)
folder_options = adding(
    click.option("--frames", metavar="1-100", help="Of a pattern, only these: 1-100, 1-100x2 or 1,5,9-12."),
    click.option("--shard", metavar="3/16", help="Only this part of the frames, for one of many machines."),
    click.option("--resume", is_flag=True, help="Leave frames whose results are whole and newer than their sources."),
    click.option(
        "--format", type=click.Choice(get_args(Format)), help="Of a folder's results.  [default: png; exr of EXR]"
    ),
)
video_options = adding(
    click.option(
        "--codec",
        type=click.Choice(CODEC_NAMES),
        help="Of a clip's OUT. prores4444 (.mov) and vp9 (.webm) hold the foreground's colours, straight, and alpha; "
        "prores422hq (.mov), h264 (.mp4) and ffv1 (.mkv, lossless, 16 bits) a grey matte.  [default: by OUT's ending]",
    ),
    click.option(
        "--no-sound",
        "sound",
        flag_value=False,
        default=True,
        help="Leave a clip's sound out, which is copied otherwise.",
    ),
    click.option(
        "--failed-frames",
        type=click.Choice(get_args(OnFailure)),
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
        help=f"Of a clip, how many frames are kept at a time for --resume.  [default: {DEFAULT_SEGMENT}]",
    ),
)


def spec_of(spec: type[Spec], options: Mapping[str, Any], **others: Any) -> Spec:
    """Return the spec whose fields are the options of the same names, and `others`. Raises `UsageError`."""
    names = {each.name for each in fields(spec)}  # type: ignore[arg-type]  # a dataclass
    return spec(**{name: value for name, value in options.items() if name in names} | others)


def job_spec(images: str, trimap: str | None, output: str, options: Mapping[str, Any]) -> JobSpec:
    """Return the job that a command's arguments and options describe. Raises `UsageError`."""
    mask = options["mask"]
    source = trimap or mask
    if source is None or None not in (trimap, mask):
        raise click.UsageError("give either a TRIMAP or --mask MASK")
    return spec_of(
        JobSpec,
        {name: value for name, value in options.items() if name not in ("engine", "plan")},
        images=images,
        source=source,
        output=spec_of(OutputSpec, options, alpha=output),
        trimap=spec_of(TrimapSpec, options, kind="trimap" if mask is None else "mask"),
        engine=spec_of(EngineSpec, options),
        plan=spec_of(PlanSpec, options),
    )
