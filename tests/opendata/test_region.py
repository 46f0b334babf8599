"""Regions by name."""

from __future__ import annotations

import pandas as pd
import pytest

from buurtsae.errors import BuurtsaeError, DataError
from buurtsae.opendata.region import Asked, Region

GEMEENTEN = pd.DataFrame(
    [
        ("GM0363", "Amsterdam", "PV27", "Noord-Holland", "GG3406", "GGD Amsterdam"),
        ("GM0373", "Bergen (NH.)", "PV27", "Noord-Holland", "GG2707", "GGD Hollands-Noorden"),
        ("GM0893", "Bergen (L.)", "PV31", "Limburg (PV)", "GG4607", "GGD Limburg-Noord"),
        ("GM0164", "Hengelo (O.)", "PV23", "Overijssel", "GG1106", "GGD Twente"),
        ("GM0344", "Utrecht (gemeente)", "PV26", "Utrecht (PV)", "GG2209", "GGD Regio Utrecht"),
        ("GM0518", "'s-Gravenhage (gemeente)", "PV28", "Zuid-Holland", "GG3106", "GGD Haaglanden"),
    ],
    columns=["gemeentecode", "gemeentenaam", "provinciecode", "provincienaam", "ggdregiocode", "ggdregio"],
)


@pytest.mark.parametrize(
    ("asked", "codes"),
    [
        (Asked(("amsterdam",)), ("GM0363",)),
        (Asked(("gm0363", "AMSTERDAM ")), ("GM0363",)),
        (Asked(("Hengelo",)), ("GM0164",)),
        (Asked(("363", "GM373")), ("GM0363", "GM0373")),
        (Asked(("Den Haag", "Utrecht")), ("GM0344", "GM0518")),
        (Asked(("Bergen (L.)",)), ("GM0893",)),
        (Asked(provincie="noord-holland"), ("GM0363", "GM0373")),
        (Asked(provincie="Limburg"), ("GM0893",)),
        (Asked(ggd="GG3406"), ("GM0363",)),
        (Asked(land=True), None),
    ],
)
def test_regions(asked: Asked, codes: tuple[str, ...] | None) -> None:
    assert Region.of(asked, GEMEENTEN, 2024, GEMEENTEN).gemeenten == codes


def test_its_name() -> None:
    several = Region.of(Asked(("Amsterdam", "Hengelo", "Den Haag")), GEMEENTEN, 2024)
    assert several.name == "Hengelo (O.), Amsterdam en 's-Gravenhage"
    assert Region.of(Asked(land=True), GEMEENTEN, 2024).name == "Nederland"


def test_what_is_like_an_unknown_name() -> None:
    with pytest.raises(BuurtsaeError) as told:
        Region.of(Asked(("Amsterdm", "Weesp")), GEMEENTEN, 2024)
    assert "such as Amsterdam (GM0363)" in str(told.value)
    assert "a gemeente in 2024" in str(told.value)
    with pytest.raises(DataError, match="several have the name Bergen") as two:
        Region.of(Asked(("Bergen",)), GEMEENTEN, 2024)
    assert "GM0373" in two.value.got
    assert "GM0893" in two.value.got


@pytest.mark.parametrize("given", [{}, {"land": True, "ggd": "x"}, {"gemeenten": ("a",), "provincie": "b"}])
def test_a_region_is_one_thing(given: dict[str, object]) -> None:
    with pytest.raises(DataError, match="the region is not clear"):
        Asked(**given)  # type: ignore[arg-type]


def test_a_group_of_another_year() -> None:
    with pytest.raises(DataError, match="has gemeenten that are not in the division of 2023") as told:
        Region.of(Asked(provincie="Noord-Holland"), GEMEENTEN.iloc[:1], 2023, GEMEENTEN)
    assert told.value.got == "GM0373"
