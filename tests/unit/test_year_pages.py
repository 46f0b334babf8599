"""Several years as readers see them: pages, files per gemeente, layouts, words, and what a hidden figure hides."""

from __future__ import annotations

import base64
import gzip
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from frictionless import Package, system
from made_estimates import honeycomb, table
from made_fit import TINY
from made_years import DOWN, UP, YEARS, made_years
from openpyxl import load_workbook
from page_reader import Page

import buurtsae as bs
from buurtsae.errors import DataError
from buurtsae.estimates.changes import FIGURES, KEY
from buurtsae.estimates.evidence.compare import compare_folders, compare_tables
from buurtsae.estimates.labels import IMPUTED
from buurtsae.estimates.waves import Waves
from buurtsae.estimates.words.change import UNCHANGED, WORDS, in_words, main_pairs, sentence
from buurtsae.figures import dutch, interval
from buurtsae.publication.content import Content, explained, of_area
from buurtsae.publication.manifest import Provenance
from buurtsae.publication.method_years import of_years
from buurtsae.publication.output import publish
from buurtsae.publication.over_years import Years, over_years
from buurtsae.publication.site import write_site
from buurtsae.scale import PERCENT, SCORE
from buurtsae.schemas import CHANGES, published
from buurtsae.schemas import changes as columns_of_changes
from buurtsae.serve.results import Results
from buurtsae.survey.concept import Concept

RUN = {"title": "Jaren", "created": "2026-01-31", "run_id": "fictief-jaren", "draft": False, "fictitious": True}
MEASURE, CITY = "omgang_en_relaties", "GM0344"
BETWEEN, AHEAD = 2021, 2026  # years without a survey
ALL = tuple(sorted((*YEARS, BETWEEN, AHEAD)))
SECRET = "BU03550103"  # is hidden in the second wave
Row = dict[str, Any]


@pytest.fixture(scope="module")
def waves() -> Waves:
    return made_years(also=(BETWEEN, AHEAD))


@pytest.fixture(scope="module")
def folder(waves: Waves, tmp_path_factory: pytest.TempPathFactory) -> Path:
    to = tmp_path_factory.mktemp("jaren") / "out"
    publish(waves, to, provenance=Provenance("Jaren", created="2026-01-31T12:00:00Z"), draws=20)
    return to


def packed(path: Path) -> Any:
    """What a page of several years has for its script."""
    text = path.read_text(encoding="utf-8").partition('id="data">')[2].partition("<")[0]
    return json.loads(gzip.decompress(base64.b64decode(text)))


def change(**more: Any) -> Row:
    row = {"year_from": 2019, "year_to": 2024, "change": 0.62, "lower": 0.11, "upper": 1.13, "label": "toename"}
    return row | {"verdict": WORDS[0].nl, "reason": None} | more


# --- words


@pytest.mark.parametrize(
    ("p", "label", "place"),
    [
        (0.975, "toename", 0),
        (0.974, "toename", 1),
        (0.95, "toename", 1),
        (0.949, "niet_te_onderscheiden", UNCHANGED),
        (0.051, "niet_te_onderscheiden", UNCHANGED),
        (0.05, "afname", 3),
        (0.025, "afname", 4),
    ],
)
def test_a_change_has_the_words_of_its_label_and_probability(waves: Waves, p: float, label: str, place: int) -> None:
    row = waves.changes.head(1).assign(p_increase=p, label=label)
    assert in_words(row, waves.table).tolist() == [WORDS[place].nl]
    guess = waves.table.assign(n_respondents=0, reason=IMPUTED)  # nobody answered, and a characteristic is a guess
    assert in_words(row, guess).tolist() == [WORDS[min(max(place, 1), 3)].nl]  # so nothing is almost certain
    assert in_words(row.assign(label="niet_publiceren", p_increase=np.nan), waves.table).tolist() == [None]


