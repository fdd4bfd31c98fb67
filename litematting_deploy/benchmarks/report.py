"""Results as tables: one list of columns for the terminal, CSV and Markdown."""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import counted
from .compare import Change
from .complexity import FULL, TABLES
from .results import OK, Complexity, Results, Row
from .timing import BEARS

Value = str | int | float | None

UNSTABLE, LOADED = 0.05, 0.05
"""Variation, and share of the cores that other processes kept busy, above which a row counts as unsure."""


@dataclass(frozen=True)
class Column:
    """A column of a table of rows; one without any value is left out.

    heading: for people. key: for CSV, with the unit. value: of a row, or None. form: how a value is written for people.
    """

    heading: str
    key: str
    value: Callable[[Row], Value]
    form: str = "{}"

    def text(self, row: Row) -> str:
        """Return the cell of a row for people, empty where it has no value."""
        value = self.value(row)
        return "" if value is None else self.form.format(value)


def _number(path: str, scale: float = 1.0) -> Callable[[Row], Value]:
    """Return a function that reads a number of a row, as "gpu.bandwidth", over `scale`; None where it has none."""

    def value(row: Row) -> Value:
        found: Any = row
        for name in path.split("."):
            found = getattr(found, name, None)
        return None if found is None else found / scale

    return value


def _percentile(percent: int) -> Callable[[Row], Value]:
    """Return a function that reads a percentile of a row's latency; None where its runs do not bear it."""

    def value(row: Row) -> Value:
        if row.latency_ms is None or row.latency_ms.iterations < BEARS[percent]:
            return None
        found: Value = getattr(row.latency_ms, f"p{percent}")
        return found

    return value


def _traffic(row: Row) -> Value:
    """Return the estimate of a row's traffic in milliseconds: without and with passes for norms."""
    return None if row.gpu is None else "{:.2f} to {:.2f}".format(*row.gpu.traffic_ms)


COLUMNS = (
    Column("engine", "engine", lambda row: row.engine),
    Column("precision", "precision", lambda row: row.precision),
    Column("batch", "batch", lambda row: row.batch or None),
    Column("patch", "patch", lambda row: "{}x{}".format(*row.patch_hw)),
    Column("status", "status", lambda row: row.status),
    Column("file MB", "file_mb", _number("file_bytes", 1e6), "{:.1f}"),
    Column("build s", "build_s", _number("build_s"), "{:.1f}"),
    Column("load s", "load_s", _number("load_s"), "{:.2f}"),
    Column("first ms", "first_run_ms", _number("first_run_ms"), "{:.0f}"),
    Column("p50 ms", "p50_ms", _number("latency_ms.p50"), "{:.1f}"),
    Column("p90", "p90_ms", _percentile(90), "{:.1f}"),
    Column("p99", "p99_ms", _percentile(99), "{:.1f}"),
    Column("max", "max_ms", _number("latency_ms.max"), "{:.1f}"),
    Column("mean", "mean_ms", _number("latency_ms.mean"), "{:.1f}"),
    Column("±", "variation", _number("latency_ms.variation"), "{:.1%}"),
    Column("images/s", "images_per_s", _number("images_per_s"), "{:.3g}"),
    Column("to GPU ms", "host_to_device_ms", _number("gpu.host_to_device_ms"), "{:.2f}"),
    Column("compute ms", "compute_ms", _number("gpu.compute_ms"), "{:.2f}"),
    Column("from GPU ms", "device_to_host_ms", _number("gpu.device_to_host_ms"), "{:.2f}"),
    Column("traffic ms", "traffic_ms", _traffic),
    Column("copy GB/s", "bandwidth_gb_s", _number("gpu.bandwidth", 1e9), "{:.0f}"),
    Column("RAM MB", "peak_host_mb", _number("peak_host_bytes", 1e6), "{:.0f}"),
    Column("GPU MB", "peak_device_mb", _number("gpu.peak_bytes", 1e6), "{:.0f}"),
    Column("max diff", "max_difference", _number("accuracy.max"), "{:.1e}"),
    Column("mean diff", "mean_difference", _number("accuracy.mean"), "{:.1e}"),
    Column("SAD diff", "sad_difference", _number("accuracy.sad"), "{:.1e}"),
)
_CSV_ONLY = (
    Column("", "threads", lambda row: row.threads),
    Column("", "busy_elsewhere_cores", lambda row: row.elsewhere),
    Column("", "version", lambda row: row.version or None),
    Column("", "reason", lambda row: row.reason or None),
)
_WIDE = {
    *("file_mb", "build_s", "load_s", "first_run_ms", "max_ms", "mean_ms"),
    *("bandwidth_gb_s", "mean_difference", "sad_difference"),
}
_IF_DIFFERENT = ("batch", "patch", "status")


