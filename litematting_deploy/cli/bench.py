"""ltm-bench: what the model costs, and how fast and how exact each engine is here."""

from pathlib import Path
from typing import Any

import click
from rich import box
from rich.table import Table
from rich.text import Text

from .._optional import require
from ..benchmarks import compare, environment, report, suite
from ..benchmarks.backends import BACKENDS, chosen
from ..benchmarks.paper import FULL, TABLES
from ..benchmarks.row import FAILED, OK, Results, read_results
from ..benchmarks.timing import Effort
from ..errors import ArtefactError
from ..export.spec import ExportSpec
from ..files import check_writable
from ._bench_output import write_all
from ._bench_photo import measure_photo, photo_options
from .command import command, notice, printable, stderr, stdout

_SHIPPED = "the shipped weights"
_ROOMY = 100  # columns of a terminal from which on the table of engines fits as a whole


def _numbers(context: click.Context, parameter: click.Parameter, value: str) -> tuple[int, ...]:
    words = value.split(",")
    if not all(word.strip().isdecimal() and int(word) for word in words):
        raise click.BadParameter(f"{value!r} is not one or more numbers, as in 1,4", context, parameter)
    return tuple(map(int, words))


def _percent(context: click.Context, parameter: click.Parameter, value: str) -> float:
    try:
        limit = float(value.removesuffix("%")) / 100
    except ValueError:
        limit = -1.0
    if not 0 <= limit < 100:
        raise click.BadParameter(f"{value!r} is no percentage, as in 5%", context, parameter)
    return limit


@command("ltm-bench")
@click.option("--resolution", type=int, default=1024, show_default=True, help="Patch side, a multiple of 32.")
@click.option(
    "--engine", "engines", multiple=True, metavar="FILE", help="An ONNX, .engine or checkpoint as it is; repeatable."
)
@click.option(
    "--backends",
    metavar="NAMES",
    help=f"all, or some of {', '.join(one.name for one in BACKENDS)}, or families such as pytorch.  "
    "[default: all; none with --engine]",
)
@click.option("--batch", "batches", default="1", show_default=True, callback=_numbers, help="Patches a run, as in 1,4.")
@click.option("--threads", type=click.IntRange(min=1), help="On the CPU.  [default: all cores]")
@click.option(
    "--iterations", type=click.IntRange(min=1), default=10, show_default=True, help="Least timed runs of each."
)
@click.option("--duration", type=click.FloatRange(min=0), default=0.0, help="Least seconds of timed runs of each.")
@click.option("--warmup", type=click.IntRange(min=0), default=2, show_default=True, help="Runs before that.")
@click.option("--checkpoint", metavar="FILE", help=f"Weights to run and to compare with.  [default: {_SHIPPED}]")
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0, min_open=True),
    help="Largest difference of alpha from fp32 PyTorch.  [default: the export's: 0.001, in fp16 and tf32 0.005]",
)
@click.option("--trust", is_flag=True, help="Run TensorRT engines without their sidecars. They can run any code.")
@click.option("--variants", is_flag=True, help="Also count the paper's ablations, and print its tables beside ours.")
@click.option("--json", "json_file", metavar="FILE", help="Write everything as JSON.")
@click.option("--csv", "csv_file", metavar="FILE", help="Write the rows as CSV.")
@click.option("--markdown", "markdown_file", metavar="FILE", help="Write the tables as Markdown.")
@click.option("--plot", "plot_file", metavar="FILE", help="Draw the latencies as PNG.")
@click.option("--compare", "compare_file", metavar="FILE", help="Compare with the JSON of an earlier run here.")
@click.option(
    "--fail-above", metavar="PERCENT", default="5%", show_default=True, callback=_percent, help="For --compare."
)
@photo_options
def main(
    resolution: int,
    engines: tuple[str, ...],
    backends: str | None,
    batches: tuple[int, ...],
    fail_above: float,
    variants: bool,
    compare_file: str | None,
    **options: Any,
) -> int:
    """Speed, memory and accuracy of every engine that can run here, and what the model costs.

    Exits with 1 when a row failed (alpha too far from PyTorch's, or an error), when none ran, and when a row is slower
    than in --compare by more than --fail-above.
    """
    ExportSpec(resolution, resolution)  # raises for a resolution that no patch can have
    files = {kind: options[f"{kind}_file"] for kind in ("json", "csv", "markdown", "plot")}
    for path in filter(None, files.values()):
        check_writable(path)
    if options["photo"] is not None:
        measure_photo(options["photo"], engines, options["cutout"], files)
        return 0
    if files["plot"] is not None:
        require("matplotlib", "bench", "drawing a plot")
    for path in (*engines, *filter(None, [options["checkpoint"]])):
        if not Path(path).is_file():
            raise ArtefactError(f"{path}: no such file; make an engine with ltm-export or ltm-build")
    described = environment.describe()
    earlier = None if compare_file is None else read_results(compare_file)
    if earlier is not None:
        differing = compare.check_same_machine(earlier.environment, described, str(compare_file))
        if differing:
            notice(f"ltm-bench: other software than in {compare_file}: {', '.join(differing)}")
    words = backends.split(",") if backends else [] if engines else ["all"]
    plan = suite.Plan(
        resolution,
        Effort(options["iterations"], options["warmup"], options["duration"]),
        chosen([word.strip() for word in words]),
        tuple(map(Path, engines)),
        batches,
        options["threads"],
        tolerance=options["tolerance"],
        trust=options["trust"],
        **({} if options["checkpoint"] is None else {"checkpoint": Path(options["checkpoint"])}),
    )
    results = _measure(plan, variants, described)
    _show(results, variants)
    write_all(results, variants, files)
    slower = earlier is not None and _compared(earlier, results, fail_above)
    failed = any(row.status == FAILED for row in results.rows) or not any(row.status == OK for row in results.rows)
    return 1 if failed or slower else 0


