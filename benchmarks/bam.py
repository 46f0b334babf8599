"""A region of a GGD by R's `mgcv::bam(discrete = TRUE)` and by the engine of persons: the same terms, in one run.

    python benchmarks/bam.py [--side 24] [--respondents 16000] [--repeats 3] [--seed 1] [--out docs/persons.md]

Needs `Rscript` with mgcv, and says so where it is absent (Debian: r-base-core, r-cran-mgcv). A grid of areas, 100 cells
of residents in each, respondents drawn from residents with chances that differ; answers yes or no with a known chance.
Terms are those of SMAP (functies/ of ggdatascience/SMAP, 2016) as far as the made characteristics go: age by sex, P-
splines of income, wealth and urbanity (10 coefficients on the same knots), exchangeable levels of six characteristics
and two of their combinations, and a Markov random field over neighbours, of rank n / 5 there and of all n areas here.
Age is a P-spline there and a random walk of order 2 over 14 classes here. bam has no intervals for means of residents;
ours are in the time. Times are of the processor, the median of the repeats, after a first fit that compiles; both have
one thread, so that what else the machine does matters little.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from pages import write_part
from scipy.special import expit

import buurtsae as bs

MARKS = "<!-- bam: written by benchmarks/bam.py -->", "<!-- end of bam -->"
LEVELS = {"leeftijd": 14, "geslacht": 2, "herkomst": 4, "burgerlijk": 4, "opleiding": 3, "huishouden": 5, "bron": 4,
          "woning": 3, "inkomen": 20, "vermogen": 20, "stedelijkheid": 10}  # fmt: skip
EXCHANGEABLE = ("herkomst", "burgerlijk", "opleiding", "huishouden", "bron", "woning")
PAIRS = (("geslacht", "herkomst"), ("geslacht", "opleiding"))
CURVES = ("inkomen", "vermogen", "stedelijkheid")
FEW = 64  # effective values of the standard deviations
CELLS, RESIDENTS = 100, 8  # per area, and per cell on average
R = """
library(mgcv)
args <- commandArgs(TRUE)
folder <- args[1]; k <- as.integer(args[2]); repeats <- as.integer(args[3])
d <- read.csv(file.path(folder, "respondents.csv")); p <- read.csv(file.path(folder, "residents.csv"))
edges <- read.csv(file.path(folder, "edges.csv"), colClasses = "character")
factors <- strsplit(args[4], ",")[[1]]
codes <- sort(unique(p$code))
for (name in factors) {
  levels <- sort(unique(p[[name]]))
  d[[name]] <- factor(d[[name]], levels)
  p[[name]] <- factor(p[[name]], levels)
}
d$code <- factor(d$code, codes); p$code <- factor(p$code, codes)
both <- rbind(edges, data.frame(a = edges$b, b = edges$a))
nb <- lapply(split(both$b, factor(both$a, codes)), function(x) match(x, codes))
formula <- as.formula(paste("y ~ geslacht + s(leeftijd, by = geslacht, bs = 'ps', k = 10, id = 1)", args[5],
                            "+ s(code, bs = 'mrf', xt = list(nb = nb), k = k)"))
