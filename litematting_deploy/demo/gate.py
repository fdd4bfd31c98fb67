"""The gate before Gradio, which would otherwise fetch URLs and read files that a request names.

Gradio's page needs few of its routes. All others are refused, and so is what a foreign page in the same browser sends
(`Host` against DNS rebinding, `Origin` against cross-site requests), and a body that is too large or names a URL or a
file that is not in the page's own folder.
"""

import ipaddress
import json
import re
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import unquote, urlsplit

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

MAX_MEGAPIXELS = 50
"""Of an image, by default; a photo of that size takes some minutes on a few cores."""
_BYTES_PER_PIXEL = 8  # 16-bit RGBA without compression
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


@dataclass(frozen=True)
class Limits:
    """How much the page accepts. megapixels: of an image, checked at its header before anything is decoded."""

    megapixels: float = MAX_MEGAPIXELS

    @property
    def megabytes(self) -> int:
        """Size limit of an uploaded file: room for the largest image, 16 bits and not compressed."""
        return max(1, round(self.megapixels * _BYTES_PER_PIXEL))

    def __str__(self) -> str:
        return f"{self.megapixels:g} megapixels and {self.megabytes} MB"


class RefusedError(Exception):
    """A request that is not let through."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Gate:
    """An ASGI application before another."""

    def __init__(self, app: App, folder: Path, host: str, limits: Limits) -> None:
        """folder: the only one that files are read from. host: what the server listens on."""
        self._app, self._folder, self._limits = app, folder.resolve(), limits
        self._names = {"localhost", host.lower()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it with 4xx and one line."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        guarded = _guarded(send)
        try:
            receive = await self._checked(scope, receive)
        except RefusedError as refused:
            await _answer(guarded, refused)
            return
        except (ValueError, RecursionError):  # an address that is none, a number of thousands of digits, a deep body
            await _answer(guarded, RefusedError(400, "the request is malformed"))
            return
        await self._app(scope, receive, guarded)

    async def _checked(self, scope: Scope, receive: Receive) -> Receive:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        self._check_site(headers)
        method, path = scope["method"], scope["path"]
        if method in ("GET", "HEAD"):
            if path.startswith(_FILE):
                self._check_file(path.removeprefix(_FILE))
            elif not _GET.fullmatch(path) or ".." in path:
                raise RefusedError(404, "not found")
            return receive
        if method != "POST" or path not in (_UPLOAD, *_JSON):
            raise RefusedError(404, "not found")
        length = headers.get("content-length", "")
        if not length.isdecimal() or "transfer-encoding" in headers:
            raise RefusedError(411, "a Content-Length is wanted")
        limit = _JSON_BYTES if path in _JSON else self._limits.megabytes * 10**6 + _JSON_BYTES
        if int(length) > limit:
            raise RefusedError(413, f"{int(length)} bytes are more than the limit of {limit}")
        if path == _UPLOAD:
            if not headers.get("content-type", "").startswith("multipart/form-data"):
                raise RefusedError(415, "multipart/form-data is wanted")
            return receive
        return await self._checked_json(scope, receive)

    def _check_site(self, headers: dict[str, str]) -> None:
        """Refuse all but pages of this very server, under an address or a name that nobody else can point here."""
        host = headers.get("host", "")
        name = (urlsplit(f"//{host}").hostname or "").lower()
        if name not in self._names and not _is_address(name):
            raise RefusedError(421, f"this server is not {name or 'without a name'}")
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != host:
            raise RefusedError(403, "requests from other sites are refused")
        if headers.get("sec-fetch-site") == "cross-site" and headers.get("sec-fetch-mode") != "navigate":
            raise RefusedError(403, "requests from other sites are refused")

    def _check_file(self, path: str) -> None:
        try:
            inside = Path(path).resolve().is_relative_to(self._folder)
        except (OSError, ValueError):  # longer than any name, or with a zero in it
            inside = False
        if not inside:
            raise RefusedError(403, "only files of this page are served")

    async def _checked_json(self, scope: Scope, receive: Receive) -> Receive:
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise RefusedError(400, "the request ended early")
            body += message.get("body", b"")
            if not message.get("more_body", False):
                break
        try:
            content = json.loads(body)
        except (ValueError, RecursionError):
            raise RefusedError(400, "the body is not JSON") from None
        self._check_names(content, dict(scope["headers"])[b"host"].decode("latin-1"))
        body = json.dumps(content).encode()  # what goes on is what was checked, not what another reader might see
        scope["headers"] = [
            *((name, value) for name, value in scope["headers"] if name not in (b"content-length", b"content-type")),
            (b"content-length", str(len(body)).encode()),
            (b"content-type", b"application/json"),
        ]
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
                        raise RefusedError(403, "no URLs are fetched")
                    self._check_file(path.removeprefix(_FILE))
                else:
                    self._check_names(part, host)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _replaying(body: bytes, receive: Receive) -> Receive:
    """Return a `Receive` that gives the body once, and then what the connection says."""
    left = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> MutableMapping[str, Any]:
        return left.pop() if left else await receive()

    return again


def _guarded(send: Send) -> Send:
    """Return a `Send` that adds the headers by which the browser refuses, too."""

    async def guarded(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            extra = [(name.lower().encode(), value.encode()) for name, value in _HEADERS.items()]
            message = {**message, "headers": [*message.get("headers", []), *extra]}
        await send(message)

    return guarded


async def _answer(send: Send, refused: RefusedError) -> None:
    text = f"{refused}\n".encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(text)).encode())]
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": text})
