import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from litematting_deploy import load_engine
from litematting_deploy.engines.torch import TorchEngine, _arithmetic
from litematting_deploy.errors import DeviceError, UsageError
from litematting_deploy.runtime.shipped import SHIPPED_CHECKPOINT, example_patch
from tests.conftest import golden, golden_inputs


def test_equals_the_published_network(checkpoints: Callable[[str], Path]) -> None:
    case = golden("net_256x384")
    with load_engine(checkpoints(str(case["salt"])), patch_hw=(256, 384)) as engine:
        assert engine.describe() == f"pytorch-eager {torch.__version__} on cpu, 256x384 fp32"
        error = np.abs(engine.run(**golden_inputs(case))[0, 0] - case["alpha"])
    assert error.max() <= 1e-3
    assert error.mean() <= 1e-5


def test_takes_the_published_patch_by_default(checkpoints: Callable[[str], Path]) -> None:
    with load_engine(checkpoints("")) as engine:
        assert engine.patch_hw == (640, 640)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"patch_hw": (100, 100)}, "`patch_hw` must be multiples of 32; got 100x100"),
        ({"device": "warp"}, "`device` must be cpu, cuda, cuda:N, mps or auto for a checkpoint; got 'warp'"),
        ({"device": "meta"}, "`device` must be cpu, cuda, cuda:N, mps or auto for a checkpoint; got 'meta'"),
        ({"device": "tensorrt"}, "`device` must be cpu, cuda, cuda:N, mps or auto for a checkpoint; got 'tensorrt'"),
        (
            {"precision": "fp16"},
            "`precision` applies only to a checkpoint on a GPU or an ONNX on OpenVINO, and this is a checkpoint",
        ),
    ],
    ids=str,
)
def test_options_that_a_checkpoint_does_not_take_are_refused(
    checkpoints: Callable[[str], Path], options: dict[str, Any], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        load_engine(checkpoints(""), **options)


@pytest.mark.parametrize("option", ["compiled", "channels_last"])
def test_only_a_checkpoint_runs_in_pytorch(option: str) -> None:
    chosen: dict[str, Any] = {option: True}
    with pytest.raises(UsageError, match=f"`{option}` applies only to a checkpoint, and this is an ONNX on the CPU"):
        load_engine(**chosen)


def test_channels_last_changes_the_layout_and_not_the_alpha() -> None:
    inputs = example_patch((128, 128))
    with load_engine(SHIPPED_CHECKPOINT, patch_hw=(128, 128)) as engine:
        wanted = engine.run(**inputs)
    with load_engine(SHIPPED_CHECKPOINT, patch_hw=(128, 128), channels_last=True) as engine:
        assert engine.name == "pytorch-channels-last"
        assert isinstance(engine, TorchEngine)
        kernels = [weight for weight in engine._module.parameters() if weight.ndim == 4]
        assert all(kernel.is_contiguous(memory_format=torch.channels_last) for kernel in kernels)
        assert np.abs(engine.run(**inputs) - wanted).max() <= 1e-4


BACKENDS: Any = torch.backends  # its stubs lack some


@pytest.mark.parametrize("precision", ["fp32", "tf32"])
@pytest.mark.parametrize("own", ["none", "ieee", "tf32"])
@pytest.mark.parametrize("kind", [BACKENDS.cuda.matmul, BACKENDS.cudnn.conv], ids=["products", "convolutions"])
def test_the_callers_precision_is_set_aside_and_put_back(kind: Any, own: str, precision: str) -> None:
    at_first, kind.fp32_precision = kind.fp32_precision, own
    try:
        with _arithmetic(torch, precision):
            inside = (BACKENDS.cuda.matmul.fp32_precision, BACKENDS.cudnn.conv.fp32_precision)
        assert inside == (("tf32",) if precision == "tf32" else ("ieee",)) * 2
        assert kind.fp32_precision == own
    finally:
        kind.fp32_precision = at_first


def test_engines_of_two_precisions_do_not_mix_their_flags() -> None:
    """Another thread waits, so that each computes in its own precision and the caller's comes back."""
    kind = BACKENDS.cuda.matmul
    own, inside = kind.fp32_precision, []

    def other() -> None:
        with _arithmetic(torch, "tf32"):
            inside.append(kind.fp32_precision)

    thread = threading.Thread(target=other)
    with _arithmetic(torch, "fp32"):
        thread.start()
        thread.join(0.2)
        inside.append(kind.fp32_precision)
    thread.join()
    assert inside == ["ieee", "tf32"]
    assert kind.fp32_precision == own


@pytest.mark.skipif(torch.cuda.is_available(), reason="PyTorch sees a CUDA device")
def test_a_device_that_pytorch_does_not_see_is_refused(checkpoints: Callable[[str], Path]) -> None:
    with pytest.raises(DeviceError, match=r"`device=cuda:0`: PyTorch .* sees 0 CUDA devices; .* or install the driver"):
        load_engine(checkpoints(""), "cuda")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no CUDA device")
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(("precision", "limit"), [("fp32", 1e-3), ("tf32", 5e-2), ("fp16", 5e-3)])
def test_cuda_equals_the_cpu(compiled: bool, precision: str, limit: float) -> None:
    inputs = example_patch((256, 256))
    with load_engine(SHIPPED_CHECKPOINT, patch_hw=(256, 256)) as engine:
        wanted = engine.run(**inputs)
    chosen: dict[str, Any] = {"patch_hw": (256, 256), "batch": 2, "precision": precision, "compiled": compiled}
    with load_engine(SHIPPED_CHECKPOINT, "cuda", **chosen) as engine:
        for _ in range(4):  # as it is, recorded, replayed twice
            assert np.abs(engine.run(**inputs) - wanted).max() <= limit
