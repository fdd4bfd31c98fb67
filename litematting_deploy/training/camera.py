"""What a camera does to a scene: blur, noise, resampling, sharpening and JPEG, for batches on any device."""

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from .families.layout import log_uniform


# Random numbers are drawn on the CPU, so that every device makes the same scenes of a seed.
def on(device: torch.device, values: NDArray[np.generic]) -> Tensor:
    """Return numbers as a float32 tensor on a device."""
    return torch.from_numpy(values).float().to(device)


def uniform(rng: np.random.Generator, low: float, high: float, n: int, device: torch.device) -> Tensor:
    """Return a number for each image, (N, 1, 1, 1) float32, low to high."""
    return on(device, rng.uniform(low, high, (n, 1, 1, 1)))


def chosen(rng: np.random.Generator, probability: float, n: int) -> list[int]:
    """Return the numbers of the images that something happens to, for what is done to one after the other.

    probability: of each of the `n` images, 0..1. Returns them in rising order, from 0.
    """
    return [int(i) for i in np.flatnonzero(rng.random(n) < probability)]


def defocus(image: Tensor, rng: np.random.Generator, probability: float, always: list[int]) -> Tensor:
    """Blur some of the images (N, 3, H, W) as backgrounds out of focus are, and slightly the `always` ones.

    A Gaussian of 1 to 12 pixels, or a lens's disc of twice that radius.
    """
    soft, image = set(chosen(rng, probability, len(image))), image.clone()
    for i in sorted(soft.union(always)):
        one, size = image[i : i + 1], log_uniform(rng, 1, 12 if i in soft else 2.5)
        # Bright points stay bright only in light, which is about the square of what files hold.
        image[i : i + 1] = disc_blur(one.square(), 2 * size).sqrt() if rng.random() < 0.5 else gaussian(one, size)
    return image


