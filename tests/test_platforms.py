"""What `system` asks of Linux, macOS and Windows: each branch, by stand-ins for the system and for psutil."""

import ctypes
import mmap
import ntpath
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path, PureWindowsPath
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

from litematting_deploy import EngineSpec, files, system
from litematting_deploy.benchmarks import environment, report
from litematting_deploy.errors import OutputError, UsageError
from litematting_deploy.jobs import frames

On = Callable[[str], None]
STARTED_S = 1_700_000_000.0


class CpuTimes(NamedTuple):
    """As psutil has them, in seconds."""

    user: float
    system: float
    idle: float


@pytest.fixture
def on(monkeypatch: pytest.MonkeyPatch) -> Iterator[On]:
    """Have `system` run on another system, in Python's word for it."""

    def say(name: str) -> None:
        monkeypatch.setattr(sys, "platform", name)
        system._started_s.cache_clear()

    yield say
    system._started_s.cache_clear()


class Psutil:
    """A stand-in for psutil: a machine of four cores, of which this process may use three. niced: its priorities."""

    Error = LookupError
    IDLE_PRIORITY_CLASS = 64

    def __init__(self) -> None:
        self.niced: list[int] = []

    def Process(self, pid: int | None = None) -> Any:  # noqa: N802  # psutil's name
        if pid == 404:
            raise self.Error("it has ended")
        return SimpleNamespace(
            cpu_affinity=lambda: [0, 1, 3],
            cpu_times=lambda: CpuTimes(2.0, 1.5, 0.0),
            create_time=lambda: STARTED_S,
            memory_info=lambda: SimpleNamespace(peak_wset=123_000_000, rss=100_000_000),
            nice=self.niced.append,
        )

    def cpu_times(self) -> CpuTimes:
        return CpuTimes(100.0, 20.0, 5000.0)

    def virtual_memory(self) -> Any:
        return SimpleNamespace(total=16 * 2**30)


@pytest.fixture
def psutil(monkeypatch: pytest.MonkeyPatch) -> Psutil:
    made = Psutil()
    monkeypatch.setitem(sys.modules, "psutil", made)
    return made


def test_cores(on: On, psutil: Psutil, monkeypatch: pytest.MonkeyPatch) -> None:
    assert psutil
    said = subprocess.run(["nproc"], env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=True)
    assert system.core_count() == int(said.stdout)
    on("win32")
    assert system.core_count() == 3
    on("darwin")
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    assert system.core_count() == 8


def test_the_processor_s_name(on: On, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "cpuinfo", lambda _: "")
    sysctl = tmp_path / "sysctl"
    sysctl.write_text('#!/bin/sh\n[ "$1 $2" = "-n machdep.cpu.brand_string" ] && echo Apple M3\n')
    sysctl.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    on("darwin")
    assert system.processor_name() == "Apple M3"

    class Key:
        def __enter__(self) -> None: ...

        def __exit__(self, *_: object) -> None: ...

    registry: dict[str, Any] = {
        "HKEY_LOCAL_MACHINE": 1,
        "OpenKey": lambda root, path: Key() if (root, path.split("\\")[0]) == (1, "HARDWARE") else pytest.fail(path),
        "QueryValueEx": lambda _, name: (f"{name}: Intel(R) Core(TM)  ", 1),
    }
    monkeypatch.setitem(sys.modules, "winreg", SimpleNamespace(**registry))
    on("win32")
    assert system.processor_name() == "ProcessorNameString: Intel(R) Core(TM)"

    def gone(*_: object) -> None:
        raise OSError("no such key")

    monkeypatch.setitem(sys.modules, "winreg", SimpleNamespace(**registry | {"OpenKey": gone}))
    assert system.processor_name(), "the architecture, at least"


def test_load_and_work_of_the_whole_machine(on: On, psutil: Psutil) -> None:
    assert psutil
    assert system.load() == pytest.approx(os.getloadavg()[0], abs=1)
    for name in ("win32", "darwin"):
        on(name)
        assert system.busy_seconds() == 120.0
    assert system.load() is not None
    on("win32")
    assert system.load() is None


def test_an_environment_without_a_load_is_reported(on: On, psutil: Psutil, monkeypatch: pytest.MonkeyPatch) -> None:
    assert psutil
    here = report.where(environment.describe())
    assert "load " in here
    monkeypatch.setattr(system, "_windows_processor", lambda: "Intel Core")
    on("win32")
    described = environment.describe()
    assert described["memory_gib"] == 16.0
    assert described["cores"] == 3
    assert "load" not in report.where(described)


