"""Reading pictures leaves alone what belongs to the whole process, with many threads at it."""

import os
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from litematting_deploy.errors import InputError
from litematting_deploy.images.photo import read_photo
from tests.hardening import seeds

_READERS = 4
_PROGRAM = """
import sys, threading, subprocess, warnings
from pathlib import Path
from PIL import Image
from litematting_deploy.errors import LiteMattingError
from litematting_deploy.images.photo import read_photo
files, over, counts = sys.argv[1:], threading.Event(), []
def work():
    count = 0
    while not over.is_set() or count < len(files):
        try: read_photo(files[count % len(files)], 2)
        except LiteMattingError: pass
        count += 1
    counts.append(count)
threads = [threading.Thread(target=work) for _ in range({readers})]
before = Image.MAX_IMAGE_PIXELS, list(warnings.filters)
[thread.start() for thread in threads]
for number in range(200):
    print("line", number, file=sys.stderr, flush=True)
    assert (Image.MAX_IMAGE_PIXELS, list(warnings.filters)) == before
    over.wait(0.002)
child = subprocess.run([sys.executable, "-c", "import sys; print('child', file=sys.stderr)"])
over.set()
[thread.join() for thread in threads]
assert len(counts) == {readers}
"""


def whole_files(folder: Path) -> list[str]:
    """Of every format and depth, and one that is no picture."""
    paths = []
    for kind in (*seeds.FORMATS, "exr"):
        for index, content in enumerate(seeds.exr() if kind == "exr" else seeds.photo(kind)):
            path = folder / f"{index}.{kind}"
            path.write_bytes(content)
            paths.append(str(path))
    (folder / "none.png").write_bytes(b"none")
    return [*paths, str(folder / "none.png")]


def test_the_standard_error_lives_while_threads_read(tmp_path: Path) -> None:
    program = _PROGRAM.replace("{readers}", str(_READERS))
    done = subprocess.run(
        [sys.executable, "-W", "ignore::UserWarning:PIL", "-c", program, *whole_files(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert done.stderr.splitlines() == [*(f"line {number}" for number in range(200)), "child"]


@pytest.mark.parametrize("kind", seeds.FORMATS)
def test_pillows_limit_is_neither_taken_nor_changed(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / f"a.{kind}"
    Image.new("RGB", (64, 48), "#102030").save(path, kind.upper())
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_photo(path, 1).network.shape == (48, 64, 3)
        with pytest.raises(InputError, match=r"over the limit of 0\.001"):
            read_photo(path, 0.001)
        with pytest.raises(Image.DecompressionBombError):
            Image.open(path)


def test_all_sixteen_bits_in_both_orders(tmp_path: Path) -> None:
    from tests.images.files import save_levels, save_tiff

    deep = np.random.default_rng(1).integers(0, 65536, (24, 32, 3)).astype(np.uint16)
    for path in (
        save_levels(tmp_path / "a.png", deep),
        save_levels(tmp_path / "a.tif", deep),
        save_tiff(tmp_path / "little.tif", deep, "<"),
        save_tiff(tmp_path / "big.tif", deep, ">"),
    ):
        assert np.array_equal(read_photo(path).pixels, deep), path
    with pytest.raises(InputError, match="separate planes"):
        read_photo(save_tiff(tmp_path / "planes.tif", deep, planar=True))


def test_many_threads_read_the_same_bits(tmp_path: Path) -> None:
    paths = [path for path in whole_files(tmp_path) if path.endswith((".png", ".tiff"))]

    def look(path: str) -> bytes:
        try:
            return read_photo(path, 2).pixels.tobytes()
        except InputError as error:
            return str(error).encode()

    alone = [look(path) for path in paths]
    found: list[list[bytes]] = []
    threads = [threading.Thread(target=lambda: found.append([look(path) for path in paths])) for _ in range(_READERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [alone] * _READERS
