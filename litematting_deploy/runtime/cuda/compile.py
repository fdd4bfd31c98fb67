"""CUDA C++ to device code with NVRTC, kept in the user's cache folder."""

import hashlib
from typing import Any

from ..._optional import install, require
from ...errors import DependencyError, DeviceError
from ...files import keep_cached, read_cached

# Without contraction of multiply and add, the kernels' sums have NumPy's bits.
_OPTIONS = (b"--fmad=false", b"--std=c++17")
_HASH_BYTES = 32


def compiled(source: str, capability: tuple[int, int]) -> bytes:
    """Return device code of CUDA C++ for a compute capability such as (8, 9), from the cache, or compiled and kept.

    A cubin; PTX of the newest architecture that NVRTC knows for a device that is newer still, which the driver compiles
    when it is loaded. Raises `DependencyError` without NVRTC and `DeviceError` for what it cannot compile.
    """
    nvrtc = require("cuda.bindings.nvrtc", "cuda13", "compiling kernels")
    try:
        version = _call(nvrtc, "nvrtcVersion")
    except RuntimeError as error:  # cuda.bindings finds its library at the first call
        raise DependencyError(
            f"compiling kernels needs NVRTC (libnvrtc), which was not found: {install('cuda13')}"
        ) from error
    kind = _architecture(nvrtc, version, capability)
    options = (f"--gpu-architecture={kind}".encode(), *_OPTIONS)
    key = hashlib.sha256(repr((source, options, version)).encode()).hexdigest()
    name = f"kernels-{kind}-{key[:32]}.bin"
    kept = read_cached(name)
    digest, code = kept[:_HASH_BYTES], kept[_HASH_BYTES:]
    if hashlib.sha256(code).digest() != digest:  # none is there, or what is there is damaged
        code = _compile(nvrtc, source, options, "CUBIN" if kind.startswith("sm") else "PTX")
        keep_cached(name, hashlib.sha256(code).digest() + code)
    return code


def _architecture(nvrtc: Any, version: tuple[int, int], capability: tuple[int, int]) -> str:
    """Return what to compile for: `sm_89`, or `compute_121` where the device is newer than NVRTC."""
    wanted = 10 * capability[0] + capability[1]
    known = sorted(_call(nvrtc, "nvrtcGetSupportedArchs"))
    if wanted in known:
        return f"sm_{wanted}"
    older = [architecture for architecture in known if architecture < wanted]
    if not older:
        raise DeviceError(
            f"compute capability {capability[0]}.{capability[1]} is older than {known[0] / 10}, the oldest that NVRTC "
            f"{version[0]}.{version[1]} compiles for: {install('cuda12')}"
        )
    return f"compute_{older[-1]}"


def _compile(nvrtc: Any, source: str, options: tuple[bytes, ...], kind: str) -> bytes:
    """Return what NVRTC makes of a source. kind: `CUBIN` or `PTX`. Raises `DeviceError` with NVRTC's own words."""
    program = _call(nvrtc, "nvrtcCreateProgram", source.encode(), b"kernels.cu", 0, [], [])
    try:
        (status,) = nvrtc.nvrtcCompileProgram(program, len(options), list(options))
        if status != nvrtc.nvrtcResult.NVRTC_SUCCESS:
            log = bytearray(_call(nvrtc, "nvrtcGetProgramLogSize", program))
            _call(nvrtc, "nvrtcGetProgramLog", program, log)
            words = "; ".join(filter(None, (line.strip(" ^") for line in log.rstrip(b"\0").decode().splitlines())))
            raise DeviceError(f"kernels.cu does not compile ({options[0].decode()}): {words}")
        code = bytearray(_call(nvrtc, f"nvrtcGet{kind}Size", program))
        _call(nvrtc, f"nvrtcGet{kind}", program, code)
    finally:
        _call(nvrtc, "nvrtcDestroyProgram", program)
    return bytes(code)


def _call(nvrtc: Any, name: str, *arguments: Any) -> Any:
    """Return what an NVRTC function returns beside its status, which is checked."""
    status, *results = getattr(nvrtc, name)(*arguments)
    if status != nvrtc.nvrtcResult.NVRTC_SUCCESS:
        raise DeviceError(f"{name}: {status.name}; reinstall NVRTC: {install('cuda13')}")
    return results[0] if len(results) == 1 else tuple(results)
