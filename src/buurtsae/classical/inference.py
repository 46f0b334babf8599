"""What follows from coefficients and their covariance, in the words of statsmodels, whatever the model.

Coefficients are normal given the variances: z = b / se, two-sided p-values, intervals b -+ z_{alpha/2} se.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import pandas as pd
from scipy.stats import norm


class Coefficients(ABC):
    """Results with `params` and `cov_params()`."""

    @property
    @abstractmethod
    def params(self) -> pd.Series:
        """Coefficients."""

    @abstractmethod
    def cov_params(self) -> pd.DataFrame:
        """Return the covariance matrix of the coefficients."""

    @property
    def bse(self) -> pd.Series:
        """Standard errors of the coefficients."""
        return pd.Series(np.sqrt(np.diag(self.cov_params())), index=self.params.index, name="std err")

    @property
    def tvalues(self) -> pd.Series:
        """Coefficients over their standard errors."""
        return (self.params / self.bse).rename("z")

    @property
    def pvalues(self) -> pd.Series:
        """Two-sided normal p-values of coefficients that are zero."""
        return pd.Series(2 * norm.sf(np.abs(self.tvalues)), index=self.params.index, name="P>|z|")

    def conf_int(self, alpha: float = 0.05) -> pd.DataFrame:
        """Return lower and upper ends of the intervals of the coefficients, at 1 - alpha."""
        half = norm.isf(alpha / 2) * self.bse
        return pd.DataFrame({0: self.params - half, 1: self.params + half})
