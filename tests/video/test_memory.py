"""Memory is flat over a clip's length."""

import gc
import json
from collections import Counter
from pathlib import Path

import click
import pytest

from litematting_deploy.cli.infer import main
from litematting_deploy.runtime.shipped import TINY_ENGINE
from tests.conftest import run
from tests.video.clips import grey_clip, moving, save_clip, trimaps


@pytest.mark.filterwarnings("ignore:.*no sidecar")
def test_no_picture_waits_for_garbage_to_be_collected(tmp_path: Path) -> None:
    clip, trimap_clip = save_clip(tmp_path / "c.mov", moving(40)), grey_clip(tmp_path / "t.mp4", trimaps(40))
    arguments = [str(clip), str(trimap_clip), "-o", str(tmp_path / "m.mkv"), "--segment", "10"]
    gc.collect()
    before = living()
    gc.disable()
    try:
        click.Command.main(main, [*arguments, "--engine", str(TINY_ENGINE)], standalone_mode=False)
        left = living() - before  # not while other threads run: looking breaks the tuples that they are making
    finally:
        gc.enable()
    assert (tmp_path / "m.mkv").exists()
    assert not left


def living() -> Counter[str]:
    """What is large of PyAV's."""
    kinds = ("VideoFrame", "InputContainer", "OutputContainer", "VideoCodecContext")
    return Counter(name for thing in gc.get_objects() if (name := type(thing).__name__) in kinds)


@pytest.mark.slow
@pytest.mark.heavy
def test_the_peak_is_that_of_a_shorter_clip(tmp_path: Path) -> None:
    peaks = []
    for count in (100, 600):
        clip = save_clip(tmp_path / f"{count}.mov", moving(count))
        trimap_clip = grey_clip(tmp_path / f"{count}.mp4", trimaps(count))
        timings = ("--timings", tmp_path / "t.json", "--engine", TINY_ENGINE)
        result = run("ltm-infer", clip, trimap_clip, "-o", tmp_path / "m.mkv", *timings)
        assert result.code == 0, result
        peaks.append(json.loads((tmp_path / "t.json").read_text())["peak_memory_mb"])
    assert peaks[1] < peaks[0] + 5, peaks
