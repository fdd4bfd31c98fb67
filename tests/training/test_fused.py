"""The bfloat16 training kernels are as exact as PyTorch's operations and are not used where they cannot run."""

import copy
import functools
from pathlib import Path
from typing import cast

import pytest
import torch
from torch import Tensor, nn

from litematting_deploy import system
from litematting_deploy.model import load_checkpoint, pooling
from litematting_deploy.runtime.shipped import SHIPPED_CHECKPOINT
from litematting_deploy.training import job
from litematting_deploy.training.fused import build, channels_last, kernels, layers
from litematting_deploy.training.fused.functions import BlockMiddle
from litematting_deploy.training.module import MattingModule
from litematting_deploy.training.progress import Reporter, TrainProgress
from litematting_deploy.training.recipe import Precision, Recipe
from tests.training.test_module import random_scenes

needs_kernels = pytest.mark.usefixtures("there_are_kernels")
Gradients = dict[str, Tensor]


@pytest.fixture(scope="session")
def there_are_kernels() -> None:
    if kernels().library is None:
        pytest.skip(kernels().reason)


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
    """The layer's output for x and all gradients, given the gradient of the output."""
    x = x.clone().requires_grad_()
    y = layer(x)
    y.backward(gradient.to(y.dtype))
    assert x.grad is not None
    gradients = {name: value.grad for name, value in layer.named_parameters() if value.grad is not None}
    return {"result": y.detach(), "input": x.grad, **gradients}


def compare(layer: nn.Sequential, fused: nn.Module, x: Tensor) -> None:
    """Check that the fused layer is as near to exact arithmetic as PyTorch's in bfloat16 is."""
    double = copy.deepcopy(layer).double()
    gradient = torch.randn(double(x.double()).shape).bfloat16()
    exact = trained(double, x.double(), gradient.double())
    plain = copy.deepcopy(layer)
    with torch.autocast("cpu", torch.bfloat16):
        stock = trained(plain, x, gradient)
        found = trained(copy.deepcopy(fused), x, gradient)
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
    compare(layer, fused, channels_last(x))
    compare(layer, fused, x)


Layers = tuple[nn.GroupNorm, nn.Module, nn.Conv2d, nn.GroupNorm, nn.Module]


class Middle(nn.Sequential):
    """The middle of a block by its kernel."""

    def forward(self, x: Tensor) -> Tensor:
        norm, activation, depthwise, after, _ = cast(Layers, tuple(self))
        return BlockMiddle.of(x, norm, activation, depthwise, after)


