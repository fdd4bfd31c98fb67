"""ltm-export: a checkpoint to a verified ONNX."""

import functools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from .._optional import require
from ..errors import UsageError
from ..export.exporter import Export, export_onnx
from ..export.spec import ExportSpec, Recipe, read_recipe
from ..export.triton import Serving, write_repository
from ..files import ONNX_SUFFIX, has_suffix
from ..runtime.shipped import example_patch
from .command import command, listed, notice, say, show_waiting, stderr, stdout, table, waiting
from .help import plain_option
from .options import RESULTS, words
from .progress import phase_bar
from .spec_option import option

if TYPE_CHECKING:
    from ..model.samples import Calibration

_SERVING = ("engine", "max_batch", "instances", "kind", "inputs")


def _batch(context: click.Context, parameter: click.Parameter, value: str | None) -> int | str | None:
    if value is None or value == "dynamic":
        return value
    if not value.isdecimal():
        raise click.BadParameter(f"expected a number or dynamic; got {value!r}", context, parameter)
    return int(value)


# None is what is not given, so that a recipe's values stay.
export_option = functools.partial(option, ExportSpec, default=None, heading="Network")
precision_option = functools.partial(export_option, heading="Precision")
result_option = functools.partial(plain_option, heading=RESULTS)
serving_option = functools.partial(option, Serving, default=None, heading="Triton Inference Server")


@command("ltm-export")
@click.argument("model")
@result_option("-o", "--output", metavar="OUT.onnx", help="ONNX file to write.  [default: MODEL with the ending .onnx]")
@result_option(
    "--weights-beside",
    is_flag=True,
    help="Do not copy the weights into the ONNX: refer to MODEL, a .safetensors in the same folder.",
)
@result_option(
    "--recipe",
    metavar="FILE.toml",
    help="Read the options below from a file; options given on the command line override it.",
)
@export_option("--height", metavar="PIXELS", help="Height of a patch, a multiple of 32.  [default: 640]")
@export_option("--width", metavar="PIXELS", help="Width of a patch, a multiple of 32.  [default: 640]")
@export_option("--batch", callback=_batch, metavar="N|dynamic", help="Patches per call.  [default: dynamic]")
@export_option(
    "--norm",
    help="How group norms are expressed; folded is for CPUs, gpu for TensorRT.  [default: gpu for fp16 with a fixed "
    "batch, else group]",
)
@export_option(
    "--pooling",
    help="How average pooling is expressed; conv is for TensorRT for RTX on Turing GPUs.  [default: matmul]",
)
@export_option(
    "--enb-pooling",
    help="Pooling of the non-local block, for a checkpoint from the paper's ablations; the rest of such a variant is "
    "read from the checkpoint.  [default: pyramid]",
)
@precision_option(
    "--precision",
    help="Type of weights and activations. int8 quantises convolutions where the matte stays accurate, and needs "
    "--calibration.  [default: fp32]",
)
@precision_option(
    "--float32",
    callback=words,
    metavar="STAGES",
    help="Parts of the network to keep in float32 with --precision fp16, such as layer1,uper5; if an export fails, the "
    "error names them.",
)
@plain_option(
    "--calibration",
    metavar="FOLDER|drawn",
    heading="Precision",
    help="Scenes for int8: a folder of photos (each NAME.jpg with NAME_trimap.png or NAME_mask.png), or scenes drawn "
    "by this command. Takes minutes.",
)
@precision_option(
    "--tolerance",
    metavar="ALPHA",
    help="Largest accepted difference from PyTorch's alpha, 0 to 1; for int8 the mean difference.  [default: 0.001; "
    "fp16 0.005; int8 0.05]",
)
@serving_option(
    "--triton",
    "folder",
    metavar="FOLDER",
    help="Also write a model repository for Triton. MODEL may then be an ONNX file from an earlier ltm-export.",
)
@serving_option(
    "--triton-engine",
    "engine",
    metavar="FILE.engine",
    help="Serve this engine as well; it must be built from that ONNX by ltm-build, with TensorRT.",
)
@serving_option(
    "--triton-max-batch",
    "max_batch",
    help="Largest batch of the ONNX model; an engine has its own limit.  [default: 8]",
)
@serving_option("--triton-instances", "instances", help="Model instances per GPU.  [default: 1]")
@serving_option(
    "--triton-kind", "kind", help="Where the ONNX model runs. auto: on GPUs, if there are any.  [default: auto]"
)
@serving_option(
    "--triton-inputs",
    "inputs",
    help="What clients send. tensors: the network's inputs, 32 bytes per pixel. pixels: photo and trimap, under 5 "
    "bytes per pixel, from which the server makes the inputs.  [default: tensors]",
)
def main(
    model: str,
    output: str | None,
    recipe: str | None,
    calibration: str | None,
    weights_beside: bool,
    **options: Any,
) -> None:
    """Export a checkpoint as ONNX, and check that the alpha is that of the PyTorch model.

    \b
    Examples:
      ltm-export litematting.safetensors -o model.onnx --height 1024 --width 1024
      ltm-export weights.pth --recipe export/gpu-1024-fp16.toml -o gpu.onnx

    MODEL is a checkpoint (.pth, .pt, .ckpt or .safetensors). If the alpha differs by more than the tolerance, the
    command fails and writes nothing.
    """
    serving = _serving(options)
    if serving is not None and has_suffix(model, ONNX_SUFFIX):
        others = {"output": output, "recipe": recipe, "calibration": calibration, "weights_beside": weights_beside}
        for name, value in (others | options).items():
            if value not in (None, False):
                raise UsageError(f"`{name}`: {model} is already exported; leave `{name}` out, or give a checkpoint")
        _report_repository(write_repository(model, serving), serving)
        return
    chosen = read_recipe(recipe) if recipe else Recipe()
    spec, started = chosen.with_options(options), time.perf_counter()
    spec.check_calibration(calibration is not None)
    with _shown(model, spec) as show:
        samples = {"example photo": example_patch(spec.patch_hw)}
        seen = None if calibration is None else _scenes(calibration, spec.patch_hw)
        export = export_onnx(model, output or chosen.output, spec, samples, weights_beside, serving, seen, show)
    _report(export, spec, time.perf_counter() - started, seen)
    if serving is not None:
        _report_repository(export.models, serving)


