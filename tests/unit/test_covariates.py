"""Objective figures: transformations, provenance, circularity, sensitivity, missing values."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from made_fit import ISLAND, UNKNOWN_X, make_areas

from buurtsae.areas.areas import Areas
from buurtsae.errors import BuurtsaeError, ModelError, Problems
from buurtsae.model.covariates import Covariate, Provenance, known, prepare
from buurtsae.model.matrix import covariates, numeric
from buurtsae.model.spec import AreaModel

AREAS = make_areas()  # 25 buurten, the first without residents


def with_columns(**columns: object) -> Areas:
    return replace(AREAS, frame=AREAS.frame.assign(**columns))


def used(name: str, areas: Areas, *declared: Covariate) -> tuple[np.ndarray, Provenance]:
    problems = Problems()
    table, _, (provenance,) = prepare([name], declared, "refuse", areas, problems)
    problems.raise_if_any()
    return table[name].to_numpy(), provenance


def problems_of(name: str, areas: Areas, *declared: Covariate) -> dict[str, BuurtsaeError]:
    problems = Problems()
    prepare([name], declared, "refuse", areas, problems)
    assert all(str(p).count("\n") == 2 for p in problems.found)
    return {p.what: p for p in problems.found}


@pytest.mark.parametrize(
    ("transform", "function"),
    [
        ("none", lambda x: x),
        ("log", np.log),
        ("log1p", lambda x: np.log(1 + x)),
        ("sqrt", np.sqrt),
        ("logit", lambda x: np.log((x + 0.5) / 101 / (1 - (x + 0.5) / 101))),
    ],
)
def test_a_covariate_is_transformed_then_standardised(transform: str, function: object) -> None:
    x = np.arange(1.0, 26.0)
    found, provenance = used("x", with_columns(x=x), Covariate("x", transform=transform))  # type: ignore[arg-type]
    expected = function(x)[1:]  # type: ignore[operator]
    np.testing.assert_allclose(found[1:], (expected - expected.mean()) / expected.std(), rtol=1e-12)
    assert (provenance.mean, provenance.sd) == (pytest.approx(expected.mean()), pytest.approx(expected.std()))
    assert provenance.transform == transform


@pytest.mark.parametrize(
    ("transform", "bad", "expected"),
    [
        ("log", 0.0, "above 0"),
        ("log1p", -2.0, "0 or more"),
        ("sqrt", -1.0, "0 or more"),
        ("logit", 130.0, "percentages"),
    ],
)
def test_values_that_cannot_be_transformed_are_named(transform: str, bad: float, expected: str) -> None:
    x = np.arange(1.0, 26.0)
    x[4] = bad
    (problem,) = problems_of("x", with_columns(x=x), Covariate("x", transform=transform)).values()  # type: ignore[arg-type]
    assert problem.what == f"covariate x cannot be transformed by {transform}"
    assert problem.got == f"{bad} in {AREAS.codes[4]}"
    assert problem.expected.startswith(expected)


def test_a_buurt_without_residents_may_have_any_value() -> None:
    found, _ = used("x", with_columns(x=np.r_[-5.0, np.arange(1.0, 25.0)]), Covariate("x", transform="log"))
    assert found[0] == 0


def test_the_policy_of_a_covariate_goes_before_that_of_the_model() -> None:
    assert list(problems_of("groen", AREAS)) == ["covariate groen is missing in 1 buurten with residents"]
    _, provenance = used("groen", AREAS, Covariate("groen", missing="impute"))
    assert provenance.imputed == (UNKNOWN_X,)
    with pytest.raises(ModelError, match="covariate groen is missing"):
        covariates(AreaModel("1 + groen", missing="impute", covariates=(Covariate("groen", missing="refuse"),)), AREAS)


def test_imputation_is_noted_by_buurt() -> None:
    island = AREAS.frame["groen"].where(AREAS.codes != ISLAND)
    _, provenance = used("x", with_columns(x=island.fillna(0.3)), Covariate("x", missing="impute"))
    assert provenance.notes == []
    _, provenance = used("x", with_columns(x=island), Covariate("x", missing="impute"))
    (note,) = provenance.notes
    assert note.startswith(
        "covariate x is missing in 2 areas and predicted there from what else is known, give or take"
    )
    assert note.endswith(f"intervals hold: {UNKNOWN_X}, {ISLAND}")


def test_codebooks_know_what_a_column_is() -> None:
    kwb = known("pct_koopwoningen")
    assert kwb is not None
    assert (kwb[0].id, kwb[1].modelled, kwb[1].sensitive) == ("kwb", False, False)
    assert known("PCT_KOOPWONINGEN") == kwb
    assert known("pct_koopwoningen_2024") == kwb
    assert known("groen") is None
    _, provenance = used("pct_koopwoningen", with_columns(pct_koopwoningen=np.arange(25.0)))
    assert provenance.source == kwb[0].nl
    assert (provenance.unit, provenance.about) == (kwb[1].unit, kwb[1].about)
    assert provenance.notes == []


@pytest.mark.parametrize("source", ["leefbaarometer", "rivm_gezondheid"])
def test_figures_that_were_modelled_come_with_the_circularity_warning(source: str) -> None:
    from buurtsae.survey.codebook import Codebook

    book = Codebook.load(source)
    assert book.modelled
    for indicator in book.indicators:
        _, provenance = used(indicator.name, with_columns(**{indicator.name: np.arange(25.0)}))
        assert provenance.modelled
        (note,) = provenance.notes
        assert note.startswith(f"covariate {indicator.name} ({book.nl}) was itself estimated by a model")
        assert "no independent evidence" in note


def test_one_s_own_figure_may_be_called_modelled() -> None:
    _, provenance = used("x", with_columns(x=np.arange(25.0)), Covariate("x", source="eigen model", modelled=True))
    assert (provenance.source, provenance.modelled) == ("eigen model", True)


@pytest.mark.parametrize("name", ["pct_niet_westers", "herkomst_buiten_europa", "pct_migratieachtergrond"])
def test_figures_on_origin_are_never_used_unasked(name: str) -> None:
    made = with_columns(**{name: np.arange(25.0)})
    (problem,) = problems_of(name, made).values()
    assert problem.what == f"covariate {name} is about origin"
    assert "sensitive = true" in problem.hint
    _, provenance = used(name, made, Covariate(name, sensitive=True))
    assert provenance.sensitive
    assert "association" in provenance.notes[0]


def test_every_figure_on_origin_in_the_codebooks_is_refused_unasked() -> None:
    from buurtsae.survey.codebook import Codebook

    flagged = [i.name for i in Codebook.load("kwb").indicators if i.sensitive]
    assert flagged
    for name in flagged:
        made = with_columns(**{name: np.arange(25.0)})
        assert list(problems_of(name, made)) == [f"covariate {name} is about origin"]


def test_all_problems_at_once() -> None:
    made = with_columns(x=np.full(25, 3.0), herkomst=np.arange(25.0))
    problems = Problems()
    prepare(["x", "herkomst", "groen"], (Covariate("afstand"),), "refuse", made, problems)
    assert [p.what for p in problems.found] == [
        "covariates are described but not in the model",
        "covariate x does not vary",
        "covariate herkomst is about origin",
        "covariate groen is missing in 1 buurten with residents",
    ]


def test_choices_that_do_not_exist_are_refused() -> None:
    with pytest.raises(ModelError, match="the transformation of covariate x is unknown"):
        Covariate("x", transform="kwadraat")  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="`missing` of covariate x is unknown"):
        Covariate("x", missing="gok")  # type: ignore[arg-type]


def test_the_model_prints_what_is_said_of_covariates() -> None:
    model = AreaModel("1 + x + y", covariates=(Covariate("x", transform="log"), Covariate("y", sensitive=True)))
    assert "  x: log\n  y: sensitive\n" in str(model)


def test_a_note_on_imputation_shows_the_first_buurten() -> None:
    about = Provenance("x", "", "", "", "none", False, False, 0.0, 1.0, tuple(f"BU{k:08}" for k in range(1500)))
    (note,) = about.notes
    assert note.endswith("in 1500 areas: BU00000000, BU00000001, BU00000002, BU00000003, BU00000004 and 1495 more")


def test_numeric_covariates_of_a_formula() -> None:
    areas = with_columns(soort=1.0, hoog=2.0)
    assert numeric("1 + groen + C(soort) + groen:hoog + onbekend", areas) == ("groen", "hoog")
    assert numeric("1", areas) == ()
    assert numeric("1 + (", areas) == ()  # the model says what is wrong with it
