"""Distances, camera effects and composed scenes against SciPy, OpenCV and the equations."""

import dataclasses
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from litematting_deploy.images.mask import read_trimap
from litematting_deploy.images.photo import read_image, shrink
from litematting_deploy.matting.guide import transformable_map
from litematting_deploy.training.camera import jpeg, sensor_noise
from litematting_deploy.training.procedural import Cut, paint, warp
from litematting_deploy.training.recipe import Augment
from litematting_deploy.training.scenes import Scenes, combine, compose
from litematting_deploy.training.trimaps import by_passes, distance, guide
from tests.conftest import EXAMPLE, EXAMPLE_TRIMAP

# The image is the composite; everything that is done to the layers is done.
CLEAN = Augment(noise=0, jpeg=0, camera=0)
# Nothing is done to the layers either, but for colours.
PLAIN = dataclasses.replace(
    CLEAN, combine=0, backdrop=0, screen=0, defocused_background=0, shadow=0, spill=0, lens_blur=0
)
EFFECTS = ("combine", "backdrop", "screen", "defocused_background", "shadow", "spill", "lens_blur", "hand_drawn")


def regions() -> Tensor:
    draw = np.random.default_rng(0)
    sparse = draw.random((3, 96, 160)) < np.array([0.0005, 0.01, 0.5])[:, None, None]
    return torch.from_numpy(np.concatenate([sparse, np.zeros((1, 96, 160), bool), np.ones((1, 96, 160), bool)]))


@pytest.mark.parametrize("reach", [5, 35, 92, 140])
def test_both_ways_to_measure_distance_agree_with_scipy(reach: int) -> None:
    found = regions()
    exact = torch.stack(
        [
            torch.from_numpy(distance_transform_edt(~one.numpy())).float() if one.any() else torch.full(one.shape, 1e9)
            for one in found
        ]
    )
    wanted = exact.masked_fill(exact > reach, torch.inf)
    torch.testing.assert_close(distance(found, reach), wanted, rtol=1e-6, atol=1e-6)
    passes = by_passes(found, reach)
    torch.testing.assert_close(passes.masked_fill(passes > reach, torch.inf), wanted, rtol=1e-6, atol=1e-6)


def test_the_guide_is_the_one_of_inference() -> None:
    trimap = read_trimap(EXAMPLE_TRIMAP)[:320, :480]
    known = torch.from_numpy(trimap.copy())[None]
    made = guide(known == 0, known == 255)
    np.testing.assert_allclose(made[0].numpy(), transformable_map(trimap), atol=1.1e-7)


