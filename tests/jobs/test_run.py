"""The job around frames, with steps that do nothing else."""

import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from litematting_deploy.errors import DeviceError, InputError, OutputError
from litematting_deploy.jobs.frames import Frame
from litematting_deploy.jobs.run import AHEAD, Done, Steps, run

FRAMES = [Frame(str(number), Path(f"{number}.png"), None) for number in range(8)]


class Recorded:
    """Steps that note what happens, and fail where they are told to."""

    def __init__(self, **failures: BaseException) -> None:
        self.failures = failures
        self.loaded: list[str] = []
        self.saved: list[str] = []
        self.most_ahead = 0

    def steps(self) -> Steps[Any, Any]:
        return Steps(self.load, self.matte, self.save)

    def fail(self, step: str, name: str) -> None:
        if f"{step}_{name}" in self.failures:
            raise self.failures[f"{step}_{name}"]

    def load(self, frame: Frame) -> str:
        assert threading.current_thread() is not threading.main_thread()
        self.loaded.append(frame.name)
        self.most_ahead = max(self.most_ahead, len(self.loaded) - len(self.saved))
        self.fail("load", frame.name)
        return frame.name

    def matte(self, loaded: Iterable[str]) -> Iterator[str]:
        """As a device does it: the next frame is taken before the last is given."""
        last = None
        for name in loaded:
            assert threading.current_thread() is threading.main_thread()
            self.fail("matte", name)
            if last is not None:
                yield f"alpha of {last}"
            last = name
        if last is not None:
            yield f"alpha of {last}"

    def save(self, frame: Frame, loaded: str, matted: str) -> None:
        assert (loaded, matted) == (frame.name, f"alpha of {frame.name}")
        self.fail("save", frame.name)
        self.saved.append(frame.name)


def test_every_frame_is_matted_in_order() -> None:
    recorded = Recorded()
    assert list(run(FRAMES, recorded.steps())) == [Done(frame) for frame in FRAMES]
    assert recorded.saved == [frame.name for frame in FRAMES]
    assert sorted(recorded.loaded) == recorded.saved
    assert recorded.most_ahead <= 2 * AHEAD + 4
    assert not list(run([], recorded.steps()))


def test_frames_are_read_beside_each_other() -> None:
    recorded, together = Recorded(), threading.Barrier(AHEAD, timeout=10)

    def load(frame: Frame) -> str:
        together.wait()
        return recorded.load(frame)

    assert list(run(FRAMES, Steps(load, recorded.matte, recorded.save))) == [Done(frame) for frame in FRAMES]


def test_computing_goes_on_while_others_are_read_and_written() -> None:
    """Each waits for the other: what is done one after the other would wait in vain."""
    recorded, read_on, computed_on = Recorded(), threading.Event(), threading.Event()

    def load(frame: Frame) -> str:
        if frame.name == "1":
            read_on.set()
        return recorded.load(frame)

    def matte(loaded: Iterable[str]) -> Iterator[str]:
        for name in loaded:
            if name == "0":
                assert read_on.wait(10), "frame 1 is read while frame 0 is computed"
            if name == "1":
                computed_on.set()
            yield f"alpha of {name}"

    def save(frame: Frame, loaded: str, matted: str) -> None:
        if frame.name == "0" and not computed_on.wait(10):
            raise InputError("frame 1 is not computed while frame 0 is written")
        recorded.save(frame, loaded, matted)

    assert list(run(FRAMES, Steps(load, matte, save))) == [Done(frame) for frame in FRAMES]


def test_frames_that_fail_are_told_and_the_job_goes_on() -> None:
    recorded = Recorded(load_0=InputError("0.png:\ndamaged"), load_7=MemoryError(), save_3=InputError("no colours"))
    done = {item.frame.name: item.failure for item in run(FRAMES, recorded.steps())}
    assert {name: failure for name, failure in done.items() if failure} == {
        "0": "0.png: damaged",
        "3": "no colours",
        "7": "out of memory; use smaller frames or a smaller --batch",
    }
    assert set(done) == {frame.name for frame in FRAMES}
    assert recorded.saved == ["1", "2", "4", "5", "6"]


def test_every_frame_may_fail() -> None:
    recorded = Recorded(**{f"load_{frame.name}": InputError("damaged") for frame in FRAMES})
    assert [item.failure for item in run(FRAMES, recorded.steps())] == ["damaged"] * len(FRAMES)


@pytest.mark.parametrize(
    ("where", "error"),
    [("save_2", OutputError("disk full")), ("matte_3", DeviceError("lost")), ("load_2", KeyError("a mistake of ours"))],
)
def test_what_no_frame_survives_ends_the_job(where: str, error: BaseException) -> None:
    recorded = Recorded(**{where: error})
    with pytest.raises(type(error)):
        list(run(FRAMES, recorded.steps()))
    assert "7" not in recorded.saved
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(("read", "write"))]


def test_given_up_in_the_middle() -> None:
    recorded = Recorded()
    job = run(FRAMES, recorded.steps())
    next(job)
    job.close()  # type: ignore[attr-defined]  # it is a generator
    assert 1 <= len(recorded.saved) < len(FRAMES)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(("read", "write"))]
