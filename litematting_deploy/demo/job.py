"""From a photo and its trimap to the files that the page offers."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import NotFiniteError
from ..matting.background import Background
from ..matting.cutout import alpha_picture, composite_picture, cutout_picture
from ..matting.depth import result_dtype
from ..matting.foreground import estimate_foreground
from ..matting.image_io import write_image
from ..matting.photo import Photo
from ..matting.trimap import UNKNOWN
from ..matting.trimap_preview import trimap_preview
from ..runtime import Matter
from .preview import on_checkerboard, shown, small

Told = Callable[[int, int, str], None]
"""Called with how much is done, of how much, and what is being done."""

MATTING = "matting, patch by patch"
ESTIMATING = "foreground colours (PyMatting compiles itself the first time, for half a minute)"


@dataclass(frozen=True, eq=False)
class Matted:
    """A photo with its trimap, its alpha (H, W), 0..1, and its foreground's colours in the photo's own numbers."""

    photo: Photo
    trimap: NDArray[np.uint8]
    alpha: NDArray[np.float32]
    colours: NDArray[Any]

    @property
    def anything_unknown(self) -> bool:
        """Whether there was anything to estimate."""
        return bool((self.trimap == UNKNOWN).any())

    @property
    def summary(self) -> str:
        """What it is, in a line."""
        height, width = self.alpha.shape
        return f"{Path(self.photo.path).name}, {width}×{height}, {np.mean(self.trimap == UNKNOWN):.1%} was unknown"


@dataclass(frozen=True, eq=False)
class Results:
    """The files of a job, and small pictures (h, w, 3) uint8 sRGB of them; `alpha` is (h, w)."""

    files: dict[str, Path]
    before: NDArray[np.uint8]
    background: NDArray[np.uint8]
    cutout: NDArray[np.uint8]
    alpha: NDArray[np.uint8]
    trimap: NDArray[np.uint8]


def matte(matter: Matter, photo: Photo, trimap: NDArray[np.uint8], told: Told) -> Matted:
    """All that takes time. Raises `InputError`, `NotFiniteError`."""
    photo.check_finite()
    told(0, 1, MATTING)
    try:
        alpha = matter(photo.network, trimap, lambda done, total: told(done, total, MATTING))
    except NotFiniteError as error:
        raise NotFiniteError(f"{Path(photo.path).name}: {error}") from error
    told(1, 1, ESTIMATING)
    return Matted(photo, trimap, alpha, estimate_foreground(photo, alpha))


def write_results(matted: Matted, background: Background, folder: Path) -> Results:
    """Write alpha, cut-out, new background and trimap as PNG at the photo's depth. Raises as `write_image`."""
    photo, alpha, stem = matted.photo, matted.alpha, Path(matted.photo.path).stem
    dtype = result_dtype("result.png", photo)
    pictures = {
        "alpha": alpha_picture(photo, alpha, dtype),
        "cutout": cutout_picture(photo, matted.colours, alpha, dtype, premultiplied=False),
        "background": composite_picture(photo, matted.colours, alpha, background, dtype),
        "trimap": matted.trimap,
    }
    files = {name: folder / f"{stem}_{name}.png" for name in pictures}
    for name, pixels in pictures.items():
        write_image(files[name], pixels, photo.metadata)
    cutout, top = pictures["cutout"], np.float32(np.iinfo(dtype).max)
    opacity = small(cutout[:, :, 3].astype(np.float32) / top)
    seen = photo.network if photo.windows is None else photo.windows.show(photo.network)
    return Results(
        files=files,
        before=small(seen),
        background=shown(photo, pictures["background"]),
        cutout=on_checkerboard(shown(photo, cutout[:, :, :3]), opacity),
        alpha=np.rint(opacity * 255).astype(np.uint8),
        trimap=small(trimap_preview(matted.trimap, photo.network)),
    )
