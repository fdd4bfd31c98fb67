"""Compare two folders of results: pictures, clips, exports, JSON and texts, each by what it holds."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import onnx
from numpy.typing import NDArray
from PIL import Image

from tests.images.files import read_exr
from tests.video.clips import packets, planes_of, read_clip

Contents = dict[str, Any]
CLIPS, TEXTS = (".mov", ".mp4", ".mkv", ".webm"), (".html", ".md", ".csv", ".txt", ".pbtxt")
MEASURED_JOBS = "measure-"
# Keys of JSON whose values a run measures.
MEASURED = re.compile(r"seconds|(^|_)(s|ms|mb|mhz)$|latency|memory|load|bytes|per_s|^elsewhere$")
TIMES = re.compile(r"\d+(\.\d+)? ?(s|ms|min|h)\b|\d+:\d\d(:\d\d)?")
PROGRESS = re.compile(r"^\d+(?=/\d+ )", re.MULTILINE)
NUMBERS = re.compile(r"[-+]?\d[\d.,:]*(e[-+]?\d+)?")


def same_words(text: str, measured: bool) -> str:
    """Return a text without times; where its numbers are measured, without all of these and without its layout.

    Lines are sorted and progress is not counted: which frame of a folder is done first is chance.
    """
    if not measured:
        return "\n".join(sorted(PROGRESS.sub("#", TIMES.sub("#", text)).splitlines()))
    return re.sub(r"[\s─━┄┏┓┗┛┳┻╇┡┩│┃└┘┴┼-]+", " ", NUMBERS.sub("#", text))


def differences(old: Path, new: Path, job: str) -> Iterator[str]:
    """Yield how two files differ, in one line for each thing that does; nothing where they hold the same."""
    old_bytes, new_bytes = old.read_bytes(), new.read_bytes()
    if old_bytes == new_bytes:
        return
    measured, suffix = job.startswith(MEASURED_JOBS), old.suffix.lower()
    read: Callable[[Path], Contents] = {
        **dict.fromkeys(CLIPS, _clip),
        **dict.fromkeys(TEXTS, lambda path: {"text": same_words(path.read_text(), measured)}),
        **dict.fromkeys((".png", ".tif", ".tiff"), _picture),
        ".exr": _exr,
        ".onnx": _network,
        ".json": lambda path: dict(_leaves(json.loads(path.read_text()), "", measured)),
        ".jsonl": lambda path: dict(_leaves([json.loads(line) for line in path.open()], "", measured)),
    }.get(suffix, lambda path: {"bytes": path.read_bytes()})
    before, after = read(old), read(new)
    found = [line for name in before | after if (line := _apart(name, before, after))]
    if not found and suffix in (".png", ".tif", ".tiff", ".exr", ".onnx"):
        found = [f"holds the same in other bytes ({len(old_bytes)} and {len(new_bytes)})"]
    yield from found


def _apart(name: str, before: Contents, after: Contents) -> str | None:
    """Say how the two values of one name differ."""
    if name not in before or name not in after:
        return f"{name}: only the {'old' if name in before else 'new'} one has it"
    old, new = before[name], after[name]
    if not isinstance(old, np.ndarray):
        return None if old == new else f"{name}: {old!r:.90} -> {new!r:.90}"
    if (old.dtype, old.shape) != (new.dtype, new.shape):
        return f"{name}: {old.dtype} {old.shape} -> {new.dtype} {new.shape}"
    if old.tobytes() == new.tobytes():
        return None
    apart = np.abs(old.astype(np.float64) - new.astype(np.float64))
    return f"{name}: {np.count_nonzero(apart)} of {apart.size} values differ, by {np.nanmax(apart):.4g} at most"


def _picture(path: Path) -> Contents:
    """Pixels, what Pillow finds beside them, and the chunks of a PNG but for those of its pixels."""
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    with Image.open(path) as picture:
        said = {f"info {name}": value for name, value in picture.info.items()}
        tags = getattr(picture, "tag_v2", {})
        said |= {f"tag {tag}": tags[tag] for tag in tags if tag not in (273, 279)}  # offsets and sizes of strips
        exif = picture.getexif()
        said |= {f"exif {tag}": value for tag, value in exif.items() if tag not in tags}
    return said | {"pixels": np.empty(0) if pixels is None else pixels, "chunks": _chunks(path.read_bytes())}


def _chunks(content: bytes) -> list[tuple[bytes, bytes]]:
    found, place = [], 8
    while content[:4] == b"\x89PNG" and place < len(content):
        size = int.from_bytes(content[place : place + 4], "big")
        if (name := content[place + 4 : place + 8]) != b"IDAT":
            found.append((name, content[place + 8 : place + 8 + size]))
        place += 12 + size
    return found


def _exr(path: Path) -> Contents:
    planes, header = read_exr(path)
    return {**planes, **{f"attribute {name}": str(value) for name, value in header.items()}}


def _clip(path: Path) -> Contents:
    """Decoded frames, times, colours and metadata of a clip, its sound, and what its container says of itself."""
    with av.open(str(path)) as container:
        codec = container.streams.video[0].codec_context.name
        kept = {f"container {name}": value for name, value in container.metadata.items() if name != "encoder"}
        sounds = len(container.streams.audio)
    pictures, _, said = read_clip(path, "libvpx-vp9" if codec == "vp9" else None)
    contents = {f"frame {i} plane {j}": x for i, p in enumerate(pictures) for j, x in enumerate(planes_of(p))}
    context = said.context
    stored = ("name", "profile", "codec_tag", "width", "height", "pix_fmt", "sample_aspect_ratio")
    colours = ("color_range", "colorspace", "color_primaries", "color_trc")
    about = {name: getattr(context, name) for name in (*stored, *colours)}
    times = [(picture.pts, picture.format.name) for picture in pictures]
    sound = packets(path, "audio") if sounds else []
    return {**contents, **about, **kept, "times": times, "duration": said.duration, "time base": said.time_base} | {
        "metadata": {name: value for name, value in said.metadata.items() if name != "encoder"},
        "sound": sound,
    }


def _network(path: Path) -> Contents:
    """Nodes, weights and metadata of an ONNX."""
    model = onnx.load(path)
    arrays: dict[str, NDArray[Any]] = {
        f"weights {item.name}": onnx.numpy_helper.to_array(item) for item in model.graph.initializer
    }
    nodes = {f"node {index}": node.SerializeToString() for index, node in enumerate(model.graph.node)}
    return {**arrays, **nodes, **{f"metadata {item.key}": item.value for item in model.metadata_props}}


def _leaves(value: Any, path: str, measured: bool, hidden: bool = False) -> Iterator[tuple[str, Any]]:
    """Yield each value of a JSON document by its path; of versions and measurements, only that they are there.

    Items of lists go by their names where they have some: stages of threads begin in no fixed order.
    """
    if isinstance(value, dict) and value:
        for name, item in value.items():
            apart = name == "versions" or (measured and MEASURED.search(name) is not None)
            yield from _leaves(item, f"{path}/{name}", measured, hidden or apart)
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            name = item.get("name", index) if isinstance(item, dict) else index
            yield from _leaves(item, f"{path}/{'*' if hidden else name}", measured, hidden)
    else:
        yield path, "measured" if hidden else value
