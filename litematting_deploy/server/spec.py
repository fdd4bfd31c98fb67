"""What is served, as frozen values: where, to whom, and how much."""

from dataclasses import dataclass, field
from typing import Annotated

from ..errors import UsageError
from ..parameters import ABOVE_0, Range
from ..specs import Spec

MAX_MEGAPIXELS = 50.0
"""Limit of an image by default; a photo of that size takes some minutes on a few cores."""
LOOPBACK = "127.0.0.1"
LEAST_TOKEN = 16
_BYTES_PER_PIXEL = 8  # 16-bit RGBA without compression


@dataclass(frozen=True)
class Limits:
    """How much a server accepts. megapixels: of an image, checked at its header before anything is decoded."""

    megapixels: float = MAX_MEGAPIXELS

    @property
    def megabytes(self) -> int:
        """Size limit of an uploaded file: room for the largest image, 16 bits and not compressed."""
        return max(1, round(self.megapixels * _BYTES_PER_PIXEL))

    def __str__(self) -> str:
        return f"{self.megapixels:g} megapixels and {self.megabytes} MB"


@dataclass(frozen=True, kw_only=True)
class ServiceSpec(Spec):
    """How jobs are served over HTTP.

    host, port: the address that is listened on; port 0 is any that is free. names: other names that requests may call
    this server by, as those of a proxy. token: what every request must show, as `Authorization: Bearer TOKEN`.
    allow_anyone: other machines are served without a token.
    workers: jobs that are read, matted and written at the same time; the engine is one for all. queue: requests that
    may wait for a worker; the next is answered 429. max_megapixels: larger pictures are refused before they are
    decoded.
    """

    host: str = LOOPBACK
    port: Annotated[int, Range(0, 65535)] = 8765
    names: tuple[str, ...] = ()
    token: str | None = field(default=None, repr=False)
    allow_anyone: bool = False
    workers: Annotated[int, Range(1, 64)] = 2
    queue: Annotated[int, Range(0, 10_000)] = 16
    max_megapixels: Annotated[float, ABOVE_0] = MAX_MEGAPIXELS

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.token is not None and (len(self.token) < LEAST_TOKEN or not _is_token(self.token)):
            # The value itself is a secret.
            raise UsageError(
                f"`token` must be at least {LEAST_TOKEN} letters, digits and signs of ASCII without spaces; got "
                f"{len(self.token)} characters"
            )

    @property
    def limits(self) -> Limits:
        """How much of a picture is accepted."""
        return Limits(self.max_megapixels)


def _is_token(text: str) -> bool:
    return text.isascii() and text.isprintable() and " " not in text