def columns(rows: Sequence[Row], narrow: bool = False) -> list[Column]:
    """Return the columns that have values in these rows; with `narrow` only what engines are compared by."""
    said = [column for column in COLUMNS if any(column.value(row) is not None for row in rows)]
    if not narrow:
        return said
    # A column that says the same in every row tells nothing apart.
    same = {column.key for column in said if column.key in _IF_DIFFERENT and len(set(map(column.value, rows))) == 1}
    return [column for column in said if column.key not in _WIDE | same]


def to_csv(rows: Sequence[Row], described: Mapping[str, Any]) -> str:
    """Return every row as CSV, with numbers unrounded and empty cells where there is none.

    described: the environment, of which each row has the processor and its instruction set.
    """
    machine = [
        Column("", key, lambda _, value=described.get(key): value)  # type: ignore[misc]
        for key in ("cpu", "instruction_set")
    ]
    said = [*columns(rows), *_CSV_ONLY, *machine]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(column.key for column in said)
    writer.writerows(["" if (value := column.value(row)) is None else value for column in said] for row in rows)
    return text.getvalue()


def markdown_table(headings: Sequence[str], cells: Sequence[Sequence[str]], words: int = 1) -> str:
    """Return a table whose first `words` columns are flush left and the others right."""
    rules = ["---" if index < words else "---:" for index in range(len(headings))]
    # A bar would begin the next cell.
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in cells]
    return "".join(f"| {' | '.join(row)} |\n" for row in ([*headings], rules, *escaped))


def where(described: Mapping[str, Any]) -> str:
    """Return hardware and software of an environment in one sentence."""
    gpus = [f"{gpu['name']} (driver {gpu['driver_version']}, {gpu['clocks.sm']})" for gpu in described["gpus"]]
    clock = [f"{described['cpu_mhz']:.0f} MHz"] if described["cpu_mhz"] else []
    load = [] if described["load_at_start"] is None else [f"load {described['load_at_start']:g} at the start"]
    widest = [said] if (said := described.get("instruction_set")) else []  # older files lack it
    hardware = ", ".join([described["cpu"], *widest, f"{described['cores']} cores", *clock, *gpus, *load])
    versions = ", ".join(f"{name} {version}" for name, version in described["versions"].items())
    return f"{hardware}; {described['system']}, Python {described['python']}, {versions}."


def page(results: Results, variants: bool) -> str:
    """Return everything as Markdown; with `variants` also the paper's tables."""
    ran = [row for row in results.rows if row.latency_ms is not None]
    shown = columns(ran)
    table = [[column.text(row) for column in shown] for row in ran]
    others = [f"- {line}\n" for line in [*reasons(results.rows), *unsure(ran, results.environment["cores"])]]
    parts = [
        "# ltm-bench\n",
        f"{where(results.environment)}\n",
        *(f"{line}\n" for line in complexity(results.variants)),
        *([markdown_table([column.heading for column in shown], table, 2)] if ran else []),
        *(["".join(others)] if others else []),
        f"{method(results.options)}\n",
    ]
    if variants:
        for title, headings, cells in paper_tables(results.variants):
            parts += [f"## {title} of the paper\n", markdown_table(headings, cells)]
    return "\n".join(parts)


def reasons(rows: Sequence[Row]) -> list[str]:
    """Return why rows failed or were skipped."""
    return [f"{row.name}: {row.status}: {row.reason}" for row in rows if row.reason]


