"""Crop-and-stitch around engines."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from litematting_deploy import Matter
from litematting_deploy.engines import Engine
from litematting_deploy.engines.base import Batch
from litematting_deploy.errors import InputError, UsageError
from litematting_deploy.matting.guide import transformable_map
from litematting_deploy.matting.refine import refine
from litematting_deploy.runtime import matter, open_matter
from litematting_deploy.specs import EngineSpec, PlanSpec
from tests.conftest import ROOT


class RedIsAlpha(Engine):
    """Gives the red channel as alpha, so that stitching it must give the image back."""

    def __init__(self, patch_hw: tuple[int, int] = (64, 64), batch: int | None = None) -> None:
        self.name, self.device, self.version, self.precision = "red", "cpu", "0", "fp32"
        self.patch_hw, self.batch = patch_hw, batch
        self.calls: list[dict[str, Batch]] = []

    def _run(self, image: Batch, trimap: Batch, guide: Batch) -> Batch:
        self.calls.append({"image": image, "trimap": trimap, "guide": guide})
        return image[:, :1]

    def close(self) -> None:
        self.calls.clear()


RNG = np.random.default_rng(0)
IMAGE = RNG.integers(0, 256, (150, 211, 3), np.uint8)
TRIMAP = RNG.choice(np.array([0, 128, 255], np.uint8), (150, 211))


@pytest.mark.parametrize("batch", [None, 3])
@pytest.mark.parametrize("patch_hw", [(64, 64), (32, 96), (160, 224), (64, 256)], ids=str)
@pytest.mark.parametrize(
    "options", [{}, {"step": 13}, {"plan": "adaptive"}, {"plan": "adaptive", "margin": 15}], ids=str
)
def test_gives_back_what_the_engine_says(patch_hw: tuple[int, int], options: dict[str, Any], batch: int | None) -> None:
    alpha = Matter(RedIsAlpha(patch_hw, batch), **options)(IMAGE, TRIMAP)
    wanted = np.where(TRIMAP == 128, IMAGE[:, :, 0] / 255, TRIMAP == 255)
    np.testing.assert_allclose(alpha, wanted, atol=1e-6)
    assert alpha.dtype == np.float32
    assert (alpha[TRIMAP == 0] == 0).all()
    assert (alpha[TRIMAP == 255] == 1).all()


@pytest.mark.parametrize("hw", [(1, 1), (1, 300), (33, 2)], ids=str)
def test_images_smaller_than_a_patch(hw: tuple[int, int]) -> None:
    image = RNG.integers(0, 256, (*hw, 3), np.uint8)
    alpha = Matter(RedIsAlpha())(image, np.full(hw, 128, np.uint8))
    np.testing.assert_allclose(alpha, image[:, :, 0] / 255, atol=1e-6)


def test_engine_sees_the_guide_of_the_whole_image() -> None:
    engine = RedIsAlpha()
    trimap = np.full((64, 192), 128, np.uint8)
    trimap[:, 0], trimap[:, -1] = 0, 255
    Matter(engine, step=64)(np.zeros((64, 192, 3), np.uint8), trimap)
    seen = np.concatenate([call["guide"][0] for call in engine.calls], axis=2)
    np.testing.assert_array_equal(seen, transformable_map(trimap))
    assert seen[0, 0, 63] > 0
    assert seen[0, 0, 64] > 0


def test_batches_and_progress() -> None:
    engine = RedIsAlpha()
    steps: list[tuple[int, int]] = []
    matter = Matter(engine, step=64, batch=4)
    matter(IMAGE, TRIMAP, lambda done, total: steps.append((done, total)))
    assert [len(call["image"]) for call in engine.calls] == [4, 4, 4]
    assert steps == [(4, 12), (8, 12), (12, 12)]


def test_nothing_unknown_runs_nothing() -> None:
    engine = RedIsAlpha()
    trimap = np.where(TRIMAP == 128, np.uint8(255), TRIMAP)
    alpha = Matter(engine)(IMAGE, trimap, allow_no_unknown=True)
    assert not engine.calls
    np.testing.assert_array_equal(alpha, trimap / 255)


def test_same_input_same_bits(small_onnx: Path) -> None:
    with Matter.load(small_onnx) as matter:
        assert np.array_equal(matter(IMAGE, TRIMAP), matter(IMAGE, TRIMAP))


def test_says_how_patches_are_placed() -> None:
    large = RedIsAlpha((640, 640))
    assert Matter(large, plan="adaptive").placement == "adaptive, margin 128"
    assert Matter(large).placement == "adaptive, margin 128"
    assert Matter(large, plan="grid").placement == "grid, step 320"
    assert Matter(large, step=99).placement == "grid, step 99"
    assert Matter(large, published=True).placement == "grid, step 320"
    assert Matter(large, step=99, refine=True).placement == "grid, step 99, refined"


def test_refined_alphas_and_their_progress() -> None:
    plain, steps = Matter(RedIsAlpha())(IMAGE, TRIMAP), []
    matter = Matter(RedIsAlpha(), refine=True)
    found = matter(IMAGE, TRIMAP, lambda done, total: steps.append(done / total))
    np.testing.assert_array_equal(found, refine(IMAGE, TRIMAP, plain))
    assert np.abs(found - plain).max() > 0.01
    assert steps == sorted(steps)
    assert steps[-1] == 1
    np.testing.assert_array_equal(matter(IMAGE, TRIMAP, dtype=np.uint8), np.rint(found * 255))


@pytest.mark.parametrize(
    "options",
    [
        {"plan": "grid", "margin": 5},
        {"plan": "adaptive", "step": 5},
        {"published": True, "margin": 5},
        {"published": True, "refine": True},
    ],
    ids=str,
)
def test_parameters_of_two_plans_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"; use only one of them$"):
        Matter(RedIsAlpha((640, 640)), **options)


@pytest.mark.parametrize(
    ("image", "trimap", "words"),
    [
        (IMAGE, TRIMAP[:, :10], "image is 211x150, trimap 10x150"),
        (IMAGE / 255, TRIMAP, r"`image` must be \(H, W, 3\) uint8 RGB"),
        (IMAGE, np.full_like(TRIMAP, 7), "a trimap contains only 0, 128, 255; this one also contains 7"),
    ],
    ids=["sizes", "floats", "grey levels"],
)
def test_a_wrong_photo_or_trimap_is_refused(image: Any, trimap: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Matter(RedIsAlpha())(image, trimap)


@pytest.mark.parametrize("batch", [0, 5])
def test_a_batch_that_the_engine_does_not_take_is_refused(batch: int) -> None:
    with pytest.raises(UsageError, match=rf"`batch` must be between 1 and 2, .* red takes at a time; got {batch}"):
        Matter(RedIsAlpha(batch=2), batch=batch)


MEMORY_SCRIPT = """
import numpy as np
from litematting_deploy import Matter
from tests.runtime.test_matter import RedIsAlpha

