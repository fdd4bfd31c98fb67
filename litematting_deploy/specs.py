"""What to do, as frozen values: commands, the page, Ray and Python programs build them, and every job takes them.

A spec says what is wanted, in plain values, and checks what can be checked without a file: the type and range of each
field, and fields that contradict each other. Whatever depends on an image or an engine is checked by whoever opens it.
Specs compare by value, and can be pickled and sent to another machine; paths in them are as given.
"""

import os
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self, TypeAlias
from urllib.parse import urlsplit

from .errors import UsageError
from .parameters import (
    ABOVE_0,
    EXPOSURE,
    KEY,
    MASK_THRESHOLD,
    UNKNOWN_WIDTH,
    PathName,
    Range,
    checked,
    checks_of,
    path_text,
)

Placement: TypeAlias = Literal["adaptive", "grid"]
Quality: TypeAlias = Literal["fast", "good", "best"]
SCALES: Mapping[Quality, float] = MappingProxyType({"fast": 0.5, "good": 0.75, "best": 1.0})
"""By how much each quality multiplies the sides of the photo that the network sees."""
Precision: TypeAlias = Literal["fp32", "tf32", "bf16", "fp16"]
Encoding: TypeAlias = Literal["exact", "between", "labels"]
"""How grey values mean background, unknown, foreground.

exact: 0, 128, 255 and nothing else. between: 0, anything from 1 to 254, 255. labels: 0, 1, 2.
"""
Depth: TypeAlias = Literal["8", "16", "half", "float"]
Format: TypeAlias = Literal["png", "tiff", "exr", "jpeg"]
Fit: TypeAlias = Literal["cover", "contain"]
OnFailure: TypeAlias = Literal["stop", "known"]
Joining: TypeAlias = Literal["resume", "shard"]

MAX_MEGAPIXELS = 200.0
DEFAULT_UNKNOWN_WIDTH = "15"
DEFAULT_SEGMENT, DEFAULT_SEGMENT_S = 25, 60.0
"""Frames, and seconds of work, after which a segment of a clip ends; `OutputSpec.segment` sets frames alone."""
AUTO = "auto"


@dataclass(frozen=True, kw_only=True)
class Spec:
    """What all specs have in common: fields of the types that they say, whoever builds them."""

    def __post_init__(self) -> None:
        """Raise `UsageError` for a field of another type, or that its annotation does not accept."""
        # What is at its default is right, and most is: commands that only say --help need no msgspec.
        for name, (hint, checks) in checks_of(type(self)).items():  # type: ignore[arg-type]  # a class is hashable
            if getattr(self, name) is not getattr(type(self), name, MISSING):
                # A frozen dataclass refuses plain assignment, in its own `__post_init__`, too.
                object.__setattr__(self, name, checked(name, getattr(self, name), hint, checks))

    @classmethod
    def of(cls, options: Mapping[str, Any], **others: Any) -> Self:
        """Return the spec whose fields are the options of the same names, and `others`. Raises `UsageError`."""
        names = {each.name for each in fields(cls)}
        return cls(**{name: value for name, value in options.items() if name in names} | others)

    def differing(self, *names: str) -> list[str]:
        """Return those of the fields, by default of all that have a default, that are not at it: what is asked for."""
        defaults = {each.name: each.default for each in fields(self) if each.default is not MISSING}
        return [name for name in names or defaults if getattr(self, name) != defaults[name]]


