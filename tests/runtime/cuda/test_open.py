"""Errors on a machine without a driver or without the packages."""

import subprocess
import sys
from ctypes.util import find_library

import pytest

from litematting_deploy._optional import install
from litematting_deploy.errors import DeviceError
from litematting_deploy.runtime.cuda import open_cuda
from litematting_deploy.runtime.cuda.protocol import no_such_device
from tests.conftest import ROOT

SCRIPT = """
import os, sys
sys.path.insert(0, "tests/blocked")
import sitecustomize
from litematting_deploy.errors import LiteMattingError
from litematting_deploy.runtime.cuda import open_cuda
try:
    open_cuda()
except LiteMattingError as error:
    print(type(error).__name__, error)
"""


@pytest.mark.skipif(find_library("cuda") is not None, reason="this machine has NVIDIA's driver")
def test_no_driver_is_one_line() -> None:
    pytest.importorskip("cuda.bindings.driver", reason="cuda-bindings is not installed")
    with pytest.raises(
        DeviceError, match=r"^no CUDA driver \(libcuda\.so\.1\); install NVIDIA's driver.*`device=cpu`$"
    ):
        open_cuda()


def test_a_missing_package_names_its_extra() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=ROOT,
        env={"LTM_BLOCK": "cuda"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == (
        f"DependencyError running on a GPU needs cuda.bindings, which is not installed: {install('cuda13')}\n"
    )


def test_a_wrong_index_says_which_devices_are_there() -> None:
    assert str(no_such_device(3, 1)) == "no CUDA device 3: only cuda:0 exists"
    assert str(no_such_device(3, 2)) == "no CUDA device 3: there are 2, cuda:0 to cuda:1"
    assert "no CUDA device; check with nvidia-smi" in str(no_such_device(0, 0))


def test_importing_the_runtime_imports_no_cuda() -> None:
    # Packages for CUDA 12 are already looked at when Python starts, by a .pth file of theirs.
    code = "import sys; there = {*sys.modules}; import litematting_deploy.runtime; print(*({*sys.modules} - there))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "litematting_deploy.runtime" in done.stdout
    assert not {name.split(".")[0] for name in done.stdout.split()} & {"cuda"}
