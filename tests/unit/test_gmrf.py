r"""The sparse posterior given hyperparameters, against the dense one.

With K the prior covariance of eta, y = H eta + noise of covariance N (sampling, extra per buurt, one alpha per link):
Var[eta | y] = K - K H' (H K H' + N)^{-1} H K.
"""

from __future__ import annotations

import numpy as np
import pytest
from made_fit import SUBDIMENSIONS, make_areas, make_scores

from buurtsae.engines.gmrf import Hyper, posterior_sd
from buurtsae.model.design import Bym2Block, Design, design
from buurtsae.model.links import Link
from buurtsae.model.priors import PC, LogNormal, Normal
from buurtsae.model.spec import AreaModel
from buurtsae.model.terms import BYM2, IID, Term
from buurtsae.survey.direct import direct

AREAS = make_areas()  # a component of 24 buurten and an island


def made_design(terms: list[Term]) -> Design:
    scores = make_scores(AREAS, SUBDIMENSIONS, 2, np.random.default_rng(1))
    link = Link(Normal(0.0, 0.6), LogNormal(0.0, 0.2), PC(0.5, 0.05))
    return design(AreaModel("1 + groen", terms, link=link, missing="impute"), direct(scores, AREAS), AREAS)  # type: ignore[arg-type]


def made_hyper(arrays: Design) -> Hyper:
    d = len(SUBDIMENSIONS)
    rng = np.random.default_rng(2)
    names = [name for b in arrays.blocks for name in b.term.matrices]
    roots = {name: rng.normal(size=(d, 2 * d)) for name in names}
    r = {name: np.corrcoef(root) for name, root in roots.items()}
    slope = np.where(arrays.linked, 0.7, 1.0)
    return Hyper(
        rng.uniform(0.3, 0.9, (len(arrays.blocks), d)),
        rng.uniform(0.2, 0.9, d),
        r,
        slope,
        np.where(arrays.linked, 0.4, 0.0),
        rng.uniform(0.5, 2, arrays.y.shape),
    )


def by_dense_algebra(arrays: Design, hyper: Hyper) -> np.ndarray:
    n, d = len(arrays.areas), len(SUBDIMENSIONS)
    k = np.kron(arrays.x @ np.diag(arrays.coefficient_priors[1] ** 2) @ arrays.x.T, np.eye(d))
    for b, sigma in zip(arrays.blocks, hyper.sigma, strict=True):
        of_u, of_v = hyper.correlation[b.term.matrices[0]], hyper.correlation[b.term.matrices[-1]]
        if isinstance(b, Bym2Block):
            u, v = sigma * np.sqrt(hyper.phi), sigma * np.sqrt(1 - hyper.phi)
            k += np.kron(np.linalg.pinv(b.icar.precision.toarray()), np.outer(u, u) * of_u)
            k += np.kron(np.eye(n), np.outer(v, v) * of_v)
        else:
            k += np.kron(b.index[:, None] == b.index, np.outer(sigma, sigma) * of_u)
    rows, noise, which = [], [], []
    for s in range(len(arrays.sources)):
        for a in range(n):
            seen = np.flatnonzero(arrays.observed[s, a])
            sd = np.sqrt(np.asarray(hyper.factor)[s, a, seen])
            v = np.linalg.inv(arrays.precision[s, a][np.ix_(seen, seen)]) * np.outer(sd, sd)
            noise.append(v + np.diag(hyper.extra[s, seen] ** 2))
            rows += [hyper.slope[s, e] * np.eye(n * d)[a * d + e] for e in seen]
            which += [(s, e) for e in seen]
    h, total = np.array(rows), np.zeros((len(rows), len(rows)))
    start = 0
    for block in noise:
        total[start : start + len(block), start : start + len(block)] = block
        start += len(block)
    same = np.array([[p == q and arrays.linked[p] for q in which] for p in which])
    total += 0.6**2 * same  # alpha: one per link, with the sd of its prior
    gain = np.linalg.solve(h @ k @ h.T + total, h @ k)
    return np.sqrt(np.diag(k - k @ h.T @ gain)).reshape(n, d)


@pytest.mark.parametrize(
    "terms",
    [
        [BYM2(AREAS.graph()), IID("gemeente")],
        [BYM2(AREAS.graph(), shared=False), IID("gemeente")],
        [IID("gemeente"), BYM2(AREAS.graph())],
    ],
    ids=["shared", "apart", "other order"],
)
def test_sds_are_those_of_dense_algebra(terms: list[Term]) -> None:
    arrays = made_design(terms)
    hyper = made_hyper(arrays)
    # what remains is the jitter, 1e-7 relative to eigenvalues of the ICAR structure of 0.1 and more
    np.testing.assert_allclose(posterior_sd(arrays, hyper), by_dense_algebra(arrays, hyper), rtol=1e-5)


def test_a_model_without_an_effect_per_buurt() -> None:
    arrays = made_design([IID("gemeente")])
    hyper = made_hyper(arrays)
    # eta is given a variance of 1e-6 about its mean, beside posterior variances of some 0.01
    np.testing.assert_allclose(posterior_sd(arrays, hyper), by_dense_algebra(arrays, hyper), rtol=1e-3)
