"""What makes the masks of a job: opened once, asked for the mask of each photo, and closed at the end."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..images.exr import is_exr
from ..images.mask import read_strokes
from ..images.photo import Photo, read_photo
from ..parameters import Amount
from ..specs import AUTO, MAX_MEGAPIXELS, WAYS, ExrSpec, TrimapSpec
from .box import Box, mask_from_box
from .key import exact_chroma, mask_from_key
from .model import Segmenter
from .pieces import SoftMask
from .plate import mask_from_plate

_ROOM = 8.0
"""The narrowest band, in pixels. On drawn scenes with a mask of a network's kind, whose mean difference from the truth
was 0.0027, the shipped weights came to 0.0038 in a band of 2 pixels, 0.0018 in 4, 0.0016 in 8 and 0.0015 in 12."""
_BOX_BAND = Amount(4, percent=True)
"""Of a box, whose size says how coarse the cut is, and how small the subject: a band as for a large one would swallow
a small one."""
_BAND = 0.003
"""The width of the band of a key or a plate, which err by blur, as a share of the photo's longer side."""
_PIXELS = 1.5
"""The width for a segmenter, in pixels of its own: its mask says itself where it is less sure than that."""
_DOUBT = (0.05, 0.95)
"""The values between which a segmenter hesitates: few of them ever reach 0 and 1."""
_EMPTY = {
    "box": "draw the box closer around the subject, or mark some of it with `sure_foreground`",
    "key": "lower `key_tolerance`, or give the exact colour of the screen, such as `key=#00b140`",
    "plate": "give the photo that shows the subject, and a plate without it",
    "segmenter": "use another model, or show where the subject is with `box`",
}
_FULL = {
    "box": "draw the box closer around the subject, or mark background with `sure_background`",
    "key": "raise `key_tolerance`, or give the exact colour of the screen, such as `key=#00b140`",
    "plate": "take the plate from the same place and in the same light, or use `box`",
    "segmenter": "use another model, or show where the subject is with `box`",
}


