r"""Answers that the respondents of a survey would give: the law of weighted shares, for replicates of the data.

With w_i the weights, p_i = w_i / W_a, and answers b_i of share pi_a, the share of an area is sum_i p_i b_i, of variance
pi (1 - pi) / n, n effective (`survey.components`), but of another shape than that of n trials: nobody says yes with
probability (1 - pi)^respondents, and not (1 - pi)^n. Answers in a sampled cluster of stage k correlate by r_k = rho_1 +
.. + rho_k: a cluster takes the answer of the one around it with probability (r_{k-1} / r_k)^{1/2}, a person, the last
stage with r = 1, that of the innermost one, and another is drawn otherwise. So two persons whose innermost common
cluster is of stage k trace back to one draw with probability r_k.

References
----------
Lunn, A. and Davies, S. (1998). A note on generating correlated binary variables. Biometrika 85.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from buurtsae.model.observed import references_of
from buurtsae.sparse import Floats, Ints
from buurtsae.survey.components import clusters
from buurtsae.survey.direct import DirectEstimates
from buurtsae.survey.estimators import design_of
from buurtsae.survey.source_estimates import arrays
from buurtsae.survey.variance import hajek


@dataclass(frozen=True)
class Asked:
    """Who answered a question.

    Attributes
    ----------
    site : ndarray of int, shape (n,)
        Of each respondent.
    share : ndarray, shape (n,)
        p_i, adding to 1 per site.
    stages : tuple of ndarray of int, shape (n,)
        Sampled clusters, then the persons themselves, numbered from 0.
    together : ndarray, one per stage
        r_k, of persons 1.

    Examples
    --------
    >>> two = Asked(np.zeros(2, dtype=int), np.array([0.7, 0.3]), (np.arange(2),), np.ones(1))
    >>> two.draw(np.array([1.0]), np.random.default_rng(1))
    array([1.])
    """

    site: Ints
    share: Floats
    stages: tuple[Ints, ...]
    together: Floats

    def draw(self, p: Floats, rng: np.random.Generator) -> Floats:
        """Return weighted shares of the sites (K,), answers of which have the probabilities p (K,)."""
        yes, around = np.zeros(len(self.site), dtype=bool), 0.0
        for stage, together in zip(self.stages, self.together.tolist(), strict=True):
            first = np.unique(stage, return_index=True)[1]
            own = rng.uniform(size=len(first)) < p[self.site[first]]
            same = rng.uniform(size=len(first)) ** 2 * together < around
            yes, around = np.where(same, yes[first], own)[stage], together
        return np.bincount(self.site, self.share * yes, minlength=len(p)).astype(float)


def respondents(direct: DirectEstimates, sites: pd.Index) -> dict[int, Asked]:
    """Return who answered what each column is of, by column; nothing where estimates came from a table."""
    found = {}
    for column, (place, d) in enumerate(references_of(direct)) if direct.scores else ():
        source, scores = direct.sources[place], direct.scores[place]
        if not source.informs[d]:
            continue
        y, w = arrays(scores, [direct.subdimensions[d]])
        domain = source.codes.get_indexer(scores.frame["area_code"])
        share = hajek(y, w, domain, len(source.codes))[1][:, 0]
        kept = np.flatnonzero(share > 0)
        rho = np.zeros(0) if source.icc is None else source.icc[:, d]
        cells = clusters(scores.frame, domain, design_of(scores).clusters)[: len(rho)]
        stages = [np.unique(cell[kept], return_inverse=True)[1] for cell in cells]
        site = sites.get_indexer(source.codes)[domain[kept]]
        found[column] = Asked(site, share[kept], (*stages, np.arange(len(kept))), np.append(np.cumsum(rho), 1.0))
    return found
