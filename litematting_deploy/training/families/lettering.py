"""Text: words, letters and digits."""

import string

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from .canvas import Layer, Sheet, blur, finish, over, plain
from .layout import fractal, lit, log_uniform, warped

_SCALE = 2
# What OpenCV's functions say they return.
Pixels = NDArray[np.integer | np.floating]
_SYLLABLES = "an be cor dy el fur gra hi is jo ka lum mi no or pe qui ra sto ter um ve wo xi yl za"


def _words(rng: Generator) -> str:
    """Return a letter or two, a number, or up to four lines of made-up words."""
    kind = rng.random()
    if kind < 0.15:
        return "".join(rng.choice(list(string.ascii_letters + string.digits + "&@?!%"), int(rng.integers(1, 3))))
    if kind < 0.3:
        return "".join(rng.choice(list(string.digits + ".:-"), int(rng.integers(2, 8))))
    lines, syllables = [], _SYLLABLES.split()
    for _ in range(int(rng.choice([1, 1, 2, 4]))):
        words = ["".join(rng.choice(syllables, int(rng.integers(1, 4)))) for _ in range(int(rng.integers(1, 4)))]
        text = " ".join(words)
        lines.append((text, text.upper(), text.title())[int(rng.integers(3))])
    return "\n".join(lines)


def _set(text: str, font: ImageFont.ImageFont | ImageFont.FreeTypeFont, stroke: int) -> NDArray[np.uint8]:
    """Return the text alone, with a margin, (H, W) uint8."""
    measure = ImageDraw.Draw(Image.new("L", (1, 1)))
    left, top, right, bottom = measure.multiline_textbbox((0, 0), text, font, stroke_width=stroke)
    picture = Image.new("L", (int(right - left) + 8, int(bottom - top) + 8))
    ImageDraw.Draw(picture).multiline_text((4 - left, 4 - top), text, 255, font, align="center", stroke_width=stroke)
    return np.asarray(picture)


def _written(rng: Generator, size: int) -> Sheet:
    """Return one text, turned, sheared and exactly averaged down: (size, size, 2) float32."""
    text = _words(rng)
    longest = max(map(len, text.split("\n")))
    span = size * _SCALE * rng.uniform(0.5, 1.4)
    height = float(np.clip(span / (0.6 * longest), 14, 0.9 * size * _SCALE))
    font = ImageFont.load_default(height)
    stroke = int(height * rng.choice([0, 0, 0.01, 0.03, 0.06]))
    letters: Pixels = _set(text, font, stroke)
    if stroke == 0 and rng.random() < 0.35:  # thinner than the font
        thin = int(rng.integers(2, max(3, int(height * 0.03)) + 1))
        letters = cv2.erode(letters, np.ones((thin, thin), np.uint8))
    angle = np.radians(rng.normal(0, 20) if rng.random() < 0.8 else rng.uniform(0, 360))
    cos, sin = np.cos(angle), np.sin(angle)
    linear = np.array([[cos, -sin], [sin, cos]]) @ np.array([[1, rng.normal(0, 0.2)], [0, rng.uniform(0.8, 1.3)]])
    big = size * _SCALE
    target = rng.uniform(0.2, 0.8, 2) * big
    matrix = np.column_stack([linear, target - linear @ np.array(letters.shape[::-1]) / 2])
    letters = cv2.warpAffine(letters, matrix, (big, big), flags=cv2.INTER_LINEAR)
    coverage = cv2.resize(letters, (size, size), interpolation=cv2.INTER_AREA).astype(np.float32) / np.float32(255)
    shade = rng.uniform(80, 170) + rng.uniform(0, 30) * fractal(rng, size, int(rng.integers(2, 8)), 3)
    return plain(coverage, shade)


def text(rng: Generator, size: int) -> Layer:
    """Draw words, letters or digits, thin and bold, turned, warped, sometimes out of focus."""
    sheet = _written(rng, size)
    for _ in range(int(rng.choice([0, 0, 1, 2]))):
        sheet = over(_written(rng, size), sheet)
    if rng.random() < 0.4:
        sheet = warped(rng, sheet, 0.003, 0.03)
    if rng.random() < 0.3:
        sheet = blur(sheet, log_uniform(rng, 0.5, 6))
    return finish(lit(rng, sheet, 0.2, 0.08))
