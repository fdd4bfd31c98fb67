"""Crop-and-stitch: where patches lie, which is the plan, and how their alphas become one, which is the stitch."""

from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError, counted
from ..profiling import stage
from .bit_mask import BitMask
from .covering import cover
from .trimap import FOREGROUND, UNKNOWN

Scalar = TypeVar("Scalar", bound=np.generic)
Padding = Literal["edge", "background"]
_ROWS = 256

DEFAULT_MARGIN = 0.2  # of the patch's shorter side; measured by benchmarks/plans.py


@dataclass(frozen=True)
class Plan:
    """Which patches run, in padded coordinates.

    image_hw: the size of the image.
    padded_hw: its size with `offset_yx` pixels added before it and the rest behind it.
    patch_hw: the size of each patch.
    corners_yx: the top left corner of each patch, in running order.
    grid_size: patches of the whole grid, including those skipped because they hold no unknown pixel; of an adaptive
    plan, those that the default grid would run.
    padding: what the trimap is where the image is padded, see `plan_grid`.
    margin: pixels of context in an adaptive plan, see `plan_adaptive`; None in a grid.
    """

    image_hw: tuple[int, int]
    padded_hw: tuple[int, int]
    offset_yx: tuple[int, int]
    patch_hw: tuple[int, int]
    corners_yx: tuple[tuple[int, int], ...]
    grid_size: int
    padding: Padding = "edge"
    margin: int | None = None

    @property
    def skipped(self) -> int:
        """How many patches of the grid are saved."""
        return max(self.grid_size - len(self.corners_yx), 0)

    def __str__(self) -> str:
        patches = counted(len(self.corners_yx), "patch")
        return (
            f"{patches} ({self.skipped} skipped)" if self.margin is None else f"{patches} (full grid: {self.grid_size})"
        )

    @property
    def _added(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """How many pixels are added above and below, and on the left and on the right."""
        (height, width), (padded_height, padded_width), (top, left) = self.image_hw, self.padded_hw, self.offset_yx
        return (top, padded_height - height - top), (left, padded_width - width - left)

    def pad_image(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return an image (H, W, 3) as (*padded_hw, 3), edges replicated; the same array where nothing is added."""
        return image if self.image_hw == self.padded_hw else np.pad(image, (*self._added, (0, 0)), mode="edge")

    def pad_trimap(self, trimap: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return a trimap (H, W) as padded_hw, by `padding`; the same array where nothing is added."""
        if self.image_hw == self.padded_hw:
            return trimap
        return np.pad(trimap, self._added, mode="edge" if self.padding == "edge" else "constant")

    def crop(self, plane: NDArray[Scalar]) -> NDArray[Scalar]:
        """Return the part (H, W) of a plane padded_hw that is the image, as a view."""
        (height, width), (top, left) = self.image_hw, self.offset_yx
        return plane[top : top + height, left : left + width]

    def window(self, corner_yx: tuple[int, int]) -> tuple[slice, slice]:
        """Return the rows and columns of the patch at `corner_yx`."""
        (y, x), (height, width) = corner_yx, self.patch_hw
        return slice(y, y + height), slice(x, x + width)


def _starts(length: int, patch: int, step: int) -> list[int]:
    """Return where the patches of a grid begin along a side, the last of them shifted back."""
    # Rounded up, in integers.
    count = max(1, -(-(length - patch + step) // step))
    return [min(index * step, length - patch) for index in range(count)]


def grid_step(patch_hw: tuple[int, int], step: int | None = None) -> int:
    """Return the step of a grid in pixels: `step`, or by default half the patch's shorter side.

    Raises `UsageError` unless it is from 1 to the shorter side.
    """
    step = min(patch_hw) // 2 if step is None else step
    if not 1 <= step <= min(patch_hw):
        raise UsageError(f"`step` must be between 1 and {min(patch_hw)} (the shorter side of the patch); got {step}")
    return step


def plan_grid(
    trimap: NDArray[np.uint8] | BitMask, patch_hw: tuple[int, int], step: int | None = None, padding: Padding = "edge"
) -> Plan:
    """Plan the published grid: patches every `step` pixels, the last of a row or column shifted back into the image.

    Patches without an unknown pixel are skipped, so that every unknown pixel is covered. An image smaller than a patch
    is centred in one.

    trimap: (H, W) uint8 of 0 / 128 / 255, or the mask of its unknown pixels.
    step: in pixels, see `grid_step`.
    padding: around a small image the trimap goes on as its edge, which claims nothing about a subject that the image
    cuts off, or is background, as in the published code.
    Raises `UsageError` as `grid_step`.
    """
    return _grid(trimap, patch_hw, grid_step(patch_hw, step), padding)[0]


def _grid(
    trimap: NDArray[np.uint8] | BitMask, patch_hw: tuple[int, int], step: int, padding: Padding = "edge"
) -> tuple[Plan, BitMask]:
    """Return the grid, and the mask of the unknown pixels of the padded image."""
    mask = trimap if isinstance(trimap, BitMask) else BitMask.equal(trimap, UNKNOWN)
    height, width = mask.hw
    padded_hw = (max(height, patch_hw[0]), max(width, patch_hw[1]))
    offset_yx = (padded_hw[0] - height) // 2, (padded_hw[1] - width) // 2
    starts_y, starts_x = (_starts(length, patch, step) for length, patch in zip(padded_hw, patch_hw, strict=True))
    plan = Plan((height, width), padded_hw, offset_yx, patch_hw, (), len(starts_y) * len(starts_x), padding)
    mask = mask.padded(plan._added)
    corners = []
    for y in starts_y:
        # Once for a row of patches, instead of a look at each.
        unknown = mask.any_column(slice(y, y + patch_hw[0])).tobytes()
        corners += [(y, x) for x in starts_x if 1 in unknown[x : x + patch_hw[1]]]
    return replace(plan, corners_yx=tuple(corners)), mask


def context_margin(patch_hw: tuple[int, int], margin: int | None = None) -> int:
    """Return the margin of an adaptive plan in pixels, by default 0.2 of the patch's shorter side, 128 of 640.

    Raises `UsageError` unless 0 <= margin < half the shorter side.
    """
    margin = int(min(patch_hw) * DEFAULT_MARGIN) if margin is None else margin
    if not 0 <= margin < min(patch_hw) / 2:
        raise UsageError(
            f"`margin` must be at least 0 and less than half the shorter side of the patch ({min(patch_hw)}); "
            f"got {margin}"
        )
    return margin


def plan_adaptive(trimap: NDArray[np.uint8] | BitMask, patch_hw: tuple[int, int], margin: int | None = None) -> Plan:
    """Plan few patches, only where unknown pixels are, each of which has `margin` pixels of context on all sides.

    Every unknown pixel lies that far inside one of the patches at least, or as far as the image goes. Where the image
    is no larger than a patch, the plan is the grid.

    trimap: (H, W) uint8 of 0 / 128 / 255, or the mask of its unknown pixels.
    margin: in pixels, see `context_margin`.
    Raises `UsageError` as `context_margin`.
    """
    margin = context_margin(patch_hw, margin)
    grid, mask = _grid(trimap, patch_hw, grid_step(patch_hw))
    corners = cover(mask, (patch_hw[0] - 2 * margin, patch_hw[1] - 2 * margin), margin)
    return replace(grid, corners_yx=tuple(corners), grid_size=len(grid.corners_yx), margin=margin)


def border_weight(patch_hw: tuple[int, int]) -> NDArray[np.float32]:
    """Return the weight (h, w) float32 of a patch's pixels: the distance to its nearest border, which itself counts 1.

    It is divided by half the shorter side plus one: 321 for the published 640 pixels.
    """
    rows, columns = (np.minimum(np.arange(1, side + 1), np.arange(side, 0, -1)) for side in patch_hw)
    distance = np.minimum(rows[:, None], columns[None, :])
    return (distance / (min(patch_hw) // 2 + 1)).astype(np.float32)


class Stitcher:
    """The sum of weighted patches in two planes, so that memory does not grow with the number of patches.

    trimap: padded_hw uint8.
    """

    def __init__(self, plan: Plan, trimap: NDArray[np.uint8]) -> None:
        self._plan = plan
        self._trimap = trimap
        self._patch_weight = border_weight(plan.patch_hw)
        self._sum = np.zeros(plan.padded_hw, np.float32)
        self._weight = np.zeros(plan.padded_hw, np.float32)

    @stage("stitch")
    def add(self, corner_yx: tuple[int, int], alpha: NDArray[np.float32]) -> None:
        """Add the network's alpha (h, w) float32 of one patch, clamped to 0..1.

        In plan order the bits are the same every time.
        """
        window = self._plan.window(corner_yx)
        trimap = self._trimap[window]
        # What the trimap knows stays exact in the mean of patches that overlap.
        known = (trimap == FOREGROUND).astype(np.float32)
        self._sum[window] += np.where(trimap == UNKNOWN, np.clip(alpha, 0, 1), known) * self._patch_weight
        self._weight[window] += self._patch_weight

    @stage("finish")
    def finish(self) -> NDArray[np.float32]:
        """Return the alpha (H, W) float32, 0..1: the weighted mean where unknown, 0 or 1 where the trimap says so."""
        crop = self._plan.crop
        alpha, weight, trimap = crop(self._sum), crop(self._weight), crop(self._trimap)
        for start in range(0, len(alpha), _ROWS):  # in place: no third plane beside sum and weight
            rows = slice(start, start + _ROWS)
            # What no patch covers has weight 0; it is known, and set by the trimap below.
            np.divide(alpha[rows], weight[rows], out=alpha[rows], where=weight[rows] > 0)
            np.copyto(alpha[rows], trimap[rows] == FOREGROUND, where=trimap[rows] != UNKNOWN)
            np.clip(alpha[rows], 0, 1, out=alpha[rows])
        # A view would keep the padded plane in memory.
        return np.ascontiguousarray(alpha)


def to_levels(
    alpha: NDArray[np.float32], dtype: type[np.unsignedinteger[Any]] = np.uint8, truncate: bool = False
) -> NDArray[Any]:
    """Return an alpha, 0..1, as levels 0..255 (uint8) or 0..65535 (uint16).

    truncate: round down as the authors' code does, instead of to the nearest level.
    """
    scaled = alpha * np.float32(np.iinfo(dtype).max)
    return (scaled if truncate else np.rint(scaled)).astype(dtype)
