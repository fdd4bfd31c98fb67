"""Camera raw files are TIFF with a thumbnail in front, which is not the photo."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from litematting_deploy.errors import InputError
from litematting_deploy.images.photo import read_image


@pytest.mark.parametrize("name", ["a.NEF", "a.dng", "a.cr2"])
def test_the_thumbnail_of_camera_raw_is_not_taken_for_the_photo(tmp_path: Path, name: str) -> None:
    Image.fromarray(np.full((12, 16, 3), 90, np.uint8)).save(tmp_path / name, format="TIFF")
    with pytest.raises(InputError, match=rf"{name}: is a camera raw file, which is not supported; develop it"):
        read_image(tmp_path / name)
