"""Which precision "auto" is on processors and GPUs of all kinds."""

import pytest
import torch

from litematting_deploy import system
from litematting_deploy.training import precision
from litematting_deploy.training.precision import decide

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)


@pytest.mark.parametrize(
    ("flags", "wanted", "words"),
    [
        ("avx avx2", "32-true", ("avx2", "neither AVX512-BF16 nor AMX")),
        ("avx avx2 avx512f avx512_bf16", "bf16-mixed", ("avx512_bf16",)),
        ("avx avx2 amx_bf16", "bf16-mixed", ("amx_bf16",)),
    ],
)
def test_a_processor_decides_by_its_instructions(
    flags: str, wanted: str, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(system, "cpuinfo", {"flags": flags}.get)
    decision = decide("auto", CPU)
    assert decision.precision == wanted
    assert all(word in decision.reason for word in words)
    assert not decision.slow
    assert decide("bf16-mixed", CPU).slow is (wanted != "bf16-mixed")
    assert decide("bf16-mixed", CPU).precision == "bf16-mixed", "an explicit choice is honoured"
    assert not decide("32-true", CPU).slow


def test_a_processor_that_does_not_say_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "cpuinfo", lambda _: "")
    assert decide("auto", CPU).reason.startswith("a trial step took")
    for half_s, wanted in ((0.5, "bf16-mixed"), (2.0, "32-true")):
        monkeypatch.setattr(precision, "_step_s", lambda kind, half_s=half_s: half_s if kind else 1.0)
        assert decide("auto", CPU).precision == wanted


@pytest.mark.parametrize(
    ("capability", "wanted"), [((7, 5), "16-mixed"), ((8, 0), "bf16-mixed"), ((9, 0), "bf16-mixed")]
)
def test_a_gpu_decides_by_its_capability(
    capability: tuple[int, int], wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "a GPU")
    assert decide("auto", GPU).precision == wanted
    assert decide("bf16-mixed", GPU).slow is (wanted != "bf16-mixed")
