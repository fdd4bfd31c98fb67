"""What to do, as frozen values: commands, the page, Ray and Python programs build them, and every job takes them.

A spec says what is wanted, in plain values, and checks what can be checked without a file: each field alone, and fields
that contradict each other. Whatever depends on an image or an engine is checked by whoever opens it. Specs compare by
value, and can be pickled and sent to another machine; paths in them are as given.
"""

import os
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, Self, TypeAlias, get_args
from urllib.parse import urlsplit

from .errors import UsageError

Placement: TypeAlias = Literal["adaptive", "grid"]
Precision: TypeAlias = Literal["fp32", "tf32", "fp16"]
Encoding: TypeAlias = Literal["exact", "between", "labels"]
"""How grey values mean background, unknown, foreground.

exact: 0, 128, 255 and nothing else. between: 0, anything from 1 to 254, 255. labels: 0, 1, 2.
"""
Depth: TypeAlias = Literal["8", "16", "half", "float"]
Format: TypeAlias = Literal["png", "tiff", "exr"]
OnFailure: TypeAlias = Literal["stop", "known"]

MAX_MEGAPIXELS = 200.0
DEFAULT_UNKNOWN_WIDTH = "15"
DEFAULT_SEGMENT = 25


def check_choice(parameter: str, value: object, accepted: TypeAlias) -> None:
    """Raise `UsageError` where a value is neither None nor one of a `Literal`'s."""
    choices = get_args(accepted)
    if value is not None and value not in choices:
        raise UsageError(f"`{parameter}` must be one of {', '.join(choices)}; got {value!r}", parameter=parameter)


def check_number(parameter: str, value: float | None, least: float, most: float | None = None) -> None:
    """Raise `UsageError` where a number is neither None nor from `least` to `most`."""
    if value is None or (least <= value and (most is None or value <= most)):
        return
    accepted = f"{least:.15g} or more" if most is None else f"between {least:.15g} and {most:.15g}"
    raise UsageError(f"`{parameter}` must be {accepted}; got {value:.15g}", parameter=parameter)


@dataclass(frozen=True)
class Amount:
    """A number or, with `percent`, a share of something in percent; written "15" or "2%"."""

    value: float
    percent: bool = False

    @classmethod
    def parse(cls, written: "str | float | Amount", parameter: str) -> Self:
        """Return the amount that a number or a text such as "15" or "2%" stands for. Raises `UsageError`."""
        if isinstance(written, Amount):
            return cls(written.value, written.percent)
        text = str(written).strip()
        try:
            return cls(float(text.removesuffix("%")), text.endswith("%"))
        except ValueError:
            raise UsageError(
                f"`{parameter}` must be a number, as in 128, or a percentage, as in 50%; got {written!r}",
                parameter=parameter,
            ) from None

    def __str__(self) -> str:
        return f"{self.value:g}{'%' if self.percent else ''}"


@dataclass(frozen=True, kw_only=True)
class EngineSpec:
    """Which engine runs, and where.

    engine: an ONNX, a TensorRT engine, a checkpoint, or the URL of a model on a Triton server; None for the shipped
    weights. device: `cpu`, `cuda[:N]` or, for an ONNX, `tensorrt[:N]`; None for the engine's own default. patch_hw: of
    a checkpoint, height and width in pixels. batch: patches per call. threads: of ONNX Runtime on the CPU. precision:
    of a checkpoint on a GPU. compiled: a checkpoint runs through `torch.compile`. trust: a TensorRT engine without its
    sidecar is run. timeout_s: of each request to a Triton server, in seconds.
    """

    engine: str | None = None
    device: str | None = None
    patch_hw: tuple[int, int] | None = None
    batch: int | None = None
    threads: int | None = None
    precision: Precision | None = None
    compiled: bool = False
    trust: bool = False
    timeout_s: float | None = None

    def __post_init__(self) -> None:
        check_choice("precision", self.precision, Precision)
        check_number("batch", self.batch, 1)
        check_number("threads", self.threads, 1)

    @property
    def is_served(self) -> bool:
        """Whether the engine is a model on a Triton server rather than a file."""
        return self.engine is not None and urlsplit(self.engine).scheme in ("grpc", "grpcs")


