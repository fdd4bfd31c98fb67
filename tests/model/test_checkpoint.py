"""Every way to store a checkpoint, and every way to get it wrong."""

import json
import os
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from litematting_deploy.errors import CheckpointError
from litematting_deploy.model import LiteMatting, load_checkpoint
from litematting_deploy.model.checkpoint import read_state_dict
from tests.conftest import stand_in


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    return {name: torch.from_numpy(array) for name, array in stand_in("").items()}


def prefixed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"module.{name}": tensor for name, tensor in state.items()}


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".ckpt"])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        prefixed,
        lambda state: {"state_dict": state, "epoch": 149},
        lambda state: {"model": prefixed(state)},
    ],
    ids=["plain", "prefixed", "state_dict", "model, prefixed"],
)
def test_layouts(tmp_path: Path, state: dict[str, Tensor], suffix: str, wrap: Callable[[Any], Any]) -> None:
    path = tmp_path / f"model{suffix}"
    torch.save(wrap(state), path)
    loaded = load_checkpoint(path)
    assert not loaded.training
    assert all(torch.equal(tensor, state[name]) for name, tensor in loaded.state_dict().items())


def test_safetensors(checkpoints: Callable[[str], Path], state: dict[str, Tensor]) -> None:
    loaded = load_checkpoint(checkpoints(""))
    assert all(torch.equal(tensor, state[name]) for name, tensor in loaded.state_dict().items())


def test_half_precision_weights_become_float32(tmp_path: Path) -> None:
    torch.save(LiteMatting().half().state_dict(), tmp_path / "half.pth")
    assert {parameter.dtype for parameter in load_checkpoint(tmp_path / "half.pth").parameters()} == {torch.float32}


def test_mismatch_lists_missing_unexpected_and_wrong_shapes(tmp_path: Path, state: dict[str, Tensor]) -> None:
    changed = dict(state)
    changed["surplus.weight"] = changed.pop("layer0.0.weight")
    changed["out.4.bias"] = torch.zeros(2)
    torch.save(changed, tmp_path / "other.pth")
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(tmp_path / "other.pth")
    message = str(caught.value)
    for part in (
        "other.pth",
        "1 missing (layer0.0.weight)",
        "1 unexpected (surplus.weight)",
        "1 wrong shape (out.4.bias is (2,), expected (1,))",
    ):
        assert part in message


class Attack:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch '{self.target}'",)


def test_code_in_a_pickle_is_never_run(tmp_path: Path) -> None:
    target = tmp_path / "attacked"
    torch.save({"state_dict": Attack(target)}, tmp_path / "evil.pth")
    with pytest.raises(CheckpointError, match=r"evil\.pth: contains more than plain tensors"):
        load_checkpoint(tmp_path / "evil.pth")
    assert not target.exists()


def _header(tensors: dict[str, Any]) -> bytes:
    said = json.dumps(tensors).encode()
    return len(said).to_bytes(8, "little") + said


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.pth", b"", "damaged or not"),
        ("noise.pth", b"not a checkpoint at all", "damaged or not a PyTorch checkpoint"),
        ("noise.safetensors", b"not a checkpoint at all", "not a safetensors file"),
        ("empty.safetensors", b"", "not a safetensors file"),
        (
            "overflow.safetensors",
            _header({"a": {"dtype": "F32", "shape": [2**64 - 1, 0], "data_offsets": [0, 0]}}),
            "damaged or not a safetensors file",
        ),
        ("nibbles.safetensors", _header({"a": {"dtype": "F4", "shape": [2], "data_offsets": [0, 1]}}) + b"0", "dense"),
        ("model.bin", b"", "must end in .pth, .pt, .ckpt, .safetensors"),
    ],
)
def test_unreadable_files(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=name) as caught:
        load_checkpoint(tmp_path / name)
    assert words in str(caught.value)


def test_truncated_files(tmp_path: Path, state: dict[str, Tensor], checkpoints: Callable[[str], Path]) -> None:
    torch.save(state, tmp_path / "whole.pth")
    for source in (tmp_path / "whole.pth", checkpoints("")):
        cut = tmp_path / f"cut{source.suffix}"
        cut.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
        with pytest.raises(CheckpointError, match="cut"):
            load_checkpoint(cut)


@pytest.mark.parametrize("content", [[1, 2], {}, {"a": 1}, {"state_dict": {"a": 1}}], ids=str)
def test_other_contents(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match=r"other\.pth: contains a .*, expected a dict of tensors"):
        load_checkpoint(tmp_path / "other.pth")


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"absent\.pth: no such checkpoint file"):
        load_checkpoint(tmp_path / "absent.pth")
    with pytest.raises(CheckpointError, match=r"aaa\.pth: no such checkpoint file"):
        load_checkpoint(tmp_path / f"{'a' * 300}.pth")


@pytest.mark.parametrize(
    "odd", [torch.zeros(1).to_sparse(), torch.zeros(1, device="meta"), torch.zeros(1).long()], ids=str
)
def test_weights_that_are_not_dense_floats(tmp_path: Path, state: dict[str, Tensor], odd: Tensor) -> None:
    torch.save({**state, "out.4.bias": odd}, tmp_path / "odd.pth")
    with pytest.raises(CheckpointError, match=r"odd\.pth: .*(dense floating-point|not a checkpoint|damaged)"):
        load_checkpoint(tmp_path / "odd.pth")


def test_random_damage_is_a_checkpoint_error(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(3), "b": {"c": 1}}, tmp_path / "whole.pth")
    content = (tmp_path / "whole.pth").read_bytes()
    rng = random.Random(0)
    for _ in range(150):
        damaged = bytearray(content)
        for _ in range(3):
            damaged[rng.randrange(len(content))] = rng.randrange(256)
        (tmp_path / "damaged.pth").write_bytes(damaged)
        with pytest.raises(CheckpointError):
            load_checkpoint(tmp_path / "damaged.pth")


def test_compressed_records_are_refused_before_they_are_unpacked(tmp_path: Path) -> None:
    plain, packed = tmp_path / "plain.pth", tmp_path / "packed.pth"
    torch.save({"a": torch.zeros(1000)}, plain)
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))
    assert read_state_dict(plain)["a"].shape == (1000,)
    with pytest.raises(CheckpointError, match=r"compressed records, unlike files written by torch\.save"):
        read_state_dict(packed)


def test_damaged_bytes_of_a_tensor_are_refused(tmp_path: Path) -> None:
    """PyTorch itself does not compare checksums."""
    path = tmp_path / "damaged.pth"
    torch.save({"a": torch.zeros(1000)}, path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    torch.load(path, weights_only=True)
    with pytest.raises(CheckpointError, match=r"damaged\.pth: damaged: the checksum of its record .*data/0 is wrong"):
        read_state_dict(path)


def test_beginnings_of_a_pickle_are_damage(tmp_path: Path) -> None:
    """One byte of each kind, as of a file that was cut off: every operation lacks its operand in its own way."""
    path = tmp_path / "cut.pth"
    for first in range(256):
        path.write_bytes(bytes([first]))
        with pytest.raises(CheckpointError, match=r"cut\.pth: (damaged|not a checkpoint)"):
            load_checkpoint(path)
