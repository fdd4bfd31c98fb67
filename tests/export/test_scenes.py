"""Flat and nearly flat scenes: every export against the model in float64."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper

from litematting_deploy.export.graph import build_graph
from litematting_deploy.export.rewriting import spell_norms
from litematting_deploy.export.scenes import NAMES, OF_EVERY_EXPORT, scene
from litematting_deploy.export.spec import TOLERANCES, ExportSpec, Norm, Pooling, Precision
from litematting_deploy.matting.guide import transformable_map
from litematting_deploy.matting.inputs import network_image, one_hot
from litematting_deploy.model import ModelConfig, load_checkpoint
from litematting_deploy.runtime.shipped import SHIPPED_CHECKPOINT
from tests.conftest import Inputs
from tests.export.rounding import rounded

EIGHT = (
    "black",
    "white",
    "dark grey",
    "two-tone",
    "gradient",
    "one bright pixel",
    "noise of one level",
    "studio, white",
)
GREYS = tuple(f"grey {level}" for level in range(0, 256, 5))
INPUTS = ("image", "trimap", "guide")

Limited = tuple[np.ndarray, float]


@cache
def exact(name: str, side: int) -> Limited:
    """Alpha in float64, and how far float32 may be from it: 2e-5, or twice what PyTorch is off by."""
    inputs = [torch.from_numpy(scene(name, side, side).network_inputs()[key]) for key in INPUTS]
    with torch.inference_mode():
        rounded = load_checkpoint(SHIPPED_CHECKPOINT)(*inputs).double()
        alpha = load_checkpoint(SHIPPED_CHECKPOINT).double()(*(tensor.double() for tensor in inputs))
    return alpha.numpy(), max(2e-5, 2 * float((rounded - alpha).abs().max()))


@cache
def graph(side: int, precision: Precision, pooling: Pooling, batch: int | None, norm: Norm = "group") -> bytes:
    """The shipped weights, with the standard's one node for each norm or as drawn for a GPU."""
    spec = ExportSpec(height=side, width=side, precision=precision, pooling=pooling, batch=batch, norm=norm)
    proto = build_graph(load_checkpoint(SHIPPED_CHECKPOINT, ModelConfig(pooling=pooling)), spec)
    return bytes(proto.SerializeToString())


def alpha_of(norm: Norm, graph: bytes, round_halves: bool = False) -> Callable[[Inputs], np.ndarray]:
    model = ir.from_proto(onnx.load_from_string(graph))
    if norm != "gpu":
        spell_norms(model, norm)
    options: Any = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    spelled = ir.serde.serialize_model(model)
    session = onnxruntime.InferenceSession(
        (rounded(spelled) if round_halves else spelled).SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return lambda inputs: np.asarray(session.run(["alpha"], inputs)[0])


@pytest.mark.slow
def test_eight_scenes_in_the_shipped_form() -> None:
    run = alpha_of("folded", graph(192, "fp32", "matmul", None))
    for name in EIGHT:
        wanted, limit = exact(name, 192)
        assert np.abs(run(scene(name, 192, 192).network_inputs()) - wanted).max() <= limit, name


# Every two of norm, precision, pooling and batch meet.
FORMS = [
    ("folded", "fp32", "matmul", None, 1024),
    ("folded", "fp32", "conv", 4, 192),
    ("folded", "fp32", "adaptive", 1, 256),
    ("group", "fp32", "conv", None, 192),
    ("group", "fp16", "matmul", 4, 192),
    ("group", "fp16", "adaptive", 1, 256),
    ("batch", "fp32", "adaptive", 4, 192),
    ("batch", "fp16", "conv", None, 192),
    ("batch", "fp32", "matmul", 1, 640),
    ("instance", "fp32", "matmul", 4, 640),
    ("instance", "fp16", "conv", 1, 192),
    ("instance", "fp16", "adaptive", None, 192),
    ("gpu", "fp16", "matmul", 1, 192),
    ("gpu", "fp16", "matmul", 2, 192),
    ("gpu", "fp16", "matmul", 1, 640),
    ("gpu", "fp32", "matmul", 1, 192),
    ("gpu", "fp16", "matmul", None, 192),
]


@pytest.mark.heavy
@pytest.mark.parametrize(("norm", "precision", "pooling", "batch", "side"), FORMS)
def test_scenes_in_every_form(norm: Norm, precision: Precision, pooling: Pooling, batch: int | None, side: int) -> None:
    run = alpha_of(norm, graph(side, precision, pooling, batch, "gpu" if norm == "gpu" else "group"))
    for name in (*NAMES, *GREYS) if side == 192 else OF_EVERY_EXPORT:
        inputs = {
            key: np.repeat(value, batch or 1, axis=0) for key, value in scene(name, side, side).network_inputs().items()
        }
        wanted, limit = exact(name, side)
        limit = limit if precision == "fp32" and norm != "gpu" else TOLERANCES[precision]
        assert np.abs(run(inputs) - wanted).max() <= limit, name


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("norm", "side", "limit"),
    [("gpu", 192, TOLERANCES["fp16"]), ("gpu", 256, TOLERANCES["fp16"]), ("group", 192, 0.006), ("group", 256, 0.007)],
)
def test_scenes_where_every_half_map_is_rounded(norm: Norm, side: int, limit: float) -> None:
    """The limits are those that docs/explanation/norms.md states."""
    run = alpha_of(norm, graph(side, "fp16", "matmul", 1, norm), round_halves=True)
    for name in (*NAMES, *GREYS):
        assert np.abs(run(scene(name, side, side).network_inputs()) - exact(name, side)[0]).max() <= limit, name


