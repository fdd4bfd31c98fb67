"""python -m tests.hardening.fuzz READER hypothesis|atheris BUDGET FOLDER: damaged files, until one is not taken well.

BUDGET: examples of hypothesis, seconds of atheris. FOLDER: empty; on a failure the file that made it lies in there.
A file is taken well when it is read, or refused by a `LiteMattingError`, in ten seconds and 4 GB, and nothing else is
written, started or connected to. The process ends with 0 where all were; a hang or a crash of a
library ends it by a signal.
"""

import contextlib
import os
import resource
import signal
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.hardening.readers import Reader

_SECONDS, _BYTES = 10, 4 << 30
_FORBIDDEN = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "socket.connect", "os.symlink", "os.link")
_MOVES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.chmod")
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class Watch:
    """Sees what a reader does to the system, and ends the process where that is not its business."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._on = str(folder.resolve()), False
        sys.addaudithook(self._event)

    def _event(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._on:
            return
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITES
        outside = (
            not os.path.abspath(os.fsdecode(arguments[0])).startswith(self._folder) if self._names(arguments) else 0
        )
        allowed = self._names(arguments) and os.fsdecode(arguments[0]) == os.devnull
        if event in _FORBIDDEN or ((writes or event in _MOVES) and outside and not allowed):
            os.write(2, f"{event} {arguments!r}\n".encode())
            os.abort()

    @staticmethod
    def _names(arguments: tuple[Any, ...]) -> bool:
        return bool(arguments) and isinstance(arguments[0], str | bytes)

    def take(self, reader: "Reader", path: Path, content: bytes) -> None:
        """Read `content` under the rules. Raises what is no `LiteMattingError`."""
        path.write_bytes(content)
        signal.alarm(_SECONDS)
        self._on = True
        try:
            _read(reader, path)
        finally:
            self._on = False
            signal.alarm(0)


def main(name: str, engine: str, budget: str, folder: str) -> None:
    """See above."""
    inside = Path(folder)
    warnings.simplefilter("ignore")
    with _instrumented(engine):
        from tests.hardening.readers import READERS

        reader = READERS[name]
        path, whole = inside / reader.file, reader.seeds()
        for content in whole:  # imports what the reader needs
            path.write_bytes(content)
            _read(reader, path)
    watch = Watch(inside)
    resource.setrlimit(resource.RLIMIT_AS, (_bytes_in_use() + _BYTES,) * 2)
    if engine == "hypothesis":
        from tests.hardening.damage import examples

        examples(name, whole, int(budget), lambda content: watch.take(reader, path, content))
    else:
        _atheris(whole, int(budget), inside, lambda content: watch.take(reader, path, content))


def _read(reader: "Reader", path: Path) -> None:
    from litematting_deploy.errors import LiteMattingError

    try:
        reader.read(path)
    except LiteMattingError as error:
        if not str(error):
            raise ValueError("an error that says nothing") from error


def _instrumented(engine: str) -> contextlib.AbstractContextManager[Any]:
    if engine == "hypothesis":
        return contextlib.nullcontext()
    import atheris

    return atheris.instrument_imports(include=["litematting_deploy", "PIL", "tomllib", "json"])  # type: ignore[no-any-return]


def _bytes_in_use() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def _atheris(whole: list[bytes], seconds: int, folder: Path, take: Any) -> None:
    import atheris

    corpus = folder.with_name(f"{folder.name}.corpus")
    corpus.mkdir()
    for index, content in enumerate(whole):
        (corpus / str(index)).write_bytes(content)
    options = (f"-max_total_time={seconds}", "-max_len=20000", "-rss_limit_mb=0", f"-artifact_prefix={folder}/")
    atheris.Setup([sys.argv[0], *options, "-verbosity=0", str(corpus)], take)
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
