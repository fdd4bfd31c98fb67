"""Grooms and cut-outs: what their files may hold, and what is drawn from them."""

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from litematting_deploy.errors import ArtefactError, InputError, UsageError
from litematting_deploy.schema import decode
from litematting_deploy.training.collages import collage
from litematting_deploy.training.cutouts import extended, list_cutouts, read_cutout
from litematting_deploy.training.data import Batch
from litematting_deploy.training.drawing import Stream
from litematting_deploy.training.families import check_strands, draw
from litematting_deploy.training.families.figures import figure, with_parts
from litematting_deploy.training.grooms import POINTS, list_grooms, read_groom
from litematting_deploy.training.recipe import Procedural, Recipe
from litematting_deploy.training.sources import ProceduralSource, draw_libraries, procedural_sources
from tests.training.test_sources import write_photos

Floats = NDArray[np.float32]


def scalp(count: int = 300, points: int = 8, seed: int = 0) -> Floats:
    """Strands that hang from the upper and back half of a sphere of radius 0.1 at height 1.6, y up."""
    rng = np.random.default_rng(seed)
    ways = rng.normal(size=(4 * count, 3))
    ways /= np.linalg.norm(ways, axis=1, keepdims=True)
    ways = ways[ways[:, 1] - ways[:, 2] > 0.2][:count]
    t = np.linspace(0, 1, points)[:, None]
    lines = ways[:, None] * (0.1 + 0.03 * t) - np.array([0, 0.15, 0]) * t**2 + [0, 1.6, 0]
    return lines.astype(np.float32)


def write_npz(path: Path, lines: Floats, **other: NDArray[np.generic]) -> Path:
    z_up = lines.reshape(-1, 3)[:, [0, 2, 1]] * np.array([1, -1, 1], np.float32)
    arrays = {"cnt": np.full(len(lines), lines.shape[1], np.uint8), "data": z_up, **other}
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


def write_tfx(path: Path, lines: Floats, version: float) -> Path:
    count, points = lines.shape[:2]
    body = lines if version < 4 else np.concatenate([lines, np.ones((count, points, 1), np.float32)], 2)
    header = struct.pack("<fII", version, count, points).ljust(160, b"\0")
    path.write_bytes(header + body.astype("<f4").tobytes() + (b"" if version < 4 else b"what follows"))
    return path


@pytest.fixture
def strands(tmp_path: Path) -> Path:
    folder = tmp_path / "strands"
    folder.mkdir()
    write_npz(folder / "a.npz", scalp())
    write_tfx(folder / "b.tfx", scalp(seed=1), 3.0)
    write_tfx(folder / "c.tfx", scalp(seed=2), 4.0)
    (folder / "LICENSE.txt").write_text("CC0")
    return folder


def test_every_format_gives_the_strands_it_was_written_from(tmp_path: Path) -> None:
    lines = scalp(50, POINTS)
    files = [write_npz(tmp_path / "a.npz", lines)]
    files += [write_tfx(tmp_path / f"{version:g}.tfx", lines, version) for version in (2.0, 3.0, 4.0)]
    assert list_grooms(tmp_path) == sorted(files)
    for file in files:
        read = read_groom(str(file))
        assert read.shape == (50, POINTS, 3)
        # Points move along the strand until they are evenly spaced; its ends stay.
        np.testing.assert_allclose(read[:, [0, -1]], lines[:, [0, -1]], atol=1e-5)
        steps = np.linalg.norm(np.diff(read, axis=1), axis=2)
        assert (steps.std(1) < 0.1 * steps.mean(1)).all()