class Forgetful(RedIsAlpha):
    def _run(self, image, trimap, guide):
        return image[:, :1]

def peak():
    (line,) = (line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1e6  # kilobytes to gigabytes

trimap = np.zeros((4160, 6240), np.uint8)
trimap[300:3000, 400:5000] = 128
before = peak()
image = np.zeros((4160, 6240, 3), np.uint8)
alpha = Matter(Forgetful((640, 640)))(image, trimap)
print(peak() - before)
"""


@pytest.mark.slow
def test_26_megapixels_need_at_most_half_a_gigabyte_beside_the_engine() -> None:
    done = subprocess.run([sys.executable, "-c", MEMORY_SCRIPT], cwd=ROOT, capture_output=True, text=True, check=True)
    assert 0.2 < float(done.stdout) <= 0.5


class Watched(RedIsAlpha):
    """Counts how often it is closed."""

    closes = 0

    def close(self) -> None:
        self.closes += 1


def test_specs_open_a_matter(small_onnx: Path) -> None:
    with open_matter(EngineSpec(engine=str(small_onnx), batch=2), PlanSpec(step=40)) as opened:
        assert opened.placement == "grid, step 40"
        wanted = opened(IMAGE, TRIMAP)
    with Matter.load(small_onnx, batch=2, step=40) as opened:
        np.testing.assert_array_equal(opened(IMAGE, TRIMAP), wanted)


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        (PlanSpec(published=True), "`published` requires patches of 640x640, but red takes 64x64"),
        (PlanSpec(step=65), "`step` must be between 1 and 64"),
        (PlanSpec(margin=32), "`margin` must be at least 0 and less than half"),
    ],
    ids=["published", "step", "margin"],
)
def test_an_engine_is_closed_where_the_plan_does_not_fit_it(
    monkeypatch: pytest.MonkeyPatch, plan: PlanSpec, words: str
) -> None:
    engine = Watched()
    monkeypatch.setattr(matter, "open_spec", lambda *_: engine)
    with pytest.raises(UsageError, match=words):
        open_matter(EngineSpec(), plan)
    assert engine.closes == 1
