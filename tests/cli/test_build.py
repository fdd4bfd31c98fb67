"""ltm-build as a user runs it."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from onnx import helper

from litematting_deploy.sidecar import check_engine_sidecar, sidecar_path
from tests.conftest import assert_one_line, called, run
from tests.engines.tensorrt.test_builder import copy_of, tiny


@pytest.fixture
def model(tmp_path: Path, small_onnx: Path) -> Path:
    """A copy of the export in a folder of its own."""
    folder = tmp_path / "Löwenzahn und Rauch"
    folder.mkdir()
    return copy_of(small_onnx, folder).rename(folder / "my model.onnx")


def test_profile_options_report_and_the_command_again(model: Path, small_onnx: Path) -> None:
    sidecar_path(model.with_name(small_onnx.name)).rename(sidecar_path(model))
    (model.parent / "p.toml").write_text('backend = "tensorrt-rtx"\narchitectures = ["8.6"]\nmax_batch = 4\n')
    result = run("ltm-build", model, "--profile", model.parent / "p.toml", "--sm", "89,120", "--max-batch", "2")
    assert result.code == 0, result.err
    assert result.err == ""
    engine = model.with_suffix(".engine")
    for words in (f"{engine}: ", " MB, 64x64, batch 1 to 2, best at 2, fp32, tensorrt-rtx 1.", "8.9, 12.0, in "):
        assert words in result.out
    first = check_engine_sidecar(engine)
    assert (first.architectures, first.batches) == (("8.9", "12.0"), (1, 2, 2))
    blocked = "torch,onnx,onnxscript,onnxruntime,safetensors,cuda"  # it needs none of these
    again = run(*shlex.split(first.build_command()), cwd=model.parent, block=blocked)
    assert again.code == 0, again.err
    second = check_engine_sidecar(engine)
    assert first.build_command() == second.build_command()
    assert first.source_sha256 == second.source_sha256
    assert {path.suffix for path in model.parent.iterdir()} == {".onnx", ".json", ".engine", ".toml"}


def test_parser_errors_come_before_the_one_line(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Det", ["image"], ["a"], name="first"),
        helper.make_node("StringNormalizer", ["guide"], ["alpha"], name="second"),
    ]
    path = tiny(tmp_path / "odd.onnx", nodes)
    result = run("ltm-build", path, "--backend", "tensorrt-rtx")
    assert result.code == 1
    warning, first, second, last = result.err.strip().splitlines()
    assert "odd.onnx has no sidecar" in warning
    assert first.startswith("node 0 'first' (Det): ")
    assert second.startswith("node 1 'second' (StringNormalizer): ")
    assert last.startswith("ltm-build: ")
    assert "cannot take 2 of its nodes (Det, StringNormalizer)" in last
    assert list(tmp_path.iterdir()) == [path]


def test_mistakes_are_one_line_and_leave_nothing(tmp_path: Path, small_onnx: Path) -> None:
    path = copy_of(small_onnx, tmp_path)
    edited = tmp_path / "edited.onnx"
    edited.write_bytes(path.read_bytes() + b"\0")
    sidecar_path(edited).write_bytes(sidecar_path(path).read_bytes())
    (tmp_path / "bad.toml").write_text("max_batch = 2\ntf31 = true\n")
    before = set(tmp_path.iterdir())
    rtx = ("--backend", "tensorrt-rtx")
    cases: list[tuple[int, tuple[str | Path, ...], tuple[str, ...]]] = [
        (1, (tmp_path / "no.onnx", *rtx), ("no.onnx", "no such file", "ltm-export")),
        (2, (tmp_path / "bad.toml", *rtx), ("bad.toml", "built from an .onnx")),
        (2, (path, *rtx, "-o", tmp_path / "m.plan"), ("m.plan", "ends in .engine")),
        (1, (path, *rtx, "-o", tmp_path / "no" / "m.engine"), ("m.engine", "cannot be written", "does not exist")),
        (1, (path, *rtx, "--layers", tmp_path / "no" / "l.json"), ("l.json", "cannot be written")),
        (1, (edited, *rtx), ("edited.onnx", "sha256", "ltm-export")),
        (2, (path, *rtx, "--sm", "75"), ("--sm 7.5", "float32 matrix products", "--precision fp16")),
        (2, (path, *rtx, "--sm", "9.0"), ("--sm 9.0", "7.5, 8.0, 8.6, 8.9, 12.0")),
        (2, (path, *rtx, "--sm", "ada"), ("'ada'", "8.9 or 89")),
        (2, (path, *rtx, "--max-batch", "2", "--opt-batch", "3"), ("1, 3, 2",)),
        (2, (path, *rtx, "--timing-cache", "t.cache"), ("--timing-cache cannot be combined", "--backend tensorrt-rtx")),
        (2, (path, *rtx, "--profile", tmp_path / "bad.toml"), ("bad.toml", "unknown key 'tf31'")),
        (2, (path, *rtx, "--profile", tmp_path / "no.toml"), ("no.toml", "not a profile")),
        (
            2,
            (path, "--backend", "tensorrt", "--sm", "8.9"),
            ("--sm 8.9 cannot be combined with --backend tensorrt,", "--backend tensorrt-rtx"),
        ),
        (2, (path, "--backend", "trt"), ("'trt'", "tensorrt-rtx")),
        (2, (path, "--nonsense"), ("--nonsense", "--help")),
        (2, (), ("MODEL",)),
    ]
    for code, arguments, words in cases:
        assert_one_line(called("ltm-build", *arguments), code, *words)
        assert set(tmp_path.iterdir()) == before


def test_without_tensorrt(tmp_path: Path, small_onnx: Path) -> None:
    output = ("-o", tmp_path / "m.engine")
    both = "tensorrt,tensorrt_rtx"
    result = run("ltm-build", small_onnx, *output, "--backend", "tensorrt", block=both)
    assert_one_line(result, 1, "needs tensorrt, which is not installed", "litematting-deploy[trt-cu13]")
    result = run("ltm-build", small_onnx, *output, "--backend", "tensorrt-rtx", block=both)
    assert_one_line(result, 1, "needs tensorrt_rtx, which is not installed", "litematting-deploy[rtx-cu13]")
    result = run("ltm-build", small_onnx, *output, block=both)
    assert_one_line(result, 1, "neither is installed", "[rtx-cu13]", "[trt-cu13]")
    assert list(tmp_path.iterdir()) == []


INTERRUPTED = """
import os, signal, sys, threading
signal.signal(signal.SIGINT, signal.default_int_handler)  # it may be ignored where the tests run
from litematting_deploy.cli.build import main
threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT)).start()
main(sys.argv[1:])
"""


def test_interrupt(tmp_path: Path, small_onnx: Path) -> None:
    arguments = [small_onnx, "-o", tmp_path / "m.engine", "--backend", "tensorrt-rtx"]
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 130, done.stderr
    assert done.stderr.strip() == "ltm-build: interrupted"
    assert list(tmp_path.iterdir()) == []


def test_help_names_every_option() -> None:
    result = run("ltm-build", "--help")
    assert result.code == 0
    options = ("--backend", "--profile", "--sm", "--min-batch", "--opt-batch", "--max-batch", "--tf32", "--workspace")
    more = ("--optimization-level", "--timing-cache", "--hardware-compatibility", "--refit", "--layers", "--output")
    for option in (*options, *more):
        assert option in result.out


@pytest.mark.parametrize("model", ["", ".", "/", "model.txt", "no.onnx", "a" * 300 + ".onnx"])
def test_what_is_no_onnx(model: str) -> None:
    assert_one_line(called("ltm-build", model), 1 if model.endswith(".onnx") else 2, "onnx")


def test_two_files_of_one_name(small_onnx: Path, tmp_path: Path) -> None:
    options = ("--backend", "tensorrt-rtx", "-o", tmp_path / "m.engine")
    sidecar = run("ltm-build", small_onnx, *options, "--layers", tmp_path / "m.engine.json")
    assert_one_line(sidecar, 2, "m.engine.json: two files of this build have this name")
    source = run("ltm-build", small_onnx, *options, "--layers", small_onnx)
    assert_one_line(source, 2, f"{small_onnx.name}: two files of this build have this name")
    assert small_onnx.stat().st_size > 1000
