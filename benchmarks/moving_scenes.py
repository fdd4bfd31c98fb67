"""Drawn clips with exact truth: a family's alpha under smooth motion and deformation over a moving photo.

`clips.py` measures on them. Every clip is drawn from its seed, always the same for the same photos.
"""

import io
from dataclasses import dataclass, replace
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from litematting_deploy.images.colour import SRGB
from litematting_deploy.images.photo import read_image
from litematting_deploy.matting.motion import sampled
from litematting_deploy.matting.trimap import BACKGROUND, FOREGROUND, UNKNOWN
from litematting_deploy.training.families import FAMILIES, Layer

Floats = NDArray[np.float32]

FAMILIES_DRAWN = ("straight_hair", "curly_hair", "fur", "tufts", "defocused", "smoke", "bush", "flowers")
SEED = 29_11
MARGIN = 1.5
"""How much larger than the view layers are drawn, so that nothing comes in from their borders."""
FINE = 2
"""Pixels of a layer within one of the view: averaged down, a strand that moves does not flicker."""
NOISE = 2
"""The standard deviation of each frame's own noise, in levels of 255: a good camera in good light. Grain is about 6."""
SPEED = 0.1
"""Of the object, in sides of the view over the clip; the camera has half of it. With sway, turn and waves, the median
pixel of the eight objects moves by 1.8 to 4.2 pixels a frame at 256."""
BAND = 5
"""Pixels around what is soft that the trimaps leave unknown."""
_COVERED = (0.15, 0.6)


@dataclass(frozen=True)
class MovingScene:
    """A clip: images (T, H, W, 3) uint8, alphas (T, H, W) float32 0..1, trimaps (T, H, W) uint8."""

    family: str
    images: NDArray[np.uint8]
    alphas: Floats
    trimaps: NDArray[np.uint8]


@dataclass(frozen=True)
class Motion:
    """A smooth path of an object: affine, and waves of deformation. All amounts are in parts of the view's side."""

    drift: NDArray[np.float64]
    sway: NDArray[np.float64]
    turn: float
    swell: float
    waves: NDArray[np.float64]

    @classmethod
    def drawn(cls, rng: Generator, strength: float, waves: int) -> "Motion":
        """Return a random motion; waves: how many of deformation."""
        angle = rng.uniform(0, 2 * np.pi)
        drift = strength * rng.uniform(0.5, 1) * np.array([np.cos(angle), np.sin(angle)])
        sway = strength * rng.uniform(-0.3, 0.3, (2, 2))
        each = [
            (*rng.normal(0, 1, 2), *rng.uniform(2, 4, 1), *rng.uniform(0, 2 * np.pi, 2), *rng.uniform(0.5, 1.5, 1))
            for _ in range(waves)
        ]
        turn, swell = rng.uniform(-1, 1, 2) * (strength, strength * 0.7)
        return cls(drift, sway, float(turn), float(swell), np.array(each).reshape(waves, 6))

    def source(self, time: float, size: int) -> Floats:
        """Return where in the resting object, in pixels about the view's middle, each pixel comes from: (S, S, 2).

        time: from -0.5 to 0.5 over the clip.
        """
        y, x = (np.mgrid[:size, :size] + 0.5) / size - 0.5
        phase = 2 * np.pi * np.array([time, 2 * time])
        x = x - self.drift[0] * time - self.sway[0] @ np.sin(phase)
        y = y - self.drift[1] * time - self.sway[1] @ np.sin(phase)
        angle, scale = self.turn * time, 1 + self.swell * time
        x, y = (x * np.cos(angle) - y * np.sin(angle)) / scale, (x * np.sin(angle) + y * np.cos(angle)) / scale
        moved_x, moved_y = x.copy(), y.copy()
        for across, along, waves, start, bearing, speed in self.waves:
            wave = np.sin(2 * np.pi * (waves * (x * np.cos(bearing) + y * np.sin(bearing)) + speed * time) + start)
            moved_x += 0.006 * across * wave
            moved_y += 0.006 * along * wave
        return np.dstack([moved_x, moved_y]).astype(np.float32) * size


