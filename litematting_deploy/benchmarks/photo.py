"""Where the time and the memory of a whole job go: `ltm-infer` from photo to written files, stage by stage."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import UsageError
from .report import markdown_table

# -P, since a folder that the user is in must not hide the package.
INFER = (sys.executable, "-P", "-m", "litematting_deploy.cli.infer")
HEADINGS = ("stage", "calls", "seconds", "share", "peak MB until then")


def measure(
    image: str | Path, trimap: str | Path, engine: str | Path | None = None, *, cutout: bool = False
) -> dict[str, Any]:
    """Matte a photo in a process of its own, into a folder that is thrown away, and return where its time went.

    image, trimap: files.
    engine: the file that runs, on the device that its kind runs on by default; the shipped weights by default.
    cutout: also make a cut-out, with foreground colours.
    Returns what `ltm-infer` writes of its timings: `seconds` from the start of the process, `peak_memory_mb`, `patches`
    and `skipped`, and `stages`, each with seconds, calls, when it first began, and the peak of memory until its end.
    Raises: `UsageError` with what `ltm-infer` says where it fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        options = ["-o", f"{folder}/alpha.png", "--timings", f"{folder}/timings.json"]
        options += ["--cutout", f"{folder}/cutout.png"] if cutout else []
        options += ["--engine", str(engine)] if engine is not None else []
        command = [*INFER, str(image), str(trimap), *options]
        ended = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        if ended.returncode != 0:
            said = ended.stderr.strip().removeprefix("ltm-infer: ") or f"ltm-infer ended with code {ended.returncode}"
            raise UsageError(f"the photo could not be matted: {said}", parameter="image")
        measured: dict[str, Any] = json.loads(Path(folder, "timings.json").read_text())
    return measured


def title(measured: dict[str, Any]) -> str:
    """Return the job in one line; `measured` as from `measure`."""
    return (
        f"{measured['width']}x{measured['height']} in {measured['seconds']:.2f} s, {measured['patches']} patches run, "
        f"{measured['skipped']} skipped, peak memory {measured['peak_memory_mb']:.0f} MB, {measured['engine']}"
    )


def rows(measured: dict[str, Any]) -> list[Sequence[str]]:
    """Return a row of text for each stage, under `HEADINGS`."""
    return [
        (
            stage["name"],
            str(stage["calls"] or ""),
            f"{stage['seconds']:.3f}",
            f"{stage['seconds'] / measured['seconds']:.1%}",
            f"{stage['peak_memory_mb']:.0f}",
        )
        for stage in measured["stages"]
    ]


def markdown(measured: dict[str, Any]) -> str:
    """Return title and rows for a page."""
    return f"{title(measured)}:\n\n{markdown_table(HEADINGS, rows(measured))}"
