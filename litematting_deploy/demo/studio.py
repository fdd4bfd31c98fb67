"""One engine and one job at a time, however many pages are open: from a photo and its trimap to the page's files."""

import functools
import shutil
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import ForegroundError, InputError
from ..images.background import Background
from ..images.encode import write_image
from ..images.photo import Photo, read_photo
from ..images.results import result_dtype
from ..jobs.outputs import say_width
from ..jobs.photo import alpha_of
from ..jobs.progress import JobProgress, ProgressMeter, Report
from ..jobs.trimaps import Trimap
from ..matting.composite import alpha_picture, composite_picture, cutout_picture, trimap_preview
from ..matting.foreground import estimate_foreground
from ..matting.trimap import UNKNOWN
from ..runtime import Matter
from ..segmentation.model import Segmenter
from ..server.spec import Limits
from .pictures import backdrop, on_checkerboard, shown, small
from .source import Source

Given = ParamSpec("Given")
Made = TypeVar("Made")


@dataclass(frozen=True, eq=False)
class Matted:
    """A photo that was matted.

    trimap: with the mask that was made from the photo, if one was.
    alpha: (H, W) float32, 0..1.
    colours: of the foreground, (H, W, 3) in the photo's own numbers; None where they could not be estimated.
    failure: why they could not.
    """

    photo: Photo
    trimap: Trimap
    alpha: NDArray[np.float32]
    colours: NDArray[Any] | None
    failure: str | None = None

    @property
    def anything_unknown(self) -> bool:
        """Whether there was anything to estimate."""
        return bool((self.trimap.values == UNKNOWN).any())

    @property
    def summary(self) -> str:
        """What it is, in a line."""
        height, width = self.alpha.shape
        unknown = np.mean(self.trimap.values == UNKNOWN)
        pieces = f"; the mask has {self.trimap.pieces} pieces" if self.trimap.pieces is not None else ""
        band = "" if self.trimap.band_px is None else f"; {say_width(self.trimap.band_px)}"
        return f"{Path(self.photo.path).name}, {width}×{height}, {unknown:.1%} of the pixels are unknown{band}{pieces}"


@dataclass(frozen=True, eq=False)
class Results:
    """The results of a job.

    files: by their names: alpha, trimap and, where the foreground's colours could be estimated, cutout and background.
    shown: small pictures (h, w, 3) uint8 sRGB of these and of the photo; alpha is (h, w).
    """

    files: dict[str, Path]
    shown: dict[str, NDArray[np.uint8]]


def matte(matter: Matter, photo: Photo, trimap: Trimap, report: Report) -> Matted:
    """Matte a photo and estimate its foreground's colours; where these fail, the alpha is kept.

    The alpha is refined, unless the matter was asked not to. report: is called with the progress. Raises `InputError`,
    `NotFiniteError`.
    """
    photo.check_finite()
    meter = ProgressMeter(report)
    meter.begin("patches", 1)
    alpha = alpha_of(photo, trimap.values, matter.refining(matter.asked.refines), meter)
    meter.begin("foreground colours", None)
    try:
        return Matted(photo, trimap, alpha, estimate_foreground(photo, alpha, matter.unmix))
    except ForegroundError as error:
        return Matted(photo, trimap, alpha, None, str(error))


def write_results(matted: Matted, background: Background, folder: Path) -> Results:
    """Write alpha, cut-out, new background and trimap as PNG at the photo's depth. Raises as `write_image`."""
    photo, alpha, stem = matted.photo, matted.alpha, Path(matted.photo.path).stem
    dtype = result_dtype("result.png", photo)
    # What the foreground is like is not needed for these two.
    pictures = {"alpha": alpha_picture(photo, alpha, dtype), "trimap": matted.trimap.values}
    if matted.colours is not None:
        pictures["cutout"] = cutout_picture(photo, matted.colours, alpha, dtype, premultiplied=False)
        pictures["background"] = composite_picture(photo, matted.colours, alpha, background, dtype)
    files = {name: folder / f"{stem}_{name}.png" for name in pictures}
    for name, pixels in pictures.items():
        write_image(files[name], pixels, photo.metadata)
    opacity = small(pictures["alpha"].astype(np.float32) / np.float32(np.iinfo(dtype).max))
    looks = {
        "photo": small(photo.network if photo.windows is None else photo.windows.show(photo.network)),
        "alpha": np.rint(opacity * 255).astype(np.uint8),
        "trimap": small(trimap_preview(matted.trimap.values, photo.network, matted.trimap.mask, matted.trimap.box)),
    }
    if matted.colours is not None:
        looks["cutout"] = on_checkerboard(shown(photo, pictures["cutout"][:, :, :3]), opacity)
        looks["background"] = shown(photo, pictures["background"])
    return Results(files, looks)


