"""What TensorRT for RTX compiles is kept, refused, written and freed as it should be, by a stand-in of the library."""

import dataclasses
import weakref
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from litematting_deploy.engines import DeviceEngine, Gpu
from litematting_deploy.engines.base import CHANNELS
from litematting_deploy.engines.tensorrt import runner
from litematting_deploy.engines.tensorrt import version as trt
from litematting_deploy.engines.tensorrt.runner import TensorRTArtefact

ADA = Gpu(0, "an RTX 4090", (8, 9), 1)
ADDRESSES = dict.fromkeys(CHANNELS, 4096)


class Library:
    """The part of tensorrt_rtx that runs engines. refuses: caches that it does not take. freed: in order."""

    CudaGraphStrategy = SimpleNamespace(WHOLE_GRAPH_CAPTURE=1)
    DynamicShapesKernelSpecializationStrategy = SimpleNamespace(EAGER=1)

    def __init__(self, scratch: str = "device_memory_size_v2") -> None:
        self.refuses: set[bytes] = set()
        self.freed: list[str] = []
        self.scratch = scratch

    def Runtime(self, _: Any) -> Any:  # noqa: N802  # as TensorRT calls it
        return SimpleNamespace(deserialize_cuda_engine=lambda _: Engine(self))


class Engine:
    num_io_tensors = len(CHANNELS)

    def __init__(self, library: Library) -> None:
        self._library = library
        setattr(self, library.scratch, 1000)

    def get_tensor_name(self, index: int) -> str:
        return list(CHANNELS)[index]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return (-1, CHANNELS[name], 64, 64)

    def get_tensor_dtype(self, _: str) -> Any:
        return SimpleNamespace(name="FLOAT")

    def get_tensor_mode(self, name: str) -> Any:
        return SimpleNamespace(name="OUTPUT" if name == "alpha" else "INPUT")

    def get_tensor_format(self, _: str) -> Any:
        return SimpleNamespace(name="LINEAR")

    def get_tensor_profile_shape(self, *_: Any) -> list[tuple[int, ...]]:
        return [(1, 3, 64, 64), (1, 3, 64, 64), (4, 3, 64, 64)]

    def create_runtime_config(self) -> Any:
        return SimpleNamespace(create_runtime_cache=lambda: Cache(self._library), set_runtime_cache=lambda _: True)

    def create_execution_context(self, _: Any = None) -> Any:
        context = Context()
        weakref.finalize(context, self._library.freed.append, "context")
        return context


class Context:
    def __getattr__(self, _: str) -> Callable[..., bool]:
        return lambda *_: True


class Cache:
    def __init__(self, library: Library) -> None:
        self._library, self._content = library, b"compiled"
        weakref.finalize(self, library.freed.append, "cache")

    def deserialize(self, content: bytes) -> bool:
        return content not in self._library.refuses

    def serialize(self) -> bytes:
        return self._content


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Library:
    """A stand-in that loads any file as an engine, on a machine with driver 580.1 and an empty cache folder."""
    stand_in = Library()
    rtx = dataclasses.replace(trt.load("tensorrt-rtx", "a test"), module=stand_in)
    monkeypatch.setattr(trt, "load", lambda *_: rtx)
    monkeypatch.setattr(trt, "installed_backend", lambda: "tensorrt-rtx")
    monkeypatch.setattr(runner, "driver_version", lambda: "580.1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "m.engine").write_bytes(b"engine")
    return stand_in


@pytest.fixture
def opened(library: Library, tmp_path: Path) -> Callable[..., DeviceEngine]:
    assert trt.load("tensorrt-rtx", "").module is library

    def load(gpu: Gpu = ADA, batch: int | None = None) -> DeviceEngine:
        return TensorRTArtefact(tmp_path / "m.engine", trust=True).open(gpu, batch)

    return load


def kept(folder: Path) -> set[Path]:
    return set((folder / "cache").rglob("*.bin"))


def test_it_is_written_after_the_first_run_of_each_number_of_patches_and_at_the_end(
    opened: Callable[..., Any], tmp_path: Path
) -> None:
    engine = opened(batch=4)
    assert kept(tmp_path) == set()
    engine.enqueue(ADDRESSES, 1)
    (path,) = kept(tmp_path)
    assert path.read_bytes() == b"compiled"
    engine._cache._cache._content = b"compiled later"
    engine.enqueue(ADDRESSES, 1)
    assert path.read_bytes() == b"compiled", "once is enough while it runs"
    engine.enqueue(ADDRESSES, 1, 3)
    assert path.read_bytes() == b"compiled later", "a tail has kernels of its own"
    engine._cache._cache._content = b"compiled last"
    for count in (4, 3):
        engine.enqueue(ADDRESSES, 1, count)
    assert path.read_bytes() == b"compiled later"
    engine.close()
    assert path.read_bytes() == b"compiled last"


def test_each_product_and_driver_has_its_own(
    opened: Callable[..., DeviceEngine], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened().close()
    opened(dataclasses.replace(ADA, name="an RTX 4060")).close()
    assert len(kept(tmp_path)) == 2, "both have 8.9"
    monkeypatch.setattr(runner, "driver_version", lambda: "590.1")
    opened().close()
    assert len(kept(tmp_path)) == 3
    opened().close()
    assert len(kept(tmp_path)) == 3


def test_a_refusal_is_said_and_the_cache_made_anew(
    library: Library, opened: Callable[..., DeviceEngine], tmp_path: Path
) -> None:
    opened().close()
    (path,) = kept(tmp_path)
    path.write_bytes(b"old")
    library.refuses = {b"old"}
    with pytest.warns(UserWarning, match=r"rtx-sm89-.*\.bin: TensorRT for RTX rejects this cache .* compiles .* again"):
        engine = opened()
    engine.close()
    assert path.read_bytes() == b"compiled"


@pytest.mark.parametrize("closed", [True, False])
def test_the_context_is_freed_before_its_cache(
    library: Library, opened: Callable[..., DeviceEngine], closed: bool
) -> None:
    engine = opened()
    if closed:
        engine.close()
    del engine
    assert library.freed == ["context", "cache"]


def test_tensorrt_10_0_says_its_memory_by_an_older_name(library: Library, opened: Callable[..., DeviceEngine]) -> None:
    library.scratch = "device_memory_size"
    assert opened().device_bytes == 1000 + len(b"engine")
