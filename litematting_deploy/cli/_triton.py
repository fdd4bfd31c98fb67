"""The options of ltm-export that write a Triton model repository."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, get_args

import click

from ..errors import UsageError
from ..export.triton import Kind, Serving, write_repository
from .command import stdout

Function = TypeVar("Function", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "--triton",
        metavar="DIR",
        help="Also write a model repository for Triton; MODEL may then be an .onnx of ltm-export, which takes no time.",
    ),
    click.option(
        "--triton-engine",
        metavar="FILE.engine",
        help="Serve this engine, too: of that ONNX, by ltm-build with TensorRT.",
    ),
    click.option(
        "--triton-max-batch",
        type=click.IntRange(1, 1024),
        help="Most patches of the ONNX at a time; an engine has its own.  [default: 8]",
    ),
    click.option(
        "--triton-instances", type=click.IntRange(1, 64), help="At work beside each other, on each GPU.  [default: 1]"
    ),
    click.option(
        "--triton-kind",
        type=click.Choice(get_args(Kind)),
        help="Where the ONNX runs; auto: on GPUs where there are any.  [default: auto]",
    ),
)


def triton_options(function: Function) -> Function:
    """Add the options to a command."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def chosen_serving(options: dict[str, Any]) -> Serving | None:
    """What the options, which are taken out, say; None without --triton. Raises `UsageError`."""
    given = {name: options.pop(f"triton_{name}") for name in ("engine", "max_batch", "instances", "kind")}
    given = {name: value for name, value in given.items() if value is not None}
    folder = options.pop("triton")
    if folder is None:
        if given:
            raise UsageError(f"--triton-{next(iter(given)).replace('_', '-')} belongs to --triton DIR; give that, too")
        return None
    if "engine" in given:
        given["engine"] = Path(given["engine"])
    return Serving(Path(folder), **given)


def serve_exported(model: str, serving: Serving, others: dict[str, Any]) -> None:
    """Write the repository of an ONNX that is there already. others: options that are of an export."""
    for name, value in others.items():
        if value not in (None, False):
            raise UsageError(
                f"--{name.replace('_', '-')}: {model} is exported already; leave it out, or give a checkpoint"
            )
    report_repository(write_repository(model, serving), serving)


def report_repository(models: list[str], serving: Serving) -> None:
    """Say what was written and how to serve it."""
    stdout.print(
        f"{serving.folder}: {' and '.join(models)}; serve with: tritonserver --model-repository {serving.folder}",
        markup=False,
        soft_wrap=True,
    )
