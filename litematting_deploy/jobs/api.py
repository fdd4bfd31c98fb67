"""The calls of a Python program: a photo, a folder or a clip to files, a mask to a trimap, a photo and its alpha to a
cut-out.

A job is described by a `JobSpec`, or by plain arguments of the same names. Every call raises the errors of this package
alone, prints nothing and returns a frozen value.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from inspect import formatannotation
from typing import Any, TypeAlias, TypedDict, TypeVar, Unpack, get_type_hints

import numpy as np
from numpy.typing import NDArray

from .._optional import require
from ..errors import InputError, UsageError
from ..images.mask import MaskMeaning, read_alpha, read_mask
from ..images.photo import Photo, read_image
from ..matting.composite import cutout_picture
from ..matting.foreground import estimate_foreground
from ..matting.inputs import as_alpha, as_image, as_mask
from ..matting.trimap import from_mask
from ..matting.unknown_band import Band
from ..specs import (
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
    differing,
)
from . import folder, photo
from .photo import PhotoResult
from .progress import JobResult, Report

Name: TypeAlias = str | os.PathLike[str]
"""The path of a file or folder, or a pattern such as frame.%04d.exr."""
Made = TypeVar("Made")


class _Options(TypedDict, total=False):
    engine: Name | None
    device: str | None
    patch_hw: tuple[int, int] | None
    batch: int | None
    threads: int | None
    precision: Precision | None
    compiled: bool
    trust: bool
    timeout_s: float | None
    plan: Placement | None
    margin: int | None
    step: int | None
    trimap_encoding: Encoding | None
    allow_no_unknown: bool
    unknown_width: str | float | None
    adaptive: bool
    mask_threshold: str | float | None
    mask_labels: tuple[int, ...]
    cutout: Name | None
    foreground: Name | None
    background: Name | None
    premultiplied: bool | None
    max_megapixels: float


class PhotoOptions(_Options, total=False):
    """What `matte_photo` takes by name: the fields of `EngineSpec`, `PlanSpec`, `TrimapSpec`, `OutputSpec` and
    `JobSpec` that apply to a photo, where they are explained."""

    published: bool
    depth: Depth | None
    preview: Name | None
    exposure: float | None


class FolderOptions(PhotoOptions, total=False):
    """What `matte_folder` takes by name: what a photo has, and the fields that apply to many."""

    frames: str | None
    shard: str | None
    resume: bool
    format: Format | None


class ClipOptions(_Options, total=False):
    """What `matte_clip` takes by name: the fields of the specs that apply to a clip."""

    codec: str | None
    sound: bool
    segment: int | None
    resume: bool
    failed_frames: OnFailure | None


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

    images: the photo; or a `JobSpec` that says everything.
    trimap: its trimap.
    alpha: the file that the matte is written to: PNG, TIFF or OpenEXR.
    mask: a mask, in the place of a trimap.
    progress: called with a `JobProgress` whenever the job is further on, from any thread.
    options: further results, engine, plan and so on; see `PhotoOptions`.
    Raises `UsageError`, `InputError`, `OutputError`, `ForegroundError` where the alpha is written and the colours are
    not, and what opening an engine raises.
    """
    return photo.matte_photo(_job("a photo", PhotoOptions, images, trimap, alpha, mask, options), progress)


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

    images: a folder, or a pattern such as frame.%04d.exr; or a `JobSpec` that says everything.
    trimap: the folder or pattern of their trimaps, which have the names or numbers of the photos.
    alpha: the folder that the mattes are written to.
    mask: a folder or pattern of masks, in the place of trimaps.
    progress: called with a `JobProgress` whenever the job is further on, from any thread.
    options: further results, engine, plan and so on; see `FolderOptions`. Further results are folders, too.
    Raises `UsageError`, `InputError`, `OutputError`, and what opening an engine raises; a frame that fails alone raises
    nothing.
    """
    return folder.matte_folder(_job("a folder", FolderOptions, images, trimap, alpha, mask, options), progress)


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

    images: the clip; or a `JobSpec` that says everything.
    trimap: a clip of as many trimaps, or a folder or pattern of one for each frame.
    alpha: the clip that the mattes are written to; its ending decides on the codec.
    mask: a clip, folder or pattern of masks, in the place of trimaps.
    progress: called with a `JobProgress` whenever the job is further on, from any thread.
    options: further results, engine, plan and so on; see `ClipOptions`. Further results are clips, too.
    Raises `UsageError`, `InputError`, `OutputError`, `DependencyError`, what opening an engine raises and, where
    `failed_frames` is not "known", the error of the first frame that fails; what is done is kept for `resume`.
    """
    job = _job("a clip", ClipOptions, images, trimap, alpha, mask, options)
    require("av", "video", "reading and writing clips")
    from .clip import matte_clip as matte

    return matte(job, progress)


