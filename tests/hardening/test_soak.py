"""Long and heavy use of the commands: memory, files and threads stay what they were."""

import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import EXAMPLE, EXAMPLE_TRIMAP
from tests.hardening import bombs

pytestmark = [pytest.mark.slow, pytest.mark.heavy]

IMAGES = 2000
CORRUPT_EVERY = 100
COMMANDS = Path(sys.executable).parent


@dataclass(frozen=True)
class Sample:
    """Of a process: memory in MB, open files, threads."""

    memory_mb: float
    files: int
    threads: int


def sample(pid: int) -> Sample | None:
    """None of one that has just ended."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    if "VmRSS" not in status:
        return None
    files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return Sample(int(status["VmRSS"].split()[0]) / 1024, files, int(status["Threads"]))


def shot(folder: Path) -> tuple[Path, Path]:
    """Small photos of several formats, each with its trimap; some are damaged."""
    images, trimaps = folder / "images", folder / "trimaps"
    photo, trimap = (Image.open(path).convert(mode) for path, mode in ((EXAMPLE, "RGB"), (EXAMPLE_TRIMAP, "L")))
    for each in (images, trimaps):
        each.mkdir()
    for index in range(IMAGES):
        left, top = 500 + index % 700, 600 + index // 700 * 50
        box = (left, top, left + 64, top + 48)
        path = images / f"{index:04}.{('png', 'jpg', 'tif', 'webp')[index % 4]}"
        photo.crop(box).save(path)
        trimap.crop(box).save(trimaps / f"{index:04}.png")
        if index % CORRUPT_EVERY == 1:
            path.write_bytes(path.read_bytes()[:60])
    return images, trimaps


def test_two_thousand_images(tmp_path: Path, small_onnx: Path) -> None:
    images, trimaps = shot(tmp_path)
    command = [COMMANDS / "ltm-infer", images, trimaps, "-o", tmp_path / "out", "--engine", small_onnx]
    with (tmp_path / "said").open("w") as said:
        process = subprocess.Popen([str(word) for word in command], stdout=said, stderr=said)
        samples: list[tuple[int, Sample]] = []
        while process.poll() is None:
            done = len(list((tmp_path / "out").glob("*.png"))) if (tmp_path / "out").exists() else 0
            if done > IMAGES // 20 and (one := sample(process.pid)) is not None:
                samples.append((done, one))
            time.sleep(0.25)
    corrupt = IMAGES // CORRUPT_EVERY
    assert process.returncode == 1
    text = (tmp_path / "said").read_text()
    assert f"{IMAGES - corrupt} of {IMAGES} frames" in text
    assert text.count("ltm-infer: failed: ") == corrupt
    assert len(samples) > 40
    second, last = ([one for done, one in samples if low <= done / IMAGES < low + 0.25] for low in (0.25, 0.75))
    before, after = (float(np.median([one.memory_mb for one in part])) for part in (second, last))
    print(f"memory: {before:.1f} MB in the second quarter, {after:.1f} MB in the last; {last[-1]}")
    assert after <= before * 1.02 + 5
    assert max(one.files for one in last) <= max(one.files for one in second)
    assert max(one.threads for one in last) <= max(one.threads for one in second)


def test_bombs_take_little_memory(tmp_path: Path) -> None:
    """All of them through the command, none with more than the interpreter and its libraries take."""
    trimap = tmp_path / "trimap.png"
    Image.new("L", (64, 64), 128).save(trimap)
    harmless = tmp_path / "photo.png"
    Image.new("RGB", (64, 64)).save(harmless)
    contents = bombs.OVER_THE_LIMIT | {name: content for name, (content, _) in bombs.REFUSED.items()}
    for name, content in contents.items():
        path = tmp_path / name
        path.write_bytes(content)
        command = [str(COMMANDS / "ltm-trimap"), str(path), "-o", str(tmp_path / "out.png")]
        started = time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True, check=False, preexec_fn=_limited, timeout=60)
        assert done.returncode == 1, (name, done)
        assert len(done.stderr.strip().splitlines()) == 1, (name, done.stderr)
        assert "out of memory" not in done.stderr, name
        assert time.monotonic() - started < 10, name
        assert not (tmp_path / "out.png").exists(), name


def _limited() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT_BYTES, LIMIT_BYTES))


LIMIT_BYTES = 1500 << 20
"""Of address space, most of which libraries and threads reserve without using it."""
