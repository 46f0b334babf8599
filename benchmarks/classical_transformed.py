"""Back-transformed Fay-Herriot models: bias, and whether the mean squared errors are right on average.

    OMP_NUM_THREADS=1 python benchmarks/classical_transformed.py [--replications 4000] [--out docs/classical.md]

50 areas with a sample and 10 without, drawn from the model of the logarithm, and of the arcsine (a tenth as many sets,
each with a bootstrap of 100). *doubled*: Slud and Maiti's MSE with the bias of sigma2_v taken off twice, as in R's emdi
2.2.2.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from pages import write_part

from buurtsae.classical.area.arcsine import ArcsineFayHerriot
from buurtsae.classical.area.back_transformation import slud_maiti
from buurtsae.classical.area.mse import variance
from buurtsae.classical.area.transformed import LogFayHerriot
from buurtsae.classical.columns import BoundaryWarning

MARKS = "<!-- transformed: written by benchmarks/classical_transformed.py -->", "<!-- end of transformed -->"
M, HIDDEN = 60, np.arange(60) < 10


def logarithms(n: int) -> pd.DataFrame:
    """Return bias and MSE of three back-transformations of logarithms by ML."""
    rng, errors = np.random.default_rng(1), {k: [] for k in ("exp(theta)", "crude", "Slud-Maiti", "doubled")}
    told = {k: [] for k in errors}
    for _ in range(n):
        x, d = np.column_stack([np.ones(M), rng.normal(size=M)]), np.linspace(0.03, 0.15, M)[rng.permutation(M)]
        theta = x @ [1.0, 0.1] + 0.4 * rng.normal(size=M)
        y = np.where(HIDDEN, np.nan, np.exp(theta + np.sqrt(d) * rng.normal(size=M)))
        model = LogFayHerriot(y, x, d * y**2)
        fit, crude = model.fit("ml"), model.fit("ml", back="crude")
        own = fit.transformed
        w = np.where(HIDDEN, 0.0, 1 / (own.sigma2_v + d))
        h = np.einsum("kp,pq,kq->k", x, own.cov_beta, x)
        doubled = slud_maiti(
            own.eblup.to_numpy(), x @ own.beta, own.sigma2_v, w, h, variance(w[~HIDDEN], "ml"), 2 * own.mse_terms.bias
        )[1]
        for name, estimate, mse in (
            ("exp(theta)", np.exp(own.eblup), np.full(M, np.nan)),
            ("crude", crude.eblup, crude.mse),
            ("Slud-Maiti", fit.eblup, fit.mse),
            ("doubled", fit.eblup, doubled),
        ):
            errors[name].append(np.asarray(estimate) - np.exp(theta))
            told[name].append(np.asarray(mse))
    return pd.DataFrame({f"log, {k}": row(np.array(errors[k]), np.array(told[k])) for k in errors}).T


def proportions(n: int) -> pd.DataFrame:
    """Return bias, MSE and coverage of two back-transformations of proportions by REML."""
    rng, kinds = np.random.default_rng(2), {"naive": "sin^2(theta)", "bias_corrected": "bias-corrected"}
    errors, told, inside = ({k: [] for k in kinds} for _ in range(3))
    for k in range(n):
        x, size = np.column_stack([np.ones(M), rng.normal(size=M)]), rng.integers(10, 60, M)
        theta = x @ [0.5, 0.1] + 0.15 * rng.normal(size=M)
        p = np.sin(np.clip(theta, 0, np.pi / 2)) ** 2
        z = np.clip(theta + rng.normal(size=M) / np.sqrt(4 * size), 0, np.pi / 2)
        y = np.where(HIDDEN, np.nan, np.sin(z) ** 2)
        for kind in kinds:
            fit = ArcsineFayHerriot(y, x, size).fit(back=kind, replications=100, seed=k)
            errors[kind].append(fit.eblup.to_numpy() - p)
            told[kind].append(fit.mse.to_numpy())
            inside[kind].append(fit.table["lower"].le(p) & fit.table["upper"].ge(p))
    rows = {}
    for kind, name in kinds.items():
        seen = np.array(inside[kind])
        rows[f"arcsine, {name}"] = row(np.array(errors[kind]), np.array(told[kind])) | {
            "coverage, sampled": f"{100 * seen[:, ~HIDDEN].mean():.1f}%",
            "coverage, without": f"{100 * seen[:, HIDDEN].mean():.1f}%",
        }
    return pd.DataFrame(rows).T


def row(error: np.ndarray, mse: np.ndarray) -> dict[str, str]:
    """Bias in units of the root MSE, and the estimated over the true MSE, with Monte Carlo standard errors."""
    found = {}
    for name, areas in (("sampled", ~HIDDEN), ("without", HIDDEN)):
        e, squares, n = error[:, areas], (error[:, areas] ** 2).mean(axis=1), len(error)
        root = np.sqrt(squares.mean())
        found[f"bias / rmse, {name}"] = f"{e.mean() / root:.3f} ± {e.mean(axis=1).std() / root / np.sqrt(n):.3f}"
        if np.isfinite(mse).all():
            ratio = mse[:, areas].mean() / squares.mean()
            noise = (mse[:, areas].mean(axis=1) - ratio * squares).std() / squares.mean() / np.sqrt(n)
            found[f"MSE told / true, {name}"] = f"{ratio:.3f} ± {noise:.3f}"
    return found


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replications", type=int, default=4000)
    parser.add_argument("--out", type=Path, default=None, help="page whose part between the markers is replaced")
    args = parser.parse_args()
    warnings.simplefilter("ignore", BoundaryWarning)  # now and then sigma2_v is zero: it counts as it is
    table = pd.concat([logarithms(args.replications), proportions(args.replications // 10)]).fillna("")
    text = table.rename_axis("model, back-transformation").to_markdown()
    print(text)
    if args.out:
        write_part(args.out, *MARKS, text)


if __name__ == "__main__":
    main()
