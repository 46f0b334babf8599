"""What more respondents teach about the predictors of areas: the part of a plan that depends on the model.

Figures are read off predictors eta_a (D of an area) by their derivatives, averaged over draws. Of a normal eta with
variance s^2 a figure h(eta) has the variance E[h']^2 s^2 + E[h'']^2 s^4 / 2 + ...: the first term, all there is of
scores, is what `loads` make of Cov(eta_a); what draws vary more falls with its square (`preposterior`).
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from buurtsae.sparse import Floats, Ints
from buurtsae.survey.source_estimates import SourceEstimates

DRAWS = 200  # that information and slopes are averaged over, at most


class Learning(Protocol):
    """A model, or one of several that are independent given the data: N areas, D predictors of each, M figures."""

    @property
    def loads(self) -> Floats:
        """Derivatives of figures by predictors, (N, M, D), or (1, M, D) where they are those of all; 0 of others'."""

    @property
    def chance(self) -> Floats:
        """Variance of realised figures by what others than respondents answer, (N, M); 0 of expected figures."""

    @property
    def unasked(self) -> Floats:
        """Residents who were not asked, (N, M), of realised figures; infinite of expected ones."""

    def covariance(self, m: Ints) -> Floats:
        """Return posterior covariances of the predictors with m (N,) more respondents, (N, D, D), exactly."""

    def information(self, m: Ints) -> Floats:
        """Return the precision of the source about the predictors, up to a constant, (N, D, D), with m (N,) more."""


def answered(source: SourceEstimates) -> Floats:
    """Return which share of the respondents of a source answers each question, (D,)."""
    return np.asarray(source.respondents.sum(axis=0) / source.respondents.max(axis=1).sum())
