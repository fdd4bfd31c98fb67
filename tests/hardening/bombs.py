"""Small files that announce much, byte by byte. By their names, which end as the format does."""

import io
import struct
import zlib
from typing import Any

from PIL import Image

SIDE = 100_000
_ZEROS = zlib.compress(bytes(64 << 20), 1)  # 64 MB in 290 kB


def png(width: int, height: int, *chunks: tuple[bytes, bytes], depth: int = 8) -> bytes:
    """RGB of almost no data, with chunks before it."""
    head = struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0)
    parts = [(b"IHDR", head), *chunks, (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")]
    whole = b"".join(struct.pack(">I", len(c)) + k + c + struct.pack(">I", zlib.crc32(k + c)) for k, c in parts)
    return b"\x89PNG\r\n\x1a\n" + whole


def tiff(tags: dict[int, int], data: bytes = b"", following: int = 0) -> bytes:
    """One page of 64x64 grey in deflate with `tags` beside or instead; `data` lies at `data_offset(tags)`."""
    whole = _GREY | tags
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(whole.items()))
    return b"II*\0" + struct.pack("<IH", 8, len(whole)) + entries + struct.pack("<I", following) + data


_GREY = {256: 64, 257: 64, 258: 8, 259: 8, 262: 1, 277: 1}


def data_offset(tags: dict[int, int]) -> int:
    """Where the data of a `tiff` begins."""
    return 8 + 2 + 12 * len(_GREY | tags) + 4


def tiff_tile(side: int, packed: bytes) -> bytes:
    """A picture of 64x64 in one tile that is much larger."""
    tags = {322: side, 323: side, 324: 0, 325: len(packed)}
    return tiff(tags | {324: data_offset(tags)}, packed)


def tiff_unseen_tile(side: int) -> bytes:
    """As `tiff_tile`, with a damaged tag before those of the tile, at which Pillow stops and libtiff does not."""
    return tiff_tile(side, b"").replace(struct.pack("<HHI", 262, 4, 1), struct.pack("<HHI", 262, 4, 256))


def tiff_pages(count: int, damaged_from: int | None = None) -> bytes:
    """Pages that share their pixels; from the page `damaged_from` on they make no sense."""
    packed = zlib.compress(bytes(64 * 64))
    tags = {278: 64, 273: 0, 279: len(packed)}
    tags[273] = offset = data_offset(tags)
    first, size = offset + len(packed), offset - 8
    whole = tiff(tags, packed, first if count > 1 else 0)
    for index in range(1, count):
        page = tiff(tags, b"", first + size * index if index < count - 1 else 0)[8:]
        whole += bytes(size) if damaged_from is not None and index >= damaged_from else page
    return whole


def jpeg(width: int, height: int) -> bytes:
    """The size alone is changed."""
    content = bytearray(_saved("JPEG"))
    struct.pack_into(">HH", content, content.index(b"\xff\xc0") + 5, height, width)
    return bytes(content)


def jpeg_scans(count: int) -> bytes:
    """A progressive JPEG whose last scan is there so many times more."""
    content = _saved("JPEG", progressive=True)
    last = content[content.rindex(b"\xff\xda") : -2]
    return content[:-2] + last * count + content[-2:]


def jpeg_sequential_scans(count: int) -> bytes:
    """Not progressive, one component at a time, the first many times over and almost without data."""
    content = jpeg(14_000, 14_000)
    scan = b"\xff\xda\0\x08\1%c\0\0\x3f\0\0"
    scans = scan % 1 * count + scan % 2 + scan % 3
    return content[: content.index(b"\xff\xda")] + scans + content[-2:]


def fractions(count: int) -> bytes:
    """An EXIF block of one tag."""
    return b"II*\0" + struct.pack("<IHHHII", 8, 1, 40_000, 5, count, 26) + bytes(4 + 8 * count)


def shared_tags(count: int, size: int) -> bytes:
    """An EXIF block of tags that all mean the same bytes."""
    place = 8 + 2 + 12 * count + 4
    entries = b"".join(struct.pack("<HHII", 40_000 + index, 7, size, place) for index in range(count))
    return b"II*\0" + struct.pack("<IH", 8, count) + entries + bytes(4 + size)


def tiff_shared_tags(count: int, size: int) -> bytes:
    """A picture of 64x64 with tags that all mean the same bytes, its pixels among them."""
    tags = {**_GREY, 278: 64, 273: 0, 279: 64 * 64}
    tags[259] = 1
    place = 8 + 2 + 12 * (len(tags) + count) + 4
    tags[273] = place
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    entries += b"".join(struct.pack("<HHII", 40_000 + index, 7, size, place) for index in range(count))
    return b"II*\0" + struct.pack("<IH", 8, len(tags) + count) + entries + bytes(4 + size)


def _shared_tags_below(count: int, size: int) -> bytes:
    """In the Exif folder of a block that has nothing else."""
    head = b"II*\0" + struct.pack("<IHHHIII", 8, 1, 0x8769, 4, 1, 26, 0)
    below = shared_tags(count, size)[8:]
    moved = bytearray(below)
    for index in range(count):
        struct.pack_into("<I", moved, 2 + 12 * index + 8, 26 + 2 + 12 * count + 4)
    return head + bytes(moved)


def _raw_profile(block: bytes) -> bytes:
    """A PNG's text as ImageMagick writes it."""
    return b"Raw profile type exif\0\nexif\n%d\n" % len(block) + block.hex().encode()


def folders(
    order: str, first: dict[int, tuple[int, int, bytes]], below: dict[int, dict[int, tuple[int, int, bytes]]]
) -> bytes:
    """A TIFF or EXIF block. Tags have type, count and bytes; `below` are the folders that tags of `first` point to."""
    content = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    first = first | dict.fromkeys(below, (4, 1, bytes(4)))
    start = 8 + _folder_bytes(first)
    parts = []
    for tag, entries in below.items():
        first[tag] = (4, 1, struct.pack(order + "I", start))
        parts.append(_folder(order, entries, start))
        start += len(parts[-1])
    return content + _folder(order, first, 8) + b"".join(parts)


def _folder_bytes(entries: dict[int, tuple[int, int, bytes]]) -> int:
    return len(_folder("<", entries, 0))


def _folder(order: str, entries: dict[int, tuple[int, int, bytes]], start: int) -> bytes:
    place, fields, values = start + 2 + 12 * len(entries) + 4, b"", b""
    for tag, (kind, count, value) in sorted(entries.items()):
        where = value.ljust(4, b"\0") if len(value) <= 4 else struct.pack(order + "I", place + len(values))
        fields += struct.pack(order + "HHI", tag, kind, count) + where
        values += value if len(value) > 4 else b""
    return struct.pack(order + "H", len(entries)) + fields + bytes(4) + values


def grey_tags(order: str) -> dict[int, tuple[int, int, bytes]]:
    """A picture of 8x1 without compression, its pixels the header of the file."""
    values = {256: 8, 257: 1, 258: 8, 259: 1, 262: 1, 273: 0, 277: 1, 278: 1, 279: 8}
    return {tag: (4, 1, struct.pack(order + "I", value)) for tag, value in values.items()}


def jpeg_exif(block: bytes) -> bytes:
    """An EXIF block in as many segments as it takes."""
    content, name, most = _saved("JPEG"), b"Exif\0\0", 65_000
    parts = [name + block[start : start + most] for start in range(0, len(block), most)]
    segments = b"".join(b"\xff\xe1" + struct.pack(">H", len(part) + 2) + part for part in parts)
    return content[:2] + segments + content[2:]


def webp_exif(block: bytes) -> bytes:
    """As Pillow writes it."""
    return _saved("WEBP", exif=block)


def png_exif(block: bytes) -> bytes:
    """As Pillow writes it."""
    return _saved("PNG", exif=block)


def bmp(width: int, height: int, compression: int = 0) -> bytes:
    """Without pixels."""
    depth = 8 if compression else 24
    return (
        b"BM"
        + struct.pack("<IHHI", 54, 0, 0, 54)
        + struct.pack("<IiiHHIIiiII", 40, width, height, 1, depth, compression, 0, 0, 0, 0, 0)
    )


def webp(width: int, height: int) -> bytes:
    """Lossless, sides up to 16383."""
    data = b"\x2f" + (width - 1 | height - 1 << 14).to_bytes(4, "little") + bytes(5)
    return b"RIFF" + struct.pack("<I", len(data) + 12) + b"WEBPVP8L" + struct.pack("<I", len(data)) + data


def exr(
    box: tuple[int, int, int, int],
    channels: tuple[bytes, ...] = (b"B", b"G", b"R"),
    attributes: tuple[tuple[bytes, bytes, bytes], ...] = (),
    flags: int = 2,
) -> bytes:
    """A header of half channels and a little after it."""
    window = struct.pack("<4i", *box)
    listed = b"".join(name + b"\0" + struct.pack("<iB3xii", 1, 0, 1, 1) for name in channels) + b"\0"
    whole = (
        *((b"channels", b"chlist", listed), (b"compression", b"compression", b"\3")),
        *((b"dataWindow", b"box2i", window), (b"displayWindow", b"box2i", window)),
        *((b"lineOrder", b"lineOrder", b"\0"), (b"pixelAspectRatio", b"float", struct.pack("<f", 1))),
        *((b"screenWindowCenter", b"v2f", bytes(8)), (b"screenWindowWidth", b"float", struct.pack("<f", 1))),
        *attributes,
    )
    written = b"".join(b"\0".join((name, kind, struct.pack("<i", len(value)) + value)) for name, kind, value in whole)
    return b"v/1\x01" + struct.pack("<I", flags) + written + b"\0" + bytes(500)


def _saved(kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, kind, **options)
    return file.getvalue()


# Told by their size, before anything is decoded.
OVER_THE_LIMIT = {
    "huge.png": png(SIDE, SIDE),
    "huge.tif": tiff({256: SIDE, 257: SIDE}),
    "tile.tif": tiff_tile(SIDE, b""),
    "huge.jpg": jpeg(65_500, 65_500),
    "huge.bmp": bmp(SIDE, SIDE),
    "packed.bmp": bmp(SIDE, -(2**31), 1),
    "huge.webp": webp(16_383, 16_383),
    "huge.exr": exr((0, 0, SIDE - 1, SIDE - 1)),
    "widest.exr": exr((-(2**31), -(2**31), 2**31 - 1, 2**31 - 1)),
}

_SCANS = "JPEG with more than 100 scans"
_TAGS = "its tags claim [0-9]+ bytes, but the file has [0-9]+"
_EXIF_TAGS = f"its EXIF: {_TAGS}"

# Told by something else, and what is said.
REFUSED = {
    "zTXt.png": (png(8, 8, (b"zTXt", b"x\0\0" + _ZEROS)), "Decompressed data too large"),
    "iTXt.png": (png(8, 8, (b"iTXt", b"x\0\1\0\0\0" + _ZEROS)), "Decompressed data too large"),
    "iCCP.png": (png(8, 8, (b"iCCP", b"x\0\0" + _ZEROS)), "Decompressed data too large"),
    "deep.png": (png(8, 8, (b"iCCP", b"x\0\0" + _ZEROS), depth=16), "Decompressed data too large"),
    "pages.tif": (tiff_pages(5000), "contains several frames"),
    "strip.tif": (tiff({278: 2**31, 273: 200, 279: 2**32 - 1}), "damaged or truncated"),
    "unseen-tile.tif": (
        tiff_unseen_tile(SIDE),
        "a tile of 10000000000 bytes, more than the 2400000000 that",
    ),
    "tag.tif": (tiff({700: 2**32 - 1, 33723: 8}), "damaged or truncated"),
    "scans.jpg": (jpeg_scans(5000), _SCANS),
    "scans-one-by-one.jpg": (jpeg_sequential_scans(20_000), _SCANS),
    "tags.tif": (tiff_shared_tags(2000, 1 << 20), _TAGS),
    "tags.png": (png(8, 8, (b"eXIf", shared_tags(2000, 1 << 20))), _EXIF_TAGS),
    "tags-in-text.png": (png(8, 8, (b"tEXt", _raw_profile(shared_tags(2000, 1 << 16)))), _EXIF_TAGS),
    "tags.jpg": (jpeg_exif(shared_tags(2000, 20_000)), _EXIF_TAGS),
    "tags-in-segments.jpg": (jpeg_exif(shared_tags(2000, 1 << 20)), _EXIF_TAGS),
    "tags.webp": (webp_exif(shared_tags(2000, 1 << 20)), _EXIF_TAGS),
    "fractions.png": (png(8, 8, (b"eXIf", fractions(100_001))), "its EXIF: its tags contain 1000010 numbers"),
    "tags-below.jpg": (jpeg_exif(_shared_tags_below(2000, 20_000)), _EXIF_TAGS),
    "channels.exr": (exr((0, 0, 7, 7), tuple(b"c%06d" % n for n in range(200_000))), "more than 1024 channels"),
    "attributes.exr": (
        exr((0, 0, 7, 7), attributes=tuple((b"a%06d" % n, b"int", bytes(4)) for n in range(200_000))),
        "more than 10000 attributes",
    ),
    "attribute.exr": (
        exr((0, 0, 7, 7)).replace(b"lineOrder\0lineOrder\0\1\0\0\0", b"lineOrder\0lineOrder\0\xff\xff\xff\x7f"),
        "claims 2147483647 bytes",
    ),
    "tiles.exr": (
        exr(
            (0, 0, 7, 7), attributes=((b"tiles", b"tiledesc", struct.pack("<IIB", 2**31 - 1, 2**31 - 1, 1)),), flags=514
        ),
        "damaged or truncated",
    ),
}
