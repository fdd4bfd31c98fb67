"""The metrics against slow implementations of their definitions, hand-made cases and the published values."""

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

import litematting_deploy
from litematting_deploy.errors import InputError
from litematting_deploy.evaluation import metrics
from tests.conftest import ROOT

SHARED = ROOT.parent / "shared"
METRICS: dict[str, Callable[..., float]] = {
    "sad": metrics.sad,
    "mse": metrics.mse,
    "grad": metrics.grad,
    "conn": metrics.conn,
}
Floats = NDArray[np.float64]


def slow_grad(prediction: Floats, alpha: Floats, unknown: NDArray[np.bool_]) -> float:
    kernel = np.empty((9, 9))
    for y in range(-4, 5):
        for x in range(-4, 5):
            gaussian = [math.exp(-(v**2) / 2 / 1.4**2) / 1.4 / math.sqrt(2 * math.pi) for v in (x, y)]
            kernel[y + 4, x + 4] = gaussian[0] * -y * gaussian[1] / 1.4**2
    kernel /= math.sqrt((kernel**2).sum())
    magnitudes = []
    for plane in (prediction, alpha):
        stretched = (plane - plane.min()) / (plane.max() - plane.min())
        sides = [ndimage.convolve(stretched, side, mode="nearest") for side in (kernel, kernel.T)]
        magnitudes.append(np.sqrt(sides[0] ** 2 + sides[1] ** 2))
    return float(sum((magnitudes[0] - magnitudes[1])[unknown] ** 2) / 1000)


def slow_conn(prediction: Floats, alpha: Floats, unknown: NDArray[np.bool_]) -> float:
    level = np.full(alpha.shape, -1.0)
    thresholds = list(np.arange(0, 1.1, 0.1))
    for i in range(1, len(thresholds)):
        labels, count = ndimage.label((prediction >= thresholds[i]) & (alpha >= thresholds[i]))
        sizes = [(labels == n).sum() for n in range(1, count + 1)]
        largest = labels == 1 + int(np.argmax(sizes)) if sizes else np.zeros(alpha.shape, bool)
        level[(level == -1) & ~largest] = thresholds[i - 1]
    level[level == -1] = 1
    total = 0.0
    for y, x in np.argwhere(unknown):
        phi = [1 - (p[y, x] - level[y, x]) * (p[y, x] - level[y, x] >= 0.15) for p in (prediction, alpha)]
        total += abs(phi[0] - phi[1])
    return total / 1000


def random_case(seed: int) -> tuple[Floats, Floats, NDArray[np.uint8]]:
    """Blurred noise in grey levels, so that regions split and join at many thresholds."""
    noise = np.random.default_rng(seed)
    alpha = ndimage.gaussian_filter(noise.random((37, 53)), 2)
    alpha = (alpha - alpha.min()) / np.ptp(alpha)
    prediction = (alpha + 0.2 * noise.standard_normal(alpha.shape)).clip(0, 1)
    trimap = np.where(alpha > 0.75, 255, np.where(alpha < 0.2, 0, 128)).astype(np.uint8)
    return np.rint(prediction * 255) / 255, np.rint(alpha * 255) / 255, trimap


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_equal_to_slow_definitions(seed: int, dtype: Any) -> None:
    prediction, alpha, trimap = random_case(seed)
    unknown = trimap == 128
    forced = np.where(unknown, prediction, trimap / 255)
    wanted = {
        "sad": sum(abs(p - a) for p, a in zip(forced.ravel(), alpha.ravel(), strict=True)) / 1000,
        "mse": sum((p - a) ** 2 for p, a in zip(forced[unknown], alpha[unknown], strict=True)) / unknown.sum(),
        "grad": slow_grad(forced, alpha, unknown),
        "conn": slow_conn(forced, alpha, unknown),
    }
    for name, metric in METRICS.items():
        arguments = prediction.astype(dtype), alpha.astype(dtype), trimap
        assert metric(*arguments) == pytest.approx(wanted[name], rel=1e-12), name
        assert getattr(metrics.measure(*arguments), name) == metric(*arguments)
        assert metric(forced.astype(dtype), *arguments[1:]) == metric(*arguments), "known pixels are forced"


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_conn_153_does_not_reach_the_threshold_above_it(dtype: Any) -> None:
    """A bridge of 153 / 255 breaks at 0.6: the tip behind it has level 0.5, not 0.6."""
    alpha = np.zeros((3, 6), np.uint8)
    alpha[:, :3] = 255
    alpha[1, 3:5] = 153, 255
    prediction = alpha.copy()
    prediction[1, 4] = 160
    value = metrics.conn((prediction / 255).astype(dtype), (alpha / 255).astype(dtype), np.full((3, 6), 128, np.uint8))
    assert value == pytest.approx((1 - 0.5) / 1000, rel=1e-12)


