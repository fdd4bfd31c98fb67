"""What the tests ask of the stand-in itself, in the process that loaded it."""

import ctypes
import functools
from typing import Any

_HELD = ("device", "pinned", "kept by pools", "streams", "events", "graphs", "pools", "modules and functions")


@functools.cache
def _library() -> Any:
    library = ctypes.CDLL("libcuda.so.1")
    library.standin_log.restype = ctypes.c_size_t
    library.standin_log.argtypes = ctypes.c_char_p, ctypes.c_size_t
    library.standin_memory.argtypes = (ctypes.c_size_t,)
    return library


def reset(early: bool) -> None:
    """Begin as a new process does. early: work runs when it is put on a stream."""
    _library().standin_reset(int(early))


def set_memory(nbytes: int) -> None:
    """Give devices this much memory."""
    _library().standin_memory(nbytes)


def set_capability(number: int) -> None:
    """Have devices run code of this compute capability, such as 89."""
    _library().standin_capability(number)


def fail(name: str, code: int = 999, after: int = 0) -> None:
    """Let the next call but `after` of a function return `code` and do nothing."""
    _library().standin_fail(name.encode(), code, after)


def log() -> list[str]:
    """The functions called since this was last asked, and after "! " what was refused, with the reason."""
    size = _library().standin_log(None, 0)
    text = ctypes.create_string_buffer(size + 1)
    _library().standin_log(text, size)
    return text.value.decode().splitlines()


def calls() -> list[str]:
    """The functions called since the log was last asked for."""
    return [line for line in log() if not line.startswith("!")]


def held() -> dict[str, int]:
    """Bytes and handles that are held when all work is done, those that are not 0."""
    numbers = (ctypes.c_longlong * len(_HELD))()
    _library().standin_held(numbers)
    return {name: number for name, number in zip(_HELD, numbers, strict=True) if number}
