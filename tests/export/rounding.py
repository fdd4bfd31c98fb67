"""What a graph in half precision gives on hardware that has it: every half map rounded, all arithmetic in float32.

Values are rounded as those of half precision's normal range, 6e-5 to 65504; subnormals keep more digits, and nothing
overflows.

ONNX Runtime's CPU provider has no kernels for half precision. It computes in float32 and leaves out the pairs of casts
between two such operators, and the rounding with them, so that its results are nearer to float32 than a GPU's.
"""

import numpy as np
from onnx import AttributeProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

HALF = TensorProto.FLOAT16
SELECTING = ("Concat", "Expand", "Identity", "Max", "Pad", "Relu", "Reshape", "Slice", "Split", "Squeeze", "Transpose")
"""Operators whose results are some of their inputs' values, or 0."""
LOGICAL = ("And", "Equal", "Greater", "GreaterOrEqual", "IsInf", "IsNaN", "Less", "LessOrEqual", "Not", "Or")
_SPLITTER = "splitter"


def rounded(graph: ModelProto) -> ModelProto:
    """Return a graph in float32 that rounds every value which is of half precision in `graph` to eleven bits."""
    made = ModelProto()
    made.CopyFrom(graph)
    types = {value.name: value.type.tensor_type.elem_type for value in made.graph.input}
    for tensor in made.graph.initializer:
        types[tensor.name] = tensor.data_type
        _widen(tensor)
    # Veltkamp's splitting: c - (c - x), where c = (2^13 + 1) x, are the upper 24 - 13 bits of x.
    made.graph.initializer.append(numpy_helper.from_array(np.asarray(2**13 + 1, np.float32), _SPLITTER))
    nodes: list[NodeProto] = []
    for node in made.graph.node:
        kind = _type(node, types)
        types.update(dict.fromkeys(node.output, kind))
        nodes.append(node)
        for attribute in node.attribute:
            if attribute.name == "to" and attribute.i == HALF:
                attribute.i = TensorProto.FLOAT
            elif attribute.name == "value" and node.op_type == "Constant":
                _widen(attribute.t)
        if kind == HALF and not _is_exact(node):
            (name,) = node.output
            whole, scaled, lower = (f"{name}/{part}" for part in ("whole", "scaled", "lower"))
            node.output[0] = whole
            nodes.append(helper.make_node("Mul", [whole, _SPLITTER], [scaled]))
            nodes.append(helper.make_node("Sub", [scaled, whole], [lower]))
            nodes.append(helper.make_node("Sub", [scaled, lower], [name]))
    del made.graph.node[:]
    made.graph.node.extend(nodes)
    del made.graph.value_info[:]
    return made


def _widen(tensor: TensorProto) -> None:
    if tensor.data_type == HALF:
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name))


def _type(node: NodeProto, types: dict[str, int]) -> int:
    """Return the type of a node's outputs. Shape inference does not know it behind a GroupNormalization."""
    attributes = {attribute.name: attribute for attribute in node.attribute}
    if node.op_type == "Cast":
        return int(attributes["to"].i)
    if node.op_type == "Constant":
        (value,) = attributes.values()
        if value.type == AttributeProto.TENSOR:
            return int(value.t.data_type)
        return TensorProto.FLOAT if value.name.startswith("value_float") else TensorProto.INT64
    if node.op_type in ("Shape", "Size"):
        return TensorProto.INT64
    if node.op_type in LOGICAL:
        return TensorProto.BOOL
    return types[node.input[node.op_type == "Where"]]


def _is_exact(node: NodeProto) -> bool:
    nearest = [attribute.name == "mode" and attribute.s == b"nearest" for attribute in node.attribute]
    return node.op_type in SELECTING or (node.op_type == "Resize" and any(nearest))
