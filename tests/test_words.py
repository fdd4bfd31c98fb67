"""The words of the product: what help, messages, pages and docstrings may say, and that what they name exists."""

import ast
import configparser
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from tests.conftest import ROOT
from tests.docs.pages import PAGES, Block, blocks, build

PACKAGE = ROOT / "litematting_deploy"
COMMANDS = build.commands()
OTHERS = {"python", ".", "curl", "tensorboard", "pytest", "docker", "deadlinecommand"}
"""Commands of other programs that pages show."""

# A term, as a regular expression -> what to write instead.
BANNED = {
    r"\bgo(?:es|ing)? on\b": "continue",
    r"\b(?:is|are|be) told\b": "report",
    r"\b(?:begun|anew)\b": "started, again",
    r"\bmend(?:s|ed)?\b": "fix",
    r"\bthe like\b": "the same",
    r"\b(?:what|that) (?:came|comes) of\b": "the result",
    r"\b(?:this|the) very\b": "this, the exact",
    r"\bbe of one size\b": "the sizes must match",
    r"\bpassed over\b": "skipped",
    r"\bgive that, too\b": "requires ...; add it",
    r"\bfurthest\b": "max. difference",
    r"\bfor want of\b": "because there is no",
    r"\bby the name of\b": "named",
    r"\bno picture there\b": "contains no image",
}
# In messages alone, where the pages speak of something else.
BANNED_IN_MESSAGES = {
    r"\bwanted\b": "expected",
    r"\bmake room\b": "free some space",
    r"\bholds? no\b": "contains no",
    r"\bnot here\b": "not installed, unavailable",
    r"\bis not there\b": "was not found",
    r"\bgoes (?:from|to)\b": "ranges from",
    r'(?<![-_"])\bbeside\b': "next to",
    r"\b(?:[Ff]ind|no|around|select) (?:the )?object\b": "subject, as the glossary has it",
    r"^Of\b": "the noun itself: help of an option begins with a verb or with what the value is",
}
QUOTING = {"CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/NOTES.md"}
"""Pages that quote what not to write, and logs of what was done."""


def found(text: str, banned: dict[str, str]) -> list[str]:
    """Return each banned term in a text, with what to write instead."""
    return [f"{match[0]!r}: write {instead}" for term, instead in banned.items() for match in re.finditer(term, text)]


def messages(file: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and text of each string of a file that holds words, docstrings left out."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.lineno, node.value


def prose(page: str) -> Iterator[tuple[int, str]]:
    """Yield the number and text of each line of a page, without code."""
    fenced = False
    for number, line in enumerate((ROOT / page).read_text(encoding="utf-8").splitlines(), 1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif not fenced:
            yield number, re.sub(r"`[^`]*`", "", line)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("a frame that fails is told and the others go on", 2),
        ("failed frames are reported and the rest continue", 0),
        ("they must be of one size: make it from this very photo", 2),
        ("is 3x4, wanted 4x4", 1),
        ("Of a clip's OUT.", 1),
    ],
)
def test_banned_terms_are_found(text: str, count: int) -> None:
    assert len(found(text, BANNED | BANNED_IN_MESSAGES)) == count


def test_messages_and_help_use_no_banned_term() -> None:
    banned = BANNED | BANNED_IN_MESSAGES
    files = sorted(PACKAGE.rglob("*.py"))
    said = [
        f"{file.relative_to(ROOT)}:{line}: {each}"
        for file in files
        for line, text in messages(file)
        for each in found(text, banned)
    ]
    assert said == []


def test_pages_use_no_banned_term() -> None:
    pages = [page for page in PAGES if page not in QUOTING]
    said = [f"{page}:{line}: {each}" for page in pages for line, text in prose(page) for each in found(text, BANNED)]
    assert said == []


def test_docstrings_begin_with_what_the_thing_does_or_is() -> None:
    """ "Return ...", "A photo with ..."; a preposition leaves the reader to find the noun."""
    wrong = []
    for file in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                text = ast.get_docstring(node) or "It"
                if text.split()[0] in ("Of", "As", "By", "From", "With", "Whose", "For"):
                    wrong.append(f"{file.relative_to(ROOT)}: {text.splitlines()[0]}")
    assert wrong == []


@pytest.fixture(params=COMMANDS)
def shown(request: pytest.FixtureRequest) -> tuple[click.Command, str]:
    """A command and its help, as a terminal of 80 columns shows it: Click leaves two of them free."""
    command = COMMANDS[request.param]
    return command, command.get_help(command.context_class(command, info_name=command.name, terminal_width=78))