@contextmanager
def _shown(model: str, spec: ExportSpec) -> Iterator[Callable[[float, str], None]]:
    """Show the stages of an export: a bar in INT8, which takes minutes, otherwise the stage; off a terminal, a line for
    each."""
    last, measured = "", spec.precision == "int8"
    with phase_bar(f"exporting {model} in INT8") if measured else _waiting_for(model) as show:

        def line(done: float, stage: str) -> None:
            nonlocal last
            show(done, stage)
            if stage != last and not stderr.is_terminal:
                notice(f"ltm-export: {f'{done:.0%} done; ' if measured else ''}{stage}")
            last = stage

        yield line


@contextmanager
def _waiting_for(model: str) -> Iterator[Callable[[float, str], None]]:
    """Show on a terminal what an export is doing, whose time nobody can measure."""
    with waiting(f"exporting {model}") as status:
        yield lambda _, stage: show_waiting(status, f"exporting {model}: {stage}")


def _serving(options: dict[str, Any]) -> Serving | None:
    """Take the options that are about Triton out of `options`; return what they say, None without a folder."""
    given = {name: value for name in _SERVING if (value := options.pop(name)) is not None}
    folder = options.pop("folder")
    if folder is None and given:
        raise UsageError(f"`{next(iter(given))}` requires `folder=FOLDER`; add it")
    return None if folder is None else Serving(folder, **given)


def _scenes(source: str, patch_hw: tuple[int, int]) -> "Calibration":
    """Return the scenes for INT8. Raises `DependencyError`, `InputError`."""
    require("torch", "export", "drawing scenes")
    # It imports PyTorch, for which `require` has just given the better error.
    from ..training.calibration import calibration_scenes

    return calibration_scenes(source, patch_hw)


def _report(export: Export, spec: ExportSpec, seconds: float, seen: "Calibration | None") -> None:
    cells = [(item.check, f"{item.maximum:.2e}", f"{item.mean:.2e}") for item in export.differences]
    title = (
        "difference from the PyTorch model's alpha (tolerance "
        f"{spec.limit:g}{', of means' if spec.precision == 'int8' else ''})"
    )
    stdout.print(table(("check", "largest difference", "mean difference"), cells, title))
    sidecar = export.sidecar
    if seen is not None and (made := sidecar.quantisation) is not None:
        left = (
            f"; kept in float because quantising them costs too much: {', '.join(made.float_stages)}"
            if made.float_stages
            else ""
        )
        say(
            f"{made.convolutions} of {made.of} convolutions in INT8{left}. SAD on {seen.counts[-1]} other drawn "
            f"scenes: {made.sad:.3f}, fp32 {made.fp32_sad:.3f} ({made.sad / made.fp32_sad - 1:+.1%})"
        )
    height, width = sidecar.patch_hw
    size = export.path.stat().st_size / 1e6
    say(
        f"Wrote {export.path}: {size:.1f} MB, {height}x{width}, batch {sidecar.batch or 'dynamic'}, "
        f"{sidecar.precision}, {sidecar.pooling} pooling, {sidecar.norm} norm, opset {sidecar.opset}, "
        f"in {seconds:.0f} s"
    )


def _report_repository(models: tuple[str, ...] | list[str], serving: Serving) -> None:
    say(f"Wrote {serving.folder}: {listed(models)}; serve with: tritonserver --model-repository {serving.folder}")
