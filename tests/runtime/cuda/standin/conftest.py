from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runtime.cuda.host import COMPILER
from tests.runtime.cuda.standin.building import build_driver, build_kernels
from tests.runtime.cuda.standin.worker import Worker


@pytest.fixture(scope="session")
def standin(shared: Path) -> Iterator[Worker]:
    """A process with the stand-in as its driver; the libraries are built once for all parallel workers."""
    if COMPILER is None:
        pytest.skip("no C++ compiler on this machine")
    pytest.importorskip("cuda.bindings.driver", reason="cuda-bindings is not installed")
    folder = shared / "stand-in"
    worker = Worker(build_driver(folder), build_kernels(folder), folder / "cache")
    yield worker
    worker.close()
