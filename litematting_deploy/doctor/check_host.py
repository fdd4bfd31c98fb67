"""Checks of engines and libraries that need no GPU."""

import importlib.metadata
import os
import socket
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

from .._optional import require
from ..engines import Engine
from ..engines.providers import PROVIDERS
from ..engines.tensorrt import version as trt
from ..engines.tensorrt.network import parse
from ..engines.triton import NO_ANSWER, TritonEngine
from ..errors import DeviceError, ToleranceError
from ..runtime.cuda.compile import compiled
from ..runtime.cuda.kernels import source
from ..runtime.loading import load_engine
from ..runtime.shipped import SHIPPED_CHECKPOINT, SHIPPED_ENGINE, TINY_ENGINE
from ..sidecar import check_sidecar
from .expected import agreement, built_tiny, tiny_agreement
from .registry import Found, MissingError, needs, overwritten

_ADA = "8.9"


def onnxruntime_cpu() -> Found:
    """Run the shipped engine on the example patch."""
    needs(lambda: require("onnxruntime", "cpu", "running an ONNX"))
    with load_engine(device="cpu") as engine:
        said = agreement(engine), overwritten("onnxruntime-openvino", "cpu,openvino")
        return Found(f"onnxruntime {engine.version}", "; ".join(filter(None, said)))


def pytorch_cpu() -> Found:
    """Run the shipped weights in PyTorch on the example patch."""
    needs(
        lambda: require("torch", "export", "a checkpoint as engine"),
        lambda: require("safetensors", "export", "reading .safetensors"),
    )
    with load_engine(SHIPPED_CHECKPOINT, "cpu") as engine:
        return Found(f"torch {engine.version}", agreement(engine))


def openvino() -> Found:
    """Run the shipped engine in OpenVINO, in float32, and name the devices that it sees."""
    (ov,) = needs(lambda: require("openvino", "openvino", "`device=openvino`"))
    with load_engine(device="openvino") as engine:
        seen = ", ".join(ov.Core().available_devices)
        return Found(f"openvino {engine.version}", f"{agreement(engine)}; it sees {seen}")


def webgpu() -> Found:
    """Run a tiny network with ONNX Runtime's WebGPU plugin."""
    return _elsewhere("webgpu", TINY_ENGINE, tiny_agreement)


def coreml() -> Found:
    """Run the shipped engine with ONNX Runtime's CoreML provider."""
    return _elsewhere("coreml", SHIPPED_ENGINE, agreement)


def mps() -> Found:
    """Run the shipped weights in PyTorch on Apple's GPU."""
    return _elsewhere("mps", SHIPPED_CHECKPOINT, agreement)


def _elsewhere(device: str, path: Path, agrees: Callable[[Engine], str]) -> Found:
    """Run an artefact on a device that only some machines have. Raises `MissingError` where this one does not."""
    if reason := PROVIDERS[device].missing():
        raise MissingError(reason)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tiny network has no sidecar
        with load_engine(path, device) as engine:
            return Found(f"{engine.name} {engine.version}", f"{agrees(engine)}: {engine.describe()}")


def triton() -> Found:
    """Ask a port where nobody listens, and expect the client's error in one line."""
    needs(lambda: require("tritonclient.grpc", "triton", "a model on a Triton server"))
    version = f"tritonclient {importlib.metadata.version('tritonclient')}"
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        try:
            TritonEngine(f"grpc://127.0.0.1:{nobody.getsockname()[1]}/litematting", timeout_s=5).close()
        except DeviceError as error:
            if NO_ANSWER in str(error):
                return Found(version, "can connect over gRPC; give a server as `engine=grpc://HOST/MODEL`")
            raise
    raise ToleranceError(f"{version}: got an answer from a port where nothing listens; check for a proxy")


def foreground() -> Found:
    """Estimate the foreground colours of a soft edge between two colours."""
    from ..images.colour import SRGB
    from ..images.photo import Photo
    from ..matting.foreground import estimate_foreground

    alpha = np.tile(np.clip(np.linspace(-0.5, 1.5, 64), 0, 1).astype(np.float32), (32, 1))
    front, behind = np.array((200, 60, 30)), np.array((20, 90, 180))
    over = SRGB.decode(np.array((front, behind), np.uint8))
    mixed = SRGB.encode(alpha[..., None] * over[0] + (1 - alpha[..., None]) * over[1], np.uint8)
    estimate = estimate_foreground(Photo("an edge", mixed, mixed), alpha)
    off = float(np.abs(estimate[alpha > 0.5] - front.astype(float)).mean())
    if not off < 10:
        raise ToleranceError(
            f"foreground colours are off by {off:.0f} grey levels, expected less than 10; reinstall "
            "opencv-python-headless and numpy, or do not make cut-outs"
        )
    return Found("", f"colours of a soft edge are off by {off:.1f} grey levels on average")


def kernels() -> Found:
    """Compile the CUDA kernels with NVRTC, which needs no GPU; anew, whatever the cache contains."""
    (nvrtc,) = needs(lambda: require("cuda.bindings.nvrtc", "cuda13", "compiling kernels"))
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = folder
        code = compiled(source(), (8, 9))
    _, major, minor = nvrtc.nvrtcVersion()
    return Found(f"NVRTC {major}.{minor}", f"kernels.cu compiles for {_ADA}: {len(code):,} bytes")


def tensorrt_rtx() -> Found:
    """Parse the shipped ONNX and build a tiny engine ahead of time, which needs no GPU."""
    (tensorrt,) = needs(lambda: trt.load("tensorrt-rtx", "building an engine for RTX GPUs"))
    network = parse(tensorrt, tensorrt.builder(), SHIPPED_ENGINE, check_sidecar(SHIPPED_ENGINE))
    layers = network.definition.num_layers
    with built_tiny("tensorrt-rtx", (_ADA,)) as built:
        size = built.path.stat().st_size
    return Found(
        f"tensorrt_rtx {tensorrt.version}",
        f"parses the shipped ONNX ({layers} layers) and builds for {_ADA} ({size:,} bytes)",
    )
