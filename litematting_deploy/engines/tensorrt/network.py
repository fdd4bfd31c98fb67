"""An ONNX in TensorRT's own form: parsed, with every reason if that fails, and held against the contract."""

import importlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import ArtefactError
from ...sidecar import Sidecar
from ..base import check_contract
from ..onnx_files import gathered
from .version import TensorRT

# what the parser says where it has nothing to say
_EMPTY_REASONS = ("", "false")


@dataclass
class Network:
    """definition: TensorRT's `INetworkDefinition`. batch: None for dynamic.

    precision: `fp32`, `fp16`, `int8` or `unknown`. float32_products: names of the matrix products of float32 tensors.
    operations: of all convolutions and products for one patch, a multiply-add being two. norms: names of the norms that
    are one node. keep: what must live as long as the definition.
    """

    definition: Any
    patch_hw: tuple[int, int]
    batch: int | None
    precision: str
    float32_products: tuple[str, ...]
    operations: int
    norms: tuple[str, ...]
    keep: tuple[Any, ...]


def parse(tensorrt: TensorRT, builder: Any, path: Path, sidecar: Sidecar | None) -> Network:
    """The network of an ONNX file. Raises `ArtefactError`; what the parser minds is in its notes, one line each."""
    definition = builder.create_network(tensorrt.network_flags())
    parser = tensorrt.module.OnnxParser(definition, tensorrt.log)
    with gathered(path, sidecar) as file:
        parsed = parser.parse_from_file(str(file))
    if not parsed:
        raise _refused(tensorrt, path, [parser.get_error(index) for index in range(parser.num_errors)])
    patch_hw, batch = _contract(path, definition)
    layers = [definition.get_layer(index) for index in range(definition.num_layers)]
    precision = _precision(layers)
    _compare(path, sidecar, {"patch_hw": patch_hw, "batch": batch, "precision": precision})
    products = tuple(layer.name for layer in layers if _multiplies_float32(layer))
    operations = sum(map(_operations, layers)) // (batch or 1)
    norms = tuple(layer.name for layer in layers if layer.type.name == "NORMALIZATION")
    return Network(definition, patch_hw, batch, precision, products, operations, norms, (parser, builder))


def _refused(tensorrt: TensorRT, path: Path, errors: list[Any]) -> ArtefactError:
    name = f"{tensorrt.backend} {tensorrt.version}"
    nodes = [error for error in errors if error.node_operator()]
    if not nodes:
        reasons = "; ".join(error.desc() for error in errors) or tensorrt.log.summary()
        return ArtefactError(
            f"{path}: {name} cannot read it: the file is damaged, or its weights are not in the same folder; export "
            f"it again with ltm-export ({reasons})"
        )
    operators = ", ".join(sorted({error.node_operator() for error in nodes}))
    failure = ArtefactError(
        f"{path}: {name} does not support {len(nodes)} of its nodes ({operators}); export LiteMatting with "
        "ltm-export, which avoids them"
    )
    for error in errors:
        operator, reason = error.node_operator(), "" if error.desc() in _EMPTY_REASONS else f": {error.desc()}"
        where = f"node {error.node()} {error.node_name()!r} ({operator})" if operator else path
        failure.add_note(" ".join(f"{where}: {error.code().name}{reason}".split()))
    return failure


def _contract(path: Path, definition: Any) -> tuple[tuple[int, int], int | None]:
    """Patch size, and batch where that is fixed."""
    inputs = [definition.get_input(index) for index in range(definition.num_inputs)]
    outputs = [definition.get_output(index) for index in range(definition.num_outputs)]
    shapes = {tensor.name: (tuple(map(int, tensor.shape)), tensor.dtype.name) for tensor in (*inputs, *outputs)}
    patch_hw = check_contract(path, shapes, "FLOAT")
    if [tensor.name for tensor in outputs] != ["alpha"]:
        raise ArtefactError(f"{path}: it has no output named alpha; export LiteMatting with ltm-export")
    batch = shapes["image"][0][0]
    return patch_hw, None if batch < 0 else batch


def _precision(layers: list[Any]) -> str:
    """Return the precision of an export: int8 where any tensor is quantised, fp16 where convolutions are in half
    precision, perhaps beside averages in float32."""
    if any(layer.type.name == "QUANTIZE" for layer in layers):
        return "int8"
    kinds = {layer.get_input(0).dtype.name for layer in layers if layer.type.name == "CONVOLUTION"}
    if not kinds or kinds - {"FLOAT", "HALF"}:
        return "unknown"
    return "fp16" if "HALF" in kinds else "fp32"


def _operations(layer: Any) -> int:
    """Return the operations of a convolution or matrix product; a batch of any size counts as one."""
    if layer.type.name not in ("CONVOLUTION", "MATRIX_MULTIPLY"):
        return 0
    results = math.prod(abs(length) for length in layer.get_output(0).shape)
    taken = layer.get_input(0).shape
    if layer.type.name == "CONVOLUTION":
        convolution = copy_as(layer, "IConvolutionLayer")
        return int(2 * results * abs(taken[1]) // convolution.num_groups * math.prod(convolution.kernel_size_nd))
    product = copy_as(layer, "IMatrixMultiplyLayer")
    return int(2 * results * abs(taken[-2 if product.op0.name == "TRANSPOSE" else -1]))


def copy_as(layer: Any, kind: str) -> Any:
    """Return a layer of a definition, which the bindings know as an `ILayer` only, as its own kind."""
    layer.__class__ = getattr(importlib.import_module(type(layer).__module__.split(".")[0]), kind)
    return layer


def _multiplies_float32(layer: Any) -> bool:
    return bool(layer.type.name == "MATRIX_MULTIPLY" and layer.get_input(0).dtype.name == "FLOAT")


def _compare(path: Path, sidecar: Sidecar | None, found: dict[str, object]) -> None:
    for name, value in found.items():
        if sidecar is not None and getattr(sidecar, name) != value:
            raise ArtefactError(
                f"{path}: {name} is {value} in the file, but {getattr(sidecar, name)} in its sidecar; export it "
                f"again: {sidecar.export_command()}"
            )
