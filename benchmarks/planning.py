"""What a plan expects of more respondents, and what fits with these respondents then say.

    python benchmarks/planning.py [--worlds 6] [--refits 6] [--out docs/official.md]

Worlds of `persons_coverage` (64 areas, about 12 respondents each, a standard deviation of 0.43 between areas), a model
of persons, and 20 more respondents in every second area (or all residents), spread as its residents are. Their answers
are drawn from the model at a draw of its posterior, and it is fitted again. Reliability is 1 less the posterior
variance over that between areas, by the first fit throughout; *found* is by the mean posterior variance of
the fits. The prior of the spread between areas is that of the package, or says it to 5%.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from pages import write_part
from persons_coverage import AREAS, DEFAULT, FIXED, world
from scipy.special import expit

import buurtsae as bs
from buurtsae.engines.poststratify import Residents
from buurtsae.engines.unit import UnitFit
from buurtsae.estimates.labels import Rules
from buurtsae.estimates.measured import measured
from buurtsae.estimates.planning.preposterior import Preposterior
from buurtsae.model.priors import LogNormal, Prior

MARKS = "<!-- planning: written by benchmarks/planning.py -->", "<!-- end of planning -->"
MORE = np.where(np.arange(AREAS) % 2 == 0, 20, 0)
CASES: list[tuple[str, Prior]] = [("hardly known", DEFAULT), ("known", LogNormal(float(np.log(FIXED)), 0.05))]


def fitted(answers: bs.Answers, cells: bs.Cells, prior: Prior, seed: int, draws: int) -> UnitFit:
    """Return the fit of a world."""
    persons = [bs.Fixed("geslacht"), bs.Factor("herkomst", sd=DEFAULT)]
    model = bs.UnitModel("1", terms=[bs.IID("area", sd=prior)], persons=persons)
    return bs.fit_persons(model, answers, cells, draws=draws, hyperparameters=100, seed=seed, progress=False)


def extended(fit: UnitFit, m: np.ndarray, k: int, rng: np.random.Generator) -> bs.Answers:
    """Return the answers with those of m more residents of each area, as draw k says."""
    residents, extra = Residents.of(fit.populations[0], fit.stacked, None), []
    for a in np.flatnonzero(m):
        at = np.flatnonzero(residents.area == a)
        extra.append(at[rng.choice(len(at), m[a], p=residents.count[at] / residents.count[at].sum())])
    cell = np.concatenate(extra)
    eta = fit.draws.e[k][residents.area[cell]] + fit.draws.f[k][residents.index[cell]].sum(axis=1)
    table, first = fit.populations[0], fit.answers
    names = list(table.characteristics)

    def rows(area: np.ndarray, level: np.ndarray, known: bs.Cells | bs.Answers) -> pd.DataFrame:
        labels = [np.array(known.characteristics[name])[level[:, j]] for j, name in enumerate(known.characteristics)]
        frame = pd.DataFrame(dict(zip(known.characteristics, labels, strict=True)))
        return frame[names].assign(code=np.asarray(known.areas.codes)[area])

    old = rows(first.area, first.level, first).assign(n=first.size, ja=first.y / first.size)
    at = residents.cell[cell]
    new = rows(table.area[at], table.level[at], table).assign(n=1.0, ja=1.0 * (rng.uniform(size=len(eta)) < expit(eta)))
    return bs.Answers.of(pd.concat([old, new], ignore_index=True), "ja", table, area="code", number="n")


def compared(seed: int, prior: Prior, refits: int) -> np.ndarray:
    """Return reliability now, expected and found of the areas of one world, (3, N)."""
    answers, cells, _ = world(seed, f"{FIXED}")
    first, rng = fitted(answers, cells, prior, seed, 4000), np.random.default_rng([seed, 7])
    f = first.fit_of()
    concept = measured(f)
    p = Preposterior.of(f, concept, concept.matrix_of(f.draws.subdimensions), 0, Rules(), 1.0, 1.0)
    m = np.minimum(MORE, (f.areas.population - p.respondents[:, 0]).astype(np.int64))  # of some areas all are asked
    after = p.state(m)
    variances = [
        fitted(extended(first, m, k, rng), cells, prior, seed + 1, 1000).fit_of().draws.scores()[..., 0].var(axis=0)
        for k in rng.choice(4000, refits, replace=False)
    ]
    found = 1 - np.mean(variances, axis=0) / p.between
    return np.stack([*(p.reliability(s.covariance, s.m)[:, 0] for s in (p.now, after)), found])


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=6)
    parser.add_argument("--refits", type=int, default=6)
    parser.add_argument("--first", type=int, default=301)
    parser.add_argument("--out", type=Path, default=None, help="page whose part between the markers is replaced")
    args = parser.parse_args()
    rows = []
    for name, prior in CASES:
        each = np.stack([compared(args.first + w, prior, args.refits) for w in range(args.worlds)])
        for areas, at in (("with 20 more", MORE > 0), ("without", MORE == 0)):
            now, expected, found = (each[:, k][:, at] for k in range(3))
            off = (expected - found).mean(axis=1)
            rows.append({
                "spread between areas": name, "areas": areas, "now": f"{now.mean():.3f}",
                "expected": f"{expected.mean():.3f}", "found": f"{found.mean():.3f}",
                "expected less found": f"{off.mean():.3f}", "its error": f"{off.std(ddof=1) / np.sqrt(len(off)):.3f}",
            })  # fmt: skip
            print(rows[-1], flush=True)
    about = (
        f"{args.worlds} worlds, seeds {args.first} to {args.first + args.worlds - 1}, {args.refits} fits again in each:"
    )
    text = f"{about}\n\n{pd.DataFrame(rows).to_markdown(index=False, disable_numparse=True)}"
    if args.out:
        write_part(args.out, *MARKS, text)


if __name__ == "__main__":
    main()
