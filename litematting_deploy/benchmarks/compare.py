"""Comparing a benchmark with an earlier one on the same hardware."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import UsageError
from .results import OK, Results, Row


@dataclass(frozen=True)
class Change:
    """A row of both benchmarks: its medians in milliseconds, None where it did not run."""

    name: str
    before_ms: float | None
    after_ms: float | None

    @property
    def change(self) -> float | None:
        """The relative change, 0.05 for 5 % slower; None where it did not run in both."""
        if self.before_ms is None or self.after_ms is None:
            return None
        return self.after_ms / self.before_ms - 1

    def regressed(self, limit: float) -> bool:
        """Return whether it is slower by more than `limit`, a share such as 0.05, or ran and runs no longer."""
        if self.before_ms is not None and self.after_ms is None:
            return True
        return self.change is not None and self.change > limit


_HARDWARE = ("cpu", "cores", "gpus", "system")
_SINCE = ("instruction_set",)


def check_same_machine(old: Mapping[str, Any], new: Mapping[str, Any], name: str) -> list[str]:
    """Return what of the software differs, in words.

    old, new: environments, as `environment.describe` returns them.
    name: of the file with the old one.
    Raises: `UsageError` where the hardware differs, because times cannot be compared then.
    """
    # Results of earlier versions do not say which instructions the processor has.
    both = [key for key in _SINCE if key in old and key in new]
    for key in (*_HARDWARE, *both):
        before, now = _hardware(old, key), _hardware(new, key)
        if before != now:
            raise UsageError(
                f"{name}: was measured on another machine: its {key} is {before}, here it is {now}; measure again "
                "on this machine"
            )
    versions = [dict(environment["versions"]) for environment in (old, new)]
    names = sorted(versions[0].keys() | versions[1].keys())
    return [
        f"{one} {versions[0].get(one, 'missing')} -> {versions[1].get(one, 'missing')}"
        for one in names
        if versions[0].get(one) != versions[1].get(one)
    ]


def _hardware(environment: Mapping[str, Any], key: str) -> Any:
    """Return a value of an environment; of GPUs their names, because driver and clocks may differ."""
    value = environment[key]
    return [gpu["name"] for gpu in value] or "none" if key == "gpus" else value


def changes(old: Results, rows: Sequence[Row]) -> list[Change]:
    """Match the rows of two benchmarks by engine, device, precision, batch and patch size.

    Those that ran in neither are left out, and so are earlier ones that were not asked for now.

    old: the earlier benchmark. rows: of the present one.
    Raises: `UsageError` where no row is in both.
    """
    found = [
        Change(then.name if _p50(now) is None else now.name, _p50(then), _p50(now))
        for now in rows
        for then in old.rows
        if _same(then, now) and not (_p50(then) is None and _p50(now) is None)
    ]
    if not found:
        raise UsageError("no row of the earlier run occurs in this one; use the same `resolution` and `batches`")
    return found


def _same(then: Row, now: Row) -> bool:
    """Return whether two rows belong together; one that does not run now may stand for several precisions."""
    if now.status == OK:
        return then.key == now.key
    asked = now.precision.split(", ") if now.precision else [then.precision]
    return then.engine == now.engine and now.batch in (0, then.batch) and then.precision in asked


def _p50(row: Row) -> float | None:
    """Return a row's median in milliseconds, None where it did not run well."""
    return row.latency_ms.p50 if row.status == OK and row.latency_ms else None
