"""What a benchmark measures: rows and results, written to JSON and read from it."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..schema import decode, encode

MARKS = {"kind": "ltm-bench", "format": 1}
_MOST_BYTES = 1 << 24  # a thousand times what a benchmark writes; such a file may come from anyone
_READ_AGAIN = {"cpu": str, "cores": int, "gpus": list, "system": str, "versions": dict}
"""What of an environment is read of a file again, to compare with it."""
OK, FAILED, SKIPPED = "ok", "failed", "skipped"


@dataclass(frozen=True)
class Latency:
    """Milliseconds of `iterations` runs after `warmup` runs that do not count.

    p90, p99: None of too few runs, see `timing.BEARS`.
    variation: their standard deviation over their mean; 0 where every run takes equally long.
    """

    p50: float
    p90: float | None
    p99: float | None
    max: float
    mean: float
    variation: float
    iterations: int
    warmup: int

    def __post_init__(self) -> None:
        if not self.p50 > 0:
            raise ValueError(f"p50 must be above 0; got {self.p50}")


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

    max, mean: absolute, of 1. sad: in thousands. tolerance: the largest difference that is accepted,
    in INT8 the largest mean.
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


@dataclass(frozen=True)
class Complexity:
    """What a variant costs on patches of resolution x resolution pixels.

    parameters: how many numbers are learnt. flops: as fvcore counts, one multiply-add being 1.
    """

    variant: str
    resolution: int
    parameters: int
    flops: int


@dataclass(frozen=True)
class Results:
    """Everything that one benchmark measured.

    environment: as `environment.describe` returns it.
    options: what was asked for: resolution, threads, checkpoint, iterations, warmup, duration_s.
    variants: those counted.
    rows: the engines.
    """

    environment: dict[str, Any]
    options: dict[str, Any]
    variants: list[Complexity]
    rows: list[Row]

    def __post_init__(self) -> None:
        for name, kind in _READ_AGAIN.items():
            value = self.environment.get(name)
            if not isinstance(value, kind):
                raise ValueError(f"environment.{name} must be a {kind.__name__}; got {value!r}")
        for gpu in self.environment["gpus"]:
            if not isinstance(gpu, dict) or not isinstance(gpu.get("name"), str):
                raise ValueError(f"environment.gpus: each GPU must have a name; got {gpu!r}")

    def json(self) -> bytes:
        """Return the content of the file that `read_results` reads."""
        return encode(self, MARKS)


def read_results(path: str | Path) -> Results:
    """Read the JSON of a benchmark. Raises `InputError` naming the file and the key that is wrong."""
    return decode(
        path,
        Results,
        name="results of this ltm-bench",
        marks=MARKS,
        error=InputError,
        remedy="measure again and keep the JSON",
        most_bytes=_MOST_BYTES,
    )
