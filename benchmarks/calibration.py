"""Does the variance of calibrated estimates tell the truth? Repeated samples from one made population.

    python benchmarks/calibration.py [--out docs/direct.md]

A population of 20,000 in 20 areas; age explains most of the score. Simple random samples, raked on age and sex. The
true variance is that of the estimates over 800 samples, averaged over areas: its relative standard error is
sqrt(2 / 800) = 5% for the whole and about 1% over 20 areas.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from buurtsae.survey.calibration import credit, indicators, rake
from buurtsae.survey.sampling import SampleDesign
from buurtsae.survey.variance import covariance, hajek

ROOT = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- calibration: begin -->", "<!-- calibration: end -->"
POPULATION, AREAS, SAMPLES, SEED = 20_000, 20, 800, 5


def simulate(n: int) -> list[tuple[str, float, float]]:
    """Return, for the whole and for areas, mean variance estimates with and without credit over the true variance."""
    rng = np.random.default_rng(SEED)
    area, age, sex = (rng.integers(0, k, POPULATION) for k in (AREAS, 3, 2))
    y = (5 + 2.0 * age + 0.5 * sex + rng.normal(size=POPULATION))[:, None]
    totals = [np.bincount(v).astype(float) for v in (age, sex)]
    zeros = np.zeros(n, dtype=np.int64)
    design = SampleDesign.of(zeros, (), [np.full(n, float(POPULATION))])
    found: dict[str, list[list[np.ndarray]]] = {"all": [], f"area ({n // AREAS} each)": []}
    for _ in range(SAMPLES):
        i = rng.choice(POPULATION, n, replace=False)
        base, margins = np.full(n, POPULATION / n), [age[i], sex[i]]
        w, x = rake(base, margins, totals), indicators(margins, [3, 2])
        for (_, rows), (domain, size) in zip(found.items(), ((zeros, 1), (area[i], AREAS)), strict=True):
            mean, share, residual = hajek(y[i], w, domain, size)
            z = share * residual
            credited = covariance(z, domain, size, design, *credit(z, w, domain, size, x, base))
            rows.append([mean[:, 0], credited[:, 0, 0], covariance(z, domain, size, design)[:, 0, 0]])
    out = []
    for name, rows in found.items():
        mean, credited, plain = (np.array([r[k] for r in rows]) for k in range(3))
        true = mean.var(axis=0, ddof=1).mean()
        out.append((name, float(credited.mean() / true), float(plain.mean() / true)))
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "direct.md")
    out = parser.parse_args().out
    lines = ["| respondents | level | credited | not credited |", "| --- | --- | --- | --- |"]
    for n in (400, 2_000):
        lines += [f"| {n:,} | {name} | {a:.2f} | {b:.2f} |" for name, a, b in simulate(n)]
    before, rest = out.read_text(encoding="utf-8").split(BEGIN)
    out.write_text(before + "\n".join([BEGIN, *lines, END]) + rest.split(END)[1], encoding="utf-8")


if __name__ == "__main__":
    main()