@pytest.mark.parametrize("quality", [50, 75, 95])
def test_jpeg_does_what_opencv_does(quality: int) -> None:
    photo = shrink(read_image(EXAMPLE), 512)[:320, :320]
    encoded = cv2.imencode(".jpg", photo[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    wanted = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
    assert wanted is not None
    image = torch.from_numpy(np.moveaxis(photo, -1, 0).copy())[None].float() / 255
    ours = np.moveaxis(jpeg(image, torch.tensor([float(quality)]))[0].numpy(), 0, -1) * 255
    lost = np.abs(wanted[..., ::-1].astype(float) - photo).mean()
    # Two independent errors of this size would differ by more than the error itself.
    assert np.abs(ours - wanted[..., ::-1]).mean() < 0.55 * lost
    assert np.abs(ours - photo).mean() == pytest.approx(lost, rel=0.1)


def test_noise_has_the_stated_variance() -> None:
    image = torch.full((1, 3, 256, 256), 0.5)
    read, shot = torch.full((1, 1, 1, 1), 0.01), torch.full((1, 1, 1, 1), 0.03)
    noisy = sensor_noise(image, read, shot, torch.Generator().manual_seed(0))
    assert float(noisy.std()) == pytest.approx((0.01**2 + 0.03**2 * 0.5) ** 0.5, rel=0.02)


def made_scenes(augment: Augment, seed: int = 0, size: int = 160, device: str = "cpu") -> Scenes:
    draw = torch.Generator().manual_seed(3)
    disc = np.zeros((4, 1, size, size), np.float32)
    for i, one in enumerate(disc):
        cv2.circle(one[0], (size // 2 + 5 * i, size // 2), size // 4, 1.0, -1)
        one[0] = cv2.GaussianBlur(one[0], (0, 0), 1.0)
    foreground, background = torch.rand(2, 4, 3, size, size, generator=draw)
    layers = (torch.from_numpy(disc), foreground, background, torch.zeros(4, 1, 1, 1))
    return compose(Cut(*(layer.to(device) for layer in layers)), augment, np.random.default_rng(seed))


@pytest.mark.parametrize("everything", [{}, dict.fromkeys(EFFECTS, 1.0)], ids=["as usual", "all effects"])
@pytest.mark.parametrize("seed", range(3))
def test_a_scene_obeys_the_compositing_equation_and_its_trimap_is_true(everything: dict[str, Any], seed: int) -> None:
    scenes = made_scenes(dataclasses.replace(CLEAN, **everything), seed)
    composed = scenes.alpha * scenes.foreground + (1 - scenes.alpha) * scenes.background
    torch.testing.assert_close(scenes.image, composed, atol=1e-6, rtol=0)
    background, unknown, foreground = scenes.trimap.unbind(1)
    assert torch.equal(background + unknown + foreground, torch.ones_like(unknown))
    assert (scenes.alpha[:, 0][background > 0] == 0).all()
    assert (scenes.alpha[:, 0][foreground > 0] == 1).all()
    assert 0.05 < float(unknown.mean()) <= 1
    for one, near in zip(scenes.trimap, scenes.guide, strict=True):
        trimap = (one[1] * 128 + one[2] * 255).byte().numpy()
        np.testing.assert_allclose(near.numpy(), transformable_map(trimap), atol=1.1e-7)


def test_the_unknown_band_is_as_wide_as_asked() -> None:
    exact = dataclasses.replace(PLAIN, trimap_px=(9, 9), hand_drawn=0, swallowed=0)
    for seed in range(6):
        scenes = made_scenes(exact, seed)
        for trimap, alpha in zip(scenes.trimap, scenes.alpha, strict=True):
            for channel, sure in ((0, alpha[0] == 0), (2, alpha[0] == 1)):
                inside = distance_transform_edt(sure.numpy())
                known = trimap[channel].numpy() > 0
                assert inside[known].min() > 9
                # Nothing but that is taken away.
                assert known[inside > 9].all()


def test_the_same_random_numbers_give_the_same_scenes() -> None:
    first, again, other = made_scenes(Augment(), 1), made_scenes(Augment(), 1), made_scenes(Augment(), 2)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first.image, other.image)


def test_a_second_foreground_lies_behind_the_first() -> None:
    draw = torch.Generator().manual_seed(0)
    alpha, foreground = torch.rand(2, 1, 8, 8, generator=draw), torch.rand(2, 3, 8, 8, generator=draw)
    union, mixed = combine(alpha, foreground, torch.tensor([1.0, 0.0]).view(2, 1, 1, 1))
    torch.testing.assert_close(union[0], 1 - (1 - alpha[0]) * (1 - alpha[1]))
    background = torch.rand(3, 8, 8, generator=draw)
    behind = alpha[1] * foreground[1] + (1 - alpha[1]) * background
    wanted = alpha[0] * foreground[0] + (1 - alpha[0]) * behind
    torch.testing.assert_close(union[0] * mixed[0] + (1 - union[0]) * background, wanted)
    assert torch.equal(union[1], alpha[1])
    assert torch.equal(mixed[1], foreground[1])


def test_warping_keeps_planes_together_and_averages_what_it_shrinks() -> None:
    ramp = torch.arange(256.0).expand(256, 256) / 255
    planes = torch.stack([ramp, 1 - ramp])[None]
    still = Augment(scale=(1, 1), shear=0)
    centres = torch.tensor([[128.0, 128.0]])
    warped = warp(planes, centres, still, np.random.default_rng(0), 96)
    torch.testing.assert_close(warped[:, 0] + warped[:, 1], torch.ones(1, 96, 96))
    assert float(warped[0, 0].mean()) == pytest.approx(128 / 255, abs=1e-3)
    stripes = (torch.arange(256) % 2).float().expand(1, 1, 256, 256)
    halved = warp(stripes, centres, dataclasses.replace(still, scale=(2, 2)), np.random.default_rng(0), 64)
    assert float(halved.mean()) == pytest.approx(0.5, abs=0.02)


def test_windows_stay_within_a_layer_where_they_fit() -> None:
    ramp = torch.arange(256.0).expand(1, 1, 256, 256) / 255
    still = Augment(scale=(1, 1), shear=0)
    corner = torch.tensor([[0.0, 0.0]])
    for seed in range(8):
        values = warp(ramp, corner, still, np.random.default_rng(seed), 96)
        # A mirrored ramp would contain its least value twice, along a line through the window.
        least = (values[0, 0] <= values.min() + 0.5 / 255).nonzero()
        at_border = (least == 0) | (least == 95)
        assert at_border.any(dim=1).all()


def test_materials_vary_smoothly_beside_photos_that_do_not() -> None:
    texture = (torch.rand(64, 3, 64, 64, generator=torch.Generator().manual_seed(0)) > 0.5).float()
    shade = torch.full((64, 1, 64, 64), 128 / 255)
    painted = paint(texture, shade, texture, torch.zeros(64, 1, 1, 1), np.random.default_rng(0))
    rough = (painted[:, :, :, 1:] - painted[:, :, :, :-1]).abs().mean((1, 2, 3))
    photo = float((texture[:, :, :, 1:] - texture[:, :, :, :-1]).abs().mean())
    materials = int((rough < 0.5 * photo).sum())
    assert 36 <= materials <= 60  # about three quarters


def test_shade_makes_colours_brighter_and_darker() -> None:
    draw = torch.Generator().manual_seed(0)
    texture, background = torch.rand(2, 4, 3, 32, 32, generator=draw) * 0.2 + 0.3
    shade = torch.full((4, 1, 32, 32), 128 / 255)
    shade[..., :16] = 60 / 255
    painted = paint(texture, shade, background, torch.zeros(4, 1, 1, 1), np.random.default_rng(0))
    assert (painted[..., :16].mean((1, 2, 3)) < 0.9 * painted[..., 16:].mean((1, 2, 3))).all()


def test_a_camouflaged_foreground_stays_like_its_background() -> None:
    draw = torch.Generator().manual_seed(0)
    texture = torch.rand(16, 3, 64, 64, generator=draw)
    background = torch.rand(16, 3, 1, 1, generator=draw).expand(16, 3, 64, 64)
    shade, alpha = torch.full((16, 1, 64, 64), 128 / 255), torch.zeros(16, 1, 64, 64)
    alpha[..., 16:48] = 1
    apart = {}
    for alike in (0.0, 1.0):
        rng = np.random.default_rng(1)
        chosen = torch.full((16, 1, 1, 1), alike)
        foreground = paint(texture, shade, background, chosen, rng)
        scenes = compose(Cut(alpha, foreground, background, chosen), PLAIN, rng)
        colours = (scenes.foreground.mean((2, 3)) - scenes.background.mean((2, 3))).abs()
        apart[alike] = float(colours.mean())
    assert apart[1.0] < 0.5 * apart[0.0]


def test_a_lone_foreground_is_not_put_behind_itself() -> None:
    alpha = torch.full((1, 1, 64, 64), 0.5)
    red, blue = torch.rand(2, 1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    always = dataclasses.replace(PLAIN, combine=1)
    scenes = compose(Cut(alpha, red, blue, torch.zeros(1, 1, 1, 1)), always, np.random.default_rng(0))
    assert torch.equal(scenes.alpha, alpha)
