"""Transparency and colour chunks of PNG files written by hand, against the arithmetic of the standards."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from litematting_deploy.errors import InputError
from litematting_deploy.images.encode import encode_png
from litematting_deploy.images.mask import read_alpha, read_mask, read_trimap
from litematting_deploy.images.metadata import Metadata
from litematting_deploy.images.photo import Photo, read_photo
from litematting_deploy.matting.foreground import estimate_foreground
from tests.images.files import adobe_profile, gamma, rgb_profile
from tests.images.light import decoded, encoded
from tests.images.png_bytes import chunks_of, png

_RNG = np.random.default_rng(7)
_D65, _709 = (0.3127, 0.3290), ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
_2020 = ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046))
_COLOUR_CHUNKS: dict[str, tuple[bytes, bytes]] = {
    "cICP": (b"cICP", bytes([9, 16, 0, 1])),
    "gAMA": (b"gAMA", struct.pack(">I", 100_000)),
    "cHRM": (b"cHRM", struct.pack(">8I", 31270, 32900, 70800, 29200, 17000, 79700, 13100, 4600)),
    "mDCV": (b"mDCV", bytes(range(24))),
    "cLLI": (b"cLLI", bytes(range(8))),
    "sRGB": (b"sRGB", b"\1"),
}


def key_of(value: Any) -> bytes:
    return np.asarray(value).astype(">u2").tobytes()


@pytest.mark.parametrize("reserved", [0, 1], ids=["zero", "set"])
@pytest.mark.parametrize(("bits", "kind"), [*((b, 0) for b in (1, 2, 4, 8, 16)), (8, 2), (16, 2)])
def test_one_transparent_value(bits: int, kind: int, reserved: int, tmp_path: Path) -> None:
    """The value is of the file's own depth, and bits of tRNS beyond that depth mean nothing."""
    count = 1 if kind == 0 else 3
    samples = _RNG.integers(0, 1 << bits, (6, 11, count))
    samples[2, 3] = samples[4, 4] = value = samples[0, 0].copy()
    near = value.copy()
    near[-1] ^= 1  # differs in the lowest bit alone, which 8 bits of 16 do not tell
    samples[1, 1] = near
    stored = value | (reserved * 0xFF00 if bits <= 8 else 0)
    path = tmp_path / "a.png"
    path.write_bytes(png(samples, bits, kind, (b"tRNS", key_of(stored))))
    opaque = (samples != value).any(axis=2)
    assert np.array_equal(read_mask(path), np.where(opaque, 255, 0))
    for read in (read_photo, read_trimap):
        with pytest.raises(InputError, match="has transparent pixels"):
            read(path)
    absent = np.where(opaque[:, :, None], samples, near)
    path.write_bytes(png(absent, bits, kind, (b"tRNS", key_of(stored))))
    levels = absent * (255 // ((1 << bits) - 1)) if bits < 8 else absent
    assert np.array_equal(read_photo(path).pixels, np.broadcast_to(levels, (6, 11, 3)))
    if kind == 0 and bits < 16:
        assert np.array_equal(read_trimap(path), levels[:, :, 0])


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("listed", ["one", "some", "all"])
def test_transparent_palette(bits: int, listed: str, tmp_path: Path) -> None:
    """tRNS has the alpha of the first entries; the others are opaque."""
    size = 1 << bits
    samples = _RNG.integers(0, size, (6, 11))
    palette = _RNG.integers(0, 256, (size, 3)).astype(np.uint8)
    alphas = _RNG.integers(0, 255, {"one": 1, "some": (size + 1) // 2, "all": size}[listed]).astype(np.uint8)
    samples[0, 0] = 0
    path = tmp_path / "a.png"
    path.write_bytes(png(samples, bits, 3, (b"PLTE", palette.tobytes()), (b"tRNS", alphas.tobytes())))
    alpha = np.append(alphas, np.full(size - len(alphas), 255, np.uint8))[samples]
    assert np.array_equal(read_alpha(path), alpha)
    with pytest.raises(InputError, match="has transparent pixels"):
        read_photo(path)


@pytest.mark.parametrize("read", [read_photo, read_mask, read_trimap])
@pytest.mark.parametrize(("entries", "words"), [(3, "palette index 3, .* 3 colours"), (0, "without a PLTE chunk")])
def test_indices_beyond_the_palette_are_refused(entries: int, words: str, read: Any, tmp_path: Path) -> None:
    """Decoders show them as black, which of a mask would be background."""
    path, palette = tmp_path / "a.png", (b"PLTE", bytes([255, 0, 0] * 3))
    path.write_bytes(png(np.arange(4).reshape(2, 2), 2, 3, *((palette,) if entries else ())))
    with pytest.raises(InputError, match=rf"a\.png: .*{words}"):
        read(path)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("kind", [4, 6])
def test_an_alpha_channel_counts_whatever_trns_says(bits: int, kind: int, tmp_path: Path) -> None:
    samples = _RNG.integers(0, 1 << bits, (6, 11, 2 if kind == 4 else 4))
    path = tmp_path / "a.png"
    path.write_bytes(png(samples, bits, kind, (b"tRNS", key_of(samples[0, 0, :3]))))
    assert np.array_equal(read_alpha(path), samples[:, :, -1] >> (bits - 8))
    samples[:, :, -1] = (1 << bits) - 1
    path.write_bytes(png(samples, bits, kind))
    assert np.array_equal(read_photo(path).pixels, np.broadcast_to(samples[:, :, :-1], (6, 11, 3)))


@pytest.mark.parametrize(
    ("kind", "content"), [(0, b"\0"), (0, bytes(4)), (2, bytes(5)), (2, bytes(8)), (3, bytes(300))]
)
def test_transparency_of_a_wrong_length(kind: int, content: bytes, tmp_path: Path) -> None:
    path, samples = tmp_path / "a.png", np.zeros((2, 2, 3 if kind == 2 else 1), int)
    path.write_bytes(png(samples, 8, kind, (b"PLTE", bytes(768)), (b"tRNS", content)))
    with pytest.raises(InputError, match=r"a\.png: its tRNS chunk has \d+ bytes, expected"):
        read_mask(path)


def ramp(bits: int) -> NDArray[np.integer]:
    return np.linspace(0, (1 << bits) - 1, 48 * 3).round().astype(int).reshape(6, 8, 3)[:, ::-1]


def read(path: Path, samples: NDArray[np.integer], bits: int, *names: str | tuple[bytes, bytes]) -> Photo:
    chunks = (_COLOUR_CHUNKS[name] if isinstance(name, str) else name for name in names)
    path.write_bytes(png(samples, bits, 2, *chunks))
    return read_photo(path)


def pq(signal: NDArray[np.float64]) -> NDArray[np.float64]:
    """SMPTE ST 2084, in cd/m2 over the 203 of reference white (ITU-R BT.2408)."""
    m1, m2 = 0.1593017578125, 78.84375
    root = signal ** (1 / m2)
    return np.asarray(10000 * (np.maximum(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)) ** (1 / m1) / 203)


def hlg(signal: NDArray[np.float64]) -> NDArray[np.float64]:
    """The inverse OETF of ITU-R BT.2100, over the light of 75 %, reference white (ITU-R BT.2408)."""
    a, b, c = 0.17883277, 1 - 4 * 0.17883277, 0.5 - 0.17883277 * np.log(4 * 0.17883277)

    def scene(x: Any) -> Any:
        return np.where(x <= 0.5, np.square(x) / 3, (np.exp((x - c) / a) + b) / 12)

    return np.asarray(scene(signal) / scene(0.75))


def matrix(xy: Any, white: Any) -> NDArray[np.float64]:
    """Light to XYZ: columns of the primaries, scaled so that they add up to white."""
    columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in xy]).T
    whites = np.array([white[0] / white[1], 1, (1 - sum(white)) / white[1]])
    return np.asarray(columns * np.linalg.solve(columns, whites))


_TO_709 = np.linalg.inv(matrix(_709, _D65)) @ matrix(_2020, _D65)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize(
    ("names", "light"),
    [
        (["cICP"], lambda x: pq(x) @ _TO_709.T),
        ([(b"cICP", bytes([9, 18, 0, 1])), "gAMA"], lambda x: hlg(x) @ _TO_709.T),
        ([(b"cICP", bytes([1, 8, 0, 1])), "sRGB"], lambda x: x),
        ([(b"cICP", bytes([2, 4, 0, 1]))], lambda x: x**2.2),
        ([(b"cICP", bytes([1, 13, 0, 1])), "gAMA", "cHRM"], lambda x: decoded(np.rint(x * 65535).astype(np.uint16))),
        (["gAMA"], lambda x: x),
        (["gAMA", "cHRM"], lambda x: x @ _TO_709.T),
        ([(b"gAMA", struct.pack(">I", 55_556))], lambda x: x ** (100_000 / 55_556)),
        (["gAMA", "cHRM", "sRGB"], lambda x: decoded(np.rint(x * 65535).astype(np.uint16))),
        ([(b"gAMA", struct.pack(">I", 45_455))], lambda x: decoded(np.rint(x * 65535).astype(np.uint16))),
        ([(b"gAMA", struct.pack(">I", 45_455)), "cHRM"], lambda x: x**2.2 @ _TO_709.T),
    ],
)
def test_numbers_mean_light(bits: int, names: Any, light: Any, tmp_path: Path) -> None:
    samples = ramp(bits)
    photo = read(tmp_path / "a.png", samples, bits, *names)
    wanted = light(samples / ((1 << bits) - 1))
    from litematting_deploy.images.colour import SRGB

    assert np.allclose(photo.space.convert(photo.to_light(photo.pixels), SRGB), wanted, rtol=5e-4, atol=5e-5)
    assert np.array_equal(photo.to_pixels(photo.to_light(photo.pixels)), samples)
    assert np.abs(photo.network.astype(int) - encoded(wanted, np.uint8)).max() <= 1
    again = chunks_of(encode_png(photo.pixels, photo.metadata))
    assert {name: again[name] for name, _ in photo.metadata.colour} == dict(
        _COLOUR_CHUNKS[name] if isinstance(name, str) else name for name in names
    )


def test_another_white_is_adapted(tmp_path: Path) -> None:
    """The white of primaries under illuminant E is white."""
    numbers = struct.pack(">8I", 33333, 33333, 64000, 33000, 30000, 60000, 15000, 6000)
    photo = read(tmp_path / "a.png", np.full((1, 1, 3), 255), 8, (b"cHRM", numbers))
    assert photo.network.tolist() == [[[255, 255, 255]]]


def test_a_profile_counts_before_srgb_and_after_cicp(tmp_path: Path) -> None:
    from zlib import compress

    profile = (b"iCCP", b"p\0\0" + compress(adobe_profile()))
    photo = read(tmp_path / "a.png", ramp(8), 8, profile, "sRGB", "gAMA")
    assert "ICC profile" in photo.space.name
    kept = chunks_of(encode_png(photo.pixels, photo.metadata))
    assert b"sRGB" not in kept
    assert {b"iCCP", b"gAMA"} <= kept.keys()
    photo = read(tmp_path / "a.png", ramp(8), 8, profile, "cICP")
    assert "cICP" in photo.space.name
    assert photo.metadata.icc == adobe_profile()
    grey = (b"iCCP", b"p\0\0" + compress(rgb_profile(np.eye(3), gamma(2.2), b"GRAY")))
    photo = read(tmp_path / "a.png", ramp(8), 8, grey, "cICP")
    assert (b"cICP" in dict(photo.metadata.colour), photo.metadata.icc) == (True, None)
    with pytest.raises(InputError, match="its ICC profile"):
        read(tmp_path / "a.png", ramp(8), 8, (b"iCCP", b"p\0\0no zlib"))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        *((name, item[1] + b"\0") for name, item in _COLOUR_CHUNKS.items()),
        *((name, item[1][:-1]) for name, item in _COLOUR_CHUNKS.items()),
        ("gAMA", bytes(4)),
        ("gAMA", b"\xff\xff\xff\xff"),
        ("sRGB", b"\4"),
        ("cICP", bytes([9, 16, 9, 1])),
        ("cICP", bytes([9, 16, 0, 0])),
        ("cICP", bytes([9, 200, 0, 1])),
        ("cICP", bytes([0, 16, 0, 1])),
        ("cHRM", bytes(32)),
        ("cHRM", struct.pack(">8I", 31270, 32900, 10000, 10000, 20000, 20000, 30000, 30000)),
    ],
)
def test_what_is_not_allowed_is_refused_by_name(name: str, content: bytes, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"a\.png: its {name} chunk .* expected .*"):
        read(tmp_path / "a.png", ramp(8), 8, (name.encode(), content))


