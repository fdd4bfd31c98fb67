"""A frame whose alpha is not finite fails alone, and is named."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper
from PIL import Image

from litematting_deploy.files import sha256
from litematting_deploy.runtime.shipped import TINY_ENGINE
from litematting_deploy.sidecar import Sidecar, write_sidecar
from tests.conftest import called
from tests.video.clips import save_clip

SIDE, COUNT, BLACK = 32, 4, 2
TRIMAP = np.full((SIDE, SIDE), 128, np.uint8)
TRIMAP[:8], TRIMAP[-8:] = 0, 255


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Alpha is the root of red less 0.1: no number where red is black."""
    path = tmp_path_factory.mktemp("engine") / "root.onnx"
    model = onnx.load(TINY_ENGINE)
    weights = np.array([1] + [0] * 7, np.float32).reshape(1, 8, 1, 1)
    model.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(weights, "weights"))
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(0.1, np.float32), "offset"))
    model.graph.node[-1].output[0] = "red"
    model.graph.node.append(helper.make_node("Sub", ["red", "offset"], ["less"]))
    model.graph.node.append(helper.make_node("Sqrt", ["less"], ["alpha"]))
    sidecar = Sidecar(path.name, "", "none", "", (SIDE, SIDE), None, "fp32", "matmul", "group", 21)
    onnx.helper.set_model_props(model, sidecar.essentials())
    path.write_bytes(model.SerializeToString())
    write_sidecar(path, Sidecar(**{**vars(sidecar), "sha256": sha256(path)}))
    return path


def frames() -> list[np.ndarray]:
    return [np.full((SIDE, SIDE, 3), 0 if index == BLACK else 200, np.uint8) for index in range(COUNT)]


def test_a_folder_goes_on_and_names_the_frame(engine: Path, tmp_path: Path) -> None:
    for name in ("photos", "trimaps"):
        (tmp_path / name).mkdir()
    for index, pixels in enumerate(frames()):
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{index}.png")
        Image.fromarray(TRIMAP).save(tmp_path / "trimaps" / f"{index}.png")
    result = called("ltm-infer", tmp_path / "photos", tmp_path / "trimaps", "-o", tmp_path / "out", "--engine", engine)
    assert result.code == 1
    assert f"failed: {BLACK}: onnxruntime-cpu: alpha is not finite for this image" in result.err
    assert "weights" not in result.err
    assert "3 of 4 frames" in result.out
    assert sorted(path.name for path in (tmp_path / "out").glob("*.png")) == ["0.png", "1.png", "3.png"]


def test_a_photo_is_named(engine: Path, tmp_path: Path) -> None:
    Image.fromarray(frames()[BLACK]).save(tmp_path / "black.png")
    Image.fromarray(TRIMAP).save(tmp_path / "trimap.png")
    result = called(
        "ltm-infer", tmp_path / "black.png", tmp_path / "trimap.png", "-o", tmp_path / "a.png", "--engine", engine
    )
    assert result.code == 1
    assert "black.png: onnxruntime-cpu: alpha is not finite" in result.err
    assert not (tmp_path / "a.png").exists()


def test_a_clip_stops_and_is_resumed_past_it(engine: Path, tmp_path: Path) -> None:
    grey = np.full((SIDE // 2, SIDE // 2), 128, np.uint8)
    brightness = [16 if index == BLACK else 200 for index in range(COUNT)]
    clip = save_clip(tmp_path / "clip.mov", [[np.full((SIDE, SIDE), y, np.uint8), grey, grey] for y in brightness])
    Image.fromarray(TRIMAP).save(tmp_path / "trimap.png")
    (tmp_path / "trimaps").mkdir()
    for index in range(COUNT):
        Image.fromarray(TRIMAP).save(tmp_path / "trimaps" / f"{index}.png")
    command = ("ltm-infer", clip, tmp_path / "trimaps", "-o", tmp_path / "matte.mkv", "--engine", engine)
    stopped = called(*command)
    assert stopped.code == 1
    assert f"frame {BLACK} " in stopped.err
    assert f"{BLACK} frames are done and kept" in stopped.err
    assert "--resume --failed-frames known" in stopped.err
    assert not (tmp_path / "matte.mkv").exists()
    again = called(*command, "--resume")
    assert (again.code, f"frame {BLACK} " in again.err) == (1, True)
    past = called(*command, "--resume", "--failed-frames", "known")
    assert past.code == 1
    assert f"frame {BLACK} " in past.err
    assert "1 failed and hold known pixels alone" in past.out
    import av

    with av.open(str(tmp_path / "matte.mkv")) as file:
        alphas = [frame.to_ndarray(format="gray16le") for frame in file.decode(video=0)]
    assert len(alphas) == COUNT
    np.testing.assert_array_equal(alphas[BLACK], np.where(TRIMAP == 255, 65535, 0))
    assert all((alphas[index][16] > 30000).all() for index in range(COUNT) if index != BLACK)


def test_it_is_for_clips(tmp_path: Path) -> None:
    result = called("ltm-infer", tmp_path / "a.png", tmp_path / "b.png", "-o", "c.png", "--failed-frames", "stop")
    assert result.code == 2
    assert "--failed-frames is for clips" in result.err
