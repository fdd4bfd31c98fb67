"""The PyTorch model itself as an engine on the CPU, for reference."""

import os
import shutil
from typing import Any

from .._optional import require
from ..errors import DependencyError, UsageError
from .base import Batch, Engine


def check_patch(patch_hw: tuple[int, int]) -> None:
    """Raise `UsageError` for a patch size that the network cannot take."""
    if any(side < 32 or side % 32 for side in patch_hw):
        raise UsageError(f"patches of {patch_hw[0]}x{patch_hw[1]}: height and width are multiples of 32")


def _check_compiler() -> None:
    """Raise `DependencyError` where PyTorch finds no C++ compiler: it looks for $CXX, then for g++."""
    wanted = os.environ.get("CXX", "g++")
    if shutil.which(wanted) is None:
        raise DependencyError(f"torch.compile on the CPU needs a C++ compiler and there is no {wanted}: install g++")


class TorchEngine(Engine):
    """A `LiteMatting` module in float32, eager or compiled, on patches of the size given when it is made."""

    def __init__(self, module: Any, patch_hw: tuple[int, int], compiled: bool = False) -> None:
        """module: in evaluation mode, on the CPU. compiled: by `torch.compile`, which takes a minute at the first run.

        Raises `DependencyError` where compiling lacks a C++ compiler.
        """
        check_patch(patch_hw)
        self._torch: Any = require("torch", "export", "the PyTorch engine")
        if compiled:
            _check_compiler()
            module = self._torch.compile(module)
        self._module = module
        self.name = f"pytorch-{'compiled' if compiled else 'eager'}"
        self.device, self.version = "cpu", self._torch.__version__
        self.patch_hw, self.batch, self.precision = patch_hw, None, "fp32"

    def _run(self, image: Batch, trimap: Batch, guide: Batch) -> Batch:
        with self._torch.inference_mode():
            inputs = [self._torch.from_numpy(array) for array in (image, trimap, guide)]
            alpha: Batch = self._module(*inputs).numpy()
        return alpha

    def close(self) -> None:
        self._module = None
