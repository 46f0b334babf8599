"""The fast engine against NUTS on the province of Utrecht: do they agree, and at what price?

    python benchmarks/engines.py [--seeds 40] [--further 4] [--work out/engines] [--out docs/fast-engine.md]

969 buurten (`models/utrecht.toml`, respondents simulated by `benchmarks/utrecht.py`), the same model and priors. The
price is seconds per 1,000 effective draws: of a mean (or a standard deviation) whose squared Monte Carlo error is the
average over quantities, and of the one that is known worst. For NUTS errors are by ArviZ's ESS. For laplace, whose
hyperparameters are a quasi-random net, they are measured: of posterior means the mean square of differences from one
long fit, so that what fits share counts, such as a tail that few values find; of standard deviations their variance
between seeds. The worst of many alike quantities looks worse than it is (from 40 seeds some 1.5 times for 26
quantities, 1.9 times for thousands). NUTS is timed once, in the same process as the fits, and run further, so that its
own error is small beside what engines may differ; --work keeps the draws of further runs.
"""

from __future__ import annotations

import argparse
import pickle
import time
from pathlib import Path

import numpy as np
import pandas as pd
from pages import write_part
from utrecht import RUN, simulate

from buurtsae.draws import Draws, convergence
from buurtsae.engines import nuts
from buurtsae.engines.base import fit
from buurtsae.runs import steps
from buurtsae.runs.reading import Inputs

MARKS = "<!-- engines: written by benchmarks/engines.py -->", "<!-- end of engines -->"


def sampled(inputs: Inputs, folder: Path, further: int) -> tuple[list[dict[str, np.ndarray]], float, float]:
    """Return what NUTS finds in one run and in further ones, and the seconds of compiling and of the first run."""
    folder.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    compiled = nuts.compile_design(inputs.design)
    found, clock = [], [start, time.perf_counter()]
    for seed in range(1, 2 + further):
        kept = folder / f"nuts_{seed}.pickle"
        if seed == 1 or not kept.exists():
            draws = nuts.sample_compiled(compiled, inputs.design, seed, nuts.NutsOptions(), progress=False)
            clock.append(time.perf_counter())
            kept.write_bytes(pickle.dumps(columns(draws)))
        found.append(pickle.loads(kept.read_bytes()))
    return found, clock[1] - clock[0], clock[2] - clock[1]


def columns(draws: Draws) -> dict[str, np.ndarray]:
    """Return scores and hyperparameters as (chains, draws, quantities), those that are fixed left out."""
    out = {"scores": draws.eta.reshape(*draws.shape, -1)}
    parts = [values.reshape(*draws.shape, -1) for _, values in draws.hyper.values()]
    out["hyperparameters"] = np.concatenate(parts, axis=2)
    return out


def ess(values: np.ndarray) -> np.ndarray:
    """Return the effective number of draws for the means of quantities of shape (chains, draws, quantities)."""
    return convergence(values)["ess_bulk"].to_numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=40)
    parser.add_argument("--further", type=int, default=4, help="runs of NUTS beside the one that is timed")
    parser.add_argument("--long", type=int, default=15_000, help="effective values of the long fit")
    parser.add_argument("--work", type=Path, default=Path("out/engines"))
    parser.add_argument("--out", type=Path, default=None, help="page whose part between the markers is replaced")
    args = parser.parse_args()
    simulate()
    inputs = steps.check(RUN)
    every, compiling, sampling = sampled(inputs, args.work, args.further)
    fits, seconds = [], []
    for seed in range(args.seeds + 1):  # the first one compiles, or reads compiled loops
        found = fit(inputs.model, inputs.direct, "laplace", seed, progress=False)
        fits.append(columns(found.draws))
        seconds.append(found.seconds)
        print(f"laplace, seed {seed}: {found.seconds:.1f} s, {found.draws.certificate}", flush=True)
    each = float(np.median(seconds[1:]))
    long = fit(inputs.model, inputs.direct, "laplace", 999, progress=False, hyperparameters=args.long)
    print(f"long: {long.seconds:.1f} s, {long.draws.certificate}", flush=True)
    settled = {name: values.mean(axis=(0, 1)) for name, values in columns(long.draws).items()}
    rows = []
    for name in every[0]:
        values = np.concatenate([c[name] for c in every])
        free = values.std(axis=(0, 1)) > 1e-9
        values = values[..., free]
        exact, sd = values.mean(axis=(0, 1)), values.std(axis=(0, 1))
        means = np.array([f[name].mean(axis=(0, 1)) for f in fits])[:, free]
        sds = np.array([f[name].std(axis=(0, 1)) for f in fits])[:, free]
        difference, ratio = np.abs(means.mean(axis=0) - exact) / sd, sds.mean(axis=0) / sd
        # squared errors over those of one independent draw: 1 / n of a mean; of a sd, as that of a mean of squares is
        squares = (every[0][name][..., free] - exact) ** 2
        error = 1 / np.sqrt(ess(values)[difference.argmax()])
        agreement = {
            "mean": f"at most {difference.max():.3f} sd off, NUTS's own error there {error:.3f}",
            "sd": f"{ratio.min():.3f} to {ratio.max():.3f} times that of NUTS",
        }
        errors = {
            "mean": (1 / ess(every[0][name][..., free]), ((means - settled[name][free]) ** 2).mean(axis=0) / sd**2),
            "sd": (1 / ess(squares), (sds**2).var(axis=0, ddof=1) / squares.var(axis=(0, 1))),
        }
        for summary, (of_nuts, own) in errors.items():
            row = {"": f"{int(free.sum())} {name}: {summary}", "laplace against NUTS": agreement[summary]}
            for at, over in (("average", np.mean), ("worst", np.max)):
                row[f"NUTS, {at}"] = 1000 * (compiling + sampling) * over(of_nuts)
                row[f"laplace, {at}"] = 1000 * each * over(own)
                row[f"times faster, {at}"] = row[f"NUTS, {at}"] / row[f"laplace, {at}"]
            rows.append(row)
    text = (
        f"NUTS: {compiling:.0f} s to compile, {sampling:.0f} s to sample. laplace: {each:.1f} s (median of {args.seeds}"
        f" fits; the first {seconds[0]:.1f} s). Prices are seconds per 1,000 effective draws. Differences are "
        f"between the means of {args.seeds + 1} fits and those of {len(every)} runs of NUTS. The long fit: "
        f"{long.draws.certificate}.\n\n"
    )
    formats = ("", "", *(".1f", ".2f", ".0f") * 2)
    text += pd.DataFrame(rows).to_markdown(index=False, floatfmt=formats)
    print(text)
    if args.out:
        write_part(args.out, *MARKS, text)


if __name__ == "__main__":
    main()
