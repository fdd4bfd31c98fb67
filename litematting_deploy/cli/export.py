"""ltm-export: a checkpoint to a verified ONNX."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click
from rich.table import Table
from rich.text import Text

from ..errors import UsageError
from ..export.spec import ExportSpec, Norm, Pooling, Recipe, read_recipe
from ..export.triton import write_repository
from ..files import sha256
from ..runtime.shipped import example_patch
from ._triton import chosen_serving, report_repository, serve_exported, triton_options
from .command import command, printable, stderr, stdout

if TYPE_CHECKING:
    from ..export.exporter import Export


def _batch(context: click.Context, parameter: click.Parameter, value: str | None) -> int | str | None:
    if value is None or value == "dynamic":
        return value
    if not value.isdecimal():
        raise click.BadParameter(f"{value!r} is neither a number nor dynamic", context, parameter)
    return int(value)


@command("ltm-export")
@click.argument("model")
@click.option("-o", "--output", metavar="OUT.onnx", help="The ONNX; beside MODEL by default.")
@click.option("--height", type=int, help="Of the patches, a multiple of 32.  [default: 640]")
@click.option("--width", type=int, help="Of the patches, a multiple of 32.  [default: 640]")
@click.option("--batch", callback=_batch, metavar="N|dynamic", help="Patches per call.  [default: dynamic]")
@click.option("--precision", type=click.Choice(["fp32", "fp16"]), help="Of weights and activations.  [default: fp32]")
@click.option(
    "--pooling",
    type=click.Choice(get_args(Pooling)),
    help="The form of average pooling; conv is for TensorRT for RTX on Turing.  [default: matmul]",
)
@click.option(
    "--norm", type=click.Choice(get_args(Norm)), help="The form of group norm; folded is for CPUs.  [default: group]"
)
@click.option("--recipe", metavar="FILE.toml", help="Read these options from a file; those given here win.")
@click.option("--tolerance", type=float, help="Largest difference of alpha.  [default: 0.001, fp16 0.005]")
@click.option("--weights-beside", is_flag=True, help="Refer to MODEL (.safetensors, same folder) for the weights.")
@triton_options
def main(model: str, output: str | None, recipe: str | None, weights_beside: bool, **options: Any) -> None:
    """Export the checkpoint MODEL (.pth, .pt, .ckpt, .safetensors) as ONNX and compare it with the PyTorch model.

    Above the tolerance the command fails and writes nothing. With --triton DIR, MODEL may be an ONNX that was exported
    before.
    """
    serving = chosen_serving(options)
    if serving is not None and Path(model).suffix.lower() == ".onnx":
        others = {"output": output, "recipe": recipe, "weights_beside": weights_beside, **options}
        serve_exported(model, serving, others)
        return
    chosen = read_recipe(recipe) if recipe else Recipe(ExportSpec(), None)
    spec = chosen.spec.with_options(options)
    target = Path(output) if output else chosen.output or Path(model).with_suffix(".onnx")
    if target.suffix.lower() != ".onnx":
        raise UsageError(f"{target}: the output of an export ends in .onnx")
    if serving is not None:
        if weights_beside:
            raise UsageError("--weights-beside: Triton is given one whole file; leave it out")
        if Path(model).is_file():
            serving.check(spec.patch_hw, spec.batch, spec.precision, sha256(model))
    from ..export.exporter import export_onnx  # PyTorch takes seconds to import: after what can fail at once

    started = time.perf_counter()
    with stderr.status(Text(printable(f"exporting {model} and comparing it with the PyTorch model"))):
        samples = {"example photo": example_patch(spec.patch_hw)}
        export = export_onnx(model, target, spec, samples, weights_beside)
    _report(export, spec.limit, time.perf_counter() - started)
    if serving is not None:
        report_repository(write_repository(export.path, serving), serving)


def _report(export: "Export", limit: float, seconds: float) -> None:
    table = Table(title=f"alpha against the PyTorch model (tolerance {limit:g})", title_justify="left")
    for heading in ("check", "largest difference", "mean difference"):
        table.add_column(heading, justify="left" if heading == "check" else "right")
    for item in export.differences:
        table.add_row(item.check, f"{item.maximum:.2e}", f"{item.mean:.2e}")
    stdout.print(table)
    sidecar = export.sidecar
    height, width = sidecar.patch_hw
    size = export.path.stat().st_size / 1e6
    stdout.print(
        f"{export.path}: {size:.1f} MB, {height}x{width}, batch {sidecar.batch or 'dynamic'}, {sidecar.precision}, "
        f"{sidecar.pooling} pooling, {sidecar.norm} norm, opset {sidecar.opset}, in {seconds:.0f} s",
        markup=False,
        soft_wrap=True,
    )
