"""Three made waves of a survey on the areas of `made_fit`, or on others, and one fit of all of them.

What stays is a score per buurt, what changes is noise, a step of 1.5 up in `UP` and one down in `DOWN` after the first
wave; 5 to 20 respondents of a buurt in a wave, 40 in these two, and nobody in the second in every tenth.
"""

from __future__ import annotations

import numpy as np
from made_fit import make_areas

from buurtsae.areas.areas import Areas
from buurtsae.engines.base import fit
from buurtsae.estimates.waves import Waves, estimate_waves
from buurtsae.model.spec import AreaModel
from buurtsae.model.terms import BYM2
from buurtsae.model.terms.over_time import OverTime
from buurtsae.survey.concept import Concept
from buurtsae.survey.direct import DirectEstimates
from buurtsae.survey.source_estimates import SourceEstimates

YEARS = (2019, 2022, 2024)
UP, DOWN = "BU03440101", "BU03440203"
WITHIN, STAYS, CHANGES, STEP = 1.2, 0.6, 0.2, 1.5


def made_years(
    measures: int = 1, areas: Areas | None = None, steps: tuple[str, str] = (UP, DOWN), also: tuple[int, ...] = ()
) -> Waves:
    """Return the estimates of all waves, and of years without one, of the first few sub-dimensions."""
    rng, areas = np.random.default_rng(23), areas or make_areas()
    names, sources = Concept.load().subdimensions[:measures], []
    people = (areas.frame["population"] > 0).to_numpy()
    up, down = (areas.codes.isin([code]) for code in steps)
    stays = 6 + STAYS * rng.normal(size=(len(people), measures))
    for k, year in enumerate(YEARS):
        theta = stays + CHANGES * rng.normal(size=stays.shape) + STEP * (k > 0) * (up * 1.0 - down)[:, None]
        seen = people & ((np.arange(len(people)) % 10 != 5) | (k != 1))
        n = np.where(up | down, 40, rng.integers(5, 21, len(people)))[seen]
        y = theta[seen] + WITHIN / np.sqrt(n)[:, None] * rng.normal(size=(len(n), measures))
        counts, variance = np.repeat(n[:, None], measures, axis=1), WITHIN**2 / n[:, None, None] * np.eye(measures)
        about = "veiligheidsmonitor", year, areas.codes[seen], y, variance
        sources.append(SourceEstimates(*about, counts.astype("int64"), counts.astype(float)))
    direct = DirectEstimates(names, tuple(sources), areas).by_year(also=also)
    model = AreaModel("1", [OverTime(BYM2(areas.graph()))])
    fitted = fit(model, direct, seed=1, draws=400, hyperparameters=60, progress=False)
    return estimate_waves(fitted, run_id="fictief-jaren", fictitious=True)
