"""Figures, map pages and the quality report: what a reader sees, and that a page stands by itself."""

from __future__ import annotations

import json
import re
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from made_estimates import honeycomb, table
from markupsafe import Markup
from page_reader import Page

from buurtsae.drawing.maps import plot_intervals, plot_map
from buurtsae.drawing.style import (
    COLOURS,
    GREY,
    Classes,
    scale_length,
    scale_text,
    significant,
)
from buurtsae.errors import DataError
from buurtsae.estimates.evidence.meanings import KINDS, MEANINGS
from buurtsae.figures import decimals, dutch, interval
from buurtsae.notes import Note
from buurtsae.publication.outlines import outlines
from buurtsae.publication.pages import bilingual, count, in_both
from buurtsae.publication.report import SECTIONS, write_quality
from buurtsae.scale import SCORE
from buurtsae.schemas import published

CLASSES = Classes.of(SCORE, pd.DataFrame({"estimate": [5.0]}))


@pytest.fixture(scope="module")
def areas() -> gpd.GeoDataFrame:
    return honeycomb()


@pytest.fixture(scope="module")
def made(areas: gpd.GeoDataFrame) -> pd.DataFrame:
    return published(table(areas))


@pytest.fixture(scope="module")
def quality() -> dict[str, Any]:
    checks = [("rhat", 1.004, 1.01, "max", True), ("ess", 312.0, 400, "min", False)]
    return {
        "run": {
            "run_id": "r1",
            "title": "Streek",
            "created": "2024-01-31T12:00:00+00:00",
            "engine": "nuts",
            "seed": 1,
            "versions": {"x": "2"},
        },
        "gate": {
            "passed": False,
            "unmade": None,
            "checks": [
                {
                    "id": i,
                    "nl": f"toets {i}",
                    "en": f"check {i}",
                    "value": v,
                    "threshold": t,
                    "direction": d,
                    "passed": p,
                }
                for i, v, t, d, p in checks
            ],
        },
        "checks": [
            {
                "id": "spread",
                "what": KINDS["spread"],
                "where": Note("1 to 5 people", "1 tot en met 5 mensen"),
            }
            | {"figures": 40, "value": 1.61, "low": 0.7, "high": 1.35, "p": 0.0099, "passed": False}
            | {"meaning": MEANINGS["spread"][1]},
            {"id": "tails", "what": KINDS["tails"], "where": Note("all", "alle"), "figures": 90, "value": 3.1}
            | {"low": 2.6, "high": 3.6, "p": 0.9, "passed": True, "meaning": None},
        ],
        "alarms": [Note("the weights are numbers of rows", "de gewichten zijn rijnummers")],
        "priors": {
            "blocks": [{"name": "BYM2.sigma", "parameters": 4, "sd_ratio": 0.2, "moved": 0.01, "widened": 0.0}],
            "outside": 0.12,
        },
        "convergence": {"chains": 4, "draws": np.int64(1000), "rhat_max": np.float32(1.0), "worst": ["sigma<1>"]},
        "hyperparameters": [
            {"name": "BYM2.sigma", "measure": "participatie", "mean": 0.4321, "sd": 0.05, "lower": 0.3, "upper": 0.5}
            | {"prior": "PC(U=1, alpha=0.01)", "rhat": float("nan"), "ess_bulk": 1234.5}
        ],
        "predictive": [],
        "left_out": [
            {"left_out": "gemeente", "source": "vm", "measure": "participatie", "figures": 40, "bias": 0.01}
            | {"rmse": 0.9, "chi2": 1.02, "coverage_50": 0.5, "coverage_80": 0.8, "coverage_95": 0.94}
        ],
        "density": {"data": "00ff", "gemeenten": 2, "elpd": -41.5, "groups": {"GM0001": -20.0, "GM0002": -21.5}},
        "comparison": [
            {
                "area_code": "GM0001",
                "area_name": "Ons & dorp",
                "measure": "participatie",
                "direct": 6.0,
                "direct_se": 0.1,
            }
            | {"estimate": 6.3, "sd": 0.05, "difference": 0.3, "z": 2.7}
        ],
        "agreement": [
            {"measure": "participatie", "areas": 3, "bias": 0.01, "slope": None, "slope_se": None}
            | {"W": 2.5, "p": 0.47, "coverage_95": 1.0}
        ],
        "gain": [
            {"level": "buurt", "class": "0", "figures": 12, "sd": 0.6, "direct_se": None, "variance_ratio": None},
        ],
        "classical": {
            "refused": "",
            "notes": ["Sigma is estimated singular"],
            "rows": [
                {"measure": "participatie", "class": "1-5", "figures": 12, "direct_se": 1.1, "synthetic_rmse": 0.8}
                | {"eblup_rmse": 0.7, "sd": 0.6, "gamma": 0.33, "eblup_apart": 0.1}
            ],
        },
        "benchmarks": {},
        "residuals": {"participatie": {"BU00010000": -2.5, "BU00010001": 0.0, "BU00010002": 2.0, "BU00010003": None}},
        "nonresponse": {
            **{"shift": 0.1, "column": None, "refused": ""},
            "rows": [
                {"direction": "lower", "response": "equal", "level": "land", "measure": "participatie", "areas": 1}
                | {"median": -0.114, "largest": -0.114, "outside": 1.0, "mean_rank_change": None}
                | {"labels": 0.0, "verdicts": 0.0}
            ],
        },
        "sensitivity": [
            {"alternative": "participatie x 2", "measure": "buurtverbondenheid", "areas": 40}
            | {"rank_correlation": 0.97, "mean_rank_change": 0.03, "largest": 0.2, "labels": 0.0}
        ],
        "explained": [
            {"covariate": "woz", "measure": "participatie", "mean": 0.2, "lower": 0.1, "upper": 0.3, "share": 0.12},
        ],
        "moran": [],
        "areas": {"year": 2024, "buurten": 1060, "missing_covariates": {"woz": 3}, "notes": ["één <b>"]},
        "graph": {"components": (59, 1), "islands": [f"BU{i:08d}" for i in range(25)], "bridges": []},
        "sources": [
            {
                "source": "vm",
                "title": "Veiligheidsmonitor",
                "kind": "survey",
                "year": 2023,
                "level": "buurt",
                "respondents": 1500,
                "areas": 50,
                "without_answer": 3,
                "notes": [],
            }
        ],
        "labels": {"buurt": {"betrouwbaar": 40, "niet_publiceren": 2}},
        "model": "y ~ 1 + x  [sigma < 1]",
        "scales": [
            {
                "source": "vm",
                "scale": "buurtcohesie",
                "items": 8,
                "respondents": 1400,
                "alpha": 0.83,
                "omega": float("nan"),
                "icc": 0.2,
                "lambda_mean": 0.61,
                "needed_70": 9.5,
            }
        ],
        "variances": [
            {"source": "vm", "measure": "participatie", "areas": 50, "without_variance": 4}
            | dict.fromkeys(("se_before", "se_after", "ratio_low", "ratio_high"), 0.5)
        ],
        "contributions": [
            {"source": "vm", "measure": "participatie", "areas": 50, "sd_with": 0.4, "sd_without": None}
            | {"sd_with_own": 0.3, "sd_without_own": None}
        ],
        "covariates": [
            {"covariate": "pct_koopwoningen", "source": "kwb <2024>", "unit": "%", "transform": "none", "mean": 55.5}
            | {"sd": 16.2, "modelled": False, "sensitive": False, "imputed": 6}
        ],
        "notes": [],
    }


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (6.54, 1, "6,5"),
        (1234567.891, 2, "1.234.567,89"),
        (-0.04, 1, "0,0"),
        (-1.25, 2, "-1,25"),
        (1500, 0, "1.500"),
        (None, 1, "–"),
        (float("nan"), 1, "–"),
        (pd.NA, 0, "–"),
    ],
)
def test_numbers_are_written_the_dutch_way(value: Any, digits: int, text: str) -> None:
    assert dutch(value, digits) == text


