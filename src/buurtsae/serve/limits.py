"""What a request may be: reading, small, and soon complete. Everything else is refused before any work, with a 4xx.

HEAD is answered as GET, whose body the HTTP server leaves out. OPTIONS is answered with what is possible, but for the
questions of browsers about pages elsewhere (CORS). A connection that owes the rest of a request for too long is closed.
"""

from __future__ import annotations

import asyncio

import h11
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from buurtsae.serve.description import PROBLEM

MOST_TARGET = 2_000  # bytes of path and query
MOST_HEADERS = 16_000
MOST_SECONDS = 10.0  # from the first byte of a request, or the connection, to its end
SAFE = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
}
READING = ("GET", "HEAD", "OPTIONS")
ALLOW = {"allow": ", ".join(READING)}


class Limits:
    """ASGI middleware."""

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

        if refused := refusal(scope):
            status, detail = refused
            headers = ALLOW if status == 405 else {}
            content = {"type": "about:blank", "status": status, "detail": detail}
            return await JSONResponse(content, status, headers, PROBLEM)(scope, receive, safely)
        if scope["method"] == "OPTIONS" and "access-control-request-method" not in Headers(scope=scope):
            return await Response(None, 204, ALLOW)(scope, receive, safely)
        inner = {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope
        return await self.app(inner, receive, safely)


def refusal(scope: Scope) -> tuple[int, str] | None:
    """Return the status and the reason why a request is refused; None if it is not."""
    headers = Headers(scope=scope)
    if scope["method"] not in READING:
        return 405, f"{scope['method']} is not possible: results are read only"
    if len(scope["raw_path"]) + len(scope["query_string"]) > MOST_TARGET:
        return 414, f"the address is longer than {MOST_TARGET} bytes"
    if sum(len(name) + len(value) for name, value in scope["headers"]) > MOST_HEADERS:
        return 431, f"the headers are longer than {MOST_HEADERS} bytes"
    if "transfer-encoding" in headers or headers.get("content-length", "0") != "0":
        return 413, "a request to read has no body"
    return None


class Patience(H11Protocol):
    """An HTTP connection that is closed when a request takes longer than `seconds` to arrive."""

    seconds = MOST_SECONDS

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start waiting for a request."""
        super().connection_made(transport)
        self._deadline: asyncio.TimerHandle | None = None
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Take some bytes, and stop waiting when they complete a request."""
        super().data_received(data)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        super().connection_lost(exc)
        self._stop()

    def _wait(self) -> None:
        if self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
            self._stop()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(self.seconds, self.transport.abort)

    def _stop(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
