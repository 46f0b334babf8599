r"""What a model of persons leaves over of the answers: each area predicted from all other areas.

At the mode of the hyperparameters an area's own likelihood is taken out of the Laplace posterior of its cells, and the
sum of its answers (yes; places of ordered answers; numbers) is predicted over what remains: its law given the cells is
exact (`person_sums`), of numbers normal. Between P(sum < y) and P(sum <= y) lies the PIT (`counts`): nothing is drawn.
Over levels h of characteristics, in the model or not, sums of the derivatives l' of the cells are score statistics of
effects that the model lacks; over weights, of what weights know.

Replicates draw areas from their field with the coefficients of the fit, clusters from their prior, and answers from
these; levels of other terms are as in the fit, as its coefficients are. Each has a mode of its own, by one step of
Newton's with the exact gradient of Laplace's likelihood (`engines.persons`).

References
----------
Czado, C., Gneiting, T. and Held, L. (2009). Biometrics 65. Vehtari, A. et al. (2016). JMLR 17. Rao, C. (1948).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from scipy import special

from buurtsae.engines.poststratify import C
from buurtsae.engines.unit import PersonFigure, UnitFit
from buurtsae.estimates.disclosure.release import FEW
from buurtsae.latent.conditional import Local, condition
from buurtsae.model.persons.answer import Figure, Ladder, Number
from buurtsae.sparse import Floats, Ints

if TYPE_CHECKING:
    from buurtsae.engines.persons import Found, PersonData

NODES = np.polynomial.hermite_e.hermegauss(20)

Sums = Mapping[str, sp.csr_array]  # per pattern, cells x levels


@dataclass(frozen=True)
class Added:
    """What of an answer is added up: points of categories, whole and from 0; of numbers themselves.

    Attributes
    ----------
    points : ndarray of int, shape (K,), or None
        None of numbers.
    base, step : float
        What a figure is: base + step times the mean of points.
    """

    points: Ints | None
    base: float = 0.0
    step: float = 1.0

    @classmethod
    def of(cls, outcome: object, figure: Figure, kinds: int) -> Added:
        """Return it of a figure: its codes, where these are equally far apart, else the places of categories."""
        if isinstance(outcome, Number):
            return cls(None)
        if not isinstance(outcome, Ladder):
            return cls(np.array([0, 1]))
        if figure.kind == "share":
            return cls(np.array([int(figure.low <= k < figure.high) for k in range(kinds)]))
        apart = np.diff(figure.codes)
        alike = np.allclose(apart, apart[0])
        base, step = (figure.codes[0], float(apart[0])) if alike else (1.0, 1.0)
        return cls(np.arange(kinds), base, step)

    @classmethod
    def of_figure(cls, figure: PersonFigure) -> Added:
        """Return it of a figure of a fit."""
        y = figure.fit.answers.y
        return cls.of(figure.fit.model.answers, figure.figure, y.shape[1] if y.ndim == 2 else 2)

    def sums(self, y: Floats) -> Floats:
        """Return the sum per cell."""
        if self.points is None:
            return np.asarray(y[:, 0])
        return y if y.ndim == 1 else np.asarray(y @ self.points)

    def rises(self, psi: Floats) -> tuple[Floats, Floats]:
        """Return cuts, and how much an answer above each adds."""
        assert self.points is not None  # asked of categories
        return np.concatenate([[0.0], np.cumsum(psi)]), np.diff(self.points).astype(float)

    def slope(self, eta: Floats, psi: Floats) -> tuple[Floats, Floats]:
        """Return the mean that persons add, at predictors eta of their cells, and its derivative."""
        if self.points is None:
            return eta, np.ones(len(eta))
        cuts, rises = self.rises(psi)
        above = special.expit(eta[:, None] - cuts)
        return self.points[0] + above @ rises, (above * (1 - above)) @ rises


@dataclass(frozen=True)
class Pattern:
    """Levels of characteristics over which derivatives are summed.

    Attributes
    ----------
    name : str
    kind : {"forgotten", "interaction", "cluster", "weights"}
        A characteristic, or a pair, of which the model has no effect; clusters of which it has none; weights, less
        their mean over all respondents or over those of each level.
    on : tuple of str
        None for weights of all.
    levels : ndarray of int, shape (P,)
        Those of ten respondents or more, of clusters of two or more.
    respondents : ndarray, shape (P,)
    """

    name: str
    kind: str
    on: tuple[str, ...]
    levels: Ints
    respondents: Floats


@dataclass(frozen=True)
class OfAreas:
    """The answers of one data set, each area predicted from all others: areas that have any, in their order.

    Attributes
    ----------
    below, upto : ndarray, shape (F,)
        P(sum < y) and P(sum <= y); of numbers both are the PIT.
    mean, sd, observed : ndarray, shape (F,)
        Of the figure of the respondents, on its scale, sampling included.
    zero : ndarray, shape (F,)
        Probability that nobody has a point; NaN of numbers.
    score : ndarray, shape (N,)
        Derivative of the log-likelihood by the predictor of each area.
    patterns : mapping of str to ndarray, shape (P,)
        Sums of the derivatives over levels.
    e : ndarray, shape (2, N)
        Mean and variance of each area's predictor from all others.
    noise : ndarray, shape (F,)
        Standard deviation of the figure by sampling alone.
    information : ndarray, shape (M,)
        -l'' of the cells.
    above : ndarray, shape (2, P)
        Of groups of areas the weighted mean of answers less what is expected of these respondents, and the latter.
    """

    below: Floats
    upto: Floats
    mean: Floats
    sd: Floats
    observed: Floats
    zero: Floats
    score: Floats
    patterns: Mapping[str, Floats]
    e: Floats
    noise: Floats
    information: Floats
    above: Floats


@dataclass(frozen=True)
class Looked:
    """What is left over of the answers, what the posterior with all of them says, and what is left over of replicates.

    Attributes
    ----------
    found : Found
        The mode.
    data, posterior : OfAreas
    replicates : tuple of OfAreas
        Without information.
    """

    found: Found
    data: OfAreas
    posterior: OfAreas
    replicates: tuple[OfAreas, ...]


def predicted(
    found: Found, added: Added, patterns: Sums, groups: sp.csr_array | None = None, *, others: bool = True
) -> OfAreas:
    """Return the sum of each area's answers predicted from all others, or from all, given hyperparameters.

    Groups of areas have weights of the persons of cells, (M, P).
    """
    from buurtsae.engines import person_loops as loops
    from buurtsae.estimates.evidence import person_sums

    data, psi, at = found.marginal.data, found.hyper.psi, found.tables
    n, area = data.areas, data.area
    q = loops.predictors(area, data.index, at.e + found.marginal.offset, at.f)
    _, first, second, _, _ = data.outcome.derivatives(q, data.y, data.size, psi)
    each, slope = added.slope(q, psi)
    g, answers = data.size * slope, added.sums(data.y)
    taken = (first, -second) if others else (0 * first, 0 * second)
    m, load, rest, moved, variance = person_sums.cavities(area, data.index, q, *taken, g, *found.covariances)
    size, y = np.bincount(area, data.size, n), np.bincount(area, answers, n)
    if added.points is None:
        mean, along = np.bincount(area, data.size * m, n), np.bincount(area, data.size * load, n)
        noise = size * psi[0] ** 2
        spread = along**2 + noise
        pit = special.ndtr((y - mean) / np.sqrt(np.maximum(spread, 1e-300)))
        below, upto, zero = pit, pit, np.full(n, np.nan)
    else:
        nodes = np.stack([NODES[0], NODES[1] / NODES[1].sum()], axis=1)
        below, upto, zero, means, spreads = person_sums.sums(
            area, data.size, y, m, load, rest, added.rises(psi)[0], added.points, nodes, C**2, n
        )
        mean, noise = means @ nodes[:, 1], spreads @ nodes[:, 1]
        spread = noise + (means - mean[:, None]) ** 2 @ nodes[:, 1]
        if (parts := np.isnan(below)).any():  # effective numbers
            below[parts], upto[parts] = _not_whole(y[parts], size[parts] * added.points.max(), means[parts], nodes)
    seen = size > 0
    total = size[seen]
    figure, observed = (added.base + added.step * part[seen] / total for part in (mean, y))
    sums = {name: np.asarray(h.T @ first) for name, h in patterns.items()}
    e = np.stack([at.e + found.marginal.offset + moved, variance])
    above = np.zeros((2, 0))
    if groups is not None:
        off, means = (np.asarray(groups.T @ part) for part in (answers - data.size * each, data.size * each))
        above = np.stack([added.step * off, added.base + added.step * means])
    sd, alone = (abs(added.step) * np.sqrt(part[seen]) / total for part in (spread, noise))
    return OfAreas(
        below[seen], upto[seen], figure, sd, observed, zero[seen], at.of_area, sums, e, alone, -second, above
    )


def _not_whole(y: Floats, top: Floats, means: Floats, nodes: Floats) -> tuple[Floats, Floats]:
    """F(y - 1) and F(y) of effective numbers: of a binomial of the same mean at each node, by its beta function."""
    q = 1 - np.clip(means / top[:, None], 1e-12, 1 - 1e-12)
    y, top = (np.broadcast_to(part[:, None], q.shape) for part in (y, top))
    below, upto = np.zeros(q.shape), np.ones(q.shape)
    some, not_all = y > 1e-9, y < top - 1e-9
    below[some] = special.betainc((top - y + 1)[some], y[some], q[some])
    upto[not_all] = special.betainc((top - y)[not_all], (y + 1)[not_all], q[not_all])
    return below @ nodes[:, 1], upto @ nodes[:, 1]


def looked_at(
    figure: PersonFigure, patterns: Sums, groups: sp.csr_array | None, replicates: int, rng: np.random.Generator
) -> Looked:
    """Return what is left over of the answers that a figure is of, and of those of replicates."""
    unit, added = figure.fit, Added.of_figure(figure)
    at_mode, parts = unit.at_mode, list[OfAreas]()
    marginal, xi, found = at_mode.marginal, at_mode.xi, at_mode.found
    e, f = _drawn(found, unit, replicates, rng)
    for k in range(replicates):
        answered = _answered(found, e[k], f[k], rng)
        reference = answered.tables(e[k] - marginal.offset, f[k], found.hyper.psi, marginal.offset)
        other = replace(marginal, data=answered, reference=reference)
        at = other.solve(xi)
        if len(xi):
            own = xi + np.linalg.solve(at_mode.curvature, other.gradient(xi, at) + xi)  # of the likelihood alone
            at = replace(other, reference=at.tables).solve(own)
        parts.append(replace(predicted(at, added, patterns, groups), information=np.zeros(0)))
    left, all_of = predicted(found, added, patterns, groups), predicted(found, added, {}, others=False)
    return Looked(found, left, all_of, tuple(parts))


def _drawn(found: Found, unit: UnitFit, n: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Draw predictors of areas (n, N) and levels (n, L) given hyperparameters; see above."""
    marginal, hyper, areas = found.marginal, found.hyper, found.marginal.data.areas
    none = np.zeros((areas, 1, 0))
    nothing = Local(np.zeros((areas, 1, 1)), np.zeros((areas, 1)), none, np.zeros((1, 0, 0)), np.zeros((1, 0)), 0.0)
    e, border = condition(marginal.field, nothing, hyper.loadings).draw(rng, n)
    p = marginal.field.x.shape[1]
    beta = found.conditional.border[:p] - border[1:, :p]
    e = e[1:, :, 0] + beta @ marginal.field.x.T
    f = np.tile(found.tables.f, (n, 1))
    sigma = dict(zip(unit.stacked.sigmas, hyper.sigma, strict=True))
    for k, effect in enumerate(unit.stacked.effects):
        if not effect.predicts:
            start = int(unit.stacked.starts[k])
            drawn = rng.standard_normal((n, effect.shrunk.shape[1])) @ (sigma[k] * effect.shrunk).T
            f[:, start : start + len(effect.levels)] = drawn
    return e, f


