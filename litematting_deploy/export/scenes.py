"""Scenes on which statistics of norms fail first: flat, nearly flat, or flat but for a little.

Photos with noise everywhere hide what rounding does. A wall, a backdrop of a studio, a fade to black do not: a map of
one value has a variance of 0, and a norm divides what is left of rounding by the square root of its epsilon. Every
export is compared with the PyTorch model on the six of `OF_EVERY_EXPORT`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]

BACKGROUND, UNKNOWN, FOREGROUND = 0, 128, 255
_GUIDE_SIGMA = 16
_DARK_GREY = 35  # where sums of squares in float32 were off by most: 0.148 in alpha


@dataclass(frozen=True)
class Scene:
    """A drawn photo with its trimap.

    image: (H, W, 3) uint8, RGB. trimap: (H, W) uint8 of 0, 128 and 255: unknown everywhere, or a rectangle of
    foreground in one of unknown pixels, around which is background.
    """

    name: str
    image: Image
    trimap: Image

    def network_inputs(self) -> dict[str, NDArray[np.float32]]:
        """image (1, 3, H, W), trimap (1, 3, H, W) and guide (1, 2, H, W), float32, as the network takes them."""
        levels = np.array([BACKGROUND, UNKNOWN, FOREGROUND], np.uint8)[:, None, None]
        guide = [_nearness(self.trimap == value) for value in (BACKGROUND, FOREGROUND)]
        return {
            "image": (self.image.transpose(2, 0, 1).astype(np.float32) / 255)[None],
            "trimap": (self.trimap == levels).astype(np.float32)[None],
            "guide": np.stack(guide).astype(np.float32)[None],
        }


def flat(height: int, width: int, level: int) -> Image:
    """One grey everywhere."""
    return np.full((height, width, 3), level, np.uint8)


def two_tone(height: int, width: int) -> Image:
    """The left half dark red, the right half light green."""
    image = np.empty((height, width, 3), np.uint8)
    image[:, : width // 2], image[:, width // 2 :] = (64, 16, 16), (192, 224, 192)
    return image


def gradient(height: int, width: int) -> Image:
    """Dark at the left edge, light at the right one."""
    ramp = np.linspace(20, 235, width).astype(np.uint8)
    return np.broadcast_to(ramp[:, None], (height, width, 3)).copy()


def bright_pixel(height: int, width: int) -> Image:
    """One white pixel on black, off the centre."""
    image = flat(height, width, 0)
    image[height // 3, width // 3] = 255
    return image


def noise(height: int, width: int, level: int = 128) -> Image:
    """Each channel of a pixel `level` or one more, by chance."""
    drawn = np.random.default_rng(0).integers(level, level + 2, (height, width, 3))
    return drawn.astype(np.uint8)


def studio(height: int, width: int, level: int) -> Image:
    """A shaded rectangle before a backdrop of one grey; without noise, as after retouching."""
    image = flat(height, width, level)
    rows, columns = _rectangle(height, width, 0.3)
    image[rows, columns] = gradient(rows.stop - rows.start, columns.stop - columns.start) // (1, 2, 3)
    return image


_OBJECTS: dict[str, Callable[[int, int], Image]] = {
    "gradient": gradient,
    "noise of one level": noise,
    "studio, white": lambda height, width: studio(height, width, 255),
    "studio, black": lambda height, width: studio(height, width, 0),
}
_FIELDS: dict[str, Callable[[int, int], Image]] = {
    "black": lambda height, width: flat(height, width, 0),
    "white": lambda height, width: flat(height, width, 255),
    "dark grey": lambda height, width: flat(height, width, _DARK_GREY),
    "two-tone": two_tone,
    "one bright pixel": bright_pixel,
}
NAMES = (*_FIELDS, *_OBJECTS)
OF_EVERY_EXPORT = ("black", "dark grey", "two-tone", "one bright pixel", "noise of one level", "studio, white")


def scene(name: str, height: int, width: int) -> Scene:
    """The scene of a name in `NAMES`, or `grey N` for one level: fields are unknown throughout, the others have an
    object."""
    if name.startswith("grey "):
        return Scene(name, flat(height, width, int(name.removeprefix("grey "))), flat(height, width, UNKNOWN)[..., 0])
    if name in _FIELDS:
        return Scene(name, _FIELDS[name](height, width), flat(height, width, UNKNOWN)[..., 0])
    trimap = np.full((height, width), BACKGROUND, np.uint8)
    trimap[_rectangle(height, width, 0.2)], trimap[_rectangle(height, width, 0.4)] = UNKNOWN, FOREGROUND
    return Scene(name, _OBJECTS[name](height, width), trimap)


def _rectangle(height: int, width: int, margin: float) -> tuple[slice, slice]:
    """What is at least `margin` of a side away from each edge."""
    top, left = round(height * margin), round(width * margin)
    return slice(top, height - top), slice(left, width - left)


def _nearness(region: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the guide's channel of a set of pixels (H, W); nothing is near where there are none."""
    if not region.any():
        return np.zeros(region.shape)
    distance = cv2.distanceTransform((~region).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    # Squared distances are whole numbers.
    return np.exp(-np.rint(np.square(distance, dtype=np.float64)) / (2 * _GUIDE_SIGMA**2))
