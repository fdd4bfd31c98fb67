"""Put the committed results into the pages: the README's first table, docs/results.md, the paper's tables.

python benchmarks/tables.py             # after results/ changed; needs the extra bench
python benchmarks/tables.py --check     # exit code 1 if a page or a plot is not of the committed results
"""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from litematting_deploy.benchmarks import report
from litematting_deploy.benchmarks.plot import png
from litematting_deploy.benchmarks.results import MARKS, Results, Row, read_results
from litematting_deploy.files import replace_file, sha256

HERE = Path(__file__).parents[1]
BEGIN, END = "<!-- tables.py: {} -->\n", "<!-- tables.py: end -->\n"
NOTHING = "Nothing was measured with this version yet.\n"
NAMES = {
    "onnxruntime-cpu": "**ONNX Runtime, as shipped**",
    "openvino-cpu": "OpenVINO",
    "pytorch-compiled-cpu": "PyTorch, compiled",
    "pytorch-eager-cpu": "PyTorch",
    "pytorch-channels-last-cpu": "PyTorch, channels last",
}


def committed(root: Path) -> dict[Path, Results]:
    """The results of ltm-bench by file; the folder holds others too."""
    return {file: read_results(file) for file, content in _files(root) if content.get("kind") == MARKS["kind"]}


def _files(root: Path) -> list[tuple[Path, dict[str, Any]]]:
    files = sorted((root / "benchmarks" / "results").glob("*.json"))
    return [(file, json.loads(file.read_bytes())) for file in files]


def photos(root: Path) -> dict[str, dict[str, Any]]:
    """What versus.py measured, by the name that `committed` has for the same machine."""
    return {file.stem.removesuffix("-photo"): content for file, content in _files(root) if "peer" in content}


def evaluations(root: Path) -> list[dict[str, Any]]:
    """What ltm-eval measured."""
    return [content for _, content in _files(root) if "layout" in content]


def plot_of(root: Path, file: Path) -> Path:
    return root / "docs" / "pictures" / f"benchmark-{file.stem}.png"


def glance(root: Path) -> str:
    """Speed and accuracy of each machine in a few rows, the fastest engine first."""
    parts = []
    for file, results in committed(root).items():
        side, photo = results.options["resolution"], photos(root).get(file.stem)
        ran = sorted((row for row in results.rows if row.latency_ms), key=_p50)
        cells = [_glance_row(row) for row in ran]
        headings = ["", f"one {side}x{side} patch", "memory", "max. difference from PyTorch"]
        if photo is not None:
            megapixels = photo["photo"]["width"] * photo["photo"]["height"] / 1e6
            headings += [f"{megapixels:.0f}-megapixel photo, file to file, not refined", "memory"]
            cells = [
                [*cell, *(_job(photo["ours"]) if row.engine == "onnxruntime-cpu" else ["", ""])]
                for row, cell in zip(ran, cells, strict=True)
            ]
            cells.append(["the authors' inference", "", "", "", *_job(photo["peer"])])
        where = results.environment
        widest = [said] if (said := where.get("instruction_set")) else []  # older files lack it
        hardware = [where["cpu"], *widest, f"{where['cores']} cores", *(gpu["name"] for gpu in where["gpus"])]
        parts += [f"On {', '.join(hardware)}:\n", report.markdown_table(headings, cells)]
    for content in evaluations(root):
        if content["trimap"] == "trimap1":
            parts.append(
                f"Mean SAD of the network's own alpha: {content['mean']['sad']:.1f} on {len(content['images'])} photos "
                "of alphamatting.com, none of which was used in training.\n"
            )
    return "\n".join(parts) or NOTHING


def _p50(row: Row) -> float:
    return row.latency_ms.p50 if row.latency_ms else 0.0


def _glance_row(row: Row) -> list[str]:
    name = NAMES.get(row.engine, row.engine) + (f", {row.precision}" if row.precision != "fp32" else "")
    far = "" if row.accuracy is None else f"{row.accuracy.max:.0e}" if row.accuracy.max else "the reference"
    return [name, _seconds(_p50(row) / 1000), _gigabytes((row.peak_host_bytes or 0) / 1e6), far]


def _job(measured: dict[str, Any]) -> list[str]:
    return [_seconds(measured["seconds"]), _gigabytes(measured["peak_memory_mb"])]


