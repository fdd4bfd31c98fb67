"""Finding the frames of a job."""

from pathlib import Path

import pytest

from litematting_deploy.errors import InputError, UsageError
from litematting_deploy.jobs.frame_numbers import parse_numbers, say_numbers, shard
from litematting_deploy.jobs.frames import Frame, find_sources, is_many, means


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def test_folders_keep_sub_folders_and_match_by_stem(tmp_path: Path) -> None:
    images = touch(tmp_path / "i", "b.JPG", "shot 1/ä.0001.exr", "shot 1/ä.0002.exr", "notes.txt")
    touch(images, ".hidden.png", ".old/b.png")
    trimaps = touch(tmp_path / "t", "b.png", "shot 1/ä.0001.tif", "other.png")
    assert find_sources(images, trimaps).frames == [
        Frame("b", images / "b.JPG", trimaps / "b.png"),
        Frame("shot 1/ä.0001", images / "shot 1" / "ä.0001.exr", trimaps / "shot 1" / "ä.0001.tif"),
        Frame("shot 1/ä.0002", images / "shot 1" / "ä.0002.exr", None),
    ]


@pytest.mark.parametrize("pattern", ["beauty.%04d.png", "beauty.####.png"])
def test_patterns_match_by_number(tmp_path: Path, pattern: str) -> None:
    touch(tmp_path, *(f"beauty.{number:04}.png" for number in (1, 2, 3, 10, 12000)), "beauty.12.png", "beauty.000x.png")
    touch(tmp_path, "matte_1.tif", "matte_10.tif", "matte_12000.tif")
    frames = find_sources(tmp_path / pattern, tmp_path / "matte_%d.tif").frames
    assert [frame.name for frame in frames] == [
        f"beauty.{number}" for number in ("0001", "0002", "0003", "0010", "12000")
    ]
    trimaps = [frame.trimap and frame.trimap.name for frame in frames]
    assert trimaps == ["matte_1.tif", None, None, "matte_10.tif", "matte_12000.tif"]
    chosen = find_sources(tmp_path / pattern, tmp_path / "matte_%d.tif", parse_numbers("2-11")).frames
    assert [frame.name for frame in chosen] == ["beauty.0002", "beauty.0003", "beauty.0010"]


def test_a_pattern_and_a_folder_match_by_stem(tmp_path: Path) -> None:
    images = touch(tmp_path / "i", "f.01.png", "f.02.png")
    trimaps = touch(tmp_path / "t", "f.02.png")
    assert [frame.trimap for frame in find_sources(images / "f.%02d.png", trimaps).frames] == [
        None,
        trimaps / "f.02.png",
    ]


def test_shards_share_all_frames_out(tmp_path: Path) -> None:
    images = touch(tmp_path, *(f"{number}.png" for number in range(10)))
    frames = find_sources(images, images).frames
    parts = [shard(frames, f"{part}/3") for part in (1, 2, 3)]
    assert sorted(frame.name for part in parts for frame in part) == [frame.name for frame in frames]
    assert [len(part) for part in parts] == [4, 3, 3]


@pytest.mark.parametrize(
    "text", ["0/3", "4/3", "3", "a/b", "1/0", "-1/3", "1/" + "9" * 5000], ids=lambda text: text[:9]
)
def test_other_shards_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="`shard` must be PART/PARTS, such as 3/16") as failure:
        shard([1, 2, 3], text)
    assert failure.value.parameter == "shard"


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    images = touch(tmp_path / "i", "a.png", "shot/b.png")
    touch(tmp_path / "elsewhere", "c.png")
    (images / "linked").symlink_to(tmp_path / "elsewhere")
    (images / "shot" / "up").symlink_to(images)
    (images / "lost.png").symlink_to(tmp_path / "gone.png")
    assert [frame.name for frame in find_sources(images, images).frames] == ["a", "linked/c", "lost", "shot/b"]


def test_names_that_macos_has_decomposed(tmp_path: Path) -> None:
    composed, decomposed = "\u00e9", "e\u0301"
    (frame,) = find_sources(touch(tmp_path / "i", f"{composed}.png"), touch(tmp_path / "t", f"{decomposed}.png")).frames
    assert (frame.name, frame.trimap) == (composed, tmp_path / "t" / f"{decomposed}.png")
    touch(tmp_path / "i", f"{decomposed}.png")
    touch(tmp_path / "t", f"{composed}.png")
    both = find_sources(tmp_path / "i", tmp_path / "t").frames
    assert {frame.name: frame.trimap for frame in both} == {
        name: tmp_path / "t" / f"{name}.png" for name in (composed, decomposed)
    }


