"""What a check gives back: what it found, or what is missing for it."""

from collections.abc import Callable
from dataclasses import dataclass

from ..errors import DependencyError, LiteMattingError


@dataclass(frozen=True)
class Found:
    """A smoke test that went well. version: of the library, may be empty. detail: one line."""

    version: str
    detail: str


class MissingError(LiteMattingError):
    """Something that a check needs is not on this machine. That is no fault."""


def needs(*conditions: Callable[[], object]) -> None:
    """Try all of them, and raise one `MissingError` with every reason. A package that is there and does not import is a
    fault, and raised as it is."""
    reasons = []
    for condition in conditions:
        try:
            condition()
        except DependencyError as error:
            if error.__cause__ is not None:
                raise
            reasons.append(str(error))
        except LiteMattingError as error:
            reasons.append(str(error))
    if reasons:
        raise MissingError("; also ".join(reasons))
