"""The gate before Gradio, which would otherwise fetch URLs and read files that a request names.

Gradio's page needs few of its routes. All others are refused, and so is a body that is too large or names a URL or a
file that is not in the page's own folder; what a foreign page sends, `server.gate` refuses.
"""

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope

from ..server.gate import HEADERS, Gate, check_length, check_multipart
from ..server.spec import Limits

_FILE = "/gradio_api/file="
_GET = re.compile(
    r"/|/config|/theme\.css|/favicon\.ico|/manifest\.json|/robots\.txt|/(assets|static)/[\w./@-]+"
    r"|/gradio_api/(info|theme\.css|startup-events|queue/data|upload_progress|app_id|heartbeat/\w+)"
)
_UPLOAD = "/gradio_api/upload"
_JSON = ("/gradio_api/queue/join", "/gradio_api/cancel", "/gradio_api/reset")
_JSON_BYTES = 1_000_000


class PageGate(Gate):
    """The gate of the page."""

    headers = HEADERS | {
        "Content-Security-Policy": "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
        "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
        "connect-src 'self' data: blob:; worker-src 'self' blob:; object-src 'none'; base-uri 'self'; "
        "form-action 'self'; frame-ancestors 'none'",
    }

    def __init__(self, app: ASGIApp, folder: Path, host: str, limits: Limits) -> None:
        """folder: the only one that files are read from. host: what the server listens on."""
        super().__init__(app, [host])
        self._folder, self._limits = folder.resolve(), limits

    async def admitted(self, scope: Scope, receive: Receive, headers: Headers) -> Receive:
        """Return what gives the body of a request that may pass; raises as `Gate.admitted`."""
        method, path = scope["method"], scope["path"]
        if method in ("GET", "HEAD"):
            if path.startswith(_FILE):
                self._check_file(path.removeprefix(_FILE))
            elif not _GET.fullmatch(path) or ".." in path:
                raise HTTPException(404, "not found")
            return receive
        if method != "POST" or path not in (_UPLOAD, *_JSON):
            raise HTTPException(404, "not found")
        check_length(headers, _JSON_BYTES if path in _JSON else self._limits.megabytes * 10**6 + _JSON_BYTES)
        if path == _UPLOAD:
            check_multipart(headers)
            return receive
        return await self._checked_json(scope, receive)

    def _check_file(self, path: str) -> None:
        """Refuse a file that is not, links followed, in the page's own folder."""
        try:
            inside = Path(path).resolve().is_relative_to(self._folder)
        except (OSError, ValueError):  # longer than any name, or with a zero in it
            inside = False
        if not inside:
            raise HTTPException(403, "only files of this page are served")

    async def _checked_json(self, scope: Scope, receive: Receive) -> Receive:
        """Return what gives the JSON that was checked, in place of the body, with headers that fit it.

        Raises as `admitted`.
        """
        try:
            body = await Request(scope, receive).body()
        except ClientDisconnect:
            raise HTTPException(400, "the request ended early") from None
        content = json.loads(body)
        headers = MutableHeaders(scope=scope)
        self._check_names(content, headers["host"])
        body = json.dumps(content).encode()  # what goes on is what was checked, not what another reader might see
        headers["content-length"], headers["content-type"] = str(len(body)), "application/json"
        return _replaying(body, receive)

    def _check_names(self, content: Any, host: str) -> None:
        """Refuse every file that is not in the folder, and every URL that is not of such a file."""
        if isinstance(content, list):
            for part in content:
                self._check_names(part, host)
        elif isinstance(content, dict):
            for name, part in content.items():
                if name == "path" and part is not None:
                    self._check_file(str(part))
                elif name == "url" and part is not None:
                    url = urlsplit(str(part))
                    path = unquote(url.path)
                    if url.netloc not in ("", host) or not path.startswith(_FILE):
                        raise HTTPException(403, "URLs are not fetched")
                    self._check_file(path.removeprefix(_FILE))
                else:
                    self._check_names(part, host)


def _replaying(body: bytes, receive: Receive) -> Receive:
    """Return a `Receive` that gives the body once, and then what the connection says."""
    left: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return left.pop() if left else await receive()

    return again
