"""The authors' inference as it stands, to measure ours against; written from the paper and REFERENCE.md, not copied.

PyTorch, eager, fp32, the network in its default form. Patches of 640 every 320 pixels, row by row; each writes its
alpha, its weight and a mask of where it lies into three float32 arrays of (H, W, 16), which are summed at the end.
Sixteen are enough for any number of patches: one in row i and column j of the grid takes place 4 (i mod 4) + j mod 4,
and two patches that share a place lie at least three steps, more than a patch, apart. What is summed is multiplied in
place, so that the peer holds these three arrays and no fourth.

python benchmarks/published.py photo.jpg trimap.png -o alpha.png [--checkpoint model.pth]
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from litematting_deploy.matting.guide import SIGMA
from litematting_deploy.model import LiteMatting, load_checkpoint
from litematting_deploy.runtime.shipped import SHIPPED_CHECKPOINT

PATCH, STEP, PLACES = 640, 320, 4


def starts(length: int) -> list[int]:
    """Where patches begin along a side; the last is shifted back to end with it."""
    return [min(index * STEP, length - PATCH) for index in range(-(-(length - STEP) // STEP))]


def guide_of(trimap: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(2, H, W): exp(-d² / (2 · 16²)) of the distance to background and to foreground, zero where there is none."""
    guide = np.zeros((2, *trimap.shape), np.float32)
    for channel, value in zip(guide, (0, 255), strict=True):
        if (trimap == value).any():
            distance = cv2.distanceTransform((trimap != value).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
            channel[:] = np.exp(-(distance**2) / (2 * SIGMA**2))
    return guide


def padded(
    image: NDArray[np.uint8], trimap: NDArray[np.uint8]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], slice, slice]:
    """Images smaller than a patch centred in one, edges and background around; and where they lie in it."""
    height, width = trimap.shape
    added = [(max(PATCH - side, 0) // 2, (max(PATCH - side, 0) + 1) // 2) for side in (height, width)]
    rows, columns = (slice(before, before + side) for (before, _), side in zip(added, (height, width), strict=True))
    return np.pad(image, (*added, (0, 0)), mode="edge"), np.pad(trimap, added), rows, columns


def matte(model: LiteMatting, image: NDArray[np.uint8], trimap: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], int]:
    """Alpha (H, W) uint8 of image (H, W, 3) uint8 RGB and trimap (H, W) uint8 of 0 / 128 / 255, and patches run."""
    image, trimap, rows, columns = padded(image, trimap)
    guide = guide_of(trimap)
    ramp = np.minimum(np.arange(1, PATCH + 1), np.arange(PATCH, 0, -1))
    patch_weight = np.minimum(ramp[:, None], ramp[None, :]) / np.float32(STEP + 1)
    masks, weights, alphas = (np.zeros((*trimap.shape, PLACES**2), np.float32) for _ in range(3))
    count = 0
    for i, y in enumerate(starts(trimap.shape[0])):
        for j, x in enumerate(starts(trimap.shape[1])):
            window = slice(y, y + PATCH), slice(x, x + PATCH)
            part = trimap[window]
            if (part == 128).sum() <= 1:
                continue
            place = PLACES * (i % PLACES) + j % PLACES
            alphas[*window, place] = network(model, image[window], part, guide[:, *window]) * (part == 128) + (
                part == 255
            )
            weights[*window, place] = patch_weight
            masks[*window, place] = 1
            count += 1
    weights *= masks
    alphas *= weights
    total = weights.sum(axis=2)
    alpha = np.divide(alphas.sum(axis=2), total, out=np.zeros_like(total), where=total > 0)
    levels = (alpha * 255).astype(np.uint8)
    levels[trimap == 0], levels[trimap == 255] = 0, 255
    return levels[rows, columns], count


def network(
    model: LiteMatting, image: NDArray[np.uint8], trimap: NDArray[np.uint8], guide: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Alpha (640, 640) of one patch."""
    planes = np.moveaxis(image, 2, 0) / np.float32(255), np.stack([trimap == value for value in (0, 128, 255)]), guide
    with torch.inference_mode():
        alpha = model(*(torch.from_numpy(np.ascontiguousarray(plane, np.float32))[None] for plane in planes))
    result: NDArray[np.float32] = alpha[0, 0].numpy()
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description="The published inference.")
    parser.add_argument("image")
    parser.add_argument("trimap")
    parser.add_argument("-o", "--output", required=True)
    parser.add_argument("--checkpoint", type=Path, default=SHIPPED_CHECKPOINT)
    arguments = parser.parse_args()
    image, trimap = cv2.imread(arguments.image), cv2.imread(arguments.trimap, cv2.IMREAD_GRAYSCALE)
    if image is None or trimap is None:
        parser.error(f"{arguments.image}, {arguments.trimap}: cannot be read; wanted a photo and its trimap")
    alpha, count = matte(
        load_checkpoint(arguments.checkpoint), np.asarray(image[:, :, ::-1], np.uint8), np.asarray(trimap, np.uint8)
    )
    if not cv2.imwrite(arguments.output, alpha):
        parser.error(f"{arguments.output}: cannot be written; choose another output")
    print(f"{count} patches")


if __name__ == "__main__":
    main()