@pytest.mark.slow
@pytest.mark.parametrize("norm", ["gpu", "group", "batch", "instance"])
def test_alpha_of_half_precision_has_the_levels_of_float32(norm: Norm) -> None:
    """Half precision has 1,024 values between a half and 1, so an alpha that passed through it would be one of them."""
    run = alpha_of(norm, graph(64, "fp16", "matmul", 1, "gpu" if norm == "gpu" else "group"), round_halves=True)
    alpha = run(scene("noise of one level", 64, 64).network_inputs())
    between = alpha[(alpha > 0.01) & (alpha < 0.99)]
    assert between.size > 100
    assert (between != between.astype(np.float16)).mean() > 0.9


def test_rounding_of_halves_is_that_of_numpy() -> None:
    x = np.random.default_rng(3).uniform(0.01, 250, (40, 50)).astype(np.float32)
    half = helper.make_node("Cast", ["x"], ["h"], to=TensorProto.FLOAT16)
    square, back = helper.make_node("Mul", ["h", "h"], ["s"]), helper.make_node("Cast", ["s"], ["y"], to=1)
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [40, 50]) for name in "xy"]
    made = helper.make_model(helper.make_graph([half, square, back], "g", ends[:1], ends[1:]))
    session = onnxruntime.InferenceSession(rounded(made).SerializeToString(), providers=["CPUExecutionProvider"])
    np.testing.assert_array_equal(session.run(None, {"x": x})[0], np.square(x.astype(np.float16)).astype(np.float32))


def test_the_form_for_gpus_has_its_first_stage_in_float32() -> None:
    proto = onnx.load_from_string(graph(64, "fp16", "matmul", 1, "gpu"))
    types = {tensor.name: tensor.data_type for tensor in proto.graph.initializer}
    assert types["layer0.0.weight"] == TensorProto.FLOAT
    assert types["layer1.0.weight"] == TensorProto.FLOAT16


@pytest.mark.parametrize("name", NAMES)
def test_inputs_are_those_of_a_photo(name: str) -> None:
    drawn = scene(name, 96, 128)
    inputs = drawn.network_inputs()
    np.testing.assert_allclose(inputs["image"][0], network_image(drawn.image), atol=1e-7)
    np.testing.assert_array_equal(inputs["trimap"][0], one_hot(drawn.trimap))
    np.testing.assert_allclose(inputs["guide"][0], transformable_map(drawn.trimap), atol=1e-6)
