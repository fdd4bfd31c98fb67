"""The decoder's largest convolutions as `--norm folded` spells them, against PyTorch in float64."""

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper
from torch.nn import functional

from litematting_deploy.export.rewriting import spell_norms

Array = NDArray[np.float32]
CONV: dict[str, Any] = {"kernel_shape": [3, 3], "pads": [1] * 4, "strides": [1, 1], "dilations": [1, 1], "group": 1}
CONV["auto_pad"] = "NOTSET"
RESIZE = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}


def drawn(*shape: int) -> Array:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


def spelled(nodes: list[NodeProto], inputs: dict[str, Array], weights: dict[str, Array], inner: Any) -> ir.Model:
    def info(name: str, shape: Any) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    graph = helper.make_graph(
        nodes,
        "convolution",
        [info(name, ["batch", *value.shape[1:]]) for name, value in inputs.items()],
        [info("y", inner.pop("y"))],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
        value_info=[info(name, shape) for name, shape in inner.items()],
    )
    model = ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10))
    spell_norms(model, "folded")
    return model


def run(model: ir.Model, inputs: dict[str, Array]) -> Array:
    session = onnxruntime.InferenceSession(ir.to_proto(model).SerializeToString(), providers=["CPUExecutionProvider"])
    y: Array = session.run(["y"], inputs)[0]
    return y


def operators(model: ir.Model) -> list[str]:
    return [node.op_type for node in model.graph]


def doubles(*arrays: Array) -> list[torch.Tensor]:
    return [torch.from_numpy(array).double() for array in arrays]


@pytest.mark.parametrize(("height", "width", "skips"), [(6, 10, 3), (1, 1, 8)])
def test_convolution_of_a_map_enlarged_twice(height: int, width: int, skips: int) -> None:
    x, skip, bias = drawn(2, 8, height, width), drawn(2, skips, 2 * height, 2 * width), drawn(5)
    weight = drawn(5, 8 + skips, 3, 3)
    nodes = [
        helper.make_node("Resize", ["x", "", "scales"], ["enlarged"], **RESIZE),
        helper.make_node("Concat", ["enlarged", "skip"], ["joined"], axis=1),
        helper.make_node("Conv", ["joined", "weight", "bias"], ["y"], **CONV),
    ]
    large = (2 * height, 2 * width)
    inner = {"enlarged": ["batch", 8, *large], "joined": ["batch", 8 + skips, *large], "y": ["batch", 5, *large]}
    weights = {"weight": weight, "bias": bias, "scales": np.array([1, 1, 2, 2], np.float32)}
    model = spelled(nodes, {"x": x, "skip": skip}, weights, inner)
    assert "Resize" not in operators(model)
    small, beside, kernel, offset = doubles(x, skip, weight, bias)
    wanted = functional.conv2d(
        torch.cat([functional.interpolate(small, scale_factor=2.0), beside], 1), kernel, offset, padding=1
    )
    np.testing.assert_allclose(run(model, {"x": x, "skip": skip}), wanted.numpy(), atol=1e-5)


@pytest.mark.parametrize(("outputs", "height", "fits"), [(1, 16, True), (1, 8, True), (1, 12, False), (2, 16, False)])
def test_convolution_to_one_channel(outputs: int, height: int, fits: bool) -> None:
    x, weight, bias = drawn(2, 12, height, 7), drawn(outputs, 12, 3, 3), drawn(outputs)
    nodes = [helper.make_node("Conv", ["x", "weight", "bias"], ["y"], **CONV)]
    model = spelled(nodes, {"x": x}, {"weight": weight, "bias": bias}, {"y": ["batch", outputs, height, 7]})
    assert ("Transpose" in operators(model)) == fits
    given, kernel, offset = doubles(x, weight, bias)
    np.testing.assert_allclose(run(model, {"x": x}), functional.conv2d(given, kernel, offset, padding=1), atol=1e-5)


@pytest.mark.parametrize(("slopes", "kept"), [([-0.5, 0.0, 1.0], False), ([0.25, 0.5, 1.5], True)])
def test_prelu_of_any_slopes(slopes: list[float], kept: bool) -> None:
    x, slope = drawn(2, 3, 4, 5), np.array(slopes, np.float32)
    nodes = [helper.make_node("PRelu", ["x", "slope"], ["y"])]
    model = spelled(nodes, {"x": x}, {"slope": slope.reshape(3, 1, 1)}, {"y": ["batch", 3, 4, 5]})
    assert ("PRelu" in operators(model)) == kept
    np.testing.assert_allclose(run(model, {"x": x}), functional.prelu(*doubles(x, slope)).numpy(), rtol=1e-6)