@dataclass(frozen=True, kw_only=True)
class EngineSpec(Spec):
    """Which engine runs, and where.

    - `engine`: an ONNX, a TensorRT engine, a checkpoint, or the URL of a model on a Triton server; None for the
      shipped weights.
    - `device`: `auto`, the best one of this machine (`runtime.automatic`), or one of `engines.providers`: `cpu`,
      `cuda[:N]`; for an ONNX also `tensorrt[:N]`, `openvino[:gpu|:npu]`, `webgpu` or `coreml`; for a checkpoint `mps`.
    - `patch_hw`: height and width of a checkpoint's patches, in pixels.
    - `batch`: patches per call.
    - `threads`: threads that compute on the CPU.
    - `precision`: precision of a checkpoint on a GPU, or of an ONNX in OpenVINO.
    - `compiled`: run a checkpoint with `torch.compile`.
    - `channels_last`: keep a checkpoint's activations as (N, H, W, C).
    - `trust`: run a TensorRT engine without its sidecar.
    - `timeout_s`: time limit for each request to a Triton server, in seconds.
    """

    engine: Annotated[str | None, PathName()] = None
    device: str = AUTO
    patch_hw: Annotated[tuple[int, int] | None, Range(32)] = None
    batch: Annotated[int | None, Range(1)] = None
    threads: Annotated[int | None, Range(1, 65536)] = None
    precision: Precision | None = None
    compiled: bool = False
    channels_last: bool = False
    trust: bool = False
    timeout_s: Annotated[float | None, Range(0, 86_400, above=True)] = None

    @property
    def weights(self) -> str:
        """What runs, for people: the name of its file, its URL, or "shipped weights"."""
        if self.engine is None:
            return "shipped weights"
        return self.engine if self.is_served else Path(self.engine).name

    @property
    def is_served(self) -> bool:
        """Whether the engine is a model on a Triton server rather than a file."""
        return self.engine is not None and urlsplit(self.engine).scheme in ("grpc", "grpcs")


@dataclass(frozen=True, kw_only=True)
class PlanSpec(Spec):
    """How a photo becomes its alpha: which patches run, and whether the photo's own colours refine the result.

    - `plan`: `adaptive`, few patches with `margin` pixels of context around unknown pixels, or `grid`, patches every
      `step` pixels. None: adaptive, unless `step` or `published` asks for a grid.
    - `margin`, `step`: in pixels; the accepted range depends on the engine's patches.
    - `published`: reproduce the authors' tiling exactly (640 px patches, 320 px step, truncated output).
    - `refine`: make the alpha follow the photo's own colours (`matting.refine`), on the engine's CUDA device if it runs
      on one, otherwise on the host. None: jobs do unless `published`; a `Matter` of its own does not.
    - `quality`: the network sees the photo at `SCALES[quality]` times its size, and the alpha is refined at full size.
      None: full size, and `refine` decides.
    """

    plan: Placement | None = None
    margin: int | None = None
    step: int | None = None
    published: bool = False
    refine: bool | None = None
    quality: Quality | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.quality is not None:
            other = "published" if self.published else "refine=False" if self.refine is False else None
            if other:
                raise UsageError(
                    f"`quality` refines the alpha and cannot be combined with `{other}`; use only one of them"
                )
            # A frozen dataclass refuses plain assignment.
            object.__setattr__(self, "refine", True)
        if self.published and self.refine:
            raise UsageError(
                "`published` reproduces the authors' alpha, which `refine` would change; use only one of them"
            )
        grid = "published" if self.published else "step" if self.step is not None else None
        if grid and self.plan == "adaptive":
            raise UsageError(
                f"`{grid}` uses a grid of patches and cannot be combined with `plan=adaptive`; use only one of them"
            )
        if self.margin is not None and (grid or self.plan == "grid"):
            raise UsageError(
                f"`margin` belongs to an adaptive plan and cannot be combined with `{grid or 'plan=grid'}`; use "
                "only one of them"
            )

    @property
    def scale(self) -> float:
        """The factor on the sides of the photo that the network sees, 0 to 1."""
        return 1.0 if self.quality is None else SCALES[self.quality]

    @property
    def refines(self) -> bool:
        """Whether a job refines its alphas."""
        return not self.published if self.refine is None else self.refine


