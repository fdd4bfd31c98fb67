"""Whether a codec of this PyAV writes what can be read again."""

import tempfile
from pathlib import Path
from typing import Any

import av
import numpy as np

from .codecs import Codec, Content
from .colour import BT709, Colours
from .writer import codes_of

_SIDE = 64


def comes_back(codec: Codec) -> bool:
    """Encode three pictures of its matte and decode as many."""
    content: Content = codec.matte
    ramp = np.tile(np.linspace(0, 1, _SIDE, dtype=np.float32), (_SIDE, 1))
    pixels = ramp if content == "grey" else np.dstack([ramp] * 4)
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / f"probe{codec.suffixes[0]}")
        try:
            with av.open(path, "w") as container:
                stream: Any = container.add_stream(codec.encoder, rate=25, options=dict(codec.options))
                stream.width = stream.height = _SIDE
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
