"""The network against the golden outputs of the published one."""

from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch import Tensor

from litematting_deploy.model import LiteMatting, ModelConfig
from litematting_deploy.model.config import PoolingForm
from tests.conftest import golden, golden_inputs, golden_weights, stand_in


@pytest.mark.parametrize("form", get_args(PoolingForm))
@pytest.mark.parametrize("name", ["net_256x384", "net_320x320"])
def test_equals_the_published_network(name: str, form: PoolingForm) -> None:
    case = golden(name)
    model = LiteMatting(ModelConfig(pooling=form)).eval()
    model.load_state_dict({key: torch.from_numpy(value) for key, value in stand_in(str(case["salt"])).items()})
    inner: dict[str, Tensor] = {}

    def keep(part: str) -> Any:
        return lambda _module, _inputs, output: inner.update({part: output[0]})

    model.get_submodule("gfnb").register_forward_hook(keep("enb"))
    model.get_submodule("ppm").register_forward_hook(keep("lsrppm"))
    with torch.inference_mode():
        alpha = model(**{key: torch.from_numpy(value) for key, value in golden_inputs(case).items()})
    error = np.abs(alpha[0, 0].numpy() - case["alpha"])
    assert error.max() <= 1e-3
    assert error.mean() <= 1e-5
    for part, output in inner.items():
        np.testing.assert_allclose(output.numpy(), case[part], atol=1e-3)
    assert set(inner) == {"enb", "lsrppm"}


def test_parameters_bear_the_published_names_and_shapes() -> None:
    state = LiteMatting().state_dict()
    assert {name: list(tensor.shape) for name, tensor in state.items()} == golden_weights.load_layout()


def test_output_is_clamped_and_training_sees_it_unclamped() -> None:
    model = LiteMatting().eval()
    with torch.no_grad():
        model.get_parameter("out.4.bias").fill_(3.0)
        inputs = [torch.rand(1, channels, 64, 64) for channels in (3, 3, 2)]
        assert model(*inputs).max() == 1
        assert model.unclamped(*inputs).max() > 1


@pytest.mark.parametrize(
    "change",
    [
        {"enb": False},
        {"lsrppm": False},
        {"norm": "batch"},
        {"enb_pooling": "average"},
        {"enb_pooling": "none"},
    ],
    ids=str,
)
@pytest.mark.parametrize("form", ["matmul", "conv"])
def test_variants_run_in_all_forms_alike(change: dict[str, Any], form: PoolingForm) -> None:
    config = replace(ModelConfig(), **change)
    adaptive = LiteMatting(config).eval()
    other = LiteMatting(replace(config, pooling=form)).eval()
    other.load_state_dict(adaptive.state_dict())
    inputs = [torch.rand(2, channels, 96, 64) for channels in (3, 3, 2)]
    with torch.inference_mode():
        a, b = adaptive.unclamped(*inputs), other.unclamped(*inputs)
    assert a.shape == (2, 1, 96, 64)
    torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


def test_max_pooling_has_no_matrix_form() -> None:
    with pytest.raises(ValueError, match="matrix product"):
        ModelConfig(enb_pooling="max", pooling="matmul")


def test_averages_of_half_precision_maps_are_float32_averages() -> None:
    from litematting_deploy.model.pooling import adaptive_average

    x = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(0)).half() * 40000
    for form in get_args(PoolingForm):
        for size in ((3, 3), (1, None), (None, 1), (1, 1)):
            pooled = adaptive_average(x, size, form)
            exact = adaptive_average(x.double().float(), size, "adaptive").half()
            torch.testing.assert_close(pooled, exact, rtol=0, atol=0)
