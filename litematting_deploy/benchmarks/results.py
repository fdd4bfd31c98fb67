"""What a benchmark measures: rows and results, written to JSON and read from it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar, get_origin

from ..errors import InputError
from ..files import parse_json, read_small

KIND, FORMAT = "ltm-bench", 1
_MOST_BYTES = 1 << 24
OK, FAILED, SKIPPED = "ok", "failed", "skipped"


@dataclass(frozen=True)
class Latency:
    """Milliseconds of `iterations` runs after `warmup` runs that do not count.

    variation: their standard deviation over their mean; 0 where every run takes equally long.
    """

    p50: float
    p90: float
    p99: float
    max: float
    mean: float
    variation: float
    iterations: int
    warmup: int


@dataclass(frozen=True)
class OnGpu:
    """What only a GPU has. Times are medians in milliseconds by CUDA events.

    peak_bytes: memory of the device, taken since before the engine was opened.
    bandwidth: bytes per second that a copy on this device reads and writes.
    traffic_ms: what the reads and writes of the convolutions take at that bandwidth, without and with a pass after each
    for its group norm.
    """

    gpu: str
    host_to_device_ms: float
    compute_ms: float
    device_to_host_ms: float
    peak_bytes: int
    bandwidth: float
    traffic_ms: tuple[float, float]


@dataclass(frozen=True)
class Accuracy:
    """The difference between alpha of the example patch and the fp32 PyTorch model's.

    max, mean: absolute, of 1. sad: in thousands. tolerance: the largest difference that is accepted.
    """

    max: float
    mean: float
    sad: float
    tolerance: float


@dataclass(frozen=True)
class Row:
    """One engine at one batch size.

    What was not measured, or does not exist, is None.

    status: `ok`, `failed` or `skipped`. reason: why, for the latter two.
    engine: the name of the backend or the file.
    device, precision: empty where the file could not tell. Precisions are joined by commas, and batch is 0, where one
    row stands for all of a backend that cannot run.
    version: of the library that ran it, with its name. threads: on the CPU.
    file_bytes: of the artefact.
    build_s: exporting it. load_s: opening it. first_run_ms: one run after that, in which libraries compile and choose.
    peak_host_bytes: the most memory that its process held, interpreter and libraries included.
    elsewhere: cores that other processes kept busy during the timed runs.
    """

    status: str
    engine: str
    device: str
    precision: str
    batch: int
    patch_hw: tuple[int, int]
    reason: str = ""
    version: str = ""
    threads: int | None = None
    file_bytes: int | None = None
    build_s: float | None = None
    load_s: float | None = None
    first_run_ms: float | None = None
    latency_ms: Latency | None = None
    images_per_s: float | None = None
    peak_host_bytes: int | None = None
    elsewhere: float | None = None
    gpu: OnGpu | None = None
    accuracy: Accuracy | None = None

    @property
    def key(self) -> tuple[str, str, str, int, tuple[int, int]]:
        """What rows of the same engine have in common."""
        return self.engine, self.device, self.precision, self.batch, self.patch_hw

    @property
    def name(self) -> str:
        """Engine, precision and batch as far as they are known, in words."""
        return " ".join(filter(None, (self.engine, self.precision, f"x{self.batch}" if self.batch else "")))

    def failed(self, reason: str) -> "Row":
        """Return the row as failed."""
        return replace(self, status=FAILED, reason=reason)


Kind = TypeVar("Kind", "Row", "Results", "Latency", "OnGpu", "Accuracy")

_NESTED = {"latency_ms": Latency, "gpu": OnGpu, "accuracy": Accuracy}


def _checked(made: Kind) -> Kind:
    """Return what was made. Raises `TypeError` for a value that does not have its field's type."""
    for field in fields(made):
        value, kind = getattr(made, field.name), get_origin(field.type)
        wanted: Any = kind if kind in (dict, list, tuple) else field.type
        right = isinstance(value, wanted) or (isinstance(value, int) and isinstance(0.0, wanted))
        if wanted is tuple:
            right = len(value) == 2 and all(isinstance(item, int | float) for item in value)
        if not right:
            raise TypeError(f"{field.name} is a {type(value).__name__}")
    return made


def row_of(content: Mapping[str, Any]) -> Row:
    """Return a row from the dictionary that JSON has for it. Raises `KeyError`, `TypeError`, `ValueError`."""
    values = dict(content)
    values["patch_hw"] = tuple(values["patch_hw"])
    for name, kind in _NESTED.items():
        if values.get(name) is not None:
            values[name] = _checked(kind(**values[name]))
    if values.get("gpu") is not None:
        values["gpu"] = replace(values["gpu"], traffic_ms=tuple(values["gpu"].traffic_ms))
    row = _checked(Row(**values))
    if row.latency_ms is not None and not row.latency_ms.p50 > 0:
        raise ValueError(f"p50 is {row.latency_ms.p50}")
    return row


@dataclass(frozen=True)
class Results:
    """Everything that one benchmark measured.

    environment: as `environment.describe` returns it.
    options: what was asked for: resolution, threads, checkpoint, iterations, warmup, duration_s.
    variants: those counted, each with the fields of `complexity.Complexity`.
    rows: the engines.
    """

    environment: dict[str, Any]
    options: dict[str, Any]
    variants: list[dict[str, Any]]
    rows: list[Row]

    def json(self) -> bytes:
        """Return the content of the file that `read_results` reads."""
        content = {"kind": KIND, "format": FORMAT, **asdict(self)}
        return (json.dumps(content, indent=2) + "\n").encode()


def _check_environment(environment: Any) -> None:
    """Raise `TypeError` or `KeyError` unless an environment has what is read of it again."""
    if not isinstance(environment, dict):
        raise TypeError(f"environment is a {type(environment).__name__}")
    kinds = {"cpu": str, "cores": int, "gpus": list, "system": str, "versions": dict}
    for name, kind in kinds.items():
        if not isinstance(environment[name], kind):
            raise TypeError(f"{name} is a {type(environment[name]).__name__}")
    if not all(isinstance(gpu, dict) and isinstance(gpu.get("name"), str) for gpu in environment["gpus"]):
        raise TypeError("a GPU has no name")


def read_results(path: str | Path) -> Results:
    """Read the JSON of a benchmark. Raises `InputError` naming the file and the key that is wrong."""
    try:
        content: dict[str, Any] = parse_json(read_small(path, _MOST_BYTES))
        if (content.pop("kind"), content.pop("format")) != (KIND, FORMAT):
            raise ValueError(f"it is not of format {FORMAT}")
        _check_environment(content["environment"])
        return _checked(Results(**{**content, "rows": [row_of(row) for row in content["rows"]]}))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path}: not results of this ltm-bench ({error}); measure again, and keep its JSON"
        ) from error
