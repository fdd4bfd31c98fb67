"""Checks of files: what is shipped, which formats can be read and written, and where things are kept."""

import importlib.metadata
import importlib.util
import tempfile
import uuid
from pathlib import Path

import cv2
import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image

from .._optional import require
from ..errors import ArtefactError, InputError, OutputError
from ..files import cache_folder, replace_file
from ..images.encode import write_image
from ..images.exr import read_exr_rgb, write_exr
from ..images.mask import read_trimap
from ..images.opening import READ_FORMATS
from ..images.photo import read_image
from ..images.suffixes import READS_AVIF, WRITE_SUFFIXES
from ..runtime.shipped import EXAMPLE_IMAGE, EXAMPLE_TRIMAP, SHIPPED_ENGINE
from ..sidecar import check_sidecar, sidecar_path
from .registry import Found, MissingError, needs

_OPENEXR = "3.4.11"
_LOSSY = 12
"""Grey levels that these may change in a smooth picture."""
_LOSSY_KINDS = ("JPEG", "WEBP", "HEIC", "AVIF")


def shipped() -> Found:
    """Compare the hashes of the shipped engine and its weights, and read the example."""
    sidecar = check_sidecar(SHIPPED_ENGINE)
    if sidecar is None:
        raise ArtefactError(f"{sidecar_path(SHIPPED_ENGINE)}: not found; reinstall litematting-deploy")
    if read_image(EXAMPLE_IMAGE).shape[:2] != read_trimap(EXAMPLE_TRIMAP).shape:
        raise InputError(f"{EXAMPLE_IMAGE}: differs in size from its trimap; reinstall litematting-deploy")
    return Found("", f"{sidecar.file} and {sidecar.checkpoint} are intact, SHA-256 {sidecar.checkpoint_sha256[:12]}")


def images() -> Found:
    """Read a picture in every format that is read, and write and read it in every one that is written."""
    y, x = np.mgrid[40:136:2, 40:168:2].astype(np.uint8)
    picture = np.dstack([x, np.full_like(x, 90), y])
    with tempfile.TemporaryDirectory() as folder:
        for kind in READ_FORMATS:
            path = Path(folder) / kind
            Image.fromarray(picture).save(path, format=kind)
            _same(kind, picture, read_image(path))
        for suffix in WRITE_SUFFIXES:
            path = Path(folder) / f"written{suffix}"
            write_image(path, picture)
            _same(suffix, picture, read_image(path))
    versions = f"Pillow {PIL.__version__}, OpenCV {cv2.__version__}"
    return Found(versions, f"reads {', '.join(READ_FORMATS)}; writes {', '.join(WRITE_SUFFIXES)}")


def _same(kind: str, wanted: NDArray[np.uint8], found: NDArray[np.uint8]) -> None:
    """Raise `InputError` where a picture (H, W, 3) uint8 RGB comes back changed by more than its format may."""
    difference = np.abs(found.astype(int) - wanted).max()
    if difference > (_LOSSY if kind in _LOSSY_KINDS else 0):
        raise InputError(
            f"{kind}: a written image changed by {difference} grey levels when read back; reinstall pillow and OpenCV"
        )


def containers() -> Found:
    """Write a picture as HEIC and as AVIF, and read it."""
    purpose = f"HEIC (AVIF is {'' if READS_AVIF else 'not '}read)"
    (heif,) = needs(lambda: require("pillow_heif", "heif", purpose))
    picture = np.full((64, 64, 3), np.linspace(40, 200, 64)[:, None, None], np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        heic, avif = Path(folder) / "HEIC", Path(folder) / "AVIF"
        heif.from_pillow(Image.fromarray(picture)).save(heic, quality=100)
        _same("HEIC", picture, read_image(heic))
        if READS_AVIF:
            Image.fromarray(picture).save(avif, format="AVIF", quality=100)
            _same("AVIF", picture, read_image(avif))
    version = f"pillow_heif {heif.__version__}, Pillow {PIL.__version__}"
    return Found(
        version, "reads HEIC and AVIF" if READS_AVIF else "reads HEIC; this version of Pillow does not read AVIF"
    )


def openexr() -> Found:
    """Write half floats to an OpenEXR file and read them."""
    if importlib.util.find_spec("OpenEXR") is None:
        raise MissingError(f"OpenEXR files need OpenEXR, which is not installed: pip install 'OpenEXR>={_OPENEXR}'")
    version = importlib.metadata.version("OpenEXR")
    pixels = np.linspace(0, 8, 16 * 16 * 3).reshape(16, 16, 3).astype(np.float16)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "half.exr"
        write_exr(path, pixels)
        back, _ = read_exr_rgb(path, max_megapixels=1)
    if back.dtype != np.float16 or not np.array_equal(back, pixels):
        raise InputError(f"OpenEXR {version}: half floats changed when read back; install 'OpenEXR>={_OPENEXR}'")
    return Found(f"OpenEXR {version}", "half floats are preserved")


def clips() -> Found:
    """Write three frames with every codec of clips, and read them."""
    (av,) = needs(lambda: require("av", "video", "reading and writing clips"))
    from ..video.codecs import CODECS
    from ..video.writer import comes_back

    missing = [name for name, codec in CODECS.items() if not comes_back(codec)]
    version = f"PyAV {av.__version__}, FFmpeg's libavcodec {'.'.join(map(str, av.library_versions['libavcodec']))}"
    if missing:
        raise InputError(f"{version} cannot write and read back {', '.join(missing)}; reinstall the package av")
    return Found(version, f"writes and reads {', '.join(CODECS)}")


def cache() -> Found:
    """Write to the folder that keeps compiled kernels."""
    folder = cache_folder()
    probe = folder / f"doctor-{uuid.uuid4().hex}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        replace_file(probe, b"writable")
        probe.unlink()
    except (OSError, OutputError) as error:
        reason = getattr(error, "strerror", None) or error.__cause__ or error
        raise OutputError(
            f"{folder}: cannot be written ({reason}), so kernels are compiled again at every start; set "
            "XDG_CACHE_HOME to a writable folder"
        ) from error
    return Found("", f"{folder} is writable")
