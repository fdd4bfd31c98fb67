from tests.runtime.conftest import host_cuda

__all__ = ["host_cuda"]
