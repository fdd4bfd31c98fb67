"""ltm-train --encoder: a run that begins with the encoder of an ImageNet MobileNetV2."""

import json
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from litematting_deploy.model import load_checkpoint
from tests.cli.runs import arguments, invoke
from tests.conftest import run, stand_in
from tests.training.test_encoder import Reference

RECIPE = """
precision = "32-true"
validation_scenes = 1
[[stages]]
steps = 1
crop = 64
batch = 1
[optimiser]
learning_rate = 0.0
[procedural]
count = 4
size = 128
refresh = false
"""


@pytest.mark.heavy
def test_a_run_begins_with_an_encoder_and_given_weights(material: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    save_file(Reference().state_dict(), tmp_path / "mobilenet.safetensors")
    (tmp_path / "recipe.toml").write_text(RECIPE)
    init = tmp_path / "begin.safetensors"
    save_file({name: torch.from_numpy(value) for name, value in stand_in("").items()}, init)
    output = tmp_path / "run"
    result = run(
        "ltm-train", tmp_path / "recipe.toml", *arguments(material, output), "--init", init,
        "--encoder", tmp_path / "mobilenet.safetensors", "--encoder-minutes", "0.01",
    )  # fmt: skip
    assert result.code == 0, result.err
    for when in ("before", "after"):
        assert re.search(rf"MobileNetV2 {when} regression:( -?\d\.\d\d){{6}}", result.err), result.err
    begun = json.loads((output / "run.json").read_text())
    assert begun["encoder"] == str(tmp_path / "mobilenet.safetensors")
    got, given = load_checkpoint(output / "weights.safetensors"), load_checkpoint(init)
    torch.testing.assert_close(
        got.get_parameter("out.4.weight"), given.get_parameter("out.4.weight"), atol=1e-3, rtol=1e-3
    )
    apart = (got.get_parameter("layer0.0.weight") - given.get_parameter("layer0.0.weight")).abs().max()
    assert apart > 1e-2, "the stem is MobileNetV2's"


def test_a_file_that_is_no_encoder_is_refused(
    material: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "e.npz").write_bytes(b"none")
    (tmp_path / "recipe.toml").write_text(RECIPE)
    code, line = invoke(
        capsys, tmp_path / "recipe.toml", *arguments(material, tmp_path / "run"), "--encoder", tmp_path / "e.npz"
    )
    assert (code, "e.npz: is damaged" in line) == (1, True), line
    assert not (tmp_path / "run").exists()
