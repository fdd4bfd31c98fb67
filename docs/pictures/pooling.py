"""Draws docs/pictures/pooling.png: adaptive average pooling as windows, and as a product with constant matrices.

python docs/pictures/pooling.py                         # needs the extras bench and export
"""

import io
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from PIL import Image
from torch.nn import functional

from litematting_deploy.files import replace_file
from litematting_deploy.model.pooling import averaging_matrix

matplotlib.use("agg")
EXAMPLE = Path(__file__).parents[2] / "examples" / "dandelion.jpg"
CROP = 270, 0, 1130, 860
CELLS, LENGTH = 6, 20
INK, SHARED, OWN = "#333333", "#e65a14", "#7a9cc6"


def windows(axis: Axes, matrix: NDArray[np.float32]) -> None:
    """One line of inputs, and below it which of them each cell averages; those of two cells stand out."""
    inside = matrix > 0
    twice = inside.sum(axis=0) > 1
    for position in range(LENGTH):
        axis.add_patch(Rectangle((position, CELLS + 0.5), 0.9, 0.8, color=SHARED if twice[position] else OWN))
        axis.text(position + 0.45, CELLS + 0.9, str(position), ha="center", va="center", color="white", fontsize=9)
        for cell in np.flatnonzero(inside[:, position]).tolist():
            colour = SHARED if twice[position] else OWN
            axis.add_patch(Rectangle((position, CELLS - 1 - cell), 0.9, 0.7, color=colour, alpha=0.8))
    for cell in range(CELLS):
        last = np.flatnonzero(inside[cell])[-1]
        axis.text(last + 1.2, CELLS - 0.65 - cell, f"cell {cell}: mean of {inside[cell].sum()}", va="center", color=INK)
    axis.set(xlim=(-0.2, LENGTH + 5), ylim=(-0.3, CELLS + 1.5))
    axis.set_title(f"as windows: {LENGTH} values to {CELLS} cells; the orange ones count twice", loc="left", color=INK)
    axis.axis("off")


def cells_of(axis: Axes, values: NDArray[np.float32], title: str, *, colours: str, numbers: bool = False) -> None:
    axis.imshow(values, cmap=colours, vmin=0, vmax=values.max())
    axis.set_title(title, color=INK, fontsize=11)
    axis.set(xticks=[], yticks=[])
    if numbers:
        for (row, column), value in np.ndenumerate(values):
            if value > 0:
                axis.text(column, row, f"1/{1 / value:.0f}", ha="center", va="center", color="white", fontsize=5.5)


def sign(axis: Axes, text: str) -> None:
    axis.text(0.5, 0.5, text, ha="center", va="center", fontsize=20, color=INK)
    axis.axis("off")


def main() -> None:
    small = Image.open(EXAMPLE).convert("L").crop(CROP).resize((LENGTH, LENGTH), Image.Resampling.BOX)
    x = torch.tensor(np.array(small, np.float32) / 255)
    matrix = averaging_matrix(CELLS, LENGTH)
    product = matrix @ x @ matrix.T
    far = (functional.adaptive_avg_pool2d(x[None, None], CELLS)[0, 0] - product).abs().max().item()
    figure = pyplot.figure(figsize=(11, 6.2), dpi=140, facecolor="white", layout="constrained")
    halves: Any = figure.subfigures(2, 1, height_ratios=[1.05, 1])
    upper, lower = halves
    windows(upper.subplots(), matrix.numpy())
    lower.suptitle(
        f"as products: constant matrices, the same numbers (max. difference here: {far:.0e})",
        x=0.02, ha="left", color=INK,
    )  # fmt: skip
    axes = lower.subplots(1, 7, width_ratios=[LENGTH, 1.5, LENGTH, 1.5, 8, 1.5, 10])
    cells_of(axes[0], matrix.numpy(), f"averages of rows\n{CELLS} x {LENGTH}", colours="Blues", numbers=True)
    sign(axes[1], "·")
    cells_of(axes[2], x.numpy(), f"x\n{LENGTH} x {LENGTH}", colours="gray")
    sign(axes[3], "·")
    cells_of(axes[4], matrix.T.numpy(), f"averages of columns\n{LENGTH} x {CELLS}", colours="Blues")
    sign(axes[5], "=")
    cells_of(axes[6], product.numpy(), f"pooled\n{CELLS} x {CELLS}", colours="gray")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    replace_file(Path(__file__).with_suffix(".png"), buffer.getvalue())


if __name__ == "__main__":
    main()
