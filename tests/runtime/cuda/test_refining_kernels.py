"""The kernels of refinement, on the host, beside NumPy's and OpenCV's refinement."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from litematting_deploy.matting import refine as room
from litematting_deploy.matting.laplacian import Laplacian
from litematting_deploy.runtime.cuda.refining import FLOAT, SUMS_BYTES, TILE_PLANES, Level, TileKernels
from tests.matting.test_refine import textured
from tests.runtime.cuda.host import HostCuda
from tests.runtime.cuda.planes import SIZES, Bench

Floats = NDArray[np.float32]
PLANES = {"weights": 13, "solution": 14, "residual": 15, "direction": 16, "product": 17}


@pytest.fixture
def bench(host_cuda: HostCuda) -> Bench:
    return Bench(host_cuda)


def level(hw: tuple[int, int], kind: str = "texture", share: float = 0.7) -> Any:
    """A photo of a kind, `share` of it unknown, with an alpha that is 0 or 1 elsewhere."""
    rng = np.random.default_rng(hw[0] * 1000 + hw[1])
    image = textured(*hw)
    if kind == "grey":
        image[:] = image[:, :, :1]
    elif kind == "flat":
        image[:] = 77
    unknown, alpha = rng.random(hw) < share, rng.random(hw, np.float32)
    return room._Level(image, unknown, np.where(unknown, alpha, np.rint(alpha)))


def put(bench: Bench, of: Any) -> Level:
    trimap = np.where(of.unknown, np.uint8(128), np.uint8(255))
    image, unknown, alpha, refined = map(bench.put, (of.image, trimap, of.alpha, of.alpha))
    return Level(image, unknown, alpha, refined, of.alpha.shape)


class Tile:
    """The kernels of a tile, and its planes as arrays."""

    def __init__(self, bench: Bench, of: Any, window: room.Window | None = None) -> None:
        self._bench, (height, width) = bench, of.alpha.shape
        self.window = window or (slice(0, height), slice(0, width))
        self.hw = self.window[0].stop - self.window[0].start, self.window[1].stop - self.window[1].start
        self._planes = bench.room(TILE_PLANES * self.hw[0] * self.hw[1] * FLOAT)
        self.kernels = TileKernels(bench.kernels, bench.stream, put(bench, of), self.window, self._planes)

    def plane(self, name: str) -> Floats:
        planes: Floats = self._bench.get(self._planes, (TILE_PLANES, *self.hw), np.float32)[PLANES[name]]
        return planes

    def matrix(self) -> Floats:
        planes: Floats = self._bench.get(self._planes, (13, *self.hw), np.float32)
        return planes


@pytest.mark.parametrize("hw", [*SIZES, (151, 212)], ids=str)
def test_halves(bench: Bench, hw: tuple[int, int]) -> None:
    whole = level(hw, share=0.5)
    there, wanted = put(bench, whole), room._halved(whole)
    shape = wanted.alpha.shape
    image, unknown, alpha = (bench.room(count * wanted.alpha.size) for count in (3, 1, 4))
    places = there.image, there.unknown, there.alpha, image, unknown, alpha
    bench.kernels.launch("halve_level", bench.stream, shape, *places, *map(np.int32, hw))
    np.testing.assert_array_equal(bench.get(image, (*shape, 3), np.uint8), wanted.image)
    np.testing.assert_array_equal(bench.get(unknown, shape, np.uint8) == 128, wanted.unknown)
    np.testing.assert_allclose(bench.get(alpha, shape, np.float32), wanted.alpha, atol=1e-7)


@pytest.mark.parametrize("share", [0, 0.001, 1])
@pytest.mark.parametrize("hw", SIZES, ids=str)
def test_blocks_with_unknown_pixels(bench: Bench, hw: tuple[int, int], share: float) -> None:
    whole = level(hw, share=share)
    shape = -(-hw[0] // 32), -(-hw[1] // 32)
    wanted = np.zeros((32 * shape[0], 32 * shape[1]), bool)
    wanted[: hw[0], : hw[1]] = whole.unknown
    blocks = bench.room(shape[0] * shape[1])
    sizes = map(np.int32, (*hw, 32))
    bench.kernels.launch("unknown_blocks", bench.stream, shape, put(bench, whole).unknown, blocks, *sizes)
    found = bench.get(blocks, shape, np.uint8)
    np.testing.assert_array_equal(found, wanted.reshape(shape[0], 32, shape[1], 32).any(axis=(1, 3)))


@pytest.mark.parametrize(
    "window", [(slice(0, 61), slice(0, 75)), (slice(0, 40), slice(31, 75)), (slice(21, 61), slice(8, 50))]
)
@pytest.mark.parametrize("kind", ["texture", "grey", "flat"])
def test_what_a_tile_begins_with(bench: Bench, kind: str, window: room.Window) -> None:
    whole = level((61, 75), kind)
    half = room._halved(whole)
    tile = Tile(bench, whole, window)
    part = tuple(
        slice(max(side.start // 2 - room.CONTEXT, 0), min((side.stop + 1) // 2 + room.CONTEXT, most))
        for side, most in zip(window, half.alpha.shape, strict=True)
    )
    count = half.alpha[part].size
    tile.kernels.begin_from(put(bench, half), (part[0], part[1]), (bench.room(16 * count), bench.room(16 * count)))
    prior, weights = room._mixed(room._carried_over(whole.image, half, window), whole.alpha[window], 1.0)
    unknown = whole.unknown[window].copy()
    np.testing.assert_allclose(tile.plane("solution")[unknown], prior[unknown], atol=1e-5)
    np.testing.assert_array_equal(tile.plane("solution")[~unknown], whole.alpha[window][~unknown])
    for axis, (side, most) in enumerate(zip(window, (61, 75), strict=True)):
        edges = np.moveaxis(unknown, axis, 0)
        if side.start:
            edges[: room.RING] = False
        if side.stop < most:
            edges[-room.RING :] = False
    np.testing.assert_allclose(tile.plane("weights"), weights * unknown, rtol=1e-4)


@pytest.mark.parametrize("kind", ["texture", "grey", "flat"])
@pytest.mark.parametrize("hw", [(1, 1), (1, 9), (33, 2), (70, 83)], ids=str)
def test_the_matrix_and_the_first_direction(bench: Bench, hw: tuple[int, int], kind: str) -> None:
    whole = level(hw, kind, share=1)
    tile, laplacian = Tile(bench, whole), Laplacian.of(whole.image)
    tile.kernels.begin_by(0.25)
    np.testing.assert_array_equal(tile.plane("weights"), np.full(hw, 0.25, np.float32))
    pair = bench.room(16)
    tile.kernels.begin_steps(bench.room(SUMS_BYTES), pair)
    np.testing.assert_allclose(tile.matrix(), laplacian.planes, atol=3e-6)
    product = np.empty(hw, np.float32)
    laplacian.times(whole.alpha, product)
    change = -product / (laplacian.diagonal + np.float32(0.25))
    np.testing.assert_allclose(tile.plane("residual"), -product, atol=1e-4)
    np.testing.assert_allclose(tile.plane("direction"), change, atol=1e-4)
    found = bench.get(pair, (2,), np.float64)
    own = tile.plane("residual").astype(np.float64), tile.plane("product").astype(np.float64)
    np.testing.assert_allclose(found, [np.vdot(*own), np.abs(own[1]).max()], rtol=1e-12, atol=1e-30)


def test_rows_that_join_no_unknown_pixel_are_left_out(bench: Bench) -> None:
    whole = level((40, 50), share=0)
    whole.unknown[17:20, 30] = True
    tile, laplacian = Tile(bench, whole), Laplacian.of(whole.image)
    tile.kernels.begin_by(0.25)
    tile.kernels.begin_steps(bench.room(SUMS_BYTES), bench.room(16))
    found, product = tile.matrix(), np.empty((40, 50), np.float32)
    assert not found[:, 20:].any()
    assert not found[:, :, :28].any()
    laplacian.times(whole.alpha, product)
    np.testing.assert_allclose(tile.plane("residual"), np.where(whole.unknown, -product, 0), atol=1e-4)


def test_a_step_is_one_of_conjugate_gradients(bench: Bench) -> None:
    whole = level((45, 61))
    tile, laplacian = Tile(bench, whole), Laplacian.of(whole.image)
    tile.kernels.begin_by(0.25)
    sums, curved, before, size = bench.room(SUMS_BYTES), *(bench.room(16) for _ in range(3))
    tile.kernels.begin_steps(sums, before)
    for step in range(6):
        first, second = (before, size) if step % 2 == 0 else (size, before)
        tile.kernels.step(sums, curved, first, second)
    free = whole.unknown.astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "MOST_STEPS", 6)
        prior = whole.alpha
        wanted = room._conjugate_gradients(laplacian, np.float32(0.25) * free, free, prior, prior)
    np.testing.assert_allclose(tile.plane("solution"), wanted, atol=1e-4)
    assert np.abs(tile.plane("solution") - whole.alpha).max() > 0.1
