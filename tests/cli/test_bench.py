"""ltm-bench as a user runs it."""

import json
from pathlib import Path

import pytest

from tests.conftest import assert_one_line, run

QUICK = ("--iterations", "2", "--warmup", "1")


@pytest.mark.slow
def test_rows_and_json(tmp_path: Path) -> None:
    result = run("ltm-bench", "--resolution", "128", "--json", tmp_path / "b.json", *QUICK)
    assert result.code == 0, result.err
    content = json.loads((tmp_path / "b.json").read_text())
    assert content["complexity"]["parameters"] == 4_336_757
    assert 1e9 < content["complexity"]["flops"] < 2e9
    rows = {row["engine"]: row for row in content["rows"] if row["device"] == "cpu"}
    assert set(rows) == {"pytorch-eager", "onnxruntime-cpu"}
    for row in rows.values():
        assert row["precision"] == "fp32"
        assert row["patch_hw"] == [128, 128]
        latency = row["latency_ms"]
        assert 0 < latency["p50"] <= latency["p90"] <= latency["p99"]
        assert row["max_abs_difference"] <= 1e-3
    assert rows["onnxruntime-cpu"]["max_abs_difference"] > 0
    for words in ("4,336,757", "4.3M / 101.5G", "onnxruntime-cpu", "p50", "p90", "p99", "not run: "):
        assert words in result.out
    assert content["environment"]["cpu"]


@pytest.mark.slow
def test_without_torch_it_times_the_shipped_engine_and_says_so(tmp_path: Path) -> None:
    result = run("ltm-bench", "--resolution", "1024", "--json", tmp_path / "b.json", *QUICK, block="torch")
    assert_one_line(result, 0, "PyTorch is not installed", "its own patch size, not 1024", "[export,bench]")
    content = json.loads((tmp_path / "b.json").read_text())
    assert content["complexity"] is None
    assert [(row["engine"], row["patch_hw"]) for row in content["rows"]] == [("onnxruntime-cpu", [640, 640])]
    assert content["rows"][0]["max_abs_difference"] is None


def test_mistakes(tmp_path: Path) -> None:
    assert_one_line(run("ltm-bench", "--resolution", "100"), 2, "100", "multiples of 32")
    assert_one_line(
        run("ltm-bench", "--json", tmp_path / "no" / "b.json"), 1, "b.json", "does not exist", "another output"
    )
