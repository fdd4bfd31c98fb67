"""The runtime: image and trimap in, alpha out, with any engine."""

from .loading import load_engine
from .matter import Matter, open_matter

__all__ = ["Matter", "load_engine", "open_matter"]
