"""The processor, its instructions and the process, as the system reports them."""

import subprocess
import sys
from pathlib import Path

import pytest

from litematting_deploy import system

FLAGS = {
    "fpu sse4_2 avx avx2": ("avx2", False),
    "fpu sse4_2 avx avx2 avx512f avx512_bf16": ("avx512_bf16", True),
    "fpu avx2 avx512f avx512_bf16 amx_tile amx_bf16": ("amx_bf16", True),
    "fpu avx2 avx512f": ("avx512f", False),
}


@pytest.mark.parametrize("flags", FLAGS)
def test_instructions_are_read_from_the_flags(flags: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "cpuinfo", {"flags": flags}.get)
    widest, bf16 = FLAGS[flags]
    assert system.instruction_set() == widest
    assert system.has_fast_bf16() is bf16


def test_a_machine_that_does_not_say_has_no_known_instructions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "cpuinfo", lambda _: "")
    assert system.has_fast_bf16() is None
    assert system.instruction_set()


BUSY = """
import time, sys
from multiprocessing import get_context
from litematting_deploy.system import cpu_seconds

def work():
    end = time.process_time() + 0.3
    while time.process_time() < end:
        pass
    time.sleep(60)

if __name__ == "__main__":
    child = get_context("fork").Process(target=work)
    before = cpu_seconds()
    child.start()
    deadline = time.monotonic() + 30
    while cpu_seconds() - before < 0.25 and time.monotonic() < deadline:
        time.sleep(0.05)
    print(cpu_seconds() - before)
    child.terminate()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc says what living children took")
def test_the_time_of_living_children_counts() -> None:
    answer = subprocess.run([sys.executable, "-c", BUSY], capture_output=True, text=True, check=True, timeout=60)
    assert 0.25 <= float(answer.stdout) < 5


GIVEN_WAY = """
import os
from litematting_deploy.system import give_way
give_way()
print(os.nice(0), os.environ["OMP_WAIT_POLICY"], open("/proc/self/oom_score_adj").read().strip())
print(open("/proc/self/autogroup").read() if os.path.exists("/proc/self/autogroup") else "nice 19")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Linux's files")
@pytest.mark.parametrize("leads", [True, False])
def test_giving_way_lowers_this_process_and_not_the_shell_s_session(leads: bool) -> None:
    group = Path("/proc/self/autogroup")
    before = group.read_text() if group.exists() else ""
    answer = subprocess.run(
        [sys.executable, "-c", GIVEN_WAY],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        start_new_session=leads,
    )
    own, session = answer.stdout.splitlines()[:2]
    nice, policy, score = own.split()
    assert (nice, policy) == ("19", "PASSIVE")
    assert int(score) >= 800
    if leads:
        assert session.endswith("nice 19")
    assert (group.read_text() if group.exists() else "") == before


def test_the_peak_of_memory_grows_with_what_was_held_and_does_not_fall() -> None:
    code = (
        "from litematting_deploy.system import peak_memory_bytes as peak; first = peak(); block = b'1' * 50_000_000; "
        "second = peak(); del block; print(first, second, peak())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    first, second, third = map(int, done.stdout.split())
    assert 45_000_000 < second - first < 70_000_000
    assert third - first > 45_000_000, "what was given back counts, too"