def test_intervals_and_significant_digits() -> None:
    assert interval(5.94, 7.06) == "5,9 – 7,1"
    assert interval(None, None) == "–"
    # as many decimals as tell the ends apart, at most three; one where there is no width at all
    assert [decimals(*ends) for ends in ((5.7, 5.9), (5.74, 5.76), (5.81, 5.83), (5.8211, 5.8234), (5.8, 5.8))] == [
        *(1, 1, 2, 3, 1)
    ]
    assert interval(5.811, 5.832) == "5,81 – 5,83"
    assert interval(-0.0001, 0.0001) == "0,0 – 0,0"  # nothing tells them apart in three decimals
    assert [significant(v) for v in (12345.6, 12, 1.0042, 0.00123, 0.0, float("inf"))] == [
        *("12.346", "12", "1,00", "0,00123", "0,00", "–")
    ]


def test_a_score_is_classed_as_it_is_printed() -> None:
    assert CLASSES.breaks == (3, 4, 5, 5.5, 6, 6.5, 7, 8)
    ends = (0, *CLASSES.breaks, 10)
    for score in np.linspace(0, 10, 2001):
        low, high = ends[CLASSES.place(score)], ends[CLASSES.place(score) + 1]
        printed = float(dutch(score).replace(",", "."))
        assert low <= printed < high or printed == high == 10
    assert len(COLOURS) == len(CLASSES.words)
    assert [CLASSES.words[k].nl for k in (0, 3, 8)] == ["lager dan 3", "5 tot 5,5", "8 en hoger"]


