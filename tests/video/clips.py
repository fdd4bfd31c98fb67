"""Clips of known codes: made and read by PyAV, with nothing of what is tested."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

RATE, TIME_BASE = Fraction(24000, 1001), Fraction(1, 24000)
LOSSLESS = {"qp": "0", "bf": "0"}
KR_KB = {1: (0.2126, 0.0722), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}
HEIGHT, WIDTH = 48, 64


def moving(count: int, bits: int = 8, seed: int = 0) -> list[list[NDArray[Any]]]:
    """Smooth colours that move, as planes of codes of limited range, chroma of whole size and the same in 2x2."""
    rng, scale = np.random.default_rng(seed), 1 << (bits - 8)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    frames = []
    for index in range(count):
        luma = 126 + 90 * np.sin((x + 3 * index) / 9) * np.cos(y / 7)
        cb = 128 + 50 * np.sin((x // 2 * 2 + index) / 20)
        cr = 128 + 50 * np.cos((y // 2 * 2 - index) / 15)
        frames.append([np.rint(plane * scale).astype(np.uint16) for plane in (luma, cb, cr)])
    frames[0][0][0, 0] += rng.integers(0, 2)
    return frames


def trimaps(count: int) -> list[NDArray[np.uint8]]:
    """A square that moves, with a band around it."""
    found = []
    for index in range(count):
        trimap = np.zeros((HEIGHT, WIDTH), np.uint8)
        left = 4 + index % 16
        trimap[6:42, left : left + 40] = 128
        trimap[14:34, left + 10 : left + 30] = 255
        found.append(trimap)
    return found


def save_clip(
    path: Path,
    frames: Sequence[Sequence[NDArray[Any]]],
    encoder: str = "libx264",
    kind: str = "yuv420p",
    *,
    options: dict[str, str] | None = None,
    times: Sequence[int] | None = None,
    sound: str | None = None,
    timecode: str | None = None,
    tags: tuple[int, int] = (1, 1),
    turned: int = 0,
) -> Path:
    """Planes of codes, chroma of whole size, as a clip. times: in 1/24000 s. tags: matrix, which is also primaries and
    transfer, and range. turned: to be shown so many degrees to the left."""
    matrix, code_range = tags
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(encoder, rate=RATE, options=LOSSLESS if options is None else options)
        stream.height, stream.width, stream.pix_fmt = *frames[0][0].shape, kind
        stream.codec_context.time_base = stream.time_base = TIME_BASE
        tag(stream.codec_context, matrix, code_range)
        if timecode:
            stream.metadata["timecode"] = timecode
        if turned:
            stream.set_display_rotation(turned)
        voice: Any = container.add_stream(sound, rate=48000) if sound else None
        if voice is not None:
            voice.layout = "mono"
        for index, planes in enumerate(frames):
            picture = as_picture(planes, kind)
            tag(picture, matrix, code_range)
            picture.pts = times[index] if times else 1001 * index
            picture.time_base = TIME_BASE
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
        if voice is not None:
            _sing(container, voice, len(frames) * 2002)
    return path


def tag(target: Any, matrix: int, code_range: int) -> None:
    target.colorspace = target.color_primaries = target.color_trc = matrix
    target.color_range = code_range


def _sing(container: Any, stream: Any, samples: int) -> None:
    floats = stream.codec_context.format.name.startswith("flt")
    for start in range(0, samples, 1024):
        tone = np.sin(np.arange(start, start + 1024) / 17)[None] * 0.3
        values = tone.astype(np.float32) if floats else (tone * 32767).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(values, stream.codec_context.format.name, "mono")
        frame.sample_rate, frame.pts = 48000, start
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def as_picture(planes: Sequence[NDArray[Any]], kind: str) -> Any:
    """Chroma of 4:2:0 is every second pixel."""
    picture: Any = av.VideoFrame(planes[0].shape[1], planes[0].shape[0], kind)
    deep = picture.format.components[0].bits > 8
    for target, plane in zip(picture.planes, planes, strict=True):
        step_y, step_x = plane.shape[0] // target.height, plane.shape[1] // target.width
        codes = np.ascontiguousarray(plane[::step_y, ::step_x], "<u2" if deep else np.uint8).view(np.uint8)
        lines = np.zeros((target.height, target.line_size), np.uint8)
        lines[:, : codes.shape[1]] = codes
        target.update(lines.tobytes())
    return picture


def grey_clip(path: Path, pictures: Sequence[NDArray[np.uint8]], encoder: str = "libx264", **options: Any) -> Path:
    """Greys 0 to 255 as luma of limited range, with the noise of compression unless options say other."""
    frames = []
    for grey in pictures:
        luma = np.rint(16 + grey.astype(float) * 219 / 255)
        frames.append([luma.astype(np.uint16), *[np.full(grey.shape, 128, np.uint16)] * 2])
    return save_clip(path, frames, encoder, options={"crf": "23"} | options)


def read_clip(path: Path, decoder: str | None = None) -> tuple[list[Any], list[list[NDArray[np.uint16]]], Any]:
    """Pictures, their planes of codes, and what the stream says. decoder: VP9's alpha needs libvpx's."""
    with av.open(str(path)) as container:
        stream: Any = container.streams.video[0]
        context: Any = av.CodecContext.create(decoder, "r") if decoder else stream.codec_context
        pictures: list[Any] = []
        for packet in container.demux(stream):
            pictures += context.decode(packet if packet.size else None)
        said = SimpleNamespace(
            context=context, metadata=dict(stream.metadata), duration=stream.duration, time_base=stream.time_base
        )
        return pictures, [planes_of(picture) for picture in pictures], said


def planes_of(picture: Any) -> list[NDArray[np.uint16]]:
    dtype = np.dtype("<u2" if picture.format.components[0].bits > 8 else np.uint8)
    planes = []
    for plane in picture.planes:
        lines = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
        planes.append(lines[:, : plane.width * dtype.itemsize].view(dtype).astype(np.uint16))
    return planes


def packets(path: Path, kind: str) -> list[tuple[Fraction, bytes]]:
    """Seconds and bytes of every packet of the first stream of a kind."""
    with av.open(str(path)) as container:
        stream = getattr(container.streams, kind)[0]
        return [(packet.pts * packet.time_base, bytes(packet)) for packet in container.demux(stream) if packet.size]


def rgb(planes: Sequence[NDArray[Any]], bits: int, matrix: int = 1, full: bool = False) -> NDArray[np.float64]:
    """R'G'B' of codes by the textbook, in float64."""
    kr, kb = KR_KB[matrix]
    luma, cb, cr = (plane.astype(np.float64) / (1 << (bits - 8)) for plane in planes)
    if full:
        top = ((1 << bits) - 1) / (1 << (bits - 8))
        luma, cb, cr = luma / top, (cb - 128) / top, (cr - 128) / top
    else:
        luma, cb, cr = (luma - 16) / 219, (cb - 128) / 224, (cr - 128) / 224
    red, blue = luma + 2 * (1 - kr) * cr, luma + 2 * (1 - kb) * cb
    return np.dstack([red, (luma - kr * red - kb * blue) / (1 - kr - kb), blue])
