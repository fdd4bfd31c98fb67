"""A segmentation or matting network of the user's own, as an ONNX: a photo in, a soft mask out.

Nothing is bundled or downloaded. The networks that run here are another kind than `engines.Engine`, which takes a
trimap; the libraries and devices are the same.
"""

from pathlib import Path
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..engines.network import open_network
from ..errors import ArtefactError, UsageError
from ..specs import AUTO
from .known import Recipe, recipe_for
from .pieces import SoftMask

_SLACK = 1e-3
_FOUND = 0.5
"""The largest value from which on a network has found something."""


_TOGETHER = 4
"""The photos that a GPU gets at a time where a network allows it. On a CPU one photo keeps all cores busy."""


class Segmenter:
    """An ONNX that makes masks: `Segmenter("u2net.onnx")(image) -> mask`. Any thread may call it.

    recipe: how it takes a photo. batch: how many photos that wait at a time it takes in one run.
    """

    def __init__(
        self, path: str | Path, device: str = AUTO, threads: int | None = None, batch: int | None = None
    ) -> None:
        """Open the network in a file, with the description beside it, if any; see `known`.

        device, threads: as `engines.network.open_network` takes them.
        batch: photos that threads which call at a time have in one run, if the network's first dimension is free; by
        default 4 then, but 1 on a CPU.
        Raises `ArtefactError` for what is no such network, `DeviceError`, `DependencyError` or `UsageError`.
        """
        self.path = Path(path)
        self._network = open_network(self.path, device, threads)
        try:
            self.recipe = recipe_for(self.path, self._network.inputs, self._network.outputs)
            self._output = self.recipe.at(self._network.outputs, self.path)
            self._hw((1024, 1024))
            self._network.batch = self._batch(batch)
        except (ArtefactError, UsageError):
            self._network.close()
            raise

    @property
    def batch(self) -> int:
        """How many photos that wait at a time one run takes."""
        return self._network.batch

    def __call__(self, image: NDArray[np.uint8]) -> SoftMask:
        """Return the mask (H, W), 0..1, of an image (H, W, 3) uint8 RGB, sRGB-encoded.

        Raises `ArtefactError` where what comes out is no mask, `DeviceError` where the network fails.
        """
        given, used = prepared(image, self.recipe, self._hw(image.shape[:2]))
        found = self._network.run(given.astype(self._network.inputs[0].dtype), self._output)
        # From whatever size it comes at, the part that shows the photo.
        plane = self._mask(found)
        rows, columns = (round(side * share) for side, share in zip(plane.shape, used, strict=True))
        plane = plane[:rows, :columns]
        shrinks = plane.shape[0] > image.shape[0]
        way = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        return np.asarray(cv2.resize(plane, image.shape[1::-1], interpolation=way), np.float32)

    def pixel(self, hw: tuple[int, int]) -> float:
        """Return how many pixels of a photo of that height and width one of the network's covers, along a side."""
        return max(side / own for side, own in zip(hw, self._hw(hw), strict=True))

    def describe(self) -> str:
        """Return one line for people."""
        return f"{self.path.name} ({self.recipe.name}) on {self._network.device}"

    def close(self) -> None:
        """Release the network."""
        self._network.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _batch(self, asked: int | None) -> int:
        """Return how many photos go into one run. Raises `UsageError`."""
        if asked is not None and asked < 1:
            raise UsageError(f"`batch` must be 1 or more; got {asked}")
        if self._network.inputs[0].shape[0] is None:
            on_host = self._network.device in ("cpu", "openvino")
            return asked or (1 if on_host else _TOGETHER)
        if (asked or 1) > 1:
            raise UsageError(f"`batch` must be 1 for {self.path.name}, which takes one photo at a time; got {asked}")
        return 1

    def _hw(self, photo_hw: tuple[int, int]) -> tuple[int, int]:
        """Return the height and width that the network gets of a photo."""
        height, width = self._network.inputs[0].shape[2:]
        hw = self.recipe.hw(photo_hw, (height, width))
        if hw is None:
            beside = self.path.with_suffix(".toml").name
            raise ArtefactError(f"{self.path}: accepts any size; choose one in {beside}: size = [height, width]")
        return hw

    def _mask(self, found: NDArray[np.float32]) -> SoftMask:
        """Return what came out of the network as a plane (h, w), 0..1."""
        plane = found.reshape(found.shape[-2:]) if found.size == np.prod(found.shape[-2:]) else None
        beside = self.path.with_suffix(".toml").name
        if plane is None:
            raise ArtefactError(
                f"{self.path}: its output is {found.shape}, expected a single plane; name the right output in {beside}"
            )
        if not np.isfinite(plane).all():
            raise ArtefactError(f"{self.path}: its output contains NaN or infinity for this photo; try `device=cpu`")
        least, most = float(plane.min()), float(plane.max())
        within = least >= -_SLACK and most <= 1 + _SLACK
        if within == self.recipe.sigmoid:
            said, meant = ("do", "false") if self.recipe.sigmoid else ("do not", "true")
            raise ArtefactError(
                f"{self.path}: its values range from {least:.3g} to {most:.3g} and {said} lie within 0..1 before "
                f"any sigmoid; set sigmoid = {meant} in {beside}"
            )
        if self.recipe.sigmoid:
            return np.asarray(1 / (1 + np.exp(-plane.clip(-50, 50))), np.float32)
        if self.recipe.spread and most >= _FOUND:
            return np.asarray((plane - least) / (most - least), np.float32)
        return np.asarray(plane.clip(0, 1), np.float32)


def prepared(
    image: NDArray[np.uint8], recipe: Recipe, hw: tuple[int, int]
) -> tuple[NDArray[np.float32], tuple[float, float]]:
    """Return an image (H, W, 3) uint8 as a network takes it, (1, 3, h, w) float32, and the shares of h and w that
    show it.

    Sides are scaled by averaging over what a pixel covers, and linearly between pixels.
    """
    height, width = hw
    if recipe.fit == "padded":
        scale = min(height / image.shape[0], width / image.shape[1])
        height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    small = np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR), np.float32)
    if recipe.channels == "bgr":
        small = small[..., ::-1]
    small = small / np.float32(255 if recipe.divisor == "255" else max(small.max(), 1))
    mean, deviation = np.array(recipe.mean, np.float32), np.array(recipe.deviation, np.float32)
    given = np.zeros((1, 3, *hw), np.float32)
    given[0, :, :height, :width] = np.moveaxis((small - mean) / deviation, -1, 0)
    return given, (height / hw[0], width / hw[1])
