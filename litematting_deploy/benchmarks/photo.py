"""The whole job of `ltm-infer`, from photo to written files, stage by stage."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from ..errors import UsageError

INFER = (sys.executable, "-P", "-m", "litematting_deploy.cli.infer")
HEADINGS = ("stage", "calls", "seconds", "share", "peak MB until then")


def measure(image: str | Path, trimap: str | Path, *options: str, cutout: bool = False) -> dict[str, Any]:
    """Matte a photo in a process of its own, into a folder that is thrown away.

    options: more of `ltm-infer`, such as `--engine`. cutout: with a cut-out and its foreground colours. Returns what
    `ltm-infer --timings` writes: seconds from the start of the process, `peak_memory_mb`, `patches` and `skipped`,
    `stages`, each with seconds, calls, when it first began, and the peak of memory until its end. Raises `UsageError`
    with what `ltm-infer` said if it failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        files = ["-o", f"{folder}/alpha.png", "--timings", f"{folder}/timings.json"]
        files += ["--cutout", f"{folder}/cutout.png"] if cutout else []
        command = [*INFER, str(image), str(trimap), *files, *options]
        ended = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        if ended.returncode != 0:
            said = ended.stderr.strip().removeprefix("ltm-infer: ") or f"ltm-infer ended with code {ended.returncode}"
            raise UsageError(f"--photo: {said}")
        measured: dict[str, Any] = json.loads(Path(folder, "timings.json").read_text())
    return measured


def table(measured: dict[str, Any]) -> Table:
    """What `measure` gives, for people."""
    table = Table("stage", title=title(measured), title_justify="left")
    for heading in HEADINGS[1:]:
        table.add_column(heading, justify="right")
    for row in rows(measured):
        table.add_row(*row)
    return table


def title(measured: dict[str, Any]) -> str:
    """The job in one line."""
    return (
        f"{measured['width']}x{measured['height']} in {measured['seconds']:.2f} s, {measured['patches']} patches run, "
        f"{measured['skipped']} skipped, peak memory {measured['peak_memory_mb']:.0f} MB, {measured['engine']}"
    )


def rows(measured: dict[str, Any]) -> list[Sequence[str]]:
    """A row of text for each stage, under `HEADINGS`."""
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
    """What `table` shows, for a page."""
    lines = [HEADINGS, ["---", *["--:"] * (len(HEADINGS) - 1)], *rows(measured)]
    return f"{title(measured)}:\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines)