def _in_worker(method: Callable[Concatenate["Studio", Given], Made]) -> Callable[Concatenate["Studio", Given], Made]:
    """Return what runs a method in the worker's thread, in its caller's context, which says whose progress it is."""

    @functools.wraps(method)
    def submitted(studio: "Studio", /, *given: Given.args, **named: Given.kwargs) -> Made:
        return studio.worker.submit(copy_context().run, lambda: method(studio, *given, **named)).result()

    return submitted


class Studio:
    """The worker behind all pages, in one thread, which opens the engine, too: a GPU's context belongs to a thread.

    Only the last job is kept, so that memory does not grow with the pages.
    """

    def __init__(
        self,
        open_matter: Callable[[], Matter],
        folder: Path,
        limits: Limits,
        open_segmenter: Callable[[], Segmenter | None] = lambda: None,
    ) -> None:
        """Open the engine, and a segmenter, if there is one. folder: where results go. Raises what these raise."""
        self.folder, self.limits = folder, limits
        self._results = folder / "results"
        self.worker = ThreadPoolExecutor(1, "matting")
        self._closing = False
        self._kept: tuple[str, Matted] | None = None
        self.segmenter = self.worker.submit(open_segmenter).result()
        self._matter = self.worker.submit(open_matter).result()

    @property
    def engine(self) -> str:
        """The engine and its device, in words."""
        return self._matter.engine.describe()

    @_in_worker
    def look(self, photo: str) -> NDArray[np.uint8]:
        """Return a photo to paint on, small (h, w, 3) uint8. Raises `InputError`."""
        return small(read_photo(photo, self.limits.megapixels).network)

    @_in_worker
    def cut_out(
        self, photo: str | None, source: Source, colour: str, image: str | None, report: Report
    ) -> tuple[str, Matted, Results]:
        """Matte a photo, and return a token to ask for another background with, and what was made.

        report: is called with the progress. Raises `InputError`.
        """
        if photo is None:
            raise InputError("no photo yet: choose one, or try the example")
        picture = read_photo(photo, self.limits.megapixels)
        trimap = source.trimap(picture, self.limits.megapixels, self.segmenter)
        behind = self._behind(picture, colour, image)
        self._kept = None  # its memory is needed
        matted = matte(self._matter, picture, trimap, self._unless_closing(report))
        token = uuid.uuid4().hex
        self._kept = token, matted
        return token, matted, write_results(matted, behind, self._results)

    @_in_worker
    def put_behind(self, token: str | None, colour: str, image: str | None) -> Results:
        """Put another background behind the last job's cut-out. Raises `InputError` where it was another page's job."""
        if self._kept is None or self._kept[0] != token:
            raise InputError("the cut-out of this page is no longer stored: press Cut out first")
        matted = self._kept[1]
        return write_results(matted, self._behind(matted.photo, colour, image), self._results)

    def close(self) -> None:
        """End the job after its present patch, and close the engine."""
        self._closing = True
        self.worker.submit(self._matter.close)
        if self.segmenter is not None:
            self.worker.submit(self.segmenter.close)
        self.worker.shutdown()

    def _behind(self, photo: Photo, colour: str, image: str | None) -> Background:
        """Return a background that fits the photo; delete the files of the job before, of which Gradio has copies."""
        shutil.rmtree(self._results, ignore_errors=True)
        self._results.mkdir()
        behind = backdrop(colour, image, self.limits.megapixels)
        behind.placed(photo, shown=True)  # raises where it cannot be
        return behind

    def _unless_closing(self, report: Report) -> Report:
        """Return what passes the progress on and, once the server ends, stops the job at its next report."""

        def tell(progress: JobProgress) -> None:
            if self._closing:
                raise InputError("the server is shutting down")
            report(progress)

        return tell
