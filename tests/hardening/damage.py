"""Damage as hypothesis draws it: cut, flipped, spliced and swapped parts, numbers made huge, tags of odd types."""

from collections.abc import Callable

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from PIL.TiffTags import TAGS_V2

from tests.hardening import bombs

_NUMBERS = (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x7f\xff\xff\xff", b"\0\x01\0\0", b"\0\0\x01\0")


@st.composite
def damaged(draw: st.DrawFn, whole: list[bytes]) -> bytes:
    """One of the files with one to six changes."""
    content = draw(st.sampled_from(whole))
    for _ in range(draw(st.integers(1, 6))):
        size = len(content)
        start, other = sorted((draw(st.integers(0, size)), draw(st.integers(0, size))))
        short = min(other, start + 64)
        content = draw(
            st.sampled_from(
                (
                    content[:start],
                    content[:start] + draw(st.binary(max_size=8)) + content[short:],
                    content[:start] + content[other:],
                    content[:start] + content[start:short] * 3 + content[short:],
                    content[:start] + draw(st.sampled_from(_NUMBERS)) + content[start + 4 :],
                    content[other:] + content[start:other] + content[:start],
                    content[:start] + draw(st.sampled_from(whole))[start:],
                )
            )
        )
    return content


_FOLDERS = (0x8769, 0x8825)
_NUMBERS_OF_TAGS = (*sorted(TAGS_V2), *range(0x9000, 0x9020), *range(0xA000, 0xA010), 700, 33723, 34675, 40_000)
_SIZES = {3: 2, 4: 4, 5: 8, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
Tags = dict[int, tuple[int, int, bytes]]


@st.composite
def tags(draw: st.DrawFn) -> Tags:
    """Any type and number of values for tags that have a meaning, and for some that have none."""
    drawn = {}
    for tag in draw(st.lists(st.sampled_from(_NUMBERS_OF_TAGS) | st.integers(0, 65535), max_size=4)):
        kind, count = draw(st.integers(0, 18)), draw(st.integers(0, 5))
        size = _SIZES.get(kind, 1) * count
        drawn[tag] = (kind, count, draw(st.binary(min_size=size, max_size=size) | st.just(b"\xff" * size)))
    return drawn


@st.composite
def tagged(draw: st.DrawFn) -> bytes:
    """A whole picture of any format with odd tags, some of them in the folders of EXIF and GPS."""
    order = draw(st.sampled_from("<>"))
    wrap = draw(st.sampled_from((bombs.jpeg_exif, bombs.png_exif, bombs.webp_exif, None)))
    first: Tags = draw(tags())
    if wrap is None:
        pixels = {
            tag: entry for tag, entry in bombs.grey_tags(order).items() if tag not in first or draw(st.booleans())
        }
        first |= pixels
    below = {tag: draw(tags()) for tag in _FOLDERS if draw(st.booleans())}
    block = bombs.folders(order, first, below)
    return block if wrap is None else wrap(block)


def examples(name: str, whole: list[bytes], count: int, take: Callable[[bytes], object]) -> None:
    """Give `take` so many damaged files, and a few of random bytes; of "metadata" whole ones with odd tags.

    Raises what it raises, with the smallest file.
    """

    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(tagged() if name == "metadata" else damaged(whole) | st.binary(max_size=200))
    def run(content: bytes) -> None:
        take(content)

    run()
