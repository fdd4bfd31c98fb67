"""A run beside an earlier one on the same hardware."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import UsageError
from .row import OK, Results, Row


@dataclass(frozen=True)
class Change:
    """One row then and now. p50 in milliseconds, None where it did not run. change: of 1, as 0.05 for 5 % slower."""

    name: str
    before_ms: float | None
    after_ms: float | None

    @property
    def change(self) -> float | None:
        if self.before_ms is None or self.after_ms is None:
            return None
        return self.after_ms / self.before_ms - 1

    def regressed(self, limit: float) -> bool:
        """Slower by more than the limit, or it ran and runs no longer."""
        if self.before_ms is not None and self.after_ms is None:
            return True
        return self.change is not None and self.change > limit


_HARDWARE = ("cpu", "cores", "gpus", "system")


def check_same_machine(old: Mapping[str, Any], new: Mapping[str, Any], name: str) -> list[str]:
    """What of the software differs, as words. Raises `UsageError` where the hardware does: times would not compare."""
    for key in _HARDWARE:
        before, now = _said(old, key), _said(new, key)
        if before != now:
            raise UsageError(
                f"--compare {name}: measured on another machine, {key} {before}, here {now}; measure again"
            )
    versions = [dict(environment["versions"]) for environment in (old, new)]
    names = sorted(versions[0].keys() | versions[1].keys())
    return [
        f"{one} {versions[0].get(one, 'missing')} -> {versions[1].get(one, 'missing')}"
        for one in names
        if versions[0].get(one) != versions[1].get(one)
    ]


def _said(environment: Mapping[str, Any], key: str) -> Any:
    """A GPU by its name: driver and clocks may differ."""
    value = environment[key]
    return [gpu["name"] for gpu in value] or "none" if key == "gpus" else value


def changes(old: Results, rows: Sequence[Row]) -> list[Change]:
    """The rows of both, matched by engine, device, precision, batch and patch size; those that ran in neither are left
    out, and so are those that were not asked for now. Raises `UsageError` where no row is in both."""
    found = [
        Change(then.name if _p50(now) is None else now.name, _p50(then), _p50(now))
        for now in rows
        for then in old.rows
        if _same(then, now) and not (_p50(then) is None and _p50(now) is None)
    ]
    if not found:
        raise UsageError("--compare: no row of the earlier run is in this one; give the same --resolution and --batch")
    return found


def _same(then: Row, now: Row) -> bool:
    """Whether they are of one engine; of one that does not run now, as far as its row says what it stands for."""
    if now.status == OK:
        return then.key == now.key
    asked = now.precision.split(", ") if now.precision else [then.precision]
    return then.engine == now.engine and now.batch in (0, then.batch) and then.precision in asked


def _p50(row: Row) -> float | None:
    return row.latency_ms.p50 if row.status == OK and row.latency_ms else None
