"""Engines: what turns a batch of patches into alphas. One module per backend behind `base.Engine`, on a CUDA device
behind `device.DeviceEngine`."""

from .base import Engine, open_engine
from .device import DeviceArtefact, DeviceEngine, Gpu, examine

__all__ = ["DeviceArtefact", "DeviceEngine", "Engine", "Gpu", "examine", "open_engine"]
