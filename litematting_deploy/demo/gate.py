"""The gate before Gradio, which would otherwise fetch URLs and read files that a request names.

Gradio's page needs few of its routes. All others are refused, and so is what a foreign page in the same browser sends
(`Host` against DNS rebinding, `Origin` against cross-site requests), and a body that is too large or names a URL or a
file that is not in the page's own folder.
"""

import ipaddress
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .studio import Limits

_FILE = "/gradio_api/file="
_GET = re.compile(
    r"/|/config|/theme\.css|/favicon\.ico|/manifest\.json|/robots\.txt|/(assets|static)/[\w./@-]+"
    r"|/gradio_api/(info|theme\.css|startup-events|queue/data|upload_progress|app_id|heartbeat/\w+)"
)
_UPLOAD = "/gradio_api/upload"
_JSON = ("/gradio_api/queue/join", "/gradio_api/cancel", "/gradio_api/reset")
_JSON_BYTES = 1_000_000
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "connect-src 'self' data: blob:; worker-src 'self' blob:; object-src 'none'; base-uri 'self'; "
    "form-action 'self'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Gate:
    """An ASGI application before another."""

    def __init__(self, app: ASGIApp, folder: Path, host: str, limits: Limits) -> None:
        """folder: the only one that files are read from. host: what the server listens on."""
        self._app, self._folder, self._limits = app, folder.resolve(), limits
        self._names = {"localhost", host.lower()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it with 4xx and one line."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        app = self._app
        try:
            receive = await self._checked(scope, receive)
        except HTTPException as refused:
            app = PlainTextResponse(f"{refused.detail}\n", refused.status_code)
        except (ValueError, RecursionError):  # no address, no JSON, a number of thousands of digits, a deep body
            app = PlainTextResponse("the request is malformed\n", 400)
        await app(scope, receive, _guarded(send))

    async def _checked(self, scope: Scope, receive: Receive) -> Receive:
        """Return what gives the body of a request that may pass.

        Raises `HTTPException` for one that may not, and `ValueError` for what is no request.
        """
        headers = Headers(scope=scope)
        self._check_site(headers)
        method, path = scope["method"], scope["path"]
        if method in ("GET", "HEAD"):
            if path.startswith(_FILE):
                self._check_file(path.removeprefix(_FILE))
            elif not _GET.fullmatch(path) or ".." in path:
                raise HTTPException(404, "not found")
            return receive
        if method != "POST" or path not in (_UPLOAD, *_JSON):
            raise HTTPException(404, "not found")
        length = headers.get("content-length", "")
        # Without a length, a body could go on without end.
        if not length.isdecimal() or "transfer-encoding" in headers:
            raise HTTPException(411, "Content-Length is required")
        limit = _JSON_BYTES if path in _JSON else self._limits.megabytes * 10**6 + _JSON_BYTES
        if int(length) > limit:
            raise HTTPException(413, f"{int(length)} bytes exceed the limit of {limit}")
        if path == _UPLOAD:
            if not headers.get("content-type", "").startswith("multipart/form-data"):
                raise HTTPException(415, "multipart/form-data is required")
            return receive
        return await self._checked_json(scope, receive)

    def _check_site(self, headers: Headers) -> None:
        """Refuse all but pages of this very server, under an address or a name that nobody else can point here."""
        host = headers.get("host", "")
        name = (urlsplit(f"//{host}").hostname or "").lower()
        # A name of somebody else may lead here, and his page would then be of the same origin (DNS rebinding).
        if name not in self._names and not _is_address(name):
            raise HTTPException(421, f"this server is not {name or 'without a name'}")
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != host:
            raise HTTPException(403, "requests from other sites are refused")
        # A link from elsewhere may open the page, and do nothing more.
        if headers.get("sec-fetch-site") == "cross-site" and headers.get("sec-fetch-mode") != "navigate":
            raise HTTPException(403, "requests from other sites are refused")

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

        Raises as `_checked`.
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


def _is_address(name: str) -> bool:
    """Return whether a host is an IP address, which no DNS server of somebody else can point here."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _replaying(body: bytes, receive: Receive) -> Receive:
    """Return a `Receive` that gives the body once, and then what the connection says."""
    left: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return left.pop() if left else await receive()

    return again


def _guarded(send: Send) -> Send:
    """Return a `Send` that adds the headers by which the browser refuses, too."""

    async def guarded(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(_HEADERS)
        await send(message)

    return guarded
