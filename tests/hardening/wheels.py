"""What the wheel of onnxruntime-gpu needs of TensorRT, held against the pins of the extra `gpu-trt`. No test: 256 MB.

    python tests/hardening/wheels.py [onnxruntime_gpu-....whl]

Downloads what pip finds for the extra, unless a wheel is given, and needs readelf and objdump. Exits with 1 for a pin
that does not fit.
"""

import configparser
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from packaging.requirements import Requirement

PROVIDER = "onnxruntime/capi/libonnxruntime_providers_tensorrt.so"
# The version of the headers that it was built with goes to TensorRT with every call that opens it.
_BUILT_WITH = re.compile(r"mov +\$0x([0-9a-f]{5}),%esi\n(?:[^\n]*\n)?[^\n]*call[^\n]*<createInfer\w+_INTERNAL@plt>")


def pins(extra: str = "gpu-trt") -> dict[str, Requirement]:
    """Return the requirements of an extra by name."""
    config = configparser.ConfigParser()
    config.read(Path(__file__).parents[2] / "setup.cfg")
    found = map(Requirement, config["options.extras_require"][extra].strip().splitlines())
    return {requirement.name: requirement for requirement in found}


def main(arguments: list[str]) -> int:
    """Read the wheel, print what it needs, and say which pin does not fit."""
    wanted = pins()
    onnxruntime, tensorrt = wanted["onnxruntime-gpu"], wanted["tensorrt-cu13-libs"].specifier
    with tempfile.TemporaryDirectory() as folder:
        if not arguments:
            command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", folder, str(onnxruntime)]
            subprocess.run(command, check=True)
        wheel = Path(arguments[0]) if arguments else next(Path(folder).glob("*.whl"))
        version = wheel.name.split("-")[1]
        with zipfile.ZipFile(wheel) as archive:
            library = archive.extract(PROVIDER, folder)
        needed = re.findall(r"\(NEEDED\).*\[(.*)\]", run("readelf", "-d", library))
        built = {int(number, 16) for number in _BUILT_WITH.findall(run("objdump", "-d", "--no-show-raw-insn", library))}
    least = ".".join(str(max(built) // unit % 100) for unit in (10000, 100, 1))
    (major,) = (name.rpartition(".")[2] for name in needed if name.startswith("libnvinfer.so."))
    print(f"onnxruntime-gpu {version} needs {', '.join(needed)}; built with TensorRT {least}; pinned {tensorrt}")
    fits = {
        f"onnxruntime-gpu {version} is not what the extra takes": version in onnxruntime.specifier,
        f"TensorRT {least} is refused": least in tensorrt,
        "an older TensorRT than it was built with is taken": f"{major}.0.1" not in tensorrt,
        f"TensorRT {int(major) + 1} is taken": f"{int(major) + 1}.0.0.114" not in tensorrt,
        "another CUDA than 13": "libcudart.so.13" in needed,
    }
    for words in (wrong := [words for words, right in fits.items() if not right]):
        print(f"wheels: {words}")
    return 1 if wrong else 0


def run(*command: str) -> str:
    """Return what a command prints."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
