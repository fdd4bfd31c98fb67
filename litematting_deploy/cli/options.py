"""The options that several commands have: flags and help for the fields of the specs."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

import click

from ..engines.triton import DEFAULT_TIMEOUT_S
from ..matting.carrying import LONGEST
from ..matting.trimap import DOUBT
from ..matting.unknown_band import WIDEST
from ..parameters import Check, checks_of
from ..runtime.matter import DEFAULT_PLACEMENT
from ..segmentation.key import SOFTNESS
from ..specs import (
    DEFAULT_SEGMENT,
    DEFAULT_UNKNOWN_WIDTH,
    EngineSpec,
    JobSpec,
    OutputSpec,
    PlanSpec,
    TrimapSpec,
)
from ..video.codecs import CODECS

Function = TypeVar("Function", bound=Callable[..., Any])


def adding(*options: Callable[[Any], Any]) -> Callable[[Function], Function]:
    """Return a decorator that adds options to a command, in this order."""

    def decorate(function: Function) -> Function:
        # Decorators apply from the last to the first, and the help lists options as they were written.
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def option(spec: type[Any], flag: str, name: str | None = None, **others: Any) -> Callable[[Any], Any]:
    """Return the option for a field of a spec, a dataclass, with the field's type, choices and default.

    name: of the field, where the flag has another. others: as `click.option` takes them; they come before the field's.
    """
    name = name or flag.removeprefix("--").replace("-", "_")
    hint, checks = checks_of(spec)[name]  # type: ignore[arg-type]  # a class is hashable
    default = getattr(spec, name, None)
    # Of `str | None` these are the union itself and its parts.
    kinds = [hint, *get_args(hint)]
    choices = next((get_args(kind) for kind in kinds if get_origin(kind) is Literal), ())
    if hint is bool:
        derived: dict[str, Any] = {"is_flag": True}
    else:
        # A field that takes text and numbers, such as "2%" or 15, is text on a command line.
        plain = next((kind for kind in (bool, str, int, float) if kind in kinds), click.Path(path_type=Path))
        derived = {"type": click.Choice(choices) if choices else plain, "default": default}
        # For commands that build no spec of the value, too.
        derived["callback"] = functools.partial(_checked, checks)
        derived["show_default"] = default is not None
    return click.option(flag, name, **derived | others)


def _checked(checks: tuple[Check, ...], _: click.Context, parameter: click.Parameter, value: Any) -> Any:
    """Return the value of an option. Raises `UsageError` for one that the field does not accept."""
    for each in checks if value is not None else ():
        each.check(parameter.name or "", value)
    return value


def _patch(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[int, int] | None:
    """Return height and width of an option such as 640x640."""
    if value is None:
        return None
    height, _, width = value.partition("x")
    if not (height.isdecimal() and width.isdecimal()):
        raise click.BadParameter(f"{value!r} is not height x width, as in 640x640", context, parameter)
    return int(height), int(width)


def _numbers(kind: type[Any], count: int, example: str) -> Callable[..., tuple[Any, ...] | None]:
    """Return the callback of an option such as 40,20,300,500. kind, count: of its numbers."""

    def parsed(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[Any, ...] | None:
        if value is None:
            return None
        try:
            numbers = tuple(kind(part) for part in value.split(","))
        except ValueError:
            numbers = ()
        if len(numbers) != count:
            raise click.BadParameter(f"{value!r} is not {count} numbers, as in {example}", context, parameter)
        return numbers

    return parsed


engine_option, plan_option, trimap_option, output_option, job_option = (
    functools.partial(option, spec) for spec in (EngineSpec, PlanSpec, TrimapSpec, OutputSpec, JobSpec)
)
exr_options = adding(
    job_option(
        "--exposure",
        metavar="STOPS",
        help="Exposure, in stops, applied to EXR photos for the network only.  [default: 0]",
    ),
    job_option("--layer", metavar="NAME", help="Layer of EXR photos, as beauty.  [default: the channels without one]"),
    job_option(
        "--input-space",
        metavar="NAME",
        help="Scene-linear colour space of EXR photos by its name in OpenColorIO, as ACEScg; $OCIO names a "
        "configuration.  [default: sRGB's primaries]",
    ),
)
positive = click.FloatRange(min=0, min_open=True)
max_megapixels_option = job_option("--max-megapixels", help="Refuse larger images before decoding them.")
engine_options = adding(
    engine_option(
        "--engine",
        metavar="ENGINE",
        help="An ONNX, a TensorRT engine (.engine), a checkpoint or, on a Triton server, grpc://HOST:8001/MODEL "
        "(grpcs:// over TLS); the shipped weights by default.",
    ),
    engine_option(
        "--device",
        help="auto: the best one of those installed here. cpu, cuda[:N]; for an ONNX also tensorrt[:N], "
        "openvino[:gpu|:npu], webgpu or coreml; for a checkpoint mps.",
    ),
    engine_option(
        "--patch",
        "patch_hw",
        type=str,
        metavar="HxW",
        callback=_patch,
        help="Patch size of a checkpoint; others have their own.",
    ),
    engine_option("--batch", help="Patches per call of the engine.  [default: 1, or its own; on a server its most]"),
    engine_option(
        "--threads", help="Threads that compute on the CPU: an ONNX, a checkpoint, and pictures.  [default: all cores]"
    ),
    engine_option("--precision", help="Of a checkpoint on a GPU, or of an ONNX in OpenVINO.  [default: fp32]"),
    engine_option("--compile", "compiled", help="A checkpoint: by torch.compile, first slow."),
    engine_option("--channels-last", help="A checkpoint: activations as (N, H, W, C) in memory, which may be faster."),
    engine_option(
        "--trust", help="Run a TensorRT engine without its sidecar. It can run any code: only if you know who built it."
    ),
    engine_option(
        "--timeout",
        "timeout_s",
        metavar="SECONDS",
        help=f"Of each request to a Triton server.  [default: {DEFAULT_TIMEOUT_S:g}]",
    ),
)
plan_options = adding(
    plan_option(
        "--plan",
        help="adaptive: few patches, only where unknown pixels are. grid: patches every --step pixels.  "
        f"[default: {DEFAULT_PLACEMENT}]",
    ),
    plan_option(
        "--margin",
        metavar="PIXELS",
        help="Context that an adaptive plan gives every unknown pixel.  [default: 0.2 of the patch]",
    ),
    plan_option("--step", metavar="PIXELS", help="Between the patches of a grid.  [default: half a patch]"),
    plan_option(
        "--refine/--no-refine",
        "refine",
        default=None,
        help="Refine the alpha by the photo's own colours, on the CPU: finer strands, for more time.  [default: only "
        "where the mask is made from the photo]",
    ),
    plan_option("--published", help="The authors' crop-and-stitch to the grey level: 640, 320, truncation."),
)
mask_options = adding(
    trimap_option(
        "--mask-threshold",
        metavar="VALUE",
        help="The mask is foreground from this value on, background below: in the file's own numbers (128; of 16 bits "
        "up to 65535, of OpenEXR 0.5), or in percent of the top of their range (50%).",
    ),
    trimap_option(
        "--mask-label",
        "mask_labels",
        metavar="ID",
        type=int,
        multiple=True,
        help="The mask holds class ids, and this one is the object: a grey value, or the index of a palette. May be "
        "repeated.",
    ),
    trimap_option(
        "--unknown",
        "unknown_width",
        metavar="WIDTH",
        help="Width of the unknown band on each side of the mask's edge, in pixels (15), or in percent of the square "
        f"root of each object's area (2%).  [default: {DEFAULT_UNKNOWN_WIDTH}; of masks made from the photo, by how]",
    ),
    trimap_option(
        "--doubt",
        type=str,
        metavar="LOW,HIGH",
        callback=_numbers(float, 2, "0.05,0.95"),
        help=f"Up to LOW, 0 to 1, the mask is background, from HIGH on foreground; between it hesitates, and the pixel "
        f"is unknown.  [default: {DOUBT[0]:g},{DOUBT[1]:g}; of --segmenter 0.05,0.95]",
    ),
    trimap_option("--largest", metavar="N", help="Keep the N largest pieces of the mask alone."),
    trimap_option(
        "--adaptive",
        help=f"Widen the band, up to {WIDEST:g} times, where the photo is hairy: many edges beyond it that hang "
        "together with it.",
    ),
)
made_mask_options = adding(
    trimap_option(
        "--box",
        type=str,
        metavar="X,Y,W,H",
        callback=_numbers(int, 4, "40,20,300,500"),
        help="Make the mask of the object in this box, in pixels, by GrabCut.",
    ),
    trimap_option(
        "--key",
        metavar="COLOUR",
        help="Make the mask of what stands before a screen: green, blue, #rrggbb or auto, the colour of most of the "
        "border. Spill stays on opaque pixels; soft ones get colours without it in --cutout.",
    ),
    trimap_option(
        "--key-tolerance",
        metavar="SHARE",
        help="How far a colour may be from the key and still be the screen, 0 to 1 of the way to grey.  [default: by "
        "the screen's noise, 0.12 to 0.45]",
    ),
    trimap_option(
        "--key-softness",
        metavar="SHARE",
        help=f"Over what share beyond that it becomes foreground.  [default: {SOFTNESS:g}]",
    ),
    trimap_option(
        "--clean-plate",
        "plate",
        metavar="FILE",
        help="Make the mask of what this picture, of the same view without the object, does not show.",
    ),
    trimap_option(
        "--segmenter",
        metavar="FILE.onnx",
        help="Make the mask by a segmentation network of your own, on --device: U2-Net, IS-Net, BiRefNet, MODNet, "
        "RMBG-1.4, or any with a FILE.toml beside it that says how it takes a photo.",
    ),
    trimap_option(
        "--sure-foreground", metavar="FILE", help="A picture whose white strokes are surely the object, in such a mask."
    ),
    trimap_option("--sure-background", metavar="FILE", help="One whose white strokes are surely background."),
)
trimap_options = adding(
    click.option(
        "--mask",
        metavar="MASK",
        help="A binary or soft mask instead of a trimap, or a folder or pattern of masks; see ltm-trimap. Of many, "
        "masks may be dim, as in a fade, where another one reaches the top of the range.",
    ),
    mask_options,
    made_mask_options,
    trimap_option(
        "--trimap-encoding",
        help="exact: 0, 128, 255 (default). between: all but 0 and 255 is unknown. labels: 0, 1, 2.",
    ),
    trimap_option(
        "--allow-no-unknown",
        help="Take a TRIMAP without unknown pixels as the alpha; of many, where none has any. Otherwise it is refused, "
        "since it may be a mask.",
    ),
)
result_options = adding(
    output_option(
        "--cutout", metavar="FILE", help="Also write RGBA with estimated foreground colours: PNG, TIFF, EXR."
    ),
    output_option("--foreground", metavar="FILE", help="Also write the estimated foreground colours alone, opaque."),
    output_option(
        "--background",
        metavar="COLOUR|IMAGE",
        help="Put this behind the cut-out, which is opaque then and may be a JPEG: #rrggbb, a name such as white, or "
        "an image.",
    ),
    output_option(
        "--background-fit",
        help="Scale a background image of another size. cover: it fills the photo, and what lies outside is cut off. "
        "contain: all of it is seen, between black bars.  [default: refuse it]",
    ),
    output_option(
        "--premultiplied/--straight",
        "premultiplied",
        help="The cut-out's colours times its alpha, or not.  [default: EXR premultiplied, PNG and TIFF straight]",
    ),
    output_option(
        "--depth",
        help="Of the results that can have it. PNG and TIFF: 8, 16; EXR: half, float.  [default: loses nothing of the "
        "photo's]",
    ),
    output_option(
        "--preview",
        metavar="FILE",
        help="Also write a picture of what is estimated: the photo with the unknown band tinted and outlined; a clip "
        "of a clip.",
    ),
    exr_options,
)
job_options = adding(trimap_options, result_options, engine_options, plan_options)
"""What ltm-infer and ltm-batch have in common; what is for many frames is in `folder_options`."""
folder_options = adding(
    job_option("--frames", metavar="1-100", help="Of a pattern, only these: 1-100, 1-100x2 or 1,5,9-12."),
    job_option("--shard", metavar="3/16", help="Only this part of the frames, for one of many machines."),
    job_option("--resume", help="Leave frames whose results are whole and newer than their sources."),
    output_option(
        "--format",
        help="Format of a folder's results; jpeg: composites over --background and --foreground as JPEG, alphas as "
        "PNG.  [default: png; exr of EXR]",
    ),
)
motion_options = adding(
    job_option(
        "--keyframes",
        help="TRIMAP or --mask has pictures for some frames only, of the names or numbers of these; of a clip numbered "
        "images. They are carried to the frames between along optical flow, which --preview shows; what both sides do "
        f"not agree on is unknown. At most {LONGEST} frames on end may have none.",
    ),
    job_option(
        "--first-number",
        metavar="N",
        help="Of a clip's keyframes: the number that its first frame has.  [default: 0]",
    ),
    job_option(
        "--steady",
        help="Average the alpha of each frame of a folder or clip with the frames before and after it, along optical "
        "flow, where colours agree. Not with --shard.",
    ),
)
video_options = adding(
    output_option(
        "--codec",
        type=click.Choice(list(CODECS)),
        help="Of a clip's OUT. prores4444 (.mov) and vp9 (.webm) hold the foreground's colours, straight, and alpha; "
        "prores422hq (.mov), h264 (.mp4) and ffv1 (.mkv, lossless, 16 bits) a grey matte.  [default: by OUT's ending]",
    ),
    output_option(
        "--sound/--no-sound",
        "sound",
        default=True,
        help="Copy the clip's sound, or leave it out.  [default: copy it]",
    ),
    job_option(
        "--failed-frames",
        help="What a clip does at a frame whose trimap or mask is wrong (unreadable, of another size, with values that "
        "mean nothing) or whose alpha is not finite. stop: keep what is done for --resume. known: go on; the frame "
        "holds the known pixels of its trimap, the others transparent, or nothing where the trimap is wrong, and is "
        "named at the end; the exit code is 1. A trimap without unknown pixels is not wrong: it is the frame's alpha.  "
        "[default: stop]",
    ),
    output_option(
        "--segment",
        metavar="FRAMES",
        help=f"Of a clip, how many frames are kept at a time for --resume.  [default: {DEFAULT_SEGMENT}]",
    ),
)