WAYS = ("box", "key", "plate", "segmenter")
"""The fields of `TrimapSpec` that make a mask from a photo; one of them does."""
_APPLY_TO = {
    **dict.fromkeys(("trimap_encoding", "allow_no_unknown"), ("trimap",)),
    **dict.fromkeys(("unknown_width", "adaptive", "doubt", "largest"), ("mask", "photo")),
    **dict.fromkeys(("mask_threshold", "mask_labels"), ("mask",)),
    **dict.fromkeys((*WAYS, "key_tolerance", "key_softness", "sure_foreground", "sure_background"), ("photo",)),
}


@dataclass(frozen=True, kw_only=True)
class TrimapSpec(Spec):
    """How a photo's trimap is read or made: from a mask, or from a mask that is itself made from the photo.

    - `kind`: what the given pictures are: `trimap`, `mask`, or `photo` if exactly one of `WAYS` makes a mask from each
      photo.

    For trimaps:

    - `trimap_encoding`: how values are read; None for exact (in a clip of trimaps: exact, but for compression).
    - `allow_no_unknown`: accept a trimap without unknown pixels as the alpha.

    For given masks:

    - `mask_threshold`: foreground from this value on, in the file's own numbers or in percent of their range.
    - `mask_labels`: the class ids that are the subject.

    For all masks:

    - `unknown_width`: width of the unknown band on each side of the edge, in pixels or in percent of the square root
      of the object's area.
    - `adaptive`: widen the band where fine edges, such as hair, continue past it.
    - `doubt`: the values, 0..1, up to which a mask is background and from which it is foreground.
    - `largest`: how many of the largest pieces of a mask are kept.

    For masks made from photos:

    - `box`: x, y, width and height of the subject's box, in pixels.
    - `key`: colour of the screen, `green`, `blue`, `auto` or `#rrggbb`; `key_tolerance` and `key_softness` are shares
      of the way from that colour to grey.
    - `plate`: a picture of the same view without the subject.
    - `segmenter`: an ONNX that makes masks.
    - `sure_foreground`, `sure_background`: pictures whose white strokes overrule everything else.
    """

    kind: Literal["trimap", "mask", "photo"] = "trimap"
    trimap_encoding: Encoding | None = None
    allow_no_unknown: bool = False
    unknown_width: Annotated[str | float | None, UNKNOWN_WIDTH] = None
    adaptive: bool = False
    mask_threshold: Annotated[str | float | None, MASK_THRESHOLD] = None
    mask_labels: Annotated[tuple[int, ...], Range(0, 65535)] = ()
    doubt: Annotated[tuple[float, float] | None, Range(0, 1)] = None
    largest: Annotated[int | None, Range(1)] = None
    box: Annotated[tuple[int, int, int, int] | None, Range(0)] = None
    key: Annotated[str | None, KEY] = None
    key_tolerance: Annotated[float | None, Range(0, 1)] = None
    key_softness: Annotated[float | None, Range(0, 1)] = None
    plate: Annotated[str | None, PathName()] = None
    segmenter: Annotated[str | None, PathName()] = None
    sure_foreground: Annotated[str | None, PathName()] = None
    sure_background: Annotated[str | None, PathName()] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.kind == "photo" and len(self.ways) != 1:
            given = f"got {' and '.join(f'`{name}`' for name in self.ways)}" if self.ways else "got none"
            raise UsageError(
                f"a mask is made from the photo by exactly one of {', '.join(f'`{name}`' for name in WAYS)}; {given}",
                parameter=(*self.ways, WAYS[0])[0],
            )
        for name in self.differing(*_APPLY_TO):
            self._check_applies(name)
        if self.mask_threshold is not None and self.mask_labels:
            raise UsageError("`mask_threshold` and `mask_labels` are two ways to read a mask; use only one of them")
        if self.doubt is not None and self.doubt[0] >= self.doubt[1]:
            raise UsageError(f"`doubt` must be two rising values between 0 and 1, such as 0.05,0.95; got {self.doubt}")
        if self.box is not None and not all(self.box[2:]):
            raise UsageError(f"`box` must be x, y, width and height, such as 40,20,300,500; got {self.box}")

    @property
    def ways(self) -> list[str]:
        """The names of the fields that are to make a mask from the photo."""
        return self.differing(*WAYS)

    @property
    def paths(self) -> dict[str, str]:
        """The files beside the photos that masks are made from, by the fields that name them."""
        named = {name: getattr(self, name) for name in ("plate", "segmenter", "sure_foreground", "sure_background")}
        return {name: path for name, path in named.items() if path is not None}

    @property
    def files(self) -> tuple[str, ...]:
        """The files beside the photos that masks are made from."""
        return tuple(self.paths.values())

    def anywhere(self) -> Self:
        """Return the spec with absolute paths, for a process in another working directory."""
        return replace(self, **{name: os.path.abspath(path) for name, path in self.paths.items()})  # type: ignore[arg-type]  # its own fields

    def _check_applies(self, name: str) -> None:
        """Raise `UsageError` where a field that is given does not apply to what the pictures are."""
        kinds = _APPLY_TO[name]
        if self.kind not in kinds and kinds == ("photo",):
            raise UsageError(f"`{name}` makes a mask from the photo, but a {self.kind} is given; use only one of them")
        if self.kind not in kinds:
            given = f"`{self.ways[0]}` makes one from the photo" if self.kind == "photo" else f"a {self.kind} is given"
            raise UsageError(
                f"`{name}` applies only to a {kinds[0]}, but {given}; leave it out, or give a {kinds[0]}",
                parameter=name,
            )
        if name.startswith("key_") and self.key is None:
            raise UsageError(f"`{name}` requires `key`; add it, or leave `{name}` out")


