"""Pack a recipe's drawn alphas and its photos into one small file, for a machine that is lent for minutes.

python recipes/pack.py recipes/gpu.toml --photos PHOTOS [MORE ...] --libraries LIBRARIES -o .pack/gpu.zip

Draws what LIBRARIES lacks. Photos go to 640 pixels as JPEG under their own names, which decide what is held out.
Alphas keep their bits (lossless WebP); shades, which are applied at random strength, are lossy WebP. `unpack` makes the
folders that ltm-train expects.
"""

import argparse
import json
import os
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from litematting_deploy.errors import LiteMattingError
from litematting_deploy.files import replacing
from litematting_deploy.images.photo import read_image, shrink
from litematting_deploy.training.drawing import SHARD, Drawn, points_of_interest, shard_file, write_shard
from litematting_deploy.training.library import Library
from litematting_deploy.training.photos import list_images
from litematting_deploy.training.recipe import Recipe, read_recipe
from litematting_deploy.training.sources import ProceduralSource, draw_libraries, procedural_sources

LIMIT_MIB = 25
PHOTO_PX, PHOTO_QUALITY, SHADE_QUALITY, LOSSLESS = 640, 88, 80, 101
PARTS = "training", "held_out"


def pack(
    recipe: Recipe, photos: list[Path], libraries: Path, output: Path, workers: int, say: Callable[[str], None]
) -> None:
    """Write the pack of a recipe. photos: folders of photos. Raises `SystemExit` if it is over LIMIT_MIB."""
    with replacing(output) as draft, zipfile.ZipFile(draft, "w") as file:
        small = output.with_name(f"{output.stem}-photos")
        _write_photos([path for folder in photos for path in list_images(folder)], small)
        for path in sorted(small.iterdir()):
            file.write(path, f"photos/{path.name}")
        of_photos = _bytes(file)
        made = _libraries(recipe, small, libraries, workers)
        draw_libraries(procedural_sources(recipe, small, libraries, workers), workers, _progress(say))
        for part, library in made.items():
            for first in range(0, library.count, SHARD):
                for index, planes in enumerate(np.load(shard_file(library.folder, first), mmap_mode="r"), first):
                    for name, content in zip(_names(part, index), _encode(planes), strict=True):
                        file.writestr(name, content)
        names = {part: library.folder.name for part, library in made.items()}
        file.writestr("pack.json", json.dumps({"recipe": recipe.to_dict(), "folders": names}))
        size = _bytes(file)
        layers = sum(-(-library.count // SHARD) * SHARD for library in made.values())
        each = (size - of_photos) / layers
        say(f"photos: {of_photos / 2**20:.1f} MiB; {layers} layers of {each / 1024:.0f} KiB")
        if size > LIMIT_MIB * 2**20:
            fits = int((LIMIT_MIB * 2**20 - of_photos) / each) // SHARD * SHARD
            raise SystemExit(
                f"{output}: would have {size / 2**20:.1f} MiB, at most {LIMIT_MIB} are wanted; {fits} layers fit, "
                "those for validation included: lower procedural.count"
            )
    say(f"{output}: {size / 2**20:.1f} MiB")


def unpack(file: Path, recipe: Recipe, folder: Path, say: Callable[[str], None]) -> tuple[Path, Path]:
    """Make folders of photos and libraries in `folder` from a pack. Raises `SystemExit` if it is of another recipe."""
    with zipfile.ZipFile(file) as packed:
        about = json.loads(packed.read("pack.json"))
        mine = json.loads(json.dumps(recipe.to_dict()))
        if any(about["recipe"][key] != mine[key] for key in ("seed", "procedural", "validation_scenes", "held_out")):
            raise SystemExit(f"{file}: is the pack of another recipe; pack again: python recipes/pack.py RECIPE ...")
        photos, libraries = folder / "photos", folder / "libraries"
        photos.mkdir(parents=True)
        content = {name: packed.read(name) for name in packed.namelist()}
    for name in content:
        if name.startswith("photos/"):
            (photos / Path(name).name).write_bytes(content[name])
    with ThreadPoolExecutor() as pool:
        for part, library in _libraries(recipe, photos, libraries).items():
            if library.folder.name != about["folders"][part]:
                say(f"{part}: drawn by another state of the families ({about['folders'][part]}), used as they are")
            library.folder.mkdir(parents=True)
            firsts = range(0, library.count, SHARD)
            list(pool.map(partial(_unpack_shard, content, part, library.folder), firsts))
    return photos, libraries


def _libraries(recipe: Recipe, photos: Path, libraries: Path, workers: int = 1) -> dict[str, Library]:
    sources = procedural_sources(recipe, photos, libraries, workers)
    return {
        part: source.library
        for part, source in zip(PARTS, sources, strict=True)
        if isinstance(source, ProceduralSource)
    }


def _names(part: str, index: int) -> tuple[str, str]:
    return f"{part}/{index:06d}-alpha.webp", f"{part}/{index:06d}-shade.webp"


def _encode(planes: NDArray[np.uint8]) -> list[bytes]:
    """Alpha and shade as WebP."""
    return [
        cv2.imencode(".webp", cv2.cvtColor(plane, cv2.COLOR_GRAY2BGR), [cv2.IMWRITE_WEBP_QUALITY, quality])[1].tobytes()
        for plane, quality in zip(planes, (LOSSLESS, SHADE_QUALITY), strict=True)
    ]


def _unpack_shard(content: dict[str, bytes], part: str, folder: Path, first: int) -> None:
    drawn: list[Drawn] = []
    for index in range(first, first + SHARD):
        decoded = [
            cv2.imdecode(np.frombuffer(content[name], np.uint8), cv2.IMREAD_COLOR) for name in _names(part, index)
        ]
        planes = np.stack([np.asarray(plane, np.uint8)[..., 0] for plane in decoded])
        drawn.append((planes, points_of_interest(planes[0], np.random.default_rng(index))))
    write_shard(folder, first, drawn)


def _write_photos(paths: list[Path], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for path in paths:
        small = cv2.cvtColor(shrink(read_image(path), PHOTO_PX), cv2.COLOR_RGB2BGR)
        cv2.imwrite(str(folder / path.name), small, [cv2.IMWRITE_JPEG_QUALITY, PHOTO_QUALITY])


def _bytes(file: zipfile.ZipFile) -> int:
    return sum(item.compress_size + 2 * len(item.filename) + 100 for item in file.infolist())


def _progress(say: Callable[[str], None]) -> Callable[[str, int, int], None]:
    return lambda name, count, there: say(f"{name}: {min(there, count)} of {count}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--photos", type=Path, nargs="+", required=True)
    parser.add_argument("--libraries", type=Path, required=True, help="folder of drawn alphas, as ltm-train's")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    options = parser.parse_args()
    for folder in (options.libraries, options.output.parent):
        folder.mkdir(parents=True, exist_ok=True)
    try:
        recipe = read_recipe(options.recipe)
        pack(recipe, options.photos, options.libraries, options.output, options.workers, partial(print, flush=True))
    except LiteMattingError as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