@dataclass(frozen=True, eq=False, kw_only=True)
class MaskMaker:
    """Makes soft masks of photos in one way: by a box, a key, a plate or a segmenter.

    key_tolerance, key_softness: as `mask_from_key` takes them. plate: (H, W, 3) uint8 RGB; plate_name: begins an error.
    foreground, background: (H, W) bool, where strokes say so, which overrules everything else.
    Raises `UsageError` for a key that is no colour of a screen, `InputError` for strokes that contradict each other.
    """

    box: Box | None = None
    key: str | None = None
    key_tolerance: float | None = None
    key_softness: float | None = None
    plate: NDArray[np.uint8] | None = None
    plate_name: str = "`plate`"
    segmenter: Segmenter | None = None
    foreground: NDArray[np.bool_] | None = None
    background: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        if self.key is not None:
            exact_chroma(self.key)
        if self.foreground is None or self.background is None or self.foreground.shape != self.background.shape:
            return
        if both := np.count_nonzero(self.foreground & self.background):
            raise InputError(
                f"`sure_foreground` and `sure_background` both mark the same {both} pixels; erase them in one"
            )

    @property
    def way(self) -> str:
        """Which of `specs.WAYS` it is."""
        return next(way for way in WAYS if getattr(self, way) is not None)

    @property
    def doubt(self) -> tuple[float, float] | None:
        """The values between which its masks hesitate, by default; None for those of any mask."""
        return None if self.segmenter is None else _DOUBT

    @property
    def batch(self) -> int:
        """How many photos it is best asked for at a time, by as many threads."""
        return 1 if self.segmenter is None else self.segmenter.batch

    def band(self, hw: tuple[int, int]) -> Amount:
        """Return the width of the default unknown band for a photo of that height and width, as a `Band` has it."""
        if self.box is not None:
            return _BOX_BAND
        return Amount(max(_BAND * max(hw) if self.segmenter is None else _PIXELS * self.segmenter.pixel(hw), _ROOM))

    def __call__(self, image: NDArray[np.uint8], name: str) -> SoftMask:
        """Return the mask (H, W), 0..1, of an image (H, W, 3) uint8 RGB. name: begins an error. Raises `InputError`."""
        for which, stroke in (("sure_foreground", self.foreground), ("sure_background", self.background)):
            if stroke is not None and stroke.shape != image.shape[:2]:
                (height, width), (given_height, given_width) = image.shape[:2], stroke.shape
                raise InputError(
                    f"`{which}` must be {width}x{height}, the size of {name}; got {given_width}x{given_height}; "
                    "paint it on this photo"
                )
        return self.marked(self._mask(image, name))

    def on(self, photo: Photo) -> Self:
        """Return what makes the mask of one photo: box, plate and strokes are of what is shown of it.

        An OpenEXR photo has its pixels in a data window, which may lie elsewhere. Raises `InputError` for a plate or
        strokes that are neither of its size nor of that of what is shown.
        """
        windows = photo.windows
        if windows is None or windows.data == windows.display:
            return self
        box = self.box
        if box is not None:
            box = (
                box[0] + windows.display.left - windows.data.left,
                box[1] + windows.display.top - windows.data.top,
                *box[2:],
            )
        foreground, background, plate = (
            None if plane is None else photo.fit(plane, f"`{name}`")
            for name, plane in (
                ("sure_foreground", self.foreground),
                ("sure_background", self.background),
                ("plate", self.plate),
            )
        )
        return replace(self, box=box, foreground=foreground, background=background, plate=plate)

    def marked(self, mask: SoftMask) -> SoftMask:
        """Return a mask (H, W), which is changed, with what strokes say."""
        for stroke, value in ((self.foreground, 1), (self.background, 0)):
            if stroke is not None:
                mask[stroke] = value
        return mask

    def close(self) -> None:
        """Release the segmenter, where there is one."""
        if self.segmenter is not None:
            self.segmenter.close()

    def nothing(self, name: str, *, full: bool) -> InputError:
        """Return the error for a photo none of whose pixels is sure to be object or, `full`, all of whose are."""
        what, fix = ("no background", _FULL) if full else ("no subject", _EMPTY)
        return InputError(f"{name}: `{self.way}` found {what}; {fix[self.way]}", parameter=self.way)

    def _mask(self, image: NDArray[np.uint8], name: str) -> SoftMask:
        if self.box is not None:
            return mask_from_box(image, self.box, self.foreground, self.background)
        if self.key is not None:
            return mask_from_key(image, self.key, self.key_tolerance, self.key_softness, name)
        if self.plate is not None:
            return mask_from_plate(image, self.plate, self.plate_name)
        assert self.segmenter is not None
        return self.segmenter(image)


def open_maker(
    spec: TrimapSpec,
    device: str = AUTO,
    threads: int | None = None,
    max_megapixels: float = MAX_MEGAPIXELS,
    opened: Segmenter | None = None,
    exr: ExrSpec = ExrSpec(),
) -> MaskMaker | None:
    """Open what makes the masks that a spec describes; None where trimaps or masks are given.

    device, threads: of a segmenter. opened: the segmenter of the spec, where somebody has opened it already.
    exr: how an OpenEXR plate is read, as its photos are.
    Raises `InputError` for a plate or strokes that cannot be read, and what opening a segmenter raises.
    """
    if spec.kind != "photo":
        return None
    paths = (spec.sure_foreground, spec.sure_background)
    foreground, background = (None if path is None else read_strokes(path, max_megapixels) for path in paths)
    maker = MaskMaker(
        box=spec.box,
        key=spec.key,
        key_tolerance=spec.key_tolerance,
        key_softness=spec.key_softness,
        plate=None if spec.plate is None else _read_plate(spec.plate, max_megapixels, exr),
        plate_name=spec.plate or "",
        foreground=foreground,
        background=background,
    )
    if spec.segmenter is None:
        return maker
    # The last, since it takes longest and must be closed.
    return replace(maker, segmenter=opened or Segmenter(spec.segmenter, device, threads))


def _read_plate(path: str, max_megapixels: float, exr: ExrSpec) -> NDArray[np.uint8]:
    """Return what the network would see of a plate, (H, W, 3) uint8; see `open_maker`. Raises `InputError`."""
    return read_photo(path, max_megapixels, exr if is_exr(path) else ExrSpec()).network
