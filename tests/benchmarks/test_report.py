"""Comparisons, and the tables and picture of rows as a GPU would give them."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from litematting_deploy.benchmarks import report
from litematting_deploy.benchmarks.accuracy import accuracy, tolerance
from litematting_deploy.benchmarks.backends import BACKENDS, chosen
from litematting_deploy.benchmarks.compare import changes, check_same_machine
from litematting_deploy.benchmarks.plot import png
from litematting_deploy.benchmarks.results import Accuracy, Latency, OnGpu, Results, Row, read_results
from litematting_deploy.benchmarks.spec import BenchSpec
from litematting_deploy.benchmarks.suite import benchmark
from litematting_deploy.errors import ArtefactError, InputError, UsageError
from litematting_deploy.export.spec import TOLERANCES
from litematting_deploy.runtime.shipped import example_patch
from litematting_deploy.schema import convert

HOST = {"cpu": "A CPU", "cores": 2, "gpus": [], "system": "Linux", "python": "3", "versions": {"numpy": "2"}}
MORE = {"cpu_mhz": None, "governor": None, "load_at_start": 0.1}


def row(engine: str, p50: float | None, **changed: Any) -> Row:
    latency = None if p50 is None else Latency(p50, p50, p50, p50, p50, 0.01, 10, 2)
    made = Row("ok" if latency else "skipped", engine, "cpu", "fp32", 1, (64, 64), latency_ms=latency)
    return replace(made, **changed)


def results(*rows: Row) -> Results:
    return Results({**HOST, **MORE}, {"iterations": 10, "warmup": 2, "duration_s": 0}, [], list(rows))


ON_GPU = row(
    "tensorrt.engine",
    2.0,
    device="cuda:0",
    precision="fp16",
    gpu=OnGpu("A GPU", 0.5, 1.25, 0.25, 10**9, 4e12, (1.0, 2.0)),
    accuracy=Accuracy(1e-3, 1e-5, 0.01, 5e-3),
)


def test_the_fastest_is_within_its_limit_and_counts_pixels() -> None:
    slow, wrong = row("slow", 9, images_per_s=3.0), row("wrong", 1, images_per_s=50.0, status="failed")
    large = row("large", 30, images_per_s=1.0, patch_hw=(128, 128))
    assert report.fastest([wrong, slow, row("gone", None)]) == slow
    assert report.fastest([wrong, slow, large]) == large
    assert report.fastest([wrong]) is None


def test_rows_are_matched_and_what_no_longer_runs_is_a_regression() -> None:
    before = results(row("a", 100), row("b", 100), row("c", 100), row("d", 100, precision="tf32"), row("gone", 1))
    now = [row("a", 104), row("b", 106), row("c", None, reason="broken"), row("new", 5)]
    now.append(row("d", None, precision="fp32, tf32, fp16", batch=0, reason="no driver"))
    found = changes(before, now)
    assert [(one.name, one.regressed(0.05)) for one in found] == [
        *(("a fp32 x1", False), ("b fp32 x1", True), ("c fp32 x1", True), ("d tf32 x1", True)),
    ]
    assert found[0].change == pytest.approx(0.04)
    assert [cells[-1] for cells in report.change_cells(found, 0.05)] == ["", "worse", "worse", "worse"]
    assert report.change_cells(changes(before, [row("a", 50)]), 0.05)[0][3:] == ["-50.0%", "better"]
    with pytest.raises(UsageError, match="no row of the earlier run"):
        changes(before, [row("a", 1, batch=4)])


def test_software_that_differs_is_named() -> None:
    assert check_same_machine(HOST, {**HOST, "versions": {"numpy": "3", "torch": "1"}}, "old.json") == [
        *("numpy 2 -> 3", "torch missing -> 1"),
    ]


@pytest.mark.parametrize("changed", [{"cores": 4}, {"gpus": [{"name": "A GPU"}]}, {"cpu": "B"}], ids=str)
def test_other_hardware_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"old\.json: was measured on another machine"):
        check_same_machine(HOST, {**HOST, **changed}, "old.json")


def test_only_gpus_have_columns_of_a_gpu() -> None:
    keys = {column.key for column in report.columns([row("a", 1)])}
    assert not keys & {"compute_ms", "traffic_ms", "peak_device_mb", "host_to_device_ms", "device_to_host_ms"}
    table = list(
        csv.DictReader(io.StringIO(report.to_csv([row("a", 1), ON_GPU], {"cpu": "A", "instruction_set": "avx2"})))
    )
    assert [item["compute_ms"] for item in table] == ["", "1.25"]
    assert table[1]["traffic_ms"] == "1.00 to 2.00"
    assert table[1]["bandwidth_gb_s"] == "4000.0"


def test_rows_survive_json() -> None:
    for one in (row("a", 1), ON_GPU, row("b", None, reason="why")):
        content = json.loads(results(one).json())["rows"][0]
        assert convert(content, Row, name="a row", place="here") == one


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (("environment",), [], "environment must be a table of keys and values; got []"),
        (("environment", "gpus"), [1], "each GPU must have a name"),
        (("environment", "versions"), [1], "environment.versions must be a dict; got [1]"),
        (("options",), 1, "options must be a table of keys and values; got 1"),
        (("rows", 0, "engine"), 1, "rows[0].engine must be a text; got 1"),
        (("rows", 0, "patch_hw"), [64], "patch_hw"),
        (("rows", 0, "latency_ms", "p50"), "1", "rows[0].latency_ms.p50 must be a number; got '1'"),
        (("rows", 0, "latency_ms", "p50"), 0, "rows[0].latency_ms: p50 must be above 0; got 0"),
    ],
)
def test_results_of_wrong_types_are_one_line(
    place: tuple[str | int, ...], value: object, words: str, tmp_path: Path
) -> None:
    content = json.loads(results(row("a", 1)).json())
    path = tmp_path / "r.json"
    path.write_text(json.dumps(content))
    assert read_results(path) == results(row("a", 1))
    holder = content
    for key in place[:-1]:
        holder = holder[key]
    holder[place[-1]] = value
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"r\.json: .*; measure again and keep the JSON") as caught:
        read_results(path)
    assert words in str(caught.value)


def test_what_makes_times_unsure_is_said() -> None:
    calm = row("calm", 1, elsewhere=0.02)
    loaded = row("loaded", 1, elsewhere=1.5)
    shaky = replace(calm, engine="shaky", latency_ms=Latency(1, 1, 1, 1, 1, 0.4, 10, 2))
    said = report.unsure([calm, loaded, shaky], 2)
    assert len(said) == 2
    assert "loaded fp32 x1: unstable (other processes used 1.5 of 2 cores)" in said[0]
    assert "shaky fp32 x1: unstable (latency varies by ±40%)" in said[1]


def test_picture_of_both_kinds_says_what_it_was_drawn_from() -> None:
    content = png(results(row("a", 5), ON_GPU, row("b", None, reason="why")), source="abc")
    with Image.open(io.BytesIO(content)) as picture:
        assert picture.info["Source"] == "abc"
        assert picture.size[0] >= 800


def test_floor_is_the_exports_and_sad_is_the_metrics() -> None:
    assert (tolerance("fp32"), tolerance("fp16"), tolerance("tf32")) == (
        *(TOLERANCES["fp32"], TOLERANCES["fp16"], TOLERANCES["fp16"]),
    )
    trimap = example_patch((64, 64))["trimap"]
    truth = trimap[:, 2:] + 0.5 * trimap[:, 1:2]
    alpha = truth.repeat(2, axis=0)
    alpha[1] += 0.25 * trimap[0, 1] + 0.125 * trimap[0, 0]  # SAD forces known pixels, the differences do not
    found = accuracy(alpha, truth, trimap, 1e-3)
    unknown, background = float(trimap[0, 1].sum()), float(trimap[0, 0].sum())
    assert found.max == 0.25
    assert found.mean == pytest.approx((0.25 * unknown + 0.125 * background) / (2 * 64 * 64))
    assert found.sad == pytest.approx(0.25 * unknown / 1000)


def test_backends_by_name_and_family() -> None:
    assert chosen(["all"]) == list(BACKENDS)
    assert [one.name for one in chosen(["onnxruntime-cpu", "pytorch-eager"])] == [
        *("pytorch-eager-cpu", "onnxruntime-cpu", "pytorch-eager-mps", "pytorch-eager-cuda"),
    ]
    with pytest.raises(UsageError, match=r"`backends` must be all, or some of pytorch-eager-cpu, .*; got 'onnx'"):
        chosen(["onnx"])


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("resolution", 100, "`resolution` .*100"),
        ("backends", ("abacus",), "`backends` must be all, or some of .*; got 'abacus'"),
        ("threads", 0, "`threads` must be 1 or more; got 0"),
        ("batches", (1, 0), "`batches` must be 1 or more; got 0"),
        ("tolerance", 0.0, "`tolerance` must be a number above 0; got 0"),
        ("engines", "m.onnx", "`engines` must be .*; got 'm.onnx'"),
        ("checkpoint", 3, "`checkpoint` must be .*; got 3"),
    ],
)
def test_a_spec_that_no_benchmark_can_have_is_refused(field: str, value: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        BenchSpec(**{field: value})
    assert caught.value.parameter == field


def test_a_benchmark_of_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="`backends` is empty") as caught:
        benchmark(BenchSpec(backends=()))
    assert caught.value.parameter == "backends"


def test_a_missing_file_is_refused_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match=r"no\.onnx: no such file") as caught:
        benchmark(BenchSpec(engines=(tmp_path / "no.onnx",)))
    assert caught.value.parameter == "engines"
