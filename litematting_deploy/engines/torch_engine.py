"""The PyTorch model itself as an engine, for reference."""

from typing import Any

from .._optional import require
from ..errors import DeviceError, UsageError
from .base import Batch, Engine


class TorchEngine(Engine):
    """A `LiteMatting` module run eagerly in float32, on patches of the size given when it is made."""

    def __init__(self, module: Any, patch_hw: tuple[int, int], device: str = "cpu") -> None:
        """module: in evaluation mode; it is moved to `device`, `cpu` or `cuda[:N]`."""
        kind = device.partition(":")[0]
        if kind not in ("cpu", "cuda"):
            raise UsageError(f"device {device!r}: PyTorch runs here on cpu, cuda and cuda:N")
        torch: Any = require("torch", "export", "the PyTorch engine")
        if any(side < 32 or side % 32 for side in patch_hw):
            raise UsageError(f"patches of {patch_hw[0]}x{patch_hw[1]}: height and width are multiples of 32")
        try:
            self._device = torch.device(device)
            self._module = module.to(self._device)
        except (RuntimeError, AssertionError) as error:
            reason = str(error).strip().splitlines()[0]
            raise DeviceError(f"device {device}: PyTorch cannot use it ({reason}); use cpu") from error
        self._torch = torch
        self.name, self.device, self.version = "pytorch-eager", device, torch.__version__
        self.patch_hw, self.batch, self.precision = patch_hw, None, "fp32"

    def _run(self, image: Batch, trimap: Batch, guide: Batch) -> Batch:
        torch = self._torch
        with torch.inference_mode(), torch.backends.cudnn.flags(allow_tf32=False):  # fp32 means what it says
            inputs = [torch.from_numpy(array).to(self._device) for array in (image, trimap, guide)]
            alpha: Batch = self._module(*inputs).cpu().numpy()
        return alpha

    def close(self) -> None:
        self._module = None
