"""fp16 exports that lose too much: which layers do, and which stay in float32."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from litematting_deploy.errors import UsageError
from litematting_deploy.export.half import advice, converted
from litematting_deploy.export.spec import STAGES, ExportSpec
from litematting_deploy.export.verify import alpha_of, random_inputs
from litematting_deploy.model import load_checkpoint
from litematting_deploy.sidecar import read_sidecar
from tests.conftest import Run, assert_one_line, run

LIMIT = 0.2
"""Random weights lose far more than trained ones."""
SMALL = ("--height", "64", "--width", "64", "--precision", "fp16", "--tolerance", str(LIMIT))


@pytest.fixture
def loud(checkpoints: Callable[[str], Path], tmp_path: Path) -> Path:
    """A checkpoint of the same alpha in float32, whose last part has maps beyond the largest half float."""
    state = load_checkpoint(checkpoints("")).state_dict()
    for name in ("out.0.weight", "out.0.bias"):
        state[name] *= 2e6
    state["out.2.weight"] /= 2e6
    torch.save(state, tmp_path / "loud.pth")
    return tmp_path / "loud.pth"


def test_the_layers_that_lose_most_are_named(loud: Path) -> None:
    model, inputs = load_checkpoint(loud), random_inputs(ExportSpec(64, 64, 1))
    said = advice(model, inputs, LIMIT)
    assert said.startswith("in fp16, these layers lose most: out (up to inf alone), ")
    assert said.endswith("keep them in float32: `float32=out`")
    # Arithmetic of PyTorch: with that part in float32 the alpha is as near as was promised.
    wanted = alpha_of(model, inputs, torch.float32)
    found = alpha_of(converted(model, ["out"], torch.float32), inputs, torch.float16)
    assert np.abs(found - wanted).max() <= LIMIT
    assert not np.isfinite(alpha_of(converted(model, (), torch.float32), inputs, torch.float16)).all()
    assert set(STAGES) == {name for name, _ in model.named_children()}


@pytest.mark.slow
def test_an_export_that_fails_says_what_to_keep_and_that_passes(loud: Path, tmp_path: Path) -> None:
    output = tmp_path / "m.onnx"
    failed = run("ltm-export", loud, "-o", output, *SMALL)
    *stages, error = failed.err.splitlines()
    assert stages == ["ltm-export: building the graph", "ltm-export: comparing with the PyTorch model"]
    said = ("not written", "lose most: out (up to", "keep them in float32: --float32 out", "or use")
    assert_one_line(Run(failed.code, failed.out, error), 1, *said)
    assert not output.exists()
    done = run("ltm-export", loud, "-o", output, *SMALL, "--float32", "out", "--quiet")
    assert (done.code, done.err) == (0, "")
    types = {tensor.name: tensor.data_type for tensor in onnx.load(output).graph.initializer}
    assert types["out.0.weight"] == onnx.TensorProto.FLOAT
    assert types["layer1.0.weight"] == onnx.TensorProto.FLOAT16
    assert types["layer0.0.weight"] == onnx.TensorProto.FLOAT, "the first stage is in float32 in every export"
    sidecar = read_sidecar(output)
    assert sidecar is not None
    assert sidecar.float32 == ("out",)
    assert " float32=out" in sidecar.export_command()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"float32": ("out",)}, "`float32` requires `precision=fp16`"),
        ({"float32": ("out",), "precision": "fp16", "batch": 1}, "form of norm other than gpu"),
        ({"float32": ("out", "layer9"), "precision": "fp16"}, "must be some of layer0, .*; got layer9"),
        (
            {"enb_pooling": "max"},
            "`enb_pooling=max` cannot be .*; use it with `pooling=adaptive`",
        ),
    ],
    ids=["fp32", "gpu", "no stage", "maximum"],
)
def test_what_cannot_be_is_refused(given: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        ExportSpec(**given)  # type: ignore[arg-type]
