"""Put the committed results into the pages: README.md has a table and plots, benchmarks/README.md the paper's tables.

python benchmarks/tables.py             # after results/ changed; needs the extra bench
python benchmarks/tables.py --check     # exit code 1 if a page or a plot is not of the committed results
"""

import argparse
import json
import sys
from pathlib import Path

from PIL import Image

from litematting_deploy._files import replace_file, sha256
from litematting_deploy.benchmarks import report
from litematting_deploy.benchmarks.plot import png
from litematting_deploy.benchmarks.row import KIND, Results, read_results

HERE = Path(__file__).parents[1]
BEGIN, END = "<!-- tables.py: {} -->\n", "<!-- tables.py: end -->\n"
NOTHING = "Nothing was measured with this version yet.\n"


def committed(root: Path) -> dict[Path, Results]:
    """The results of ltm-bench by file; the folder holds others too."""
    files = sorted((root / "benchmarks" / "results").glob("*.json"))
    return {file: read_results(file) for file in files if json.loads(file.read_bytes()).get("kind") == KIND}


def plot_of(root: Path, file: Path) -> Path:
    return root / "docs" / f"benchmark-{file.stem}.png"


def latencies(root: Path) -> str:
    parts = []
    for file, results in committed(root).items():
        side = results.options["resolution"]
        picture = plot_of(root, file).relative_to(root)
        ran = [row for row in results.rows if row.latency_ms is not None]
        said = report.columns(ran, narrow=True)
        parts += [
            f"**{report.where(results.environment).partition(';')[0]}**, {side}x{side}:\n",
            report.markdown_table([one.heading for one in said], [[one.text(row) for one in said] for row in ran], 2),
            "".join(f"- {line}\n" for line in report.unsure(ran, results.environment["cores"])),
            f"![Latency of each engine, its memory and accuracy]({picture})\n",
            f"{report.method(results.options)}\n",
        ]
    return "\n".join(filter(None, parts)) or NOTHING


def paper(root: Path) -> str:
    """From the results that counted most variants."""
    counted = max((results.variants for results in committed(root).values()), key=len, default=[])
    parts = []
    for title, headings, cells in report.paper_tables(counted):
        parts += [f"{title}\n", report.markdown_table(headings, cells)]
    return "\n".join(parts)


PAGES = {"README.md": ("latencies", latencies), "benchmarks/README.md": ("paper", paper)}


def page(root: Path, name: str) -> str:
    """The page as it should be: what is between its markers is made anew."""
    block, make = PAGES[name]
    text = (root / name).read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN.format(block))
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"tables: {name} has no lines {BEGIN.format(block).strip()} and {END.strip()}")
    return f"{before}{begin}\n{make(root)}\n{end}{after}"


def stale(root: Path) -> list[str]:
    """Pages and plots that are not of the committed results."""
    found = [name for name in PAGES if page(root, name) != (root / name).read_text(encoding="utf-8")]
    for file in committed(root):
        plot = plot_of(root, file)
        if not plot.exists() or Image.open(plot).info.get("Source") != sha256(file):
            found.append(str(plot.relative_to(root)))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--root", type=Path, default=HERE)
    options = parser.parse_args()
    if options.check:
        for name in stale(options.root):
            print(f"tables: {name} is not of the committed results; run: python benchmarks/tables.py")
        return 1 if stale(options.root) else 0
    for name in PAGES:
        replace_file(options.root / name, page(options.root, name).encode())
    for file, results in committed(options.root).items():
        replace_file(plot_of(options.root, file), png(results, sha256(file)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
