"""A server on this machine that replays services of open data: recorded shapes, and what goes wrong with them.

Routes are functions of a request; a fault takes the place of the next replies of a path. No test asks a real service.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from buurtsae.opendata.registry import Registry

SERVICES = "cbs derden pdok atom leefbaarometer rce adressen".split()


@dataclass(frozen=True)
class Asked:
    """A request: the path below its service, its query, and the address of the service."""

    service: str
    path: str
    query: dict[str, str]
    base: str


@dataclass(frozen=True)
class Answer:
    """A reply; `cut` sends half of it and closes the connection."""

    body: bytes = b""
    kind: str = "application/json"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False


Route = Callable[[Asked], Answer]
HTML = Answer(b"<!DOCTYPE html><html><body>Onderhoud</body></html>", "text/html")
BROKEN = Answer(b"out of order", "text/plain", 500)
GONE = Answer(b"not found", "text/plain", 404)


def as_json(content: Any, **headers: str) -> Answer:
    """A reply in JSON; the names of its headers have _ for -."""
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    return Answer(json.dumps(content, ensure_ascii=False).encode(), headers=named)


@dataclass
class Replay:
    """Services on a port of this machine."""

    routes: list[tuple[str, re.Pattern[str], Route]] = field(default_factory=list)
    faults: list[tuple[re.Pattern[str], Answer]] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    agents: list[str] = field(default_factory=list)
    base: str = ""

    def add(self, service: str, pattern: str, route: Route) -> None:
        """Answer paths of a service that match as a whole, newest routes first."""
        self.routes.insert(0, (service, re.compile(pattern), route))

    def fail(self, pattern: str, *answers: Answer) -> None:
        """Give these answers, once each, to the next requests whose address contains the pattern."""
        self.faults += [(re.compile(pattern), answer) for answer in answers]

    def count(self, pattern: str = "") -> int:
        """How often a path that contains the pattern was asked."""
        return sum(bool(re.search(pattern, f"{one.service}/{one.path}")) for one in self.asked)

    def sources(self, folder: Path) -> Path:
        """Write a table of sources that leads here, without pauses, and return its path."""
        parts = [f'[service.{name}]\nurl = "{self.base}/{name}"\npause = 0.0\n' for name in SERVICES]
        yearly = Registry.load().content.table["adressen"].by_year  # some at another address than their service
        parts.append("[table.adressen.by_year]")
        parts += [f'{year} = "{name.rsplit("/", 1)[-1]}"' for year, name in yearly.items()]
        path = folder / "replay_sources.toml"
        path.write_text("\n".join(parts), encoding="utf-8")
        return path

    def answer(self, target: str, agent: str) -> Answer:
        """Return what a request gets."""
        for place, (pattern, answer) in enumerate(self.faults):
            if pattern.search(target):
                del self.faults[place]
                return answer
        parts = urlsplit(target)
        _, service, *rest = parts.path.split("/")
        asked = Asked(service, "/".join(rest), dict(parse_qsl(parts.query)), f"{self.base}/{service}")
        self.asked.append(asked)
        self.agents.append(agent)
        for name, pattern, route in self.routes:
            if name == service and pattern.fullmatch(asked.path):
                return route(asked)
        return GONE

    def __enter__(self) -> Replay:
        replay = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                answer = replay.answer(self.path, self.headers.get("User-Agent", ""))
                self.send_response(answer.status)
                headers = {"Content-Type": answer.kind, "Content-Length": str(len(answer.body)), **answer.headers}
                for key, value in headers.items():
                    self.send_header(key, value)
                self.end_headers()
                self.wfile.write(answer.body[: len(answer.body) // 2] if answer.cut else answer.body)
                if answer.cut:
                    self.close_connection = True

            def log_message(self, *args: object) -> None:
                """Nothing is printed."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.base = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *args: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
