"""Are the estimated mean squared errors of classical estimators right on average? 60 areas with, 10 without a sample.

    OMP_NUM_THREADS=1 python benchmarks/classical_mse.py [--replications 5000] [--processes 2] [--out docs/classical.md]

Surveys are drawn from known models; each is fitted, and the estimated MSE beside it. Shown is mean(estimate) / MSE - 1
over groups of twelve areas with equal sampling variances (patterns b and c of Datta, Rao and Smith), or numbers of
units, with its Monte Carlo standard error. The MSE is that of the same surveys: the squared error of the EBLUP less
that of the BLUP with the true variances, in whose place comes its expectation, g1 + g2. Fitting goes by the functions
behind the classes; that both say the same is asserted on the first survey of every case.

References
----------
Datta, G.S., Rao, J.N.K. and Smith, D.D. (2005). On measuring the variability of small area estimators under a basic
area level model. Biometrika 92.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from classical_speed import made_graph
from pages import write_part

from buurtsae.classical import core
from buurtsae.classical.area import bootstrap, mse
from buurtsae.classical.area.components import METHODS, estimate, gls
from buurtsae.classical.area.fay_herriot import FayHerriot
from buurtsae.classical.multivariate import likelihood as blocks
from buurtsae.classical.multivariate.covariances import Unstructured
from buurtsae.classical.multivariate.multivariate_fay_herriot import MultivariateFayHerriot
from buurtsae.classical.spatial import sar_mse
from buurtsae.classical.spatial.sar import Sar
from buurtsae.classical.spatial.spatial_fay_herriot import SpatialFayHerriot
from buurtsae.classical.unit import likelihood as units
from buurtsae.classical.unit import mse as nested_mse
from buurtsae.classical.unit.nested_error import NestedError
from buurtsae.sparse import one_thread

MARKS = "<!-- mse: written by benchmarks/classical_mse.py -->", "<!-- end of mse -->"
ROOT = Path(__file__).parents[1]
UNSAMPLED = 10
PATTERNS = {"b": (2.0, 0.6, 0.5, 0.4, 0.2), "c": (4.0, 0.6, 0.5, 0.4, 0.1)}
SIZES = (2, 3, 5, 8, 12)
HEAD = (*(f"group {k}" for k in range(1, 6)), "no sample")
BAR = 5.0  # percent

Errors = tuple[np.ndarray, np.ndarray, bool]  # estimated MSE, squared error, and whether a variance is at zero
Case = Callable[[np.random.Generator, bool], Iterator[tuple[str, Errors]]]


def sized(m: int) -> None:
    """Lay out m areas with a sample in five groups, and those without."""
    global M, SEEN, GROUP
    M, SEEN = m, np.arange(m + UNSAMPLED) < m
    GROUP = np.where(SEEN, np.arange(m + UNSAMPLED) % 5, 5)


sized(60)


def covariates() -> np.ndarray:
    """Return a column of ones and a covariate, shape (70, 2)."""
    return np.column_stack([np.ones(len(SEEN)), np.random.default_rng(7).normal(size=len(SEEN))])


def leading(x: np.ndarray, cov: np.ndarray) -> np.ndarray:
    """Return x' cov x per row."""
    return np.einsum("ip,pq,iq->i", x, cov, x)


def fay_herriot(pattern: str, sigma2: float, rng: np.random.Generator, first: bool) -> Iterator[tuple[str, Errors]]:
    """Draw one survey and yield the errors of every method."""
    x, d = covariates(), np.array(PATTERNS[pattern] + (1.0,))[GROUP]
    theta = 6 + np.sqrt(sigma2) * rng.normal(size=len(x))
    y = np.where(SEEN, theta + np.sqrt(d) * rng.normal(size=len(x)), np.nan)
    best = bootstrap.predicted(y, x, d, SEEN, sigma2, "reml")
    for method in METHODS:
        found = estimate(y[SEEN], x[SEEN], d[SEEN], method)
        fit = gls(found.sigma2_v, y[SEEN], x[SEEN], d[SEEN])
        eblup, estimated = x @ fit.beta, np.empty(len(x))
        eblup[SEEN] += found.sigma2_v * fit.py
        estimated[SEEN] = mse.terms(fit, found.sigma2_v, d[SEEN], method).mse
        estimated[~SEEN] = mse.synthetic(x[~SEEN], found.sigma2_v, mse.bias(fit, found.sigma2_v, method), fit.cov_beta)
        if first:
            same(FayHerriot(y, x, d).fit(method), eblup, estimated)
        squared = (eblup - theta) ** 2 - (best.eblup - theta) ** 2 + best.leading
        yield method, (estimated, squared, found.sigma2_v == 0)


