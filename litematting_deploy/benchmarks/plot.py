"""Results of a benchmark as a picture."""

import io
from collections.abc import Sequence
from typing import Any

from .._optional import require
from .results import Results, Row

_INK, _FAINT, _BACK = "#1f2933", "#9aa5b1", "#ffffff"
_COLOURS = {"pytorch": "#d97706", "onnxruntime": "#2563eb", "tensorrt": "#16a34a"}
_OTHER = "#7c3aed"
_COPIES = "#cbd5e1"


def png(results: Results, source: str = "") -> bytes:
    """Draw a PNG with one bar per row: median latency, lines to p90 and p99, memory and accuracy beside it.

    The CPU and GPUs have a panel each; on GPUs, copies are grey and a bracket marks the traffic estimate.

    results: what was measured.
    source: kept as text in the file, to tell what it was drawn from.
    Raises: `DependencyError` without matplotlib.
    """
    figures: Any = require("matplotlib.figure", "bench", "drawing a plot")
    rows = [row for row in results.rows if row.latency_ms is not None]
    panels = [part for part in ([row for row in rows if not row.gpu], [row for row in rows if row.gpu]) if part]
    heights = [len(part) + 0.9 for part in panels] or [1.0]
    figure = figures.Figure(figsize=(10, 1.1 + 0.62 * sum(heights)), dpi=110, facecolor=_BACK, layout="constrained")
    grid = figure.subplots(len(panels) or 1, 1, squeeze=False, height_ratios=heights)
    for axes, part in zip(grid[:, 0], panels, strict=False):
        _panel(axes, part)
    figure.suptitle(_title(results), x=0.01, ha="left", fontsize=11, color=_INK)
    content = io.BytesIO()
    figure.savefig(content, format="png", metadata={"Source": source, "Software": None})
    return content.getvalue()


def _title(results: Results) -> str:
    """Return the hardware and the patch sizes in one line."""
    said = results.environment
    sizes = sorted({row.patch_hw for row in results.rows if row.latency_ms})
    patches = ", ".join(f"{height}x{width}" for height, width in sizes)
    where = [f"{said['cpu']}, {said['cores']} cores", *(gpu["name"] for gpu in said["gpus"])]
    return f"One run of the network, {patches}: {'; '.join(where)}"


def _panel(axes: Any, rows: Sequence[Row]) -> None:
    """Draw the bars of rows that ran, all on the CPU or all on GPUs."""
    ends = []
    for place, row in enumerate(rows):
        assert row.latency_ms is not None
        latency = row.latency_ms
        colour = next((colour for name, colour in _COLOURS.items() if name in (row.version or row.engine)), _OTHER)
        if row.gpu is None:
            axes.barh(place, latency.p50, 0.62, color=colour)
        else:
            left = 0.0
            parts = (row.gpu.host_to_device_ms, row.gpu.compute_ms, row.gpu.device_to_host_ms)
            for part, shade in zip(parts, (_COPIES, colour, _COPIES), strict=True):
                axes.barh(place, part, 0.62, left, color=shade)
                left += part
            axes.plot(row.gpu.traffic_ms, [place + 0.38] * 2, color=_INK, lw=1.5, marker="|", ms=6)
        marks = [value for value in (latency.p90, latency.p99) if value is not None]
        ends.append(max([latency.p50, *marks]))
        axes.plot([latency.p50, ends[-1]], [place] * 2, color=_INK, lw=1)
        axes.plot(marks, [place] * len(marks), color=_INK, ls="", marker="|", ms=7)
        axes.annotate(
            _beside(row), (ends[-1], place), (8, 0), textcoords="offset points", va="center", fontsize=9, color=_INK
        )
    axes.set_yticks(range(len(rows)), [row.name.replace(" x1", "") for row in rows], fontsize=10, color=_INK)
    axes.set_xlim(0, 1.55 * max(ends))
    axes.set_ylim(len(rows) - 0.4, -0.6)
    on_gpu = "; grey: copies to and from the GPU; bracket: the traffic estimate" if rows[0].gpu else ""
    axes.set_xlabel(f"milliseconds: median, with marks at p90 and p99{on_gpu}", fontsize=9, color=_INK, loc="left")
    axes.grid(axis="x", color=_FAINT, alpha=0.25)
    axes.set_axisbelow(True)
    axes.tick_params(axis="both", length=0, labelcolor=_INK)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.spines["left"].set_color(_FAINT)


def _beside(row: Row) -> str:
    """Return what stands beside the bar of a row: its median, memory and accuracy."""
    assert row.latency_ms is not None
    p50 = row.latency_ms.p50
    words = [f"{p50 / 1e3:.2f} s" if p50 >= 1000 else f"{p50:.1f} ms"]
    if row.peak_host_bytes and not row.gpu:
        words.append(f"{row.peak_host_bytes / 1e6:,.0f} MB")
    if row.gpu:
        words.append(f"{row.gpu.peak_bytes / 1e6:,.0f} MB of the GPU")
    if row.accuracy and row.accuracy.max:
        words.append(f"alpha to {row.accuracy.max:.0e}")
    return ", ".join(words) + (f"  ({row.status})" if row.status != "ok" else "")
