"""The reference model in PyTorch (extra `export`)."""

from .._optional import require

require("torch", "export", "the PyTorch model")

from .checkpoint import load_checkpoint, read_state_dict  # noqa: E402
from .config import ModelConfig  # noqa: E402
from .network import LiteMatting  # noqa: E402

__all__ = ["LiteMatting", "ModelConfig", "load_checkpoint", "read_state_dict"]
