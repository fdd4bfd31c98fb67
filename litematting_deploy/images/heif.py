"""HEIC and AVIF, opened by `pillow_heif` and by Pillow once it is clear that their numbers are read right."""

import os
import re
import warnings
from pathlib import Path
from typing import Any

from PIL import AvifImagePlugin

from .._optional import require
from ..errors import InputError
from .suffixes import READS_AVIF, conversion

_PLAIN_PRIMARIES, _PLAIN_TRANSFERS = (1, 2, 5, 6), (1, 2, 6, 13)
"""What `nclx` may say where numbers are taken for sRGB, as by everybody: BT.709, unspecified, BT.601, sRGB's curve."""
_NAMES = {16: "PQ", 18: "HLG"}
_MOST_BYTES = 1 << 20


def container_factory(path: str | Path, kind: str | None) -> Any:
    """Return what opens a HEIC or AVIF file, as Pillow's `ImageFile` does; None for a file of another kind.

    kind: as `suffixes.kind_of` has it.
    Warns where only the upper 8 bits are read.
    Raises `InputError` for colours that are not read right, or where nothing reads the file, and `DependencyError`.
    """
    if kind == "HEIC":
        purpose = f"{path}: is HEIC; convert it (heif-convert IN.heic OUT.png), or reading it"
        factory: Any = require("pillow_heif", "heif", purpose).HeifImageFile
    elif kind == "AVIF":
        if not READS_AVIF:
            raise InputError(f"{path}: is AVIF, which this version of Pillow cannot read; {conversion(kind)}")
        factory = AvifImagePlugin.AvifImageFile
    else:
        return None
    _check_colours(path, kind)
    return factory


def _check_colours(path: str | Path, kind: str) -> None:
    """Raise `InputError` for primaries or a curve that are not read right; warn of more than 8 bits."""
    described = _description(path)
    av1, hevc = (re.finditer(config, described, re.DOTALL) for config in (rb"av1C(.{3})", rb"hvcC(.{18})"))
    # The third byte of av1C has a bit for more than 8 bits, and one for 12; byte 17 of hvcC ends with the depth less 8.
    depths = [{0x40: 10, 0x60: 12}.get(config[1][2] & 0x60, 8) for config in av1]
    bits = max(depths + [8 + (config[1][17] & 7) for config in hevc], default=8)
    has_profile = b"colrprof" in described or b"colrrICC" in described
    for colours in re.finditer(rb"colrnclx(.{4})", described, re.DOTALL):
        primaries, transfer = int.from_bytes(colours[1][:2], "big"), int.from_bytes(colours[1][2:], "big")
        if transfer in _NAMES or (
            not has_profile and (transfer not in _PLAIN_TRANSFERS or primaries not in _PLAIN_PRIMARIES)
        ):
            raise InputError(
                f"{path}: is {kind} with CICP primaries {primaries} and transfer {_NAMES.get(transfer, transfer)}, "
                "which are not supported; convert it to sRGB, or to 16-bit PNG or OpenEXR with its profile"
            )
    if bits > 8:
        warnings.warn(
            f"{path}: has {bits} bits per channel, of which only the upper 8 are read; convert it to a 16-bit PNG "
            "to keep them all",
            stacklevel=2,
        )


def _description(path: str | Path) -> bytes:
    """Return the box `meta` of a file, which says what its pictures are; empty without it."""
    size, place = os.path.getsize(path), 0
    with open(path, "rb") as file:
        while place + 8 <= size:
            file.seek(place)
            head = file.read(16)
            length, name = int.from_bytes(head[:4], "big"), head[4:8]
            # Then 64 bits behind the name hold the length.
            if length == 1:
                length = int.from_bytes(head[8:16], "big")
            # 0 stands for the rest of the file.
            length = length or size - place
            if name == b"meta":
                file.seek(place)
                return file.read(min(length, _MOST_BYTES))
            # A damaged length must not keep the search in one place.
            place += max(length, 8)
    return b""
