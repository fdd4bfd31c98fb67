"""The JSON beside an artefact that says where it came from; checked before the artefact is opened.

A hash detects damage and mix-ups, not an attacker, who would change the sidecar too.
"""

from .engine import EngineSidecar, check_engine_sidecar
from .files import FORMAT, sidecar_path, write_sidecar
from .onnx import Sidecar, check_sidecar, essentials, read_sidecar
from .origin import weights_sha256

__all__ = [
    "FORMAT",
    "EngineSidecar",
    "Sidecar",
    "check_engine_sidecar",
    "check_sidecar",
    "essentials",
    "read_sidecar",
    "sidecar_path",
    "weights_sha256",
    "write_sidecar",
]
