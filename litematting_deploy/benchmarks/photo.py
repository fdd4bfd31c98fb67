"""Where the time and the memory of a whole job go: from a photo to written files, stage by stage."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .. import isolation
from ..errors import LiteMattingError, UsageError, counted
from ..jobs.api import matte_photo
from ..profiling import recording
from ..specs import EngineSpec, JobSpec, OutputSpec, PlanSpec
from .report import markdown_table

HEADINGS = ("stage", "calls", "seconds", "share", "peak MB until then")
_LONGEST_S = 24 * 3600


def measure(
    image: str | Path, trimap: str | Path, engine: EngineSpec | None = None, *, cutout: bool = False
) -> dict[str, Any]:
    """Matte a photo in a process of its own, into a folder that is thrown away, and return where its time went.

    - `image`, `trimap`: files.
    - `engine`: what runs; the shipped weights by default.
    - `cutout`: also make a cut-out, with foreground colours.

    The alpha is the network's own, without refinement.

    Returns what `ltm-infer` writes of its timings: `seconds` from the start of the process, `peak_memory_mb`, `patches`
    and `skipped`, and `stages`, each with seconds, calls, when it first began, and the peak of memory until its end.
    Raises: `UsageError` with the reason where the photo cannot be matted.
    """
    with tempfile.TemporaryDirectory() as folder:
        output = OutputSpec(alpha=f"{folder}/alpha.png", cutout=f"{folder}/cutout.png" if cutout else None)
        # Refinement takes as long with every engine.
        plan = PlanSpec(refine=False)
        job = JobSpec(images=str(image), source=str(trimap), output=output, engine=engine or EngineSpec(), plan=plan)
        try:
            measured: dict[str, Any] = isolation.call(f"{__name__}:_stages", job, timeout_s=_LONGEST_S)
        except LiteMattingError as error:
            raise UsageError(f"the photo could not be matted: {error}", parameter="image") from error
    return measured


def _stages(job: JobSpec) -> dict[str, Any]:
    """Matte a photo in this process, and return the stages of its whole life."""
    with recording() as record:
        matte_photo(job)
        return record.summary()


def title(measured: dict[str, Any]) -> str:
    """Return the job in one line; `measured` as from `measure`."""
    return (
        f"{measured['width']}x{measured['height']} in {measured['seconds']:.2f} s, "
        f"{counted(measured['patches'], 'patch')} run, {measured['skipped']} skipped, "
        f"peak memory {measured['peak_memory_mb']:.0f} MB, {measured['engine']}"
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
