"""Whole files to damage, made as users' programs make them, by what they are."""

import io
import json
import pickle
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from litematting_deploy.images.suffixes import READS_AVIF, READS_HEIC
from litematting_deploy.runtime.shipped import TINY_ENGINE
from litematting_deploy.sidecar import FORMAT, EngineSidecar, Sidecar
from tests.hardening import bombs
from tests.images.files import adobe_profile, gamma, rgb_profile, save_exr

ROOT = Path(__file__).parents[2]
_RNG = np.random.default_rng(3)
_COLOUR = _RNG.integers(0, 256, (24, 32, 3), np.uint8)
_DEEP = _RNG.integers(0, 65536, (24, 32, 3), np.uint16)
_TRIMAP = np.repeat(np.array([0, 128, 255], np.uint8), 256).reshape(24, 32)
SHA = "0" * 64
FORMATS = ("png", "jpeg", "tiff", "webp", "bmp")
CONTAINERS = (*(("avif",) if READS_AVIF else ()), *(("heic",) if READS_HEIC else ()))
"""Formats that are read where their libraries are installed."""


def photo(kind: str) -> list[bytes]:
    """Of one format: plain, and with profile, EXIF and whatever else it has."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x8769] = 6, "maker", {0x9003: "2024:01:01 00:00:00"}
    rich: dict[str, Any] = {"icc_profile": adobe_profile(), "exif": exif.tobytes()}
    if kind == "png":
        return [_saved("PNG"), _saved("PNG", **rich), _deep(".png"), bombs.OVER_THE_LIMIT["huge.png"]]
    if kind == "jpeg":
        return [_saved("JPEG"), _saved("JPEG", **rich, progressive=True, dpi=(72, 72)), bombs.jpeg_scans(3)]
    if kind == "tiff":
        pages = [Image.fromarray(_COLOUR)]
        kinds = [_saved("TIFF", compression=name) for name in ("tiff_lzw", "jpeg", "packbits")]
        return [
            _saved("TIFF", **rich),
            *kinds,
            _deep(".tif"),
            _saved("TIFF", save_all=True, append_images=pages),
            bombs.tiff_tile(64, b""),
        ]
    if kind == "webp":
        return [_saved("WEBP"), _saved("WEBP", **rich, lossless=True)]
    return [_saved("BMP"), bombs.bmp(8, 8, 1) + bytes(range(64))]


def container(kind: str) -> list[bytes]:
    """AVIF or HEIC: plain, with alpha, and with profile and EXIF, of HEIC in 10 bits."""
    exif = Image.Exif()
    exif[0x0112] = 6
    rich: dict[str, Any] = {"icc_profile": adobe_profile(), "exif": exif.tobytes()}
    clear = Image.fromarray(np.dstack([_COLOUR, _COLOUR[:, :, :1]]))
    if kind == "avif":
        return [_saved("AVIF"), _saved("AVIF", clear), _saved("AVIF", **rich)]
    import pillow_heif

    files = [io.BytesIO() for _ in range(3)]
    pillow_heif.from_pillow(Image.fromarray(_COLOUR)).save(files[0], quality=90)
    pillow_heif.from_pillow(clear).save(files[1], quality=90)
    deep = pillow_heif.from_bytes(mode="RGB;16", size=_DEEP.shape[1::-1], data=_DEEP.tobytes())
    deep.save(files[2], quality=90, bit_depth=10, **rich)
    return [file.getvalue() for file in files]


def tagged() -> list[bytes]:
    """Of each format that holds EXIF, with a tag whose type is odd: a description that is a number."""
    block = bombs.folders("<", {0x010E: (11, 1, b"\0\0\x80\x3f")}, {0x8769: {0x9003: (5, 1, bytes(8))}})
    tiff = bombs.folders("<", bombs.grey_tags("<") | {34675: (3, 1, b"\1\0")}, {})
    return [bombs.jpeg_exif(block), bombs.png_exif(block), bombs.webp_exif(block), tiff]


def exr(channels: str = "RGB") -> list[bytes]:
    """Half and float, three compressions, windows that differ, an attribute."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for kind, compression in (("f2", "ZIP"), ("f4", "PIZ"), ("f2", "NO")):
            planes = {name: _RNG.random((24, 32)).astype(kind) for name in channels}
            windows = {"data": (0, 0, 32, 24), "display": (-4, 0, 40, 24)}
            path = save_exr(Path(folder) / "a.exr", planes, {"note": "x"}, windows, compression)
            found.append(path.read_bytes())
    return found


