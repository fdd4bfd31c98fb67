"""The forms of group norm against the one node of the ONNX standard and the published network."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest
import torch

from litematting_deploy.errors import UsageError
from litematting_deploy.export import cpu_blocks
from litematting_deploy.export.exporter import export_onnx
from litematting_deploy.export.graph import build_graph
from litematting_deploy.export.rewriting import spell_norms
from litematting_deploy.export.spec import ExportSpec, Norm, Precision
from litematting_deploy.model import load_checkpoint
from litematting_deploy.runtime.shipped import SHIPPED_CHECKPOINT
from tests.conftest import Inputs, golden, golden_inputs

NORMS: list[Norm] = ["instance", "batch", "folded"]
# 117 norms, of which the LSRPPM's shared one runs on four pairs
OPERATORS = {"group": "GroupNormalization", "batch": "BatchNormalization", "instance": "InstanceNormalization"}


def spelled(path: Path, norm: Norm) -> ir.Model:
    model = ir.load(path)
    spell_norms(model, norm)
    return model


def alpha_of(model: ir.Model, inputs: Inputs) -> np.ndarray:
    session = onnxruntime.InferenceSession(
        ir.serde.serialize_model(model).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    alpha: np.ndarray = session.run(["alpha"], inputs)[0]
    return alpha


def noise(count: int) -> Inputs:
    rng = np.random.default_rng(count)
    return {name: rng.random((count, c, 64, 64), np.float32) for name, c in (("image", 3), ("trimap", 3), ("guide", 2))}


@pytest.mark.slow
@pytest.mark.heavy
@pytest.mark.parametrize("norm", NORMS)
def test_equals_the_published_network(norm: Norm, exports: Callable[..., Path]) -> None:
    case = golden("net_320x320")
    model = spelled(exports(str(case["salt"]), "--height", "320", "--width", "320", "--batch", "2"), norm)
    inputs = {name: np.repeat(array, 2, axis=0) for name, array in golden_inputs(case).items()}
    error = np.abs(alpha_of(model, inputs)[:, 0] - case["alpha"])
    assert error.max() <= 1e-3
    assert error.mean() <= (1e-5 if norm == "batch" else 5e-5)


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "limit", "batch"), [("fp32", 1e-3, 1), ("fp16", 5e-3, 1), ("fp16", 5e-3, None)])
def test_the_gpu_form_equals_the_model(precision: Precision, limit: float, batch: int | None) -> None:
    """On the images of the golden cases, with the shipped weights; two that differ where there may be two."""
    model = load_checkpoint(SHIPPED_CHECKPOINT)
    inputs = golden_inputs(golden("net_320x320"))
    if batch is None:
        inputs = {name: np.concatenate([array, array[..., ::-1, :]]) for name, array in inputs.items()}
    spec = ExportSpec(height=320, width=320, batch=batch, precision=precision, norm="gpu")
    drawn = ir.from_proto(build_graph(model, spec))
    with torch.inference_mode():
        wanted = model(*(torch.from_numpy(inputs[name]) for name in ("image", "trimap", "guide"))).numpy()
    assert np.abs(alpha_of(drawn, inputs) - wanted).max() <= limit
    operators = Counter(node.op_type for node in drawn.graph)
    assert operators["GroupNormalization"] < 20


@pytest.mark.parametrize("side", [32, 96])
def test_the_gpu_form_of_small_patches(side: int) -> None:
    model = load_checkpoint(SHIPPED_CHECKPOINT)
    drawn = ir.from_proto(build_graph(model, ExportSpec(height=side, width=64, batch=1, norm="gpu")))
    inputs = {name: array[:1, :, :side] for name, array in noise(1).items()}
    inputs = {name: np.resize(array, (1, array.shape[1], side, 64)) for name, array in inputs.items()}
    with torch.inference_mode():
        wanted = model(*(torch.from_numpy(inputs[name]) for name in ("image", "trimap", "guide"))).numpy()
    assert np.abs(alpha_of(drawn, inputs) - wanted).max() <= 1e-3


def test_weights_beside_are_not_for_the_gpu_form(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"`weights_beside` refers to the weights in the checkpoint.*norm=group"):
        export_onnx(SHIPPED_CHECKPOINT, tmp_path / "m.onnx", ExportSpec(precision="fp16", batch=1), weights_beside=True)


@pytest.mark.parametrize("norm", NORMS)
def test_no_other_norm_is_left(norm: Norm, small_onnx: Path) -> None:
    operators = Counter(node.op_type for node in spelled(small_onnx, norm).graph)
    assert {name: operators[operator] for name, operator in OPERATORS.items()} == {
        name: 120 if name == norm else 0 for name in OPERATORS
    }


@pytest.mark.parametrize("strip_bytes", [1, pytest.param(40_000, marks=pytest.mark.heavy)])
def test_strips_of_any_height_give_the_same_alpha(
    strip_bytes: int, small_onnx: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu_blocks, "STRIP_BYTES", strip_bytes)
    model = spelled(small_onnx, "folded")
    operators = Counter(node.op_type for node in model.graph)
    assert operators["Slice"] > 60
    assert not {*OPERATORS.values()} & set(operators)
    inputs = noise(2)
    np.testing.assert_allclose(alpha_of(model, inputs), alpha_of(ir.load(small_onnx), inputs), atol=1e-3)


@pytest.mark.parametrize(("height", "stride", "rows"), [(10, 1, 8), (10, 1, 3), (10, 2, 1), (11, 1, 1), (18, 2, 3)])
def test_strips_cover_the_output_once_with_what_they_need(height: int, stride: int, rows: int) -> None:
    starts = np.arange(0, height - 2, stride)
    found = cpu_blocks.strips(height, stride, rows)
    assert sum(strip.rows for strip in found) == len(starts)
    for index, strip in enumerate(found):
        own = starts[index * rows : index * rows + strip.rows]
        assert strip.first == own[0]
        assert strip.last >= own[-1] + 3
        assert (strip.last - strip.first - 3) // stride + 1 == strip.rows
    assert found[-1].last == height