for (q in seq_len(repeats)) {
  fit <- system.time(m <- bam(formula, data = d, family = binomial, discrete = TRUE, nthreads = 1))
  figures <- system.time({
    mu <- predict(m, p, type = "response", discrete = TRUE, n.threads = 1)
    share <- tapply(mu * p$aantal, p$code, sum) / tapply(p$aantal, p$code, sum)
  })
  cat(sum(fit[c("user.self", "sys.self")]), sum(figures[c("user.self", "sys.self")]), "\\n")
}
shares <- data.frame(code = names(share), share = as.numeric(share))
write.csv(shares, file.path(folder, "shares.csv"), row.names = FALSE)
"""


def made(side: int, respondents: int, seed: int) -> tuple[pd.DataFrame, pd.DataFrame, list[tuple[str, str]]]:
    """Residents in cells with their chance of yes, respondents with their answers, and neighbours."""
    rng, n = np.random.default_rng(seed), side**2
    codes = np.array([f"A{k:04d}" for k in range(n)])
    edges = [(codes[k], codes[k + 1]) for k in range(n) if (k + 1) % side]
    edges += [(codes[k], codes[k + side]) for k in range(n - side)]
    area = np.repeat(np.arange(n), CELLS)
    level = {name: rng.integers(0, size, n * CELLS) for name, size in LEVELS.items()}
    row, column = np.divmod(np.arange(n), side)
    level["stedelijkheid"] = np.clip((9 - np.hypot(row, column) / side * 7).astype(int), 0, 9)[area]
    field = 0.5 * np.sin(4 * row / side) * np.cos(5 * column / side) + 0.15 * rng.standard_normal(n)
    age = np.linspace(-1, 1, 14)[level["leeftijd"]]
    eta = -1.2 + field[area] + 0.5 * age**2 + 0.3 * age * (2 * level["geslacht"] - 1)
    eta -= 0.8 * np.tanh(np.linspace(-2, 2, 20))[level["inkomen"]] + 0.02 * level["vermogen"]
    for name in EXCHANGEABLE:
        eta += 0.25 * rng.standard_normal(LEVELS[name])[level[name]]
    residents = pd.DataFrame({"code": codes[area], **level, "aantal": 1 + rng.poisson(RESIDENTS - 1, n * CELLS)})
    chance = residents["aantal"] * expit(0.4 * age + 0.2 * level["opleiding"])  # who answers
    asked = rng.choice(n * CELLS, respondents, p=chance / chance.sum())
    answers = residents.iloc[asked].drop(columns="aantal").assign(y=rng.uniform(size=respondents) < expit(eta[asked]))
    return residents.assign(chance=expit(eta)), answers.astype({"y": int}).reset_index(drop=True), edges


def ours(
    residents: pd.DataFrame, answers: pd.DataFrame, edges: list[tuple[str, str]], values: int | None, repeats: int
) -> tuple[pd.DataFrame, list[tuple[float, float]]]:
    """Shares of areas, with intervals, and times of fits and figures, by so many effective values of the spreads."""
    characters = [*LEVELS]
    total = residents.groupby("code")["aantal"].sum()
    areas = bs.Areas.from_frame(pd.DataFrame({"code": total.index, "population": total.to_numpy()}), code="code")
    both = [part.astype(dict.fromkeys(characters, str)) for part in (residents, answers)]
    # in the order of their numbers
    order = {name: [str(k) for k in range(size)] for name, size in LEVELS.items()}
    cells = bs.Cells.from_frame(both[0].drop(columns="chance"), areas, area="code", characteristics=order)
    yes = bs.Answers.of(both[1].assign(y=100.0 * answers["y"]), "y", cells, area="code")
    persons = [
        bs.Fixed("geslacht"), bs.Ordered("leeftijd", by="geslacht", order=2),
        *(bs.Factor(name) for name in EXCHANGEABLE), *(bs.Factor(pair) for pair in PAIRS),
        *(bs.Smooth(name, intervals=7) for name in CURVES),
    ]  # fmt: skip
    icar = bs.ICAR(bs.Graph.from_pairs(list(total.index), edges), sd=bs.PC(1, 0.05))
    model, times = bs.UnitModel(terms=[icar], persons=persons), []  # type: ignore[arg-type]
    for _ in range(1 + repeats):
        start = time.process_time()
        fit = bs.fit_persons(model, yes, cells, draws=1000, hyperparameters=values, threads=1, progress=False)
        middle = time.process_time()
        shares = fit.fit_of().draws.scores()[:, :, 0]
        low, high = np.quantile(shares, [0.025, 0.975], axis=0)
        times.append((middle - start, time.process_time() - middle))
    table = {"share": shares.mean(axis=0), "sd": shares.std(axis=0), "low": low, "high": high}
    return pd.DataFrame(table, index=areas.codes), times[1:]


def theirs(folder: Path, rank: int, repeats: int) -> tuple[pd.Series, list[tuple[float, float]]]:
    """Shares of areas, and times of fits and figures."""
    (folder / "bam.R").write_text(R, encoding="utf-8")
    terms = [f"+ s({name}, bs = 're')" for name in EXCHANGEABLE]
    terms += [f"+ s({', '.join(pair)}, bs = 're')" for pair in PAIRS]
    terms += [f"+ s({name}, bs = 'ps', k = 10)" for name in CURVES]
    factors = ",".join(["geslacht", *EXCHANGEABLE])
    command = ["Rscript", str(folder / "bam.R"), str(folder), str(rank), str(repeats), factors, " ".join(terms)]
    alone = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=alone)
    if done.returncode:
        raise SystemExit(f"Rscript ended with an error:\n{done.stderr}")
    times = [tuple(map(float, line.split())) for line in done.stdout.splitlines()]
    return pd.read_csv(folder / "shares.csv", index_col="code")["share"], times  # type: ignore[return-value]


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=24)
    parser.add_argument("--respondents", type=int, default=16_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=None, help="page whose part between the markers is replaced")
    args = parser.parse_args()
    if shutil.which("Rscript") is None:
        print("skipped: there is no Rscript on this machine; install R and its package mgcv")
        return
    residents, answers, edges = made(args.side, args.respondents, args.seed)
    weighted = residents["chance"] * residents["aantal"]
    truth = weighted.groupby(residents["code"]).sum() / residents.groupby("code")["aantal"].sum()
    found, tables = [], []
    for what, values in (("buurtsae", None), (f"buurtsae, hyperparameters = {FEW}", FEW)):
        one, times = ours(residents, answers, edges, values, args.repeats)
        covered = 100 * float(((one["low"] <= truth[one.index]) & (truth[one.index] <= one["high"])).mean())
        tables.append(one)
        found.append((what, one["share"], times, f"{covered:.1f}%"))
    table = tables[0]
    truth, n = truth[table.index], len(table)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        residents.drop(columns="chance").to_csv(folder / "residents.csv", index=False)
        answers.to_csv(folder / "respondents.csv", index=False)
        pd.DataFrame(edges, columns=["a", "b"]).to_csv(folder / "edges.csv", index=False)
        for what, rank in (("n / 5", n // 5), ("n", n)):
            share, times = theirs(folder, rank, args.repeats)
            found.append((f"bam, field of rank {what}", share[table.index], times, "none"))
    rows, whole = [], sum(np.median(found[0][2], axis=0))
    for what, share, times, coverage in found:
        fit, figures = np.median(times, axis=0)
        rows.append({
            "": what, "fit, s": fit, "figures, s": figures, "time of the first over it": whole / (fit + figures),
            "RMSE, points": 100 * np.sqrt(((share - truth) ** 2).mean()), "95% intervals hold": coverage,
            "from the first: RMS, points": 100 * np.sqrt(((share - table["share"]) ** 2).mean()),
            "the same, posterior sds": np.sqrt((((share - table["share"]) / table["sd"]) ** 2).mean()),
        })  # fmt: skip
        print(rows[-1], flush=True)
    text = pd.DataFrame(rows).round(2).to_markdown(index=False)
    size = f"{n} areas, {len(answers)} respondents, {len(residents)} cells of residents, seed {args.seed}:"
    if args.out:
        write_part(args.out, *MARKS, f"{size}\n\n{text}")
    print(text)


if __name__ == "__main__":
    main()
