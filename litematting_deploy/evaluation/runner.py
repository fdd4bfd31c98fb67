"""Evaluating an engine on a data set, and classical methods beside it, as PyMatting implements them.

PyMatting: Germer et al., JOSS 2020.
"""

import contextlib
import io
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .. import __version__
from .._optional import require
from ..errors import InputError, naming
from ..matting.patches import to_levels
from ..matting.trimap import BACKGROUND, FOREGROUND, UNKNOWN
from ..parameters import path_text
from ..runtime import Matter, open_matter
from ..runtime.shipped import SHIPPED_ENGINE
from ..specs import MAX_MEGAPIXELS, Encoding, EngineSpec, PlanSpec
from .datasets import Dataset, Example, open_dataset, read_sample
from .metrics import Matted, Result, force_known, mean, measure
from .report import Report
from .temporal import ClipMeter, ClipScores

Matte: TypeAlias = Callable[[NDArray[np.uint8], NDArray[np.uint8]], NDArray[np.floating[Any]]]
"""image (H, W, 3) uint8 RGB, trimap (H, W) uint8 of 0 / 128 / 255 -> alpha (H, W), 0..1."""

NETWORK = "LiteMatting"
# name -> the ending of PyMatting's module and function
PEERS = {
    "closed_form": "cf",  # Levin et al. 2008
    "knn": "knn",  # Chen et al. 2013
    "learning_based": "lbdm",  # Zheng and Kambhamettu 2009
}


@dataclass(frozen=True)
class Evaluation:
    """How good an engine's mattes of a data set are.

    - `dataset`: what was evaluated.
    - `engine`, `engine_file`, `plan`: the engine in words, its file or URL, and how patches were placed.
    - `published`: mattes were made by the authors' crop-and-stitch.
    - `results`: image name -> method -> result; our method is called `NETWORK`.
    - `means`: method -> mean over the images.
    - `clips`: name of a clip -> method -> its errors over time; empty for a data set without clips.
    - `report`: the page, where one was asked for.
    """

    dataset: Dataset
    engine: str
    engine_file: str
    plan: str
    published: bool
    results: dict[str, dict[str, Result]]
    means: dict[str, Result]
    clips: dict[str, dict[str, ClipScores]] = field(default_factory=dict)
    report: Path | None = None

    def content(self) -> dict[str, Any]:
        """Return everything for JSON: scores in the units of `metrics`, other methods under `peers`."""

        def scores(method: str) -> dict[str, Any]:
            """Return the mean scores of a method and those of every image."""
            images = [{"name": name, **asdict(row[method])} for name, row in self.results.items()]
            clips = [{"name": name, **asdict(row[method])} for name, row in self.clips.items()]
            return {"mean": asdict(self.means[method]), "images": images} | ({"clips": clips} if clips else {})

        return {
            "dataset": str(self.dataset.folder.resolve()),
            "layout": self.dataset.layout,
            "trimap": self.dataset.trimap,
            "engine": self.engine,
            "engine_file": self.engine_file,
            "plan": self.plan,
            "published": self.published,
            **scores(NETWORK),
            "peers": {method: scores(method) for method in self.means if method != NETWORK},
        }


def title(dataset: Dataset) -> str:
    """Return what is evaluated, in one line."""
    return f"{NETWORK} on {dataset.folder.resolve().name}, {dataset.trimap}"


def subtitle(engine: str, plan: str, published: bool) -> str:
    """Return what evaluates, in one line; the arguments are fields of `Evaluation`."""
    return f"{engine}, {plan}{', as published' if published else ''}; ltm-eval {__version__}"


def evaluate_dataset(
    folder: str | Path,
    engine: EngineSpec | None = None,
    plan: PlanSpec | None = None,
    *,
    trimap: str | None = None,
    trimap_encoding: Encoding = "exact",
    max_megapixels: float = MAX_MEGAPIXELS,
    peers: bool = False,
    report_folder: str | Path | None = None,
    progress: Callable[[int, int, str], None] = lambda *_: None,
) -> Evaluation:
    """Matte every image of a data set, and compare the alphas with the true ones.

    - `folder`: the data set, in one of the layouts of `datasets.LAYOUTS`.
    - `engine`: what runs; the shipped weights by default.
    - `plan`: which patches run.
    - `trimap`: the folder of trimaps in the data set; the layout's first by default.
    - `trimap_encoding`: what their grey values mean.
    - `max_megapixels`: larger images are refused before they are decoded.
    - `peers`: also run PyMatting's methods, which take minutes and need the extra `peers`.
    - `report_folder`: where to write a page with all mattes.
    - `progress`: called with the number of images done, that of all, and what is being done.

    Raises: `InputError` naming the file; `OutputError`; what loading the engine raises.
    """
    engine, plan = engine or EngineSpec(), plan or PlanSpec()
    place = path_text("folder", folder)
    page = None if report_folder is None else path_text("report_folder", report_folder)
    with naming(lambda: {"folder": place, "report_folder": page, "engine": engine.engine}):
        dataset = open_dataset(place, trimap)
        total = len(dataset.samples)
        with open_matter(engine, plan) as matter:
            methods: dict[str, Matte] = {NETWORK: partial(_stored if plan.published else _estimated, matter)}
            if peers:
                progress(0, total, "loading PyMatting (the first time, it compiles for half a minute)")
                methods |= {name: Peer(name) for name in PEERS}
            warm_up(methods)
            described = matter.engine.describe(), matter.placement
            report = None
            if page is not None:
                report = Report(page, title(dataset), subtitle(*described, plan.published))
            results: dict[str, dict[str, Result]] = {}
            over_time = ClipMeter()
            progress(0, total, "evaluating")
            for example, matted in evaluate(dataset, methods, trimap_encoding, max_megapixels):
                results[example.name] = {name: item.result for name, item in matted.items()}
                over_time.add(example, matted)
                if report is not None:
                    report.add(example, matted)
                progress(len(results), total, "evaluating")
        means = {name: mean([row[name] for row in results.values()]) for name in methods}
        clips = over_time.scores()
        written = None if report is None else report.finish(means, clips)
        file = str(engine.engine or SHIPPED_ENGINE)
        return Evaluation(dataset, described[0], file, described[1], plan.published, results, means, clips, written)


