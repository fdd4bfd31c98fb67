"""Where the time of one run of the network goes: layer by layer, as table, JSON and page."""

import json
import tempfile
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from .. import isolation
from ..engines.layer_times import KINDS, LayerTime, by_stage
from ..engines.onnxruntime import OnnxRuntimeEngine
from ..engines.tensorrt.layers_page import document, stage_bars
from ..errors import UsageError
from ..files import check_writable, replace_file
from ..runtime.loading import open_spec
from ..runtime.on_device import OnDevice
from ..runtime.shipped import SHIPPED_ENGINE, example_patch
from ..specs import AUTO, EngineSpec
from ..system import instruction_set, processor_name
from . import environment
from .timing import Effort

STAGE_HEADINGS = ("stage", "ms", "share", "conv", *KINDS[1:])  # which fit 80 columns
LAYER_HEADINGS = ("heaviest layers", "kind", "ms", "share")
_HEAVIEST = 15
_PATIENCE_S = 3600.0


@dataclass(frozen=True)
class LayerTimes:
    """The layers of an engine, in the order in which they run; each is the median of `runs` runs."""

    engine: str
    backend: str
    device: str
    precision: str
    patch_hw: tuple[int, int]
    batch: int
    runs: int
    layers: tuple[LayerTime, ...]

    @property
    def milliseconds(self) -> float:
        """The sum over all layers."""
        return sum(layer.milliseconds for layer in self.layers)

    @property
    def title(self) -> str:
        """All of it in one line."""
        height, width = self.patch_hw
        return (
            f"{self.engine}: {len(self.layers)} layers take {self.milliseconds:.1f} ms; {self.backend} on "
            f"{self.device} ({processor_name()}, {instruction_set()}), {self.precision}, {height}x{width}, batch "
            f"{self.batch}, median of {self.runs} runs"
        )


def measure(spec: EngineSpec, effort: Effort, output: Path) -> LayerTimes:
    """Time the layers of an engine on the example patch, in a process of its own, and write them.

    A profiler makes whatever it times slower: for the time of a whole run see `suite.benchmark`.

    spec: an ONNX on the CPU, or a TensorRT engine. effort: its runs and warm-up. output: a .json, or a page (.html).
    Raises `UsageError` for other engines and endings, and as `open_spec`.
    """
    if output.suffix.lower() not in (".json", ".html"):
        raise UsageError(f"`per_layer` must end in .json or .html; got {output}", parameter="per_layer")
    check_writable(output)
    if not _on_host(spec) and Path(spec.engine or "").suffix.lower() != ".engine":
        raise UsageError(
            f"{spec.engine}: `per_layer` times an ONNX on the CPU or a TensorRT engine; create one with ltm-export "
            "or ltm-build",
            parameter="per_layer",
        )
    times: LayerTimes = isolation.call(f"{__name__}:_times", spec, effort, timeout_s=_PATIENCE_S)
    replace_file(output, (_page(times) if output.suffix.lower() == ".html" else _as_json(times)).encode())
    return times


def _on_host(spec: EngineSpec) -> bool:
    """Return whether an engine is an ONNX, which is timed on the CPU unless another device is asked for."""
    return Path(spec.engine or SHIPPED_ENGINE).suffix.lower() == ".onnx" and spec.device in (AUTO, "cpu")


def _times(spec: EngineSpec, effort: Effort) -> LayerTimes:
    """Time the layers in this process."""
    path, count = Path(spec.engine or SHIPPED_ENGINE), spec.batch or 1
    with tempfile.TemporaryDirectory() as folder:
        profile = Path(folder, "profile")
        engine = OnnxRuntimeEngine(path, spec.threads, profile) if _on_host(spec) else open_spec(spec)
        with engine:
            count = engine.batch or count
            inputs = {name: np.repeat(array, count, axis=0) for name, array in example_patch(engine.patch_hw).items()}
            if isinstance(engine, OnDevice):
                engine.run(**inputs)  # the inputs are there from now on
                runner: Any = engine.engine
                layers = runner.layer_times(engine.addresses, engine.stream.handle, effort.warmup, effort.iterations)
            else:
                assert isinstance(engine, OnnxRuntimeEngine)
                layers = engine.layer_times(inputs, effort.warmup, effort.iterations)
            backend = f"{engine.name} {engine.version}"
            facts = (path.name, backend, engine.device, engine.precision, engine.patch_hw, count, effort.iterations)
    return LayerTimes(*facts, layers)


def stage_rows(times: LayerTimes) -> list[list[str]]:
    """Return a row of text for each stage, under `STAGE_HEADINGS`, and the sums."""
    stages = by_stage(times.layers)
    sums = {kind: sum(kinds[kind] for kinds in stages.values()) for kind in KINDS}
    return [
        [name, *_shared(sum(kinds.values()), times), *(f"{kinds[kind]:.2f}" for kind in KINDS)]
        for name, kinds in (stages | {"all": sums}).items()
    ]


def layer_rows(times: LayerTimes) -> list[list[str]]:
    """Return a row of text for each of the heaviest layers, under `LAYER_HEADINGS`."""
    heaviest = sorted(times.layers, key=lambda layer: -layer.milliseconds)[:_HEAVIEST]
    return [[layer.name, layer.kind, *_shared(layer.milliseconds, times)] for layer in heaviest]


def _shared(milliseconds: float, times: LayerTimes) -> tuple[str, str]:
    """Return milliseconds, and their share of the whole."""
    return f"{milliseconds:.2f}", f"{milliseconds / times.milliseconds:.1%}"


def _as_json(times: LayerTimes) -> str:
    """Return all of it, with the milliseconds of each stage and kind."""
    content = (
        {"environment": environment.describe()}
        | asdict(times)
        | {"milliseconds": times.milliseconds, "stages": by_stage(times.layers)}
    )
    return json.dumps(content, indent=1) + "\n"


def _page(times: LayerTimes) -> str:
    """Return a page of its own: bars by stage, and all layers as a table."""
    rows = "".join(
        f"<tr><td class=n>{index}</td><td>{escape(layer.stage)}</td><td>{layer.kind}</td>"
        f"<td class=n>{layer.milliseconds:.3f}</td><td>{escape(layer.name)}</td></tr>"
        for index, layer in enumerate(times.layers)
    )
    heads = "<th class=n></th><th>stage</th><th>kind</th><th class=n>ms</th><th>name</th>"
    bars = stage_bars(by_stage(times.layers), lambda value: f"{value:.2f}")
    return document(
        f"{times.engine}: where the time goes",
        times.title,
        f"<h2>Milliseconds by stage</h2>{bars}<h2>Layers</h2>"
        f'<div class="wide"><table><tr>{heads}</tr>{rows}</table></div>',
    )
