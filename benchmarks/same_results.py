"""Compare the files that two commits write for the same commands on this machine.

python benchmarks/same_results.py OLD [NEW] [--keep DIR]

OLD and NEW (default: the working tree) are commits. Each runs the same commands from a checkout of its own, with the
packages of the interpreter that runs this script. Prints one line for each result: equal to the bit, equal in all
pixels, or by how many levels of 8 bits it differs at most. Exits with 1 where a result differs by more than one level,
or where one of the two is missing.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from litematting_deploy.images.exr import is_exr, read_exr_whole

ROOT = Path(__file__).parents[1]
PHOTO, TRIMAP = "photo.png", "trimap.png"
COMMANDS = (
    ("ltm-infer", PHOTO, TRIMAP, "-o", "alpha.png", "--cutout", "cutout.png", "--foreground", "foreground.png"),
    ("ltm-infer", PHOTO, TRIMAP, "-o", "deep.tif", "--depth", "16", "--cutout", "cutout.tif"),
    ("ltm-infer", PHOTO, TRIMAP, "-o", "alpha.exr", "--cutout", "cutout.exr"),
    ("ltm-infer", PHOTO, TRIMAP, "-o", "over.png", "--cutout", "composite.png", "--background", "#406080"),
    ("ltm-infer", PHOTO, TRIMAP, "-o", "grid.png", "--plan", "grid"),
    ("ltm-infer", PHOTO, TRIMAP, "-o", "published.png", "--published"),
    ("ltm-trimap", "mask.png", "-o", "from_mask.png"),
    ("ltm-infer", PHOTO, "--mask", "mask.png", "-o", "by_mask.png", "--preview", "preview.png"),
    ("ltm-infer", "photos", "trimaps", "-o", "folder", "--cutout", "cutouts"),
)


def prepare(folder: Path) -> None:
    """Write the inputs: the middle of the example at a third of its size, its trimap, a mask, and a folder of two."""
    picture = cv2.imread(str(ROOT / "examples" / "dandelion.jpg"))
    trimap = cv2.imread(str(ROOT / "examples" / "dandelion_trimap.png"), cv2.IMREAD_GRAYSCALE)
    if picture is None or trimap is None:
        raise SystemExit(f"{ROOT / 'examples'}: the example cannot be read; run this in a whole checkout")
    size = (trimap.shape[1] // 3, trimap.shape[0] // 3)
    picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    trimap = cv2.resize(trimap, size, interpolation=cv2.INTER_NEAREST)
    mask = np.where(trimap > 127, 255, 0).astype(np.uint8)
    for name, content in ((PHOTO, picture), (TRIMAP, trimap), ("mask.png", mask)):
        cv2.imwrite(str(folder / name), content)
    for name, content in (("photos", picture), ("trimaps", trimap)):
        (folder / name).mkdir()
        cv2.imwrite(str(folder / name / "a.png"), content)
        cv2.imwrite(str(folder / name / "b.png"), np.ascontiguousarray(content[:, ::-1]))


def run(code: Path, folder: Path) -> None:
    """Run all commands of one commit in a folder of its own."""
    folder.mkdir()
    prepare(folder)
    environment = {**os.environ, "PYTHONPATH": str(code)}
    for command, *rest in COMMANDS:
        program = Path(sys.executable).parent / command
        done = subprocess.run([str(program), *rest], cwd=folder, env=environment, capture_output=True, check=False)
        if done.returncode:
            print(f"{' '.join((command, *rest))}: {done.stderr.decode().strip().splitlines()[-1:]}")


def pixels(path: Path) -> NDArray[np.float64]:
    """Return a result's numbers in levels of 8 bits."""
    if is_exr(path):
        planes = read_exr_whole(path, max_megapixels=100).planes
        return np.stack([planes[name].astype(np.float64) * 255 for name in sorted(planes)])
    found = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if found is None:
        raise SystemExit(f"{path}: cannot be read")
    return found.astype(np.float64) / (257 if found.dtype == np.uint16 else 1)


def compare(old: Path, new: Path) -> float:
    """Print how two results differ; return by how many levels at most, infinity where one is missing."""
    if not (old.is_file() and new.is_file()):
        print(f"{new.name}: only one of the two commits wrote it")
        return float("inf")
    if old.read_bytes() == new.read_bytes():
        print(f"{new.name}: equal to the bit")
        return 0.0
    a, b = pixels(old), pixels(new)
    if a.shape != b.shape:
        print(f"{new.name}: {a.shape} and {b.shape}")
        return float("inf")
    apart = np.abs(a - b)
    print(f"{new.name}: {np.count_nonzero(apart)} of {apart.size} values differ, by {apart.max():.3g} levels at most")
    return float(apart.max())


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("old")
    parser.add_argument("new", nargs="?", help="default: the working tree")
    parser.add_argument("--keep", type=Path, help="folder for the results of both")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        base = arguments.keep or Path(scratch)
        base.mkdir(parents=True, exist_ok=True)
        for name, commit in (("old", arguments.old), ("new", arguments.new)):
            code = ROOT
            if commit:
                code = Path(scratch) / f"code-{name}"
                subprocess.run(["git", "worktree", "add", "--detach", "-q", str(code), commit], cwd=ROOT, check=True)
            try:
                run(code, base / name)
            finally:
                if commit:
                    subprocess.run(["git", "worktree", "remove", "--force", str(code)], cwd=ROOT, check=True)
        names = {path.relative_to(base / side) for side in ("old", "new") for path in (base / side).rglob("*.*")}
        worst = max(compare(base / "old" / name, base / "new" / name) for name in sorted(names) if name.suffix)
    print(f"at most {worst:.3g} levels apart")
    return int(worst > 1)


if __name__ == "__main__":
    sys.exit(main())
