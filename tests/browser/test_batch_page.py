"""The page over many runs, in Chromium: accessible, in one language, and it leads to the pages of each run."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe

from buurtsae.batch.many import run_all
from buurtsae.batch.site import write_index
from buurtsae.batch.tasks import read_batch

sys.path.insert(0, os.fspath(Path(__file__).parents[1] / "contract"))
from small_batch import ROWS, make_batch

WCAG = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("batch_page")]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three runs that are done, and one in each other state."""
    folder = tmp_path_factory.mktemp("batch")
    batch, out = make_batch(folder), folder / "uit"
    assert run_all(batch, out, workers=1).counts == {"done": 3}
    states = {"fout": "error", "vol": "memory", "weg": "lost", "nog": "waiting"}
    more = "".join(f"{name},Zeer of extreem eenzaam,2024,gegevens/weg.csv,,\n" for name in states)
    (folder / "rijen.csv").write_text(ROWS + more, encoding="utf-8")
    write_index(read_batch(batch, out), out, states)  # type: ignore[arg-type]
    return out / "index.html"


@pytest.mark.parametrize("language", ["nl", "en"])
def test_no_violations_of_accessibility(
    page: Any, index: Path, language: str, keep: Callable[[Any, str], None]
) -> None:
    page.goto(index.as_uri() + f"#taal={language}")
    results = Axe().run(page, options=WCAG)
    assert results.violations_count == 0, results.generate_report()
    keep(page, f"batch-{language}")
    hidden = "en" if language == "nl" else "nl"
    assert page.locator(f"main .{hidden}:visible").count() == 0
    word = "nog niet gedaan" if language == "nl" else "not done yet"
    assert page.get_by_role("cell", name=word).count() == 1


def test_a_year_leads_to_the_pages_of_its_run_in_the_same_language(page: Any, index: Path) -> None:
    page.goto(index.as_uri() + "#taal=en")
    assert page.locator("tbody td a[aria-label]").count() == 3 * 4  # pages, quality report, two files
    page.get_by_role("link", name="Roken, 2022", exact=True).click()
    assert page.url == (index.parent / "roken_2022" / "dashboard" / "index.html").as_uri() + "#taal=en"
    assert page.locator("h1").inner_text() == "Roken"


def test_a_narrow_screen_does_not_scroll_sideways(page: Any, index: Path, keep: Callable[[Any, str], None]) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto(index.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    keep(page, "batch-narrow")