def test_a_change_is_never_told_without_its_interval() -> None:
    said = sentence(change())
    assert said.nl == "2019–2024: vrijwel zeker een toename, +0,6 (95%-interval 0,1 tot 1,1)"
    assert said == "2019–2024: almost certainly an increase, +0.6 (95% interval 0.1 to 1.1)"
    row = change(label="niet_te_onderscheiden", verdict=WORDS[UNCHANGED].nl, change=0.22, lower=-0.51)
    assert sentence(row).nl == "2019–2024: niet te onderscheiden van geen verandering (95%-interval -0,5 tot 1,1)"
    assert "0.2" not in sentence(row)  # the mean of what cannot be told apart is not told
    shares = sentence(change(change=6.2, lower=1.1, upper=11.3), PERCENT)
    assert shares.nl.endswith("+6,2 procentpunt (95%-interval 1,1 tot 11,3)")
    hidden = change(label="niet_publiceren", verdict=None, reason="minder dan 10 inwoners")
    hidden |= dict.fromkeys(["change", "lower", "upper"])
    assert sentence(hidden).nl == "2019–2024: niet gepubliceerd (minder dan 10 inwoners)"
    assert sentence(hidden) == "2019–2024: not published (fewer than 10 residents)"


def test_the_widest_and_the_latest_pair_come_first() -> None:
    assert main_pairs([(2019, 2022), (2022, 2024), (2019, 2024)]) == [(2019, 2024), (2022, 2024)]
    assert main_pairs([(2022, 2024)]) == [(2022, 2024)]
    assert main_pairs([]) == []


def test_an_explanation_ends_with_changes(waves: Waves, folder: Path) -> None:
    text = waves.explain(UP)
    assert text.startswith(waves.current.explain(UP))
    rows = waves.said[(waves.said["area_code"] == UP) & (waves.said["measure"] == MEASURE)]
    for pair in ((2019, 2024), (2022, 2024)):
        (row,) = rows[(rows["year_from"] == pair[0]) & (rows["year_to"] == pair[1])].to_dict("records")
        assert sentence(row, SCORE).nl in text
    assert "2019–2022" not in text
    told = explained(of_area(folder, UP))
    assert text.partition("Veranderingen")[2].rstrip() in told
    hidden = explained(of_area(folder, TINY))
    assert re.search(r"2019–2024: niet gepubliceerd \(minder dan 10 inwoners\)", hidden)
    with pytest.raises(DataError, match="no such area"):
        waves.explain("BU99999999")


# --- pages


def test_a_page_of_a_buurt_shows_every_year_and_what_changed(waves: Waves, folder: Path) -> None:
    for code in (UP, DOWN):
        page = Page(folder / "dashboard" / "buurt" / f"{code}.html")
        rows = waves.published[waves.published["area_code"] == code].set_index("year")
        (cells,) = [row for row in page.cells if len(row) == 1 + len(ALL) and row[1] != str(ALL[0])]
        for year, cell in zip(ALL, cells[1:], strict=True):
            row = rows.loc[year]
            assert cell == f"{dutch(row['estimate'])} ({interval(row['lower'], row['upper'])})"
        assert len(page.all("circle")) == 1 + len(ALL)  # the strip, and a dot per year
        assert [a["d"].count(" ") for a in page.all("path") if a.get("class") == "band"] == [4 * len(ALL) - 1]
        for row in waves.said[waves.said["area_code"] == code].to_dict("records"):
            main = (row["year_from"], row["year_to"]) in main_pairs(waves.pairs)
            assert (sentence(row, SCORE).nl in page.text) == main
    assert "vrijwel zeker een toename" in Page(folder / "dashboard" / "buurt" / f"{UP}.html").text
    assert "vrijwel zeker een afname" in Page(folder / "dashboard" / "buurt" / f"{DOWN}.html").text


def test_pages_say_what_is_true_of_several_years_and_of_one(waves: Waves, folder: Path, tmp_path: Path) -> None:
    content = Content.of(waves.current, RUN)
    write_site(content, tmp_path)
    for name in ("index.html", "verantwoording.html", f"gemeente/{CITY}.html", f"buurt/{UP}.html"):
        several, one = (Page(out / "dashboard" / name) for out in (folder, tmp_path))
        assert "elk jaar is apart geschat" not in several.text
        assert "Niet om jaren van elkaar af te trekken" in several.text
        assert "elk jaar is apart geschat" in one.text
        assert "Over de jaren" not in one.text
        assert not one.all("select")
        assert "function severalYears" not in one.source  # what they do not need they do not carry


