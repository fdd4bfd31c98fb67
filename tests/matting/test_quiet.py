"""The decoders' global state, with several threads inside."""

import os
import threading
import warnings
from pathlib import Path

import pytest
from PIL import Image

from litematting_deploy.matting.quiet import decoders_quiet


def state() -> tuple[int | None, list[object], int]:
    return Image.MAX_IMAGE_PIXELS, list(warnings.filters), os.fstat(2).st_ino


def test_threads_are_inside_together_and_the_last_one_out_restores() -> None:
    before = state()
    both, first_out = threading.Barrier(2, timeout=10), threading.Event()

    def first() -> None:
        with decoders_quiet():
            both.wait()
        first_out.set()

    other = threading.Thread(target=first)
    other.start()
    with decoders_quiet():
        both.wait()
        assert first_out.wait(10)
        assert Image.MAX_IMAGE_PIXELS is None
        assert os.fstat(2).st_ino == Path(os.devnull).stat().st_ino
        warnings.warn("nobody hears this", UserWarning, stacklevel=1)
    other.join()
    assert state() == before


def test_an_error_inside_restores() -> None:
    before = state()
    with pytest.raises(ValueError, match="damaged"), decoders_quiet():
        raise ValueError("damaged")
    assert state() == before
