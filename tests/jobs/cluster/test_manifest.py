"""What is written down of a job, and what --resume makes of it."""

import contextlib
from pathlib import Path

import pytest

from litematting_deploy.errors import InputError, OutputError
from litematting_deploy.jobs.cluster.manifest import Manifest, Record, stamps


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    """A source and a result."""
    named = tmp_path / "photo.png", tmp_path / "alpha.png"
    for path in named:
        path.write_text(path.name)
    return str(named[0]), str(named[1])


def record(files: tuple[str, str], failure: str | None = None, frame: str = "a") -> Record:
    source, result = files
    return Record(frame, failure, stamps([result]), stamps([source]))


def is_done(folder: Path, files: tuple[str, str], since_ns: int = 0) -> bool:
    with contextlib.closing(Manifest(folder, since_ns)) as manifest:
        return manifest.is_done("a", [files[1]], [files[0]])


def test_done_while_nothing_changes(tmp_path: Path, files: tuple[str, str]) -> None:
    assert not is_done(tmp_path, files)
    with contextlib.closing(Manifest(tmp_path, 0)) as manifest:
        manifest.add(record(files))
    with contextlib.closing(Manifest(tmp_path, 0)) as manifest:
        assert manifest.is_done("a", [files[1]], [files[0]])
        assert not manifest.is_done("a", [*files], [files[0]]), "another result is wanted"
        assert not manifest.is_done("b", [files[1]], [files[0]])
    assert is_done(tmp_path, files)


@pytest.mark.parametrize("changed", [0, 1])
def test_not_done_when_a_file_changed_or_went(tmp_path: Path, files: tuple[str, str], changed: int) -> None:
    with contextlib.closing(Manifest(tmp_path, 0)) as manifest:
        manifest.add(record(files))
    Path(files[changed]).write_text("longer than before")
    assert not is_done(tmp_path, files)
    Path(files[changed]).unlink()
    assert not is_done(tmp_path, files)


def test_the_last_record_counts_and_a_cut_off_line_does_not(tmp_path: Path, files: tuple[str, str]) -> None:
    with contextlib.closing(Manifest(tmp_path, 0)) as manifest:
        manifest.add(record(files, "unreadable"))
    assert not is_done(tmp_path, files)
    with contextlib.closing(Manifest(tmp_path, 0)) as manifest:
        manifest.add(record(files))
        manifest.add(record(files, frame="b"))
    content = manifest.path.read_text().rstrip()
    manifest.path.write_text(content[:-20])
    with contextlib.closing(Manifest(tmp_path, 0)) as manifest:
        assert manifest.is_done("a", [files[1]], [files[0]])
        assert not manifest.is_done("b", [files[1]], [files[0]])
        manifest.add(record(files, frame="b"))
    with contextlib.closing(Manifest(tmp_path, 0)) as manifest:
        assert manifest.is_done("b", [files[1]], [files[0]])


def test_not_done_with_settings_that_came_later(tmp_path: Path, files: tuple[str, str]) -> None:
    with contextlib.closing(Manifest(tmp_path, 0)) as manifest:
        manifest.add(record(files))
    made_ns = Path(files[1]).stat().st_mtime_ns
    assert is_done(tmp_path, files, made_ns)
    assert not is_done(tmp_path, files, made_ns + 1)


def test_two_jobs_write_beside_each_other(tmp_path: Path, files: tuple[str, str]) -> None:
    with contextlib.closing(Manifest(tmp_path, 0)) as one, contextlib.closing(Manifest(tmp_path, 0)) as other:
        one.add(record(files))
        other.add(record(files, frame="b"))
        one.add(record(files, frame="c"))
    with contextlib.closing(Manifest(tmp_path, 0)) as manifest:
        assert all(manifest.is_done(name, [files[1]], [files[0]]) for name in "abc")


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"no/manifest\.jsonl: cannot be written: No such file.*another output"):
        Manifest(tmp_path / "no", 0)


@pytest.mark.parametrize(
    "line", [b"\xff\xfe", b'{"a":' * 50_000, b"[]", b'{"frame": [], "failure": null, "files": {}, "sources": {}}']
)
def test_lines_that_are_no_records_say_nothing(tmp_path: Path, files: tuple[str, str], line: bytes) -> None:
    with contextlib.closing(Manifest(tmp_path, 0)) as manifest:
        manifest.add(record(files))
    manifest.path.write_bytes(line + b"\n" + manifest.path.read_bytes())
    assert is_done(tmp_path, files)


def test_a_manifest_that_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "manifest.jsonl").mkdir()
    with pytest.raises(InputError, match=r"manifest\.jsonl: cannot be read: Is a directory; delete it"):
        Manifest(tmp_path, 0)
