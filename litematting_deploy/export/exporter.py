"""Export, verify, and only then let the file appear."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from .. import __version__
from .._optional import require
from ..errors import ToleranceError, UsageError
from ..files import ONNX_SUFFIX, check_writable, has_suffix, replacing, sha256
from ..parameters import Callback, path_text
from ..sidecar import Sidecar, sidecar_path, write_sidecar
from .spec import ExportSpec
from .triton import Serving, write_repository

if TYPE_CHECKING:
    from ..model import LiteMatting
    from ..model.samples import Calibration, Inputs
    from .quantise import Progress
    from .verify import Difference


@dataclass(frozen=True)
class Export:
    """What was written and how far it is from the model.

    path: the ONNX. sidecar: as it is written beside it.
    differences: alpha against the PyTorch model, for each region of each sample.
    models: names of the models written into a Triton repository; none where none was asked for.
    """

    path: Path
    sidecar: Sidecar
    differences: "tuple[Difference, ...]"
    models: tuple[str, ...] = ()


def export_onnx(
    checkpoint: str | Path,
    output: str | Path | None = None,
    spec: ExportSpec = ExportSpec(),
    samples: "Mapping[str, Inputs] | None" = None,
    weights_beside: bool = False,
    serving: Serving | None = None,
    calibration: "Calibration | None" = None,
    progress: "Progress | None" = None,
) -> Export:
    """Export a checkpoint as ONNX with its sidecar, once the graph computes what the PyTorch model does.

    The graph runs in ONNX Runtime on a fresh random batch, on flat and nearly flat `scenes` and on `samples`.

    - `checkpoint`: a .pth, .pt, .ckpt or .safetensors file.
    - `output`: the ONNX; by default next to the checkpoint, with the extension `.onnx`.
    - `spec`: patch size, batch, precision, forms of pooling and norm, tolerance.
    - `samples`: name to network inputs of the spec's patch size, as `model.samples.Inputs` has them.
    - `weights_beside`: refer to the weights in the safetensors checkpoint of the same folder; otherwise the ONNX is one
      file with all it needs.
    - `serving`: also write the ONNX into a model repository for Triton.
    - `calibration`: scenes for `precision="int8"`, which takes minutes more; `training.calibration.calibration_scenes`
      draws them, or takes photos.
    - `progress`: called at every stage with its name, after the part of the work in INT8 that is done, 0..1.

    Raises `ToleranceError` above the spec's tolerance, or where INT8 costs too much SAD (see `quantise`), and nothing
    is left under the final name; also `UsageError`, `CheckpointError`, `OutputError`, and those of `Serving.check`.
    """
    checkpoint = Path(path_text("checkpoint", checkpoint))
    output = checkpoint.with_suffix(ONNX_SUFFIX) if output is None else Path(path_text("output", output))
    _check_use(checkpoint, output, spec, weights_beside, serving)
    spec.check_calibration(calibration is not None)
    versions = _versions()
    # PyTorch takes seconds to import: after what can fail at once.
    from .external import refer_to_checkpoint
    from .graph import OPSET, build_graph, describe
    from .verify import compare

    report = Callback("progress", progress)
    model, reference = _loaded(checkpoint, spec)
    report(0.0, "building the graph")
    sidecar = _sidecar(checkpoint, output, spec, OPSET, weights_beside, versions)
    with replacing(output) as draft:
        proto = build_graph(model, spec)
        if calibration is not None:
            from .quantise import quantise

            proto, quantisation = quantise(proto, spec, calibration, reference, str(output), report)
            sidecar = replace(sidecar, quantisation=quantisation)
        report(1.0, "comparing with the PyTorch model")
        describe(proto, sidecar.essentials())
        if weights_beside:
            refer_to_checkpoint(proto, checkpoint)
        draft.write_bytes(proto.SerializeToString())
        differences = compare(draft, reference, _inputs(spec, samples or {}), spec)
        _check_differences(output, differences, spec, lambda name: _advice(reference, spec, samples or {}, name))
        measured = {item.check: {"maximum": item.maximum, "mean": item.mean} for item in differences}
        sidecar = replace(sidecar, sha256=sha256(draft), differences=measured)
        write_sidecar(output, sidecar)
    models = write_repository(output, serving) if serving else []
    return Export(output, sidecar, tuple(differences), tuple(models))


def _loaded(checkpoint: Path, spec: ExportSpec) -> "tuple[LiteMatting, LiteMatting]":
    """Return the model in the spec's form of pooling, and in PyTorch's own forms, with which it is compared.

    A wrong form must not be compared with itself. Raises `CheckpointError`.
    """
    from ..model import load_checkpoint
    from ..model.checkpoint import read_state_dict, variant_of

    config = replace(variant_of(read_state_dict(checkpoint)), enb_pooling=spec.enb_pooling)
    return load_checkpoint(checkpoint, replace(config, pooling=spec.pooling)), load_checkpoint(checkpoint, config)


def _sidecar(
    checkpoint: Path, output: Path, spec: ExportSpec, opset: int, weights_beside: bool, versions: dict[str, str]
) -> Sidecar:
    """Return the sidecar of an export as far as it is known before there is a graph: without its hash."""
    return Sidecar(
        file=output.name,
        sha256="",
        checkpoint=checkpoint.name,
        checkpoint_sha256=sha256(checkpoint),
        patch_hw=spec.patch_hw,
        batch=spec.batch,
        precision=spec.precision,
        pooling=spec.pooling,
        norm=spec.norm_form,
        float32=spec.float32,
        enb_pooling=spec.enb_pooling,
        opset=opset,
        weights_beside=weights_beside,
        versions=versions,
    )


def _check_use(checkpoint: Path, output: Path, spec: ExportSpec, weights_beside: bool, serving: Serving | None) -> None:
    """Raise for whatever is wrong before the checkpoint is read: `UsageError`, `OutputError`, as `Serving.check`."""
    if not has_suffix(output, ONNX_SUFFIX):
        raise UsageError(f"{output}: `output` must end in .onnx", parameter="output")
    if serving is not None and weights_beside:
        raise UsageError(
            "`weights_beside` cannot be combined with a Triton repository, which needs a single complete file; "
            "leave it out"
        )
    if serving is not None and checkpoint.is_file():
        serving.check(spec.patch_hw, spec.batch, spec.precision, sha256(checkpoint))
    changed = "`norm=gpu` rearranges" if spec.norm_form == "gpu" else "`precision=int8` rounds"
    if weights_beside and (spec.norm_form == "gpu" or spec.precision == "int8"):
        raise UsageError(
            f"`weights_beside` refers to the weights in the checkpoint, but {changed} some of them; leave it out, "
            "or use `norm=group` in `precision=fp32` or fp16",
            parameter="weights_beside",
        )
    check_writable(output)
    check_writable(sidecar_path(output))
    # The graph refers to the name, which may be a link and must lead to the checkpoint from the folder of the output.
    near = output.with_name(checkpoint.name)
    beside = checkpoint.suffix.lower() == ".safetensors" and near.exists() and checkpoint.exists()
    if weights_beside and not (beside and near.samefile(checkpoint)):
        raise UsageError(
            f"{checkpoint}: `weights_beside` requires a .safetensors checkpoint in the folder of {output}",
            parameter="weights_beside",
        )


def _versions() -> dict[str, str]:
    """Return the versions of what exports. Raises `DependencyError`."""
    modules = {name: require(name, "export", "exporting") for name in ("torch", "onnx", "onnxscript")}
    modules["onnxruntime"] = require("onnxruntime", "cpu", "comparing an export with the model")
    return {"litematting-deploy": __version__} | {name: str(made.__version__) for name, made in modules.items()}


def _inputs(spec: ExportSpec, samples: "Mapping[str, Inputs]") -> "Iterator[tuple[str, Inputs]]":
    """Return what an export is compared on, by name."""
    from .verify import random_inputs, scene_inputs

    return itertools.chain([("random", random_inputs(spec))], samples.items(), scene_inputs(spec))


def _advice(reference: "LiteMatting", spec: ExportSpec, samples: "Mapping[str, Inputs]", name: str) -> str:
    """Return what to do about an alpha that is too far off on the sample of a name."""
    if spec.precision != "fp16" or spec.float32:
        return ""
    from .half import advice

    found = advice(reference, dict(_inputs(spec, samples))[name], spec.limit)
    return f"{found}{' with `norm=group`' if spec.norm_form == 'gpu' and '`float32' in found else ''}; or "


def _check_differences(
    output: Path, differences: "list[Difference]", spec: ExportSpec, advise: Callable[[str], str]
) -> None:
    """Raise `ToleranceError` unless all differences are within the tolerance.

    advise: returns what to do about the sample of a name, or nothing, as the beginning of a sentence.
    """
    of_mean = spec.precision == "int8"
    above = {
        (item.mean if of_mean else item.maximum): item.check
        for item in differences
        if not item.within(spec.limit, of_mean)
    }
    if above:
        worst = max(above, key=lambda value: (value != value, value))
        advice = advise(above[worst].rpartition(", ")[0])
        raise ToleranceError(
            f"{output}: not written: alpha differs from the PyTorch model by {'a mean of' if of_mean else 'up to'} "
            f"{worst:.2e} ({above[worst]}), more than {spec.limit:g}; {advice}use `precision=fp32`, or accept it "
            "with a larger `tolerance`"
        )
