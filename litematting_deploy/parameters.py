"""What parameters may be: types, numbers, amounts, paths and functions of the caller's own.

The annotation of a field says it once, and is asked wherever the parameter is given: by the specs, and by the options
of the commands.
"""

import functools
import math
import numbers
import os
import re
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from inspect import formatannotation
from typing import Annotated, Any, Literal, Protocol, Self, get_args, get_origin, get_type_hints

import numpy as np

from .errors import UsageError, shown


class Check(Protocol):
    """What the annotation of a field says beside its type. Specs ask it, and so do the options of the commands."""

    def check(self, name: str, value: Any) -> None:
        """Raise `UsageError` where the value of a parameter, if it is not None, is not accepted."""


@dataclass(frozen=True)
class Range:
    """The numbers that a parameter may be, each of them where it is several.

    most: None where there is no upper end. above, below: the ends themselves are none. words: what is accepted, in
    words; None for the ends.
    """

    least: float
    most: float | None = None
    above: bool = False
    below: bool = False
    words: str | None = None

    def check(self, name: str, value: Any) -> None:
        """Raise `UsageError` for a number outside the range, and for what is no number."""
        for one in value if isinstance(value, tuple) else (value,):
            if not self.holds(one):
                raise UsageError(f"`{name}` must be {self}; got {shown(one)}")

    def holds(self, number: Any) -> bool:
        """Return whether something is a number of the range."""
        # As a number, True is 1. NaN compares as false, and so is refused.
        is_number = not isinstance(number, bool) and isinstance(number, numbers.Real)
        if not is_number:
            return False
        most = math.inf if self.most is None else self.most
        return bool(
            (self.least < number if self.above else self.least <= number)
            and (number < most if self.below else number <= most)
        )

    def __str__(self) -> str:
        if self.words is not None:
            return self.words
        if self.most is None:
            return f"a number above {self.least:.15g}" if self.above else f"{self.least:.15g} or more"
        if self.above or self.below:
            first, last = "above" if self.above else "at least", "below" if self.below else "up to"
            return f"{first} {self.least:.15g} and {last} {self.most:.15g}"
        return f"between {self.least:.15g} and {self.most:.15g}"


def check_number(
    parameter: str,
    value: float | tuple[float, ...] | None,
    least: float,
    most: float | None = None,
    *,
    below: bool = False,
) -> None:
    """Raise `UsageError` where a number, or one of several, is not from `least` to `most` or, with `below`, reaches
    that; None is none."""
    if value is not None:
        Range(least, most, below=below).check(parameter, value)


@dataclass(frozen=True)
class PathName:
    """Says that a text is a path."""

    def check(self, name: str, value: Any) -> None:
        """Raise `UsageError` for a text that no path is."""
        path_text(name, value)


@dataclass(frozen=True)
class ScreenColour:
    """Says that a text is the colour of a screen."""

    def check(self, name: str, value: Any) -> None:
        """Raise `UsageError` for a text that is neither a screen's name, nor `auto`, nor #rrggbb."""
        if value not in (*SCREENS, AUTO_SCREEN) and not re.fullmatch(r"#[0-9a-fA-F]{6}", str(value)):
            accepted = ", ".join((*SCREENS, AUTO_SCREEN))
            raise UsageError(f"`{name}` must be {accepted} or a colour such as #00b140; got {shown(value)}")


@dataclass(frozen=True)
class Amount:
    """A number or, with `percent`, a share of something in percent; written "15" or "2%"."""

    value: float
    percent: bool = False

    @classmethod
    def parse(cls, written: str | float, parameter: str) -> Self:
        """Return the amount that a number or a text such as "15" or "2%" stands for. Raises `UsageError`."""
        text = str(written).strip()
        try:
            value = float(text.removesuffix("%"))
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise UsageError(
                f"`{parameter}` must be a number, such as 10, or a percentage, such as 5%; got {written!r}"
            )
        return cls(value, text.endswith("%"))

    def __str__(self) -> str:
        return f"{self.value:g}{'%' if self.percent else ''}"


@dataclass(frozen=True)
class AmountRange:
    """The amounts that a parameter may be."""

    plain: Range
    percent: Range

    def check(self, name: str, value: Any) -> None:
        """Raise `UsageError` for an amount, or a number or text that stands for one, outside the range."""
        amount = value if isinstance(value, Amount) else Amount.parse(value, name)
        accepted = self.percent if amount.percent else self.plain
        if not accepted.holds(amount.value):
            raise UsageError(f"`{name}` must be {accepted}; got {amount}")


SCREENS, AUTO_SCREEN = ("green", "blue"), "auto"
KEY = ScreenColour()
_OF_THE_MASK = "above 0 and at most the top of the mask's range, or 100%"
ABOVE_0 = Range(0, above=True)
EXPOSURE = Range(-100, 100, words="between -100 and 100 stops")
"""Two to the power of the largest is still a float32."""
UNKNOWN_WIDTH = AmountRange(
    Range(1, words="at least 1 pixel on each side of the edge"),
    Range(0, 100, above=True, words="above 0% and up to 100% of the object's size"),
)
MASK_THRESHOLD = AmountRange(
    Range(0, 65535, above=True, words=_OF_THE_MASK), Range(0, 100, above=True, words=_OF_THE_MASK)
)


def path_text(name: str, given: Any) -> str:
    """Return the path that a parameter gives, as text.

    Raises `UsageError` for another type, an empty text, and a NUL character, which no system has in its names.
    """
    text = os.fspath(given) if isinstance(given, os.PathLike) else given
    if not isinstance(text, str) or not text or "\0" in text:
        raise UsageError(f"`{name}` must be a path (text or `Path`) without NUL characters; got {shown(given)}")
    return text


def checked(name: str, given: Any, hint: Any, checks: tuple[Check, ...] = ()) -> Any:
    """Return the value of a parameter as its type has it: a path as text or `Path`, a number of NumPy as Python's.

    hint, checks: the type, as an annotation says it, and what else that says; None is accepted where the type has it.
    Raises `UsageError` for a value of any other type, and for one that a check does not accept.
    """
    import msgspec  # slow to import, and not needed where all is as by default

    # Python programs pass paths and the numbers of arrays; everything else must be of the type, as in a file.
    plain = os.fspath(given) if isinstance(given, os.PathLike) else given
    plain = plain.item() if isinstance(plain, np.generic) else plain
    try:
        value = msgspec.convert(plain, hint, dec_hook=lambda kind, value: kind(value))  # of `Path`
    except msgspec.ValidationError as error:
        choices = [
            choice for each in (hint, *get_args(hint)) if get_origin(each) is Literal for choice in get_args(each)
        ]
        accepted = f"one of {', '.join(choices)}" if choices else formatannotation(hint)
        raise UsageError(f"`{name}` must be {accepted}; got {shown(given)}") from error
    if isinstance(value, str | os.PathLike) and "\0" in str(value):
        raise UsageError(f"`{name}` must be text without NUL characters; got {shown(given)}")
    for each in checks if value is not None else ():
        each.check(name, value)
    return value


@functools.cache
def checks_of(spec: Hashable) -> dict[str, tuple[Any, tuple[Check, ...]]]:
    """Return the type of each field of a dataclass, and what else its annotation says."""
    hints = get_type_hints(spec, include_extras=True)
    parts = {name: get_args(hint) if get_origin(hint) is Annotated else (hint,) for name, hint in hints.items()}
    return {name: (kind, tuple(checks)) for name, (kind, *checks) in parts.items()}


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
