"""What the numbers of a mask mean: which of them are the object."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..errors import DimMaskError, InputError, UsageError
from ..specs import Amount
from .class_ids import class_ids

LEAST_SURE = 0.98
"""The share of the range's top that a mask's brightest value reaches at least, so that something is foreground."""
_MOST_LISTED = 6
_TOO_BRIGHT = 2
"""How many times the top of the range no value of an OpenEXR mask reaches, though filters overshoot the top."""


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
            raise UsageError(
                "`mask_threshold` and `mask_labels` are two ways to read a mask; give one of them",
                parameter="mask_threshold",
            )
        if self.threshold is not None and not 0 < self.threshold <= (100 if self.relative else 65535):
            raise UsageError(
                f"`mask_threshold` must be above 0 and at most the top of the mask's range, or 100%; got "
                f"{Amount(self.threshold, self.relative)}",
                parameter="mask_threshold",
            )
        strange = [label for label in self.labels if not 0 <= label <= 65535]
        if strange:
            raise UsageError(
                f"`mask_labels` must be class ids from 0 to 65535; got {strange[0]}", parameter="mask_labels"
            )

    def __bool__(self) -> bool:
        """Whether it says more than the default."""
        return self.threshold is not None or bool(self.labels)

    def __str__(self) -> str:
        """The parameter and its value; empty for the default."""
        if self.labels:
            return " ".join(f"`mask_labels={label}`" for label in self.labels)
        return "" if self.threshold is None else f"`mask_threshold={Amount(self.threshold, self.relative)}`"

    @classmethod
    def parse(cls, threshold: str | float | None = None, labels: tuple[int, ...] = ()) -> Self:
        """Return the meaning of a threshold, as 128 or "50%", and of class ids. Raises `UsageError`."""
        if threshold is None:
            return cls(labels=labels)
        amount = Amount.parse(threshold, "mask_threshold")
        return cls(amount.value, amount.percent, labels)

    def applied(self, levels: NDArray[Any], top: float, name: str, alone: bool = True) -> NDArray[np.uint8] | None:
        """A mask (H, W) uint8 of 0 and 255 from levels (H, W) in the file's own numbers, 0..top; None for the default.

        alone: no other mask of a sequence tells the scale; where one does, this one may be dim, as in a fade. Raises
        `InputError` naming `name` for a threshold above `top` and, of the default, for a mask of class ids, and
        `DimMaskError` for one alone whose brightest value is not 0 and below `LEAST_SURE` times `top`.
        """
        if self.labels:
            return np.where(np.isin(levels, self.labels), np.uint8(255), np.uint8(0))
        if self.threshold is None:
            _check_scale(levels, top, name)
            if alone:
                _check_brightest(levels, top, name)
            _check_no_ids(levels, top, name)
            return None
        least = self.threshold * top / 100 if self.relative else self.threshold
        if least > max(top, levels.max()):
            raise InputError(f"{name}: its values go from 0 to {top:g}, so that nothing reaches {self}; lower it")
        return np.where(levels >= least, np.uint8(255), np.uint8(0))

    def check_object(self, mask: NDArray[np.uint8], name: str) -> None:
        """Raise `InputError` where nothing of a mask that this was applied to is the object.

        It is for a single mask: in a sequence an object may leave the frame.
        """
        if self and not mask.any():
            raise InputError(f"{name}: no pixel is foreground with {self}; choose a value that it holds")


def _check_brightest(levels: NDArray[Any], top: float, name: str) -> None:
    brightest = levels.max()
    if 0 < brightest < LEAST_SURE * top:
        raise DimMaskError(
            f"{name}: its brightest value is {brightest:g} of {top:g}, so that no pixel is sure to be foreground; it "
            f"holds {_listed(levels)}. Say what is meant: `mask_threshold={_rounded_down(brightest)}` (foreground from "
            "this value on) or `mask_labels=ID` (where values are class ids), or scale the mask to the whole range"
        )


def _check_scale(levels: NDArray[Any], top: float, name: str) -> None:
    """Raise `InputError` for floats beyond 0..`top`: class ids and levels up to 255, all of which would be cut off."""
    brightest = levels.max()
    if brightest >= _TOO_BRIGHT * top:
        raise InputError(
            f"{name}: its brightest value is {brightest:g}, and an OpenEXR mask goes from 0 to {top:g}. Say what is "
            "meant: `mask_threshold=VALUE` (foreground from this value on) or `mask_labels=ID` (where values are class "
            "ids), or scale the mask to the whole range"
        )


def _check_no_ids(levels: NDArray[Any], top: float, name: str) -> None:
    if levels.dtype.kind == "f" or not class_ids(levels, int(top)):
        return
    raise InputError(
        f"{name}: holds {_listed(levels)}, in areas of one value as class ids fill them, with {top:g} for what has no "
        "class. Say which one is the object: `mask_labels=ID`, or `mask_threshold=VALUE`; a soft mask that looks so "
        "may be given as a trimap with `trimap_encoding=between`"
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
