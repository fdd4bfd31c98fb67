"""Writing frames into a file of one codec."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from ..errors import OutputError, first_line
from ..profiling import stage
from .codecs import Codec, Content
from .colour import BT709, FULL, LIMITED, Colours, picture_of, rescaled
from .reader import Clip

_PROBE_SIDE = 64


def codes_of(codec: Codec, content: Content, colours: Colours, pixels: NDArray[np.float32]) -> av.VideoFrame:
    """Return a picture in the codec's pixel format.

    pixels: R'G'B' and alpha (H, W, 4), R'G'B' (H, W, 3), or alpha (H, W), by `content`. Alpha takes the whole range of
    its bits; grey the limited one where the codec is not `full`, so that 1 is the video's white.
    """
    kind = codec.kinds[content]
    bits = av.VideoFormat(kind).components[0].bits
    scale, top = 1 << (bits - 8), (1 << bits) - 1
    planes: list[NDArray[Any]]
    if content == "grey":
        base, luma = (0, top) if codec.full else (16 * scale, 219 * scale)
        planes = [np.rint(pixels * np.float32(luma) + base).astype(np.uint16)]
        if not kind.startswith("gray"):
            planes += [np.full(pixels.shape, 128 * scale, np.uint16)] * 2
    else:
        planes = colours.codes(pixels[:, :, :3], bits)
    if content == "alpha":
        planes.append(np.rint(pixels[:, :, 3] * np.float32(top)).astype(np.uint16))
    return _subsampled(planes, kind, bits)


def _subsampled(planes: list[NDArray[Any]], kind: str, bits: int) -> av.VideoFrame:
    """Return planes (H, W) of codes as a picture of a pixel format, whose chroma may be smaller."""
    if kind.startswith(("gray", "yuv444", "yuva444")):
        return picture_of(planes, kind)
    deep = "" if bits == 8 else f"{bits}le"
    whole = picture_of(planes, f"yuv{'a' * (len(planes) == 4)}444p{deep}")
    whole.color_range = LIMITED
    return rescaled(whole, kind)


@contextlib.contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """Raise `OutputError` naming `path` where what is inside cannot write it."""
    try:
        yield
    except (av.FFmpegError, OSError) as error:
        raise OutputError(
            f"{path}: cannot be written: {first_line(error)}; free some space and continue with `resume`, or choose "
            "another output"
        ) from error


def add_stream(container: Any, codec: Codec, content: Content, clip: Clip) -> av.VideoStream:
    """Add the stream of a result, tagged as the clip is: for frames to encode, or for packets that were so made."""
    stream: av.VideoStream = container.add_stream(codec.encoder, rate=clip.rate, options=dict(codec.options))
    (stream.height, stream.width), stream.pix_fmt = clip.first.hw, codec.kinds[content]
    stream.codec_context.time_base = stream.time_base = clip.time_base
    stream.codec_context.sample_aspect_ratio = 1 / clip.aspect if clip.first.turns % 2 else clip.aspect
    _tag(stream.codec_context, codec, content, clip.first.colours)
    return stream


def _tag(target: Any, codec: Codec, content: Content, colours: Colours) -> None:
    """Say of a picture or a codec's context what its codes mean."""
    target.color_range = FULL if content == "grey" and codec.full else LIMITED
    target.colorspace = colours.written_matrix
    target.color_primaries, target.color_trc = colours.primaries, colours.transfer


class VideoFile:
    """A file that is being encoded; `close` makes it whole."""

    def __init__(self, path: Path, codec: Codec, content: Content, clip: Clip) -> None:
        """Open a file for the frames of a clip's result. Raises `OutputError`."""
        self.path, self._codec, self._content, self._clip = path, codec, content, clip
        with writing(path):
            self._container = av.open(str(path), "w")
            self._stream = add_stream(self._container, codec, content, clip)

    @stage("encode")
    def write(self, pixels: NDArray[np.float32], pts: int) -> None:
        """Add a frame; see `codes_of`. Raises `OutputError`."""
        picture = codes_of(self._codec, self._content, self._clip.first.colours, pixels)
        picture.pts, picture.time_base = pts, self._clip.time_base
        _tag(picture, self._codec, self._content, self._clip.first.colours)
        with writing(self.path):
            self._container.mux(self._stream.encode(picture))

    def close(self) -> None:
        """Write what is left and end the file. Raises `OutputError`."""
        with writing(self.path):
            self._container.mux(self._stream.encode(None))
            self._container.close()

    def give_up(self) -> None:
        """Leave the file as it is: not whole, and to be removed."""
        self._container.close()


def comes_back(codec: Codec) -> bool:
    """Return whether a codec of this PyAV writes what can be read again: three pictures of its matte."""
    content: Content = codec.matte
    ramp = np.tile(np.linspace(0, 1, _PROBE_SIDE, dtype=np.float32), (_PROBE_SIDE, 1))
    pixels = ramp if content == "grey" else np.dstack([ramp] * 4)
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / f"probe{codec.suffixes[0]}")
        try:
            with av.open(path, "w") as container:
                stream: Any = container.add_stream(codec.encoder, rate=25, options=dict(codec.options))
                stream.width = stream.height = _PROBE_SIDE
                stream.pix_fmt = codec.kinds[content]
                for index in range(3):
                    picture = codes_of(codec, content, Colours(BT709, False, 1, 1), pixels)
                    picture.pts = index
                    container.mux(stream.encode(picture))
                container.mux(stream.encode(None))
            with av.open(path) as container:
                return sum(1 for _ in container.decode(video=0)) == 3
        except (av.FFmpegError, ValueError):
            return False
