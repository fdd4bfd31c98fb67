from collections.abc import Callable

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from litematting_deploy.errors import UsageError
from litematting_deploy.training import families
from litematting_deploy.training.families import FAMILIES, WEIGHTS, Layer, draw, layer
from litematting_deploy.training.families.canvas import NEUTRAL, Canvas, finish, opened, over, plain
from litematting_deploy.training.families.fences import slab
from litematting_deploy.training.families.perspective import Camera, Sketch, upright
from litematting_deploy.training.families.shapes import ellipse

SIZE = 160
TRANSLUCENT = ("smoke", "glass", "vessel")


def covered(inside: Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.bool_]]) -> NDArray[np.float64]:
    """The share of every pixel that is inside, from 8 x 8 samples."""
    at = (np.arange(SIZE * 8) + 0.5) / 8
    samples = inside(*np.meshgrid(at, at))
    return np.asarray(samples.reshape(SIZE, 8, SIZE, 8).mean((1, 3)))


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_is_deterministic_and_has_detail(name: str) -> None:
    opaque = fractional = 0
    for seed in range(4):
        one, two = (FAMILIES[name](np.random.default_rng(seed), SIZE) for _ in range(2))
        assert one.alpha.tobytes() == two.alpha.tobytes()
        assert one.shade.tobytes() == two.shade.tobytes()
        for plane in (one.alpha, one.shade):
            assert plane.shape == (SIZE, SIZE)
            assert plane.dtype == np.uint8
        opaque += int((one.alpha == 255).sum())
        fractional += int(((one.alpha > 0) & (one.alpha < 255)).sum())
        solid = one.alpha > 128
        assert not solid.any() or one.shade[solid].std() > 1
    assert fractional > 200
    assert opaque > 200 or name in TRANSLUCENT


def sharpness(alpha: NDArray[np.uint8]) -> float:
    """The share of fractional pixels that touch a pixel that is opaque or clear: 1 where edges are a pixel wide."""
    extreme = ((alpha < 5) | (alpha > 250)).astype(np.uint8)
    near = cv2.dilate(extreme, np.ones((3, 3), np.uint8)) > 0
    return float((near & (extreme == 0)).sum() / max((extreme == 0).sum(), 1))


# The fewest small holes that half of a family's pictures have.
CRISP = {
    "bush": 20,
    "basket": 20,
    "flowers": 10,
    "long_grass": 20,
    "fence": 5,
    "branches": 20,
    "knit": 20,
    "bicycle": 20,
}


@pytest.mark.parametrize(("name", "fewest"), CRISP.items())
def test_crisp_families_have_hard_edges_and_many_small_holes(name: str, fewest: int) -> None:
    size, holes, sharp = 384, [], []
    for seed in range(6):
        alpha = FAMILIES[name](np.random.default_rng(seed), size).alpha
        assert 0.005 < alpha.mean() / 255 < 0.9
        soft = np.asarray(cv2.GaussianBlur(alpha, (0, 0), 1.5), np.uint8)
        sharp.append(sharpness(alpha))
        assert sharp[-1] > 2 * sharpness(soft)
        clear = (alpha < 5).astype(np.uint8)
        areas = cv2.connectedComponentsWithStats(clear, connectivity=4)[2][1:, cv2.CC_STAT_AREA]
        holes.append(((areas >= 3) & (areas < 0.005 * size**2)).sum())
    assert np.median(holes) > fewest
    assert np.median(sharp) > 0.9  # wires thinner than a pixel are fractional throughout


def test_default_weights_sum_to_one() -> None:
    assert sum(WEIGHTS.values()) == pytest.approx(1)


def test_the_stream_repeats_itself_and_never_stands_still() -> None:
    first = [layer(5, index, 96) for index in range(12)]
    for index, drawn in enumerate(first):
        assert np.array_equal(layer(5, index, 96).alpha, drawn.alpha)
    assert len({drawn.alpha.tobytes() for drawn in first}) == len(first)
    assert not np.array_equal(layer(6, 0, 96).alpha, first[0].alpha)


