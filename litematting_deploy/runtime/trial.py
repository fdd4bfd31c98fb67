"""Which of OpenVINO and ONNX Runtime is faster for a model on this machine: tried once, and kept in the cache folder.

No rule by processor holds: on two AMD EPYCs with AVX-512, OpenVINO took 0.72 and 1.15 of ONNX Runtime's time.
"""

import hashlib
import time
from dataclasses import dataclass
from pathlib import Path

from ..engines.base import Engine
from ..errors import ArtefactError
from ..files import keep_cached, read_cached
from ..schema import decode, encode
from ..sidecar import read_sidecar
from ..specs import EngineSpec
from ..system import instruction_set, processor_name
from .shipped import example_patch

RUNS = 2
"""Timed runs of each engine after the first; the least counts, because other work only adds to it."""
_LIBRARIES = ("onnxruntime", "openvino")


@dataclass(frozen=True)
class Trial:
    """Seconds that one patch takes in each engine."""

    onnxruntime_s: float
    openvino_s: float

    def gain_s(self) -> float:
        """Return the seconds per patch that OpenVINO saves; negative where it is slower."""
        return self.onnxruntime_s - self.openvino_s


def earlier_trial(spec: EngineSpec, path: Path) -> Trial | None:
    """Return what an earlier process found for the model at `path` with the threads and batch of a spec, if any did."""
    content = read_cached(_name(spec, path))
    try:
        return decode(content, Trial, name="a trial of two engines") if content else None
    except ArtefactError:  # of another version of this package; it is tried again
        return None


def keep_trial(spec: EngineSpec, path: Path, trial: Trial) -> None:
    """Keep what was found for the next process."""
    keep_cached(_name(spec, path), encode(trial))


def seconds_per_patch(engine: Engine) -> float:
    """Return the seconds that an engine takes for one patch of the example, at its batch."""
    patches = engine.batch or 1
    inputs = {name: array.repeat(patches, axis=0) for name, array in example_patch(engine.patch_hw).items()}
    engine.run(**inputs)
    times = []
    for _ in range(RUNS):
        started = time.perf_counter()
        engine.run(**inputs)
        times.append(time.perf_counter() - started)
    return min(times) / patches


def _name(spec: EngineSpec, path: Path) -> str:
    """Return the name under which a trial is kept: by the model, the libraries, this processor, threads and batch."""
    sidecar = read_sidecar(path)
    model = (sidecar.sha256, sidecar.checkpoint_sha256) if sidecar else str(path.resolve())
    versions = [_version(library) for library in _LIBRARIES]
    parts = (model, versions, processor_name(), instruction_set(), spec.threads, spec.batch)
    return f"trial-{hashlib.sha256(repr(parts).encode()).hexdigest()[:32]}.json"


def _version(library: str) -> str:
    """Return the version of an installed library, or nothing for one that did not come as a wheel."""
    import importlib.metadata  # takes time, and only `auto` asks

    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return ""
