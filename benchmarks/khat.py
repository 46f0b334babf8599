"""How often can the weights of the fast engine not be relied on? Data sets whose hyperparameters come from the priors.

    python benchmarks/khat.py [--sets 200] [--out docs/fast-engine.md]

60 areas, one of them an island, ten without data, as in the simulation-based calibration of the test suite: its made
data sets, extremes of the priors included, with 100 effective values of the hyperparameters asked for.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from pages import write_part
from threadpoolctl import threadpool_limits

from buurtsae.draws import KHAT_MAX
from buurtsae.engines.hyper import NormalScores
from buurtsae.engines.integration import integrate
from buurtsae.engines.marginal import Marginal
from buurtsae.engines.search import Progress

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "recovery"))
MARKS = "<!-- khat: written by benchmarks/khat.py -->", "<!-- end of khat -->"


def main() -> None:
    """Run the benchmark."""
    from test_simulation_based_calibration import made_design, simulated

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=int, default=200)
    parser.add_argument("--out", type=Path, default=None, help="page whose part between the markers is replaced")
    args = parser.parse_args()
    rows = []
    for n_dims in (1, 2):
        arrays, rng = made_design(n_dims), np.random.default_rng(n_dims)
        scores, found = NormalScores.of(arrays), []
        with threadpool_limits(1):
            for seed in range(args.sets):
                target = Marginal.of(simulated(arrays, scores, rng)[0])
                found.append(integrate(target, seed, 100, map, Progress(False)))
        khat = np.array([f.khat for f in found])
        rows.append(
            {
                "sub-dimensions": n_dims,
                "hyperparameters": scores.size,
                "data sets": args.sets,
                f"k-hat above {KHAT_MAX}": f"{100 * (khat > KHAT_MAX).mean():.1f}%",
                "k-hat, 90%": round(float(np.quantile(khat, 0.9)), 2),
                "values weighed": round(np.mean([len(f.weights) for f in found])),
                "effective": round(np.mean([f.effective for f in found])),
            }
        )
    text = pd.DataFrame(rows).to_markdown(index=False)
    print(text)
    if args.out:
        write_part(args.out, *MARKS, text)


if __name__ == "__main__":
    main()
