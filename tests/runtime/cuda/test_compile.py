"""NVRTC, which needs no device, and the cache."""

from pathlib import Path

import pytest

from litematting_deploy.errors import DependencyError, DeviceError
from litematting_deploy.runtime.cuda import compile as compiling
from litematting_deploy.runtime.cuda.compile import compiled
from litematting_deploy.runtime.cuda.kernels import NAMES, source

pytest.importorskip("cuda.bindings.nvrtc", reason="cuda-bindings is not installed")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "litematting-deploy"


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Kinds of what is compiled from now on."""
    kinds: list[str] = []
    original = compiling._compile

    def counted(nvrtc: object, source: str, options: tuple[bytes, ...], kind: str) -> bytes:
        kinds.append(kind)
        return original(nvrtc, source, options, kind)

    monkeypatch.setattr(compiling, "_compile", counted)
    return kinds


@pytest.mark.parametrize(
    "capability", [(7, 5), (8, 0), (8, 6), (8, 7), (8, 9), (9, 0), (10, 0), (12, 0)], ids=lambda c: f"{c[0]}.{c[1]}"
)
def test_every_kernel_compiles_for(capability: tuple[int, int]) -> None:
    code = compiled(source(), capability)
    assert code.startswith(b"\x7fELF")
    assert all(name.encode() in code for name in NAMES)


def test_a_device_newer_than_nvrtc_gets_ptx(compilations: list[str]) -> None:
    code = compiled(source(), (99, 0))
    assert code.endswith(b"\0")  # the driver reads it as a C string
    assert b".target sm_" in code
    assert compilations == ["PTX"]


def test_a_device_older_than_nvrtc_is_told_what_to_install() -> None:
    with pytest.raises(DeviceError, match=r"capability 2\.0 is older than .*\[cuda12\]"):
        compiled(source(), (2, 0))


def test_the_second_time_nothing_is_compiled(compilations: list[str], cache: Path) -> None:
    first = compiled(source(), (8, 9))
    assert compiled(source(), (8, 9)) == first
    assert compilations == ["CUBIN"]
    assert len(list(cache.iterdir())) == 1
    compiled(source(), (8, 6))
    compiled(source() + "\n", (8, 9))
    assert len(compilations) == len(list(cache.iterdir())) == 3


@pytest.mark.parametrize("damage", [b"", b"short", None])
def test_a_damaged_file_is_compiled_again(compilations: list[str], cache: Path, damage: bytes | None) -> None:
    first = compiled(source(), (8, 9))
    (path,) = cache.iterdir()
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]) if damage is None else damage)
    assert compiled(source(), (8, 9)) == first
    assert len(compilations) == 2
    assert path.read_bytes() == content


def test_a_cache_that_cannot_be_written_costs_only_time(compilations: list[str], cache: Path) -> None:
    cache.write_text("a file where the folder should be")  # also for root, who may write to any folder
    assert compiled(source(), (8, 9)) == compiled(source(), (8, 9))
    assert len(compilations) == 2


def test_errors_show_what_nvrtc_says() -> None:
    with pytest.raises(DeviceError, match=r"sm_89\): kernels\.cu\(1\): error: .*") as caught:
        compiled('extern "C" __global__ void broken() { nonsense; }', (8, 9))
    assert "nonsense" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_without_nvrtc_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> None:
        raise RuntimeError("Failure finding libnvrtc.so")  # as cuda.bindings says it

    monkeypatch.setattr("cuda.bindings.nvrtc.nvrtcVersion", missing)
    with pytest.raises(DependencyError, match=r"needs NVRTC .*\[cuda13\]'"):
        compiled(source(), (8, 9))


def test_no_barriers_shared_memory_or_atomics_and_no_contraction() -> None:
    entries = compiled(source(), (99, 0)).split(b".entry ")
    assert len(entries) == 1 + len(NAMES)
    for entry in entries:
        assert not any(word in entry for word in (b"bar.", b".shared", b"atom.", b"red."))
        assert entry.startswith(b"gather(") or b"fma." not in entry  # expf has its own
