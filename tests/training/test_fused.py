"""The kernels that train in bfloat16 on a CPU: as exact as PyTorch's own, and left alone where they cannot run."""

import copy
import functools
from collections.abc import Iterator
from typing import cast

import pytest
import torch
from torch import Tensor, nn

from litematting_deploy import system
from litematting_deploy.model import load_checkpoint, pooling
from litematting_deploy.runtime.shipped import SHIPPED_CHECKPOINT
from litematting_deploy.training.fused import build, channels_last, kernels, layers
from litematting_deploy.training.fused.functions import BlockMiddle, slopes
from litematting_deploy.training.module import MattingModule
from litematting_deploy.training.recipe import Recipe
from tests.training.test_module import random_scenes

needs_kernels = pytest.mark.skipif(kernels().library is None, reason=kernels().reason)
Gradients = dict[str, Tensor]


def randomised(*parts: nn.Module) -> nn.Sequential:
    """Layers whose norms and slopes are not those that they begin with."""
    torch.manual_seed(3)
    for part in parts:
        if isinstance(part, nn.GroupNorm):
            # Far from a scale of 0, with which a whole channel would lie on one side of the activation or the other by
            # its rounding alone.
            nn.init.uniform_(part.weight, 0.6, 1.4)
            nn.init.normal_(part.bias, 0, 0.3)
        elif isinstance(part, nn.PReLU):
            nn.init.uniform_(part.weight, -0.1, 0.5)
    return nn.Sequential(*parts)


def error(found: Tensor, exact: Tensor) -> float:
    return float((found.double() - exact).norm() / exact.norm())


def trained(layer: nn.Module, x: Tensor, gradient: Tensor) -> Gradients:
    """What `layer` makes of x, and all gradients, given that after it."""
    x = x.clone().requires_grad_()
    y = layer(x)
    y.backward(gradient.to(y.dtype))
    assert x.grad is not None
    gradients = {name: value.grad for name, value in layer.named_parameters() if value.grad is not None}
    return {"result": y.detach(), "input": x.grad, **gradients}


def compare(layer: nn.Sequential, fused: nn.Module, x: Tensor, gradient: Tensor) -> None:
    """Check that the fused layer is as near to exact arithmetic as PyTorch's in bfloat16 is."""
    exact = trained(copy.deepcopy(layer).double(), x.double(), gradient.double())
    plain = copy.deepcopy(layer)
    with torch.autocast("cpu", torch.bfloat16):
        stock = trained(plain, x, gradient)
        found = trained(fused, channels_last(x), channels_last(gradient))
    assert found["result"].dtype == torch.bfloat16
    for name, value in exact.items():
        assert error(found[name], value) <= 1.25 * error(stock[name], value) + 2e-3, name


@needs_kernels
@pytest.mark.parametrize(
    ("channels", "groups", "activation"),
    [
        (24, 8, nn.ReLU()),
        (256, 32, nn.ReLU6()),
        (40, 8, nn.Identity()),
        (64, 32, nn.LeakyReLU(0.01)),
        (48, 16, nn.PReLU(48)),
        (12, 0, nn.PReLU(12)),
    ],
)
def test_norms_and_activations_are_as_exact_as_pytorchs(channels: int, groups: int, activation: nn.Module) -> None:
    norm = [nn.GroupNorm(groups, channels)] if groups else []
    layer = randomised(*norm, activation)
    fused = copy.deepcopy(layer)
    fused.__class__ = layers.FusedSequential
    x = (3 * torch.randn(2, channels, 37, 41) + 1).bfloat16()
    compare(layer, fused, x, torch.randn(x.shape).bfloat16())


Layers = tuple[nn.GroupNorm, nn.Module, nn.Conv2d, nn.GroupNorm, nn.Module]


class Middle(nn.Sequential):
    """The middle of a block by its kernel."""

    def forward(self, x: Tensor) -> Tensor:
        norm, activation, depthwise, after, _ = cast(Layers, tuple(self))
        slope, _ = slopes(activation, x.shape[1])
        return BlockMiddle.of(x, norm, depthwise, after, slope)


