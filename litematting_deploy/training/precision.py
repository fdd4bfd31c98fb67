"""What `precision` = "auto" means on this machine: its fastest one, by its instructions or by trying."""

import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from ..system import has_fast_bf16, instruction_set
from .recipe import Precision

AUTOCAST = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
_BF16_CAPABILITY = (8, 0)  # Ampere


class Decision(NamedTuple):
    """The precision a run is computed in, and why. slow: whether another one is much faster here."""

    precision: Precision
    reason: str
    slow: bool = False


def decide(asked: Precision, device: torch.device) -> Decision:
    """Return what `asked` means on `device`: "auto" is the fastest one there, anything else is itself.

    asked: as the recipe has it. A processor whose instructions cannot be read is tried with one step in each.
    """
    best, reason = _fastest_on_gpu(device) if device.type == "cuda" else _fastest_on_cpu()
    if asked in ("auto", best):
        return Decision(best, reason)
    # Single precision is slower everywhere else, and chosen for its accuracy.
    return Decision(
        asked, f"as the recipe specifies, although {best} is faster here: {reason}", slow=asked != "32-true"
    )


def _fastest_on_gpu(device: torch.device) -> tuple[Precision, str]:
    """Return the fastest precision of a GPU by its compute capability, and why."""
    capability = torch.cuda.get_device_capability(device)
    named = f"{torch.cuda.get_device_name(device)} has compute capability {capability[0]}.{capability[1]}"
    if capability >= _BF16_CAPABILITY:
        return "bf16-mixed", f"{named}, and bfloat16 is fast from 8.0 on"
    return "16-mixed", f"{named}, and bfloat16 is fast only from 8.0 on"


def _fastest_on_cpu() -> tuple[Precision, str]:
    """Return the fastest precision of this processor by its instructions, or by trying, and why."""
    fast = has_fast_bf16()
    if fast is None:
        single_s, half_s = _step_s(None), _step_s(torch.bfloat16)
        best: Precision = "bf16-mixed" if half_s < single_s else "32-true"
        return best, f"a trial step took {single_s * 1e3:.0f} ms in float32 and {half_s * 1e3:.0f} ms in bfloat16"
    if fast:
        return "bf16-mixed", f"this processor has {instruction_set()}"
    return "32-true", f"this processor has {instruction_set()}, but neither AVX512-BF16 nor AMX"


def _step_s(autocast: torch.dtype | None) -> float:
    """Return the median seconds of three steps through a convolution like the network's."""
    layer = nn.Conv2d(64, 64, 3, padding=1)
    image = torch.ones(2, 64, 48, 48)

    def step() -> None:
        with torch.autocast("cpu", autocast, enabled=autocast is not None):
            total = layer(image).float().sum()
        total.backward()

    return median_s(step, 0, torch.device("cpu"))


def median_s(work: Callable[[], object], seconds: float, device: torch.device) -> float:
    """Return the median seconds of `work`, measured three times or more and for `seconds`, after two that warm up."""

    def timed() -> float:
        begun = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter() - begun

    for _ in range(2):
        timed()
    taken = [timed() for _ in range(3)]
    while sum(taken) < seconds:
        taken.append(timed())
    return float(np.median(taken))