def _stored(matter: Matter, image: NDArray[np.uint8], trimap: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return alpha (H, W) float64, 0..1, as the authors' code stores it in a file."""
    return to_levels(_estimated(matter, image, trimap), truncate=True) / 255


def _estimated(matter: Matter, image: NDArray[np.uint8], trimap: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return alpha (H, W) float32, 0..1; that of a trimap without unknown pixels is the trimap."""
    return np.asarray(matter(image, trimap, allow_no_unknown=True), np.float32)


def evaluate(
    dataset: Dataset,
    methods: Mapping[str, Matte],
    trimap_encoding: Encoding = "exact",
    max_megapixels: float = MAX_MEGAPIXELS,
) -> Iterator[tuple[Example, dict[str, Matted]]]:
    """Yield each image of a data set with what each method made of it, one image in memory at a time.

    Alphas are rounded to 8 bits before they are measured, as in the files that the field compares. Seconds are the
    method's alone, without reading, rounding and measuring.

    methods: by their names.
    trimap_encoding, max_megapixels: as for `evaluate_dataset`.
    Raises: `InputError` naming the image.
    """
    for sample in dataset.samples:
        example = read_sample(sample, trimap_encoding, max_megapixels)
        matted = {}
        for name, matte in methods.items():
            started = time.perf_counter()
            try:
                alpha = matte(example.image, example.trimap)
            except InputError as error:
                raise InputError(f"{sample.image}: {error}") from error
            seconds = time.perf_counter() - started
            # In float32, as a `Matter` gives it, so that peers are rounded as we are.
            levels = to_levels(force_known(alpha.astype(np.float32), example.trimap))
            scores = measure(levels / 255, example.alpha / 255, example.trimap)
            matted[name] = Matted(levels, Result(**asdict(scores), seconds=seconds))
        yield example, matted


class Peer:
    """One of `PEERS` with PyMatting's own settings, called as a `Matter` is: `Peer("knn")(image, trimap)`.

    Raises `DependencyError` where PyMatting is not installed.
    """

    def __init__(self, method: str) -> None:
        self.method = method
        name = f"estimate_alpha_{PEERS[method]}"
        self._estimate: Any = getattr(require(f"pymatting.alpha.{name}", "peers", "comparing with PyMatting"), name)

    def __call__(self, image: NDArray[np.uint8], trimap: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return alpha (H, W) float64, 0..1.

        The first call in a process compiles for seconds, the first on a machine for half a minute.

        image: (H, W, 3) uint8 RGB.
        trimap: (H, W) uint8 of 0 / 128 / 255.
        Raises: `InputError` where the method fails on this image.
        """
        if not ((trimap == BACKGROUND).any() and (trimap == FOREGROUND).any()):
            # PyMatting refuses these; the smoothest alpha is then the value of the known pixels everywhere.
            return np.full(trimap.shape, float((trimap == FOREGROUND).any()))
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # PyMatting prints when its solver starts anew
                alpha: NDArray[np.float64] = self._estimate(image / 255, trimap / 255)
        except ValueError as error:
            raise InputError(f"PyMatting's {self.method} failed: {error}; evaluate without `peers`") from error
        return alpha


def warm_up(methods: Mapping[str, Matte]) -> None:
    """Run every method once on a tiny image, so that no compilation or first call is timed."""
    image = np.arange(32 * 32 * 3, dtype=np.uint32).reshape(32, 32, 3).astype(np.uint8)
    trimap = np.full((32, 32), UNKNOWN, np.uint8)
    trimap[:8], trimap[-8:] = BACKGROUND, FOREGROUND
    for matte in methods.values():
        matte(image, trimap)