RESULTS = ("alpha", "cutout", "foreground", "preview")
"""The fields of `OutputSpec` that are paths of results, in the order in which they are checked and told."""


@dataclass(frozen=True, kw_only=True)
class OutputSpec(Spec):
    """Which results are written: files for a photo, folders for many, clips for a clip.

    - `alpha`: the matte; None for the preview alone, which needs no engine.
    - `cutout`: foreground colours with alpha.
    - `foreground`: foreground colours alone.
    - `preview`: the photo with the unknown band tinted.
    - `background`: a colour or an image behind the cut-out, which is then opaque.
    - `background_fit`: how a background of another size is scaled; None refuses it.
    - `premultiplied`: multiply the cut-out's colours by alpha; None for the default of the file type.
    - `depth`: bit depth, where the format supports it; None for one that loses nothing.
    - `format`: format of a folder's results; None for PNG, or EXR for EXR photos; `jpeg` for pictures without
      transparency, with alphas as PNG.
    - `codec`: codec of a clip's matte; None for that of the file extension.
    - `sound`: copy the clip's audio.
    - `segment`: how many frames of a clip are stored at a time for `resume`; None for at most `DEFAULT_SEGMENT`, and
      fewer where they take longer than `DEFAULT_SEGMENT_S`.
    """

    alpha: Annotated[str | None, PathName()]
    cutout: Annotated[str | None, PathName()] = None
    foreground: Annotated[str | None, PathName()] = None
    preview: Annotated[str | None, PathName()] = None
    background: str | None = None
    background_fit: Fit | None = None
    premultiplied: bool | None = None
    depth: Depth | None = None
    format: Format | None = None
    codec: str | None = None
    sound: bool = True
    segment: Annotated[int | None, Range(1)] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.alpha is None and self.preview is None:
            raise UsageError(
                "`alpha` must say where the matte is written; only with `preview`, to check the trimaps first, it may "
                "be left out",
                parameter="alpha",
            )
        for name in self.differing("cutout", "foreground") if self.alpha is None else ():
            raise UsageError(f"`{name}` requires `alpha`, the matte that it is made with; add it", parameter=name)
        if self.background is not None and self.cutout is None:
            raise UsageError("`background` requires `cutout`, which it is placed behind; add it")
        if self.background_fit is not None and self.background is None:
            raise UsageError("`background_fit` requires `background`, the image that it scales; add it")
        is_transparent = self.cutout is not None and self.background is None
        if self.format == "jpeg" and (is_transparent or (self.cutout is None and self.foreground is None)):
            raise UsageError(
                "`format=jpeg` requires a result without transparency (alphas stay PNG); add `cutout` with "
                "`background`, or `foreground`"
            )
        if self.premultiplied is not None and (self.cutout is None or self.background is not None):
            raise UsageError(
                "`premultiplied` requires `cutout` without `background`, which alone has an alpha channel; leave it out"
            )

    @property
    def named(self) -> dict[str, str]:
        """The paths of all results by their names, in the order of `RESULTS`."""
        paths = {name: getattr(self, name) for name in RESULTS}
        return {name: path for name, path in paths.items() if path is not None}

    @property
    def first(self) -> str:
        """The path of the matte or, where only the preview is written, of that."""
        return next(iter(self.named.values()))

    @property
    def opaque(self) -> frozenset[str]:
        """The names of the results that are colours without an alpha channel, which a JPEG can hold."""
        alone = {"foreground", "preview"}
        return frozenset(alone if self.background is None else {*alone, "cutout"})


