"""Frames of a clip, which several threads of a job look at."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from litematting_deploy.video import reader
from litematting_deploy.video.colour import planes_of
from litematting_deploy.video.reader import Clip
from tests.video.clips import moving, save_clip


def test_one_thread_at_a_time_converts_a_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PyAV changes a picture's own tags and converter while it converts it, and crashes where two threads do."""
    clip = Clip(str(save_clip(tmp_path / "clip.mp4", moving(1))))
    signal, digest = clip.first.signal(), clip.first.digest()
    planes, bits = planes_of(clip.first.picture, "frame")
    inside, most = threading.Semaphore(0), [0]

    def slowly(*_: Any) -> tuple[list[NDArray[Any]], int]:
        inside.release()
        time.sleep(0.02)
        most[0] = max(most[0], inside._value)
        inside.acquire()
        return planes, bits

    monkeypatch.setattr(reader, "planes_of", slowly)
    with ThreadPoolExecutor(4) as pool:
        signals = [pool.submit(clip.first.signal) for _ in range(4)]
        digests = [pool.submit(clip.first.digest) for _ in range(4)]
        for found in signals:
            np.testing.assert_array_equal(found.result(), signal)
        assert {found.result() for found in digests} == {digest}
    assert most == [1]
