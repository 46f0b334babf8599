"""The fast engine against NUTS on the province of Utrecht: do they agree, and at what price?

    python benchmarks/engines.py [--seeds 40] [--runs 4] [--work out/engines] [--out docs/fast-engine.md]

969 buurten (`models/utrecht.toml`, respondents simulated by `benchmarks/utrecht.py`), the same model and priors. The
price is seconds per 1,000 effective draws: of a mean whose squared Monte Carlo error, in posterior variances, is the
average over quantities, and of the one that is known worst. For NUTS errors are by ArviZ's bulk ESS. For laplace,
whose hyperparameters are a quasi-random net, they are measured: the variance of posterior means between fits with
different seeds. The average has no bias; the worst of many alike quantities looks worse than it is (from 40 seeds some
1.5 times for 26 quantities, 1.9 times for thousands). NUTS is run several times, so that its own error is small beside
what engines may differ; the price is that of one run. --work keeps its draws.
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

from buurtsae import pipeline
from buurtsae.draws import Draws, convergence
from buurtsae.engines import nuts
from buurtsae.engines.base import fit

MARKS = "<!-- engines: written by benchmarks/engines.py -->", "<!-- end of engines -->"


def sampled(inputs: pipeline.Inputs, folder: Path, runs: int) -> tuple[Draws, float, float, list[Draws]]:
    """Return draws of NUTS, the seconds of compiling and of sampling, and draws of further runs."""
    kept = folder / "nuts.pickle"
    if not kept.exists():
        folder.mkdir(parents=True, exist_ok=True)
        start = time.perf_counter()
        compiled = nuts.compile_design(inputs.design)
        compiling, found = time.perf_counter() - start, []
        for seed in range(1, runs + 1):
            start = time.perf_counter()
            found.append(nuts.sample_compiled(compiled, inputs.design, seed, nuts.NutsOptions(), progress=False))
            if seed == 1:
                sampling = time.perf_counter() - start
        kept.write_bytes(pickle.dumps((found[0], compiling, sampling, found[1:])))
    result: tuple[Draws, float, float, list[Draws]] = pickle.loads(kept.read_bytes())
    return result


def columns(draws: Draws) -> dict[str, np.ndarray]:
    """Return scores and hyperparameters as (chains, draws, quantities), those that are fixed left out."""
    out = {"scores": draws.eta.reshape(*draws.shape, -1)}
    parts = [values.reshape(*draws.shape, -1) for _, values in draws.hyper.values()]
    out["hyperparameters"] = np.concatenate(parts, axis=2)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=40)
    parser.add_argument("--runs", type=int, default=4)
    parser.add_argument("--work", type=Path, default=Path("out/engines"))
    parser.add_argument("--out", type=Path, default=None, help="page whose part between the markers is replaced")
    args = parser.parse_args()
    simulate()
    inputs = pipeline.check(RUN)
    slow, compiling, sampling, further = sampled(inputs, args.work, args.runs)
    fits, seconds = [], []
    for seed in range(args.seeds + 1):  # the first one compiles, or reads compiled loops
        found = fit(inputs.model, inputs.direct, inputs.areas, "laplace", seed, progress=False)
        fits.append(columns(found.draws))
        seconds.append(found.seconds)
        print(f"laplace, seed {seed}: {found.seconds:.1f} s, {found.draws.certificate}", flush=True)
    each = float(np.median(seconds[1:]))
    rows, once = [], columns(slow)
    every = [once, *(columns(d) for d in further)]
    for name, one in once.items():
        values = np.concatenate([c[name] for c in every])
        sd = values.std(axis=(0, 1))
        free = sd > 1e-9
        means = np.array([f[name].mean(axis=(0, 1)) for f in fits])[:, free]
        sds = np.array([f[name].std(axis=(0, 1)) for f in fits])[:, free]
        ess = convergence(values[..., free])["ess_bulk"].to_numpy()
        nuts_error = 1 / convergence(one[..., free])["ess_bulk"].to_numpy()
        own_error = means.var(axis=0, ddof=1) / sds.mean(axis=0) ** 2
        difference = np.abs(means.mean(axis=0) - values.mean(axis=(0, 1))[free]) / sd[free]
        ratio = sds.mean(axis=0) / sd[free]
        price = {}
        for at, summary in (("average", np.mean), ("worst", np.max)):
            price[f"NUTS, {at}"] = 1000 * (compiling + sampling) * summary(nuts_error)
            price[f"laplace, {at}"] = 1000 * each * summary(own_error)
            price[f"times faster, {at}"] = price[f"NUTS, {at}"] / price[f"laplace, {at}"]
        rows.append(
            {
                "": name,
                "quantities": int(free.sum()),
                "largest difference of means, sd": difference.max(),
                "Monte Carlo error of NUTS there": 1 / np.sqrt(ess[difference.argmax()]),
                "ratio of sds, lowest": ratio.min(),
                "highest": ratio.max(),
                **price,
            }
        )
    text = (
        f"NUTS: {compiling:.0f} s to compile, {sampling:.0f} s to sample. laplace: {each:.1f} s (median of {args.seeds}"
        f" fits; the first {seconds[0]:.1f} s). Prices are seconds per 1,000 effective draws. Differences are "
        f"between the means of {args.seeds + 1} fits and those of {len(every)} runs of NUTS.\n\n"
    )
    formats = ("", ".0f", ".3f", ".3f", ".3f", ".3f", *(".1f", ".2f", ".0f") * 2)
    text += pd.DataFrame(rows).to_markdown(index=False, floatfmt=formats)
    print(text)
    if args.out:
        write_part(args.out, *MARKS, text)


if __name__ == "__main__":
    main()
