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
    assert list(survey.frame) == ["area", "weight", "stratum", *ITEMS]
    assert survey.frame["area"].tolist() == respondents()["buurtcode"].tolist()
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
        ({"gewicht": [1, np.inf, 1, 1]}, "s.csv has infinite weights", "1 rows"),
        ({"groen": [1, 6, 0, 7]}, "s.csv, groen: answers outside the scale", "0, 6, 7"),
        ({"groen": [1, 2.5, 2, 2]}, "s.csv, groen: answers outside the scale", "2.5"),
        ({"groen": [1, np.inf, 2, 2]}, "s.csv, groen: answers outside the scale", "inf"),
        ({"groen": ["tevreden", "1", "2", "2"]}, "s.csv, groen: answers are not codes", "tevreden"),
        ({"buurtcode": [440001, 440002, 440003, 440004]}, "s.csv has malformed buurtcodes", None),
        (
            {"buurtcode": ["BU03440000", None, "BU03440001", "WK034400"]},
            "s.csv has malformed buurtcodes",
            "<NA>, WK034400",
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
    with pytest.raises(DataError, match="source 'lemon' has no codebook"):
        Survey.read(path, "lemon", 2023)


def test_all_problems_at_once(written: Written) -> None:
    frame = respondents().assign(gewicht=[None, -1, np.inf, 1], groen=7, veiligheid="goed", buurtcode="x")
    assert list(problems_of(written(frame, "s.csv"))) == [
        "s.csv has weights that are missing or no number",
        "s.csv has weights that are not positive",
        "s.csv has infinite weights",
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