@dataclass(frozen=True, kw_only=True)
class PlanSpec:
    """Which patches of a photo run.

    plan: `adaptive`, few patches with `margin` pixels of context around what is unknown, or `grid`, patches every
    `step` pixels. None: adaptive, unless `step` or `published` asks for a grid. published: the authors'
    crop-and-stitch to the grey level: patches of 640 every 320 pixels, truncated levels.
    """

    plan: Placement | None = None
    margin: int | None = None
    step: int | None = None
    published: bool = False

    def __post_init__(self) -> None:
        check_choice("plan", self.plan, Placement)
        grid = "published" if self.published else "step" if self.step is not None else None
        if grid and self.plan == "adaptive":
            raise UsageError(
                f"`{grid}` uses a grid of patches and cannot be combined with `plan=adaptive`; leave one of them out",
                parameter=grid,
            )
        if self.margin is not None and (grid or self.plan == "grid"):
            raise UsageError(
                f"`margin` belongs to an adaptive plan and cannot be combined with `{grid or 'plan=grid'}`; leave one "
                "of them out",
                parameter="margin",
            )


@dataclass(frozen=True, kw_only=True)
class TrimapSpec:
    """How a photo's trimap is read or, from a mask, made.

    kind: what the given pictures are. trimap_encoding: of trimaps; None for exact (of a clip of trimaps: for what
    compression leaves of that). allow_no_unknown: a trimap without unknown pixels is taken as the alpha. Of masks:
    unknown_width, the unknown band on each side of the edge, in pixels or in percent of the square root of the object's
    area; adaptive, wider where the photo is hairy; mask_threshold, foreground from this value on, in the file's own
    numbers or in percent of the top of their range; mask_labels, the class ids that are the object.
    """

    kind: Literal["trimap", "mask"] = "trimap"
    trimap_encoding: Encoding | None = None
    allow_no_unknown: bool = False
    unknown_width: str | float | None = None
    adaptive: bool = False
    mask_threshold: str | float | None = None
    mask_labels: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        check_choice("kind", self.kind, Literal["trimap", "mask"])
        check_choice("trimap_encoding", self.trimap_encoding, Encoding)
        of_masks, of_trimaps = (
            ("unknown_width", "adaptive", "mask_threshold", "mask_labels"),
            (
                "trimap_encoding",
                "allow_no_unknown",
            ),
        )
        other = "mask" if self.kind == "trimap" else "trimap"
        for name in of_masks if self.kind == "trimap" else of_trimaps:
            if getattr(self, name) not in (None, False, ()):
                raise UsageError(
                    f"`{name}` applies to a {other}, and a {self.kind} is given; leave it out, or give a {other}",
                    parameter=name,
                )
        for name in ("unknown_width", "mask_threshold"):
            if (written := getattr(self, name)) is not None:
                Amount.parse(written, name)
        if self.mask_threshold is not None and self.mask_labels:
            raise UsageError(
                "`mask_threshold` and `mask_labels` are two ways to read a mask; give one of them",
                parameter="mask_threshold",
            )


