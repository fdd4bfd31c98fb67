"""Who may know whom (DESIGN), and what must not be imported."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import EXAMPLE, EXAMPLE_TRIMAP, ROOT

PACKAGE = ROOT / "litematting_deploy"
SEAMS = {"errors", "files", "isolation", "profiling", "schema", "sidecar", "specs", "system", "_optional"}
ALLOWED = {
    "errors": set(),
    "_optional": set(),
    "files": set(),
    "isolation": set(),
    "profiling": set(),
    "schema": set(),
    "sidecar": set(),
    "specs": set(),
    "system": set(),
    "images": set(),
    "model": set(),
    "engines": set(),
    "matting": {"images"},
    "runtime": {"engines", "images", "matting", "model"},
    "evaluation": {"images", "matting", "runtime"},
    "export": {"model"},
    "jobs": {"runtime", "images", "matting", "video"},
    "video": {"images"},
    "demo": {"jobs", "runtime", "images", "matting"},
    "training": {"model", "images", "matting", "evaluation"},
    "doctor": {"engines", "export", "images", "matting", "runtime", "benchmarks", "video"},
    "benchmarks": {"engines", "images", "matting", "model", "runtime", "export", "evaluation"},
}


def rooms_known(file: Path) -> set[str]:
    """First-level names of this package that a file imports, wherever in it."""
    depth = len(file.relative_to(PACKAGE).parts) - 1
    known = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level == depth + 1:
            known |= {node.module.split(".")[0]} if node.module else {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            assert not (node.module or "").startswith("litematting_deploy"), f"{file}: imports inside are relative"
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
            assert not any(name.startswith("litematting_deploy") for name in names), (
                f"{file}: imports inside are relative"
            )
    return known - {"__version__"}


def files_of(room: str) -> list[Path]:
    return sorted((PACKAGE / room).rglob("*.py")) or [PACKAGE / f"{room}.py"]


@pytest.mark.parametrize("room", ALLOWED)
def test_rooms_know_only_whom_they_may(room: str) -> None:
    files = files_of(room)
    known = {name for file in files for name in rooms_known(file)}
    assert known <= ALLOWED[room] | SEAMS


def test_no_room_is_forgotten_and_no_one_knows_the_commands() -> None:
    rooms = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert rooms == {*ALLOWED, "cli", "__init__"}
    assert not any("cli" in allowed for allowed in ALLOWED.values())


IMPORTS = """
import sys
before = set(sys.modules)  # a .pth file of the CUDA 12 bindings puts cuda there at start-up
{work}
heavy = {{"torch", "tensorrt", "tensorrt_rtx", "cuda", "pycuda", "onnx", "pymatting", "lightning"}}
heavy |= {{"numba", "scipy", "matplotlib", "fvcore", "safetensors", "pytest", "av"}}  # slow to start, too
heavy |= {{"grpc", "tritonclient"}}
heavy |= {unwanted!r}
heavy &= set(sys.modules) - before
assert not heavy, heavy
"""
INFER = """
from litematting_deploy.cli.infer import main
try:
    main({arguments!r})
except SystemExit as done:
    assert done.code == 0, done.code
"""


@pytest.mark.parametrize(
    ("work", "unwanted"),
    [
        ("import litematting_deploy", {"numpy", "cv2", "PIL", "OpenEXR", "rich", "onnxruntime"}),
        (INFER.format(arguments=["--help"]), {"onnxruntime"}),
        (
            INFER.format(arguments=["{folder}/photo.png", "{folder}/trimap.png", "-o", "{folder}/alpha.png"]),
            set(),
        ),
        ("import litematting_deploy.training.drawing", {"onnxruntime"}),  # in each of the workers
    ],
    ids=["import", "help", "inference", "drawing"],
)
def test_light_paths_import_nothing_heavy(work: str, unwanted: set[str], tmp_path: Path) -> None:
    for source, name in ((EXAMPLE, "photo.png"), (EXAMPLE_TRIMAP, "trimap.png")):
        with Image.open(source) as picture:
            picture.crop((600, 1000, 800, 1160)).save(tmp_path / name)
    script = IMPORTS.format(work=work.replace("{folder}", str(tmp_path)), unwanted=unwanted)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
