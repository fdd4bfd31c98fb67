"""What an export in INT8 is calibrated and judged on: scenes drawn as for training, and photos of a folder."""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import InputError, naming
from ..files import asset
from ..images.mask import read_mask, read_trimap
from ..images.photo import read_image
from ..matting.samples import balanced_patch
from ..matting.trimap import UNKNOWN, VALUES, from_mask
from ..matting.unknown_band import Band
from ..model.samples import Calibration, Inputs, Scene
from ..parameters import path_text
from ..specs import DEFAULT_UNKNOWN_WIDTH
from .drawing import Stream
from .families import FAMILIES
from .library import Library
from .photos import Photos, list_images
from .procedural import cut
from .recipe import Augment
from .scenes import compose

DRAWN = "drawn"

_TRIMAP, _MASK = "_trimap", "_mask"
# Few photos lie behind many scenes: nearly all are recoloured or mixed.
_AUGMENT = Augment(photo_variety=0.8)
_BEHIND = asset("dandelion.jpg")
# How many drawn scenes set ranges, how many of these choose layers, and how many others judge; each with its seed.
_RANGES, _TUNING, _JUDGED = 24, 12, 48
_SEEN, _UNSEEN = 1, 2


def calibration_scenes(source: str | Path, patch_hw: tuple[int, int]) -> Calibration:
    """Return what `export_onnx` needs to see for `precision="int8"`.

    - `source`: `drawn`, or a folder of photos whose activations set the scales, each `NAME.jpg` with `NAME_trimap.png`
      or `NAME_mask.png` next to it. Layers are chosen and the result is judged on drawn scenes in any case.
    - `patch_hw`: height and width of the export's patches in pixels, `ExportSpec.patch_hw`.

    Photos are read at once, scenes are drawn when they are needed. Raises `InputError` about the folder or its files.
    """
    seen, tuning, judged = (
        drawn_scenes([_BEHIND], patch_hw, count, seed)
        for count, seed in ((_RANGES, _SEEN), (_TUNING, _SEEN), (_JUDGED, _UNSEEN))
    )
    if source == DRAWN:
        return Calibration(DRAWN, (inputs for inputs, _ in seen), tuning, judged, (_RANGES, _TUNING, _JUDGED))
    folder = path_text("calibration", source)
    with naming(lambda: {"calibration": folder}):
        photos = photo_patches(folder, patch_hw)
    return Calibration(Path(folder).name, photos, tuning, judged, (len(photos), _TUNING, _JUDGED))


def drawn_scenes(photos: Sequence[Path], patch_hw: tuple[int, int], count: int, seed: int) -> Iterator[Scene]:
    """Yield `count` scenes of one patch with their alpha (H, W) float32, 0..1, of all families in turn.

    photos: files of what lies behind, and of colours. seed: another one makes other scenes. Raises `InputError`.
    """
    behind, names, (height, width) = Photos(photos, torch.device("cpu")), list(FAMILIES), patch_hw
    side = max(patch_hw)
    for index in range(count):
        rng = np.random.default_rng([seed, index])
        layer = cast(Library, _Drawn(Stream(seed, side, {names[index % len(names)]: 1.0}), index))
        scene = compose(cut(layer, behind, _AUGMENT, rng, 1, side), _AUGMENT, rng)
        inputs = {
            name: getattr(scene, name)[..., :height, :width].numpy().copy() for name in ("image", "trimap", "guide")
        }
        inputs["image"] = np.rint(inputs["image"] * 255) / np.float32(255)
        yield inputs, scene.alpha[0, 0, :height, :width].numpy().copy()


class _Drawn:
    """One drawn layer in the place of a training library."""

    def __init__(self, stream: Stream, index: int) -> None:
        planes, points = stream.draw(index)
        self._planes = torch.from_numpy(planes)[None].float() / 255
        self._points = torch.from_numpy(points[:1]).float()

    def take(self, *_: object) -> tuple[Tensor, Tensor]:
        """Return the layer (1, planes, S, S) float32, 0..1, and a pixel of interest in it (1, 2)."""
        return self._planes, self._points


def photo_patches(folder: str | Path, patch_hw: tuple[int, int]) -> list[Inputs]:
    """Return a patch of each photo in a folder, `NAME.jpg` with `NAME_trimap.png` or `NAME_mask.png` beside it.

    Raises `InputError` naming the folder that holds none, the photos without trimap and mask, or those without photo.
    """
    files = list_images(folder)
    beside = {path.stem: path for path in files if path.stem.endswith((_TRIMAP, _MASK))}
    photos = [path for path in files if path.stem not in beside]
    alone = [path.name for path in photos if not {path.stem + _TRIMAP, path.stem + _MASK} & beside.keys()]
    if alone or not photos:
        raise InputError(
            f"{folder}: no trimap or mask for {_first(alone) or 'any photo'}; next to NAME.jpg, add "
            f"NAME{_TRIMAP}.png or NAME{_MASK}.png"
        )
    names = {path.stem + ending for path in photos for ending in (_TRIMAP, _MASK)}
    if lost := [path.name for stem, path in beside.items() if stem not in names]:
        raise InputError(
            f"{folder}: no photo for {_first(lost)}; add it (NAME.jpg for NAME{_TRIMAP}.png), or move these files out "
            "of the folder"
        )
    return [_patch_of(path, beside, patch_hw) for path in photos]


def _first(names: list[str]) -> str:
    """Return the first few names for a message."""
    return ", ".join(itertools.islice(names, 4))


def _patch_of(photo: Path, beside: dict[str, Path], patch_hw: tuple[int, int]) -> Inputs:
    """Return a patch of a photo with the trimap beside it, or one made from its mask. Raises `InputError`."""
    image = read_image(photo)
    if (source := beside.get(photo.stem + _TRIMAP)) is not None:
        trimap = _trimap(source, image.shape[:2])
    else:
        source = beside[photo.stem + _MASK]
        try:
            mask = read_mask(source)
            trimap = from_mask(mask, Band.parse(DEFAULT_UNKNOWN_WIDTH, "unknown_width"), str(source), image)
        except InputError as error:
            error.add_note(f"calibration has no options for masks: save a plain mask, or a trimap as NAME{_TRIMAP}.png")
            raise
    if not (trimap == UNKNOWN).any():
        raise InputError(
            f"{source}: has no unknown pixels, which calibration requires; make a trimap with "
            "an unknown band, or move this photo out of the folder"
        )
    return balanced_patch(image, trimap, patch_hw)


def _trimap(source: Path, photo_hw: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return the trimap (H, W) in a file. Raises `InputError`, which names no way to read it that exports lack."""
    trimap = read_trimap(source)
    if trimap.shape != photo_hw:
        raise InputError(
            f"{source}: is {trimap.shape[1]}x{trimap.shape[0]}, but its photo is {photo_hw[1]}x{photo_hw[0]}; the "
            "sizes must match"
        )
    if strange := sorted({*np.unique(trimap).tolist()} - {*VALUES}):
        raise InputError(
            f"{source}: a trimap contains only {', '.join(map(str, VALUES))}; this one also contains "
            f"{_first([*map(str, strange)])}; save it without antialiasing or compression, or name a mask "
            f"NAME{_MASK}.png"
        )
    return trimap