def test_trimaps_that_no_photo_wants_may_be_two(tmp_path: Path) -> None:
    images, trimaps = touch(tmp_path / "i", "a.png"), touch(tmp_path / "t", "a.png", "b.png", "b.tif")
    assert [frame.trimap for frame in find_sources(images, trimaps).frames] == [trimaps / "a.png"]
    touch(images, "b.jpg")
    with pytest.raises(InputError, match=r"b\.tif: is the same frame as .*b\.png"):
        find_sources(images, trimaps)


def test_negative_numbers(tmp_path: Path) -> None:
    touch(tmp_path, *(f"a.{number:04}.png" for number in (-12, -1, 0, 7)))
    assert [frame.number for frame in find_sources(tmp_path / "a.%04d.png", tmp_path).frames] == [-12, -1, 0, 7]
    chosen = find_sources(tmp_path / "a.####.png", tmp_path, parse_numbers("-1-7")).frames
    assert [frame.name for frame in chosen] == ["a.-001", "a.0000", "a.0007"]
    assert parse_numbers("-3--1,5") == [-3, -2, -1, 5]


def test_what_a_pattern_means() -> None:
    assert means("f/a.%d.png", "a.0002.png")
    assert not means("f/a.%d.png", "a.0002.tif")
    signed = {"-001": True, "-1234": True, "-0001": False, "-0000": False, "-12": False}
    assert {number: means("f%04d.png", f"f{number}.png") for number in signed} == signed


def test_numbers() -> None:
    assert parse_numbers("1,5, 9-12") == [1, 5, 9, 10, 11, 12]
    assert parse_numbers("1-10x4") == [1, 5, 9]
    assert say_numbers({12, 1, 5, 11, 9, 10}) == "1,5,9-12"


@pytest.mark.parametrize(
    "text", ["", "a", "1-", "5-1", "1-9x0", "1;2", "1-99999999999", "9" * 5000], ids=lambda text: text[:13] or "empty"
)
def test_other_numbers_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="`frames`") as failure:
        parse_numbers(text)
    assert failure.value.parameter == "frames"


def test_what_stands_for_several_files(tmp_path: Path) -> None:
    assert is_many(tmp_path)
    assert is_many("a/frame.%d.exr")
    assert is_many("a/frame.###.exr")
    assert not is_many("a/frame.1.exr")
    assert not is_many("a%d/frame.exr")
    assert not is_many("a/frame.%099999999999d.exr")


def test_what_exists_is_no_pattern(tmp_path: Path) -> None:
    images = touch(tmp_path / "take #2", "a%d.png")
    assert is_many(images)
    assert not is_many(images / "a%d.png")
    assert [frame.name for frame in find_sources(images, images).frames] == ["a%d"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder, one of two photos of one name, and `i` with a numbered photo."""
    folder = tmp_path_factory.mktemp("folders")
    (folder / "empty").mkdir()
    touch(folder / "twice", "a.png", "a.jpg")
    touch(folder / "i", "a.1.png")
    return folder


@pytest.mark.parametrize(
    ("images", "trimaps", "numbers", "words"),
    [
        ("empty", "i", None, "empty: contains no image"),
        ("i", "nowhere", None, "nowhere: no such folder; give"),
        ("shot%d/a.%d.png", "i", None, "shot%d: no such folder; give"),
        ("i", "i/a.1.png", None, "a.1.png: it is a single file; give a folder"),
        ("twice", "i", None, "a.png: is the same frame as "),
        ("i/a.%0999d.png", "i", None, "a.%0999d.png: contains no image"),
        ("i/a.%d.png", "i", [7, 8, 9], "no image is numbered 7 to 9; the numbers range from 1 to 1"),
        ("i", "i", [1], "`frames` selects from a numbered pattern"),
    ],
    ids=[
        "a folder has photos",
        "trimaps must be there",
        "the folder of a pattern must be there",
        "many photos have many trimaps",
        "two photos are two frames",
        "a pattern means a file",
        "numbers are those of files",
        "only patterns have numbers",
    ],
)
def test_sources_that_are_refused(
    folders: Path, images: str, trimaps: str, numbers: list[int] | None, words: str
) -> None:
    with pytest.raises(UsageError if images == trimaps else InputError) as failure:
        find_sources(folders / images, folders / trimaps, numbers)
    assert words in str(failure.value)