def test_the_map_of_changes_has_the_classes_of_the_words(waves: Waves, folder: Path) -> None:
    data = packed(folder / "dashboard" / "gemeente" / f"{CITY}.html")
    assert data["pairs"] == ["2019-2024", "2022-2024", "2019-2022"]
    words, codes = [nl for nl, _ in data["said"]], [code for code, _ in data["buurten"]]
    assert words == [*(word.nl for word in WORDS[:2]), "niet te onderscheiden", *(word.nl for word in WORDS[3:])]
    for pair in data["pairs"]:
        first, second = map(int, pair.split("-"))
        of_pair = waves.said[(waves.said["year_from"] == first) & (waves.said["year_to"] == second)]
        for code, cell in zip(codes, data["changes"][pair][MEASURE], strict=True):
            rows = of_pair[(of_pair["area_code"] == code) & (of_pair["measure"] == MEASURE)].to_dict("records")
            if not rows:
                assert cell == 0
            elif rows[0]["label"] == "niet_publiceren":
                assert cell[:5] == [None] * 5
                assert data["unsaid"][cell[5]][0] == rows[0]["reason"]
            else:
                assert [word.nl for word in WORDS][cell[2]] == rows[0]["verdict"]
                assert cell[1] == interval(rows[0]["lower"], rows[0]["upper"])
                assert cell[3] == round(100 * rows[0]["p_increase"])


def test_years_without_a_survey_are_marked_and_never_open(waves: Waves, folder: Path) -> None:
    years = Years.of(Content.of(waves, RUN))
    assert [years.without(year) is None for year in ALL] == [year in YEARS for year in ALL]
    assert str(years.without(BETWEEN)).startswith("no survey: between")
    assert str(years.without(AHEAD)).startswith("no survey: after")
    for name in ("index.html", f"gemeente/{CITY}.html", f"buurt/{UP}.html"):
        page = Page(folder / "dashboard" / name)
        chosen = [a["value"] for a in page.all("option") if "selected" in a]
        assert chosen == ["2024"]
        assert f"{AHEAD} (geen enquête)" in page.text
        assert "na de metingen, volgens het model" in page.text
        assert sum(a.get("class") == "stip open" for a in page.all("circle")) == 2
        assert packed(folder / "dashboard" / name)["year"] == 2024
    document = json.loads((folder / "json" / f"{CITY}.json").read_text(encoding="utf-8"))
    assert [document["opens"], document["surveyed"], document["years"]] == [2024, list(YEARS), list(ALL)]
    assert "Cijfers van 2024" in Page(folder / "dashboard" / "buurt" / f"{UP}.html").text
    assert not {BETWEEN, AHEAD} & {row["year_to"] for row in document["changes"]}


def test_a_line_is_broken_where_a_figure_is_hidden() -> None:
    tree = [{"id": MEASURE, "nl": "Omgang", "en": "Contact", "depth": 0}]
    years = Years((2018, 2020, 2022, 2024), (2018, 2020, 2022, 2024), 2024)
    row = {"estimate": 6.0, "lower": 5.5, "upper": 6.6, "label": "betrouwbaar"}
    hidden = dict.fromkeys(["estimate", "lower", "upper"]) | {"label": "niet_publiceren"}
    rows = {(MEASURE, year): hidden if year == 2022 else row for year in years.all}
    part = over_years(years, tree, {MEASURE: SCORE}, rows, {})
    assert part is not None
    (measure,) = part["parts"]
    chart = measure["chart"]
    assert len(chart["dots"]) == 3
    assert chart["band"].count("M") == 2  # two years, and one alone
    assert sum(path.count("M") for _, path in chart["lines"]) == 1
    assert measure["figures"][2] == {"score": "–", "interval": "–"}
    marks = [float(text.replace(",", ".")) for _, text in chart["marks"]]
    assert marks[0] <= 5.5
    assert marks[-1] >= 6.6
    assert over_years(Years((2024,), (2024,), 2024), tree, {MEASURE: SCORE}, rows, {}) is None


