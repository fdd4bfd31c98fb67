"""This machine and its system: processor, GPUs, time, memory, priority, signals, names of files.

The one place that asks which system it runs on: what psutil does not know, Linux answers through /proc. The rest of the
package calls these functions, and a test keeps it so.
"""

import contextlib
import ctypes
import functools
import os
import platform
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_LOWEST_NICE, _OOM_SCORE = 19, 800
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
# The widest first: what a processor has decides how fast it trains.
_INSTRUCTION_SETS = ("amx_bf16", "avx512_bf16", "avx512f", "avx2", "avx", "sse4_2", "sve", "asimd")
_BF16 = ("amx_bf16", "avx512_bf16")
_GPU_FIELDS = ("name", "driver_version", "memory.total", "clocks.sm", "clocks.mem")
_GPU_PATIENCE_S = 20
_GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
_NOT_BUSY = ("idle", "iowait", "guest", "guest_nice")  # Linux counts the time of guests in that of the user as well
_WINDOWS_DEVICE = re.compile(r"CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(COM|LPT)[0-9¹²³]", re.IGNORECASE)
_WINDOWS_CRASH = 0xC0000000  # exit codes from here on are exceptions of the system, such as an access violation
_HELD = (5, 32, 33)  # what Windows answers where another program has a file open


def is_system(name: str) -> bool:
    """Return whether this is the system of a name in Python's words: linux, darwin or win32."""
    return sys.platform == name


def system_name() -> str:
    """Return the system and its architecture, such as "Linux x86_64"."""
    return f"{platform.system()} {platform.machine()}"


def _psutil() -> Any:
    """Return psutil, which takes a few milliseconds of a start; not typed, as what it has differs by system."""
    import psutil

    return psutil


def cpuinfo(key: str) -> str:
    """Return what /proc/cpuinfo says of the first core under `key`; nothing where it says nothing."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == key), "")


def processor_name() -> str:
    """Return the processor's name, or its architecture where the system does not name it."""
    named = cpuinfo("model name")
    if sys.platform == "darwin":
        named = subprocess.run(
            ["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True, check=False
        ).stdout.strip()
    elif sys.platform == "win32":
        named = _windows_processor()
    return named or platform.processor() or platform.machine()


def _windows_processor() -> str:
    """Return the processor's name from the registry, which no library at hand reads."""
    name = ""
    if sys.platform == "win32":
        import winreg

        with (
            contextlib.suppress(OSError),
            winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, r"HARDWARE\DESCRIPTION\System\CentralProcessor\0") as key,
        ):
            name = str(winreg.QueryValueEx(key, "ProcessorNameString")[0]).strip()
    return name


def core_count() -> int:
    """Return the number of cores that this process may use."""
    if sys.platform == "linux":
        count = len(os.sched_getaffinity(0))
    elif sys.platform == "win32":
        count = len(_psutil().Process().cpu_affinity())
    else:  # macOS binds no process to cores
        count = os.cpu_count() or 1
    return count


def cpu_mhz() -> float | None:
    """Return the present clock of the first core in MHz; None where Linux does not say, and elsewhere."""
    clock = cpuinfo("cpu MHz")
    return float(clock) if clock else None


def governor() -> str | None:
    """Return how Linux chooses the processor's clock, such as "performance"; None where it does not say."""
    return _GOVERNOR.read_text().strip() if _GOVERNOR.exists() else None


def load() -> float | None:
    """Return the mean number of processes that wanted to run in the last minute; None on Windows, which has none."""
    mean = None
    if sys.platform != "win32":
        mean = round(os.getloadavg()[0], 2)
    return mean


def busy_seconds() -> float:
    """Return the time that all processors of the machine together have worked."""
    times = _psutil().cpu_times()
    return float(sum(times) - sum(getattr(times, name, 0.0) for name in _NOT_BUSY))


def gpus() -> list[dict[str, str]]:
    """Return name, driver, memory and present clocks of each NVIDIA GPU in the words of `nvidia-smi`; none without it.

    Keys: name, driver_version, memory.total, clocks.sm, clocks.mem.
    """
    command = shutil.which("nvidia-smi")
    if command is None:
        return []
    query = [command, f"--query-gpu={','.join(_GPU_FIELDS)}", "--format=csv,noheader"]
    try:
        answer = subprocess.run(
            query, capture_output=True, text=True, encoding="utf-8", check=False, timeout=_GPU_PATIENCE_S
        )
    except subprocess.TimeoutExpired:  # a driver hangs
        return []
    rows = [line.split(", ") for line in answer.stdout.splitlines()] if answer.returncode == 0 else []
    return [dict(zip(_GPU_FIELDS, row, strict=True)) for row in rows]


def cuda_driver_library() -> str:
    """Return the name of the library that NVIDIA's driver brings for CUDA."""
    return "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"


def has_nvidia_driver() -> bool:
    """Return whether NVIDIA's driver is installed, without loading anything of it."""
    if sys.platform == "win32":
        marks = (os.path.join(os.environ.get("SYSTEMROOT", r"C:\Windows"), "System32", "nvcuda.dll"),)
    else:  # of Linux, and of Linux inside Windows
        marks = ("/proc/driver/nvidia/version", "/dev/dxg")
    return any(map(os.path.exists, marks))


