"""Data sets of images, trimaps and alphas: folders whose files belong together by name, whatever their endings.

A folder in these is a clip, whose frames are in the order of their names.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..images.mask import read_alpha, read_trimap
from ..images.photo import read_image
from ..images.suffixes import READ_SUFFIXES, files_in, looks_like_image
from ..matting.trimap import UNKNOWN, decode
from ..specs import MAX_MEGAPIXELS, Encoding

ALPHA_FOLDER = "alpha"


@dataclass(frozen=True)
class Layout:
    """How a data set is laid out: the names of its folders of images and of trimaps. Alphas are in `alpha`."""

    name: str
    images: str
    trimaps: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name} ({', '.join(f'{folder}/' for folder in (self.images, *self.trimaps, ALPHA_FOLDER))})"


LAYOUTS = (Layout("Composition-1k", "merged", ("trimaps",)), Layout("alphamatting", "image", ("trimap1", "trimap2")))


@dataclass(frozen=True)
class Sample:
    """The files of one image. name: of the files, without their endings, behind that of the clip: `walk/0001`."""

    name: str
    image: Path
    trimap: Path
    alpha: Path


@dataclass(frozen=True)
class Dataset:
    """A data set whose files are all there.

    layout: its name. trimap: the folder of trimaps in use. samples: in the order of their names.
    """

    folder: Path
    layout: str
    trimap: str
    samples: tuple[Sample, ...]


@dataclass(frozen=True)
class Example:
    """One image, read: image (H, W, 3) uint8 RGB, trimap (H, W) uint8 of 0 / 128 / 255, alpha (H, W) uint8, 0..255."""

    name: str
    image: NDArray[np.uint8]
    trimap: NDArray[np.uint8]
    alpha: NDArray[np.uint8]

    @property
    def clip(self) -> str:
        """The name of the clip that the image is a frame of; empty for one by itself."""
        return self.name.rpartition("/")[0]


def open_dataset(folder: str | Path, trimap: str | None = None) -> Dataset:
    """Find the files of a data set; its layout is clear from the names of its folders.

    folder: the data set.
    trimap: the folder of trimaps in it; the layout's first by default.
    Raises: `InputError` naming the folder or file that is missing, and for a missing `trimap` those that are there.
    """
    folder = Path(folder)
    if not os.path.isdir(folder):
        raise InputError(
            f"{folder}: {'not a' if os.path.exists(folder) else 'no such'} folder; give the folder of a data set"
        )
    layout = _layout(folder)
    trimap = trimap or layout.trimaps[0]
    choices = [path.name for path in _entries(folder) if path.is_dir() and path.name.startswith("trimap")]
    if choices and trimap not in choices:
        raise InputError(
            f"{folder}: `trimap` must be one of its folders {', '.join(choices)}; got {trimap!r}", parameter="trimap"
        )
    images, trimaps, alphas = (_files(folder, name) for name in (layout.images, trimap, ALPHA_FOLDER))
    _check_partners({layout.images: images, trimap: trimaps, ALPHA_FOLDER: alphas}, folder)
    samples = tuple(Sample(name, images[name], trimaps[name], alphas[name]) for name in sorted(images))
    return Dataset(folder, layout.name, trimap, samples)


def read_sample(sample: Sample, trimap_encoding: Encoding = "exact", max_megapixels: float = MAX_MEGAPIXELS) -> Example:
    """Read and check the files of one image.

    The alpha may be grey, colour of equal channels, or the alpha channel of a cut-out; of 16 bits the upper 8 count.

    sample: the files.
    trimap_encoding: what grey values of the trimap mean.
    max_megapixels: larger images are refused before they are decoded.
    Raises: `InputError` naming the file, also for sizes that differ and for a trimap without unknown pixels.
    """
    image = read_image(sample.image, max_megapixels)
    trimap = decode(read_trimap(sample.trimap, max_megapixels), trimap_encoding, str(sample.trimap))
    alpha = read_alpha(sample.alpha, max_megapixels)
    for path, array in ((sample.trimap, trimap), (sample.alpha, alpha)):
        if array.shape != image.shape[:2]:
            raise InputError(
                f"{path}: is {array.shape[1]}x{array.shape[0]}, {sample.image} is "
                f"{image.shape[1]}x{image.shape[0]}; the sizes must match"
            )
    if not (trimap == UNKNOWN).any():
        raise InputError(
            f"{sample.trimap}: has no unknown pixels, so there is nothing to measure; leave this image out"
        )
    return Example(sample.name, image, trimap, alpha)


def _layout(folder: Path) -> Layout:
    """Return the layout whose folder of images is there. Raises `InputError` where that is none or both."""
    found = [layout for layout in LAYOUTS if (folder / layout.images).is_dir()]
    if len(found) != 1:
        kinds = " or ".join(map(str, LAYOUTS))
        raise InputError(f"{folder}: contains {_listed(folder)}, expected the folders of one data set: {kinds}")
    return found[0]


def _files(folder: Path, name: str) -> dict[str, Path]:
    """Return the images in a folder of the data set, and in its clips, by their names without endings.

    Raises `InputError`.
    """
    if not (folder / name).is_dir():
        raise InputError(f"{folder}: has no folder {name}/; it contains {_listed(folder)}")
    entries = _entries(folder / name)
    clips = [path for path in entries if path.is_dir() and not path.name.startswith(".")]
    places = [("", folder / name)] if not clips or any(map(looks_like_image, entries)) else []
    files: dict[str, Path] = {}
    for clip, place in places + [(f"{path.name}/", path) for path in clips]:
        for path in files_in(place, f"images ({', '.join(READ_SUFFIXES)})", looks_like_image):
            key = clip + path.stem
            if key in files:
                raise InputError(f"{path}: {files[key].name} has the same name; remove or rename one of them")
            files[key] = path
    return files


def _check_partners(folders: dict[str, dict[str, Path]], root: Path) -> None:
    """Raise `InputError` for a file of one folder that has no partner in another."""
    everything = sorted(set().union(*folders.values()))
    for name, files in reversed(folders.items()):  # of both mistakes, an image without an alpha first
        missing = [stem for stem in everything if stem not in files]
        if missing:
            there = next(other[missing[0]] for other in folders.values() if missing[0] in other)
            more = f" (and {len(missing) - 1} more are missing)" if missing[1:] else ""
            raise InputError(
                f"{there}: has no counterpart in {root / name}{more}; add an image named {missing[0]} there, with "
                f"one of the endings {', '.join(READ_SUFFIXES)}"
            )


def _entries(folder: Path) -> list[Path]:
    """Return what is in a folder, sorted. Raises `InputError`."""
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise InputError(f"{folder}: cannot be read: {error.strerror}; make it readable") from error


def _listed(folder: Path) -> str:
    """Return the first few names in a folder, for a message."""
    names = [f"{path.name}/" if path.is_dir() else path.name for path in _entries(folder)]
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if names[6:] else "") if names else "nothing"
