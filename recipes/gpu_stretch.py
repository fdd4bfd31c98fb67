"""Train for minutes on a lent GPU, all in one call: unpack, train, small files back.

python recipes/gpu_stretch.py .pack/gpu.zip -o "$OUT" --init litematting_deploy/assets/litematting.safetensors

OUT gets weights.safetensors, totals.json, loss.png and the like, each at most 16 MiB, renewed while training goes on.
With 8 minutes of training the call takes under 10. Needs what the extra train brings; nothing is fetched, and the
package need not be installed.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # the package need not be installed

from litematting_deploy.errors import LiteMattingError  # noqa: E402
from litematting_deploy.training.progress import TrainProgress  # noqa: E402

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


class Watched:
    """Prints what a run reports, and collects while it trains: a call that is ended from outside leaves something."""

    def __init__(self, run: Path, out: Path) -> None:
        self.run, self.out, self._collected_s = run, out, time.monotonic()

    def __call__(self, progress: TrainProgress) -> None:
        """Print the notes of a report, and how far the run is whenever files were collected."""
        if progress.note is not None:
            print(progress.note, flush=True)
        elif time.monotonic() - self._collected_s > _COLLECT_S:
            self._collected_s = time.monotonic()
            collect(self.run, self.out)
            print(f"{progress.what}: {progress.done:.0f} of {progress.total:.0f}", flush=True)


def main() -> None:
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
    try:
        with tempfile.TemporaryDirectory() as work:
            steps = stretch(options, Path(work), begun)
    except LiteMattingError as error:
        raise SystemExit(str(error)) from error
    took_min = (time.monotonic() - begun) / 60
    print(f"{steps}; {took_min:.1f} min in all; {', '.join(sorted(os.listdir(options.output)))}", flush=True)


def stretch(options: argparse.Namespace, work: Path, begun: float) -> str:
    """Unpack into a folder and train there; return the step reached, in words. begun: the call, in seconds."""
    # Not above: the processes that draw import this file, too, and shall not wait for PyTorch.
    from pack import unpack

    from litematting_deploy.training.job import train_run
    from litematting_deploy.training.recipe import read_recipe
    from litematting_deploy.training.spec import TrainSpec

    run, recipe = work / "run", read_recipe(options.recipe)
    photos, libraries = unpack(options.pack, recipe, work, partial(print, flush=True))
    taken = (time.monotonic() - begun) / 60
    minutes = min(options.minutes, CALL_MINUTES - BESIDE_MINUTES - taken)
    print(f"unpacked after {taken * 60:.0f} s; training for {minutes:.1f} min", flush=True)
    spec = TrainSpec(
        run=run,
        recipe=options.recipe,
        photos=photos,
        libraries=libraries,
        init=options.init,
        workers=os.cpu_count() or 1,
        minutes=minutes,
        fit_minutes=None if options.no_fit else minutes,
    )
    try:
        reached = train_run(spec, Watched(run, options.output))
    finally:
        collect(run, options.output)
    return "" if reached is None else f"step {reached.step} of {reached.steps}"


if __name__ == "__main__":
    main()
