"""Engines: what turns a batch of patches into alphas. One module per backend behind `base.Engine`."""

from .base import Engine, open_engine

__all__ = ["Engine", "open_engine"]
