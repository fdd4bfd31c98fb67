"""What the numbers of a mask mean: which of them are the object."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, UsageError

LEAST_SURE = 0.98
"""The share of the range's top that a mask's brightest value reaches at least, so that something is foreground."""
_MOST_LISTED = 6


@dataclass(frozen=True)
class MaskMeaning:
    """Which values of a mask are the object; by default the top of the range is, and what lies below is soft.

    threshold: values from this one on are foreground and all others background; in the file's own numbers or, where
    `relative`, in percent of the top of its range. labels: exactly these class ids are foreground. A file's own numbers
    are 0..255 of 8 bits, 0..15 of 4, 0..1 of 1 bit, 0..65535 of 16 bits, 0.0..1.0 of OpenEXR; class ids of a palette
    are its indices. Raises `UsageError` for both, and for numbers that no mask has.
    """

    threshold: float | None = None
    relative: bool = False
    labels: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.threshold is not None and self.labels:
            raise UsageError("--mask-threshold and --mask-label are two ways to read a mask; give one of them")
        if self.threshold is not None and not 0 < self.threshold <= (100 if self.relative else 65535):
            raise UsageError(
                f"--mask-threshold {self.threshold:g}{'%' if self.relative else ''}: wanted a value above 0, up to the "
                "top of the mask's range, or a percentage up to 100%"
            )
        strange = [label for label in self.labels if not 0 <= label <= 65535]
        if strange:
            raise UsageError(f"--mask-label {strange[0]}: wanted a class id from 0 to 65535")

    def __bool__(self) -> bool:
        """Whether it says more than the default."""
        return self.threshold is not None or bool(self.labels)

    def __str__(self) -> str:
        """As the options say it; empty for the default."""
        if self.labels:
            return " ".join(f"--mask-label {label}" for label in self.labels)
        return "" if self.threshold is None else f"--mask-threshold {self.threshold:g}{'%' if self.relative else ''}"

    @classmethod
    def parse(cls, threshold: str | None = None, labels: tuple[int, ...] = ()) -> Self:
        """From a threshold as `128` or `50%`, and class ids. Raises `UsageError`."""
        if threshold is None:
            return cls(labels=labels)
        text = threshold.strip()
        try:
            return cls(float(text.removesuffix("%")), text.endswith("%"), labels)
        except ValueError:
            raise UsageError(
                f"--mask-threshold {threshold!r}: wanted a number of the mask's own, as in 128, or percent of the top "
                "of its range, as in 50%"
            ) from None

    def applied(
        self, levels: NDArray[Any], top: float, name: str, least_sure: float = LEAST_SURE
    ) -> NDArray[np.uint8] | None:
        """A mask (H, W) uint8 of 0 and 255 from levels (H, W) in the file's own numbers, 0..top; None for the default.

        Raises `InputError` naming `name` for a threshold above `top` and, of the default, for a mask whose brightest
        value is not 0 and below `least_sure` times `top`.
        """
        if self.labels:
            return np.where(np.isin(levels, self.labels), np.uint8(255), np.uint8(0))
        if self.threshold is None:
            _check_brightest(levels, top, name, least_sure)
            return None
        least = self.threshold * top / 100 if self.relative else self.threshold
        if least > top:
            raise InputError(f"{name}: its values go from 0 to {top:g}, so that nothing reaches {self}; lower it")
        return np.where(levels >= least, np.uint8(255), np.uint8(0))

    def check_object(self, mask: NDArray[np.uint8], name: str) -> None:
        """Raise `InputError` where nothing of a mask that this was applied to is the object.

        It is for a single mask: in a sequence an object may leave the frame.
        """
        if self and not mask.any():
            raise InputError(f"{name}: no pixel is foreground with {self}; choose a value that it holds")


def _check_brightest(levels: NDArray[Any], top: float, name: str, least_sure: float) -> None:
    brightest = levels.max()
    if 0 < brightest < least_sure * top:
        raise InputError(
            f"{name}: its brightest value is {brightest:g} of {top:g}, so that no pixel is sure to be foreground; it "
            f"holds {_listed(levels)}. Say what is meant: --mask-threshold {_rounded_down(brightest)} (foreground from "
            "this value on) or --mask-label ID (where values are class ids), or scale the mask to the whole range"
        )


def _listed(levels: NDArray[Any]) -> str:
    if levels.dtype.kind == "f":
        return f"values from {levels.min():g} to {levels.max():g}"
    values, counts = np.unique(levels, return_counts=True)
    most = np.sort(np.argsort(-counts, kind="stable")[:_MOST_LISTED])
    listed = ", ".join(f"{values[index]} ({counts[index]} px)" for index in most)
    return listed if len(values) <= _MOST_LISTED else f"{listed} and {len(values) - _MOST_LISTED} more"


def _rounded_down(value: Any) -> str:
    return f"{np.floor(float(value) * 100) / 100:g}" if isinstance(value, np.floating) else str(value)
