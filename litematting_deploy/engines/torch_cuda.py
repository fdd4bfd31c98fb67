"""The PyTorch model on memory of a CUDA device: eager or compiled, fp32, tf32 or fp16, as one CUDA graph."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args

from .._optional import require
from ..errors import DeviceError, UsageError, first_line
from .base import CHANNELS
from .device import DEFAULT_BATCH, DeviceArtefact, DeviceEngine, Gpu
from .torch import check_patch

Precision = Literal["fp32", "tf32", "fp16"]


class TorchArtefact(DeviceArtefact):
    """A `LiteMatting` module for a CUDA device."""

    def __init__(
        self, module: Any, patch_hw: tuple[int, int], device: str, precision: Precision = "fp32", compiled: bool = False
    ) -> None:
        """module: in evaluation mode. compiled: by `torch.compile`, which takes a minute at the first batch.

        fp16 is autocast's: convolutions and products in half precision, norms and softmax in float32. Raises
        `DeviceError` where PyTorch sees no such device.
        """
        kind, _, index = device.partition(":")
        if kind != "cuda":
            raise UsageError(f"device {device!r}: PyTorch runs here on cpu, cuda and cuda:N")
        check_patch(patch_hw)
        if precision not in get_args(Precision):
            raise UsageError(f"precision {precision!r}: wanted one of {', '.join(get_args(Precision))}")
        torch: Any = require("torch", "export", "the PyTorch engine")
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if int(index or 0) >= count:
            raise DeviceError(
                f"device {device}: PyTorch {torch.__version__} cannot use it, it sees {count} CUDA devices; "
                "use --device cpu, or install the driver and a PyTorch with CUDA"
            )
        self.module, self.patch_hw, self.precision, self.compiled = module, patch_hw, precision, compiled

    def open(self, gpu: Gpu, batch: int | None) -> DeviceEngine:
        return _TorchDevice(self, gpu, batch or DEFAULT_BATCH)


class _TorchDevice(DeviceEngine):
    """Records its own graph, because PyTorch's allocator must know of the recording."""

    capturable = False
    device_bytes = None

    def __init__(self, artefact: TorchArtefact, gpu: Gpu, batch: int) -> None:
        torch: Any = require("torch", "export", "the PyTorch engine")
        self._torch, self._device = torch, torch.device("cuda", gpu.index)
        self._module = artefact.module.to(self._device)
        if artefact.compiled:
            self._module = torch.compile(self._module)
        self.name = f"pytorch-{'compiled' if artefact.compiled else 'eager'}"
        self.device, self.version = f"cuda:{gpu.index}", torch.__version__
        self.patch_hw, self.batch, self.precision = artefact.patch_hw, batch, artefact.precision
        self._addresses: dict[str, int] = {}
        self._tensors: dict[str, Any] = {}
        self._graph: Any = None

    def enqueue(self, addresses: Mapping[str, int], stream: int) -> None:
        """As `DeviceEngine.enqueue`; with new addresses it runs once as it is, then records the graph.

        fp32 means what it says, tf32 is for products too: PyTorch's flags are set for the run and put back.
        """
        torch = self._torch
        external = torch.cuda.ExternalStream(stream, device=self._device)
        try:
            with torch.cuda.device(self._device), torch.cuda.stream(external):
                if dict(addresses) != self._addresses:
                    self._addresses, self._graph = {}, None
                    self._tensors = {name: self._tensor(name, address) for name, address in addresses.items()}
                    self._forward()
                    self._addresses = dict(addresses)
                    return
                if self._graph is None:
                    self._graph = self._recorded(external)
                self._graph.replay()
        except torch.OutOfMemoryError as error:
            raise DeviceError(
                f"{self.name}: {self.device} is out of memory with {self.batch} patches at a time; use a smaller "
                f"--batch or smaller patches ({first_line(error)})"
            ) from error
        except RuntimeError as error:
            raise DeviceError(f"{self.name}: failed on {self.device}: {first_line(error)}") from error

    def _recorded(self, stream: Any) -> Any:
        """Recorded on the very stream of the first run, whose libraries' workspaces are there already.

        Relaxed, because another thread may free memory meanwhile, which a stricter mode takes for a mistake of ours.
        """
        graph = self._torch.cuda.CUDAGraph()
        with self._torch.cuda.graph(graph, stream=stream, capture_error_mode="relaxed"):
            self._forward()
        return graph

    def _forward(self) -> None:
        tensors = self._tensors
        with self._torch.inference_mode(), self._arithmetic():
            tensors["alpha"].copy_(self._module(tensors["image"], tensors["trimap"], tensors["guide"]))

    def _tensor(self, name: str, address: int) -> Any:
        shape = (self.batch, CHANNELS[name], *self.patch_hw)
        interface = {"shape": shape, "typestr": "<f4", "data": (address, False), "strides": None, "version": 3}
        return self._torch.as_tensor(_Memory(interface), device=self._device)

    @contextlib.contextmanager
    def _arithmetic(self) -> Iterator[None]:
        torch = self._torch
        half = torch.autocast("cuda", torch.float16, enabled=self.precision == "fp16")
        tf32, products = self.precision == "tf32", torch.backends.cuda.matmul
        before, products.allow_tf32 = products.allow_tf32, tf32
        try:
            # Unless told otherwise, `flags` turns cuDNN off.
            with torch.backends.cudnn.flags(enabled=True, allow_tf32=tf32), half:
                yield
        finally:
            products.allow_tf32 = before

    def close(self) -> None:
        self._module = self._graph = None


class _Memory:
    """Device memory as PyTorch takes it without a copy."""

    def __init__(self, interface: dict[str, Any]) -> None:
        self.__cuda_array_interface__ = interface
