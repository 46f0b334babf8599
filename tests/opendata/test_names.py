"""Names of columns of CBS figures that stand in codebooks: by code, by title, and neither."""

from __future__ import annotations

import pandas as pd

from buurtsae.opendata.names import columns_of


def columns(*measures: tuple[str, str, str]) -> list[str | None]:
    """Names of measures, each a code, a title and a unit."""
    codes, titles, units = zip(*measures, strict=True)
    return columns_of(codes, pd.Series(titles), pd.Series(units), "kwb")


def test_a_code_says_more_than_a_title() -> None:
    """T001036 are residents, whatever they are called (open-data.md, 1.2); another of that title has its own code."""
    assert columns(("T001036", "Bevolking", "aantal"), ("X1", "Aantal inwoners", "aantal")) == ["inwoners", "x1"]


def test_a_title_counts_once_and_with_its_unit() -> None:
    assert columns(("X1", "Koopwoningen", "%")) == ["pct_koopwoningen"]
    assert columns(("X1", "Koopwoningen", "aantal")) == ["x1"]
    assert columns(("X1", "Koopwoningen", "%"), ("X2", "Koopwoningen", "%")) == ["x1", "x2"]
    assert columns(("X1", "Koopwoningen", "%"), ("X2", "percentage_koopwoningen", "%")) == ["x1", "x2"]


def test_what_a_formula_cannot_hold_and_what_repeats_the_area() -> None:
    assert columns(("1050A-2", "Iets", "aantal"), ("GM000C", "Gemeentenaam", "")) == ["c_1050a_2", None]


def test_distances_have_names_of_two_codebooks_and_their_code_where_none_knows_them() -> None:
    titles = pd.Series(["Afstand tot huisartsenpraktijk", "Afstand tot café e.d.", "Afstand tot iets anders"])
    found = columns_of(["D1", "D2", "D3"], titles, pd.Series(["km"] * 3), "kwb")
    assert found == ["afstand_huisarts_km", "afstand_cafe_km", "d3"]
