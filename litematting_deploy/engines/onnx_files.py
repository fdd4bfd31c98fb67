"""An ONNX with the files of weights that it names, laid out as the libraries demand."""

import contextlib
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ..errors import ArtefactError
from ..sidecar import Sidecar, neighbour, places

# How a tensor in an ONNX names its file: an entry of two texts, the key and the name behind its length.
_LOCATION = re.compile(rb"\n\x08location\x12([\x80-\xff]?[\x00-\x7f])")


@contextlib.contextmanager
def gathered(path: Path, sidecar: Sidecar | None) -> Iterator[Path]:
    """Give the path of an ONNX that has its weights beside it under the names that it calls them by.

    ONNX Runtime, OpenVINO and TensorRT seek weights beside the file, and refuse those behind a link that leaves the
    folder. So links are resolved and, where the files are called otherwise there or lie apart, copied to a folder that
    lasts as long as the context; libraries that map a file into memory keep it. Raises `ArtefactError`.

    sidecar: of the ONNX, whose hash vouches for weights wherever they lie. Others must be in the folder of the ONNX or
    in one that its links lead to: a file that nobody vouches for must not have the library read any file it names.
    """
    graph = path.resolve()
    weights = {name: neighbour(path, name).resolve() for name in _named(graph)}
    if not weights:  # the name as given may be the only one that ends as an ONNX does
        yield path
        return
    vouched = {sidecar.checkpoint} if sidecar is not None and sidecar.weights_beside else set()
    near = {place.parent.resolve() for place in places(path)}
    in_place = all(file == graph.with_name(name) for name, file in weights.items())
    if in_place or not all(
        file.is_file() and (file.parent in near or name in vouched) for name, file in weights.items()
    ):
        yield graph
        return
    with tempfile.TemporaryDirectory(prefix="ltm-", ignore_cleanup_errors=True) as folder:
        try:
            for name, file in {path.name: graph, **weights}.items():
                shutil.copyfile(file, Path(folder) / name)
        except OSError as error:
            raise ArtefactError(
                f"{path}: its weights are behind a link and cannot be copied to {folder}: {error.strerror}; free "
                "some space there, or replace the links with files"
            ) from error
        yield Path(folder) / path.name


def _named(graph: Path) -> set[str]:
    """Return the names of files that an ONNX says its weights are in; paths, which nothing reads, are left out."""
    content, names = b"", set()
    with contextlib.suppress(OSError):  # which the library says in its own words
        content = graph.read_bytes()
    for found in _LOCATION.finditer(content):
        # A length has seven bits in each byte, the lowest first.
        length = sum((byte & 0x7F) << 7 * place for place, byte in enumerate(found[1]))
        name = content[found.end() : found.end() + length].decode(errors="replace")
        if name == Path(name).name and "\0" not in name and name not in ("", ".."):
            names.add(name)
    return names
