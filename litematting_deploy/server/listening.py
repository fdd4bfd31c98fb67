"""Listening on an address, and serving an application there; the libraries that do it are imported when it begins."""

import ipaddress
import logging
import socket
from typing import Any

from .._optional import require
from ..errors import UsageError

KEPT_S = 75
"""Seconds that an idle connection is kept: longer than clients and proxies keep theirs, since a request that is sent
while the server closes is lost."""


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens; port 0 is any that is free. Raises `UsageError`."""
    if not host.strip():  # which would be every address of this machine
        raise UsageError("`host` must be an address such as 127.0.0.1; got an empty text", parameter="host")
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise UsageError(
            f"`host={host}` `port={port}`: cannot listen there: {reason}; choose another, port 0 is any that is free",
            parameter="port",
        ) from error


def is_open(listening: socket.socket) -> bool:
    """Return whether other machines may reach a socket that listens."""
    return not ipaddress.ip_address(listening.getsockname()[0]).is_loopback


def address_of(listening: socket.socket) -> str:
    """Return the URL of what is served at a socket, with a slash at its end."""
    address, port, *_ = listening.getsockname()
    return f"http://{f'[{address}]' if ':' in address else address}:{port}/"


def run(app: Any, listening: socket.socket, extra: str, command: str, grace_s: int | None = None) -> None:
    """Serve an ASGI application until the process is told to end, and then what is being answered.

    extra, command: what to install, and for which command, where uvicorn is not there. grace_s: seconds after which
    answers are cut off at the end; None for never. Raises `DependencyError`, and `SystemExit` for the signal that has
    ended it.
    """
    uvicorn = require("uvicorn", extra, command)
    config = uvicorn.Config(
        app,
        log_level="error",
        access_log=False,
        ws="none",
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=grace_s,
        timeout_keep_alive=KEPT_S,
    )
    server = uvicorn.Server(config)
    # Connections that are cut off at the end are no error.
    logging.getLogger("uvicorn.error").addFilter(lambda _: not server.should_exit)
    server.run(sockets=[listening])
