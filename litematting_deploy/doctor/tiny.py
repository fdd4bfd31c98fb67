"""A network of one convolution that keeps the contract of the real one, to try builders and runtimes with in a second.

It is shipped as `assets/tiny.onnx`, which python -m litematting_deploy.doctor.tiny writes.
"""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .._optional import require
from ..engines import Engine
from ..engines.base import CHANNELS
from ..engines.tensorrt.builder import Built, build_engine
from ..engines.tensorrt.profile import BuildProfile
from ..errors import ToleranceError
from ..files import replace_file
from ..runtime.shipped import TINY_ENGINE, example_patch

_TOLERANCE = 1e-3
_SIDE, _OPSET, _IR = 32, 21, 10
_WEIGHTS = (0, 0, 0, 0, 0.5, 1, 0, 0)
"""Of image (3 channels), trimap (background, unknown, foreground) and guide (2)."""


@contextlib.contextmanager
def built_tiny(backend: str, architectures: tuple[str, ...] = ()) -> Iterator[Built]:
    """The tiny network as a TensorRT engine with its sidecar; gone at the end."""
    with tempfile.TemporaryDirectory() as folder:
        profile = BuildProfile(backend=backend, architectures=architectures, max_batch=2)
        yield build_engine(TINY_ENGINE, Path(folder) / "tiny.engine", profile)


def tiny_agreement(engine: Engine) -> str:
    """Run the tiny network on a patch of the example and say that alpha is what it should be: half of unknown and all
    of foreground. Raises `ToleranceError` where it is not."""
    inputs = example_patch(engine.patch_hw)
    wanted = inputs["trimap"][:, 1:2] / 2 + inputs["trimap"][:, 2:3]
    difference = float(np.abs(engine.run(**inputs) - wanted).max())
    if not difference <= _TOLERANCE:
        raise ToleranceError(
            f"{engine.name} {engine.version}: a convolution is off by {difference:.2g}, wanted at most {_TOLERANCE:g}; "
            "update the driver, or install another version of it"
        )
    return f"a tiny network is right to {max(difference, 1e-6):.1g}"


def tiny_onnx() -> bytes:
    """The file's content. Needs onnx."""
    onnx: Any = require("onnx", "export", "making the tiny network")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    tensors = {
        name: helper.make_tensor_value_info(name, kind, ["batch", channels, _SIDE, _SIDE])
        for name, channels in CHANNELS.items()
    }
    graph = helper.make_graph(
        [
            helper.make_node("Concat", ["image", "trimap", "guide"], ["all"], axis=1),
            helper.make_node("Conv", ["all", "weights"], ["alpha"], kernel_shape=[1, 1]),
        ],
        "tiny",
        [tensors[name] for name in ("image", "trimap", "guide")],
        [tensors["alpha"]],
        [helper.make_tensor("weights", kind, [1, len(_WEIGHTS), 1, 1], _WEIGHTS)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


if __name__ == "__main__":
    replace_file(TINY_ENGINE, tiny_onnx())
