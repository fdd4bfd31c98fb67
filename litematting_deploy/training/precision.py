"""Which arithmetic trains fast on the machine at hand: what `precision` = "auto" means, and what is slow."""

import time
from typing import NamedTuple

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
    """Return what `asked` means on `device`: "auto" is the fastest one there, anything else is itself."""
    best, reason = _fastest_on_gpu(device) if device.type == "cuda" else _fastest_on_cpu()
    if asked in ("auto", best):
        return Decision(best, reason)
    # Single precision is slower everywhere else, and chosen for its accuracy.
    return Decision(asked, f"as the recipe says; {best} is faster here: {reason}", slow=asked != "32-true")


def _fastest_on_gpu(device: torch.device) -> tuple[Precision, str]:
    """Return the fastest precision of a GPU by its compute capability, and why."""
    capability = torch.cuda.get_device_capability(device)
    named = f"{torch.cuda.get_device_name(device)} has compute capability {capability[0]}.{capability[1]}"
    if capability >= _BF16_CAPABILITY:
        return "bf16-mixed", f"{named}, and multiplies bfloat16 from 8.0 on"
    return "16-mixed", f"{named}, and multiplies bfloat16 from 8.0 on only"


def _fastest_on_cpu() -> tuple[Precision, str]:
    """Return the fastest precision of this processor by its instructions, or by trying, and why."""
    fast = has_fast_bf16()
    if fast is None:
        single_s, half_s = _step_s(None), _step_s(torch.bfloat16)
        best: Precision = "bf16-mixed" if half_s < single_s else "32-true"
        return best, f"a trial step took {single_s * 1e3:.0f} ms in float32 and {half_s * 1e3:.0f} ms in bfloat16"
    if fast:
        return "bf16-mixed", f"this processor has {instruction_set()}"
    return "32-true", f"this processor has {instruction_set()}, and neither AVX512-BF16 nor AMX"


def _step_s(autocast: torch.dtype | None) -> float:
    """Return the least seconds of three steps through a convolution like the network's, after one to warm up."""
    layer = nn.Conv2d(64, 64, 3, padding=1)
    image = torch.ones(2, 64, 48, 48)

    def step() -> float:
        begun = time.perf_counter()
        with torch.autocast("cpu", autocast, enabled=autocast is not None):
            total = layer(image).float().sum()
        total.backward()
        return time.perf_counter() - begun

    step()
    return min(step() for _ in range(3))
