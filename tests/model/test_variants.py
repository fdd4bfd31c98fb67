"""Variants of the network, read from the tensors of their checkpoints; and what is said of damaged ones."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from litematting_deploy.errors import CheckpointError
from litematting_deploy.model import LiteMatting, ModelConfig, load_checkpoint
from litematting_deploy.model.checkpoint import variant_of
from litematting_deploy.runtime.shipped import SHIPPED_CHECKPOINT
from tests.conftest import called


@pytest.mark.parametrize(
    "change", [{}, {"enb": False}, {"lsrppm": False}, {"norm": "batch"}, {"enb": False, "lsrppm": False}], ids=str
)
def test_the_variant_is_in_the_tensors(change: dict[str, Any], tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = LiteMatting(ModelConfig(**change)).eval()
    torch.save(model.state_dict(), tmp_path / "v.pth")
    loaded = load_checkpoint(tmp_path / "v.pth")
    assert loaded.config == model.config == variant_of(model.state_dict())
    inputs = torch.rand(1, 3, 64, 64), torch.rand(1, 3, 64, 64), torch.rand(1, 2, 64, 64)
    with torch.inference_mode():
        assert torch.equal(loaded(*inputs), model(*inputs))


def test_a_variant_that_lacks_a_part_of_its_own_is_refused(tmp_path: Path) -> None:
    state = LiteMatting(ModelConfig()).state_dict()
    del state[next(name for name in state if name.startswith("gfnb."))]
    torch.save(state, tmp_path / "v.pth")
    with pytest.raises(CheckpointError, match=r"1 missing \(gfnb\."):
        load_checkpoint(tmp_path / "v.pth")


def _damaged(folder: Path) -> list[Path]:
    """Checkpoints of both kinds, cut, overwritten and of noise alone."""
    torch.save({"a": torch.zeros(3)}, folder / "old.pth", _use_new_zipfile_serialization=False)
    torch.save({"a": torch.zeros(3)}, folder / "new.pth")
    rng, made = np.random.default_rng(0), []
    wholes = [(folder / "old.pth", ".pth"), (folder / "new.pth", ".pt"), (SHIPPED_CHECKPOINT, ".safetensors")]
    for number, (source, suffix) in enumerate(wholes):
        content = source.read_bytes()[:4000]
        variants = [rng.bytes(200), content[:20], content[: len(content) // 2], b"\x80\x02" + rng.bytes(50)]
        variants += [bytes([byte]) + content[1:] for byte in (0, 7, 27, 46, 93, 213)]
        for _ in range(40):
            changed = bytearray(content)
            for place in rng.integers(0, min(len(content), 300), 3):
                changed[place] = rng.integers(0, 256)
            variants.append(bytes(changed))
        for index, variant in enumerate(variants):
            path = folder / f"d{number}_{index}{suffix}"
            path.write_bytes(variant)
            made.append(path)
    return made


def test_nothing_of_a_damaged_file_is_printed(tmp_path: Path) -> None:
    """Neither its bytes nor what a library takes them for."""
    for path in _damaged(tmp_path):
        try:
            load_checkpoint(path)
        except CheckpointError as error:
            said = str(error).replace(str(path), "")
            assert said.isascii(), said
            assert "\\x" not in said, said
            assert "load key" not in said, said
            assert said.isprintable(), said


def test_the_command_says_that_it_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "d.pth").write_bytes(b"\x1b]0;title\x07" + bytes(range(256)))
    result = called("ltm-export", tmp_path / "d.pth")
    assert (result.code, len(result.err.splitlines())) == (1, 1)
    assert result.err.endswith("d.pth: damaged or not a PyTorch checkpoint; download it again\n")
