"""What cameras and files do to a composite: noise, resampling, sharpening and JPEG, for batches on any device."""

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from .draws import chosen
from .lens import gaussian

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
    """Resample, soften or sharpen some of the images (N, 3, H, W), 0..1, as cameras and editors do."""
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
    """Add `amount` of what a Gaussian of `sigma` pixels takes away: (N, C, H, W), 0..1, clipped to that."""
    return (image + (image - gaussian(image, sigma)) * amount).clamp(0, 1)


def jpeg(image: Tensor, quality: Tensor) -> Tensor:
    """What a baseline JPEG (4:2:0) of `quality` would leave of the image.

    image: (N, 3, H, W), 0..1, H and W multiples of 16. quality: (N,), 1..100. Returns the same shape and range.
    """
    to_ycc, to_rgb = (
        torch.from_numpy(matrix).float().to(image.device) for matrix in (_RGB_TO_YCC, np.linalg.inv(_RGB_TO_YCC))
    )
    planes = torch.einsum("ij,njhw->nihw", to_ycc, image * 255)
    scale = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality)[:, None, None]
    luma = _requantise(planes[:, :1] - 128, _table(_LUMINANCE, scale)) + 128
    chroma = _requantise(functional.avg_pool2d(planes[:, 1:], 2), _table(_CHROMINANCE, scale))
    chroma = functional.interpolate(chroma, scale_factor=2, mode="bilinear")
    back = torch.einsum("ij,njhw->nihw", to_rgb, torch.cat([luma, chroma], dim=1))
    return back.round().clamp(0, 255) / 255


def _table(text: str, scale: Tensor) -> Tensor:
    base = torch.tensor([float(value) for value in text.split()], device=scale.device).view(8, 8)
    return ((base * scale + 50) / 100).floor().clamp(1, 255)


def _requantise(planes: Tensor, table: Tensor) -> Tensor:
    """Round the 8 x 8 DCT of (N, C, H, W) to multiples of the table (N, 8, 8)."""
    n, channels, height, width = planes.shape
    k = torch.arange(8, device=planes.device, dtype=torch.float32)
    dct = torch.cos((2 * k[None] + 1) * k[:, None] * math.pi / 16) / 2
    dct[0] /= math.sqrt(2)
    blocks = planes.reshape(n, channels, height // 8, 8, width // 8, 8).transpose(3, 4)
    step = table[:, None, None, None]
    blocks = dct.T @ ((dct @ blocks @ dct.T / step).round() * step) @ dct
    return blocks.transpose(3, 4).reshape(planes.shape)
