"""The comparison of two records sees what differs, and passes over what time does."""

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.images.files import save_exr
from tests.video.clips import moving, save_clip

compare: Any = importlib.import_module("benchmarks.record.compare")
record: Any = importlib.import_module("benchmarks.record.__main__")
PIXELS = (np.arange(60 * 3) % 251).astype(np.uint8).reshape(6, 10, 3)


def changed(index: tuple[int, ...], by: int) -> Any:
    pixels = PIXELS.copy()
    pixels[index] += by
    return pixels


def png(pixels: Any, **options: Any) -> Callable[[Path], object]:
    return lambda path: Image.fromarray(pixels).save(path, "PNG", **options)


def tiff(pixels: Any) -> Callable[[Path], object]:
    return lambda path: Image.fromarray(pixels).save(path)


def exr(**attributes: str) -> Callable[[Path], object]:
    return lambda path: save_exr(path, {"A": PIXELS[:, :, 0].astype(np.float16)}, attributes)


def clip(luma: int = 0, last: int = 2002) -> Callable[[Path], object]:
    frames = moving(3)
    frames[1][0][5, 7] += luma
    return lambda path: save_clip(path, frames, "ffv1", options={}, times=[0, 1001, last])


def text(content: Any) -> Callable[[Path], object]:
    return lambda path: path.write_text(content if isinstance(content, str) else json.dumps(content))


GAMMA = PngInfo()
GAMMA.add(b"gAMA", (45455).to_bytes(4, "big"))


@pytest.mark.parametrize(
    ("name", "old", "new", "words"),
    [
        ("a.png", png(PIXELS), png(PIXELS), []),
        ("a.png", png(PIXELS), png(changed((2, 3, 1), 3)), ["pixels: 1 of 180 values differ, by 3 at most"]),
        ("a.png", png(PIXELS), png(PIXELS[:, :9]), ["pixels: uint8 (6, 10, 3) -> uint8 (6, 9, 3)", "chunks"]),
        ("a.png", png(PIXELS), png(PIXELS, pnginfo=GAMMA), ["info gamma: only the new one", "chunks"]),
        ("a.png", png(PIXELS, compress_level=9), png(PIXELS, compress_level=0), ["the same in other bytes"]),
        ("a.tif", tiff(PIXELS), tiff(changed((0, 0, 0), 7)), ["pixels: 1 of 180 values differ, by 7 at most"]),
        ("a.exr", exr(owner="us"), exr(owner="them"), ["attribute owner: 'us' -> 'them'"]),
        ("a.mkv", clip(), clip(), []),
        ("a.mkv", clip(), clip(luma=2), ["frame 1 plane 0: 1 of 3072 values differ, by 2 at most"]),
        ("a.mkv", clip(), clip(last=4004), ["times", "DURATION"]),
        ("a.json", text({"seconds": 1, "n": [1, 2]}), text({"seconds": 2, "n": [1, 3]}), ["/n/1: 2 -> 3"]),
        ("a.json", text({"p": {"x_ms": 1}}), text({"p": {}}), ["/p/x_ms: only the old one", "/p: only the new one"]),
        ("a.md", text("| 12.5 | 3 |"), text("|  9   | 4 |"), []),
        ("a.md", text("| x |"), text("| y |"), ["text"]),
        ("a.bin", text("x"), text("y"), ["bytes"]),
    ],
)
def test_what_differs_is_named(name: str, old: Any, new: Any, words: list[str], tmp_path: Path) -> None:
    sides = tmp_path / "old", tmp_path / "new"
    for side, make in zip(sides, (old, new), strict=True):
        side.mkdir()
        make(side / name)
    found = list(compare.differences(*(side / name for side in sides), "measure-x"))
    assert len(found) == len(words), found
    for word in words:
        assert any(word in line for line in found), found


def test_exit_codes_crashes_and_missing_files_count_and_words_are_apart(tmp_path: Path) -> None:
    for side, names in (("old", ("a.txt", "b.txt")), ("new", ("a.txt",))):
        (tmp_path / side / "job").mkdir(parents=True)
        for name in names:
            (tmp_path / side / "job" / name).write_text("same")
    before = {"command": "ltm-infer", "code": 0, "out": "in 1.2 s", "err": "old words"}
    for code, wanted in ((0, 0), (1, 1), (-11, 1)):
        after = {**before, "code": code, "out": "in 3.4 s", "err": "new words"}
        files, words = record.compare_job("job", tmp_path / "old", tmp_path / "new", ([before], [after]))
        assert len(files) == 1 + wanted
        assert files[-1] == "job/b.txt: only the old code wrote it"
        (line,) = words
        assert "stderr" in line
        assert "new words" in line
    crashed = {**before, "code": -11}
    files, _ = record.compare_job("job", tmp_path / "old", tmp_path / "new", ([crashed], [crashed]))
    assert "exit code -11" in files[0]
