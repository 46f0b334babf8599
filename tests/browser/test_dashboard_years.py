"""The site of several years as its readers use it: the switch, the view of changes, without scripts, accessibility.

Figures of the other years and changes are made of those of the demo: what pages show of them is looked at, not how they
come about.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from axe_playwright_python.sync_playwright import Axe

from buurtsae.estimates.words.change import WORDS, in_words
from buurtsae.figures import dutch, interval
from buurtsae.publication.content import Content
from buurtsae.publication.site import write_site
from buurtsae.runs import steps
from buurtsae.schemas import CHANGES as LABELS

pytestmark = pytest.mark.browser
CITY, BUURT = "GM9901", "BU99010002"
PAGES = ("index.html", f"gemeente/{CITY}.html", f"buurt/{BUURT}.html", "verantwoording.html")
YEARS, AHEAD, OPENS, TOTAL = (2019, 2022, 2023), 2025, 2023, "buurtverbondenheid"
PAIRS = ((2019, 2023), (2022, 2023), (2019, 2022))
WCAG = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
RUN = {"title": "Jaren", "created": "2026-01-31", "run_id": "x", "draft": False, "fictitious": True}


@pytest.fixture(scope="module")
def content(outcome: steps.Outcome) -> Content:
    """The demo, made into several years, one of them ahead, with changes of all classes."""
    made = Content.of(outcome.estimates, RUN)
    moved = {2019: -0.6, 2022: 0.2, OPENS: 0.0, AHEAD: 0.1}
    ends = ["estimate", "lower", "upper"]
    table = pd.concat(
        [made.table.assign(year=year, **(made.table[ends] + by).clip(0, 10)) for year, by in moved.items()],
        ignore_index=True,
    )
    now = made.table[["level", "area_code", "area_name", "measure", "label", "reason"]].reset_index(drop=True)
    hidden = now["label"] == "niet_publiceren"
    p = np.array([0.99, 0.96, 0.6, 0.04, 0.01])[np.arange(len(now)) % 5]
    changes = []
    for k, (first, second) in enumerate(PAIRS):
        of = np.roll(p, k)
        label = np.select([of >= 0.95, of <= 0.05], LABELS[:2], LABELS[2])
        figures = pd.DataFrame({"change": (of - 0.5) * 2, "sd": 0.3, "p_increase": of, "recovered": 0.4})
        figures = figures.assign(lower=figures["change"] - 0.6, upper=figures["change"] + 0.6)
        figures = figures.assign(p_relevant=0.2, p_false_sign=0.1).mask(hidden)
        rows = now.assign(**figures, year_from=first, year_to=second, label=np.where(hidden, "niet_publiceren", label))
        changes.append(rows.assign(reason=rows["reason"].where(hidden)))
    found = pd.concat(changes, ignore_index=True)
    found["verdict"] = in_words(found, table)
    return replace(made, table=table, changes=found, opens=OPENS, surveyed=YEARS)


@pytest.fixture(scope="module")
def years(content: Content, tmp_path_factory: pytest.TempPathFactory) -> Path:
    to = tmp_path_factory.mktemp("years")
    write_site(content, to)
    (to / "quality.html").write_text("<html lang='nl'></html>", encoding="utf-8")
    return to


def opened(page: Any, folder: Path, name: str, state: str = "") -> Any:
    page.goto((folder / "dashboard" / name).resolve().as_uri() + (f"#{state}" if state else ""))
    if name != "verantwoording.html":
        page.wait_for_selector("#keuze, #jaarkeuze")  # visible once what scripts need is unpacked
    return page


def of_total(content: Content, year: int, level: str = "buurt") -> pd.DataFrame:
    rows = content.table[(content.table["measure"] == TOTAL) & (content.table["year"] == year)]
    return rows[rows["level"] == level].set_index("area_code")


@pytest.mark.parametrize("state", ["", "taal=en", "beeld=verandering", f"jaar={AHEAD}"])
@pytest.mark.parametrize("name", PAGES)
def test_no_violations_of_accessibility(
    page: Any, years: Path, name: str, state: str, keep: Callable[[Any, str], None]
) -> None:
    opened(page, years, name, state)
    found = Axe().run(page, options=WCAG)
    assert found.violations_count == 0, found.generate_report()
    keep(page, f"jaren-{Path(name).stem}-{state.partition('=')[2]}")


def test_the_start_page_switches_its_tables_and_its_map(page: Any, years: Path, content: Content) -> None:
    opened(page, years, "index.html")
    cells = page.locator("#gemeenten tbody tr", has_text="Voorbeeldstad").locator("td.n")
    path = page.locator(f".kaart path[data-code={CITY}]")
    for year in (*YEARS, AHEAD, OPENS):
        page.select_option("select[name=jaar]", str(year))
        row = of_total(content, year, "gemeente").loc[CITY]
        assert cells.nth(0).inner_text() == dutch(row["estimate"])
        assert path.get_attribute("class") == f"k{content.classes[TOTAL].place(row['estimate'])}"
        land = of_total(content, year, "land").iloc[0]
        assert (
            page.locator("[data-cells=maten] tbody tr")
            .first.locator("td.n")
            .first.inner_text()
            .startswith(dutch(land["estimate"]))
        )
        assert ("geen enquête" in page.locator("#enquete").inner_text()) == (year == AHEAD)
        assert (f"jaar={year}" in page.url) == (year != OPENS)


def test_the_year_follows_links_and_language(page: Any, years: Path, content: Content) -> None:
    opened(page, years, "index.html", "jaar=2019&taal=en")
    row = of_total(content, 2019, "gemeente").loc[CITY]
    assert f"{row['estimate']:.1f}" in page.locator("#gemeenten").inner_text()
    page.click("#gemeenten a >> text=Voorbeeldstad")
    page.wait_for_selector("#keuze")
    assert page.locator("select[name=jaar]").input_value() == "2019"
    name = content.geometry.loc[BUURT, "name"]
    page.click(f"#buurten a >> text='{name}'")
    page.wait_for_selector("#jaarkeuze")
    figure = of_total(content, 2019).loc[BUURT]
    cells = page.locator("[data-cells=scores] tbody tr").first.locator("td")
    assert cells.nth(0).inner_text() == f"{figure['estimate']:.1f}"
    assert cells.nth(1).inner_text() == f"{figure['lower']:.1f} – {figure['upper']:.1f}"
    assert not any("," in text for text in page.locator(".lijn text").all_text_contents())


def test_a_buurt_switches_its_scores(page: Any, years: Path, content: Content) -> None:
    opened(page, years, f"buurt/{BUURT}.html")
    row = page.locator("[data-cells=scores] tbody tr").first
    for year in (2019, AHEAD, OPENS):
        page.select_option("select[name=jaar]", str(year))
        figure = of_total(content, year).loc[BUURT]
        assert row.locator("td").nth(0).inner_text() == dutch(figure["estimate"])
        assert row.locator("td").nth(1).inner_text() == interval(figure["lower"], figure["upper"])
        middle = float(row.locator("circle").get_attribute("cx"))
        assert middle == pytest.approx(200 * figure["estimate"] / 10, abs=0.051)  # of an axis of 0-10, one decimal
        assert str(year) in page.locator("h2", has_text="Buurtverbondenheid").inner_text()


def test_the_view_of_changes_never_shows_a_bare_difference(page: Any, years: Path, content: Content) -> None:
    opened(page, years, f"gemeente/{CITY}.html")
    page.check("input[value=verandering]")
    assert page.locator("select[name=jaar]").is_hidden()
    words = [word.nl for word in WORDS]
    for first, second in PAIRS:
        page.select_option("select[name=paar]", f"{first}-{second}")
        of = content.changes[(content.changes["year_from"] == first) & (content.changes["year_to"] == second)]
        of = of[(of["measure"] == TOTAL) & (of["level"] == "buurt")].set_index("area_code")
        shown = page.locator("#buurten tbody tr").evaluate_all(
            "all => all.map(r => [r.querySelector('a').getAttribute('href').slice(9, 19),"
            " ...[...r.cells].slice(1).map(c => c.innerText)])"
        )
        drawn = dict(
            page.locator("#kaart path[data-code]").evaluate_all(
                "all => all.map(p => [p.dataset.code, p.getAttribute('class')])"
            )
        )
        for code, step, chance, word, *_ in shown:
            if code not in of.index or of.loc[code, "label"] == "niet_publiceren":
                assert [step, chance, drawn[code]] == ["–", "–", "x"]
                continue
            row = of.loc[code]
            sign = "+" if row["change"] > 0 else ""
            assert step == f"{sign}{dutch(row['change'])} ({interval(row['lower'], row['upper'])})"
            assert chance == f"{100 * row['p_increase']:.0f}%"
            assert row["verdict"].startswith(word)
            assert drawn[code] == f"v{words.index(row['verdict'])}"
        assert f"verandering {first}–{second}" in page.locator("#bijschrift").inner_text()
    assert "paar=2019-2022" in page.url
    assert "niet te onderscheiden van geen verandering" in page.locator("#legenda-verandering").inner_text()
    page.click("#buurten thead button >> text=In woorden")
    told = page.locator("#buurten tbody tr td:nth-child(4)").all_inner_texts()
    told = [text for text in told if not text.startswith(("–", "niet gepubliceerd"))]
    order = [next(k for k, word in enumerate(words) if word.startswith(text)) for text in told]
    assert order == sorted(order, reverse=True)  # ascending in the probability of an increase
    page.check("input[value=score]")
    assert page.locator("#legenda-verandering").is_hidden()
    assert page.locator("#buurten thead th").last.is_visible()


def test_a_small_map_per_year_has_the_classes_of_the_large_one(page: Any, years: Path, content: Content) -> None:
    opened(page, years, f"gemeente/{CITY}.html", "jaar=2022")
    maps = page.locator("#jaren figure")
    assert maps.count() == len(YEARS) + 1
    assert [text.strip() for text in maps.locator("figcaption").all_inner_texts()][-1] == f"{AHEAD}, geen enquête"
    of_map = "all => all.map(p => p.getAttribute('class'))"
    large = page.locator("#kaart path[data-code]").evaluate_all(of_map)
    small = page.locator("#jaren .gekozen path").evaluate_all(of_map)
    order = page.locator("#kaart path[data-code]").evaluate_all("all => all.map(p => p.dataset.code)")
    assert sorted(small) == sorted(large)
    assert len(small) == len(order)
    page.check("input[value=interval]")
    assert page.locator("#jaren").is_hidden()


@pytest.mark.parametrize("name", PAGES[:3])
def test_without_scripts_lines_words_and_figures_of_all_years_are_there(
    browser: Any, years: Path, content: Content, name: str
) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((years / "dashboard" / name).resolve().as_uri())
    assert page.locator("figure.lijn svg").count() == 7
    assert page.locator("figure.lijn svg").first.is_visible()
    assert page.locator("figure.lijn li").count() == 14
    text = page.locator("table.perjaar").inner_text()
    level, code = {"i": ("land", "NL00"), "g": ("gemeente", CITY), "b": ("buurt", BUURT)}[name[0]]
    for year in (*YEARS, AHEAD):
        assert dutch(of_total(content, year, level).loc[code, "estimate"]) in text
    assert "na de metingen, volgens het model" in text
    for form in page.locator("form").all():
        assert form.is_hidden()
    context.close()


def test_a_narrow_screen_does_not_scroll_sideways(page: Any, years: Path, keep: Callable[[Any, str], None]) -> None:
    page.set_viewport_size({"width": 320, "height": 640})  # WCAG 1.4.10
    for name in PAGES:
        for state in ("", "beeld=verandering"):
            opened(page, years, name, state)
            assert page.evaluate("document.documentElement.scrollWidth") <= 320, (name, state)
        keep(page, f"jaren-{Path(name).stem}-320")


def test_pages_look_the_same_where_dark_is_preferred(browser: Any, years: Path) -> None:
    shots = []
    for scheme in ("light", "dark"):
        context = browser.new_context(color_scheme=scheme, viewport={"width": 900, "height": 700})
        page = context.new_page()
        opened(page, years, f"buurt/{BUURT}.html")
        shots.append(page.locator("figure.lijn").first.screenshot())
        context.close()
    assert shots[0] == shots[1]
