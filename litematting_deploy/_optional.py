"""The one seam for optional imports: a missing package names the extra that brings it."""

import importlib
import json
import os
import shlex
import sys
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from .errors import DependencyError

_PACKAGE = "litematting-deploy"
_ROOT = Path(__file__).parents[1]

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
        raise DependencyError(f"{purpose} needs {module}, which is not installed: {install(extra)}") from None
    except ImportError as error:
        raise DependencyError(f"{purpose} needs {module}, which is installed but does not import: {error}") from error


def install(extras: str) -> str:
    """Return the command that installs this package with extras from where it came: the package is on no index.

    extras: as "cpu" or "cpu,openvino". Installers note the folder or URL they were given; without that note, the
    command is for the folder of the source.
    """
    import importlib.metadata  # takes time, and only errors need it

    try:
        found = importlib.metadata.distribution(_PACKAGE)
        installer = (found.read_text("INSTALLER") or "").strip()
        origin = json.loads(found.read_text("direct_url.json") or "{}")
    except (importlib.metadata.PackageNotFoundError, OSError, ValueError):
        installer, origin = "", {}
    pip = "uv pip install" if installer == "uv" else "pip install"
    where = _origin(origin, extras) if isinstance(origin, dict) else None
    if where is None and (_ROOT / "setup.cfg").is_file():  # run from a checkout
        where = _quoted(f"{_ROOT}[{extras}]")
    return f"{pip} {where}" if where else f"{pip} '.[{extras}]', in the folder of {_PACKAGE}'s source"


def _origin(origin: dict[str, Any], extras: str) -> str | None:
    """Return what to give to pip for an origin as in direct_url.json (PEP 610), or None where it is gone."""
    from urllib.request import url2pathname  # brings HTTP and TLS along, which no start without errors should wait for

    url, folder = origin.get("url"), origin.get("dir_info")
    if not isinstance(url, str):
        return None
    parts = urlsplit(url)
    local = url2pathname(parts.path) if parts.scheme == "file" else None
    if local is not None and not os.path.exists(local):
        return None
    if isinstance(folder, dict) and local is not None:
        return f"{'-e ' if folder.get('editable') else ''}{_quoted(f'{local}[{extras}]')}"
    # No name and password, which some installers note.
    url = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    version = origin.get("vcs_info")
    if isinstance(version, dict):
        asked = version.get("requested_revision") or version.get("commit_id")
        url = f"{version.get('vcs')}+{url}" + (f"@{asked}" if asked else "")
    return _quoted(f"{_PACKAGE}[{extras}] @ {url}")


def _quoted(text: str) -> str:
    """Return a text as a shell takes it, in quotes also where the shell of this machine would need none."""
    return shlex.quote(text) if "'" in text else f"'{text}'"
