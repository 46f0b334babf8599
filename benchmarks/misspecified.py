"""What happens when data are not what the model says: coverage, error and what the gate said, per case.

    python benchmarks/misspecified.py [--cases clean jump] [--seeds 20] [--first 1] [--out docs/misspecified.md]

Each case is a made region of 100 to 144 buurten with a survey of its residents, in one thing other than the model says
(`buurtsae.simulate.departure`), or spoilt on its way to the model. It is fitted as a careful user would who does not
know: the covariates that are at hand, `BYM2` and gemeenten, all defaults. The truth is the expected score of the
residents on two sub-dimensions. `clean` is in nothing other: the gate should be met in 95 of 100.

`named` counts runs with a note that clean runs of the same seeds do not have. Buurten concerned are those that the
case is about: of an island, outside the usual range of a covariate, with a covariate that was filled in, and so on.
`gemeenten` is the coverage of the means of gemeenten that hold some of these.
"""

from __future__ import annotations

import argparse
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
from pages import write_part
from shapely.geometry import box

from buurtsae.areas.areas import Areas
from buurtsae.engines.base import fit
from buurtsae.estimates.evidence.quality import quality
from buurtsae.estimates.summary import estimate
from buurtsae.model.spec import AreaModel
from buurtsae.model.terms import BYM2, IID
from buurtsae.simulate.departure import NONE, Departure
from buurtsae.simulate.geography import plane_waves, smooth
from buurtsae.simulate.population import TruthSpec, simulate_truth
from buurtsae.simulate.survey import simulate_survey
from buurtsae.survey.codebook import Codebook
from buurtsae.survey.concept import Concept
from buurtsae.survey.direct import DirectEstimates, direct
from buurtsae.survey.reliability import reliability
from buurtsae.survey.survey import Survey

ROOT = Path(__file__).resolve().parents[1]
MARKS = "<!-- cases: written by benchmarks/misspecified.py -->", "<!-- end of cases -->"
SOURCE, YEAR, RESPONDENTS, NOISE = "veiligheidsmonitor", 2024, 1200, 30
MEASURES = ["omgang_en_relaties", "plaatsgeschiktheid"]
COVARIATES = ("welvaart", "dichtheid")
OPTIONS = {"draws": 500, "hyperparameters": 100, "threads": 1}
CLASSES = {"0": (-1, 0), "1-5": (0, 5), "6-20": (5, 20), "over 20": (20, np.inf)}
ISLAND = "GM9899"
Mask = np.ndarray


@dataclass(frozen=True)
class Made:
    """What an office has, the model that it takes, what is true, and which buurten the case is about."""

    direct: DirectEstimates
    model: AreaModel
    truth: pd.DataFrame
    concerned: pd.Index
    scales: list[dict[str, Any]]


def everywhere(areas: Areas, known: Areas, moved: np.ndarray) -> Mask:
    return areas.inhabited


def jumped(areas: Areas, known: Areas, moved: np.ndarray) -> Mask:
    return np.asarray(moved > 0.1)


def at_the_break(areas: Areas, known: Areas, moved: np.ndarray) -> Mask:
    """Buurten with a neighbour on the other side."""
    graph = areas.graph()
    side = (moved > 0)[pd.Index(areas.codes).get_indexer(graph.codes)]
    other = graph.adjacency @ (~side).astype(float) * side + graph.adjacency @ side.astype(float) * ~side
    return pd.Series(other > 0, graph.codes).reindex(areas.codes).to_numpy()


def on_the_island(areas: Areas, known: Areas, moved: np.ndarray) -> Mask:
    return (areas.frame["gemeente"] == ISLAND).to_numpy()


def at_the_ends(areas: Areas, known: Areas, moved: np.ndarray) -> Mask:
    """Buurten far from the mean of the first covariate."""
    x = areas.frame[COVARIATES[0]]
    return ((x - x.mean()).abs() > 1.7 * x.std()).to_numpy()


def filled_in(areas: Areas, known: Areas, moved: np.ndarray) -> Mask:
    return known.frame[COVARIATES[0]].isna().to_numpy()


def as_they_are(areas: Areas, rng: np.random.Generator) -> Areas:
    return areas


