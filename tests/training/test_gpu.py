"""Training on a GPU: distances, composition on the device, a short compiled run."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from litematting_deploy.training.trimaps import GUIDE_REACH_PX, distance
from tests.conftest import run
from tests.training.test_scenes import CLEAN, made_scenes, regions
from tests.training.test_sources import write_photos

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no GPU here"),
]


def test_distances_equal_those_of_the_cpu() -> None:
    found = regions()
    there = distance(found.cuda(), GUIDE_REACH_PX).cpu()
    torch.testing.assert_close(there, distance(found, GUIDE_REACH_PX), rtol=1e-6, atol=1e-6)


def test_scenes_equal_those_of_the_cpu() -> None:
    for here, there in zip(made_scenes(CLEAN), made_scenes(CLEAN, device="cuda"), strict=True):
        # A pixel at a rounding error from the edge of a known region may fall on either side.
        assert ((here - there.cpu()).abs() > 1e-3).float().mean() < 1e-3


def test_a_compiled_run_trains_and_measures_its_pace(tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "photos")
    recipe = tmp_path / "gpu.toml"
    recipe.write_text(
        "compile = true\nvalidate_every = 20\nvalidation_scenes = 8\ncheckpoint_every = 20\n[[stages]]\nsteps = 40\n"
        "crop = 512\nbatch = 16\n[optimiser]\nlearning_rate = 1e-3\n[procedural]\ncount = 32\nsize = 768"
    )
    result = run("ltm-train", recipe, "--photos", photos, "-o", tmp_path / "run", "--fit-minutes", "0.3", timeout_s=580)
    assert result.code == 0, result.err
    pace = json.loads((tmp_path / "run" / "pace.json").read_text())
    assert pace["device"] != "cpu"
    assert np.isfinite([list(stage.values()) for stage in pace["stages"]]).all()
    assert (tmp_path / "run" / "weights.safetensors").is_file()
