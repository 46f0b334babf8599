r"""The realised mean: what the N residents of an area score on average, instead of what they are expected to.

    r_a = eta_a + mean of N_a deviations = eta_a + d_a,   d_a ~ N(0, S / N_a),   independent between areas,
    y_a = r_a + e_a,   e_a ~ N(0, V_a (1 - n_a / N_a)),   n effective,

with S the covariance of the scores of residents of one area. A mean of some of the N, with shares p (0 for others),
errs by S sum (p - 1/N)^2 = S (sum p^2 - 1/N) from theirs, without correlation with d, and V = S sum p^2 = S / n: the
finite population correction. So y says of eta what it did. In a gemeente d has the variance S / N of its own residents.

References
----------
Royall, R. (1970). On finite population sampling theory. Biometrika 57. Rao, J. and Molina, I. (2015), section 7.1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from buurtsae.errors import ModelError, Problems, shown
from buurtsae.sparse import Floats
from buurtsae.survey.components import shrunk
from buurtsae.survey.counts import AreaCounts
from buurtsae.survey.direct import DirectEstimates
from buurtsae.survey.source_estimates import SourceEstimates

CENSUS = 0.99  # of the residents: where all answered, a little of V is left, so that it has an inverse


def check_realised(direct: DirectEstimates, problems: Problems) -> None:
    """Record what there is no realised mean of."""
    hint = 'leave it out: estimand = "expected"'
    for wrong, got, expected in (
        (isinstance(direct, AreaCounts), "counts", "direct estimates with variances"),
        (direct.areas.alike, "residents unknown", "areas with their numbers of residents"),
        (not direct.counted, "respondents unknown", "direct estimates with numbers of respondents"),
        (
            any(source.level in direct.areas.editions for source in direct.sources),
            "a source of another edition",
            "sources of this one: residents of a part deviate otherwise than those of the whole",
        ),
        (bool(direct.years), f"years {shown(direct.years)}", "one period: the same residents deviate in each"),
    ):
        if wrong:
            problems.add('estimand = "realised" is not possible', got, expected, hint, ModelError)


def deviation(direct: DirectEstimates) -> Floats:
    """Return S / N, shape (N, D, D), 0 without residents; S is that of the reference source of each measure.

    Measures of different references are not known to go together: 0.
    """
    reference, residents = direct.reference, direct.areas.population
    s = np.zeros((len(reference), len(reference)))
    for place in np.unique(reference):
        own = np.ix_(reference == place, reference == place)
        s[own] = direct.sources[place].within_area[own]
    share = np.divide(1.0, residents, out=np.zeros_like(residents), where=residents > 0)
    return share[:, None, None] * shrunk(s)


def correction(source: SourceEstimates, residents: pd.Series, seen: Sequence[str] | pd.Index) -> Floats:
    """Return sqrt(1 - n / N) of areas that are seen, shape (n, D): what their standard errors are multiplied by."""
    rows = source.codes.get_indexer(seen)
    fraction = source.n_effective[rows] / residents.loc[seen].to_numpy()[:, None]
    return np.sqrt(1 - np.minimum(fraction, CENSUS))
