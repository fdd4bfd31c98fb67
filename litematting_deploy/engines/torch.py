"""The PyTorch model itself: as an engine on the CPU, for reference, and on memory of a CUDA device, as a CUDA graph."""

import contextlib
import os
import shutil
import threading
from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np

from .._optional import require
from ..errors import DependencyError, DeviceError, UsageError, first_line
from ..specs import Precision
from .base import CHANNELS, Batch, Engine
from .device import DEFAULT_BATCH, DeviceArtefact, DeviceEngine, Gpu

_FLAGS = threading.Lock()
"""Held while PyTorch's flags are set: they are the whole process's, and engines of two precisions may run at a time."""


def check_patch(patch_hw: tuple[int, int]) -> None:
    """Raise `UsageError` for a patch size that the network cannot take."""
    if any(side < 32 or side % 32 for side in patch_hw):
        raise UsageError(f"`patch_hw` must be multiples of 32; got {patch_hw[0]}x{patch_hw[1]}", parameter="patch_hw")


class TorchEngine(Engine):
    """A `LiteMatting` module in float32, from and to host memory, on patches of the size given when it is made."""

    def __init__(
        self,
        module: Any,
        patch_hw: tuple[int, int],
        compiled: bool = False,
        channels_last: bool = False,
        device: str = "cpu",
    ) -> None:
        """module: in evaluation mode, on the CPU. compiled: by `torch.compile`, which takes a minute at the first run.
        channels_last: keep activations as (N, H, W, C) in memory. device: `cpu`, or `mps` for Apple's GPU.

        Raises `DependencyError` where compiling lacks a C++ compiler, `DeviceError` where PyTorch has no such device.
        """
        check_patch(patch_hw)
        self._torch: Any = require("torch", "export", "the PyTorch engine")
        compiler = os.environ.get("CXX", "g++")  # as PyTorch looks for it, but not before the first run
        if compiled and device == "cpu" and shutil.which(compiler) is None:
            raise DependencyError(
                f"torch.compile on the CPU needs a C++ compiler, and {compiler} was not found: install g++"
            )
        if device == "mps" and not self._torch.backends.mps.is_available():
            raise DeviceError(f"`device=mps`: PyTorch {self._torch.__version__} sees no Apple GPU; use `device=cpu`")
        self._module, self.name = _prepared(self._torch, module.to(device), compiled, channels_last)
        self.device, self.version = device, self._torch.__version__
        self.patch_hw, self.batch, self.precision = patch_hw, None, "fp32"

    def _run(self, image: Batch, trimap: Batch, guide: Batch) -> Batch:
        with self._torch.inference_mode():
            inputs = [self._torch.from_numpy(array).to(self.device) for array in (image, trimap, guide)]
            return np.asarray(self._module(*inputs).cpu().numpy())

    def close(self) -> None:
        """Drop the module."""
        self._module, self.closed = None, True


class TorchArtefact(DeviceArtefact):
    """A `LiteMatting` module for a CUDA device."""

    def __init__(
        self,
        module: Any,
        patch_hw: tuple[int, int],
        index: int,
        precision: Precision = "fp32",
        compiled: bool = False,
        channels_last: bool = False,
    ) -> None:
        """module: in evaluation mode. index: of the device. compiled, channels_last: as in `TorchEngine`.

        fp16 is autocast's: convolutions and products in half precision, norms and softmax in float32. Raises
        `DeviceError` where PyTorch sees no such device.
        """
        check_patch(patch_hw)
        self.torch: Any = require("torch", "export", "the PyTorch engine")
        count = self.torch.cuda.device_count() if self.torch.cuda.is_available() else 0
        if index >= count:
            raise DeviceError(
                f"`device=cuda:{index}`: PyTorch {self.torch.__version__} sees {count} CUDA devices; use `device=cpu`, "
                "or install the driver and a PyTorch with CUDA"
            )
        # The module is moved in `open`: before that, nothing holds memory of the GPU.
        self.module, self.patch_hw, self.precision = module, patch_hw, precision
        self.compiled, self.channels_last = compiled, channels_last

    def open(self, gpu: Gpu, batch: int | None) -> DeviceEngine:
        """Move the module to `gpu`; any batch is taken."""
        return _TorchDevice(self, gpu, batch or DEFAULT_BATCH)


