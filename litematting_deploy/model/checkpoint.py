"""Reading checkpoints: only tensors are ever unpickled, and never from compressed records."""

import os
import pickle
import re
import struct
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .._optional import require
from ..errors import CheckpointError, first_line
from ..files import CHECKPOINT_SUFFIXES
from ..parameters import path_text
from .config import ModelConfig
from .network import LiteMatting

NESTING_KEYS = ("state_dict", "model")
NAMES_SHOWN = 4
# What a library makes of bytes that are no text, or of a pickle's instructions: nothing that people can use.
_BYTES = re.compile(r"\\x[0-9a-fA-F]{2}|[^\n\x20-\x7e]|load key|operand|opcode|memo|MARK")
# What every variant has; a file without it is compared with the full network.
_LAYERS = {"layer0.0.weight"}
_WEIGHTS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
# Batch norm counts its training batches in a whole number.
_COUNTER = "num_batches_tracked"
# What is raised on damaged files, beside UnpicklingError.
_DAMAGE = (
    *(ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, OSError, RuntimeError, TypeError),
    *(ValueError, struct.error, zipfile.BadZipFile),
    MemoryError,  # a damaged length asks for more than there is
)


def load_checkpoint(path: str | Path, config: ModelConfig | None = None) -> LiteMatting:
    """Return the model of `config` with the weights of `path`, in float32 and evaluation mode, on the CPU.

    config: the variant; None for the one that the tensors show, see `variant_of`.

    Reads `.pth`, `.pt`, `.ckpt` (a state dict, plain or under "state_dict" or "model", with or without "module." or
    "model." before the names; tensors only) and `.safetensors`. Raises `CheckpointError` when the file cannot be read
    or its names and shapes are not those of the network, listing the missing, unexpected and wrongly shaped.
    """
    state = read_state_dict(path)
    model = LiteMatting(variant_of(state) if config is None else config)
    problems = _mismatches(model.state_dict(), state)
    if problems:
        raise CheckpointError(
            f"{path}: does not match this LiteMatting network: {'; '.join(problems)}; use a checkpoint in the "
            "published layout, or the ModelConfig it was trained with"
        )
    model.load_state_dict(state, strict=True)
    return model.eval()


def variant_of(state: Mapping[str, Tensor]) -> ModelConfig:
    """Return the variant of the network that the tensors of a state dict belong to, in PyTorch's own pooling.

    How the Efficient Non-Local Block samples key and value leaves no trace in them: it is taken as in the paper.
    """
    stages = {name.partition(".")[0] for name in state}
    has_running_means = any(name.endswith(".running_mean") for name in state)
    return ModelConfig(
        enb=bool({"gfnb", "layerx"} & stages) or not state.keys() & _LAYERS,
        lsrppm="ppm" in stages or not state.keys() & _LAYERS,
        norm="batch" if has_running_means else "group",
    )


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """Return names and tensors of a checkpoint file, wrappers removed. Raises `CheckpointError`."""
    path = Path(path_text("path", path))
    suffix = path.suffix.lower()
    if suffix not in CHECKPOINT_SUFFIXES:
        raise CheckpointError(f"{path}: a checkpoint must end in {', '.join(CHECKPOINT_SUFFIXES)}; got '{suffix}'")
    if not os.path.isfile(path):
        raise CheckpointError(f"{path}: no such checkpoint file; give the path of an existing one")
    return _unwrap(path, _read_safetensors(path) if suffix == ".safetensors" else _read_torch(path))


def _read_torch(path: Path) -> object:
    """Return what torch.save wrote to a file, where that is nothing but tensors. Raises `CheckpointError`."""
    try:
        if zipfile.is_zipfile(path):
            _check_records(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a damaged file's numbers, before it is refused
            return torch.load(path, map_location="cpu", weights_only=True)  # a pickle could run any code otherwise
    except pickle.UnpicklingError as error:
        said = first_line(error)
        if not said or _BYTES.search(str(error)):  # a byte of a damaged file, taken for an instruction of a pickle
            raise CheckpointError(f"{path}: damaged or not a PyTorch checkpoint; download it again") from error
        raise CheckpointError(
            f"{path}: contains more than plain tensors, which is not safe to load; save model.state_dict() with "
            f"torch.save ({said})"
        ) from error
    except _DAMAGE as error:
        reason = "" if _BYTES.search(str(error)) else f" ({first_line(error)})"
        raise CheckpointError(f"{path}: damaged or not a PyTorch checkpoint; download it again{reason}") from error


def _check_records(path: Path) -> None:
    """Raise `CheckpointError` for compressed records of a zip file, and for damaged ones, which PyTorch itself takes.

    torch.save stores; of packed records a megabyte can be gigabytes.
    """
    with zipfile.ZipFile(path) as archive:
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
            raise CheckpointError(
                f"{path}: contains compressed records, unlike files written by torch.save; save it with torch.save"
            )
        damaged = archive.testzip()
    if damaged is not None:
        raise CheckpointError(f"{path}: damaged: the checksum of its record {damaged} is wrong; download it again")


def _read_safetensors(path: Path) -> object:
    """Return names and tensors of a .safetensors file. Raises `CheckpointError`."""
    require("safetensors.torch", "export", "reading .safetensors")
    safetensors = require("safetensors", "export", "reading .safetensors")
    try:
        return safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, *_DAMAGE) as error:
        reason = "" if _BYTES.search(str(error)) else f" ({first_line(error)})"
        raise CheckpointError(f"{path}: damaged or not a safetensors file; download it again{reason}") from error


def _unwrap(path: Path, loaded: object) -> dict[str, Tensor]:
    """Return the state dict in what a file holds, without wrappers. Raises `CheckpointError` where there is none."""
    state: Any = loaded
    for key in NESTING_KEYS:
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
            break
    if not isinstance(state, dict) or not state or not all(isinstance(value, Tensor) for value in state.values()):
        keys = f" with {', '.join(str(key) for key in state)[:60]}" if isinstance(state, dict) and state else ""
        raise CheckpointError(
            f"{path}: contains a {type(state).__name__}{keys}, expected a dict of tensors, at the top level or "
            f"under {' or '.join(NESTING_KEYS)}"
        )
    for name, value in state.items():
        counter = str(name).endswith(_COUNTER) and value.dtype == torch.int64
        if not (value.dtype in _WEIGHTS or counter) or value.layout != torch.strided or value.is_meta:
            raise CheckpointError(
                f"{path}: {name} is a {value.dtype} tensor of layout {value.layout} on {value.device}, expected "
                "dense floating-point weights; save model.float().state_dict()"
            )
    # What DataParallel and a Lightning module put before the names.
    return {str(name).removeprefix("module.").removeprefix("model."): value for name, value in state.items()}


def _mismatches(wanted: dict[str, Tensor], given: dict[str, Tensor]) -> list[str]:
    """Return in words what is missing, unexpected and of a wrong shape, with the first names of each."""
    shapes = [
        f"{name} is {tuple(given[name].shape)}, expected {tuple(wanted[name].shape)}"
        for name in sorted(wanted.keys() & given.keys())
        if given[name].shape != wanted[name].shape
    ]
    groups = {
        "missing": sorted(wanted.keys() - given.keys()),
        "unexpected": sorted(given.keys() - wanted.keys()),
        "wrong shape": shapes,
    }
    return [
        f"{len(names)} {label} ({', '.join(names[:NAMES_SHOWN])}{', ...' if len(names) > NAMES_SHOWN else ''})"
        for label, names in groups.items()
        if names
    ]
