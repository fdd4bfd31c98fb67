from pathlib import Path

import pytest

from tests.runtime.cuda.host import COMPILER, HostCuda


@pytest.fixture(scope="session")
def host_cuda(shared: Path) -> HostCuda:
    """The host as a device; its kernels are built once for all parallel workers."""
    if COMPILER is None:
        pytest.skip("no C++ compiler on this machine")
    return HostCuda(shared / "host-kernels")
