"""Pictures of a run: held-out scenes with their predictions, and the loss curve."""

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from .scenes import Scenes

# Scenes in a preview.
ROWS = 6
_CELL_PX = 256
_INK, _FAINT, _GRID = (40, 40, 40), (200, 200, 200), (230, 230, 230)
_COLOURS = ((200, 90, 30), (30, 120, 200), (40, 150, 60))


def sheet(scenes: Scenes, predictions: Tensor) -> NDArray[np.uint8]:
    """Return up to six scenes as rows of image, trimap, prediction and truth: (H, W, 3) uint8 RGB.

    predictions: (N, 1, H, W), 0..1.
    """
    grey = (scenes.trimap[:, 2:] + scenes.trimap[:, 1:2] / 2, predictions, scenes.alpha)
    columns = [scenes.image, *(plane.expand(-1, 3, -1, -1) for plane in grey)]
    shown = (column[:ROWS].float() for column in columns)
    cells = [functional.interpolate(one, (_CELL_PX, _CELL_PX), mode="bilinear", antialias=True) for one in shown]
    rows = torch.cat(cells, dim=3).permute(0, 2, 3, 1).flatten(0, 1)
    return (rows.clamp(0, 1) * 255).round().byte().cpu().numpy()


def curve(series: Mapping[str, Sequence[tuple[int, float]]], width: int = 960, height: int = 540) -> NDArray[np.uint8]:
    """Draw named lines of (step, value) on a logarithmic scale: (height, width, 3) uint8 RGB, white background.

    Values that have no logarithm are left out.
    """
    picture = np.full((height, width, 3), 255, np.uint8)
    drawable = {name: [point for point in line if 0 < point[1] < np.inf] for name, line in series.items()}
    drawable = {name: line for name, line in drawable.items() if line}
    points = [point for line in drawable.values() for point in line]
    if not points:
        return picture
    steps, values = np.array(points).T
    low, high = np.log10(values.min()) - 0.05, np.log10(values.max()) + 0.05
    left, top, right, bottom = 70, 40, width - 30, height - 50

    def place(line: Sequence[tuple[int, float]]) -> NDArray[np.int32]:
        """Return where points of a line lie in the picture, (N, 2), x and y."""
        x, y = np.array([(step, np.log10(value)) for step, value in line]).T
        across = left + x / max(steps.max(), 1) * (right - left)
        return np.stack([across, bottom - (y - low) / (high - low) * (bottom - top)], axis=1).round().astype(np.int32)

    for value in _ticks(low, high):
        y = int(place([(0, value)])[0, 1])
        cv2.line(picture, (left, y), (right, y), _GRID, 1)
        _write(picture, f"{value:g}", (8, y + 5), _INK)
    magnitude = 10 ** int(np.log10(max(steps.max(), 1)))
    stride = next(k * magnitude for k in (0.2, 0.5, 1, 2) if steps.max() / (k * magnitude) <= 6)
    for step in np.arange(0, steps.max() + 1, max(stride, 1)):
        _write(picture, f"{step:g}", (int(place([(step, values[0])])[0, 0]) - 16, bottom + 20), _INK)
    for (name, line), colour, column in zip(drawable.items(), _COLOURS, range(len(drawable)), strict=False):
        cv2.polylines(picture, [place(line)], False, colour, 2, cv2.LINE_AA)
        _write(picture, name, (left + 160 * column, top - 14), colour)
    _write(picture, "step", (right - 36, height - 10), _INK)
    cv2.rectangle(picture, (left, top), (right, bottom), _FAINT, 1)
    return picture


def smooth(line: Sequence[tuple[int, float]], points: int = 80) -> list[tuple[int, float]]:
    """Return a line averaged to at most `points` points.

    line: (step, value), in rising order. Each point is the mean of equally many neighbours.
    """
    groups = np.array_split(np.array(line, np.float64).reshape(-1, 2), min(points, max(len(line), 1)))
    return [(int(group[:, 0].mean()), float(group[:, 1].mean())) for group in groups if len(group)]


def encode(picture: NDArray[np.uint8], suffix: str = ".jpg") -> bytes:
    """Return an RGB picture as the bytes of a file of the kind `suffix`."""
    return cv2.imencode(suffix, picture[..., ::-1])[1].tobytes()


def _ticks(low: float, high: float) -> list[float]:
    """Return round values between two logarithms (base 10): 1, 2 and 5 of each decade."""
    decades = range(int(np.floor(low)), int(np.ceil(high)) + 1)
    return [m * 10.0**d for d in decades for m in (1, 2, 5) if low <= np.log10(m * 10.0**d) <= high]


def _write(picture: NDArray[np.uint8], text: str, at: tuple[int, int], colour: tuple[int, int, int]) -> None:
    """Write text into a picture, its lower left corner at (x, y)."""
    cv2.putText(picture, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.45, colour, 1, cv2.LINE_AA)
