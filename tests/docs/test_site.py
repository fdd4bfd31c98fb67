"""The site, built as `make docs` builds it."""

import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import litematting_deploy
from tests.conftest import ROOT
from tests.docs.pages import PAGES, build

LOADED = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src", "video": "src"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Strict: a link to a page or an anchor that is not there fails it."""
    folder = tmp_path_factory.mktemp("built") / "site"
    done = subprocess.run(
        [sys.executable, ROOT / "docs" / "build.py", "-o", folder], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


class Reader(HTMLParser):
    """What a page links to and what a browser loads for it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.linked: list[str] = []
        self.loaded: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag == "a" and found.get("href"):
            self.linked.append(str(found["href"]))
        target = found.get(LOADED.get(tag, ""))
        if target and found.get("rel") not in ("canonical", "next", "prev"):
            self.loaded.append(target)


def read_all(site: Path) -> Iterator[tuple[Path, Reader]]:
    for file in sorted(site.rglob("*.html")):
        if file.name != "404.html":  # its links are of the root of a server
            yield file, Reader(file.read_text(encoding="utf-8"))


def test_every_page_is_there_and_in_the_navigation(site: Path) -> None:
    for page in PAGES:
        name = page.removesuffix("README.md") if page.endswith("README.md") else f"{page.removesuffix('.md')}/"
        assert (site / name / "index.html").is_file(), page
    assert {str(file.relative_to(ROOT)) for file in (ROOT / "docs").rglob("*.md")} <= set(PAGES)


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    for file, reader in read_all(site):
        for target in reader.loaded:
            assert not urlsplit(target).netloc, f"{file}: loads {target}"
    for file in site.rglob("*.css"):
        text = file.read_text(encoding="utf-8")
        for start in ("url(http", "url(//", 'url("http', "@import"):
            assert start not in text, f"{file}: loads from elsewhere"


def test_all_that_pages_link_to_and_load_is_there(site: Path) -> None:
    for file, reader in read_all(site):
        for target in reader.linked + reader.loaded:
            parts = urlsplit(target)
            if parts.netloc or parts.scheme:
                assert parts.scheme in ("https", "data", "mailto"), f"{file}: {target}"
                continue
            path = file.parent / unquote(parts.path) if parts.path else file
            assert (path / "index.html").is_file() if path.is_dir() else path.is_file(), f"{file}: {target}"


def test_reference_is_of_the_code(site: Path) -> None:
    commands = (site / "docs" / "reference" / "commands" / "index.html").read_text(encoding="utf-8")
    for name, command in build.commands().items():
        assert f'id="{name}"' in commands
        for parameter in command.params:
            for option in parameter.opts:
                assert option in commands or not option.startswith("-"), f"{name} {option}"
    python = (site / "docs" / "reference" / "python" / "index.html").read_text(encoding="utf-8")
    for public in litematting_deploy.__all__:
        assert f'.{public}"' in python, public


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("nowhere.md", "is no file"),
        ("docs", "is no file"),
        ("unlisted.md", "in no navigation"),
        ("gone.png", "no file"),
    ],
)
def test_links_that_lead_nowhere_are_refused(target: str, said: str, tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "docs").mkdir(parents=True)
    (root / "docs" / "zensical.toml").write_text('[project]\nnav = ["README.md"]\n')
    (root / "docs" / "site.css").touch()
    (root / "unlisted.md").touch()
    (root / "README.md").write_text(f"[there](https://example.org) ![or]({target})\n")
    with pytest.raises(SystemExit, match=said):
        build.assemble(tmp_path / "pages", root)


def test_an_anchor_that_is_not_there_fails_the_build(tmp_path: Path) -> None:
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "README.md").write_text("# Here\n\n[gone](#gone)\n")
    (tmp_path / "zensical.toml").write_text('[project]\nsite_name = "x"\ndocs_dir = "pages"\nnav = ["README.md"]\n')
    done = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--strict"], cwd=tmp_path, capture_output=True, check=False
    )
    assert done.returncode != 0
