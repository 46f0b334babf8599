"""Models of areas over years: are their estimated mean squared errors right on average, and how long do they take?

    OMP_NUM_THREADS=1 python benchmarks/classical_years.py [--replications 200] [--sizes 1000] [--out docs/classical.md]

Surveys of 60 areas in four years are drawn from known models; a fifth of the 240 cells has no direct estimate. Each is
fitted, and the estimated MSE beside it, of levels and of the change between the first and the last year. Shown is
mean(estimate) / MSE - 1 in percent, with its Monte Carlo standard error, and how many of the 95% intervals hold the
truth. The MSE is that of the same surveys: the squared error of the EBLUP less that of the BLUP with the true
components, in whose place comes its expectation, g1 + g2. Times are those of one fit with its MSE, of made areas with
the neighbours of `classical_speed`.
"""

from __future__ import annotations

import argparse
import resource
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from classical_speed import made_graph
from pages import write_part
from scipy import sparse as sp

import buurtsae as bs
from buurtsae.classical.multivariate.likelihood import At, at, eblup, leading
from buurtsae.classical.temporal import sar_panel_mse
from buurtsae.classical.temporal.sar_panel import SarPanel
from buurtsae.sparse import one_thread

ERRORS = "<!-- years: written by benchmarks/classical_years.py -->", "<!-- end of years -->"
TIMES = "<!-- years-speed: written by benchmarks/classical_years.py -->", "<!-- end of years-speed -->"
M, T, MISSING = 60, 4, 0.2
D = np.array([2.0, 0.6, 0.5, 0.4, 0.2])[np.arange(M) % 5, None] * np.ones(T)
SHARED = 0.3  # correlation of sampling errors of an area between years
TRUTH = {
    "Rao-Yu": (0.3, 0.7, 0.5),  # sigma2_u, sigma2_v, rho
    "dynamic": (0.3, 1.0, 0.8),
    "spatio-temporal": (0.7, 0.5, 0.3, 0.4),  # sigma2_1, rho1, sigma2_2, rho2
}
SHARE = {"spatio-temporal": 0.5}  # of the replications
BOOTSTRAPS, BOOTSTRAPPED = 20, 0.2  # draws of one survey, and share of the surveys


@cache
def layout() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return covariates (m, T), which cells are seen, proximities, and sampling covariances (m, T, T)."""
    rng = np.random.default_rng(7)
    graph = made_graph(M).toarray()
    order = rng.permutation(M)
    sd = np.sqrt(D)
    v = sd[:, :, None] * sd[:, None, :] * (SHARED + (1 - SHARED) * np.eye(T))
    return rng.normal(size=(M, T)), rng.random((M, T)) > MISSING, graph[order][:, order], v


def model(kind: str, y: np.ndarray, d: np.ndarray | None = None) -> Any:
    """Return the model of direct estimates (m, T), covariances in rows."""
    x, _, graph, v = layout()
    rows = np.column_stack([np.ones(M * T), x.ravel()])
    where = (np.tile(2018 + 2 * np.arange(T), M), np.repeat(np.arange(M), T))
    if kind == "spatio-temporal":
        return bs.SpatioTemporalFayHerriot(y.ravel(), rows, v.reshape(-1, T), graph, *where)
    return bs.RaoYu(y.ravel(), rows, v.reshape(-1, T), *where)


def drawn(kind: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return truth and direct estimates."""
    x, seen, graph, v = layout()
    values = TRUTH[kind]
    if kind == "spatio-temporal":
        w = graph / graph.sum(axis=1, keepdims=True)
        lasting = np.linalg.solve(np.eye(M) - values[1] * w, np.sqrt(values[0]) * rng.normal(size=M))[:, None]
        effects = lasting + moving(values[2], values[3], values[2] / (1 - values[3] ** 2), rng)
    elif kind == "dynamic":
        effects = moving(values[0], values[2], values[1], rng)
    else:
        lasting = np.sqrt(values[1]) * rng.normal(size=(M, 1))
        effects = lasting + moving(values[0], values[2], values[0] / (1 - values[2] ** 2), rng)
    theta = 6 + 0.3 * x + effects
    errors = np.einsum("dij,dj->di", np.linalg.cholesky(v), rng.normal(size=(M, T)))
    return theta, np.where(seen, theta + errors, np.nan)


