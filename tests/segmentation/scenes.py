"""Drawn photos whose alpha is known exactly: an object before a screen, and a pair with a clean plate; and segmentation
networks of one operator, with the inputs and outputs of real ones."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper
from PIL import Image

from litematting_deploy.images.colour import srgb_decode, srgb_encode

HW = (240, 320)
Y, X = np.mgrid[: HW[0], : HW[1]].astype(np.float32)
FINE = 4
BOX = (70, 30, 200, 190)


def alpha() -> NDArray[np.float64]:
    """A disk, a soft ball on its side, and strands around both, (H, W), 0..1: shares of pixels that are covered."""
    drawn = np.zeros((HW[0] * FINE, HW[1] * FINE), np.uint8)
    cv2.circle(drawn, (170 * FINE, 125 * FINE), 62 * FINE, 255, -1)
    for angle in np.linspace(0, 2 * np.pi, 24, endpoint=False):
        ends = [(170 + r * np.cos(angle + t), 125 + r * np.sin(angle + t)) for r, t in ((58, 0.0), (84, 0.2))]
        (x0, y0), (x1, y1) = ends
        cv2.line(drawn, (int(x0 * FINE), int(y0 * FINE)), (int(x1 * FINE), int(y1 * FINE)), 255, 5)
    covered = cv2.resize(drawn, HW[::-1], interpolation=cv2.INTER_AREA) / 255
    ball = np.clip((24 - np.hypot(Y - 80, X - 105)) / 4 + 0.5, 0, 1)
    return np.asarray(np.maximum(covered, ball), np.float64)


def object_light() -> NDArray[np.float64]:
    """Warm colours, as light (H, W, 3)."""
    waves = np.stack([0.45 + 0.2 * np.sin(X / 11), 0.16 + 0.1 * np.sin(Y / 14), 0.2 + 0.1 * np.cos(X / 17)], axis=2)
    return np.asarray(waves, np.float64)


def photographed(light: NDArray[Any], noise: float, seed: int) -> NDArray[np.uint8]:
    """Light (H, W, 3) as a camera stores it. noise: standard deviation in levels."""
    grain = np.random.default_rng(seed).normal(0, noise, light.shape)
    return np.asarray(np.rint((srgb_encode(light.clip(0, 1)) * 255 + grain).clip(0, 255)), np.uint8)


def before_screen(colour: Sequence[float] = (0.06, 0.42, 0.1), noise: float = 3.0) -> NDArray[np.uint8]:
    """The object before a screen that is twice as bright on the right as on the left."""
    screen = np.array(colour) * (0.6 + 0.6 * X[..., None] / HW[1])
    share = alpha()[..., None]
    return photographed(share * object_light() + (1 - share) * screen, noise, seed=1)


def pair(shift: tuple[float, float] = (2.4, -1.7), gain: float = 1.2) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The object before a wall with texture, and the wall alone, from a camera that was moved and exposed otherwise."""
    rng = np.random.default_rng(2)
    grain = cv2.GaussianBlur(rng.normal(0, 1, (HW[0] + 20, HW[1] + 20, 3)), (0, 0), 2.5)
    wall = srgb_decode(0.45 + 0.3 * grain / np.abs(grain).max())
    place = np.array([[1, 0, -10.0], [0, 1, -10.0]])
    plate = cv2.warpAffine(wall, place, HW[::-1], flags=cv2.INTER_CUBIC)
    place[:, 2] += shift
    behind = cv2.warpAffine(wall, place, HW[::-1], flags=cv2.INTER_CUBIC)
    share = alpha()[..., None]
    light = (share * object_light() + (1 - share) * behind) * gain * np.array([1, 1.03, 0.96])
    return photographed(light, 2, seed=3), photographed(plate, 2, seed=4)


def check(trimap: NDArray[np.uint8], *, wrong: float = 0.0, most_unknown: float = 0.35) -> None:
    """Every mixed pixel is unknown, what is sure is right, and not all is unknown.

    wrong: the share of the picture, in which either may fail. A pixel whose alpha is nearer to 0 or 1 than one level of
    8 bits in a result would show is not mixed.
    """
    truth = alpha()
    mixed = (truth > 0.01) & (truth < 0.99)
    missed = np.count_nonzero(mixed & (trimap != 128))
    sure_wrong = np.count_nonzero((trimap == 255) & (truth < 0.5)) + np.count_nonzero((trimap == 0) & (truth > 0.5))
    assert missed <= wrong * mixed.sum(), f"{missed} of {mixed.sum()} mixed pixels are sure"
    assert sure_wrong <= wrong * truth.size, f"{sure_wrong} sure pixels are wrong"
    assert (trimap == 128).mean() < most_unknown
    assert (trimap == 255).sum() > 0.5 * (truth == 1).sum()
    assert (trimap == 0).sum() > 0.5 * (truth == 0).sum()


def save(path: Path, pixels: NDArray[np.uint8]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def network(
    path: Path,
    size: tuple[int | str, int | str],
    outputs: Sequence[str],
    *,
    given: str = "input",
    logits: bool = False,
    batch: int | str = 1,
) -> Path:
    """Write a network whose outputs are all 4 times the first channel, through a sigmoid unless they are logits."""
    last = [f"{name}.logit" for name in outputs] if not logits else list(outputs)
    nodes = [
        helper.make_node("Gather", [given, "first"], ["channel"], axis=1),
        *(helper.make_node("Mul", ["channel", "four"], [name]) for name in last),
    ]
    if not logits:
        nodes += [helper.make_node("Sigmoid", [name], [out]) for name, out in zip(last, outputs, strict=True)]
    graph = helper.make_graph(
        nodes,
        "stand-in",
        [helper.make_tensor_value_info(given, TensorProto.FLOAT, [batch, 3, *size])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, 1, *size]) for name in outputs],
        [
            helper.make_tensor("first", TensorProto.INT64, [1], [0]),
            helper.make_tensor("four", TensorProto.FLOAT, [1], [4.0]),
        ],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


NETWORKS = {
    "U2-Net": {"size": (320, 320), "outputs": [f"d{index}" for index in range(7)], "given": "input.1"},
    "IS-Net": {"size": (1024, 1024), "outputs": ["output", *(f"d{index}" for index in range(1, 12))]},
    "BiRefNet": {"size": (1024, 1024), "outputs": ["output_image"], "given": "input_image", "logits": True},
    "MODNet": {"size": ("h", "w"), "outputs": ["output"], "batch": "n"},
    "RMBG-1.4": {"size": (1024, 1024), "outputs": ["output"]},
}
