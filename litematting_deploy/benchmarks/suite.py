"""A benchmark: every engine that can run here, one after the other in processes of their own, compared with PyTorch."""

import contextlib
import importlib.util
import itertools
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from .._optional import install
from ..engines.base import Batch
from ..errors import ArtefactError, DependencyError, DeviceError, LiteMattingError, UsageError
from ..export.spec import ExportSpec, Norm
from ..files import CHECKPOINT_SUFFIXES, ENGINE_SUFFIX, ONNX_SUFFIX, has_suffix, sha256
from ..isolation import call
from ..runtime.loading import plain_device
from ..runtime.shipped import SHIPPED_CHECKPOINT, SHIPPED_ENGINE, example_patch
from ..sidecar import neighbour, read_engine_sidecar, read_sidecar
from ..specs import EngineSpec
from . import backends, complexity, environment, tasks
from .accuracy import accuracy, tolerance
from .results import FAILED, OK, SKIPPED, Complexity, Results, Row
from .spec import BenchSpec
from .timing import say_duration

PATIENCE_S = 3600.0  # compilers and builders of engines may take many minutes
_LOOK_S = 0.5


def benchmark(spec: BenchSpec, progress: Callable[[str], None] = lambda _: None) -> Results:
    """Measure everything that a spec names; rows of backends come before those of files.

    Whatever goes wrong with one engine is the reason in its row. A backend that cannot run here is one row for all its
    precisions and batches. Without PyTorch, complexity and accuracy are left out, and without `engines`, too, the
    shipped engine is measured at its own patch size, with a warning.

    - `spec`: what to measure.
    - `progress`: called with what is being done, in words.

    Raises: `ArtefactError` for a file that is not there, `UsageError` where there is nothing to measure.
    """
    if not (spec.backends or spec.engines):
        raise UsageError("`backends` is empty, and no `engines` are given; use `backends=all` or name a file")
    for path in (*spec.engines, spec.checkpoint):
        if not path.is_file():
            raise ArtefactError(
                f"{path}: no such file; create an engine with ltm-export or ltm-build",
                parameter="engines" if path in spec.engines else "checkpoint",
            )
    described = environment.describe()
    options = {"resolution": spec.resolution, "threads": spec.threads, "checkpoint": spec.checkpoint.name}
    counted: list[Complexity] = []
    if _has_torch():
        progress("counting operations")
        counted = _complexity(spec)
    elif not spec.engines:
        warnings.warn(
            "PyTorch is not installed: timing the shipped engine at its own patch size instead of "
            f"{spec.resolution}, without complexity and accuracy; to measure these: {install('export,bench')}",
            stacklevel=2,
        )
        spec = replace(spec, backends=(), engines=(SHIPPED_ENGINE,))
    with TemporaryDirectory() as folder:
        bench = _Bench(spec, Path(folder), progress)
        # What cannot run is known before the first row is measured, so that it is known how many there are.
        found = [row for backend in backends.chosen(spec.backends) for row in bench.backend(backend)]
        found += [partial(bench.file, path, batch) for path in spec.engines for batch in spec.batches]
        rows = bench.rows(found)
    return Results(described, options | asdict(spec.effort), counted, rows)


def _has_torch() -> bool:
    """Return whether PyTorch is installed; it is not imported."""
    return importlib.util.find_spec("torch") is not None


def _complexity(spec: BenchSpec) -> list[Complexity]:
    """Count the full model, or all variants of the paper; none where they cannot be counted."""
    names = sorted(complexity.VARIANTS) if spec.variants else [complexity.FULL]
    try:
        counted: list[Complexity] = _apart(complexity.count, names, spec.resolution)
    except LiteMattingError as error:
        warnings.warn(f"complexity was not measured: {error}", stacklevel=3)
        return []
    return counted


