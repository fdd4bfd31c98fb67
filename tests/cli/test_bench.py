"""ltm-bench as a user runs it."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from PIL import Image

from litematting_deploy.benchmarks.results import OK, Row
from litematting_deploy.benchmarks.spec import BenchSpec
from litematting_deploy.cli.bench import _to_use
from litematting_deploy.runtime.shipped import SHIPPED_CHECKPOINT
from litematting_deploy.sidecar import sidecar_path
from litematting_deploy.system import instruction_set
from tests.conftest import Run, assert_one_line, called, run

QUICK = ("--resolution", "64", "--iterations", "2", "--warmup", "1")


@pytest.fixture(scope="session")
def bench(shared: Path, small_onnx: Path, checkpoints: Callable[[str], Path]) -> Path:
    """A folder with everything that a run over an ONNX writes, made once."""
    folder = shared / "bench"
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            folder.mkdir()
            files = [word for kind in ("json", "csv") for word in (f"--{kind}", folder / f"b.{kind}")]
            files += ["--markdown", folder / "b.md", "--plot", folder / "b.png"]
            known = ("--engine", small_onnx, "--checkpoint", checkpoints(""))
            result = run("ltm-bench", *QUICK, *known, "--batch", "1,3", "--variants", "--threads", "1", *files)
            assert result.code == 0, result
            (folder / "out.txt").write_text(result.out)
    return folder


def rows_of(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(path.read_text())["rows"]
    return found


def test_rows_as_json(bench: Path, small_onnx: Path) -> None:
    content = json.loads((bench / "b.json").read_text())
    assert content["environment"]["cpu"]
    assert content["environment"]["instruction_set"] == instruction_set()
    assert content["options"]["warmup"] == 1
    assert {item["variant"]: item["parameters"] for item in content["variants"]}["full LiteMatting"] == 4_336_757
    assert [(row["engine"], row["batch"]) for row in content["rows"]] == [(small_onnx.name, 1), (small_onnx.name, 3)]
    for row in content["rows"]:
        assert (row["status"], row["device"], row["precision"], row["threads"]) == ("ok", "cpu", "fp32", 1)
        latency = row["latency_ms"]
        assert 0 < latency["p50"] <= latency["max"]
        assert (latency["p90"], latency["p99"]) == (None, None), "two runs bear no percentiles"
        assert row["images_per_s"] == pytest.approx(row["batch"] / latency["mean"] * 1e3)
        assert row["file_bytes"] == small_onnx.stat().st_size
        assert row["load_s"] > 0
        assert 50e6 < row["peak_host_bytes"] < 4e9
        assert 0 < row["accuracy"]["mean"] <= row["accuracy"]["max"] <= 1e-3
        assert row["gpu"] is None


def test_rows_as_csv_markdown_and_text(bench: Path) -> None:
    with (bench / "b.csv").open() as file:
        table = list(csv.DictReader(file))
    assert [row["batch"] for row in table] == ["1", "3"]
    assert {row["instruction_set"] for row in table} == {instruction_set()}
    assert all(float(row["p50_ms"]) > 0 and float(row["max_difference"]) <= 1e-3 for row in table)
    assert "compute_ms" not in table[0]  # what only a GPU has is not there without one
    page = (bench / "b.md").read_text()
    for words in (
        instruction_set(),
        "| engine | precision | batch |",
        "published",
        "LFPNet",
        "4,336,757",
        "after 1 warm-up run,",
        "Python 3",
    ):
        assert words in page
    out = (bench / "out.txt").read_text()
    for words in (
        instruction_set(),
        "0.464 GFLOPs at 64x64",
        "4.3M and 101.5G",
        "p50 ms",
        "p99",
        "max diff",
        "Table 5",
        "32.0",
    ):
        assert words in out
    assert "fastest within the accuracy limit: standin.onnx fp32 x" in out
    assert ": ltm-infer PHOTO TRIMAP -o ALPHA --device cpu --engine " in out
    assert "41.4" not in out[: out.index("p50 ms")]


def test_an_engine_is_judged_by_the_checkpoint_that_its_sidecar_names(
    small_onnx: Path, checkpoints: Callable[[str], Path], tmp_path: Path
) -> None:
    """Beside it; and where that is not there, its alpha is not compared, and other weights do not fail it."""
    for name, beside in (("with", True), ("without", False)):
        (tmp_path / name).mkdir()
        for source in (small_onnx, sidecar_path(small_onnx)):
            shutil.copy(source, tmp_path / name / source.name.replace(small_onnx.stem, name))
        if beside:
            shutil.copy(checkpoints(""), tmp_path / name)
    engines = [word for name in ("with", "without") for word in ("--engine", tmp_path / name / f"{name}.onnx")]
    result = run("ltm-bench", *QUICK, *engines, "--threads", "1", "--json", tmp_path / "b.json")
    assert result.code == 0, result
    judged, alone = rows_of(tmp_path / "b.json")
    assert judged["accuracy"]["max"] <= 1e-3
    assert (alone["status"], alone["accuracy"]) == ("ok", None)
    assert f"its sidecar names {checkpoints('').name}" in alone["reason"]
    assert "give that file as --checkpoint" in result.out


def test_plot_is_a_picture(bench: Path) -> None:
    with Image.open(bench / "b.png") as picture:
        picture.load()
        assert picture.size[0] >= 800
        assert len(set(picture.convert("L").resize((64, 64)).tobytes())) > 10


def again(small_onnx: Path, weights: Path, before: Path, *options: str) -> Run:
    known = ("--engine", small_onnx, "--checkpoint", weights, "--threads", "1")
    return run("ltm-bench", *QUICK, *known, "--compare", before, *options)


def edited(bench: Path, path: Path, scale: float, **environment: Any) -> Path:
    """The results as if each row had taken `scale` of its time, elsewhere if `environment` says so."""
    content = json.loads((bench / "b.json").read_text())
    content["environment"] |= environment
    for row in content["rows"]:
        row["latency_ms"]["p50"] *= scale
    path.write_text(json.dumps(content))
    return path


def test_a_regression_fails(bench: Path, small_onnx: Path, checkpoints: Callable[[str], Path], tmp_path: Path) -> None:
    before = edited(bench, tmp_path / "fast.json", 1e-3)
    result = again(small_onnx, checkpoints(""), before)
    assert_one_line(result, 1, "slower than before by more than 5.0%", small_onnx.name)
    assert "worse" in result.out


def test_another_machine_does_not_compare_and_nothing_runs(
    bench: Path, small_onnx: Path, checkpoints: Callable[[str], Path], tmp_path: Path
) -> None:
    other = edited(bench, tmp_path / "other.json", 1, cpu="Another CPU")
    assert_one_line(again(small_onnx, checkpoints(""), other), 2, "another machine", "Another CPU", "other.json")


@pytest.mark.parametrize(
    "content", ["{}", "no JSON", '{"kind": "ltm-bench", "format": 0}'], ids=["empty", "no JSON", "another format"]
)
def test_other_files_do_not_compare_and_nothing_runs(
    content: str, small_onnx: Path, checkpoints: Callable[[str], Path], tmp_path: Path
) -> None:
    other = tmp_path / "other.json"
    other.write_text(content)
    assert_one_line(again(small_onnx, checkpoints(""), other), 1, "other.json", "measure again and keep the JSON")


def test_other_weights_fail(small_onnx: Path, tmp_path: Path) -> None:
    """Without a sidecar nothing says which weights an ONNX has, and those that ship are expected."""
    alone = tmp_path / small_onnx.name
    shutil.copy(small_onnx, alone)
    result = run("ltm-bench", *QUICK, "--engine", alone, "--json", tmp_path / "b.json")
    assert result.code == 1
    assert f"{small_onnx.name} unknown x1: failed: alpha differs from" in result.out
    assert "--checkpoint" in result.out
    (row,) = rows_of(tmp_path / "b.json")
    assert (row["status"], row["accuracy"]["tolerance"]) == ("failed", 5e-3), "the most that any precision may be off"
    assert row["latency_ms"] is not None


@pytest.mark.heavy
def test_what_cannot_run_is_a_row_with_its_reason(
    small_onnx: Path, checkpoints: Callable[[str], Path], tmp_path: Path
) -> None:
    known = ("--engine", small_onnx, "--checkpoint", checkpoints(""), "--json", tmp_path / "b.json")
    result = run("ltm-bench", *QUICK, "--backends", "tensorrt,onnxruntime-tensorrt", *known)
    rows = {row["engine"]: row for row in rows_of(tmp_path / "b.json")}
    assert list(rows) == ["onnxruntime-tensorrt", "tensorrt", "tensorrt-rtx", small_onnx.name]
    assert [row["status"] for row in rows.values()] == ["skipped"] * 3 + ["ok"]
    assert "[gpu]" in rows["onnxruntime-tensorrt"]["reason"]
    assert "ltm-build" in rows["tensorrt"]["reason"]
    assert result.code == 0, result
    assert "skipped: " in result.out


@pytest.mark.heavy
def test_without_a_compiler_nothing_is_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "/no/such/compiler")
    run("ltm-bench", *QUICK, "--backends", "pytorch-compiled-cpu", "--json", tmp_path / "b.json")
    (row,) = rows_of(tmp_path / "b.json")
    assert row["status"] == "skipped"
    assert "install g++" in row["reason"]


def test_without_torch_an_onnx_is_timed_and_not_compared(small_onnx: Path, tmp_path: Path) -> None:
    result = run("ltm-bench", *QUICK, "--engine", small_onnx, "--json", tmp_path / "b.json", block="torch")
    assert (result.code, result.err) == (0, ""), result
    (row,) = rows_of(tmp_path / "b.json")
    assert (row["status"], row["accuracy"]) == ("ok", None)
    assert row["latency_ms"]["p50"] > 0


@pytest.mark.slow
def test_without_torch_it_times_the_shipped_engine_and_says_so(tmp_path: Path) -> None:
    quick = ("--iterations", "1", "--warmup", "0")
    result = run("ltm-bench", "--resolution", "1024", "--json", tmp_path / "b.json", *quick, block="torch")
    assert_one_line(result, 0, "PyTorch is not installed", "its own patch size instead of 1024", "[export,bench]")
    (row,) = rows_of(tmp_path / "b.json")
    assert (row["engine"], row["patch_hw"], row["accuracy"]) == ("litematting.onnx", [640, 640], None)


@pytest.mark.slow
@pytest.mark.heavy
def test_backends_run_the_shipped_weights(tmp_path: Path) -> None:
    names = ("--backends", "pytorch-eager-cpu,onnxruntime-cpu")
    result = run("ltm-bench", *QUICK, *names, "--json", tmp_path / "b.json")
    assert result.code == 0, result
    eager, onnx = rows_of(tmp_path / "b.json")
    assert (eager["engine"], eager["accuracy"]["max"], eager["build_s"]) == ("pytorch-eager-cpu", 0, None)
    assert onnx["engine"] == "onnxruntime-cpu"
    assert 0 < onnx["accuracy"]["max"] <= 1e-3
    assert onnx["build_s"] > 0


def test_layers_as_table_json_and_page(mean_onnx: Path, tmp_path: Path) -> None:
    quick = ("--iterations", "2", "--warmup", "1", "--threads", "1", "--engine", mean_onnx)
    said = {}
    for ending in ("json", "html"):
        result = run("ltm-bench", *quick, "--per-layer", tmp_path / f"l.{ending}")
        assert (result.code, result.err) == (0, ""), result
        said[ending] = result.out
        assert "32x32, batch 1, median of 2 runs" in " ".join(result.out.split()), "wherever the line is broken"
    found = json.loads((tmp_path / "l.json").read_text())
    layers = found["layers"]
    assert {"convolution", "copy"} <= {layer["kind"] for layer in layers}
    assert found["milliseconds"] == pytest.approx(sum(layer["milliseconds"] for layer in layers))
    convolution = next(layer for layer in layers if layer["kind"] == "convolution")
    assert found["stages"][convolution["stage"]]["convolution"] == pytest.approx(convolution["milliseconds"])
    assert all(layer["name"] in said["json"] for layer in layers)  # so few are all among the heaviest
    page = (tmp_path / "l.html").read_text()
    assert page.count('class="stage"') == len(found["stages"])
    assert page.count("<tr>") == 1 + len(layers)
    assert {path.name for path in tmp_path.iterdir()} == {"l.json", "l.html"}


@pytest.mark.parametrize(
    ("engine", "device", "precision", "side", "words"),
    [
        ("openvino-cpu", "openvino", "bf16", 640, "ltm-infer PHOTO TRIMAP -o ALPHA --device openvino --precision bf16"),
        ("onnxruntime-cpu", "cpu", "fp32", 640, "ltm-infer PHOTO TRIMAP -o ALPHA --device cpu"),
        ("pytorch-compiled-cpu", "cpu", "fp32", 640, f"--engine {SHIPPED_CHECKPOINT} --patch 640x640 --compile"),
        ("pytorch-eager-cuda", "cuda:0", "tf32", 640, "--patch 640x640 --precision tf32"),
        ("onnxruntime-cuda", "cuda:0", "fp16", 640, "--norm batch --precision fp16; ltm-infer PHOTO TRIMAP -o ALPHA"),
        (
            "onnxruntime-cpu",
            "cpu",
            "fp32",
            64,
            "-o model.onnx --height 64 --width 64 --batch 1 --norm folded; ltm-infer",
        ),
    ],
)
def test_the_fastest_comes_with_its_command(engine: str, device: str, precision: str, side: int, words: str) -> None:
    row = Row(OK, engine, device, precision, 1, (side, side))
    assert words in _to_use(row, BenchSpec(resolution=side))


WRONG_BENCHMARKS: dict[str, tuple[str, int, tuple[str, ...]]] = {
    "a side is a multiple of 32": ("--resolution 100", 2, ("--resolution must be a multiple of 32", "got 100")),
    "the results' folder must be there": ("--json no/b.json", 1, ("b.json", "does not exist", "another output")),
    "an engine must be known": ("--backends abacus", 2, ("abacus", "onnxruntime-cpu")),
    "a batch is a number": ("--batch 1,none", 2, ("1,none", "such as 1,4")),
    "a limit is a share": ("--fail-above some", 2, ("some", "a percentage, such as")),
    "layers are JSON or a page": ("--per-layer l.txt", 2, ("--per-layer must end in .json or .html", "l.txt")),
    "layers are of one batch": ("--per-layer l.json --batch 1,4", 2, ("one --engine and one --batch",)),
    "layers are in one file": ("--per-layer l.json --csv l.csv", 2, ("--csv l.csv", "--per-layer")),
    "layers are of an ONNX or an engine": (
        "--per-layer l.json --engine a.pth",
        2,
        ("a.pth: --per-layer", "ltm-export"),
    ),
    "an engine must be there": ("--engine no.onnx", 1, ("no.onnx", "ltm-export")),
}


@pytest.mark.parametrize(("line", "code", "words"), WRONG_BENCHMARKS.values(), ids=WRONG_BENCHMARKS)
def test_a_wrong_benchmark_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, code: int, words: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert_one_line(called("ltm-bench", *line.split()), code, *words)