def test_strands_of_unequal_points_are_read_and_those_of_none_left_out(tmp_path: Path) -> None:
    points = np.array([[0, 0, 0], [0, 0, 2], [5, 5, 5], [1, 0, 0], [1, 0, 1], [1, 0, 4], [7, 7, 7], [7, 7, 7]], "f4")
    np.savez(tmp_path / "a.npz", cnt=np.array([2, 1, 3, 2, 0], np.uint8), data=points)
    read = read_groom(str(tmp_path / "a.npz"))
    np.testing.assert_allclose(read[:, 0], [[0, 0, 0], [1, 0, 0]], atol=1e-6)
    np.testing.assert_allclose(read[:, -1], [[0, 2, 0], [1, 4, 0]], atol=1e-6)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"cnt": np.full(300, 9, np.uint8)}, r"data is \(2400, 3\) float32, expected \(2700, 3\)"),
        ({"cnt": np.full(300, 8.0)}, r"cnt is \(300,\) float64"),
        ({"data": np.full((2400, 3), np.nan, np.float32)}, "7200 coordinates are NaN or infinite"),
        ({"data": np.full((2400, 3), 1e20, np.float32)}, "reach 1e.20"),
        ({"data": np.zeros((2400, 3), np.float32)}, "no strand has at least two points and a length"),
    ],
)
def test_a_wrong_npz_is_named_with_what_is_wrong(
    tmp_path: Path, arrays: dict[str, NDArray[np.generic]], words: str
) -> None:
    file = write_npz(tmp_path / "wrong.npz", scalp(), **arrays)
    with pytest.raises(InputError, match=rf"wrong\.npz: .*{words}"):
        read_groom(str(file))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "0 bytes"),
        (struct.pack("<fII", 3, 10, 8) + bytes(100), "has 112 bytes, but 10 strands of 8 points need 960 more"),
        (struct.pack("<fII", 3, 2**32 - 1, 2**32 - 1) + bytes(100), "112 bytes"),
        (struct.pack("<fII", 4, 1, 8) + bytes(160), "172 bytes"),
        (struct.pack("<fII", 99, 1, 8) + bytes(400), "version 99"),
        (struct.pack("<fII", 3, 0, 8) + bytes(400), "0 strands"),
    ],
)
def test_a_wrong_tfx_is_named_with_what_is_wrong(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "wrong.tfx").write_bytes(content)
    with pytest.raises(InputError, match=rf"wrong\.tfx: .*{words}"):
        read_groom(str(tmp_path / "wrong.tfx"))


def test_a_damaged_archive_is_no_groom(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(b"PK garbage")
    with pytest.raises(InputError, match=r"a\.npz: cannot be read as a groom"):
        read_groom(str(tmp_path / "a.npz"))


def test_an_archive_without_strands_is_no_groom(tmp_path: Path) -> None:
    np.savez(tmp_path / "b.npz", other=np.zeros(3))
    with pytest.raises(InputError, match=r"b\.npz: contains no array cnt"):
        read_groom(str(tmp_path / "b.npz"))


def test_a_folder_without_grooms_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="contains no grooms"):
        list_grooms(tmp_path)


def test_a_scalp_becomes_a_head_with_its_size_and_parts_find_each_other(strands: Path) -> None:
    shown = figure(str(strands / "a.npz"))
    radii = np.linalg.norm(shown.strands[:, 0], axis=1)
    assert np.abs(radii - 1).max() < 0.02, "the head's radius is 1"
    assert shown.dressed.any()
    lines = scalp()
    left, right = (write_tfx(strands / f"{name}.tfx", lines[side], 3.0) for name, side in (
        ("left", lines[:, 0, 0] < -0.04), ("right", lines[:, 0, 0] > 0.04)))  # fmt: skip
    assert with_parts(str(left), (str(left), str(right))) == (str(left), str(right))


def test_groomed_hair_is_the_same_each_time_solid_inside_and_fine_outside(strands: Path) -> None:
    files = tuple(map(str, list_grooms(strands)))
    fractional = opaque = clear = 0
    for seed in range(4):
        one, two = (draw(np.random.default_rng(seed), 160, {"groomed": 1.0}, files) for _ in range(2))
        assert one.alpha.tobytes() == two.alpha.tobytes()
        assert one.shade.tobytes() == two.shade.tobytes()
        fractional += int(((one.alpha > 0) & (one.alpha < 255)).sum())
        opaque += int((one.alpha == 255).sum())
        clear += int((one.alpha == 0).sum())
    assert fractional > 1500
    assert opaque > 5000
    assert clear > 5000


