"""The wheel that users install."""

import configparser
import inspect
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import litematting_deploy
from tests.conftest import EXAMPLE, ROOT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"  # a copy: what an earlier build left in the tree is not part of the wheel
    ignored = shutil.ignore_patterns(".*", "build", "*.egg-info", "tests", "__pycache__")
    shutil.copytree(ROOT, source, ignore=ignored)
    shutil.rmtree(source / "demo", ignore_errors=True)  # of `make demo`
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    return path


def test_one_top_level_name_and_under_25_megabytes(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"litematting_deploy"}
    assert wheel.stat().st_size < 25_000_000
    for asset in ("litematting.safetensors", "litematting.onnx", "litematting.onnx.json", "dandelion.jpg"):
        assert f"litematting_deploy/assets/{asset}" in names
    assert {"litematting_deploy/assets/report.html", "litematting_deploy/assets/demo.css"} <= set(names)
    assert "litematting_deploy/py.typed" in names
    assert "litematting_deploy/demo/gate.py" in names
    assert {"litematting_deploy/runtime/cuda/kernels.cu", "litematting_deploy/benchmarks/published.csv"} <= set(names)
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_extras_and_commands() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    assert set(config["options.extras_require"]) == {
        *(
            "cpu",
            "gpu",
            "export",
            "bench",
            "train",
            "demo",
            "heif",
            "ocio",
            "video",
            "ray",
            "triton",
            "docs",
            "harden",
            "dev",
        ),
        *("peers", "openvino", "webgpu", "gpu-trt", "cuda12", "cuda13", "rtx-cu12", "rtx-cu13", "trt-cu12", "trt-cu13"),
    }
    required = config["options"]["install_requires"]
    assert not {"torch", "pymatting", "numba", "scipy"} & set(required.split())
    assert "opencv-python-headless" in required
    assert "openexr" in required
    for line in config["options.entry_points"]["console_scripts"].strip().splitlines():
        command, _, target = line.partition(" = ")
        assert (Path(sys.executable).parent / command).exists()
        module, _, function = target.partition(":")
        assert function == "main"
        assert (ROOT / f"{module.replace('.', '/')}.py").exists()


def test_top_level_folders_are_no_packages() -> None:
    for folder in ("export", "engines", "benchmarks", "examples"):
        assert (ROOT / folder / "README.md").exists()
        assert not (ROOT / folder / "__init__.py").exists()
    assert EXAMPLE.is_file()


def test_lazy_names() -> None:
    for name in litematting_deploy.__all__:
        public = getattr(litematting_deploy, name)
        assert callable(public) or inspect.ismodule(public)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        getattr(litematting_deploy, "nonsense")  # noqa: B009  # as a program would that mypy has not seen