def test_weights_choose_the_families(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def recorder(name: str) -> Callable[[np.random.Generator, int], Layer]:
        def record(_: np.random.Generator, size: int) -> Layer:
            seen.append(name)
            return Layer(np.zeros((size, size), np.uint8), np.full((size, size), 128, np.uint8))

        return record

    monkeypatch.setattr(families, "FAMILIES", {name: recorder(name) for name in FAMILIES})
    rng = np.random.default_rng(0)
    for _ in range(300):
        draw(rng, 32, {"fur": 3, "net": 1, "text": 0})
    assert set(seen) == {"fur", "net"}
    assert 2 < seen.count("fur") / seen.count("net") < 4.5
    seen.clear()
    for _ in range(1500):
        draw(rng, 32)
    assert set(seen) == set(WEIGHTS) == set(FAMILIES)


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        pytest.param(
            {"hairs": 1.0}, r"must name families; got 'hairs'; choose from straight_hair, .*text", id="unknown"
        ),
        pytest.param({}, "`weights` must not all be 0, since nothing would be drawn", id="none"),
        pytest.param({"fur": 0.0}, "`weights` must not all be 0, since nothing would be drawn", id="zero"),
        pytest.param({"fur": 1.0, "net": -1.0}, r"`weights\.net` must be .*; got -1", id="negative"),
        pytest.param({"fur": float("nan")}, r"`weights\.fur` must be .*; got nan", id="nan"),
    ],
)
def test_weights_that_draw_nothing_or_the_unknown_are_refused(weights: dict[str, float], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        draw(np.random.default_rng(0), 64, weights)


def test_filled_outlines_cover_what_they_should() -> None:
    canvas = Canvas(SIZE)
    canvas.fill(ellipse(80.3, 79.1, 55.2, 34.7, count=240))
    canvas.erase(ellipse(80.3, 79.1, 20.0, 12.0, count=240))
    drawn = canvas.sheet()[..., 0]

    def ring(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
        outer = np.hypot((x - 80.3) / 55.2, (y - 79.1) / 34.7) < 1
        return np.asarray(outer & (np.hypot((x - 80.3) / 20, (y - 79.1) / 12) > 1))

    wanted = covered(ring)
    assert abs(drawn.sum() / wanted.sum() - 1) < 0.001
    assert np.abs(drawn - wanted).mean() < 0.004
    assert np.abs(drawn - wanted).max() < 0.3  # edges are a little softer than a box filter's
    assert np.array_equal(drawn[80, 105:125], np.ones(20))
    assert not drawn[75:84, 70:90].any()


@pytest.mark.parametrize("width", [1.0, 1.5, 2.5, 4.0])
@pytest.mark.parametrize("angle", [0.0, 0.6, 1.3])
def test_strokes_are_as_wide_as_asked(width: float, angle: float) -> None:
    reach = 50 * np.array([np.cos(angle), np.sin(angle)])
    canvas = Canvas(SIZE)
    canvas.strokes(np.linspace(80.3 - reach, 80.3 + reach, 20)[None], width, [100.0], tip=1.0)
    tolerance = 0.15 if angle else 0.35  # OpenCV rounds edges along the axes
    assert canvas.sheet()[..., 0].sum() / 100 == pytest.approx(width, abs=tolerance)


def test_strands_over_a_body_leave_it_opaque() -> None:
    canvas = Canvas(SIZE)
    canvas.fill(ellipse(80, 80, 60, 60))
    rng = np.random.default_rng(1)
    canvas.strokes(rng.uniform(50, 110, (200, 6, 2)), rng.uniform(0.5, 3, 200), rng.uniform(20, 250, 200))
    drawn = finish(canvas.sheet())
    assert (drawn.alpha[45:115, 45:115] == 255).all()
    assert drawn.shade[45:115, 45:115].std() > 20


def test_layers_unite_by_over() -> None:
    top, bottom = (plain(np.full((4, 4), value, np.float32), shade) for value, shade in ((0.5, 200.0), (0.5, 100.0)))
    both = finish(over(top, bottom))
    assert (both.alpha == 191).all()
    assert np.abs(both.shade.astype(int) - 167).max() <= 1
    again = finish(opened(both))
    assert np.array_equal(again.alpha, both.alpha)
    assert np.array_equal(again.shade, both.shade)
    assert (finish(plain(np.zeros((4, 4), np.float32))).shade == NEUTRAL).all()


def test_glass_is_clear_inside_and_bright_at_its_rims() -> None:
    clear, bright = [], []
    for seed in range(8):
        alpha = FAMILIES["vessel"](np.random.default_rng(seed), 384).alpha
        seen = alpha[alpha > 0]
        clear.append((seen < 128).mean())
        bright.append((seen > 160).mean())
        near = cv2.dilate(alpha, np.ones((3, 3), np.uint8)).astype(int) - cv2.erode(alpha, np.ones((3, 3), np.uint8))
        assert (near > 100).sum() > 100  # hard edges
    assert np.median(clear) > 0.5
    assert 0.02 < np.median(bright) < 0.5


def test_bars_of_a_fence_are_as_wide_as_asked() -> None:
    camera = Camera(np.array([80.0, 80.0]), 40.0, 0.0, 0.0, 1e6)
    canvas = Canvas(SIZE)
    outline = np.array([[-0.5, -1.0], [0.5, -1.0], [0.5, 1.0], [-0.5, 1.0]])
    slab(Sketch(np.random.default_rng(0), canvas, camera), outline, 0.0, 0.1, 120.0)
    drawn = canvas.sheet()[..., 0]
    wanted = covered(lambda x, y: np.asarray((np.abs(x - 80) < 20) & (np.abs(y - 80) < 40)))
    assert abs(drawn.sum() - wanted.sum()) / 120 < 0.2  # pixels, all along its edge
    assert np.array_equal(drawn[45:115, 65:95], np.ones((70, 30)))
    assert camera(upright(outline, 0.0))[0, :2] == pytest.approx([60, 120])
