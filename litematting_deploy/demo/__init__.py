"""The page to try it: paint or take a trimap, see and download alpha, cut-out and a new background."""

from .gate import Limits
from .server import listen, serve

__all__ = ["Limits", "listen", "serve"]