@pytest.mark.parametrize(
    ("width", "metres", "text"), [(57_000, 10_000, "10 km"), (3_000, 500, "500 m"), (8_000, 2_000, "2 km")]
)
def test_scale_bar_is_round_and_at_most_a_quarter(width: float, metres: float, text: str) -> None:
    assert scale_length(width) == metres
    assert scale_text(metres) == text


def _values(made: pd.DataFrame) -> pd.DataFrame:
    rows = made[(made["level"] == "buurt") & (made["measure"] == "participatie")]
    return rows.set_index("area_code")


def test_map_colours_by_class_hatches_the_indicative_and_greys_the_rest(
    areas: gpd.GeoDataFrame, made: pd.DataFrame
) -> None:
    from matplotlib.colors import to_hex

    values = _values(made).sample(frac=1, random_state=1)  # another order than the geometry's
    ax = plot_map(areas, values, "Participatie")
    base, *overlays = ax.collections
    for code, face in zip(areas.index, base.get_facecolors(), strict=True):
        shown = code in values.index and values.loc[code, "label"] != "niet_publiceren"
        assert to_hex(face) == (COLOURS[CLASSES.place(values.loc[code, "estimate"])] if shown else GREY)
    assert {c.get_hatch() for c in overlays} == {"/////"}
    assert sum(len(c.get_paths()) for c in overlays) == (values["label"] == "indicatief").sum()
    legend = [t.get_text() for t in ax.get_legend().get_texts()]
    assert legend[0] == "8 en hoger"
    assert "gearceerd: indicatief" in legend
    ax.figure.savefig(BytesIO(), format="png")
    box = ax.get_legend().get_window_extent()
    assert box.x0 >= ax.get_window_extent().x1 - 1  # outside the map, in pixels


def test_holes_stay_open_and_nested_collections_are_drawn() -> None:
    square, inner = shapely.box(0, 0, 1000, 1000), shapely.box(400, 400, 600, 600)
    odd = shapely.GeometryCollection(
        [shapely.MultiPolygon([shapely.box(1000, 0, 1500, 500)]), shapely.LineString([[0, 0], [9, 9]])]
    )
    frame = gpd.GeoDataFrame(geometry=[square.difference(inner), odd], index=["BU1", "BU2"], crs=28992)
    values = pd.DataFrame({"estimate": [5.0, 6.0], "label": "betrouwbaar"}, index=["BU1", "BU2"])
    ax = plot_map(frame, values)
    ring, nested = ax.collections[0].get_paths()
    turns = [np.sign(shapely.LinearRing(p).is_ccw - 0.5) for p in ring.to_polygons()]
    assert sorted(turns) == [-1, 1]
    assert len(nested.to_polygons()) == 1
    assert outlines(frame).paths["BU1"].count("z") == 2


def test_map_refuses_values_without_a_place(areas: gpd.GeoDataFrame, made: pd.DataFrame) -> None:
    with pytest.raises(DataError, match="do not fit"):
        plot_map(areas.iloc[1:], _values(made))
    with pytest.raises(DataError, match="do not fit"):
        plot_map(areas, pd.concat([_values(made)] * 2))


