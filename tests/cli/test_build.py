"""ltm-build as a user runs it."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from onnx import helper

from litematting_deploy.cli.build import main
from litematting_deploy.cli.command import with_flags
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
    for words in (f"{engine}: ", " MB, 64x64, batch 1 to 2, best at 1, fp32, tensorrt-rtx 1.", "8.9, 12.0, in "):
        assert words in result.out
    first = check_engine_sidecar(engine)
    assert (first.architectures, first.batches) == (("8.9", "12.0"), (1, 1, 2))
    blocked = "torch,onnx,onnxscript,onnxruntime,safetensors,cuda"  # it needs none of these
    again = run(*shlex.split(with_flags(first.build_command(), main)), cwd=model.parent, block=blocked)
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
    assert "odd.onnx: has no sidecar odd.onnx.json" in warning
    assert first.startswith("node 0 'first' (Det): ")
    assert second.startswith("node 1 'second' (StringNormalizer): ")
    assert last.startswith("ltm-build: ")
    assert "does not support 2 of its nodes (Det, StringNormalizer)" in last
    assert list(tmp_path.iterdir()) == [path]


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory, small_onnx: Path) -> Path:
    """A folder of an export, an edited copy of it, and a profile with a wrong key."""
    folder = tmp_path_factory.mktemp("sources")
    path = copy_of(small_onnx, folder)
    edited = folder / "edited.onnx"
    edited.write_bytes(path.read_bytes() + b"\0")
    sidecar_path(edited).write_bytes(sidecar_path(path).read_bytes())
    (folder / "bad.toml").write_text("max_batch = 2\ntf31 = true\n")
    return folder


RTX = "--backend tensorrt-rtx"
WRONG_BUILDS: dict[str, tuple[str, int, tuple[str, ...]]] = {
    "a model must be there": (f"no.onnx {RTX}", 1, ("no.onnx", "no such file", "ltm-export")),
    "a model is an ONNX": (f"bad.toml {RTX}", 2, ("bad.toml", "expected an .onnx")),
    "a model is not edited": (f"edited.onnx {RTX}", 1, ("edited.onnx", "SHA-256", "ltm-export")),
    "an engine ends in .engine": (f"{{model}} {RTX} -o m.plan", 2, ("m.plan", "must end in .engine")),
    "the engine's folder must be there": (
        f"{{model}} {RTX} -o no/m.engine", 1, ("m.engine", "cannot be written", "does not exist"),
    ),
    "the layers' folder must be there": (f"{{model}} {RTX} --layers no/l.json", 1, ("l.json", "cannot be written")),
    "Turing multiplies no float32 matrices": (
        f"{{model}} {RTX} --sm 75", 2, ("--sm 7.5", "float32 matrix products", "--precision fp16"),
    ),
    "an architecture is one that TensorRT knows": (
        f"{{model}} {RTX} --sm 9.0", 2, ("--sm 9.0", "7.5, 8.0, 8.6, 8.9, 12.0"),
    ),
    "an architecture is a number": (f"{{model}} {RTX} --sm ada", 2, ("'ada'", "8.9 or 89")),
    "batches do not fall": (f"{{model}} {RTX} --max-batch 2 --opt-batch 3", 2, ("1, 3, 2",)),
    "TensorRT-RTX times nothing": (
        f"{{model}} {RTX} --timing-cache t.cache", 2, ("--timing-cache cannot be combined", RTX),
    ),
    "a profile has known keys": (f"{{model}} {RTX} --profile bad.toml", 2, ("bad.toml", "unknown key 'tf31'")),
    "a profile must be there": (
        f"{{model}} {RTX} --profile no.toml", 2, ("no.toml: cannot be read as a profile", "No such file"),
    ),
    "TensorRT builds for the GPU that is here": (
        "{model} --backend tensorrt --sm 8.9", 2, ("--sm 8.9 cannot be combined with --backend tensorrt,", RTX),
    ),
    "a backend must exist": ("{model} --backend trt", 2, ("'trt'", "tensorrt-rtx")),
    "an option must exist": ("{model} --nonsense", 2, ("--nonsense", "--help")),
    "a model is given": ("", 2, ("MODEL",)),
}  # fmt: skip


@pytest.mark.parametrize(("line", "code", "words"), WRONG_BUILDS.values(), ids=WRONG_BUILDS)
def test_a_wrong_build_is_one_line_and_leaves_nothing(
    sources: Path, small_onnx: Path, monkeypatch: pytest.MonkeyPatch, line: str, code: int, words: tuple[str, ...]
) -> None:
    monkeypatch.chdir(sources)
    before = set(sources.iterdir())
    assert_one_line(called("ltm-build", *line.format(model=small_onnx.name).split()), code, *words)
    assert set(sources.iterdir()) == before


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--backend", "tensorrt"), ("needs tensorrt, which is not installed", "[trt-cu13]")),
        (("--backend", "tensorrt-rtx"), ("needs tensorrt_rtx, which is not installed", "[rtx-cu13]")),
        ((), ("neither of which is installed", "[rtx-cu13]", "trt-cu13")),
    ],
    ids=["TensorRT", "TensorRT for RTX", "whichever there is"],
)
def test_without_tensorrt_the_extra_is_named(
    options: tuple[str, ...], words: tuple[str, ...], tmp_path: Path, small_onnx: Path
) -> None:
    output = ("-o", tmp_path / "m.engine")
    assert_one_line(run("ltm-build", small_onnx, *output, *options, block="tensorrt,tensorrt_rtx"), 1, *words)
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
    assert_one_line(sidecar, 2, "m.engine.json: two files of this build would have this name")
    source = run("ltm-build", small_onnx, *options, "--layers", small_onnx)
    assert_one_line(source, 2, "--layers must end in .json or .html")
    assert small_onnx.stat().st_size > 1000
