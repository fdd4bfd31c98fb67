"""ltm-eval: how good an engine's mattes are on a data set, and classical methods beside it."""

import json
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from .. import __version__
from ..benchmarks import environment
from ..evaluation.datasets import Dataset, open_dataset
from ..evaluation.peers import METHODS, Peer
from ..evaluation.report import HEADINGS, Report, cells, label
from ..evaluation.runner import Matte, Result, evaluate, mean, warm_up
from ..files import check_writable, replace_file
from ..matting.patches import to_levels
from ..runtime import Matter
from ..runtime.shipped import SHIPPED_ENGINE
from ._engine import engine_options, open_chosen
from ._plan import matter_for, plan_options
from .command import command, max_megapixels_option, stderr, stdout

NETWORK = "LiteMatting"


@command("ltm-eval")
@click.argument("dataset")
@engine_options
@click.option("--trimap", metavar="FOLDER", help="Which trimaps; by default trimaps or trimap1, as the data set has.")
@click.option(
    "--trimap-encoding",
    type=click.Choice(["exact", "between", "labels"]),
    default="exact",
    show_default=True,
    help="exact: 0, 128, 255. between: all but 0 and 255 is unknown. labels: 0, 1, 2.",
)
@plan_options
@click.option("--peers", is_flag=True, help=f"Also PyMatting's {', '.join(map(label, METHODS))}: minutes, not seconds.")
@click.option("--report", "report_folder", metavar="DIR", help="Also write DIR/index.html, a page with all mattes.")
@click.option("--json", "json_file", metavar="FILE", help="Also write everything as JSON, MSE as it is.")
@max_megapixels_option
def main(dataset: str, json_file: str | None, report_folder: str | None, **options: Any) -> None:
    """SAD, MSE, Grad and Conn of an engine on the data set in the folder DATASET.

    DATASET holds merged/, trimaps/ and alpha/ (Composition-1k) or image/, trimap1/, trimap2/ and alpha/
    (alphamatting.com); files belong together by name, whatever their endings.
    """
    described = environment.describe()
    opened = open_dataset(dataset, options["trimap"])
    if json_file is not None:
        check_writable(json_file)
    with (
        open_chosen(options) as engine,
        matter_for(engine, options) as matter,
    ):
        methods: dict[str, Matte] = {NETWORK: partial(_levels, matter) if options["published"] else matter}
        if options["peers"]:
            with stderr.status("loading PyMatting (the first time, it compiles itself for half a minute)"):
                methods |= {name: Peer(name) for name in METHODS}
                warm_up(methods)
        else:
            warm_up(methods)
        placement = f"{matter.placement}{', as published' if options['published'] else ''}"
        subtitle = f"{engine.describe()}, {placement}; ltm-eval {__version__}"
        title = f"{NETWORK} on {opened.folder.resolve().name}, {opened.trimap}"
        report = Report(report_folder, title, subtitle) if report_folder is not None else None
        results = _evaluate(opened, methods, report, options)
    means = {name: mean([row[name] for row in results.values()]) for name in methods}
    for table in _tables(title, results, means):
        stdout.print(table)
    stdout.print(subtitle, markup=False, soft_wrap=True)
    if report is not None:
        stdout.print(f"report: {report.finish(means)}", markup=False, soft_wrap=True)
    if json_file is not None:
        content = _content(opened, matter, options, results, means) | {"environment": described}
        replace_file(json_file, (json.dumps(content, indent=2) + "\n").encode())


def _levels(matter: Matter, image: NDArray[np.uint8], trimap: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The alpha as the authors' code stores it."""
    return to_levels(matter(image, trimap), truncate=True) / 255


def _evaluate(
    dataset: Dataset, methods: dict[str, Matte], report: Report | None, options: dict[str, Any]
) -> dict[str, dict[str, Result]]:
    """Image name -> method -> result; the report gets its pictures."""
    results = {}
    bar = Progress(*Progress.get_default_columns(), console=stderr, transient=True, disable=not stderr.is_terminal)
    with bar:
        task = bar.add_task("evaluating", total=len(dataset.samples))
        for example, matted in evaluate(dataset, methods, options["trimap_encoding"], options["max_megapixels"]):
            results[example.name] = {name: item.result for name, item in matted.items()}
            if report is not None:
                report.add(example, matted)
            bar.advance(task)
    return results


def _tables(title: str, results: dict[str, dict[str, Result]], means: dict[str, Result]) -> list[Table]:
    """Each image and the mean; with peers, also everyone's means."""
    tables = [Table("image", title=escape(title), title_justify="left")]
    if len(means) > 1:
        tables.append(Table("method", title=f"mean over {len(results)} images", title_justify="left"))
    for table in tables:
        table.columns[0].overflow = "fold"
        for heading in HEADINGS:
            table.add_column(heading, justify="right", no_wrap=True)
    for name, row in results.items():
        tables[0].add_row(escape(name), *cells(row[NETWORK]))
    tables[0].add_section()
    tables[0].add_row("mean", *cells(means[NETWORK]), style="bold")
    for name, result in means.items() if tables[1:] else ():
        tables[1].add_row(label(name), *cells(result))
    return tables


def _content(
    dataset: Dataset,
    matter: Matter,
    options: dict[str, Any],
    results: dict[str, dict[str, Result]],
    means: dict[str, Result],
) -> dict[str, Any]:
    """What the JSON holds: scores in the units of `evaluation.metrics`, for the engine and under `peers`."""

    def scores(method: str) -> dict[str, Any]:
        images = [{"name": name, **asdict(row[method])} for name, row in results.items()]
        return {"mean": asdict(means[method]), "images": images}

    return {
        "dataset": str(Path(dataset.folder).resolve()),
        "layout": dataset.layout,
        "trimap": dataset.trimap,
        "engine": matter.engine.describe(),
        "engine_file": str(options["engine"] or SHIPPED_ENGINE),
        "plan": matter.placement,
        "published": options["published"],
        **scores(NETWORK),
        "peers": {method: scores(method) for method in means if method != NETWORK},
    }