@dataclass(frozen=True, kw_only=True)
class ExrSpec(Spec):
    """How OpenEXR photos are read; for other photos nothing may be said.

    - `exposure`: exposure in stops, for the network only, which sees light times 2**exposure.
    - `layer`: such as beauty, for the channels beauty.R, beauty.G and beauty.B.
    - `input_space`: scene-linear colour space by its name in OpenColorIO, see `images.ocio`; None for sRGB's primaries.
    """

    exposure: Annotated[float | None, EXPOSURE] = None
    layer: str | None = None
    input_space: str | None = None


@dataclass(frozen=True, kw_only=True)
class JobSpec(ExrSpec):
    """A photo, a folder or a clip to matte.

    - `images`: a photo, a folder, a pattern such as `frame.%04d.exr`, or a clip.
    - `source`: its trimaps or masks, as described by `trimap`; the images again if masks are made from them.
    - `output`, `trimap`, `engine`, `plan`: the other specs. If `plan.refine` is None, alphas are refined unless
      `plan.published`.
    - `exposure`, `layer`, `input_space`: how OpenEXR photos are read, see `ExrSpec`.
    - `max_megapixels`: refuse larger pictures before decoding them.
    - `frames`: frames of a pattern, such as `1-100x2`.
    - `shard`: `3/16` is the third of sixteen parts, all of which have the same settings.
    - `resume`: skip results that are complete, newer than their sources and made with the same settings.
    - `failed_frames`: what a clip does if a frame fails: `stop` or `known`.
    - `keyframes`: `source` has trimaps or masks for some frames only, which are carried to those between.
    - `first_number`: the number of a clip's first frame, for keyframes; None for 0.
    - `steady`: average alphas over time, along motion.
    """

    images: Annotated[str, PathName()]
    source: Annotated[str, PathName()]
    output: OutputSpec
    trimap: TrimapSpec = field(default_factory=TrimapSpec)
    engine: EngineSpec = field(default_factory=EngineSpec)
    plan: PlanSpec = field(default_factory=PlanSpec)
    max_megapixels: Annotated[float, ABOVE_0] = MAX_MEGAPIXELS
    frames: str | None = None
    shard: str | None = None
    resume: bool = False
    failed_frames: OnFailure | None = None
    keyframes: bool = False
    first_number: int | None = None
    steady: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        made = self.trimap.kind == "photo"
        # A frozen dataclass refuses plain assignment. From here on the plan says what is done.
        object.__setattr__(self, "plan", replace(self.plan, refine=self.plan.refines))
        if self.keyframes and made:
            raise UsageError(
                f"`keyframes` supplies trimaps or masks for some frames, but `{self.trimap.ways[0]}` makes a mask "
                "for every frame; use only one of them",
                parameter="keyframes",
            )
        if self.resume and self.output.alpha is None:
            raise UsageError("`resume` requires `alpha`, since a preview alone is always written again; leave it out")
        if self.first_number is not None and not self.keyframes:
            raise UsageError("`first_number` requires `keyframes`; add it, or leave `first_number` out")
        if self.steady and self.shard is not None:
            raise UsageError(
                "`steady` needs the frames before and after each frame, which may be in other shards; leave "
                "`shard` out, or give each machine a range of `frames`",
                parameter="steady",
            )

    @property
    def paths(self) -> dict[str, str | None]:
        """The files and folders of the job by the parameters that give them."""
        # Where masks are made from the images, these are the source once more.
        source = "images" if self.trimap.kind == "photo" else self.trimap.kind
        named = {"images": self.images, source: self.source, "engine": self.engine.engine}
        return {**named, **self.trimap.paths, **self.output.named, "background": self.output.background}

    @property
    def inputs(self) -> tuple[str, ...]:
        """What the results are made from, which they must not overwrite: files, folders, patterns, perhaps a colour."""
        return (self.images, self.source, *filter(None, (self.output.background,)), *self.trimap.files)

    @property
    def exr(self) -> ExrSpec:
        """How its OpenEXR photos are read."""
        return ExrSpec(exposure=self.exposure, layer=self.layer, input_space=self.input_space)

    @property
    def joins(self) -> Joining | None:
        """The parameter that keeps results of other runs beside those of this one; None where all are made anew."""
        return "shard" if self.shard is not None else "resume" if self.resume else None


