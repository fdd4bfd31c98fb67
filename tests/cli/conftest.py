import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.cli.frames import BOX
from tests.conftest import EXAMPLE
from tests.matting.light import decoded


@pytest.fixture
def light() -> NDArray[np.float64]:
    """A crop of the example around the stem, as light."""
    with Image.open(EXAMPLE) as picture:
        return decoded(np.asarray(picture)[BOX])
