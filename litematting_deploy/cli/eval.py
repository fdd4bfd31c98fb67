"""ltm-eval: how good an engine's mattes are on a data set, and classical methods beside it."""

from typing import Any

import click
from rich.progress import Progress

from ..benchmarks import environment
from ..evaluation.report import CLIP_HEADINGS, HEADINGS, cells, clip_rows, label
from ..evaluation.runner import NETWORK, PEERS, evaluate_dataset, subtitle, title
from ..files import check_writable, write_json
from ..specs import EngineSpec, PlanSpec
from .command import command, say, stderr, stdout, table
from .log import LOG
from .options import engine_options, max_megapixels_option, plan_options, trimap_option


@command("ltm-eval")
@click.argument("dataset")
@engine_options
@click.option("--trimap", metavar="FOLDER", help="Which trimaps; by default trimaps or trimap1, as the data set has.")
@trimap_option(
    "--trimap-encoding",
    default="exact",
    show_default=True,
    help="exact: 0, 128, 255. between: all but 0 and 255 is unknown. labels: 0, 1, 2.",
)
@plan_options
@click.option(
    "--peers",
    is_flag=True,
    help=f"Also PyMatting's {', '.join(map(label, PEERS))}, of the extra peers: minutes, not seconds.",
)
@click.option("--report", "report_folder", metavar="DIR", help="Also write DIR/index.html, a page with all mattes.")
@click.option("--json", "json_file", metavar="FILE", help="Also write everything as JSON, MSE as it is.")
@max_megapixels_option
def main(dataset: str, json_file: str | None, **options: Any) -> None:
    """SAD, MSE, Grad and Conn of an engine on the data set in the folder DATASET.

    DATASET holds merged/, trimaps/ and alpha/ (Composition-1k) or image/, trimap1/, trimap2/ and alpha/
    (alphamatting.com); files belong together by name, whatever their endings. Folders in these are clips, in the order
    of their frames' names, whose dtSSD and MESSDdt (along optical flow of the images, where that can be trusted) are
    shown, too.
    """
    described = environment.describe()
    if json_file is not None:
        check_writable(json_file)
    engine, plan = EngineSpec.of(options), PlanSpec.of(options)
    others = {name: options[name] for name in ("trimap", "trimap_encoding", "peers", "report_folder", "max_megapixels")}
    columns = Progress.get_default_columns()
    with Progress(*columns, console=stderr, transient=True, disable=not (stderr.is_terminal and LOG.shows_bars)) as bar:
        task = bar.add_task("evaluating", total=None)

        def progress(done: int, total: int, doing: str) -> None:
            bar.update(task, completed=done, total=total, description=doing)

        found = evaluate_dataset(dataset, engine, plan, progress=progress, **others)
    rows = [(name, *cells(row[NETWORK])) for name, row in found.results.items()]
    ours = table(("image", *HEADINGS), rows, title(found.dataset))
    ours.add_section()
    ours.add_row("mean", *cells(found.means[NETWORK]), style="bold")
    stdout.print(ours)
    if found.clips:
        stdout.print(table(CLIP_HEADINGS, clip_rows(found.clips), "over time", words=2))
    if len(found.means) > 1:
        rows = [(label(name), *cells(result)) for name, result in found.means.items()]
        stdout.print(table(("method", *HEADINGS), rows, f"mean over {len(found.results)} images"))
    say(subtitle(found.engine, found.plan, found.published))
    if found.report is not None:
        say(f"report: {found.report}")
    if json_file is not None:
        write_json(json_file, found.content() | {"environment": described})
