"""Beginning with MobileNetV2: its two file formats, its features, and an encoder that imitates them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from litematting_deploy.errors import CheckpointError
from litematting_deploy.model import LiteMatting
from litematting_deploy.training.encoder import carry_over, error, regress
from litematting_deploy.training.mobilenet import Teacher, read_mobilenet
from litematting_deploy.training.photos import Photos, list_images
from tests.training.test_sources import write_photos

SETTINGS = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2)]


class Reference(nn.Module):
    """MobileNetV2's first sixteen blocks as its paper's table 2 lists them, under torchvision's names."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [self.triple(3, 32, 3, 2)]
        before = 32
        for expansion, width, count, stride in SETTINGS:
            for i in range(count):
                layers.append(self.block(before, width, expansion, stride if i == 0 else 1))
                before = width
        self.features = nn.Sequential(*layers)

    @staticmethod
    def triple(a: int, b: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
        convolution = nn.Conv2d(a, b, kernel, stride, kernel // 2, groups=groups, bias=False)
        return nn.Sequential(convolution, nn.BatchNorm2d(b), nn.ReLU6())

    def block(self, a: int, b: int, expansion: int, stride: int) -> nn.Module:
        hidden = a * expansion
        parts: list[nn.Module] = [self.triple(a, hidden, 1)] if expansion > 1 else []
        parts += [self.triple(hidden, hidden, 3, stride, hidden), nn.Conv2d(hidden, b, 1, bias=False)]
        block = nn.Module()
        block.conv = nn.Sequential(*parts, nn.BatchNorm2d(b))
        return block

    def outputs(self, image: Tensor) -> list[Tensor]:
        mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        x = self.features[0]((image - mean[:, None, None]) / deviation[:, None, None])
        found = []
        for block in list(self.features.children())[1:]:
            y = block.get_submodule("conv")(x)
            x = x + y if x.shape == y.shape else y
            found.append(x)
        return found


def reference() -> Reference:
    torch.manual_seed(0)
    network = Reference().eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.8, 1.6)
            nn.init.normal_(module.bias, 0, 0.3)
            nn.init.normal_(module.get_buffer("running_mean"), 0, 0.2)
            nn.init.uniform_(module.get_buffer("running_var"), 0.5, 2)
    return network


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mobilenet") / "mobilenet_v2.pth"
    torch.save(reference().state_dict(), path)
    return path


def test_features_of_torchvisions_weights_are_those_of_the_network_itself(weights: Path) -> None:
    image = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        wanted = reference().outputs(image)[1:]
        found = read_mobilenet(weights).features(image)[1:]
    assert len(found) == 15
    for got, right in zip(found, wanted, strict=True):
        torch.testing.assert_close(got, right, rtol=1e-4, atol=1e-4)


def test_folded_arrays_are_read_as_written(weights: Path, tmp_path: Path) -> None:
    folded: dict[str, Any] = {name: value.numpy() for name, value in read_mobilenet(weights).folded.items()}
    np.savez(tmp_path / "folded.npz", **folded)
    again = read_mobilenet(tmp_path / "folded.npz")
    assert again.deviation.tolist() == [0.5, 0.5, 0.5]
    assert again.folded.keys() == folded.keys()
    for name, value in again.folded.items():
        np.testing.assert_array_equal(value.numpy(), folded[name])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda state: state.pop("features.5.conv.1.1.running_var"), "features.5.conv.1.1.running_var"),
        (lambda state: state.pop("features.0.0.weight"), "torchvision"),
        (lambda state: state.update({"features.3.conv.2.weight": torch.zeros(24, 96, 1, 1)}), "block2.project.weight"),
        (lambda state: state["features.1.conv.1.weight"].fill_(torch.nan), "NaN"),
    ],
    ids=["missing", "another network", "wrong shape", "not finite"],
)
def test_other_weights_are_refused_by_name(tmp_path: Path, change: object, words: str) -> None:
    state = reference().state_dict()
    change(state)  # type: ignore[operator]
    torch.save(state, tmp_path / "wrong.pth")
    with pytest.raises(CheckpointError, match=r"wrong\.pth") as refused:
        read_mobilenet(tmp_path / "wrong.pth")
    assert words in str(refused.value)


def test_a_damaged_npz_is_refused(tmp_path: Path) -> None:
    (tmp_path / "damaged.npz").write_bytes(b"PK\x03\x04 nothing more")
    with pytest.raises(CheckpointError, match=r"damaged\.npz"):
        read_mobilenet(tmp_path / "damaged.npz")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Photos:
    folder = tmp_path_factory.mktemp("encoder") / "photos"
    write_photos(folder)
    return Photos(list_images(folder), torch.device("cpu"))


@pytest.fixture(autouse=True)
def small_crops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("litematting_deploy.training.encoder._SIZE_PX", 64)


def test_kernels_are_carried_over_and_the_rest_of_the_network_is_untouched(weights: Path, photos: Photos) -> None:
    torch.manual_seed(3)
    model = LiteMatting()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    teacher = read_mobilenet(weights)
    carry_over(model, teacher, photos, np.random.default_rng(0))
    state = model.state_dict()
    torch.testing.assert_close(state["layer4.2.conv.0.weight"], teacher.folded["block8.expand.weight"])
    torch.testing.assert_close(state["layer2.0.conv.3.weight"][:96], teacher.folded["block1.depthwise.weight"])
    changed = {name.split(".")[0] for name, value in state.items() if not torch.equal(value, before[name])}
    assert changed == {f"layer{i}" for i in range(7)}


def test_regression_brings_the_encoder_nearer_to_the_teacher(weights: Path, photos: Photos) -> None:
    torch.manual_seed(3)
    model, teacher = LiteMatting(), read_mobilenet(weights)
    carry_over(model, teacher, photos, np.random.default_rng(0))
    before = error(model, teacher, photos, np.random.default_rng(1))
    reports: list[tuple[float, float]] = []
    regress(model, teacher, photos, 0.06, np.random.default_rng(2), lambda *report: reports.append(report))
    after = error(model, teacher, photos, np.random.default_rng(1))
    assert after < 0.9 * before
    assert all(0 < share <= 1 for share, _ in reports)
    assert reports[-1][0] == 1


def test_what_is_the_teacher_has_no_error(photos: Photos, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    teacher = read_mobilenet(weights)
    monkeypatch.setattr("litematting_deploy.training.encoder._students", lambda _, x: _wanted(teacher, x))
    assert error(LiteMatting(), teacher, photos, np.random.default_rng(0)) == 0


def _wanted(teacher: Teacher, inputs: Tensor) -> list[Tensor]:
    features = teacher.features((inputs[:, :3] + 1) / 2)
    return [features[k] for k in (0, 2, 5, 9, 12, 15)]