def bootstrapped(draws: int, rng: np.random.Generator, first: bool) -> Iterator[tuple[str, Errors]]:
    """Draw one survey and yield the errors of both bootstraps: few draws each, as their average needs no more."""
    x, d, sigma2 = covariates(), np.array(PATTERNS["b"] + (1.0,))[GROUP], 1.0
    theta = 6 + np.sqrt(sigma2) * rng.normal(size=len(x))
    y = np.where(SEEN, theta + np.sqrt(d) * rng.normal(size=len(x)), np.nan)
    best = bootstrap.predicted(y, x, d, SEEN, sigma2, "reml")
    s = estimate(y[SEEN], x[SEEN], d[SEEN], "reml").sigma2_v
    here = bootstrap.predicted(y, x, d, SEEN, s, "reml")
    seed = int(rng.integers(2**31))
    fit = gls(s, y[SEEN], x[SEEN], d[SEEN])
    found = core.bootstrap(*bootstrap.resampling(fit.beta, s, x, d, SEEN, "reml"), draws, seed)
    if first:
        whole = FayHerriot(y, x, d).fit().bootstrap_mse(draws, seed)
        np.testing.assert_allclose(whole, pd.DataFrame(found), rtol=1e-10)
    squared = (here.eblup - theta) ** 2 - (best.eblup - theta) ** 2 + best.leading
    yield "REML, naive bootstrap", (found["naive"], squared, s == 0)
    yield "REML, corrected bootstrap", (found["corrected"], squared, s == 0)


def spatial(rho: float, sigma2: float, rng: np.random.Generator, first: bool) -> Iterator[tuple[str, Errors]]:
    """Draw one survey with autocorrelated effects and yield the errors of REML and ML."""
    x, d = covariates(), np.array(PATTERNS["b"] + (1.0,))[GROUP]
    model = _spatial_model()
    w = model.near.w.toarray()
    u = np.linalg.solve(np.eye(len(x)) - rho * w, np.sqrt(sigma2) * rng.normal(size=len(x)))
    theta = 6 + u
    y = np.where(SEEN, theta + np.sqrt(d) * rng.normal(size=len(x)), np.nan)
    weight, filled = np.where(SEEN, 1 / d, 0.0), np.where(SEEN, y, 0.0)
    true = Sar(model.near, sigma2, rho, weight, filled, x)
    blup = x @ true.beta + true.effect
    known = true.inverse_a[-len(x) :] + leading(x - true.f, true.cov_beta)
    for method in ("reml", "ml"):
        found = model._maximum(y, method)
        at = found.at
        terms = sar_mse.without_effects(at) if found.zero else sar_mse.terms(at, method == "reml")
        eblup = x @ at.beta + (0.0 if found.zero else at.effect)
        if first:
            same(SpatialFayHerriot(y, x, d, model.near.w).fit(method), eblup, terms.mse)
        squared = (eblup - theta) ** 2 - (blup - theta) ** 2 + known
        yield method, (terms.mse, squared, found.zero)


@cache
def _spatial_model() -> SpatialFayHerriot:
    """Return the spatial model of a made graph; its direct estimates are not used."""
    graph, x, y = made_graph(len(SEEN)), covariates(), np.where(SEEN, 1.0, np.nan)
    order = np.random.default_rng(8).permutation(len(x))  # areas of all groups in all places
    return SpatialFayHerriot(y, x, np.array(PATTERNS["b"] + (1.0,))[GROUP], graph[order][:, order])


