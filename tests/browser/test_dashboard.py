"""The site as its readers use it: views, switches, search, sorting, keyboard, print, without scripts, accessibility."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from pypdf import PdfReader

from buurtsae.drawing.style import VERDICT_WORDS
from buurtsae.figures import dutch, interval
from buurtsae.publication.content import Content
from buurtsae.publication.site import write_site
from buurtsae.runs import steps

pytestmark = pytest.mark.browser
CITY, BUURT = "GM9901", "BU99010002"
PAGES = ("index.html", f"gemeente/{CITY}.html", f"buurt/{BUURT}.html", "verantwoording.html", "../quality.html")
FOCUSED = "(e => e.name || e.id || e.textContent.trim())(document.activeElement)"
WCAG = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "</script><b>",
    "\u202eomgekeerd",
    "x" * 10_000,
)


def url(folder: Path, page: str, state: str = "") -> str:
    return (folder / "dashboard" / page).resolve().as_uri() + (f"#{state}" if state else "")


def figures(page: Any) -> list[list[str]]:
    """Name, score and interval in the table of a gemeente."""
    rows = page.locator("#buurten tbody tr").all()
    return [[row.locator("th, td").nth(k).inner_text().strip() for k in range(3)] for row in rows]


@pytest.mark.parametrize("state", ["", "taal=en"])
@pytest.mark.parametrize("name", PAGES)
def test_no_violations_of_accessibility(
    page: Any, folder: Path, name: str, state: str, keep: Callable[[Any, str], None]
) -> None:
    page.goto(url(folder, name, state))
    found = Axe().run(page, options=WCAG)
    assert found.violations_count == 0, found.generate_report()
    keep(page, Path(name).stem + ("-en" if state else ""))


@pytest.mark.parametrize("view", ["verschil", "interval"])
def test_no_violations_in_other_views(page: Any, folder: Path, view: str, keep: Callable[[Any, str], None]) -> None:
    page.goto(url(folder, f"gemeente/{CITY}.html", f"beeld={view}"))
    found = Axe().run(page, options=WCAG)
    assert found.violations_count == 0, found.generate_report()
    keep(page, f"{CITY}-{view}")


def test_every_measure_shows_the_figures_of_the_parquet(page: Any, folder: Path, table: pd.DataFrame) -> None:
    page.goto(url(folder, f"gemeente/{CITY}.html"))
    for measure in table["measure"].unique():
        page.check(f"input[name=maat][value={measure}]")
        rows = table[(table["level"] == "buurt") & (table["measure"] == measure)]
        rows = rows[rows["area_code"].str.startswith("BU9901")].set_index("area_name")
        shown = figures(page)
        assert len(shown) >= len(rows) > 40
        for name, score, margin in shown:
            if name not in rows.index or pd.isna(rows.loc[name, "estimate"]):
                assert [score, margin] == ["–", "–"]
                continue
            row = rows.loc[name]
            assert score == dutch(row["estimate"])
            assert margin == interval(row["lower"], row["upper"])


def test_three_views_of_the_same_buurten(page: Any, folder: Path, table: pd.DataFrame) -> None:
    page.goto(url(folder, f"gemeente/{CITY}.html"))
    assert page.locator("#kaart").is_visible()
    assert page.locator("#intervallen").is_hidden()
    scores = page.locator("#kaart path[data-code]").evaluate_all("all => all.map(p => p.getAttribute('class'))")
    page.check("input[value=verschil]")
    classes = page.locator("#kaart path[data-code]").evaluate_all(
        "all => all.map(p => [p.dataset.code, p.getAttribute('class')])"
    )
    assert [c for _, c in classes] != scores
    total = table[(table["measure"] == "buurtverbondenheid") & (table["level"] == "buurt")].set_index("area_code")
    ends = [0.975, 0.8, 0.2, 0.025, 0.0]  # lower ends of the five classes, highest first (estimates/labels.py)
    for code, css in classes:
        p = total["p_above_parent"].get(code)
        assert css.startswith("x" if pd.isna(p) else f"v{next(k for k, low in enumerate(ends) if p >= low)}")
    legend = page.locator("#legenda-verschil").inner_text()
    assert all(nl in legend for nl, _ in VERDICT_WORDS)
    page.check("input[value=interval]")
    assert page.locator("#kaart").is_hidden()
    bars = page.locator("#intervallen circle").count()
    assert bars == total.loc[total.index.str.startswith("BU9901"), "estimate"].notna().sum()
    names = page.locator("#intervallen g text").all_text_contents()
    assert names == sorted(names, key=str.casefold)


def test_views_without_a_figure_of_the_gemeente(page: Any, outcome: steps.Outcome, tmp_path: Path) -> None:
    content = Content.of(outcome.estimates, {"title": "Deel", "created": "2024-01-31", "run_id": "x", "draft": False})
    inside = content.table["area_code"].str.startswith("BU9901")
    part = content.table.assign(p_above_parent=content.table["p_above_parent"].mask(inside))
    hidden = (part["area_code"] == CITY) & (part["level"] == "gemeente")
    figures_of = ["estimate", "lower", "upper"]
    for name, changed in (
        ("part", part[~hidden]),
        ("hidden", part.assign(**part[figures_of].mask(hidden), label=part["label"].mask(hidden, "niet_publiceren"))),
    ):
        write_site(replace(content, table=changed), tmp_path / name)
        page.goto(url(tmp_path / name, f"gemeente/{CITY}.html", "beeld=verschil"))
        drawn = page.locator("#kaart path[data-code]").evaluate_all("all => all.map(p => p.getAttribute('class'))")
        assert set(drawn) == {"x"}  # no colour says how a buurt compares with nothing
        assert "geen cijfer van de buurt of de gemeente" in page.locator("#legenda-verschil").inner_text()
        assert "de gemeente heeft geen cijfer" in page.locator("#buurten").inner_text()
        page.check("input[value=interval]")
        assert page.locator("#intervallen path[stroke='#555']").count() == 0
        assert "stippellijn" not in page.locator("#intervallen").inner_text()
    page.goto(url(tmp_path / "part", f"gemeente/{CITY}.html", "beeld=verschil&taal=en"))
    assert "the municipality has no figure" in page.locator("#buurten").inner_text()


def test_the_choice_is_in_the_address_and_language_follows_links(page: Any, folder: Path) -> None:
    page.goto(url(folder, f"gemeente/{CITY}.html"))
    page.check("input[value=participatie]")
    page.check("input[value=verschil]")
    assert "maat=participatie" in page.url
    assert "beeld=verschil" in page.url
    page.click("#taal")
    assert page.locator("html").get_attribute("lang") == "en"
    assert "Participation per area" in page.locator("#bijschrift").inner_text()
    page.reload()
    assert page.locator("input[value=participatie]").is_checked()
    assert page.locator("html").get_attribute("lang") == "en"
    page.click(f"a[href^='../buurt/{BUURT}']")
    assert page.locator("html").get_attribute("lang") == "en"
    assert "What the estimate rests on" in page.locator("main").inner_text()
    page.click("#taal")
    assert "Waar de schatting op steunt" in page.locator("main").inner_text()
    page.locator("nav a").nth(1).click()  # back to the gemeente: measure and view come along, Dutch now
    page.wait_for_url(f"**/{CITY}.html*")
    assert page.locator("input[value=participatie]").is_checked()
    assert page.locator("input[value=verschil]").is_checked()
    assert page.locator("html").get_attribute("lang") == "nl"


def test_an_address_that_changes_is_obeyed(page: Any, folder: Path) -> None:
    page.goto(url(folder, f"gemeente/{CITY}.html"))
    page.evaluate("location.hash = 'maat=plaatsidentiteit&beeld=interval&taal=en'")
    page.wait_for_function("document.documentElement.lang === 'en'")
    assert page.locator("input[value=plaatsidentiteit]").is_checked()
    assert page.locator("#intervallen").is_visible()
    assert "Place identity per area" in page.locator("#bijschrift").inner_text()
    page.evaluate("location.hash = 'maat=geluk'")  # what there is not: the standard
    page.wait_for_function("document.documentElement.lang === 'nl'")
    assert page.locator("input[value=buurtverbondenheid]").is_checked()
    page.check("input[value=participatie]")
    page.keyboard.press("Home")
    page.evaluate("document.querySelector('.skip').click()")  # an anchor is no choice
    page.wait_for_function("location.hash.includes('maat=participatie')")
    assert page.locator("input[value=participatie]").is_checked()


# words that give a language away; names of areas and identifiers are in none, and buurt and wijk in both
DUTCH = re.compile(
    r"\b(de|het|een|van|voor|met|niet|geen|schatting|respondenten|antwoorden|kenmerken|inwoners|betrouwbaar|indicatief|"
    r"gepubliceerd|waarschijnlijk|lager|hoger|gemiddelde|standaardfout|verschil|bron|zonder|gemaakt|ja|nee)\b",
    re.IGNORECASE,
)
ENGLISH = re.compile(
    r"\b(the|and|without|not|estimate|areas|respondents|characteristics|residents|reliable|indicative|published|probably|"
    r"lower|higher|standard error|source|made|yes|none|imputed|missing|covariate|figures|participatory)\b",
    re.IGNORECASE,
)


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize(("state", "other"), [("", ENGLISH), ("taal=en", DUTCH)], ids=["nl", "en"])
def test_a_page_is_in_one_language(page: Any, folder: Path, name: str, state: str, other: re.Pattern[str]) -> None:
    page.goto(url(folder, name, state))
    shown = page.locator("body").inner_text() + page.title()
    shown += " ".join(page.locator("[aria-label]").evaluate_all("all => all.map(e => e.ariaLabel)"))
    assert [line for line in shown.splitlines() if other.search(line)] == []


def test_numbers_are_those_of_the_language(page: Any, folder: Path, table: pd.DataFrame) -> None:
    rows = table[(table["measure"] == "buurtverbondenheid") & (table["level"] == "buurt")].set_index("area_code")
    row = rows.loc[BUURT]
    dutch_score, english_score = dutch(row["estimate"]), f"{row['estimate']:.1f}"
    page.goto(url(folder, f"buurt/{BUURT}.html", "taal=en"))
    text = page.locator("main").inner_text()
    assert "2,865 residents" in text
    assert f"\t{english_score}\t" in text
    assert re.search(r"\d,\d(?!\d\d)", text) is None  # no decimal comma is left, thousands are
    page.click("#taal")
    text = page.locator("main").inner_text()
    assert "2.865 inwoners" in text
    assert f"\t{dutch_score}\t" in text
    page.goto(url(folder, f"gemeente/{CITY}.html", "taal=en"))
    assert ["Meerbuurt", english_score] == next(r[:2] for r in figures(page) if r[0] == "Meerbuurt")
    assert f"Meerbuurt: {english_score} (" in page.locator(f"path[data-code={BUURT}] title").text_content()
    page.locator("#buurten thead th").nth(1).locator("button").click()
    scores = [float(r[1]) for r in figures(page) if r[1] != "–"]
    assert scores == sorted(scores)
    page.click("#taal")
    assert f"Meerbuurt: {dutch_score} (" in page.locator(f"path[data-code={BUURT}] title").text_content()
    page.goto(url(folder, "../quality.html", "taal=en"))
    text = page.locator("main").inner_text()
    assert "P(> 1) = 0.05" in text
    assert "2.5%" in text
    page.click("#taal")
    assert "P(> 1) = 0,05" in page.locator("main").inner_text()


def test_the_comparison_sorts_by_probability(page: Any, folder: Path) -> None:
    page.goto(url(folder, f"gemeente/{CITY}.html"))
    page.locator("#buurten thead th").nth(3).locator("button").click()
    cells = page.locator("#buurten tbody tr").evaluate_all("all => all.map(r => r.cells[3].innerText.trim())")
    order = [nl for nl, _ in reversed(VERDICT_WORDS)]
    places = [order.index(c) for c in cells if c != "–"]
    assert places == sorted(places)
    assert len(set(places)) > 3
    assert cells[len(places) :] == ["–"] * (len(cells) - len(places))


def test_search_finds_gemeenten_and_buurten_by_name_and_code(page: Any, folder: Path) -> None:
    page.goto(url(folder, "index.html"))
    page.fill("#zoekform input", "lindemeer")
    assert page.locator("#gevonden a").first.inner_text() == "Lindemeer"
    page.fill("#zoekform input", BUURT.lower())
    assert "1 gevonden" in page.locator("#stand").inner_text()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/{BUURT}.html*")
    assert page.locator("h1").inner_text() == "Meerbuurt"
    page.goto(url(folder, f"gemeente/{CITY}.html"))
    page.fill("input[name=zoek]", "eiken")
    visible = [r[0] for r in figures(page) if r[0] and page.get_by_role("row", name=r[0]).first.is_visible()]
    assert visible
    assert all("eiken" in name.lower() for name in visible)
    page.fill("input[name=zoek]", "zzzz")
    assert "0 buurten gevonden" in page.locator("#stand").inner_text()


def test_the_table_sorts_by_mouse_and_keyboard(page: Any, folder: Path) -> None:
    page.goto(url(folder, f"gemeente/{CITY}.html"))

    def values() -> list[float]:
        return [float(r[1].replace(",", ".")) for r in figures(page) if r[1] != "–"]

    head = page.locator("#buurten thead th").nth(1)
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    assert values() == sorted(values())
    head.locator("button").focus()
    page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    assert values() == sorted(values(), reverse=True)
    page.check("input[value=plaatsidentiteit]")  # another measure is sorted anew
    assert values() == sorted(values(), reverse=True)
    assert head.get_attribute("aria-sort") == "descending"
    page.locator("#buurten thead th").nth(5).locator("button").click()  # by label: words of the language that is shown
    for lang in ("en", "nl"):
        page.click("#taal")
        cells = page.locator("#buurten tbody tr").evaluate_all(
            f"all => all.map(row => row.cells[5].querySelector('.{lang}').textContent)"
        )
        assert len(set(cells)) > 1
        assert cells == sorted(cells)


def test_everything_is_reached_by_keyboard_with_a_visible_focus(page: Any, folder: Path) -> None:
    page.goto(url(folder, f"gemeente/{CITY}.html"))
    reached = []
    for _ in range(14):
        page.keyboard.press("Tab")
        reached.append(page.evaluate(FOCUSED))
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    assert any("inhoud" in text for text in reached)  # skip link
    assert {"taal", "maat", "beeld", "zoek"} <= set(reached)
    page.focus("input[name=maat]:checked")
    page.keyboard.press("ArrowDown")
    assert page.locator("#bijschrift").inner_text().startswith("Sociale verbondenheid")


def printed(page: Any) -> list[str]:
    """Text of each printed page, all of them A4."""
    pdf = PdfReader(io.BytesIO(page.pdf(prefer_css_page_size=True)))
    for sheet in pdf.pages:
        assert [float(v) for v in sheet.mediabox[2:]] == pytest.approx([595.3, 841.9], abs=1)  # in points
    return [" ".join(sheet.extract_text().split()) for sheet in pdf.pages]


def beyond_the_paper(page: Any, millimetres: int) -> list[str]:
    """Elements that reach over the right edge of paper of this width."""
    page.set_viewport_size({"width": round(millimetres / 25.4 * 96), "height": 1000})
    page.emulate_media(media="print")
    return list(
        page.evaluate(
            """() => [...document.querySelectorAll("main *")]
            .filter(e => e.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
            .map(e => e.outerHTML.slice(0, 80))"""
        )
    )


@pytest.mark.parametrize("state", ["", "taal=en"])
@pytest.mark.parametrize("name", PAGES)
def test_nothing_is_lost_at_the_edge_of_the_paper(page: Any, folder: Path, name: str, state: str) -> None:
    page.goto(url(folder, name, state))
    a4 = 297 if "quality" in name else 210  # its tables are wide: that page lies
    assert beyond_the_paper(page, a4 - 2 * 12) == []


def test_a_buurt_prints_its_labels(page: Any, folder: Path) -> None:
    page.goto(url(folder, f"buurt/{BUURT}.html"))
    text = " ".join(printed(page))
    assert "FICTIEF" in text
    assert "Oordeel" in text
    assert text.count("betrouwbaar") + text.count("indicatief") >= 7  # one per measure


def test_a_gemeente_prints_the_figures_of_all_its_buurten(page: Any, folder: Path, table: pd.DataFrame) -> None:
    page.goto(url(folder, f"gemeente/{CITY}.html", "maat=participatie"))
    sheets = printed(page)
    text = " ".join(sheets)
    assert "Waar dit cijfer voor is" in text
    rows = table[(table["measure"] == "participatie") & (table["level"] == "buurt") & table["estimate"].notna()]
    rows = rows[rows["area_code"].str.startswith("BU9901")]
    for row in rows.itertuples():
        assert f"{row.area_name} {dutch(row.estimate)} {interval(row.lower, row.upper)}" in text
    last = rows["area_name"].sort_values().iloc[-1]
    follows = [sheet for sheet in sheets[1:] if last in sheet]
    assert follows
    assert "Niet voor kleine verschillen" in sheets[-1]  # not a footer alone
    assert all("Oordeel" in sheet for sheet in follows)  # a table that goes on has its headings again


def test_the_start_page_prints_all_gemeenten(page: Any, folder: Path, table: pd.DataFrame) -> None:
    page.goto(url(folder, "index.html"))
    text = " ".join(printed(page))
    for row in table[(table["level"] == "gemeente") & (table["measure"] == "buurtverbondenheid")].itertuples():
        assert f"{row.area_name} {dutch(row.estimate)} {interval(row.lower, row.upper)}" in text


def test_a_list_that_scrolls_shows_that_there_is_more(page: Any, folder: Path) -> None:
    page.goto(url(folder, f"gemeente/{CITY}.html"))
    frame = page.locator(".lijst")
    assert frame.evaluate("e => e.scrollHeight > e.clientHeight")
    assert "(56 buurten)" in page.locator("#bijschrift").inner_text()

    def lowest_line(at: str) -> int:
        """How light the list is just above its lower edge, but for what is written there."""
        frame.evaluate(f"e => e.scrollTop = {at}")
        image = Image.open(io.BytesIO(frame.screenshot())).convert("L")
        return int(np.median(np.asarray(image)[-4]))

    assert lowest_line("0") < 240  # the shadow
    assert lowest_line("e.scrollHeight") == 255  # nothing follows


def test_without_scripts_there_is_a_table_and_a_map(browser: Any, folder: Path, table: pd.DataFrame) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(url(folder, f"gemeente/{CITY}.html"))
    assert page.locator("#buurten").is_visible()
    assert page.locator("svg.kaart").is_visible()
    assert page.locator("#keuze").is_hidden()
    assert page.locator("#taal").is_hidden()
    row = table[(table["area_code"] == BUURT) & (table["measure"] == "buurtverbondenheid")].iloc[0]
    assert ["Meerbuurt", dutch(row["estimate"]), interval(row["lower"], row["upper"])] in figures(page)
    context.close()


def test_a_narrow_screen_does_not_scroll_sideways(page: Any, folder: Path, keep: Callable[[Any, str], None]) -> None:
    page.set_viewport_size({"width": 320, "height": 640})  # WCAG 1.4.10
    for name in PAGES:
        page.goto(url(folder, name))
        assert page.evaluate("document.documentElement.scrollWidth") <= 320, name
        keep(page, Path(name).stem + "-320")


def test_a_narrow_screen_shows_names_whole_and_scores_first(page: Any, folder: Path) -> None:
    page.set_viewport_size({"width": 360, "height": 640})
    page.goto(url(folder, "index.html"))
    lines = """e => { const text = e.firstChild, range = document.createRange(), end = text.data.trim().search(/ |$/);
        range.setStart(text, 0); range.setEnd(text, end);
        return [text.data.slice(0, end), range.getClientRects().length]; }"""
    assert page.locator("h1").evaluate(lines) == ["Buurtverbondenheid", 1]
    assert page.locator("th.d0 .nl").evaluate(lines) == ["Buurtverbondenheid", 1]
    score = page.locator("main table").first.locator("tbody tr td").first
    assert score.evaluate("e => e.getBoundingClientRect().right") <= 360
    for name in ("index.html", f"gemeente/{CITY}.html", f"buurt/{BUURT}.html"):
        page.goto(url(folder, name))
        wide = page.locator("caption").evaluate_all("all => all.map(c => c.getBoundingClientRect().right)")
        assert all(right <= 360 for right in wide), name
        tall = page.locator("tbody tr").evaluate_all("all => all.map(r => r.getBoundingClientRect().height)")
        assert max(tall) < 100, name  # four lines at most, which is what the longest name takes
    longest = page.locator("th .nl", has_text="Eenpersoonshuishoudens")
    assert longest.evaluate(lines) == ["Eenpersoonshuishoudens", 1]


def test_a_web_server_shows_the_same_and_nothing_comes_from_elsewhere(page: Any, served: str) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for name in PAGES:
        page.goto(f"{served}/dashboard/{name}")
        assert page.locator("h1").count() == 1
    assert all(address.startswith(served) for address in asked)
    assert len([a for a in asked if not a.endswith("favicon.ico")]) == len(PAGES)  # one file a page


def test_a_map_leads_to_the_page_of_a_buurt(page: Any, folder: Path) -> None:
    page.goto(url(folder, f"gemeente/{CITY}.html"))
    page.locator(f"#kaart path[data-code={BUURT}]").click()
    page.wait_for_url(f"**/{BUURT}.html*")
    page.goto(url(folder, "index.html"))
    page.locator(f"path[data-code={CITY}]").click()
    page.wait_for_url(f"**/{CITY}.html*")


def test_hostile_names_are_text(page: Any, outcome: steps.Outcome, tmp_path: Path) -> None:
    est = outcome.estimates
    run = {"title": HOSTILE[0], "created": "2024-01-31", "run_id": "x", "draft": False}
    content = Content.of(est, run)
    codes = [c for c in content.geometry.index if c.startswith("BU9901")][: len(HOSTILE)]
    geometry = content.geometry.copy()
    geometry.loc[codes, "name"] = HOSTILE
    write_site(replace(content, geometry=geometry), tmp_path)
    for name in ("index.html", f"gemeente/{CITY}.html", *(f"buurt/{c}.html" for c in codes)):
        page.goto(url(tmp_path, name))
        assert page.locator("img, b:not(.stamp b)").count() == 0
    page.goto(url(tmp_path, f"gemeente/{CITY}.html", "beeld=interval"))
    shown = page.locator("#buurten tbody th").all_text_contents()
    assert set(HOSTILE) <= set(shown)
    page.goto(url(tmp_path, "index.html"))
    page.fill("#zoekform input", "alert(1)")
    assert page.locator("#gevonden a").first.inner_text().startswith(HOSTILE[0])


def test_injected_script_would_not_run(page: Any, folder: Path, said: list[str], tmp_path: Path) -> None:
    source = (folder / "dashboard" / "index.html").read_text(encoding="utf-8")
    spoiled = tmp_path / "spoiled.html"
    spoiled.write_text(source.replace("<main", "<script>document.title = 'ran'</script><main", 1), encoding="utf-8")
    page.goto(spoiled.as_uri())
    assert page.title() != "ran"
    assert any("Content Security Policy" in text for text in said)
    said.clear()