def moving(innovation: float, rho: float, first: float, rng: np.random.Generator) -> np.ndarray:
    """Return an autoregression of every area, shape (m, T)."""
    out = np.sqrt(first) * rng.normal(size=(M, 1))
    for _ in range(T - 1):
        out = np.column_stack([out, rho * out[:, -1] + np.sqrt(innovation) * rng.normal(size=M)])
    return out


def best(kind: str, made: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return BLUP (m, T) and g1 + g2 (m, T, T) at the true components."""
    values, blocks = np.array(TRUTH[kind]), made.data.blocks
    if kind == "spatio-temporal":
        values[2] /= 1 - values[3] ** 2
        panel = SarPanel.of(made.near, blocks, made.data.lag, values)
        effects = panel.effect[:, None] + panel.t @ panel.sigma
        return blocks.z @ panel.beta + effects, np.add(*sar_panel_mse.leading(panel))
    family = made._family(kind == "dynamic")
    here: At = at(blocks, family.matrix(family.free(values)), restricted=True)
    return eblup(blocks, here), np.add(*leading(blocks, here)[1:])


Errors = dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]  # estimated MSE, squared error, and of intervals


def survey(kind: str, methods: tuple[str, ...], rng: np.random.Generator) -> Iterator[tuple[str, Errors, bool]]:
    """Draw one survey, and yield errors of levels with and without a direct estimate, and of change."""
    theta, y = drawn(kind, rng)
    made, seen = model(kind, y), layout()[1]
    blup, known = best(kind, made)
    contrast = np.array([-1.0, *np.zeros(T - 2), 1.0])
    for method in methods:
        fit = made.fit(method, **({"dynamic": True} if kind == "dynamic" else {}))
        found, mse = fit.eblup.to_numpy(), fit.mse.to_numpy()
        squared = (found - theta) ** 2 - (blup - theta) ** 2 + np.einsum("dii->di", known)
        inside = np.abs(found - theta) <= 1.959964 * np.sqrt(mse)
        change = fit.change(2018, 2018 + 2 * (T - 1))
        moved = (change["change"] - theta @ contrast).to_numpy()
        of_change = moved**2 - ((blup - theta) @ contrast) ** 2 + contrast @ known @ contrast
        within = np.abs(moved) <= 1.959964 * np.sqrt(change["mse"].to_numpy())
        errors: Errors = {
            "seen": (mse[seen], squared[seen], inside[seen]),
            "not seen": (mse[~seen], squared[~seen], inside[~seen]),
            "change": (change["mse"].to_numpy(), of_change, within),
        }
        yield method.upper(), errors, fit.at_boundary
        if kind == "spatio-temporal" and method == "reml" and rng.random() < BOOTSTRAPPED:
            drawn_again = fit.bootstrap_mse(BOOTSTRAPS, int(rng.integers(2**31)))
            for name in ("naive", "corrected"):
                again = drawn_again[name].to_numpy().reshape(M, T)
                inside = np.abs(found - theta) <= 1.959964 * np.sqrt(np.maximum(again, 0))
                parts = {
                    "seen": (again[seen], squared[seen], inside[seen]),
                    "not seen": (again[~seen], squared[~seen], inside[~seen]),
                }
                yield f"REML, {name} bootstrap", parts, fit.at_boundary


def chunk(kind: str, replications: int, seed: int, part: int) -> dict[str, list[Any]]:
    """Return the means of every survey, by method."""
    rng = np.random.default_rng([seed, list(TRUTH).index(kind), part])
    out: dict[str, list[Any]] = {}
    with warnings.catch_warnings(), one_thread():
        warnings.simplefilter("ignore")  # variances at zero: counted
        for _ in range(replications):
            for method, errors, edge in survey(kind, ("reml", "ml"), rng):
                means = {name: [float(np.mean(p)) for p in parts] for name, parts in errors.items()}
                out.setdefault(method, []).append((means, edge))
    return out


def rows(kind: str, replications: int, seed: int, pool: ProcessPoolExecutor) -> list[list[str]]:
    """Return the rows of one model."""
    each = int(replications * SHARE.get(kind, 1.0)) // 10
    found = list(pool.map(partial(chunk, kind, each, seed), range(10)))
    out = []
    for method in dict.fromkeys(name for part in found for name in part):
        surveys = [s for part in found for s in part.get(method, [])]
        cells, covered = [], []
        for name in ("seen", "not seen", "change"):
            if name not in surveys[0][0]:
                cells.append("")
                covered.append("")
                continue
            told, true, inside = np.array([means[name] for means, _ in surveys]).T
            ratio = told.mean() / true.mean()
            error = np.std(told - ratio * true) / np.sqrt(len(told)) / true.mean()
            cells.append(f"{100 * (ratio - 1):+.1f} ({100 * error:.1f})")
            covered.append(f"{100 * inside.mean():.1f}%")
        edges = f"{100 * np.mean([edge for _, edge in surveys]):.1f}%"
        out.append([kind, method, f"{len(surveys):,}", edges, *cells, *covered])
    return out


def timed(kind: str, m: int, years: int) -> list[str]:
    """Return the row of one fit with MSE of so many areas, in a process of its own."""
    rng, graph = np.random.default_rng(1), made_graph(m)
    x = np.column_stack([np.ones(m * years), rng.normal(size=(m * years, 5))])
    w = sp.csc_array(sp.diags_array(1 / graph.sum(axis=1)) @ graph)
    u = sp.linalg.spsolve(sp.eye_array(m, format="csc") - 0.6 * w, 0.5 * rng.normal(size=m))
    d = rng.uniform(0.2, 1.5, m * years)
    y = x[:, 1] + np.repeat(u, years) + 0.4 * rng.normal(size=m * years) + np.sqrt(d) * rng.normal(size=m * years)
    y[rng.random(m * years) < 0.1] = np.nan
    where = (np.tile(2010 + np.arange(years), m), np.repeat(np.arange(m), years))
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if kind == "spatio-temporal":
            fit: Any = bs.SpatioTemporalFayHerriot(y, x, d, graph, *where).fit()
        else:
            fit = bs.RaoYu(y, x, d, *where).fit(dynamic=kind == "dynamic")
        assert np.isfinite(fit.mse.to_numpy()).all()
    taken, memory = time.process_time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return [kind, f"{m:,}", str(years), f"{taken:.1f}", f"{memory:.2f}", "yes" if fit.converged else "NO"]


def written(head: list[str], table: list[list[str]]) -> str:
    """Return a table in Markdown."""
    return "\n".join("| " + " | ".join(r) + " |" for r in [head, ["---"] * len(head), *table])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replications", type=int, default=200)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--sizes", type=int, nargs="*", default=[1000, 14500])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=None, help="page whose parts between the markers are replaced")
    args = parser.parse_args()
    times, table = [], []
    for m in args.sizes:
        for kind in TRUTH:
            with ProcessPoolExecutor(1) as alone:
                times.append(alone.submit(timed, kind, m, 5).result())
            print(" | ".join(times[-1]), flush=True)
    with ProcessPoolExecutor(args.processes) as pool:
        for kind in TRUTH if args.replications else ():
            start = time.perf_counter()
            new = rows(kind, args.replications, args.seed, pool)
            table += new
            print(*(" | ".join(r) for r in new), f"{time.perf_counter() - start:.0f} s", sep="\n", flush=True)
    if args.out and table:
        head = ["model", "method", "surveys", "at an edge", "seen", "not seen", "change"]
        write_part(args.out, *ERRORS, written([*head, "95%, seen", "95%, not seen", "95%, change"], table))
    if args.out and times:
        write_part(
            args.out, *TIMES, written(["model", "areas", "years", "processor s", "peak GiB", "converged"], times)
        )


if __name__ == "__main__":
    main()
