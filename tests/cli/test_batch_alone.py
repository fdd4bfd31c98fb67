"""ltm-batch without Ray: its own actors in this process, beside ltm-infer on the same folder."""

import contextlib
import json
import pickle
import shutil
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from litematting_deploy.jobs.cluster import pipeline
from litematting_deploy.jobs.cluster.manifest import Record
from litematting_deploy.jobs.cluster.worker import Batch
from litematting_deploy.runtime.shipped import TINY_ENGINE
from litematting_deploy.specs import ClusterSpec
from tests.cli.test_masks import HW, OBJECT, ids, save, trimap_of
from tests.cli.test_passed_over import FORMATS, make
from tests.conftest import Run, called
from tests.images.files import save_exr

BLACK = "b"


class Here:
    """In the place of a cluster: two actors that take turns, whose records are pickled as Ray's are."""

    most = 2

    def check_fits(self, _: ClusterSpec) -> None: ...

    def ask(self, _: ClusterSpec, function: Callable[..., Any], *arguments: Any) -> Any:
        return function(*arguments)

    def run(
        self, todo: deque[Batch], _: ClusterSpec, make: Callable[..., Callable[[Batch], list[Record]]], *given: Any
    ) -> Iterator[tuple[Batch, list[Record]]]:
        workers = deque(make(*given) for _ in range(self.most))
        while todo:
            batch = todo.popleft()
            yield batch, pickle.loads(pickle.dumps(workers[0](batch)))  # noqa: S301  # our own records
            workers.rotate()


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "connected", lambda _: contextlib.nullcontext(Here()))


def both(
    tmp_path: Path, photos: Path, *arguments: str | Path, results: tuple[str, ...] = (), engine: Path = TINY_ENGINE
) -> tuple[Run, Path]:
    """What ltm-batch says, and the folder of its alphas, after it did and said the same as ltm-infer."""
    said: dict[str, Run] = {}
    for command in ("ltm-infer", "ltm-batch"):
        folder = tmp_path / command
        options = [word for name in results for word in (f"--{name}", folder / name)]
        spread = ("--frames-per-task", "2", "--cpus-per-actor", "1") if command == "ltm-batch" else ()
        done = called(command, photos, *arguments, "-o", folder / "alpha", *options, "--engine", engine, *spread)
        said[command] = done
    infer, farm = said.values()
    assert farm.code == infer.code, farm.err
    lines = [
        [line.split(": ", 1)[1] for line in done.err.splitlines() if line.startswith(name)]
        for name, done in said.items()
    ]
    assert sorted(lines[0]) == sorted(lines[1])
    made = [
        {
            path.relative_to(tmp_path / command): path.read_bytes()
            for path in (tmp_path / command).rglob("*")
            if path.is_file() and path.suffix != ".jsonl" and not path.name.startswith(".")
        }
        for command in said
    ]
    assert made[0] == made[1]
    ends = [done.out.replace(name, "").partition(" frames matted in ") for name, done in said.items()]
    assert ends[0][0] == ends[1][0]
    return farm, tmp_path / "ltm-batch" / "alpha"


def photos_of(folder: Path, names: str, black: str = "") -> Path:
    for name in names:
        pixels = np.full((*HW, 3), 0 if name in black else 200, np.uint8)
        save(folder / f"{name}.png", pixels)
    return folder


def test_a_frame_that_is_not_finite_fails_alone_and_is_resumed_past(root_onnx: Path, tmp_path: Path) -> None:
    photos = photos_of(tmp_path / "p", "abcd", BLACK)
    for name in "abcd":
        save(tmp_path / "t" / f"{name}.png", trimap_of(OBJECT))
    result, out = both(tmp_path, photos, tmp_path / "t", engine=root_onnx)
    assert result.code == 1
    told = [line for line in result.err.splitlines() if "failed: " in line]
    assert len(told) == 1
    assert f"failed: {BLACK}: onnxruntime-cpu: the alpha of this image contains NaN or infinity" in told[0]
    assert "3 of 4 frames" in result.out
    assert sorted(path.name for path in out.glob("*.png")) == ["a.png", "c.png", "d.png"]
    command = ("ltm-batch", photos, tmp_path / "t", "-o", out, "--engine", root_onnx, "--resume")
    times = {path.name: path.stat().st_mtime_ns for path in out.glob("*.png")}
    again = called(*command)
    assert (again.code, f"failed: {BLACK}: " in again.err, "3 already done, 1 failed" in again.out) == (1, True, True)
    photos_of(photos, BLACK)
    mended = called(*command)
    assert mended.code == 0, mended.err
    assert "1 of 4 frames" in mended.out
    assert {name: (out / name).stat().st_mtime_ns for name in times} == times, "what was done stayed"
    records = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines() if line]
    assert [record["failure"] is None for record in records if record["frame"] == BLACK] == [False] * 4 + [True]


