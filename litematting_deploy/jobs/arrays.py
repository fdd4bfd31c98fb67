"""Calls of a Python program that take and return arrays: a trimap from a mask or an image, a cut-out from an alpha.

They also take files, PIL images and whatever else `matting.inputs` accepts. Every call raises the errors of this
package alone.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping
from typing import Any, TypedDict, Unpack

import numpy as np
from numpy.typing import NDArray

from ..errors import DimMaskError, InputError, UsageError, naming, shown
from ..images.mask import MaskMeaning, read_alpha, read_mask, read_strokes
from ..images.mask_checks import LEAST_SURE
from ..images.photo import Photo, read_image
from ..matting.composite import cutout_picture
from ..matting.foreground import estimate_foreground
from ..matting.inputs import as_alpha, as_image, as_mask, as_strokes
from ..parameters import path_text
from ..segmentation.box import Box
from ..segmentation.maker import MaskMaker
from ..segmentation.model import Segmenter
from ..specs import MAX_MEGAPIXELS, TrimapSpec
from .api import Name
from .trimaps import made_trimap, meaning_of, trimap_of


class MaskOptions(TypedDict, total=False):
    """What `make_trimap` takes by name about masks: fields of `TrimapSpec`.

    - `mask_threshold`: foreground from this value on, in the mask's own numbers, or in percent of their range.
    - `mask_labels`: the class ids that are the subject.
    - `key_tolerance`: up to which share of the way from the `key` to grey a colour is background, 0..1.
    - `key_softness`: the share of that way, beyond the tolerance, over which it becomes foreground, 0..1.
    - `doubt`: a mask is background up to the first of these values, 0..1, and foreground from the second.
    - `largest`: how many of the mask's largest pieces are kept.
    """

    mask_threshold: str | float | None
    mask_labels: tuple[int, ...]
    key_tolerance: float | None
    key_softness: float | None
    doubt: tuple[float, float] | None
    largest: int | None


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
    unit_range: bool = False,
    max_megapixels: float = MAX_MEGAPIXELS,
    **options: Unpack[MaskOptions],
) -> NDArray[np.uint8]:
    """Return a trimap (H, W) uint8 of 0 / 128 / 255, made from a binary or soft mask, or from an image alone.

    - `mask`: (H, W) bool or uint8, or what `matting.inputs.as_mask` accepts as one, such as a PIL image; or the path of
      a mask. With `box`, `key`, `plate` or `segmenter`, which make a mask, the image.
    - `unknown_width`: width of the unknown band on each side of the mask's edge, in pixels, or in percent of the square
      root of the object's area, such as "2%"; by default 15 pixels, or a width that depends on how the mask was made.
    - `image`: the photo of the mask, (H, W, 3) uint8 RGB, or its path.
    - `box`: x, y, width and height of the subject's box, in pixels.
    - `key`: the colour of the screen behind the subject, see `segmentation.key.mask_from_key`.
    - `plate`: an image of the same view without it.
    - `segmenter`: a `Segmenter`, or the path of its ONNX, which is opened for this call only.
    - `sure_foreground`, `sure_background`: masks of what a mask made from the image must contain, and must not contain.
    - `adaptive`: widen the band where fine edges in the image, such as hair, continue past it; by default if a mask is
      given with its image.
    - `unit_range`: images are float, 0..1.
    - `max_megapixels`: refuse files with larger pictures before decoding them.
    - `options`: how the mask is made or read; see `MaskOptions`.

    Raises `InputError`, `UsageError`, and what opening a segmenter raises.
    """
    if isinstance(box, np.ndarray) and box.dtype.kind in "iu":  # as detectors give it
        box = tuple(box.tolist())
    pictures = {"plate": plate, "segmenter": segmenter}
    strokes = {"sure_foreground": sure_foreground, "sure_background": sure_background}
    # Arrays and opened segmenters are no fields of a spec, which checks all else.
    named: dict[str, Any] = {name: "given" for name, value in (pictures | strokes).items() if value is not None}
    for name in options.keys() - MaskOptions.__annotations__.keys():
        raise UsageError(f"`{name}` does not apply to `make_trimap`; leave it out", parameter=name)
    kind = "mask" if box is None and key is None and plate is None and segmenter is None else "photo"
    adaptive = adaptive if adaptive is not None else mask is not None and image is not None
    options_of_ways = named | {"box": box, "key": key, "unknown_width": unknown_width, "adaptive": adaptive}
    spec = TrimapSpec.of(options_of_ways | options, kind=kind)
    with _files(mask=mask, image=image, **pictures, **strokes):
        if spec.kind == "mask":
            seen = None if image is None else _image(image, unit_range, max_megapixels)
            return _from_given(mask, seen, spec, max_megapixels)
        if (mask is None) == (image is None):
            raise UsageError(
                f"`image` must be given without a mask, since `{spec.ways[0]}` makes one from it", parameter="image"
            )
        pixels = _image(mask if image is None else image, unit_range, max_megapixels)
        with _maker(spec, plate, segmenter, strokes, unit_range, max_megapixels) as maker:
            return made_trimap(pixels, spec, maker, "`image`").values


@contextlib.contextmanager
def _maker(
    spec: TrimapSpec,
    plate: Any,
    segmenter: Segmenter | Name | None,
    strokes: Mapping[str, Any],
    unit_range: bool,
    max_megapixels: float,
) -> Iterator[MaskMaker]:
    """Open what makes the mask of an image, for as long as the context lasts; the arguments as `make_trimap` has them.

    strokes: those of sure foreground, then those of sure background.
    """
    foreground, background = (_strokes(name, stroke, max_megapixels) for name, stroke in strokes.items())
    other = None if plate is None else _image(plate, unit_range, max_megapixels, "plate")
    with contextlib.ExitStack() as stack:
        if isinstance(segmenter, str | os.PathLike):
            segmenter = stack.enter_context(Segmenter(path_text("segmenter", segmenter)))
        elif not isinstance(segmenter, Segmenter | None):
            raise UsageError(f"`segmenter` must be a Segmenter, or the path of its ONNX; got {shown(segmenter)}")
        yield MaskMaker(
            box=spec.box,
            key=spec.key,
            key_tolerance=spec.key_tolerance,
            key_softness=spec.key_softness,
            plate=other,
            segmenter=segmenter,
            foreground=foreground,
            background=background,
        )


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
    return trimap_of(grey, spec, name, image).values


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


def _files(**given: Any) -> contextlib.AbstractContextManager[None]:
    """Give errors about files the `parameter` that stands for them. Raises `UsageError` for what no path is."""
    paths = {name: path_text(name, each) for name, each in given.items() if _is_name(each)}
    return naming(lambda: paths)


def _is_name(given: object) -> bool:
    """Return whether an argument is the path of a file rather than its pixels."""
    return isinstance(given, str | os.PathLike)
