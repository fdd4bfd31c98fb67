"""The gate before every server of this package: what is refused before anything reads the request.

A foreign page in the same browser is told by its `Host` (DNS rebinding) and its `Origin` (cross-site requests), and a
body by its length, which must be said. What else may pass, the gates of the page (`demo.gate`) and of the service say.
"""

import hmac
import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""By these the browser refuses, too."""


class Gate:
    """An ASGI application before another. Subclasses say in `admitted` which requests may pass."""

    headers = HEADERS

    def __init__(self, app: ASGIApp, names: Iterable[str]) -> None:
        """names: what requests may call this server beside localhost and any IP address."""
        self._app = app
        self._names = {"localhost", *(name.lower() for name in names)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it with 4xx and one line."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        app = self._app
        try:
            headers = Headers(scope=scope)
            self._check_site(headers)
            receive = await self.admitted(scope, receive, headers)
        except HTTPException as refused:
            app = self.refusal(refused)
        except (ValueError, RecursionError):  # no address, no JSON, a number of thousands of digits, a deep body
            app = self.refusal(HTTPException(400, "the request is malformed"))
        await app(scope, receive, self._guarded(send))

    async def admitted(self, scope: Scope, receive: Receive, headers: Headers) -> Receive:
        """Return what gives the body of a request that may pass.

        Raises `HTTPException` for one that may not, and `ValueError` for what is no request.
        """
        raise NotImplementedError

    def refusal(self, refused: HTTPException) -> ASGIApp:
        """Return the answer to a request that may not pass."""
        return PlainTextResponse(f"{refused.detail}\n", refused.status_code, refused.headers)

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

    def _guarded(self, send: Send) -> Send:
        """Return a `Send` that adds the headers by which the browser refuses."""

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self.headers)
            await send(message)

        return guarded


class ServiceGate(Gate):
    """The gate of the service."""

    headers = HEADERS | {
        "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'",
    }

    def __init__(self, app: ASGIApp, names: Iterable[str], limit: int, token: str | None, free: str) -> None:
        """limit: of a body, in bytes. token: what requests must show. free: the path that needs none."""
        super().__init__(app, names)
        self._limit, self._token, self._free = limit, token, free

    async def admitted(self, scope: Scope, receive: Receive, headers: Headers) -> Receive:
        """Return what gives the body of a request that may pass; raises as `Gate.admitted`."""
        if scope["path"] != self._free:
            self._check_token(headers)
        if scope["method"] not in ("GET", "HEAD"):
            check_length(headers, self._limit)
            check_multipart(headers)
        return receive

    def refusal(self, refused: HTTPException) -> ASGIApp:
        """Return the answer to a request that may not pass, in the form of all errors of the service."""
        return JSONResponse({"error": refused.detail}, refused.status_code, refused.headers)

    def _check_token(self, headers: Headers) -> None:
        """Refuse a request without the token; the comparison takes as long for a near miss as for any other."""
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if self._token is None:
            return
        if scheme.lower() != "bearer" or not hmac.compare_digest(given.encode(), self._token.encode()):
            raise HTTPException(401, "a token is required: Authorization: Bearer TOKEN", {"WWW-Authenticate": "Bearer"})


def check_length(headers: Headers, limit: int) -> None:
    """Refuse a body of more than `limit` bytes, and one that could go on without end."""
    length = headers.get("content-length", "")
    if not length.isdecimal() or "transfer-encoding" in headers:
        raise HTTPException(411, "Content-Length is required")
    if int(length) > limit:
        raise HTTPException(413, f"{int(length)} bytes exceed the limit of {limit}")


def check_multipart(headers: Headers) -> None:
    """Refuse a body that is no form with files."""
    kind, _, _ = headers.get("content-type", "").partition(";")
    if kind.strip().lower() != "multipart/form-data":
        raise HTTPException(415, "multipart/form-data is required")


def _is_address(name: str) -> bool:
    """Return whether a host is an IP address, which no DNS server of somebody else can point here."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