def test_memory(on: On, psutil: Psutil) -> None:
    assert psutil
    on("darwin")
    assert system.memory_bytes() == 16 * 2**30
    import resource

    assert system.peak_memory_bytes() == resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    on("win32")
    assert system.memory_bytes() == 16 * 2**30
    assert system.peak_memory_bytes() == 123_000_000
    assert system.held_memory_bytes() == 100_000_000


@pytest.mark.skipif(not system.is_system("linux"), reason="elsewhere mapped files are counted, too")
def test_memory_that_a_process_holds_is_without_mapped_files(tmp_path: Path) -> None:
    before = system.held_memory_bytes()
    filled = bytearray(b"\1" * 50_000_000)
    after = system.held_memory_bytes()
    assert 45_000_000 < after - before < 60_000_000
    (tmp_path / "mapped").write_bytes(filled)
    with (tmp_path / "mapped").open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert sum(mapped[::4096]) == len(range(0, 50_000_000, 4096))
        assert abs(system.held_memory_bytes() - after) < 10_000_000


def test_time_since_the_start(on: On, psutil: Psutil, monkeypatch: pytest.MonkeyPatch) -> None:
    assert psutil
    said = subprocess.run(
        ["ps", "-o", "etimes=", "-p", str(os.getpid())], capture_output=True, text=True, check=True
    ).stdout
    assert system.since_start_s() == pytest.approx(int(said), abs=3)
    monkeypatch.setattr(time, "time", lambda: STARTED_S + 7.5)
    for name in ("win32", "darwin"):
        on(name)
        assert system.since_start_s() == 7.5


@pytest.mark.parametrize("name", ["win32", "darwin"])
def test_time_of_living_children(name: str, on: On, psutil: Psutil, monkeypatch: pytest.MonkeyPatch) -> None:
    assert psutil
    on(name)
    alone = system.cpu_seconds()
    children = [SimpleNamespace(pid=1), SimpleNamespace(pid=404), SimpleNamespace(pid=None)]
    monkeypatch.setattr("multiprocessing.active_children", lambda: children)
    assert system.cpu_seconds() - alone == pytest.approx(3.5, abs=0.2)


def test_real_psutil_answers_what_is_asked(on: On) -> None:
    """Each by its own name, as far as Linux has it: `memory_info().peak_wset` is of Windows alone."""
    start = system.since_start_s()
    total = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal"))
    assert system.memory_bytes() == int(total.split()[1]) * 1024
    assert system._process_seconds(os.getpid()) == pytest.approx(time.process_time(), abs=2)
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert system._process_seconds(child.pid) == 0, "it has ended"
    _, *columns = Path("/proc/stat").read_text().split("\n", 1)[0].split()
    user, nice, kernel, _, _, irq, soft_irq, steal, *_ = (int(ticks) / os.sysconf("SC_CLK_TCK") for ticks in columns)
    assert system.busy_seconds() == pytest.approx(user + nice + kernel + irq + soft_irq + steal, abs=5)
    on("win32")
    assert system.core_count() == len(os.sched_getaffinity(0))
    assert system.since_start_s() == pytest.approx(start, abs=3)


