"""Engines: what turns a batch of patches into alphas. One module per library, each behind `base.Engine` in host memory
and `device.DeviceEngine` on a CUDA device; which one runs a file, `runtime.opening` decides."""

from .base import Engine
from .device import DeviceArtefact, DeviceEngine, Gpu

__all__ = ["DeviceArtefact", "DeviceEngine", "Engine", "Gpu"]
