"""OpenEXR headers as bytes, read before anything is decoded, and carried over whole whatever their attributes are."""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

MAGIC = b"\x76\x2f\x31\x01"
_TILED, _LONG_NAMES, _DEEP, _MULTIPART = 0x200, 0x400, 0x800, 0x1000
_SHORT_NAME = 31
_PIXEL_TYPES = ("uint", "half", "float")
SUBSAMPLED = "subsampled"
# Limits for damaged headers and for headers made to fill the memory; real ones are far below.
_MAX_ATTRIBUTE, _MAX_ATTRIBUTES, _MAX_CHANNELS = 1 << 28, 10_000, 1024
# Attributes that describe how one file holds its pixels; a preview would show another picture.
_OF_THE_FILE = {
    *("channels", "chunkCount", "compression", "dwaCompressionLevel", "lineOrder", "maxSamplesPerPixel"),
    *("preview", "tiles", "type", "version", "zipCompressionLevel"),
}


class DamagedHeaderError(ValueError):
    """A header that ends early or breaks the format."""


@dataclass(frozen=True)
class Box:
    """A window, in pixels; `right` and `bottom` are the first column and row outside."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def hw(self) -> tuple[int, int]:
        """Height and width."""
        return self.bottom - self.top, self.right - self.left

    def moved(self, plane: NDArray[Any], other: "Box") -> NDArray[Any]:
        """Return what another box, of the same coordinates, cuts out of a plane (H, W, ...) of this one; 0 outside."""
        if self == other:
            return plane
        cut = np.zeros((*other.hw, *plane.shape[2:]), plane.dtype)
        top, bottom = max(self.top, other.top), min(self.bottom, other.bottom)
        left, right = max(self.left, other.left), min(self.right, other.right)
        if top < bottom and left < right:
            cut[top - other.top : bottom - other.top, left - other.left : right - other.left] = plane[
                top - self.top : bottom - self.top, left - self.left : right - self.left
            ]
        return cut

    def __str__(self) -> str:
        return f"{self.hw[1]}x{self.hw[0]} at {self.left},{self.top}"


@dataclass(frozen=True)
class Windows:
    """Where an OpenEXR file has pixels (data), and which part of the plane is shown (display)."""

    data: Box
    display: Box

    def fit(self, plane: NDArray[Any], name: str) -> NDArray[Any]:
        """Return the part of a plane (H, W, ...) that lies in the data window.

        plane: of the display window's size, whose edges go on where the data window is larger; or already of the data
        window's size.
        name: begins an error.
        Raises `InputError` for any other size.
        """
        if plane.shape[:2] != self.display.hw:
            if plane.shape[:2] == self.data.hw:
                return plane
            raise InputError(
                f"{name}: is {plane.shape[1]}x{plane.shape[0]}, expected the size of the display window, "
                f"{self.display}, or of the data window, {self.data}"
            )
        (height, width), (data, display) = self.display.hw, (self.data, self.display)
        rows = np.arange(data.top - display.top, data.bottom - display.top).clip(0, height - 1)
        columns = np.arange(data.left - display.left, data.right - display.left).clip(0, width - 1)
        return np.asarray(plane[rows[:, None], columns[None, :]])

    def show(self, plane: NDArray[Any]) -> NDArray[Any]:
        """Return a plane (H, W, ...) of the data window as the display window shows it, on top of 0."""
        return self.data.moved(plane, self.display)


@dataclass(frozen=True)
class ExrHeader:
    """The header of an OpenEXR file.

    attributes: type and value by name, as bytes.
    kind: "scanline", "tiled", "deep" or "of several parts".
    """

    attributes: Mapping[str, tuple[str, bytes]]
    kind: str

    @classmethod
    def read(cls, file: IO[bytes]) -> Self:
        """Read the header of an open file, which is left behind it. Raises `DamagedHeaderError`."""
        (flags,) = struct.unpack("<4xI", _exactly(file, 8))
        kinds = ((_MULTIPART, "of several parts"), (_DEEP, "deep"), (_TILED, "tiled"))
        return cls(dict(_attributes(file)), next((kind for flag, kind in kinds if flags & flag), "scanline"))

    @property
    def windows(self) -> Windows:
        """The data and display window. Raises `DamagedHeaderError` where one is missing or empty."""
        return Windows(self._box("dataWindow"), self._box("displayWindow"))

    @property
    def channels(self) -> dict[str, str]:
        """Pixel types, "half", "float", "uint" or "subsampled", by the channels' names. Raises `DamagedHeaderError`."""
        content, start = self._value("channels", "chlist"), 0
        found: dict[str, str] = {}
        while content[start : start + 1] not in (b"", b"\0"):
            end = content.find(b"\0", start) + 1
            if not 0 < end <= len(content) - 16:
                raise DamagedHeaderError("its list of channels ends early")
            if len(found) == _MAX_CHANNELS:
                raise DamagedHeaderError(f"it has more than {_MAX_CHANNELS} channels")
            name = content[start : end - 1]
            kind, _, x_step, y_step = struct.unpack_from("<iB3xii", content, end)
            if not 0 <= kind < len(_PIXEL_TYPES):
                raise DamagedHeaderError(f"its channel {name.decode('utf-8', 'replace')} has an unknown type")
            found[name.decode("utf-8", "replace")] = _PIXEL_TYPES[kind] if (x_step, y_step) == (1, 1) else SUBSAMPLED
            start = end + 16
        return found

    def carried_over(self) -> dict[str, tuple[str, bytes]]:
        """Return the attributes that a result made from this file keeps."""
        return {name: value for name, value in self.attributes.items() if name not in _OF_THE_FILE}

    def _box(self, name: str) -> Box:
        """Return a window. Raises `DamagedHeaderError` where it is missing or empty."""
        left, top, right, bottom = struct.unpack("<4i", self._value(name, "box2i", 16))
        if right < left or bottom < top:
            raise DamagedHeaderError(f"its {name} is empty")
        return Box(left, top, right + 1, bottom + 1)

    def _value(self, name: str, kind: str, size: int | None = None) -> bytes:
        """Return the bytes of an attribute. Raises `DamagedHeaderError` where it has another type or size."""
        found_kind, value = self.attributes.get(name, ("", b""))
        if found_kind != kind or (size is not None and len(value) != size):
            raise DamagedHeaderError(f"it has no {name}")
        return value


