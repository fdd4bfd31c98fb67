"""What light, lenses and cameras do to the layers of scenes, against NumPy, SciPy and arithmetic."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from scipy.ndimage import convolve, gaussian_filter
from torch import Tensor
from torch.nn import functional

from litematting_deploy.training.camera import blur_scene, camera, defocus, disc_blur, gaussian, sharpen
from litematting_deploy.training.light import Look, cast_shadows, on_screen, recolour, spill, studio
from litematting_deploy.training.photos import Photos, list_images
from litematting_deploy.training.procedural import warp
from litematting_deploy.training.recipe import Augment
from tests.training.test_sources import write_photos

CPU = torch.device("cpu")


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def layers(n: int = 4, size: int = 64) -> tuple[Tensor, Tensor, Tensor]:
    """Alpha of a square, and smooth colours of both layers."""
    alpha = torch.zeros(n, 1, size, size)
    alpha[..., size // 4 : size // 2, size // 4 : size // 2] = 1
    draw = torch.Generator().manual_seed(0)
    colours = torch.rand(2 * n, 3, 8, 8, generator=draw)
    foreground, background = functional.interpolate(colours, (size, size), mode="bilinear").chunk(2)
    return alpha, foreground, background


def test_weak_blurs_are_those_of_scipy() -> None:
    image = torch.rand(1, 2, 48, 48, generator=torch.Generator().manual_seed(0))
    wanted = [gaussian_filter(plane, 1.3, mode="mirror") for plane in image[0].numpy()]
    np.testing.assert_allclose(gaussian(image, 1.3)[0].numpy(), wanted, atol=3e-3)
    y, x = np.mgrid[-4:5, -4:5]
    disc = np.clip(3.5 + 0.5 - np.hypot(y, x), 0, 1)
    wanted = [convolve(plane, disc / disc.sum(), mode="mirror") for plane in image[0].numpy()]
    np.testing.assert_allclose(disc_blur(image, 3.5)[0].numpy(), wanted, atol=1e-5)


def test_a_strong_disc_is_a_disc() -> None:
    point = torch.zeros(1, 1, 129, 129)
    point[..., 64, 64] = 1
    blurred = disc_blur(point, 15)[0, 0].numpy()
    y, x = np.mgrid[-64:65, -64:65]
    assert blurred[np.hypot(y, x) < 10].sum() == pytest.approx(100 / 225, rel=0.15)
    assert blurred[np.hypot(y, x) > 22].sum() < 0.01


def test_a_scene_out_of_focus_is_the_blurred_composite() -> None:
    alpha, foreground, background = layers()
    for seed in range(3):
        soft, of_foreground, of_background = blur_scene(alpha, foreground, background, rng(seed), 1.0)
        draw = rng(seed)
        draw.random(len(alpha))
        composite = alpha * foreground + (1 - alpha) * background
        made = soft * of_foreground + (1 - soft) * of_background
        for i in range(len(alpha)):
            size, disc = float(np.exp(draw.uniform(np.log(0.5), np.log(3)))), draw.random() < 0.5
            blur = disc_blur(composite[i : i + 1], 2 * size) if disc else gaussian(composite[i : i + 1], size)
            torch.testing.assert_close(made[i : i + 1], blur, atol=3e-4, rtol=0)
        assert float((soft - alpha).abs().max()) > 0.1
    assert torch.equal(blur_scene(alpha, foreground, background, rng(), 0)[0], alpha)


def test_recolouring_follows_its_numbers() -> None:
    _, image, _ = layers(1)
    light = torch.ones(1, 1, 3, 3)
    tint = torch.tensor([1.1, 1.0, 0.9]).view(1, 3, 1, 1)
    one = torch.ones(1, 1, 1, 1)
    made = recolour(image, Look(0.8 * one, 0.05 * one, 0.5 * one, tint, light))[0].numpy()
    plain = image[0].numpy()
    wanted = (plain - plain.mean()) * 0.8 + plain.mean() + 0.05
    wanted = ((wanted - wanted.mean(0)) * 0.5 + wanted.mean(0)) * tint[0].numpy()
    np.testing.assert_allclose(made, wanted.clip(0, 1), atol=1e-5)


def test_shadows_darken_the_background_near_the_foreground_only() -> None:
    alpha, _, background = layers(8, 128)
    shaded = cast_shadows(background, alpha, rng(), 1.0)
    ratio = (shaded / background.clamp(min=1e-3)).mean(1)
    assert (ratio <= 1 + 1e-4).all()
    assert (ratio.flatten(1).amin(1) < 0.98).all()
    # All channels by the same factor: a shadow has no colour of its own.
    np.testing.assert_allclose(
        (shaded[:, 0] * background[:, 1]).numpy(), (shaded[:, 1] * background[:, 0]).numpy(), atol=1e-5
    )
    assert torch.equal(cast_shadows(background, torch.zeros_like(alpha), rng(), 1.0), background)
    assert torch.equal(cast_shadows(background, alpha, rng(), 0), background)


def test_the_background_is_reflected_at_the_edge_and_not_inside() -> None:
    alpha = torch.zeros(4, 1, 160, 160)
    alpha[..., 80:] = 1
    red, green = torch.zeros(2, 4, 3, 160, 160)
    red[:, 0], green[:, 1] = 1, 1
    spilt = spill(red, green, alpha, rng(), 1.0)
    edge, inside = spilt[..., 80:83].mean((2, 3)), spilt[..., 150:].mean((2, 3))
    assert (edge[:, 1] > 0.03).all()
    torch.testing.assert_close(edge[:, 0] + edge[:, 1], torch.ones(4))
    assert (inside[:, 1] < 1e-3).all()


def test_backdrops_are_nearly_plain_and_screens_have_neither_black_nor_full_contrast() -> None:
    made = studio(rng(), 40, torch.Size((64, 64)), CPU)
    assert made.shape == (40, 3, 64, 64)
    assert float((made[..., 1:] - made[..., :-1]).abs().max()) < 0.05
    means = made.mean((2, 3)).numpy()
    assert ((means[:, 1] > 0.4) & (means[:, 0] < 0.3)).any(), "green"
    assert (means.min(1) > 0.85).any(), "white"
    assert (means.max(1) < 0.2).any(), "black"
    black_to_white = torch.linspace(0, 1, 64).expand(16, 3, 64, 64)
    shown = on_screen(black_to_white, rng())
    assert (shown.amin((1, 2, 3)) > 0.01).all()
    assert (shown.amax((1, 2, 3)) - shown.amin((1, 2, 3)) < 1).all()


def test_screens_are_always_a_little_out_of_focus() -> None:
    noise = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    soft = defocus(noise, rng(), 0, [1])
    assert torch.equal(soft[[0, 2]], noise[[0, 2]])
    assert float(soft[1].std()) < 0.6 * float(noise[1].std())


def test_cameras_change_sharpness_but_not_brightness() -> None:
    image = torch.rand(32, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 0.2 + 0.4
    made = camera(image, 1.0, rng())
    torch.testing.assert_close(made.mean((1, 2, 3)), image.mean((1, 2, 3)), atol=5e-3, rtol=0)
    contrast = made.std((1, 2, 3)) / image.std((1, 2, 3))
    assert 5 < int((contrast > 1.05).sum()) < 20, "about a third is sharpened"
    assert int((contrast < 0.9).sum()) > 10
    plane = image[0, 0].numpy()
    wanted = plane + 0.7 * (plane - cv2.GaussianBlur(plane, (9, 9), 1.0, borderType=cv2.BORDER_REFLECT_101))
    np.testing.assert_allclose(sharpen(image[:1], 1.0, 0.7)[0, 0].numpy(), wanted, atol=3e-3)


def test_varied_photos_keep_luminance_when_their_hue_turns_and_come_grey_and_mixed(tmp_path: Path) -> None:
    photos = Photos(list_images(write_photos(tmp_path / "photos")), CPU)
    looks = photos.looks(rng(), 200, 1.0)
    assert 25 < sum(look.behind is not None for look in looks) < 80
    assert all(look == type(look)(look.photo) for look in photos.looks(rng(), 20, 0))
    turned = [look for look in looks if look.colour is not None]
    luma = np.array([0.299, 0.587, 0.114])
    for look in turned:
        assert look.colour is not None
        np.testing.assert_allclose(luma @ look.colour, luma, atol=1e-6)
        np.testing.assert_allclose(look.colour @ np.ones(3), 1, atol=1e-6)
    crops = photos.crops(rng(), 40, 64, (0.4, 4.0), looks[:40])
    assert 0 <= float(crops.min()) < float(crops.max()) <= 1
    grey = (crops.amax(1) - crops.amin(1)).amax((1, 2)) < 1e-3
    assert 0 < int(grey.sum()) < 20


def test_windows_are_where_pytorchs_affine_grid_puts_them() -> None:
    planes = torch.rand(2, 2, 96, 96, generator=torch.Generator().manual_seed(0))
    centres = torch.tensor([[40.0, 50.0], [30.0, 60.0]])
    augment = Augment()
    made = warp(planes, centres, augment, rng(), 32)
    draw = rng()
    angle = draw.uniform(-np.pi, np.pi, 2)
    scale = np.exp(draw.uniform(np.log(augment.scale[0]), np.log(augment.scale[1]), 2))
    flip, shear = draw.choice([-1.0, 1.0], 2), draw.uniform(-augment.shear, augment.shear, 2)
    theta = np.zeros((2, 2, 3))
    theta[:, 0, 0], theta[:, 0, 1] = flip * np.cos(angle), shear * np.cos(angle) - np.sin(angle)
    theta[:, 1, 0], theta[:, 1, 1] = flip * np.sin(angle), shear * np.sin(angle) + np.cos(angle)
    theta *= scale[:, None, None] * 32 / 96
    theta[:, :, 2] = (centres.numpy()[:, ::-1] + 0.5) * 2 / 96 - 1
    grid = functional.affine_grid(torch.from_numpy(theta).float(), [2, 2, 64, 64], align_corners=False)
    wanted = functional.grid_sample(planes, grid, padding_mode="reflection", align_corners=False)
    torch.testing.assert_close(made, functional.avg_pool2d(wanted, 2), atol=1e-4, rtol=0)
