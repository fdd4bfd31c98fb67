"""The wheel that users install."""

import configparser
import inspect
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

import litematting_deploy
from tests.conftest import EXAMPLE, ROOT

ASSETS = (
    *("README.md", "dandelion.jpg", "dandelion_trimap.png", "demo.css", "demo.js", "expected.json", "group_norm.onnx"),
    *("litematting.onnx", "litematting.onnx.json", "litematting.safetensors", "report.html", "tiny.onnx"),
)
DATA = {
    *(f"assets/{name}" for name in ASSETS),
    *("benchmarks/published.csv", "py.typed", "runtime/cuda/kernels.cu", "runtime/cuda/refining.cu"),
    *(
        f"training/fused/{name}"
        for name in ("block.cpp", "convolution.h", "norm.cpp", "norms.h", "passes.h", "vectors.h")
    ),
}


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


def test_the_wheel_holds_the_package_and_nothing_more(wheel: Path) -> None:
    """Modules are those of the tree; everything else is listed here, so that nothing comes in unseen."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    about = {name for name in names if ".dist-info/" in name}
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "litematting_deploy").rglob("*.py")}
    assert modules == {name for name in names if name.endswith(".py")}
    assert names - about - modules == {f"litematting_deploy/{name}" for name in DATA}
    assert {name.partition(".dist-info/")[2] for name in about} == {
        *("METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE", "top_level.txt"),
    }
    assert wheel.stat().st_size < 25_000_000


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
            "serve",
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


def test_the_examples_are_files_and_the_package_s_own() -> None:
    """Not links to them, which Windows checks out as texts, and copies of the folder leave behind."""
    for name in ("dandelion.jpg", "dandelion_trimap.png"):
        assert not (ROOT / "examples" / name).is_symlink()
        assert (ROOT / "examples" / name).read_bytes() == (ROOT / "litematting_deploy" / "assets" / name).read_bytes()


def test_lazy_names() -> None:
    for name in litematting_deploy.__all__:
        public = getattr(litematting_deploy, name)
        assert callable(public) or inspect.ismodule(public)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        getattr(litematting_deploy, "nonsense")  # noqa: B009  # as a program would that mypy has not seen


def test_workflows_run_what_is_here_on_every_system_and_python() -> None:
    workflows = {path.stem: yaml.safe_load(path.read_text()) for path in (ROOT / ".github" / "workflows").glob("*.yml")}
    assert set(workflows) == {"ci", "release"}
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    pythons = re.findall(r"Python :: (3\.\d+)", config["metadata"]["classifiers"])
    matrix = workflows["ci"]["jobs"]["test"]["strategy"]["matrix"]
    assert matrix["python"] == pythons == ["3.11", "3.12", "3.13", "3.14"]
    assert matrix["system"] == ["ubuntu-latest", "windows-latest", "macos-latest"]
    makefile = (ROOT / "Makefile").read_text()
    for workflow in workflows.values():
        assert workflow["permissions"] == {"contents": "read"}
        for job in workflow["jobs"].values():
            for step in job["steps"]:
                assert re.fullmatch(r"actions/[\w-]+@v\d+", step.get("uses", "actions/none@v0"))
                command, *words = shlex.split(step.get("run", "true"))
                targets = words if command == "make" else []
                assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets), step


def test_macs_with_intel_processors_take_the_last_onnxruntime_for_them() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    wanted = [Requirement(line) for line in config["options.extras_require"]["cpu"].split("\n") if line]
    systems: dict[tuple[str, str], set[str]] = {
        ("linux", "x86_64"): {">=1.32"},
        ("linux", "aarch64"): {">=1.32"},
        ("win32", "AMD64"): {">=1.32"},
        ("darwin", "arm64"): {">=1.32"},
        ("darwin", "x86_64"): {"==1.23.2"},
    }
    for (system, machine), versions in systems.items():
        place = {"sys_platform": system, "platform_machine": machine}
        found = {str(each.specifier) for each in wanted if each.marker is None or each.marker.evaluate(place)}
        assert found == versions, place


def test_a_release_is_checked_as_its_users_meet_it() -> None:
    """`make release` takes minutes and the network; that it runs the README's own second command is seen here."""
    script = (ROOT / ".ci" / "release").read_text()
    (extract,) = re.findall(r"command=\$\((awk '.*') ", script)
    found = subprocess.run(
        ["sh", "-c", f"{extract} README.md"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    second = re.findall(r"^(?:pip .*\n)(ltm-infer (?:.*\\\n)*.*\n)", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert found == second[0]
    for step in ("-m build", 'twine" check --strict', '-m venv "$work/empty"', "sha256sum"):
        assert step in script
