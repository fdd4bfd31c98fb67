"""ltm-bench: what the model costs, and how fast and how exact each engine is here."""

import functools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from .._optional import require
from ..benchmarks import compare, environment, photo, report
from ..benchmarks.backends import BACKENDS
from ..benchmarks.per_layer import LAYER_HEADINGS, STAGE_HEADINGS, layer_rows, stage_rows
from ..benchmarks.per_layer import measure as measure_layers
from ..benchmarks.plot import png
from ..benchmarks.results import FAILED, OK, Results, Row, read_results
from ..benchmarks.spec import BenchSpec
from ..benchmarks.suite import benchmark
from ..benchmarks.timing import Effort
from ..errors import UsageError
from ..files import check_writable, replace_file
from ..parameters import Amount, Range
from ..runtime.shipped import SHIPPED_CHECKPOINT, SHIPPED_ENGINE
from ..sidecar import read_sidecar
from ..specs import EngineSpec
from ..system import command_line
from .command import command, notice, show_waiting, stdout, table, waiting, with_flags
from .help import plain_option
from .options import RESULTS, numbers, words
from .spec_option import option

_ROOMY = 100  # columns of a terminal from which on the table of engines fits as a whole
Files = dict[str, str | None]


def _percent(_: click.Context, parameter: click.Parameter, value: str) -> float:
    """Return the share of an option such as 5%. Raises `UsageError`."""
    percent = Amount.parse(value, str(parameter.name)).value
    Range(0).check(str(parameter.name), percent)
    return percent / 100


bench_option = functools.partial(option, BenchSpec, heading="What to measure")
instead_option = functools.partial(plain_option, heading="Measure something else instead")
effort_option = functools.partial(option, Effort, heading="Number of runs")
result_option = functools.partial(plain_option, heading=RESULTS)


