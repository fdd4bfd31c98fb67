"""ltm-bench: what the model costs and how fast each engine is here."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table

from .._files import check_writable, replace_file
from ..benchmarks import environment, suite
from ..errors import DependencyError
from ..export.spec import ExportSpec
from ._bench_photo import measure_photo, photo_options
from ._command import command, notice, stderr, stdout

if TYPE_CHECKING:
    from ..benchmarks.complexity import Complexity


@command("ltm-bench")
@click.option("--resolution", type=int, default=1024, show_default=True, help="Patch side, a multiple of 32.")
@click.option("--iterations", type=click.IntRange(min=1), default=10, show_default=True, help="Timed runs of each.")
@click.option("--warmup", type=click.IntRange(min=0), default=2, show_default=True, help="Runs before that.")
@click.option("--variants", is_flag=True, help="Count every variant of the paper's ablations, not only the full model.")
@click.option("--json", "json_file", metavar="FILE", help="Also write everything as JSON.")
@photo_options
def main(
    resolution: int,
    iterations: int,
    warmup: int,
    variants: bool,
    json_file: str | None,
    photo: tuple[str, str] | None,
    cutout: bool,
) -> None:
    """Parameters and FLOPs of the model, latency and accuracy of the engines that can run on this machine."""
    if photo is not None:
        measure_photo(photo, (), cutout, {"json": json_file})
        return
    ExportSpec(resolution, resolution)  # raises for a resolution that no patch can have
    if json_file is not None:
        check_writable(json_file)
    described = environment.describe()
    with stderr.status("counting operations"):
        counted = _complexity(variants, resolution)
    if not suite.has_torch():
        notice(
            f"ltm-bench: PyTorch is not installed: timing the shipped engine at its own patch size, not {resolution}, "
            "without complexity and accuracy; pip install 'litematting-deploy[export,bench]' brings them"
        )
    with stderr.status("timing engines"):
        rows, skipped = suite.run(resolution, iterations, warmup)
    for table in (_complexity_table(counted, resolution), _row_table(rows)):
        if table.row_count:
            stdout.print(table)
    for item in skipped:
        stdout.print(f"not run: {item.engine}: {item.reason}", markup=False, soft_wrap=True)
    if json_file is not None:
        full = counted[-1] if counted else None
        content: dict[str, Any] = {
            "environment": described,
            "resolution": resolution,
            "complexity": asdict(full) if full else None,
            "variants": [asdict(item) for item in counted],
            "rows": [asdict(row) for row in rows],
            "skipped": [asdict(item) for item in skipped],
        }
        replace_file(json_file, (json.dumps(content, indent=2) + "\n").encode())


def _complexity(variants: bool, resolution: int) -> "list[Complexity]":
    """The full model, last; before it the other variants if wanted. Empty where it cannot be counted."""
    if not suite.has_torch():
        return []
    from ..benchmarks.complexity import FULL, VARIANTS, count

    names = [*(name for name in VARIANTS if variants and name != FULL), FULL]
    try:
        return [count(name, resolution) for name in names]
    except DependencyError as error:
        notice(f"ltm-bench: {error}")
        return []


def _complexity_table(counted: "list[Complexity]", resolution: int) -> Table:
    table = Table("variant", title=f"complexity at {resolution}x{resolution}", title_justify="left")
    for heading in ("parameters", "GFLOPs", "paper (1024x1024)"):
        table.add_column(heading, justify="right")
    for item in counted:
        published = " / ".join(filter(None, (item.published_parameters, item.published_flops)))
        table.add_row(item.variant, f"{item.parameters:,}", f"{item.flops / 1e9:.3f}", published)
    return table


def _row_table(rows: list[suite.Row]) -> Table:
    height, width = rows[0].patch_hw
    latency = rows[0].latency_ms
    title = f"one {height}x{width} patch, {latency.iterations} runs after {latency.warmup}; alpha against PyTorch fp32"
    table = Table("engine", "precision", title=title, title_justify="left")
    for heading in ("p50 ms", "p90 ms", "p99 ms", "max difference"):
        table.add_column(heading, justify="right")
    for row in rows:
        engine = row.engine if row.device in row.engine else f"{row.engine}, {row.device}"
        percentiles = (row.latency_ms.p50, row.latency_ms.p90, row.latency_ms.p99)
        difference = "-" if row.max_abs_difference is None else f"{row.max_abs_difference:.1e}"
        table.add_row(engine, row.precision, *(f"{value:.1f}" for value in percentiles), difference)
    return table