class _TorchDevice(DeviceEngine):
    """Records its own graph, because PyTorch's allocator must know of the recording."""

    capturable = False
    device_bytes = None
    least = 1

    def __init__(self, artefact: TorchArtefact, gpu: Gpu, batch: int) -> None:
        self._torch = torch = artefact.torch
        self._device = torch.device("cuda", gpu.index)
        module = artefact.module.to(self._device)
        self._module, self.name = _prepared(torch, module, artefact.compiled, artefact.channels_last)
        self.device, self.version = f"cuda:{gpu.index}", torch.__version__
        self.patch_hw, self.batch, self.precision = artefact.patch_hw, batch, artefact.precision
        self._addresses: dict[str, int] = {}
        self._tensors: dict[str, Any] = {}
        self._graphs: dict[int, Any] = {}  # of each number of patches; None until its second run

    def enqueue(self, addresses: Mapping[str, int], stream: int, count: int | None = None) -> None:
        """Run as `DeviceEngine.enqueue` says; with new addresses or count once as it is, then as a recorded graph.

        fp32 means what it says, tf32 is for products too: PyTorch's flags are set for the run and put back.
        """
        torch, count = self._torch, count or self.batch
        external = torch.cuda.ExternalStream(stream, device=self._device)
        try:
            with torch.cuda.device(self._device), torch.cuda.stream(external):
                # A recorded graph works on the addresses that it was recorded with.
                if dict(addresses) != self._addresses:
                    self._addresses, self._graphs = {}, {}
                    self._tensors = {name: self._tensor(name, address) for name, address in addresses.items()}
                    self._addresses = dict(addresses)
                if count not in self._graphs:
                    self._forward(count)
                    self._graphs[count] = None
                    return
                if self._graphs[count] is None:
                    self._graphs[count] = self._recorded(external, count)
                self._graphs[count].replay()
        except torch.OutOfMemoryError as error:
            raise DeviceError(
                f"{self.name}: {self.device} is out of memory with {count} patches at a time; use a smaller "
                f"`batch` or smaller patches ({first_line(error)})"
            ) from error
        except RuntimeError as error:
            raise DeviceError(f"{self.name}: failed on {self.device}: {first_line(error)}") from error

    def _recorded(self, stream: Any, count: int) -> Any:
        """Record a graph of `count` patches, on the stream of the first run, whose libraries' workspaces are there.

        Relaxed, because another thread may free memory meanwhile, which a stricter mode takes for a mistake of ours.
        """
        graph = self._torch.cuda.CUDAGraph()
        with self._torch.cuda.graph(graph, stream=stream, capture_error_mode="relaxed"):
            self._forward(count)
        return graph

    def _forward(self, count: int) -> None:
        """Run the module on the first `count` patches of the tensors and write their alpha."""
        tensors = {name: tensor[:count] for name, tensor in self._tensors.items()}
        with self._torch.inference_mode(), _arithmetic(self._torch, self.precision):
            tensors["alpha"].copy_(self._module(tensors["image"], tensors["trimap"], tensors["guide"]))

    def _tensor(self, name: str, address: int) -> Any:
        """Return the tensor of an input or of alpha that lies at an address, without a copy."""
        shape = (self.batch, CHANNELS[name], *self.patch_hw)
        # The way that PyTorch takes memory of others, which it then does not free.
        interface = {"shape": shape, "typestr": "<f4", "data": (address, False), "strides": None, "version": 3}
        return self._torch.as_tensor(SimpleNamespace(__cuda_array_interface__=interface), device=self._device)

    def close(self) -> None:
        """Drop module and graph."""
        self._module, self._graphs = None, {}
        self.closed = True


@contextlib.contextmanager
def _arithmetic(torch: Any, precision: str) -> Iterator[None]:
    """Let PyTorch multiply in `precision` on the GPU, and put its flags back.

    `allow_tf32`, the older form of these flags, cannot be read once the caller has set one of the newer form.
    """
    kinds = (torch.backends.cuda.matmul, torch.backends.cudnn.conv)
    with _FLAGS:
        before = [kind.fp32_precision for kind in kinds]
        try:
            for kind in kinds:
                kind.fp32_precision = "tf32" if precision == "tf32" else "ieee"
            with torch.autocast("cuda", torch.float16, enabled=precision == "fp16"):
                yield
        finally:
            for kind, own in zip(kinds, before, strict=True):
                kind.fp32_precision = own


def _prepared(torch: Any, module: Any, compiled: bool, channels_last: bool) -> tuple[Any, str]:
    """Return the module as an engine runs it, and the engine's name."""
    if channels_last:
        module = module.to(memory_format=torch.channels_last)
    if compiled:
        return torch.compile(module), "pytorch-compiled"
    return module, "pytorch-channels-last" if channels_last else "pytorch-eager"
