"""The one seam for optional imports: a missing package names the extra that brings it."""

import importlib
import os
import sys
from types import ModuleType

from .errors import DependencyError

# ONNX Runtime reports to its makers unless this is set before it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
# OpenVINO reports every import and keeps an identifier in the home folder, without asking; where this module does not
# import, it takes a stub of its own in its place.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]


def require(module: str, extra: str, purpose: str) -> ModuleType:
    """Import `module`, or raise `DependencyError` naming the extra of this package to install.

    `purpose` begins the message: "<purpose> needs <module> ...".
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or module.split(".")[0] != error.name.split(".")[0]:
            raise
        raise DependencyError(
            f"{purpose} needs {module}, which is not installed: pip install 'litematting-deploy[{extra}]'"
        ) from None
    except ImportError as error:
        raise DependencyError(f"{purpose} needs {module}, which is installed but does not import: {error}") from error
