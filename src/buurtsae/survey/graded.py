r"""Samejima's graded response model: ordinal items, one latent trait, and the score that it gives a respondent.

    P(Y_j >= k | theta) = F(a_j (theta - b_jk)),  k = 1 .. K_j - 1,      theta ~ N(0, 1),  F logistic

Slopes a and cuts b maximise the marginal likelihood sum_i w_i log int prod_j P(y_ij | theta) phi(theta) dtheta over
the answered items j of respondent i (missing at random). By Fisher's identity its gradient is that of the expected
complete likelihood, from the E-step's table of categories by nodes (Bock and Aitkin 1981). The score is T(theta) =
mean_j E[item score | theta], 0-10, at the maximum likelihood theta, and its error variance T'^2 / I, averaged over the
posterior of theta (Samejima 1969; Lord 1980, ch. 5). Why that theta: docs/scales.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.special import expit, log_expit, logit

from buurtsae.errors import DataError, ModelError, shown
from buurtsae.notes import Note
from buurtsae.sparse import Floats, Ints

NODES = np.linspace(-5, 5, 41)
LOG_PRIOR = -(NODES**2) / 2 - np.log(np.exp(-(NODES**2) / 2).sum())
STEEPEST = 10.0  # bound of the slopes: items that always agree have no finite maximum
LOG_GAP = (-10.0, 5.0)  # bounds of the log distance between intercepts
FAR = 40.0
BLOCK = 2**15  # answer patterns at a time: tables of patterns by nodes of about 10 MB
ONE_CATEGORY = (
    "item {item} has one answer category: it is scored, but tells nobody apart",
    "vraag {item} heeft één antwoordcategorie: ze telt mee in de score, maar onderscheidt niemand",
)


@dataclass(frozen=True)
class GradedModel:
    """A fitted graded response model; see `fit_graded`.

    Attributes
    ----------
    items : tuple of str
    slope : ndarray, shape (n_items,)
        a; 0 for an item with one answer category, negative for one that runs against the others.
    cuts : tuple of ndarray, one per item, shape (n_categories - 1,)
        b, in standard deviations of the trait.
    points : tuple of ndarray, one per item, shape (n_categories,)
        Item score (0-10) of each category that somebody used, increasing.
    loglik : float
        Marginal log-likelihood at the maximum (weighted: with weights of mean 1).
    notes : tuple of str
    """

    items: tuple[str, ...]
    slope: Floats
    cuts: tuple[Floats, ...]
    points: tuple[Floats, ...]
    loglik: float
    notes: tuple[Note, ...] = ()

    def __str__(self) -> str:
        rows = [
            f"  {item:<32} slope {a:5.2f}   cuts {' '.join(f'{b:5.2f}' for b in cuts)}"
            for item, a, cuts in zip(self.items, self.slope, self.cuts, strict=True)
        ]
        head = f"Graded response model: {len(self.items)} items, log-likelihood {self.loglik:.1f}"
        return "\n".join([head, *rows, *self.notes])

    def expected(self, theta: Floats) -> Floats:
        """Return T(theta), the expected mean item score on 0-10."""
        return self._weights @ np.exp(self._cells.log_p(theta))

    def scores(self, answers: Floats) -> tuple[Floats, Floats]:
        """Return T at the maximum likelihood theta, 0-10, and its standard error, shape (n_respondents,).

        Answers are item scores on 0-10, (n_respondents, n_items), NaN where there is none. NaN for who answered no item
        that tells people apart. Raises DataError if an answer is of a category that nobody used when the model was
        fitted.
        """
        code, unknown = _coded(answers, self.points)
        if unknown.any():
            names = shown(self.items[item] for item in np.unique(np.nonzero(unknown)[1]))
            what, hint = "answers that the graded model does not know", "fit it to these respondents as well"
            raise DataError(what, names, "categories that somebody used when it was fitted", hint)
        pattern, row = np.unique(code, axis=0, return_inverse=True)
        parts = [self._score(pattern[block]) for block in _blocks(pattern)]
        score, se = (np.concatenate(part)[row.ravel()] for part in zip(*parts, strict=True))
        return score, se

    @property
    def _cells(self) -> _Cells:
        return _Cells.of(self.slope, [-a * b for a, b in zip(self.slope, self.cuts, strict=True)])

    @property
    def _weights(self) -> Floats:
        return np.concatenate(self.points) / len(self.items)

    def _score(self, pattern: Ints) -> tuple[Floats, Floats]:
        cells = self._cells
        log_p, gradient = cells.log_p(NODES), cells.gradient(NODES)
        expected = self._weights @ np.exp(log_p)
        steepness = self._weights @ (np.exp(log_p) * gradient)  # T'
        information = (pattern >= 0) @ (cells.by_item @ (np.exp(log_p) * gradient**2))
        with np.errstate(divide="ignore", invalid="ignore"):
            variance = np.where(information > 0, steepness**2 / information, np.inf)
        variance = np.minimum(variance, expected * (10 - expected))  # at most that of a score of 0 or 10
        joint = cells.one_hot(pattern) @ log_p + LOG_PRIOR
        posterior = np.exp(joint - joint.max(axis=1, keepdims=True))
        se = np.sqrt((variance * posterior).sum(axis=1) / posterior.sum(axis=1))
        silent = (information == 0).all(axis=1)
        score = self.expected(_most_likely(cells, pattern))
        return np.where(silent, np.nan, score), np.where(silent, np.nan, se)


@dataclass(frozen=True)
class _Cells:
    """The categories of all items in a row: their item, its slope, and the intercepts -a b of the cuts around them.

    log P = log F(a theta + upper) + log F(-a theta - lower) + log(1 - exp(lower - upper)), with `upper` infinite for
    the lowest category of an item and `lower` minus infinite for the highest.
    """

    item: Ints
    slope: Floats
    upper: Floats
    lower: Floats

    @classmethod
    def of(cls, slope: Floats, intercepts: Sequence[Floats]) -> _Cells:
        item = np.repeat(np.arange(len(slope)), [len(d) + 1 for d in intercepts])
        upper = np.concatenate([np.r_[np.inf, d] for d in intercepts])
        lower = np.concatenate([np.r_[d, -np.inf] for d in intercepts])
        return cls(item, slope[item], upper, lower)

    def log_p(self, theta: Floats) -> Floats:
        """Log-probability of each category, shape (n_cells, n_theta)."""
        line = np.outer(self.slope, theta)
        between = np.log(-np.expm1(self.lower - self.upper))
        return log_expit(line + self.upper[:, None]) + log_expit(-line - self.lower[:, None]) + between[:, None]

    def tails(self, theta: Floats) -> tuple[Floats, Floats]:
        """P(below the category) and P(above it), shape (n_cells, n_theta)."""
        line = np.outer(self.slope, theta)
        return expit(-line - self.upper[:, None]), expit(line + self.lower[:, None])

    def gradient(self, theta: Floats) -> Floats:
        """Derivative of `log_p` to theta."""
        below, above = self.tails(theta)
        return self.slope[:, None] * (below - above)

    @property
    def by_item(self) -> sp.csr_array:
        """Sums over the categories of each item."""
        return sp.csr_array((np.ones(len(self.item)), (self.item, np.arange(len(self.item)))))

    def position(self, pattern: Ints) -> Ints:
        """Cell of each answer; that of the lowest category where there is none."""
        return np.flatnonzero(np.isposinf(self.upper)) + np.maximum(pattern, 0)

    def one_hot(self, pattern: Ints) -> sp.csr_array:
        """Answer patterns as indicators of their cells, shape (n_patterns, n_cells)."""
        row, item = np.nonzero(pattern >= 0)
        cell = self.position(pattern)[row, item]
        return sp.csr_array((np.ones(len(row)), (row, cell)), shape=(len(pattern), len(self.item)))


def fit_graded(answers: Floats, items: Sequence[str], weights: Floats | None = None, most: int = 500) -> GradedModel:
    """Fit a graded response model by marginal maximum likelihood; the slopes of two items are held equal.

    Raises ModelError if nobody answered an item, fewer than two items vary, or the iterations do not converge.

    Parameters
    ----------
    answers : ndarray, shape (n_respondents, n_items)
        Item scores on 0-10, NaN where there is no answer. Each value that occurs is a category.
    weights : ndarray, shape (n_respondents,), optional
        Their scale does not matter; default equal. Where the model holds, slopes and cuts do not depend on who is
        sampled more, and weights only cost precision.
    most : int
        Iterations.
    """
    from scipy.optimize import minimize

    points = tuple(np.unique(column[~np.isnan(column)]) for column in answers.T)
    size = np.array([len(point) for point in points])
    varied = int((size > 1).sum())
    if varied < 2 or size.min() == 0:
        hint = "leave out items without answers; with one item use the sum score"
        counts = f"{varied} items in which answers differ, {(size == 0).sum()} that nobody answered"
        raise ModelError("a graded response model cannot be fitted", counts, "two or more, and none", hint)
    pattern, count = _patterns(_coded(answers, points)[0], weights)
    slopes = 1 if varied == 2 else len(size)
    start = np.concatenate([np.ones(slopes), *(_start(column, count) for column in pattern.T)])
    free = [k - 2 for k in size if k > 1]
    bounds = [(-STEEPEST, STEEPEST)] * slopes + [b for k in free for b in [(None, None), *[LOG_GAP] * k]]
    # of the likelihood per respondent, so that a gradient of 1e-6 is far below any survey's standard errors
    options = {"maxiter": most, "maxfun": 2 * most, "ftol": 1e-14, "gtol": 1e-6, "maxcor": 30}
    optimum = minimize(objective, start, (pattern, count, size), "L-BFGS-B", True, bounds=bounds, options=options)
    if not optimum.success:
        what = "the graded response model does not converge"
        hint = "see the item checks of `reliability`, leave out items that do not fit, or use the sum score"
        raise ModelError(what, f"{optimum.message} after {optimum.nit} iterations", f"a maximum within {most}", hint)
    slope, intercepts = _unpack(optimum.x, size)
    slope = slope if slope.sum() > 0 else -slope  # theta and -theta fit equally well
    cuts = tuple(-d / a if len(d) else d for a, d in zip(slope, intercepts, strict=True))
    loglik = -optimum.fun * int((~np.isnan(answers)).any(axis=1).sum())
    return GradedModel(tuple(items), slope, cuts, points, loglik, _notes(items, slope, size))


def objective(x: Floats, pattern: Ints, count: Floats, size: Ints) -> tuple[float, Floats]:
    """Return the negative marginal log-likelihood per respondent, and its gradient.

    Parameters
    ----------
    x : ndarray
        Slopes (one, or one per item); then per item the first intercept -a b and the log distances to the next.
    pattern, count : ndarray, shapes (n_patterns, n_items) and (n_patterns,)
        Categories from 0, -1 where there is no answer; and the share of the respondents with each pattern.
    size : ndarray of int, shape (n_items,)
        Number of categories.
    """
    slope, intercepts = _unpack(x, size)
    cells = _Cells.of(slope, intercepts)
    log_p, loglik, table = cells.log_p(NODES), 0.0, np.zeros((size.sum(), len(NODES)))
    for block in _blocks(pattern):
        one_hot = cells.one_hot(pattern[block])
        joint = one_hot @ log_p + LOG_PRIOR
        top = joint.max(axis=1)
        joint = np.exp(joint - top[:, None])
        total = joint.sum(axis=1)
        loglik += count[block] @ (np.log(total) + top)
        table += one_hot.T @ (joint * (count[block] / total)[:, None])  # expected categories by nodes: the E-step

    below, above = cells.tails(NODES)
    gap = np.divide(1, np.expm1(np.minimum(cells.upper - cells.lower, 700)))  # derivative of log(1 - exp(-gap))
    to_slope = cells.by_item @ ((below - above) * table) @ NODES
    to_upper, to_lower = ((below + gap[:, None]) * table).sum(axis=1), ((above + gap[:, None]) * table).sum(axis=1)
    inner = np.diff(cells.item) == 0  # a cut: the lower end of a cell and the upper end of the next
    to_cut = np.split((to_upper[1:] - to_lower[:-1])[inner], np.cumsum(size - 1)[:-1])
    # an intercept is the first less all distances before it
    parts = [
        np.cumsum(g[::-1])[::-1] * np.r_[1.0, np.diff(d)][: len(d)] for g, d in zip(to_cut, intercepts, strict=True)
    ]
    slopes = len(x) - int((size - 1).sum())
    return -loglik, -np.concatenate([[to_slope.sum()] if slopes == 1 else to_slope, *parts])


def _unpack(x: Floats, size: Ints) -> tuple[Floats, list[Floats]]:
    parts = np.split(x, np.cumsum(np.r_[len(x) - (size - 1).sum(), size - 1])[:-1])
    slope = np.where(size > 1, parts[0], 0.0)
    return slope, [part[:1] - np.cumsum(np.r_[0.0, np.exp(part[1:])]) for part in parts[1:]]


def _start(column: Ints, count: Floats) -> Floats:
    """First intercept and log distances that give an item with slope 1 about the shares that it has."""
    share = np.bincount(column[column >= 0], count[column >= 0])
    d = 1.2 * logit(1 - np.cumsum(share)[:-1] / share.sum())  # averaged over N(0, 1) a logistic flattens so much
    return np.r_[d[:1], np.log(-np.diff(d))]


def _most_likely(cells: _Cells, pattern: Ints) -> Floats:
    """Maximum likelihood theta of answer patterns, by bisection: each log P is concave.

    It is infinite when all answers are at one end; FAR then, where T has reached its end too.
    """
    cell = cells.position(pattern)
    slope, upper, lower = np.where(pattern >= 0, cells.slope[cell], 0.0), cells.upper[cell], cells.lower[cell]
    low, high = np.full(len(pattern), -FAR), np.full(len(pattern), FAR)
    for _ in range(35):  # to 80 / 2^35 = 2e-9
        theta = (low + high) / 2
        line = slope * theta[:, None]
        rising = (slope * (expit(-line - upper) - expit(line + lower))).sum(axis=1) > 0
        low, high = np.where(rising, theta, low), np.where(rising, high, theta)
    return (low + high) / 2


def _notes(items: Sequence[str], slope: Floats, size: Ints) -> tuple[Note, ...]:
    equal = Note(
        "two items do not identify two slopes: they are held equal",
        "twee vragen leggen geen twee hellingen vast: die zijn gelijk gehouden",
    )
    notes = [equal] if (size > 1).sum() == 2 else []
    for item, steepness, categories in zip(items, slope, size, strict=True):
        if categories == 1:
            notes.append(Note(*ONE_CATEGORY, item=item))
        elif steepness < 0:
            notes.append(Note(
                "item {item} has a negative slope: it runs against the other items",
                "vraag {item} heeft een negatieve helling: ze loopt tegen de andere vragen in",
                item=item,
            ))  # fmt: skip
        elif steepness >= STEEPEST:
            notes.append(Note(
                "item {item} has a slope at the bound of {bound:g}: it repeats another item",
                "de helling van vraag {item} ligt op de grens van {bound:g}: ze herhaalt een andere vraag",
                item=item, bound=STEEPEST,
            ))  # fmt: skip
    return tuple(notes)


def _coded(answers: Floats, points: Sequence[Floats]) -> tuple[Ints, np.ndarray]:
    """Category of each answer, -1 where there is none, and which answers are of no category."""
    columns = list(zip(points, np.asarray(answers, dtype=float).T, strict=True))
    code = np.column_stack([np.minimum(np.searchsorted(known, score), len(known) - 1) for known, score in columns])
    same = np.column_stack([known[row] == score for (known, score), row in zip(columns, code.T, strict=True)])
    answered = ~np.isnan(answers)
    return np.where(answered, code, -1).astype(np.int16), answered & ~same


def _patterns(code: Ints, weights: Floats | None) -> tuple[Ints, Floats]:
    """Answer patterns with an answer, and the share of the respondents with each."""
    code, weights = code[(heard := (code >= 0).any(axis=1))], None if weights is None else weights[heard]
    pattern, row = np.unique(code, axis=0, return_inverse=True)
    count = np.bincount(row.ravel(), weights)
    return pattern, count / count.sum()


def _blocks(pattern: Ints) -> Iterator[slice]:
    return (slice(start, start + BLOCK) for start in range(0, len(pattern), BLOCK))