@command("ltm-bench")
@bench_option(
    "--engine",
    "engines",
    multiple=True,
    help="Measure this ONNX file, TensorRT engine or checkpoint as it is; may be repeated.",
)
@bench_option(
    "--backends",
    default=None,
    metavar="NAMES",
    callback=words,
    help=f"Measure these libraries, separated by commas: all, {', '.join(one.name for one in BACKENDS)}, or a family "
    "such as pytorch.  [default: all; none with --engine]",
)
@bench_option(
    "--checkpoint", show_default=False, help="Weights to run and to compare with.  [default: the shipped weights]"
)
@bench_option("--resolution", metavar="PIXELS", help="Side of a patch, a multiple of 32.")
@bench_option(
    "--batch",
    "batches",
    default="1",
    metavar="N,N",
    callback=numbers(int, "1,4"),
    help="Patches per run; several numbers, such as 1,4, are measured one after the other.",
)
@bench_option("--threads", help="CPU threads.  [default: all cores]")
@bench_option(
    "--tolerance",
    metavar="ALPHA",
    help="Largest accepted difference from the alpha of PyTorch in fp32.  [default: 0.001; fp16 and tf32 0.005]",
)
@bench_option(
    "--variants", help="Also count the operations of the paper's ablations, and print its tables next to ours."
)
@bench_option(
    "--trust",
    help="Run TensorRT engines without their sidecars. Engines can run arbitrary code: use this only if you know who "
    "built the files.",
)
@instead_option(
    "--photo",
    "photo_files",
    nargs=2,
    metavar="IMAGE TRIMAP",
    help="Time ltm-infer --no-refine on a photo, stage by stage, with each --engine.  [default: with the shipped one]",
)
@instead_option("--cutout", is_flag=True, help="With --photo: also make a cut-out.")
@instead_option(
    "--per-layer",
    type=click.Path(path_type=Path),
    metavar="FILE.json|.html",
    help="Time each layer of one --engine (an ONNX file on the CPU, or a TensorRT engine), and write a table (JSON) or "
    "a page (HTML).  [default: of the shipped one]",
)
@effort_option("--iterations", help="Minimum number of timed runs per engine.")
@effort_option(
    "--duration",
    "duration_s",
    show_default=False,
    metavar="SECONDS",
    help="Minimum time of timed runs per engine.  [default: none]",
)
@effort_option("--warmup", help="Runs before the timed ones.")
@result_option("--json", "json_file", metavar="FILE", help="Write everything as JSON.")
@result_option("--csv", "csv_file", metavar="FILE", help="Write the rows as CSV.")
@result_option("--markdown", "markdown_file", metavar="FILE", help="Write the tables as Markdown.")
@result_option("--plot", "plot_file", metavar="FILE", help="Draw the latencies as a PNG.")
@result_option(
    "--compare", "compare_file", metavar="FILE", help="Compare with the JSON of an earlier run on this machine."
)
@result_option(
    "--fail-above",
    metavar="PERCENT",
    default="5%",
    show_default=True,
    callback=_percent,
    help="With --compare: how much slower a row may be.",
)
def main(
    compare_file: str | None,
    fail_above: float,
    photo_files: tuple[str, str] | None,
    cutout: bool,
    per_layer: Path | None,
    **options: Any,
) -> int:
    """Measure the speed, memory use and accuracy of every engine that can run on this machine.

    \b
    Examples:
      ltm-bench --json before.json
      ltm-bench --engine model.onnx --compare before.json --fail-above 10%

    Without options, every installed library is measured on one patch, in a process of its own, and its alpha compared
    with that of PyTorch.

    The exit code is 1 if a row failed (an error, or an alpha too far from PyTorch's), if no row ran, or if a row is
    slower than in --compare by more than --fail-above.
    """
    files: Files = {kind: options.pop(f"{kind}_file") for kind in ("json", "csv", "markdown", "plot")}
    if options["backends"] is None:
        # Whoever names files wants those alone.
        options["backends"] = () if options["engines"] else ("all",)
    spec = BenchSpec.of(options, effort=Effort.of(options))
    for path in filter(None, files.values()):
        check_writable(path)
    if per_layer is not None:
        _per_layer(per_layer, spec, files)
        return 0
    if photo_files is not None:
        _photo(photo_files, spec.engines, cutout, files)
        return 0
    if files["plot"] is not None:
        require("matplotlib", "bench", "drawing a plot")
    earlier = None if compare_file is None else read_results(compare_file)
    if earlier is not None:
        differing = compare.check_same_machine(earlier.environment, environment.describe(), str(compare_file))
        if differing:
            notice(f"ltm-bench: software versions differ from {compare_file}: {', '.join(differing)}")
    with waiting("starting") as status:
        results = benchmark(spec, lambda doing: show_waiting(status, doing))
    _show(results, spec.variants)
    if (best := report.fastest(results.rows)) is not None:
        judged = "" if best.accuracy else " (alpha not compared)"
        stdout.print(f"fastest within the accuracy limit: {best.name}{judged}: {_to_use(best, spec)}", soft_wrap=True)
    _write(
        files,
        json=results.json,
        csv=lambda: report.to_csv(results.rows, results.environment).encode(),
        markdown=lambda: report.page(results, spec.variants).encode(),
        plot=lambda: png(results),
    )
    slower = earlier is not None and _compared(earlier, results, fail_above)
    failed = any(row.status == FAILED for row in results.rows) or not any(row.status == OK for row in results.rows)
    return 1 if failed or slower else 0


def _to_use(row: Row, spec: BenchSpec) -> str:
    """Return the commands that matte a photo with the engine of a row."""
    backend = next((one for one in BACKENDS if one.name == row.engine), None)
    infer, export = ["ltm-infer", "PHOTO", "TRIMAP", "-o", "ALPHA", "--device", row.device], []
    shipped = read_sidecar(SHIPPED_ENGINE)
    if backend is None:
        given = [str(path) for path in spec.engines if path.name == row.engine]
        # Without one it is the shipped engine, measured where nothing else can be, which runs by default.
        infer += ["--engine", given[0]] if given else []
    elif backend.norm is None:
        infer += ["--engine", str(spec.checkpoint), "--patch", "{}x{}".format(*row.patch_hw)]
        infer += ["--compile"] * backend.compiled + ["--channels-last"] * backend.channels_last
    elif (
        shipped is None
        or spec.checkpoint != SHIPPED_CHECKPOINT
        or (row.patch_hw, backend.norm) != (shipped.patch_hw, shipped.norm)
    ):
        height, width = map(str, row.patch_hw)
        export = ["ltm-export", str(spec.checkpoint), "-o", "model.onnx", "--height", height, "--width", width]
        export += ["--batch", str(row.batch), "--norm", backend.norm]
        export += ["--precision", "fp16"] if backend.in_file and row.precision == "fp16" else []
        infer += ["--engine", "model.onnx"]
    if backend is not None and not backend.in_file and row.precision != "fp32":
        infer += ["--precision", row.precision]
    return "; ".join(command_line(line) for line in (export, infer) if line)