@needs_kernels
@pytest.mark.parametrize(
    ("channels", "groups", "stride", "leak", "size"),
    [
        (256, 32, 1, 0.0, (22, 31)),
        (192, 32, 2, 0.0, (42, 42)),
        (144, 16, 2, 0.01, (34, 50)),
        (640, 32, 1, 0.01, (9, 3)),
    ],
)
def test_the_middle_of_a_block_is_as_exact_as_pytorchs(
    channels: int, groups: int, stride: int, leak: float, size: tuple[int, int]
) -> None:
    norms = [nn.GroupNorm(groups, channels) for _ in range(2)]
    activation = nn.LeakyReLU(leak) if leak else nn.ReLU()
    depthwise = nn.Conv2d(channels, channels, 3, stride, groups=channels, bias=False)
    layer = randomised(norms[0], activation, depthwise, norms[1], activation)
    fused = copy.deepcopy(layer)
    fused.__class__ = Middle
    x = (3 * torch.randn(2, channels, *size) + 1).bfloat16()
    y = copy.deepcopy(layer).double()(x.double())
    compare(layer, fused, x, torch.randn(y.shape).bfloat16())


@pytest.mark.parametrize("size", [(192, 192), (128, 96), (50, 61)])
def test_pyramids_are_pytorchs(size: tuple[int, int]) -> None:
    torch.manual_seed(4)
    x = torch.randn(2, 80, *size).bfloat16()
    gradient = torch.randn(2, 80, 110)
    scales = (1, 3, 6, 8)
    exact = trained(Applied(functools.partial(pooling.pyramid, scales=scales, form="adaptive")), x.double(), gradient)
    found = trained(Applied(functools.partial(layers.pyramid, scales=scales)), channels_last(x), gradient)
    for name, value in exact.items():
        assert error(found[name], value.double()) < 6e-3, name


class Applied(nn.Module):
    """A function as a layer."""

    def __init__(self, function: functools.partial[Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def gradients(module: MattingModule, autocast: bool) -> Tensor:
    module.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        total = module.losses(random_scenes(128)).total
    total.backward()  # type: ignore[no-untyped-call]
    return torch.cat([value.grad.flatten() for value in module.parameters() if value.grad is not None])


@pytest.fixture
def networks() -> tuple[MattingModule, MattingModule]:
    """The shipped network without kernels and with them."""
    model = load_checkpoint(SHIPPED_CHECKPOINT).train()
    return MattingModule(Recipe(), copy.deepcopy(model)), MattingModule(Recipe(), model, fused=True)


@needs_kernels
def test_the_whole_network_is_trained_alike(networks: tuple[MattingModule, MattingModule]) -> None:
    plain, fused = networks
    exact = gradients(plain, autocast=False).double()
    stock = error(gradients(plain, autocast=True), exact)
    assert error(gradients(fused, autocast=True), exact) <= 1.25 * stock


def test_names_stay_and_single_precision_is_untouched(networks: tuple[MattingModule, MattingModule]) -> None:
    plain, fused = networks
    assert list(fused.model.state_dict()) == list(plain.model.state_dict())
    assert error(gradients(fused, autocast=False), gradients(plain, autocast=False).double()) < 1e-3
    assert isinstance(copy.deepcopy(fused.model).get_submodule("layer2.0"), layers.FusedBlock)


@pytest.fixture
def built_anew() -> Iterator[None]:
    kernels.cache_clear()
    yield
    kernels.cache_clear()


@pytest.mark.usefixtures("built_anew")
def test_other_processors_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "cpuinfo", {"flags": "avx avx2 amx_bf16"}.get)
    assert kernels() == (None, "they need a processor with avx512f and avx512bw and avx512vl and avx512_bf16")


@needs_kernels
@pytest.mark.usefixtures("built_anew")
def test_without_a_compiler_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert kernels().library is None
    assert "no C++ compiler (c++, g++, clang++)" in kernels().reason


@needs_kernels
@pytest.mark.usefixtures("built_anew")
def test_a_compiler_that_fails_is_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "SOURCES", ("nowhere.cpp",))
    built = kernels()
    assert built.library is None
    assert "nowhere.cpp" in built.reason
