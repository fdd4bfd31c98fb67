"""`ltm-demo` as a user starts it."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from litematting_deploy.images.encode import write_image
from tests.browser import browser as browser
from tests.conftest import EXAMPLE
from tests.segmentation.scenes import network

AUDITED = Path(__file__).parent / "audited"
MEGAPIXELS = 0.5


@dataclass(frozen=True)
class Served:
    """A running server. address: with a slash at its end. connections: whom it asked about or connected to."""

    process: "subprocess.Popen[str]"
    address: str
    cwd: Path
    temporary: Path
    connections: Path

    @property
    def host(self) -> str:
        return self.address.split("/")[2]

    @property
    def folder(self) -> Path:
        """Where it keeps what is uploaded."""
        (folder,) = self.temporary.glob("ltm-demo-*")
        return folder


@contextlib.contextmanager
def served(folder: Path, engine: Path, *options: str) -> Iterator[Served]:
    cwd, temporary, connections = folder / "cwd", folder / "tmp", folder / "connections"
    cwd.mkdir(parents=True)
    temporary.mkdir()
    connections.touch()
    command: list[str | Path] = [
        Path(sys.executable).parent / "ltm-demo",
        "--engine",
        engine,
        "--port",
        "0",
        "--no-browser",
        *options,
    ]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, (str(AUDITED), os.environ.get("PYTHONPATH")))),
        "LTM_CONNECTIONS": str(connections),
        "TMPDIR": str(temporary),
        "GRADIO_ANALYTICS_ENABLED": "True",  # to be ignored, as is the next
        "GRADIO_ALLOWED_PATHS": "/etc",
    }
    process = subprocess.Popen(
        command, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("ltm-demo: http://127.0.0.1:"), (line, process.poll())
        yield Served(process, line.split()[1], cwd, temporary, connections)
    finally:
        process.terminate()
        process.communicate()


def red_segmenter(folder: Path) -> Path:
    """A network of 80x80 pixels whose mask is how red they are, described by a TOML beside it."""
    path = network(folder / "red.onnx", (80, 80), ["mask"])
    # Before a green screen red is 0.25, and the object 0.7.
    path.with_suffix(".toml").write_text("mean = [0.5, 0.5, 0.5]\ndeviation = [0.1, 0.1, 0.1]\n")
    return path


@pytest.fixture(scope="session")
def demo(mean_onnx: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A page with an engine whose alpha is the mean of red, green and blue, and a segmenter that looks for red."""
    folder = tmp_path_factory.mktemp("demo")
    options = ("--max-megapixels", str(MEGAPIXELS), "--segmenter", str(red_segmenter(folder)))
    with served(folder, mean_onnx, *options) as server:
        yield server


@pytest.fixture(scope="session")
def deep_photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A crop of the example as a PNG of 16 bits, 300x200."""
    with Image.open(EXAMPLE) as picture:
        levels: NDArray[np.uint8] = np.asarray(picture)[250:450, 550:850]
    noise = np.random.default_rng(0).integers(0, 256, levels.shape)
    path = tmp_path_factory.mktemp("photo") / "fluff ball.png"
    write_image(path, (levels.astype(np.uint16) * 256 + noise).astype(np.uint16))
    return path