def test_intervals_are_sorted_with_decimal_commas_and_hollow_direct_marks(made: pd.DataFrame) -> None:
    values = _values(made).head(40)
    ax = plot_intervals(values, "Participatie")
    ax.figure.canvas.draw()
    known = values[values["label"] != "niet_publiceren"].sort_values("estimate")
    assert [t.get_text() for t in ax.get_yticklabels()] == list(known["area_name"])
    assert any("," in t.get_text() for t in ax.get_xticklabels())
    assert not any("." in t.get_text() for t in ax.get_xticklabels())
    assert f"{len(values) - len(known)} zonder cijfer" in ax.get_xlabel()
    direct = ax.collections[0]
    assert direct.get_facecolors().size == 0
    np.testing.assert_array_equal(
        np.ma.getdata(direct.get_offsets())[~np.ma.getmaskarray(direct.get_offsets())[:, 0], 0],
        known["direct"].dropna().to_numpy(),
    )
    bars = {
        tuple(np.round(s[:, 0], 12)) for c in ax.collections if hasattr(c, "get_segments") for s in c.get_segments()
    }
    assert bars == {tuple(np.round([r.lower, r.upper], 12)) for r in known.itertuples()}


def test_figures_do_not_touch_pyplot(
    areas: gpd.GeoDataFrame, made: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)  # importing it now fails
    plot_intervals(_values(made))
    plot_map(areas, _values(made)).figure.savefig(BytesIO())


def test_shared_borders_stay_shared_and_nothing_vanishes(areas: gpd.GeoDataFrame) -> None:
    shape = outlines(areas)
    corner = areas.total_bounds[[0, 3]]
    seen: dict[frozenset[tuple[int, int]], int] = {}
    for code, path in shape.paths.items():
        start, moves = re.fullmatch(r"M(\d+ \d+)l([-\d ]+)z", path).groups()  # type: ignore[union-attr]
        steps = np.array(re.findall(r"-?\d+", moves), dtype=int).reshape(-1, 2)
        points = np.cumsum(np.vstack([np.array(start.split(), dtype=int), steps]), axis=0)
        back = shapely.Polygon(corner + points * [shape.step, -shape.step])
        # corners are rounded to half a step in x and y
        assert shapely.hausdorff_distance(back, areas.geometry[code]) <= shape.step * np.sqrt(0.5) + 1e-9
        for a, b in zip(points, np.roll(points, -1, axis=0), strict=True):
            edge = frozenset([tuple(a), tuple(b)])
            seen[edge] = seen.get(edge, 0) + 1
    # 6 rows of 10 hexagons: 6 x 9 borders within rows, 5 x (10 + 9) between
    assert sum(n == 2 for n in seen.values()) == 54 + 95
    assert max(seen.values()) == 2


def test_quality_json_is_stable_and_has_no_nan(quality: dict[str, Any], tmp_path: Path) -> None:
    write_quality(quality, tmp_path)
    text = (tmp_path / "quality.json").read_text(encoding="utf-8")
    back = json.loads(text, parse_constant=lambda c: pytest.fail(f"{c} is no JSON"))
    assert set(back) == set(SECTIONS)
    assert back["hyperparameters"][0]["rhat"] is None
    assert back["hyperparameters"][0]["mean"] == 0.4321
    assert back["graph"]["components"] == [59, 1]
    assert back["gate"] == quality["gate"]
    assert "één" in text  # not escaped: people read it too
    write_quality(dict(reversed(quality.items())), tmp_path)
    assert (tmp_path / "quality.json").read_text(encoding="utf-8") == text
    write_quality(back, tmp_path)
    assert (tmp_path / "quality.json").read_text(encoding="utf-8") == text


def test_quality_page_shows_the_gate_first_and_every_section(quality: dict[str, Any], tmp_path: Path) -> None:
    write_quality(quality, tmp_path)
    page = Page(tmp_path / "quality.html")
    checks = [row for row in page.cells if row[0].startswith("toets")]
    assert checks == [
        ["toets rhatCheck rhat", "1,004", "hoogstensat most 1,010", "✔ gehaaldpassed"],
        ["toets essCheck ess", "312,0", "minstensat least 400", "✘ niet gehaaldfailed"],
    ]
    headings = re.findall(
        r'<h2><span class="nl">([^<]+)</span><span class="en" lang="en">[^<]+</span></h2>', page.source
    )
    assert headings[0] == "Kwaliteitstoets"
    assert len(headings) == len(SECTIONS)
    failed, passed = (row for row in page.cells if row[0].startswith(("spreiding van", "uitschieters")))
    assert failed[1:-1] == [
        "1 tot en met 5 mensen1 to 5 people",
        "40",
        "1,61",
        "0,700 totto 1,35",
        "0,00990",
    ]
    assert failed[-1].startswith("✘ directe cijfers wijken meer van hun voorspelling af dan het model zegt")
    assert passed[-1] == "✔ gehaaldpassed"
    assert "✘ de gewichten zijn rijnummersthe weights are numbers of rows" in page.text
    assert "volgens de priors 12% van de scores buiten de schaal" in page.text
    assert "y ~ 1 + x  [sigma < 1]" in page.text
    assert "PC(U=1, alpha=0.01)" in page.text
    assert "Te toetsen verschillen: 1. Groter dan 1,96 keer hun standaardfout: 1;" in page.text
    assert (
        page.text.count("Niet beschikbaar bij deze run") == 4
    )  # predictive, moran and benchmarks; maps without outlines
    assert "en nog 5and 5 more" in page.text  # 25 islands, 20 shown
    assert ["buurt", "40", "0", "2"] in page.cells


