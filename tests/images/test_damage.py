"""Damaged TIFF and OpenEXR files end in one line of ours; their libraries write none, and guess no pixels."""

import io
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from litematting_deploy.errors import InputError
from litematting_deploy.images import damage
from litematting_deploy.images.mask import read_mask
from litematting_deploy.images.photo import read_image, read_photo
from tests.images.files import save_exr, save_levels

_RNG = np.random.default_rng(5)
_NOISE = _RNG.integers(0, 256, (48, 64, 3), np.uint8)
_LINES = np.repeat(_RNG.integers(0, 2, (48, 8)).astype(bool), 8, axis=1)
_TIFF = ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "group3", "group4", "tiff_ccitt")
_EXR = ("NO", "RLE", "ZIPS", "ZIP", "PIZ", "PXR24", "B44", "B44A", "DWAA", "DWAB")


def whole(folder: Path) -> list[Path]:
    """Files of every compression, two kinds of tiles and of 16 bits."""
    paths = []
    for compression in _TIFF:
        bilevel = compression in ("group3", "group4", "tiff_ccitt")
        paths.append(folder / f"{compression}.tif")
        Image.fromarray(_LINES if bilevel else _NOISE).save(paths[-1], compression=compression)
    paths.append(save_levels(folder / "deep.tif", _NOISE.astype(np.uint16) * np.uint16(257)))
    for compression in _EXR:
        planes = {name: _NOISE[:, :, index].astype("f2" if index else "f4") / 255 for index, name in enumerate("RGB")}
        paths.append(save_exr(folder / f"{compression}.exr", planes, compression=compression))
    return paths


def test_whole_files_pass_as_without_a_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = whole(tmp_path)
    looked = [read_photo(path).pixels for path in paths]
    monkeypatch.setattr(damage, "_library", lambda *_: None)  # as where the libraries export nothing
    assert all(np.array_equal(seen, read_photo(path).pixels) for seen, path in zip(looked, paths, strict=True))
    with Image.open(tmp_path / "tiff_lzw.tif") as picture:
        assert np.array_equal(np.asarray(picture), _NOISE)


_PROGRAM = """
import sys
from litematting_deploy.errors import InputError
from litematting_deploy.images.photo import read_photo
for path in sys.argv[1:]:
    try: read_photo(path)
    except InputError as error: print(str(error).replace("\\n", "NEWLINE"))
    else: print("read")
"""


def test_libraries_write_nothing(tmp_path: Path) -> None:
    """Cut, flipped, and with zeros inside, all in one process."""
    chance, paths = random.Random(3), []
    for path in whole(tmp_path):
        content = path.read_bytes()
        for index in range(12):
            at = chance.randrange(len(content) // 3, len(content))
            flipped = bytes([content[at] ^ 1 << chance.randrange(8)])
            made = (
                content[:at],
                content[:at] + flipped + content[at + 1 :],
                content[:at] + bytes(40) + content[at + 40 :],
            )
            paths.append(tmp_path / f"{path.stem}-{index}{path.suffix}")
            paths[-1].write_bytes(made[index % 3])
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _PROGRAM, *map(str, paths)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert len(lines) == len(paths)
    refused = [(line, path) for line, path in zip(lines, paths, strict=True) if line != "read"]
    assert len(refused) > len(paths) // 3
    assert all(line.startswith(f"{path}: ") and "NEWLINE" not in line for line, path in refused)


def test_a_damaged_fax_page_is_no_mask(tmp_path: Path) -> None:
    """Of a broken code word libtiff gives the lines that follow as it can, and says that all is well."""
    path = tmp_path / "mask.tif"
    Image.fromarray(_LINES).save(path, compression="group4")
    assert np.array_equal(read_mask(path), _LINES * np.uint8(255))
    with Image.open(path) as picture:
        start, size = picture.tag_v2[273][0], picture.tag_v2[279][0]  # type: ignore[attr-defined]
    content = bytearray(path.read_bytes())
    content[start + size // 2] ^= 0x55
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"mask\.tif: damaged or truncated TIFF file \(.+\); save or download"):
        read_mask(path)


def test_many_channels_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Pillow logs an error of its own, which Python writes where no program has set up logging."""
    file = io.BytesIO()
    Image.fromarray(_NOISE).save(file, "TIFF")
    content, path = bytearray(file.getvalue()), tmp_path / "a.tif"
    entry = content.index(b"\x15\x01\x03\x00")  # 277, a short number
    content[entry + 8] = 9
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.tif: has 9 channels, expected at most 4"):
        read_image(path)
    assert not caplog.records
