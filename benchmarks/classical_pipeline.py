"""The engine eblup on voorbeeldstad: coverage and error of its draws, over the surveys of `recovery.py`.

    python benchmarks/classical_pipeline.py [--surveys 100] [--first 6001] [--out docs/classical.md]

The truths have a spatial field and a gemeente effect, and there are two surveys; the classical engine knows none of
these: it has the covariates, unstructured effects and the reference survey. Then again with truths as it takes them,
whose buurten are unrelated given the covariates: what is lost in the first table but not in the second is the field.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import pandas as pd
from make_voorbeeldstad import SPEC
from pages import write_part
from recovery import ROOT, markdown, summarise, surveyed, truth_at_levels

from buurtsae.engines.base import fit
from buurtsae.estimates.summary import estimate
from buurtsae.runs import steps
from buurtsae.runs.reading import Inputs
from buurtsae.simulate.population import TruthSpec

MARKS = "<!-- pipeline: written by benchmarks/classical_pipeline.py -->", "<!-- end of pipeline -->"
TRUTHS = {
    "With a spatial field and a gemeente effect": SPEC,
    "Buurten unrelated given the covariates": replace(SPEC, phi=(0.0,) * 4, gemeente_sd=0.0),
}
CLASSES = {"0": (0, 0), "1-4": (1, 4), "5-9": (5, 9), "10-19": (10, 19), "20 and more": (20, 10_000)}


def replicate(inputs: Inputs, seed: int, folder: Path, spec: TruthSpec) -> pd.DataFrame:
    """Return one survey's classical estimates beside the truth."""
    truth, data = surveyed(inputs, seed, folder, spec)
    found = fit(inputs.model, data, "eblup", seed, progress=False)
    print(f"survey {seed}: {found!r}", flush=True)
    table = estimate(found).table.merge(truth_at_levels(truth.table(), inputs), on=["level", "area_code", "measure"])
    certificate = found.draws.certificate
    return table.assign(survey=seed, edge=certificate.at_boundary, converged=certificate.converged)


def report(table: pd.DataFrame) -> str:
    """Return the tables in Markdown."""
    buurt = table[table["level"] == "buurt"]
    surveys, edge = table["survey"].nunique(), int(table.groupby("survey")["edge"].first().sum())
    rows = {n: summarise(buurt[buurt["n_respondents"].between(*ends)]) for n, ends in CLASSES.items()}
    rows["all buurten"] = summarise(buurt)
    rows |= {level: summarise(part) for level, part in table.groupby("level", sort=False) if level != "buurt"}
    found = pd.concat(rows).droplevel(1)
    converged = int(table.groupby("survey")["converged"].first().sum())
    said = (
        f"{surveys} surveys, seeds {table['survey'].min()} to {table['survey'].max()}; REML converged in {converged}, "
        f"Sigma was singular in {edge}."
    )
    return f"{said}\n\n{markdown(found)}\n"


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--surveys", type=int, default=100)
    parser.add_argument("--first", type=int, default=6001, help="seed of the first survey")
    parser.add_argument("--out", type=Path, help="page whose part between the markers is replaced")
    args = parser.parse_args()
    inputs = steps.check(ROOT / "models" / "voorbeeldstad.toml")
    with tempfile.TemporaryDirectory() as folder:
        parts = []
        for title, spec in TRUTHS.items():
            seeds = range(args.first, args.first + args.surveys)
            table = pd.concat([replicate(inputs, k, Path(folder), spec) for k in seeds], ignore_index=True)
            parts.append(f"{title}: {report(table)}")
    text = "\n".join(parts)
    print(text)
    if args.out:
        write_part(args.out, *MARKS, text.strip())


if __name__ == "__main__":
    main()
