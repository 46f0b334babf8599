"""The model as the user states it: what it prints, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import FrozenInstanceError

import pytest

from buurtsae.areas.graph import Graph
from buurtsae.errors import ModelError
from buurtsae.model.links import Link
from buurtsae.model.parameters import LKJ
from buurtsae.model.priors import PC, Beta, LogNormal, Normal, Uniform
from buurtsae.model.spec import AreaModel
from buurtsae.model.terms import AR1, BYM2, IID, SAR, Leroux, Term

GRAPH = Graph.from_pairs(["A", "B", "C"], [("A", "B")])


def test_it_prints_words_symbols_and_every_prior() -> None:
    model = AreaModel(
        "1 + stedelijkheid",
        [
            BYM2(GRAPH, sd=PC(0.9, 0.02), spread=0.3, mixing=Beta(1, 3), correlation=LKJ(4)),
            IID("gemeentecode", sd=PC(0.8, 0.03), spread=0.2, correlation=LKJ(5)),
        ],  # type: ignore[arg-type]
        Normal(6, 2),
        Normal(0, 0.5),
        Link(Normal(0, 0.75), LogNormal(0, 0.25), PC(0.4, 0.1)),
        variances=PC(0.6, 0.05),
        missing="impute",
    )
    assert str(model).splitlines() == [
        "Area-level model (multivariate Fay-Herriot)",
        "  y[s,a] = c + alpha[s] + lambda[s] * (eta[a] - c) + tau[s] w[s,a] + e   direct estimate of source s",
        "  e ~ N(0, V[s,a]), w ~ N(0, 1); V times exp(h), h ~ N(-kappa^2/2, kappa^2), "
        "with the variance within the area ~ chi^2",
        "  eta[a,d] = x[a]' beta[d] + BYM2.sigma[d] (sqrt(1 - BYM2.phi[d]) (N[a]/N0)^-BYM2.gamma[d] v[a,d] "
        "+ sqrt(BYM2.phi[d]) u[a,d]) + gemeente.sigma[d] g[gemeente(a),d]   score of the residents",
        "  Outcome: normal, on the scale of the data",
        "  x: 1 + stedelijkheid; numeric covariates per standard deviation",
        "Terms",
        "  BYM2 on Graph of 3 areas: 1 pairs (table), components of [2] areas, 1 without neighbours, 0 bridges: "
        "v unstructured, u scaled intrinsic CAR; correlated across measures",
        "  gemeente: IID per gemeente; correlated across measures",
        "Priors",
        "  intercept        Normal(6, sd 2)",
        "  beta             Normal(0, sd 0.5) per standard deviation",
        "  BYM2.sigma       PC: P(> 0.9) = 0.02 for the common one; per measure times LogNormal(0, sd 0.3)",
        "  BYM2.phi         Beta(1, 3)",
        "  BYM2.gamma       Normal(0, sd 0.5) for the common one; per measure plus Normal(0, sd 0.5)",
        "  BYM2.R           LKJ(4)",
        "  gemeente.sigma   PC: P(> 0.8) = 0.03 for the common one; per measure times LogNormal(0, sd 0.2)",
        "  gemeente.R       LKJ(5)",
        "  alpha            Normal(0, sd 0.75), participatory Normal(0, sd 2); 0 for the reference source of a measure",
        "  lambda           LogNormal(0, sd 0.25), participatory LogNormal(0, sd 0.5); 1 for the reference source of a "
        "measure",
        "  tau              PC: P(> 0.4) = 0.1, participatory PC: P(> 1.5) = 0.05; 0 for the reference source of a "
        "measure",
        "  kappa            PC: P(> 0.6) = 0.05",
        "Missing covariates: predicted, with their error, and flagged",
    ]
    assert "Missing covariates: refused" in str(AreaModel())
    assert "w ~ N(0, 1); V as given" in str(AreaModel())
    assert "kappa" not in str(AreaModel())


def test_it_does_not_change() -> None:
    model = AreaModel(terms=[IID("wijk")])  # type: ignore[arg-type]
    assert model.terms == (IID("wijk"),)
    with pytest.raises(FrozenInstanceError):
        model.formula = "0"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("terms", "missing", "what"),
    [
        ([BYM2(GRAPH), BYM2(GRAPH)], "refuse", "terms have the same name"),
        ([IID("gemeente"), IID("gemeentecode")], "refuse", "terms have the same name"),
        (["bym2"], "refuse", "a term is unknown"),
        ([], "ignore", "`missing` is unknown"),
    ],
)
def test_what_it_refuses(terms: list[object], missing: str, what: str) -> None:
    with pytest.raises(ModelError, match=what) as raised:
        AreaModel("1", terms, missing=missing)  # type: ignore[arg-type]
    assert str(raised.value).count("\n") == 2


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda: BYM2("GRAPH"), "term BYM2: graph is of another kind"),
        (lambda: IID("area", sd=1.0), "term IID: sd is of another kind"),
        (lambda: IID("area", sd=LKJ(2)), "term IID: sd is of another kind"),
        (lambda: IID("area", correlation=PC(1, 0.05)), "term IID: correlation is of another kind"),
        (lambda: IID("area", sd=Normal(0, 1)), "term IID: sd is impossible"),
        (lambda: Leroux(GRAPH, mixing=Uniform(0, 2)), "term Leroux: mixing is impossible"),
        (lambda: SAR(GRAPH, autocorrelation=Uniform(-2, 1)), "term SAR: autocorrelation is impossible"),
        (lambda: AR1("jaar", autocorrelation=Normal(0, 1)), "term AR1: autocorrelation is impossible"),
    ],
)
def test_a_term_refuses_what_is_no_graph_and_no_prior_of_its_parameter(make: Callable[[], Term], what: str) -> None:
    """Before any work: engines would go on with a standard deviation below zero, or an autocorrelation of two."""
    with pytest.raises(ModelError) as refused:
        make()
    assert refused.value.what == what
