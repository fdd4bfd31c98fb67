"""Joining segments, and the clip's sound and timecode, to one file: packets as they are, at the clip's own times."""

import heapq
import io
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.bitstream import BitStreamFilterContext

from ..errors import InputError, UsageError
from ..files import replacing
from ..profiling import stage
from .reader import Clip, open_local
from .segments import Result, Segment
from .writer import add_stream, writing

_OF_THE_FILE = {"major_brand", "minor_version", "compatible_brands", "encoder", "duration", "timecode"}


def check_sound(clip: Clip, path: str) -> None:
    """Raise `UsageError` where the clip's sound cannot be in a container as that of `path`."""
    suffix = Path(path).suffix.lower()
    with av.open(io.BytesIO(), "w", format={".mkv": "matroska"}.get(suffix, suffix[1:])) as container:
        held = container.supported_codecs
    with open_local(clip.path) as source:
        for stream in source.streams.audio:
            name = "of an unknown codec" if stream.codec_context is None else stream.codec_context.name
            if name not in held:
                raise UsageError(
                    f"{path}: {Path(path).suffix} cannot store the clip's audio ({name}); choose .mov or .mkv, or "
                    "leave the audio out with `sound=False`",
                    parameter="sound",
                )


@stage("join")
def join(result: Result, parts: Sequence[Path], segments: Sequence[Segment], clip: Clip, sound: bool) -> None:
    """Write a result, whole or not at all. Raises `InputError` for a segment that is damaged, `OutputError`."""
    with (
        replacing(result.path) as draft,
        open_local(clip.path) as source,
        writing(result.path),
        av.open(str(draft), "w", container_options=_options(result.path)) as target,
    ):
        picture = add_stream(target, result.codec, result.content, clip)
        if timecode := _timecode(source):
            picture.metadata["timecode"] = timecode
        target.metadata.update(_kept(source.metadata))
        inputs = [_pictures(picture, parts, segments, clip)]
        if sound and source.streams.audio:
            inputs.append(_sounds(target, source, clip.offset * clip.time_base))
        for _, packet in heapq.merge(*inputs, key=lambda item: item[0]):
            target.mux_one(packet)


def _options(path: str) -> dict[str, str]:
    """Return FFmpeg's options of a container: Matroska would move all frames by what AAC sound begins before zero."""
    return {"avoid_negative_ts": "disabled"} if Path(path).suffix.lower() in (".mkv", ".webm") else {}


def _pictures(
    stream: av.VideoStream, parts: Sequence[Path], segments: Sequence[Segment], clip: Clip
) -> Iterator[tuple[Fraction, Any]]:
    """Yield the packets of all parts, and the seconds at which they are decoded, for a stream of the result.

    Each gets its time from its segment rather than from its part, whose container may have rounded it.
    Raises `InputError` for a part that does not hold as many pictures as its segment says.
    """
    times = [pts - clip.offset for segment in segments for pts in segment.pts]
    ends = [*times[1:], segments[-1].end - clip.offset]
    index = 0
    for path, segment in zip(parts, segments, strict=True):
        for packet in _packets(path, segment):
            if index == segment.first + len(segment.pts):
                raise _damaged(path, segment)
            packet.time_base = clip.time_base
            packet.pts = packet.dts = times[index]
            packet.duration = ends[index] - times[index]
            packet.stream = stream
            yield times[index] * clip.time_base, packet
            index += 1
        if index != segment.first + len(segment.pts):
            raise _damaged(path, segment)


def _packets(path: Path, segment: Segment) -> Iterator[Any]:
    """Yield the packets of a part as its encoder made them."""
    try:
        opened = open_local(path)
    except InputError as error:
        raise _damaged(path, segment) from error
    with opened as part:
        if not part.streams.video:
            raise _damaged(path, segment)
        stream = part.streams.video[0]
        as_made = None
        if stream.codec_context.name == "h264":
            as_made = BitStreamFilterContext("h264_mp4toannexb", stream)
        for packet in part.demux(stream):
            if packet.size:
                yield from [packet] if as_made is None else as_made.filter(packet)


def _damaged(path: Path, segment: Segment) -> InputError:
    """Return the error for a part that does not hold what its segment says."""
    return InputError(f"{path}: does not contain {len(segment.pts)} frames; start over without `resume`")


def _sounds(target: Any, source: Any, offset_s: Fraction) -> Iterator[tuple[Fraction, Any]]:
    """Add the sound tracks of a clip to a result, and return an iterator of their packets, as `_pictures` yields them.

    offset_s: seconds that are taken from all times.
    """
    streams = {}
    for stream in source.streams.audio:  # now: no stream can be added once the first packet is in the file
        streams[stream.index] = target.add_stream_from_template(stream)
        streams[stream.index].metadata.update(_kept(stream.metadata))

    def packets() -> Iterator[tuple[Fraction, Any]]:
        for packet in source.demux(source.streams.audio):
            if packet.dts is None:  # the empty packet at a stream's end
                continue
            shift = round(offset_s / packet.time_base)
            packet.dts -= shift
            packet.pts = None if packet.pts is None else packet.pts - shift
            packet.stream = streams[packet.stream.index]
            yield packet.dts * packet.time_base, packet

    return packets()


def _timecode(source: Any) -> str | None:
    """Return the timecode of a container, which is on a track of pictures or of data, or in its own metadata."""
    holders = (*source.streams.video, *source.streams.data, source)
    tags = (tag for holder in holders for tag in holder.metadata.items())
    return next((str(value) for name, value in tags if name.lower() == "timecode"), None)


def _kept(metadata: dict[str, str]) -> dict[str, str]:
    """Return the metadata of a container or a stream that a result keeps."""
    return {name: value for name, value in metadata.items() if name.lower() not in _OF_THE_FILE}
