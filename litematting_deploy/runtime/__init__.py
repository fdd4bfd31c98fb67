"""The runtime: image and trimap in, alpha out, with any engine."""

from .loading import load_engine, open_matter
from .matter import Matter

__all__ = ["Matter", "load_engine", "open_matter"]
