"""This machine: its processor and GPUs, CPU time, memory and priority; the one place that asks the system for them."""

import contextlib
import ctypes
import multiprocessing
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_LOWEST_NICE, _OOM_SCORE = 19, 800
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
# The widest first: what a processor has decides how fast it trains.
_INSTRUCTION_SETS = ("amx_bf16", "avx512_bf16", "avx512f", "avx2", "avx", "sse4_2", "sve", "asimd")
_BF16 = ("amx_bf16", "avx512_bf16")
_GPU_FIELDS = ("name", "driver_version", "memory.total", "clocks.sm", "clocks.mem")
_GPU_PATIENCE_S = 20


def cpuinfo(key: str) -> str:
    """Return what /proc/cpuinfo says of the first core under `key`; nothing where it says nothing."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == key), "")


def processor_name() -> str:
    """Return the processor's name, or its architecture where the system does not name it."""
    return cpuinfo("model name") or platform.processor() or platform.machine()


def core_count() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0))


def gpus() -> list[dict[str, str]]:
    """Return name, driver, memory and present clocks of each NVIDIA GPU in the words of `nvidia-smi`; none without it.

    Keys: name, driver_version, memory.total, clocks.sm, clocks.mem.
    """
    command = shutil.which("nvidia-smi")
    if command is None:
        return []
    query = [command, f"--query-gpu={','.join(_GPU_FIELDS)}", "--format=csv,noheader"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, check=False, timeout=_GPU_PATIENCE_S)
    except subprocess.TimeoutExpired:  # a driver hangs
        return []
    rows = [line.split(", ") for line in answer.stdout.splitlines()] if answer.returncode == 0 else []
    return [dict(zip(_GPU_FIELDS, row, strict=True)) for row in rows]


def driver_version() -> str:
    """Return the version of NVIDIA's driver, such as 580.95.05, as its management library says; nothing without it."""
    try:
        nvml = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return ""
    version = ctypes.create_string_buffer(80)
    known = nvml.nvmlInit_v2() == 0 and nvml.nvmlSystemGetDriverVersion(version, len(version)) == 0
    return version.value.decode() if known else ""


def hardware_name(described: Mapping[str, Any]) -> str:
    """Return the hardware of a machine as a file name: `nvidia-h200`, or without a GPU `amd-epyc-2-cores`.

    described: cpu (`processor_name`), cores (`core_count`) and gpus (`gpus`), of this machine or of another.
    """
    names = [gpu["name"] for gpu in described["gpus"]] or [f"{described['cpu']} {described['cores']} cores"]
    return re.sub(r"[^a-z0-9]+", "-", re.sub(r"\([^)]*\)", "", names[0]).lower()).strip("-")


def processor_flags() -> frozenset[str]:
    """Return the instructions that the processor has, in Linux's words; none where they cannot be read."""
    return frozenset((cpuinfo("flags") or cpuinfo("Features")).split())


def instruction_set() -> str:
    """Return the widest vector instructions of this processor, such as "avx2" or "amx_bf16", or its architecture."""
    flags = processor_flags()
    return next((name for name in _INSTRUCTION_SETS if name in flags), platform.machine())


def has_fast_bf16() -> bool | None:
    """Return whether the processor multiplies bfloat16 in hardware; None where its instructions cannot be read."""
    flags = processor_flags()
    return bool(flags.intersection(_BF16)) if flags else None


def cpu_seconds() -> float:
    """Return user and system time of this process and its children: those that ended, and workers still alive."""
    times = os.times()
    ended = times.user + times.system + times.children_user + times.children_system
    alive = (_process_seconds(child.pid) for child in multiprocessing.active_children() if child.pid)
    return ended + sum(alive)


def _process_seconds(pid: int) -> float:
    """Return user and system time of another process; 0 where the system has no /proc, or none for it any more."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_memory_bytes() -> int | None:
    """Return the most memory that this process ever held in RAM; None where the system does not say.

    Unlike `ru_maxrss`, it holds nothing of the process that started this one.
    """
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), None)


def give_way() -> None:
    """Let all other work go first: lowest priority, threads that sleep while they wait, first to go without memory.

    Comes before PyTorch is imported, whose OpenMP reads its settings once and whose threads inherit the priority. Linux
    shares the processor between sessions before it looks at priorities, so a process that leads its own session lowers
    that too; in a shell's session it would slow the shell down.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("KMP_BLOCKTIME", "0")
    os.nice(_LOWEST_NICE)
    if sys.platform != "linux":
        return
    if os.getsid(0) == os.getpid():
        _tell("/proc/self/autogroup", _LOWEST_NICE)
    score = Path("/proc/self/oom_score_adj")
    if score.exists() and int(score.read_text()) < _OOM_SCORE:
        _tell(score, _OOM_SCORE)


def _tell(path: str | Path, value: int) -> None:
    # Containers mount these read-only, older kernels lack them: the priority alone then has to do.
    with contextlib.suppress(OSError):
        Path(path).write_text(str(value))


def keep_freed_memory() -> None:
    """Let glibc keep what PyTorch frees on the CPU.

    It returns large blocks to the system at once and every step then faults them in again: 0.38 s a sample in
    place of 0.21 at 256² on two cores. Holes between blocks pile up over hours: see `return_freed_memory`.
    """
    libc = _glibc()
    if libc is not None:
        libc.mallopt(_M_MMAP_MAX, 0)
        libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def return_freed_memory() -> None:
    """Give all freed memory back to the system, holes between blocks included; the next step takes it anew."""
    libc = _glibc()
    if libc is not None:
        libc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    return libc if libc is not None and hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim") else None