def test_axes_of_a_page_span_as_many_points_and_stay_on_the_scale() -> None:
    names = ["a", "b"]
    tree = [{"id": name, "nl": name, "en": name, "depth": 0} for name in names]
    years = Years((2020, 2024), (2020, 2024), 2024)
    ends = {"a": (9.0, 10.0), "b": (2.0, 6.0)}
    rows = {
        (name, year): {"estimate": sum(ends[name]) / 2, "lower": ends[name][0], "upper": ends[name][1], "label": "b"}
        for name in names
        for year in years.all
    }
    part = over_years(years, tree, dict.fromkeys(names, SCORE), rows, {})
    assert part is not None
    spans = []
    for measure in part["parts"]:
        marks = [float(text.replace(",", ".")) for _, text in measure["chart"]["marks"]]
        assert 0 <= marks[0] <= ends[measure["id"]][0]
        assert ends[measure["id"]][1] <= marks[-1] <= 10
        spans.append(round(marks[-1] - marks[0], 6))
    assert spans[0] == spans[1]


def test_three_years_and_their_changes_weigh_no_more_than_one_year(tmp_path: Path) -> None:
    areas, rng = honeycomb(), np.random.default_rng(5)
    waves_of = [published(table(areas, seed=year)).assign(year=year) for year in YEARS]
    rows, many = waves_of[-1].reset_index(drop=True), pd.concat(waves_of, ignore_index=True)
    hidden, changed = rows["label"] == "niet_publiceren", []
    for first, second in ((2019, 2022), (2022, 2024), (2019, 2024)):
        step, p = rng.normal(0, 0.4, len(rows)), rng.uniform(size=len(rows))
        figures = {"change": step, "sd": 0.3, "lower": step - 0.6, "upper": step + 0.6, "p_increase": p}
        figures |= {"p_relevant": 0.2, "p_false_sign": 0.1, "recovered": rng.uniform(size=len(rows))}
        label = np.select([hidden, p >= 0.95, p <= 0.05], ["niet_publiceren", "toename", "afname"], CHANGES[2])
        of_pair = rows[["level", "area_code", "area_name", "measure", "reason"]].assign(label=label)
        figures = pd.DataFrame(figures).mask(hidden)
        changed.append(of_pair.assign(year_from=first, year_to=second, **figures))
    changes = pd.concat(changed, ignore_index=True)
    changes["verdict"] = in_words(changes, many)
    one = Content(RUN, rows, areas, Concept.load())
    write_site(one, tmp_path / "one")
    write_site(replace(one, table=many, changes=changes, opens=2024, surveyed=YEARS), tmp_path / "several")
    sizes = [
        len((tmp_path / name / "dashboard" / "gemeente" / "GM0001.html").read_text("utf-8").partition('id="data">')[2])
        - len((tmp_path / name / "dashboard" / "verantwoording.html").read_text("utf-8").partition('id="data">')[2])
        for name in ("one", "several")
    ]  # without the script, which stands behind it
    assert sizes[1] < sizes[0]
    assert packed(tmp_path / "several" / "dashboard" / "gemeente" / "GM0001.html")["years"] == list(YEARS)


# --- what is hidden stays hidden


def test_a_figure_hidden_in_one_year_hides_its_changes_everywhere(waves: Waves, tmp_path: Path) -> None:
    est = waves.of[2022]
    secret = est.table["area_code"] == SECRET
    table = est.table.assign(label=est.table["label"].mask(secret, "niet_publiceren"))
    table = table.assign(reason=table["reason"].mask(secret, "minder dan 10 inwoners"))
    of = {**waves.of, 2022: replace(est, table=table)}
    some = Waves(waves.fit, of, waves.relevant, waves.opens)
    with_2022 = (some.changes[["year_from", "year_to"]] == 2022).any(axis=1) & (some.changes["area_code"] == SECRET)
    assert with_2022.sum() == 2
    assert some.changes.loc[with_2022, FIGURES].isna().all(axis=None)
    write_site(Content.of(some, RUN), tmp_path)
    data = packed(tmp_path / "dashboard" / "gemeente" / "GM0355.html")
    place = [code for code, _ in data["buurten"]].index(SECRET)
    assert data["changes"]["2022-2024"][MEASURE][place][:5] == [None] * 5
    assert data["changes"]["2019-2024"][MEASURE][place][0] is not None
    page = Page(tmp_path / "dashboard" / "buurt" / f"{SECRET}.html")
    assert "2022–2024: niet gepubliceerd (minder dan 10 inwoners)" in page.text
    assert sum("stip" in a.get("class", "") for a in page.all("circle")) == len(ALL) - 1
    hidden = est.table.loc[secret & (est.table["measure"] == MEASURE)].iloc[0]
    true = waves.changes[with_2022.to_numpy()]
    for text in (page.source, json.dumps(data), (tmp_path / "json" / "GM0355.json").read_text(encoding="utf-8")):
        for value in (hidden["estimate"], *true["change"]):
            assert repr(float(value)) not in text
    assert dutch(hidden["estimate"]) + f" ({interval(hidden['lower'], hidden['upper'])})" not in page.text


