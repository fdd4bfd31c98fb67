"""ltm-build: an ONNX to a TensorRT engine."""

import functools
from pathlib import Path
from typing import Any

import click

from ..engines.tensorrt.builder import Built, build_engine
from ..engines.tensorrt.layers import LayerTable
from ..engines.tensorrt.profile import BuildProfile, read_profile
from ..errors import LiteMattingError, counted
from ..files import ENGINE_SUFFIX, ONNX_SUFFIX
from .command import command, notice, say, stdout
from .help import plain_option
from .options import RESULTS, words
from .progress import phase_bar
from .spec_option import option

TARGET = "Target"
# None is what is not given, so that a profile's values stay.
profile_option = functools.partial(option, BuildProfile, default=None, show_default=False)
target_option = functools.partial(profile_option, heading=TARGET)
batch_option = functools.partial(profile_option, heading="Batch (of an ONNX with a dynamic one)")
build_option = functools.partial(profile_option, heading="Build")


@command("ltm-build")
@click.argument("model", metavar="MODEL.onnx")
@plain_option(
    "-o",
    "--output",
    metavar="OUT.engine",
    heading=RESULTS,
    help="Engine file to write.  [default: MODEL with the ending .engine]",
)
@target_option(
    "--layers",
    metavar="FILE.json|.html",
    heading=RESULTS,
    help="Also write what every layer reads and writes, as a table (JSON) or a page (HTML).",
)
@plain_option(
    "--profile",
    metavar="FILE.toml",
    heading=TARGET,
    help="Read the options below from a file; options given on the command line override it.",
)
@target_option("--backend", help="Library to build with.  [default: the one that is installed]")
@target_option(
    "--sm",
    "architectures",
    multiple=True,
    callback=words,
    metavar="8.9",
    help="Target compute capability (tensorrt-rtx); may be repeated.  [default: that of the GPU; without one, RTX 30, "
    "40 and 50]",
)
@target_option(
    "--hardware-compatibility", help="Let the engine run on other GPUs than this one (tensorrt).  [default: none]"
)
@batch_option("--min-batch", help="Smallest batch.  [default: 1]")
@batch_option("--opt-batch", help="Batch that the engine is optimised for.  [default: 1]")
@batch_option("--max-batch", help="Largest batch.  [default: 8]")
@build_option("--tf32/--no-tf32", "tf32", help="Let an fp32 ONNX multiply in TF32.  [default: no]")
@build_option(
    "--workspace", "workspace_mib", metavar="MIB", help="Limit of scratch memory on the GPU.  [default: no limit]"
)
@build_option(
    "--optimization-level",
    metavar="0-5",
    help="How long to search for faster kernels, 5 being longest.  [default: TensorRT's]",
)
@build_option("--timing-cache", help="File that keeps kernel timings, so that the next build is faster (tensorrt).")
@build_option("--refit/--no-refit", "refit", help="Allow the weights to be replaced later; needs a GPU.  [default: no]")
def main(model: str, output: str | None, profile: str | None, **options: Any) -> None:
    """Build a TensorRT engine from an ONNX file of ltm-export, and write its sidecar.

    \b
    Examples:
      ltm-build model.onnx -o model.engine --profile engines/rtx-40.toml
      ltm-build model.onnx --backend tensorrt-rtx --sm 8.9 --sm 12.0

    TensorRT for RTX (tensorrt-rtx) builds for any RTX GPU, also on a machine without one; TensorRT (tensorrt) builds
    for the GPU of this machine. The engine has the precision of the ONNX.
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
        f"Wrote {built.path}: {built.path.stat().st_size / 1e6:.1f} MB, {height}x{width}, {batches}, "
        f"{sidecar.precision}, {sidecar.backend} {sidecar.backend_version} for compute capability "
        f"{', '.join(sidecar.architectures)}, in {built.seconds:.1f} s"
    )
    if built.table is not None:
        _report_layers(built.table)


def _report_layers(table: LayerTable) -> None:
    sums, found = table.totals, table.estimate
    norms = counted(sums.norms_fused + sums.norms_split, "norm node")
    lines = [
        f"{sums.layers} layers move {sums.bytes / 1e9:.2f} GB ({sums.gigabytes_1024:.2f} GB scaled by area to "
        f"1024x1024): {sums.float32_bytes / 1e9:.2f} GB in float32, {sums.copies} copies; of {norms} in the ONNX, "
        f"{sums.norms_fused} run as one kernel and {sums.norms_split} are split up"
    ]
    if found is not None:
        lines.append(
            f"estimate from the data sheet of {found.gpu}, not measured: {found.milliseconds:.2f} ms if nothing is "
            f"cached ({found.memory_ms:.2f} ms for the bytes, {found.arithmetic_ms:.2f} ms for the arithmetic)"
        )
    lines.append(f"the same with NVIDIA's tool: {table.command}")
    for line in lines:
        stdout.print(line, markup=False, soft_wrap=True)