def draw(index: int, photos: list[Path], size: int = 256, count: int = 25, noise: float = NOISE) -> MovingScene:
    """Return clip number `index` of as many families, over the photos. noise: as `NOISE`."""
    family = FAMILIES_DRAWN[index]
    rng = np.random.default_rng([SEED, index])
    side = int(size * MARGIN) * FINE
    layer = _layer(family, rng, side, size * FINE)
    base = rng.uniform(0.15, 0.85, 3) * np.ones((side, side, 3))
    texture = _crop(photos, rng, side) / 255.0
    colour = (base + 0.3 * (texture - texture.mean(axis=(0, 1)))).clip(0, 1)
    colour = (colour * (layer.shade / 128.0)[:, :, None] ** 0.8).clip(0, 1)
    cover = (layer.alpha / np.float32(255)).astype(np.float32)
    front = SRGB.decode(np.rint(colour * 255).astype(np.uint8)) * cover[:, :, None]
    behind = SRGB.decode(_crop(photos, rng, side))
    moving, camera = Motion.drawn(rng, SPEED, 3), Motion.drawn(rng, SPEED / 2, 0)
    images, alphas = [], []
    for time in np.linspace(-0.5, 0.5, count):
        alpha, light = (_sampled(plane, moving.source(time, size), side) for plane in (cover, front))
        backdrop = _sampled(behind, camera.source(time, size), side)
        mixed = SRGB.encode((light + (1 - alpha[:, :, None]) * backdrop).clip(0, 1), np.uint16) / 65535
        mixed = mixed + rng.normal(0, noise / 255, mixed.shape)
        images.append(np.rint(mixed.clip(0, 1) * 255).astype(np.uint8))
        alphas.append(np.where(alpha < 0.5 / 255, 0, np.where(alpha > 1 - 0.5 / 255, 1, alpha)).astype(np.float32))
    return MovingScene(family, np.stack(images), np.stack(alphas), np.stack([trimap_of(alpha) for alpha in alphas]))


def compressed(scene: MovingScene, rate: int) -> MovingScene:
    """Return a scene whose images went through H.264 in 4:2:0, as most clips have. rate: the constant rate factor."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=24, options={"crf": str(rate), "threads": "1"})
        stream.height, stream.width = scene.images.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for image in scene.images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    file.seek(0)
    with av.open(file, "r") as clip:
        images = [frame.to_ndarray(format="rgb24") for frame in clip.decode(video=0)]
    return replace(scene, images=np.stack(images))


def _layer(family: str, rng: Generator, side: int, view: int) -> Layer:
    """Return the first drawn layer that covers a fair part of the view in its middle."""
    first = (side - view) // 2
    while True:
        layer = FAMILIES[family](rng, side)
        if _COVERED[0] < layer.alpha[first : first + view, first : first + view].mean() / 255 < _COVERED[1]:
            return layer


def trimap_of(alpha: Floats) -> NDArray[np.uint8]:
    """Return the trimap (H, W) of a true alpha: unknown is what is soft and `BAND` pixels around it."""
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * BAND + 1, 2 * BAND + 1))
    # Where 0 and 1 meet without anything between, that edge is unknown, too.
    highest, lowest = (morph(alpha, np.ones((3, 3), np.uint8)) for morph in (cv2.dilate, cv2.erode))
    soft = cv2.dilate(((highest > 0.01) & (lowest < 0.99)).astype(np.uint8), disk) > 0
    sure = np.where(alpha >= 0.5, np.uint8(FOREGROUND), np.uint8(BACKGROUND))
    return np.where(soft, np.uint8(UNKNOWN), sure)


def _sampled(plane: Floats, source: Floats, side: int) -> Floats:
    """Return a layer's plane where a view looks at it, averaged down."""
    fine = cv2.resize(source, None, fx=FINE, fy=FINE, interpolation=cv2.INTER_LINEAR) * FINE + (side - 1) / 2
    seen = sampled(plane, np.asarray(fine, np.float32))
    return np.asarray(cv2.resize(seen, source.shape[1::-1], interpolation=cv2.INTER_AREA), np.float32)


def _crop(photos: list[Path], rng: Generator, side: int) -> NDArray[np.uint8]:
    """Return a square part of a random photo, (side, side, 3) uint8."""
    photo = read_image(photos[int(rng.integers(len(photos)))])
    least = min(photo.shape[:2])
    part = int(least * rng.uniform(0.5, 1))
    y, x = (int(rng.integers(most - part + 1)) for most in photo.shape[:2])
    return np.asarray(cv2.resize(photo[y : y + part, x : x + part], (side, side), interpolation=cv2.INTER_AREA))