class _Bench:
    """What the rows of one benchmark share: a folder, and PyTorch's alpha for each patch size."""

    def __init__(self, spec: BenchSpec, folder: Path, progress: Callable[[str], None]) -> None:
        self._spec, self._folder, self._report = spec, folder, progress
        self._before = ""
        self._references: dict[tuple[Path, tuple[int, int]], Batch | LiteMattingError] = {}

    def _progress(self, words: str) -> None:
        """Report what is being done, behind how many rows are done."""
        self._report(f"{self._before}{words}")

    def rows(self, found: "Sequence[Row | Callable[[], Row]]") -> list[Row]:
        """Return rows as they are, and those that are still to be measured, one after the other."""
        total, done, began_s = sum(not isinstance(each, Row) for each in found), 0, time.perf_counter()
        rows = []
        for each in found:
            if isinstance(each, Row):
                rows.append(each)
                continue
            left_s = (time.perf_counter() - began_s) / done * (total - done) if done else None
            about = f", about {say_duration(left_s)} left in total" if left_s is not None else ""
            self._before = f"{done + 1} of {total}{about}: "
            rows.append(each())
            done += 1
        return rows

    def backend(self, backend: backends.Backend) -> "Iterator[Row | Callable[[], Row]]":
        """Yield what measures each row of a backend, or the only row of one that cannot run here."""
        spec = self._spec
        self._progress(f"checking {backend.name}")
        try:
            _apart(backends.check, backend)
        except LiteMattingError as error:
            blank = Row(OK, backend.name, backend.device, ", ".join(backend.precisions), 0, spec.patch_hw)
            yield _without(blank, error)
            return
        for precision, batch in itertools.product(backend.precisions, spec.batches):
            blank = Row(OK, backend.name, backend.device, precision, batch, spec.patch_hw)
            engine = EngineSpec(device=backend.device, batch=batch, threads=spec.threads)
            if backend.norm is not None:
                asked = None if backend.in_file else precision
                yield partial(self._exported, backend.norm, replace(engine, precision=asked), blank)
                continue
            engine = replace(
                engine,
                engine=str(spec.checkpoint),
                patch_hw=spec.patch_hw,
                precision=precision if backend.device == "cuda" else None,
                compiled=backend.compiled,
                channels_last=backend.channels_last,
            )
            yield partial(self._measured, engine, blank)

    def _exported(self, norm: Norm, engine: EngineSpec, blank: Row) -> Row:
        """Return the row of an ONNX that is exported for it with a form of group norm."""
        onnx = self._folder / f"{blank.engine}-{blank.precision}-{blank.batch}.onnx"
        self._progress(f"exporting for {blank.name}")
        try:
            # What runs in TF32 is float32 in the file.
            precision: Literal["fp16", "fp32"] = (
                "fp16" if (blank.precision, engine.precision) == ("fp16", None) else "fp32"
            )
            export = ExportSpec(*blank.patch_hw, blank.batch, precision, norm=norm)
            build_s = _apart(tasks.export, self._spec.checkpoint, onnx, export)
        except LiteMattingError as error:
            return _without(blank, error)
        return replace(self._measured(replace(engine, engine=str(onnx)), blank), build_s=build_s)

    def file(self, path: Path, batch: int) -> Row:
        """Return the row of an artefact as it is, on the device that its kind runs on by default."""
        spec = self._spec
        engine = EngineSpec(
            engine=str(path), device=plain_device(path), batch=batch, threads=spec.threads, trust=spec.trust
        )
        blank = Row(OK, path.name, "", "", batch, self._spec.patch_hw)
        try:
            checkpoint = spec.checkpoint if spec.checkpoint != SHIPPED_CHECKPOINT else _origin(path)
        except LiteMattingError as error:
            return _without(blank, error)
        return self._measured(engine, blank, checkpoint)

    def _measured(self, engine: EngineSpec, blank: Row, checkpoint: "Path | str | None" = None) -> Row:
        """Return the row of an engine.

        blank: what is known without running it.
        checkpoint: whose alpha is wanted, that of the spec by default; or, as text, why there is none.
        """
        words = f"measuring {blank.name}"
        self._progress(words)
        said = self._folder / "said"
        try:
            with _following(said, lambda how_far: self._progress(f"{words}: {how_far}")):
                found: tuple[Row, Batch] = _apart(tasks.measured, engine, self._spec.effort, said)
        except LiteMattingError as error:
            return _without(blank, error)
        row, alpha = found
        row = replace(row, engine=blank.engine, file_bytes=_size(Path(engine.engine or "")))
        if isinstance(checkpoint, str):
            return replace(row, reason=f"alpha not compared: {checkpoint}")
        return self._judged(row, alpha, checkpoint or self._spec.checkpoint)

    def _judged(self, row: Row, alpha: Batch, checkpoint: Path) -> Row:
        """Return the row with its accuracy, failed if that is too low; as it was without PyTorch."""
        if not _has_torch():
            return row
        wanted = self._reference(checkpoint, row.patch_hw)
        if isinstance(wanted, LiteMattingError):
            return row.failed(f"PyTorch's alpha is not available for comparison: {wanted}")
        limit = self._spec.tolerance or tolerance(row.precision)
        found = accuracy(alpha, wanted, example_patch(row.patch_hw)["trimap"], limit)
        row = replace(row, accuracy=found)
        off, how = (found.mean, "a mean of") if row.precision == "int8" else (found.max, "up to")
        if off <= limit:  # not-a-number is not
            return row
        return row.failed(
            f"alpha differs from {checkpoint.name} in PyTorch by {how} {off:.2g}, more than {limit:g}; if the "
            "engine has other weights, give their file as `checkpoint`"
        )

    def _reference(self, checkpoint: Path, patch_hw: tuple[int, int]) -> "Batch | LiteMattingError":
        """Return the alpha that PyTorch makes of a checkpoint, or the error that stands in its way."""
        key = checkpoint, patch_hw
        if key not in self._references:
            self._progress(f"running {checkpoint.name} in PyTorch on {patch_hw[0]}x{patch_hw[1]}")
            try:
                self._references[key] = _apart(tasks.reference, checkpoint, patch_hw)
            except LiteMattingError as error:
                self._references[key] = error
        return self._references[key]