def _measure(plan: suite.Plan, variants: bool, described: dict[str, Any]) -> Results:
    with stderr.status("counting operations") as status:

        def tell(doing: str) -> None:
            status.update(Text(printable(doing)))

        counted = _complexity(variants, plan.resolution)
        if suite.has_torch() or plan.engines:
            rows = suite.run(plan, tell)
        else:
            notice(
                "ltm-bench: PyTorch is not installed: timing the shipped engine at its own patch size, not "
                f"{plan.resolution}, without complexity and accuracy; pip install 'litematting-deploy[export,bench]' "
                "brings them"
            )
            rows = suite.shipped(plan, tell)
    options = {
        "resolution": plan.resolution,
        "threads": plan.threads,
        "checkpoint": plan.checkpoint.name,
        "iterations": plan.effort.iterations,
        "warmup": plan.effort.warmup,
        "duration_s": plan.effort.duration_s,
    }
    return Results(described, options, counted, rows)


def _complexity(variants: bool, resolution: int) -> list[dict[str, Any]]:
    """The full model, or all variants of the paper. Empty where they cannot be counted."""
    if not suite.has_torch():
        return []
    published = {row.variant for table in TABLES.values() for row in table if row.variant}
    said = suite.ask("complexity", names=sorted(published) if variants else [FULL], resolution=resolution)
    if said["status"] != OK:
        notice(f"ltm-bench: complexity was not counted: {said['reason']}")
        return []
    found: list[dict[str, Any]] = said["variants"]
    return found


def _show(results: Results, variants: bool) -> None:
    for line in report.complexity(results.variants):
        stdout.print(line)
    if variants:
        for title, headings, cells in report.paper_tables(results.variants):
            stdout.print(_table(headings, cells, f"the paper's {title}", 1))
    ran = [row for row in results.rows if row.latency_ms is not None]
    if ran:
        said = report.columns(ran, narrow=True)
        if stdout.width < _ROOMY:  # the files have them
            said = [column for column in said if column.key not in ("p90_ms", "images_per_s")]
        cells = [[column.text(row) for column in said] for row in ran]
        stdout.print(_table([column.heading for column in said], cells, "", 2))
        stdout.print(f"[dim]{report.method(results.options)}[/dim]")
    for line in [*report.reasons(results.rows), *report.unsure(ran, results.environment["cores"])]:
        stdout.print(line, markup=False, soft_wrap=True)


def _compared(earlier: Results, results: Results, limit: float) -> bool:
    """Print the table of changes; whether a row is slower by more than the limit."""
    found = compare.changes(earlier, results.rows)
    headings = ["", "before, p50 ms", "now", "change", ""]
    stdout.print(_table(headings, report.change_cells(found, limit), f"worse: by more than {limit:.1%}", 1))
    worse = [one.name for one in found if one.regressed(limit)]
    if worse:
        notice(f"ltm-bench: slower than before by more than {limit:.1%}, or no longer running: {', '.join(worse)}")
    return bool(worse)


def _table(headings: list[str], cells: list[list[str]], title: str, words: int) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title=title or None, title_justify="left", pad_edge=False)
    for index, heading in enumerate(headings):
        table.add_column(heading, justify="left" if index < words else "right", overflow="fold")
    for row in cells:
        table.add_row(*row)
    return table
