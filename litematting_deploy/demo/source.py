"""What the page is told of a photo, as a trimap."""

from dataclasses import dataclass, field
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..images.mask import MaskMeaning, read_mask, read_trimap
from ..images.photo import Photo
from ..matting.trimap import UNKNOWN, decode, from_mask
from ..matting.unknown_band import Band
from ..specs import Encoding
from .strokes import trimap_of

Kind: TypeAlias = Literal["paint", "mask", "trimap"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True, eq=False)
class Source:
    """layers: of paint, (h, w, 4) uint8 RGBA. path: of the file of a mask or trimap. width: of a mask's band, in
    pixels; adaptive: wider where the photo is hairy. encoding: of a trimap.
    meaning: which values of a mask are the object."""

    kind: Kind
    layers: tuple[NDArray[np.uint8], ...] = ()
    path: str | None = None
    width: float = Band().amount
    adaptive: bool = False
    encoding: Encoding = "exact"
    meaning: MaskMeaning = field(default_factory=MaskMeaning)


def trimap_for(photo: Photo, source: Source, max_megapixels: float) -> NDArray[np.uint8]:
    """The trimap (H, W) of a photo. Raises `InputError`."""
    if source.kind == "paint":
        height, width = photo.pixels.shape[:2]
        return trimap_of(source.layers, (height, width))
    if source.path is None:
        raise InputError(f"there is no {source.kind} yet: choose its file, or paint")
    if source.kind == "trimap":
        grey = photo.fit(read_trimap(source.path, max_megapixels), source.path)
        trimap = decode(grey, source.encoding, source.path)
        if not (trimap == UNKNOWN).any():
            raise InputError(
                f"{source.path}: has no unknown pixels, so that there is nothing to estimate; if it is a mask, choose "
                "Take a mask"
            )
        return trimap
    mask = read_mask(source.path, max_megapixels, photo, source.meaning)
    source.meaning.check_object(mask, source.path)
    return from_mask(mask, Band(source.width), source.path, photo.network, adaptive=source.adaptive, checked=True)
