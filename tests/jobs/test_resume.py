"""What a folder of results is made with."""

import errno
import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image

from litematting_deploy import matte_folder
from litematting_deploy.errors import DependencyError, InputError, UsageError
from litematting_deploy.jobs import resume
from litematting_deploy.jobs.resume import SETTINGS, as_begun, keep_settings, result_settings
from litematting_deploy.runtime import Matter, open_matter
from litematting_deploy.sidecar import read_sidecar
from litematting_deploy.specs import JobSpec, OutputSpec
from tests.engines.openvino_standin import OpenVino

ONE, OTHER = {"depth": "8", "step": None}, {"depth": "16", "step": None}


def test_the_time_is_that_of_the_last_change(tmp_path: Path) -> None:
    keep_settings(tmp_path, ONE, "resume")
    os.utime(tmp_path / SETTINGS, ns=(5, 5))
    assert keep_settings(tmp_path, ONE, None) == keep_settings(tmp_path, ONE, "resume") == 5
    assert keep_settings(tmp_path, OTHER, None) > 5
    assert json.loads((tmp_path / SETTINGS).read_bytes()) == OTHER


def test_resuming_with_others_is_refused(tmp_path: Path) -> None:
    keep_settings(tmp_path, ONE, None)
    with pytest.raises(UsageError, match=r"was started with other settings \(depth\): `depth=8`, now `depth=16`"):
        keep_settings(tmp_path, OTHER, "resume")


def test_of_two_runs_that_begin_at_once_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other has noted its settings between the look and the writing."""
    link = os.link

    def late(source: Path, target: Path) -> None:
        monkeypatch.setattr(os, "link", link)
        keep_settings(tmp_path, OTHER, "resume")
        link(source, target)

    monkeypatch.setattr(os, "link", late)
    with pytest.raises(UsageError, match=r"was started with other settings \(depth\): `depth=16`, now `depth=8`"):
        keep_settings(tmp_path, ONE, "resume")
    assert json.loads((tmp_path / SETTINGS).read_bytes()) == OTHER
    assert [path.name for path in tmp_path.iterdir()] == [SETTINGS]


@pytest.mark.parametrize("reason", [errno.EPERM, errno.EOPNOTSUPP])
def test_file_systems_without_links(reason: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Path) -> None:
        raise OSError(reason, os.strerror(reason))

    monkeypatch.setattr(os, "link", refuse)
    keep_settings(tmp_path, ONE, "resume")
    assert json.loads((tmp_path / SETTINGS).read_bytes()) == ONE
    with pytest.raises(UsageError, match="was started with other settings"):
        keep_settings(tmp_path, OTHER, "resume")


@pytest.mark.parametrize("content", ["", "{", "[]", "\xff", "[" * 50_000])
def test_what_cannot_be_read(tmp_path: Path, content: str) -> None:
    (tmp_path / SETTINGS).write_bytes(content.encode("latin-1"))
    with pytest.raises(InputError, match=rf"{SETTINGS}: not a note of settings.*; delete it"):
        keep_settings(tmp_path, ONE, "resume")
    keep_settings(tmp_path, ONE, None)
    assert json.loads((tmp_path / SETTINGS).read_bytes()) == ONE


@pytest.fixture
def with_openvino(mean_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sidecar = read_sidecar(mean_onnx)
    assert sidecar is not None
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setitem(sys.modules, "openvino", OpenVino(sidecar.essentials()))


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Four photos, their trimaps, and where the mattes go."""
    places = tmp_path / "i", tmp_path / "t", tmp_path / "out"
    for place, shape in zip(places[:2], ((40, 40, 3), (40, 40)), strict=True):
        place.mkdir()
        for number in range(4):
            Image.fromarray(np.full(shape, 128, np.uint8)).save(place / f"{number}.png")
    return places


@pytest.mark.usefixtures("with_openvino")
@pytest.mark.parametrize("joins", [{"resume": True}, {"shard": "2/2"}], ids=["resume", "shard"])
def test_auto_is_the_engine_that_a_folder_was_begun_with(
    joins: Any, folders: tuple[Path, Path, Path], mean_onnx: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On this machine `auto` alone would be the CPU."""
    images, trimaps, out = folders
    matte_folder(images, trimaps, out, engine=mean_onnx, device="openvino", shard="1/2")
    noted = json.loads((out / SETTINGS).read_text())
    assert (noted["device"], noted["precision"]) == ("openvino", "fp32")
    with pytest.raises(UsageError, match=r"\(engine, device\): openvino-cpu 32x32, .*, now onnxruntime-cpu ") as no:
        matte_folder(images, trimaps, out, engine=mean_onnx, device="cpu", **joins)
    assert no.value.parameter == next(iter(joins))
    assert matte_folder(images, trimaps, out, engine=mean_onnx, **joins).engine.startswith("openvino-cpu")
    assert len(list(out.glob("*.png"))) == 4
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(DependencyError, match=r"out: was started with `device=openvino`, which does not work .*pip"):
        matte_folder(images, trimaps, out, engine=mean_onnx, **joins)
    assert matte_folder(images, trimaps, out, engine=mean_onnx, device="cpu").engine.startswith("onnxruntime-cpu")


@pytest.mark.usefixtures("with_openvino")
def test_of_two_shards_that_begin_at_once_auto_is_one_engine(
    folders: tuple[Path, Path, Path], mean_onnx: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one opens its engine, the other notes its own, which runs here as well."""
    images, trimaps, out = folders

    def late(*spec: Any) -> Matter:
        monkeypatch.setattr(resume, "open_matter", open_matter)
        matte_folder(images, trimaps, out, engine=mean_onnx, device="openvino", shard="1/2")
        return open_matter(*spec)

    monkeypatch.setattr(resume, "open_matter", late)
    result = matte_folder(images, trimaps, out, engine=mean_onnx, shard="2/2")
    assert result.engine.startswith("openvino-cpu")


def test_which_of_several_gpus_does_not_matter() -> None:
    job = JobSpec(images="i", source="t", output=OutputSpec(alpha="o"))
    kept: dict[str, Any] = {"name": "torch", "patch_hw": (32, 32), "precision": "fp16", "weights_sha256": "ab" * 32}
    matters = [SimpleNamespace(engine=SimpleNamespace(**kept, device=f"cuda:{n}"), placement="grid") for n in (0, 12)]
    first, second = (result_settings(cast(Matter, matter), job) for matter in matters)
    assert first == second
    assert (first["engine"], first["device"]) == ("torch 32x32, weights abababababab", "cuda")


def test_what_an_older_version_did_not_record(tmp_path: Path) -> None:
    job = JobSpec(images="i", source="t", output=OutputSpec(alpha="o"), shard="1/2")
    keep_settings(tmp_path, {"depth": "8"}, None)
    assert as_begun(job, tmp_path) is job
    with pytest.raises(UsageError, match=r"\(device\): not recorded, now cpu; run all shards with"):
        keep_settings(tmp_path, {"device": "cpu", "depth": "8"}, "shard")
