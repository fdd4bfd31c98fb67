"""Golden cases, checkpoints and exports made from them, and commands run as a user runs them."""

import contextlib
import functools
import hashlib
import importlib.util
import inspect
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from filelock import FileLock
from numpy.typing import NDArray
from safetensors.numpy import save_file

from litematting_deploy.matting.inputs import network_image, one_hot
from litematting_deploy.runtime.shipped import SHIPPED_CHECKPOINT, TINY_ENGINE
from litematting_deploy.sidecar import Sidecar, write_sidecar
from litematting_deploy.specs import EngineSpec, JobSpec, OutputSpec, PlanSpec, TrimapSpec
from litematting_deploy.system import ending_signals, is_system

ROOT = Path(__file__).parents[1]
GOLDEN = Path(__file__).parent / "golden"
BLOCKED = Path(__file__).parent / "blocked"
EXAMPLE = ROOT / "examples" / "dandelion.jpg"
EXAMPLE_TRIMAP = ROOT / "examples" / "dandelion_trimap.png"

for number in (signal.SIGINT, *ending_signals()):  # which a shell has ignored in what it runs in the background
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, signal.SIG_DFL)

Inputs = dict[str, NDArray[np.float32]]
# Nobody has run the tests on Windows yet; those with one of these words cannot run there.
_POSIX_MODULE = re.compile(r"^import (fcntl|pty|resource|termios)$", re.MULTILINE)
_POSIX = re.compile(r"SIG(ALRM|HUP|KILL|STOP)|mkfifo|killpg|chmod|symlink_to|start_new_session|/(proc|dev|bin)/|\"sh\"")
collect_ignore = [
    str(path)
    for path in Path(__file__).parent.rglob("test_*.py")
    if is_system("win32") and _POSIX_MODULE.search(path.read_text(encoding="utf-8"))
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One worker makes the export that many tests take while another does tests without it; short ones come last."""

    def order(item: pytest.Item) -> tuple[bool, bool]:
        return "small_onnx" not in getattr(item, "fixturenames", ()), item.get_closest_marker("slow") is None

    items.sort(key=order)
    for item in items if is_system("win32") else ():
        if isinstance(item, pytest.Function) and _POSIX.search(inspect.getsource(item.function)):
            item.add_marker(pytest.mark.skip(reason="uses what Linux and macOS alone have"))


def _golden_weights() -> Any:
    spec = importlib.util.spec_from_file_location("golden_weights", GOLDEN / "weights.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


golden_weights = _golden_weights()


def stand_in(salt: str) -> dict[str, NDArray[np.float32]]:
    """The stand-in state dict of REFERENCE.md for one salt."""
    state: dict[str, NDArray[np.float32]] = golden_weights.make(golden_weights.load_layout(), salt)
    return state


def golden(name: str) -> dict[str, NDArray[Any]]:
    with np.load(GOLDEN / f"{name}.npz") as file:
        return dict(file)


def golden_inputs(case: dict[str, NDArray[Any]]) -> Inputs:
    return {
        "image": network_image(case["image"])[None],
        "trimap": one_hot(case["trimap"])[None],
        "guide": case["guide"][None],
    }


@dataclass(frozen=True)
class Run:
    code: int
    out: str
    err: str


def run(*arguments: str | Path, cwd: Path | None = None, block: str = "", timeout_s: float = 300) -> Run:
    """Run an installed command; `block` names packages that shall look uninstalled."""
    environment = {**os.environ, "COLUMNS": "120"}
    if block:
        path = os.pathsep.join(filter(None, (str(BLOCKED), os.environ.get("PYTHONPATH"))))
        environment |= {"LTM_BLOCK": block, "PYTHONPATH": path}
    command, *rest = map(str, arguments)
    done = subprocess.run(
        [Path(sys.executable).parent / command, *rest],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert_flags(done.stdout + done.stderr)
    return Run(done.returncode, done.stdout, done.stderr)


def called(*arguments: str | Path) -> Run:
    """As `run`, within this process: for mistakes, which are many, and start a process for little."""
    name, *rest = map(str, arguments)
    (command,) = entry_points(group="console_scripts", name=name)
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as ended:
            command.load()(rest)
        assert isinstance(ended.value.code, int)
        for file in (out, err):
            file.seek(0)
        result = Run(ended.value.code, out.read(), err.read())
    assert_flags(result.out + result.err)
    return result


def assert_one_line(result: Run, code: int, *words: str) -> None:
    """The contract of every failure: an exit code, one line on stderr that says `words`, no traceback."""
    assert result.code == code, result
    lines = result.err.strip().splitlines()
    assert len(lines) == 1, result.err
    assert "Traceback" not in result.err
    for word in words:
        assert word in lines[0]


@functools.cache
def parameters() -> frozenset[str]:
    """The names of parameters as errors of the package carry them."""
    files = (ROOT / "litematting_deploy").rglob("*.py")
    carried = (name for file in files for name in re.findall(r'parameter="(\w+)"', file.read_text(encoding="utf-8")))
    specs = (EngineSpec, PlanSpec, TrimapSpec, OutputSpec, JobSpec)
    of_arrays = {"image", "trimap", "mask", "alpha"}  # whose errors are made in one place for all
    return frozenset(carried) | of_arrays | {each.name for spec in specs for each in fields(spec)}


def assert_flags(said: str) -> None:
    """What a command prints names its flags: no parameter of a message is left in backticks, as Python programs know
    it."""
    left = parameters() & set(re.findall(r"`(\w+)(?:=[^`]*)?`", said))
    assert not left, f"{', '.join(left)}: no flag of this command stands for it in: {said}"


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A folder that all parallel workers of this run share."""
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def checkpoints(shared: Path) -> Callable[[str], Path]:
    """Stand-in checkpoints as safetensors, by salt."""

    def make(salt: str) -> Path:
        path = shared / f"standin{salt}.safetensors"
        with FileLock(f"{path}.lock"):
            if not path.exists():
                save_file(stand_in(salt), path)
        return path

    return make


@pytest.fixture(scope="session")
def exports(checkpoints: Callable[[str], Path], shared: Path) -> Callable[..., Path]:
    """ONNX files of the stand-in weights made by `ltm-export`, each made once in a run."""

    def make(salt: str, *options: str) -> Path:
        output = shared / f"standin{salt}{''.join(options)}.onnx"
        with FileLock(f"{output}.lock"):
            if not output.exists():
                result = run("ltm-export", checkpoints(salt), "-o", output, *options)
                assert result.code == 0, result.err
        return output

    return make


@pytest.fixture(scope="session")
def small_onnx(checkpoints: Callable[[str], Path]) -> Path:
    """A dynamic-batch export with 64x64 patches, made as by somebody with a recipe, beside its checkpoint."""
    checkpoint = checkpoints("")
    output, recipe = checkpoint.with_suffix(".onnx"), checkpoint.with_name("recipe.toml")
    with FileLock(f"{output}.lock"):
        if not output.exists():
            recipe.write_text("height = 64\nwidth = 96\nbatch = 2\n")
            options = ("--recipe", recipe.name, "--width", "64", "--batch", "dynamic")
            result = run("ltm-export", checkpoint.name, *options, cwd=checkpoint.parent)
            assert result.code == 0, result.err
    return output


@pytest.fixture(scope="session")
def turing_onnx(exports: Callable[..., Path]) -> Path:
    """In fp16, without a float32 matrix product, two patches of 32x32 at a time."""
    size = ("--height", "32", "--width", "32", "--batch", "2")
    return exports("", *size, "--precision", "fp16", "--pooling", "conv", "--tolerance", "1")


@pytest.fixture(scope="session")
def half_onnx(shared: Path) -> Path:
    """The shipped weights in fp16, two patches of 320x320 at a time."""
    output = shared / "half.onnx"
    options = ("--height", "320", "--width", "320", "--batch", "2", "--precision", "fp16")
    with FileLock(f"{output}.lock"):
        if not output.exists():
            result = run("ltm-export", SHIPPED_CHECKPOINT, "-o", output, *options)
            assert result.code == 0, result.err
    return output


@pytest.fixture(scope="session")
def mean_onnx(shared: Path) -> Path:
    """A network of one convolution whose alpha is the mean of a pixel's red, green and blue: takes no time, and NumPy
    knows what comes out."""
    path = shared / "mean.onnx"
    with FileLock(f"{path}.lock"):
        if not path.exists():
            save_convolution(path, [1 / 3] * 3 + [0] * 5)
    return path


@pytest.fixture(scope="session")
def root_onnx(shared: Path) -> Path:
    """As `mean_onnx`, with the root of red less 0.1 as alpha: no number where red is black."""
    path = shared / "root.onnx"
    with FileLock(f"{path}.lock"):
        if not path.exists():
            save_convolution(path, [1.0] + [0.0] * 7, root_of_less=0.1)
    return path


def save_convolution(path: Path, weights: list[float], root_of_less: float | None = None) -> None:
    model = onnx.load(TINY_ENGINE)
    kernel = np.array(weights, np.float32).reshape(1, 8, 1, 1)
    model.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(kernel, "weights"))
    if root_of_less is not None:
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(root_of_less, np.float32), "offset"))
        model.graph.node[-1].output[0] = "sum"
        model.graph.node.append(onnx.helper.make_node("Sub", ["sum", "offset"], ["less"]))
        model.graph.node.append(onnx.helper.make_node("Sqrt", ["less"], ["alpha"]))
    sidecar = Sidecar(path.name, "", "none", "", (32, 32), None, "fp32", "matmul", "group", 21)
    onnx.helper.set_model_props(model, sidecar.essentials())
    write_sidecar(path, replace(sidecar, sha256=hashlib.sha256(model.SerializeToString()).hexdigest()))
    path.write_bytes(model.SerializeToString())
