"""Files made and read by other means than the package's: OpenCV, Pillow, OpenEXR's own classes."""

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import OpenEXR
from numpy.typing import NDArray
from PIL import Image

_ORDER = [2, 1, 0, 3]


def save_levels(path: Path, pixels: NDArray[Any]) -> Path:
    """Grey, RGB or RGBA, uint8 or uint16, by OpenCV."""
    stored = pixels if pixels.ndim == 2 else pixels[:, :, _ORDER[: pixels.shape[2]]]
    assert cv2.imwrite(str(path), np.ascontiguousarray(stored))
    return path


def save_tiff(
    path: Path, pixels: NDArray[Any], order: Literal["<", ">"] = "<", planar: bool = False, inverted: bool = False
) -> Path:
    """Grey or RGB, uint8, uint16 or float32, uncompressed, by hand: no library here writes all kinds.

    order: "<" or ">". planar: each channel in a strip of its own. inverted: grey whose 0 is white.
    """
    height, width, count = (*pixels.shape, 1)[:3]
    stored = (np.iinfo(pixels.dtype).max - pixels if inverted else pixels).reshape(height, width, count)
    strips = [stored[:, :, index] for index in range(count)] if planar else [stored]
    content = [strip.astype(strip.dtype.newbyteorder(order)).tobytes() for strip in strips]
    places = [8 + sum(map(len, content[:index])) for index in range(len(content))]
    kind = 3 if np.issubdtype(pixels.dtype, np.floating) else 1
    tags: dict[int, list[int]] = {
        256: [width],
        257: [height],
        258: [pixels.itemsize * 8] * count,
        259: [1],
        262: [2 if count == 3 else 0 if inverted else 1],
        273: places,
        277: [count],
        278: [height],
        279: [len(strip) for strip in content],
        284: [2 if planar else 1],
        339: [kind] * count,
    }
    start = 8 + sum(map(len, content))
    table, behind, end = struct.pack(order + "H", len(tags)), b"", start + 2 + 12 * len(tags) + 4
    for tag, values in tags.items():
        packed = struct.pack(f"{order}{len(values)}I", *values)
        if len(values) > 1:
            packed, behind = struct.pack(order + "I", end + len(behind)), behind + packed
        table += struct.pack(order + "HHI", tag, 4, len(values)) + packed
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, start)
    path.write_bytes(head + b"".join(content) + table + bytes(4) + behind)
    return path


def read_levels(path: Path) -> NDArray[Any]:
    """As `save_levels` takes them, by OpenCV; by Pillow where OpenCV would multiply 8-bit colours with their alpha."""
    with Image.open(path) as picture:
        if picture.format == "TIFF" and picture.mode == "RGBA" and picture.tag_v2[258][0] == 8:  # type: ignore[attr-defined]
            return np.asarray(picture)
    stored = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert stored is not None
    return stored if stored.ndim == 2 else stored[:, :, _ORDER[: stored.shape[2]]]


def save_exr(
    path: Path,
    planes: Mapping[str, NDArray[Any]],
    attributes: Mapping[str, Any] | None = None,
    windows: Mapping[str, tuple[int, int, int, int]] | None = None,
    compression: str = "ZIP",
) -> Path:
    """Channels by their names; windows, data and display, as left, top, width, height."""
    boxes = {
        f"{name}Window": (np.array([x, y], "i4"), np.array([x + width - 1, y + height - 1], "i4"))
        for name, (x, y, width, height) in (windows or {}).items()
    }
    kind = {"compression": getattr(OpenEXR, f"{compression}_COMPRESSION"), "type": OpenEXR.scanlineimage}
    whole = {name: np.ascontiguousarray(plane) for name, plane in planes.items()}
    OpenEXR.File({**kind, **boxes, **(attributes or {})}, whole).write(str(path))
    return path


def read_exr(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Planes and header."""
    file = OpenEXR.File(str(path), separate_channels=True)
    return {name: channel.pixels for name, channel in file.channels().items()}, file.header()


def rgb_profile(primaries: NDArray[np.float64], curve: bytes, space: bytes = b"RGB ") -> bytes:
    """An ICC 2.1 display profile of primaries (rows red, green, blue as XYZ under D50) and one `curv` or `para`."""
    elements = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", 5) + b"test\0" + bytes(78),
        b"wtpt": _xyz(np.array([0.9642, 1, 0.8249])),
        b"cprt": b"text" + bytes(4) + b"none\0",
    }
    if space == b"GRAY":
        elements[b"kTRC"] = curve
    else:
        elements |= {name + b"XYZ": _xyz(row) for name, row in zip((b"r", b"g", b"b"), primaries, strict=True)}
        elements |= {name + b"TRC": curve for name in (b"r", b"g", b"b")}
    offset, table, data = 128 + 4 + 12 * len(elements), b"", b""
    for name, content in elements.items():
        table += struct.pack(">4sII", name, offset + len(data), len(content))
        data += content + bytes(-len(content) % 4)
    size = offset + len(data)
    head = struct.pack(">I4sI4s4s4s", size, bytes(4), 0x02100000, b"mntr", space, b"XYZ ").ljust(36, b"\0") + b"acsp"
    head = head.ljust(68, b"\0") + struct.pack(">3i", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + struct.pack(">I", len(elements)) + table + data


def gamma(value: float) -> bytes:
    """A `curv` element of one power."""
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(value * 256)) + bytes(2)


def adobe_profile() -> bytes:
    """Adobe RGB (1998)."""
    primaries = np.array([[0.60974, 0.31111, 0.01947], [0.20528, 0.62567, 0.06087], [0.14919, 0.06322, 0.74457]])
    return rgb_profile(primaries, gamma(2.19921875))


def _xyz(numbers: NDArray[np.float64]) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3i", *np.rint(numbers * 65536).astype(int).tolist())
