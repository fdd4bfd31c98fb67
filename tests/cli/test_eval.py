"""ltm-eval as a user runs it."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from litematting_deploy.evaluation import metrics
from tests.conftest import assert_one_line, called, run
from tests.evaluation.test_report import assert_resolves
from tests.evaluation.tiny import ALPHAMATTING, COMPOSITION, make_dataset, pictures

SCORES = ("sad", "mse", "grad", "conn", "seconds")


@pytest.mark.parametrize("folders", [ALPHAMATTING, COMPOSITION], ids=["alphamatting", "Composition-1k"])
def test_table_json_and_report(folders: dict[str, str], tmp_path: Path, small_onnx: Path) -> None:
    make_dataset(tmp_path / "set", ["b [red]", "a"], folders)
    outputs = ("--json", tmp_path / "e.json", "--report", tmp_path / "page")
    result = run("ltm-eval", tmp_path / "set", "--engine", small_onnx, *outputs)
    assert result.code == 0, result.err
    assert result.err == ""
    content = json.loads((tmp_path / "e.json").read_text())
    assert [image["name"] for image in content["images"]] == ["a", "b [red]"]
    assert content["layout"] == ("alphamatting" if folders is ALPHAMATTING else "Composition-1k")
    assert (content["trimap"], content["peers"]) == (folders["trimap"], {})
    assert content["plan"] == "adaptive, margin 12"
    assert "onnxruntime-cpu" in content["engine"]
    assert content["environment"]["cpu"]
    for score in SCORES:
        values = [image[score] for image in content["images"]]
        assert content["mean"][score] == pytest.approx(np.mean(values))
    for words in ("b [red]", "MSE × 1000", "mean", f"{content['mean']['mse'] * 1000:.2f}", "64x64", "index.html"):
        assert words in result.out
    links = assert_resolves(tmp_path / "page" / "index.html")
    assert f"{content['mean']['sad']:.2f}" in links.text
    assert links.tags.count("img") == 2 * 5


@pytest.mark.parametrize(("evaluated", "written"), [((), ("--no-refine",)), (("--refine",), ())])
def test_measures_what_ltm_infer_writes(
    evaluated: tuple[str, ...], written: tuple[str, ...], tmp_path: Path, small_onnx: Path
) -> None:
    folder = make_dataset(tmp_path / "set", ["a"])
    engine = ("--engine", small_onnx)
    assert run("ltm-eval", folder, *engine, *evaluated, "--json", tmp_path / "e.json").code == 0
    files = folder / "image" / "a.png", folder / "trimap1" / "a.png"
    assert run("ltm-infer", *files, "-o", tmp_path / "a.png", *engine, *written).code == 0
    with Image.open(tmp_path / "a.png") as picture:
        prediction = np.asarray(picture) / 255
    shown = pictures()
    wanted = metrics.measure(prediction, np.asarray(shown["alpha"]) / 255, np.asarray(shown["trimap"]))
    scores = json.loads((tmp_path / "e.json").read_text())["images"][0]
    for name, value in vars(wanted).items():
        assert scores[name] == pytest.approx(value, rel=1e-9)


def test_shipped_engine_other_trimaps_as_published_without_torch(tmp_path: Path) -> None:
    folder = make_dataset(tmp_path / "set", ["a"], {**ALPHAMATTING, "trimap": "trimap2"})
    labels = np.asarray(pictures()["trimap"]).astype(int) // 127
    Image.fromarray(labels.astype(np.uint8)).save(folder / "trimap2" / "a.png")
    options = ("--trimap", "trimap2", "--trimap-encoding", "labels", "--published", "--json", tmp_path / "e.json")
    result = run("ltm-eval", folder, *options, block="torch,onnx,tensorrt,cuda,pymatting")
    assert result.code == 0, result.err
    content = json.loads((tmp_path / "e.json").read_text())
    assert (content["trimap"], content["published"], content["plan"]) == ("trimap2", True, "grid, step 320")
    assert "640x640" in content["engine"]


def test_peers_need_their_extra(tmp_path: Path) -> None:
    folder = make_dataset(tmp_path / "set", ["a"])
    result = run("ltm-eval", folder, "--peers", block="pymatting")
    assert_one_line(result, 1, "comparing with PyMatting needs pymatting", "[peers]")


@pytest.mark.slow
def test_peers(tmp_path: Path, small_onnx: Path) -> None:
    folder = make_dataset(tmp_path / "set", ["a", "glass"])
    clear = np.asarray(pictures()["trimap"]).copy()
    clear[clear == 255] = 128
    Image.fromarray(clear).save(folder / "trimap1" / "glass.png")
    outputs = ("--json", tmp_path / "e.json", "--report", tmp_path / "page")
    result = run("ltm-eval", folder, "--engine", small_onnx, "--peers", *outputs)
    assert result.code == 0, result.err
    peers = json.loads((tmp_path / "e.json").read_text())["peers"]
    assert set(peers) == {"closed_form", "knn", "learning_based"}
    for peer in peers.values():
        assert [image["name"] for image in peer["images"]] == ["a", "glass"]
        assert peer["images"][0]["mse"] < 0.1, "an easy image"
        assert peer["mean"]["seconds"] > 0
    assert "closed-form" in result.out
    links = assert_resolves(tmp_path / "page" / "index.html")
    assert links.tags.count("img") == 2 * (3 + 4 * 2)


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a data set, of one without an alpha of its photo's name, and of an empty one."""
    folder = tmp_path_factory.mktemp("sets")
    make_dataset(folder / "set", ["a"])
    unpaired = make_dataset(folder / "unpaired", ["a"])
    (unpaired / "alpha" / "a.png").rename(unpaired / "alpha" / "b.png")
    (folder / "empty").mkdir()
    return folder


WRONG_EVALUATIONS: dict[str, tuple[str, int, tuple[str, ...]]] = {
    "a data set must be there": ("no", 1, ("no: no such folder",)),
    "a data set is a folder": ("set/image/a.png", 1, ("a.png: not a folder",)),
    "a data set has a layout": ("empty", 1, ("empty: contains nothing, expected", "merged/", "image/")),
    "an alpha has its photo's name": ("unpaired", 1, ("image/a.png", "no counterpart in", "unpaired/alpha")),
    "trimaps are one of its folders": (
        "set --trimap trimap3", 1, ("--trimap must be one of its folders trimap1", "trimap3"),
    ),
    "the numbers' folder must be there": ("set --json no/e.json", 1, ("e.json", "does not exist")),
    "a file is no report's folder": ("set --engine {small} --report set/image/a.png", 1, ("cannot be created",)),
    "an engine must be there": ("set --engine no.onnx", 1, ("no.onnx", "no such engine")),
    "large photos are refused": (
        "set --engine {small} --max-megapixels 0.001", 1, ("image/a.png", "--max-megapixels"),
    ),
    "the published plan has patches of 640": ("set --engine {small} --published", 2, ("--published", "64x64")),
    "a grid has no margin": ("set --engine {small} --plan grid --margin 9", 2, ("--margin", "--plan grid")),
    "a data set is given": ("", 2, ("DATASET",)),
}  # fmt: skip


@pytest.mark.parametrize(("line", "code", "words"), WRONG_EVALUATIONS.values(), ids=WRONG_EVALUATIONS)
def test_a_wrong_evaluation_is_one_line(
    sets: Path, small_onnx: Path, monkeypatch: pytest.MonkeyPatch, line: str, code: int, words: tuple[str, ...]
) -> None:
    monkeypatch.chdir(sets)
    assert_one_line(called("ltm-eval", *line.format(small=small_onnx).split()), code, *words)
