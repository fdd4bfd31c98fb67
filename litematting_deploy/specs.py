"""What to do, as frozen values: commands, the page, Ray and Python programs build them, and every job takes them.

A spec says what is wanted, in plain values, and checks what can be checked without a file: the type and range of each
field, and fields that contradict each other. Whatever depends on an image or an engine is checked by whoever opens it.
Specs compare by value, and can be pickled and sent to another machine; paths in them are as given.
"""

import functools
import math
import os
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from inspect import formatannotation
from typing import Any, Literal, Self, TypeAlias, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit

import numpy as np

from .errors import UsageError

Placement: TypeAlias = Literal["adaptive", "grid"]
Precision: TypeAlias = Literal["fp32", "tf32", "bf16", "fp16"]
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
AUTO = "auto"


def check_number(
    parameter: str,
    value: float | tuple[float, ...] | None,
    least: float,
    most: float | None = None,
    *,
    below: bool = False,
) -> None:
    """Raise `UsageError` where a number, or one of several, is not from `least` to `most` or, with `below`, reaches
    that; None is none."""
    for one in value if isinstance(value, tuple) else () if value is None else (value,):
        # NaN compares as false, and so is refused.
        if not (least <= one and (most is None or (one < most if below else one <= most))):
            limits = f"at least {least:.15g} and below" if below else f"between {least:.15g} and"
            accepted = f"{least:.15g} or more" if most is None else f"{limits} {most:.15g}"
            raise UsageError(f"`{parameter}` must be {accepted}; got {value}")


def typed(name: str, given: Any, hint: Any) -> Any:
    """Return the value of a parameter as its type has it: a path as text or `Path`, a number of NumPy as Python's.

    hint: the type, as an annotation says it. Raises `UsageError` for a value of any other type.
    """
    import msgspec  # slow to import, and not needed where all is as by default

    # Python programs pass paths and the numbers of arrays; everything else must be of the type, as in a file.
    plain = os.fspath(given) if isinstance(given, os.PathLike) else given
    plain = plain.item() if isinstance(plain, np.generic) else plain
    try:
        return msgspec.convert(plain, hint, dec_hook=lambda kind, value: kind(value))  # of `Path`
    except msgspec.ValidationError as error:
        choices = [
            choice for each in (hint, *get_args(hint)) if get_origin(each) is Literal for choice in get_args(each)
        ]
        accepted = f"one of {', '.join(choices)}" if choices else formatannotation(hint)
        raise UsageError(f"`{name}` must be {accepted}; got {given!r}") from error


@functools.cache
def _hints(spec: Any) -> dict[str, Any]:
    """Return the types of the fields of a spec, which take time to resolve."""
    return get_type_hints(spec)


@dataclass(frozen=True, kw_only=True)
class Spec:
    """What all specs have in common: fields of the types that they say, whoever builds them."""

    def __post_init__(self) -> None:
        """Raise `UsageError` for a field of another type."""
        # What is at its default is right, and most is: commands that only say --help need no msgspec.
        for name, hint in _hints(type(self)).items():  # type: ignore[arg-type]  # a class is hashable
            if getattr(self, name) is not getattr(type(self), name, MISSING):
                # A frozen dataclass refuses plain assignment, in its own `__post_init__`, too.
                object.__setattr__(self, name, typed(name, getattr(self, name), hint))

    @classmethod
    def of(cls, options: Mapping[str, Any], **others: Any) -> Self:
        """Return the spec whose fields are the options of the same names, and `others`. Raises `UsageError`."""
        names = {each.name for each in fields(cls)}
        return cls(**{name: value for name, value in options.items() if name in names} | others)

    def differing(self, *names: str) -> list[str]:
        """Return those of the fields, by default of all that have a default, that are not at it: what is asked for."""
        defaults = {each.name: each.default for each in fields(self) if each.default is not MISSING}
        return [name for name in names or defaults if getattr(self, name) != defaults[name]]


@dataclass(frozen=True)
class Amount:
    """A number or, with `percent`, a share of something in percent; written "15" or "2%"."""

    value: float
    percent: bool = False

    @classmethod
    def parse(cls, written: str | float, parameter: str) -> Self:
        """Return the amount that a number or a text such as "15" or "2%" stands for. Raises `UsageError`."""
        text = str(written).strip()
        try:
            value = float(text.removesuffix("%"))
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise UsageError(f"`{parameter}` must be a number, as in 128, or a percentage, as in 50%; got {written!r}")
        return cls(value, text.endswith("%"))

    def __str__(self) -> str:
        return f"{self.value:g}{'%' if self.percent else ''}"


