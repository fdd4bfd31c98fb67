from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from litematting_deploy import load_engine
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


def test_mistakes(checkpoints: Callable[[str], Path]) -> None:
    with pytest.raises(UsageError, match="multiples of 32"):
        load_engine(checkpoints(""), patch_hw=(100, 100))
    for device in ("warp", "meta"):
        with pytest.raises(UsageError, match=f"`device` must be cpu, cuda or cuda:N for a checkpoint; got '{device}'"):
            load_engine(checkpoints(""), device)
    with pytest.raises(UsageError, match="must be cpu, cuda or cuda:N for a checkpoint"):
        load_engine(checkpoints(""), "tensorrt")
    with pytest.raises(
        UsageError, match="`precision` applies to a checkpoint on a GPU, and this is a checkpoint on the CPU"
    ):
        load_engine(checkpoints(""), precision="fp16")
    with pytest.raises(UsageError, match="`compiled` applies to a checkpoint, and this is an ONNX on the CPU"):
        load_engine(compiled=True)
    with pytest.raises(
        UsageError, match="`threads` applies to an ONNX on the CPU, and this is a checkpoint on the CPU"
    ):
        load_engine(checkpoints(""), threads=2)
    if not torch.cuda.is_available():
        with pytest.raises(DeviceError, match=r"`device=cuda:0`: PyTorch .* sees 0 CUDA devices"):
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
