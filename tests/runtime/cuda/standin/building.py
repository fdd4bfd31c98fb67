"""The stand-in and its kernels, compiled where the tests run."""

import re
from pathlib import Path

from litematting_deploy.runtime.cuda.kernels import source
from tests.runtime.cuda.host import FLAGS, SHIM, built, signatures
from tests.runtime.cuda.standin.network import SOURCE

_HERE = Path(__file__).parent
_FLAGS = ("-shared", "-fPIC", "-O1", "-std=c++20", "-Wall", "-Wextra", "-Werror", "-Wl,-soname,libcuda.so.1")
_POINTER = re.compile(r"(const\s+)?(\w+)\s*\*\s*__restrict__\s+(\w+)")
_LAUNCHER = """
extern "C" {{
const char* types_{name} = "{types}";
void launch_{name}(const unsigned* g, const unsigned* b, void* const* values, Reach* reaches) {{
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
    texts = [(_HERE / "driver.h").read_text(), (_HERE / "span.h").read_text()]
    texts += [path.read_text() for path in sorted(_HERE.glob("*.cpp"))]
    own = re.compile(r'#pragma once|#include "\w+\.h"')
    library = built(folder, "".join(own.sub("", text) for text in texts), _FLAGS)
    home = library.with_suffix("")
    home.mkdir(exist_ok=True)
    link = home / "libcuda.so.1"
    if not link.exists():
        link.symlink_to(library)
    return home


def build_kernels(folder: Path) -> list[Path]:
    """Libraries of our kernels and of the network, in which each pointer knows what may be touched."""
    return [built(folder, _checked(code), (*FLAGS, "-std=c++17")) for code in (source(), SOURCE)]


def _checked(code: str) -> str:
    """The source for the host, with a way in for each kernel."""
    spans = _POINTER.sub(lambda found: f"Span<{found[1] or ''}{found[2]}> {found[3]}", code)
    header = (_HERE / "span.h").read_text().replace("#pragma once", "")
    return SHIM + header + spans + "".join(_launcher(*item) for item in signatures(spans).items())


def _launcher(name: str, parameters: list[str]) -> str:
    arguments, types = [], ""
    for index, parameter in enumerate(parameters):
        kind = parameter.rpartition(" ")[0]
        types += "p" if kind.startswith("Span") else {"int": "i", "float": "f"}[kind]
        value = f"{kind}{{&reaches[{index}]}}" if types[-1] == "p" else f"*static_cast<const {kind}*>(values[{index}])"
        arguments.append(value)
    return _LAUNCHER.format(name=name, types=types, arguments=", ".join(arguments))
