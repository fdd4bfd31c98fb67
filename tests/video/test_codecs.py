"""Codecs by name and by the ending of a clip."""

import pytest

from litematting_deploy.errors import UsageError
from litematting_deploy.video.codecs import codec_for


@pytest.mark.parametrize("name", ["prores", ""])
def test_a_codec_that_is_not_known_is_refused(name: str) -> None:
    with pytest.raises(
        UsageError, match="`codec` must be one of prores4444, prores422hq, vp9, h264, ffv1; got"
    ) as caught:
        codec_for("matte.mov", name, None, (64, 64))
    assert caught.value.parameter == "codec"


def test_without_a_name_the_ending_decides() -> None:
    codec, content = codec_for("matte.webm", None, None, (64, 64))
    assert (codec.name, content) == ("vp9", "alpha")
