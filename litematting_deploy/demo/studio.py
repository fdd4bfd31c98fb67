"""One engine and one job at a time, however many pages are open."""

import shutil
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path
from typing import ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..images.background import Background
from ..images.photo import Photo, read_photo
from ..runtime import Matter
from .backdrop import backdrop
from .job import Matted, Results, Told, matte, write_results
from .limits import Limits
from .preview import small
from .source import Source, trimap_for

Wanted = ParamSpec("Wanted")
Result = TypeVar("Result")


class Studio:
    """Does what the page asks for, in a thread of its own, in which the engine was opened, too: a GPU's context belongs
    to a thread. Only the last job is kept, so that memory does not grow with the pages."""

    def __init__(self, open_matter: Callable[[], Matter], folder: Path, limits: Limits) -> None:
        """folder: where results go. Raises what opening the engine raises."""
        self.folder, self.limits = folder, limits
        self._results = folder / "results"
        self._worker = ThreadPoolExecutor(1, "matting")
        self._closing = False
        self._kept: tuple[str, Matted] | None = None
        try:
            self._matter = self._worker.submit(open_matter).result()
        except BaseException:
            self._worker.shutdown()
            raise

    @property
    def engine(self) -> str:
        """What computes, and where."""
        return self._matter.engine.describe()

    def look(self, photo: str) -> NDArray[np.uint8]:
        """A photo to paint on, small (h, w, 3) uint8. Raises `InputError`."""
        return self._do(lambda: small(read_photo(photo, self.limits.megapixels).network))

    def cut_out(
        self, photo: str | None, source: Source, colour: str, image: str | None, told: Told
    ) -> tuple[str, Matted, Results]:
        """Matte a photo; also a token to ask for another background with. Raises `InputError`."""

        def work() -> tuple[str, Matted, Results]:
            if photo is None:
                raise InputError("there is no photo yet: choose one, or try the example")
            picture = read_photo(photo, self.limits.megapixels)
            trimap = trimap_for(picture, source, self.limits.megapixels)
            behind = self._behind(picture, colour, image)
            self._kept = None  # its memory is needed
            matted = matte(self._matter, picture, trimap, self._unless_closing(told))
            token = uuid.uuid4().hex
            self._kept = token, matted
            return token, matted, write_results(matted, behind, self._results)

        return self._do(work)

    def put_behind(self, token: str | None, colour: str, image: str | None) -> Results:
        """The last job's cut-out over another background. Raises `InputError` where it was another page's job."""

        def work() -> Results:
            if self._kept is None or self._kept[0] != token:
                raise InputError("there is no cut-out of this page any more: press Cut out first")
            matted = self._kept[1]
            return write_results(matted, self._behind(matted.photo, colour, image), self._results)

        return self._do(work)

    def close(self) -> None:
        """End the job after the patch that it is at, and the engine."""
        self._closing = True
        self._worker.submit(self._matter.close)
        self._worker.shutdown()

    def _behind(self, photo: Photo, colour: str, image: str | None) -> Background:
        """A background that fits the photo; the files of the job before go, of which Gradio has copies."""
        shutil.rmtree(self._results, ignore_errors=True)
        self._results.mkdir()
        behind = backdrop(colour, image, photo, self._results, self.limits.megapixels)
        behind.placed(photo, shown=True)  # raises where it cannot be
        return behind

    def _unless_closing(self, told: Told) -> Told:
        def tell(done: int, total: int, what: str) -> None:
            if self._closing:
                raise InputError("the server is being stopped")
            told(done, total, what)

        return tell

    def _do(self, work: Callable[[], Result]) -> Result:
        return self._worker.submit(copy_context().run, work).result()  # the context says whose progress it is