@dataclass(frozen=True, kw_only=True)
class OutputSpec:
    """Which results are written: of one photo files, of many folders, of a clip clips.

    alpha: the matte. cutout: foreground colours with alpha. foreground: these colours alone. background: a colour or an
    image behind the cut-out, which is opaque then. premultiplied: the cut-out's colours times alpha; None for the
    default of its type of file. depth: None for what loses nothing. preview: the photo with the unknown band tinted.
    format: of a folder's results; None for PNG, and EXR of EXR. codec: of a clip's matte; None for that of the ending.
    sound: a clip's sound is copied. segment: how many frames of a clip are kept at a time for `resume`.
    """

    alpha: str
    cutout: str | None = None
    foreground: str | None = None
    preview: str | None = None
    background: str | None = None
    premultiplied: bool | None = None
    depth: Depth | None = None
    format: Format | None = None
    codec: str | None = None
    sound: bool = True
    segment: int | None = None

    def __post_init__(self) -> None:
        check_choice("depth", self.depth, Depth)
        check_choice("format", self.format, Format)
        check_number("segment", self.segment, 1)
        if self.background is not None and self.cutout is None:
            raise UsageError("`background` lies behind the cut-out; give `cutout`, too", parameter="background")
        if self.premultiplied is not None and (self.cutout is None or self.background is not None):
            raise UsageError(
                "`premultiplied` is about the alpha channel of `cutout`, and without `background`; leave it out",
                parameter="premultiplied",
            )

    @property
    def named(self) -> dict[str, str]:
        """The paths of all results by their names: alpha, cutout, foreground, preview."""
        paths = {name: getattr(self, name) for name in ("alpha", "cutout", "foreground", "preview")}
        return {name: path for name, path in paths.items() if path is not None}


@dataclass(frozen=True, kw_only=True)
class JobSpec:
    """A photo, a folder or a clip to matte.

    images: a photo, a folder, a pattern as `frame.%04d.exr`, or a clip. source: its trimaps or masks, as `trimap` says.
    exposure: in stops, of OpenEXR photos, for the network only. frames: of a pattern, as `1-100x2`. shard: `3/16`, the
    third of sixteen parts. resume: results that are whole and newer than their sources are left. failed_frames: what a
    clip does at a frame that fails. max_megapixels: larger pictures are refused before they are decoded.
    """

    images: str
    source: str
    output: OutputSpec
    trimap: TrimapSpec = field(default_factory=TrimapSpec)
    engine: EngineSpec = field(default_factory=EngineSpec)
    plan: PlanSpec = field(default_factory=PlanSpec)
    exposure: float | None = None
    max_megapixels: float = MAX_MEGAPIXELS
    frames: str | None = None
    shard: str | None = None
    resume: bool = False
    failed_frames: OnFailure | None = None

    def __post_init__(self) -> None:
        check_choice("failed_frames", self.failed_frames, OnFailure)
        if not self.max_megapixels > 0:
            raise UsageError(
                f"`max_megapixels` must be above 0; got {self.max_megapixels:g}", parameter="max_megapixels"
            )

    def absolute(self) -> Self:
        """Return the same job with absolute paths, for processes that have working directories of their own."""
        named: dict[str, Any] = {name: os.path.abspath(path) for name, path in self.output.named.items()}
        return replace(
            self,
            images=os.path.abspath(self.images),
            source=os.path.abspath(self.source),
            output=replace(self.output, **named),
        )


@dataclass(frozen=True, kw_only=True)
class ClusterSpec:
    """How a job is spread over a Ray cluster.

    address: of the cluster, as `host:port`; None for $RAY_ADDRESS, else this machine.
    actors: engines at work; None for as many as the cluster has room for.
    cpus: cores that an actor holds, and threads of an ONNX on the CPU.
    gpus: GPUs that an actor holds, 0.5 to share one; None for 1 where the engine runs on a GPU, else 0.
    frames_per_task: frames that are handed to an actor at a time.
    retries: how often a frame that fails is tried again.
    """

    address: str | None = None
    actors: int | None = None
    cpus: float = 2
    gpus: float | None = None
    frames_per_task: int = 8
    retries: int = 1

    def __post_init__(self) -> None:
        for name, least in (("actors", 1), ("cpus", 1), ("gpus", 0), ("frames_per_task", 1), ("retries", 0)):
            check_number(name, getattr(self, name), least)


def differing(spec: Any, *names: str) -> list[str]:
    """Return those of the fields of a spec that are not at their defaults: what a kind of job has no use for."""
    defaults = {each.name: each.default for each in fields(spec)}
    return [name for name in names if getattr(spec, name) != defaults[name]]