def _seconds(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds >= 20 else f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1000:.1f} ms"


def _gigabytes(megabytes: float) -> str:
    return f"{megabytes / 1000:.1f} GB"


def latencies(root: Path) -> str:
    parts = []
    for file, results in committed(root).items():
        side = results.options["resolution"]
        picture = plot_of(root, file).relative_to(root / "docs")
        ran = [row for row in results.rows if row.latency_ms is not None]
        said = report.columns(ran, narrow=True)
        parts += [
            f"**{report.where(results.environment).partition(';')[0]}**, {side}x{side}:\n",
            report.markdown_table([one.heading for one in said], [[one.text(row) for one in said] for row in ran], 2),
            "".join(
                f"- {line}\n" for line in (*report.reasons(ran), *report.unsure(ran, results.environment["cores"]))
            ),
            f"![Latency of each engine, its memory and accuracy]({picture})\n",
            f"{report.method(results.options)}\n",
        ]
    return "\n".join(filter(None, parts)) or NOTHING


def jobs(root: Path) -> str:
    """Whole photos: ours beside the published inference, and by unknown area."""
    parts = []
    for content in photos(root).values():
        photo, ours, peer, area = content["photo"], content["ours"], content["peer"], content["by_area"]
        cells = [["`ltm-infer --no-refine`", str(ours["patches"]), *_job(ours)]]
        cells.append(["the authors' inference, unmodified", peer["said"].removesuffix(" patches"), *_job(peer)])
        where = report.where(content["environment"]).partition(";")[0]
        parts += [
            f"**{where}**, a photo of {photo['width']}x{photo['height']}, from file to file:\n",
            report.markdown_table(["", "patches", "time", "memory"], cells),
            f"{content['times_faster']:.1f} times as fast, with {1 / content['times_less_memory']:.0%} of the memory. "
            "The same photo with smaller unknown regions:\n",
            report.markdown_table(
                ["unknown", "patches", "time", "memory"],
                [[f"{row['unknown_share']:.1%}", str(row["patches"]), *_job(row)] for row in area["rows"]],
            ),
            f"{area['seconds_per_patch']:.2f} s per patch, and {area['seconds_beside']:.1f} s for everything else.\n",
        ]
    return "\n".join(parts) or NOTHING


def accuracy(root: Path) -> str:
    """The metrics of the shipped weights by image."""
    parts = []
    for content in evaluations(root):
        rows = [*content["images"], {"name": "**mean**", **content["mean"]}]
        cells = [
            [row["name"], f"{row['sad']:.2f}", f"{row['mse'] * 1000:.1f}", f"{row['grad']:.1f}", f"{row['conn']:.2f}"]
            for row in rows
        ]
        parts += [
            f"**{content['dataset']}, {content['trimap']}**; {content['plan']}; {content['engine']}:\n",
            report.markdown_table(["image", "SAD", "MSE × 1000", "Grad", "Conn"], cells),
        ]
    return "\n".join(parts) or NOTHING


def colours(root: Path) -> str:
    """Errors of estimated foreground colours by family of drawn scenes, beside other methods."""
    parts = []
    for content in (content for _, content in _files(root) if "foreground_errors" in content):
        errors, seconds = content["foreground_errors"], content["cpu_seconds"]
        families = next(iter(errors.values()))
        rows = [[family, *(_pair(found[family]) for found in errors.values())] for family in families]
        means = [
            [sum(column) / len(families) for column in zip(*found.values(), strict=True)] for found in errors.values()
        ]
        rows.append(["**mean**", *map(_pair, means)])
        rows.append(["CPU time, median", *(_seconds(seconds[name]) for name in errors)])
        where = report.where(content["environment"]).partition(";")[0]
        side, each = content["size"], content["scenes_of_each_family"]
        parts += [
            f"**{where}**, {each} scenes of {side}x{side} of each family:\n",
            report.markdown_table(["family", *errors], rows),
        ]
    return "\n".join(parts) or NOTHING


EVERY = "every frame"
TREATMENTS = {"plain": "", "averaged": "`--steady --no-refine`", "refined": "default (refined)", "steady": "`--steady`"}


