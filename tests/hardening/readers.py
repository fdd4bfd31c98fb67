"""Every way in: what reads a file that nobody vouches for, and whole files of that kind."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

from tests.hardening import seeds

_MEGAPIXELS = 2  # of pictures in a fuzzer; what is larger is refused by its header


@dataclass(frozen=True)
class Reader:
    """file: what the input is called. read: with its path, in a folder that holds nothing else."""

    file: str
    seeds: Callable[[], list[bytes]]
    read: Callable[[Path], object]


def _photo(path: Path) -> object:
    from litematting_deploy.images.photo import read_photo

    return read_photo(path, _MEGAPIXELS).metadata.exif_block()


def _metadata(path: Path) -> object:
    from litematting_deploy.images.encode import encode_png, encode_tiff
    from litematting_deploy.images.photo import read_photo

    photo = read_photo(path, _MEGAPIXELS)
    for encode in (encode_png, encode_tiff):
        path.write_bytes(encode(photo.pixels, photo.metadata))
        if (read_photo(path, _MEGAPIXELS).pixels != photo.pixels).any():
            raise ValueError(f"{encode.__name__} has changed the pixels")
    return photo


def _trimap(path: Path) -> object:
    from litematting_deploy.images.mask import read_trimap
    from litematting_deploy.matting.trimap import decode

    return decode(read_trimap(path, _MEGAPIXELS))


def _mask(path: Path) -> object:
    from litematting_deploy.images.mask import read_mask
    from litematting_deploy.matting.trimap import from_mask

    return from_mask(read_mask(path, _MEGAPIXELS), 3)


def _whole(path: Path) -> object:
    from litematting_deploy.images.results import ResultSizes, is_result

    return is_result(path, ResultSizes.of(path, _MEGAPIXELS), False, _MEGAPIXELS)


def _profile(path: Path) -> object:
    from litematting_deploy.images.icc import Profile

    return Profile(path.read_bytes(), path)


def _export_recipe(path: Path) -> object:
    from litematting_deploy.export.spec import read_recipe

    return read_recipe(path)


def _build_profile(path: Path) -> object:
    from litematting_deploy.engines.tensorrt.profile import read_profile

    return read_profile(path)


def _training_recipe(path: Path) -> object:
    from litematting_deploy.training.recipe import read_recipe

    return read_recipe(path)


def _onnx(path: Path) -> object:
    from litematting_deploy import load_engine

    return load_engine(path).close()


def _onnx_sidecar(path: Path) -> object:
    from litematting_deploy.sidecar import check_sidecar

    artefact = path.with_suffix("")
    artefact.write_bytes(b"onnx")
    return check_sidecar(artefact)


def _engine_sidecar(path: Path) -> object:
    from litematting_deploy.sidecar import check_engine_sidecar

    artefact = path.with_suffix("")
    artefact.write_bytes(b"engine")
    return check_engine_sidecar(artefact)


def _settings(path: Path) -> object:
    from litematting_deploy.jobs.resume import keep_settings

    return keep_settings(path.parent, {"depth": "8"}, "resume")


def _manifest(path: Path) -> object:
    from litematting_deploy.jobs.cluster.manifest import Manifest

    with closing(Manifest(path.parent, 0)) as manifest:
        return manifest.is_done("a", [], [])


def _run(path: Path) -> object:
    from litematting_deploy.training.rundir import reopen

    return reopen(path.parent)


def _results(path: Path) -> object:
    from litematting_deploy.benchmarks.results import read_results

    return read_results(path)


def _segment(path: Path) -> object:
    from litematting_deploy.video.segments import Segments

    segments = Segments("m.mkv", [], cast(Any, None), 4)
    segments.folder = path.parent
    return segments.whole()


def _checkpoint(path: Path) -> object:
    from litematting_deploy.model import load_checkpoint

    return load_checkpoint(path)


READERS = {
    **{f"photo-{kind}": Reader("photo.bin", partial(seeds.photo, kind), _photo) for kind in seeds.FORMATS},
    **{f"photo-{kind}": Reader("photo.bin", partial(seeds.container, kind), _photo) for kind in seeds.CONTAINERS},
    "metadata": Reader("photo.bin", seeds.tagged, _metadata),
    "photo-exr": Reader("photo.exr", seeds.exr, _photo),
    "trimap": Reader("trimap.png", seeds.grey, _trimap),
    "mask": Reader("mask.png", seeds.grey, _mask),
    "mask-exr": Reader("mask.exr", partial(seeds.exr, "A"), _mask),
    "result-exr": Reader("result.exr", partial(seeds.exr, "RGBA"), _whole),
    "icc-profile": Reader("profile.icc", seeds.profiles, _profile),
    "export-recipe": Reader("recipe.toml", partial(seeds.toml, "export"), _export_recipe),
    "build-profile": Reader("profile.toml", partial(seeds.toml, "engines"), _build_profile),
    "training-recipe": Reader("recipe.toml", partial(seeds.toml, "recipes"), _training_recipe),
    "onnx": Reader("model.onnx", seeds.onnx, _onnx),
    "onnx-sidecar": Reader("model.onnx.json", seeds.onnx_sidecar, _onnx_sidecar),
    "engine-sidecar": Reader("model.engine.json", seeds.engine_sidecar, _engine_sidecar),
    "settings": Reader(".ltm-infer.json", seeds.settings, _settings),
    "manifest": Reader("manifest.jsonl", seeds.manifest, _manifest),
    "training-run": Reader("run.json", seeds.begun, _run),
    "results": Reader("results.json", seeds.results, _results),
    "segment": Reader("00000000.json", seeds.segment, _segment),
    "checkpoint-pth": Reader("model.pth", seeds.checkpoints, _checkpoint),
    "checkpoint-safetensors": Reader("model.safetensors", seeds.safetensors, _checkpoint),
}
