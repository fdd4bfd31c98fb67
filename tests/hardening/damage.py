"""Damage as hypothesis draws it: cut, flipped, spliced and swapped parts, and numbers made huge."""

from collections.abc import Callable

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

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


def examples(whole: list[bytes], count: int, take: Callable[[bytes], object]) -> None:
    """Give `take` so many damaged files, and a few of random bytes. Raises what it raises, with the smallest file."""

    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(damaged(whole) | st.binary(max_size=200))
    def run(content: bytes) -> None:
        take(content)

    run()
