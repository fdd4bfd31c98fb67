"""What is said at the end of a job of frames that were matted, though something about them may surprise."""

from collections.abc import Mapping
from dataclasses import dataclass

from .outputs import say_lost, say_share


@dataclass(frozen=True)
class Remarks:
    """What there is to say of a frame.

    unsure: what its trimap lacks, in words. clipped: the share, 0..1, of its light that PNG and TIFF results cut off.
    lost_colour: the chunks of a PNG photo's colours that its results miss.
    """

    unsure: str | None = None
    clipped: float = 0.0
    lost_colour: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return self != Remarks()


def say_unsure(remarks: Mapping[str, Remarks]) -> str:
    """For the last line: how many frames had a trimap without sure foreground or background, and the first of them."""
    unsure = {name: said.unsure for name, said in remarks.items() if said.unsure is not None}
    if not unsure:
        return ""
    name, what = min(unsure.items())
    return f"; trimaps without sure foreground or background: {len(unsure)} ({name}: {what})"


def notes(remarks: Mapping[str, Remarks]) -> list[str]:
    """In a line each, in how many frames light was cut off, and what the photos say of colour was lost."""
    clipped = [said.clipped for said in remarks.values() if said.clipped]
    lost = [said.lost_colour for said in remarks.values() if said.lost_colour]
    lines = []
    if clipped:
        lines.append(
            f"frames with light outside 0..1, which PNG and TIFF cut off: {len(clipped)}, "
            f"up to {say_share(max(clipped))} of a frame; `format=exr` keeps it"
        )
    if lost:
        chunks = tuple(dict.fromkeys(chunk for chunks in lost for chunk in chunks))
        lines.append(say_lost(chunks, f"the photo, in {len(lost)} frame{'s' if len(lost) > 1 else ''},"))
    return lines