# --- files


def test_files_per_gemeente_have_the_changes(waves: Waves, folder: Path) -> None:
    document = json.loads((folder / "json" / f"{CITY}.json").read_text(encoding="utf-8"))
    rows = pd.DataFrame(document["changes"])
    inside = waves.said[waves.said["area_code"].str[2:6] == CITY[2:]]
    inside = inside[inside["level"].isin(["buurt", "wijk", "gemeente"])].reset_index(drop=True)
    key = [*KEY, "year_from", "year_to"]
    pd.testing.assert_frame_equal(
        rows.sort_values(key, ignore_index=True)[key + FIGURES].astype({name: float for name in FIGURES}),
        inside.sort_values(key, ignore_index=True)[key + FIGURES],
        check_dtype=False,
    )
    assert document["contract_version"] == "1.4"


def test_layouts_hold_all_years_and_their_changes(waves: Waves, folder: Path) -> None:
    book = load_workbook(folder / "estimates.xlsx")
    assert book.sheetnames == ["Toelichting", "Schattingen", "Verandering"]
    head, *rows = list(book["Verandering"].values)
    names = [column.name for column in columns_of_changes(SCORE)]
    assert list(head) == names
    pd.testing.assert_frame_equal(
        pd.DataFrame(rows, columns=names)[KEY + FIGURES].astype({name: float for name in FIGURES}),
        waves.changes[KEY + FIGURES],
        check_dtype=False,
    )
    explained_columns = [row[0] for row in book["Toelichting"].values]
    assert set(names) <= set(explained_columns)
    wide = gpd.read_file(folder / "estimates.gpkg", layer="buurten").set_index("area_code")
    assert set(wide["year"]) == {2024}
    assert {*wide["change_from"], *wide["change_to"]} == {2022, 2024}
    last = waves.changes[(waves.changes["year_from"] == 2022) & (waves.changes["measure"] == MEASURE)]
    last = last[last["level"] == "buurt"].set_index("area_code")
    np.testing.assert_array_equal(wide.loc[last.index, f"{MEASURE}_change"], last["change"])
    assert wide.loc[TINY, f"{MEASURE}_change_label"] == "niet_publiceren"
    assert len(gpd.read_file(folder / "estimates.gpkg", layer="changes")) == len(waves.changes)
    statline = pd.read_csv(folder / "statline.csv", sep=";")
    assert set(statline["Perioden"]) == {f"{year}JJ00" for year in ALL}
    assert set(pd.read_csv(folder / "swing.csv", sep=";")["PERIOD"]) == set(ALL)
    package = json.loads((folder / "datapackage.json").read_text(encoding="utf-8"))
    assert {"changes", "changes-xlsx"} <= {resource["name"] for resource in package["resources"]}
    with system.use_context(trusted=True):
        valid = Package(folder / "datapackage.json")
        for name in ("changes", "changes-xlsx", "estimates-xlsx", "statline", "swing"):
            assert valid.get_resource(name).validate().valid, name


def test_a_map_opens_with_the_year_that_was_asked_for(waves: Waves, tmp_path: Path) -> None:
    early = replace(waves, opens=2022)
    write_site(Content.of(early, RUN), tmp_path)
    page = Page(tmp_path / "dashboard" / "gemeente" / f"{CITY}.html")
    rows = waves.published[(waves.published["year"] == 2022) & (waves.published["area_code"] == UP)]
    score = dutch(rows.set_index("measure").loc[MEASURE, "estimate"])
    assert any(row[:2] == [waves.current.areas.frame.loc[UP, "name"], score] for row in page.cells)


