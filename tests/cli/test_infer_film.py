"""Film: layers of OpenEXR files, colour spaces of OpenColorIO, and pixels that are no numbers."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from litematting_deploy.errors import InputError, UsageError
from litematting_deploy.images.colour import SRGB, primaries_to_xyz, srgb_encode
from litematting_deploy.images.photo import read_photo
from litematting_deploy.runtime.shipped import TINY_ENGINE
from litematting_deploy.specs import ExrSpec
from tests.conftest import assert_one_line, called
from tests.images.files import read_exr, save_exr

HW = (40, 60)
_ENGINE = ("--engine", TINY_ENGINE)
_AP1 = ((0.713, 0.293), (0.165, 0.830), (0.128, 0.044))
_ACES_WHITE = (0.32168, 0.33767)


@pytest.fixture
def light() -> NDArray[np.float16]:
    return np.random.default_rng(0).random((*HW, 3)).astype(np.float16)


@pytest.fixture
def trimap(tmp_path: Path) -> Path:
    levels = np.full(HW, 255, np.uint8)
    levels[:, 20:40], levels[:, 40:] = 128, 0
    Image.fromarray(levels).save(tmp_path / "t.png")
    return tmp_path / "t.png"


def planes(light: NDArray[Any], layer: str = "") -> dict[str, NDArray[Any]]:
    return {f"{layer}{name}": light[:, :, index].copy() for index, name in enumerate("RGB")}


def test_a_layer_is_chosen(light: NDArray[np.float16], trimap: Path, tmp_path: Path) -> None:
    """The results are those of a file that has the layer alone."""
    many, alone = tmp_path / "many.exr", tmp_path / "alone.exr"
    opaque = {"beauty.A": np.ones(HW, np.float16)}
    save_exr(
        many, planes(light, "beauty.") | opaque | planes(light * 0, "diffuse.left.") | {"Z": light[:, :, 0].copy()}
    )
    save_exr(alone, planes(light))
    results = {}
    for source, options in ((many, ("--layer", "beauty")), (alone, ())):
        files = tmp_path / f"a_{source.name}", tmp_path / f"c_{source.name}"
        job = ("ltm-infer", source, trimap, "-o", files[0], "--cutout", files[1], *_ENGINE, *options)
        assert called(*job).code == 0
        results[source] = [read_exr(file)[0] for file in files]
    for found, wanted in zip(*results.values(), strict=True):
        assert found.keys() == wanted.keys()
        for name in found:
            np.testing.assert_array_equal(found[name], wanted[name])
    assert_one_line(
        called("ltm-infer", many, trimap, "-o", tmp_path / "x.exr", *_ENGINE),
        *(1, "has no R, G, B, or Y without a layer", "choose one of its layers with --layer: beauty, diffuse.left"),
    )
    with pytest.raises(
        InputError, match="has no layer specular of R, G, B, or Y; choose one of its layers with `layer`: beauty"
    ):
        read_photo(many, exr=ExrSpec(layer="specular"))
    with pytest.raises(InputError, match="leave `layer` out"):
        read_photo(alone, exr=ExrSpec(layer="beauty"))
    with pytest.raises(UsageError, match="`layer` applies only to scene-linear OpenEXR photos"):
        read_photo(trimap, exr=ExrSpec(layer="beauty"))


def test_a_name_of_opencolorio(light: NDArray[np.float16], trimap: Path, tmp_path: Path) -> None:
    """Light in ACEScg: the network sees it in sRGB, by arithmetic from the primaries; OpenEXR results keep it."""
    pytest.importorskip("PyOpenColorIO")
    save_exr(tmp_path / "p.exr", planes(light))
    photo = read_photo(tmp_path / "p.exr", exr=ExrSpec(input_space="ACEScg"))
    assert photo.space.to_xyz is not None
    assert SRGB.to_xyz is not None
    np.testing.assert_allclose(photo.space.to_xyz, primaries_to_xyz(_AP1, _ACES_WHITE), atol=2e-3)
    matrix = np.linalg.inv(SRGB.to_xyz) @ primaries_to_xyz(_AP1, _ACES_WHITE)
    seen = srgb_encode((light.astype(np.float64) @ matrix.T).clip(0, 1)) * 255
    np.testing.assert_allclose(photo.network.astype(float), seen, atol=1.5)
    job = ("ltm-infer", tmp_path / "p.exr", trimap, "-o", tmp_path / "a.exr", *_ENGINE)
    done = called(*job, "--input-space", "ACEScg", "--cutout", tmp_path / "c.exr", "--foreground", tmp_path / "f.png")
    assert done.code == 0, done.err
    cutout = read_exr(tmp_path / "c.exr")[0]
    np.testing.assert_array_equal(cutout["G"][:, :20], light[:, :20, 1])
    with Image.open(tmp_path / "f.png") as picture:
        shown = np.asarray(picture)[:, :20]
    np.testing.assert_allclose(shown / 257 if shown.dtype == np.uint16 else shown, seen[:, :20], atol=1.5)
    assert_one_line(called(*job, "--input-space", "ACESgc"), 2, "must be a colour space", "ACEScg", "got 'ACESgc'")
    assert_one_line(called(*job, "--input-space", "ACEScct"), 2, "--input-space ACEScct is not scene-linear")


def test_without_opencolorio_the_extra_is_named(
    light: NDArray[np.float16], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    from litematting_deploy.errors import DependencyError

    monkeypatch.setitem(sys.modules, "PyOpenColorIO", None)
    save_exr(tmp_path / "p.exr", planes(light))
    with pytest.raises(DependencyError, match=r"`input_space` needs PyOpenColorIO, .*\[ocio\]"):
        read_photo(tmp_path / "p.exr", exr=ExrSpec(input_space="ACEScg of nobody"))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_the_policy_for_pixels_that_are_no_numbers(
    value: float, light: NDArray[np.float16], trimap: Path, tmp_path: Path
) -> None:
    """The matte is made, with NaN and minus infinity seen as black and infinity as white; colours are refused."""
    light[5, 5] = value
    save_exr(tmp_path / "p.exr", planes(light))
    assert (read_photo(tmp_path / "p.exr").network[5, 5] == (255 if value == np.inf else 0)).all()
    job = ("ltm-infer", tmp_path / "p.exr", trimap, "-o", tmp_path / "a.exr", *_ENGINE)
    assert called(*job).code == 0
    assert np.isfinite(read_exr(tmp_path / "a.exr")[0]["A"]).all()
    failed = called(*job, "--cutout", tmp_path / "c.exr")
    assert_one_line(failed, 1, "1 pixels are NaN or infinite", "clamp them, or leave out --cutout")
    assert not (tmp_path / "c.exr").exists()
