"""The calls of a Python program, used as one would: files in, files and a frozen result out, errors of the package."""

import ast
import copy
import dataclasses
import json
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import litematting_deploy
from litematting_deploy import (
    ClusterSpec,
    EngineSpec,
    JobProgress,
    JobSpec,
    Matter,
    OutputSpec,
    PlanSpec,
    TrimapSpec,
    cut_out,
    make_trimap,
    matte_clip,
    matte_folder,
    matte_on_cluster,
    matte_photo,
    read_image,
    read_mask,
    read_trimap,
    write_image,
)
from litematting_deploy.errors import (
    DimMaskError,
    InputError,
    LiteMattingError,
    NotFiniteError,
    OutputError,
    UsageError,
)
from litematting_deploy.jobs import api
from litematting_deploy.matting.trimap import from_mask
from tests.conftest import ROOT
from tests.matting.test_unknown_band import hairy_disk
from tests.video.clips import moving, save_clip, trimaps

HW = (24, 32)
Y, X = np.mgrid[: HW[0], : HW[1]]
INSIDE = np.hypot(Y - 12, X - 16) < 8
PHOTO = np.where(INSIDE[..., None], [200, 40, 10], [20, 60, 250]).astype(np.uint8)
TRIMAP = np.where(np.hypot(Y - 12, X - 16) < 5, 255, np.where(np.hypot(Y - 12, X - 16) < 11, 128, 0)).astype(np.uint8)
WANTED = np.where(TRIMAP == 128, PHOTO.mean(axis=2) / 255, TRIMAP / 255)


