"""The way of one photo from ltm-infer to the stitcher, as `tests/traced.py` walks it."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.traced import Way, report, walk


@pytest.fixture(
    scope="module",
    params=[("photo.png", ""), ("photo.png", "cutout.png"), ("photo.jpg", ""), ("photo.jpg", "cutout.png")],
    ids=["PNG", "PNG, cut-out", "JPEG", "JPEG, cut-out"],
)
def way(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, mean_onnx: Path) -> Way:
    folder = tmp_path_factory.mktemp("way")
    name, cutout = request.param
    photo, trimap = folder / name, folder / "trimap.png"
    # With EXIF, which is looked at before a decoder reads it.
    exif = Image.Exif()
    exif[0x010E] = "a photo"
    pixels = np.random.default_rng(0).integers(0, 256, (24, 40, 3), np.uint8)
    Image.fromarray(pixels).save(photo, exif=exif, quality=95)
    Image.fromarray(np.full((24, 40), 128, np.uint8)).save(trimap)
    more = ["--cutout", str(folder / cutout)] if cutout else []
    return walk(str(photo), str(trimap), "-o", str(folder / "alpha.png"), "--engine", str(mean_onnx), *more)


def test_a_photo_goes_from_the_command_through_its_decoder_and_a_matter_to_the_stitcher(way: Way) -> None:
    passed = list(way.passed)
    stations = ["cli/infer.py", "jobs/photo.py", "images/photo.py", "runtime/matter.py", "runtime/host_stitch.py"]
    assert [file for file in passed if file in stations] == stations
    assert (passed[0], passed[-1]) == (stations[0], stations[-1])
    assert way.entrances[0].caller is None
    assert all(entrance.caller in passed for entrance in way.entrances[1:])


def test_a_photo_passes_at_most_22_files(way: Way) -> None:
    assert len(way.passed) <= 22, "\n".join(report(way))


def test_a_photo_enters_each_file_once(way: Way) -> None:
    assert not way.entered_again(), "\n".join(report(way))