def make_trimap(
    mask: Any,
    unknown_width: str | float = DEFAULT_UNKNOWN_WIDTH,
    *,
    image: Any = None,
    mask_threshold: str | float | None = None,
    mask_labels: tuple[int, ...] = (),
    unit_range: bool = False,
    max_megapixels: float = MAX_MEGAPIXELS,
) -> NDArray[np.uint8]:
    """Return a trimap (H, W) uint8 of 0 / 128 / 255, made from a binary or soft mask.

    mask: (H, W) bool or uint8, or what `matting.inputs.as_mask` takes for that, such as a PIL image; or the path of a
    mask.
    unknown_width: of the unknown band on each side of the mask's edge, in pixels, or in percent of the square root of
    the object's area, as "2%".
    image: the photo of the mask, (H, W, 3) uint8 RGB, or its path: the band is wider where the photo is hairy.
    mask_threshold: foreground from this value on, in the mask's own numbers, or in percent of the top of their range.
    mask_labels: the class ids that are the object.
    unit_range: the image is float, 0..1.
    max_megapixels: files with larger pictures are refused before they are decoded.
    Raises `InputError`, `UsageError`.
    """
    band, meaning = Band.parse(unknown_width), MaskMeaning.parse(mask_threshold, mask_labels)
    seen = None if image is None else _image(image, unit_range, max_megapixels)
    if _is_name(mask):
        grey, name = read_mask(mask, max_megapixels, meaning=meaning), str(mask)
    else:
        name = "`mask`"
        grey = as_mask(mask)
        chosen = meaning.applied(grey, 255, name)
        grey = grey if chosen is None else chosen
    meaning.check_object(grey, name)
    return from_mask(grey, band, name, seen, checked=True)


def cut_out(
    image: Any,
    alpha: Any,
    *,
    premultiplied: bool = False,
    unit_range: bool = False,
    max_megapixels: float = MAX_MEGAPIXELS,
) -> NDArray[np.uint8]:
    """Return a cut-out (H, W, 4) uint8 RGBA: estimated foreground colours without the old background, and the alpha.

    image: (H, W, 3) uint8 RGB, sRGB-encoded, or what `matting.inputs.as_image` takes for that; or a photo's path.
    alpha: (H, W) float, 0..1, or levels in uint8 or uint16; or its path.
    premultiplied: colours are multiplied by alpha.
    unit_range: the image is float, 0..1.
    max_megapixels: files with larger pictures are refused before they are decoded.
    Raises `InputError`, `ForegroundError`.
    """
    pixels = _image(image, unit_range, max_megapixels)
    opacity = as_alpha(read_alpha(alpha, max_megapixels) if _is_name(alpha) else alpha)
    (height, width), (given_height, given_width) = pixels.shape[:2], opacity.shape
    if pixels.shape[:2] != opacity.shape:
        raise InputError(
            f"`alpha` must be {width}x{height}, as the image is; got {given_width}x{given_height}", parameter="alpha"
        )
    seen = Photo(str(image) if _is_name(image) else "`image`", pixels, pixels)
    colours = estimate_foreground(seen, opacity)
    return np.asarray(cutout_picture(seen, colours, opacity, np.uint8, premultiplied), np.uint8)


def _image(image: Any, unit_range: bool, max_megapixels: float) -> NDArray[np.uint8]:
    return read_image(image, max_megapixels) if _is_name(image) else as_image(image, unit_range)


def _is_name(given: object) -> bool:
    return isinstance(given, str | os.PathLike)


def _job(
    what: str,
    accepted: Callable[..., Any],
    images: JobSpec | Name,
    trimap: Name | None,
    alpha: Name | None,
    mask: Name | None,
    options: Mapping[str, Any],
) -> JobSpec:
    """Return the job that the arguments of a call describe. Raises `UsageError` for what does not apply to `what`.

    accepted: the `TypedDict` of the options that apply.
    """
    names = get_type_hints(accepted)
    if isinstance(images, JobSpec):
        for name, value in {"trimap": trimap, "alpha": alpha, "mask": mask, **options}.items():
            if value is not None:
                raise UsageError(f"`{name}` is said by the JobSpec that is given; say it there", parameter=name)
        strange = [name for spec in (images, images.output, images.plan) for name in _set_beside(spec, names)]
    else:
        strange = [name for name in options if name not in names]
    for name in strange:
        raise UsageError(f"`{name}` does not apply to {what}; leave it out", parameter=name)
    if isinstance(images, JobSpec):
        return images
    if (trimap is None) == (mask is None):
        raise UsageError("`trimap` or `mask` must be given, and not both", parameter="trimap")
    source = _of_type("mask", mask, str) if trimap is None else _of_type("trimap", trimap, str)
    return _built(
        JobSpec,
        {name: value for name, value in options.items() if name not in ("engine", "plan")},
        images=images,
        source=source,
        output=_built(OutputSpec, options, alpha=alpha),
        trimap=_built(TrimapSpec, options, kind="trimap" if mask is None else "mask"),
        engine=_built(EngineSpec, options),
        plan=_built(PlanSpec, options),
    )


def _set_beside(spec: Any, names: Mapping[str, Any]) -> list[str]:
    """Return the fields of a spec that are set and not among `names`, nor specs themselves."""
    return differing(
        spec, *(each.name for each in fields(spec) if each.default is not MISSING and each.name not in names)
    )


def _built(spec: Callable[..., Made], options: Mapping[str, Any], **others: Any) -> Made:
    """Return the spec whose fields are the options of the same names, and `others`, each of its field's type."""
    hints = get_type_hints(spec)
    given = {name: value for name, value in {**options, **others}.items() if name in hints}
    return spec(**{name: _of_type(name, value, hints[name]) for name, value in given.items()})


def _of_type(name: str, given: Any, hint: Any) -> Any:
    """Return a value as a field of the type `hint` has it, a path as text. Raises `UsageError` for any other type."""
    import msgspec

    plain = os.fspath(given) if isinstance(given, os.PathLike) else given
    plain = plain.item() if isinstance(plain, np.generic) else plain
    try:
        return msgspec.convert(plain, hint)
    except msgspec.ValidationError as error:
        if str(error).startswith("Invalid enum value"):
            return plain  # which the spec answers with the choices that there are
        raise UsageError(f"`{name}` must be {formatannotation(hint)}; got {given!r}", parameter=name) from error