def driver_version() -> str:
    """Return the version of NVIDIA's driver, such as 580.95.05, as its management library says; nothing without it."""
    try:
        nvml = ctypes.CDLL("nvml.dll" if sys.platform == "win32" else "libnvidia-ml.so.1")
    except OSError:
        return ""
    version = ctypes.create_string_buffer(80)
    known = nvml.nvmlInit_v2() == 0 and nvml.nvmlSystemGetDriverVersion(version, len(version)) == 0
    return version.value.decode() if known else ""


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
    import multiprocessing  # a few milliseconds of every start, and only training asks

    times = os.times()
    ended = times.user + times.system + times.children_user + times.children_system
    alive = (_process_seconds(child.pid) for child in multiprocessing.active_children() if child.pid)
    return ended + sum(alive)


def _process_seconds(pid: int) -> float:
    """Return user and system time of another process; 0 where it has ended."""
    psutil = _psutil()
    with contextlib.suppress(psutil.Error):
        times = psutil.Process(pid).cpu_times()
        return float(times.user + times.system)
    return 0.0


def since_start_s() -> float:
    """Return the seconds since this process was started, by the system's clock; Linux's ticks are 10 ms."""
    if sys.platform == "linux":
        now_s = time.clock_gettime(time.CLOCK_BOOTTIME)  # the clock of the times in /proc
    else:
        now_s = time.time()
    return now_s - _started_s()


@functools.cache
def _started_s() -> float:
    """Return when this process was started, by the clock of `since_start_s`."""
    if sys.platform == "linux":  # psutil adds the time of the start of the system, which is of whole seconds
        # The second field, the name of the process, may hold spaces itself.
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        started_s = int(fields[19]) / os.sysconf("SC_CLK_TCK")
    else:
        started_s = float(_psutil().Process().create_time())
    return started_s


def memory_bytes() -> int:
    """Return the RAM of this machine."""
    return int(_psutil().virtual_memory().total)


def peak_memory_bytes() -> int | None:
    """Return the most memory that this process ever held in RAM; None where the system does not say.

    Unlike Linux's `ru_maxrss`, it holds nothing of the process that started this one.
    """
    peak = None
    if sys.platform == "win32":
        peak = int(_psutil().Process().memory_info().peak_wset)
    elif sys.platform == "darwin":
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # in bytes there
    else:
        status = Path("/proc/self/status")
        lines = status.read_text().splitlines() if status.exists() else []
        peak = next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), None)
    return peak


def held_memory_bytes() -> int:
    """Return the memory that this process holds in RAM and only its end gives back.

    On Linux without the pages of mapped files, which the system drops when it needs room.
    """
    memory = _psutil().Process().memory_info()
    return int(memory.rss - getattr(memory, "shared", 0))


def give_way() -> None:
    """Let all other work go first: lowest priority, threads that sleep while they wait, first to go without memory.

    Comes before PyTorch is imported, whose OpenMP reads its settings once and whose threads inherit the priority. Linux
    shares the processor between sessions before it looks at priorities, so a process that leads its own session lowers
    that too; in a shell's session it would slow the shell down.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("KMP_BLOCKTIME", "0")
    psutil = _psutil()
    psutil.Process().nice(psutil.IDLE_PRIORITY_CLASS if sys.platform == "win32" else _LOWEST_NICE)
    if sys.platform == "linux":
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


def ending_signals() -> tuple[signal.Signals, ...]:
    """Return the signals other than Ctrl-C that ask a process to end, as when its terminal or console is closed."""
    if sys.platform == "win32":
        closed = signal.SIGBREAK  # which the C library makes of the closing of a console, too
    else:
        closed = signal.SIGHUP
    return signal.SIGTERM, closed


def crash_of(code: int) -> str:
    """Return what ended a process that crashed, in words; nothing for a code that it returned itself."""
    if code < 0:
        return f"by signal {-code}: {signal.strsignal(-code)}"
    return f"by the system, with {code:#010x}" if sys.platform == "win32" and code >= _WINDOWS_CRASH else ""


def user_cache() -> Path:
    """Return the folder of this user where programs keep what they can make again."""
    if sys.platform == "win32":
        own = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        own = Path.home() / "Library" / "Caches"
    else:
        own = Path.home() / ".cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or own)


def why_no_name(name: str) -> str:
    """Return why no file of this system can have a name, in words; nothing where one can.

    Windows opens a device for some names whatever their ending, and drops spaces and dots at the end without a word.
    """
    why = ""
    if sys.platform == "win32":
        device = name.partition(".")[0].rstrip(" ")
        if _WINDOWS_DEVICE.fullmatch(device):
            why = f"{device} is a Windows device, not a file"
        elif refused := sorted({sign for sign in name if sign in '<>:"/\\|?*' or ord(sign) < 32}):
            why = f"Windows does not allow {' '.join(map(repr, refused))} in file names"
        elif name != name.rstrip(" ."):
            why = "Windows removes spaces and dots from the end of file names"
    return why


def is_held(error: OSError) -> bool:
    """Return whether a file cannot be replaced or removed because a program has it open, as Windows alone refuses."""
    return getattr(error, "winerror", None) in _HELD


def command_line(words: Sequence[str]) -> str:
    """Return a command as the system's own shell takes it."""
    return subprocess.list2cmdline(words) if sys.platform == "win32" else shlex.join(words)
