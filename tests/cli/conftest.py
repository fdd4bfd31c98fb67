from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from numpy.typing import NDArray
from PIL import Image

from tests.cli.frames import BOX
from tests.cli.runs import RECIPE, STEPS, arguments
from tests.conftest import EXAMPLE, run
from tests.images.light import decoded
from tests.training.test_sources import write_photos


@pytest.fixture
def light() -> NDArray[np.float64]:
    """A crop of the example around the stem, as light."""
    with Image.open(EXAMPLE) as picture:
        return decoded(np.asarray(picture)[BOX])


@pytest.fixture(scope="session")
def material(shared: Path) -> Path:
    root = shared / "material"
    with FileLock(f"{root}.lock"):
        if not root.exists():
            write_photos(root / "photos")
            (root / "recipe.toml").write_text(RECIPE)
    return root


@pytest.fixture(scope="session")
def finished(material: Path) -> Path:
    output = material / "runs" / "whole"
    with FileLock(material / "lock"):
        if not output.exists():
            result = run("ltm-train", material / "recipe.toml", *arguments(material, output))
            assert result.code == 0, result.err
            assert f"step {STEPS} of {STEPS}" in result.err
            (output / "said.txt").write_text(result.err)
    return output