def _answered(found: Found, e: Floats, f: Floats, rng: np.random.Generator) -> PersonData:
    """The same respondents with answers of the model, at predictors of areas and levels."""
    from buurtsae.engines import person_loops as loops

    data, psi = found.marginal.data, found.hyper.psi
    q, size = loops.predictors(data.area, data.index, e, f), data.size
    whole = _whole(size, rng)
    y: Any
    if isinstance(data.outcome, Number):
        mean = q + psi[0] * rng.standard_normal(len(q)) / np.sqrt(size)
        within = psi[0] ** 2 * rng.chisquare(np.maximum(size - 1, 1e-9)) * (size > 1)
        y = np.stack([size * mean, size * mean**2 + within], axis=1)
    elif isinstance(data.outcome, Ladder):
        above = special.expit(q[:, None] - np.concatenate([[0.0], np.cumsum(psi)]))
        p = -np.diff(above, axis=1, prepend=1.0, append=0.0)
        y = rng.multinomial(whole.astype(np.int64), np.maximum(p, 0.0)) * (size / whole)[:, None]
    else:
        y = rng.binomial(whole.astype(np.int64), special.expit(q)) * size / whole
    return replace(data, y=np.ascontiguousarray(y, dtype=float))


def _whole(size: Floats, rng: np.random.Generator) -> Floats:
    """Whole numbers k about effective ones n, E[1 / k] = 1 / n: n / k times a count of k has the variance of n."""
    low = np.maximum(np.floor(size), 1.0)
    share = (1 / size - 1 / (low + 1)) / (1 / low - 1 / (low + 1))
    return np.where(rng.random(len(size)) < share, low, low + 1)


