"""Which of our files a photo passes on its way from ltm-infer to the stitcher.

    python tests/traced.py PHOTO TRIMAP OUT [OPTIONS of ltm-infer]

The way begins when the command is called and ends when the stitcher has got the pixels. A file is passed when one of
its functions is called with the photo: its path, its pixels, or a value that holds either. A file is entered when the
call comes from another file while nothing of it is running yet. A return into a file is no entrance; nor is a call of
what a value offers of itself (a method or property of an object that holds the photo), nor one of `ASIDE`.

Prints a line for each entrance, in order, with the function and the file that it is called from.
"""

import dataclasses
import inspect
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import numpy as np
from PIL import Image

PACKAGE = Path(__file__).parents[1] / "litematting_deploy"
END = ("runtime/host_stitch.py", "stitch")
ASIDE = ("profiling.py", "jobs/progress.py", "cli/progress.py", "cli/command.py")
"""Files that watch the way and are no part of it: the clock of stages, and the callbacks that say how far a job is."""
_MOST_ITEMS = 20


@dataclass(frozen=True)
class Entrance:
    """A call with the photo into a file from another. caller: that file; None for the command line."""

    file: str
    function: str
    caller: str | None


class Way:
    """Records where a photo goes, as the function of `sys.setprofile`.

    passed: the files, in order. entrances: as the docstring of this module says.
    """

    def __init__(self, photo: str) -> None:
        with Image.open(photo) as picture:
            self._size = picture.size
        self._photo, self._over = photo, False
        self._files: dict[CodeType, str | None] = {}
        self._begun: set[FrameType] = set()
        self.passed: dict[str, None] = {}
        self.entrances: list[Entrance] = []

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        """Take one event."""
        code, file = frame.f_code, self._file(frame.f_code)
        if event != "call" or self._over or file is None or code.co_name.startswith("<") or frame in self._begun:
            return
        if code.co_flags & inspect.CO_GENERATOR:  # which is called again wherever it goes on
            self._begun.add(frame)
        names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount + bool(code.co_flags & inspect.CO_VARARGS)]
        given = {name: frame.f_locals.get(name) for name in names}
        itself = self._holds(given.pop("self", None))
        if not itself and not any(self._holds(value) for value in given.values()):
            return
        self.passed.setdefault(file)
        stack = list(self._stack(frame))
        if not itself and file not in stack:
            self.entrances.append(Entrance(file, code.co_name, stack[0] if stack else None))
        self._over = (file, code.co_name) == END

    def entered_again(self) -> dict[str, list[str]]:
        """Return the files that are entered more than once, and the functions that are called then."""
        functions = {file: [each.function for each in self.entrances if each.file == file] for file in self.passed}
        return {file: names for file, names in functions.items() if len(names) > 1}

    def _stack(self, frame: FrameType) -> Iterator[str]:
        """Yield the files of what is running, the caller's first."""
        back = frame.f_back
        while back is not None:
            if file := self._file(back.f_code):
                yield file
            back = back.f_back

    def _file(self, code: CodeType) -> str | None:
        """Return the file of a function as its path in the package; None for others, and for those aside."""
        if code not in self._files:
            path = Path(code.co_filename)
            name = path.relative_to(PACKAGE).as_posix() if path.is_relative_to(PACKAGE) else None
            self._files[code] = None if name in ASIDE else name
        return self._files[code]

    def _holds(self, value: Any, depth: int = 3) -> bool:
        """Return whether a value is the photo: its path, its pixels in colour, or something with either in it."""
        if isinstance(value, str | os.PathLike):
            return os.fspath(value) == self._photo
        if isinstance(value, np.ndarray):
            return value.ndim == 3 and value.shape[1::-1] == self._size
        if isinstance(value, Image.Image):
            return value.size == self._size and value.mode == "RGB"
        if depth and dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = (getattr(value, each.name, None) for each in dataclasses.fields(value))
            return any(self._holds(item, depth - 1) for item in fields)
        items: Sequence[Any] = value if isinstance(value, tuple | list) else ()
        items = list(value.values()) if isinstance(value, dict) else items
        return bool(depth) and any(self._holds(item, depth - 1) for item in items[:_MOST_ITEMS])


def walk(photo: str, *arguments: str) -> Way:
    """Run ltm-infer in this process on a photo in colour with further arguments, and return the photo's way."""
    from litematting_deploy.cli.infer import main

    way = Way(photo)
    sys.setprofile(way)
    try:
        main.main([photo, *arguments])
    except SystemExit as ended:
        if ended.code:
            raise
    finally:
        sys.setprofile(None)
    return way


def report(way: Way) -> Iterator[str]:
    """Yield what a walk has found, line by line."""
    for each in way.entrances:
        yield f"{each.file}: {each.function}, called from {each.caller or 'the command line'}"
    yield f"{len(way.passed)} files: {', '.join(way.passed)}"
    for file, functions in way.entered_again().items():
        yield f"entered {len(functions)} times: {file}: {', '.join(functions)}"


if __name__ == "__main__":
    photo, trimap, out, *options = sys.argv[1:]
    print(*report(walk(photo, trimap, "-o", out, *options)), sep="\n")
