"""Export, verify, and only then let the file appear."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from .. import __version__
from .._optional import require
from ..errors import ToleranceError
from ..files import check_writable, replacing, sha256
from ..model import ModelConfig, load_checkpoint
from ..sidecar import Sidecar, sidecar_path, write_sidecar
from .spec import ExportSpec

_MODULES = {name: require(name, "export", "exporting") for name in ("torch", "onnx", "onnxscript")}
_MODULES["onnxruntime"] = require("onnxruntime", "cpu", "comparing an export with the model")

from .external import check_beside, refer_to_checkpoint  # noqa: E402
from .graph import OPSET, build_graph  # noqa: E402
from .verify import Difference, Inputs, compare, random_inputs, scene_inputs  # noqa: E402

_VERSIONS = {
    "litematting-deploy": __version__,
    **{name: str(module.__version__) for name, module in _MODULES.items()},
}


@dataclass(frozen=True)
class Export:
    """What was written and how far it is from the model."""

    path: Path
    sidecar: Sidecar
    differences: tuple[Difference, ...]


def export_onnx(
    checkpoint: str | Path,
    output: str | Path | None = None,
    spec: ExportSpec = ExportSpec(),
    samples: Mapping[str, Inputs] | None = None,
    weights_beside: bool = False,
) -> Export:
    """Export `checkpoint` as ONNX with its sidecar; by default beside it, with the ending `.onnx`.

    The graph runs in ONNX Runtime on a fresh random batch, on flat and nearly flat `scenes` and on `samples` (name to
    network inputs of the spec's patch size), and is compared with the PyTorch model. Raises `ToleranceError` above the
    spec's tolerance, and nothing is left under the final name; also `CheckpointError` and `OutputError`.
    weights_beside: refer to the weights in the safetensors checkpoint of the same folder; otherwise the ONNX is one
    file with all it needs.
    """
    checkpoint = Path(checkpoint)
    output = checkpoint.with_suffix(".onnx") if output is None else Path(output)
    check_writable(output)
    check_writable(sidecar_path(output))
    if weights_beside:
        check_beside(checkpoint, output)
    model = load_checkpoint(checkpoint, ModelConfig(pooling=spec.pooling))
    sidecar = Sidecar(
        file=output.name,
        sha256="",
        checkpoint=checkpoint.name,
        checkpoint_sha256=sha256(checkpoint),
        patch_hw=spec.patch_hw,
        batch=spec.batch,
        precision=spec.precision,
        pooling=spec.pooling,
        norm=spec.norm,
        opset=OPSET,
        weights_beside=weights_beside,
        versions=_VERSIONS,
    )
    with replacing(output) as draft:
        proto = build_graph(model, spec)
        _MODULES["onnx"].helper.set_model_props(proto, sidecar.essentials())
        if weights_beside:
            refer_to_checkpoint(proto, checkpoint)
        draft.write_bytes(proto.SerializeToString())
        # The reference is the model in PyTorch's own forms: a wrong export form must not be compared with itself.
        reference = load_checkpoint(checkpoint)
        given = [("random", random_inputs(spec)), *(samples or {}).items()]
        differences = compare(draft, reference, itertools.chain(given, scene_inputs(spec)), spec)
        _check(output, differences, spec)
        sidecar = replace(
            sidecar,
            sha256=sha256(draft),
            differences={item.check: {"maximum": item.maximum, "mean": item.mean} for item in differences},
        )
        write_sidecar(output, sidecar)
    return Export(output, sidecar, tuple(differences))


def _check(output: Path, differences: list[Difference], spec: ExportSpec) -> None:
    above = [item for item in differences if not item.maximum <= spec.limit]  # not-a-number is above, too
    if above:
        worst = max(above, key=lambda item: (item.maximum != item.maximum, item.maximum))
        raise ToleranceError(
            f"{output}: not written: alpha differs from the PyTorch model by up to {worst.maximum:.2e} "
            f"({worst.check}), more than {spec.limit:g}; use --precision fp32, or accept it with --tolerance"
        )
