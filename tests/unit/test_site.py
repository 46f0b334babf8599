"""The static site: what a reader sees without scripts, that pages stand by themselves, and hostile names."""

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
import shapely
from made_estimates import AWKWARD, honeycomb, table
from page_reader import Page

from buurtsae.drawing.style import COLOURS, VERDICT_WORDS, Classes
from buurtsae.errors import ProblemsError
from buurtsae.estimates.labels import PROTECTING, Rules, in_english
from buurtsae.estimates.words.explanation import figure
from buurtsae.estimates.words.profile import ProfileIndicator
from buurtsae.figures import dutch, interval
from buurtsae.notes import Note
from buurtsae.publication import content as publication
from buurtsae.publication.content import Content
from buurtsae.publication.manifest import Provenance
from buurtsae.publication.method import Statement
from buurtsae.publication.outlines import merged
from buurtsae.publication.site import write_site
from buurtsae.scale import SCORE, Scale
from buurtsae.schemas import published
from buurtsae.survey.concept import Concept

RUN = {"title": "Streek <2023>", "created": "2024-01-01 12:00", "run_id": "20240101-abc", "draft": False}
TOTAL = "buurtverbondenheid"
CLASSES = Classes.of(SCORE, pd.DataFrame({"estimate": [5.0]}))
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</script><script>alert(2)</script>",
    "{{ 7 * 7 }}",
    "\u202eedis eht morf",
    "x" * 10_000,
)


@pytest.fixture(scope="module")
def areas() -> gpd.GeoDataFrame:
    return honeycomb()


@pytest.fixture(scope="module")
def made(areas: gpd.GeoDataFrame) -> pd.DataFrame:
    return published(table(areas))


def content(areas: gpd.GeoDataFrame, made: pd.DataFrame, run: dict[str, Any] = RUN) -> Content:
    """Content with a profile and leaning for two buurten: many and few respondents."""
    shown = made[(made["level"] == "buurt") & made["estimate"].notna() & (made["measure"] == TOTAL)]
    few, many = shown["area_code"].iloc[:2]
    leaning = pd.DataFrame(
        {
            "area_code": [few, many],
            "measure": TOTAL,
            "reference": 5.8,
            "characteristics": [0.21, -0.44],
            "surroundings": [-0.3, 0.1],
            "own": [np.nan, 0.62],
        }
    )
    profile = pd.DataFrame(
        {
            "area_code": [few, few, many],
            "gemeente_code": "GM0001",
            "indicator": ["pct_koop", "afstand", "pct_koop"],
            "value": [48.0, 0.55, np.nan],
            "gemeente": [52.4, 0.7, 52.4],
            "land": [55.0, 0.9, 55.0],
        }
    )
    known = (
        ProfileIndicator("pct_koop", "Koopwoningen", "% van de woningen", "Kerncijfers", ""),
        ProfileIndicator("afstand", "Afstand tot groen", "km", "Kerncijfers", "ruimtelijke_verbondenheid"),
    )
    official = pd.DataFrame({"area_code": ["GM0001"], "measure": ["participatie"], "value": [9.9]})
    return Content(run, made, areas, Concept.load(), leaning, known, profile, official)


