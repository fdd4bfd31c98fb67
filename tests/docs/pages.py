"""The pages, as docs/build.py finds them, and the blocks of code in them."""

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from markdown_it import MarkdownIt

from tests.conftest import ROOT


def _build() -> Any:
    spec = importlib.util.spec_from_file_location("docs_build", ROOT / "docs" / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


build = _build()
PAGES: list[str] = build.pages()


@dataclass(frozen=True)
class Block:
    """A fenced block. runs: not said to be left out by a comment `not run: why` before it."""

    page: str
    line: int
    language: str
    title: str
    text: str
    runs: bool

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def all_blocks() -> list[Block]:
    """The blocks of all pages."""
    return [block for page in PAGES for block in _blocks(page)]


def blocks(language: str) -> list[Block]:
    """Those in a language."""
    return [block for block in all_blocks() if block.language == language]


def _blocks(page: str) -> Iterator[Block]:
    before = ""
    for token in MarkdownIt("commonmark").parse((ROOT / page).read_text(encoding="utf-8")):
        if token.type == "fence":
            assert token.map is not None
            language, _, rest = token.info.partition(" ")
            title = rest.partition('title="')[2].partition('"')[0]
            yield Block(page, token.map[0] + 1, language, title, token.content, "not run:" not in before)
        before = token.content if token.type == "html_block" else ""