def splice(draft: Path, wanted: Mapping[str, tuple[str, bytes]], chunks: int) -> None:
    """Give the scanline file `draft`, of so many chunks, the attributes `wanted` beside, or instead of, its own."""
    content = draft.read_bytes()
    with draft.open("rb") as file:
        own = ExrHeader.read(file)
        start = file.tell()
    merged = dict(sorted((dict(own.attributes) | dict(wanted)).items()))
    (version,) = struct.unpack_from("<I", content, 4)
    if any(len(text) > _SHORT_NAME for name, (kind, _) in merged.items() for text in (name, kind)):
        # Readers that do not know long names must refuse the file rather than lose their place in it.
        version |= _LONG_NAMES
    header = bytearray(MAGIC + struct.pack("<I", version))
    for name, (kind, value) in merged.items():
        header += b"\0".join((_raw(name), _raw(kind), struct.pack("<i", len(value)) + value))
    header += b"\0"
    # Behind the header lies where each chunk is, counted from the beginning of the file.
    offsets = np.frombuffer(content, "<u8", chunks, start) + np.uint64(len(header)) - np.uint64(start)
    with draft.open("wb") as file:
        file.write(header)
        file.write(offsets.astype("<u8").tobytes())
        # A view, since a slice of bytes would copy all the pixels.
        file.write(memoryview(content)[start + offsets.nbytes :])


def _attributes(file: IO[bytes]) -> Iterator[tuple[str, tuple[str, bytes]]]:
    """Yield name, type and value of each attribute. Raises `DamagedHeaderError`, also for very many or large ones."""
    count = 0
    while name := _name(file):
        count, kind = count + 1, _name(file)
        if count > _MAX_ATTRIBUTES:
            raise DamagedHeaderError(f"it has more than {_MAX_ATTRIBUTES} attributes")
        (size,) = struct.unpack("<i", _exactly(file, 4))
        if not 0 <= size <= _MAX_ATTRIBUTE:
            raise DamagedHeaderError(f"its attribute {name} claims {size} bytes")
        yield name, (kind, _exactly(file, size))


def _name(file: IO[bytes]) -> str:
    """Read a name up to the zero that ends it; empty at the end of the header. Raises `DamagedHeaderError`."""
    letters = bytearray()
    while (letter := _exactly(file, 1)) != b"\0":
        letters += letter
        if len(letters) > 255:
            raise DamagedHeaderError("it has a name of more than 255 bytes")
    return letters.decode("utf-8", "surrogateescape")


def _raw(name: str) -> bytes:
    """Return a name as it was read: old tools write Latin-1, whose bytes must come back."""
    return name.encode("utf-8", "surrogateescape")


def _exactly(file: IO[bytes], size: int) -> bytes:
    """Read `size` bytes. Raises `DamagedHeaderError` where there are fewer."""
    content = file.read(size)
    if len(content) != size:
        raise DamagedHeaderError("its header ends early")
    return content
