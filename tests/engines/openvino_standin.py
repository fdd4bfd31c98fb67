"""OpenVINO as far as the engine uses it: the network is `mean_onnx`, whose alpha is the mean of red, green and blue."""

import io
from importlib.machinery import ModuleSpec
from types import SimpleNamespace
from typing import Any

import numpy as np


def size(length: int | None) -> Any:
    return SimpleNamespace(is_static=length is not None, get_length=lambda: length)


class _Shape(list[Any]):
    rank = SimpleNamespace(is_static=True)


def tensor(name: str, channels: int, side: int, batch: int | None = None) -> Any:
    shape = _Shape(size(length) for length in (batch, channels, side, side))
    kind = SimpleNamespace(get_type_name=lambda: "f32")
    return SimpleNamespace(get_any_name=lambda: name, partial_shape=shape, element_type=kind)


class Compiled:
    def __init__(self, batch: int) -> None:
        self._batch = batch

    def input(self, _: str) -> Any:
        return tensor("image", 3, 32, None if self._batch == -1 else self._batch)

    def export_model(self) -> io.BytesIO:
        return io.BytesIO(b"compiled %d" % self._batch)

    def create_infer_request(self) -> Any:
        def infer(inputs: dict[str, Any], share_inputs: bool) -> dict[str, Any]:
            assert share_inputs
            assert self._batch in (-1, *{len(array) for array in inputs.values()})
            return {"alpha": inputs["image"].mean(1, keepdims=True, dtype=np.float32)}

        return SimpleNamespace(infer=infer)


class OpenVino:
    """The module. log: what was asked of its core, in order. settings: those of the last model."""

    __version__ = "2026.4.1-22982-a-build"
    __spec__ = ModuleSpec("openvino", None)

    def __init__(self, metadata: dict[str, str], capabilities: tuple[str, ...] = ("FP32",)) -> None:
        self._metadata, self._capabilities = metadata, capabilities
        self.log: list[str] = []
        self.settings: dict[str, Any] = {}
        self.available_devices = ["CPU"]
        self.operators = ["Convolution"]

    def Core(self) -> "OpenVino":  # noqa: N802
        return self

    def get_property(self, device: str, name: str) -> Any:
        return list(self._capabilities) if name == "OPTIMIZATION_CAPABILITIES" else f"a {device}"

    def read_model(self, _: str) -> Any:
        self.log.append("read")
        inputs = [tensor("image", 3, 32), tensor("trimap", 3, 32), tensor("guide", 2, 32)]
        model = SimpleNamespace(inputs=inputs, outputs=[tensor("alpha", 1, 32)], batch=0)
        model.has_rt_info = lambda _: True
        model.get_rt_info = lambda _: SimpleNamespace(value=self._metadata)
        model.get_ops = lambda: [SimpleNamespace(get_type_name=lambda kind=kind: kind) for kind in self.operators]
        model.reshape = lambda shapes: setattr(model, "batch", shapes["image"][0])
        return model

    def compile_model(self, model: Any, device: str, settings: dict[str, Any]) -> Compiled:
        self.log.append(f"compile for {device}")
        self.settings = settings
        return Compiled(model.batch)

    def import_model(self, kept: io.BytesIO, device: str, settings: dict[str, Any]) -> Compiled:
        self.log.append(f"import for {device}")
        self.settings = settings
        words = kept.getvalue().split()
        if words[0] != b"compiled":
            raise RuntimeError("Check 'blob' failed\nat somewhere")
        return Compiled(int(words[1]))
