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
    ├── TrainingError         1   a training run that cannot continue
    ├── DependencyError        1   an optional package that is not installed
    └── DeviceError            1   a device or execution provider that cannot run here

Each message is one line: what was wrong, the value received, what is accepted, and how to fix it. A parameter is
written as `name` or `name=value`, in backticks: the commands print their flag for it.
"""

import contextlib
import os
import re
from collections.abc import Callable, Iterator, Mapping

_SHOWN = 60
"""The most characters of a value that go into a message."""


class LiteMattingError(Exception):
    """Base of all errors raised on purpose.

    exit_code: exit code of the commands. parameter: name of the argument that is wrong, if there is one; by
    default the one that the message begins with, as in "`step` must be ...".
    """

    exit_code = 1

    def __init__(self, message: str = "", *, parameter: str | None = None) -> None:
        super().__init__(message)
        leading = re.match(r"`(\w+)", message)
        self.parameter = leading[1] if leading and parameter is None else parameter


@contextlib.contextmanager
def naming(paths: Callable[[], Mapping[str, object]]) -> Iterator[None]:
    """Give an error without a `parameter` that of the file which its message begins with.

    paths: returns the files and folders of the call by parameter, None for what is not given; called only for an error.
    A file in a folder counts as the folder; where several match, the longest path does.
    """
    try:
        yield
    except LiteMattingError as error:
        spellings = {
            spelling: name
            for name, path in paths().items()
            if path is not None
            for spelling in (str(path), os.path.normpath(str(path)), os.path.abspath(str(path)))
        }
        found = [path for path in spellings if str(error).startswith((f"{path}:", f"{path}{os.sep}"))]
        if error.parameter is None and found:
            error.parameter = spellings[max(found, key=len)]
        raise


def first_line(error: BaseException) -> str:
    """Return what another library's error says, in one line; its type where it says nothing."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def counted(count: int, noun: str) -> str:
    """Return a number with its noun, such as "1 frame" or "2 patches"."""
    plural = f"{noun}es" if noun.endswith("ch") else f"{noun}s"
    return f"{count} {noun if count == 1 else plural}"


def shown(value: object) -> str:
    """Return a value for a message: an array by its shape and dtype, anything else as Python writes it, cut off where
    that is long."""
    if getattr(value, "shape", ()) and hasattr(value, "dtype"):
        return f"an array of {value.shape} {value.dtype}"  # type: ignore[attr-defined]  # which was just looked for
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


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
    """Training diverged (NaN weights)."""


class DependencyError(LiteMattingError):
    """An optional package that is not installed or does not import."""


class DeviceError(LiteMattingError):
    """A device or execution provider that cannot run here."""
