"""Each stage of matting but the engine, by pytest-benchmark, on the cases of cases.toml: `pytest benchmarks`."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from litematting_deploy.evaluation import metrics
from litematting_deploy.images.mask import read_trimap
from litematting_deploy.images.photo import Photo, read_image
from litematting_deploy.matting.foreground import estimate_foreground
from litematting_deploy.matting.guide import Guide
from litematting_deploy.matting.inputs import network_image, one_hot
from litematting_deploy.matting.patches import Plan, Stitcher, plan_grid
from litematting_deploy.runtime.shipped import EXAMPLE_IMAGE, EXAMPLE_TRIMAP

CASES = tomllib.loads(Path(__file__).with_name("cases.toml").read_text())["case"]


@dataclass(frozen=True)
class Scene:
    """A photo with its trimap and plan, and an alpha that is not flat: the photo's own green."""

    image: NDArray[np.uint8]
    trimap: NDArray[np.uint8]
    plan: Plan
    alpha: NDArray[np.float32]


@pytest.fixture(scope="module", params=CASES, ids=lambda case: str(case["name"]))
def scene(request: pytest.FixtureRequest) -> Scene:
    height, width = request.param["hw"]
    image = np.asarray(cv2.resize(read_image(EXAMPLE_IMAGE), (width, height)), np.uint8)
    resized = cv2.resize(read_trimap(EXAMPLE_TRIMAP), (width, height), interpolation=cv2.INTER_NEAREST)
    trimap = np.asarray(resized, np.uint8)
    plan = plan_grid(trimap, (request.param["patch"],) * 2)
    return Scene(image, trimap, plan, (image[:, :, 1] / np.float32(255)).astype(np.float32))


def test_plan(benchmark: Any, scene: Scene) -> None:
    assert benchmark(plan_grid, scene.trimap, scene.plan.patch_hw) == scene.plan


def test_guide(benchmark: Any, scene: Scene) -> None:
    assert benchmark(Guide, scene.trimap).window().max() == 1


def test_gather(benchmark: Any, scene: Scene) -> None:
    """The engine's inputs of one patch."""
    guide, window = Guide(scene.trimap), scene.plan.window(scene.plan.corners_yx[0])

    def gather() -> list[NDArray[np.float32]]:
        return [network_image(scene.image[window]), one_hot(scene.trimap[window]), guide.window(*window)]

    assert [array.shape for array in benchmark(gather)] == [(count, *scene.plan.patch_hw) for count in (3, 3, 2)]


def test_stitch(benchmark: Any, scene: Scene) -> None:
    """All patches of the plan, and the weighted mean."""

    def stitch() -> NDArray[np.float32]:
        stitcher = Stitcher(scene.plan, scene.trimap)
        for corner in scene.plan.corners_yx:
            stitcher.add(corner, scene.alpha[scene.plan.window(corner)])
        return stitcher.finish()

    unknown = scene.trimap == 128
    np.testing.assert_allclose(benchmark(stitch)[unknown], scene.alpha[unknown], atol=1e-6)


def test_foreground(benchmark: Any, scene: Scene) -> None:
    photo = Photo("example", scene.image, scene.image)
    assert benchmark(estimate_foreground, photo, scene.alpha).shape == scene.image.shape


@pytest.mark.parametrize("name", ["sad", "mse", "grad", "conn"])
def test_metric(benchmark: Any, scene: Scene, name: str) -> None:
    other = scene.alpha**2
    assert benchmark(getattr(metrics, name), other, scene.alpha, scene.trimap) > 0
