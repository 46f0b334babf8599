r"""Coverage of shares per area, from a survey with weights and clusters, on a truth that no model here drew.

    python benchmarks/shares.py [--parts coverage labels rare dispersion] [--surveys 60] [--first 1]
                                [--out docs/shares.md]

100 squares on a grid. Persons are young or old, two latent numbers apart; the old are asked three times as often, with
weights that undo it. Answers of a person on three questions hang together, and so do those in a street of four. Shares
are 3%, 20% and 50% on average; over areas they follow a wave, a jump along a line, and what differs evenly between:

    P(yes) = Phi((m_ad + g_d old) / s),   noise of street, person and answer of variance s^2 = 0.1 + 0.4 + 1.

*Binomial* is `PerMeasure` of the three with n_eff, *all tied* ties counts of any size (`tie.LEAST` off), *untied*
leaves out the correlation of sampling errors, *normal* has the same shares as scores with their pooled variance V. The
truth is P(yes) of residents; coverage is that of 95% intervals.

`labels`: the binomial way, on other surveys of areas with 70 residents and more, in some of which up to 300 answer: how
many figures with a label err by at most the 10 points that `betrouwbaar` promises, and how many intervals hold.

`rare`: why a share of 3% is covered less often. The same pattern of areas, of as many simple random respondents, is on
the probit of shares or on their logit, where the model is; both are about as wide at 50%. And one survey as of
`coverage`, of which the first share alone is fitted by both engines.

`dispersion`: beta-binomial counts of 120 areas without ties, 5 to 59 of each, rho = 0.08, with and without an `IID`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
from pages import write_part
from scipy.special import expit, logit, ndtr, ndtri

from buurtsae.areas.areas import Areas
from buurtsae.areas.graph import Graph
from buurtsae.draws import Draws
from buurtsae.engines import base, laplace, tie
from buurtsae.engines.base import fit
from buurtsae.estimates.labels import Rules
from buurtsae.estimates.summary import estimate
from buurtsae.model.design import Design
from buurtsae.model.outcome.binomial import Binomial
from buurtsae.model.outcome.gaussian import Gaussian
from buurtsae.model.outcome.per_measure import PerMeasure
from buurtsae.model.priors import PC, Beta
from buurtsae.model.spec import AreaModel
from buurtsae.model.terms import BYM2, IID
from buurtsae.scale import PERCENT, Scale
from buurtsae.sparse import Floats, Ints
from buurtsae.survey.counts import AreaCounts
from buurtsae.survey.design_columns import DesignInfo
from buurtsae.survey.direct import DirectEstimates, direct
from buurtsae.survey.scales import Scores

MARKS = {
    part: (f"<!-- {part}: written by benchmarks/shares.py -->", f"<!-- end of {part} -->")
    for part in ("coverage", "labels", "rare", "dispersion")
}
SIDE, STREET, WITHIN, COMMON, OVER = 10, 4, 0.1, 0.4, 3.0
RHO = 0.08
SHARES = {"3%": 0.03, "20%": 0.2, "50%": 0.5}
OLD = np.array([-0.3, 0.4, 0.5])  # g
CLASSES = {"0": (-1, 0), "1-5": (0, 5), "6-20": (5, 20), "over 20": (20, np.inf)}
MOST = {0: 0.15, 5: 0.25, 20: 0.3, 60: 0.3}  # respondents of an area at most, and how often
MORE = {0: 0.05, 5: 0.2, 20: 0.25, 60: 0.25, 300: 0.25}
RESIDENTS = {"70-250": (0, 250), "251-1,000": (250, 1000), "over 1,000": (1000, np.inf)}
STEEPER = 1.75  # of the logit over the probit
MANY = {"draws": 8000, "hyperparameters": 1000}
OPTIONS = {"draws": 1000, "hyperparameters": 100, "threads": 1, "progress": False}


def place(residents: Ints | None = None) -> tuple[Areas, AreaModel]:
    """A grid of areas that touch along sides, and the model of a careful user."""
    codes = [f"A{k:02}" for k in range(SIDE**2)]
    known = {} if residents is None else {"population": residents}
    areas = Areas.from_frame(pd.DataFrame({"code": codes, **known}), code="code")
    cell = np.arange(SIDE**2).reshape(SIDE, SIDE)
    pairs = np.vstack([np.c_[cell[:-1].ravel(), cell[1:].ravel()], np.c_[cell[:, :-1].ravel(), cell[:, 1:].ravel()]])
    return areas, AreaModel("1", (BYM2(Graph.from_pairs(areas.codes, [(codes[i], codes[j]) for i, j in pairs])),))


def areas_of(rng: np.random.Generator) -> tuple[Floats, Floats]:
    """What areas differ by (N, 3): a wave, a jump along a line, and evenly; and the share of the old in each."""
    n = SIDE**2
    x, y = np.divmod(np.arange(n), SIDE) / np.array([[SIDE]])
    phase = rng.uniform(0, 2 * np.pi, 3)
    wave = np.sin(2 * np.pi * np.outer(x, [1, 0.5, 1]) + np.outer(y, [3, 4, 2]) + phase)
    jump = np.where(x + y > rng.uniform(0.6, 1.4), 0.25, -0.25)[:, None]
    even = rng.uniform(-0.5, 0.5, (n, 1)) + rng.uniform(-0.3, 0.3, (n, 3))
    return 0.25 * wave + jump + even, rng.uniform(0.1, 0.5, n)


def respondents(rng: np.random.Generator, sizes: Mapping[int, float]) -> Ints:
    """How many answer in each area."""
    most = rng.choice(list(sizes), SIDE**2, p=list(sizes.values()))
    least = np.array([1, 6, 21, 61])[np.searchsorted([5, 20, 60, 300], np.maximum(most, 1))]
    return np.where(most > 0, rng.integers(np.minimum(least, most), most + 1), 0)


def survey(areas: Areas, rng: np.random.Generator, sizes: Mapping[int, float] = MOST) -> tuple[DirectEstimates, Floats]:
    """Direct estimates in per cent, and the true shares (N, 3)."""
    n, s = SIDE**2, np.sqrt(1 + WITHIN + COMMON)
    pattern, old = areas_of(rng)
    m = s * ndtri(list(SHARES.values())) + pattern
    truth = 100 * (old[:, None] * ndtr((m + OLD) / s) + (1 - old[:, None]) * ndtr(m / s))
    count = respondents(rng, sizes)
    area = np.repeat(np.arange(n), count)
    first = np.repeat(np.cumsum(count) - count, count)
    street = area * 1000 + (np.arange(len(area)) - first) // STREET
    elder = rng.uniform(size=len(area)) < (OVER * old / (OVER * old + 1 - old))[area]
    _, at = np.unique(street, return_inverse=True)
    noise = np.sqrt(WITHIN) * rng.normal(size=(at.max() + 1, 1))[at] + rng.normal(size=(len(area), 3))
    noise = noise + np.sqrt(COMMON) * rng.normal(size=(len(area), 1))
    yes = m[area] + OLD * elder[:, None] + noise > 0
    frame = pd.DataFrame(100.0 * yes, columns=list(SHARES)).assign(
        area_code=areas.codes[area], weight=np.where(elder, 1 / OVER, 1.0), stratum="all", cluster=street
    )
    info = DesignInfo(clusters=("cluster",))
    return direct(Scores(frame, "survey", 2024, tuple(SHARES), survey_design=info, level=areas.base), areas), truth


def ways(model: AreaModel, data: DirectEstimates) -> Iterator[tuple[str, Draws, float]]:
    """Draws of each way, and what their figures are multiplied by."""
    share = Binomial(scale=Scale(0, 100, "%", "%"))
    binomial = AreaModel(model.formula, model.terms, outcome=PerMeasure(dict.fromkeys(SHARES, share)))
    yield "binomial", fit(binomial, data, **OPTIONS).draws, 1.0
    with mock.patch.object(tie, "LEAST", 1e-9):
        yield "all tied", fit(binomial, data, **OPTIONS).draws, 1.0
    made = base.design
    with mock.patch.object(base, "design", lambda *args: _untied(made(*args))):
        yield "untied", fit(binomial, data, **OPTIONS).draws, 1.0
    normal = AreaModel(model.formula, model.terms, outcome=Gaussian((0, 10)))
    yield "normal", fit(normal, tenth(data), **OPTIONS).draws, 10.0


def tenth(data: DirectEstimates) -> DirectEstimates:
    """The same on 0-10, where the priors of a score are."""
    sources = tuple(replace(s, mean=s.mean / 10, variance=s.variance / 100) for s in data.sources)
    return replace(data, sources=sources)


def _untied(arrays: Design) -> Design:
    return replace(arrays, correlation=None)


def rows(seed: int) -> Iterator[dict[str, object]]:
    """Per way, share or difference, and area: covered, width, error."""
    areas, model = place()
    data, truth = survey(areas, np.random.default_rng([seed, 71]))
    count = np.zeros(len(areas.codes))
    source = data.sources[0]
    count[areas.codes.get_indexer(source.codes)] = source.respondents[:, 0]
    for name, draws, unit in ways(model, data):
        scores = unit * draws.scores()
        figures = {label: (scores[..., d], truth[:, d]) for d, label in enumerate(SHARES)}
        figures["50% - 20%"] = scores[..., 2] - scores[..., 1], truth[:, 2] - truth[:, 1]
        for label, (drawn, true) in figures.items():
            low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
            for k in range(len(true)):
                yield {
                    "way": name, "share": label, "n": count[k], "covered": low[k] <= true[k] <= high[k],
                    "width": high[k] - low[k], "error": drawn[:, k].mean() - true[k],
                    "outside": float((drawn[:, k] < 0).mean()) if label in SHARES else np.nan,
                    "z2": (drawn[:, k].mean() - true[k]) ** 2 / drawn[:, k].var(),
                }  # fmt: skip


def table(found: pd.DataFrame) -> str:
    """Coverage by class of respondents, and width, error and what lies below 0."""
    lines = ["| share | model | " + " | ".join(CLASSES) + " | all | width | rmse | bias | z2 | draws below 0 |"]
    lines.append("| --- " * (len(CLASSES) + 8) + "|")
    for (share, way), part in found.groupby(["share", "way"], sort=False):
        cover = [part["covered"][(part["n"] > low) & (part["n"] <= high)].mean() for low, high in CLASSES.values()]
        cells = [f"{100 * c:.1f}" for c in (*cover, part["covered"].mean())]
        rmse = np.sqrt((part["error"] ** 2).mean())
        rest = [f"{part['width'].mean():.1f}", f"{rmse:.2f}", f"{part['error'].mean():.2f}", f"{part['z2'].mean():.2f}"]
        below = part["outside"].mean()
        lines.append(f"| {share} | {way} | {' | '.join([*cells, *rest, '' if np.isnan(below) else f'{below:.1%}'])} |")
    return "\n".join(lines)


def labels(first: int, surveys: int) -> str:
    """How many figures with a label err by at most 10 points, how many intervals hold, and of how many figures."""
    share = Binomial(scale=PERCENT)
    found = []
    for seed in range(first, first + surveys):
        rng = np.random.default_rng([seed, 72])
        areas, model = place(np.maximum(rng.lognormal(6.2, 1.0, SIDE**2), 70).astype(int))
        data, truth = survey(areas, rng, MORE)
        binomial = AreaModel(model.formula, model.terms, outcome=PerMeasure(dict.fromkeys(SHARES, share)))
        made = estimate(fit(binomial, data, **OPTIONS), rules=Rules(protection=0)).table
        made = made[made["level"] == areas.base]
        true = pd.DataFrame(truth, index=areas.codes, columns=list(SHARES)).stack().rename("truth")
        found.append(made.join(true, on=["area_code", "measure"]))
        print(f"{seed}\n{labelled(pd.concat(found))}", flush=True)
    last = first + surveys - 1
    return f"{surveys} surveys, seeds {first} to {last}:\n\n{labelled(pd.concat(found))}"


def labelled(table: pd.DataFrame) -> str:
    """Per label and share, by class of respondents and of residents: within 10 points, in the interval, of how many."""
    classes = {f"{name} respondents": table["n_respondents"].gt(a) & table["n_respondents"].le(b)
               for name, (a, b) in CLASSES.items()}  # fmt: skip
    classes |= {f"{name} residents": table["population"].gt(a) & table["population"].le(b)
                for name, (a, b) in RESIDENTS.items()}  # fmt: skip
    near = (table["estimate"] - table["truth"]).abs() <= Rules().max_half_width
    held = table["truth"].between(table["lower"], table["upper"])
    lines = [f"| label | share | {' | '.join(classes)} |", "| --- " * (2 + len(classes)) + "|"]
    for label in ("betrouwbaar", "indicatief"):
        for share in (*SHARES, "all"):
            rows = table["label"].eq(label) & (table["measure"].eq(share) | (share == "all"))
            cells = [
                f"{100 * near[at].mean():.0f} / {100 * held[at].mean():.0f} of {at.sum():,}" if at.any() else ""
                for at in (rows & members for members in classes.values())
            ]
            lines.append(f"| {label} | {share} | {' | '.join(cells)} |")
    return "\n".join(lines)


def drawn(areas: Areas, rng: np.random.Generator, link: str) -> tuple[DirectEstimates, Floats]:
    """Direct estimates of simple random respondents in per cent, and the true shares (N, 3), of a pattern on a link."""
    pattern, count, level = areas_of(rng)[0], respondents(rng, MOST), np.array(list(SHARES.values()))
    truth = ndtr(ndtri(level) + pattern) if link == "probit" else expit(logit(level) + STEEPER * pattern)
    area = np.repeat(np.arange(SIDE**2), count)
    yes = rng.uniform(size=(len(area), 3)) < truth[area]
    frame = pd.DataFrame(100.0 * yes, columns=list(SHARES))
    frame = frame.assign(area_code=areas.codes[area], weight=1.0, stratum="all")
    return direct(Scores(frame, "survey", 2024, tuple(SHARES), level=areas.base), areas), 100 * truth


def rare(first: int, surveys: int) -> str:
    """Coverage of the first share by class of respondents, and where the truth lies outside, by link and by engine."""
    areas, model = place()
    share, name = Binomial(scale=PERCENT), next(iter(SHARES))
    binomial = AreaModel(model.formula, model.terms, outcome=PerMeasure(dict.fromkeys(SHARES, share)))
    found = list[pd.DataFrame]()
    for link in ("probit", "logit"):
        for seed in range(first, first + surveys):
            data, truth = drawn(areas, np.random.default_rng([seed, 73]), link)
            scores = fit(binomial, data, **OPTIONS).draws.scores()[..., 0]
            found.append(outside(f"truth on the {link}, {surveys} surveys", scores, truth[:, 0], data))
    data, truth = survey(areas, np.random.default_rng([first, 71]))
    alone = direct(replace(data.scores[0], subdimensions=(name,)), areas)
    one = AreaModel(model.formula, model.terms, outcome=PerMeasure({name: share}))
    for engine, options in (("laplace", MANY), ("nuts", {"target_accept": 0.95})):
        scores = fit(one, alone, engine, first, progress=False, **options).draws.scores()[..., 0]
        found.append(outside(f"one survey, {engine}", scores, truth[:, 0], alone))
    lines = [f"| of {name} | {' | '.join(CLASSES)} | truth below | truth above | width |", "| --- " * 8 + "|"]
    for way, part in pd.concat(found).groupby("way", sort=False):
        held = ~(part["below"] | part["above"])
        cells = [100 * held[(part["n"] > low) & (part["n"] <= high)].mean() for low, high in CLASSES.values()]
        cells += [100 * part["below"].mean(), 100 * part["above"].mean(), part["width"].mean()]
        lines.append(f"| {way} | {' | '.join(f'{cell:.1f}' for cell in cells)} |")
    return "\n".join(lines)


def outside(way: str, scores: Floats, truth: Floats, data: DirectEstimates) -> pd.DataFrame:
    """Per area: respondents, whether the truth lies below or above its interval, and the width of that."""
    low, high = np.quantile(scores, [0.025, 0.975], axis=0)
    source = data.sources[0]
    n = pd.Series(source.respondents[:, 0], source.codes).reindex(data.areas.codes, fill_value=0)
    return pd.DataFrame(
        {"way": way, "n": n.to_numpy(), "below": truth < low, "above": truth > high, "width": high - low}
    )


def dispersion(seed: int) -> str:
    """How well rho is learnt by both engines, and whether weights hold, with a term per area and without."""
    rng, n = np.random.default_rng(seed), 120
    x, count = np.sin(np.arange(n) / 6), rng.integers(5, 60, n)
    p, m = expit(0.5 * x - 0.5), 1 / RHO - 1
    yes = rng.binomial(count, rng.beta(m * p, m * (1 - p)))
    frame = pd.DataFrame({"code": [f"A{k:03}" for k in range(n)], "yes": yes, "n": count, "x": x})
    data = AreaCounts.from_frame(frame, y="yes", trials="n", area="code")
    lines = ["| terms | engine | rho | sd of rho | k-hat | means off, sd | sds off |", "| --- " * 7 + "|"]
    for name, terms in (("none", ()), ("IID of areas", (IID("area", sd=PC(1, 0.05)),))):
        model = AreaModel("1 + x", terms, outcome=Binomial(overdispersion=Beta(1, 9)))
        with mock.patch.object(laplace, "supports", return_value=[]):  # it refuses both at once: here is why
            found = {"laplace": fit(model, data, "laplace", seed, progress=False, **MANY).draws}
        if not terms:
            found["nuts"] = fit(model, data, "nuts", seed, progress=False, target_accept=0.95).draws
        for engine, draws in found.items():
            rho = draws.hyper["overdispersion"][1]
            row = [name, engine, f"{rho.mean():.3f}", f"{rho.std():.3f}", "", "", ""]
            if engine == "laplace":
                row[4] = f"{draws.certificate.khat:.2f}"
            if engine == "laplace" and "nuts" in found:
                (mean, sd), (true, spread) = ((d.eta.mean((0, 1)), d.eta.std((0, 1))) for d in found.values())
                row[5:] = f"{np.abs((mean - true) / spread).max():.2f}", f"{np.abs(sd / spread - 1).max():.1%}"
            lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines)


def coverage(first: int, surveys: int) -> str:
    """The table of so many surveys."""
    found = list[pd.DataFrame]()
    for seed in range(first, first + surveys):
        found.append(pd.DataFrame(rows(seed)))
        print(f"{seed}\n{table(pd.concat(found))}", flush=True)
    return f"{surveys} surveys, seeds {first} to {first + surveys - 1}:\n\n{table(pd.concat(found))}"


def main() -> None:
    """Write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=MARKS, default=list(MARKS))
    parser.add_argument("--surveys", type=int, default=60)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    for part in args.parts:
        made = {"coverage": coverage, "labels": labels, "rare": rare}
        text = made[part](args.first, args.surveys) if part in made else dispersion(args.first)
        print(text, flush=True)
        if args.out:
            write_part(args.out, *MARKS[part], text)


if __name__ == "__main__":
    main()
