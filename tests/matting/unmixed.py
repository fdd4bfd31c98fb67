"""Foreground colours as `matting.unmixing` defines them, in float64 and on whole images, to compare with."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import convolve

from litematting_deploy.matting.unmixing import Bounds, Floats, unmix

Planes = NDArray[np.float64]


def unmixed(light: NDArray[np.floating], alpha: NDArray[np.floating], high: float = 1) -> Planes:
    """Return the foreground's light (H, W, 3), 0..high, of light (H, W, 3) and alpha (H, W)."""
    return _colours(light.astype(np.float64), alpha.astype(np.float64)[:, :, None], 0, high)[0]


def _colours(light: Planes, alpha: Planes, level: int, high: float) -> tuple[Planes, Planes]:
    """Return F and B (H, W, 3). alpha: (H, W, 1)."""
    height, width = alpha.shape[:2]
    if level > 0 and max(height, width) == 1:
        front, behind = light, light
    else:
        coarser = _colours(_halved(light), _halved(alpha), level + 1, high)
        front, behind = (_doubled(part)[:height, :width] for part in coarser)
    clear = 1 - alpha
    share = alpha**2 + clear**2
    for _ in range((2, 4, 8, 16)[min(level, 3)]):
        front, behind = _mean(front, alpha**3 + 1e-4), _mean(behind, clear**3 + 1e-4)
        rest = (light - alpha * front - clear * behind) / share
        front, behind = (front + alpha * rest).clip(0, high), (behind + clear * rest).clip(0, high)
    return front, behind


def _doubled(planes: Planes) -> Planes:
    """Return twice the rows and columns, each a quarter of the way from one of `planes` to its neighbour."""
    for axis in (0, 1):
        near = np.pad(planes, [(int(axis == each),) * 2 for each in range(3)], mode="edge")
        before, at, after = (near.take(range(start, start + planes.shape[axis]), axis) for start in range(3))
        both = np.stack([0.75 * at + 0.25 * before, 0.75 * at + 0.25 * after], axis + 1)
        planes = both.reshape(*(each * (1 + (axis == number)) for number, each in enumerate(planes.shape)))
    return planes


def _halved(planes: Planes) -> Planes:
    height, width = planes.shape[:2]
    even = np.pad(planes, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return np.asarray(even.reshape(len(even) // 2, 2, even.shape[1] // 2, 2, -1).mean(axis=(1, 3)))


def _mean(planes: Planes, weights: Planes) -> Planes:
    """Return weighted means over 3x3 neighbours."""
    ones = np.ones((3, 3, 1))
    return np.asarray(convolve(planes * weights, ones, mode="mirror") / convolve(weights, ones, mode="mirror"))


def foreground_light(light: Floats, alpha: Floats, bounds: Bounds = (0, 1)) -> Floats:
    """Return what `unmix` finds for whole images: the light of the foreground alone, of the shape of `light`.

    light: (H, W, 3) float32, or frames (N, H, W, 3). alpha: (H, W) or (N, H, W) float32, 0..1.
    """
    if light.ndim == 4:
        return np.stack([foreground_light(*frame, bounds) for frame in zip(light, alpha, strict=True)])
    found = np.empty(light.shape, np.float32)
    for tile, front in unmix(lambda window: light[window].transpose(2, 0, 1), alpha, bounds):
        found[tile] = front.transpose(1, 2, 0)
    return found
