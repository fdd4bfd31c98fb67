"""Draws docs/pictures/progress.png: held-out error by CPU time, from recipes/ledger.csv.

python docs/pictures/progress.py                        # needs the extra bench
"""

import csv
import io
from pathlib import Path

import matplotlib
from matplotlib import pyplot
from matplotlib.ticker import MultipleLocator

from litematting_deploy.files import replace_file

matplotlib.use("agg")
ROOT = Path(__file__).parents[2]
BEFORE = 30.84, 33.99
"""SAD and gradient error of the weights from which the ledger's first run began."""
KINDS = (("held_out_sad", "SAD", "#e65a14", -9), ("held_out_grad", "gradient error", "#1f77b4", 3))
"""The ledger's column, the name and colour of its line, and how far above the last point its value stands."""


def main() -> None:
    """Draw one point for each cool-down that was judged."""
    with (ROOT / "recipes" / "ledger.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    figure, axis = pyplot.subplots(figsize=(8, 3.6), dpi=120)
    for (column, name, colour, above), before in zip(KINDS, BEFORE, strict=True):
        spent, points = 0.0, [(0.0, before)]
        for line in lines:
            spent += float(line["cpu_seconds"]) / 1000
            if line[column]:
                points.append((spent, float(line[column])))
        axis.plot(*zip(*points, strict=True), "o-", color=colour, label=name, markersize=4)
        axis.annotate(f"{points[-1][1]:.1f}", points[-1], (6, above), textcoords="offset points", color=colour)
    axis.set(xlabel="thousand CPU seconds, trials and abandoned stretches included", ylabel="mean of 200 drawn scenes")
    axis.set(xlim=(0, None), ylim=(15, None))
    axis.yaxis.set_major_locator(MultipleLocator(5))
    axis.grid(color="#dddddd")
    axis.legend(frameon=False)
    axis.spines[["top", "right"]].set_visible(False)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", bbox_inches="tight", metadata={"Software": None})
    replace_file(ROOT / "docs" / "pictures" / "progress.png", picture.getvalue())


if __name__ == "__main__":
    main()
