"""A checkpoint on a disk that takes no more."""

import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from litematting_deploy.errors import OutputError
from litematting_deploy.training.checkpoints import WholeFiles


@pytest.fixture
def full() -> Iterator[None]:
    """No file of this process may be longer than 100 kB, which the system refuses as it does on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("full")
def test_a_checkpoint_that_does_not_fit_is_one_line_and_leaves_the_old_one(tmp_path: Path) -> None:
    WholeFiles().save_checkpoint({"step": 1, "weights": torch.zeros(100)}, tmp_path / "last.ckpt")
    with pytest.raises(OutputError, match=r"last\.ckpt: cannot be written: File too large"):
        WholeFiles().save_checkpoint({"step": 2, "weights": torch.zeros(100_000)}, tmp_path / "last.ckpt")
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["step"] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["last.ckpt"]
