import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser

from litematting_deploy.errors import OutputError
from litematting_deploy.evaluation.datasets import Example
from litematting_deploy.evaluation.metrics import Matted, Result
from litematting_deploy.evaluation.report import Report

BETTER, WORSE = Result(1.25, 0.01, 2, 3, 0.5), Result(2, 0.02, 1, 4, 0.7)


class Links(HTMLParser):
    """Everything a page refers to, and its text."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.ids: set[str] = set()
        self.text = ""
        self.tags: list[str] = []
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.targets += [value or "" for name, value in attrs if name in ("src", "href")]
        self.ids |= {value or "" for name, value in attrs if name == "id"}

    def handle_data(self, data: str) -> None:
        self.text += data


def assert_resolves(page: Path) -> Links:
    """Every link leads to a picture below the page or an anchor on it; nothing comes from elsewhere."""
    links = Links(page)
    for target in links.targets:
        if target.startswith("#"):
            assert target[1:] in links.ids
        else:
            assert not Path(target).is_absolute()
            assert page.parent in (page.parent / target).resolve().parents
            with Image.open(page.parent / target) as picture:
                picture.load()
                # Browsers go by the ending, and show no TIFF.
                assert picture.format == {".jpg": "JPEG", ".png": "PNG"}[Path(target).suffix]
    assert "script" not in links.tags
    assert not re.search(r"https?:|@import|url\(", page.read_text(encoding="utf-8"))
    return links


def load(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as picture:
        return np.asarray(picture)


def example(name: str, height: int = 30, width: int = 40) -> Example:
    alpha = np.tile(np.linspace(0, 255, width).astype(np.uint8), (height, 1))
    return Example(name, np.dstack([alpha] * 3), np.full((height, width), 128, np.uint8), alpha)


def test_page_with_peers_and_a_nasty_name(tmp_path: Path) -> None:
    name = '<b>"ä" & #1%20'
    shown = example(name)
    report = Report(tmp_path / "new" / "folder", "T <1>", "engine & co")
    report.add(shown, {"LiteMatting": Matted(shown.alpha, BETTER), "closed_form": Matted(255 - shown.alpha, WORSE)})
    page = report.finish({"LiteMatting": BETTER, "closed_form": WORSE})
    links = assert_resolves(page)
    assert page == tmp_path / "new" / "folder" / "index.html"
    for words in (name, "T <1>", "engine & co", "closed-form", "1.25", "10.00", "40 × 30, 100.0% unknown"):
        assert words in links.text
    assert "b" not in links.tags
    assert '<td class="best">1.25</td>' in page.read_text()
    assert links.tags.count("img") == 3 + 2 * 2
    errors = {path.name: load(path) for path in (page.parent / "images").glob("*_error.png")}
    assert errors["0001_LiteMatting_error.png"].max() <= 4, "no error is black"
    assert errors["0001_closed_form_error.png"][0, 0].tolist() == [252, 255, 164], "the largest is yellow"


def test_a_name_that_is_no_text(tmp_path: Path) -> None:
    shown = example("a\udcff…")
    report = Report(tmp_path, "T", "")
    report.add(shown, {"LiteMatting": Matted(shown.alpha, BETTER)})
    assert "a\\udcff…</h2>" in report.finish({"LiteMatting": BETTER}).read_text()


def test_large_pictures_are_shrunk(tmp_path: Path) -> None:
    shown = example("large", 100, 2000)
    report = Report(tmp_path, "large", "")
    report.add(shown, {"LiteMatting": Matted(shown.alpha, BETTER)})
    links = assert_resolves(report.finish({"LiteMatting": BETTER}))
    sizes = {load(path).shape[1::-1] for path in (tmp_path / "images").iterdir()}
    assert sizes == {(1000, 50)}
    assert links.tags.count("img") == 5


@pytest.mark.parametrize(
    ("folder", "words"),
    [
        ("file", r"file/images: cannot be created: .*choose another folder"),
        ("taken", r"index.html: cannot be written: it is a folder"),
    ],
)
def test_what_cannot_be_written_is_said_at_once(folder: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "taken" / "index.html").mkdir(parents=True)
    with pytest.raises(OutputError, match=words):
        Report(tmp_path / folder, "", "")


def test_a_browser_shows_every_picture(browser: Browser, tmp_path: Path) -> None:
    shown = example("photo", 60, 80)
    report = Report(tmp_path, "T", "")
    report.add(shown, {"LiteMatting": Matted(shown.alpha, BETTER), "closed_form": Matted(shown.alpha, WORSE)})
    page = browser.new_page()
    try:
        page.goto(report.finish({"LiteMatting": BETTER, "closed_form": WORSE}).as_uri())
        page.evaluate("for (const each of document.images) each.loading = 'eager'")
        page.wait_for_function("[...document.images].every(each => each.complete)")
        assert page.evaluate("[...document.images].map(each => each.naturalWidth)") == [80] * 7
    finally:
        page.close()
