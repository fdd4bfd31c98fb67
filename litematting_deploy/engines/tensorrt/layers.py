"""What every layer of an engine reads and writes, before any GPU has run it.

TensorRT for RTX prints the list of its layers while it builds, on any machine; TensorRT's inspector has it where there
is a GPU. Bytes are those of every tensor that a layer reads or writes, each tensor once for each layer, constants left
out: an upper bound of what goes through memory, since caches hold a part.
"""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ...errors import DeviceError
from ..layer_times import KINDS
from .version import TensorRT

_BYTES = {"Half": 2, "BFloat16": 2, "Float": 4, "Int32": 4, "Int64": 8, "Bool": 1, "Int8": 1, "UInt8": 1, "FP8": 1}
_LINE = re.compile(
    r"Name: (?P<name>.*?), LayerType: (?P<kind>\w+), Inputs: \[(?P<inputs>.*?)\], Constants: \[.*?\], "
    r"Outputs: \[(?P<outputs>.*?)\], TacticName: (?P<tactic>.*?), StreamId: \d+, Metadata: ?(?P<nodes>.*)"
)
_TENSOR = re.compile(r"Name: ([^,]+), Dimensions: \[([^\]]*)\].*?Datatype: (\w+)")
_NODE = re.compile(r"\[ONNX Layer: ([^\]]+)\]")
_OPERATORS = re.compile(r"[A-Z][a-z0-9]*")
_COPIES = {"Move", "Tran", "Resh", "Cast", "Slic", "Repl", "Conc"}
_NORMS = ("Gnor", "Inor")
PAPER_PIXELS = 1024 * 1024


@dataclass(frozen=True)
class LayerTensor:
    """A tensor that a layer reads or writes; an axis of any length counts as 1."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    bytes: int


@dataclass(frozen=True)
class Layer:
    """A kernel of an engine.

    kind: one of `KINDS`. nodes: those of the ONNX that it computes, with the stage before the name.
    """

    name: str
    kind: str
    tactic: str
    stage: str
    nodes: tuple[str, ...]
    reads: tuple[LayerTensor, ...]
    writes: tuple[LayerTensor, ...]

    @property
    def bytes(self) -> int:
        """What it reads and writes."""
        return sum(tensor.bytes for tensor in (*self.reads, *self.writes))


@dataclass(frozen=True)
class Totals:
    """Sums over all layers.

    bytes: read and written for one run. gigabytes_1024: as many for 1024 x 1024 pixels at one patch. float32_bytes: of
    float32 tensors. copies: layers that only move or convert. norms_fused, norms_split: norms of the ONNX that became
    one kernel, and those that were taken apart.
    """

    layers: int
    bytes: int
    gigabytes_1024: float
    float32_bytes: int
    copies: int
    norms_fused: int
    norms_split: int


@dataclass(frozen=True)
class Estimate:
    """The least time of one run by a GPU's data sheet: nothing was measured.

    memory_ms: all bytes at full bandwidth. arithmetic_ms: all operations at full rate. milliseconds: the larger.
    """

    gpu: str
    bandwidth_gb_s: float
    tflops: float
    memory_ms: float
    arithmetic_ms: float
    milliseconds: float


@dataclass(frozen=True)
class LayerTable:
    """All layers of an engine. operations: of its convolutions and products, a multiply-add being two."""

    engine: str
    backend: str
    architecture: str
    patch_hw: tuple[int, int]
    batch: int
    operations: int
    command: str
    totals: Totals
    estimate: Estimate | None
    layers: tuple[Layer, ...]

    def stages(self) -> dict[str, dict[str, int]]:
        """Return the bytes of each kind of layer for each stage, in the order in which they run."""
        found: dict[str, dict[str, int]] = {}
        for layer in self.layers:
            kinds = found.setdefault(layer.stage, dict.fromkeys(KINDS, 0))
            kinds[layer.kind] += layer.bytes
        return found

    def as_json(self) -> str:
        """Return all of it, with the bytes of each layer and stage."""
        content = asdict(self)
        for described, layer in zip(content["layers"], self.layers, strict=True):
            described["bytes"] = layer.bytes
        content["stages"] = self.stages()
        return json.dumps(content, indent=1) + "\n"


def read_log(lines: Sequence[str]) -> tuple[Layer, ...]:
    """Return the layers that a builder printed, one line each."""
    layers: list[Layer] = []
    for line in lines:
        found = _LINE.search(line)
        if found is None:
            continue
        reads, writes = (_tensors(_TENSOR.findall(found[part])) for part in ("inputs", "outputs"))
        nodes = tuple(_NODE.findall(found["nodes"]))
        layers.append(_layer(layers, found["name"], found["kind"], found["tactic"], nodes, reads, writes))
    return tuple(layers)


def read_inspector(text: str) -> tuple[Layer, ...]:
    """Return the layers in what TensorRT's engine inspector says as JSON."""
    layers: list[Layer] = []
    for item in json.loads(text)["Layers"]:
        if isinstance(item, str):  # no more than names, without detailed profiling
            layers.append(_layer(layers, item, "", "", (), (), ()))
            continue
        reads, writes = (
            _tensors([(each["Name"], ",".join(map(str, each["Dimensions"])), _format(each)) for each in item[part]])
            for part in ("Inputs", "Outputs")
        )
        nodes = tuple(_NODE.findall(item.get("Metadata", "")))
        kind, tactic = item.get("LayerType", ""), item.get("TacticName", "")
        layers.append(_layer(layers, item["Name"], kind, tactic, nodes, reads, writes))
    return tuple(layers)


