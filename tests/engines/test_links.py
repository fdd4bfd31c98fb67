"""Artefacts behind links: as the Hugging Face hub's cache lays files out, in several stores, and behind one link."""

import hashlib
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

from litematting_deploy.errors import ArtefactError
from litematting_deploy.runtime import load_engine
from litematting_deploy.runtime.shipped import SHIPPED_CHECKPOINT, SHIPPED_ENGINE, TINY_ENGINE
from litematting_deploy.sidecar import found_sidecar, sidecar_path, weights_sha256

from ..conftest import EXAMPLE, EXAMPLE_TRIMAP, called

SHIPPED = (SHIPPED_ENGINE, sidecar_path(SHIPPED_ENGINE), SHIPPED_CHECKPOINT)


def hub_cache(folder: Path, files: tuple[Path, ...] = SHIPPED, *, apart: bool = False) -> Path:
    """Lay files out as the hub's cache does, links to files named by hashes; `apart`: each of these in its folder.

    Returns the folder of the links.
    """
    links = folder / "snapshots" / "x"
    links.mkdir(parents=True)
    for path in files:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        blob = folder / "blobs" / (digest[:2] if apart else ".") / digest
        blob.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, blob)
        (links / path.name).symlink_to(blob)
    return links


def test_the_command_matting_with_an_engine_in_a_hub_cache(tmp_path: Path) -> None:
    links, alphas = hub_cache(tmp_path), (tmp_path / "a.png", tmp_path / "b.png")
    small = tmp_path / "photo.png", tmp_path / "trimap.png"
    _crop(*small)
    for alpha, engine in zip(alphas, (links / SHIPPED_ENGINE.name, SHIPPED_ENGINE), strict=True):
        result = called("ltm-infer", *small, "-o", alpha, "--engine", engine, "--device", "cpu")
        assert result.code == 0, result.err
    assert alphas[0].read_bytes() == alphas[1].read_bytes()


def _crop(photo: Path, trimap: Path) -> None:
    from PIL import Image

    for source, target in ((EXAMPLE, photo), (EXAMPLE_TRIMAP, trimap)):
        with Image.open(source) as picture:
            picture.crop((400, 300, 500, 380)).save(target)


@pytest.mark.parametrize("layout", ["hub", "apart", "one link", "into a hub", "plain graph"])
def test_neighbours_are_found_and_checked(tmp_path: Path, layout: str) -> None:
    if layout == "one link":
        for path in SHIPPED:
            shutil.copy(path, tmp_path)
        artefact = tmp_path / "elsewhere" / "renamed.onnx"
        artefact.parent.mkdir()
        artefact.symlink_to(tmp_path / SHIPPED_ENGINE.name)
    else:
        artefact = hub_cache(tmp_path, apart=layout == "apart") / SHIPPED_ENGINE.name
    if layout == "into a hub":
        (tmp_path / "models").mkdir()
        link = tmp_path / "models" / "mine.onnx"
        link.symlink_to(Path("..") / artefact.relative_to(tmp_path))
        artefact = link
    if layout == "plain graph":
        artefact.unlink()
        shutil.copy(SHIPPED_ENGINE, artefact)
    assert weights_sha256(artefact) == hashlib.sha256(SHIPPED_CHECKPOINT.read_bytes()).hexdigest()
    with load_engine(artefact, "cpu") as engine:
        assert engine.precision == "fp32"
    weights = next(path for path in tmp_path.rglob("*") if path.is_file() and path.stat().st_size > 8_000_000)
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(ArtefactError, match=r"litematting\.safetensors: its SHA-256 is"):
        load_engine(artefact, "cpu")


@pytest.mark.parametrize("near", [True, False], ids=["in the same store", "anywhere"])
@pytest.mark.filterwarnings("ignore:.* has no sidecar")
def test_weights_that_no_sidecar_vouches_for(tmp_path: Path, near: bool) -> None:
    """As `torch.onnx.export` writes them, beside the graph: read from the store of the graph, and from nowhere else."""
    model = onnx.load(TINY_ENGINE)
    values = onnx.numpy_helper.to_array(model.graph.initializer[0])
    tensor = model.graph.initializer[0]
    (tmp_path / "w").write_bytes(bytes(8) + values.tobytes())
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    name = "w" * 200  # a length of two bytes
    for key, value in (("location", name), ("offset", "8"), ("length", str(values.nbytes))):
        tensor.external_data.add(key=key, value=value)
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    links = hub_cache(tmp_path, (tmp_path / "m.onnx", tmp_path / "w"), apart=not near)
    (links / "w").rename(links / name)
    if not near:
        with pytest.raises(ArtefactError, match="ONNX Runtime cannot load it"):
            load_engine(links / "m.onnx", "cpu")
        return
    with load_engine(links / "m.onnx", "cpu") as engine, load_engine(TINY_ENGINE, "cpu") as plain:
        height, width = engine.patch_hw
        batch = {name: np.full((1, count, height, width), 0.5, np.float32) for name, count in CHANNELS.items()}
        np.testing.assert_array_equal(engine.run(**batch), plain.run(**batch))


CHANNELS = {"image": 3, "trimap": 3, "guide": 2}


def test_the_sidecar_beside_a_link_wins(tmp_path: Path) -> None:
    artefact = hub_cache(tmp_path) / SHIPPED_ENGINE.name
    assert found_sidecar(artefact) == sidecar_path(artefact)
    sidecar_path(artefact).unlink()
    assert found_sidecar(artefact) == sidecar_path(artefact.resolve())
