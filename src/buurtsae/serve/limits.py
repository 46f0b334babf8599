"""What a request may be: reading, and small. Everything else is refused before any work, with a 4xx.

HEAD is answered as GET, whose body the HTTP server leaves out.
"""

from __future__ import annotations

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from buurtsae.serve.description import PROBLEM

MOST_TARGET = 2_000  # bytes of path and query
MOST_HEADERS = 16_000
SAFE = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
}
READING = ("GET", "HEAD", "OPTIONS")


class Limits:
    """ASGI middleware.

    Parameters
    ----------
    app : callable
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or have the application answer it."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)

        async def safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(SAFE)
            await send(message)

        if found := refusal(scope):
            status, detail = found
            headers = {"allow": "GET, HEAD"} if status == 405 else {}
            content = {"type": "about:blank", "status": status, "detail": detail}
            return await JSONResponse(content, status, headers, PROBLEM)(scope, receive, safely)
        inner = {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope
        return await self.app(inner, receive, safely)


def refusal(scope: Scope) -> tuple[int, str] | None:
    """Return the status and the reason why a request is refused; None if it is not."""
    headers = Headers(scope=scope)
    if scope["method"] not in READING:
        return 405, f"{scope['method']} is not possible: results are read only"
    if len(scope["raw_path"]) + len(scope["query_string"]) > MOST_TARGET:
        return 414, f"the address is longer than {MOST_TARGET} bytes"
    if sum(len(k) + len(v) for k, v in scope["headers"]) > MOST_HEADERS:
        return 431, f"the headers are longer than {MOST_HEADERS} bytes"
    if "transfer-encoding" in headers or headers.get("content-length", "0") != "0":
        return 413, "a request to read has no body"
    return None
