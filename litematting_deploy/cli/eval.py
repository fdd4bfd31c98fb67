"""ltm-eval: how good an engine's mattes are on a data set, and classical methods beside it."""

import functools
from typing import Any

import click

from ..benchmarks import environment
from ..errors import counted
from ..evaluation.report import CLIP_HEADINGS, HEADINGS, cells, clip_rows, label
from ..evaluation.runner import NETWORK, PEERS, evaluate_dataset, subtitle, title
from ..files import check_writable, write_json
from ..specs import EngineSpec, PlanSpec
from .command import command, say, stdout, table
from .help import plain_option
from .options import INPUT, RESULTS, engine_options, max_megapixels_option, plan_options, trimap_option
from .progress import phase_bar

result_option = functools.partial(plain_option, heading=RESULTS)


@command("ltm-eval")
@click.argument("dataset")
@plain_option(
    "--trimap",
    metavar="FOLDER",
    heading=INPUT,
    help="Folder of trimaps in DATASET.  [default: trimaps or trimap1, whichever exists]",
)
@trimap_option(
    "--trimap-encoding",
    default="exact",
    heading=INPUT,
    show_default=True,
    help="Levels for background, unknown and foreground. exact: 0, 128, 255. between: 0, anything between, 255. "
    "labels: 0, 1, 2.",
)
@max_megapixels_option
@result_option(
    "--peers",
    is_flag=True,
    help=f"Also measure PyMatting's {', '.join(map(label, PEERS))} methods (extra: peers), which takes minutes.",
)
@result_option(
    "--report", "report_folder", metavar="FOLDER", help="Also write FOLDER/index.html, a page with all mattes."
)
@result_option("--json", "json_file", metavar="FILE", help="Also write everything as JSON, with the MSE unscaled.")
@engine_options
@plan_options
def main(dataset: str, json_file: str | None, **options: Any) -> None:
    """Measure the accuracy of an engine on a data set: SAD, MSE, Grad and Conn.

    \b
    Examples:
      ltm-eval Composition-1k/test --report report
      ltm-eval alphamatting --trimap trimap2 --engine model.onnx --json eval.json

    DATASET is a folder with merged/, trimaps/ and alpha/ (Composition-1k) or image/, trimap1/, trimap2/ and alpha/
    (alphamatting.com). Files are matched by name, whatever their endings. Folders inside these are clips, their frames
    in the order of the names; for clips dtSSD and MESSDdt are measured, too (MESSDdt follows optical flow of the
    images, where it can be trusted).
    """
    described = environment.describe()
    if json_file is not None:
        check_writable(json_file)
    engine, plan = EngineSpec.of(options), PlanSpec.of(options)
    others = {name: options[name] for name in ("trimap", "trimap_encoding", "peers", "report_folder", "max_megapixels")}
    with phase_bar("ltm-eval") as show:

        def progress(done: int, total: int, doing: str) -> None:
            show(done / total, f"{doing}, {done} of {counted(total, 'image')} done")

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
        say(f"Wrote {found.report}")
    if json_file is not None:
        write_json(json_file, found.content() | {"environment": described})
