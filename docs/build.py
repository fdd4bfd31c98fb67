"""Builds the site of these pages with zensical: python docs/build.py [-o site]; needs the extra docs.

The pages lie all over the repository and link each other by relative paths, as readers of the repository follow them.
So those named in docs/zensical.toml are put together under the same paths, with every other file that they link to;
what is generated from the code comes into its page there.
"""

import argparse
import html
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import click
from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[1]
CONFIG = Path(__file__).with_name("zensical.toml")
COMMANDS = "<!-- build.py: commands -->\n"


def pages(root: Path = ROOT) -> list[str]:
    """The pages in the site's navigation, as paths from the root."""
    project = tomllib.loads((root / "docs" / CONFIG.name).read_text(encoding="utf-8"))["project"]
    return list(_leaves(project["nav"]))


def _leaves(node: Any) -> Iterator[str]:
    if isinstance(node, str):
        yield node
        return
    for child in node.values() if isinstance(node, dict) else node:
        yield from _leaves(child)


def links(text: str) -> Iterator[str]:
    """The targets of links and pictures of a page, without those that are only an anchor."""
    for token in MarkdownIt("gfm-like", {"linkify": False}).parse(text):
        for child in token.children or ():
            target = child.attrs.get("href") or child.attrs.get("src")
            if target and not str(target).startswith("#"):
                yield str(target)


def commands() -> dict[str, click.Command]:
    """Every installed ltm-* command."""
    found = {one.name: one.load() for one in entry_points(group="console_scripts") if one.name.startswith("ltm-")}
    return dict(sorted(found.items()))


def described(name: str, command: click.Command) -> str:
    """A section of a command: its help and a table of its options."""
    context = click.Context(command, info_name=name, terminal_width=100)
    usage = " ".join(command.get_usage(context).removeprefix("Usage: ").split())
    said = [paragraph for paragraph in (command.help or "").split("\n\n") if paragraph.strip()]
    parts = [f"## {name}\n", f"```text\n{usage}\n```\n"]
    for paragraph in said:
        literal = paragraph.lstrip().startswith("\b")
        plain = paragraph.replace("\b\n", "")
        parts.append(f"```text\n{plain}\n```\n" if literal else f"{_escaped(' '.join(plain.split()))}\n")
    rows = ["| option | means |", "|---|---|"]
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context) if isinstance(parameter, click.Option) else None
        if record is not None:
            names, _, choices = record[0].partition(" [")
            given = f"<br>`{'` `'.join(choices.rstrip(']').split('|'))}`" if choices else ""
            rows.append(f"| `{names.replace('|', '/')}`{given} | {_escaped(record[1])} |")
    return "\n".join([*parts, *rows]) + "\n"


def _escaped(text: str) -> str:
    """Of Markdown's signs those that occur in help."""
    plain = html.escape(text, quote=False)
    return "".join(f"\\{sign}" if sign in "|*_[]`#" else sign for sign in plain)


def assemble(folder: Path, root: Path = ROOT) -> None:
    """Put the pages and all they link to into `folder`. Exits where a link leads nowhere."""
    named = pages(root)
    files = {"docs/site.css"}
    for page in named:
        text = (root / page).read_text(encoding="utf-8")
        for target in links(text):
            if "://" in target or target.startswith("mailto:"):
                continue
            file = (root / page).parent.joinpath(target.partition("#")[0]).resolve()
            path = file.relative_to(root.resolve()).as_posix()
            if not file.is_file():
                sys.exit(f"build: {page}: links to {target}, which is no file; link to a page or a file")
            if file.suffix == ".md" and path not in named:
                sys.exit(f"build: {page}: links to {target}, which is in no navigation; add {path} to {CONFIG.name}")
            files.add(path)
        if COMMANDS in text:
            text = text.replace(COMMANDS, "\n".join(described(*one) for one in commands().items()))
        (folder / page).parent.mkdir(parents=True, exist_ok=True)
        (folder / page).write_text(text, encoding="utf-8")
    for path in files - set(named):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / path, folder / path)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "site")
    output: Path = parser.parse_args().output
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        assemble(folder / "pages")
        shutil.copy(CONFIG, folder)
        built = subprocess.run([sys.executable, "-m", "zensical", "build", "--strict"], cwd=folder, check=False)
        if built.returncode == 0:
            shutil.rmtree(output, ignore_errors=True)
            shutil.move(folder / "site", output)
    return built.returncode


if __name__ == "__main__":
    sys.exit(main())