def test_masks_without_sure_foreground(tmp_path: Path) -> None:
    photos, masks = photos_of(tmp_path / "p", "abc"), tmp_path / "m"
    for name, mask in {"a": ids(0, 7, 3), "b": ids(0, 0, 3), "c": ids(0, 7, 0)}.items():
        save(masks / f"{name}.png", mask)
    result, out = both(tmp_path, photos, "--mask", masks)
    assert result.code == 1
    for words in (f"{masks}: no mask reaches the top", "brightest value is 7 of 255", "--mask-label"):
        assert words in result.err
    assert not out.exists()
    result, out = both(tmp_path, photos, "--mask", masks, "--mask-label", "7", "--unknown", "3")
    assert result.code == 0
    assert "trimaps without sure foreground or background: 1 (b: no sure foreground)" in result.out
    for name in "ac":
        np.testing.assert_array_equal(np.asarray(Image.open(out / f"{name}.png")) == 255, trimap_of(OBJECT, 3) == 255)


def test_class_ids_with_void_fail_their_frames(tmp_path: Path) -> None:
    photos, masks = photos_of(tmp_path / "p", "ab"), tmp_path / "m"
    void = ids(0, 7, 255)
    save(masks / "a.png", void)
    save(masks / "b.png", (OBJECT * 255).astype(np.uint8))
    result, out = both(tmp_path, photos, "--mask", masks)
    assert result.code == 1
    assert "failed: a: " in result.err
    assert f"7 ({OBJECT.sum()} px)" in result.err
    assert [path.name for path in out.glob("*.png")] == ["b.png"]


def test_masks_given_as_trimaps(tmp_path: Path) -> None:
    photos, hard = photos_of(tmp_path / "p", "ab"), (OBJECT * 255).astype(np.uint8)
    for name in "ab":
        save(tmp_path / "t" / f"{name}.png", hard)
    result, out = both(tmp_path, photos, tmp_path / "t")
    assert result.code == 1
    for words in (f"{tmp_path / 't'}: has no unknown pixels", "--mask", "--allow-no-unknown"):
        assert words in result.err
    assert not out.exists()
    result, out = both(tmp_path, photos, tmp_path / "t", "--allow-no-unknown")
    assert result.code == 0
    np.testing.assert_array_equal(np.asarray(Image.open(out / "a.png")), hard)


def test_every_ending_is_taken_and_the_others_are_named(tmp_path: Path) -> None:
    photos, trimaps = make(tmp_path)
    Image.new("L", (32, 24)).save(photos / "x.gif")
    (photos / "z.dpx").write_bytes(b"SDPX" + bytes(99))
    shutil.copy(trimaps / "a.TIF", trimaps / "left.tif")
    result, out = both(tmp_path, photos, trimaps)
    assert result.code == 0
    assert f"{len(FORMATS)} of {len(FORMATS)} frames" in result.out
    assert "2 files skipped, 1 without a photo" in result.out
    for words in ("x.gif (GIF; convert", "z.dpx (DPX; convert it: oiiotool", "left.tif"):
        assert words in result.err
    assert len(list(out.glob("*.png"))) == len(FORMATS)


def test_light_that_is_cut_off_is_told(tmp_path: Path) -> None:
    for name, light in (("a", 2.0), ("b", 0.5)):
        (tmp_path / "p").mkdir(exist_ok=True)
        save_exr(tmp_path / "p" / f"{name}.exr", {channel: np.full(HW, light, np.float32) for channel in "RGB"})
        save(tmp_path / "t" / f"{name}.png", trimap_of(OBJECT))
    result, _ = both(tmp_path, tmp_path / "p", tmp_path / "t", "--format", "png", results=("foreground",))
    assert result.code == 0, result.err
    assert "PNG and TIFF clip values outside 0..1: in 1 frame, up to 100.0% of a frame" in result.err
