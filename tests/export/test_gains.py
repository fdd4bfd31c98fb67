"""Norms whose weights are negative or zero: a mobile block in every form against PyTorch."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor
from torch.nn import functional

from litematting_deploy.export import cpu_blocks
from litematting_deploy.export.rewriting import spell_norms
from litematting_deploy.export.spec import Norm

FORMS: list[Norm] = ["group", "instance", "batch", "folded"]
CHANNELS, HIDDEN, SIDE, GROUPS = 8, 16, 12, 4
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "Relu": torch.relu,
    "LeakyRelu": lambda x: functional.leaky_relu(x, 0.01),
}
GAINS = {"zero": [0.0], "negative": [-1.5], "all kinds": [1.0, -0.5, 0.0, -2.0, 0.25]}

Weights = dict[str, NDArray[np.float32]]


def weights(gains: list[float]) -> Weights:
    """Kernels, gains and biases of the three convolutions and norms, drawn but for the gains."""
    rng = np.random.default_rng(0)
    kernels = ((HIDDEN, CHANNELS, 1, 1), (HIDDEN, 1, 3, 3), (CHANNELS, HIDDEN, 1, 1))
    made: Weights = {}
    for index, shape in enumerate(kernels, 1):
        made[f"w{index}"] = rng.normal(size=shape).astype(np.float32)
        made[f"g{index}"] = np.resize(np.array(gains, np.float32), shape[0])
        made[f"b{index}"] = rng.normal(size=shape[0]).astype(np.float32)
    return made


def block(values: Weights, activation: str) -> onnx.ModelProto:
    """The block as the exporter writes it: 1x1 with a border, depthwise 3x3, 1x1; a norm after each; the residual."""
    hidden, edge = (1, HIDDEN, SIDE, SIDE), (1, HIDDEN, SIDE + 2, SIDE + 2)
    shapes = (edge, edge, edge, hidden, hidden, hidden, *[(1, CHANNELS, SIDE, SIDE)] * 2)
    options: dict[str, Any] = {"alpha": 0.01} if activation == "LeakyRelu" else {}
    norm: dict[str, Any] = {"num_groups": GROUPS, "epsilon": 1e-5}
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["0"], kernel_shape=[1, 1], pads=[1] * 4),
        helper.make_node("GroupNormalization", ["0", "g1", "b1"], ["1"], **norm),
        helper.make_node(activation, ["1"], ["2"], **options),
        helper.make_node("Conv", ["2", "w2"], ["3"], kernel_shape=[3, 3], pads=[0] * 4, group=HIDDEN),
        helper.make_node("GroupNormalization", ["3", "g2", "b2"], ["4"], **norm),
        helper.make_node(activation, ["4"], ["5"], **options),
        helper.make_node("Conv", ["5", "w3"], ["6"], kernel_shape=[1, 1], pads=[0] * 4),
        helper.make_node("GroupNormalization", ["6", "g3", "b3"], ["7"], **norm),
        helper.make_node("Add", ["x", "7"], ["y"]),
    ]
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shapes[-1]) for name in "xy")
    inner = [helper.make_tensor_value_info(str(index), TensorProto.FLOAT, shape) for index, shape in enumerate(shapes)]
    initializers = [numpy_helper.from_array(value, name) for name, value in values.items()]
    graph = helper.make_graph(nodes, "block", [x], [y], initializers, value_info=inner)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def in_pytorch(x: NDArray[np.float32], values: Weights, activation: str) -> NDArray[np.float32]:
    """The block's result (1, C, H, W) in float64, from PyTorch's own operators."""
    v = {name: torch.from_numpy(value).double() for name, value in values.items()}
    act = ACTIVATIONS[activation]

    def norm(y: Tensor, index: int) -> Tensor:
        return functional.group_norm(y, GROUPS, v[f"g{index}"], v[f"b{index}"], eps=1e-5)

    given = torch.from_numpy(x).double()
    y = act(norm(functional.conv2d(given, v["w1"], padding=1), 1))
    y = act(norm(functional.conv2d(y, v["w2"], groups=HIDDEN), 2))
    result: NDArray[np.float32] = (given + norm(functional.conv2d(y, v["w3"]), 3)).numpy()
    return result


@pytest.mark.parametrize("gains", GAINS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("form", FORMS)
def test_gains_of_any_sign(form: Norm, activation: str, gains: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_blocks, "STRIP_BYTES", 4 * HIDDEN * (SIDE + 2) * 5)  # three strips
    values = weights(GAINS[gains])
    model = ir.from_proto(block(values, activation))
    spell_norms(model, form)
    operators = [node.op_type for node in model.graph]
    assert (form == "folded") == ("Slice" in operators)
    x = np.random.default_rng(1).normal(size=(1, CHANNELS, SIDE, SIDE)).astype(np.float32)
    session = onnxruntime.InferenceSession(ir.to_proto(model).SerializeToString(), providers=["CPUExecutionProvider"])
    (y,) = session.run(["y"], {"x": x})
    np.testing.assert_allclose(y, in_pytorch(x, values, activation), atol=2e-5)