def test_help_fits_80_columns(shown: tuple[click.Command, str]) -> None:
    assert len(shown[1].splitlines()) > 20
    assert [line for line in shown[1].splitlines() if len(line) > 80] == []


def test_help_opens_with_two_examples_that_parse(shown: tuple[click.Command, str]) -> None:
    command, text = shown
    examples = re.findall(rf"^    ({command.name}(?: .*)?)$", text, re.MULTILINE)
    assert len(examples) >= 2
    assert text.index("Examples:") < text.index(f"    {examples[0]}\n") < text.index("\nGeneral:")
    for example in examples:
        command.make_context(command.name, shlex.split(example)[1:])


def test_every_option_stands_under_a_heading_with_a_text(shown: tuple[click.Command, str]) -> None:
    command, text = shown
    headings = re.findall(r"^(\w.*):$", text, re.MULTILINE)
    assert headings[-1] == "General"
    assert len(headings) >= 2
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name
            assert re.match(r"[A-Z]|\w[\w.]*: ", parameter.help), f"{parameter.name}: {parameter.help}"


def words_of(block: Block) -> list[list[str]]:
    """Return the words of each command; one that ends in a backslash continues in the next line."""
    split = (shlex.split(line, comments=True) for line in block.text.replace("\\\n", " ").splitlines())
    return [words[: words.index("&&")] if "&&" in words else words for words in split if words]


@pytest.mark.parametrize("block", blocks("sh"), ids=str)
def test_commands_in_pages_exist_and_take_these_options(block: Block) -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    for command, *arguments in words_of(block):
        if command in COMMANDS:
            COMMANDS[command].make_context(command, list(arguments))
        elif command == "make":
            assert re.search(rf"^{arguments[0]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
        elif command == "pip":
            (extras,) = re.findall(r"\[(.*)\]", " ".join(arguments))
            assert set(extras.split(",")) <= set(config["options.extras_require"])
        else:
            assert command in OTHERS, f"{block}: {command}"
            # A command of ours that another one starts, as `docker run` does; those of farms are in test_farms.py.
            inner = next((place for place, word in enumerate(arguments) if word in COMMANDS), None)
            if inner is not None and command != "deadlinecommand":
                COMMANDS[arguments[inner]].make_context(arguments[inner], arguments[inner + 1 :])
            assert all((ROOT / word).is_file() for word in arguments if word.endswith(".py"))


def test_options_that_do_not_exist_are_found() -> None:
    with pytest.raises(click.UsageError, match="No such option"):
        COMMANDS["ltm-infer"].make_context("ltm-infer", ["photo.jpg", "-o", "a.png", "--no-such-option"])


def test_options_in_running_text_exist() -> None:
    """In code such as `ltm-infer --resume`, whose other words may be left out."""
    flags = {
        name: {flag for each in command.params for flag in (*each.opts, *each.secondary_opts, "--help", "-h")}
        for name, command in COMMANDS.items()
    }
    wrong = []
    for page in PAGES:
        for code in re.findall(r"`(ltm-[^`]*)`", (ROOT / page).read_text(encoding="utf-8")):
            name, *words = code.split()
            given = {word.partition("=")[0] for word in words if word.startswith("--")}
            if name not in flags or given - flags[name]:
                wrong.append(f"{page}: {code}")
    assert wrong == []


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and the site make them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def dead_links(page: Path, text: str) -> list[str]:
    """Return the relative links of a page that lead to no file, or to no heading of one."""
    dead = []
    for target in build.links(text):
        path, _, anchor = target.partition("#")
        file = page.parent / path
        if "://" in target or target.startswith("mailto:"):
            continue
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in anchors(file)):
            dead.append(target)
    return dead


def test_relative_links_lead_somewhere() -> None:
    """Of all pages of the repository, those that the site leaves out included; `test_site` follows the site's own."""
    pages = [path for path in ROOT.rglob("*.md") if not {part for part in path.parts if part.startswith(".")}]
    assert len(pages) >= len(PAGES)
    assert {str(page): dead for page in pages if (dead := dead_links(page, page.read_text(encoding="utf-8")))} == {}


def test_dead_links_are_found() -> None:
    text = "[a](docs/tutorial.md) [b](nowhere.md) [c](README.md#no-such-heading) [d](https://example.org)"
    assert dead_links(ROOT / "README.md", text) == ["nowhere.md", "README.md#no-such-heading"]
