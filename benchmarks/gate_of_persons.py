"""Does the gate see in models of persons? How often it refuses answers of the model that is fitted, and of others.

    python benchmarks/gate_of_persons.py [--clean 10] [--spoilt 6] [--first 701] [--out docs/checks.md]

144 buurten in nine gemeenten, some 2,000 respondents, of whom some ages and origins answer more often; a covariate,
neighbours that are alike, effects of age, sex and origin. The cases differ from the model in one thing. With `weights`
respondents have weights by a characteristic that cells do not have: no check, but a note.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
from pages import write_part
from scipy.special import expit
from shapely import box

import buurtsae as bs
from buurtsae.areas.areas import Areas
from buurtsae.draws import Draws
from buurtsae.engines.base import Fit
from buurtsae.engines.persons_fit import laid
from buurtsae.engines.poststratify import PersonDraws
from buurtsae.estimates.evidence import described_persons
from buurtsae.estimates.evidence.checks import checks
from buurtsae.estimates.evidence.gate import Gate
from buurtsae.estimates.evidence.leftover import leftover

MARKS = "<!-- persons: written by benchmarks/gate_of_persons.py -->", "<!-- end of persons -->"
SIDE, SLOPE, SD, STRUCTURED = 12, 0.4, 0.4, 0.6
CHARACTERISTICS = {"leeftijd": ("18-34", "35-49", "50-64", "65+"), "geslacht": ("m", "v"), "herkomst": ("a", "b", "c")}
EFFECTS = (0.6, 0.1, -0.2, -0.5), (0.0, 0.3), (-0.4, 0.1, 0.5)
LEAN = (-0.5, -0.1, 0.3, 0.5), (0.0, 0.2), (0.4, 0.0, -0.6)  # log inclination to answer
CUTS = np.array([0.0, 1.0, 2.5])


@dataclass(frozen=True)
class Case:
    """What is made: the kind of answers, their level, and what the model does not know."""

    words: str
    kind: str = "share"
    level: float = -1.4
    forgotten: bool = False
    interaction: float = 0.0
    household: int = 1
    known: bool = False
    apart: float = 0.0
    weights: float = 0.0
    spoilt: bool = True


CASES = (
    Case("the model, shares of 20%", spoilt=False),
    Case("the model, shares of 4%", level=-3.3, spoilt=False),
    Case("the model, four ordered answers", kind="ordinal", level=1.0, spoilt=False),
    Case("the model, numbers", kind="score", level=5.0, spoilt=False),
    Case("origin forgotten", forgotten=True),
    Case("origin forgotten, shares of 4%", level=-3.3, forgotten=True),
    Case("age goes otherwise for one sex", interaction=0.5),
    Case("households of three that agree", household=3),
    Case("households of three that agree, known", household=3, known=True),
    Case("one gemeente lies apart", apart=1.5),
    Case("weights by what cells lack", weights=0.8),
)


def areas_of(rng: np.random.Generator) -> Areas:
    """A square of buurten in nine square gemeenten."""
    n, third = SIDE**2, SIDE // 3
    row, column = np.divmod(np.arange(n), SIDE)
    of = 3 * (row // third) + column // third
    code = [f"BU{344 + g:04}{r % third:02}{c % third:02}" for g, r, c in zip(of, row, column, strict=True)]
    index = pd.Index(code, name="area_code")
    squares = box(1000 * row, 1000 * column, 1000 * (row + 1), 1000 * (column + 1))
    columns = {"name": index, "wijk": "WK" + index.str[2:8], "gemeente": "GM" + index.str[2:6]}
    columns |= {"population": rng.integers(200, 2000, n), "x": rng.normal(size=n)}
    return Areas(gpd.GeoDataFrame(columns, index=index, geometry=squares, crs="EPSG:28992").sort_index(), 2024)


def made(case: Case, seed: int) -> Fit:
    """Return a fit of the model that does not know of the case, without draws: checks are at the mode."""
    rng = np.random.default_rng(seed)
    areas = areas_of(rng)
    graph, n = areas.graph(), SIDE**2
    grid = np.indices([len(v) for v in CHARACTERISTICS.values()]).reshape(3, -1).T
    share = rng.dirichlet(8 * np.ones(len(grid)), n)
    area, level = np.repeat(np.arange(n), len(grid)), np.tile(grid, (n, 1))
    count = rng.poisson(areas.population[:, None] * share).ravel().astype(float)
    cells = bs.Cells(areas, CHARACTERISTICS, area, level, count)
    values, vectors = np.linalg.eigh(np.linalg.pinv(graph.icar.precision.toarray()))
    u = (vectors * np.sqrt(np.maximum(values, 0.0))) @ rng.normal(size=n)
    about = np.sqrt(STRUCTURED) * u + np.sqrt(1 - STRUCTURED) * rng.normal(size=n)
    e = case.level + SLOPE * areas.frame["x"].to_numpy() + SD * about
    e += case.apart * (areas.frame["gemeente"] == "GM0348").to_numpy()
    eta = e[area] + sum(np.array(part)[level[:, k]] for k, part in enumerate(EFFECTS))
    eta = eta + case.interaction * (level[:, 0] - 1.5) * (level[:, 1] - 0.5)
    rate = np.exp(sum(np.array(part)[level[:, k]] for k, part in enumerate(LEAN)))
    rate *= rng.lognormal(0, 0.5, n)[area]
    chance = np.minimum(2000 / case.household * rate / (count @ rate), 0.3)
    asked = rng.binomial(count.astype(int), chance)
    cell = np.repeat(np.arange(len(count)), asked)
    answer = drawn(case, eta[cell], rng)
    cell, answer = np.repeat(cell, case.household), np.repeat(answer, case.household)
    columns = {name: np.array(v, dtype=object)[level[cell, k]] for k, (name, v) in enumerate(CHARACTERISTICS.items())}
    persons = pd.DataFrame({"area_code": areas.codes[area[cell]], **columns, "antwoord": answer})
    persons["huishouden"] = np.repeat(np.arange(len(cell) // case.household), case.household).astype(str)
    told: dict[str, object] = {"clusters": ["huishouden"]} if case.known else {}
    if case.weights:  # who is of one kind answers yes more often, and answers the survey half as often
        kind = rng.random(len(cell)) < expit(-0.7 + case.weights * (2 * (answer > 0) - 1))
        persons["gewicht"] = np.where(kind, 2.0, 1.0) * rng.uniform(0.9, 1.1, len(cell))
        told = {"weight": "gewicht", "scheme": ["leeftijd", "opleiding"]}
    answers = bs.Answers.of(persons, "antwoord", cells, outcome=case.kind, **told)  # type: ignore[arg-type]
    terms = [bs.Ordered("leeftijd"), bs.Fixed("geslacht"), *([] if case.forgotten else [bs.Factor("herkomst")])]
    outcome = {"share": bs.Binomial(), "ordinal": bs.Ladder(), "score": bs.Gaussian((0, 10))}[case.kind]
    model = bs.UnitModel("1 + x", terms=[bs.BYM2(graph)], persons=terms, outcome=outcome)
    return undrawn(model, answers, cells, seed).fit_of()


def undrawn(model: bs.UnitModel, answers: bs.Answers, cells: bs.Cells, seed: int) -> bs.UnitFit:
    """Return the model on data, with zeros for draws."""
    arrays, stacked, data, coded, order = laid(model, answers, (cells,))
    n = len(arrays.areas)
    raw = Draws(np.zeros((1, 2, n, 1)), arrays.areas, ("y",))
    gaps = sum(width for _, width, _ in data.outcome.parameters(data.y))
    nothing = PersonDraws(
        np.zeros((2, n), dtype=np.float32), np.zeros((2, data.levels)), np.zeros(2), np.ones((2, gaps))
    )
    return bs.UnitFit(model, arrays, stacked, answers, coded, order, (cells,), nothing, raw, seed, 0.0)


def drawn(case: Case, eta: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Answers at predictors."""
    if case.kind == "score":
        return np.asarray(eta + 1.5 * rng.normal(size=len(eta)))
    if case.kind == "share":
        return np.asarray(100.0 * (rng.random(len(eta)) < expit(eta)))
    return np.asarray(1.0 + (eta[:, None] + rng.logistic(size=(len(eta), 1)) > CUTS).sum(axis=1))