@pytest.fixture(scope="module")
def site(areas: gpd.GeoDataFrame, made: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site")
    write_site(content(areas, made), out)
    for name in ("estimates.csv", "datapackage.json", "quality.html"):  # written by others, linked from pages
        (out / name).write_text("<html lang='nl'></html>", encoding="utf-8")
    return out


def _values(made: pd.DataFrame, measure: str = TOTAL) -> pd.DataFrame:
    return made[(made["level"] == "buurt") & (made["measure"] == measure)].set_index("area_code")


def test_there_is_a_page_per_gemeente_and_per_buurt(site: Path, areas: gpd.GeoDataFrame) -> None:
    dashboard = site / "dashboard"
    assert {p.name for p in dashboard.glob("*.html")} == {"index.html", "verantwoording.html"}
    assert {p.stem for p in (dashboard / "gemeente").iterdir()} == {"GM0001", "GM0002"}
    assert {p.stem for p in (dashboard / "buurt").iterdir()} == set(areas.index)
    assert {p.stem for p in (site / "json").iterdir()} == {"GM0001", "GM0002"}


def test_every_page_is_well_formed_and_stands_by_itself(site: Path) -> None:
    for path in sorted((site / "dashboard").rglob("*.html")):
        page = Page(path)
        assert page.all("html") == [{"lang": "nl"}]
        assert not re.search(r"https?:(?!//www\.w3\.org/2000/svg)|@import|<link|<iframe|src=", page.source)
        assert " style=" not in page.source  # the policy forbids it
        for link in page.all("a"):
            target = path if link["href"].startswith("#") else path.parent / link["href"].partition("#")[0]
            assert target.is_file(), link
        ids = [a["id"] for _, a in page.elements if "id" in a]
        assert len(ids) == len(set(ids))
        used = {c for a in page.all("path") + page.all("rect") for c in a.get("class", "").split() if c[-1] in "ix"}
        assert {"hx" if c == "x" else c for c in used} <= set(ids)  # each pattern that is used is there


def test_the_policy_names_the_only_style_and_script(site: Path) -> None:
    import hashlib

    source = (site / "dashboard" / "gemeente" / "GM0001.html").read_text(encoding="utf-8")
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', source).group(1)  # type: ignore[union-attr]
    policy = policy.replace("&#39;", "'")
    assert policy.startswith("default-src 'none'")
    for tag in ("style", "script"):
        (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>", source, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


@pytest.mark.parametrize("code", ["GM0001", "GM0002"])
def test_a_gemeente_tells_each_buurt_in_map_and_table(
    site: Path, made: pd.DataFrame, areas: gpd.GeoDataFrame, code: str
) -> None:
    page = Page(site / "dashboard" / "gemeente" / f"{code}.html")
    values, own = _values(made), areas[areas["gemeente"] == code]
    paths = {a["data-code"]: a["class"] for a in page.all("path") if "data-code" in a}
    body = [row for row in page.cells if len(row) == 6][1:]
    names = sorted(own["name"], key=str.casefold)
    assert [row[0] for row in body] == names
    assert set(paths) == set(own.index)
    by_name = {own.loc[c, "name"]: c for c in own.index}
    for cells in body:
        buurt = by_name[cells[0]]
        if buurt not in values.index or values.loc[buurt, "label"] == "niet_publiceren":
            assert paths[buurt] == "x"
            assert cells[1:3] == ["–", "–"]
            continue
        row = values.loc[buurt]
        assert cells[1:3] == [dutch(row["estimate"]), interval(row["lower"], row["upper"])]
        assert cells[4] == f"{row['n_respondents']} ({100 * row['own_data_share']:.0f}%)"
        assert cells[5].startswith(row["label"])
        assert paths[buurt] == f"k{CLASSES.place(row['estimate'])}{'i' * (row['label'] == 'indicatief')}"


def test_the_script_is_given_the_same_figures_of_every_measure(site: Path, made: pd.DataFrame) -> None:
    source = (site / "dashboard" / "gemeente" / "GM0001.html").read_text(encoding="utf-8")
    data = json.loads(re.search(r'id="data">(.*?)</script>', source, re.DOTALL).group(1))  # type: ignore[union-attr]
    assert set(data["rows"]["2023"]) == set(Concept.load().measures)
    words = [nl for nl, _ in VERDICT_WORDS]
    for measure, rows in data["rows"]["2023"].items():
        values = _values(made, measure)
        for (code, _), r in zip(data["buurten"], rows, strict=True):
            if code not in values.index:
                assert r == 0
                continue
            row = values.loc[code]
            if row["label"] == "niet_publiceren":
                assert r[:3] == [None] * 3
                assert r[4:7] == [None] * 3
                assert data["reasons"][r[7]] == [row["reason"], in_english(row["reason"])]
                continue
            assert r[:3] == [round(row[c], 1) for c in ("estimate", "lower", "upper")]
            assert r[5] == row["n_respondents"]
            assert (row["p_above_parent"] >= 0.8) == (words[r[4]] in words[:2])
            assert r[8] == CLASSES.place(row["estimate"])


def test_hidden_figures_are_nowhere(site: Path, areas: gpd.GeoDataFrame, made: pd.DataFrame) -> None:
    full = table(areas)
    hidden = full[(full["label"] == "niet_publiceren") & full["area_code"].str.startswith("BU0001")]
    text = (site / "json" / "GM0001.json").read_text(encoding="utf-8")
    for row in hidden.itertuples():
        assert repr(row.estimate) not in text
        page = Page(site / "dashboard" / "buurt" / f"{row.area_code}.html")
        cells = next(c for c in page.cells if c[0].startswith(Concept.load().nodes[row.measure].nl))
        assert cells[1:3] == ["–", "–"]


def test_json_has_the_rows_of_the_table(site: Path, made: pd.DataFrame) -> None:
    document = json.loads((site / "json" / "GM0002.json").read_text(encoding="utf-8"))
    rows = pd.DataFrame(document["estimates"]).set_index(["area_code", "measure", "year"]).sort_index()
    own = made["area_code"].str[2:6].eq("0002") & made["level"].isin(["buurt", "gemeente"])
    expected = made[own].set_index(["area_code", "measure", "year"]).sort_index()
    assert list(rows.index) == list(expected.index)
    for column in ("estimate", "sd", "lower", "upper", "direct", "own_data_share", "p_above_parent"):
        np.testing.assert_array_equal(rows[column].astype(float), expected[column].astype(float))


def test_gemeente_page_prints_what_others_publish_beside_its_own(site: Path) -> None:
    page = Page(site / "dashboard" / "gemeente" / "GM0001.html")
    cells = next(c for c in page.cells if c[0].startswith("Participatie") and len(c) == 5)
    assert "9,9 (gepubliceerd)" in cells[4]
    assert not any("gepubliceerd)" in c[4] for c in Page(site / "dashboard/gemeente/GM0002.html").cells if len(c) == 5)


@pytest.mark.parametrize(
    ("error", "made_data", "said"),
    [  # 1.96 x 0.3 = 0.588; 1.96 x 0.01 = 0.0196; published with two decimals, 0 is below 0.005
        (0.3, False, "5,7 ± 0,6 (enquête alleen)"),
        (0.01, False, "5,71 ± 0,02 (enquête alleen)"),
        (0.0, False, "5,7 (enquête alleen)"),
        (None, True, "5,7 (gesimuleerde antwoorden alleen)"),
    ],
)
def test_the_gemeentes_respondents_alone_have_a_margin_that_can_be_seen(
    areas: gpd.GeoDataFrame, made: pd.DataFrame, tmp_path: Path, error: float | None, made_data: bool, said: str
) -> None:
    own = (made["area_code"] == "GM0002") & (made["measure"] == TOTAL)
    table = made.copy()
    table.loc[own, ["estimate", "lower", "upper", "direct", "direct_se"]] = [6.2, 5.9, 6.5, 5.71, error]
    write_site(content(areas, table, RUN | {"fictitious": made_data}), tmp_path)
    page = Page(tmp_path / "dashboard" / "gemeente" / "GM0002.html")
    assert any(said + said.replace(",", ".")[:4] in row[-1] for row in page.cells if len(row) == 5), page.cells[1]
    assert "Zonder dit model" in page.text
    assert "± 0,0 " not in page.text


def test_a_run_of_one_gemeente_has_one_column_of_it(
    made: pd.DataFrame, areas: gpd.GeoDataFrame, tmp_path: Path
) -> None:
    inside = areas[areas["gemeente"] == "GM0001"]
    kept = made["area_code"].str.startswith("BU0001") | (made["area_code"] == "GM0001") | (made["level"] == "land")
    alone = made[kept].assign(area_name=made["area_name"].where(made["level"] != "land", "Voorbeeldstad"))
    write_site(content(inside, alone), tmp_path / "whole")
    page = Page(tmp_path / "whole" / "dashboard" / "gemeente" / "GM0001.html")
    heads = [cell for row in page.cells for cell in row if cell == "Voorbeeldstad"]
    assert heads == []
    assert "De scores van de gemeente" in page.text
    assert "met die van" not in page.text
    profile = next((tmp_path / "whole" / "dashboard" / "buurt").iterdir())
    assert all(row.count("Voorbeeldstad") <= 1 for row in Page(profile).cells)
    part = content(inside, alone[alone["level"] != "gemeente"])  # the whole of the run is then not the gemeente
    write_site(part, tmp_path / "part")
    page = Page(tmp_path / "part" / "dashboard" / "gemeente" / "GM0001.html")
    assert "met die van Voorbeeldstad" in page.text


def test_a_hidden_profile_says_why_nothing_is_said_of_what_it_rests_on(site: Path, made: pd.DataFrame) -> None:
    rows = _values(made)
    hidden, shown = rows.index[rows["estimate"].isna()][0], rows["estimate"].first_valid_index()
    text = Page(site / "dashboard" / "buurt" / f"{hidden}.html").text
    assert "samen zijn ze de schatting" not in text
    assert "Er is geen score gepubliceerd." in text
    text = Page(site / "dashboard" / "buurt" / f"{shown}.html").text
    assert "samen zijn ze de schatting" in text
    assert "Er is geen score gepubliceerd." not in text


def test_footers_tell_the_day_in_words_and_counts_their_number(
    site: Path, areas: gpd.GeoDataFrame, made: pd.DataFrame, tmp_path: Path
) -> None:
    text = Page(site / "dashboard" / "index.html").text
    assert "Gemaakt opMade on 1 januari 20241 January 2024, run" in text
    assert "(2 gemeenten2 municipalities)" in text
    one = areas[areas["gemeente"] == "GM0001"]
    inside = made["area_code"].str.contains("0001") | (made["level"] == "land")
    write_site(content(one, made[inside]), tmp_path)
    assert "(1 gemeente1 municipality)" in Page(tmp_path / "dashboard" / "index.html").text


def test_a_profile_tells_objective_figures_and_what_the_estimate_leans_on(site: Path, made: pd.DataFrame) -> None:
    shown = _values(made)["estimate"].dropna().index
    page = Page(site / "dashboard" / "buurt" / f"{shown[0]}.html")
    assert ["Koopwoningen", "48,0", "52,4", "55,0", "% van de woningen", "Kerncijfers"] in page.cells
    assert "Omgeving, bij ruimtelijke verbondenheid" in page.text
    n = _values(made).loc[shown[0], "n_respondents"]
    assert f"de buurten eromheen en de {n} eigen respondenten samen: -0,3." in page.text
    other = Page(site / "dashboard" / "buurt" / f"{shown[1]}.html")
    assert "de kenmerken van deze buurt: -0,4; de buurten eromheen: +0,1" in other.text
    assert "eigen respondenten: +0,6." in other.text
    assert ["Koopwoningen", "–", "52,4", "55,0", "% van de woningen", "Kerncijfers"] in other.cells


def test_narrow_intervals_have_the_decimals_that_they_need(
    areas: gpd.GeoDataFrame, made: pd.DataFrame, tmp_path: Path
) -> None:
    above, some = made["level"] != "buurt", made["area_code"] == _values(made)["estimate"].dropna().index[0]
    narrow = made.copy()
    narrow.loc[above, ["estimate", "lower", "upper"]] = [5.8213, 5.8151, 5.8275]
    narrow.loc[some, ["estimate", "lower", "upper"]] = [6.123, 6.1218, 6.1243]
    write_site(content(areas, narrow), tmp_path)
    (code,) = narrow.loc[some, "area_code"].unique()
    gemeente = Page(tmp_path / "dashboard" / "gemeente" / f"GM{code[2:6]}.html")
    assert ["5,82", "5,82 – 5,83", "5,82"] in [row[1:4] for row in gemeente.cells]
    assert ["6,123", "6,122 – 6,124"] in [row[1:3] for row in gemeente.cells]
    assert ["5,82", "5,82 – 5,83"] in [row[1:3] for row in Page(tmp_path / "dashboard" / "index.html").cells]
    data = json.loads(re.search(r'id="data">(.*?)</script>', gemeente.source, re.DOTALL).group(1))  # type: ignore[union-attr]
    packed = data["rows"]["2023"][TOTAL][[c for c, _ in data["buurten"]].index(code)]
    assert (packed[:3], packed[9:]) == ([6.123, 6.122, 6.124], [3])
    row = narrow[some & (narrow["measure"] == TOTAL)].iloc[0]
    assert figure(row).startswith("6,123 (6,122-6,124)")
    below = {**row, "estimate": -2.0, "lower": -3.5, "upper": -0.5}
    assert figure(below, Scale()).startswith("-2,0 (-3,5 tot -0,5)")  # a hyphen would read as a minus


def test_a_buurt_without_residents_says_so(site: Path, areas: gpd.GeoDataFrame) -> None:
    page = Page(site / "dashboard" / "buurt" / f"{areas.index[-1]}.html")
    assert "er wonen geen mensen" in page.text


@pytest.mark.parametrize("how", ["in part", "hidden"])
def test_without_a_figure_of_the_gemeente_pages_say_so(areas: gpd.GeoDataFrame, tmp_path: Path, how: str) -> None:
    full = table(areas)
    gemeente = full["area_code"] == "GM0001"
    full.loc[gemeente, ["label", "reason"]] = ["niet_publiceren", PROTECTING]
    inside = full["area_code"].str.startswith("BU0001")
    full = published(full.assign(p_above_parent=full["p_above_parent"].mask(inside)))
    full = full[~gemeente] if how == "in part" else full
    write_site(Content(RUN, full, areas, Concept.load(), gemeenten={"GM0001": "Voorbeeldstad"}), tmp_path)
    dashboard = tmp_path / "dashboard"
    page = Page(dashboard / "gemeente" / "GM0001.html")
    for text in {
        "in part": (
            "There is no figure of the whole municipality: only a part of its areas is in these results.",
            "Er is geen cijfer van de hele gemeente: maar een deel van de buurten zit in deze resultaten.",
        ),
        "hidden": (
            "The figure of the municipality is not published: otherwise another area could be computed.",
            f"Het cijfer van de gemeente is niet gepubliceerd: {PROTECTING}.",
        ),
    }[how]:
        assert page.text.count(text) == 1
        assert text not in Page(dashboard / "gemeente" / "GM0002.html").text
    body = [row for row in page.cells if len(row) == 6][1:]
    assert {(row[1] == "–", row[3]) for row in body} == {(True, "–"), (False, "de gemeente heeft geen cijfer")}
    data = json.loads(re.search(r'id="data">(.*?)</script>', page.source, re.DOTALL).group(1))  # type: ignore[union-attr]
    assert data["uncompared"] == ["de gemeente heeft geen cijfer", "the municipality has no figure"]
    buurt = _values(full)["estimate"].first_valid_index()
    text = Page(dashboard / "buurt" / f"{buurt}.html").text
    measures = len(Concept.load().measures)
    assert text.count("de gemeente heeft geen cijfer") == text.count("the municipality has no figure") == measures
    start = Page(dashboard / "index.html")
    assert ["Voorbeeldstad", "–", "–", "30"] in start.cells
    assert {a["data-code"]: a["class"] for a in start.all("path") if "data-code" in a}["GM0001"] == "x"
    assert "hx" in {a["id"] for a in start.all("pattern")}
    assert "geen cijfer van de hele gemeente" in start.text


def test_indicative_buurten_are_hatched_and_hidden_ones_dotted(site: Path) -> None:
    page = Page(site / "dashboard" / "gemeente" / "GM0001.html")
    for k, colour in enumerate(COLOURS):
        assert f".k{k}i {{ fill: url(#k{k}i); }}" in page.source
        pattern = page.source.split(f'<pattern id="k{k}i"')[1].split("</pattern>")[0]
        assert pattern.count("<rect") == 2  # ground and stripe
        assert f'fill="{colour}"' in pattern
    assert "<circle" in page.source.split('<pattern id="hx"')[1].split("</pattern>")[0]


def test_start_page_counts_labels_and_lists_gemeenten(site: Path, made: pd.DataFrame) -> None:
    page = Page(site / "dashboard" / "index.html")
    whole = made[(made["measure"] == TOTAL) & (made["level"] == "land")].iloc[0]
    assert next(r for r in page.cells if r[0].startswith("Buurtverbondenheid"))[1:6] == [
        *(dutch(whole["estimate"]), interval(whole["lower"], whole["upper"])),
        *("24", "23", "12"),  # of 59: positions 2 and 3, 1 and 4, and 0 of every five
    ]
    assert [r[0] for r in page.cells if len(r) == 4][1:] == ["Buiten", "Voorbeeldstad"]
    assert {a["data-code"] for a in page.all("path") if "data-code" in a} == {"GM0001", "GM0002"}


def test_names_are_text_whatever_they_hold(areas: gpd.GeoDataFrame, tmp_path: Path) -> None:
    names = areas["name"].to_numpy(dtype=object).copy()
    names[1 : 1 + len(HOSTILE)] = HOSTILE
    hostile = areas.assign(name=names)
    write_site(content(hostile, published(table(hostile))), tmp_path)
    clean = re.compile(r"<script|<img|<b>")
    for path in (tmp_path / "dashboard").rglob("*.html"):
        page = Page(path)
        assert page.source.count("<script") == 2  # data, and the one script of the page
        assert not page.all("img")
        assert not clean.search(re.sub(r"<script.*?</script>", "", page.source, flags=re.DOTALL))
        data = re.search(r'id="data">(.*?)</script>', page.source, re.DOTALL).group(1)  # type: ignore[union-attr]
        json.loads(data)
    text = Page(tmp_path / "dashboard" / "gemeente" / "GM0001.html").text
    assert all(name in text for name in (*HOSTILE, AWKWARD))
    assert "Streek <2023>" in Page(tmp_path / "dashboard" / "index.html").text


@pytest.mark.parametrize("draft", [True, False])
def test_drafts_are_stamped_on_every_page(
    areas: gpd.GeoDataFrame, made: pd.DataFrame, tmp_path: Path, draft: bool
) -> None:
    run = RUN | {"draft": draft, "source": "Bron: CBS & Kadaster"}
    write_site(content(areas, made, run), tmp_path)
    pages = list(tmp_path.rglob("*.html"))
    assert {"VOORLOPIG" in Page(p).text for p in pages} == {draft}
    assert all("Bron: CBS & Kadaster" in Page(p).text for p in pages)


def test_two_years_can_be_switched(areas: gpd.GeoDataFrame, made: pd.DataFrame, tmp_path: Path) -> None:
    both = pd.concat([made.assign(year=2021, estimate=made["estimate"] - 0.2), made], ignore_index=True)
    write_site(content(areas, both), tmp_path)
    page = Page(tmp_path / "dashboard" / "gemeente" / "GM0001.html")
    assert {"name": "jaar"} in page.all("select")
    data = json.loads(gzip.decompress(base64.b64decode(page.source.partition('id="data">')[2].partition("<")[0])))
    assert list(data["rows"]) == ["2021", "2023"]
    assert data["rows"]["2021"][TOTAL] != data["rows"]["2023"][TOTAL]


def test_a_page_for_five_hundred_buurten_stays_below_500_kb(tmp_path: Path) -> None:
    many = honeycomb(25, 40)  # 1,000 buurten in two gemeenten: the largest of the country has some 520
    rng = np.random.default_rng(3)
    wavy = shapely.segmentize(many.geometry.to_numpy(), 10.0)  # 180 vertices a buurt, as detailed as real ones
    # one displacement per place, so that neighbours keep sharing their borders; 8 m is below what a map can show
    xy = shapely.get_coordinates(wavy)
    _, place = np.unique(np.round(xy, 2), axis=0, return_inverse=True)
    shift = rng.normal(0, 4.0, (place.max() + 1, 2))
    many = many.set_geometry(gpd.GeoSeries(shapely.set_coordinates(wavy, xy + shift[place]), many.index, crs=many.crs))
    assert len(xy) > 150 * 1000
    made = published(table(many))
    write_site(Content(RUN, made, many, Concept.load()), tmp_path)
    sizes = [p.stat().st_size for p in (tmp_path / "dashboard").rglob("*.html")]
    assert len(sizes) == 1000 + 2 + 2
    assert max(sizes) < 500_000


def test_site_refuses_what_it_cannot_place(areas: gpd.GeoDataFrame, made: pd.DataFrame) -> None:
    with pytest.raises(ProblemsError) as stop:
        Content(RUN, made.assign(measure="geluk"), areas.iloc[1:], Concept.load())
    assert "not in the concept" in str(stop.value)
    assert "no geometry" in str(stop.value)


def test_gemeenten_are_merged_without_slivers(areas: gpd.GeoDataFrame) -> None:
    shapes = merged(areas, "gemeente")
    assert list(shapes.index) == ["GM0001", "GM0002"]
    for code, shape in shapes.geometry.items():
        own = areas[areas["gemeente"] == code]
        # corners move to whole metres: half a metre of each border at most
        assert shape.area == pytest.approx(own.area.sum(), rel=0.5 * own.length.sum() / own.area.sum())
        assert shapely.get_num_interior_rings(shape) == 0


def test_the_method_statement_tells_sources_checks_and_contact(
    areas: gpd.GeoDataFrame, made: pd.DataFrame, tmp_path: Path
) -> None:
    quality = {
        "run": {"engine": "laplace", "versions": {"buurtsae": "9.9"}},
        "sources": [{"source": "veiligheidsmonitor", "year": 2023, "level": "buurt", "respondents": 1234}],
        "gate": {
            "checks": [
                {"nl": "toets a", "en": "check a", "value": 0.4, "threshold": 0.7, "direction": "max", "passed": True}
            ]
        },
        "model": "y ~ 1 + x",
        "benchmarks": {},
        "notes": [Note("a note", "een opmerking")],
    }
    settings = {
        "run": {"contact": "statistiek@voorbeeld.nl"},
        "sources": [{"source": "veiligheidsmonitor", "response": 0.416}],
    }
    statement = Statement.of(quality, Provenance(settings=settings), Rules(min_residents=25))
    write_site(content(areas, made), tmp_path, statement)
    page = Page(tmp_path / "dashboard" / "verantwoording.html")
    row = next(c for c in page.cells if c[0] == "VeiligheidsmonitorSafety monitor")
    assert row[3:7] == ["2023", "buurt", "1.234", "42%"]
    for text in (
        "y ~ 1 + x",
        "a note",
        "een opmerking",
        "buurtsae 9.9",
        "statistiek@voorbeeld.nl",
        "minder dan 25 inwoners",
    ):
        assert text in page.text
    without = replace(
        statement, sources=tuple({**s, "owner": Note("", ""), "response": None} for s in statement.sources)
    )
    write_site(content(areas, made), tmp_path / "without", without)
    heads = next(
        c for c in Page(tmp_path / "without" / "dashboard" / "verantwoording.html").cells if c[0] == "BronSource"
    )
    assert heads == [
        "BronSource",
        "WijzeMode",
        "JaarYear",
        "Bekend perKnown per",
        *heads[4:],
    ]  # none that are all empty
    assert not {"VanOf", "ResponsResponse"} & set(heads)
    assert ["toets aCheck a", "0,400", "≤ 0,700", "gehaaldpassed"] in page.cells
    assert "ruimtelijk deel" not in page.text  # whichever term it is, the report says that neighbours share it
    near = Statement.of(quality | {"run": quality["run"] | {"spatial": True}}, Provenance(), Rules())
    write_site(content(areas, made), tmp_path / "near", near)
    assert "ruimtelijk deel" in Page(tmp_path / "near" / "dashboard" / "verantwoording.html").text
    margin = "hoogstens 7,5 procentpunten"
    for name, rules, shares in (("some", 7.5, True), ("none", 7.5, False), ("any", 50.0, True)):
        of = Statement.of(quality, Provenance(), Rules(max_half_width=rules), shares)
        write_site(content(areas, made), tmp_path / name, of)
        text = Page(tmp_path / name / "dashboard" / "verantwoording.html").text
        assert (margin in text) is (name == "some")


def test_documents_are_the_same_however_many_are_made_at_a_time(
    areas: gpd.GeoDataFrame, made: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = content(areas, made)
    every = list(shown.documents())
    assert len(every) > 1
    assert [{row["area_code"][2:6] for row in one["estimates"]} for one in every] == [
        {one["gemeente"]["area_code"][2:]} if one["estimates"] else set() for one in every
    ]
    monkeypatch.setattr(publication, "CODES", 1)
    assert list(shown.documents()) == every
