from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from litematting_deploy import load_engine
from litematting_deploy.errors import DeviceError, UsageError
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
        with pytest.raises(UsageError, match="cpu, cuda and cuda:N"):
            load_engine(checkpoints(""), device)
    if not torch.cuda.is_available():
        with pytest.raises(DeviceError, match="device cuda: PyTorch cannot use it"):
            load_engine(checkpoints(""), "cuda")


@pytest.mark.gpu
def test_cuda_equals_the_cpu(checkpoints: Callable[[str], Path]) -> None:
    if not torch.cuda.is_available():
        pytest.skip("PyTorch sees no CUDA device")
    case = golden("net_256x384")
    torch.backends.cudnn.allow_tf32 = False
    with load_engine(checkpoints(str(case["salt"])), "cuda", patch_hw=(256, 384)) as engine:
        assert np.abs(engine.run(**golden_inputs(case))[0, 0] - case["alpha"]).max() <= 1e-3