def _photo(sources: tuple[str, str], engines: Sequence[Path], cutout: bool, files: Files) -> None:
    """Time a photo with each engine, print where its time goes, and write that."""
    for kind in ("csv", "plot"):
        if files[kind] is not None:
            raise UsageError(f"--{kind} {files[kind]}: cannot be combined with --photo; use --json or --markdown")
    described = environment.describe()
    stdout.print(report.where(described), style="dim", markup=False)
    measured = []
    for engine in [EngineSpec(engine=str(name)) for name in engines] or [EngineSpec()]:
        with waiting("matting a photo"):
            measured.append(photo.measure(*sources, engine, cutout=cutout))
        stdout.print(table(photo.HEADINGS, photo.rows(measured[-1]), photo.title(measured[-1])))
    _write(
        files,
        json=lambda: (json.dumps({"environment": described, "photo": measured}, indent=2) + "\n").encode(),
        markdown=lambda: "\n".join([f"{report.where(described)}\n", *map(photo.markdown, measured)]).encode(),
    )


def _per_layer(output: Path, spec: BenchSpec, files: Files) -> None:
    """Time the layers of one engine, and print and write where the time goes."""
    for kind, path in files.items():
        if path is not None:
            raise UsageError(f"--{kind} {path}: cannot be combined with --per-layer, which writes {output}")
    if len(spec.engines) > 1 or len(spec.batches) > 1:
        raise UsageError(f"--per-layer {output}: takes one --engine and one --batch; give one of each")
    engine = EngineSpec(
        engine=str(spec.engines[0]) if spec.engines else None,
        batch=spec.batches[0],
        threads=spec.threads,
        trust=spec.trust,
    )
    with waiting("timing layers"):
        times = measure_layers(engine, spec.effort, output)
    stdout.print(times.title, markup=False)
    stdout.print(table(STAGE_HEADINGS, stage_rows(times)))
    stdout.print(table(LAYER_HEADINGS, layer_rows(times), words=2))


def _write(files: Files, **contents: Callable[[], bytes]) -> None:
    """Write those contents for which a file is given."""
    for kind, content in contents.items():
        path = files[kind]
        if path is not None:
            replace_file(path, content())


def _show(results: Results, variants: bool) -> None:
    """Print everything that was measured."""
    for line in report.complexity(results.variants):
        stdout.print(line)
    if variants:
        for title, headings, cells in report.paper_tables(results.variants):
            stdout.print(table(headings, cells, f"the paper's {title}"))
    ran = [row for row in results.rows if row.latency_ms is not None]
    if ran:
        columns = report.columns(ran, narrow=True)
        if stdout.width < _ROOMY:  # the files have them
            columns = [column for column in columns if column.key not in ("p90_ms", "images_per_s")]
        cells = [[column.text(row) for column in columns] for row in ran]
        stdout.print(table([column.heading for column in columns], cells, words=2))
        stdout.print(f"{report.where(results.environment)}", style="dim", markup=False)
        stdout.print(f"[dim]{report.method(results.options)}[/dim]")
    for line in [*report.reasons(results.rows), *report.unsure(ran, results.environment["cores"])]:
        stdout.print(with_flags(line, main), markup=False, soft_wrap=True)


def _compared(earlier: Results, results: Results, limit: float) -> bool:
    """Print the table of changes, and return whether a row is slower by more than the limit."""
    found = compare.changes(earlier, results.rows)
    headings = ["", "before, p50 ms", "now", "change", ""]
    stdout.print(table(headings, report.change_cells(found, limit), f"worse: slower by more than {limit:.1%}"))
    worse = [one.name for one in found if one.regressed(limit)]
    if worse:
        notice(f"ltm-bench: slower than before by more than {limit:.1%}, or no longer running: {', '.join(worse)}")
    return bool(worse)
