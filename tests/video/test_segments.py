"""Segments: their notes are checked, since somebody else may have written them."""

import json
from pathlib import Path
from typing import Any

import pytest

from litematting_deploy.errors import InputError
from litematting_deploy.video.segments import Segment
from tests.hardening.readers import READERS

WHOLE = {"first": 0, "pts": [0, 1001], "sources": ["00", "11"], "end": 2002}


def read(folder: Path, content: str) -> object:
    path = folder / "00000000.json"
    path.write_text(content)
    return READERS["segment"].read(path)


def test_whole(tmp_path: Path) -> None:
    assert read(tmp_path, json.dumps(WHOLE)) == [Segment(0, [0, 1001], ["00", "11"], 2002)]


@pytest.mark.parametrize(
    "change",
    [
        {"first": 1},
        {"pts": [0]},
        {"pts": [], "sources": []},
        {"pts": [0, "1"]},
        {"pts": [1, 0]},
        {"end": 0},
        {"end": 1 << 70},
        {"sources": [0, 1]},
        {"pts": 3},
        {"other": 3},
    ],
)
def test_values_that_cannot_be(change: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"00000000\.json: .*; delete it"):
        read(tmp_path, json.dumps(WHOLE | change))


@pytest.mark.parametrize("content", ["", "[" * 200_000, "[]", "null", '"a"'])
def test_no_segment(content: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"00000000\.json: .*; delete it"):
        read(tmp_path, content)