def nested(s2v: float, s2e: float, rng: np.random.Generator, first: bool) -> Iterator[tuple[str, Errors]]:
    """Draw the units of one survey and yield the errors of REML and ML."""
    means = covariates()
    n = np.array(SIZES)[GROUP[SEEN]]
    area = np.repeat(np.arange(M), n)
    x = np.column_stack([np.ones(len(area)), means[area, 1] + np.random.default_rng(9).normal(size=len(area))])
    v = np.sqrt(s2v) * rng.normal(size=len(SEEN))
    theta = 6 + v
    y = 6 + v[area] + np.sqrt(s2e) * rng.normal(size=len(area))
    sample, z = units.Sample.of(x, area, M)
    seen = units.Response.of(sample, z, y, area)
    at = np.where(SEEN, np.arange(len(SEEN)), -1)
    infinite = np.full(len(SEEN), np.inf)
    targets = nested_mse.Targets(at, np.linalg.solve(sample.root.T, means.T).T, np.zeros(len(SEEN)), infinite)
    true = units.gls(sample, seen, s2v / s2e)
    best = nested_mse.predict(sample, seen, true, targets).mean
    exact = nested_mse.Variances(s2v, s2e, np.zeros((2, 2)), np.zeros(2))
    known = nested_mse.terms(sample, true, exact, targets).mse
    for method in ("reml", "ml"):
        ratio = units.maximise(sample, seen, method == "reml").ratio
        fit = units.gls(sample, seen, ratio)
        variances = nested_mse.variances(sample, fit, units.degrees_of(sample, method == "reml"), method == "reml")
        eblup = nested_mse.predict(sample, seen, fit, targets).mean
        estimated = nested_mse.terms(sample, fit, variances, targets).mse
        if first:
            table = pd.DataFrame(means, columns=["x0", "x1"])
            same(NestedError(y, x, area, table).fit(method), eblup, estimated)
        yield method, (estimated, (eblup - theta) ** 2 - (best - theta) ** 2 + known, ratio == 0)


def multivariate(width: int, rng: np.random.Generator, first: bool) -> Iterator[tuple[str, Errors]]:
    """Draw one survey of some measures and yield the errors of the first by REML and ML, Sigma unstructured."""
    x, d, eye = covariates(), np.array(PATTERNS["b"] + (1.0,))[GROUP], np.eye(width)
    sigma, v = 0.5 + 0.5 * eye, d[:, None, None] * (0.3 + 0.7 * eye)  # correlations of effects and of errors
    theta = 6 + rng.normal(size=(len(x), width)) @ np.linalg.cholesky(sigma).T
    y = theta + (np.linalg.cholesky(v) @ rng.normal(size=(len(x), width, 1)))[:, :, 0]
    y[~SEEN] = np.nan
    data, family = (
        blocks.Blocks.of(y, v, np.einsum("jk,ip->ijkp", eye, x).reshape(len(x), width, -1)),
        Unstructured(width),
    )
    true = blocks.at(data, sigma, restricted=True)
    slopes = family.natural(family.start(np.ones(width)))[1]  # constant
    terms = blocks.terms(data, true, slopes)
    known, best = (terms.g1 + terms.g2)[:, 0, 0], blocks.eblup(data, true)[:, 0]
    for method in ("reml", "ml"):
        found = blocks.maximise(data, family, method == "reml")
        eblup = blocks.eblup(data, found.here)[:, 0]
        estimated = blocks.terms(data, found.here, slopes).mse[:, 0, 0]
        if first:
            same(MultivariateFayHerriot(y, x, v).fit(method), eblup, estimated)
        squared = (eblup - theta[:, 0]) ** 2 - (best - theta[:, 0]) ** 2 + known
        yield method, (estimated, squared, bool(np.linalg.eigvalsh(found.here.sigma)[0] < 1e-6))


def same(fit: Any, eblup: np.ndarray, estimated: np.ndarray) -> None:
    """Assert that a fit by its class says the same."""
    for shown, computed in ((fit.eblup, eblup), (fit.mse, estimated)):
        first = np.asarray(shown)
        np.testing.assert_allclose(first if first.ndim == 1 else first[:, 0], computed, rtol=1e-9)


