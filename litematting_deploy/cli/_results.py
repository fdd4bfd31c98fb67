"""The options that say what is written of a matte, and the writing; the same in every command that mattes photos."""

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import click
import numpy as np
from numpy.typing import NDArray

from ..errors import ForegroundError, UsageError
from ..images.background import Background
from ..images.depth import DEPTHS, Depth, check_depth, result_dtype
from ..images.image_io import EXR_SUFFIX, RESULT_SUFFIXES, WRITE_SUFFIXES, check_output, write_image
from ..images.photo import Photo
from ..matting.composite import alpha_picture, composite_picture, cutout_picture, foreground_picture
from ..matting.foreground import estimate_foreground
from ..matting.preview import trimap_preview
from .command import stderr

Function = TypeVar("Function", bound=Callable[..., Any])

_OPTIONS = (
    click.option("--cutout", metavar="FILE", help="Also write RGBA with estimated foreground colours: PNG, TIFF, EXR."),
    click.option("--foreground", metavar="FILE", help="Also write the estimated foreground colours alone, opaque."),
    click.option(
        "--background",
        metavar="COLOUR|IMAGE",
        help="Put this behind the cut-out, which is opaque then: #rrggbb, a name such as white, or an image.",
    ),
    click.option(
        "--premultiplied/--straight",
        "premultiplied",
        default=None,
        help="The cut-out's colours times its alpha, or not.  [default: EXR premultiplied, PNG and TIFF straight]",
    ),
    click.option(
        "--depth",
        type=click.Choice(DEPTHS),
        help="Of the results that can have it. PNG and TIFF: 8, 16; EXR: half, float.  [default: loses nothing of the "
        "photo's]",
    ),
    click.option(
        "--preview",
        metavar="FILE",
        help="Also write a picture of what is estimated: the photo with the unknown band tinted and outlined.",
    ),
    click.option(
        "--exposure", type=float, metavar="STOPS", help="Of an EXR photo, for the network only.  [default: 0]"
    ),
)


