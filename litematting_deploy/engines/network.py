"""A network of the user's own, whatever its inputs and outputs are, on any device that runs an ONNX.

It works from and to host memory, and keeps no contract but that of whoever opens it.
"""

import abc
import threading
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from .._optional import require
from ..errors import ArtefactError, DeviceError, UsageError, first_line
from ..profiling import stage
from ..specs import AUTO
from .base import Opened
from .onnx_files import gathered
from .onnxruntime import HOST, Providers, errors, open_session, provider_runtime
from .onnxruntime_plugins import plugin_session
from .openvino import compile_settings, described
from .providers import ONNX, PROVIDERS, provider_for

_TYPES = {"tensor(float)": "float32", "tensor(float16)": "float16", "f32": "float32", "f16": "float16"}
"""What libraries call a type -> what NumPy does; others stay as they are."""


@dataclass(frozen=True)
class Tensor:
    """An input or output. shape: None for a size that may change. dtype: NumPy's name of its type, as `float32`."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str


@dataclass(frozen=True, eq=False)
class _Call:
    """A call of `Network.run` that waits for its turn. given, output: as it has them. found: what comes of it."""

    given: NDArray[Any]
    output: int
    found: "Future[NDArray[np.float32]]"

    def goes_with(self, other: Self) -> bool:
        """Return whether one run can serve both."""
        return self.output == other.output and self.given.shape[1:] == other.given.shape[1:]


class Network(Opened):
    """An ONNX, opened.

    path: its file. device: where it computes. inputs, outputs: in the order of the file. batch: how many calls that
    wait at a time one run may serve, where the first dimension of its input is free.
    """

    path: Path
    device: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    batch: int = 1

    def __init__(self) -> None:
        # One run at a time bounds the memory; the libraries themselves use all cores for it.
        self._running = threading.Lock()
        self._waiting: list[_Call] = []
        self._queue = threading.Lock()

    @stage("segmenter")
    def run(self, given: NDArray[Any], output: int = 0) -> NDArray[np.float32]:
        """Return one output for the only input; any thread may call, and those that wait are served together.

        given: of the input's type and shape. output: its place in `outputs`.
        Raises `DeviceError` where the library fails, `UsageError` if closed.
        """
        if self.closed:
            raise UsageError(f"{self.path}: is closed; open it again")
        call = _Call(given, output, Future())
        with self._queue:
            self._waiting.append(call)
        with self._running:
            # Else whoever ran before has served this call, too.
            if not call.found.done():
                self._serve(self._taken(call))
        return call.found.result()

    def _taken(self, call: _Call) -> list[_Call]:
        """Take a call, and those that wait and can be served with it, out of the queue."""
        with self._queue:
            others = [each for each in self._waiting if each is not call and each.goes_with(call)]
            taken = [call, *others[: self.batch - 1]]
            self._waiting = [each for each in self._waiting if each not in taken]
        return taken

    def _serve(self, calls: list[_Call]) -> None:
        """Run for calls that go together, and give each its part of the output."""
        try:
            given = calls[0].given if len(calls) == 1 else np.concatenate([call.given for call in calls])
            found = np.asarray(self._run(given, calls[0].output), np.float32)
            if len(calls) > 1 and len(found) != len(given):
                raise DeviceError(f"{self.path}: returned {len(found)} results for {len(given)} photos")
        except DeviceError:
            if len(calls) == 1:
                raise
            # Its memory is too small for so many, or its first dimension is free in name only. The other callers find
            # their calls unserved, take their own turns, and raise their own errors.
            self.batch = 1
            self._serve(calls[:1])
            return
        start = 0
        for call in calls:
            call.found.set_result(found[start : start + len(call.given)] if len(calls) > 1 else found)
            start += len(call.given)

    @abc.abstractmethod
    def _run(self, given: NDArray[Any], output: int) -> NDArray[Any]:
        """Run as `run`, one at a time."""

    def failure(self, error: Exception) -> DeviceError:
        """Return what to raise when a run failed."""
        return DeviceError(f"{self.path}: failed on {self.device} ({first_line(error)}); try `device=cpu`")

    def close(self) -> None:
        """Release what the library holds; it cannot run afterwards."""
        self.closed = True


def open_network(path: str | Path, device: str = AUTO, threads: int | None = None) -> Network:
    """Open an ONNX of any inputs and outputs.

    device: as `load_engine` takes it for an ONNX; `auto` is an NVIDIA GPU where ONNX Runtime can use one, else the CPU.
    threads: on the CPU, all cores by default.
    Raises `ArtefactError`, `DeviceError`, `DependencyError` or `UsageError`.
    """
    path = Path(path)
    if not path.is_file():
        raise ArtefactError(f"{path}: no such file; give the path of an ONNX on this machine")
    if device == AUTO:
        device = "cpu" if PROVIDERS["cuda"].missing() else "cuda"
    provider, part = provider_for(path, ONNX, device)
    if provider.device == "openvino":
        return _InOpenVino(path, device, part, threads)
    return _InOnnxRuntime(path, device, provider.device, int(part or 0), threads)


class _InOnnxRuntime(Network):
    """A session of ONNX Runtime on the CPU or through one of its providers."""

    def __init__(self, path: Path, device: str, kind: str, index: int, threads: int | None) -> None:
        super().__init__()
        self.path, self.device = path, device
        if kind in ("webgpu", "coreml"):
            self._session, ort = plugin_session(path, kind)
        elif kind == "cpu":
            ort = require("onnxruntime", "cpu", "running an ONNX")
            self._session = open_session(ort, path, [HOST], threads)
        else:
            ort = provider_runtime(kind)
            place = {"device_id": str(index)}
            providers: Providers = [("CUDAExecutionProvider", {**place, "use_tf32": "0"}), HOST]
            if kind == "tensorrt":
                providers.insert(0, ("TensorrtExecutionProvider", place))
            self._session = open_session(ort, path, providers)
        self._errors = errors(ort)
        self.inputs, self.outputs = (
            tuple(map(_tensor, tensors)) for tensors in (self._session.get_inputs(), self._session.get_outputs())
        )

    def _run(self, given: NDArray[Any], output: int) -> NDArray[Any]:
        try:
            return np.asarray(self._session.run([self.outputs[output].name], {self.inputs[0].name: given})[0])
        except self._errors as error:
            raise self.failure(error) from error

    def close(self) -> None:
        super().close()
        self._session = None


class _InOpenVino(Network):
    """A model that OpenVINO compiles in float32."""

    def __init__(self, path: Path, device: str, part: str, threads: int | None) -> None:
        super().__init__()
        ov: Any = require("openvino", "openvino", "`device=openvino`")
        self.path, self.device, target = path, device, (part or "cpu").upper()
        settings = compile_settings(target, "f32", threads)
        try:
            with gathered(path, None) as file:
                compiled = ov.Core().compile_model(str(file), target, settings)
        except RuntimeError as error:
            raise ArtefactError(
                f"{path}: OpenVINO cannot load it for {target} ({first_line(error)}); try `device=cpu`"
            ) from error
        self.inputs, self.outputs = (tuple(map(_ov_tensor, tensors)) for tensors in (compiled.inputs, compiled.outputs))
        self._request: Any = compiled.create_infer_request()

    def _run(self, given: NDArray[Any], output: int) -> NDArray[Any]:
        try:
            # A copy, since the buffer is written again at the next run.
            return np.array(self._request.infer([given])[output])
        except RuntimeError as error:
            raise self.failure(error) from error

    def close(self) -> None:
        super().close()
        self._request = None


def _tensor(found: Any) -> Tensor:
    """Return an input or output of ONNX Runtime."""
    sizes = (size if isinstance(size, int) and size > 0 else None for size in found.shape)
    return Tensor(found.name, tuple(sizes), _TYPES.get(found.type, found.type))


def _ov_tensor(found: Any) -> Tensor:
    """Return an input or output of OpenVINO."""
    sizes, kind = described(found)
    return Tensor(found.get_any_name(), tuple(sizes), _TYPES.get(kind, kind))
