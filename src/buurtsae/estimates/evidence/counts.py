r"""What a model leaves over of counts: each predicted from all other areas, of the data and of data of the model.

At the mode of the hyperparameters eta of an area is N(m, S) a posteriori, and its own data add b'q - q'W q / 2 to the
log-density, so that all others leave (of several years those of its own other years too) the cavity

    S_- = (I - S W)^{-1} S,      m_- = (I - S W)^{-1} (m - S b),

and F(y) = int F(y | eta) N(eta; m_-, S_-) d eta by Gauss-Hermite quadrature. With U uniform, the PIT
F(y - 1) + U {F(y) - F(y - 1)} is uniform where the model holds, and z = Phi^{-1}(PIT) normal. Nothing is drawn: powers
of z are their means over U, and the PITs of all areas have the mean distribution function that U gives them, so that
no seed decides what is found. Effective numbers, not whole, take the beta and gamma functions that F(y | eta) is at
whole ones. Replicates draw eta from the field (given the scores beside the counts, where there are some) with the
coefficients of the fit, and counts from eta: shares of respondents as these would answer (`asked`), others from the
law of the outcome; each has a mode of its own, by one step of Newton's (`leftover`).

References
----------
Czado, C., Gneiting, T. and Held, L. (2009). Predictive model assessment for count data. Biometrics 65. Held, L.,
Schroedle, B. and Rue, H. (2010). Posterior and cross-validatory predictive checks. Dunn, P. and Smyth, G. (1996).
Randomized quantile residuals. J. Computational and Graphical Statistics 5.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from buurtsae.engines.base import Fit
from buurtsae.engines.counts import Counting
from buurtsae.engines.hyper import Hyper
from buurtsae.engines.mode import Mode
from buurtsae.estimates.disclosure.release import FEW, countable
from buurtsae.estimates.evidence.asked import Asked
from buurtsae.latent.conditional import condition
from buurtsae.model.design import Design
from buurtsae.model.outcome.binomial import Binomial
from buurtsae.model.outcome.count import Count
from buurtsae.model.outcome.per_measure import outcomes_of
from buurtsae.sparse import Floats, Ints

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NODES = np.polynomial.hermite_e.hermegauss(40)
SMALLEST = 1e-12  # probability that a PIT is kept from 0 and 1 by
OF_U = np.polynomial.legendre.leggauss(20)
CUTS = np.arange(1, 100) / 100  # where PITs are held against uniform ones
CLASSES = 10  # of predicted figures


@dataclass(frozen=True)
class Predicted:
    """Counts of one data set, each predicted from all other areas, in the order of `counted`.

    Attributes
    ----------
    below, upto : ndarray, shape (F,)
        F(y - 1) and F(y), between which the PIT lies.
    mean, sd : ndarray, shape (F,)
        Of the predicted share or rate, from 0 to 1, sampling included.
    observed : ndarray, shape (F,)
    zero : ndarray, shape (F,)
        Probability that nobody is counted.
    score : ndarray, shape (N, W)
        Derivative of the log-likelihood by eta of the areas.
    """

    below: Floats
    upto: Floats
    mean: Floats
    sd: Floats
    observed: Floats
    zero: Floats
    score: Floats


def counted(design: Design) -> tuple[Ints, Ints, Ints]:
    """Return source, site and column of each count."""
    assert design.size is not None  # asked of designs that have some
    source, site, column = np.nonzero(design.size > 0)
    return source, site, column


def outcomes(design: Design) -> Iterator[tuple[Count, Ints]]:
    """Yield each outcome that is counted, with its columns."""
    each = outcomes_of(design.model.outcome, design.measures) * design.periods
    for outcome in dict.fromkeys(each):
        if isinstance(outcome, Count):
            yield outcome, np.flatnonzero([other == outcome for other in each])


def power(below: Floats, upto: Floats, k: int) -> Floats:
    """Return E_U[Phi^{-1}(F(y - 1) + U {F(y) - F(y - 1)})^k] of each count, by Gauss and Legendre."""
    found = np.zeros(below.shape)
    for x, weight in zip(*OF_U, strict=True):
        pit = below + (1 + x) / 2 * (upto - below)
        found += weight / 2 * special.ndtri(np.clip(pit, SMALLEST, 1 - SMALLEST)) ** k
    return found


def distance(below: Floats, upto: Floats) -> Floats:
    """Return the distance of the mean distribution function of PITs (1 + R, F) from uniform, times sqrt F."""
    width = np.maximum(upto - below, SMALLEST)
    off = [np.abs(np.clip((u - below) / width, 0.0, 1.0).mean(axis=1) - u) for u in CUTS]
    return np.asarray(np.max(off, axis=0) * np.sqrt(below.shape[1]))


def predicted(marginal: Counting, hyper: Hyper) -> Predicted:
    """Return each count of a design predicted from all other areas, given hyperparameters."""
    design, at = marginal.design, marginal.solve(hyper)
    _, site, column = counted(design)
    mean, variance = (part[site, column] for part in _cavity(at, design))
    y, size = (part[site, column] for part in design.counted)
    nodes, weights = NODES[0], NODES[1] / NODES[1].sum()
    eta = mean[:, None] + np.sqrt(variance)[:, None] * nodes
    below, upto, zero, rate, noise = (np.empty(eta.shape) for _ in range(5))
    for outcome, columns in outcomes(design):
        own = np.isin(column, columns)
        law = _binomial if isinstance(outcome, Binomial) else _poisson
        below[own], upto[own], zero[own], rate[own], noise[own] = law(eta[own], y[own, None], size[own, None])
    expected = rate @ weights
    spread = (rate - expected[:, None]) ** 2 @ weights + noise @ weights
    score = np.where(design.counted[1] > 0, at.expansion.first[:, : design.y.shape[-1]], 0.0)
    share, q = y / size, np.asarray(design.sites.T @ score)
    return Predicted(below @ weights, upto @ weights, expected, np.sqrt(spread), share, zero @ weights, q)


def _cavity(at: Mode, design: Design) -> tuple[Floats, Floats]:
    """Mean and variance of eta of each site and column without all own data of the site in the year, (K, W) each."""
    conditional, second, width = at.conditional, at.expansion.second, design.y.shape[-1]
    own = second[:, :width, :width]
    linear = at.linear[:, :width] - second[:, :width, width:] @ conditional.alpha
    s, year = conditional.scores.covariance, np.arange(width) // len(design.measures)
    found, variance = np.empty(linear.shape), np.empty(linear.shape)
    for t in range(design.periods):
        of_year = year == t
        known = np.where(of_year[:, None] & of_year, own, 0.0)
        mean = conditional.scores.mean - np.einsum("kde,ke->kd", s, np.where(of_year, linear, 0.0))
        left = np.linalg.inv(np.eye(width) - s @ known)
        found[:, of_year] = np.einsum("kde,ke->kd", left, mean)[:, of_year]
        variance[:, of_year] = np.einsum("kdd->kd", left @ s)[:, of_year]
    return conditional.field.offset + found, np.maximum(variance, 0.0)


def own_part(fit: Fit) -> Floats:
    """Return posterior means of figures less those without the area's own data, (N, D), given means of parameters.

    Of several years, and of one of them, own data are those of the year.
    """
    whole, own = fit.conditioned
    at = whole.counting.solve(Hyper.means(whole.draws, whole.design))
    mean, variance = (part[: len(fit.areas.codes), own] for part in _cavity(at, whole.design))
    eta = mean[..., None] + np.sqrt(variance)[..., None] * NODES[0]
    without = np.empty(mean.shape)
    for d, outcome in enumerate(outcomes_of(fit.model.outcome, fit.draws.subdimensions) * fit.design.periods):
        without[:, d] = outcome.mean(eta[:, d]) @ NODES[1] / NODES[1].sum()
    seen = np.asarray(fit.design.observed.any(axis=0))[: len(without)]
    return np.where(seen, fit.draws.scores().mean(axis=0) - without, 0.0)


def _binomial(eta: Floats, y: Floats, size: Floats) -> tuple[Floats, ...]:
    """F(y - 1), F(y), P(0), the share and its sampling variance at each eta."""
    p, q = special.expit(eta), special.expit(-eta)
    y, size = (np.broadcast_to(part, eta.shape) for part in (y, size))
    some, not_all = y > 0, y < size
    below, upto = np.zeros(eta.shape), np.ones(eta.shape)
    below[some] = special.betainc((size - y + 1)[some], y[some], q[some])
    upto[not_all] = special.betainc((size - y)[not_all], (y + 1)[not_all], q[not_all])
    return below, upto, q**size, p, p * q / size


def _poisson(eta: Floats, y: Floats, size: Floats) -> tuple[Floats, ...]:
    """The same of a rate."""
    rate = np.exp(eta)
    mean, y = size * rate, np.broadcast_to(y, eta.shape)
    below = np.where(y > 0, special.gammaincc(np.maximum(y, 1e-9), mean), 0.0)
    return below, special.gammaincc(y + 1, mean), np.exp(-mean), rate, rate / size


def replicates(
    marginal: Counting, hyper: Hyper, n: int, rng: np.random.Generator, asked: Mapping[int, Asked] | None = None
) -> Iterator[Design]:
    """Yield n designs with counts of the model given hyperparameters, and the coefficients of the fit.

    Shares of columns in `asked` are of these respondents; trials of others are whole, which keeps their mean.
    """
    design, field, asked = marginal.design, marginal.field, asked or {}
    assert design.size is not None
    posterior = marginal.solve(hyper).conditional
    without = condition(field, marginal.observations.local(hyper.slope, hyper.extra), hyper.loadings(design))
    e, border = without.draw(rng, n)
    coefficients = field.x.shape[1] * field.width
    beta = posterior.border[:coefficients] - border[1:, :coefficients]
    e = e[1:] + field.x @ beta.reshape(n, -1, field.width)
    for eta in e:
        y = design.y.copy()
        for outcome, columns in outcomes(design):
            for column in columns:
                size, at = design.size[..., column], eta[:, column]
                if not isinstance(outcome, Binomial):
                    drawn = rng.poisson(size * np.exp(at)).astype(float)
                elif column in asked:
                    drawn = size * asked[column].draw(special.expit(at), rng)
                else:
                    whole = np.maximum(np.round(size), 1)
                    drawn = rng.binomial(whole.astype(np.int64), special.expit(at)) * size / whole
                y[..., column] = np.where(size > 0, drawn, y[..., column])
        yield replace(design, y=y)


def calibration(
    rows: pd.DataFrame,
    mean: Floats,
    observed: Floats,
    size: Floats,
    shown: NDArray[np.bool_] | None = None,
    told: NDArray[np.bool_] | None = None,
) -> pd.DataFrame:
    """Return predicted and observed figures by class of what was predicted, per measure.

    Parameters
    ----------
    rows : DataFrame
        `measure` of each count.
    mean, observed : ndarray, shape (1 + R, F)
        Predicted from the other areas, and counted, of the data and of the replicates, from 0 to 1.
    size : ndarray, shape (F,)
        Trials or exposure.
    shown : ndarray of bool, shape (F,), optional
        Which may go into one number.
    told : ndarray of bool, shape (F,), optional
        Whose counts may be known: a class has three or more others, or none.

    Returns
    -------
    DataFrame
        `measure`, `predicted_class` (1 the lowest predicted), `figures`, `predicted` and `observed` of all persons of a
        class, and between what 95% of such classes are observed where the model holds, `lower` and `upper`. Classes
        have ten areas or more.
    """
    found = []
    kept, open_ = (np.ones(len(rows), dtype=bool) if mask is None else mask for mask in (shown, told))
    for measure in rows["measure"].unique():
        own = np.flatnonzero((rows["measure"] == measure).to_numpy() & kept)
        number, least = min(CLASSES, len(own) // FEW), 0.0 if (observed[:, own] >= 0).all() else -np.inf
        for k in range(number):
            of_class = list[tuple[float, float, int]]()
            for predicted_, counted_ in zip(mean[:, own], observed[:, own], strict=True):
                order = np.argsort(predicted_, kind="stable")
                at = order[k * len(own) // number : (k + 1) * len(own) // number]
                at = at[countable(open_[own[at]])]
                if not len(of_class) and len(at) < FEW:
                    break
                weight = size[own[at]] / size[own[at]].sum()
                of_class.append((predicted_[at] @ weight, counted_[at] @ weight, len(at)))
            if not of_class:  # too few are left of the data
                continue
            (expected, seen, figures), *others = of_class
            off = [one[1] - one[0] for one in others]
            low, high = expected + np.quantile(off, [0.025, 0.975]) if others else (np.nan, np.nan)
            found.append((measure, k + 1, figures, expected, seen, max(low, least), high))
    columns = ["measure", "predicted_class", "figures", "predicted", "observed", "lower", "upper"]
    return pd.DataFrame(found, columns=columns)


def plot_calibration(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw observed against predicted figures of classes, with the interval of 95% where the model holds."""
    import matplotlib.pyplot as plt

    ax = ax or plt.subplots(figsize=(3.2, 3.2))[1]
    ends = [min(table[["predicted", "lower"]].min()), max(table[["predicted", "upper"]].max())]
    ax.plot(ends, ends, color="0.7", linewidth=1, zorder=0)
    for measure, rows in table.groupby("measure", sort=False):
        ax.vlines(rows["predicted"], rows["lower"], rows["upper"], color="0.6", linewidth=3, zorder=1)
        ax.plot(rows["predicted"], rows["observed"], "o", markersize=4, label=measure, zorder=2)
    ax.set_xlabel("voorspeld")
    ax.set_ylabel("waargenomen")
    if table["measure"].nunique() > 1:
        ax.legend(frameon=False)
    return ax
