"""What a folder of results is made with."""

import dataclasses
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
from litematting_deploy.specs import RESULTS, EngineSpec, JobSpec, OutputSpec, PlanSpec, TrimapSpec, job_of
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
    with pytest.raises(UsageError, match=r"was started with other settings: `depth=8`, now `depth=16`"):
        keep_settings(tmp_path, OTHER, "resume")


def test_all_that_differs_is_told_in_the_words_of_the_options(tmp_path: Path) -> None:
    before = {"unknown": "2%", "adaptive": True, "plan": "grid, step 320, refined", "depth": None}
    now = {"unknown": "15 mask_labels=7", "adaptive": False, "plan": "adaptive, margin 128", "depth": None}
    keep_settings(tmp_path, before, None)
    for joins, remedy in (("resume", "or leave `resume` out"), ("shard", "or delete .ltm-infer.json there")):
        with pytest.raises(UsageError) as failure:
            keep_settings(tmp_path, now, cast(Any, joins))
        assert "other settings: `unknown_width=2%`, now `unknown_width=15` (the default) `mask_labels=7`; " in str(
            failure.value
        )
        assert (
            "; `adaptive`, now without `adaptive`; `plan=grid` `step=320`, now `plan=adaptive` `margin=128`; "
            "`refine`, now `refine=False`; "
        ) in str(failure.value)
        assert remedy in str(failure.value)


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        ({"masks": None}, {"masks": {"key": "green"}}, "without `key`, now `key=green`; "),
        ({"masks": {"box": [1, 2, 3, 4]}}, {"masks": {"box": [1, 2, 3, 5]}}, "`box=1,2,3,4`, now `box=1,2,3,5`; "),
        ({"masks": {"plate": "0a1b"}}, {"masks": {"plate": "ffff"}}, "`plate` (0a1b), now `plate` (ffff); "),
        ({"masks": {"key": "blue", "largest": 1}}, {"masks": {"key": "blue"}}, "`largest=1`, now without `largest`; "),
        ({"device": "cpu"}, {"device": "server"}, "`device=cpu`, now on a server; "),
        ({"engine": "a 64x64, weights 1"}, {"engine": "a 64x64, weights 2"}, "`engine` (a 64x64, weights 1), now "),
        ({"precision": "fp32"}, {"precision": "fp16"}, "an engine in fp32, now an engine in fp16; "),
        ({"results": ["m.mov: prores4444 alpha"]}, {"results": ["m.mkv: ffv1 grey"]}, "results m.mov: prores4444 "),
        ({}, {"plan": "adaptive, margin 8"}, "`plan` not recorded, now `plan=adaptive` `margin=8`; "),
    ],
)
def test_options_are_named_rather_than_what_they_are_noted_as(
    before: dict[str, Any], now: dict[str, Any], said: str, tmp_path: Path
) -> None:
    keep_settings(tmp_path, before, None)
    with pytest.raises(UsageError) as failure:
        keep_settings(tmp_path, now, "resume")
    assert f"other settings: {said}" in str(failure.value)
    assert str(failure.value).endswith(
        "; give the earlier options to continue, or leave `resume` out to make all results again"
    )


def test_the_default_may_be_spelled_out(tmp_path: Path) -> None:
    """Where the format alone says what it is; the note and its time stay, or results would be made again."""
    plain = {"format": "exr", "premultiplied": None, "exposure": None}
    keep_settings(tmp_path, plain, None)
    os.utime(tmp_path / SETTINGS, ns=(5, 5))
    spelled = {"format": "exr", "premultiplied": True, "exposure": 0.0}
    assert keep_settings(tmp_path, spelled, "resume") == keep_settings(tmp_path, spelled, None) == 5
    for other in ({"premultiplied": False}, {"format": "png"}, {"exposure": 1.0}):
        with pytest.raises(UsageError, match="other settings"):
            keep_settings(tmp_path, spelled | other, "resume")
    clip = {"results": ["m.mov: prores4444 alpha"], "premultiplied": None, "first_number": None}
    keep_settings(tmp_path, clip, None)
    keep_settings(tmp_path, clip | {"premultiplied": False, "first_number": 0}, "resume")


def test_a_default_that_follows_from_another_setting_is_not_told(tmp_path: Path) -> None:
    keep_settings(tmp_path, {"format": None, "premultiplied": None}, None)
    with pytest.raises(UsageError, match=r"other settings: without `format`, now `format=tiff`; give the earlier"):
        keep_settings(tmp_path, {"format": "tiff", "premultiplied": None}, "resume")
    keep_settings(tmp_path, {"format": "exr", "premultiplied": None}, None)
    with pytest.raises(
        UsageError, match=r"settings: without `premultiplied`, now `premultiplied=False`; give the earlier"
    ):
        keep_settings(tmp_path, {"format": "exr", "premultiplied": False}, "resume")


def test_a_resumed_shard_has_the_advice_of_shards() -> None:
    output = OutputSpec(alpha="out")
    assert JobSpec(images="i", source="t", output=output, resume=True, shard="1/2").joins == "shard"
    assert JobSpec(images="i", source="t", output=output, resume=True).joins == "resume"


