"""ltm-bench --photo: where the time and the memory of a whole job go."""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import click

from ..benchmarks import environment, photo
from ..errors import UsageError
from ..files import replace_file
from .command import stderr, stdout

Function = TypeVar("Function", bound=Callable[..., Any])


def photo_options(function: Function) -> Function:
    """--photo and --cutout."""
    function = click.option("--cutout", is_flag=True, help="Of --photo: also make a cut-out.")(function)
    return click.option(
        "--photo",
        nargs=2,
        metavar="IMAGE TRIMAP",
        help="Instead: time ltm-infer on a photo stage by stage, with each --engine, by default the shipped one.",
    )(function)


def measure_photo(
    sources: tuple[str, str], engines: Iterable[str], cutout: bool, files: Mapping[str, str | None]
) -> None:
    """Measure and print the job with each engine; `files` says where to write `json` and `markdown`, if anywhere."""
    for kind in ("csv", "plot"):
        if files[kind] is not None:
            raise UsageError(f"--{kind} {files[kind]}: is for rows of engines; with --photo use --json or --markdown")
    described = environment.describe()
    measured = []
    for options in [["--engine", engine] for engine in engines] or [[]]:
        with stderr.status("matting a photo"):
            measured.append(photo.measure(*sources, *options, cutout=cutout))
        stdout.print(photo.table(measured[-1]))
    contents = {
        "json": json.dumps({"environment": described, "photo": measured}, indent=2),
        "markdown": "\n\n".join(map(photo.markdown, measured)),
    }
    for kind, content in contents.items():
        target = files[kind]
        if target is not None:
            replace_file(target, f"{content}\n".encode())
