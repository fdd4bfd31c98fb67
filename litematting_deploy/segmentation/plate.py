"""A mask from a clean plate: a picture of the same view without the object.

The plate is moved by what the camera moved, brought to the photo's exposure, and subtracted; a difference counts by how
far it lies above the noise that this very pair has.
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..images.colour import SRGB, srgb_decode, srgb_encode
from ..images.photo import shrink
from .pieces import SoftMask, with_doubtful_holes, without_crumbs

NOISE, CLEAR = 4.5, 10.0
"""Up to the one many standard deviations of noise a difference is none; from the other on it is the object."""
_LONGEST = 1024
_MOST_SHIFT = 0.03
"""The share of the longer side that the plate may be shifted by."""
_LEAST_SIDE = 8
"""Pixels; a narrower picture shows no shift."""
_RESPONSE = 0.05
"""Of phase correlation; below it, the pictures have nothing in common that would show a shift."""
_ROUNDS, _LAST_ROUNDS = 12, 3
_FITS = 3.0
"""Times the median by which a pixel may be off and still tell of the shift."""
_OFF = 0.3
"""Pixels by which the two may still be apart at edges of the background, which makes a difference there."""
_LEAST_NOISE = 0.7
"""Levels: rounding to 8 bits makes as much noise."""
_CLIPPED = (8, 247)
_SAMPLES = 1_000_000
_HOLES = 0.002


def mask_from_plate(image: NDArray[np.uint8], plate: NDArray[np.uint8], name: str = "plate") -> SoftMask:
    """Return the mask (H, W), 0..1, of what differs from the plate.

    image, plate: (H, W, 3) uint8 RGB, sRGB-encoded, of one view.
    name: begins an error.
    Raises `InputError` for a plate of another size, and for one that is shifted too far.
    """
    if plate.shape != image.shape:
        raise InputError(
            f"{name}: is {plate.shape[1]}x{plate.shape[0]}, the photo is {image.shape[1]}x{image.shape[0]}; a clean "
            "plate must show the same view at the same size, without the subject"
        )
    shift = _shift(image, plate, name)
    moved = _moved(plate, shift)
    behind = exposed(image, moved)
    # Averages over 3x3 pixels have a third of the noise, and soften an edge by no more than a pixel.
    apart = image.astype(np.float32) - behind
    difference = np.asarray(cv2.blur(apart, (3, 3), borderType=cv2.BORDER_REFLECT), np.float32)
    slopes = np.hypot(
        cv2.Sobel(behind, cv2.CV_32F, 1, 0, scale=1 / 8), cv2.Sobel(behind, cv2.CV_32F, 0, 1, scale=1 / 8)
    )
    noise = _noise(difference)
    above = np.sqrt((np.square(difference) / (np.square(noise) + np.square(_OFF * slopes))).sum(axis=2))
    mask = ((above - np.float32(NOISE)) / np.float32(CLEAR - NOISE)).clip(0, 1)
    return _continued(with_doubtful_holes(without_crumbs(mask), _HOLES), shift)


def exposed(image: NDArray[np.uint8], plate: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a plate (H, W, 3), in levels, with the image's exposure and white balance, in levels.

    Each channel's light is multiplied by what most pixels say; pixels that are clipped or black say nothing.
    """
    light, other = SRGB.decode(image), srgb_decode(plate / np.float32(255))
    result = np.empty_like(plate)
    for channel in range(3):
        levels, before = image[..., channel], plate[..., channel]
        clear = (levels > _CLIPPED[0]) & (levels < _CLIPPED[1]) & (before > _CLIPPED[0]) & (before < _CLIPPED[1])
        ratios = np.log(light[..., channel][clear] / other[..., channel][clear])
        ratios = ratios[:: max(1, ratios.size // _SAMPLES)]
        gain = _middle(ratios) if ratios.size else 0.0
        result[..., channel] = srgb_encode((other[..., channel] * np.float32(np.exp(gain))).clip(0, 1)) * 255
    return result


def _middle(values: NDArray[np.float32]) -> float:
    """Return the median of what lies near the median, so that an object which fills a third does not move it."""
    for _ in range(4):
        median = np.median(values)
        apart = np.abs(values - median)
        values = values[apart <= max(3 * 1.4826 * float(np.median(apart)), 1e-4)]
    return float(np.median(values))


def _noise(difference: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the standard deviation of the noise in each channel, in levels, from what differs least."""
    sample = difference.reshape(-1, 3)[:: max(1, difference[..., 0].size // _SAMPLES)]
    apart = np.abs(sample)
    # Half of what lies below the median belongs to the background, even where the object fills half of the photo.
    quartile = np.quantile(apart, 0.25, axis=0)
    # A normal distribution has a quarter of its values within this many standard deviations.
    return np.maximum(quartile / 0.3186, _LEAST_NOISE).astype(np.float32)


def _shift(image: NDArray[np.uint8], plate: NDArray[np.uint8], name: str) -> NDArray[np.float64]:
    """Return by how many pixels (x, y) the image is shifted against the plate, to a fraction of a pixel."""
    small, small_plate = (shrink(picture, _LONGEST) for picture in (image, plate))
    if min(small.shape[:2]) < _LEAST_SIDE:
        return np.zeros(2)
    scale = max(image.shape[:2]) / max(small.shape[:2])
    found, response = _correlated(small, small_plate)
    # Neither fog nor a painted wall shows a shift, or minds one.
    shift = np.array(found) if response >= _RESPONSE else np.zeros(2)
    if np.hypot(*shift) > _MOST_SHIFT * max(small.shape):
        raise InputError(
            f"{name}: is shifted by {scale * np.hypot(*shift):.0f} pixels against the photo, as if the camera had "
            "moved; use a plate from the same camera position, or `box`"
        )
    shift = _settled(small, small_plate, shift, _ROUNDS)
    return shift if scale == 1 else _settled(image, plate, shift * scale, _LAST_ROUNDS)


def _settled(
    image: NDArray[np.uint8], plate: NDArray[np.uint8], shift: NDArray[np.float64], rounds: int
) -> NDArray[np.float64]:
    """Return a shift (x, y) that brings the plate nearest to the image, from one that is about right.

    B. Lucas and T. Kanade, 1981, with the plate's contrast and brightness as unknowns beside the shift, and of the
    pixels those alone that fit about as well as most: the object fits nowhere.
    """
    grey, behind = (cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32) for picture in (image, plate))
    border = int(np.ceil(np.abs(shift).max())) + 4
    inner = (slice(border, -border), slice(border, -border))
    step = max(1, grey[inner].size // _SAMPLES)
    wanted = grey[inner].ravel()[::step].astype(np.float64)
    fitted = np.array((1.0, 0.0))
    for _ in range(rounds if wanted.size else 0):
        moved = _moved(behind, shift)
        slopes = (cv2.Sobel(moved, cv2.CV_32F, *axis, scale=1 / 8) for axis in ((1, 0), (0, 1)))
        level, across, down = (plane[inner].ravel()[::step].astype(np.float64) for plane in (moved, *slopes))
        apart = wanted - fitted[0] * level - fitted[1]
        off = np.abs(apart - np.median(apart))
        fits = off <= max(_FITS * float(np.median(off)), _LEAST_NOISE)
        terms = np.stack([level, np.ones_like(level), -across, -down])[:, fits]
        # Of a wall without texture, the smallest solution leaves the shift as it is.
        solved = np.linalg.lstsq(terms @ terms.T, terms @ wanted[fits], rcond=1e-9)[0]
        if solved[0] <= 0:
            break
        fitted, step_xy = solved[:2], solved[2:] / solved[0]
        shift = shift + step_xy.clip(-1, 1)
    return shift


def _continued(mask: SoftMask, shift: NDArray[np.float64]) -> SoftMask:
    """Return a mask in which what the shifted plate does not reach repeats what it does reach."""
    # Two pixels more, for the filters look at as many.
    x, y = (int(np.sign(each) * (np.ceil(abs(each)) + 2)) if abs(each) > 0.01 else 0 for each in shift)
    height, width = mask.shape
    inner = mask[max(y, 0) : height + min(y, 0), max(x, 0) : width + min(x, 0)]
    return np.pad(inner, ((max(y, 0), max(-y, 0)), (max(x, 0), max(-x, 0))), mode="edge")


def _correlated(image: NDArray[np.uint8], plate: NDArray[np.uint8]) -> tuple[tuple[float, float], float]:
    """Return the shift (x, y) of an image against a plate of its size, by phase correlation, and how clear it is."""
    planes = [cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32) for picture in (plate, image)]
    window = cv2.createHanningWindow(planes[0].shape[::-1], cv2.CV_32F)
    (x, y), response = cv2.phaseCorrelate(planes[0] - planes[0].mean(), planes[1] - planes[1].mean(), window)
    return (x, y), response


def _moved(plate: NDArray[Any], shift: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return a plate (H, W, ...) shifted by (x, y) pixels, in levels; what comes in at the border repeats it."""
    height, width = plate.shape[:2]
    matrix = np.array(((1, 0, shift[0]), (0, 1, shift[1])))
    moved = cv2.warpAffine(
        plate.astype(np.float32), matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(moved.clip(0, 255), np.float32)