def test_of_two_runs_that_begin_at_once_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other has noted its settings between the look and the writing."""
    link = os.link

    def late(source: Path, target: Path) -> None:
        monkeypatch.setattr(os, "link", link)
        keep_settings(tmp_path, OTHER, "resume")
        link(source, target)

    monkeypatch.setattr(os, "link", late)
    with pytest.raises(UsageError, match=r"was started with other settings: `depth=16`, now `depth=8`"):
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
    with pytest.raises(
        UsageError,
        match=r"settings: `engine` \(openvino-cpu 32x32, .*, now `engine` \(onnxruntime-cpu .*; `device=openvino`",
    ) as no:
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


# Each field of a spec that decides on what is in the results: what a job begins with, and what it is resumed with.
_CUT = {"cutout": "c"}
_BOX, _KEY = {"box": (0, 0, 5, 5)}, {"key": "green"}
DECIDE: dict[str, tuple[str | None, dict[str, Any], dict[str, Any]]] = {
    "exposure": ("trimap", {}, {"exposure": 1.0}),
    "layer": ("trimap", {}, {"layer": "beauty"}),
    "input_space": ("trimap", {}, {"input_space": "ACEScg"}),
    "keyframes": ("trimap", {}, {"keyframes": True}),
    "first_number": ("trimap", {"keyframes": True}, {"first_number": 5}),
    "steady": ("trimap", {}, {"steady": True}),
    "published": ("trimap", {}, {"published": True}),
    "trimap_encoding": ("trimap", {}, {"trimap_encoding": "between"}),
    "depth": ("trimap", {}, {"depth": "16"}),
    "format": ("trimap", {}, {"format": "exr"}),
    "background": ("trimap", _CUT, {"background": "white"}),
    "background_fit": ("trimap", _CUT | {"background": "white"}, {"background_fit": "cover"}),
    "premultiplied": ("trimap", _CUT, {"premultiplied": True}),
    "unknown_width": ("mask", {}, {"unknown_width": 5}),
    "adaptive": ("mask", {}, {"adaptive": True}),
    "mask_threshold": ("mask", {}, {"mask_threshold": 100}),
    "mask_labels": ("mask", {}, {"mask_labels": (7,)}),
    "doubt": ("mask", {}, {"doubt": (0.2, 0.8)}),
    "largest": ("mask", {}, {"largest": 1}),
    "box": (None, _BOX, {"box": (1, 0, 5, 5)}),
    "key": (None, _KEY, {"key": "blue"}),
    "key_tolerance": (None, _KEY, {"key_tolerance": 0.3}),
    "key_softness": (None, _KEY, {"key_softness": 0.3}),
    "plate": (None, {"plate": "one"}, {"plate": "other"}),
    "segmenter": (None, {"segmenter": "one"}, {"segmenter": "other"}),
    "sure_foreground": (None, _BOX | {"sure_foreground": "one"}, {"sure_foreground": "other"}),
    "sure_background": (None, _BOX | {"sure_background": "one"}, {"sure_background": "other"}),
}
# Fields that decide on nothing in a result, or are told otherwise: by the source, the engine and the placement of
# patches, or, of a clip, by its codecs.
DO_NOT_DECIDE = {
    *("output", "trimap", "engine", "plan", "images", "source", "kind", *RESULTS),
    *("device", "patch_hw", "batch", "threads", "precision", "compiled", "channels_last", "trust", "timeout_s"),
    *("margin", "step", "refine", "quality", "codec", "sound", "segment"),
    *("max_megapixels", "frames", "shard", "resume", "failed_frames", "allow_no_unknown"),
}


def test_every_field_of_a_job_decides_on_results_or_does_not() -> None:
    """A new one has to be put into one of the two, or a folder would mix two looks."""
    specs = (JobSpec, OutputSpec, TrimapSpec, EngineSpec, PlanSpec)
    assert {field.name for spec in specs for field in dataclasses.fields(spec)} == {*DECIDE, *DO_NOT_DECIDE}
    assert not DECIDE.keys() & DO_NOT_DECIDE


@pytest.mark.parametrize("field", DECIDE)
def test_what_decides_on_results_is_noted(field: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("one", "other"):
        Path(name).write_text(name)
    kind, begun, resumed = DECIDE[field]
    engine = SimpleNamespace(name="torch", patch_hw=(32, 32), precision="fp32", weights_sha256="ab" * 32, device="cpu")
    matter = cast(Matter, SimpleNamespace(engine=engine, placement="grid"))

    def noted(options: dict[str, Any]) -> dict[str, Any]:
        return result_settings(matter, job_of("i", "o", options, **({kind: "t"} if kind else {})))

    assert noted(begun) == noted(begun)
    assert noted(begun | resumed) != noted(begun)


def test_what_an_older_version_did_not_record(tmp_path: Path) -> None:
    job = JobSpec(images="i", source="t", output=OutputSpec(alpha="o"), shard="1/2")
    keep_settings(tmp_path, {"depth": "8"}, None)
    assert as_begun(job, tmp_path) is job
    with pytest.raises(UsageError, match="settings: `device` not recorded, now `device=cpu`; give all shards the same"):
        keep_settings(tmp_path, {"device": "cpu", "depth": "8"}, "shard")
