"""Reading clips: every frame, in order and upright, with the time that it is shown at."""

import contextlib
import hashlib
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.sidedata.sidedata import SideDataContainer
from numpy.typing import NDArray

from ..errors import InputError, first_line
from ..images.opening import check_size
from ..images.photo import Photo
from ..profiling import stage
from ..specs import MAX_MEGAPIXELS
from .colour import Colours, planes_of

_REMUX = "repair it, for example: ffmpeg -i CLIP -c copy REPAIRED.mkv"
_COLOURED, _COLOURED_SHARE = 0.2, 0.002
"""How far apart red, green and blue of a grey pixel may be, and of how many pixels: compression makes some colour."""
# FFmpeg would take a name with a colon for an address, and a text of the right words for a list of other clips.
_LOCAL = {"protocol_whitelist": "file", "format_whitelist": "mov,matroska,avi,mxf,mpegts,mpeg,asf"}


@dataclass(frozen=True, eq=False)
class ClipFrame:
    """A decoded frame of a clip. Any thread may ask for its colours, and several at a time.

    index: from 0. number: what people call it, see `Clip`.
    pts, duration: in the clip's time base, the first as in the file.
    turns: quarters to the left that make the picture upright.
    """

    name: str
    index: int
    pts: int
    duration: int
    picture: av.VideoFrame
    colours: Colours
    turns: int
    number: int = 0
    _converting: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def hw(self) -> tuple[int, int]:
        """Height and width of the upright picture."""
        height, width = self.picture.height, self.picture.width
        return (width, height) if self.turns % 2 else (height, width)

    def signal(self) -> NDArray[np.float32]:
        """Return R'G'B' (H, W, 3), upright. Raises `InputError` for transparent pixels and for strange formats."""
        planes, bits = self._planes()
        return np.ascontiguousarray(np.rot90(self.colours.signal(planes, bits), self.turns))

    def grey(self) -> NDArray[np.uint8]:
        """Return the grey of a clip of trimaps or masks: (H, W), 0 black to 255 white, upright. Raises `InputError`."""
        planes, bits = self._planes()
        rgb = self.colours.signal(planes, bits)
        if len(planes) == 3 and np.mean(np.ptp(rgb, axis=2) > _COLOURED) > _COLOURED_SHARE:
            raise InputError(f"{self.name}: is in colour, expected grey values; save it without colour")
        # Luma as it is stored, where there is any; green of RGB.
        plane = self.colours.signal(planes[:1], bits)[:, :, 0] if self.colours.matrix else rgb[:, :, 1]
        return np.ascontiguousarray(np.rot90(np.rint(plane.clip(0, 1) * 255).astype(np.uint8), self.turns))

    def photo(self, network: NDArray[np.uint8]) -> Photo:
        """Return the frame's light, for results with colours. network: (H, W, 3) uint8, as the network sees it."""
        return Photo(self.name, self.colours.light(self.signal()), network, self.colours.space)

    def digest(self) -> bytes:
        """Return a hash of the picture as it is decoded."""
        # The same planes are another picture with other colours, or turned.
        digest = hashlib.blake2b(repr((self.pts, self.colours, self.turns)).encode(), digest_size=16)
        for plane in self._planes()[0]:
            digest.update(plane.tobytes())
        return digest.digest()

    def _planes(self) -> tuple[list[NDArray[Any]], int]:
        """Return the picture as `planes_of` does."""
        # While PyAV converts a picture, it changes the picture's own colour tags and the converter that it keeps there:
        # two threads that did so at a time would crash, or leave other colours.
        with self._converting:
            return planes_of(self.picture, self.name)


