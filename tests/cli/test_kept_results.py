"""Results that stay the same from commit to commit: a photo, a folder and a clip, matted by a stand-in for the network.

The stand-in has no weights and rounds nothing, so its alpha is the same on every processor; kept_results.json holds
hashes of the decoded pictures. Where a result is meant to change, look at it, then renew the file:

LTM_RENEW=1 python -m pytest tests/cli/test_kept_results.py
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from tests.conftest import called
from tests.images.files import read_exr, read_levels, save_exr, save_levels
from tests.video.clips import grey_clip, moving, packets, read_clip, save_clip, trimaps

KEPT = Path(__file__).with_name("kept_results.json")
HEIGHT, WIDTH, PATCH, FRAMES = 72, 100, 32, 4


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """alpha = foreground + unknown * floor(16 * red) / 16, red in 0..1: sixteenths, so that sums are exact."""
    constants = {"sixteen": 16.0, "sixteenth": 1 / 16}
    steps: tuple[tuple[str, list[str], list[str], dict[str, Any]], ...] = (
        ("Split", ["image"], ["red", "green", "blue"], {"axis": 1, "num_outputs": 3}),
        ("Split", ["trimap"], ["background", "unknown", "foreground"], {"axis": 1, "num_outputs": 3}),
        ("Mul", ["red", "sixteen"], ["scaled"], {}),
        ("Floor", ["scaled"], ["level"], {}),
        ("Mul", ["level", "sixteenth"], ["guess"], {}),
        ("Mul", ["unknown", "guess"], ["part"], {}),
        ("Add", ["foreground", "part"], ["alpha"], {}),
    )
    sizes = {"image": 3, "trimap": 3, "guide": 2, "alpha": 1}
    values = {
        name: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", channels, PATCH, PATCH])
        for name, channels in sizes.items()
    }
    graph = helper.make_graph(
        [helper.make_node(kind, inputs, outputs, **given) for kind, inputs, outputs, given in steps],
        "stand_in",
        [values[name] for name in ("image", "trimap", "guide")],
        [values["alpha"]],
        [helper.make_tensor(name, TensorProto.FLOAT, [], [value]) for name, value in constants.items()],
    )
    path = tmp_path_factory.mktemp("engine") / "stand_in.onnx"
    onnx.save(helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 21)]), path)
    return path


def photo() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Bands of colour behind a disc with a ragged edge, in whole numbers throughout, and its trimap."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    squares = (2 * y - HEIGHT) ** 2 + (2 * x - WIDTH) ** 2 + 40 * ((7 * x + 3 * y) % 11)
    image = np.dstack([(37 * (x // 5) + y) % 256, (11 * y + x) % 256, (x * y) % 256]).astype(np.uint8)
    image[squares < 1600] = (250, 240, 60)
    return image, np.select([squares < 900, squares > 3000], [255, 0], 128).astype(np.uint8)


def digest(*arrays: NDArray[Any]) -> str:
    """Hash the type, the shape and the values of arrays."""
    whole = hashlib.sha256()
    for array in arrays:
        whole.update(f"{array.dtype.str} {array.shape} ".encode() + np.ascontiguousarray(array).tobytes())
    return whole.hexdigest()[:16]


def surely(pixels: NDArray[Any]) -> NDArray[Any]:
    """Hide colours that are estimated, as powers and sums in float32 differ between processors, but keep alpha."""
    opaque = pixels[:, :, 3:] == np.iinfo(pixels.dtype).max
    return np.where(opaque | (np.arange(4) == 3), pixels, 0)


def infer(engine: Path, *arguments: str | Path) -> None:
    # Refinement sums in float32, which differs between processors.
    result = called("ltm-infer", *arguments, "--no-refine", "--engine", engine)
    assert result.code == 0, result.err


def photo_results(engine: Path, folder: Path) -> dict[str, Any]:
    """Alphas in three depths and three plans, from a trimap and a mask, with a cut-out and a preview."""
    image, trimap = photo()
    given = save_levels(folder / "photo.png", image), save_levels(folder / "trimap.png", trimap)
    mask = save_levels(folder / "mask.png", np.where(trimap == 255, 255, 0).astype(np.uint8))
    deep = save_levels(folder / "deep.tif", image.astype(np.uint16) * 257)
    infer(engine, *given, "-o", folder / "a.png", "--cutout", folder / "c.png", "--preview", folder / "p.png")
    infer(
        engine, deep, given[1], "-o", folder / "a.tif", "--plan", "grid", "--step", "16", "--cutout", folder / "c.tif"
    )
    infer(engine, *given, "-o", folder / "a.exr", "--depth", "float", "--margin", "12", "--batch", "3")
    infer(engine, given[0], "--mask", mask, "-o", folder / "m.png", "--unknown", "4")
    results = {name: digest(read_levels(folder / name)) for name in ("a.png", "a.tif", "m.png", "p.png")}
    results |= {name: digest(surely(read_levels(folder / name))) for name in ("c.png", "c.tif")}
    return results | {"a.exr": digest(read_exr(folder / "a.exr")[0]["A"])}


def folder_results(engine: Path, folder: Path) -> dict[str, Any]:
    """Frames of four kinds, one in a folder below, and which files come out."""
    image, trimap = photo()
    (folder / "frames" / "below").mkdir(parents=True)
    for name in ("a.png", "b.tif", "c.exr", "below/d.png"):
        path = folder / "frames" / name
        (target := (folder / "trimaps" / name).with_suffix(".png")).parent.mkdir(parents=True, exist_ok=True)
        save_levels(target, trimap)
        if path.suffix == ".exr":
            save_exr(path, dict(zip("RGB", np.moveaxis(image.astype(np.float16) / 256, 2, 0), strict=True)))
        else:
            save_levels(path, image[:, :, 0] if name == "a.png" else image)
    infer(engine, folder / "frames", folder / "trimaps", "-o", folder / "out", "--preview", folder / "previews")
    found = [path for name in ("out", "previews") for path in (folder / name).rglob("*.*") if path.name[0] != "."]
    read = {path: read_exr(path)[0]["A"] if path.suffix == ".exr" else read_levels(path) for path in found}
    names = {path.relative_to(folder).as_posix(): path for path in found}
    return {name: digest(read[names[name]]) for name in sorted(names) if name != "previews/c.png"} | {
        "files": sorted(names)  # c.png shows light as sRGB, by a power
    }


def clip_results(engine: Path, folder: Path) -> dict[str, Any]:
    """A lossless matte, and of a ProRes 4444 clip its alpha, with times, sound and timecode."""
    times = [0, 1001, 3003, 3503]
    clip = save_clip(folder / "clip.mov", moving(FRAMES), times=times, sound="pcm_s16le", timecode="01:02:03:04")
    greys = grey_clip(folder / "trimaps.mp4", trimaps(FRAMES), crf="0", qp="0")
    results: dict[str, Any] = {}
    for name in ("matte.mkv", "matte.mov"):
        infer(engine, clip, greys, "-o", folder / name)
        pictures, planes, said = read_clip(folder / name)
        seconds = [round(float(picture.pts * said.time_base), 3) for picture in pictures]
        results[name] = {
            "alpha": digest(*(frame[-1 if name.endswith(".mov") else 0] for frame in planes)),
            "format": [pictures[0].format.name, pictures[0].width, pictures[0].height],
            "seconds": seconds,
            "timecode": said.metadata.get("timecode"),
            "sound": digest(np.frombuffer(b"".join(data for _, data in packets(folder / name, "audio")), np.uint8)),
        }
    return results


@pytest.mark.parametrize("job", [photo_results, folder_results, clip_results])
def test_results_are_those_that_were_kept(job: Any, engine: Path, tmp_path: Path) -> None:
    found, kept = job(engine, tmp_path), json.loads(KEPT.read_text()) if KEPT.exists() else {}
    if os.environ.get("LTM_RENEW"):
        KEPT.write_text(json.dumps(kept | {job.__name__: found}, indent=2) + "\n")
        pytest.skip(f"{KEPT.name} is renewed")
    assert found == kept[job.__name__]


def test_the_kept_alpha_is_the_stand_ins(engine: Path, tmp_path: Path) -> None:
    """NumPy computes the same alpha, up to rounding to a level, so the hashes are of what they should be."""
    image, trimap = photo()
    save_levels(tmp_path / "photo.png", image)
    save_levels(tmp_path / "trimap.png", trimap)
    infer(engine, tmp_path / "photo.png", tmp_path / "trimap.png", "-o", tmp_path / "a.png")
    wanted = np.select([trimap == 255, trimap == 0], [1, 0], np.floor(16 * (image[:, :, 0] / 255)) / 16)
    found = cv2.imread(str(tmp_path / "a.png"), cv2.IMREAD_UNCHANGED)
    assert found is not None
    assert np.abs(found / 255.0 - wanted).max() <= 0.5 / 255 + 1e-6
