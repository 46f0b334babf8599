"""Groups of residents: together they are all, and what is hidden of one does not follow from others."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from made_persons import Made, made

import buurtsae as bs
from buurtsae.engines.units import UnitFits, fit_units
from buurtsae.estimates.groups import Groups, estimate_groups, hiding
from buurtsae.estimates.summary import estimate
from buurtsae.scale import PERCENT

QUICK: dict[str, Any] = {"draws": 400, "hyperparameters": 60, "progress": False}
AGES = {"jong": {"leeftijd": ["le0", "le1", "le2"]}, "oud": {"leeftijd": ["le3"]}}
SMALL = "A0007"  # where few old people live


@pytest.fixture(scope="module")
def world() -> Made:
    whole = made()
    r = whole.residents
    few = (r.areas.codes[r.area] == SMALL) & r.inside({"leeftijd": ["le3"]})
    count = np.where(few, np.minimum(r.count, 1.0), r.count)  # 6 cells: 6 people at most
    asked = np.where(few, 0, whole.asked)
    return replace(whole, residents=replace(r, count=count), asked=asked)


@pytest.fixture(scope="module")
def fits(world: Made) -> UnitFits:
    terms = {"terms": [bs.IID("area")], "persons": [bs.Ordered("leeftijd"), bs.Factor("herkomst")]}
    models = {"eenzaam": bs.UnitModel("1 + x", outcome=bs.Binomial(scale=PERCENT), **terms),
              "cijfer": bs.UnitModel("1 + x", outcome=bs.Gaussian((-10, 10)), **terms)}  # fmt: skip
    return fit_units(models, {"eenzaam": world.yes, "cijfer": world.numbers}, world.residents, **QUICK)


@pytest.fixture(scope="module")
def groups(fits: UnitFits) -> Groups:
    return estimate_groups(estimate(fits.fit_of()), fits, {"leeftijd": AGES})


def test_groups_together_are_all_residents(groups: Groups) -> None:
    shown = groups.table[groups.table["label"] != "niet_publiceren"]
    weighted = shown.assign(total=shown["estimate"] * shown["population"])
    key = ["level", "area_code", "measure"]
    found = weighted.groupby(key).agg(total=("total", "sum"), people=("population", "sum"), parts=("group", "size"))
    both = found[found["parts"] == 2].join(groups.whole.table.set_index(key)[["estimate", "population"]])
    assert len(both) == 2 * (25 - 3 + 1)  # two measures: areas but the three that are hidden, and the whole
    np.testing.assert_array_equal(both["people"], both["population"])
    np.testing.assert_allclose(both["total"] / both["people"], both["estimate"], atol=1e-9)


def test_a_small_group_takes_the_others_along(groups: Groups, fits: UnitFits) -> None:
    hidden = groups.table[groups.table["label"] == "niet_publiceren"]
    assert hidden[["estimate", "lower", "upper", "n_respondents"]].isna().all(axis=None)
    assert set(hidden.loc[hidden["area_code"] == SMALL, "group"]) == {"jong", "oud"}
    alone = estimate(fits.fit_of(AGES["oud"])).table  # others protect it from the sum of all old people
    protecting = set(alone.loc[alone["label"] == "niet_publiceren", "area_code"])
    assert len(protecting) == 3
    for _, part in hidden.groupby("group"):
        assert set(part["area_code"]) == protecting
    why = hidden.drop_duplicates(["area_code", "group"]).set_index(["area_code", "group"])["reason"]
    assert why[SMALL, "oud"] == "minder dan 10 inwoners"
    whole = groups.whole.table
    assert (whole["label"] != "niet_publiceren").all()  # that of all residents says nothing of one group


def test_what_groups_hide_of_all_residents_is_hidden_there(fits: UnitFits) -> None:
    est = estimate(fits.fit_of())
    hidden = hiding(est, [("area", "A0003")])
    rows = hidden.published[hidden.published["area_code"] == "A0003"]
    assert (rows["label"] == "niet_publiceren").all()
    assert rows["estimate"].isna().all()
    others = hidden.table[hidden.table["area_code"] == "A0004"]
    assert others["reason"].equals(est.table[est.table["area_code"] == "A0004"]["reason"])
    assert hiding(est, []) is est


def test_hidden_figures_are_not_in_what_others_are_compared_with(groups: Groups) -> None:
    """Of the young no area is small: three are hidden to protect the old, and are in no rank of the others."""
    young = groups.table[(groups.table["group"] == "jong") & (groups.table["level"] == "area")]
    shown = young[young["label"] != "niet_publiceren"]
    assert shown["rank_upper"].max() == len(shown) / 2 == 22  # two measures


def test_another_characteristic_does_not_give_away_what_is_hidden_of_all(world: Made) -> None:
    """Nine old of ten take the figure of all along, and that of another area: no other groups may add up to these."""
    r = world.residents
    of = np.zeros((len(r.count), 2))
    for k, wanted in enumerate(({"leeftijd": ["le3"]}, {"leeftijd": ["le0", "le1", "le2"]})):
        at = np.flatnonzero((r.areas.codes[r.area] == SMALL) & r.inside(wanted))
        of[at[: (6, 1)[k]], k] = (1.5, 1.0)[k]  # 9 old, 1 young
    own = r.areas.codes[r.area] == SMALL
    residents = replace(r, count=np.where(own, of.sum(axis=1), r.count))
    asked = replace(world, asked=np.where(own, 0, world.asked))
    model = bs.UnitModel("1 + x", outcome=bs.Binomial(scale=PERCENT), terms=[bs.IID("area")],
                         persons=[bs.Ordered("leeftijd")])  # fmt: skip
    fits = fit_units({"eenzaam": model}, {"eenzaam": asked.yes}, residents, **QUICK)
    sexes = {"m": {"geslacht": ["ge0"]}, "v": {"geslacht": ["ge1"]}}
    found = estimate_groups(estimate(fits.fit_of()), fits, {"leeftijd": AGES, "geslacht": sexes})
    closed = found.whole.table.loc[found.whole.table["label"] == "niet_publiceren", "area_code"]
    assert len(closed) > 1
    assert SMALL in set(closed)
    rows = found.table[found.table["area_code"].isin(closed) & (found.table["characteristic"] == "geslacht")]
    assert (rows["label"] == "niet_publiceren").all()


def test_the_repr_says_how_many(groups: Groups) -> None:
    assert repr(groups) == "Groups of {'leeftijd': 2}: 104 figures, 12 hidden"
