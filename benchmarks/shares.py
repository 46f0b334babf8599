r"""Coverage of shares per area, from a survey with weights and clusters, on a truth that no model here drew.

    python benchmarks/shares.py [--surveys 30] [--first 1] [--out docs/shares.md]

100 squares on a grid. Persons are young or old, two latent numbers apart; the old are asked three times as often, with
weights that undo it. Answers of a person on three questions hang together, and so do those in a street of four. Shares
are 3%, 20% and 50% on average; over areas they follow a wave, a jump along a line, and what differs evenly between:

    P(yes) = Phi((m_ad + g_d old) / s),   noise of street, person and answer of variance s^2 = 0.1 + 0.4 + 1.

*Binomial* is `PerMeasure` of the three with n_eff, *untied* without the correlation of sampling errors, *normal* the
same shares as scores with their pooled variance V. The truth is P(yes) of residents; coverage is that of 95% intervals.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
from pages import write_part
from scipy.special import ndtr, ndtri

from buurtsae.areas.areas import Areas
from buurtsae.areas.graph import Graph
from buurtsae.draws import Draws
from buurtsae.engines import base
from buurtsae.engines.base import fit
from buurtsae.model.design import Design
from buurtsae.model.outcome.binomial import Binomial
from buurtsae.model.outcome.gaussian import Gaussian
from buurtsae.model.outcome.per_measure import PerMeasure
from buurtsae.model.spec import AreaModel
from buurtsae.model.terms import BYM2
from buurtsae.scale import Scale
from buurtsae.sparse import Floats
from buurtsae.survey.design_columns import DesignInfo
from buurtsae.survey.direct import DirectEstimates, direct
from buurtsae.survey.scales import Scores

MARKS = "<!-- coverage: written by benchmarks/shares.py -->", "<!-- end of coverage -->"
SIDE, STREET, WITHIN, COMMON, OVER = 10, 4, 0.1, 0.4, 3.0
SHARES = {"3%": 0.03, "20%": 0.2, "50%": 0.5}
OLD = np.array([-0.3, 0.4, 0.5])  # g
CLASSES = {"0": (-1, 0), "1-5": (0, 5), "6-20": (5, 20), "over 20": (20, np.inf)}
OPTIONS = {"draws": 1000, "hyperparameters": 100, "threads": 1, "progress": False}


def place() -> tuple[Areas, AreaModel]:
    """A grid of areas that touch along sides, and the model of a careful user."""
    codes = [f"A{k:02}" for k in range(SIDE**2)]
    areas = Areas.from_frame(pd.DataFrame({"code": codes}), code="code")
    cell = np.arange(SIDE**2).reshape(SIDE, SIDE)
    pairs = np.vstack([np.c_[cell[:-1].ravel(), cell[1:].ravel()], np.c_[cell[:, :-1].ravel(), cell[:, 1:].ravel()]])
    return areas, AreaModel("1", (BYM2(Graph.from_pairs(areas.codes, [(codes[i], codes[j]) for i, j in pairs])),))


def survey(areas: Areas, rng: np.random.Generator) -> tuple[DirectEstimates, Floats]:
    """Direct estimates in per cent, and the true shares (N, 3)."""
    n, s = SIDE**2, np.sqrt(1 + WITHIN + COMMON)
    x, y = np.divmod(np.arange(n), SIDE) / np.array([[SIDE]])
    phase = rng.uniform(0, 2 * np.pi, 3)
    wave = np.sin(2 * np.pi * np.outer(x, [1, 0.5, 1]) + np.outer(y, [3, 4, 2]) + phase)
    jump = np.where(x + y > rng.uniform(0.6, 1.4), 0.25, -0.25)[:, None]
    even = rng.uniform(-0.5, 0.5, (n, 1)) + rng.uniform(-0.3, 0.3, (n, 3))
    old = rng.uniform(0.1, 0.5, n)
    m = s * ndtri(list(SHARES.values())) + 0.25 * wave + jump + even
    truth = 100 * (old[:, None] * ndtr((m + OLD) / s) + (1 - old[:, None]) * ndtr(m / s))
    most = rng.choice([0, 5, 20, 60], n, p=[0.15, 0.25, 0.3, 0.3])
    least = np.array([1, 6, 21])[np.searchsorted([5, 20, 60], np.maximum(most, 1))]
    count = np.where(most > 0, rng.integers(np.minimum(least, most), most + 1), 0)
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


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--surveys", type=int, default=30)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    found = list[pd.DataFrame]()
    for seed in range(args.first, args.first + args.surveys):
        found.append(pd.DataFrame(rows(seed)))
        print(f"{seed}\n{table(pd.concat(found))}", flush=True)
    if args.out:
        write_part(args.out, *MARKS, table(pd.concat(found)))


if __name__ == "__main__":
    main()
