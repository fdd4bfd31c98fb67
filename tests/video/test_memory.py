"""Memory is flat over a clip's length."""

import gc
import json
from collections import Counter
from pathlib import Path

import click
import pytest

from litematting_deploy.cli.infer import main
from litematting_deploy.runtime.assets import TINY_ENGINE
from litematting_deploy.video import segments
from tests.conftest import run
from tests.video.clips import grey_clip, moving, save_clip, trimaps


@pytest.mark.filterwarnings("ignore:.*no sidecar")
def test_no_picture_waits_for_garbage_to_be_collected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip, trimap_clip = save_clip(tmp_path / "c.mov", moving(40)), grey_clip(tmp_path / "t.mp4", trimaps(40))
    close, living = segments.Segments.close, []

    def counted(self: segments.Segments) -> None:
        close(self)
        living.append(Counter(type(thing).__name__ for thing in gc.get_objects()))

    monkeypatch.setattr(segments.Segments, "close", counted)
    arguments = [str(clip), str(trimap_clip), "-o", str(tmp_path / "m.mkv"), "--segment", "10"]
    gc.collect()
    gc.disable()
    try:
        click.Command.main(main, [*arguments, "--engine", str(TINY_ENGINE)], standalone_mode=False)
    finally:
        gc.enable()
    assert len(living) >= 4
    for kind in ("VideoFrame", "OutputContainer", "VideoCodecContext"):
        assert max(count[kind] for count in living) < 25, kind
    assert living[0]["VideoFrame"] > 0


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