class Clip:
    """The best video stream of a file.

    time_base: seconds of a unit of time. rate: frames a second. aspect: of a pixel, width by height.
    offset: what is taken from all times of results, in the time base.
    count: frames that are shown; None where only decoding tells.
    first: the first frame, whose size and colours all others have.
    first_number: its number, from which all frames are counted for people.
    """

    def __init__(self, path: str, max_megapixels: float = MAX_MEGAPIXELS, first_number: int = 0) -> None:
        """Open a clip and decode its first frame.

        Raises `InputError` for what is no clip, is too large, transparent, or has no frames.
        """
        self.path, self.first_number = path, first_number
        with _opened(self.path) as (container, stream):
            if stream.metadata.get("alpha_mode") == "1":
                raise InputError(
                    f"{path}: has an alpha channel, and the colours of transparent pixels are undefined; flatten it"
                )
            check_size(stream.width, stream.height, path, max_megapixels)
            time_base, rate = stream.time_base, stream.average_rate or stream.guessed_rate
            if time_base is None or not rate:
                raise InputError(f"{path}: says no {'times' if time_base is None else 'frame rate'}; {_REMUX}")
            self.time_base: Fraction = time_base
            self.rate: Fraction = rate
            self.aspect = stream.sample_aspect_ratio or Fraction(1)
            # Some containers, such as MPEG-TS, begin at any time.
            self.offset = int(Fraction(max(container.start_time or 0, 0), av.time_base) / self.time_base)
            self.count = _count(container, stream)
        first = next(self.frames(), None)
        if first is None:
            raise InputError(f"{path}: has no frame that can be decoded; {_REMUX}")
        self.first: ClipFrame = first

    def frames(self) -> Iterator[ClipFrame]:
        """Yield all frames from the first on. Raises `InputError` naming one that is damaged, missing or different."""
        index, last_pts, seen = 0, None, None
        with _opened(self.path) as (container, stream):
            stream.thread_type = "AUTO"
            # Otherwise FFmpeg hides damage behind guesses, and a frame looks whole.
            stream.codec_context.options = {"err_detect": "explode"}
            for picture in self._decoded(container, stream):
                time_s = float(picture.pts * self.time_base) if picture.pts is not None else 0.0
                name = f"{self.path}: frame {index + self.first_number} ({time_s:.3f} s)"
                frame = self._checked(picture, index, name, last_pts)
                if seen not in (None, (frame.hw, frame.colours)):
                    raise InputError(
                        f"{name}: differs in size or colour format from the frames before it; cut the clip there"
                    )
                seen, last_pts, index = (frame.hw, frame.colours), frame.pts, index + 1
                yield frame
        if self.count not in (None, index):
            raise InputError(f"{self.path}: only {index} of {self.count} frames can be decoded; {_REMUX}")

    def _checked(self, picture: av.VideoFrame, index: int, name: str, last_pts: int | None) -> ClipFrame:
        """Return a decoded picture as a frame. Raises `InputError` for a damaged or interlaced one, or a wrong time."""
        if picture.is_corrupt:
            raise InputError(f"{name}: is damaged; {_REMUX}, or render it again")
        if picture.pts is None or (last_pts is not None and picture.pts <= last_pts):
            raise InputError(f"{name}: has no timestamp, or one that is not after that of the previous frame; {_REMUX}")
        if picture.interlaced_frame:
            raise InputError(f"{name}: is interlaced; deinterlace the clip first")
        duration = picture.duration or round(1 / self.rate / self.time_base)
        colours, turns, number = Colours.of(picture, name), _turns(picture, name), index + self.first_number
        return ClipFrame(name, index, picture.pts, duration, picture, colours, turns, number)

    def _decoded(self, container: Any, stream: av.VideoStream) -> Iterator[av.VideoFrame]:
        """Yield the pictures of a stream. Raises `InputError` naming the frame that cannot be decoded."""
        index = 0

        def name() -> str:
            return f"frame {index + self.first_number}"

        try:
            for packet in container.demux(stream):
                if packet.is_corrupt:
                    raise InputError(f"{self.path}: the packet of {name()} is damaged; {_REMUX}")
                with stage("decode photo"):
                    pictures = packet.decode()
                for picture in pictures:
                    index += 1
                    yield picture
        except av.FFmpegError as error:
            raise InputError(
                f"{self.path}: {name()} (about {float(index / self.rate):.3f} s) cannot be decoded: "
                f"{first_line(error)}; {_REMUX}, or render it again"
            ) from error


def open_local(path: str | Path) -> Any:
    """Open the container of a regular file, and of no other. Raises `InputError`, also for a list of clips."""
    if not os.path.isfile(path):
        what = "not a regular file" if os.path.exists(path) else "no such file"
        raise InputError(f"{path}: {what}; give the path of a clip on this machine")
    try:
        return av.open(f"file:{os.path.abspath(path)}", options=_LOCAL)
    except av.ArgumentError as error:
        raise InputError(
            f"{path}: cannot be read as a video; give a complete MOV, MP4, Matroska, WebM, AVI, MXF, MPEG or WMV "
            "file, not a list of clips"
        ) from error
    except (av.FFmpegError, OSError) as error:
        raise InputError(f"{path}: cannot be read as a video: {error.strerror}; give a complete clip") from error


@contextlib.contextmanager
def _opened(path: str) -> Iterator[tuple[Any, av.VideoStream]]:
    """Open a clip for a while: its container and its best video stream. Raises `InputError`."""
    with open_local(path) as container:
        stream = container.streams.best("video")
        if not isinstance(stream, av.VideoStream):
            raise InputError(f"{path}: has no video track; give a clip that has one")
        yield container, stream


def _count(container: Any, stream: av.VideoStream) -> int | None:
    """Return the number of frames that are shown: by the index if it is whole, else by the packets.

    None where packets may be hidden.
    """
    entries: Any = stream.index_entries
    if stream.frames and stream.frames == len(entries):
        return sum(1 for entry in entries if not entry.is_discard)
    # Some of its packets hold pictures to predict from that are never shown, and do not say so.
    if stream.codec_context.name == "vp8":
        return None
    packets: Iterator[Any] = container.demux(stream)
    return sum(1 for packet in packets if packet.size and not packet.is_discard)


def _turns(picture: av.VideoFrame, name: str) -> int:
    """Return how many quarters to the left make a picture upright. Raises `InputError` for other matrices."""
    # Not picture.side_data: the picture keeps that, which keeps the picture, so both stay until garbage is collected.
    matrix: Any = SideDataContainer(picture).get("DISPLAYMATRIX")  # type: ignore[call-arg]  # PyAV's stub lacks it
    if matrix is None:
        return 0
    a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5].astype(float)
    if a * d - b * c <= 0 or picture.rotation % 90:
        raise InputError(f"{name}: is stored mirrored or rotated by an odd angle; render it upright first")
    return picture.rotation // 90 % 4