def test_quality_refuses_missing_and_unknown_sections(quality: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="incomplete"):
        write_quality({k: v for k, v in quality.items() if k != "moran"}, tmp_path)
    with pytest.raises(DataError, match="incomplete"):
        write_quality(quality | {"extra": []}, tmp_path)


def test_all_sections_but_run_and_gate_may_be_empty(quality: dict[str, Any], tmp_path: Path) -> None:
    empty = {k: quality[k] if k in ("run", "gate") else [] for k in SECTIONS}
    write_quality(empty, tmp_path)
    assert Page(tmp_path / "quality.html").text.count("Niet beschikbaar") == 26


def test_benchmarks_are_shown_with_what_they_moved(quality: dict[str, Any], tmp_path: Path) -> None:
    strain = {"level": "gemeente", "area_code": "GM0001", "measure": "participatie", "value": 6.5, "se": 0.1}
    strain |= {"mean": 6.1, "sd": 0.12, "z": 2.56, "p": 0.01}
    moved = [{"level": "buurt", "measure": "participatie", "areas": 40, "shift": 0.2, "largest": 0.45}]
    benchmarks = {"method": "minimum-distance", "respondents": "shared", "effective": None, "strained": 1}
    write_quality(quality | {"benchmarks": benchmarks | {"strain": [strain], "shift": moved}}, tmp_path)
    cells = Page(tmp_path / "quality.html").cells
    strained = "cijfers die het model tegenspreken (|z| > 2)figures that strain the model (|z| > 2)"
    assert [strained, "1"] in cells
    assert ["gemeente", "GM0001", "participatie", "6,50", "0,100", "6,10", "0,120", "2,56", "0,0100"] in cells
    assert ["buurt", "participatie", "40", "0,200", "0,450"] in cells


def test_residuals_are_mapped_in_classes(quality: dict[str, Any], areas: gpd.GeoDataFrame, tmp_path: Path) -> None:
    write_quality(quality, tmp_path, outlines(areas))
    page = Page(tmp_path / "quality.html")
    shown = dict(re.findall(r'<use href="#(BU\w+)"(?: class="(r\d)")?/>', page.source))
    assert set(shown) == set(areas.index)  # once per map, each path once
    assert {code: css for code, css in shown.items() if css} == {
        "BU00010000": "r0", "BU00010001": "r2", "BU00010002": "r4"
    }  # fmt: skip
    assert page.source.count("<path id=") == len(areas)
    assert "Bij een goed model zijn er geen vlekken van één kleur" in page.text


def test_text_and_markup_that_read_the_same_are_told_apart() -> None:
    """What comes back on pages is kept: text is escaped whatever was asked before, and notes keep their own Dutch."""
    assert bilingual(Markup("<b>"), "b") == '<span class="nl"><b></span><span class="en" lang="en">b</span>'
    assert bilingual("<b>", "b") == '<span class="nl">&lt;b&gt;</span><span class="en" lang="en">b</span>'
    assert "eigen" in in_both(Note("own", "eigen"))
    assert "zelf" in in_both(Note("own", "zelf"))
    assert in_both(Note("<same>", "<same>")) == in_both("<same>") == "&lt;same&gt;"


def test_numbers_have_their_noun_in_both_languages() -> None:
    assert count(1, "buurt", "buurten", "area", "areas") == bilingual("1 buurt", "1 area")
    assert count(1234, "buurt", "buurten", "area", "areas") == bilingual("1.234 buurten", "1,234 areas")
