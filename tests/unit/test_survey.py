"""Surveys: what is read, and every kind of bad input, all of it at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest

from buurtsae.areas.areas import Areas
from buurtsae.errors import DataError, Problems, ProblemsError
from buurtsae.survey.codebook import Codebook
from buurtsae.survey.concept import Concept
from buurtsae.survey.direct import direct
from buurtsae.survey.population_totals import Calibration
from buurtsae.survey.replicates import ReplicatePlan
from buurtsae.survey.survey import Survey, check_areas

Written = Callable[..., Path]
ITEMS = [i.name for i in Codebook.load("burgerpeiling").items]


def respondents(n: int = 4) -> pd.DataFrame:
    """Burgerpeiling-like: everyone answers 2 to everything."""
    return pd.DataFrame(
        {
            "buurtcode": [f"BU034400{k:02}" for k in range(n)],
            "gewicht": np.arange(1.0, n + 1),
            "stratum": ["noord", "zuid"] * (n // 2),
            **{item: 2 for item in ITEMS},
        }
    )


def read(path: Path, **keys: object) -> Survey:
    return Survey.read(path, "burgerpeiling", 2023, **keys)  # type: ignore[arg-type]


def problems_of(path: Path, **keys: object) -> dict[str, str]:
    with pytest.raises((DataError, ProblemsError)) as raised:
        read(path, **keys)
    found = getattr(raised.value, "problems", (raised.value,))
    return {p.what: p.got for p in found}


@pytest.mark.parametrize("name", ["s.csv", "s.parquet"])
def test_respondents_are_read(written: Written, name: str) -> None:
    survey = read(written(respondents(), name), strata="stratum")
    assert len(survey) == 4
    assert list(survey.frame) == ["area_code", "weight", "stratum", *ITEMS]
    assert survey.frame["area_code"].tolist() == respondents()["buurtcode"].tolist()
    assert survey.frame["weight"].tolist() == [1, 2, 3, 4]
    assert survey.frame["stratum"].tolist() == ["noord", "zuid", "noord", "zuid"]
    assert (survey.frame[ITEMS] == 2).all(axis=None)
    assert (survey.year, survey.codebook.id) == (2023, "burgerpeiling")
    assert repr(survey).startswith(
        "Survey Burgerpeiling 2023: 4 respondents in 4 buurten, 10 items for omgang_en_relaties"
    )


def test_a_dutch_file_with_semicolons_and_decimal_commas(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    respondents().to_csv(path, index=False, sep=";", decimal=",", encoding="utf-8-sig", lineterminator="\r\n")
    assert read(path).frame["weight"].tolist() == [1, 2, 3, 4]
    respondents().assign(gewicht=[0.5, 1.25, 2, 1]).to_csv(path, index=False, sep=";", decimal=",", encoding="utf-8")
    assert read(path).frame["weight"].tolist() == [0.5, 1.25, 2, 1]


def test_without_strata_all_are_in_one(written: Written) -> None:
    assert read(written(respondents().drop(columns="stratum"), "s.csv")).frame["stratum"].unique().tolist() == ["all"]


def test_columns_may_have_other_names(written: Written) -> None:
    frame = respondents().rename(columns={"buurtcode": "BU", "gewicht": "w"})
    survey = read(written(frame, "s.csv"), area="BU", weight="w")
    assert survey.frame["weight"].sum() == 10


def test_no_answer_is_missing_never_a_score(written: Written) -> None:
    frame = respondents().assign(groen=[8, 9, np.nan, 1])  # 8 geen mening, 9 geen antwoord, blank
    survey = read(written(frame, "s.csv"))
    assert survey.frame["groen"].isna().tolist() == [True, True, True, False]
    assert survey.frame["veiligheid"].notna().all()


def test_an_item_not_asked_is_named_an_absent_one_is_an_error(written: Written) -> None:
    path = written(respondents().drop(columns=["groen", "veiligheid"]), "s.csv")
    survey = read(path, not_asked=["groen", "veiligheid"])
    assert "groen" not in survey.frame
    assert problems_of(path, not_asked=["groen"]) == {"s.csv lacks items of burgerpeiling": "no column veiligheid"}
    # a slip in `not_asked` is no silence
    assert list(problems_of(path, not_asked=["groen", "veilig"])) == [
        "`not_asked` names unknown items of burgerpeiling",
        "s.csv lacks items of burgerpeiling",
    ]


@pytest.mark.parametrize(
    ("change", "what", "got"),
    [
        ({"gewicht": [1, -2, 1, 0]}, "s.csv has weights that are not positive", "2 rows, lowest -2"),
        ({"gewicht": [1, None, 1, 1]}, "s.csv has weights that are missing or no number", "1 rows"),
        ({"gewicht": ["1", "zwaar", "1", "1"]}, "s.csv has weights that are missing or no number", "1 rows"),
        ({"gewicht": [0, 0, 0, 0]}, "s.csv has strata with all weights zero", "all"),
        ({"gewicht": [1, np.inf, 1, 1]}, "s.csv has weights that are missing or no number", "1 rows"),
        ({"groen": [1, 6, 0, 7]}, "s.csv, groen: answers outside the scale", "0, 6, 7"),
        ({"groen": [1, 2.5, 2, 2]}, "s.csv, groen: answers outside the scale", "2.5"),
        ({"groen": [1, np.inf, 2, 2]}, "s.csv, groen: answers are not codes", "inf"),
        ({"groen": ["tevreden", "1", "2", "2"]}, "s.csv, groen: answers are not codes", "tevreden"),
        ({"buurtcode": ["BU03440000", None, " ", "BU03440001"]}, "s.csv has respondents without buurtcode", "2 rows"),
        ({"buurtcode": [440001, 440002, 440003, 440004]}, "s.csv has malformed buurtcodes", None),
        (
            {"buurtcode": ["BU03440000", "BU0344", "BU03440001", "WK034400"]},
            "s.csv has malformed buurtcodes",
            "BU0344, WK034400",
        ),
    ],
)
def test_bad_cells_are_refused(written: Written, change: dict[str, list[object]], what: str, got: str | None) -> None:
    found = problems_of(written(respondents().assign(**change), "s.csv"))
    assert list(found) == [what]
    if got is not None:
        assert found[what] == got


@pytest.mark.parametrize("column", ["buurtcode", "gewicht"])
def test_a_missing_column_is_refused(written: Written, column: str) -> None:
    path = written(respondents().drop(columns=column), "s.csv")
    with pytest.raises(DataError) as raised:
        read(path)
    assert (raised.value.what, raised.value.expected) == ("s.csv lacks columns", column)
    with pytest.raises(ProblemsError):  # the stratum is named too
        read(written(respondents().drop(columns=[column, *ITEMS]), "t.csv"), strata="wijk")


def test_no_respondents_is_refused(written: Written) -> None:
    assert problems_of(written(respondents().head(0), "s.csv")) == {"s.csv has no respondents": "0 rows"}


def test_a_source_without_codebook_is_refused(written: Written) -> None:
    path = written(respondents(), "s.csv")
    with pytest.raises(DataError, match="source 'nergens' has no codebook"):
        Survey.read(path, "nergens", 2023)


def test_all_problems_at_once(written: Written) -> None:
    frame = respondents().assign(gewicht=[None, -1, np.inf, 1], groen=7, veiligheid="goed", buurtcode="x")
    assert list(problems_of(written(frame, "s.csv"))) == [
        "s.csv has weights that are missing or no number",
        "s.csv has weights that are not positive",
        "s.csv has malformed buurtcodes",
        "s.csv, groen: answers outside the scale",
        "s.csv, veiligheid: answers are not codes",
    ]


def test_unknown_buurten_and_codes_of_another_year(grid: Callable[..., gpd.GeoDataFrame], written: Written) -> None:
    areas = Areas.read(written(grid(1, 3), "a.gpkg"), 2024)  # BU03440000 to 02: respondent 3 lives elsewhere
    survey, problems = read(written(respondents(), "s.csv")), Problems()
    check_areas(survey, areas, problems, code_year=2023)
    assert [(p.what, p.got, p.expected) for p in problems.found] == [
        ("the buurtcodes of burgerpeiling are of another year", "2023", "2024"),
        ("1 respondents of burgerpeiling live in unknown buurten", "BU03440003", "buurtcodes of 2024"),
    ]
    known, none = read(written(respondents().head(2), "t.csv")), Problems()
    check_areas(known, areas, none, code_year=2024)
    check_areas(known, areas, none)
    assert none.found == []


def test_respondents_elsewhere_are_left_out_and_counted_when_asked(
    grid: Callable[..., gpd.GeoDataFrame], written: Written
) -> None:
    areas = Areas.read(written(grid(1, 3), "a.gpkg"), 2024)
    survey = read(written(respondents(), "s.csv"), strata="stratum")
    here, none = survey.within(areas), Problems()
    check_areas(here, areas, none)
    assert none.found == []
    assert here.frame["area_code"].tolist() == ["BU03440000", "BU03440001", "BU03440002"]
    assert here.frame["weight"].tolist() == [1.0, 2.0, 3.0]
    assert here.notes[-1] == (
        "1 of 4 respondents of burgerpeiling left out: they live in 1 buurten that the areas do not have (BU03440003)"
    )
    assert here.within(areas) is here


def per_wijk(n: int = 4) -> pd.DataFrame:
    """The same respondents, two wijken, of whom the buurt is unknown; codes padded as StatLine does."""
    frame = respondents(n).rename(columns={"buurtcode": "wijkcode"})
    return frame.assign(wijkcode=[f"WK0344{k % 2:02}  " for k in range(n)])


@pytest.mark.parametrize("name", ["s.csv", "s.parquet"])
def test_respondents_known_per_wijk(written: Written, name: str) -> None:
    survey = read(written(per_wijk(), name), level="wijk")
    assert (survey.level, survey.frame["area_code"].tolist()) == ("wijk", ["WK034400", "WK034401"] * 2)
    assert "4 respondents in 2 wijken" in repr(survey)
    assert Concept.load().score(survey).level == "wijk"
    other = written(per_wijk().rename(columns={"wijkcode": "wk"}), name)
    assert read(other, level="wijk", area="wk").frame["area_code"].tolist() == survey.frame["area_code"].tolist()
    with pytest.raises(DataError) as raised:
        read(other, level="wijk")
    assert raised.value.expected == "wijkcode"


@pytest.mark.parametrize(
    ("level", "code", "hint"),
    [
        ("wijk", "BU03440001", 'set `level = "buurt"`'),  # what it is a code of
        ("wijk", "034400", "give codes as text"),
        ("wijk", "WK0344", "give codes as text"),
        ("buurt", "WK034400", 'set `level = "wijk"`'),
    ],
)
def test_codes_of_another_level_are_refused_and_say_so(written: Written, level: str, code: str, hint: str) -> None:
    frame = per_wijk().assign(wijkcode=code)
    with pytest.raises(DataError) as raised:
        read(written(frame, "s.csv"), level=level, area="wijkcode")
    form = {"wijk": "the form WK034401", "buurt": "the form BU03440101"}[level]
    assert (raised.value.what, raised.value.got) == (f"s.csv has malformed {level}codes", code)
    assert (raised.value.expected, raised.value.hint) == (form, hint)


def test_a_source_is_known_per_buurt_or_wijk(written: Written) -> None:
    assert problems_of(written(respondents(), "s.csv"), level="gemeente") == {
        "level of burgerpeiling is unknown": "'gemeente'"
    }


def test_unknown_wijken(grid: Callable[..., gpd.GeoDataFrame], written: Written) -> None:
    areas = Areas.read(written(grid(1, 3), "a.gpkg"), 2024)  # WK034400 only
    survey, problems = read(written(per_wijk(), "s.csv"), level="wijk"), Problems()
    check_areas(survey, areas, problems, code_year=2023)
    assert [(p.what, p.got, p.expected) for p in problems.found] == [
        ("the wijkcodes of burgerpeiling are of another year", "2023", "2024"),
        ("2 respondents of burgerpeiling live in unknown wijken", "WK034401", "wijkcodes of 2024"),
    ]


def test_the_same_person_in_two_wijken_is_refused(written: Written) -> None:
    path = written(per_wijk().assign(nummer=["a", "a", "b", "b"]), "s.csv")
    assert problems_of(path, level="wijk", id="nummer") == {"s.csv has respondents in two wijken": "a, b"}


def test_margins_of_a_source_known_per_wijk(written: Written) -> None:
    """Its wijk and gemeente follow from the code, its buurt does not."""
    path, names = written(per_wijk(), "s.csv"), ["margin", "category", "total"]
    rows = [("wijk", "WK034400", 30), ("wijk", "WK034401", 10), ("gemeente", "GM0344", 40)]
    totals = pd.DataFrame(rows, columns=names)
    frame = read(path, level="wijk", calibrate=Calibration(totals)).frame
    assert frame.groupby("area_code")["weight"].sum().to_dict() == pytest.approx({"WK034400": 30, "WK034401": 10})
    buurt = pd.DataFrame([("buurt", "BU03440000", 40)], columns=names)
    found = problems_of(path, level="wijk", calibrate=Calibration(buurt))
    assert list(found) == ["s.csv has no column for margin 'buurt'"]


def test_a_stratum_with_all_weights_zero_is_named(written: Written) -> None:
    path = written(respondents().assign(gewicht=[0, 1, 0, -1]), "s.csv")
    assert problems_of(path, strata="stratum") == {
        "s.csv has strata with all weights zero": "noord",
        "s.csv has weights that are not positive": "1 rows, lowest -1",
    }


def test_respondents_in_two_buurten_or_twice_are_refused(written: Written) -> None:
    frame = respondents().assign(nr=["a", "b", "a", "c"])
    path = written(frame, "s.csv")
    assert problems_of(path, id="nr") == {"s.csv has respondents in two buurten": "a"}
    assert len(read(path)) == 4  # without an identifier nothing is known
    same = frame.assign(buurtcode="BU03440000")
    assert problems_of(written(same, "t.csv"), id="nr") == {"t.csv has respondents twice in one buurt": "a"}
    blank = frame.assign(nr=["a", None, "d", "c"])
    assert problems_of(written(blank, "u.csv"), id="nr") == {"u.csv has respondents without identifier": "1 rows"}
    assert len(read(written(frame.assign(nr=[1, 2, 3, 4]), "v.csv"), id="nr")) == 4


def test_participatory_sources_may_come_without_weights(written: Written) -> None:
    book = Codebook.load("leefplekmeter")
    frame = respondents()[["buurtcode"]].assign(**{i.name: 6 for i in book.items})
    path = written(frame, "l.csv")
    for keys in ({}, {"weight": None}):
        survey = Survey.read(path, "leefplekmeter", 2023, **keys)  # type: ignore[arg-type]
        assert survey.frame["weight"].tolist() == [1, 1, 1, 1]
    assert problems_of(written(respondents(), "s.csv"), weight=None) == {"burgerpeiling has no weights": "none"}


def sampled(n: int = 8) -> pd.DataFrame:
    """Two strata of two clusters of two respondents."""
    frame = respondents(n).assign(stratum=np.repeat(["noord", "zuid"], n // 2), wijkje=np.repeat(list("abcd"), n // 4))
    return frame.assign(
        grootte=np.repeat([10, 5], n // 2), leeftijd=["jong", "oud"] * (n // 2), geslacht=list("mmvv") * 2
    )


def test_clusters_and_population_sizes_are_read(written: Written) -> None:
    survey = read(written(sampled(), "s.csv"), strata="stratum", cluster="wijkje", fpc="grootte")
    assert survey.frame["cluster"].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert survey.frame["fpc"].tolist() == [10] * 4 + [5] * 4
    assert survey.notes == ()
    design = survey.design.sample(survey.frame).stages[0]
    assert design.size.tolist() == [2, 2]
    assert design.fraction.tolist() == [0.2, 0.4]
    sizes = pd.DataFrame({"stratum": ["noord", "zuid"], "population": [10, 5]})
    other = read(written(sampled(), "t.csv"), strata="stratum", cluster="wijkje", strata_population=sizes)
    np.testing.assert_array_equal(other.design.sample(other.frame).stages[0].fraction, design.fraction)


@pytest.mark.parametrize(
    ("change", "keys", "what", "got"),
    [
        ({"wijkje": ["a", None] * 4}, {"cluster": "wijkje"}, "s.csv, wijkje: clusters are missing", "4 rows"),
        ({"grootte": 0}, {"fpc": "grootte"}, "s.csv, grootte: population sizes are missing or not positive", "8 rows"),
        ({"grootte": "veel"}, {"fpc": "grootte"}, "s.csv, grootte: population sizes are no numbers", None),
        ({}, {"fpc": ["grootte", "gewicht"]}, "more population sizes than stages", "grootte, gewicht"),
        ({"grootte": 3}, {"fpc": "grootte"}, "population sizes do not fit the strata", "2 strata: noord, zuid"),
        ({}, {"cluster": ["wijkje", "buurtcode", "stratum"]}, "too many stages", "3 cluster columns"),
    ],
)
def test_designs_that_cannot_be_are_refused(
    written: Written, change: dict[str, object], keys: dict[str, object], what: str, got: str | None
) -> None:
    found = problems_of(written(sampled().assign(**change), "s.csv"), strata="stratum", **keys)
    assert list(found) == [what]
    assert got is None or found[what] == got


def test_strata_must_be_in_the_population_table(written: Written, tmp_path: Path) -> None:
    path, table = written(sampled(), "s.csv"), tmp_path / "strata.csv"
    table.write_text("stratum;population\nnoord;10\nZuid;5\n", encoding="utf-8")
    found = problems_of(path, strata="stratum", strata_population=table)
    assert found == {"strata of s.csv are not in strata.csv": "zuid"}
    table.write_text("stratum;population\nnoord;30\nzuid;50\noost;20\n", encoding="utf-8")
    survey = read(path, strata="stratum", strata_population=table)
    assert survey.notes == ("1 strata of strata.csv have no respondents (oost): 20.0% of it",)
    assert list(problems_of(path, strata="stratum", strata_population=table, fpc="grootte")) == [
        "population sizes are given twice"
    ]
    table.write_text("stratum;population\nnoord;30\nnoord;50\nzuid;2\n", encoding="utf-8")
    assert problems_of(path, strata="stratum", strata_population=table) == {"strata.csv has strata twice": "noord"}
    table.write_text("laag;population\nnoord;30\n", encoding="utf-8")
    assert list(problems_of(path, strata="stratum", strata_population=table)) == ["strata.csv lacks columns"]


def test_a_lonely_stratum_is_noted_or_refused(written: Written) -> None:
    path = written(sampled().assign(stratum=["noord"] * 7 + ["zuid"]), "s.csv")
    assert read(path, strata="stratum").notes == (
        "1 strata of s.csv have one respondent (zuid): centred at the grand mean",
    )
    (note,) = read(written(sampled().assign(stratum=["noord"] * 7 + [""]), "t.csv"), strata="stratum").notes
    assert (note, note.nl.partition(":")[0]) == (
        "1 strata of t.csv have one respondent (an empty one): centred at the grand mean",
        "1 strata van t.csv hebben maar één respondent (een lege)",
    )
    assert read(path, strata="stratum", lonely="certainty").notes[0].endswith("taken as certain, without variance")
    assert problems_of(path, strata="stratum", lonely="fail") == {"1 strata have one sampled unit (stage 1)": "zuid"}
    clustered = read(path, strata="stratum", cluster="wijkje").notes
    assert clustered == ("1 strata of s.csv have one sampled cluster (zuid): centred at the grand mean",)


def test_weights_are_calibrated_while_reading(written: Written) -> None:
    rows = [("leeftijd", "jong", 60), ("leeftijd", "oud", 40), ("gemeente:geslacht", "GM0344:m", 45)]
    totals = pd.DataFrame([*rows, ("gemeente:geslacht", "GM0344:v", 55)], columns=["margin", "category", "total"])
    survey = read(written(sampled(), "s.csv"), calibrate=Calibration(totals))
    frame = survey.frame
    assert frame.groupby("margin_leeftijd")["weight"].sum().tolist() == pytest.approx([60, 40])
    assert frame.groupby("margin_gemeente:geslacht")["weight"].sum().tolist() == pytest.approx([45, 55])
    assert frame["base_weight"].tolist() == list(range(1, 9))
    assert survey.notes[0].startswith("weights of s.csv calibrated: factors ")
    x, base = survey.design.calibrated(frame)  # type: ignore[misc]
    np.testing.assert_allclose(x.T @ frame["weight"], [60, 40, 45, 55], rtol=1e-9)
    assert base.tolist() == list(range(1, 9))
    wrong = problems_of(written(sampled(), "t.csv"), calibrate=Calibration(totals.head(2).assign(category="jong")))
    assert "the table of totals has categories twice" in wrong


def test_replicate_weights_are_read(written: Written) -> None:
    rng = np.random.default_rng(2)
    wide = sampled().assign(**{f"rw{k}": rng.uniform(1, 3, 8) for k in range(3)})
    path = written(wide, "s.csv")
    survey = read(path, replicates=ReplicatePlan("rw", "bootstrap"))
    made = survey.design.replicate_weights(survey.frame)
    assert made is not None
    np.testing.assert_allclose(made.weights, wide[["rw0", "rw1", "rw2"]])
    assert made.scale == 0.5
    factors = read(path, replicates=ReplicatePlan(("rw0", "rw1"), "bootstrap", combined=False))
    product = factors.design.replicate_weights(factors.frame)
    assert product is not None
    np.testing.assert_allclose(product.weights, wide[["rw0", "rw1"]].mul(wide["gewicht"], axis=0))
    for plan, what in (
        (ReplicatePlan("bsw", "bootstrap"), "s.csv has no replicate weights"),
        (ReplicatePlan(("rw0", "rw9"), "bootstrap"), "s.csv lacks replicate weights"),
        (ReplicatePlan("rw", "JKn"), "replicate weights of kind JKn need rscales"),
    ):
        assert list(problems_of(path, replicates=plan)) == [what]
    bad = written(wide.assign(rw1=[-1.0] * 8), "t.csv")
    assert problems_of(bad, replicates=ReplicatePlan("rw", "bootstrap")) == {
        "t.csv: replicate weights are missing, negative or all 0": "rw1"
    }


def test_the_design_reaches_the_estimates(grid: Callable[..., gpd.GeoDataFrame], written: Written) -> None:
    areas = Areas.read(written(grid(1, 8), "a.gpkg"), 2024)
    frame = sampled().assign(groen=[1, 2, 3, 4, 5, 1, 2, 3], buurtcode=[f"BU034400{k // 2:02}" for k in range(8)])
    path = written(frame, "s.csv")
    plain, clustered = (
        direct(Concept.load().score(read(path, strata="stratum", **keys)), areas).totals("land")["direct_se"]
        for keys in ({}, {"cluster": "wijkje", "fpc": "grootte"})
    )
    assert (plain - clustered).abs().max() > 1e-3