def inspected(tensorrt: TensorRT, plan: Any) -> tuple[Layer, ...]:
    """Return the layers of a serialised engine. Raises `DeviceError` without a GPU that can load it."""
    runtime = tensorrt.module.Runtime(tensorrt.log)
    engine = runtime.deserialize_cuda_engine(plan)
    if engine is None:
        raise DeviceError(
            f"{tensorrt.backend} {tensorrt.version}: layer information needs a GPU that can load the engine; "
            f"leave `layers` out ({tensorrt.log.summary()})"
        )
    kind = tensorrt.module.LayerInformationFormat.JSON
    return read_inspector(str(engine.create_engine_inspector().get_engine_information(kind)))


def _layer(
    before: Sequence[Layer],
    name: str,
    kind: str,
    tactic: str,
    nodes: tuple[str, ...],
    reads: tuple[LayerTensor, ...],
    writes: tuple[LayerTensor, ...],
) -> Layer:
    """Return a layer; without nodes of the ONNX, its stage is that of the layer before."""
    stages = [node.partition("/")[0] for node in nodes if "/" in node]
    stage = stages[0] if stages else before[-1].stage if before else "input"
    return Layer(name, _kind(name, kind), tactic, stage, nodes, reads, writes)


def _kind(name: str, kind: str) -> str:
    # Myelin, its compiler, writes what a fused kernel does into the name, as __myl_MulAddRelu_myl3_12.
    operators = _OPERATORS.findall(re.sub(r"_myl\d+_\d+$", "", name).rpartition("__myl_")[2])
    if kind in ("correlation", "CaskConvolution") or "Corr" in operators:
        return "convolution"
    if kind in ("gemm", "MatrixMultiply") or "Fc" in operators:
        return "product"
    if any(norm in operators for norm in _NORMS) or "Mean" in operators:
        return "norm"
    # A copy that is fused with anything else costs no pass of its own.
    if kind in ("Reformat", "NoOp") or (name.startswith("__myl_") and set(operators) <= _COPIES):
        return "copy"
    return "element-wise"


def _tensors(found: Sequence[tuple[str, str, str]]) -> tuple[LayerTensor, ...]:
    """Return tensors of names, dimensions and types, each once."""
    made = {}
    for name, dimensions, dtype in found:
        shape = tuple(int(text) for text in dimensions.split(",") if text)
        # A dynamic axis is -1.
        size = math.prod(abs(length) for length in shape) * _BYTES.get(dtype, 4)
        made[name] = LayerTensor(name, shape, dtype, size)
    return tuple(made.values())


def _format(tensor: dict[str, Any]) -> str:
    """Return the type in an inspector's words for a tensor, such as `Row major linear FP16 format`."""
    if "Datatype" in tensor:
        return str(tensor["Datatype"])
    said = str(tensor.get("Format/Datatype", tensor.get("Format", "")))
    for word, dtype in (("FP16", "Half"), ("Half", "Half"), ("FP8", "FP8"), ("Int8", "Int8"), ("Int32", "Int32")):
        if word in said:
            return dtype
    return "Float"


def totals(layers: Sequence[Layer], norms: Sequence[str], pixels: int) -> Totals:
    """Return the sums. norms: names of the norms in the ONNX. pixels: of the patches of one run."""
    tensors = [tensor for layer in layers for tensor in (*layer.reads, *layer.writes)]
    moved = sum(tensor.bytes for tensor in tensors)
    kernels = dict.fromkeys(norms, 0)
    for layer in layers:
        for node in layer.nodes:
            if node in kernels and layer.reads:
                kernels[node] += 1
    # Taken apart, a norm is named by several kernels.
    fused = sum(count == 1 for count in kernels.values())
    return Totals(
        layers=len(layers),
        bytes=moved,
        gigabytes_1024=moved * PAPER_PIXELS / pixels / 1e9,
        float32_bytes=sum(tensor.bytes for tensor in tensors if tensor.dtype == "Float"),
        copies=sum(layer.kind == "copy" for layer in layers),
        norms_fused=fused,
        norms_split=len(kernels) - fused,
    )


def estimate(gpu: str, bandwidth_gb_s: float, tflops: float, moved: int, operations: int) -> Estimate:
    """Return the time by a data sheet, with nothing cached: whatever takes longer, memory or arithmetic."""
    memory, arithmetic = moved / bandwidth_gb_s / 1e6, operations / tflops / 1e9
    return Estimate(gpu, bandwidth_gb_s, tflops, memory, arithmetic, max(memory, arithmetic))