@pytest.mark.skipif(not SHARED.is_dir(), reason="evaluation images are not part of the repository")
@pytest.mark.parametrize("name", ["GT01", "GT25"])
def test_published_values(name: str) -> None:
    def levels(path: str) -> NDArray[np.uint8]:
        with Image.open(SHARED / path) as picture:
            return np.asarray(picture)

    prediction = levels(f"golden/metrics_{name}_prediction.png") / 255
    alpha = levels(f"eval/alphamatting/alpha/{name}.png") / 255
    wanted = json.loads((SHARED / "golden" / "metrics.json").read_text())[name]
    for metric, value in wanted.items():
        assert METRICS[metric](prediction, alpha, levels(f"eval/alphamatting/trimap1/{name}.png")) == pytest.approx(
            value, rel=1e-6
        )


def test_black_against_white() -> None:
    trimap = np.full((20, 30), 128, np.uint8)
    black, white = np.zeros((20, 30)), np.ones((20, 30))
    assert metrics.sad(black, white, trimap) == 0.6
    assert metrics.mse(black, white, trimap) == 1
    assert metrics.grad(black, white, trimap) == 0
    assert metrics.conn(black, white, trimap) == pytest.approx(0.6)
    assert set(vars(metrics.measure(white, white, trimap)).values()) == {0}


def test_arguments_are_left_as_they_are() -> None:
    prediction, alpha, trimap = random_case(5)
    before = prediction.copy(), alpha.copy(), trimap.copy()
    metrics.measure(prediction, alpha, trimap)
    for array, copy in zip((prediction, alpha, trimap), before, strict=True):
        np.testing.assert_array_equal(array, copy)


HALF, ALL_UNKNOWN = np.full((4, 5), 0.5), np.full((4, 5), 128, np.uint8)


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
@pytest.mark.parametrize(
    ("given", "words"),
    [
        (np.full((4, 5), 128, np.uint8), r"is \(4, 5\) uint8, expected .* divide grey levels by 255"),
        (HALF[..., None], r"is \(4, 5, 1\)"),
        (HALF[:3], r"is \(3, 5\), .*sizes must match"),
        (HALF * 255, "ranges from 127.5 to 127.5, expected 0..1"),
        (HALF * np.nan, "ranges from nan to nan, expected 0..1"),
        (HALF - 0.6, "ranges from -0.1 to -0.1, expected 0..1"),
    ],
    ids=["floats, not levels", "one channel", "one size", "at most 1", "numbers", "at least 0"],
)
@pytest.mark.parametrize("name", ["prediction", "alpha"])
def test_other_alphas_are_refused(metric: Callable[..., float], given: NDArray[Any], words: str, name: str) -> None:
    alphas = {"prediction": HALF, "alpha": HALF} | {name: given}
    with pytest.raises(InputError, match=f"{name} {words}"):
        metric(**alphas, trimap=ALL_UNKNOWN)


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
@pytest.mark.parametrize(
    ("alpha", "trimap", "words"),
    [
        (HALF, ALL_UNKNOWN - 1, "contains only 0, 128, 255; this one also contains 127"),
        (HALF[:0], ALL_UNKNOWN[:0], "the sizes must match and not be 0"),
    ],
    ids=["another value", "no pixel"],
)
def test_other_trimaps_are_refused(
    metric: Callable[..., float], alpha: NDArray[Any], trimap: NDArray[np.uint8], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        metric(alpha, alpha, trimap)


def test_nothing_unknown_has_no_mean() -> None:
    with pytest.raises(InputError, match="no unknown pixels"):
        metrics.mse(np.ones((2, 2)), np.ones((2, 2)), np.full((2, 2), 255, np.uint8))


def test_public_name() -> None:
    assert litematting_deploy.metrics is metrics