def save(path: Path, pixels: NDArray[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def load(path: str | Path) -> NDArray[Any]:
    with Image.open(path) as picture:
        return np.asarray(picture)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a photo, its trimap and mask, and a folder of three photos, one of them without trimap."""
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "photo.png", PHOTO)
    save(tmp_path / "trimap.png", TRIMAP)
    save(tmp_path / "mask.png", (INSIDE * 255).astype(np.uint8))
    for name in ("one", "three", "two"):
        save(tmp_path / "photos" / f"{name}.png", PHOTO)
    for name in ("one", "two", "zero"):
        save(tmp_path / "trimaps" / f"{name}.png", TRIMAP)
    (tmp_path / "photos" / "notes.txt").touch()
    return tmp_path


def test_a_photo_is_matted_by_plain_arguments(here: Path, mean_onnx: Path, capfd: pytest.CaptureFixture[str]) -> None:
    seen: list[JobProgress] = []
    result = matte_photo(
        Path("photo.png"),
        "trimap.png",
        "alpha.png",
        engine=mean_onnx,
        refine=False,
        cutout=here / "cutout.png",
        progress=seen.append,
    )
    assert result.files == ("alpha.png", str(here / "cutout.png"))
    assert result.hw == HW
    assert result.seconds > 0
    np.testing.assert_allclose(load("alpha.png") / 255, WANTED, atol=0.51 / 255)
    np.testing.assert_array_equal(load("cutout.png")[..., 3], load("alpha.png"))
    patches = [progress for progress in seen if progress.what == "patches"]
    assert patches[-1].done == patches[-1].total
    assert patches[-1].done > 0
    assert capfd.readouterr() == ("", ""), "nothing is printed"
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.seconds = 0.0  # type: ignore[misc]  # that is what is tested


def test_a_spec_does_what_plain_arguments_do(here: Path, mean_onnx: Path) -> None:
    spec = JobSpec(
        images="photo.png",
        source="mask.png",
        output=OutputSpec(alpha="by_spec.png"),
        trimap=TrimapSpec(kind="mask", unknown_width=3),
        engine=EngineSpec(engine=str(mean_onnx)),
        plan=PlanSpec(step=16),
    )
    assert matte_photo(spec).files == ("by_spec.png",)
    matte_photo("photo.png", mask="mask.png", alpha="plain.png", unknown_width=3, engine=mean_onnx, step=np.int64(16))  # type: ignore[arg-type]  # NumPy's integers are taken, too
    assert (here / "by_spec.png").read_bytes() == (here / "plain.png").read_bytes()


def test_a_folder_names_what_failed_and_what_was_passed_over(here: Path, mean_onnx: Path) -> None:
    seen: list[JobProgress] = []
    result = matte_folder("photos", "trimaps", "mattes", engine=mean_onnx, progress=seen.append)
    assert (result.total, result.tried, result.done) == (3, 3, 2)
    assert list(result.failures) == ["three"]
    assert "three.png: no matching trimap" in result.failures["three"]
    assert [path.name for path in result.passed_over] == ["notes.txt"]
    assert [path.name for path in result.unmatched] == ["zero.png"]
    assert result.files == {"mattes/one.png": "png", "mattes/two.png": "png"}
    assert sorted(path.name for path in (here / "mattes").glob("*.png")) == ["one.png", "two.png"]
    ended = {progress.ended: progress.failure for progress in seen if progress.ended}
    assert set(ended) == {"one", "two", "three"}
    assert ended["three"] == result.failures["three"]
    assert seen[-1].done == seen[-1].total == 3
    again = matte_folder("photos", "trimaps", "mattes", engine=mean_onnx, resume=True)
    assert (again.total, again.tried) == (3, 1)
    assert again.files == result.files, "those that were there before count"
    light = matte_folder("photos", "trimaps", "light", engine=mean_onnx, format="exr", cutout="cut", preview="seen")
    names = [f"{folder}/{name}" for name in ("one", "two") for folder in ("light", "cut", "seen")]
    formats = {name: "png" if name.startswith("seen") else "exr" for name in names}
    assert light.files == {f"{name}.{ending}": ending for name, ending in formats.items()}
    assert all(Path(path).stat().st_size for path in light.files)


class _EnoughError(Exception):
    pass


JOBS: dict[str, tuple[Callable[..., Any], str, str, str]] = {
    "photo": (matte_photo, "photo.png", "trimap.png", "alpha.png"),
    "folder": (matte_folder, "photos", "trimaps", "mattes"),
    "clip": (matte_clip, "clip.mp4", "greys", "matte.mkv"),
}


@pytest.mark.parametrize(
    ("what", "moment"),
    [("photo", "patches"), ("folder", "patches"), ("folder", "ended"), ("clip", "patches"), ("clip", "ended")],
)
@pytest.mark.parametrize(
    "raised", [_EnoughError(), NotFiniteError("mine"), InputError("mine"), OutputError("mine")], ids=repr
)
def test_an_exception_in_the_callback_ends_the_job_as_it_is(
    here: Path, mean_onnx: Path, what: str, raised: Exception, moment: str
) -> None:
    """Whatever its type: an error of this package, raised by the caller's own code, is no frame that failed."""
    if what == "clip":
        save_clip(here / "clip.mp4", moving(3))
        for number, trimap in enumerate(trimaps(3)):
            save(here / "greys" / f"{number}.png", trimap)

    def stop(progress: JobProgress) -> None:
        assert progress.failure is None or progress.ended == "three"
        patches = progress.patches or (progress.what == "patches" and progress.done)
        if patches if moment == "patches" else progress.ended:
            raise raised

    job, *arguments = JOBS[what]
    with pytest.raises(type(raised)) as failure:
        job(*arguments, engine=mean_onnx, progress=stop)
    assert failure.value is raised
    assert str(raised) in ("", "mine")
    # Even while the exception, and so the job's frames, are kept.
    assert not [each for each in threading.enumerate() if each.name.startswith(("take", "read", "write"))]
    for path in (here / "mattes").glob("[!.]*.png"):  # another frame may still be on its way, as a draft
        assert load(path).shape == HW


def test_a_clip_is_matted(here: Path, mean_onnx: Path) -> None:
    save_clip(here / "clip.mp4", moving(3))
    for number, trimap in enumerate(trimaps(3)):
        save(here / "greys" / f"{number}.png", trimap)
    seen: list[JobProgress] = []
    result = matte_clip("clip.mp4", "greys", "matte.mkv", engine=mean_onnx, progress=seen.append)
    assert (result.total, result.done) == (3, 3)
    assert result.remarks == {}, "all trimaps have both sides"
    assert result.files == {"matte.mkv": "ffv1"}
    assert (here / "matte.mkv").stat().st_size > 0
    assert seen[-1].done == 3


def test_remarks_are_those_of_a_folder_in_a_clip_too(here: Path, mean_onnx: Path) -> None:
    save_clip(here / "clip.mp4", moving(3))
    for number, trimap in enumerate(trimaps(3)):
        known = np.where(trimap == 255, 128, trimap).astype(np.uint8) if number == 1 else trimap
        save(here / "greys" / f"{number}.png", known)
        save(here / "frames" / f"{number}.png", np.zeros((*trimap.shape, 3), np.uint8))
    clip = matte_clip("clip.mp4", "greys", "matte.mkv", engine=mean_onnx)
    folder = matte_folder("frames", "greys", "mattes", engine=mean_onnx)
    assert {name: said.unsure for name, said in clip.remarks.items()} == {"frame 1": "no sure foreground"}
    assert [*clip.remarks.values()] == [*folder.remarks.values()]


@pytest.mark.usefixtures("here")
def test_a_result_cannot_be_changed_and_is_pickled(mean_onnx: Path) -> None:
    result = matte_folder("photos", "trimaps", "mattes", engine=mean_onnx)
    for mapping in (result.failures, result.remarks, result.files):
        with pytest.raises(TypeError, match="does not support item assignment"):
            mapping["one"] = "fine"  # type: ignore[index]  # that is what is tested
    again = pickle.loads(pickle.dumps(result))  # noqa: S301  # which was just written here
    assert again == copy.deepcopy(result) == result
    assert json.loads(json.dumps(dict(result.files))) == {"mattes/one.png": "png", "mattes/two.png": "png"}


LONG = "x" * 5000
NO_NAMES = {"a\0.png": "without NUL characters; got 'a\\x00.png'", f"{LONG}.png": ": no such", "": "got ''"}
CALLS: dict[str, tuple[Callable[..., Any], str]] = {
    "photo": (matte_photo, "photo.png"),
    "folder": (matte_folder, "photos"),
    "clip": (matte_clip, "clip.mp4"),
}


@pytest.mark.parametrize(
    ("call", "arguments", "parameter", "words"),
    [
        ("photo", {"frames": "1-2"}, "frames", "`frames` does not apply to a photo (it applies to a folder"),
        ("photo", {"codec": "vp9"}, "codec", "`codec` does not apply to a photo (it applies to a clip"),
        ("folder", {"segment": 3}, "segment", "does not apply to a folder"),
        ("clip", {"depth": "16"}, "depth", "does not apply to a clip (it applies to a photo and a folder"),
        ("clip", {"colour": "red"}, "colour", "`colour` does not apply to a clip; leave it out"),
        ("photo", {"batch": "4"}, "batch", "`batch` must be int | None; got '4'"),
        ("photo", {"batch": True}, "batch", "`batch` must be int | None; got True"),
        ("photo", {"patch_hw": [64]}, "patch_hw", "`patch_hw` must be tuple[int, int] | None; got [64]"),
        ("folder", {"resume": "yes"}, "resume", "`resume` must be bool; got 'yes'"),
        ("photo", {"cutout": 3}, "cutout", "`cutout` must be str | None; got 3"),
        ("photo", {"precision": "fp8"}, "precision", "`precision` must be one of fp32, tf32, bf16, fp16; got 'fp8'"),
        ("photo", {"background": "red"}, "background", "`background` requires `cutout`"),
        ("photo", {"step": 9, "plan": "adaptive"}, "step", "`step` uses a grid of patches"),
        ("photo", {"unknown_width": 9}, "unknown_width", "`unknown_width` applies only to a mask"),
        ("photo", {"mask": "mask.png"}, "trimap", "`trimap` and `mask` are both given; use only one of them"),
        ("photo", {"trimap": None}, "trimap", "no trimap: give `trimap` or `mask`, or let `box`"),
        (
            "photo",
            {"trimap": TRIMAP},
            "trimap",
            "`trimap` must be a path (text or `Path`) without NUL characters; got an array",
        ),
        ("photo", {"alpha": None}, "alpha", "`alpha` must say where the matte is written"),
        ("photo", {"images": PHOTO}, "images", "`images` must be str; got an array of (24, 32, 3) uint8"),
        ("folder", {"images": b"photos"}, "images", "`images` must be str; got b'photos'"),
        ("photo", {"images": "no.png"}, "images", "no.png: no such file or folder"),
        ("photo", {"images": "photos"}, "images", "photos: a folder"),
        ("folder", {"images": "photo.png"}, "images", "it is a single file; give a folder"),
        ("photo", {"trimap": "no.png"}, "trimap", "no.png: no such file"),
        ("photo", {"trimap": "mask.png"}, "trimap", "mask.png: has no unknown pixels"),
        ("photo", {"trimap": None, "mask": "no.png"}, "mask", "no.png: no such file"),
        ("photo", {"alpha": "no/alpha.png"}, "alpha", "no/alpha.png: cannot be written"),
        ("photo", {"alpha": "./photo.png"}, "alpha", "./photo.png: would overwrite an input"),
        ("photo", {"cutout": "c.png", "background": "no.png"}, "background", "no.png: no such file"),
        ("photo", {"engine": "./no.onnx"}, "engine", "no.onnx: no such engine file"),
        ("folder", {"images": "photos", "trimap": "no"}, "trimap", "no: no such folder"),
        ("folder", {"images": "photos", "trimap": "trimaps", "alpha": "photos/out"}, "alpha", "a folder of sources"),
        ("folder", {"images": "no.%04d.png", "trimap": "trimaps"}, "images", "contains no image"),
        *(
            (call, {"images": name}, "images", words)
            for call in ("photo", "folder")
            for name, words in NO_NAMES.items()
        ),
        *(("photo", {"trimap": name}, "trimap", words) for name, words in NO_NAMES.items()),
        ("photo", {"alpha": "a\0.png"}, "alpha", "without NUL characters; got 'a\\x00.png'"),
        ("photo", {"alpha": f"{LONG}.png"}, "alpha", "cannot be written: File name too long"),
        ("photo", {"cutout": "c.png", "background": f"{LONG}.png"}, "background", "no such file"),
        ("photo", {"engine": f"{LONG}.onnx"}, "engine", "no such engine file"),
        ("photo", {"progress": 3}, "progress", "`progress` must be a function or None; got 3"),
    ],
    ids=[
        "numbers of frames are not of a photo",
        "a codec is not of a photo",
        "segments are not of a folder",
        "depth is not of a clip",
        "unknown names are refused",
        "a text is no number",
        "true is no number",
        "a size has two sides",
        "a text is neither true nor false",
        "a number is no path",
        "a precision that does not exist",
        "a background needs a cut-out",
        "a step needs a grid",
        "a width needs a mask",
        "a trimap and a mask",
        "neither trimap nor mask",
        "an array is no trimap's path",
        "alpha must be given",
        "an array is no photo's path",
        "bytes are no path",
        "a photo that is not there",
        "a folder is no photo",
        "a photo is no folder",
        *("no trimap", "a mask as the trimap", "no mask", "no place", "the photo itself", "no background", "no engine"),
        *("no folder of trimaps", "results among sources", "an empty pattern"),
        *(f"{what} {fault}" for what in ("photo", "folder", "trimap") for fault in ("NUL", "long", "empty")),
        *("alpha NUL", "alpha long", "background long", "engine long", "no callback"),
    ],
)
def test_what_a_job_cannot_mean_is_an_error_of_the_package_that_names_its_parameter(
    here: Path, call: str, arguments: dict[str, Any], parameter: str | None, words: str
) -> None:
    function, images = CALLS[call]
    before = sorted(here.rglob("*"))
    with pytest.raises(LiteMattingError) as failure:
        function(**{"images": images, "trimap": "trimap.png", "alpha": "alpha.png", **arguments})
    assert words in str(failure.value)
    assert failure.value.parameter == parameter
    assert sorted(here.rglob("*")) == before


@pytest.mark.parametrize(
    ("call", "spec", "options", "parameter"),
    [
        (matte_photo, {"frames": "1-3"}, {}, "frames"),
        (matte_folder, {"output": OutputSpec(alpha="a", segment=4)}, {}, "segment"),
        (matte_clip, {"plan": PlanSpec(published=True)}, {}, "published"),
        (matte_photo, {}, {"cutout": "c.png"}, "cutout"),
        (matte_photo, {}, {"mask": "mask.png"}, "mask"),
    ],
    ids=[
        "frames of a photo",
        "segments of a folder",
        "a clip as published",
        "a spec and a result",
        "a spec and a mask",
    ],
)
def test_a_spec_says_all_and_nothing_that_does_not_apply(
    call: Callable[..., Any], spec: dict[str, Any], options: dict[str, Any], parameter: str
) -> None:
    job = JobSpec(**{"images": "photo.png", "source": "trimap.png", "output": OutputSpec(alpha="a.png"), **spec})
    with pytest.raises(UsageError) as failure:
        call(job, **options)
    assert failure.value.parameter == parameter


JOB = {"images": "a", "source": "b", "output": OutputSpec(alpha="c")}


@pytest.mark.parametrize(
    ("options", "parameter", "words"),
    [
        ({"codec": "vp9"}, "codec", "`codec` does not apply to a folder"),
        ({"keyframes": True}, "keyframes", "a cluster distributes them one by one"),
        ({"steady": True}, "steady", "a cluster distributes them one by one"),
        ({"trimap": "no"}, "trimap", "no: no such folder"),
    ],
    ids=["a codec is not of a folder", "keyframes are in order", "so is time", "trimaps that are not there"],
)
def test_a_job_that_no_cluster_can_do_is_refused_before_ray_is_asked(
    here: Path, options: dict[str, Any], parameter: str, words: str
) -> None:
    with pytest.raises(LiteMattingError) as failure:
        matte_on_cluster("photos", **{"trimap": "trimaps", "alpha": str(here / "out")} | options)
    assert words in str(failure.value)
    assert failure.value.parameter == parameter


@pytest.mark.parametrize(
    ("spec", "options", "words"),
    [
        (EngineSpec, {"batch": "4"}, "`batch` must be int | None; got '4'"),
        (EngineSpec, {"threads": 1.5}, "`threads` must be int | None; got 1.5"),
        (EngineSpec, {"engine": 3}, "`engine` must be str | None; got 3"),
        (EngineSpec, {"trust": 1}, "`trust` must be bool; got 1"),
        (EngineSpec, {"precision": "fp8"}, "`precision` must be one of fp32, tf32, bf16, fp16; got 'fp8'"),
        (PlanSpec, {"plan": 5}, "`plan` must be one of adaptive, grid; got 5"),
        (TrimapSpec, {"mask_labels": 7}, "`mask_labels` must be tuple[int, ...]; got 7"),
        (TrimapSpec, {"kind": "mask", "mask_threshold": "half"}, "`mask_threshold` must be a number"),
        (OutputSpec, {"alpha": None}, "`alpha` must say where the matte is written"),
        (JobSpec, {"images": "a", "source": "b", "output": "c.png"}, "`output` must be "),
        (JobSpec, {"images": "a", "source": "b", "output": OutputSpec(alpha="c"), "plan": 3}, "`plan` must be "),
        (ClusterSpec, {"actors": "all"}, "`actors` must be int | None; got 'all'"),
        (ClusterSpec, {"cpus": 0}, "`cpus` must be between 1 and 65536; got 0"),
        (ClusterSpec, {"cpus": float("inf")}, "`cpus` must be between 1 and 65536; got inf"),
        (ClusterSpec, {"gpus": -1}, "`gpus` must be between 0 and 1024; got -1"),
        (ClusterSpec, {"retries": -1}, "`retries` must be 0 or more; got -1"),
        (EngineSpec, {"batch": 0}, "`batch` must be 1 or more; got 0"),
        (EngineSpec, {"threads": 65537}, "`threads` must be between 1 and 65536; got 65537"),
        (EngineSpec, {"patch_hw": (64, -1)}, "`patch_hw` must be 32 or more; got -1"),
        (EngineSpec, {"timeout_s": -1}, "`timeout_s` must be above 0 and up to 86400; got -1"),
        (EngineSpec, {"timeout_s": float("nan")}, "`timeout_s` must be above 0 and up to 86400; got nan"),
        (EngineSpec, {"engine": "a\0.onnx"}, "`engine` must be text without NUL characters; got 'a\\x00.onnx'"),
        (TrimapSpec, {"kind": "mask", "unknown_width": -5}, "`unknown_width` must be at least 1 pixel"),
        (TrimapSpec, {"kind": "mask", "unknown_width": "0%"}, "`unknown_width` must be above 0%"),
        (TrimapSpec, {"kind": "mask", "mask_threshold": 0}, "`mask_threshold` must be above 0"),
        (TrimapSpec, {"kind": "mask", "mask_threshold": "101%"}, "`mask_threshold` must be above 0"),
        (
            TrimapSpec,
            {"kind": "mask", "mask_labels": (3, 70000)},
            "`mask_labels` must be between 0 and 65535; got 70000",
        ),
        (OutputSpec, {"alpha": "a", "segment": 0}, "`segment` must be 1 or more; got 0"),
        (JobSpec, {**JOB, "exposure": float("nan")}, "`exposure` must be between -100 and 100 stops; got nan"),
        (JobSpec, {**JOB, "max_megapixels": float("nan")}, "`max_megapixels` must be a number above 0; got nan"),
    ],
)
def test_a_spec_names_the_parameter_whose_value_is_of_another_type(
    spec: Callable[..., Any], options: dict[str, Any], words: str
) -> None:
    with pytest.raises(UsageError) as failure:
        spec(**options)
    assert str(failure.value).startswith(words)
    assert failure.value.parameter == words.split("`")[1]


def test_a_spec_holds_plain_values() -> None:
    """So that specs compare by value, are written as JSON, and mean the same on another machine."""
    given = EngineSpec(engine=Path("m.onnx"), batch=np.int64(4))  # type: ignore[arg-type]  # which calls take, too
    assert given == EngineSpec(engine="m.onnx", batch=4)
    assert (type(given.engine), type(given.batch)) == (str, int)


@pytest.mark.parametrize("options", [api.PhotoOptions, api.FolderOptions, api.ClipOptions])
def test_options_have_the_types_of_the_specs_fields(options: Any) -> None:
    """A path may also be a `Path`."""
    wanted: dict[str, Any] = {}
    for spec in (JobSpec, OutputSpec, TrimapSpec, EngineSpec, PlanSpec):
        wanted |= get_type_hints(spec)
    for name, hint in get_type_hints(options).items():
        assert parts(hint) - {os.PathLike[str]} == parts(wanted[name]), name


def parts(hint: Any) -> set[Any]:
    return set(get_args(hint)) if get_origin(hint) in (Union, type(int | None)) else {hint}


def test_every_field_of_the_specs_is_an_option_of_some_call() -> None:
    taken = {
        name for options in (api.PhotoOptions, api.FolderOptions, api.ClipOptions) for name in get_type_hints(options)
    }
    fields = {
        each.name
        for spec in (JobSpec, OutputSpec, TrimapSpec, EngineSpec, PlanSpec)
        for each in dataclasses.fields(spec)
    }
    assert fields - taken == {"images", "source", "output", "trimap", "kind", "alpha"}
    assert taken <= fields


MASK = (INSIDE * 255).astype(np.uint8)


@pytest.mark.parametrize(
    "mask",
    [INSIDE, MASK, MASK.tolist(), Image.fromarray(MASK), Image.fromarray(INSIDE), MASK[..., None]],
    ids=["bool", "uint8", "lists", "PIL of mode L", "PIL of mode 1", "one channel"],
)
def test_a_trimap_is_made_from_anything_that_is_clearly_a_mask(mask: Any) -> None:
    trimap = make_trimap(mask, 2)
    assert trimap.dtype == np.uint8
    np.testing.assert_array_equal(trimap, from_mask(MASK, 2))
    assert set(np.unique(trimap)) == {0, 128, 255}


def test_a_trimap_is_made_from_a_file_as_from_its_pixels(here: Path) -> None:
    np.testing.assert_array_equal(make_trimap("mask.png", "4%"), make_trimap(MASK, "4%"))
    by_photo = make_trimap(here / "mask.png", 3, image="photo.png")
    np.testing.assert_array_equal(by_photo, make_trimap(MASK, 3, image=PHOTO / 255, unit_range=True))


def test_an_image_widens_the_band_where_it_is_hairy() -> None:
    alpha, photo, mask = hairy_disk(80, 0)
    fractional = (alpha > 0.02) & (alpha < 0.98)
    assert np.mean(make_trimap(mask)[fractional] == 128) < 0.7
    assert np.mean(make_trimap(mask, image=photo)[fractional] == 128) >= 0.99


def test_a_mask_of_class_ids_needs_the_label_or_a_threshold() -> None:
    np.testing.assert_array_equal(make_trimap(INSIDE * np.uint8(7), 2, mask_labels=(7,)), from_mask(MASK, 2))
    np.testing.assert_array_equal(make_trimap(MASK // 2, 2, mask_threshold=100), from_mask(MASK, 2))
    np.testing.assert_array_equal(make_trimap(MASK // 2, 2, mask_threshold="40%"), from_mask(MASK, 2))
    with pytest.raises(DimMaskError, match="`mask`: its brightest value is 7 of 255"):
        make_trimap(INSIDE * np.uint8(7))


@pytest.mark.parametrize(
    ("arguments", "parameter", "words"),
    [
        ({"mask": MASK / 255}, "mask", "`mask` must be (H, W) bool or uint8; got (24, 32) float64"),
        ({"mask": None}, "mask", "`mask` must be given, or an image and one of `box`"),
        ({"mask": MASK, "unknown_width": 0}, "unknown_width", "`unknown_width` must be at least 1 pixel"),
        ({"mask": MASK, "unknown_width": "wide"}, "unknown_width", "such as 5%; got 'wide'"),
        ({"mask": MASK, "mask_labels": (9,)}, "mask", "`mask`: no pixel is foreground with `mask_labels=9`"),
        ({"mask": MASK, "mask_threshold": 3, "mask_labels": (9,)}, "mask_threshold", "use only one of them"),
        ({"mask": MASK, "image": PHOTO[:9]}, "mask", "the sizes must match"),
        ({"mask": MASK, "image": PHOTO / 255}, "image", "set `unit_range=True`"),
        ({"mask": "no.png"}, "mask", "no.png: no such file"),
        ({"mask": MASK, "mask_labels": 7}, "mask_labels", "`mask_labels` must be tuple[int, ...]; got 7"),
        ({"mask": MASK, "mask_labels": "7"}, "mask_labels", "`mask_labels` must be tuple[int, ...]; got '7'"),
        ({"mask": MASK, "unknown_width": [3]}, "unknown_width", "`unknown_width` must be "),
        (
            {"mask": "mask.png", "max_megapixels": None},
            "max_megapixels",
            "`max_megapixels` must be a number above 0; got None",
        ),
        ({"mask": "mask.png", "image": "a\0.png"}, "image", "without NUL characters"),
        ({"mask": f"{LONG}.png"}, "mask", ": no such file"),
        ({"mask": MASK, "trimap_encoding": "labels"}, "trimap_encoding", "does not apply to `make_trimap`"),
        ({"mask": MASK, "labels": (7,)}, "labels", "`labels` does not apply to `make_trimap`"),
    ],
    ids=[
        *("floats", "nothing", "no band", "no width", "absent label", "label and threshold", "size", "range", "file"),
        *("one label", "a text", "a list", "no limit", "NUL", "long", "of trimaps alone", "unknown name"),
    ],
)
@pytest.mark.usefixtures("here")
def test_other_masks_are_refused(arguments: dict[str, Any], parameter: str | None, words: str) -> None:
    with pytest.raises(LiteMattingError) as failure:
        make_trimap(**arguments)
    assert words in str(failure.value)
    assert failure.value.parameter == parameter


def test_a_cut_out_has_the_colours_of_the_foreground_alone() -> None:
    """Half-covered pixels of a known mixture: their colour comes out as the foreground's, not as the mixture."""
    front, behind = np.array([200, 40, 10]), np.array([20, 60, 250])
    alpha = np.clip((12 - np.hypot(*(np.indices((40, 50)) - np.array([20, 25])[:, None, None]))) / 6, 0, 1)
    light = [np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) for c in (front / 255, behind / 255)]
    mixed = alpha[..., None] * light[0] + (1 - alpha[..., None]) * light[1]
    levels = np.where(mixed <= 0.0031308, mixed * 12.92, 1.055 * mixed ** (1 / 2.4) - 0.055)
    image = np.rint(levels * 255).astype(np.uint8)
    found = cut_out(image, alpha)
    assert found.shape == (40, 50, 4)
    assert found.dtype == np.uint8
    np.testing.assert_allclose(found[..., 3] / 255, alpha, atol=0.51 / 255)
    some = (alpha > 0.2) & (alpha < 0.8)
    off = np.abs(found[some][:, :3] - front).mean()
    assert off < 0.25 * np.abs(image[some] - front).mean()
    np.testing.assert_array_equal(found, cut_out(image / 255, np.float32(alpha), unit_range=True))
    multiplied = cut_out(image, alpha, premultiplied=True).astype(float)
    np.testing.assert_allclose(multiplied[..., :3], found[..., :3] * (found[..., 3:] / 255), atol=0.51)


def test_a_cut_out_of_files_is_that_of_their_pixels(here: Path) -> None:
    write_image("alpha.png", (WANTED * 255).astype(np.uint8))
    np.testing.assert_array_equal(
        cut_out("photo.png", here / "alpha.png"), cut_out(read_image("photo.png"), load("alpha.png"))
    )


@pytest.mark.parametrize(
    ("image", "alpha", "words"),
    [
        (PHOTO, WANTED[:9], "`alpha` must be 32x24, the size of the image; got 32x9"),
        (PHOTO, WANTED * 2, "`alpha` must be between 0 and 1"),
        (
            PHOTO,
            INSIDE,
            "`alpha` must be (H, W), floats between 0 and 1 or levels in uint8 or uint16; got (24, 32) bool",
        ),
        (PHOTO, MASK // 2, "`alpha` must be opaque somewhere; its largest value is 0.498 of 1"),
        (PHOTO, np.uint16(MASK), "`alpha` must be opaque somewhere; its largest value is 0.00389 of 1"),
        (PHOTO / 255, WANTED, "`image` must be (H, W, 3) uint8 RGB; got (24, 32, 3) float64"),
    ],
    ids=["size", "range", "bool", "dim", "8 bits in 16", "float image"],
)
def test_other_arguments_of_a_cut_out_are_refused(image: Any, alpha: Any, words: str) -> None:
    with pytest.raises(InputError) as failure:
        cut_out(image, alpha)
    assert words in str(failure.value)
    assert str(failure.value.parameter) in ("alpha", "image")


def test_a_dim_alpha_is_taken_where_the_caller_says_so() -> None:
    np.testing.assert_array_equal(cut_out(PHOTO, MASK // 2, allow_dim=True)[..., 3], MASK // 2)
    assert not cut_out(PHOTO, np.zeros(HW))[..., 3].any(), "nothing at all is clear, as in a mask"


@pytest.mark.parametrize("call", [read_image, read_mask, read_trimap, partial(write_image, pixels=PHOTO), Matter.load])
@pytest.mark.parametrize("given", [3, PHOTO, b"a.png", "", "a\0.png"], ids=["int", "array", "bytes", "empty", "NUL"])
def test_what_is_no_path_is_one_line_at_once(call: Callable[..., Any], given: Any) -> None:
    with pytest.raises(UsageError) as failure:
        call(given)
    assert str(failure.value).startswith("`path` must be a path (text or `Path`) without NUL characters; got ")
    assert len(str(failure.value)) < 150
    assert failure.value.parameter == "path"


@pytest.mark.parametrize("call", [read_image, read_mask, read_trimap, partial(write_image, pixels=PHOTO)])
def test_a_name_that_is_too_long_is_the_packages_error(call: Callable[..., Any]) -> None:
    with pytest.raises(LiteMattingError, match=r"no such file|File name too long"):
        call(f"{LONG}.png")


def test_public_names_are_what_type_checkers_see() -> None:
    tree = ast.parse((ROOT / "litematting_deploy" / "__init__.py").read_text())
    (seen,) = (node for node in tree.body if isinstance(node, ast.If) and isinstance(node.test, ast.Name))
    imported: dict[str | None, set[str]] = {}
    for node in seen.body:
        if isinstance(node, ast.ImportFrom):
            imported.setdefault(node.module, set()).update(alias.name for alias in node.names)
    assert imported == {module: set(names) for module, names in litematting_deploy._NAMES_BY_MODULE.items()}
    assert sorted(name for names in imported.values() for name in names) == litematting_deploy.__all__
    for name in litematting_deploy.__all__:
        assert getattr(litematting_deploy, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'mate_photo'"):
        litematting_deploy.mate_photo  # type: ignore[attr-defined]  # noqa: B018  # that is what is tested


CLIENT = """
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import litematting_deploy as ltm


def show(progress: ltm.JobProgress) -> None:
    print(progress.what, progress.done, progress.total, progress.eta_s)


photo: ltm.PhotoResult = ltm.matte_photo("a.jpg", "t.png", "alpha.png", cutout=Path("c.png"), device="cuda")
height, width = photo.hw
frames: ltm.JobResult = ltm.matte_folder(
    Path("photos"), mask="masks", alpha="out", unknown_width="2%", resume=True, progress=show
)
reasons: Mapping[str, str] = frames.failures
clip = ltm.matte_clip("a.mov", "t.mov", "m.mov", codec="prores4444", failed_frames="known")
seconds: float = clip.seconds
spec = ltm.JobSpec(
    images="a.jpg", source="t.png", output=ltm.OutputSpec(alpha="x.png"), plan=ltm.PlanSpec(margin=99)
)
ltm.matte_photo(spec, progress=show)
trimap: NDArray[np.uint8] = ltm.make_trimap("mask.png", 9, image=ltm.read_image("a.jpg"))
with ltm.Matter.load() as matter:
    alpha = matter(ltm.read_image("a.jpg"), trimap)
rgba: NDArray[np.uint8] = ltm.cut_out("a.jpg", alpha)
cluster = ltm.ClusterSpec(address="head:6379", actors=4, gpus=0.5)
spread: ltm.JobResult = ltm.matte_on_cluster("photos", "trimaps", "out", cluster=cluster, resume=True, progress=show)
spread = ltm.matte_on_cluster(spec, cluster=cluster)


def count(done: int, total: int, what: str) -> None:
    print(done, total, what)


found = ltm.evaluate_dataset(Path("data"), ltm.EngineSpec(device="cpu"), trimap="trimap2", progress=count)
sad: float = found.means["LiteMatting"].sad
results = ltm.benchmark(ltm.BenchSpec(backends=("all",), engines=(Path("m.onnx"),), batches=(1, 4)), print)
fastest: float = min(row.latency_ms.p50 for row in results.rows if row.latency_ms is not None)
onnx: Path = ltm.export_onnx("w.pth", "m.onnx", ltm.ExportSpec(precision="fp16", batch=1)).path
try:
    ltm.load_engine("no.onnx")
except ltm.LiteMattingError as error:
    parameter: str | None = error.parameter
"""
WRONG = """
import litematting_deploy as ltm

ltm.matte_photo("a.jpg", "t.png", "alpha.png", codec="vp9")
ltm.matte_folder("photos", "trimaps", "out", batch="4")
ltm.matte_clip("a.mov", "t.mov", "m.mov", failed_frames="skip")
ltm.matte_foto("a.jpg")
ltm.matte_on_cluster("photos", "trimaps", "out", cluster="head:6379")
ltm.evaluate_dataset("data", {"device": "cpu"})
ltm.benchmark(ltm.BenchSpec(backends="all"))
"""


@pytest.mark.slow
def test_a_client_program_passes_mypy_strict_and_a_wrong_one_does_not(tmp_path: Path) -> None:
    for name, text in (("client", CLIENT), ("wrong", WRONG)):
        (tmp_path / f"{name}.py").write_text(text)
    (tmp_path / "mypy.ini").write_text("[mypy]\nstrict = True\nfollow_imports = silent\n")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--no-error-summary", "client.py", "wrong.py"],
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if "error:" in line]
    assert [line.split(":")[:2] for line in lines] == [["wrong.py", str(number)] for number in range(4, 11)], (
        done.stdout
    )
    assert done.returncode == 1