@pytest.mark.parametrize(
    ("family", "there", "words"),
    [
        pytest.param("groomed", False, r"groomed is 1, but there are no strands; add `strands`", id="no-strands"),
        pytest.param("fur", True, r"add groomed =", id="no-weight"),
    ],
)
def test_strands_and_their_weight_belong_together(family: str, there: bool, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        check_strands({family: 1.0}, there)


def test_sources_of_groomed_hair_need_strands(tmp_path: Path) -> None:
    recipe = Recipe(procedural=Procedural(weights={"groomed": 1.0}))
    with pytest.raises(UsageError, match="`strands`"):
        procedural_sources(recipe, write_photos(tmp_path / "photos"), tmp_path, 0)


def test_libraries_are_named_after_the_strands_they_are_drawn_with(strands: Path) -> None:
    files = (str(strands / "b.tfx"),)
    before = Stream(1, 64, None, files).folder_name()
    write_tfx(strands / "b.tfx", scalp(seed=9), 3.0)
    assert Stream(1, 64, None, files).folder_name() != before, "another groom draws other layers"


def disc(size: int = 120, radius: float = 40, soft: float = 1.0) -> NDArray[np.uint8]:
    """The alpha of a disc with an edge of some pixels."""
    x, y = np.meshgrid(*(np.arange(size) - size / 2 + 0.5,) * 2)
    return np.asarray(np.rint(((radius - np.hypot(x, y)) / soft + 0.5).clip(0, 1) * 255), np.uint8)


def write_cutouts(folder: Path) -> Path:
    """A red disc over black as PNG, two green ones over white as a pair, a blue one over a grey alpha."""
    folder.mkdir()
    cover = disc(soft=6)
    red = np.dstack([np.zeros((120, 120, 2)), cover, cover]).astype(np.uint8)  # colours mixed with black at the edge
    cv2.imwrite(str(folder / "red.png"), red)
    two = np.concatenate([disc(radius=30)] * 2, 1)
    white = (255 - two[..., None] / 255 * np.array([215, 55, 215])).astype(np.uint8)
    cv2.imwrite(str(folder / "Set_Color.jpg"), white)
    cv2.imwrite(str(folder / "Set_Opacity.jpg"), two)
    blue = np.dstack([np.full((120, 120), 220), np.zeros((120, 120, 2)), np.maximum(disc(), 190)]).astype(np.uint8)
    cv2.imwrite(str(folder / "blue.png"), blue)
    return folder


def test_cutouts_are_read_apart_with_colours_that_go_on_outwards(tmp_path: Path) -> None:
    files = list_cutouts(write_cutouts(tmp_path / "cutouts"))
    assert [file.name for file in files] == ["Set_Color.jpg", "blue.png", "red.png"]
    greens, (blue,), (red,) = (read_cutout(str(file)) for file in files)
    assert len(greens) == 2
    for piece in greens:
        assert (np.abs(piece[..., :3].reshape(-1, 3).mean(0) - [40, 200, 40]) < 12).all(), "no white rim"
        assert abs((piece[..., 3] / 255).sum() / (np.pi * 30**2) - 1) < 0.02
    assert red[..., 0].min() > 245, "no dark rim"
    assert red[..., 3].min() == 0
    assert abs((blue[..., 3] / 255).sum() / (np.pi * 40**2) - 1) < 0.03, "grey alpha counts as clear"


def test_a_recipe_leaves_cutouts_out_by_their_names(tmp_path: Path) -> None:
    folder, photos = write_cutouts(tmp_path / "cutouts"), write_photos(tmp_path / "photos")

    def used(*exclude: str) -> set[str]:
        settings = Recipe(procedural=Procedural(cutouts_exclude=exclude))
        parts = procedural_sources(settings, photos, tmp_path, 0, cutouts=folder)
        streams = [part.coloured.stream for part in parts if isinstance(part, ProceduralSource) and part.coloured]
        return {Path(file).name for stream in streams for file in stream.cutouts}

    assert used() == {"Set_Color.jpg", "blue.png", "red.png"}
    assert used("b*.png", "nothing") == {"Set_Color.jpg", "red.png"}
    with pytest.raises(InputError, match=r"cutouts_exclude = \['\*\.png', 'Set\*'\] excludes all of its 3 cut-outs"):
        used("*.png", "Set*")


def test_patterns_of_names_are_texts() -> None:
    with pytest.raises(ArtefactError, match=r"procedural\.cutouts_exclude\[0\] must be a text; got 3"):
        decode(b'{"procedural": {"cutouts_exclude": [3]}}', Recipe, name="a recipe")


def test_colours_stay_where_they_are_known() -> None:
    cover = (disc() / np.float32(255)).astype(np.float32)
    ramp = np.repeat(np.linspace(0, 255, 120, dtype=np.float32)[None, :, None], 3, 2) * np.ones((120, 1, 1), "f4")
    made = extended(np.where(cover[..., None] > 0, ramp, 0), cover)
    inside = cv2.erode(cover, np.ones((5, 5), np.uint8)) == 1
    np.testing.assert_allclose(made[inside], ramp[inside], atol=1e-3)
    assert made[60, 10, 0] == pytest.approx(made[60, 25, 0], abs=30)
    assert (made[:, :20] < made[:, -20:].min()).all()


@pytest.mark.parametrize(
    ("name", "shape", "words"),
    [
        pytest.param("opaque.png", (50, 50, 3), r"opaque\.png: has no transparent pixels", id="opaque"),
        pytest.param("clear.png", (50, 50, 4), r"clear\.png: is almost entirely transparent", id="clear"),
        pytest.param("Set_Opacity.jpg", (50, 50), r"Set_Opacity\.jpg: is \(50, 50\)", id="size"),
    ],
)
def test_a_wrong_cutout_is_refused_by_name(tmp_path: Path, name: str, shape: tuple[int, ...], words: str) -> None:
    folder = write_cutouts(tmp_path / "cutouts")
    cv2.imwrite(str(folder / name), np.zeros(shape, np.uint8))
    with pytest.raises(InputError, match=words):
        read_cutout(str(folder / name.replace("_Opacity", "_Color")))


def test_colours_without_their_opacity_are_refused(tmp_path: Path) -> None:
    folder = write_cutouts(tmp_path / "cutouts")
    (folder / "Set_Opacity.jpg").unlink()
    with pytest.raises(InputError, match=r"Set_Color\.jpg: its opacity, Set_Opacity, was not found; add that file"):
        read_cutout(str(folder / "Set_Color.jpg"))


def test_opacity_without_its_colours_is_refused(tmp_path: Path) -> None:
    folder = write_cutouts(tmp_path / "cutouts")
    cv2.imwrite(str(folder / "Alone_Opacity.jpg"), disc())
    with pytest.raises(
        InputError, match=r"Alone_Opacity\.jpg: its colours, Alone_Color, were not found; add that file"
    ):
        list_cutouts(folder)


def test_collages_have_one_colour_up_to_their_edges(tmp_path: Path) -> None:
    folder = write_cutouts(tmp_path / "cutouts")
    for seed in range(4):
        made = collage([str(folder / "red.png")], np.random.default_rng(seed), 160)
        assert made.tobytes() == collage([str(folder / "red.png")], np.random.default_rng(seed), 160).tobytes()
        assert made.shape == (4, 160, 160)
        assert made[0].max() == 255
        edge = (made[0] > 5) & (made[0] < 250)
        assert edge.any()
        assert made[1][edge].min() > 0.4 * np.median(made[1][made[0] == 255])
        assert made[2:].max() < 12


def test_a_source_mixes_cutouts_in_their_colours_and_holds_some_out(tmp_path: Path, strands: Path) -> None:
    folder = write_cutouts(tmp_path / "cutouts")
    settings = Procedural(count=2, size=96, refresh=False, cutouts=1.0, weights={"groomed": 1.0})
    recipe = Recipe(validation_scenes=1, procedural=settings)
    sources = procedural_sources(recipe, write_photos(tmp_path / "photos"), tmp_path, 0, strands, folder)
    drawn: list[str] = []
    collages: list[str] = []
    for source in sources:
        assert isinstance(source, ProceduralSource)
        assert source.coloured is not None
        drawn += source.library.stream.strands
        collages += source.coloured.stream.cutouts
    for used in (drawn, collages):
        assert len(used) == len(set(used)) == 3, "held-out files are never trained on"
    draw_libraries(sources, 1, lambda *_: None)
    sources[0].prepare(torch.device("cpu"))
    cut = sources[0].cut(Batch(0, 64, 3, {}), np.random.default_rng(0))
    assert cut.foreground.shape == (3, 3, 64, 64)
    assert cut.alpha.shape == (3, 1, 64, 64)
    spread = (cut.foreground.amax(1) - cut.foreground.amin(1))[cut.alpha[:, 0] > 0.9]
    assert float(spread.median()) > 0.3, "pure colours stay"