def looked(case: Case, seed: int) -> tuple[set[str], bool, float]:
    """Return kinds of checks that refuse, whether weights are noted, and processor time of the checks."""
    fit, start = made(case, seed), time.process_time()
    left = leftover(fit)
    refused = {check.id for check in checks(fit, left) if check.p < Gate().false_alarm}
    spent, rows = time.process_time() - start, described_persons.weights(left)
    return refused, any("weighs more" in note for note in described_persons.notes(fit, rows, False)), spent


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clean", type=int, default=10)
    parser.add_argument("--spoilt", type=int, default=6)
    parser.add_argument("--first", type=int, default=701)
    parser.add_argument("--out", type=Path, default=None, help="page whose part between the markers is replaced")
    args = parser.parse_args()
    rows = []
    with get_context("spawn").Pool(2) as pool:
        for case in CASES:
            number = args.spoilt if case.spoilt else args.clean
            found = pool.starmap(looked, [(case, seed) for seed in range(args.first, args.first + number)], chunksize=1)
            failed, named, spent = zip(*found, strict=True)
            spoke = Counter(kind for kinds in failed for kind in kinds)
            by = ", ".join(f"{kind} {count}" for kind, count in spoke.most_common(4))
            told = f"{sum(named)} of {number}" if case.weights else ""
            refused = f"{sum(map(bool, failed))} of {number}"
            rows.append({"case": case.words, "refused": refused, "by": by, "weights noted": told})
            print(rows[-1], f"{sum(spent) / number:.1f} s of processors each", flush=True)
    text = pd.DataFrame(rows).to_markdown(index=False)
    if args.out:
        write_part(args.out, *MARKS, text)


if __name__ == "__main__":
    main()
