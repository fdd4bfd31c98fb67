"""How segmentation networks take a photo and what they give: those that are known, and a user's own words for others.

A network is recognised by its inputs and outputs. A TOML beside the ONNX, `model.toml` of `model.onnx`, says the same
for any other, or otherwise. Sources and licences of the known ones are in docs/how-to/nothing.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from ..engines.network import Tensor
from ..errors import ArtefactError
from ..schema import decode

Triple: TypeAlias = tuple[float, float, float]

_IMAGENET: Triple = (0.485, 0.456, 0.406)
_IMAGENET_DEVIATION: Triple = (0.229, 0.224, 0.225)
_MULTIPLE = 32


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What is done to a photo before a network sees it, and to what it gives.

    - `name`: in words.
    - `size`: height and width in pixels that the photo is scaled to, if the network's are not fixed.
    - `short_side`: instead of `size`, what the shorter side becomes, unless it lies between the two sides; both are cut
      to multiples of 32.
    - `fit`: `stretched` to the size, or `padded` with the mean at the right and bottom.
    - `divisor`: 255, or the photo's `largest` value.
    - `mean`, `deviation`: values that are subtracted, and then divided by, channel by channel.
    - `channels`: their order.
    - `output`: index or name of the output.
    - `sigmoid`: apply a sigmoid to the output.
    - `spread`: stretch the output's values to 0..1, as the authors do, unless it has found nothing.
    """

    name: str = "as its TOML says"
    size: tuple[int, int] | None = None
    short_side: int | None = None
    fit: Literal["stretched", "padded"] = "stretched"
    divisor: Literal["255", "largest"] = "255"
    mean: Triple = _IMAGENET
    deviation: Triple = _IMAGENET_DEVIATION
    channels: Literal["rgb", "bgr"] = "rgb"
    output: int | str = 0
    sigmoid: bool = False
    spread: bool = False

    def __post_init__(self) -> None:
        for side in (*(self.size or ()), *(() if self.short_side is None else (self.short_side,))):
            if not _MULTIPLE <= side <= 8192:
                raise ValueError(f"size and short_side must be between {_MULTIPLE} and 8192 pixels; got {side}")
        if not np.isfinite((self.mean, self.deviation)).all():
            raise ValueError(f"mean and deviation must be finite; got {list(self.mean)} and {list(self.deviation)}")
        if min(self.deviation) <= 0:
            raise ValueError(f"deviation must be above 0; got {list(self.deviation)}")

    def hw(self, photo_hw: tuple[int, int], fixed: tuple[int | None, int | None]) -> tuple[int, int] | None:
        """Return the height and width that the network gets of a photo; None where nothing says. fixed: its own."""
        height, width = fixed
        if height is not None and width is not None:
            return height, width
        if self.size is not None or self.short_side is None:
            return self.size
        # Between the two, photos keep their size, as in the authors' code.
        between = min(photo_hw) <= self.short_side <= max(photo_hw)
        scale = 1.0 if between else self.short_side / min(photo_hw)
        sides = [max(int(side * scale) // _MULTIPLE, 1) * _MULTIPLE for side in photo_hw]
        return sides[0], sides[1]

    def at(self, outputs: Sequence[Tensor], path: Path) -> int:
        """Return the place of the output that counts. Raises `ArtefactError` where there is none such."""
        names = [tensor.name for tensor in outputs]
        if isinstance(self.output, str) and self.output in names:
            return names.index(self.output)
        if isinstance(self.output, int) and 0 <= self.output < len(names):
            return self.output
        raise ArtefactError(
            f"{path}: output must be one of {', '.join(names)}; got {self.output!r}; correct its TOML file"
        )


U2NET = Recipe(name="U2-Net", divisor="largest", spread=True)
ISNET = Recipe(name="IS-Net", mean=(0.5, 0.5, 0.5), deviation=(1, 1, 1), spread=True)
BIREFNET = Recipe(name="BiRefNet", sigmoid=True)
MODNET = Recipe(name="MODNet", short_side=512, mean=(0.5, 0.5, 0.5), deviation=(0.5, 0.5, 0.5))
RMBG = Recipe(name="RMBG-1.4", mean=(0.5, 0.5, 0.5), deviation=(1, 1, 1), spread=True)


def recipe_for(path: Path, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> Recipe:
    """Return how a network is used: as its TOML says, or as a known one of its inputs and outputs.

    Raises `ArtefactError` for a network that takes no photo alone, and for one that is not known and has no TOML.
    """
    if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].shape[:2] not in ((1, 3), (None, 3), (None, None)):
        found = "; ".join(f"{tensor.name} {_shape(tensor)}" for tensor in inputs)
        raise ArtefactError(f"{path}: takes {found}; a segmenter must take a single photo, (1, 3, H, W)")
    if inputs[0].dtype not in ("float32", "float16"):
        raise ArtefactError(f"{path}: takes {inputs[0].dtype}; a segmenter must take float32 or float16")
    beside = path.with_suffix(".toml")
    if beside.exists():
        return decode(beside, Recipe, name="a segmenter's description", toml=True, remedy="correct it")
    known = _recognised(inputs[0], outputs)
    if known is None:
        raise ArtefactError(
            f"{path}: {inputs[0].name} {_shape(inputs[0])} with {len(outputs)} "
            f"output{'s' if len(outputs) > 1 else ''} is not a segmenter known here (U2-Net, IS-Net, BiRefNet, "
            f"MODNet, RMBG-1.4); describe its input in {beside}: the keys are name, size = [height, width] or "
            "short_side, fit, divisor, mean, deviation, channels, output, sigmoid and spread"
        )
    return known


def _recognised(given: Tensor, outputs: Sequence[Tensor]) -> Recipe | None:
    """Return the recipe of a known network; None for any other."""
    size, names = given.shape[2:], (given.name, outputs[0].name)
    if size == (320, 320) and len(outputs) == 7:
        return U2NET
    if size == (1024, 1024) and len(outputs) == 12:
        return ISNET
    if len(outputs) != 1:
        return None
    if names[0] == "input_image" and (size[0] == size[1] and size[0] in (1024, 2048)):
        return BIREFNET
    if names == ("input", "output") and None in size:
        return MODNET
    return RMBG if names == ("input", "output") and size == (1024, 1024) else None


def _shape(tensor: Tensor) -> str:
    return f"({', '.join('?' if size is None else str(size) for size in tensor.shape)})"
