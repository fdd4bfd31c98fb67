"""ltm-build: an ONNX to a TensorRT engine."""

from pathlib import Path
from typing import Any, get_args

import click

from ..engines.tensorrt.builder import Built, build_engine
from ..engines.tensorrt.layers import LayerTable
from ..engines.tensorrt.profile import BuildProfile, HardwareCompatibility, read_profile
from ..engines.tensorrt.version import BACKENDS
from ..errors import LiteMattingError
from ..files import ENGINE_SUFFIX, ONNX_SUFFIX
from .command import command, notice, say, stdout
from .progress import phase_bar


def _sm(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    del context, parameter
    return tuple(part for value in values for part in value.split(","))


@command("ltm-build")
@click.argument("model", metavar="MODEL.onnx")
@click.option("-o", "--output", metavar="OUT.engine", help="The engine; beside MODEL by default.")
@click.option("--backend", type=click.Choice(list(BACKENDS)), help="What builds it; the installed one by default.")
@click.option("--profile", metavar="FILE.toml", help="Read these options from a file; those given here win.")
@click.option(
    "--sm", "architectures", multiple=True, callback=_sm, metavar="8.9", help="Compute capability; repeat it."
)
@click.option("--min-batch", type=int, metavar="N", help="Fewest patches at a time.  [default: 1]")
@click.option("--opt-batch", type=int, metavar="N", help="Patches at a time it is best at.  [default: 1]")
@click.option("--max-batch", type=int, metavar="N", help="Most patches at a time.  [default: 8]")
@click.option("--tf32/--no-tf32", default=None, help="Let an fp32 ONNX multiply in TF32.  [default: no]")
@click.option("--workspace", "workspace_mib", type=int, metavar="MIB", help="Limit of scratch memory on the device.")
@click.option("--optimization-level", type=int, metavar="0-5", help="How long to look for better kernels.")
@click.option("--timing-cache", type=Path, metavar="FILE", help="Keep and reuse measured kernels (tensorrt).")
@click.option(
    "--hardware-compatibility",
    type=click.Choice(get_args(HardwareCompatibility)),
    help="Run on other GPUs than this one (tensorrt).  [default: none]",
)
@click.option("--refit/--no-refit", default=None, help="Weights can be replaced later; needs a GPU.  [default: no]")
@click.option(
    "--layers", type=Path, metavar="FILE.json|.html", help="Save what every layer reads and writes, as table or page."
)
def main(model: str, output: str | None, profile: str | None, **options: Any) -> None:
    """Build a TensorRT engine from MODEL.onnx, which ltm-export made, and write its sidecar.

    The precision is that of the ONNX. TensorRT for RTX (tensorrt-rtx) builds for any RTX GPU on a machine without one;
    TensorRT builds for the GPU of this machine.
    """
    chosen = (read_profile(profile) if profile else BuildProfile()).with_options(**options)
    target = Path(output) if output else Path(f"{model.removesuffix(ONNX_SUFFIX)}{ENGINE_SUFFIX}")
    with phase_bar(f"building {target.name}") as show:
        try:
            built = build_engine(model, target, chosen, lambda done, phase: show(done, phase.lower()))
        except LiteMattingError as error:
            for line in getattr(error, "__notes__", ()):
                notice(line)
            raise
    _report(built)


def _report(built: Built) -> None:
    sidecar = built.sidecar
    (height, width), (least, best, most) = sidecar.patch_hw, sidecar.batches
    batches = f"batch {least} to {most}, best at {best}" if least < most else f"batch {most}"
    say(
        f"{built.path}: {built.path.stat().st_size / 1e6:.1f} MB, {height}x{width}, {batches}, {sidecar.precision}, "
        f"{sidecar.backend} {sidecar.backend_version} for compute capability {', '.join(sidecar.architectures)}, "
        f"in {built.seconds:.1f} s"
    )
    if built.table is not None:
        _report_layers(built.table)


def _report_layers(table: LayerTable) -> None:
    sums, found = table.totals, table.estimate
    lines = [
        f"{sums.layers} layers move {sums.bytes / 1e9:.2f} GB ({sums.gigabytes_1024:.2f} GB at 1024x1024): "
        f"{sums.float32_bytes / 1e9:.2f} GB in float32, {sums.copies} copies; {sums.norms_fused} norms are one kernel, "
        f"{sums.norms_split} are taken apart"
    ]
    if found is not None:
        lines.append(
            f"estimate by the data sheet of {found.gpu}, not measured: at least {found.milliseconds:.2f} ms "
            f"({found.memory_ms:.2f} ms of memory traffic, {found.arithmetic_ms:.2f} ms of arithmetic)"
        )
    lines.append(f"the same with NVIDIA's tool: {table.command}")
    for line in lines:
        stdout.print(line, markup=False, soft_wrap=True)