def a_fifth_missing(areas: Areas, rng: np.random.Generator) -> Areas:
    x = areas.frame[COVARIATES[0]].to_numpy(copy=True)
    x[rng.choice(len(x), len(x) // 5, replace=False)] = np.nan
    return replace(areas, frame=areas.frame.assign(**{COVARIATES[0]: x}))


def with_noise(areas: Areas, rng: np.random.Generator) -> Areas:
    noise = dict(zip(RUIS, rng.standard_normal((NOISE, len(areas.codes))), strict=True))
    return replace(areas, frame=areas.frame.assign(**noise))


def in_order(frame: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    return frame


def row_number(frame: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    return frame.assign(gewicht=np.arange(1, len(frame) + 1))


def inverse(frame: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    return frame.assign(gewicht=1 / frame["gewicht"])


def one_to_three(frame: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """One to three respondents per buurt at random, who stand for all of it."""
    mixed = frame.iloc[rng.permutation(len(frame))]
    group = mixed.groupby("buurtcode")
    most = pd.Series(rng.integers(1, 4, group.ngroups), sorted(set(mixed["buurtcode"])))
    kept = mixed[group.cumcount() < mixed["buurtcode"].map(most)].sort_index()
    people, kept_people = (table.groupby("buurtcode")["gewicht"].sum() for table in (frame, kept))
    weight = kept["gewicht"] * kept["buurtcode"].map(people / kept_people)  # both estimate the residents
    return kept.assign(gewicht=weight, stratum=kept["stratum"].str[:6])


@dataclass(frozen=True)
class Case:
    """One way in which data are not what the model says.

    Attributes
    ----------
    about : str
    departure : Departure
        Of the truth, and of who answers.
    truth : mapping
        Other fields of the `TruthSpec`.
    side : int
        Buurten along a side of the region.
    island : bool
        Whether there is an island of 24 besides, a gemeente.
    asked : float
        Share of the buurten of the island where somebody is asked.
    formula : str
        Of the office's model.
    spoil : callable
        What happens to the respondents on their way to the file.
    known : callable
        What the office has of the areas.
    variance : float
        Sampling variances that the office gives, over the right ones; 0: it has the respondents.
    concerns : callable
        Which buurten the case is about, of the areas as they are and as the office has them, and how far each moved.
    """

    about: str
    departure: Departure = NONE
    truth: Mapping[str, Any] = field(default_factory=dict)
    side: int = 12
    island: bool = False
    asked: float = 0.5
    formula: str = " + ".join(("1", *COVARIATES))
    respondents: int = RESPONDENTS
    spoil: Callable[[pd.DataFrame, np.random.Generator], pd.DataFrame] = in_order
    known: Callable[[Areas, np.random.Generator], Areas] = as_they_are
    variance: float = 0.0
    concerns: Callable[[Areas, Areas, np.ndarray], Mask] = everywhere

    def made(self, seed: int) -> Made:
        """Make the data of one seed; nobody answers in one of ten buurten, and in a part of an island."""
        rng = np.random.default_rng([YEAR, seed])
        areas = region(self.side, self.island, rng)
        known, graph = self.known(areas, rng), areas.graph()
        spec = TruthSpec(covariates=COVARIATES, **self.truth)
        plain, truth = (simulate_truth(areas, graph, replace(spec, departure=d), seed) for d in (NONE, self.departure))
        empty = {*areas.codes[rng.permutation(len(areas.codes)) < len(areas.codes) // 10]}
        island = areas.codes[on_the_island(areas, known, plain.latent)]
        empty |= {*island[: round(len(island) * (1 - self.asked))]}
        answers = simulate_survey(areas, truth, Codebook.load(SOURCE), self.respondents, seed, empty)
        with tempfile.TemporaryDirectory() as folder:
            self.spoil(answers, rng).to_csv(file := Path(folder) / "enquete.csv", index=False)
            survey = Survey.read(file, SOURCE, YEAR, strata="stratum")
        scores = Concept.load().score(survey)
        absent = dict.fromkeys(set(scores.subdimensions) - set(MEASURES), np.nan)
        data = direct(replace(scores, frame=scores.frame.assign(**absent)), known)
        table = truth.table()
        return Made(
            given(data, self.variance) if self.variance else data,
            AreaModel(self.formula, (BYM2(graph), IID("gemeente")), missing="impute"),
            table[table["measure"].isin(MEASURES)],
            areas.codes[self.concerns(areas, known, (truth.latent - plain.latent)[:, 0])],
            [{"source": SOURCE, **row} for row in reliability(survey).scales.to_dict("records")],
        )


def region(side: int, island: bool, rng: np.random.Generator) -> Areas:
    """Squares of 1 km in gemeenten of 16 and wijken of 4, with residents as skewed as real ones, and two covariates."""
    cells = [(r, c, f"98{10 * (r // 4) + c // 4:02}", r % 4, c % 4, c) for r, c in np.ndindex(side, side)]
    if island:
        cells += [(r, c, ISLAND[2:], r, c, side + 4 + c) for r, c in np.ndindex(4, 6)]
    codes = pd.Index([f"BU{g}{3 * (i // 2) + j // 2:02}{i % 2 * 2 + j % 2 + 1:02}" for *_, g, i, j, _ in cells])
    place = np.array([(x, r) for r, *_, x in cells]) * 1000.0
    shapes = [box(x, y, x + 1000, y + 1000) for x, y in place + np.array([140_000, 450_000])]
    frame = gpd.GeoDataFrame({"name": codes}, geometry=shapes, index=codes.rename("area_code"), crs="EPSG:28992")
    frame["wijk"], frame["gemeente"] = "WK" + codes.str[2:8], "GM" + codes.str[2:6]
    frame["population"] = np.round(np.clip(rng.lognormal(np.log(900), 0.9, len(cells)), 150, 8000)).astype(int)
    for name in COVARIATES:
        frame[name] = 0.7 * smooth(place, plane_waves(rng, 6000.0)) + 0.7 * rng.standard_normal(len(cells))
    return Areas(frame.sort_index(), YEAR, region="Proefstreek")


def given(data: DirectEstimates, factor: float) -> DirectEstimates:
    """Estimates as an office gives them, without respondents, with variances that are wrong by a factor."""
    (source,) = data.sources
    wrong = replace(source, variance=factor * source.variance, given=None, within=None, freedom=None)
    return replace(data, sources=(wrong,), scores=())


RUIS = [f"ruis_{k}" for k in range(NOISE)]
CASES = {
    "clean": Case("nothing is wrong"),
    "tails": Case("effects of buurten are t with 3 degrees of freedom", Departure(tails=3.0), {"phi": (0.2,) * 4}),
    "break": Case("a jump of 1 point along a line", Departure(jump=0.5), concerns=at_the_break),
    "island": Case(
        "an island of 24 has a level of its own, sd 0.8", Departure(parts=0.4), island=True, concerns=on_the_island
    ),
    "quadratic": Case(
        "the effect of a covariate is quadratic", Departure(quadratic=1.0), {"explained": 0.5}, concerns=at_the_ends
    ),
    "noise": Case(f"{NOISE} covariates that do not matter, 100 buurten", side=10, known=with_noise,
                  formula=" + ".join(("1", *COVARIATES, *RUIS))),
    "imputed": Case("a covariate is missing in a fifth of the buurten", truth={"explained": 0.6},
                    known=a_fifth_missing, concerns=filled_in),
    "variances / 2": Case("sampling variances are given as half of what they are", variance=0.5),
    "variances x 2": Case("sampling variances are given as twice what they are", variance=2.0),
    "unequal": Case("one to three respondents per buurt, of whom the sd differs from buurt to buurt (log sd 0.5)",
                    Departure(unequal=0.5), respondents=5000, spoil=one_to_three),
    "households": Case("households of three answer, correlation 0.4, as if each came alone",
                       Departure(household=3, alike=0.4)),
    "response": Case("who is content responds more: 0.25 sd", Departure(response=0.25)),
    "reversed": Case("one of four items of plaatsgeschiktheid is coded the wrong way round",
                     Departure(reversed=("veilig_gevoel",))),
    "row numbers": Case("row numbers in the place of weights", spoil=row_number),
    "inverse weights": Case("sampling fractions in the place of weights", spoil=inverse),
    "gemeente": Case("one gemeente lies 2 points higher", Departure(gemeente_jump=1.0), concerns=jumped),
    "island, not asked": Case("the same, and nobody is asked there", Departure(parts=0.4), island=True, asked=0.0,
                              concerns=on_the_island),
    "island, over water": Case("a smooth surface goes on to an island", Departure(over_water=True), island=True,
                               concerns=on_the_island),
}  # fmt: skip


def fitted(name: str, seed: int) -> dict[str, Any]:
    """Fit one case as the product does, and return figures beside the truth, what the gate said, and the notes."""
    made = CASES[name].made(seed)
    found = fit(made.model, made.direct, "laplace", seed, progress=False, **OPTIONS)
    est = estimate(found)
    table = est.table[est.table["level"].isin(["buurt", "gemeente"]) & est.table["measure"].isin(MEASURES)]
    rows = table.merge(at_levels(made.truth, est.areas), on=["area_code", "measure"], validate="one_to_one")
    concerned = {code: "GM" + code[2:6] for code in made.concerned}
    rows["concerned"] = rows["area_code"].isin([*concerned, *concerned.values()])
    report = quality(est, scales=made.scales)
    notes = {re.sub(r"\d[\d.,]*", "#", str(note).split("(")[0]) for note in report["notes"]}
    made_of = *report["gate"]["checks"], *report.get("checks", ())
    failed = list(dict.fromkeys(check["id"] for check in made_of if not check["passed"]))
    print(f"{name}, seed {seed}: {found.seconds:.1f} s, gate: {', '.join(failed) or 'passed'}", flush=True)
    kept = [
        "level",
        "area_code",
        "measure",
        "truth",
        "estimate",
        "sd",
        "lower",
        "upper",
        "direct",
        "n_respondents",
        "concerned",
    ]
    return {"case": name, "seed": seed, "rows": rows[kept], "passed": report["gate"]["passed"], "failed": failed,
            "notes": notes}  # fmt: skip


def at_levels(truth: pd.DataFrame, areas: Areas) -> pd.DataFrame:
    """Return the truth of buurten and, weighted by residents, of gemeenten."""
    rows = truth.assign(residents=truth["area_code"].map(areas.frame["population"]))
    rows["total"] = rows["truth"] * rows["residents"]
    sums = rows.groupby([areas.parents("gemeente").loc[rows["area_code"]].to_numpy(), "measure"])[
        ["total", "residents"]
    ].sum()
    above = (sums["total"] / sums["residents"]).rename("truth").rename_axis(["area_code", "measure"]).reset_index()
    return pd.concat([truth, above])


def figures(runs: list[dict[str, Any]], usual: set[str]) -> dict[str, Any]:
    """Return a row of the table: runs of one case, beside the notes that clean runs have."""
    rows = pd.concat([run["rows"] for run in runs], ignore_index=True)
    inside = rows["truth"].between(rows["lower"], rows["upper"])
    above = inside[(rows["level"] == "gemeente") & rows["concerned"]].mean()
    rows = rows[rows["level"] == "buurt"]
    inside = inside[rows.index]
    error = rows["estimate"] - rows["truth"]
    seen = rows["direct"].notna()
    direct_error = (rows["direct"] - rows["truth"])[seen]
    noted = [run["notes"] - usual for run in runs]
    n = len(runs)
    met, named = sum(run["passed"] for run in runs), sum(map(bool, noted))
    checks = Counter(check for run in runs for check in run["failed"])
    of_class = {
        name: f"{100 * inside[part].mean():.0f}"
        if (part := rows["n_respondents"].between(low + 0.5, high)).any()
        else ""
        for name, (low, high) in CLASSES.items()
    }
    return {
        "case": runs[0]["case"],
        "coverage": f"{100 * inside.mean():.1f}",
        **of_class,
        "concerned": f"{100 * inside[rows['concerned']].mean():.1f}",
        "gemeenten": f"{100 * above:.1f}",
        "bias": f"{error.mean():.2f}",
        "RMSE": f"{np.sqrt((error**2).mean()):.2f}",
        "of direct": f"{np.sqrt((error[seen] ** 2).mean() / (direct_error**2).mean()):.2f}",
        "z2": f"{((error / rows['sd']) ** 2).mean():.2f}",
        "gate not met": f"{n - met} of {n}",
        "named": f"{named} of {n}",
        "checks that failed": ", ".join(f"{check} {count}" for check, count in checks.most_common(4)),
    }


def report(runs: list[dict[str, Any]]) -> str:
    """Return the table in Markdown."""
    usual = set().union(*(run["notes"] for run in runs if run["case"] == "clean"))
    cases = [name for name in CASES if any(run["case"] == name for run in runs)]
    table = pd.DataFrame([figures([run for run in runs if run["case"] == name], usual) for name in cases])
    about = "\n".join(f"* **{name}**: {CASES[name].about}" for name in cases)
    return f"{about}\n\n{table.to_markdown(index=False, disable_numparse=True)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=None, help="page whose part between the markers is replaced")
    args = parser.parse_args()
    asked = [(name, seed) for name in args.cases for seed in range(args.first, args.first + args.seeds)]
    with get_context("spawn").Pool(args.workers) as pool:
        text = report(pool.starmap(fitted, asked, chunksize=1))
    print(text)
    if args.out:
        write_part(args.out, *MARKS, text)


if __name__ == "__main__":
    main()
