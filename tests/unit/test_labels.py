"""Labels, reasons, basis and verdicts: what a row is said to be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from made_fit import SILENT, UNKNOWN_X, Made, made_fit

from buurtsae.engines.base import Fit
from buurtsae.estimates.contrasts import contrast
from buurtsae.estimates.labels import EXTRAPOLATED, IMPUTED, Rules, basis, in_english, unseen, verdicts
from buurtsae.estimates.summary import Estimates, estimate, unsure
from buurtsae.scale import Scale

TOTAL = "buurtverbondenheid"
FAR = SILENT[1]


@pytest.fixture(scope="module")
def made() -> Made:
    return made_fit()


def outside(fit: Fit, codes: tuple[str, ...]) -> Fit:
    """The fit, of a model to which some areas lie outside the others in a covariate."""
    return replace(fit, design=replace(fit.design, extrapolated={"groen": codes}))


@pytest.fixture(scope="module")
def est(made: Made) -> Estimates:
    return estimate(outside(made.fit, (FAR,)), rules=Rules(protection=0))


def test_areas_outside_the_others_are_indicative_and_say_so(est: Estimates) -> None:
    assert unsure(est.fit) == {IMPUTED: {UNKNOWN_X}, EXTRAPOLATED: {FAR}}
    rows = est.table[est.table["area_code"] == FAR]
    assert set(rows["label"]) == {"indicatief"}
    assert rows["reason"].str.contains(EXTRAPOLATED, regex=False).all()
    assert "extrapolation" in in_english(rows["reason"].iloc[0])
    others = est.table[~est.table["area_code"].isin([FAR])]
    assert not others["reason"].fillna("").str.contains("extrapolatie").any()


def test_a_level_of_which_all_is_unsure_is_unsure(made: Made) -> None:
    areas = made.fit.areas
    wijk = areas.parents("wijk")
    inside = tuple(areas.codes[(wijk == wijk[FAR]) & areas.inhabited])
    assert unsure(outside(made.fit, inside))[EXTRAPOLATED] == {*inside, wijk[FAR]}
    assert unsure(outside(made.fit, inside[1:]))[EXTRAPOLATED] == set(inside[1:])


def test_nothing_is_nearly_certain_where_nobody_was_seen() -> None:
    """Nobody answered and a covariate is unsure: both, or it is as certain as its probability."""
    third = [IMPUTED, EXTRAPOLATED, IMPUTED]
    table = pd.DataFrame(
        {
            "p_above_parent": [0.999, 0.001, 0.999, 0.999, 0.5, np.nan],
            "n_respondents": [0, 0, 0, 1, 0, 0],
            "reason": [IMPUTED, f"geen eigen respondenten: schatting uit het model; {EXTRAPOLATED}", None, *third],
        }
    )
    assert unseen(table).tolist() == [True, True, False, False, True, True]
    certain, likely = "vrijwel zeker hoger", "waarschijnlijk"
    expected = [f"{likely} hoger", f"{likely} lager", certain, certain, "niet te onderscheiden", None]
    assert verdicts(table).tolist() == expected


def test_a_contrast_with_what_was_not_seen_is_not_nearly_certain(est: Estimates) -> None:
    table = est.table[(est.table["measure"] == TOTAL) & (est.table["level"] == "buurt")].set_index("area_code")
    seen = table[table["n_respondents"] > 0]["estimate"]
    ends = (seen.idxmin(), seen.idxmax())
    assert contrast(est, *ends, TOTAL).verdict == "vrijwel zeker lager"
    against = [contrast(est, FAR, other, TOTAL) for other in (*ends, est.areas.system.whole_code)]
    assert not any("vrijwel zeker" in found.verdict for found in against)
    assert contrast(est, [FAR, ends[0]], ends[1], TOTAL).verdict == "vrijwel zeker lager"  # a group that was seen


def test_the_table_says_what_a_figure_rests_on(est: Estimates) -> None:
    table = est.table
    assert (table["basis"] == basis(table)).all()
    share = table["own_data_share"]
    assert (share[table["basis"] == "eigen_respondenten"] >= 0.5).all()
    assert share[table["basis"] == "gemengd"].between(0.2, 0.5).all()
    assert set(table.loc[table["n_respondents"] == 0, "basis"]) == {"vooral_model"}
    hidden = est.published["label"] == "niet_publiceren"
    assert hidden.any()
    assert (est.published["basis"].isna() == hidden).all()


def test_the_half_width_of_a_share_counts_in_percentage_points() -> None:
    """On 0-100 and on 0-1 alike; the relative error, which is large at 2% and small at 98%, does not matter."""
    table = pd.DataFrame({"lower": [0.5, 88.0, 40.0], "upper": [9.0, 99.5, 63.0], "estimate": [2.0, 98.0, 51.0]})
    table = table.assign(n_respondents=20, population=900, reliability=0.9, own_data_share=0.5, area_code=list("abc"))
    table = table.assign(sd=1.0)
    for scale, unit, points in ((Scale(0, 100), 1.0, "5"), (Scale(0, 1), 0.01, "0,05")):
        figures = table.assign(lower=table["lower"] * unit, upper=table["upper"] * unit)
        shown = np.ones(3, dtype=bool)
        found = Rules(max_half_width=5.0).apply(figures, {}, shown, scale, share=True)
        assert found["label"].tolist() == ["betrouwbaar", "indicatief", "indicatief"]
        assert found["reason"].iloc[2] == f"halve breedte van het interval boven {points}"
        assert in_english(found["reason"].iloc[2]) == f"half-width of the interval above {points.replace(',', '.')}"
        by_default = Rules().apply(figures, {}, shown, scale, share=True)  # 4.25, 5.75 and 11.5 points
        assert by_default["label"].tolist() == ["betrouwbaar", "betrouwbaar", "indicatief"]
        for rules, share in ((Rules(max_half_width=50), True), (Rules(max_half_width=5), False)):
            assert set(rules.apply(figures, {}, shown, scale, share=share)["label"]) == {"betrouwbaar"}
