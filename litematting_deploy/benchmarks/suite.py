"""Every engine that can run here, one after the other in processes of their own, and compared with PyTorch's alpha."""

import importlib.util
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from ..engines.base import Batch
from ..runtime.shipped import SHIPPED_CHECKPOINT, SHIPPED_ENGINE, example_patch
from ..sidecar import read_sidecar
from . import accuracy
from .backends import Backend
from .process import answer
from .row import FAILED, OK, Row, row_of
from .timing import Effort

PATIENCE_S = 3600.0


@dataclass(frozen=True)
class Plan:
    """What to measure. engines: files. checkpoint: the weights that backends run and all are compared with. tolerance:
    of alpha, by default that of each row's precision. threads: on the CPU, all cores by default."""

    resolution: int
    effort: Effort
    backends: Sequence[Backend] = ()
    engines: Sequence[Path] = ()
    batches: Sequence[int] = (1,)
    threads: int | None = None
    checkpoint: Path = SHIPPED_CHECKPOINT
    tolerance: float | None = None
    trust: bool = False


def has_torch() -> bool:
    """Whether PyTorch is installed; it is not imported."""
    return importlib.util.find_spec("torch") is not None


def ask(task: str, **arguments: Any) -> dict[str, Any]:
    """A task of `tasks` in its own process: its results with `status`, or `status` and `reason`."""
    said, reason = answer(__package__, [task, json.dumps(arguments)], PATIENCE_S)
    return {"status": FAILED, "reason": reason} if said is None else said


def run(plan: Plan, doing: Callable[[str], None] = lambda _: None) -> list[Row]:
    """The rows, backends before files, in the order they ran. doing: told what is measured before each.

    A backend that cannot run here is one row for all its precisions and batches.
    """
    with TemporaryDirectory() as folder:
        bench = _Bench(plan, Path(folder), doing)
        rows = [row for backend in plan.backends for row in bench.backend(backend)]
        return rows + [bench.file(path, batch) for path in plan.engines for batch in plan.batches]


class _Bench:
    """What the rows of one run share: a folder, and PyTorch's alpha of each patch size."""

    def __init__(self, plan: Plan, folder: Path, doing: Callable[[str], None]) -> None:
        self._plan, self._folder, self._doing = plan, folder, doing
        self._references: dict[tuple[int, int], Batch | str] = {}
        self._numbers = itertools.count()

    def backend(self, backend: Backend) -> Iterator[Row]:
        plan = self._plan
        patch_hw = (plan.resolution, plan.resolution)
        self._doing(f"looking for {backend.name}")
        checked = ask("check", backend=backend.name)
        if checked["status"] != OK:
            yield _blank(backend.name, backend.device, ", ".join(backend.precisions), 0, patch_hw, checked)
            return
        for precision, batch in itertools.product(backend.precisions, plan.batches):
            blank = Row(OK, backend.name, backend.device, precision, batch, patch_hw)
            yield (
                self._exported(backend, blank)
                if backend.norm
                else self._measured(
                    plan.checkpoint,
                    blank,
                    patch_hw=patch_hw,
                    compiled=backend.compiled,
                    precision=precision if backend.device != "cpu" else None,
                )
            )

    def _exported(self, backend: Backend, blank: Row) -> Row:
        """A row of an ONNX that is made for it."""
        onnx = self._folder / f"{next(self._numbers)}.onnx"
        self._doing(f"exporting for {blank.name}")
        made = ask(
            "export",
            checkpoint=str(self._plan.checkpoint),
            output=str(onnx),
            patch_hw=blank.patch_hw,
            batch=blank.batch,
            # what is TF32 is float32 in the file
            precision="fp16" if blank.precision == "fp16" else "fp32",
            norm=backend.norm,
        )
        if made["status"] != OK:
            return replace(blank, status=made["status"], reason=made["reason"])
        return replace(self._measured(onnx, blank), build_s=made["build_s"])

    def file(self, path: Path, batch: int) -> Row:
        """A row of an artefact as it is, on the device that its kind runs on by default."""
        patch_hw = (self._plan.resolution, self._plan.resolution)
        return self._measured(path, Row(OK, path.name, "", "", batch, patch_hw), trust=self._plan.trust)

    def _measured(self, source: Path, blank: Row, **options: Any) -> Row:
        self._doing(f"measuring {blank.name}")
        alpha = self._folder / f"{next(self._numbers)}.npy"
        arguments = {
            "source": str(source),
            "device": blank.device or None,
            "patch_hw": None,
            "batch": blank.batch,
            "precision": None,
            "compiled": False,
            "threads": self._plan.threads,
            "trust": False,
            "effort": asdict(self._plan.effort),
            "alpha": str(alpha),
            **options,
        }
        said = ask("measure", **arguments)
        if said["status"] != OK:
            return replace(blank, status=said["status"], reason=said["reason"])
        row = row_of({**said, "engine": blank.engine, "file_bytes": _size(source)})
        return self._judged(row, np.load(alpha))

    def _judged(self, row: Row, alpha: Batch) -> Row:
        """The row with its accuracy, failed if that is too low; as it was where there is no PyTorch to compare with."""
        wanted = self._reference(row.patch_hw)
        if wanted is None:
            return row
        if isinstance(wanted, str):
            return row.failed(f"there is no alpha of PyTorch's to compare with: {wanted}")
        limit = self._plan.tolerance or accuracy.tolerance(row.precision)
        found = accuracy.compare(alpha, wanted, example_patch(row.patch_hw)["trimap"], limit)
        row = replace(row, accuracy=found)
        if found.max <= limit:  # not-a-number is not
            return row
        return row.failed(
            f"alpha is up to {found.max:.2g} from what PyTorch makes of {self._plan.checkpoint.name}, wanted at most "
            f"{limit:g}; if the engine has other weights, name their file with --checkpoint"
        )

    def _reference(self, patch_hw: tuple[int, int]) -> "Batch | str | None":
        """PyTorch's alpha, the reason why there is none, or None without PyTorch."""
        if not has_torch():
            return None
        if patch_hw not in self._references:
            self._doing(f"asking PyTorch about {patch_hw[0]}x{patch_hw[1]}")
            path = self._folder / f"{next(self._numbers)}.npy"
            said = ask("reference", checkpoint=str(self._plan.checkpoint), patch_hw=patch_hw, alpha=str(path))
            self._references[patch_hw] = np.load(path) if said["status"] == OK else said["reason"]
        return self._references[patch_hw]


def _size(source: Path) -> int:
    """Bytes of an artefact, with those of the weights beside an ONNX that has none of its own."""
    sidecar = read_sidecar(source) if source.suffix.lower() == ".onnx" else None
    beside = [source.with_name(sidecar.checkpoint)] if sidecar is not None and sidecar.weights_beside else []
    return sum(path.stat().st_size for path in (source, *beside))


def shipped(plan: Plan, doing: Callable[[str], None] = lambda _: None) -> list[Row]:
    """Rows of the shipped engine at its own patch size: what there is without PyTorch."""
    return run(replace(plan, backends=(), engines=(SHIPPED_ENGINE,)), doing)


def _blank(
    engine: str, device: str, precision: str, batch: int, patch_hw: tuple[int, int], said: Mapping[str, Any]
) -> Row:
    return Row(said["status"], engine, device, precision, batch, patch_hw, reason=said["reason"])
