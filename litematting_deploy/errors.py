"""Every error this package raises on purpose, with the exit code of the commands.

    LiteMattingError           1
    ├── UsageError             2   arguments that contradict each other, the engine or the machine's limits
    ├── InputError             1   an image, trimap or mask that is missing, unreadable or wrong
    │   ├── DimMaskError       1   a mask none of whose pixels is sure to be foreground
    │   └── ForegroundError    1   a photo whose foreground colours cannot be estimated
    ├── OutputError            1   a result that cannot be written
    ├── CheckpointError        1   a checkpoint that is unreadable or of another network
    ├── ArtefactError          1   an ONNX or engine file that is damaged, edited or not one of ours
    │   └── NotFiniteError     1   an image whose alpha, as an engine computed it, contains NaN or infinity
    ├── ToleranceError         1   an artefact whose outputs differ too much from the model
    ├── TrainingError         1   a training run that cannot go on
    ├── DependencyError        1   an optional package that is not installed
    └── DeviceError            1   a device or execution provider that cannot run here

Each message is one line: what was wrong, the value received, what is accepted, and how to fix it. A parameter is
written as `name` or `name=value`, in backticks: the commands print their flag for it.
"""

import contextlib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

_SHOWN = 60
"""The most characters of a value that go into a message."""


class LiteMattingError(Exception):
    """Base of all errors raised on purpose.

    exit_code: what the commands exit with. parameter: the name of the argument that is wrong, where it is one; by
    default that which the message begins with, as in "`step` must be ...".
    """

    exit_code = 1

    def __init__(self, message: str = "", *, parameter: str | None = None) -> None:
        super().__init__(message)
        leading = re.match(r"`(\w+)", message)
        self.parameter = leading[1] if leading and parameter is None else parameter


def first_line(error: BaseException) -> str:
    """Return what another library's error says, in one line; its type where it says nothing."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def shown(value: object) -> str:
    """Return a value for a message: an array by its shape and dtype, anything else as Python writes it, cut off where
    that is long."""
    if getattr(value, "shape", ()) and hasattr(value, "dtype"):
        return f"an array of {value.shape} {value.dtype}"  # type: ignore[attr-defined]  # which was just looked for
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


@contextlib.contextmanager
def naming(paths: Mapping[str, object]) -> Iterator[None]:
    """Give an error about a file the `parameter` of the call that stands for the file.

    paths: the files and folders of the call by parameter; None for what is not given. An error without a parameter is
    about the one that its message begins with, or about a file in it.
    """
    try:
        yield
    except LiteMattingError as error:
        if error.parameter is None:
            error.parameter = _parameter_of(str(error), paths)
        raise


def _parameter_of(message: str, paths: Mapping[str, object]) -> str | None:
    """Return the parameter whose path, in either spelling, a message begins with; the longest where several do."""
    spellings = {
        spelling: name
        for name, path in paths.items()
        if path is not None and str(path)
        for spelling in (str(path), os.path.normpath(str(path)))
    }
    found = [path for path in spellings if message.startswith((f"{path}:", f"{path}{os.sep}"))]
    return spellings[max(found, key=len)] if found else None


class Callback:
    """A function of the caller's own, which is called while work goes on.

    raised: the exception that it has raised. Whatever its type, it is no failure of the work: it ends the work, and
    comes out as it is.
    """

    def __init__(self, name: str, function: Callable[..., object] | None) -> None:
        """name: of the parameter. function: None for one that does nothing. Raises `UsageError` for anything else."""
        if function is not None and not callable(function):
            raise UsageError(f"`{name}` must be a function or None; got {shown(function)}")
        self._function = function
        self.raised: BaseException | None = None

    def __call__(self, *given: Any) -> None:
        """Call the function."""
        if self._function is None:
            return
        try:
            self._function(*given)
        except BaseException as error:
            self.raised = error
            raise


class UsageError(LiteMattingError):
    """Arguments that contradict each other, the engine, or a stated limit."""

    exit_code = 2


class InputError(LiteMattingError):
    """An image, trimap or mask that is missing, unreadable or wrong."""


class DimMaskError(InputError):
    """A mask none of whose pixels is sure to be foreground, though some are brighter than others."""


class ForegroundError(InputError):
    """A photo whose foreground colours cannot be estimated; its alpha may be written already."""


class OutputError(LiteMattingError):
    """A result that cannot be written."""


class CheckpointError(LiteMattingError):
    """A checkpoint that is unreadable or belongs to another network."""


class ArtefactError(LiteMattingError):
    """An ONNX or engine file that is damaged, edited, or breaks the contract."""


class NotFiniteError(ArtefactError):
    """An image whose alpha, as an engine computed it, contains NaN or infinity. Other images may well be right."""


class ToleranceError(LiteMattingError):
    """An artefact whose outputs differ from the model's by more than the tolerance."""


class TrainingError(LiteMattingError):
    """A training run whose weights are no longer numbers."""


class DependencyError(LiteMattingError):
    """An optional package that is not installed or does not import."""


class DeviceError(LiteMattingError):
    """A device or execution provider that cannot run here."""
