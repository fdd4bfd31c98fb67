"""Many images in order: pairs taken apart, copies one image ahead, and what is told where one of them fails."""

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from ..errors import NotFiniteError, UsageError, shown
from ..matting.trimap import no_unknown
from ..parameters import Callback
from .device_stitch import Job

MASK_REMEDY = "make a trimap from it with make_trimap"
"""What to do with a mask that is given as a trimap."""


def one_ahead(jobs: Iterator[Job], collected: Callable[[Job], Any], give_up: Callable[[Job], None]) -> Iterator[Any]:
    """Yield what is collected of each job after the next one is submitted.

    If `jobs` raises, what was submitted before comes first. Jobs that nobody asks for any more are given up.
    """
    waiting: deque[Job] = deque()
    failure: Exception | None = None
    try:
        while failure is None:
            try:
                waiting.append(next(jobs))
            except StopIteration:
                break
            except Exception as error:  # noqa: BLE001  # raised again below
                failure = error
            else:
                if len(waiting) > 1:
                    yield collected(waiting.popleft())
        while waiting:
            yield collected(waiting.popleft())
    finally:
        for job in waiting:
            give_up(job)
    if failure is not None:
        raise failure


def or_error(matted: Callable[[], Any], told: Callback, go_on: bool) -> Any:
    """Return an alpha or, if the job goes on, why there is none; raise what the caller's own function has raised."""
    try:
        return matted()
    except NotFiniteError as error:
        if not go_on or error is told.raised:
            raise
        return error


def pairs_of(frames: Any) -> Iterator[tuple[Any, Any]]:
    """Return an iterator over images and their trimaps. Raises `UsageError` at once for what holds none."""
    try:
        rest = iter(frames)
    except TypeError as error:
        raise UsageError(f"`frames` must be images with their trimaps; got {shown(frames)}") from error
    return map(_pair, rest)


def _pair(frame: Any) -> tuple[Any, Any]:
    """Return an image and its trimap. Raises `UsageError`."""
    try:
        image, trimap = frame
    except (TypeError, ValueError) as error:
        raise UsageError(f"`frames` must be pairs of an image and its trimap; got {shown(frame)}") from error
    return image, trimap


def with_unknown(alphas: Iterator[Any], unknown: list[bool]) -> Iterator[Any]:
    """Yield alphas; then raise `InputError` where none of their trimaps had unknown pixels. unknown: whether each had
    some; it grows meanwhile."""
    yield from alphas
    if unknown and not any(unknown):
        raise no_unknown("`frames`", MASK_REMEDY)
