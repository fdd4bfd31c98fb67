"""Files that nobody vouches for become frozen values, or errors that say which key is wrong, and how."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from litematting_deploy.errors import ArtefactError, InputError, UsageError
from litematting_deploy.parameters import check_number
from litematting_deploy.schema import decode, encode


@dataclass(frozen=True)
class Lens:
    focal_mm: float
    coated: bool = False


@dataclass(frozen=True)
class Camera:
    name: str
    size: tuple[int, int]
    kind: Literal["still", "film"] | None = "still"
    lenses: tuple[Lens, ...] = ()
    stops: dict[str, dict[str, float]] = field(default_factory=dict)
    notes: Path | None = None
    iso: int | None = None
    extra: Any = None

    def __post_init__(self) -> None:
        check_number("iso", self.iso, 1)
        if self.size[0] < 1:
            raise ValueError("size has no width")


WHOLE = {
    "format": 3,
    "name": "a",
    "size": [3, 2],
    "kind": None,
    "lenses": [{"focal_mm": 50}],
    "stops": {"f": {"2": 1.5}},
    "notes": "n.txt",
    "extra": {"what": ["ever"]},
}
REMEDY = "buy another"


def read(path: Path) -> Camera:
    return decode(path, Camera, name="a camera", marks={"format": 3}, remedy=REMEDY)


def test_a_file_becomes_a_value_and_a_value_the_same_file(tmp_path: Path) -> None:
    path = tmp_path / "camera.json"
    path.write_text(json.dumps(WHOLE))
    camera = read(path)
    assert camera.size == (3, 2)
    assert camera.lenses == (Lens(50.0),)
    assert isinstance(camera.lenses[0].focal_mm, float)
    assert (camera.notes, camera.stops, camera.extra) == (Path("n.txt"), {"f": {"2": 1.5}}, {"what": ["ever"]})
    path.write_bytes(encode(Lens(50.0), {"format": 3}))
    assert json.loads(path.read_bytes()) == {"format": 3, "focal_mm": 50.0, "coated": False}
    assert decode(path, Lens, name="a lens", marks={"format": 3}) == Lens(50.0)
    assert decode(b'[{"focal_mm": 1}]', list[Lens], name="lenses") == [Lens(1.0)]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": 2}, "format is 2, and this version reads 3"),
        ({"format": None}, "format is None, and this version reads 3"),
        ({"name": 4}, "name must be a text; got 4"),
        ({"size": 4}, "size must be a list; got 4"),
        ({"size": [1, 2, 3]}, "size must be a list of length 2; got [1, 2, 3]"),
        ({"size": [1, "2"]}, "size[1] must be an integer; got '2'"),
        ({"size": [1, True]}, "size[1] must be an integer; got True"),
        ({"size": [1, 2.0]}, "size[1] must be an integer; got 2.0"),
        ({"kind": "tv"}, "kind must be one of still, film; got 'tv'"),
        ({"lenses": [{}]}, "lenses[0].focal_mm is missing"),
        ({"lenses": [{"focal_mm": 1}, {"focal_mm": "x" * 99}]}, "lenses[1].focal_mm must be a number; got 'xxx"),
        ({"lenses": [{"focal_mm": 1, "coated": 1}]}, "lenses[0].coated must be true or false; got 1"),
        ({"lenses": [{"focal_mm": 1, "coat": 1}]}, "unknown key 'lenses[0].coat'; a camera has focal_mm, coated"),
        ({"lenses": {"focal_mm": 1}}, "lenses must be a list; got {'focal_mm': 1}"),
        ({"stops": {"f": {"2": "wide"}}}, "stops[...][...] must be a number; got {'f': {'2': 'wide'}}"),
        ({"notes": ""}, "notes must be a file name; got ''"),
        ({"notes": 3}, "notes must be a file name; got 3"),
        ({"iso": 0}, "iso must be 1 or more; got 0"),
        ({"size": [0, 1]}, "size has no width"),
        ({"nmae": 1}, "unknown key 'nmae'; a camera has name, size, kind"),
    ],
    ids=str,
)
def test_what_is_wrong_is_said_with_key_value_and_what_is_accepted(
    change: dict[str, Any], words: str, tmp_path: Path
) -> None:
    path = tmp_path / "camera.json"
    path.write_text(json.dumps({**WHOLE, **change}))
    with pytest.raises(ArtefactError) as failure:
        read(path)
    message = str(failure.value)
    assert message.startswith(f"{path}: {words}")
    assert message.endswith(f"; {REMEDY}")
    assert "`" not in message  # a command would print its flag
    assert len(message) < len(str(path)) + 200


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"[]", "not a camera"),
        (b"{", "not a camera: Expecting property name"),
        (b"[" * 100_000, "not a camera: nested too deep"),
        (b"\xff", "not a camera: "),
        (b" " * (1 << 20) + b"{}", "not a camera: larger than 1048576 bytes"),
        (b'{"format": 3}', "name is missing"),
    ],
    ids=["list", "cut", "deep", "no text", "long", "empty"],
)
def test_what_is_no_such_file_at_all(content: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "camera.json"
    path.write_bytes(content)
    with pytest.raises(ArtefactError) as failure:
        read(path)
    assert str(failure.value).startswith(f"{path}: {words}")


def test_bytes_raise_the_error_that_the_caller_wants() -> None:
    with pytest.raises(InputError, match=r"^a record: not a record: Expecting value"):
        decode(b"", Camera, name="a record", error=InputError)


def test_a_missing_file_is_named_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match=r"no\.json: not a camera: No such file or directory; buy another"):
        read(tmp_path / "no.json")


def test_toml_becomes_a_value(tmp_path: Path) -> None:
    path = tmp_path / "camera.toml"
    path.write_text('name = "a"\nsize = [3, 2]\n[[lenses]]\nfocal_mm = 50\n')
    assert decode(path, Camera, name="a camera", toml=True) == Camera("a", (3, 2), lenses=(Lens(50.0),))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('name = "a"', "size is missing"),
        ("iso = 0x" + "f" * 900, "more than 64 bits"),
        (f"extra = {'[' * 8}{']' * 8}", "nested deeper than"),
        ("x" * 2000, "a line is longer than 1000 bytes"),
    ],
    ids=["a key is missing", "a long integer", "deep", "a long line"],
)
def test_toml_beyond_what_is_written_by_hand_is_refused(content: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "camera.toml"
    path.write_text(content)
    with pytest.raises(UsageError, match=words) as failure:
        decode(path, Camera, name="a camera", toml=True, error=UsageError)
    assert str(failure.value).startswith(f"{path}: ")
