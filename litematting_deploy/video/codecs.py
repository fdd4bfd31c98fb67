"""The codecs of results: which may be in which container, and what each can hold. This module does not import PyAV."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from ..errors import UsageError

Content: TypeAlias = Literal["alpha", "colour", "grey"]
"""alpha: colours and alpha. colour: opaque colours. grey: the matte as a picture."""
_Kinds: TypeAlias = dict[Content, str]


@dataclass(frozen=True)
class Codec:
    """A way to encode results.

    suffixes: endings of the containers that may have it.
    kinds: FFmpeg's pixel format of each content that it can hold.
    matte: the content that a matte is.
    intra: every frame stands alone.
    even: it wants even sizes.
    full: grey takes the whole range of its bits.
    """

    name: str
    encoder: str
    suffixes: tuple[str, ...]
    kinds: _Kinds
    matte: Content
    intra: bool = True
    even: bool = False
    full: bool = False
    options: dict[str, str] = field(default_factory=dict)


_PRORES = {"vendor": "apl0", "profile": "4444", "alpha_bits": "16"}
_VP9 = {"crf": "15", "b": "0", "auto-alt-ref": "0", "row-mt": "1", "deadline": "good", "cpu-used": "3"}
_FFV1 = {"level": "3", "slicecrc": "1", "g": "1"}
_H264 = {"crf": "10", "bf": "0"}
# by content: the pixel format
_4444: _Kinds = {"alpha": "yuva444p10le", "colour": "yuv444p10le"}
_422: _Kinds = {"colour": "yuv422p10le", "grey": "yuv422p10le"}
_420A: _Kinds = {"alpha": "yuva420p", "colour": "yuv420p"}
_16: _Kinds = {"alpha": "yuva444p16le", "colour": "yuv444p16le", "grey": "gray16le"}
_420: _Kinds = {"colour": "yuv420p", "grey": "yuv420p"}
_KNOWN = (
    Codec("prores4444", "prores_ks", (".mov",), _4444, "alpha", options=_PRORES),
    Codec("prores422hq", "prores_ks", (".mov",), _422, "grey", options={"vendor": "apl0", "profile": "hq"}),
    Codec("vp9", "libvpx-vp9", (".webm", ".mkv"), _420A, "alpha", intra=False, options=_VP9),
    Codec("h264", "libx264", (".mp4", ".mov", ".mkv"), _420, "grey", intra=False, even=True, options=_H264),
    Codec("ffv1", "ffv1", (".mkv",), _16, "grey", full=True, options=_FFV1),
)
CODECS = {codec.name: codec for codec in _KNOWN}
_BY_SUFFIX = {".mov": "prores4444", ".webm": "vp9", ".mkv": "ffv1", ".mp4": "h264"}


def codec_for(path: str, name: str | None, content: Content | None, hw: tuple[int, int]) -> tuple[Codec, Content]:
    """Return the codec `name`, or that of the ending of `path`, and its content: the given one, or that of a matte.

    Raises `UsageError` where the container or the codec cannot hold that, or not that size.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in _BY_SUFFIX:
        raise UsageError(f"{path}: results of a clip must end in {', '.join(_BY_SUFFIX)}; choose one of these endings")
    name = _BY_SUFFIX[suffix] if name is None else name
    if name not in CODECS:
        raise UsageError(f"`codec` must be one of {', '.join(CODECS)}; got {name!r}", parameter="codec")
    codec = CODECS[name]
    if suffix not in codec.suffixes:
        raise UsageError(
            f"{path}: `codec={codec.name}` requires {' or '.join(codec.suffixes)}; choose that ending",
            parameter="codec",
        )
    wanted = content or codec.matte
    if wanted not in codec.kinds:
        able = [suffix for suffix, other in _BY_SUFFIX.items() if wanted in CODECS[other].kinds]
        raise UsageError(f"{path}: {codec.name} has no alpha channel; choose {' or '.join(able)}")
    if codec.even and (hw[0] % 2 or hw[1] % 2):
        raise UsageError(
            f"{path}: {codec.name} requires even sizes, but the clip is {hw[1]}x{hw[0]}; choose .mov or .mkv"
        )
    return codec, wanted
