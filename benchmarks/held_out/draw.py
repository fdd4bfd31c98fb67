"""Draw the 200 held-out scenes of a set that training runs are compared on, with code that never changes.

python benchmarks/held_out/draw.py --set photographic --photos PHOTOS --strands STRANDS --cutouts CUTOUTS -o SCENES

Each set is drawn by its commit named below, which is taken out of the repository's history into a folder of its own:
families and compositions may go on changing without moving the scenes. PHOTOS, STRANDS and CUTOUTS are the
training material's folders; only what a recipe with `held_out = 0.1` never trains on is taken from the first two.
Writes 000.npz to 199.npz (image (512, 512, 3), trimap and alpha (512, 512), all uint8) and index.json, and checks the
alphas against `scenes.json`, so that other versions of NumPy or OpenCV do not pass unnoticed.
"""

import argparse
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import numpy as np

COMMITS = {
    "hard": "b7a27975c9c67cbd2e1846d1c548540e89f63ff8",
    "photographic": "5bec748ebce8a81f62941c7cfd9a179a85a72520",
}
HERE = Path(__file__).parent
# Mean alpha of a scene may differ so much between processors, in levels of 255.
TOLERANCE = 0.2


def take_out(commit: str, folder: Path) -> None:
    """Unpack the package and this script's partner as they were at `commit`. Raises `SystemExit` without history."""
    paths = ["litematting_deploy", "benchmarks/held_out/held_out_scenes.py"]
    done = subprocess.run(["git", "archive", commit, *paths], cwd=HERE.parents[1], capture_output=True, check=False)
    if done.returncode:
        raise SystemExit(
            f"commit {commit} cannot be read: {done.stderr.decode().strip()}; draw the scenes in a clone with its "
            "whole history (git fetch --unshallow)"
        )
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")


def check(scenes: Path, means: list[float]) -> None:
    """Raise `SystemExit` unless the scenes' mean alphas are those of the committed list."""
    for i, mean in enumerate(means):
        with np.load(scenes / f"{i:03d}.npz") as scene:
            found = float(scene["alpha"].mean())
        if abs(found - mean) > TOLERANCE:
            raise SystemExit(
                f"{scenes / f'{i:03d}.npz'}: mean alpha is {found:.2f}, wanted {mean:.2f}: the scenes came out "
                "differently; use the photos, strands and cut-outs that recipes/README.md names, and numpy and "
                "opencv-python-headless of the releases in scenes.json"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--set", choices=COMMITS, default="hard")
    for name in ("photos", "strands", "cutouts"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    folders = [str(getattr(arguments, name).resolve()) for name in ("photos", "strands", "cutouts", "output")]
    with tempfile.TemporaryDirectory() as code:
        take_out(COMMITS[arguments.set], Path(code))
        environment = {**os.environ, "PYTHONPATH": code, "OMP_NUM_THREADS": "1"}
        script = Path(code) / "benchmarks" / "held_out" / "held_out_scenes.py"
        subprocess.run([sys.executable, str(script), *folders], env=environment, check=True)
    check(arguments.output, json.loads((HERE / "scenes.json").read_text())["mean_alpha"][arguments.set])


if __name__ == "__main__":
    main()
