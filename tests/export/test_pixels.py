"""An ONNX that takes pixels: the inputs that it makes, and a client's whole photo, beside those of today."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray

from litematting_deploy import Matter, load_engine
from litematting_deploy.engines.triton import TritonEngine
from litematting_deploy.errors import ArtefactError, UsageError
from litematting_deploy.export.spec import REACH
from litematting_deploy.matting.guide import transformable_map
from litematting_deploy.matting.inputs import network_image, one_hot
from litematting_deploy.sidecar import check_sidecar
from tests.conftest import called, save_convolution
from tests.runtime.cuda.planes import scattered

RNG = np.random.default_rng(4)
SIDE = 32


def photo(hw: tuple[int, int], share: float) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    return RNG.integers(0, 256, (*hw, 3), np.uint8), scattered(hw, share)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of one convolution, whose alpha is a mixture of red, foreground and both guides."""
    path = tmp_path_factory.mktemp("exported") / "model.onnx"
    save_convolution(path, [0.4, 0, 0, 0, 0, 0.1, 0.25, 0.25])
    return path


@pytest.fixture(scope="module")
def served(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model repository whose ONNX takes pixels."""
    folder = tmp_path_factory.mktemp("pixels")
    options = ("--triton-max-batch", "4", "--triton-inputs", "pixels")
    assert called("ltm-export", exported, "--triton", folder, *options).code == 0
    return folder / "litematting"


@pytest.mark.parametrize("share", [0.0003, 0.002, 0.3])
def test_the_inputs_are_those_of_the_network(served: Path, share: float) -> None:
    proto = onnx.load(served / "1" / "model.onnx")
    onnx.checker.check_model(proto, full_check=True)
    (joined,) = (node for node in proto.graph.node if node.op_type == "Concat")
    del proto.graph.output[:]
    for name in joined.input:
        proto.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    side = SIDE + 2 * REACH
    pairs = [photo((side, side), share) for _ in range(2)]
    inner = slice(REACH, REACH + SIDE)
    made = session.run(
        None,
        {
            "image": np.stack([image[inner, inner] for image, _ in pairs]),
            "trimap": np.stack([trimap for _, trimap in pairs]),
        },
    )
    for index, (image, trimap) in enumerate(pairs):
        np.testing.assert_array_equal(made[0][index], network_image(image[inner, inner]))
        np.testing.assert_array_equal(made[1][index], one_hot(trimap[inner, inner]))
        np.testing.assert_allclose(made[2][index], transformable_map(trimap)[:, inner, inner], atol=2e-7)


@pytest.mark.parametrize(("y", "x"), [(0, 92), (92, 0), (0, 93), (65, 65), (66, 65), (56, 73), (57, 73), (91, 1)])
def test_the_guide_is_exact_up_to_its_reach(served: Path, y: int, x: int) -> None:
    proto = onnx.load(served / "1" / "model.onnx")
    guide = next(node for node in proto.graph.node if node.op_type == "Concat").input[2]
    del proto.graph.output[:]
    proto.graph.output.append(onnx.helper.make_tensor_value_info(guide, onnx.TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    trimap = np.full((SIDE + 2 * REACH,) * 2, 128, np.uint8)
    trimap[REACH + 5, REACH + 7] = 255
    image = np.zeros((1, SIDE, SIDE, 3), np.uint8)
    for dy, dx in ((y, x), (-y, x), (y, -x), (-y, -x)):
        moved = np.roll(trimap, (dy, dx), (0, 1))
        (found,) = session.run(None, {"image": image, "trimap": moved[None]})
        squared = y * y + x * x
        wanted = np.exp(-squared / 512) if squared <= REACH**2 else 0
        assert found[0, 1, 5, 7] == pytest.approx(wanted, rel=1e-5)
        assert not found[0, 0].any()


class Server:
    """As much of Triton and its client as is asked for one model of a repository. sent: bytes of each request."""

    def __init__(self, model: Path) -> None:
        self.session = onnxruntime.InferenceSession(str(model / "1" / "model.onnx"), providers=["CPUExecutionProvider"])
        self.kinds = {"tensor(uint8)": "UINT8", "tensor(float)": "FP32"}
        self.sent: list[int] = []
        self.InferenceServerException = ConnectionError

    def InferenceServerClient(self, *_: Any, **__: Any) -> Any:  # noqa: N802
        return self

    def InferInput(self, name: str, shape: Any, kind: str) -> Any:  # noqa: N802
        made = SimpleNamespace(name=name, shape=shape, kind=kind)
        made.set_data_from_numpy = lambda array: setattr(made, "array", array)
        return made

    def InferRequestedOutput(self, name: str) -> str:  # noqa: N802
        return name

    def get_server_metadata(self, client_timeout: float) -> Any:
        return SimpleNamespace(version="0")

    def is_model_ready(self, *_: Any, client_timeout: float) -> bool:
        return True

    def get_model_metadata(self, *_: Any, client_timeout: float) -> Any:
        def said(items: Any) -> list[Any]:
            return [
                SimpleNamespace(name=item.name, shape=[-1, *item.shape[1:]], datatype=self.kinds[item.type])
                for item in items
            ]

        return SimpleNamespace(inputs=said(self.session.get_inputs()), outputs=said(self.session.get_outputs()))

    def get_model_config(self, *_: Any, client_timeout: float) -> Any:
        return SimpleNamespace(config=SimpleNamespace(max_batch_size=4, parameters={}))

    def infer(self, model: str, inputs: list[Any], version: str, wanted: list[str], client_timeout: float) -> Any:
        self.sent.append(sum(item.array.nbytes for item in inputs))
        (alpha,) = self.session.run(wanted, {item.name: item.array for item in inputs})
        output = SimpleNamespace(name="alpha", shape=alpha.shape, datatype="FP32")
        response = SimpleNamespace(outputs=[output], raw_output_contents=[alpha.tobytes()])
        return SimpleNamespace(get_response=lambda: response)

    def close(self) -> None: ...


@pytest.fixture
def server(served: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    opened: Any = Server(served)
    for name in ("tritonclient", "tritonclient.grpc"):
        monkeypatch.setitem(sys.modules, name, opened)
    return opened


@pytest.mark.parametrize("hw", [(100, 131), (20, 17)], ids=str)
@pytest.mark.parametrize("options", [{}, {"step": 9}], ids=["adaptive", "grid"])
def test_a_photo_has_the_alpha_that_it_has_at_home(
    server: Server, exported: Path, hw: tuple[int, int], options: dict[str, Any]
) -> None:
    pair = photo(hw, 0.02)
    with Matter.load("grpc://here/litematting", **options) as far, Matter(load_engine(exported), **options) as near:
        np.testing.assert_allclose(far(*pair), near(*pair), atol=1e-6)
        assert far.engine.reach == REACH
        patches = len(far.plan(pair[1]).corners_yx)
        assert sum(server.sent) == patches * (3 * SIDE**2 + (SIDE + 2 * REACH) ** 2)


def test_less_than_a_sixth_of_the_bytes_for_patches_of_640() -> None:
    assert (3 * 640**2 + (640 + 2 * REACH) ** 2) / 640**2 < 32 / 6


def test_tensors_are_not_for_a_model_of_pixels(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = TritonEngine("grpc://here/litematting")
    zeros = {
        name: np.zeros((1, count, SIDE, SIDE), np.float32)
        for name, count in (("image", 3), ("trimap", 3), ("guide", 2))
    }
    with pytest.raises(UsageError, match="expects pixels, but was given tensors"):
        engine.run(**zeros)
    monkeypatch.setitem(server.kinds, "tensor(uint8)", "FP32")
    with pytest.raises(ArtefactError, match=r"expected inputs image, trimap and guide \(or, for pixels"):
        TritonEngine("grpc://here/litematting")


def test_what_lies_in_the_repository(served: Path, exported: Path) -> None:
    placed, original = check_sidecar(served / "1" / "model.onnx"), check_sidecar(exported)
    assert placed is not None
    assert original is not None
    assert (placed.checkpoint_sha256, placed.sha256 == original.sha256) == (original.checkpoint_sha256, False)
    config = (served / "config.pbtxt").read_text()
    assert config.count("TYPE_UINT8") == 2 + 2 * 2  # two inputs, and two warm-ups of both
    assert "dims: [ 32, 32, 3 ]" in config
    assert f"dims: [ {SIDE + 2 * REACH}, {SIDE + 2 * REACH} ]" in config
    assert placed.sha256 in config