def groups_of(unit: UnitFit, codes: pd.Series) -> tuple[list[str], sp.csr_array]:
    """Return groups of areas with respondents, by the codes of areas, and the weights of a mean over these, (M, P)."""
    code = codes.to_numpy(dtype=object)[unit.cells.area]
    kept = np.flatnonzero(pd.notna(code))
    names, label = np.unique(code[kept].astype(str), return_inverse=True)
    weight = np.ones(len(code)) if unit.answers.weight is None else unit.answers.weight[unit.order]
    total = np.bincount(label, (weight * unit.data.size)[kept], len(names))
    table = sp.csr_array((weight[kept] / total[label], (kept, label)), shape=(len(code), len(names)))
    return names.tolist(), table


def patterns(unit: UnitFit) -> tuple[Sums, list[Pattern]]:
    """Return indicators of the levels of what the model has no effect of, and of weights; see `Pattern`."""
    answers, order, used = unit.answers, unit.order, [set(term.uses) for term in unit.model.persons]
    level = {name: answers.level[order, k] for k, name in enumerate(answers.characteristics)}
    sizes = {name: len(labels) for name, labels in answers.characteristics.items()}
    asked, known = answers.respondents[order].astype(float), unit.populations[0].characteristics
    found, sums = list[Pattern](), dict[str, sp.csr_array]()

    def add(kind: str, on: tuple[str, ...], place: Ints, levels: int, value: Floats | None = None) -> None:
        count = np.bincount(place, asked, levels)
        least = FEW if set(on) <= set(known) else 2
        kept = np.flatnonzero(count >= least)
        row = np.flatnonzero(np.isin(place, kept))
        if len(kept) > 1 and (least == FEW or len(kept) >= FEW):
            column = np.searchsorted(kept, place[row])
            ones = np.ones(len(row)) if value is None else value[row]
            name = f"{kind} {' x '.join(on)}"
            sums[name] = sp.csr_array((ones, (row, column)), shape=(len(place), len(kept)))
            found.append(Pattern(name, kind, on, kept, count[kept].astype(float)))

    for name, at in level.items():
        if not any(name in uses for uses in used):
            add("forgotten" if name in known else "cluster", (name,), at, sizes[name])
    alone = [name for name in level if name in known and any(name in uses for uses in used)]
    for one, two in combinations(alone, 2):
        if not any({one, two} <= uses for uses in used):
            add("interaction", (one, two), level[one] * sizes[two] + level[two], sizes[one] * sizes[two])
    if answers.weight is not None:
        w = answers.weight[order]
        off = w - np.average(w, weights=asked)
        sums["weights"] = sp.csr_array(off[:, None])
        found.append(Pattern("weights", "weights", (), np.zeros(1, dtype=int), asked.sum(keepdims=True).astype(float)))
        for name in alone:
            mean = np.bincount(level[name], w * asked) / np.maximum(np.bincount(level[name], asked), 1)
            add("weights", (name,), level[name], sizes[name], w - mean[level[name]])
    return sums, found
