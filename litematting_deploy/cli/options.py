"""The options that several commands have: flags and help for the fields of the specs."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import click

from ..engines.triton import DEFAULT_TIMEOUT_S
from ..matting.carrying import LONGEST
from ..matting.trimap import DOUBT
from ..matting.unknown_band import WIDEST
from ..runtime.matter import DEFAULT_PLACEMENT
from ..segmentation.key import SOFTNESS
from ..specs import (
    DEFAULT_SEGMENT,
    DEFAULT_SEGMENT_S,
    DEFAULT_UNKNOWN_WIDTH,
    EngineSpec,
    JobSpec,
    OutputSpec,
    PlanSpec,
    TrimapSpec,
)
from ..video.codecs import CODECS
from .help import plain_option
from .spec_option import option

Function = TypeVar("Function", bound=Callable[..., Any])


def adding(*options: Callable[[Any], Any]) -> Callable[[Function], Function]:
    """Return a decorator that adds options to a command, in this order."""

    def decorate(function: Function) -> Function:
        # Decorators apply from the last to the first, and the help lists options as they were written.
        for each in reversed(options):
            function = each(function)
        return function

    return decorate


def numbers(
    kind: type[Any], example: str, count: int | None = None, between: str = ","
) -> Callable[..., tuple[Any, ...] | None]:
    """Return the callback of an option such as 40,20,300,500. kind, count: of its numbers; None for any count."""

    def parsed(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[Any, ...] | None:
        if value is None:
            return None
        try:
            found = tuple(kind(part) for part in value.split(between))
        except ValueError:
            found = ()
        if not found or count not in (None, len(found)):
            what = f"{'' if count is None else f'{count} '}{'whole numbers' if kind is int else 'numbers'}"
            raise click.BadParameter(f"expected {what}, such as {example}; got {value!r}", context, parameter)
        return found

    return parsed


def words(_: click.Context, __: click.Parameter, value: str | tuple[str, ...] | None) -> tuple[str, ...] | None:
    """Return the words of an option such as layer1,uper5, which may be repeated; None where it is not given."""
    given = (value,) if isinstance(value, str) else value
    return None if given is None else tuple(word.strip() for each in given for word in each.split(",") if word.strip())


INPUT, TRIMAP, MAKING = "Input", "Trimap", "Trimap from the photo alone"
RESULTS, MANY, CLIPS = "Results", "Many files", "Clips"
engine_option = functools.partial(option, EngineSpec, heading="Engine")
plan_option = functools.partial(option, PlanSpec, heading="Plan (how a photo is split into patches)")
quality_option = functools.partial(option, PlanSpec, heading="Quality and time")
trimap_option = functools.partial(option, TrimapSpec, heading=TRIMAP)
made_option = functools.partial(option, TrimapSpec, heading=MAKING)
output_option = functools.partial(option, OutputSpec, heading=RESULTS)
input_option = functools.partial(option, JobSpec, heading=INPUT)
frames_option = functools.partial(option, JobSpec, heading=MANY)
motion_option = functools.partial(option, JobSpec, heading="Frames over time (sequences and clips)")
clip_option = functools.partial(option, JobSpec, heading=CLIPS)
max_megapixels_option = input_option(
    "--max-megapixels",
    metavar="MP",
    help="Refuse larger images without decoding them.",
)
input_options = adding(
    input_option(
        "--exposure",
        metavar="STOPS",
        help="Brighten or darken EXR photos by this many stops for the network; results keep their values.  "
        "[default: 0]",
    ),
    input_option(
        "--layer",
        metavar="NAME",
        help="Layer of EXR photos to read, such as beauty.  [default: the channels without a layer name]",
    ),
    input_option(
        "--input-space",
        metavar="NAME",
        help="Scene-linear colour space of EXR photos, by its OpenColorIO name, such as ACEScg; $OCIO selects the "
        "configuration.  [default: linear with sRGB primaries]",
    ),
    max_megapixels_option,
)


engine_options = adding(
    engine_option(
        "--engine",
        metavar="ENGINE",
        help="Network to run: an ONNX file, a TensorRT engine (.engine), a checkpoint, or a model on a Triton server "
        "(grpc://HOST:8001/MODEL, or grpcs:// with TLS).  [default: the shipped weights]",
    ),
    engine_option(
        "--device",
        metavar="DEVICE",
        help="Where the network runs: auto (the best one installed here), cpu or cuda[:N]; for an ONNX file also "
        "tensorrt[:N], openvino[:gpu|:npu], webgpu or coreml; for a checkpoint also mps.",
    ),
    engine_option(
        "--patch",
        "patch_hw",
        metavar="HxW",
        callback=numbers(int, "640x640", 2, "x"),
        help="Patch size of a checkpoint; ONNX files and engines have a fixed one.",
    ),
    engine_option(
        "--batch", help="Patches to run at a time.  [default: 1, or the engine's own; on a server, the most it accepts]"
    ),
    engine_option("--threads", help="CPU threads for the network and for image processing.  [default: all cores]"),
    engine_option(
        "--precision", help="Precision of a checkpoint on a GPU, or of an ONNX file in OpenVINO.  [default: fp32]"
    ),
    engine_option("--compile", "compiled", help="Run a checkpoint with torch.compile; the first run is slow."),
    engine_option(
        "--channels-last", help="Run a checkpoint with channels-last memory layout (NHWC), which may be faster."
    ),
    engine_option(
        "--trust",
        help="Run a TensorRT engine without its sidecar. Engines can run arbitrary code: use this only if you know who "
        "built the file.",
    ),
    engine_option(
        "--timeout",
        "timeout_s",
        metavar="SECONDS",
        help=f"Time limit of each request to a Triton server.  [default: {DEFAULT_TIMEOUT_S:g}]",
    ),
)
plan_options = adding(
    plan_option(
        "--plan",
        help="adaptive: as few patches as cover the unknown pixels. grid: a patch every --step pixels.  "
        f"[default: {DEFAULT_PLACEMENT}]",
    ),
    plan_option(
        "--margin",
        metavar="PIXELS",
        help="Context that an adaptive plan keeps around every unknown pixel.  [default: 0.2 of the patch]",
    ),
    plan_option("--step", metavar="PIXELS", help="Distance between the patches of a grid.  [default: half a patch]"),
    plan_option(
        "--published",
        help="Reproduce the authors' tiling exactly (640 px patches, 320 px step, truncated output, not refined).",
    ),
    quality_option(
        "--refine/--no-refine",
        "refine",
        default=None,
        help="Refine the alpha by the photo's own colours, or write the network's own alpha, which is faster.  "
        "[default: refine, but not with --published or in ltm-eval]",
    ),
    quality_option(
        "--quality",
        help="Size of the photo that the network sees; the alpha is refined at full size. fast: half the width and "
        "height. good: three quarters. best: all of it. On a large photo, fast took half the time of best, and good "
        "70 %. On a CUDA device only best.  [default: best; in ltm-eval full size, not refined]",
    ),
)
mask_options = adding(
    trimap_option(
        "--mask-threshold",
        metavar="VALUE",
        help="Mask level from which a pixel is foreground, in the file's own numbers (128; up to 65535 for 16 bits, "
        "0.5 for OpenEXR) or in percent of its range (50%).",
    ),
    trimap_option(
        "--mask-label",
        "mask_labels",
        metavar="ID",
        multiple=True,
        help="Treat the mask as class ids and keep this one: a grey level or a palette index. May be repeated.",
    ),
    trimap_option(
        "--unknown",
        "unknown_width",
        metavar="WIDTH",
        help="Width of the unknown band on each side of the mask's edge, in pixels (15) or in percent of the square "
        f"root of each object's area (2%).  [default: {DEFAULT_UNKNOWN_WIDTH}; if the mask is made from the photo, it "
        "depends on how]",
    ),
    trimap_option(
        "--adaptive",
        help=f"Widen the band up to {WIDEST:g}x where fine edges, such as hair, continue past it.",
    ),
    trimap_option(
        "--doubt",
        metavar="LOW,HIGH",
        callback=numbers(float, "0.05,0.95", 2),
        help="Treat mask values, 0 to 1, up to LOW as background, from HIGH on as foreground, and those between as "
        f"unknown.  [default: {DOUBT[0]:g},{DOUBT[1]:g}; with --segmenter 0.05,0.95]",
    ),
    trimap_option("--largest", help="Keep only the N largest pieces of the mask."),
)
made_mask_options = adding(
    made_option(
        "--box",
        metavar="X,Y,W,H",
        callback=numbers(int, "40,20,300,500", 4),
        help="Find the subject inside this box (left, top, width and height in pixels) with GrabCut.",
    ),
    made_option(
        "--key",
        metavar="COLOUR",
        help="Key out a screen of this colour: green, blue, #rrggbb, or auto for the main colour of the border. "
        "Spill is removed from soft pixels in --cutout, and stays on opaque ones.",
    ),
    made_option(
        "--key-tolerance",
        metavar="SHARE",
        help="How far a colour may be from the key and still count as screen, as a share (0 to 1) of the distance to "
        "grey.  [default: 0.12 to 0.45, from the screen's noise]",
    ),
    made_option(
        "--key-softness",
        metavar="SHARE",
        help=f"Range beyond the tolerance over which screen turns into foreground.  [default: {SOFTNESS:g}]",
    ),
    made_option(
        "--clean-plate",
        "plate",
        help="Find the subject by comparison with FILE, a picture of the same view without it.",
    ),
    made_option(
        "--segmenter",
        metavar="FILE.onnx",
        help="Find the subject with a segmentation network of your own, on --device: U2-Net, IS-Net, BiRefNet, MODNet, "
        "RMBG-1.4, or any other that FILE.toml next to it describes.",
    ),
    made_option("--sure-foreground", help="Picture whose white strokes mark pixels that belong to the subject."),
    made_option("--sure-background", help="Picture whose white strokes mark pixels of the background."),
)
trimap_options = adding(
    plain_option(
        "--mask",
        metavar="MASK",
        heading=TRIMAP,
        help="Mask or rough cut-out to use instead of a TRIMAP, or a folder or pattern of masks; see ltm-trimap. In a "
        "sequence, masks may be dim, as in a fade, if another one reaches full white.",
    ),
    mask_options,
    trimap_option(
        "--trimap-encoding",
        help="Levels for background, unknown and foreground. exact: 0, 128, 255. between: 0, anything between, 255. "
        "labels: 0, 1, 2.  [default: exact]",
    ),
    trimap_option(
        "--allow-no-unknown",
        help="Accept a TRIMAP without unknown pixels, and use it as the alpha; in a sequence, accept it even if no "
        "frame has any. By default it is refused, since it may be a plain mask.",
    ),
    made_mask_options,
)
result_options = adding(
    output_option(
        "--cutout", help="Also write the cut-out: RGBA with estimated foreground colours, as PNG, TIFF or EXR."
    ),
    output_option("--foreground", help="Also write the estimated foreground colours alone, without alpha."),
    output_option(
        "--background",
        metavar="COLOUR|IMAGE",
        help="Place --cutout over a colour (#rrggbb, or a name such as white) or an image; the result is opaque and "
        "may be a JPEG.",
    ),
    output_option(
        "--background-fit",
        help="Scale a background image of another size. cover: fill the photo and crop the excess. contain: show all "
        "of it between black bars.  [default: refuse other sizes]",
    ),
    output_option(
        "--premultiplied/--straight",
        "premultiplied",
        help="Multiply the cut-out's colours by its alpha, or leave them straight.  [default: premultiplied in EXR, "
        "straight in PNG and TIFF]",
    ),
    output_option(
        "--depth",
        help="Bit depth of the results, where the format supports it: 8 or 16 for PNG and TIFF, half or float for EXR. "
        " [default: enough to keep the photo's]",
    ),
    output_option(
        "--preview",
        help="Also write a picture of the trimap: the photo with the unknown band tinted, and outlined in cyan "
        "towards the background and in white towards the foreground; for a clip, a clip. "
        "ltm-infer without -o writes nothing else.",
    ),
)


def job_options(output: str, *, required: bool = True) -> Callable[[Function], Function]:
    """Return the decorator that adds what ltm-infer and ltm-batch have in common; what is for many frames is in
    `folder_options`.

    output: the help of --output. required: it cannot be left out.
    """
    output_path = plain_option(
        "-o", "--output", "alpha", required=required, metavar="OUT", heading=RESULTS, help=output
    )
    return adding(input_options, trimap_options, output_path, result_options, engine_options, plan_options)


folder_options = adding(
    frames_option(
        "--frames", metavar="1-100", help="Process only these frames of a pattern: 1-100, 1-100x2 or 1,5,9-12."
    ),
    frames_option("--shard", metavar="3/16", help="Process only this part of the frames, as one of several machines."),
    frames_option(
        "--resume",
        help="Skip frames whose results are complete and up to date; a clip continues after its last segment.",
    ),
    output_option(
        "--format",
        heading=MANY,
        help="File format of the results. jpeg: composites (--background) and --foreground as JPEG, alphas as PNG.  "
        "[default: png; exr for EXR photos]",
    ),
)
motion_options = adding(
    motion_option(
        "--keyframes",
        help="TRIMAP or --mask covers only some frames, matched by name or number; for a clip, give numbered images. "
        "Optical flow carries them to the frames between, and pixels where both sides disagree become unknown; "
        f"check with --preview. At most {LONGEST} consecutive frames may have none.",
    ),
    motion_option(
        "--first-number",
        help="Frame number of a clip's first frame, as the names of its keyframes count.  [default: 0]",
    ),
    motion_option(
        "--steady",
        help="Reduce flicker: average each alpha with those of the frames before and after it along optical flow, "
        "where they and the colours agree. Cannot be combined with --shard.",
    ),
)
video_options = adding(
    output_option(
        "--codec",
        heading=CLIPS,
        type=click.Choice(list(CODECS)),
        help="Codec of OUT. prores4444 (.mov) and vp9 (.webm) hold straight foreground colours and alpha; prores422hq "
        "(.mov), h264 (.mp4) and ffv1 (.mkv, lossless, 16 bits) hold a grey matte.  [default: by the ending of OUT]",
    ),
    output_option(
        "--sound/--no-sound",
        "sound",
        heading=CLIPS,
        default=True,
        help="Copy the clip's audio, or leave it out.  [default: copy]",
    ),
    clip_option(
        "--failed-frames",
        help="What to do with a frame that fails: its trimap or mask is unreadable, has another size or invalid "
        "values, or its alpha contains NaN or infinity. stop: keep the finished frames for --resume. known: continue; "
        "the frame holds the known foreground of its trimap and is otherwise transparent (all of it, if the trimap is "
        "at fault), and is listed at the end; the exit code is then 1. A trimap without unknown pixels is no failure: "
        "it is used as the alpha.  [default: stop]",
    ),
    output_option(
        "--segment",
        heading=CLIPS,
        metavar="FRAMES",
        help="Frames to encode at a time; --resume restarts after the last complete segment.  [default: "
        f"{DEFAULT_SEGMENT}, or as many as are done in {DEFAULT_SEGMENT_S:.0f} s]",
    ),
)
