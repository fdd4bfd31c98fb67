"""The stand-in and its kernels, compiled where the tests run."""

import re
from pathlib import Path

from litematting_deploy.runtime.cuda.kernels import source
from tests.runtime.cuda.host import FLAGS, SHIM, built, signatures
from tests.runtime.cuda.standin.network import SOURCE

_HERE = Path(__file__).parent
_FLAGS = ("-shared", "-fPIC", "-O1", "-std=c++20", "-Wall", "-Wextra", "-Werror", "-Wl,-soname,libcuda.so.1")
_WATCHED = (*FLAGS, "-fsanitize=thread", "-nodefaultlibs")  # calls at each access, which are ours: not its library
_INCLUDED = re.compile(r'#pragma once|#include "\w+\.h"')
_LAUNCHER = """
extern "C" {{
const char* types_{name} = "{types}";
UNWATCHED void launch_{name}(const unsigned* g, const unsigned* b, void* const* values, Launch* launch) {{
    launched = launch;
    gridDim = {{g[0], g[1], g[2]}}; blockDim = {{b[0], b[1], b[2]}};
    for (blockIdx.z = 0; blockIdx.z < g[2]; ++blockIdx.z) for (blockIdx.y = 0; blockIdx.y < g[1]; ++blockIdx.y)
    for (blockIdx.x = 0; blockIdx.x < g[0]; ++blockIdx.x) for (threadIdx.z = 0; threadIdx.z < b[2]; ++threadIdx.z)
    for (threadIdx.y = 0; threadIdx.y < b[1]; ++threadIdx.y) for (threadIdx.x = 0; threadIdx.x < b[0]; ++threadIdx.x)
        {name}({arguments});
}}
}}
"""


def build_driver(folder: Path) -> Path:
    """The folder that has `libcuda.so.1`. All sources are compiled as one, which takes half the time."""
    texts = _texts("driver.h", "touched.h", *sorted(path.name for path in _HERE.glob("*.cpp")))
    library = built(folder, texts, _FLAGS)
    home = library.with_suffix("")
    home.mkdir(exist_ok=True)
    link = home / "libcuda.so.1"
    if not link.exists():
        link.symlink_to(library)
    return home


def build_kernels(folder: Path) -> list[Path]:
    """Libraries of our kernels and of the network, which call functions of ours at each access to memory."""
    return [built(folder, _watched(code), _WATCHED) for code in (source(), SOURCE)]


def _texts(*names: str) -> str:
    """Files of this folder one behind the other, which include none of each other any more."""
    return "".join(_INCLUDED.sub("", (_HERE / name).read_text()) for name in names)


def _watched(code: str) -> str:
    """The source for the host, with a way in for each kernel."""
    launchers = (_launcher(*item) for item in signatures(code).items())
    return _texts("touched.h", "instrumented.h") + SHIM + code + "".join(launchers)


def _launcher(name: str, parameters: list[str]) -> str:
    kinds = [re.split(r"\w+$", parameter.replace("__restrict__", ""))[0].strip() for parameter in parameters]
    types = "".join("p" if "*" in kind else {"int": "i", "float": "f"}[kind] for kind in kinds)
    arguments = (f"*({kind}*)values[{index}]" for index, kind in enumerate(kinds))
    return _LAUNCHER.format(name=name, types=types, arguments=", ".join(arguments))
