"""From a photo and its trimap to the files that the page offers."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ForegroundError, NotFiniteError
from ..images.background import Background
from ..images.encode import write_image
from ..images.photo import Photo
from ..images.results import result_dtype
from ..matting.composite import alpha_picture, composite_picture, cutout_picture, trimap_preview
from ..matting.foreground import estimate_foreground
from ..matting.trimap import UNKNOWN
from ..runtime import Matter
from .preview import on_checkerboard, shown, small

Told = Callable[[int, int, str], None]
"""Called with how much is done, of how much, and what is being done."""

MATTING = "matting, patch by patch"
ESTIMATING = "foreground colours (PyMatting compiles itself the first time, for half a minute)"


@dataclass(frozen=True, eq=False)
class Matted:
    """A photo with its trimap, its alpha (H, W), 0..1, and its foreground's colours in the photo's own numbers; None
    where these could not be estimated, for which `failure` says why."""

    photo: Photo
    trimap: NDArray[np.uint8]
    alpha: NDArray[np.float32]
    colours: NDArray[Any] | None
    failure: str | None = None

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
    """The files of a job, and small pictures (h, w, 3) uint8 sRGB of them; `alpha` is (h, w). Without colours there are
    no `background` and `cutout`."""

    files: dict[str, Path]
    before: NDArray[np.uint8]
    background: NDArray[np.uint8] | None
    cutout: NDArray[np.uint8] | None
    alpha: NDArray[np.uint8]
    trimap: NDArray[np.uint8]


def matte(matter: Matter, photo: Photo, trimap: NDArray[np.uint8], told: Told) -> Matted:
    """All that takes time; where colours fail, the alpha is kept. Raises `InputError`, `NotFiniteError`."""
    photo.check_finite()
    told(0, 1, MATTING)
    try:
        alpha = matter(photo.network, trimap, lambda done, total: told(done, total, MATTING))
    except NotFiniteError as error:
        raise NotFiniteError(f"{Path(photo.path).name}: {error}") from error
    told(1, 1, ESTIMATING)
    try:
        return Matted(photo, trimap, alpha, estimate_foreground(photo, alpha))
    except ForegroundError as error:
        return Matted(photo, trimap, alpha, None, str(error))


def write_results(matted: Matted, background: Background, folder: Path) -> Results:
    """Write alpha, cut-out, new background and trimap as PNG at the photo's depth. Raises as `write_image`."""
    photo, alpha, stem = matted.photo, matted.alpha, Path(matted.photo.path).stem
    dtype = result_dtype("result.png", photo)
    pictures = {"alpha": alpha_picture(photo, alpha, dtype), "trimap": matted.trimap}
    if matted.colours is not None:
        pictures["cutout"] = cutout_picture(photo, matted.colours, alpha, dtype, premultiplied=False)
        pictures["background"] = composite_picture(photo, matted.colours, alpha, background, dtype)
    files = {name: folder / f"{stem}_{name}.png" for name in pictures}
    for name, pixels in pictures.items():
        write_image(files[name], pixels, photo.metadata)
    opacity = small(pictures["alpha"].astype(np.float32) / np.float32(np.iinfo(dtype).max))
    seen = photo.network if photo.windows is None else photo.windows.show(photo.network)
    return Results(
        files=files,
        before=small(seen),
        background=shown(photo, pictures["background"]) if "background" in pictures else None,
        cutout=on_checkerboard(shown(photo, pictures["cutout"][:, :, :3]), opacity) if "cutout" in pictures else None,
        alpha=np.rint(opacity * 255).astype(np.uint8),
        trimap=small(trimap_preview(matted.trimap, photo.network)),
    )
