"""Chromium, and the demo's results published once; screenshots are kept in `out/screenshots`."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

sync_api = pytest.importorskip("playwright.sync_api", reason="the browser lane: make test-browser")

from buurtsae.runs import steps  # noqa: E402
from buurtsae.runs.example import example  # noqa: E402

NAMES = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> steps.Outcome:
    return steps.run(example(), tmp_path_factory.mktemp("demo") / "out", progress=False)


@pytest.fixture(scope="session")
def folder(outcome: steps.Outcome) -> Path:
    return outcome.folder


@pytest.fixture(scope="session")
def table(folder: Path) -> pd.DataFrame:
    return pd.read_parquet(folder / "estimates.parquet")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    found = next(filter(None, map(shutil.which, NAMES)), None)
    assert found, "no Chromium: make test-browser installs Debian's"
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def said() -> list[str]:
    """What a page complained about: errors, warnings, refused content, dialogs."""
    return []


@pytest.fixture
def page(browser: Any, said: list[str]) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1300, "height": 900})
    opened = context.new_page()
    opened.on("console", lambda m: said.append(m.text) if m.type in ("error", "warning") else None)
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.on("dialog", lambda dialog: (said.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    yield opened
    context.close()
    assert said == []


@pytest.fixture(scope="session")
def keep(root: Path) -> Callable[[Any, str], None]:
    """Keep a screenshot as build output."""
    home = root / "out" / "screenshots"
    home.mkdir(parents=True, exist_ok=True)
    return lambda opened, name: opened.screenshot(path=os.fspath(home / f"{name}.png"), full_page=True)


@pytest.fixture(scope="session")
def served(folder: Path) -> Iterator[str]:
    """The folder on a web server of this machine."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=os.fspath(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()