@dataclass(frozen=True, kw_only=True)
class ClusterSpec(Spec):
    """How a job is spread over a Ray cluster.

    - `address`: the cluster, as `host:port`; None for $RAY_ADDRESS, else this machine.
    - `actors`: engines at work; None for as many as the cluster has room for.
    - `cpus`: cores that an actor holds, and threads of an ONNX on the CPU.
    - `gpus`: GPUs that an actor holds, 0.5 to share one; None for 1 where the engine runs on a GPU, else 0.
    - `frames_per_task`: frames that are handed to an actor at a time.
    - `retries`: how often a frame that fails is tried again.
    """

    address: str | None = None
    actors: Annotated[int | None, Range(1)] = None
    cpus: Annotated[float, Range(1, 65536)] = 2
    gpus: Annotated[float | None, Range(0, 1024)] = None
    frames_per_task: Annotated[int, Range(1)] = 8
    retries: Annotated[int, Range(0)] = 1


def job_of(images: Any, output: Any, options: Mapping[str, Any], *, trimap: Any = None, mask: Any = None) -> JobSpec:
    """Return the job that paths and options describe.

    output: the path of the alpha; None for a preview alone. options: fields of all specs, by their names. trimap, mask:
    one of them is given, or an option makes masks from the photos. Raises `UsageError`.
    """
    given = [(kind, path) for kind, path in (("trimap", trimap), ("mask", mask)) if path is not None]
    if not given and any(options.get(way) is not None for way in WAYS):
        given = [("photo", images)]
    if not given:
        raise UsageError(
            f"no trimap: give `trimap` or `mask`, or let {', '.join(f'`{way}`' for way in WAYS[:-1])} or `{WAYS[-1]}` "
            "find the subject",
            parameter="trimap",
        )
    if len(given) > 1:
        raise UsageError("`trimap` and `mask` are both given; use only one of them")
    ((kind, source),) = given
    return JobSpec.of(
        options,
        images=images,
        source=path_text("images" if kind == "photo" else kind, source),
        output=OutputSpec.of(options, alpha=output),
        trimap=TrimapSpec.of(options, kind=kind),
        engine=EngineSpec.of(options),
        plan=PlanSpec.of(options),
    )
