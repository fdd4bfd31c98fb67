"""Make the small pictures, folders and clips that the recorded commands work on, without the package's own code."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import OpenEXR
from numpy.typing import NDArray
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from tests.images.files import adobe_profile, save_exr, save_levels
from tests.video.clips import TIME_BASE, grey_clip, moving, save_clip, trimaps

ASSETS = Path(__file__).parents[2] / "litematting_deploy" / "assets"
CLIP_FRAMES, SEQUENCE_FRAMES = 6, 6
PQ = bytes([9, 16, 0, 1])  # BT.2100 PQ, as a cICP chunk says it
ROTATED = 6  # EXIF: turn by 90 degrees clockwise to show it


def make_inputs(folder: Path) -> None:
    """Write all inputs to a new folder; the same bytes each time on one machine."""
    folder.mkdir(parents=True)
    with Image.open(ASSETS / "dandelion.jpg") as picture, Image.open(ASSETS / "dandelion_trimap.png") as grey:
        size = (160, 90)
        rgb = np.asarray(picture.convert("RGB").resize(size, Image.Resampling.BOX))
        trimap = np.asarray(grey.resize(size, Image.Resampling.NEAREST))
    _photos(folder, rgb, trimap)
    _masks(folder, trimap)
    _frames(folder, rgb, trimap)
    _clips(folder)
    for kind, content in (("merged", rgb), ("trimaps", trimap), ("alpha", trimap)):
        _save(folder / "set" / kind / "dandelion.png", content)
    (folder / "recipe.toml").write_text('height = 32\nwidth = 64\nbatch = 2\nnorm = "instance"\n')
    (folder / "not_a_photo.png").write_text("This is no picture.\n")


def _photos(folder: Path, rgb: NDArray[np.uint8], trimap: NDArray[np.uint8]) -> None:
    """One photo in each kind of file that is read, and its trimaps."""
    picture, light = Image.fromarray(rgb), (rgb / 255.0) ** 2.2
    exif = Image.Exif()
    exif[0x010E], exif[0x0110] = "A dandelion", "Camera"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture.save(folder / "photo.png", icc_profile=profile[:24] + bytes(12) + profile[36:], dpi=(300, 300), exif=exif)
    chunks = PngInfo()
    chunks.add(b"cICP", PQ)
    picture.save(folder / "pq.png", pnginfo=chunks)
    save_levels(folder / "deep.png", np.rint(rgb * 257.0 + 11 * (rgb % 7)).clip(0, 65535).astype(np.uint16))
    save_levels(folder / "deep.tif", (rgb.astype(np.uint16) << 8) + 128)
    picture.save(folder / "photo.tif", icc_profile=adobe_profile(), dpi=(72, 72), compression="tiff_lzw")
    exif[0x0112] = ROTATED
    turned = Image.fromarray(np.ascontiguousarray(np.rot90(rgb)))
    turned.save(folder / "turned.jpg", quality=95, exif=exif, icc_profile=adobe_profile(), xmp=b"<x:xmpmeta/>")
    picture.convert("L").save(folder / "grey.png")
    picture.save(folder / "photo.webp", lossless=True)
    Image.fromarray(np.dstack([rgb, np.full_like(trimap, 255)])).save(folder / "opaque.png")
    Image.fromarray(np.dstack([rgb, trimap])).save(folder / "transparent.png")
    planes = dict(zip("RGB", np.moveaxis((light * 1.5).astype(np.float16), 2, 0), strict=True))
    boxes = {"data": (8, 4, size_x := rgb.shape[1], size_y := rgb.shape[0]), "display": (0, 0, size_x + 16, size_y + 8)}
    code = {"timeCode": OpenEXR.TimeCode(1, 2, 3, 4, 0, 0, 0, 0, 0, 0, *range(1, 9)), "owner": "nobody"}
    save_exr(folder / "half.exr", planes, code, boxes)
    save_exr(folder / "float.exr", {name: plane.astype(np.float32) for name, plane in planes.items()})
    _save(folder / "trimap.png", trimap)
    _save(folder / "labels_trimap.png", (trimap // 127).clip(0, 2))
    _save(folder / "backdrop.png", np.ascontiguousarray(rgb[::-1, ::-1]))


def _masks(folder: Path, trimap: NDArray[np.uint8]) -> None:
    """A binary and a soft mask, one of 16 bits, one of class ids, and one that holds nothing."""
    binary = np.where(trimap > 127, 255, 0).astype(np.uint8)
    soft = cv2.GaussianBlur(binary, (9, 9), 0)
    _save(folder / "mask.png", binary)
    _save(folder / "soft.png", soft)
    _save(folder / "empty.png", np.zeros_like(binary))
    save_levels(folder / "soft16.png", soft.astype(np.uint16) * 257)
    labels = Image.fromarray(np.where(binary > 0, 3, 1).astype(np.uint8)).convert("P")
    labels.putpalette([0, 0, 0, 200, 0, 0, 0, 200, 0, 0, 0, 200])
    labels.save(folder / "ids.png")


def _frames(folder: Path, rgb: NDArray[np.uint8], trimap: NDArray[np.uint8]) -> None:
    """A folder of frames of many kinds, three of which fail and one of which is passed over; an EXR sequence."""
    kinds = {
        "a": "photo.png",
        "b": "deep.png",
        "c": "turned.jpg",
        "d": "deep.tif",
        "e": "grey.png",
        "sub/f": "half.exr",
    }
    kinds |= {"transparent": "transparent.png", "damaged": "photo.png", "alone": "photo.webp"}
    for name, source in kinds.items():
        target = folder / "frames" / f"{name}{Path(source).suffix}"
        target.parent.mkdir(parents=True, exist_ok=True)
        content = (folder / source).read_bytes()
        target.write_bytes(content[: len(content) // 2] if name == "damaged" else content)
        if name != "alone":
            _save(folder / "frame_trimaps" / f"{name}.png", trimap)
            _save(folder / "frame_masks" / f"{name}.png", np.where(trimap > 127, 255, 0).astype(np.uint8))
    (folder / "frames" / "notes.psd").write_bytes(b"8BPS")
    for number in range(1, SEQUENCE_FRAMES + 1):
        light = np.roll((rgb / 255.0) ** 2.2, 5 * number, axis=1).astype(np.float16)
        path = folder / "sequence" / f"beauty.{number:04}.exr"
        path.parent.mkdir(exist_ok=True)
        save_exr(path, dict(zip("RGB", np.moveaxis(light, 2, 0), strict=True)))
        _save(folder / "sequence_trimaps" / f"tri_{number}.png", np.roll(trimap, 5 * number, axis=1))


def _clips(folder: Path) -> None:
    """A clip with sound, timecode and a variable frame rate, one of 10 bits, trimaps, masks, and a frame that fails."""
    times = [0, 1001, 3003, 3503, 4504, 8008]
    save_clip(folder / "clip.mov", moving(CLIP_FRAMES), times=times, sound="aac", timecode="01:02:03:04")
    save_clip(folder / "deep.mov", moving(CLIP_FRAMES, 10), "prores_ks", "yuv422p10le", options={})
    greys = trimaps(CLIP_FRAMES)
    grey_clip(folder / "trimaps.mp4", greys)
    grey_clip(folder / "masks.mp4", [np.where(grey > 0, 255, 0).astype(np.uint8) for grey in greys])
    for number, grey in enumerate(greys):
        _save(folder / "clip_trimaps" / f"t_{number}.png", grey)
        _save(folder / "bad_trimaps" / f"t_{number}.png", np.full_like(grey, 99) if number == 3 else grey)
    assert TIME_BASE.denominator == 24000, "the times above are in this unit"


def _save(path: Path, pixels: NDArray[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