@pytest.mark.parametrize("name", ["win32", "darwin"])
def test_giving_way(name: str, on: On, psutil: Psutil, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    monkeypatch.setenv("KMP_BLOCKTIME", "0")
    monkeypatch.setattr(system, "_tell", lambda *_: pytest.fail("that is Linux's"))
    on(name)
    system.give_way()
    assert psutil.niced == [64 if name == "win32" else 19]
    assert system._glibc() is None


def test_signals_that_end_a_command(on: On, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("linux", "darwin"):
        on(name)
        assert system.ending_signals() == (signal.SIGTERM, signal.SIGHUP)
    monkeypatch.delattr(signal, "SIGHUP")
    monkeypatch.setattr(signal, "SIGBREAK", 21, raising=False)
    on("win32")
    assert system.ending_signals() == (signal.SIGTERM, 21)


def test_how_a_process_crashed(on: On) -> None:
    assert system.crash_of(-11) == "by signal 11: Segmentation fault"
    assert system.crash_of(0) == system.crash_of(3) == system.crash_of(0xC0000005) == ""
    on("win32")
    assert system.crash_of(0xC0000005) == "by the system, with 0xc0000005"
    assert system.crash_of(1) == ""


def test_nvidia_s_libraries(on: On, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def load(name: str) -> None:
        asked.append(name)
        raise OSError

    monkeypatch.setattr(ctypes, "CDLL", load)
    monkeypatch.setenv("SYSTEMROOT", str(tmp_path))
    assert (system.cuda_driver_library(), system.driver_version()) == ("libcuda.so.1", "")
    on("win32")
    assert (system.cuda_driver_library(), system.driver_version()) == ("nvcuda.dll", "")
    assert asked == ["libnvidia-ml.so.1", "nvml.dll"]
    assert not system.has_nvidia_driver()
    (tmp_path / "System32").mkdir()
    (tmp_path / "System32" / "nvcuda.dll").touch()
    assert system.has_nvidia_driver()
    on("linux")
    assert system.has_nvidia_driver() == any(map(os.path.exists, ("/proc/driver/nvidia/version", "/dev/dxg")))


def test_where_things_are_kept_that_can_be_made_again(on: On, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    assert files.cache_folder() == Path("/home/me/.cache/litematting-deploy")
    on("darwin")
    assert files.cache_folder() == Path("/home/me/Library/Caches/litematting-deploy")
    on("win32")
    assert files.cache_folder() == Path("/home/me/AppData/Local/litematting-deploy")
    monkeypatch.setenv("LOCALAPPDATA", "/d/local")
    assert files.cache_folder() == Path("/d/local/litematting-deploy")
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert files.cache_folder() == Path("/cache/litematting-deploy")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        *((name, "is a Windows device") for name in ("con", "NUL.png", "com1.tar.gz", "Aux .exr", "LPT³.tif")),
        ("a:b.png", "Windows does not allow ':' in file names"),
        ("a*b?.png", r"Windows does not allow '\*' '\?' in file names"),
        ("a\tb.png", r"Windows does not allow '\\t' in file names"),
        ("alpha.", "removes spaces and dots"),
        ("alpha.png ", "removes spaces and dots"),
    ],
)
def test_names_that_windows_has_no_files_of(name: str, why: str, on: On, tmp_path: Path) -> None:
    files.check_writable(tmp_path / name)
    on("win32")
    with pytest.raises(OutputError, match=f"cannot be written: .*{why}.*; choose another output"):
        files.check_writable(tmp_path / name)


@pytest.mark.parametrize("name", ["console.png", "com.png", "com10.png", ".ltm-0.png", "a b.c.png", "é×.exr", "#.png"])
def test_names_that_windows_has_files_of(name: str, on: On) -> None:
    on("win32")
    assert system.why_no_name(name) == ""


def test_a_command_to_copy(on: On) -> None:
    words = ["ltm-build", r"C:\my models\m.onnx", "--tf32"]
    assert shlex.split(system.command_line(words)) == words
    on("win32")
    assert system.command_line(words) == r'ltm-build "C:\my models\m.onnx" --tf32'


def test_the_system_by_name(on: On) -> None:
    assert system.is_system("linux")
    assert system.system_name() == f"{os.uname().sysname} {os.uname().machine}"
    on("darwin")
    assert system.is_system("darwin")
    assert not system.is_system("linux")


def test_drive_letters_are_no_part_of_patterns_and_no_schemes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "Path", PureWindowsPath)
    pattern = r"C:\shots\50% grey\frame.%04d.exr"
    assert frames.is_many(pattern)
    assert frames.means(pattern, "frame.0012.exr")
    assert not frames.means(pattern, r"C:\shots\50% grey\frame.0012.exr")
    assert not frames.is_many(r"C:\shots\#1\frame.exr")
    assert not EngineSpec(engine=r"C:\models\m.onnx").is_served
    assert EngineSpec(engine="grpc://host/m").is_served


@pytest.mark.parametrize(
    "name", [r"D:\other", "D:other", r"\other", "..\\other", r"\\server\share\x", "C:\\", "a/../.."]
)
def test_recipes_of_others_write_nothing_elsewhere(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the paths of Windows, where a letter or a backslash may lead out, too."""
    monkeypatch.setattr(files, "Path", PureWindowsPath)
    monkeypatch.setattr(files, "os", SimpleNamespace(path=ntpath))
    recipe = PureWindowsPath(r"C:\recipes\mine.toml")
    with pytest.raises(UsageError, match="expected a file in the folder of"):
        files.below(recipe, "folder", name)  # type: ignore[arg-type]
    inside = files.below(recipe, "folder", r"sub\library")  # type: ignore[arg-type]
    assert str(inside) == r"C:\recipes\sub\library"
