"""Read and write OpenEXR files, half or float; results have their photo's windows and attributes."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..files import replacing
from .damage import check_exr, damaged
from .exr_header import MAGIC, SUBSAMPLED, DamagedHeaderError, ExrHeader, Windows, splice
from .opening import check_size

_DTYPES: dict[str, type[Any]] = {"half": np.float16, "float": np.float32, "uint": np.uint32}
_LINES_PER_CHUNK = 16  # of ZIP compression, which is lossless
_NAMES = {1: "A", 3: "RGB", 4: "RGBA"}
_HALF_LEVEL = 0.5 / 255


def is_exr(path: str | Path) -> bool:
    """Return whether a file begins as OpenEXR files do. Raises `InputError` for what is no file or cannot be read."""
    # Unlike the methods of `Path`, these answer for a name that is longer than the system's, too.
    if not os.path.isfile(path):
        kind = "a folder" if os.path.isdir(path) else "no such file"
        raise InputError(f"{path}: {kind}; give the path of an image file")
    try:
        with open(path, "rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}; give the path of an image file") from error


def read_exr_header(path: str | Path, max_megapixels: float) -> ExrHeader:
    """Return the header of a flat file of one part, before anything is decoded. Raises `InputError`."""
    try:
        with open(path, "rb") as file:
            header = ExrHeader.read(file)
        # Both are parsed when they are asked for, and may be damaged.
        windows, _ = header.windows, header.channels
    except (DamagedHeaderError, OSError) as error:
        raise damaged(path, "OpenEXR file", error) from error
    if header.kind not in ("scanline", "tiled"):
        raise InputError(
            f"{path}: is an OpenEXR file {header.kind}, expected a flat one with a single part; flatten it"
        )
    # Results are as large as the display window, however few pixels the file has.
    for height, width in (windows.data.hw, windows.display.hw):
        check_size(width, height, path, max_megapixels)
    return header


def read_exr_rgb(path: str | Path, max_megapixels: float, layer: str | None = None) -> tuple[NDArray[Any], ExrHeader]:
    """Read scene-linear colours (H, W, 3): channels R, G, B, or Y alone as grey; A must be opaque.

    layer: the layer whose channels these are, as beauty of beauty.R; None for those without a layer.
    Other channels and layers are not looked at. The file has scanlines or tiles, of any compression. Values are
    float16, or float32 where one of the channels is, and may be infinite. Raises `InputError`.
    """
    header = read_exr_header(path, max_megapixels)
    colours = _colours(header, layer)
    if colours is None:
        raise _without_colours(path, header, layer)
    alpha = _named("A", layer)
    planes = _read(path, header, (*colours, *({alpha} & header.channels.keys())))
    if alpha in planes and not _is_opaque(planes[alpha]):
        raise InputError(
            f"{path}: has transparent pixels, whose colours are undefined; flatten it, or save it without alpha"
        )
    # Y alone becomes three equal channels.
    return np.stack([planes[name] for name in (colours * 3)[:3]], axis=2), header


def read_exr_mask(path: str | Path, max_megapixels: float) -> tuple[NDArray[np.float32], Windows, bool]:
    """Read a mask (H, W) float32, as stored, of the data window; the windows; and whether it is the alpha channel.

    It is channel A, or where that is opaque or missing Y or equal R, G, B, if not all 0. Raises `InputError`.
    """
    header = read_exr_header(path, max_megapixels)
    plane, colours = None, _colours(header)
    if is_alpha := "A" in header.channels:
        plane = _read(path, header, ("A",))["A"]
    if colours is not None and (plane is None or _is_opaque(plane)):
        grey, *others = _read(path, header, colours).values()
        # NaN is looked for below, where the message names it.
        if not all(np.array_equal(grey, other, equal_nan=True) for other in others):
            raise InputError(f"{path}: is a colour image, expected grey values or an alpha channel that is not opaque")
        if plane is None or grey.any():
            plane, is_alpha = grey, False
    if plane is None:
        raise InputError(f"{path}: its channels are {_listed(header.channels)}, expected A, Y or R, G, B for a mask")
    if np.isnan(plane).any():
        raise InputError(f"{path}: contains NaN; render the mask again")
    return plane.astype(np.float32), header.windows, is_alpha


def read_exr_planes(path: str | Path, max_megapixels: float) -> list[NDArray[Any]]:
    """Read all channels, at most four, each (H, W) of the data window, half or float. Raises `InputError`."""
    header = read_exr_header(path, max_megapixels)
    if len(header.channels) > len("RGBA"):  # each takes the memory of the window
        raise InputError(f"{path}: its channels are {_listed(header.channels)}, expected those of a result; remove it")
    return list(_read(path, header, tuple(header.channels)).values())


def write_exr(path: str | Path, pixels: NDArray[Any], source: ExrHeader | None = None) -> None:
    """Write a picture losslessly.

    pixels: (H, W) for channel A, (H, W, 3) for R, G, B or (H, W, 4) for R, G, B, A; float16 or float32.
    source: the header of a file of the same data window, whose windows and attributes the new one gets.
    Raises `OutputError`.
    """
    import OpenEXR  # here: machines that are lent to train on photos have none

    planes = pixels[:, :, None] if pixels.ndim == 2 else pixels
    names = _NAMES[planes.shape[2]]
    channels = {name: np.ascontiguousarray(planes[:, :, index]) for index, name in enumerate(names)}
    header: dict[str, Any] = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    if source is not None:  # what else it says is spliced in; chunks of pixels say which rows they are
        box = source.windows.data
        header["dataWindow"] = (np.array([box.left, box.top], "i4"), np.array([box.right - 1, box.bottom - 1], "i4"))
    with replacing(path) as draft:
        try:
            OpenEXR.File(header, channels).write(str(draft))
        except RuntimeError as error:
            # `replacing` removes the draft after an OSError, and says which file could not be written.
            raise OSError(" ".join(str(error).replace(str(draft), "it").split())) from error
        if source is not None:
            splice(draft, source.carried_over(), -(-planes.shape[0] // _LINES_PER_CHUNK))


def _is_opaque(alpha: NDArray[Any]) -> bool:
    """Return whether an alpha channel is 1 everywhere, within half a level of 8 bits, as filters leave it."""
    return bool((np.abs(alpha.astype(np.float32) - 1) <= _HALF_LEVEL).all())


def _colours(header: ExrHeader, layer: str | None = None) -> tuple[str, ...] | None:
    """Return the channels that hold the picture: R, G, B of a layer, or Y where no chroma belongs to it."""
    names = header.channels.keys()
    red, green, blue, grey, *chroma = (_named(name, layer) for name in ("R", "G", "B", "Y", "RY", "BY"))
    if {red, green, blue} <= names:
        return (red, green, blue)
    return (grey,) if grey in names and not set(chroma) & names else None


def _named(channel: str, layer: str | None) -> str:
    """Return the name of a channel of a layer."""
    return channel if layer is None else f"{layer}.{channel}"


def _without_colours(path: str | Path, header: ExrHeader, layer: str | None) -> InputError:
    """Return the error for a file that has no colours in a layer, which says which layers have some."""
    layers = dict.fromkeys(name.rpartition(".")[0] for name in header.channels if "." in name)
    usable = [each for each in layers if _colours(header, each)]
    if usable:
        asked = "R, G, B, or Y without a layer" if layer is None else f"layer {layer} of R, G, B, or Y"
        plain = "" if layer is None or _colours(header) is None else ", or leave it out"
        return InputError(
            f"{path}: has no {asked}; choose one of its layers with `layer`: "
            f"{_listed(dict.fromkeys(usable, ''))}{plain}"
        )
    return InputError(
        f"{path}: its channels are {_listed(header.channels)}, expected R, G, B, or Y without RY and BY; "
        + ("save the layer that you need as plain RGB" if layer is None else "leave `layer` out")
    )


def _read(path: str | Path, header: ExrHeader, names: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    """Return these channels, each (H, W) of the data window, float32 where one of them is, else float16."""
    import OpenEXR

    types = {header.channels[name] for name in names}
    if SUBSAMPLED in types:
        raise InputError(f"{path}: has subsampled channels ({_listed(header.channels)}); save it as plain RGB")
    if "uint" in types:
        raise InputError(
            f"{path}: has integer channels ({_listed(header.channels)}), expected half or float; convert them"
        )
    check_exr(path, header.windows, header.kind == "tiled")
    try:
        # `OpenEXR.File` drops what it cannot decode, with a warning on the standard output; this raises.
        contents = OpenEXR.InputFile(str(path)).channels(list(names))
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        raise damaged(path, "OpenEXR file", error) from error
    dtype = np.float32 if "float" in types else np.float16
    return {
        name: np.frombuffer(content, _DTYPES[header.channels[name]]).reshape(header.windows.data.hw).astype(dtype)
        for name, content in zip(names, contents, strict=True)
    }


def _listed(names: dict[str, str]) -> str:
    """Return the first few names of channels, for an error."""
    shown = list(names)[:8]
    return ", ".join(shown) + (f" and {len(names) - 8} more" if len(names) > 8 else "") if names else "none"
