"""`ltm-serve` as an operator starts it, and pictures as its clients send them."""

import contextlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

MATTE = "/v1/matte"
HW = 48, 64
MEGAPIXELS = 0.1
Answer = httpx.Response


@dataclass(frozen=True)
class Served:
    """A running service. address: without a slash at its end. cwd, temporary: its folders, which it leaves empty."""

    process: "subprocess.Popen[str]"
    address: str
    cwd: Path
    temporary: Path
    client: httpx.Client

    def matte(self, folder: Path, files: Mapping[str, str], **fields: Any) -> Answer:
        """Send files of a folder, by field, and texts."""
        with contextlib.ExitStack() as stack:
            opened = {field: stack.enter_context((folder / name).open("rb")) for field, name in files.items()}
            sent = {field: (files[field], file) for field, file in opened.items()}
            return self.client.post(MATTE, files=sent, data=fields)

    def keeps(self) -> list[str]:
        """Return the files that are there still, soon after the last answer was sent."""
        left, deadline = ["not looked"], time.monotonic() + 30
        while left and time.monotonic() < deadline:
            left = [name for _, _, names in os.walk(self.temporary) for name in names]
        return left

    def number(self, name: str) -> float:
        """Return a metric by its name with labels, as Prometheus reads it; 0 where it was not counted yet."""
        lines = self.client.get("/metrics").text.splitlines()
        return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name} ")), 0.0)


@contextlib.contextmanager
def served(folder: Path, *options: str | Path, **environment: str) -> Iterator[Served]:
    cwd, temporary = folder / "cwd", folder / "tmp"
    cwd.mkdir(parents=True)
    temporary.mkdir()
    command = [Path(sys.executable).parent / "ltm-serve", "--port", "0", "--device", "cpu", "--threads", "1", *options]
    variables = {**os.environ, "TMPDIR": str(temporary), **environment}
    with (folder / "stderr").open("w") as errors:
        process = subprocess.Popen(command, cwd=cwd, env=variables, stdout=subprocess.PIPE, stderr=errors, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        said = re.search(r"ltm-serve: (http://127\.0\.0\.1:\d+)/", line)
        assert said is not None, (line, (folder / "stderr").read_text())
        address = said[1]
        with httpx.Client(base_url=address, timeout=900) as client:
            yield Served(process, address, cwd, temporary, client)
    finally:
        process.terminate()
        process.communicate()


@pytest.fixture(scope="session")
def service(mean_onnx: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A service whose alpha is the mean of red, green and blue."""
    folder = tmp_path_factory.mktemp("service")
    with served(folder, "--engine", mean_onnx, "--max-megapixels", str(MEGAPIXELS)) as running:
        yield running


def save(path: Path, pixels: NDArray[Any]) -> Path:
    Image.fromarray(pixels).save(path)
    return path


def photo_of(seed: int, hw: tuple[int, int] = HW) -> NDArray[np.uint8]:
    """A photo (H, W, 3) whose pixels are noise."""
    return np.random.default_rng(seed).integers(0, 256, (*hw, 3), np.uint8)


def trimap_of(hw: tuple[int, int] = HW) -> NDArray[np.uint8]:
    """A trimap (H, W) with all three values."""
    trimap = np.full(hw, 128, np.uint8)
    trimap[: hw[0] // 4], trimap[-hw[0] // 4 :] = 0, 255
    return trimap


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of pictures of one size, sound ones and others."""
    folder = tmp_path_factory.mktemp("pictures")
    save(folder / "photo.png", photo_of(0))
    save(folder / "trimap.png", trimap_of())
    save(folder / "mask.png", (trimap_of() == 255).astype(np.uint8) * 255)
    save(folder / "dim.png", (trimap_of() == 255).astype(np.uint8) * 100)
    save(folder / "behind.png", np.full((*HW, 3), (10, 200, 30), np.uint8))
    save(folder / "small.png", trimap_of((24, 32)))
    save(folder / "known.png", np.where(trimap_of() == 255, np.uint8(255), np.uint8(0)))
    save(folder / "odd.png", np.where(trimap_of() == 128, np.uint8(77), trimap_of()))
    save(folder / "large.png", photo_of(0, (400, 500)))
    screen = np.full((*HW, 3), (10, 180, 60), np.uint8)
    screen[12:36, 16:48] = (200, 40, 30)
    save(folder / "screen.png", screen)
    save(folder / "plain.png", np.full((*HW, 3), (10, 180, 60), np.uint8))
    whole = (folder / "photo.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "damaged.png").write_bytes(whole[:60] + bytes(40) + whole[100:])
    (folder / "text.png").write_text("no picture\n")
    (folder / "empty.png").touch()
    return folder