@dataclass(frozen=True, kw_only=True)
class EngineSpec(Spec):
    """Which engine runs, and where.

    engine: an ONNX, a TensorRT engine, a checkpoint, or the URL of a model on a Triton server; None for the shipped
    weights. device: `auto`, the best one here (`runtime.automatic`), or one of `engines.providers`: `cpu`, `cuda[:N]`
    and, for an ONNX, `tensorrt[:N]`, `openvino[:gpu|:npu]`, `webgpu` or `coreml`. patch_hw: of a checkpoint, height and
    width in pixels. batch: patches per call. threads: of an ONNX on the CPU. precision: of a checkpoint on a GPU, and
    of an ONNX in OpenVINO. compiled: a checkpoint runs through `torch.compile`. channels_last: a checkpoint keeps
    activations as (N, H, W, C). trust: a TensorRT engine without its sidecar is run. timeout_s: of each request to a
    Triton server, in seconds.
    """

    engine: str | None = None
    device: str = AUTO
    patch_hw: tuple[int, int] | None = None
    batch: int | None = None
    threads: int | None = None
    precision: Precision | None = None
    compiled: bool = False
    channels_last: bool = False
    trust: bool = False
    timeout_s: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("batch", self.batch, 1)
        check_number("threads", self.threads, 1)

    @property
    def is_served(self) -> bool:
        """Whether the engine is a model on a Triton server rather than a file."""
        return self.engine is not None and urlsplit(self.engine).scheme in ("grpc", "grpcs")


@dataclass(frozen=True, kw_only=True)
class PlanSpec(Spec):
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
        super().__post_init__()
        grid = "published" if self.published else "step" if self.step is not None else None
        if grid and self.plan == "adaptive":
            raise UsageError(
                f"`{grid}` uses a grid of patches and cannot be combined with `plan=adaptive`; leave one of them out"
            )
        if self.margin is not None and (grid or self.plan == "grid"):
            raise UsageError(
                f"`margin` belongs to an adaptive plan and cannot be combined with `{grid or 'plan=grid'}`; leave one "
                "of them out"
            )


@dataclass(frozen=True, kw_only=True)
class TrimapSpec(Spec):
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
        super().__post_init__()
        of_masks = ("unknown_width", "adaptive", "mask_threshold", "mask_labels")
        of_trimaps = ("trimap_encoding", "allow_no_unknown")
        other, of_others = ("mask", of_masks) if self.kind == "trimap" else ("trimap", of_trimaps)
        for name in self.differing(*of_others):
            raise UsageError(
                f"`{name}` applies to a {other}, and a {self.kind} is given; leave it out, or give a {other}"
            )
        for name in self.differing("unknown_width", "mask_threshold"):
            Amount.parse(getattr(self, name), name)
        if self.mask_threshold is not None and self.mask_labels:
            raise UsageError("`mask_threshold` and `mask_labels` are two ways to read a mask; give one of them")


@dataclass(frozen=True, kw_only=True)
class OutputSpec(Spec):
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
        super().__post_init__()
        check_number("segment", self.segment, 1)
        if self.background is not None and self.cutout is None:
            raise UsageError("`background` lies behind the cut-out; give `cutout`, too")
        if self.premultiplied is not None and (self.cutout is None or self.background is not None):
            raise UsageError(
                "`premultiplied` is about the alpha channel of `cutout`, and without `background`; leave it out"
            )

    @property
    def named(self) -> dict[str, str]:
        """The paths of all results by their names: alpha, cutout, foreground, preview."""
        paths = {name: getattr(self, name) for name in ("alpha", "cutout", "foreground", "preview")}
        return {name: path for name, path in paths.items() if path is not None}


@dataclass(frozen=True, kw_only=True)
class JobSpec(Spec):
    """A photo, a folder or a clip to matte.

    images: a photo, a folder, a pattern as `frame.%04d.exr`, or a clip. source: its trimaps or masks, as `trimap` says.
    exposure: in stops, of OpenEXR photos, for the network only. frames: of a pattern, as `1-100x2`. shard: `3/16`, the
    third of sixteen parts. resume: results that are whole and newer than their sources are left. failed_frames: what a
    clip does at a frame that fails. max_megapixels: larger pictures are refused before they are decoded.
    keyframes: `source` has trimaps or masks for some frames only, which are carried to those between. first_number: of
    a clip's keyframes, the number that its first frame has; None for 0. steady: alphas are averaged over time, along
    motion.
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
    keyframes: bool = False
    first_number: int | None = None
    steady: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.max_megapixels > 0:
            raise UsageError(f"`max_megapixels` must be above 0; got {self.max_megapixels:g}")
        if self.first_number is not None and not self.keyframes:
            raise UsageError("`first_number` is of keyframes; give `keyframes`, too, or leave it out")
        if self.steady and self.shard is not None:
            raise UsageError(
                "`steady` needs the neighbours of every frame, which are in other shards; leave `shard` out, or give "
                "each machine a range of `frames`",
                parameter="steady",
            )


@dataclass(frozen=True, kw_only=True)
class ClusterSpec(Spec):
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
        super().__post_init__()
        for name, least in (("actors", 1), ("cpus", 1), ("gpus", 0), ("frames_per_task", 1), ("retries", 0)):
            check_number(name, getattr(self, name), least)


def job_of(images: Any, output: Any, options: Mapping[str, Any], *, trimap: Any = None, mask: Any = None) -> JobSpec:
    """Return the job that paths and options describe.

    output: the path of the alpha. options: fields of all specs, by their names. trimap, mask: one of them is given.
    Raises `UsageError`.
    """
    if (trimap is None) == (mask is None):
        raise UsageError("`trimap` or `mask` must be given, and not both")
    kind, source = ("trimap", trimap) if mask is None else ("mask", mask)
    return JobSpec.of(
        options,
        images=images,
        source=typed(kind, source, str),
        output=OutputSpec.of(options, alpha=output),
        trimap=TrimapSpec.of(options, kind=kind),
        engine=EngineSpec.of(options),
        plan=PlanSpec.of(options),
    )
