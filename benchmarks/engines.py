"""The fast engine against NUTS on the province of Utrecht: do they agree, and at what price?

    python benchmarks/engines.py [--seeds 10] [--work out/engines] [--out docs/fast-engine.md]

969 buurten (`models/utrecht.toml`, respondents simulated by `benchmarks/utrecht.py`), the same model and priors. The
price is seconds per 1,000 effective draws, of the scores and of the hyperparameters that are known worst: the 5%
quantile over quantities, and the single worst one. For NUTS these are ArviZ's bulk ESS. For laplace, whose
hyperparameters are a quasi-random net, they are measured: posterior variance over the variance of posterior means
between fits with different seeds. From ten seeds the single worst of thousands of alike quantities looks three times
worse than it is, the 5% quantile 1.8 times. NUTS is run once; --work keeps its draws.
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


def sampled(inputs: pipeline.Inputs, folder: Path) -> tuple[Draws, float, float]:
    """Return draws of NUTS, and the seconds of compiling and of sampling."""
    kept = folder / "nuts.pickle"
    if not kept.exists():
        start = time.perf_counter()
        compiled = nuts.compile_design(inputs.design)
        compiling = time.perf_counter() - start
        start = time.perf_counter()
        draws = nuts.sample_compiled(compiled, inputs.design, 1, nuts.NutsOptions(), progress=False)
        folder.mkdir(parents=True, exist_ok=True)
        kept.write_bytes(pickle.dumps((draws, compiling, time.perf_counter() - start)))
    found: tuple[Draws, float, float] = pickle.loads(kept.read_bytes())
    return found


def columns(draws: Draws) -> dict[str, np.ndarray]:
    """Return scores and hyperparameters as (chains, draws, quantities), those that are fixed left out."""
    out = {"scores": draws.eta.reshape(*draws.shape, -1)}
    parts = [values.reshape(*draws.shape, -1) for _, values in draws.hyper.values()]
    out["hyperparameters"] = np.concatenate(parts, axis=2)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--work", type=Path, default=Path("out/engines"))
    parser.add_argument("--out", type=Path, default=None, help="page whose part between the markers is replaced")
    args = parser.parse_args()
    simulate()
    inputs = pipeline.check(RUN)
    slow, compiling, sampling = sampled(inputs, args.work)
    fits, seconds = [], []
    for seed in range(args.seeds + 1):  # the first one compiles, or reads compiled loops
        found = fit(inputs.model, inputs.direct, inputs.areas, "laplace", seed, progress=False)
        fits.append(columns(found.draws))
        seconds.append(found.seconds)
        print(f"laplace, seed {seed}: {found.seconds:.1f} s, {found.draws.certificate}", flush=True)
    each = float(np.median(seconds[1:]))
    rows, reference = [], columns(slow)
    for name, values in reference.items():
        sd = values.std(axis=(0, 1))
        free = sd > 1e-9
        means = np.array([f[name].mean(axis=(0, 1)) for f in fits])[:, free]
        sds = np.array([f[name].std(axis=(0, 1)) for f in fits])[:, free]
        ess = convergence(values[..., free])["ess_bulk"].to_numpy()
        own = sds.mean(axis=0) ** 2 / means.var(axis=0, ddof=1)
        difference = np.abs(means.mean(axis=0) - values.mean(axis=(0, 1))[free]) / sd[free]
        ratio = sds.mean(axis=0) / sd[free]
        price = {}
        for at, quantile in (("5%", 0.05), ("worst", 0.0)):
            price[f"NUTS, {at}"] = 1000 * (compiling + sampling) / np.quantile(ess, quantile)
            price[f"laplace, {at}"] = 1000 * each / np.quantile(own, quantile)
            price[f"times faster, {at}"] = price[f"NUTS, {at}"] / price[f"laplace, {at}"]
        rows.append(
            {
                "": name,
                "quantities": int(free.sum()),
                "largest difference of means, sd": difference.max(),
                "its Monte Carlo error": 1 / np.sqrt(ess[difference.argmax()]),
                "ratio of sds, lowest": ratio.min(),
                "highest": ratio.max(),
                **price,
            }
        )
    text = (
        f"NUTS: {compiling:.0f} s to compile, {sampling:.0f} s to sample. laplace: {each:.1f} s (median of {args.seeds}"
        f" fits; the first {seconds[0]:.1f} s). Prices are seconds per 1,000 effective draws.\n\n"
    )
    formats = ("", ".0f", ".3f", ".3f", ".3f", ".3f", *(".1f", ".2f", ".0f") * 2)
    text += pd.DataFrame(rows).to_markdown(index=False, floatfmt=formats)
    print(text)
    if args.out:
        write_part(args.out, *MARKS, text)


if __name__ == "__main__":
    main()
