r"""Predictions of the data of one year of a site, or of whole groups of sites, from everything else.

Other years of the same site stay. Of a site with u = (e, alpha) ~ N(m, S) a posteriori, rows y = J u + error of all
sources and years, and P the precision of the errors, what all data say of the rows of one year, B, is in

    v = P (y - J m),  K^{-1} = P - P J S J' P:   y_B - E[y_B | rest] = V v_B,   V = Var[y_B | rest] = [K^{-1}]_BB^{-1},

and they moved the posterior mean by S J' P_.B V v_B (Rasmussen and Williams, section 5.4.2, in blocks). Of groups of
sites the field is conditioned anew without B; where errors of B hang together with those of other years A of the site,

    y_B | rest ~ N(G y_A + (J_B - G J_A) m, (J_B - G J_A) S (J_B - G J_A)' + N_BB - G N_AB),    G = N_BA N_AA^{-1}.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from buurtsae.engines.given import Given, joint_at
from buurtsae.sparse import Floats, Ints


@dataclass(frozen=True)
class _Block:
    """What was left out of some sites: the year's rows of the sources that have any there, R in number.

    Attributes
    ----------
    sites : ndarray of int, shape (n,)
    year : int
    rows : ndarray of int, shape (R,)
        Of S W.
    off : ndarray, shape (n, R)
        y - its prediction; 0 where nothing was observed.
    covariance : ndarray, shape (n, R, R)
        V; the identity there.
    moved : ndarray, shape (n, W + L)
        How far they moved the posterior mean of u; only of sites one by one.
    together : float
        Log density of all that was left out with them; only of groups.
    """

    sites: Ints
    year: int
    rows: Ints
    off: Floats
    covariance: Floats
    moved: Floats | None = None
    together: float = np.nan


def predicted_by_year(at: Given, fold: Ints | None) -> tuple[Floats, Floats, Floats, Floats]:
    """Return means and variances of y - its prediction, (K, S W), of sites in each year or of folds of these (K, T).

    And log densities of sites in each year, and of what was left out together with each (K, T).
    """
    s, k, w = at.design.y.shape
    periods = at.design.periods
    off, variance = np.zeros((k, s * w)), np.ones((k, s * w))
    density, together = np.zeros((k, periods)), np.zeros((k, periods))
    seen = np.moveaxis(at.design.observed, 1, 0).reshape(k, s * w)
    for block in _sites(at) if fold is None else _folds(at, fold):
        place = np.ix_(block.sites, block.rows)
        off[place], variance[place] = block.off, np.einsum("kii->ki", block.covariance)
        square = np.einsum("ki,ki->k", block.off, np.linalg.solve(block.covariance, block.off[..., None])[..., 0])
        constant = np.linalg.slogdet(block.covariance)[1] + seen[place].sum(axis=1) * np.log(2 * np.pi)
        density[block.sites, block.year] = -0.5 * (square + constant)
        together[block.sites, block.year] = block.together
    return off, variance, density, density if fold is None else together


def moved_by_own(at: Given) -> Floats:
    """Return how far the data of a site in a year moved the posterior mean of the score of that year, shape (K, W)."""
    _, k, w = at.design.y.shape
    moved, d = np.zeros((k, w)), w // at.design.periods
    for block in _sites(at):
        assert block.moved is not None  # of sites it is there
        columns = slice(block.year * d, (block.year + 1) * d)
        moved[:, columns] = block.moved[:, columns]
    return moved


def _rows(at: Given, year: int) -> tuple[Ints, slice]:
    """Sources that have data in a year, and its columns."""
    d = at.design.y.shape[-1] // at.design.periods
    columns = slice(year * d, (year + 1) * d)
    return np.flatnonzero(at.design.observed[..., columns].any(axis=(1, 2))), columns


def _both(at: Given, sites: Ints, live: Ints, columns: slice) -> np.ndarray:
    """Which pairs of rows were observed, (n, R, R)."""
    seen = np.moveaxis(at.design.observed[live][:, sites, columns], 1, 0).reshape(len(sites), -1)
    return np.asarray(seen[:, :, None] & seen[:, None, :])


def _blocks(parts: Floats) -> Floats:
    """Matrices of sources (S, n, D, D) as one of all, (n, S D, S D)."""
    s, n, d, _ = parts.shape
    whole = np.zeros((n, s, d, s, d))
    for source, part in enumerate(parts):
        whole[:, source, :, source] = part
    return whole.reshape(n, s * d, s * d)


def _flat(parts: Floats) -> Floats:
    """Arrays of sources (S, n, D, ...) as rows (n, S D, ...)."""
    moved = np.moveaxis(parts, 1, 0)
    return moved.reshape(len(moved), -1, *parts.shape[3:])


def _sites(at: Given) -> Iterator[_Block]:
    """Each year of each site, from all other sites and years."""
    s, k, w = at.design.y.shape
    p, _ = at.marginal.observations.precision(at.hyper.extra, at.factor)
    jacobian, (mean, covariance) = at.jacobian.reshape(s, w, -1), joint_at(at.posterior)
    rest = at.residual - np.einsum("swu,ku->skw", jacobian, mean)
    for year in range(at.design.periods):
        live, columns = _rows(at, year)
        own = p[live][:, :, columns]
        v, pj = _flat(np.einsum("skde,ske->skd", own, rest[live])), _flat(own @ jacobian[live][:, None])
        inverse = _blocks(own[..., columns]) - pj @ covariance @ pj.swapaxes(1, 2)
        both = _both(at, np.arange(k), live, columns)
        spread = np.linalg.inv(np.where(both, inverse, np.eye(both.shape[1])))
        off = np.einsum("kij,kj->ki", spread, v)
        moved = np.einsum("kuv,krv,kr->ku", covariance, pj, off, optimize=True)
        rows = (live[:, None] * w + np.arange(w)[columns]).ravel()
        yield _Block(np.arange(k), year, rows, off, spread, moved)


def _folds(at: Given, fold: Ints) -> Iterator[_Block]:
    """Each fold of sites in years (K, T), from all others."""
    s, _, w = at.design.y.shape
    d, jacobian, noise = w // at.design.periods, at.jacobian.reshape(s, w, -1), at.noise
    for number in range(fold.max() + 1):
        rest = at.keeping(np.broadcast_to(np.repeat(fold != number, d, axis=1), at.design.y.shape))
        p, _ = rest.marginal.observations.precision(at.hyper.extra, at.factor)
        mean, covariance = joint_at(rest.posterior)
        together = at.posterior.log_likelihood - rest.posterior.log_likelihood
        for year in range(at.design.periods):
            live, columns = _rows(at, year)
            sites = np.flatnonzero(fold[:, year] == number)
            if not len(sites):
                continue
            around = np.where(at.design.observed[live][:, sites][..., None, :], noise[live][:, sites][:, :, columns], 0)
            g = around @ p[live][:, sites]  # 0 unless the same persons answered in several years
            by_u = _flat(jacobian[live][:, None, columns] - g @ jacobian[live][:, None])
            around_own = noise[live][:, sites][:, :, columns, columns] - (g @ around.swapaxes(-1, -2))
            known = np.einsum("skde,ske->skd", g, rest.residual[live][:, sites])
            y = _flat(at.residual[live][:, sites][..., columns] - known)
            both = _both(at, sites, live, columns)
            spread = by_u @ covariance[sites] @ by_u.swapaxes(1, 2) + _blocks(around_own)
            off = np.where(np.einsum("kii->ki", both), y - np.einsum("kru,ku->kr", by_u, mean[sites]), 0.0)
            rows = (live[:, None] * w + np.arange(w)[columns]).ravel()
            yield _Block(sites, year, rows, off, np.where(both, spread, np.eye(both.shape[1])), None, together)
