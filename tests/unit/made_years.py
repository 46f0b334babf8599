"""Three made waves of a survey on Voorbeeldstad's areas, and one fit of all of them.

What stays is a score per buurt, what changes a step of 1.5 up in `UP`, of 1.5 down in `DOWN` and noise elsewhere; five
to twenty respondents of a buurt in a wave, and nobody in 2022 in every tenth.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from buurtsae.engines.base import fit
from buurtsae.estimates.waves import Waves, estimate_waves
from buurtsae.model.spec import AreaModel
from buurtsae.model.terms import BYM2
from buurtsae.model.terms.over_time import OverTime
from buurtsae.runs.example import example
from buurtsae.runs.steps import check
from buurtsae.survey.concept import Concept
from buurtsae.survey.direct import DirectEstimates
from buurtsae.survey.source_estimates import SourceEstimates

YEARS = (2019, 2022, 2024)
UP, DOWN = "BU99010002", "BU99010003"
WITHIN, STEP = 1.2, 1.5


@cache
def made_years(measures: int = 2, years: tuple[int, ...] = YEARS, seed: int = 1) -> Waves:
    """Return the estimates of all waves, of the first few sub-dimensions."""
    rng, areas = np.random.default_rng([seed, 23]), check(example()).areas
    names, sources = Concept.load().subdimensions[:measures], []
    people = (areas.frame["population"] > 0).to_numpy()
    stays = 6 + 0.6 * rng.normal(size=(len(people), measures))
    for year in years:
        theta = stays + 0.2 * rng.normal(size=stays.shape)
        last = year > years[0]
        theta[areas.codes.isin([UP])] += STEP * last
        theta[areas.codes.isin([DOWN])] -= STEP * last
        seen = people & ((np.arange(len(people)) % 10 != 5) | (year != years[1]))
        n = rng.integers(5, 21, len(people))
        n[areas.codes.isin([UP, DOWN])] = 40
        n = n[seen]
        y = theta[seen] + WITHIN / np.sqrt(n)[:, None] * rng.normal(size=(len(n), measures))
        variance = (WITHIN**2 / n)[:, None, None] * np.eye(measures)
        counts = np.repeat(n[:, None], measures, axis=1)
        sources.append(
            SourceEstimates(
                "veiligheidsmonitor", year, areas.codes[seen], y, variance, counts.astype("int64"), counts.astype(float)
            )
        )
    direct = DirectEstimates(names, tuple(sources), areas).by_year()
    model = AreaModel("1", [OverTime(BYM2(areas.graph()))])
    fitted = fit(model, direct, seed=1, draws=200, hyperparameters=40, progress=False)
    return estimate_waves(fitted, run_id="fictief-jaren", fictitious=True)