def test_a_measure_without_a_row_in_a_year_leaves_the_others_in_their_place(tmp_path: Path) -> None:
    areas = honeycomb()
    rows = published(table(areas, seed=1))
    early = rows.assign(year=2019)[rows["measure"] != MEASURE]
    shown = rows[(rows["level"] == "buurt") & (rows["label"] == "betrouwbaar")]["area_code"].iloc[0]
    several = {"opens": 2023, "surveyed": (2019, 2023)}
    write_site(Content(RUN, pd.concat([rows, early], ignore_index=True), areas, Concept.load(), **several), tmp_path)
    page = tmp_path / "dashboard" / "buurt" / f"{shown}.html"
    of = packed(page)["of"]
    names = [row[0] for row in Page(page).cells if len(row) == 7][1:]
    place = next(k for k, name in enumerate(names) if name.startswith("Omgang en relaties"))
    assert [row[0] == "–" for row in of["2019"]["tables"]["scores"]] == [k == place for k in range(7)]
    assert len(of["2023"]["tables"]["scores"]) == 7


def test_runs_of_several_years_are_compared_year_by_year(waves: Waves, folder: Path) -> None:
    table = waves.published
    same = compare_folders(folder, folder)
    assert same.agree
    assert "Jaren in A en B: 2019, 2021, 2022, 2024, 2026" in same.text
    assert (
        same.table["areas"].max() == (table["level"] == "buurt").sum() / len(ALL) - 3
    )  # of all years; three are hidden
    shuffled = compare_tables(table, table.sample(frac=1, random_state=1))
    assert shuffled.agree
    assert shuffled.table["largest"].max() == 0
    moved = table.assign(estimate=table["estimate"].where(table["year"] != 2022, table["estimate"] + table["sd"]))
    worst = compare_tables(table, moved).worst
    assert set(worst["year"]) == {2022}
    np.testing.assert_allclose(worst["in_sd"], 1.0, rtol=1e-9)  # what was added
    turned = table.assign(estimate=table["estimate"].where(table["year"] != 2022, -table["estimate"]))
    ranks = compare_tables(table, turned).table.set_index("level")["rank_correlation"]
    assert ranks["buurt"] == pytest.approx((len(ALL) - 2) / len(ALL))  # 1 in all years but one, where it is -1
    one = compare_tables(table, table[table["year"] == 2024])  # of the years that both have
    assert one.agree
    assert "Jaren" not in one.text
    assert one.table["areas"].max() == table[(table["year"] == 2024) & (table["level"] == "buurt")]["estimate"].count()


def test_the_server_tells_changes_and_opens_with_the_year_of_the_pages(waves: Waves, folder: Path) -> None:
    results = Results.open(folder)
    assert [results.year, results.about()["opens"]] == [2024, 2024]
    rows = results.changes_of(UP)
    assert len(rows) == (waves.changes["area_code"] == UP).sum() == len(waves.pairs)
    hidden = results.changes_of(TINY)
    assert {row["label"] for row in hidden} == {"niet_publiceren"}
    assert all(row[name] is None for row in hidden for name in FIGURES)
    assert results.changes_of("BU99999999") == []


# --- method


def test_the_method_statement_tells_of_years(waves: Waves, folder: Path) -> None:
    notes = of_years(waves)
    page = Page(folder / "dashboard" / "verantwoording.html")
    assert all(note.nl in page.text and str(note) in page.text for note in notes)
    assert "2019, 2022 en 2024 zijn samen geschat" in notes[0].nl
    assert "In 2021 en 2026 was er geen enquête" in notes[1].nl
    recovered = waves.changes.query("level == 'buurt' and year_from == 2022")["recovered"]
    assert f"{100 * recovered.median():.0f}%" in notes[-1]
    assert not any("break" in note for note in notes)


def test_it_tells_of_breaks_where_there_are(waves: Waves) -> None:
    source = waves.fit.direct.sources[0].source
    breaks = [bs.Break(source, 2022), bs.Break(source, 2024, prior=bs.Normal(-0.2, 0.1))]
    model = replace(waves.fit.model, breaks=breaks)
    fit = replace(waves.fit, design=replace(waves.fit.design, model=model))
    told = [note for note in of_years(replace(waves, fit=fit)) if "break" in note]
    assert ["Veiligheidsmonitor mat vanaf 2022 anders" in note.nl for note in told] == [True, False]
    assert "De gegevens vertellen hoe groot zij is" in told[0].nl
    assert "Normal(-0,2" in told[1].nl
    assert "not taken for a change" in told[1]
