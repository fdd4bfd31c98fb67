"""Refinement against PyMatting's matting Laplacian, a direct solver and drawn strands."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from pymatting import cf_laplacian
from scipy import sparse
from scipy.sparse.linalg import spsolve

from litematting_deploy.matting import refine as room
from litematting_deploy.matting.laplacian import EPSILON, Laplacian
from litematting_deploy.matting.refine import refine

Floats = NDArray[np.float32]


def textured(height: int, width: int) -> NDArray[np.uint8]:
    rng = np.random.default_rng(0)
    smooth = cv2.GaussianBlur(rng.normal(size=(height, width, 3)), (0, 0), 4) * 800 + 128
    return np.asarray(np.clip(smooth + rng.normal(0, 2, smooth.shape), 0, 255), np.uint8)


def blurred(alpha: Floats, deviation: float) -> Floats:
    return np.asarray(cv2.GaussianBlur(alpha, (0, 0), deviation), np.float32)


def strands(height: int = 240, width: int = 320) -> tuple[NDArray[np.uint8], NDArray[np.uint8], Floats]:
    """A photo of fine strands before another texture, its trimap and its alpha."""
    rng = np.random.default_rng(1)
    drawn = np.zeros((4 * height, 4 * width), np.uint8)
    drawn[:, : int(1.2 * width)] = 255
    for _ in range(90):
        start = int(1.2 * width), int(rng.integers(4 * height))
        end = int(start[0] + rng.integers(width // 2, 2 * width)), int(start[1] + rng.integers(-height, height))
        cv2.line(drawn, start, end, 255, int(rng.integers(3, 9)), cv2.LINE_AA)
    alpha = cv2.resize(drawn, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32) / np.float32(255)
    front, behind = textured(height, width) * 0.3 + (20, 30, 140), textured(width, height).transpose(1, 0, 2) * 0.4 + 60
    mixed = alpha[:, :, None] * front + (1 - alpha[:, :, None]) * behind
    trimap = np.full(alpha.shape, 128, np.uint8)
    trimap[:, : width // 5], trimap[:, -width // 16 :] = 255, 0
    alpha[trimap == 255], alpha[trimap == 0] = 1, 0
    return np.rint(mixed).astype(np.uint8), trimap, alpha


def matrix_of(image: NDArray[np.uint8]) -> sparse.csr_matrix:
    return cf_laplacian(image / 255, epsilon=EPSILON).tocsr()


@pytest.mark.parametrize("kind", ["texture", "grey", "flat"])
def test_the_matrix_is_pymattings(kind: str) -> None:
    image = textured(70, 83)
    if kind == "grey":
        image[:] = image[:, :, :1]
    elif kind == "flat":
        image[:] = 77
    vector = np.random.default_rng(2).random(image.shape[:2], np.float32)
    product = np.empty_like(vector)
    Laplacian.of(image).times(vector, product)
    wanted = matrix_of(image) @ vector.ravel().astype(np.float64)
    # The covariance of greys is all but singular, and PyMatting inverts it as it is.
    np.testing.assert_allclose(product.ravel(), wanted, atol=2e-4 if kind == "grey" else 2e-5)


def test_an_affine_function_of_the_colours_costs_nothing() -> None:
    image = textured(66, 40)
    vector = np.asarray(image[:, :, 1] / np.float32(255), np.float32)
    product = np.empty_like(vector)
    Laplacian.of(image).times(vector, product)
    assert np.abs(product).max() < 1e-4


def test_the_coarsest_level_is_what_a_direct_solver_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "HALVINGS", 0)
    monkeypatch.setattr(room, "MOST_STEPS", 2000)
    monkeypatch.setattr(room, "RESIDUAL", 1e-7)
    image, trimap, alpha = strands(48, 64)
    prior = blurred(alpha, 3)
    found = refine(image, trimap, prior)
    unknown = (trimap == 128).ravel()
    weight = sparse.eye(unknown.size) * room.COARSEST_WEIGHT
    system = matrix_of(image) + weight
    known = np.where(unknown, 0, (trimap == 255).ravel())
    right = (weight @ prior.ravel() - system @ known)[unknown]
    wanted = known.astype(np.float64)
    wanted[unknown] = spsolve(system[unknown][:, unknown].tocsc(), right)
    np.testing.assert_allclose(found.ravel(), np.clip(wanted, 0, 1), atol=1e-3)


@pytest.mark.parametrize(("tile", "unknown"), [(96, "band"), (128, "all")])
def test_tiles_show_by_less_than_a_level(tile: int, unknown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    image, trimap, alpha = strands(203, 251)
    if unknown == "all":
        trimap[:] = 128
    prior = blurred(alpha, 2)
    whole = refine(image, trimap, prior)
    monkeypatch.setattr(room, "TILE", tile)
    assert np.abs(refine(image, trimap, prior) - whole).max() < 1 / 255


def test_strands_are_nearer_the_truth() -> None:
    image, trimap, alpha = strands()
    prior = blurred(alpha, 2)
    given, steps = prior.copy(), []
    found = refine(image, trimap, prior, lambda done, total: steps.append((done, total)))
    assert np.array_equal(prior, given)
    unknown = trimap == 128
    assert np.array_equal(found[~unknown], (trimap == 255)[~unknown].astype(np.float32))
    assert found.dtype == np.float32
    assert 0 <= found.min() <= found.max() <= 1
    # The constants suit sharp alphas, so a prior as blurred as this one gains less than it could.
    error = np.abs(prior - alpha)[unknown].sum()
    assert np.abs(found - alpha).sum() < 0.8 * error
    # A prior that is enlarged is as blurred as this one, and counts less.
    assert np.abs(refine(image, trimap, prior, scale=0.5) - alpha).sum() < 0.7 * error
    assert steps == [(n + 1, steps[-1][1]) for n in range(len(steps))]
    assert steps[-1][0] == steps[-1][1]


def test_a_single_unknown_pixel() -> None:
    image, trimap, alpha = strands(24, 32)
    trimap[trimap == 128] = 0
    trimap[9, 20] = 128
    found = refine(image, trimap, np.full_like(alpha, 0.7))
    assert 0 <= found[9, 20] < 0.7
    assert np.count_nonzero(found[trimap == 128] != 0.7) == 1


@pytest.mark.parametrize("hw", [(1, 1), (1, 9), (9, 1), (2, 2), (3, 1), (17, 3)])
def test_small_and_narrow_photos(hw: tuple[int, int]) -> None:
    image, trimap, prior = np.full((*hw, 3), 9, np.uint8), np.full(hw, 128, np.uint8), np.full(hw, 0.25, np.float32)
    np.testing.assert_allclose(refine(image, trimap, prior), prior, atol=1e-4)


def test_a_trimap_without_unknown_pixels_is_its_alpha() -> None:
    image, trimap, _ = strands(24, 32)
    trimap[trimap == 128] = 0
    assert np.array_equal(refine(image, trimap, np.full(trimap.shape, 0.5, np.float32)), trimap / np.float32(255))