def fastest(rows: Sequence[Row]) -> Row | None:
    """Return the row that mattes most pixels a second and whose alpha is within its limit; None where there is none."""
    # Patches of two sizes are compared by their pixels.
    right = [row for row in rows if row.status == OK and row.images_per_s is not None]
    return max(right, key=lambda row: (row.images_per_s or 0) * row.patch_hw[0] * row.patch_hw[1], default=None)


def unsure(rows: Sequence[Row], cores: int) -> list[str]:
    """Return what makes the times of rows unsure. cores: of the machine."""
    found = []
    for row in rows:
        if row.latency_ms is None:
            continue
        signs = []
        if row.latency_ms.variation > UNSTABLE:
            signs.append(f"latency varies by ±{row.latency_ms.variation:.0%}")
        if row.elsewhere is not None and row.elsewhere > LOADED * cores:
            signs.append(f"other processes used {row.elsewhere:.1f} of {cores} cores")
        if signs:
            found.append(f"{row.name}: unstable ({', '.join(signs)}); rerun on an idle machine")
    return found


def method(options: Mapping[str, Any]) -> str:
    """Return what was timed and how, in one sentence. options: as in `Results`."""
    lasted = f" and {options['duration_s']:g} s" if options["duration_s"] else ""
    warmed = counted(options["warmup"], "warm-up run")
    return (
        f"At least {options['iterations']} runs{lasted} in sequence, after {warmed}, each engine in a process of its "
        "own, in the order of the rows. Measured from host arrays to a host array, without decoding, splitting into "
        "patches or stitching. ± is the standard deviation divided by the mean; "
        f"RAM is the peak of the process, including interpreter and libraries. p90 needs {BEARS[90]} runs, p99 "
        f"{BEARS[99]}."
    )


def complexity(counted: Sequence[Complexity]) -> list[str]:
    """Return what the full model costs, beside what the paper prints for it. counted: as in `Results.variants`."""
    published = next(row for table in TABLES.values() for row in table if row["variant"] == FULL)
    return [
        f"{one.variant}: {one.parameters:,} parameters, {one.flops / 1e9:.3f} GFLOPs at {one.resolution}x"
        f"{one.resolution} (the paper prints {published['parameters']} and {published['flops']} at 1024x1024)"
        for one in counted
        if one.variant == FULL
    ]


def paper_tables(counted: Sequence[Complexity]) -> list[tuple[str, list[str], list[list[str]]]]:
    """Return title, headings and cells of the paper's tables: published figures, and ours beside them.

    counted: as in `Results.variants`. Only FLOPs at 1024x1024 stand beside the paper's.
    """
    ours = {one.variant: one for one in counted}
    published = [f"{name}, published" for name in ("SAD", "MSE", "Grad", "Conn", "parameters", "FLOPs")]
    made = []
    for title, rows in TABLES.items():
        cells = []
        for row in rows:
            one = ours.get(row["variant"])
            parameters = f"{one.parameters:,}" if one else ""
            flops = f"{one.flops / 1e9:.3f}G" if one and one.resolution == 1024 else ""
            printed = [value for name, value in row.items() if name != "variant"]
            cells.append([*printed, parameters, flops])
        headings = ["", *published, "parameters, ours", "FLOPs, ours"]
        # Not every table of the paper has every figure.
        kept = [index for index in range(len(headings)) if index == 0 or any(row[index] for row in cells)]
        made.append((title, [headings[index] for index in kept], [[row[index] for index in kept] for row in cells]))
    return made


def change_cells(found: Sequence[Change], limit: float) -> list[list[str]]:
    """Return name, before, after, change and verdict of each row of a comparison. limit: as for `Change.regressed`."""
    cells = []
    for one in found:
        times = ["-" if value is None else f"{value:.1f}" for value in (one.before_ms, one.after_ms)]
        change = "-" if one.change is None else f"{one.change:+.1%}"
        verdict = "worse" if one.regressed(limit) else "better" if one.change and one.change < -limit else ""
        cells.append([one.name, *times, change, verdict])
    return cells