@needs_kernels
@pytest.mark.parametrize(
    ("channels", "groups", "stride", "leak", "size"),
    [
        (256, 32, 1, 0.0, (22, 31)),
        (192, 32, 2, 0.0, (42, 42)),
        (144, 16, 2, 0.01, (33, 50)),
        (144, 16, 2, 0.0, (34, 51)),
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
    compare(layer, fused, channels_last(x))
    compare(layer, fused, x)


@needs_kernels
def test_threads_and_frozen_parameters_change_nothing() -> None:
    layer = randomised(nn.GroupNorm(8, 32), nn.PReLU(32))
    layer.__class__ = layers.FusedSequential
    x, gradient = (channels_last(torch.randn(3, 32, 20, 20).bfloat16()) for _ in range(2))
    wanted, threads = trained(layer, x, gradient), torch.get_num_threads()
    try:
        torch.set_num_threads(2 if threads == 1 else 1)
        found = trained(copy.deepcopy(layer), x, gradient)
    finally:
        torch.set_num_threads(threads)
    layer.requires_grad_(False).zero_grad(set_to_none=True)
    frozen = trained(layer, x, gradient)
    assert all(torch.equal(found[name], value) for name, value in wanted.items())
    assert list(frozen) == ["result", "input"]
    assert torch.equal(frozen["input"], wanted["input"])


@pytest.mark.parametrize("other", [nn.PReLU(), nn.GELU(), nn.PReLU(32).bfloat16()])
def test_layers_that_the_kernels_do_not_know_stay_pytorchs(other: nn.Module) -> None:
    layer = nn.Sequential(nn.GroupNorm(8, 32).bfloat16(), other)
    fused = copy.deepcopy(layer)
    fused.__class__ = layers.FusedSequential
    x = torch.randn(1, 32, 8, 8).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(fused(x), layer(x))


@pytest.mark.parametrize("size", [(192, 192), (128, 96), (50, 61)])
def test_pyramids_are_pytorchs_within_the_rounding_of_bfloat16(size: tuple[int, int]) -> None:
    torch.manual_seed(4)
    x = torch.randn(2, 80, *size).bfloat16()
    gradient = torch.randn(2, 80, 110)
    scales = (1, 3, 6, 8)
    plain = Applied(functools.partial(pooling.pyramid, scales=scales, form="adaptive"))
    exact = trained(plain, x.float(), gradient)
    found = trained(Applied(functools.partial(layers.pyramid, scales=scales)), channels_last(x), gradient)
    for name, value in exact.items():
        # A bfloat16 is rounded by up to 0.4 %.
        assert error(found[name], value.double()) < 4e-3, name


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
    # All but equal, since PyTorch sums in another order in channels-last order.
    assert error(gradients(fused, autocast=False), gradients(plain, autocast=False).double()) < 1e-3
    assert isinstance(copy.deepcopy(fused.model).get_submodule("layer2.0"), layers.FusedBlock)


def build_anew() -> build.Built:
    """What the first call in another process returns."""
    return kernels.__wrapped__()


def test_other_processors_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "cpuinfo", {"flags": "avx avx2 avx512f avx512bw avx512vl amx_bf16"}.get)
    assert build_anew() == (
        None, "not used: they need Linux on a processor with AVX512-BF16 (missing: avx512_bf16)"
    )  # fmt: skip


@pytest.fixture
def able(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor that could run the kernels, and no compiler of its own choice."""
    monkeypatch.setattr(system, "cpuinfo", {"flags": " ".join(build.INSTRUCTIONS)}.get)
    monkeypatch.delenv("CXX", raising=False)


@pytest.mark.usefixtures("able")
def test_without_a_compiler_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    built = build_anew()
    assert built.library is None
    assert built.reason.startswith("not used: found no C++ compiler (c++, g++, clang++); install one")


@pytest.mark.usefixtures("able")
@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("#!/bin/sh\necho 'x.cpp:1: error: unknown' >&2; exit 3", "ended with 3: x.cpp:1: error: unknown"),
        ("#!/bin/sh\nkill -9 $$", "ended with -9: without a message"),
        ("#!/bin/sh\nprintf '\\377' >&2; exit 1", "ended with 1: \ufffd"),
        ("#!/bin/sh\nexit 0", "could not be used, or its result in"),
        ("#!/nowhere\n", "could not be used, or its result in"),
        ("#!/bin/sh\nsleep 30", "did not finish within 1 s"),
    ],
)
def test_a_compiler_that_fails_is_quoted(
    script: str, said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    compiler = tmp_path / "g++"
    compiler.write_text(script)
    compiler.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(build, "COMPILERS", ("g++",))
    monkeypatch.setattr(build, "_PATIENCE_S", 1)
    built = build_anew()
    assert built.library is None
    assert built.reason.startswith(f"not used: {compiler} {said}")
    assert "\n" not in built.reason


@pytest.mark.parametrize(
    ("precision", "device", "compiled", "reported"),
    [
        ("bf16-mixed", "cpu", False, True),
        ("32-true", "cpu", False, False),
        ("bf16-mixed", "cuda", False, False),
        ("bf16-mixed", "cpu", True, False),
    ],
)
def test_a_run_says_whether_kernels_are_used(precision: Precision, device: str, compiled: bool, reported: bool) -> None:
    notes: list[TrainProgress] = []
    used = job._fused(Recipe(compile=compiled), precision, torch.device(device), Reporter(notes.append))
    assert used is (reported and kernels().library is not None)
    assert [str(note.note) for note in notes] == [f"fused kernels: {kernels().reason}"] * reported
