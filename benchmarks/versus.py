"""Our `ltm-infer` beside the published inference on a large photo: time and peak memory, each in its own process.

python benchmarks/versus.py --json benchmarks/results/NAME.json        # 26 megapixels; the peer alone takes minutes
python benchmarks/versus.py --megapixels 4 -- --plan adaptive          # what follows -- goes to ltm-infer

The photo is the example enlarged. Ours also runs on trimaps whose unknown pixels are background but for a part of the
photo's width, to show that time grows with the patches and memory does not.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from litematting_deploy.benchmarks import environment
from litematting_deploy.images.mask import read_trimap
from litematting_deploy.images.photo import read_image
from litematting_deploy.matting.trimap import BACKGROUND, UNKNOWN
from litematting_deploy.runtime.shipped import EXAMPLE_IMAGE, EXAMPLE_TRIMAP

PEER = (sys.executable, str(Path(__file__).with_name("published.py")))
# -P, since a folder that the user is in must not hide the package.
INFER = (sys.executable, "-P", "-m", "litematting_deploy.cli.infer")
GOALS = {"times_faster": 3, "times_less_memory": 6}
PARTS = (0.1, 0.25, 0.5, 1.0)


def enlarged(megapixels: float) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The example photo and its trimap at another size."""
    image, trimap = read_image(EXAMPLE_IMAGE), read_trimap(EXAMPLE_TRIMAP)
    scale = math.sqrt(megapixels * 1e6 / trimap.size)
    size = round(trimap.shape[1] * scale), round(trimap.shape[0] * scale)
    larger = cv2.resize(image, size, interpolation=cv2.INTER_CUBIC)
    return np.asarray(larger, np.uint8), np.asarray(cv2.resize(trimap, size, interpolation=cv2.INTER_NEAREST), np.uint8)


def unknown_within(trimap: NDArray[np.uint8], part: float) -> NDArray[np.uint8]:
    """The trimap with unknown pixels in the left `part` of those columns that have any, background in their place."""
    columns = np.flatnonzero((trimap == UNKNOWN).any(axis=0))
    limited = trimap.copy()
    right = limited[:, columns[0] + math.ceil(part * (columns[-1] + 1 - columns[0])) :]
    right[right == UNKNOWN] = BACKGROUND
    return limited


def run(*command: str) -> dict[str, Any]:
    """Wall time and peak memory (`ru_maxrss`) of a process, and its last line without the file's name."""
    started = time.perf_counter()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, stdout=said)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        lines = said.read().decode().splitlines()
    if process.returncode != 0:
        sys.exit(f"versus: {' '.join(command)} ended with code {process.returncode}")
    return {"seconds": seconds, "peak_memory_mb": usage.ru_maxrss * 1.024e-3, "said": lines[-1].split(": ", 1)[-1]}


def ours(folder: Path, trimap: Path, options: list[str]) -> dict[str, Any]:
    """`ltm-infer` on the photo in `folder`, with its stages; unrefined, as the published inference is."""
    files = ("-o", str(folder / "ours.png"), "--timings", str(folder / "timings.json"))
    measured = run(*INFER, str(folder / "photo.png"), str(trimap), *files, "--no-refine", *options)
    stages: dict[str, Any] = json.loads((folder / "timings.json").read_text())
    return measured | {name: stages[name] for name in ("patches", "skipped", "stages")}


def by_area(folder: Path, trimap: NDArray[np.uint8], options: list[str]) -> dict[str, Any]:
    """Ours on trimaps of differing unknown area; seconds as a straight line over patches, by least squares."""
    rows = []
    for part in PARTS:
        limited = unknown_within(trimap, part)
        write(folder / "part.png", limited)
        measured = ours(folder, folder / "part.png", options)
        rows.append(
            {name: measured[name] for name in ("patches", "seconds", "peak_memory_mb")}
            | {"unknown_share": float((limited == UNKNOWN).mean())}
        )
    patches, seconds, peaks = (
        np.array([row[name] for row in rows]) for name in ("patches", "seconds", "peak_memory_mb")
    )
    slope, rest = np.polyfit(patches, seconds, 1)
    return {
        "rows": rows,
        "seconds_per_patch": float(slope),
        "seconds_beside": float(rest),
        "largest_deviation_from_line": float(np.abs(seconds / (slope * patches + rest) - 1).max()),
        "largest_over_smallest_peak": float(peaks.max() / peaks.min()),
    }


def difference(folder: Path, trimap: NDArray[np.uint8]) -> float:
    """Mean difference of both alphas over the unknown pixels, in grey levels."""
    alphas = [read_trimap(folder / name).astype(np.int16) for name in ("ours.png", "peer.png")]
    return float(np.abs(alphas[0] - alphas[1])[trimap == UNKNOWN].mean())


def write(path: Path, pixels: NDArray[np.uint8]) -> None:
    if not cv2.imwrite(str(path), pixels):
        sys.exit(f"versus: {path} cannot be written; make room in the folder for temporary files")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--megapixels", type=float, default=26)
    parser.add_argument("--json", type=Path)
    parser.add_argument("options", nargs="*", help="of ltm-infer, after --")
    arguments = parser.parse_args()
    result: dict[str, Any] = {"environment": environment.describe(), "options": arguments.options}
    image, trimap = enlarged(arguments.megapixels)
    result["photo"] = {"width": trimap.shape[1], "height": trimap.shape[0]}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder / "photo.png", image[:, :, ::-1])
        write(folder / "trimap.png", trimap)
        del image
        result["ours"] = ours(folder, folder / "trimap.png", arguments.options)
        command = (*PEER, str(folder / "photo.png"), str(folder / "trimap.png"), "-o", str(folder / "peer.png"))
        result["peer"] = run(*command)
        result["mean_difference_levels"] = difference(folder, trimap)
        result["by_area"] = by_area(folder, trimap, arguments.options)
    result["times_faster"] = result["peer"]["seconds"] / result["ours"]["seconds"]
    result["times_less_memory"] = result["peer"]["peak_memory_mb"] / result["ours"]["peak_memory_mb"]
    result["goals"] = GOALS
    show(result)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")


def show(result: dict[str, Any]) -> None:
    """Tables for people."""
    console = Console()
    size = result["photo"]
    table = Table("", "seconds", "peak MB", "said", title=f"{size['width']}x{size['height']}", title_justify="left")
    for name in ("peer", "ours"):
        row = result[name]
        table.add_row(name, f"{row['seconds']:.1f}", f"{row['peak_memory_mb']:.0f}", row["said"])
    table.add_row("times", f"{result['times_faster']:.2f}", f"{result['times_less_memory']:.2f}", f"goals {GOALS}")
    console.print(table)
    console.print(f"mean difference over unknown pixels: {result['mean_difference_levels']:.2f} grey levels")
    area = result["by_area"]
    table = Table("unknown", "patches", "seconds", "peak MB", title="ours, by unknown area", title_justify="left")
    for row in area["rows"]:
        texts = (f"{row['unknown_share']:.1%}", str(row["patches"]), f"{row['seconds']:.1f}")
        table.add_row(*texts, f"{row['peak_memory_mb']:.0f}")
    console.print(table)
    console.print(
        f"{area['seconds_per_patch']:.3f} s a patch and {area['seconds_beside']:.2f} s beside; "
        f"off that line by at most {area['largest_deviation_from_line']:.1%}; "
        f"largest peak {area['largest_over_smallest_peak']:.3f} of the smallest"
    )


if __name__ == "__main__":
    main()