def blur_scene(
    alpha: Tensor, foreground: Tensor, background: Tensor, rng: np.random.Generator, probability: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Put some whole scenes out of focus: the composite of what is returned is the blurred composite of what is given.

    alpha: (N, 1, H, W). foreground, background: (N, 3, H, W). Alpha is blurred, and so is what each layer adds.
    """
    made = [alpha.clone(), foreground.clone(), background.clone()]
    for i in chosen(rng, probability, len(alpha)):
        size, disc = log_uniform(rng, 0.5, 3), rng.random() < 0.5
        a, f, b = (layer[i : i + 1] for layer in (alpha, foreground, background))
        added = torch.cat([a, a * f, (1 - a) * b], dim=1)
        blurred = disc_blur(added, 2 * size) if disc else gaussian(added, size)
        soft, of_foreground, of_background = blurred[:, :1], blurred[:, 1:4], blurred[:, 4:]
        made[0][i] = soft[0]
        for layer, share, sharp, part in ((made[1], soft, f, of_foreground), (made[2], 1 - soft, b, of_background)):
            layer[i] = torch.where(share > 1e-4, part / share.clamp(min=1e-4), sharp)[0].clamp(0, 1)
    return made[0].clamp(0, 1), made[1], made[2]


def gaussian(image: Tensor, sigma: float) -> Tensor:
    """Blur (N, C, H, W) by a Gaussian, separably; strong blurs are done at a fraction of the size, where they cost the
    same as weak ones."""
    factor = 2 ** max(0, math.floor(math.log2(sigma / 1.5)))

    def kernels(x: Tensor) -> tuple[Tensor, ...]:
        kernel = torch.softmax(-x.square() / (2 * (sigma / factor) ** 2), dim=0)
        return kernel[None], kernel[:, None]

    return _at_a_fraction(image, factor, 3 * sigma, kernels)


def disc_blur(image: Tensor, radius: float) -> Tensor:
    """Return what a lens with a round aperture makes of a point: a disc of `radius` pixels. image: (N, C, H, W).

    radius: in pixels, above 0. Wide discs are applied at a fraction of the size, see `gaussian`. Returns the same
    shape.
    """
    factor = 2 ** max(0, math.floor(math.log2(radius / 2)))

    def kernels(x: Tensor) -> tuple[Tensor, ...]:
        kernel = (radius / factor + 0.5 - torch.hypot(x[:, None], x)).clamp(0, 1)
        return (kernel / kernel.sum(),)

    return _at_a_fraction(image, factor, radius, kernels)


def _at_a_fraction(image: Tensor, factor: int, reach: float, kernels: Callable[[Tensor], tuple[Tensor, ...]]) -> Tensor:
    """Blur (N, C, H, W), each plane alike, at 1/factor of the size.

    reach: of the blur in pixels of the image. kernels: makes the (h, w) kernels, which are applied one after the other,
    from the distances to their middle, in pixels of the smaller image.
    """
    planes = image.flatten(0, 1)[:, None]
    soft = functional.avg_pool2d(planes, factor) if factor > 1 else planes
    whole = min(math.ceil(reach / factor), min(soft.shape[2:]) - 1)
    soft = functional.pad(soft, (whole,) * 4, mode="reflect")
    for kernel in kernels(torch.arange(-whole, whole + 1, device=image.device, dtype=torch.float32)):
        soft = functional.conv2d(soft, kernel[None, None])
    if factor > 1:
        soft = functional.interpolate(soft, image.shape[2:], mode="bilinear")
    return soft.view(image.shape)


# Annex K of ITU-T T.81, the tables that encoders scale by quality.
_LUMINANCE = """16 11 10 16 24 40 51 61 12 12 14 19 26 58 60 55 14 13 16 24 40 57 69 56 14 17 22 29 51 87 80 62
18 22 37 56 68 109 103 77 24 35 55 64 81 104 113 92 49 64 78 87 103 121 120 101 72 92 95 98 112 100 103 99"""
_CHROMINANCE = """17 18 24 47 99 99 99 99 18 21 26 66 99 99 99 99 24 26 56 99 99 99 99 99 47 66 99 99 99 99 99 99
99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99"""
_RGB_TO_YCC = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])


def sensor_noise(image: Tensor, read: Tensor, shot: Tensor, generator: torch.Generator) -> Tensor:
    """Add Gaussian noise with the variance read² + shot² · brightness.

    image: (N, 3, H, W), 0..1. read, shot: (N, 1, 1, 1). Returns the image clipped to 0..1.
    """
    deviation = (read.square() + shot.square() * image).sqrt()
    noise = torch.randn(image.shape, generator=generator, device=image.device)
    return (image + noise * deviation).clamp(0, 1)


def camera(image: Tensor, probability: float, rng: np.random.Generator) -> Tensor:
    """Resample, soften or sharpen some of the images (N, 3, H, W), 0..1, as cameras and editors do.

    probability: how often something is done to an image, 0..1. Returns the same shape and range.
    """
    image = image.clone()
    for i in chosen(rng, probability, len(image)):
        one, kind = image[i : i + 1], rng.integers(3)
        if kind == 0:
            small = [round(side * rng.uniform(0.55, 0.9)) for side in one.shape[2:]]
            less = functional.interpolate(one, small, mode="bilinear", antialias=True)
            image[i] = functional.interpolate(less, one.shape[2:], mode="bilinear")[0]
        elif kind == 1:
            image[i] = gaussian(one, rng.uniform(0.4, 1))[0]
        else:
            image[i] = sharpen(one, rng.uniform(0.5, 1.4), rng.uniform(0.3, 1.5))[0]
    return image


def sharpen(image: Tensor, sigma: float, amount: float) -> Tensor:
    """Add `amount` of what a Gaussian of `sigma` pixels takes away: (N, C, H, W), 0..1, clipped to that.

    sigma: in pixels. amount: 0 leaves the image as it is.
    """
    return (image + (image - gaussian(image, sigma)) * amount).clamp(0, 1)


def jpeg(image: Tensor, quality: Tensor) -> Tensor:
    """Return what a baseline JPEG (4:2:0) of `quality` would leave of the image.

    image: (N, 3, H, W), 0..1, H and W multiples of 16. quality: (N,), 1..100. Returns the same shape and range.
    """
    to_ycc, to_rgb = (on(image.device, matrix) for matrix in (_RGB_TO_YCC, np.linalg.inv(_RGB_TO_YCC)))
    planes = torch.einsum("ij,njhw->nihw", to_ycc, image * 255)
    scale = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality)[:, None, None]
    luma = _requantise(planes[:, :1] - 128, _table(_LUMINANCE, scale)) + 128
    chroma = _requantise(functional.avg_pool2d(planes[:, 1:], 2), _table(_CHROMINANCE, scale))
    chroma = functional.interpolate(chroma, scale_factor=2, mode="bilinear")
    back = torch.einsum("ij,njhw->nihw", to_rgb, torch.cat([luma, chroma], dim=1))
    return back.round().clamp(0, 255) / 255


def _table(text: str, scale: Tensor) -> Tensor:
    """Return a table of Annex K, scaled and rounded as encoders do: (N, 8, 8), 1..255. scale: (N, 1, 1), percent."""
    base = torch.tensor([float(value) for value in text.split()], device=scale.device).view(8, 8)
    return ((base * scale + 50) / 100).floor().clamp(1, 255)


def _requantise(planes: Tensor, table: Tensor) -> Tensor:
    """Round the 8 x 8 DCT of (N, C, H, W) to multiples of the table (N, 8, 8).

    planes: H and W multiples of 8. Returns the same shape.
    """
    n, channels, height, width = planes.shape
    k = torch.arange(8, device=planes.device, dtype=torch.float32)
    dct = torch.cos((2 * k[None] + 1) * k[:, None] * math.pi / 16) / 2
    dct[0] /= math.sqrt(2)
    blocks = planes.reshape(n, channels, height // 8, 8, width // 8, 8).transpose(3, 4)
    step = table[:, None, None, None]
    blocks = dct.T @ ((dct @ blocks @ dct.T / step).round() * step) @ dct
    return blocks.transpose(3, 4).reshape(planes.shape)
