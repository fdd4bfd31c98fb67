"""Let an ONNX refer to the weights in the safetensors file beside it instead of holding a copy.

A safetensors file is a JSON header and then raw tensors, which ONNX can address as external data. So the package ships
each weight once, readable as a checkpoint by PyTorch and, through the graph, by ONNX Runtime without PyTorch.
"""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ..errors import CheckpointError

_TYPES = {"F16": (TensorProto.FLOAT16, np.float16), "F32": (TensorProto.FLOAT, np.float32)}


def refer_to_checkpoint(proto: onnx.ModelProto, checkpoint: Path) -> None:
    """Let every weight in `proto` refer into the safetensors file, with a cast where the stored type differs."""
    raw = checkpoint.read_bytes()
    (header_size,) = struct.unpack("<Q", raw[:8])
    header: dict[str, Any] = json.loads(raw[8 : 8 + header_size])
    header.pop("__metadata__", None)
    start = 8 + header_size
    casts = []
    for name, entry in header.items():
        if entry["dtype"] not in _TYPES:
            raise CheckpointError(
                f"{checkpoint}: {name} must be {' or '.join(_TYPES)}; got {entry['dtype']}; save it as one of these"
            )
        onnx_type, dtype = _TYPES[entry["dtype"]]
        begin, end = (start + offset for offset in entry["data_offsets"])
        initializer = _initializer(proto, name, np.frombuffer(raw[begin:end], dtype))
        if initializer.data_type != onnx_type:
            stored_name = f"{initializer.name}.stored"
            casts.append(helper.make_node("Cast", [stored_name], [initializer.name], to=initializer.data_type))
            initializer.name = stored_name
        _point(initializer, onnx_type, {"location": checkpoint.name, "offset": begin, "length": end - begin})
    nodes = [*casts, *proto.graph.node]
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)


def _initializer(proto: onnx.ModelProto, name: str, values: Any) -> TensorProto:
    """Return the initializer of a weight: by name, or by value where it was reshaped and renamed (PReLU slopes).

    Raises `CheckpointError` where there is none.
    """
    tensors: list[TensorProto] = list(proto.graph.initializer)
    for tensor in tensors:
        if tensor.name == name:
            return tensor
    for tensor in tensors:
        candidate = np.prod(tensor.dims) == values.size and tensor.data_location != TensorProto.EXTERNAL
        if candidate and np.array_equal(numpy_helper.to_array(tensor).ravel(), values):
            return tensor
    raise CheckpointError(
        f"{name}: not found in the exported graph, which therefore cannot refer to it; export without `weights_beside`"
    )


def _point(tensor: TensorProto, onnx_type: int, place: dict[str, Any]) -> None:
    """Let a tensor's values lie at a place in another file, as `onnx_type`."""
    tensor.ClearField("raw_data")
    tensor.ClearField("float_data")
    tensor.data_type = onnx_type
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in place.items():
        tensor.external_data.add(key=key, value=str(value))
