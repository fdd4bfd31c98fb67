"""The options that say which engine runs, and where; the same in every command that runs one."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from ..engines import Engine
from ..engines.triton import DEFAULT_TIMEOUT_S
from ..runtime import load_engine
from ..runtime.loading import is_onnx_on_host

Function = TypeVar("Function", bound=Callable[..., Any])

_NAMES = ("engine", "device", "patch", "batch", "precision", "compiled", "trust", "cuda_backend", "timeout_s")


def _patch(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[int, int] | None:
    if value is None:
        return None
    height, _, width = value.partition("x")
    if not (height.isdecimal() and width.isdecimal()):
        raise click.BadParameter(f"{value!r} is not height x width, as in 640x640", context, parameter)
    return int(height), int(width)


_OPTIONS = (
    click.option(
        "--engine",
        metavar="ENGINE",
        help="An ONNX, a TensorRT engine (.engine), a checkpoint or, on a Triton server, grpc://HOST:8001/MODEL "
        "(grpcs:// over TLS); the shipped weights by default.",
    ),
    click.option("--device", help="cpu, cuda[:N] or, for an ONNX, tensorrt[:N].  [default: cpu, for an .engine cuda]"),
    click.option("--patch", metavar="HxW", callback=_patch, help="Patch size of a checkpoint; others have their own."),
    click.option(
        "--batch",
        type=int,
        help="Patches per call of the engine.  [default: 1; 4 on a GPU, or its own; on a server its most]",
    ),
    click.option(
        "--precision", type=click.Choice(["fp32", "tf32", "fp16"]), help="Of a checkpoint on a GPU.  [default: fp32]"
    ),
    click.option("--compile", "compiled", is_flag=True, help="A checkpoint: by torch.compile, first slow."),
    click.option(
        "--trust",
        is_flag=True,
        help="Run a TensorRT engine without its sidecar. It can run any code: only if you know who built it.",
    ),
    click.option(
        "--cuda-backend",
        type=click.Choice(["cuda-python", "pycuda"]),
        default="cuda-python",
        show_default=True,
        help="What talks to the GPU.",
    ),
    click.option(
        "--timeout",
        "timeout_s",
        type=click.FloatRange(min=0, min_open=True),
        metavar="SECONDS",
        help=f"Of each request to a Triton server.  [default: {DEFAULT_TIMEOUT_S:g}]",
    ),
)


def engine_options(function: Function) -> Function:
    """Add the options to a command."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def open_chosen(options: dict[str, Any], threads: int | None = None) -> Engine:
    """The engine that the options say; see `load_engine` for errors. threads: where ONNX Runtime runs on the CPU."""
    chosen = {name: options[name] for name in _NAMES}
    if threads is not None and is_onnx_on_host(options["engine"], options["device"]):
        chosen["threads"] = threads
    return load_engine(chosen.pop("engine"), chosen.pop("device"), patch_hw=chosen.pop("patch"), **chosen)
