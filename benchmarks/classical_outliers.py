"""Gross areas, and covariates with errors: robust and measurement-error Fay-Herriot beside the ordinary model.

    OMP_NUM_THREADS=1 python benchmarks/classical_outliers.py [--replications 500] [--out docs/classical.md]

150 areas, sampling variances spread evenly; sigma2_v is 1 but for the gross ones. One area in ten is gross: its effect
has five times the standard deviation, or its direct estimate five times the standard error that is reported. Then 200
areas with a slope of 1.5 on a covariate of variance 1, one in ten of which is measured with an error variance of 3.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from pages import write_part

from buurtsae.classical.area.fay_herriot import FayHerriot
from buurtsae.classical.area.measurement_error import MeasurementErrorFayHerriot
from buurtsae.classical.area.robust import RobustFayHerriot
from buurtsae.classical.columns import BoundaryWarning

ROBUST = "<!-- robust: written by benchmarks/classical_outliers.py -->", "<!-- end of robust -->"
NOISY = "<!-- noisy: written by benchmarks/classical_outliers.py -->", "<!-- end of noisy -->"
M = 150
CASES = {  # ends of the sampling variances, share of gross effects, of gross direct estimates
    "nothing, D 0.3 to 2": (0.3, 2.0, 0.0, 0.0),
    "effects, D 0.1 to 0.4": (0.1, 0.4, 0.1, 0.0),
    "effects, D 0.3 to 2": (0.3, 2.0, 0.1, 0.0),
    "direct estimates, D 1 to 2": (1.0, 2.0, 0.0, 0.1),
}


def gross(case: tuple[float, float, float, float], rng: np.random.Generator) -> dict[str, float]:
    """Return mean squared errors in one survey, of all areas and of those that are not gross."""
    low, high, effects, directs = case
    d, x = np.linspace(low, high, M), np.column_stack([np.ones(M), rng.normal(size=M)])
    odd = rng.uniform(size=M) < effects + directs
    theta = x @ [2.0, 1.0] + np.where(odd & (effects > 0), 5.0, 1.0) * rng.normal(size=M)
    y = theta + np.where(odd & (directs > 0), 5.0, 1.0) * np.sqrt(d) * rng.normal(size=M)
    robust = RobustFayHerriot(y, x, d).fit()
    found = {
        "EBLUP": FayHerriot(y, x, d).fit().eblup,
        "REBLUP": robust.eblup,
        "bias corrected, c = 1": robust.bias_corrected(),
    }
    errors = {name: (e.to_numpy() - theta) ** 2 for name, e in found.items()}
    estimated = {"estimated, plain areas": float(robust.mse[~odd].mean())}
    return (
        {name: float(e.mean()) for name, e in errors.items()}
        | {f"{name}, plain areas": float(errors[name][~odd].mean()) for name in ("EBLUP", "REBLUP")}
        | estimated
    )


def noisy(rng: np.random.Generator) -> dict[str, dict[str, float]]:
    """Return what both models make of a covariate with errors in one area of ten."""
    m = 200
    bad, d = np.arange(m) % 10 == 0, np.ones(m)
    c, x = np.where(bad, 3.0, 0.0), rng.normal(size=m)
    theta = 5 + 1.5 * x + np.sqrt(0.5) * rng.normal(size=m)
    y = theta + rng.normal(size=m)
    seen = np.column_stack([np.ones(m), x + np.sqrt(c) * rng.normal(size=m)])
    fits = {
        "least squares": FayHerriot(y, seen, d).fit(),
        "Ybarra-Lohr": MeasurementErrorFayHerriot(y, seen, d, np.column_stack([np.zeros(m), c])).fit(),
    }
    return {
        name: {
            "slope": float(fit.params.iloc[1]),
            "MSE where measured with error": float(((fit.eblup.to_numpy() - theta)[bad] ** 2).mean()),
            "estimated": float(fit.mse[bad].mean()),
            "MSE elsewhere": float(((fit.eblup.to_numpy() - theta)[~bad] ** 2).mean()),
            "estimated elsewhere": float(fit.mse[~bad].mean()),
        }
        for name, fit in fits.items()
    }


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replications", type=int, default=500)
    parser.add_argument("--out", type=Path, default=None, help="page whose parts between the markers are replaced")
    args = parser.parse_args()
    warnings.simplefilter("ignore", BoundaryWarning)  # now and then sigma2_v is zero: it counts as it is
    rows = {}
    for k, (name, case) in enumerate(CASES.items()):
        rng = np.random.default_rng([1, k])
        rows[name] = pd.DataFrame([gross(case, rng) for _ in range(args.replications)]).mean()
    robust = pd.DataFrame(rows).T.rename_axis("gross, one area in ten").to_markdown(floatfmt=".3f")
    rng = np.random.default_rng([2])
    surveys = [noisy(rng) for _ in range(args.replications)]
    parts = {name: pd.DataFrame([s[name] for s in surveys]).mean() for name in surveys[0]}
    measured = pd.DataFrame(parts).T.rename_axis("slope 1.5").to_markdown(floatfmt=".3f")
    print(robust, measured, sep="\n\n")
    if args.out:
        write_part(args.out, *ROBUST, robust)
        write_part(args.out, *NOISY, measured)


if __name__ == "__main__":
    main()