def clips(root: Path) -> str:
    """Errors of drawn clips: with trimaps carried between keyframes, refined, and averaged over time."""
    parts = []
    for content in (content for _, content in _files(root) if "clip_errors_by_noise" in content):
        by_noise = content["clip_errors_by_noise"]
        first = next(iter(by_noise))
        cells = [
            [_clip(name) if way == EVERY else "", way, *_clip_cells(row)]
            for name, ways in by_noise[first].items()
            for way, row in ways.items()
        ]
        headings = ["clip", "trimaps", "`--no-refine`: SAD", "dtSSD", "MESSDdt", "SAD, all", "unknown"]
        steady = [f"`--steady`: {name}" for name in ("SAD", "dtSSD", "MESSDdt")]
        where, seconds = report.where(content["environment"]).partition(";")[0], content["cpu_seconds_per_frame"]
        parts += [
            f"**{where}**, noise of {first} levels:\n",
            report.markdown_table([*headings, *steady], cells, 2),
            f"{_keyframes_cost(by_noise[first])} CPU seconds per frame of 256x256: "
            f"{', '.join(f'{name} {each:.3f}' for name, each in seconds.items())}.\n",
            "The means, as shares of those with `--no-refine`:\n",
            report.markdown_table(
                ["noise", "trimaps", "option", "SAD", "dtSSD", "MESSDdt"],
                [
                    [noise, way, TREATMENTS[name], *_shares(row["plain"], row[name])]
                    for noise, found in by_noise.items()
                    for way, row in found["mean"].items()
                    for name in row
                    if name != "plain"
                ],
                3,
            ),
        ]
    return "\n".join(parts) or NOTHING


SAID = {"plain": "`--no-refine`", "steady": "`--steady`"}


def _clip(name: str) -> str:
    return "**mean**" if name == "mean" else name.replace("_", " ")


def _clip_cells(row: dict[str, dict[str, float]]) -> list[str]:
    plain, steady = row["plain"], row["steady"]
    unknown = f"{plain['unknown']:.0%}"
    return [*_errors(plain), f"{plain['sad_whole']:.2f}", unknown, *_errors(steady)]


def _errors(found: dict[str, float]) -> list[str]:
    return [f"{found['sad']:.2f}", f"{found['dtssd']:.1f}", f"{found['messddt']:.0f}"]


def _shares(plain: dict[str, float], found: dict[str, float]) -> list[str]:
    return [f"{found[key] / plain[key]:.3f}" for key in ("sad", "dtssd", "messddt")]


def _keyframes_cost(found: dict[str, Any]) -> str:
    """How much larger errors are with keyframes: the mean over clips and the worst of them, plain and steady."""
    said = []
    for way in found["mean"].keys() - {EVERY}:
        for name in ("plain", "steady"):
            ratios = {clip: ways[way][name]["sad"] / ways[EVERY][name]["sad"] for clip, ways in found.items()}
            mean = ratios.pop("mean")
            worst = max(ratios, key=ratios.__getitem__)
            said.append(f"{mean:.2f} times ({SAID[name]}; at worst {ratios[worst]:.2f}, {_clip(worst)})")
    return f"With keyframes, SAD is {' and '.join(said)} that of a trimap for every frame."


def _pair(error: list[float]) -> str:
    """Errors of light and of sRGB levels."""
    return " / ".join(f"{value:.2f}" for value in error)


def paper(root: Path) -> str:
    """From the results that counted most variants."""
    counted = max((results.variants for results in committed(root).values()), key=len, default=[])
    parts = []
    for title, headings, cells in report.paper_tables(counted):
        parts += [f"{title}\n", report.markdown_table(headings, cells)]
    return "\n".join(parts)


PAGES: dict[str, dict[str, Callable[[Path], str]]] = {
    "README.md": {"glance": glance},
    "docs/results.md": {
        "latencies": latencies,
        "jobs": jobs,
        "clips": clips,
        "accuracy": accuracy,
        "colours": colours,
    },
    "benchmarks/README.md": {"paper": paper},
}


def page(root: Path, name: str) -> str:
    """The page as it should be: what is between its markers is made anew."""
    text = (root / name).read_text(encoding="utf-8")
    for block, make in PAGES[name].items():
        before, begin, rest = text.partition(BEGIN.format(block))
        _, end, after = rest.partition(END)
        if not begin or not end:
            raise SystemExit(f"tables: {name} has no lines {BEGIN.format(block).strip()} and {END.strip()}")
        text = f"{before}{begin}\n{make(root)}\n{end}{after}"
    return text


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
