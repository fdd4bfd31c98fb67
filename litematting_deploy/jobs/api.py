"""The calls of a Python program: a photo, a folder or a clip to files, a mask to a trimap, a photo and its alpha to a
cut-out.

A job is described by a `JobSpec`, or by plain arguments of the same names. Every call raises the errors of this package
alone, prints nothing and returns a frozen value.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias, Unpack

import numpy as np
from numpy.typing import NDArray

from .. import specs
from .._optional import require
from ..errors import DimMaskError, InputError, UsageError, naming, shown
from ..images.mask import MaskMeaning, read_alpha, read_mask, read_strokes
from ..images.mask_checks import LEAST_SURE
from ..images.photo import Photo, read_image
from ..matting.composite import cutout_picture
from ..matting.foreground import estimate_foreground
from ..matting.inputs import as_alpha, as_image, as_mask, as_strokes
from ..parameters import path_text
from ..runtime.loading import EngineOptions
from ..segmentation.box import Box
from ..segmentation.maker import MaskMaker
from ..segmentation.model import Segmenter
from ..specs import MAX_MEGAPIXELS, ClusterSpec, JobSpec, TrimapSpec, job_of
from . import folder, photo
from .photo import PhotoResult
from .progress import JobResult, Report
from .trimaps import made_trimap, meaning_of, trimap_of

Name: TypeAlias = str | os.PathLike[str]
"""The path of a file or folder, or a pattern such as frame.%04d.exr."""


class _Options(EngineOptions, total=False):
    """What every job takes. The classes below say which fields of the specs apply to which job, and nothing else does;
    for a type checker the types are here once more, since Python cannot pick them out of another class."""

    engine: Name | None
    device: str
    plan: specs.Placement | None
    margin: int | None
    step: int | None
    refine: bool | None
    trimap_encoding: specs.Encoding | None
    allow_no_unknown: bool
    unknown_width: str | float | None
    adaptive: bool
    mask_threshold: str | float | None
    mask_labels: tuple[int, ...]
    doubt: tuple[float, float] | None
    largest: int | None
    box: tuple[int, int, int, int] | None
    key: str | None
    key_tolerance: float | None
    key_softness: float | None
    plate: Name | None
    segmenter: Name | None
    sure_foreground: Name | None
    sure_background: Name | None
    cutout: Name | None
    foreground: Name | None
    background: Name | None
    background_fit: specs.Fit | None
    premultiplied: bool | None
    max_megapixels: float


class PhotoOptions(_Options, total=False):
    """What `matte_photo` takes by name: the fields of `EngineSpec`, `PlanSpec`, `TrimapSpec`, `OutputSpec` and
    `JobSpec` that apply to a photo, where they are explained."""

    published: bool
    depth: specs.Depth | None
    preview: Name | None
    exposure: float | None
    layer: str | None
    input_space: str | None


class FolderOptions(PhotoOptions, total=False):
    """What `matte_folder` takes by name: the options of a photo, and the fields that apply to many."""

    frames: str | None
    shard: str | None
    resume: bool
    format: specs.Format | None
    keyframes: bool
    steady: bool


class ClipOptions(_Options, total=False):
    """What `matte_clip` takes by name: the fields of the specs that apply to a clip."""

    codec: str | None
    sound: bool
    segment: int | None
    preview: Name | None
    resume: bool
    failed_frames: specs.OnFailure | None
    keyframes: bool
    first_number: int | None
    steady: bool


def matte_photo(
    images: JobSpec | Name,
    trimap: Name | None = None,
    alpha: Name | None = None,
    *,
    mask: Name | None = None,
    progress: Report | None = None,
    **options: Unpack[PhotoOptions],
) -> PhotoResult:
    """Matte one photo and write its results, the alpha first.

    - `images`: the photo; or a `JobSpec` that describes everything.
    - `trimap`: its trimap.
    - `alpha`: the file that the matte is written to: PNG, TIFF or OpenEXR. Without it, but with the option `preview`,
      only that is written, and no engine is opened.
    - `mask`: a mask instead of a trimap; without either, the option `box`, `key`, `plate` or `segmenter` makes one.
    - `progress`: called with a `JobProgress` whenever the job advances, from any thread.
    - `options`: further results, engine, plan and so on; see `PhotoOptions`.

    Raises `UsageError`, `InputError`, `OutputError`, `ForegroundError` where the alpha is written and the colours are
    not, and what opening an engine raises.
    """
    job = _job("a photo", images, trimap, alpha, mask, options)
    with job.naming():
        return photo.matte_photo(job, progress)


def matte_folder(
    images: JobSpec | Name,
    trimap: Name | None = None,
    alpha: Name | None = None,
    *,
    mask: Name | None = None,
    progress: Report | None = None,
    **options: Unpack[FolderOptions],
) -> JobResult:
    """Matte the photos of a folder or of a numbered pattern; the result names those that failed, and why.

    - `images`: a folder, or a pattern such as frame.%04d.exr; or a `JobSpec` that describes everything.
    - `trimap`: the folder or pattern of their trimaps, which have the names or numbers of the photos; with `keyframes`,
      of some of them.
    - `alpha`: the folder that the mattes are written to; it may be left out as for a photo.
    - `mask`: a folder or pattern of masks instead of trimaps.
    - `progress`: called with a `JobProgress` whenever the job advances, from any thread.
    - `options`: further results, engine, plan and so on; see `FolderOptions`. Further results are folders, too.

    Raises `UsageError`, `InputError`, `OutputError`, and what opening an engine raises. Failed frames raise nothing;
    the result lists them.
    """
    job = _job("a folder", images, trimap, alpha, mask, options)
    with job.naming():
        return folder.matte_folder(job, progress)


def matte_on_cluster(
    images: JobSpec | Name,
    trimap: Name | None = None,
    alpha: Name | None = None,
    *,
    mask: Name | None = None,
    cluster: ClusterSpec = ClusterSpec(),
    progress: Report | None = None,
    **options: Unpack[FolderOptions],
) -> JobResult:
    """Matte the photos of a folder or pattern on the machines of a Ray cluster. Needs the extra `ray`.

    All machines need this package, and the same files under the same paths. A manifest next to the alphas records what
    came of each frame, and where.

    - `cluster`: which cluster, and what each of its engines holds.
    - everything else as for `matte_folder`, except `keyframes` and `steady`, which need the frames in order.

    Raises what `matte_folder` raises, and `DependencyError` without Ray, `DeviceError` where Ray fails.
    """
    # It knows the jobs of a folder, and nobody else needs it.
    from .cluster.pipeline import matte_on_cluster as matte

    job = _job("a folder", images, trimap, alpha, mask, options)
    with job.naming():
        return matte(job, cluster, progress)


def matte_clip(
    images: JobSpec | Name,
    trimap: Name | None = None,
    alpha: Name | None = None,
    *,
    mask: Name | None = None,
    progress: Report | None = None,
    **options: Unpack[ClipOptions],
) -> JobResult:
    """Matte the frames of a clip and write clips of them with its times, sound and timecode. Needs the extra `video`.

    - `images`: the clip; or a `JobSpec` that describes everything.
    - `trimap`: a clip of as many trimaps, or a folder or pattern of one for each frame; with `keyframes`, a folder or
      pattern for some frames, whose numbers count from `first_number`.
    - `alpha`: the clip that the mattes are written to; its extension selects the codec. It may be left out as for a
      photo.
    - `mask`: a clip, folder or pattern of masks instead of trimaps.
    - `progress`: called with a `JobProgress` whenever the job advances, from any thread.
    - `options`: further results, engine, plan and so on; see `ClipOptions`. Further results are clips, too.

    Raises `UsageError`, `InputError`, `OutputError`, `DependencyError`, what opening an engine raises and, where
    `failed_frames` is not "known", the error of the first frame that fails; finished work is kept for `resume`.
    """
    job = _job("a clip", images, trimap, alpha, mask, options)
    require("av", "video", "reading and writing clips")
    # Its modules import PyAV, for which `require` has just given the better error.
    from .clip import matte_clip as matte

    with job.naming():
        return matte(job, progress)


def make_trimap(
    mask: Any = None,
    unknown_width: str | float | None = None,
    *,
    image: Any = None,
    box: Box | NDArray[Any] | None = None,
    key: str | None = None,
    plate: Any = None,
    segmenter: Segmenter | Name | None = None,
    sure_foreground: Any = None,
    sure_background: Any = None,
    adaptive: bool | None = None,
    mask_threshold: str | float | None = None,
    mask_labels: tuple[int, ...] = (),
    key_tolerance: float | None = None,
    key_softness: float | None = None,
    doubt: tuple[float, float] | None = None,
    largest: int | None = None,
    unit_range: bool = False,
    max_megapixels: float = MAX_MEGAPIXELS,
) -> NDArray[np.uint8]:
    """Return a trimap (H, W) uint8 of 0 / 128 / 255, made from a binary or soft mask, or from an image alone.

    - `mask`: (H, W) bool or uint8, or what `matting.inputs.as_mask` accepts as one, such as a PIL image; or the path of
      a mask. With `box`, `key`, `plate` or `segmenter`, which make a mask, the image.
    - `unknown_width`: width of the unknown band on each side of the mask's edge, in pixels, or in percent of the square
      root of the object's area, such as "2%"; by default 15 pixels, or a width that depends on how the mask was made.
    - `image`: the photo of the mask, (H, W, 3) uint8 RGB, or its path.
    - `box`: x, y, width and height of the subject's box, in pixels.
    - `key`: the colour of the screen behind the subject, see `segmentation.key.mask_from_key`, with key_tolerance and
      key_softness.
    - `plate`: an image of the same view without it.
    - `segmenter`: a `Segmenter`, or the path of its ONNX, which is opened for this call only.
    - `sure_foreground`, `sure_background`: masks of what a mask made from the image must contain, and must not contain.
    - `adaptive`: widen the band where fine edges in the image, such as hair, continue past it; by default if a mask is
      given with its image.
    - `mask_threshold`: foreground from this value on, in the mask's own numbers, or in percent of their range.
    - `mask_labels`: the class ids that are the subject.
    - `doubt`: a mask is background up to the first of these values, 0..1, and foreground from the second.
    - `largest`: how many of the mask's largest pieces are kept.
    - `unit_range`: images are float, 0..1.
    - `max_megapixels`: refuse files with larger pictures before decoding them.

    Raises `InputError`, `UsageError`, and what opening a segmenter raises.
    """
    if isinstance(box, np.ndarray) and box.dtype.kind in "iu":  # as detectors give it
        box = tuple(box.tolist())
    ways = {"box": box, "key": key, "plate": plate, "segmenter": segmenter}
    given = {name: value for name, value in ways.items() if value is not None}
    strokes = {"sure_foreground": sure_foreground, "sure_background": sure_background}
    given |= {name: value for name, value in strokes.items() if value is not None}
    # Arrays and opened segmenters are no fields of a spec, which checks all else.
    named: dict[str, Any] = {name: value if name in ("box", "key") else "given" for name, value in given.items()}
    spec = TrimapSpec(
        kind="photo" if any(value is not None for value in ways.values()) else "mask",
        **named,
        unknown_width=unknown_width,
        adaptive=adaptive if adaptive is not None else mask is not None and image is not None,
        mask_threshold=mask_threshold,
        mask_labels=mask_labels,
        key_tolerance=key_tolerance,
        key_softness=key_softness,
        doubt=doubt,
        largest=largest,
    )
    with _files(mask=mask, image=image, plate=plate, segmenter=segmenter, **strokes):
        if spec.kind == "mask":
            seen = None if image is None else _image(image, unit_range, max_megapixels)
            return _from_given(mask, seen, spec, max_megapixels)
        if (mask is None) == (image is None):
            raise UsageError(
                f"`image` must be given without a mask, since `{spec.ways[0]}` makes one from it", parameter="image"
            )
        pixels = _image(mask if image is None else image, unit_range, max_megapixels)
        foreground, background = (_strokes(name, stroke, max_megapixels) for name, stroke in strokes.items())
        other = None if plate is None else _image(plate, unit_range, max_megapixels, "plate")
        with contextlib.ExitStack() as stack:
            if isinstance(segmenter, str | os.PathLike):
                segmenter = stack.enter_context(Segmenter(path_text("segmenter", segmenter)))
            elif not isinstance(segmenter, Segmenter | None):
                raise UsageError(f"`segmenter` must be a Segmenter, or the path of its ONNX; got {shown(segmenter)}")
            maker = MaskMaker(
                box=spec.box,
                key=spec.key,
                key_tolerance=spec.key_tolerance,
                key_softness=spec.key_softness,
                plate=other,
                segmenter=segmenter,
                foreground=foreground,
                background=background,
            )
            return made_trimap(pixels, spec, maker, "`image`").values


def _from_given(
    mask: Any, image: NDArray[np.uint8] | None, spec: TrimapSpec, max_megapixels: float
) -> NDArray[np.uint8]:
    """Return the trimap of a mask that a program gives. image: its photo, which an adaptive band looks at."""
    if mask is None:
        raise UsageError("`mask` must be given, or an image and one of `box`, `key`, `plate` and `segmenter`")
    if spec.adaptive and image is None:
        raise UsageError("`adaptive` requires `image`, the photo in which it looks for fine edges; add it")
    meaning, name = meaning_of(spec), str(mask) if _is_name(mask) else "`mask`"
    grey = _mask(mask, max_megapixels, meaning)
    meaning.check_object(grey, name)
    return trimap_of(grey, spec, name, image)


def _mask(mask: Any, max_megapixels: float, meaning: MaskMeaning = MaskMeaning()) -> NDArray[np.uint8]:
    """Return a mask (H, W) uint8, read from a file or taken as it is."""
    if _is_name(mask):
        return read_mask(mask, max_megapixels, meaning=meaning)
    grey = as_mask(mask)
    # `read_mask` does the same for files, in the file's own numbers.
    chosen = meaning.applied(grey, 255, "`mask`")
    return grey if chosen is None else chosen


def _strokes(name: str, strokes: Any, max_megapixels: float) -> NDArray[np.bool_] | None:
    """Return what strokes mark, (H, W) bool, read from a file or taken as they are; None where there are none."""
    if strokes is None:
        return None
    return read_strokes(strokes, max_megapixels) if _is_name(strokes) else as_strokes(strokes, name)


def cut_out(
    image: Any,
    alpha: Any,
    *,
    premultiplied: bool = False,
    unit_range: bool = False,
    allow_dim: bool = False,
    max_megapixels: float = MAX_MEGAPIXELS,
) -> NDArray[np.uint8]:
    """Return a cut-out (H, W, 4) uint8 RGBA: estimated foreground colours without the old background, and the alpha.

    - `image`: (H, W, 3) uint8 RGB, sRGB-encoded, or what `matting.inputs.as_image` accepts as one; or a photo's path.
    - `alpha`: (H, W) float, 0..1, or levels in uint8 or uint16; or its path.
    - `premultiplied`: colours are multiplied by alpha.
    - `unit_range`: the image is float, 0..1.
    - `allow_dim`: accept an alpha that is opaque nowhere, such as smoke; otherwise it is refused, since it may have the
      wrong scale.
    - `max_megapixels`: refuse files with larger pictures before decoding them.

    Raises `InputError`, `ForegroundError`.
    """
    with _files(image=image, alpha=alpha):
        pixels = _image(image, unit_range, max_megapixels)
        opacity = as_alpha(read_alpha(alpha, max_megapixels) if _is_name(alpha) else alpha)
    if not allow_dim and 0 < opacity.max() < LEAST_SURE:
        raise DimMaskError(
            f"`alpha` must be opaque somewhere; its largest value is {opacity.max():.3g} of 1; scale it to the full "
            "range or, if nothing is opaque, set `allow_dim`"
        )
    (height, width), (given_height, given_width) = pixels.shape[:2], opacity.shape
    if pixels.shape[:2] != opacity.shape:
        raise InputError(f"`alpha` must be {width}x{height}, the size of the image; got {given_width}x{given_height}")
    # Arrays say nothing of their colours: they are taken for sRGB.
    seen = Photo(str(image) if _is_name(image) else "`image`", pixels, pixels)
    colours = estimate_foreground(seen, opacity)
    return np.asarray(cutout_picture(seen, colours, opacity, np.uint8, premultiplied), np.uint8)


def _image(image: Any, unit_range: bool, max_megapixels: float, name: str = "image") -> NDArray[np.uint8]:
    """Return an image (H, W, 3) uint8 RGB, read from a file or taken as it is. name: its parameter."""
    return read_image(image, max_megapixels) if _is_name(image) else as_image(image, unit_range, name)


@contextlib.contextmanager
def _files(**given: Any) -> Iterator[None]:
    """Give errors about files the `parameter` that stands for them. Raises `UsageError` for what no path is."""
    with naming({name: path_text(name, each) for name, each in given.items() if _is_name(each)}):
        yield


def _is_name(given: object) -> bool:
    """Return whether an argument is the path of a file rather than its pixels."""
    return isinstance(given, str | os.PathLike)


# The classes of options are the one place that says what applies to which job.
_NAMES = {
    what: frozenset(options.__annotations__)
    for what, options in (("a photo", PhotoOptions), ("a folder", FolderOptions), ("a clip", ClipOptions))
}


def _job(
    what: str,
    images: JobSpec | Name,
    trimap: Name | None,
    alpha: Name | None,
    mask: Name | None,
    options: Mapping[str, Any],
) -> JobSpec:
    """Return the job that the arguments of a call describe. Raises `UsageError` for what does not apply to `what`."""
    given = list(options)
    if isinstance(images, JobSpec):
        for name, value in {"trimap": trimap, "alpha": alpha, "mask": mask, **options}.items():
            if value is not None:
                raise UsageError(f"`{name}` is a field of the JobSpec that is given; set it there")
        # Its engine and trimap apply to every job.
        given = [name for spec in (images, images.output, images.plan) for name in spec.differing()]
    for name in given:
        if name not in _NAMES[what]:
            others = " and ".join(other for other, names in _NAMES.items() if name in names)
            but = f" (it applies to {others})" if others else ""
            raise UsageError(f"`{name}` does not apply to {what}{but}; leave it out")
    return images if isinstance(images, JobSpec) else job_of(images, alpha, options, trimap=trimap, mask=mask)
