"""What the page makes of a photo, without the page."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from litematting_deploy.demo import job
from litematting_deploy.errors import ForegroundError
from litematting_deploy.images.background import Background
from litematting_deploy.images.decode import decode
from litematting_deploy.images.photo import Photo


def test_the_alpha_is_there_where_colours_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.full((6, 8, 3), 100, np.uint8)
    trimap = np.full((6, 8), 128, np.uint8)
    alpha = np.linspace(0, 1, 48, dtype=np.float32).reshape(6, 8)

    def fail(*_: Any) -> None:
        raise ForegroundError("photo.png: its foreground colours cannot be estimated (OSError: full)")

    monkeypatch.setattr(job, "estimate_foreground", fail)
    matter: Any = lambda *_: alpha  # noqa: E731  # stands for a Matter
    matted = job.matte(matter, Photo("photo.png", pixels, pixels), trimap, lambda *_: None)
    assert matted.failure is not None
    results = job.write_results(matted, Background("white"), tmp_path)
    assert results.files.keys() == {"alpha", "trimap"}
    assert np.array_equal(decode(results.files["alpha"], 1).levels, np.rint(alpha * 255))
    assert (results.cutout, results.background) == (None, None)
