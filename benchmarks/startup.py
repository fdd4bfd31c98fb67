"""How long `ltm-infer` takes until its first patch enters the engine, and until it has imported all it needs.

python benchmarks/startup.py [--runs 10] [--json benchmarks/results/NAME.json]

Runs the real command on a 1024x1024 crop of the example, once to warm the file cache, and reads the stages that it
writes with --timings, whose clock starts with its process.
"""

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from PIL import Image
from rich.console import Console
from rich.table import Table

from litematting_deploy.benchmarks import environment, photo
from litematting_deploy.profiling import START_UP
from litematting_deploy.runtime.shipped import EXAMPLE_IMAGE, EXAMPLE_TRIMAP

SIDE = 1024
GOALS_S = {"imports and options": 0.4, "first patch enters the engine": 1.0}


def crop(folder: str) -> list[str]:
    """A photo of 1024x1024 and its trimap."""
    files = [f"{folder}/photo.jpg", f"{folder}/trimap.png"]
    for source, target in zip((EXAMPLE_IMAGE, EXAMPLE_TRIMAP), files, strict=True):
        with Image.open(source) as picture:
            left, top = (picture.width - SIDE) // 2, (picture.height - SIDE) // 2
            picture.crop((left, top, left + SIDE, top + SIDE)).save(target, quality=95)
    return files


def times(measured: dict[str, Any]) -> dict[str, float]:
    """Seconds from the start of the process until each step is done, the last until the engine is entered."""
    stages = {stage["name"]: stage for stage in measured["stages"]}
    return {
        "imports and options": stages[START_UP]["seconds"],
        **{
            name: stages[name]["began_s"] + stages[name]["seconds"]
            for name in ("decode photo", "decode trimap", "load engine", "guide")
        },
        "first patch enters the engine": stages["engine"]["began_s"],
    }


def imports(count: int = 8) -> dict[str, float]:
    """Milliseconds that the modules of each package take to import, the slowest first; Python's own are `python`."""
    command = [sys.executable, "-X", "importtime", "-c", "import litematting_deploy.cli.infer, onnxruntime"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    spent: Counter[str] = Counter()
    for microseconds, module in re.findall(r"import time:\s*(\d+) \|\s*\d+ \|\s*(\S+)", said):
        package = module.split(".")[0]
        spent["python" if package in sys.stdlib_module_names else package] += int(microseconds)
    return {package: microseconds / 1e3 for package, microseconds in spent.most_common(count)}


def main() -> None:
    parser = argparse.ArgumentParser(description="Start-up of ltm-infer.")
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    described = environment.describe()
    with tempfile.TemporaryDirectory() as folder:
        image, trimap = crop(folder)
        photo.measure(image, trimap)
        runs = [times(photo.measure(image, trimap)) for _ in range(arguments.runs)]
    table = Table("seconds from process start until", "min", "median", "goal", title=f"{arguments.runs} runs")
    found = {}
    for name in runs[0]:
        values = [run[name] for run in runs]
        found[name] = {"min_s": min(values), "median_s": statistics.median(values), "goal_s": GOALS_S.get(name)}
        table.add_row(name, f"{min(values):.3f}", f"{statistics.median(values):.3f}", str(GOALS_S.get(name, "")))
    by_package = imports()
    console = Console()
    console.print(table)
    console.print("imports, ms:", ", ".join(f"{package} {spent:.0f}" for package, spent in by_package.items()))
    if arguments.json is not None:
        content = {"environment": described, "runs": arguments.runs, "start_up": found, "imports_ms": by_package}
        arguments.json.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
