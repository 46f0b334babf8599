"""The contract of the published table, its check, and suppression."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest
from made_estimates import honeycomb, table

from buurtsae.errors import DataError, ProblemsError
from buurtsae.schemas import ESTIMATES, SUPPRESSED, check_estimates, published

CONTRACT = Path(__file__).parents[3] / "shared" / "contract.md"


@pytest.fixture(scope="module")
def made() -> pd.DataFrame:
    return table(honeycomb())


@pytest.mark.skipif(not CONTRACT.is_file(), reason="needs the folder `shared` beside the checkout")
def test_columns_of_the_contract_are_there_in_its_order() -> None:
    """Others may stand between them: what is added breaks nobody."""
    text = CONTRACT.read_text(encoding="utf-8").split("## `estimates`")[1]
    rows = re.findall(r"^\| (`[^|]+) \|", text, flags=re.MULTILINE)
    named = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert len(named) > 10
    assert [c.name for c in ESTIMATES if c.name in named] == named


def test_a_checked_table_has_the_dtypes_of_the_contract(made: pd.DataFrame) -> None:
    loose = made.astype({"n_respondents": "float64", "year": "Int64", "level": "object"})
    checked = check_estimates(loose)
    expected = {c.name: pd.Series(dtype=c.dtype).dtype for c in ESTIMATES}
    assert checked.dtypes.to_dict() == expected


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        ("level", "Eigen groep", "estimates.level"),
        ("label", "goed", "estimates.label"),
        ("estimate", 10.5, "estimates.estimate"),
        ("own_data_share", -0.1, "estimates.own_data_share"),
        ("reliability", 1.2, "estimates.reliability"),
        ("lower", 9.9, "lower ends lie above"),
        ("upper", 0.1, "upper ends lie below"),
        ("rank_lower", 99, "rank intervals are reversed"),
        ("sd", None, "figures are absent"),
    ],
)
def test_a_value_that_breaks_the_contract_is_named(made: pd.DataFrame, column: str, value: object, says: str) -> None:
    wrong = made.copy()
    wrong.loc[2, column] = value  # row 2 is labelled betrouwbaar
    with pytest.raises((DataError, ProblemsError), match=re.escape(says)):
        check_estimates(wrong)


def test_everything_wrong_is_said_at_once(made: pd.DataFrame) -> None:
    wrong = pd.concat([made, made.iloc[[3]]], ignore_index=True)  # a key twice
    wrong.loc[5, "estimate"] = -1.0  # out of range, and below its interval
    wrong.loc[1, "reason"] = None  # row 1 is indicative
    with pytest.raises(ProblemsError) as caught:
        check_estimates(wrong)
    text = str(caught.value)
    for says in ("estimates.estimate", "keys occur more than once", made["area_code"][3], "reasons are absent"):
        assert says in text


@pytest.mark.parametrize("change", ["drop", "extra", "order"])
def test_other_columns_than_the_contract_are_refused(made: pd.DataFrame, change: str) -> None:
    names = list(made)
    wrong = {
        "drop": made.drop(columns="run_id"),
        "extra": made.assign(note="x"),
        "order": made[[names[1], names[0], *names[2:]]],
    }[change]
    with pytest.raises((DataError, ProblemsError), match="breaks the contract"):
        check_estimates(wrong)


def test_suppressed_rows_stay_without_their_figures(made: pd.DataFrame) -> None:
    before = made.copy()
    out = published(made)
    hidden = out["label"] == "niet_publiceren"
    assert hidden.sum() == 12 * 7  # every fifth of 59 buurten with residents, 7 measures
    assert len(out) == len(made)
    assert out.loc[hidden, list(SUPPRESSED)].isna().all(axis=None)
    assert out.loc[hidden, ["area_code", "population", "reason"]].notna().all(axis=None)
    pd.testing.assert_frame_equal(out[~hidden], made[~hidden])
    pd.testing.assert_frame_equal(made, before)  # the unpublished table is left alone
    pd.testing.assert_frame_equal(check_estimates(out), out)