def grey() -> list[bytes]:
    """Trimaps and masks: grey, palette, 16 bits, with alpha."""
    picture = Image.fromarray(_TRIMAP)
    return [
        *(_saved("PNG", picture), _saved("PNG", picture.convert("P")), _saved("PNG", picture.convert("LA"))),
        *(_saved("TIFF", picture), _saved("BMP", picture), _saved("PNG", Image.fromarray(_TRIMAP.astype("u2") * 257))),
    ]


def profiles() -> list[bytes]:
    """ICC profiles with and without primaries, of curves of two kinds."""
    primaries = np.array([[0.6, 0.3, 0.02], [0.2, 0.6, 0.07], [0.15, 0.06, 0.74]])
    return [adobe_profile(), rgb_profile(primaries, gamma(1)), rgb_profile(primaries, gamma(2.2), b"GRAY")]


def toml(folder: str) -> list[bytes]:
    """The files of a folder of the project."""
    return [path.read_bytes() for path in sorted((ROOT / folder).glob("*.toml"))]


def onnx() -> list[bytes]:
    """The one of a single convolution, whose graph is short."""
    return [TINY_ENGINE.read_bytes()]


def onnx_sidecar() -> list[bytes]:
    """With weights inside and beside."""
    whole = Sidecar("model.onnx", SHA, "m.safetensors", SHA, (64, 64), None, "fp32", "matmul", "group", 21)
    return [_json({"format": FORMAT, **asdict(whole), "weights_beside": beside}) for beside in (False, True)]


def engine_sidecar() -> list[bytes]:
    """For two architectures."""
    whole = EngineSidecar(
        *("model.engine", SHA, "model.onnx", SHA, "tensorrt-rtx", "1.7", ("8.6", "8.9"), (64, 64), (1, 4, 8), "fp32")
    )
    return [_json({"format": FORMAT, **asdict(whole)})]


def settings() -> list[bytes]:
    """As ltm-infer notes them."""
    return [_json({"engine": "64x64 fp32, weights 000000000000", "plan": "adaptive", "unknown": None, "depth": "8"})]


def manifest() -> list[bytes]:
    """Two records of ltm-batch."""
    record = {"frame": "a", "failure": None, "files": {"a.png": [1, 2]}, "sources": {"b.png": [3, 4]}}
    return [_json(record) + b"\n" + _json(record | {"frame": "b", "failure": "no"}) + b"\n"]


def begun() -> list[bytes]:
    """The run.json of ltm-train."""
    from litematting_deploy.training.recipe import Recipe
    from litematting_deploy.training.rundir import Begun

    return [_json(asdict(Begun(Recipe(), "photos")))]


def results() -> list[bytes]:
    """Those of ltm-bench in the project."""
    return [path.read_bytes() for path in sorted((ROOT / "benchmarks" / "results").glob("*.json"))]


def segment() -> list[bytes]:
    """Two frames of a clip."""
    return [_json({"first": 0, "pts": [0, 1001], "sources": ["00", "11"], "end": 2002})]


def checkpoints() -> list[bytes]:
    """Zip and older pickles of torch.save, and a plain pickle."""
    import torch

    found = []
    for options in ({}, {"_use_new_zipfile_serialization": False}):
        file = io.BytesIO()
        torch.save({"state_dict": {"module.a": torch.ones(3), "b": torch.zeros(2, 2)}}, file, **options)
        found.append(file.getvalue())
    return [*found, pickle.dumps({"a": 1})]


def safetensors() -> list[bytes]:
    """Two tensors."""
    from safetensors.numpy import save

    return [save({"a": np.ones(3, np.float32), "b": np.zeros((2, 2), np.float16)})]


def _json(content: Any) -> bytes:
    return json.dumps(content).encode()


def _saved(kind: str, picture: Image.Image | None = None, **options: Any) -> bytes:
    file = io.BytesIO()
    (picture or Image.fromarray(_COLOUR)).save(file, kind, **options)
    return file.getvalue()


def _deep(suffix: str) -> bytes:
    done, content = cv2.imencode(suffix, _DEEP)
    assert done
    return content.tobytes()
