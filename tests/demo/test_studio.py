"""What the page makes of a photo, without the page."""

from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pytest
from PIL import Image

from litematting_deploy.demo import studio
from litematting_deploy.demo.source import Source
from litematting_deploy.demo.studio import Studio
from litematting_deploy.errors import ForegroundError, NotFiniteError
from litematting_deploy.images.background import Background
from litematting_deploy.images.decode import decode
from litematting_deploy.images.photo import Photo
from litematting_deploy.jobs.trimaps import Trimap
from litematting_deploy.matting.refine import refine
from litematting_deploy.runtime import Matter
from litematting_deploy.server.spec import Limits
from litematting_deploy.specs import TrimapSpec


def test_the_alpha_is_there_where_colours_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.full((6, 8, 3), 100, np.uint8)
    trimap = Trimap(np.full((6, 8), 128, np.uint8), pieces=7)
    alpha = np.linspace(0, 1, 48, dtype=np.float32).reshape(6, 8)

    def fail(*_: Any) -> None:
        raise ForegroundError("photo.png: its foreground colours cannot be estimated (OSError: full)")

    monkeypatch.setattr(studio, "estimate_foreground", fail)
    matter: Any = MagicMock(return_value=alpha)  # stands for a Matter
    matter.refining.return_value = matter
    matted = studio.matte(matter, Photo("photo.png", pixels, pixels), trimap, lambda *_: None)
    assert matted.failure is not None
    assert matted.summary == "photo.png, 8×6, 100.0% of the pixels are unknown; the mask has 7 pieces"
    results = studio.write_results(matted, Background("white"), tmp_path)
    assert results.files.keys() == {"alpha", "trimap"}
    assert np.array_equal(decode(results.files["alpha"], 1).levels, np.rint(alpha * 255))
    assert results.shown.keys() == {"photo", "alpha", "trimap"}


def test_a_photo_that_is_not_finite_fails_alone(root_onnx: Path, tmp_path: Path) -> None:
    """It is named, and the page goes on: the engine and the next photos are sound."""
    trimap = np.full((40, 48), 128, np.uint8)
    trimap[:10], trimap[-10:] = 0, 255
    for name, pixels in {
        "trimap": trimap,
        "black": np.zeros((40, 48, 3), np.uint8),
        "grey": np.full((40, 48, 3), 200, np.uint8),
    }.items():
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    (tmp_path / "results").mkdir()
    studio = Studio(lambda: Matter.load(root_onnx, refine=False), tmp_path, Limits())
    source = Source(TrimapSpec(), str(tmp_path / "trimap.png"))

    def cut_out(name: str) -> Any:
        return studio.cut_out(str(tmp_path / f"{name}.png"), source, "#ffffff", None, lambda *_: None)

    try:
        wanted = cut_out("grey")[1].alpha
        assert np.allclose(wanted[20], np.sqrt(200 / 255 - 0.1), atol=1e-5)
        with pytest.raises(
            NotFiniteError, match=r"black\.png: onnxruntime-cpu: the alpha of this image contains NaN or infinity; "
        ):
            cut_out("black")
        assert np.array_equal(cut_out("grey")[1].alpha, wanted)
    finally:
        studio.close()


def test_alphas_are_refined_unless_the_server_was_started_without(root_onnx: Path) -> None:
    photo = Photo("photo.png", *2 * (np.random.default_rng(0).integers(60, 200, (40, 48, 3)).astype(np.uint8),))
    trimap = np.full((40, 48), 128, np.uint8)
    trimap[:10], trimap[-10:] = 0, 255
    found = {}
    for asked in (None, False, True):
        with Matter.load(root_onnx, refine=asked) as matter:
            found[asked] = studio.matte(matter, photo, Trimap(trimap, None), lambda *_: None).alpha
    refined = refine(photo.network, trimap, found[False])
    assert np.abs(found[False] - refined).max() > 0.01
    assert np.array_equal(found[None], refined)
    assert np.array_equal(found[True], refined)
