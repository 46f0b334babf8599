"""Names of columns of CBS figures that stand in codebooks: by code, by title, and neither."""

from __future__ import annotations

import pandas as pd

from buurtsae.opendata.names import BY_CODE, columns_of
from buurtsae.survey.codebook import Codebook


def test_codes_are_those_of_the_codebook() -> None:
    assert {one.code: one.name for one in Codebook.load("kwb").indicators if one.code} == BY_CODE


def test_distances_have_names_of_two_codebooks_and_their_code_where_none_knows_them() -> None:
    titles = pd.Series(["Afstand tot huisartsenpraktijk", "Afstand tot café e.d.", "Afstand tot iets anders"])
    found = columns_of(["D1", "D2", "D3"], titles, pd.Series(["km"] * 3), "kwb")
    assert found == ["afstand_huisarts_km", "afstand_cafe_km", "d3"]
