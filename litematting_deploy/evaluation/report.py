"""Results of an evaluation for people: the cells of tables, and a page.

The page is one HTML file and its pictures, without scripts and without anything from elsewhere.
"""

from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path
from string import Template
from types import MappingProxyType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..files import asset, check_writable, make_folder, replace_file
from ..images.encode import write_image
from ..images.photo import shrink
from ..matting.trimap import UNKNOWN
from .datasets import Example
from .metrics import Matted, Result
from .temporal import ClipScores

MAX_SIDE = 1000
HEADINGS = ("SAD", "MSE × 1000", "Grad", "Conn", "seconds")
CLIP_HEADINGS = ("clip", "method", "frames", "dtSSD", "MESSDdt")

_PAGE = asset("report.html")


class Report:
    """A page that collects images one by one and is written at the end, with its pictures in `images` beside it."""

    def __init__(self, folder: str | Path, title: str, subtitle: str) -> None:
        """Make the folder.

        folder: where `index.html` comes to be. title, subtitle: what is on top of the page.
        Raises: `OutputError` before any work is done where the folder cannot be made or written to.
        """
        self._page, self._images = Path(folder) / "index.html", Path(folder) / "images"
        self._title, self._subtitle = title, subtitle
        self._cards: list[str] = []
        self._links: list[str] = []
        make_folder(self._images)
        check_writable(self._page)

    def add(self, example: Example, matted: Mapping[str, Matted]) -> None:
        """Write the pictures of one image and what each method made of it. Raises `OutputError`."""
        anchor = f"{len(self._cards) + 1:04}"
        figures = [
            self._figure(f"{anchor}_image.jpg", "image", example.image),
            # Averages would be greys that no trimap has.
            self._figure(f"{anchor}_trimap.png", "trimap", example.trimap, cv2.INTER_NEAREST),
            self._figure(f"{anchor}_truth.png", "ground truth", example.alpha),
        ]
        table = _table({name: item.result for name, item in matted.items()})
        for name, item in matted.items():
            figures.append(self._figure(f"{anchor}_{name}.png", label(name), item.alpha))
        if len(matted) > 1:
            figures.append(f'<div class="beside scroll">{table}</div>')
        for name, item in matted.items():
            error = np.asarray(cv2.absdiff(item.alpha, example.alpha), np.uint8)
            figures.append(self._figure(f"{anchor}_{name}_error.png", f"error of {label(name)}", _colours(error)))
        height, width = example.trimap.shape
        self._cards.append(
            f'<section class="card" id="i{anchor}"><div class="head"><div><h2>{escape(example.name)}</h2>'
            f'<p class="soft">{width} × {height}, {(example.trimap == UNKNOWN).mean():.1%} unknown</p></div>'
            f'{table if len(matted) == 1 else ""}</div><div class="grid" style="--columns: '
            f'{5 if len(matted) == 1 else 3 + len(matted)}">{"".join(figures)}</div></section>'
        )
        self._links.append(f'<a href="#i{anchor}">{escape(example.name)}</a>')

    def finish(
        self, means: Mapping[str, Result], clips: Mapping[str, Mapping[str, ClipScores]] = MappingProxyType({})
    ) -> Path:
        """Write the page, with the means over all images and the errors of clips on top, and return its path.

        Raises `OutputError`.
        """
        stops = ", ".join(f"rgb({red} {green} {blue})" for red, green, blue in _colours(np.arange(0, 256, 15)[None])[0])
        page = Template(_PAGE.read_text(encoding="utf-8")).substitute(
            title=escape(self._title),
            subtitle=escape(self._subtitle),
            count=len(self._cards),
            scale=stops,
            means=_table(means) + _clip_table(clips),
            links=" ".join(self._links),
            cards="\n".join(self._cards),
        )
        replace_file(self._page, page.encode(errors="backslashreplace"))  # a name may be no text
        return self._page

    def _figure(self, file: str, caption: str, pixels: NDArray[np.uint8], interpolation: int = cv2.INTER_AREA) -> str:
        """Write a picture (H, W) or (H, W, 3), at most `MAX_SIDE` pixels a side, and return its HTML."""
        pixels = shrink(pixels, MAX_SIDE, interpolation)
        write_image(self._images / file, pixels)
        height, width = pixels.shape[:2]
        link, caption = f"{self._images.name}/{file}", escape(caption)
        return (
            f'<figure><a href="{link}"><img src="{link}" alt="{caption}" width="{width}" height="{height}" '
            f'loading="lazy"></a><figcaption>{caption}</figcaption></figure>'
        )


def label(method: str) -> str:
    """Return what people call a method: closed-form for `closed_form`."""
    return method.replace("_", "-")


def cells(result: Result) -> tuple[str, ...]:
    """Return the texts of a result under `HEADINGS`, MSE in thousandths."""
    scores = (result.sad, result.mse * 1000, result.grad, result.conn)
    return (*(f"{score:.2f}" for score in scores), f"{result.seconds:.2f}")


def clip_rows(clips: Mapping[str, Mapping[str, ClipScores]]) -> list[tuple[str, ...]]:
    """Return the texts of the errors of clips over time under `CLIP_HEADINGS`, one row for each method."""
    return [
        (clip, label(name), str(found.frames), f"{found.dtssd:.3f}", f"{found.messddt:.3f}")
        for clip, row in clips.items()
        for name, found in row.items()
    ]


def _clip_table(clips: Mapping[str, Mapping[str, ClipScores]]) -> str:
    """Return an HTML table of the errors of clips over time; nothing where there are none."""
    if not clips:
        return ""
    heading = "".join(f"<th>{text}</th>" for text in CLIP_HEADINGS)
    rows = ("".join(f"<td>{escape(text)}</td>" for text in row) for row in clip_rows(clips))
    return f"<table><tr>{heading}</tr>{''.join(f'<tr>{row}</tr>' for row in rows)}</table>"


def _table(results: Mapping[str, Result]) -> str:
    """Return an HTML table of one row per method; the best of each column stands out where there are several."""
    rows = {name: cells(result) for name, result in results.items()}
    best = [min(column, key=float) if len(rows) > 1 else None for column in zip(*rows.values(), strict=True)]

    def row(name: str, values: Iterable[str]) -> str:
        marks = (
            f'<td class="best">{value}</td>' if value == lowest else f"<td>{value}</td>"
            for value, lowest in zip(values, best, strict=True)
        )
        return f"<tr><th>{escape(label(name))}</th>{''.join(marks)}</tr>"

    heading = "".join(f"<th>{text}</th>" for text in ("", *HEADINGS))
    return f"<table><tr>{heading}</tr>{''.join(row(name, values) for name, values in rows.items())}</table>"


def _colours(error: NDArray[np.integer[Any]]) -> NDArray[np.uint8]:
    """Return errors (H, W) 0..255 as colours (H, W, 3) uint8 RGB, from black over red to yellow."""
    return np.asarray(cv2.applyColorMap(error.astype(np.uint8), cv2.COLORMAP_INFERNO)[:, :, ::-1])