def _origin(path: Path) -> "Path | str":
    """Return the checkpoint that an artefact was made from or is; or, as text, why it is not known where that lies.

    An artefact without a sidecar is compared with the shipped weights. Raises `ArtefactError`.
    """
    if path.suffix.lower() in CHECKPOINT_SUFFIXES:
        return path
    sidecar = read_engine_sidecar(path) if has_suffix(path, ENGINE_SUFFIX) else read_sidecar(path)
    if sidecar is None or sidecar.checkpoint is None:
        return SHIPPED_CHECKPOINT
    for candidate in (neighbour(path, Path(sidecar.checkpoint).name), SHIPPED_CHECKPOINT):
        if candidate.is_file() and sha256(candidate) == sidecar.checkpoint_sha256:
            return candidate
    return (
        f"its sidecar names {sidecar.checkpoint}, sha256 {str(sidecar.checkpoint_sha256)[:12]}..., which is not in "
        "the same folder; give that file as `checkpoint`"
    )


@contextlib.contextmanager
def _following(said: Path, report: Callable[[str], None]) -> Iterator[None]:
    """Report what another process writes to a file, as long as the context lasts."""
    said.unlink(missing_ok=True)
    ended = threading.Event()

    def follow() -> None:
        before = ""
        while not ended.wait(_LOOK_S):
            words = said.read_text(encoding="utf-8") if said.exists() else ""
            if words and words != before:
                report(words)
            before = words

    follower = threading.Thread(target=follow, name="progress", daemon=True)
    follower.start()
    try:
        yield
    finally:
        ended.set()
        follower.join()


def _apart(function: Callable[..., Any], *arguments: Any) -> Any:
    """Return what a function returns in a process of its own, and raise what it raises there."""
    return call(f"{function.__module__}:{function.__name__}", *arguments, timeout_s=PATIENCE_S)


def _without(blank: Row, error: LiteMattingError) -> Row:
    """Return a row with the reason why it was not measured: skipped where something is missing here, else failed."""
    missing = isinstance(error, DependencyError | DeviceError | UsageError)
    return replace(blank, status=SKIPPED if missing else FAILED, reason=str(error))


def _size(source: Path) -> int:
    """Return the bytes of an artefact, with those of the weights beside an ONNX that has none of its own."""
    sidecar = read_sidecar(source) if has_suffix(source, ONNX_SUFFIX) else None
    beside = [neighbour(source, sidecar.checkpoint)] if sidecar is not None and sidecar.weights_beside else []
    return sum(path.stat().st_size for path in (source, *beside))