CASES: dict[str, tuple[Case, float]] = {  # with the share of the replications
    **{
        f"Fay-Herriot, pattern {p}, sigma2_v {s:g}": (partial(fay_herriot, p, s), 1.0)
        for p, s in (("b", 1.0), ("c", 1.0), ("b", 0.25), ("b", 0.1))
    },
    "SAR, pattern b, sigma2_v 1, rho 0.6": (partial(spatial, 0.6, 1.0), 1.0),
    "nested error, s2v 1, s2e 4": (partial(nested, 1.0, 4.0), 1.0),
    "nested error, s2v 0.25, s2e 4": (partial(nested, 0.25, 4.0), 1.0),
    "2 measures, pattern b": (partial(multivariate, 2), 1.0),
    "4 measures, pattern b": (partial(multivariate, 4), 1.0),
    "bootstrap of Fay-Herriot, pattern b, sigma2_v 1": (partial(bootstrapped, 20), 0.2),
}


def chunk(name: str, replications: int, seed: int, part: int) -> dict[str, tuple[np.ndarray, np.ndarray, float]]:
    """Return, per method, sums over replications per group: estimate, error, and their squares and products."""
    case, rng = CASES[name][0], np.random.default_rng([seed, list(CASES).index(name), part])
    belongs = (np.arange(6) == GROUP[:, None]) / np.bincount(GROUP)
    belongs = np.column_stack([belongs, SEEN / M])
    sums: dict[str, Any] = {}
    with warnings.catch_warnings(), one_thread():
        warnings.simplefilter("ignore")  # variances at zero: counted
        for k in range(replications):
            for method, (estimated, squared, zero) in case(rng, part == 0 and k == 0):
                a, t = estimated @ belongs, squared @ belongs
                new = np.array([a, t, a * a, a * t, t * t]), np.array([1.0, zero])
                old = sums.get(method, (0.0, 0.0))
                sums[method] = old[0] + new[0], old[1] + new[1]
    return sums


def relative_bias(sums: np.ndarray, n: float) -> tuple[np.ndarray, np.ndarray]:
    """Return percent of bias and its standard error per group, from sums (5, groups) over n replications."""
    a, t, aa, at, tt = sums / n
    ratio = a / t
    variance = (aa - a * a) - 2 * ratio * (at - a * t) + ratio**2 * (tt - t * t)
    return 100 * (ratio - 1), 100 * np.sqrt(variance / n) / t


def rows(name: str, replications: int, seed: int, parts: int, pool: ProcessPoolExecutor) -> list[list[str]]:
    """Return the rows of one case."""
    each = max(int(replications * CASES[name][1]) // parts, 2)
    work = partial(chunk, name, each, seed)
    found = list(pool.map(work, range(parts)))
    out = []
    for method in found[0]:
        sums = sum(f[method][0] for f in found)
        n, *counts = sum(f[method][1] for f in found)
        bias, error = relative_bias(sums, n)
        figures = zip(np.roll(bias, 1), np.roll(error, 1), strict=True)  # all sampled areas first
        cells = [f"**{b:+.1f}** ({e:.1f})" if abs(b) > BAR else f"{b:+.1f} ({e:.1f})" for b, e in figures]
        label = method if " " in method else method.upper().replace("_YL", "-YL")
        out.append([name, label, f"{n:,.0f}", *(f"{100 * k / n:.1f}%" for k in counts), *cells])
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replications", type=int, default=5000)
    parser.add_argument("--areas", type=int, default=60, help="with a sample, a multiple of five")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--cases", nargs="*", default=[""], help="parts of the names of the cases, all by default")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=None, help="page whose part between the markers is replaced")
    args = parser.parse_args()
    table: list[list[str]] = []
    with ProcessPoolExecutor(args.processes, initializer=sized, initargs=(args.areas,)) as pool:
        for name in CASES:
            if any(part in name for part in args.cases):
                start = time.perf_counter()
                new = rows(name, args.replications, args.seed, 10, pool)
                table += new
                print(*(" | ".join(r) for r in new), f"{time.perf_counter() - start:.0f} s", sep="\n", flush=True)
    head = ["case", "method", "surveys", "at zero", "sampled areas", *HEAD]
    text = "\n".join("| " + " | ".join(r) + " |" for r in [head, ["---"] * len(head), *table])
    if args.out:
        write_part(args.out, *MARKS, text)


if __name__ == "__main__":
    main()
