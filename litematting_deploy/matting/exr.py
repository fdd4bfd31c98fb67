"""OpenEXR files: plain RGB photos, masks and alphas, half or float; results with the photo's windows and attributes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import OpenEXR
from numpy.typing import NDArray

from .._files import replacing
from ..errors import InputError
from .decoding import check_is_file, check_size
from .exr_header import MAGIC, DamagedHeaderError, ExrHeader, splice
from .quiet import decoders_quiet

_DTYPES: dict[str, type[Any]] = {"half": np.float16, "float": np.float32, "uint": np.uint32}
_LINES_PER_CHUNK = 16  # of ZIP compression, which is lossless
_NAMES = {1: "A", 3: "RGB", 4: "RGBA"}


@dataclass(frozen=True)
class ExrPicture:
    """planes: (H, W) float16 or float32 by the channels' names, of the data window."""

    planes: dict[str, NDArray[Any]]
    header: ExrHeader


def is_exr(path: str | Path) -> bool:
    """Whether a file begins as OpenEXR files do. Raises `InputError` for a path that cannot be read."""
    try:
        check_is_file(path)
        with Path(path).open("rb") as file:
            return file.read(4) == MAGIC
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}; give the path of an image file") from error


def read_exr_rgb(path: str | Path, max_megapixels: float) -> tuple[NDArray[Any], ExrHeader]:
    """Scene-linear colours (H, W, 3) float16 or float32 of a file whose channels are R, G, B and at most an opaque A.

    Scanlines or tiles, of any compression; float32 where any channel is. Values may be infinite. Raises `InputError`.
    """
    header = _header(path, max_megapixels)
    names = header.channels
    if not {"R", "G", "B"} <= set(names) <= {"R", "G", "B", "A"}:
        raise InputError(
            f"{path}: its channels are {_listed(names)}, wanted R, G, B and at most an opaque A; "
            "write the layer that you mean as plain RGB"
        )
    picture = _read(path, header, tuple(name for name in "RGBA" if name in names))
    if "A" in names and not (picture.planes["A"] == 1).all():
        raise InputError(
            f"{path}: has transparent pixels, whose colours are unclear; flatten it or save it without alpha"
        )
    return np.stack([picture.planes[name] for name in "RGB"], axis=2), header


def read_exr_mask(path: str | Path, max_megapixels: float) -> NDArray[np.uint8]:
    """Channel A, or else Y, as the display window shows it: (H, W) uint8, 0..1 as 0..255. Raises `InputError`."""
    header = _header(path, max_megapixels)
    name = next((name for name in ("A", "Y") if name in header.channels), None)
    if name is None:
        raise InputError(f"{path}: its channels are {_listed(header.channels)}, wanted A or Y for a mask")
    plane = _read(path, header, (name,)).planes[name]
    if np.isnan(plane).any():
        raise InputError(f"{path}: its channel {name} holds values that are no numbers; write the mask again")
    levels = np.rint(plane.astype(np.float32).clip(0, 1) * 255).astype(np.uint8)
    return header.windows.show(levels)


def read_exr_whole(path: str | Path, max_megapixels: float) -> ExrPicture:
    """All channels, at most four, of a flat file of half or float values. Raises `InputError`."""
    header = _header(path, max_megapixels)
    if len(header.channels) > len("RGBA"):  # each takes the memory of the window
        raise InputError(f"{path}: its channels are {_listed(header.channels)}, wanted those of a result; remove it")
    return _read(path, header, tuple(header.channels))


def write_exr(path: str | Path, pixels: NDArray[Any], source: ExrHeader | None = None) -> None:
    """Write (H, W) as channel A, (H, W, 3) as R, G, B or (H, W, 4) as R, G, B, A; float16 or float32, losslessly.

    source: a file of the same data window, whose windows and attributes the new one gets. Raises `OutputError`.
    """
    planes = pixels[:, :, None] if pixels.ndim == 2 else pixels
    names = _NAMES[planes.shape[2]]
    channels = {name: np.ascontiguousarray(planes[:, :, index]) for index, name in enumerate(names)}
    header: dict[str, Any] = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    if source is not None:
        windows = source.windows
        for name, box in (("dataWindow", windows.data), ("displayWindow", windows.display)):
            header[name] = (np.array([box.left, box.top], "i4"), np.array([box.right - 1, box.bottom - 1], "i4"))
    with replacing(path) as draft:
        try:
            OpenEXR.File(header, channels).write(str(draft))
        except RuntimeError as error:
            raise OSError(" ".join(str(error).replace(str(draft), "it").split())) from error
        if source is not None:
            splice(draft, source.carried_over(), -(-planes.shape[0] // _LINES_PER_CHUNK))


def _header(path: str | Path, max_megapixels: float) -> ExrHeader:
    """The header of a file that can be read, checked before anything is decoded."""
    try:
        with Path(path).open("rb") as file:
            header = ExrHeader.read(file)
        (height, width), _ = header.windows.data.hw, header.channels
        shown = header.windows.display.hw
    except (DamagedHeaderError, OSError) as error:
        raise InputError(f"{path}: damaged or truncated OpenEXR file ({error}); save or fetch it again") from error
    if header.kind not in ("scanline", "tiled"):
        raise InputError(f"{path}: is an OpenEXR file {header.kind}, wanted a flat one of one part; flatten it")
    check_size(width, height, path, max_megapixels)
    check_size(shown[1], shown[0], path, max_megapixels)
    return header


def _read(path: str | Path, header: ExrHeader, names: tuple[str, ...]) -> ExrPicture:
    types = {header.channels[name] for name in names}
    if "uint" in types:
        raise InputError(f"{path}: holds integers in {_listed(header.channels)}, wanted half or float values")
    try:
        # `OpenEXR.File` drops what it cannot decode, with a warning on the standard output; this raises.
        with decoders_quiet():
            contents = OpenEXR.InputFile(str(path)).channels(list(names))
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: damaged or truncated OpenEXR file ({reason}); save or fetch it again") from error
    dtype = np.float32 if "float" in types else np.float16
    planes = {
        name: np.frombuffer(content, _DTYPES[header.channels[name]]).reshape(header.windows.data.hw).astype(dtype)
        for name, content in zip(names, contents, strict=True)
    }
    return ExrPicture(planes, header)


def _listed(names: dict[str, str]) -> str:
    shown = list(names)[:8]
    return ", ".join(shown) + (f" and {len(names) - 8} more" if len(names) > 8 else "") if names else "none"
