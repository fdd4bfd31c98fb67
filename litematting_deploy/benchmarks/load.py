"""What else the machine does while something is timed."""

import os
import time
from pathlib import Path

_STAT = Path("/proc/stat")
_IDLE = (3, 4)  # idle and waiting for disks, of the columns of /proc/stat
_GUESTS = 8  # from here on, time that is in an earlier column already


class Elsewhere:
    """Cores that other processes keep busy, from when it is made to when it is asked."""

    def __init__(self) -> None:
        self._before = _now()

    def cores(self) -> float | None:
        """None where the system does not say."""
        before, after = self._before, _now()
        if before is None or after is None:
            return None
        wall, busy, own = (now - then for now, then in zip(after, before, strict=True))
        return max(0.0, (busy - own) / wall)


def _now() -> tuple[float, float, float] | None:
    """Wall clock, processor time of the whole machine and that of this process, all in seconds."""
    if not _STAT.exists():
        return None
    ticks = [int(word) for word in _STAT.read_text().split("\n", 1)[0].split()[1:]]
    busy = sum(count for column, count in enumerate(ticks[:_GUESTS]) if column not in _IDLE)
    return time.perf_counter(), busy / os.sysconf("SC_CLK_TCK"), time.process_time()
