"""Decoders without limits and messages of their own, for any number of threads at once."""

import contextlib
import os
import threading
import warnings
from collections.abc import Iterator

from PIL import Image

_lock = threading.Lock()
_inside = 0
_restore = contextlib.ExitStack()


@contextlib.contextmanager
def decoders_quiet() -> Iterator[None]:
    """Pillow without its own pixel limit and warnings; libtiff and OpenEXR without messages on the standard error.

    All are global to the process: the first thread in here changes them, the last one out restores them. The limit is
    an option of ours, and checked before anything is decoded.
    """
    global _inside
    with _lock:
        if _inside == 0:
            _silence()
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                _restore.close()


def _silence() -> None:
    with contextlib.ExitStack() as restore:
        restore.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        restore.callback(setattr, Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
        Image.MAX_IMAGE_PIXELS = None
        stderr, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
        for descriptor in (stderr, nowhere):
            restore.callback(os.close, descriptor)
        os.dup2(nowhere, 2)
        restore.callback(os.dup2, stderr, 2)
        _restore.push(restore.pop_all())
