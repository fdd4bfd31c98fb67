"""The kernels, on the host, against NumPy, SciPy and the CPU's own crop-and-stitch."""

from typing import Any, Literal

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from litematting_deploy.matting.guide import transformable_map
from litematting_deploy.matting.inputs import network_image, one_hot
from litematting_deploy.matting.patches import Plan, Stitcher, plan_grid, to_levels
from tests.runtime.cuda.host import HostCuda
from tests.runtime.cuda.planes import SIZES, U8, Bench, real, scattered


@pytest.fixture
def bench(host_cuda: HostCuda) -> Bench:
    return Bench(host_cuda)


def random_image(hw: tuple[int, int]) -> U8:
    return np.random.default_rng(1).integers(0, 256, (*hw, 3), np.uint8)


def corner_table(plan: Plan, batch: int) -> Any:
    table = np.full((-(-len(plan.corners_yx) // batch) * batch, 2), -1, np.int32)
    table[: len(plan.corners_yx)] = plan.corners_yx
    return table


def reach(trimap: U8) -> Any:
    """Squared distances as the device has them, from an exact distance transform."""
    planes = np.full((2, *trimap.shape), 65535, np.uint16)
    for plane, value in zip(planes, (0, 255), strict=True):
        if (trimap == value).any():
            squared = np.rint(distance_transform_edt(trimap != value) ** 2)
            plane[squared <= 92**2] = squared[squared <= 92**2]
    return planes


@pytest.mark.parametrize("padding", ["edge", "background"])
@pytest.mark.parametrize("hw", SIZES, ids=str)
def test_padding(bench: Bench, hw: tuple[int, int], padding: Literal["edge", "background"]) -> None:
    image, trimap = random_image(hw), scattered(hw)
    plan = plan_grid(trimap, (40, 70), padding=padding)
    np.testing.assert_array_equal(bench.padded(image, plan, None), plan.pad_image(image))
    around = None if padding == "edge" else 0
    np.testing.assert_array_equal(bench.padded(trimap, plan, around), plan.pad_trimap(trimap))


@pytest.mark.parametrize("hw", [*SIZES, (311, 250)], ids=str)
def test_bits_of_unknown_pixels(bench: Bench, hw: tuple[int, int]) -> None:
    trimap = scattered(hw)
    bits, strange = bench.unknown(trimap)
    np.testing.assert_array_equal(bits, np.packbits(trimap == 128, axis=1))
    assert strange == 0
    trimap[-1, -1] = 127
    assert bench.unknown(trimap)[1] == 1


@pytest.mark.parametrize("share", [0, 0.0005, 0.02, 0.5, 1])
@pytest.mark.parametrize("hw", [*SIZES, (311, 250)], ids=str)
def test_distances_equal_an_exact_transform(bench: Bench, hw: tuple[int, int], share: float) -> None:
    trimap = scattered(hw, share, seed=hw[1])
    np.testing.assert_array_equal(bench.squared(trimap), reach(trimap))


def test_distances_of_a_photo(bench: Bench) -> None:
    trimap = real()
    np.testing.assert_array_equal(bench.squared(trimap), reach(trimap))


@pytest.mark.parametrize(("y", "x"), [(0, 92), (92, 0), (0, 93), (93, 0), (65, 65), (66, 65), (56, 73), (57, 73)])
def test_the_reach_is_92_pixels_to_every_side(bench: Bench, y: int, x: int) -> None:
    trimap = np.full((190, 190), 128, np.uint8)
    trimap[95, 95] = 255
    wanted = y * y + x * x if y * y + x * x <= 92**2 else 65535
    background, foreground = bench.squared(trimap)
    for dy, dx in ((y, x), (-y, x), (y, -x), (-y, -x)):
        assert foreground[95 + dy, 95 + dx] == wanted
    assert (background == 65535).all()


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("hw", SIZES, ids=str)
def test_gathering(bench: Bench, hw: tuple[int, int], batch: int) -> None:
    plan = plan_grid(scattered(hw), (33, 47), step=20)
    image, trimap = plan.pad_image(random_image(hw)), plan.pad_trimap(scattered(hw, 0.01))
    guide, table = transformable_map(trimap), corner_table(plan, batch)
    for first in range(0, len(table), batch):
        corners = table[first : first + batch]
        found = bench.gathered(image, trimap, corners, plan)
        for index, corner in enumerate(corners):
            if corner[0] < 0:
                assert not any(planes[index].any() for planes in found.values())
                continue
            window = plan.window(tuple(corner))
            np.testing.assert_array_equal(found["image"][index], network_image(image[window]))
            np.testing.assert_array_equal(found["trimap"][index], one_hot(trimap[window]))
            np.testing.assert_allclose(found["guide"][index], guide[:, *window], atol=2e-7)


def test_gathering_gives_every_grey_value_numpys_bits(bench: Bench) -> None:
    image = np.repeat(np.arange(256, dtype=np.uint8), 3).reshape(16, 16, 3)
    plan = Plan((16, 16), (16, 16), (0, 0), (16, 16), ((0, 0),), 1)
    found = bench.gathered(image, np.zeros((16, 16), np.uint8), np.zeros((1, 2), np.int32), plan)
    np.testing.assert_array_equal(found["image"][0], network_image(image))


@pytest.mark.parametrize("published", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.uint8, np.uint16])
@pytest.mark.parametrize("batch", [1, 4, None], ids=["one by one", "batches", "all at once"])
@pytest.mark.parametrize("hw", SIZES, ids=str)
def test_stitching_has_the_bits_of_the_cpu(
    bench: Bench, hw: tuple[int, int], dtype: Any, published: bool, batch: int | None
) -> None:
    trimap = scattered(hw)
    plan = plan_grid(trimap, (33, 46), step=13, padding="background" if published else "edge")
    padded = plan.pad_trimap(trimap)
    alphas = np.random.default_rng(2).normal(0.5, 0.4, (len(plan.corners_yx), *plan.patch_hw)).astype(np.float32)
    stitcher = Stitcher(plan, padded)
    for corner, alpha in zip(plan.corners_yx, alphas, strict=True):
        stitcher.add(corner, alpha)
    wanted: Any = stitcher.finish()
    if dtype is not np.float32:
        wanted = to_levels(wanted, dtype, published)
    table = corner_table(plan, 4)
    alphas = np.concatenate([alphas, np.full((len(table) - len(alphas), *plan.patch_hw), np.nan, np.float32)])
    found, bad = bench.stitched(alphas, table, padded, plan, dtype, published, batch)
    assert not bad
    np.testing.assert_array_equal(found, wanted)


def test_pixels_that_no_patch_covers(bench: Bench) -> None:
    plan = Plan((20, 30), (20, 30), (0, 0), (8, 8), ((3, 4),), 9)
    trimap = scattered((20, 30))
    found, _ = bench.stitched(np.ones((1, 8, 8), np.float32), corner_table(plan, 1), trimap, plan, np.float32, False)
    wanted = (trimap == 255).astype(np.float32)
    wanted[3:11, 4:12][trimap[3:11, 4:12] == 128] = 1
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_only_alphas_that_count_must_be_finite(bench: Bench, value: float) -> None:
    trimap = np.zeros((9, 9), np.uint8)
    trimap[4, 5] = 128
    plan = plan_grid(trimap, (9, 9))
    for place, flag in (((4, 5), 1), ((5, 4), 0)):
        alpha = np.full((1, 9, 9), 0.5, np.float32)
        alpha[0][place] = value
        _, bad = bench.stitched(alpha, corner_table(plan, 1), trimap, plan, np.uint8, False)
        assert bad == flag


def test_arguments_are_checked_against_the_source(host_cuda: HostCuda, bench: Bench) -> None:
    kernel = bench.kernels._kernels["guide_rows"]
    stream, one = host_cuda.stream(), (1, 1, 1)
    with pytest.raises(AssertionError, match="guide_rows takes 4 arguments, got 3"):
        kernel.launch(stream, one, one, 1, 2, np.int32(3))
    with pytest.raises(AssertionError, match="int height is given float32"):
        kernel.launch(stream, one, one, 1, 2, np.float32(3), np.int32(3))
    with pytest.raises(AssertionError, match=r"int width is given int$"):
        kernel.launch(stream, one, one, 1, 2, np.int32(3), 3)