def result_options(function: Function) -> Function:
    """Add the options to a command."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


@dataclass(frozen=True)
class Results:
    """Which files to write for one photo. premultiplied: None for the default of the cut-out's type of file."""

    alpha: str
    cutout: str | None = None
    foreground: str | None = None
    background: Background | None = None
    premultiplied: bool | None = None
    depth: Depth | None = None
    truncate: bool = False
    preview: str | None = None

    @property
    def files(self) -> tuple[str, ...]:
        """All of them; the preview is the last."""
        named = (self.alpha, self.cutout, self.foreground, self.preview)
        return tuple(path for path in named if path is not None)

    @property
    def pictured(self) -> list[str]:
        """Those that hold alpha or colours of the photo."""
        return [path for path in self.files if path != self.preview]

    @property
    def wants_colours(self) -> bool:
        """Whether the foreground's colours must be estimated."""
        return self.cutout is not None or self.foreground is not None

    def check(self, inputs: tuple[str, ...]) -> None:
        """Raise before any work is done when a file cannot be written, or is one of the inputs or another result."""
        taken: set[str] = set()
        for path in self.files:
            place = os.path.realpath(path)
            if place in taken:
                raise UsageError(f"{path}: the results need two different files; choose another name")
            taken.add(place)
            check_output(path, inputs, WRITE_SUFFIXES if path == self.preview else RESULT_SUFFIXES)

    def check_photo(self, photo: Photo) -> None:
        """Raise `InputError` before the matte is computed when the files of this photo could not be made."""
        if self.wants_colours:
            photo.check_finite()
        if self.cutout is not None and self.background is not None:
            self.background.placed(photo, not _is_exr(self.cutout))

    def clipped_share(self, photo: Photo) -> float:
        """The share, 0..1, of the photo's values whose light PNG and TIFF results of its colours cannot hold."""
        colours = [path for path in (self.cutout, self.foreground) if path is not None and not _is_exr(path)]
        if not (colours and photo.is_linear):
            return 0.0
        return float(np.mean((photo.pixels < 0) | (photo.pixels > 1)))

    def lost_colour(self, photo: Photo) -> str | None:
        """Which chunks of a PNG photo's colours its results in other formats miss, as "cICP, mDCV"; None for none."""
        missed: list[str] = []
        for path in (self.cutout, self.foreground):
            if path is not None and Path(path).suffix.lower() != ".png":
                missed += photo.lost_colour(numbers_kept=not _is_exr(path))
        return ", ".join(dict.fromkeys(missed)) or None

    def write(self, photo: Photo, alpha: NDArray[np.float32]) -> None:
        """Write all files but the preview of a photo and its alpha (H, W), 0..1; each appears whole or not at all.

        The alpha is written first, so that it is there whatever becomes of the colours. Raises `ForegroundError` where
        these cannot be estimated.
        """
        dtypes = {path: result_dtype(path, photo, self.depth) for path in self.pictured}
        if any(dtype != np.uint8 for dtype in dtypes.values()):
            photo = photo.deepened()
        write_image(self.alpha, alpha_picture(photo, alpha, dtypes[self.alpha], self.truncate), photo.metadata)
        if not self.wants_colours:
            return
        try:
            colours = estimate_foreground(photo, alpha)
        except ForegroundError as error:
            raise ForegroundError(f"{error}; {self.alpha} is written, {self._without_alpha} is not") from error
        if self.foreground is not None:
            pixels = foreground_picture(photo, colours, dtypes[self.foreground])
            write_image(self.foreground, pixels, photo.metadata)
        if self.cutout is not None:
            pixels = self._cutout(photo, colours, alpha, dtypes[self.cutout])
            write_image(self.cutout, pixels, photo.metadata, self._is_premultiplied(self.cutout))

    @property
    def _without_alpha(self) -> str:
        return " and ".join(path for path in (self.cutout, self.foreground) if path is not None)

    def _cutout(
        self, photo: Photo, colours: NDArray[Any], alpha: NDArray[np.float32], dtype: type[Any]
    ) -> NDArray[Any]:
        if self.background is not None:
            return composite_picture(photo, colours, alpha, self.background, dtype)
        assert self.cutout is not None
        return cutout_picture(photo, colours, alpha, dtype, self._is_premultiplied(self.cutout), self.truncate)

    def write_preview(self, photo: Photo, trimap: NDArray[np.uint8]) -> None:
        """Write the preview of a photo and its trimap (H, W), where it is wanted."""
        if self.preview is not None:
            look = trimap_preview(trimap, photo.network)
            write_image(self.preview, look if photo.windows is None else photo.windows.show(look))

    def _is_premultiplied(self, path: str) -> bool:
        return _is_exr(path) if self.premultiplied is None else self.premultiplied


def chosen_results(output: str, inputs: tuple[str, ...], options: dict[str, Any]) -> Results:
    """The checked results that the options say; a background is read. Raises `UsageError`, `OutputError`."""
    cutout, background, premultiplied = options["cutout"], options["background"], options["premultiplied"]
    if background is not None and cutout is None:
        raise click.UsageError("--background is what lies behind --cutout FILE; give that, too")
    if premultiplied is not None and (cutout is None or background is not None):
        flag = "--premultiplied" if premultiplied else "--straight"
        raise click.UsageError(f"{flag} is about the alpha channel of --cutout FILE, without --background")
    results = Results(
        output,
        cutout,
        options["foreground"],
        premultiplied=premultiplied,
        depth=options["depth"],
        truncate=options["published"],
        preview=options["preview"],
    )
    results.check(inputs)
    check_depth(results.pictured, results.depth)
    if background is None:
        return results
    return replace(results, background=Background(background, options["max_megapixels"]))


def say_share(share: float) -> str:
    """A share above 0 in percent."""
    return f"{share:.1%}" if share >= 0.001 else "less than 0.1%"


def say_lost(chunks: str, photos: str) -> str:
    """What to say of chunks that results miss."""
    return f"TIFF and OpenEXR cannot hold what {photos} says of its colours ({chunks}); write .png to keep it"


def estimating(results: Results) -> contextlib.AbstractContextManager[Any]:
    """Tells on a terminal what takes its time while results are written."""
    if not results.wants_colours:
        return contextlib.nullcontext()
    return stderr.status("estimating foreground colours (the first time, PyMatting compiles itself for half a minute)")


def _is_exr(path: str) -> bool:
    return Path(path).suffix.lower() == EXR_SUFFIX
