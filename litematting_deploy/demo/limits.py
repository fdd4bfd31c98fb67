"""How much the page takes."""

from dataclasses import dataclass

MAX_MEGAPIXELS = 50
"""By default; a photo of that size takes some minutes on a few cores."""
_BYTES_PER_PIXEL = 8  # 16-bit RGBA without compression


@dataclass(frozen=True)
class Limits:
    """megapixels: of an image, checked at its header before anything is decoded."""

    megapixels: float = MAX_MEGAPIXELS

    @property
    def megabytes(self) -> int:
        """Of an uploaded file, checked as it comes in: room for the largest image, 16 bits and not compressed."""
        return max(1, round(self.megapixels * _BYTES_PER_PIXEL))

    def __str__(self) -> str:
        return f"{self.megapixels:g} megapixels and {self.megabytes} MB"
