"""A small training run: its recipe, its arguments, what it leaves."""

from pathlib import Path

import pytest
import torch

from litematting_deploy.cli.train import main

STEPS = 12
RECIPE = f"""
precision = "32-true"
validate_every = 6
validation_scenes = 2
checkpoint_every = 4
[[stages]]
steps = {STEPS - 4}
crop = 64
batch = 2
[[stages]]
steps = 4
crop = 96
batch = 1
[optimiser]
learning_rate = 1e-3
schedule = "cosine"
[procedural]
count = 4
size = 128
refresh = false
"""


def arguments(material: Path, output: Path) -> list[str | Path]:
    return ["--photos", material / "photos", "--libraries", material / "libraries", "-o", output, "--device", "cpu"]


def trained_steps(folder: Path) -> int:
    checkpoint = folder / "last.ckpt"
    return int(torch.load(checkpoint, weights_only=True)["global_step"]) if checkpoint.exists() else -1


def final_state(folder: Path) -> dict[str, torch.Tensor]:
    state = torch.load(folder / "last.ckpt", weights_only=True)
    assert state["global_step"] == STEPS
    return {**state["current_model_state"], **{f"average.{name}": value for name, value in state["state_dict"].items()}}


def invoke(capsys: pytest.CaptureFixture[str], *words: str | Path) -> tuple[int, str]:
    """Exit code and the one line on stderr, without the start of a process."""
    with pytest.raises(SystemExit) as ended:
        main.main([str(word) for word in words])
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    assert isinstance(ended.value.code, int)
    return ended.value.code, lines[0]
