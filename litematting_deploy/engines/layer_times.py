"""How long each layer of an engine takes, as the profiler of its library says."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

KINDS = ("convolution", "product", "norm", "element-wise", "copy")

_KERNEL = "_kernel_time"
_OPERATORS = {
    "convolution": re.compile(r"Conv"),
    "product": re.compile(r"MatMul|Gemm|Einsum"),
    "norm": re.compile(r"Normalization|^Reduce"),
    "copy": re.compile(
        r"^(Reorder|Reshape|Transpose|Slice|Concat|Split|Pad|Cast|Expand|Resize|Upsample|Identity|Gather|Squeeze|"
        r"Unsqueeze|Shape|Memcpy)|QuantizeLinear$|DequantizeLinear$"
    ),
}
"""What ONNX Runtime's operators are; all others are element-wise."""


@dataclass(frozen=True)
class LayerTime:
    """A layer, which is a kernel of TensorRT or a node of ONNX Runtime after its own fusions.

    kind: one of `KINDS`. stage: of the network, as `layer2`. milliseconds: the median of one run.
    """

    name: str
    kind: str
    stage: str
    milliseconds: float


def by_stage(times: Sequence[LayerTime]) -> dict[str, dict[str, float]]:
    """Return the milliseconds of each kind of layer for each stage, in the order in which they run."""
    found: dict[str, dict[str, float]] = {}
    for layer in times:
        found.setdefault(layer.stage, dict.fromkeys(KINDS, 0.0))[layer.kind] += layer.milliseconds
    return found


def read_onnxruntime(
    events: Sequence[Mapping[str, Any]], warmup: int, stages: Mapping[str, str]
) -> tuple[LayerTime, ...]:
    """Return the layers in a profile of ONNX Runtime, without the first `warmup` runs.

    stages: the stage of each tensor of the graph, after which ONNX Runtime names convolutions in its own layout. Any
    other node that it made itself belongs to the stage of the node before.
    """
    spent: dict[tuple[str, str], list[float]] = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith(_KERNEL):
            key = event["name"].removesuffix(_KERNEL), event["args"]["op_name"]
            spent.setdefault(key, []).append(event["dur"] / 1e3)
    made: list[LayerTime] = []
    for (name, operator), runs in spent.items():
        kind = next((kind for kind, found in _OPERATORS.items() if found.search(operator)), "element-wise")
        before = made[-1].stage if made else "input"
        stage = name.partition("/")[0] if "/" in name else stages.get(name.removesuffix("_nchwc"), before)
        made.append(LayerTime(name or operator, kind, stage, median(runs[warmup:])))
    return tuple(made)
