"""Make everything that hangs on the shipped weights, from a run's folder or a safetensors file.

make weights RUN=runs/long                              # or: python recipes/ship.py runs/long

The steps run in order, each can be repeated, and the first failure ends it. With the weights that ship already nothing
changes but the differences in `litematting.onnx.json`, and the pictures' last bits: both depend on the processor.
"""

import argparse
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load

from litematting_deploy.files import replace_file

ROOT = Path(__file__).resolve().parents[1]
WEIGHTS = ROOT / "litematting_deploy" / "assets" / "litematting.safetensors"
PICTURES = ROOT / "docs" / "pictures"
TESTS = (
    "tests/test_sidecar.py",
    "tests/doctor/test_checks.py",
    "tests/export/test_export.py::test_shipped_graph_holds_no_weights_but_refers_to_the_one_checkpoint",
    "tests/export/test_export.py::test_shipped_graph_computes_what_the_shipped_checkpoint_says",
    "tests/cli/test_infer.py::test_shipped_weights_and_cutout",
    "tests/benchmarks/test_tables.py",
)
BY_HAND = """\
By hand, then one commit:
- look at docs/pictures/first_screen.jpg and model_card.jpg; docs/pictures/gallery.py --photos DIR, and docs/gallery.md
- the constants of refinement on drawn scenes, and the tables of docs/explanation/refinement.md
- accuracy: one of the six looks at the nine images; write it down in recipes/README.md, then
    ltm-eval alphamatting --json benchmarks/results/alphamatting-trimap1.json
    ltm-eval alphamatting --trimap trimap2 --json benchmarks/results/alphamatting-trimap2.json
  take paths and seconds out of the files, and run this again: README.md and docs/results.md follow
- MODEL_CARD.md: figures, good and bad at, how it was trained, photos with their licences
- CHANGELOG.md; recipes/ledger.csv
- with the machines at hand: ltm-bench --json (the furthest from PyTorch's alpha) and benchmarks/plans.py"""


def take(file: Path) -> None:
    """Put the weights in the place of the shipped ones. Raises `SystemExit` where they are none to ship."""
    content = file.read_bytes()
    try:
        new, old = load(content), load(WEIGHTS.read_bytes())
    except SafetensorError as error:
        raise SystemExit(
            f"{file}: is no safetensors file: {error}; give weights.safetensors of an ltm-train run"
        ) from error
    if {name: value.shape for name, value in new.items()} != {name: value.shape for name, value in old.items()}:
        raise SystemExit(f"{file}: its tensors are not those of {WEIGHTS.name}; give weights in the published layout")
    for name, value in new.items():
        if value.dtype != np.float16 or not np.isfinite(value).all():
            raise SystemExit(
                f"{file}: {name} is {value.dtype}, expected finite float16, as ltm-train's weights.safetensors"
            )
    replace_file(WEIGHTS, content)


def draw_page() -> None:
    """The picture of the page, which needs a browser."""
    if shutil.which("chromium"):
        call(sys.executable, PICTURES / "demo.py")
    else:
        print("  left as it is: chromium is not there; docs/pictures/demo.py draws it where it is", flush=True)


def call(*command: str | Path) -> None:
    subprocess.run(command, cwd=ROOT, check=True)


def python(*arguments: str | Path) -> Callable[[], None]:
    return lambda: call(sys.executable, *arguments)


def export() -> None:
    """The graph and its sidecar."""
    name = Path(sys.executable).with_name("ltm-export")
    call(name, WEIGHTS.relative_to(ROOT), "--recipe", "export/shipped.toml", "--weights-beside")


def steps(source: Path) -> dict[str, Callable[[], None]]:
    """What is made -> how, in the order in which one hangs on the other."""
    file = source / "weights.safetensors" if source.is_dir() else source
    return {
        f"assets/litematting.safetensors from {file}": lambda: take(file),
        "assets/litematting.onnx and its sidecar": export,
        "assets/expected.json": python("recipes/doctor_assets.py"),
        "docs/pictures/first_screen.jpg": python("docs/pictures/first_screen.py"),
        "docs/pictures/model_card.jpg": python("docs/pictures/model_card.py"),
        "docs/pictures/progress.png, from the ledger": python("docs/pictures/progress.py"),
        "docs/pictures/demo.png": draw_page,
        "README.md, docs/results.md, benchmarks/README.md from benchmarks/results": python("benchmarks/tables.py"),
        "the tests that hang on the weights": python("-m", "pytest", "-q", *TESTS),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="a run's folder, or its weights.safetensors")
    source: Path = parser.parse_args().source.resolve()
    todo = steps(source)
    for number, (name, make) in enumerate(todo.items(), 1):
        print(f"{number} of {len(todo)}: {name}", flush=True)
        try:
            make()
        except (OSError, SystemExit, subprocess.CalledProcessError) as error:
            raise SystemExit(f"failed at step {number}, {name}: {error}") from error
    print("changed:", flush=True)
    call("git", "status", "--short")
    print(BY_HAND)


if __name__ == "__main__":
    main()