@pytest.mark.parametrize(
    ("before", "counts"), [("cICP", "cICP"), ("sRGB", "sRGB"), ("iCCP", "ICC profile")], ids=["cICP", "sRGB", "iCCP"]
)
@pytest.mark.parametrize("broken", [("gAMA", bytes(4)), ("cHRM", bytes(32))], ids=["gAMA", "cHRM"])
def test_what_does_not_count_may_be_wrong(before: str, counts: str, broken: tuple[str, bytes], tmp_path: Path) -> None:
    """As PNG's precedence has it, and as other readers do: libpng passes a gamma of 0 over."""
    from zlib import compress

    chunk = (b"iCCP", b"p\0\0" + compress(adobe_profile())) if before == "iCCP" else before
    wrong = (broken[0].encode(), broken[1])
    photo, right = (read(tmp_path / "a.png", ramp(8), 8, *chunks) for chunks in ((chunk, wrong), (chunk,)))
    assert counts in photo.space.name
    np.testing.assert_array_equal(photo.network, right.network)


def test_grey_pictures_have_no_colour_chunks() -> None:
    metadata = Metadata(colour=tuple(_COLOUR_CHUNKS.values()))
    assert chunks_of(encode_png(np.zeros((2, 2), np.uint8), metadata.for_grey())).keys() == {b"IHDR", b"IDAT", b"IEND"}


def test_light_above_reference_white_is_estimated(tmp_path: Path) -> None:
    """A bright object of 1000 cd/m2 over black: half of it keeps its light, which lies above 1."""
    signal, alpha = np.zeros((40, 40, 3), int), np.zeros((40, 40), np.float32)
    alpha[10:30, 10:30], alpha[10:30, 8:10] = 1, 0.5
    samples = np.linspace(0, 1, 65536)
    bright, half = (int(np.abs(pq(samples) - value).argmin()) for value in (1000 / 203, 500 / 203))
    signal[alpha == 1], signal[alpha == 0.5] = bright, half
    photo = read(tmp_path / "a.png", signal, 16, (b"cICP", bytes([1, 16, 0, 1])))
    light = photo.to_light(estimate_foreground(photo, alpha))
    assert np.allclose(light[alpha == 0.5], 1000 / 203, rtol=0.05)
