"""Train for minutes on a lent GPU, all in one call: unpack, train, small files back.

python recipes/gpu_stretch.py .pack/gpu.zip -o "$OUT" --init recipes/long.safetensors

OUT gets weights.safetensors, totals.json, loss.png and the like, each at most 16 MiB, renewed while training goes on.
With 8 minutes of training the call takes under 10. Needs what the extra train brings; nothing is fetched, and the
package need not be installed.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from pack import unpack

from litematting_deploy.training.recipe import read_recipe

ROOT = Path(__file__).resolve().parents[1]
BACK = "weights.safetensors", "totals.json", "run.json", "pace.json", "loss.png"
BACK_BYTES = 16 * 2**20
CALL_MINUTES, BESIDE_MINUTES = 9.75, 1.25
"""The longest call, and what of it neither unpacks nor trains: start, measuring the pace, the last checkpoint."""
_COLLECT_S = 20


def collect(run: Path, out: Path) -> None:
    """Copy the small files of a run, and its last preview."""
    previews = sorted((run / "previews").glob("*.jpg"))[-1:]
    for path in (*(run / name for name in BACK), *previews):
        if path.is_file() and path.stat().st_size <= BACK_BYTES:
            shutil.copyfile(path, out / ("preview.jpg" if path.suffix == ".jpg" else path.name))


def train(arguments: list[str], run: Path, out: Path) -> int:
    """Run ltm-train and collect while it runs, so that a call ended from outside leaves something. Returns its code."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    command = [sys.executable, "-c", "from litematting_deploy.cli.train import main; main()", *arguments]
    with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path}) as process:
        while process.poll() is None:
            try:
                process.wait(_COLLECT_S)
            except subprocess.TimeoutExpired:
                collect(run, out)
    collect(run, out)
    return process.returncode


def main() -> int:
    begun = time.monotonic()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pack", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--recipe", type=Path, default=ROOT / "recipes" / "gpu.toml")
    parser.add_argument("--init", type=Path, help="weights to begin with")
    parser.add_argument("--minutes", type=float, default=8.0, help="of training, at most")
    parser.add_argument("--no-fit", action="store_true", help="take the recipe's steps as they are")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        recipe, run = read_recipe(options.recipe), Path(work) / "run"
        photos, libraries = unpack(options.pack, recipe, Path(work), partial(print, flush=True))
        taken = (time.monotonic() - begun) / 60
        minutes = str(min(options.minutes, CALL_MINUTES - BESIDE_MINUTES - taken))
        print(f"unpacked after {taken * 60:.0f} s; training for {float(minutes):.1f} min", flush=True)
        arguments = [str(options.recipe), "--photos", str(photos), "--libraries", str(libraries), "-o", str(run)]
        arguments += ["--minutes", minutes] if options.no_fit else ["--minutes", minutes, "--fit-minutes", minutes]
        arguments += ["--init", str(options.init)] if options.init else []
        code = train(arguments, run, options.output)
    print(
        f"{(time.monotonic() - begun) / 60:.1f} min in all; {', '.join(sorted(os.listdir(options.output)))}", flush=True
    )
    return code


if __name__ == "__main__":
    sys.exit(main())
