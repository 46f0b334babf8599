r"""One linear mixed model, y = X beta + u + e with V = Var(y): what every family says, whatever its covariances.

Families differ in V: unrelated areas (`area`), neighbours (`spatial`), measures (`multivariate`), units of an area
(`unit`), and in how they solve with it. With P = V^{-1} - V^{-1} X (X' V^{-1} X)^{-1} X' V^{-1} the log-likelihoods,
at beta and with beta integrated out (flat, of density one), are

    -[n log 2 pi + log |V| + y'Py] / 2,   -[(n - p) log 2 pi + log |V| + log |X' V^{-1} X| + y'Py] / 2,

AIC = -2 llf + 2 k, BIC = -2 llf + k log n of the first, also after REML, k counting coefficients and variance
components. The EBLUP has mse = g1 + g2 + 2 g3 + correction, or by parametric bootstrap, with the variances of the
drawing in the BLUP*, mean (EBLUP* - theta*)^2 (naive) and 2 (g1 + g2) - mean (g1* + g2*) + mean (EBLUP* - BLUP*)^2.

References
----------
Rao, J.N.K. and Molina, I. (2015). Small Area Estimation, chapters 5 and 6. Gonzalez-Manteiga, W. et al. (2008).
Bootstrap mean squared error of a small-area EBLUP. J. Statistical Computation and Simulation 78.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

import numpy as np
import pandas as pd
from scipy.stats import norm

from buurtsae.classical.columns import BoundaryWarning, NotConvergedWarning
from buurtsae.errors import ModelError, cut
from buurtsae.notes import Note
from buurtsae.sparse import Floats, one_thread

if TYPE_CHECKING:
    from statsmodels.iolib.summary import Summary

Likelihood = Literal["reml", "ml"]
LIKELIHOODS: tuple[str, ...] = get_args(Likelihood)
LOG_2PI = float(np.log(2 * np.pi))


def loglike(n: float, p: int, logdet_v: Any, logdet_xvx: Any, ypy: Any, restricted: bool) -> Any:
    """Return the log-likelihood at beta, or with beta integrated out, from log |V|, log |X'V^{-1}X| and y'Py."""
    rest = logdet_xvx - p * LOG_2PI if restricted else 0.0
    return -0.5 * (n * LOG_2PI + logdet_v + rest + ypy)


def quadratic(x: Floats, s: Floats) -> Floats:
    """Return x_i' S x_i of every row of x (m, p), shape (m,)."""
    return np.asarray(np.einsum("ip,pq,iq->i", x, s, x, optimize=True))


def one_of(value: object, choices: Sequence[str], what: str) -> None:
    """Refuse a value that is not one of the choices."""
    if value not in choices:
        raise ModelError(f"the {what} is unknown", repr(value), ", ".join(choices), "choose one of these")


class Shaped:
    """A dataclass that shows numbers, and the shapes of its arrays."""

    def __repr__(self) -> str:
        """Name every field with its value, or its shape."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}  # type: ignore[arg-type]  # of dataclasses only
        parts = [f"{name} {getattr(v, 'shape', None) or cut(v, 30)}" for name, v in values.items()]
        return f"{type(self).__name__}({', '.join(parts)})"


@dataclass(frozen=True)
class TestResult:
    """A test.

    Attributes
    ----------
    name : str
    statistic, pvalue : float
    """

    __test__ = False  # no test of pytest

    name: str
    statistic: float
    pvalue: float


@dataclass(frozen=True, repr=False)
class MseTerms(Shaped):
    """What the analytic MSE of an EBLUP is made of.

    Attributes
    ----------
    g1, g2, g3 : ndarray, shape (m,), of several measures (m, D, D)
        Of the random effect, of beta and of the variance components, in squared units of y.
    correction : ndarray
        Minus the bias of g1 at the estimated variance components.
    """

    g1: Floats
    g2: Floats
    g3: Floats
    correction: Floats

    @property
    def mse(self) -> Floats:
        """The estimated mean squared error."""
        return self.g1 + self.g2 + 2 * self.g3 + self.correction


@dataclass(frozen=True, repr=False)
class Prediction(Shaped):
    """What a model says of every area, given its variance components.

    Attributes
    ----------
    eblup, leading : ndarray, shape (m,)
        The predictor, and g1 + g2.
    converged : bool
    """

    eblup: Floats
    leading: Floats
    converged: bool = True


Draw = Callable[[np.random.Generator], tuple[Floats, Any]]
Refit = Callable[[Any], Prediction]
Resampling = tuple[Draw, Refit, Refit, Floats]  # draw, refit, known and g1 + g2: see `bootstrap`


def replicates(
    draw: Draw, refit: Refit, replications: int, seed: int | None
) -> Iterator[tuple[Floats, Any, Prediction]]:
    """Yield the truth (m,), the data and the refit of every replication of a parametric bootstrap that converges.

    Parameters
    ----------
    draw : callable
        Returns theta* (m,) and data from the fitted model.
    refit : callable
        Predictions from these data, with all parameters estimated again.
    replications : int
    seed : int, optional

    Raises
    ------
    ModelError
        If there are fewer than two replications, or less than half of the refits converge.
    """
    if replications < 2:
        raise ModelError("a bootstrap needs replications", str(replications), "2 or more", "ask for at least 200")
    rng, failed = np.random.default_rng(seed), 0
    for _ in range(replications):
        truth, data = draw(rng)
        prediction = refit(data)
        failed += not prediction.converged
        if prediction.converged:
            yield truth, data, prediction
    if failed > replications / 2:
        raise ModelError(
            "the bootstrap cannot be trusted",
            f"{failed} of {replications} refits without convergence",
            "at most half",
            "raise maxiter, or use the analytic MSE",
        )


@one_thread()
def bootstrap(
    draw: Draw, refit: Refit, known: Refit, leading: Floats, replications: int, seed: int | None
) -> dict[str, Floats]:
    """Return MSEs by parametric bootstrap.

    Parameters
    ----------
    draw, refit, replications, seed
        As in `replicates`.
    known : callable
        Predictions from data with the variance components of the drawing.
    leading : ndarray, shape (m,)
        g1 + g2 of the fit.

    Returns
    -------
    dict of ndarray, shape (m,)
        `naive`, `corrected` for the bias of g1 + g2, and `mc_error`, the Monte Carlo standard error of `naive`.

    Raises
    ------
    ModelError
        As `replicates`.
    """
    sums, used = np.zeros((4, len(leading))), 0
    for truth, data, prediction in replicates(draw, refit, replications, seed):
        squared = (prediction.eblup - truth) ** 2
        sums += [squared, squared**2, (prediction.eblup - known(data).eblup) ** 2, prediction.leading]
        used += 1
    naive, fourth, spread, level = sums / used
    error = np.sqrt(np.maximum(fourth - naive**2, 0.0) / used)
    return {"naive": naive, "corrected": 2 * leading - level + spread, "mc_error": error}


@dataclass(frozen=True, repr=False)
class Results(ABC):
    """A fitted model, in the words of statsmodels: coefficients, criteria, a summary.

    Coefficients are normal given the variances: z = beta / se, two-sided p-values, intervals beta -+ z_{alpha/2} se.

    Attributes
    ----------
    model : object
        What was fitted, data included.
    method : str
        How the variance components were estimated.
    beta : ndarray, shape (p,)
    cov_beta : ndarray, shape (p, p)
        (X' V^{-1} X)^{-1}.
    llf : float
        Log-likelihood at the estimates, the full one also after REML; NaN where nothing is maximised.
    converged : bool
    trace : DataFrame
        Variance components and what is maximised or solved, per iteration.
    """

    model: Any
    method: str
    beta: Floats
    cov_beta: Floats
    llf: float
    converged: bool
    trace: pd.DataFrame

    model_name: ClassVar[str]

    @property
    @abstractmethod
    def response(self) -> str:
        """Name of what was modelled."""

    @property
    @abstractmethod
    def names(self) -> pd.Index:
        """Names of the coefficients."""

    @property
    @abstractmethod
    def nobs(self) -> int:
        """Number of observations: direct estimates, or units."""

    @property
    def n_components(self) -> int:
        """Number of variance components."""
        return 1

    @property
    def params(self) -> pd.Series:
        """Coefficients, shape (p,)."""
        return pd.Series(self.beta, index=self.names, name="coef")

    def cov_params(self) -> pd.DataFrame:
        """Return the covariance matrix of the coefficients, shape (p, p)."""
        return pd.DataFrame(self.cov_beta, self.names, self.names)

    @property
    def bse(self) -> pd.Series:
        """Standard errors of the coefficients."""
        return pd.Series(np.sqrt(np.diag(self.cov_beta)), index=self.names, name="std err")

    @property
    def tvalues(self) -> pd.Series:
        """Coefficients over their standard errors."""
        return (self.params / self.bse).rename("z")

    @property
    def pvalues(self) -> pd.Series:
        """Two-sided normal p-values of coefficients that are zero."""
        return pd.Series(2 * norm.sf(np.abs(self.tvalues)), index=self.names, name="P>|z|")

    def conf_int(self, alpha: float = 0.05) -> pd.DataFrame:
        """Return lower and upper ends of the intervals of the coefficients, at 1 - alpha, shape (p, 2)."""
        half = norm.isf(alpha / 2) * self.bse
        return pd.DataFrame({0: self.params - half, 1: self.params + half})

    @property
    def aic(self) -> float:
        """Akaike's criterion: lower is better."""
        return -2 * self.llf + 2 * (len(self.beta) + self.n_components)

    @property
    def bic(self) -> float:
        """Schwarz's criterion: lower is better."""
        return -2 * self.llf + float(np.log(self.nobs)) * (len(self.beta) + self.n_components)

    @property
    def at_boundary(self) -> bool:
        """Whether variance components are estimated at the edge of what is possible."""
        return bool(self._edges())

    @abstractmethod
    def _edges(self) -> list[str]:
        """Return what is estimated at the edge of what is possible, each with a hint."""

    @abstractmethod
    def _sizes(self) -> dict[str, str]:
        """Return numbers of areas and the like, for the summary."""

    @abstractmethod
    def _components(self) -> dict[str, str]:
        """Return variance components, for the summary."""

    def _remarks(self) -> list[str]:
        """Return what stands below the summary."""
        return [edge.split("\n")[0] for edge in self._edges()]

    def _head(self) -> tuple[dict[str, str], dict[str, str]]:
        """Both columns of the head of the summary."""
        criteria = {"Log-Likelihood": f"{self.llf:.5g}", "AIC": f"{self.aic:.5g}", "BIC": f"{self.bic:.5g}"}
        said = {} if np.isnan(self.llf) else criteria
        left = {"Dep. Variable": cut(self.response), "Model": self.model_name, "Method": self.method.upper()}
        return left | self._sizes(), self._components() | said | {"Converged": "yes" if self.converged else "NO"}

    def summary(self, alpha: float = 0.05) -> Summary:
        """Return the tables of the fit, as statsmodels does: to print, or `as_latex`, `as_html`, `as_csv`."""
        from statsmodels.iolib.summary import Summary, summary_params
        from statsmodels.iolib.table import SimpleTable
        from statsmodels.iolib.tableformatting import fmt_2cols

        head = self._head()
        rows = max(map(len, head))
        columns = [[(f"{k}:", v) for k, v in part.items()] + [("", "")] * (rows - len(part)) for part in head]
        top: Any
        top, right = (
            SimpleTable([[v] for _, v in column], stubs=[k for k, _ in column], title=title, txt_fmt=fmt_2cols)
            for column, title in zip(columns, (f"{self.model_name} Model", None), strict=True)
        )
        top.extend_right(right)
        names = [": ".join(n) if isinstance(n, tuple) else str(n) for n in self.names]
        parts = (self, self.params, self.bse, self.tvalues, self.pvalues, self.conf_int(alpha).to_numpy())
        summary = Summary()
        summary.tables = [top, summary_params(parts, yname=self.response, xname=names, alpha=alpha, use_t=False)]
        if remarks := self._remarks():
            summary.add_extra_txt(remarks)
        return summary

    def __repr__(self) -> str:
        """Say the head of the summary on one line."""
        left, right = self._head()
        return f"<{type(self).__name__}: " + ", ".join(f"{k} {cut(v, 30)}" for k, v in (left | right).items()) + ">"

    def warn(self) -> None:
        """Warn if the fit did not converge, with the last steps, or else if it is at an edge."""
        if not self.converged:
            steps = [", ".join(f"{k} {v:.8g}" for k, v in row.items()) for _, row in self.trace.tail(3).iterrows()]
            warnings.warn(
                Note(
                    "{model} by {method} did not converge in {n} iterations; last steps: {steps}\n"
                    "  hint: raise maxiter, or look for areas with extreme sampling variances",
                    "{model} met {method} convergeerde niet in {n} stappen; de laatste: {steps}\n"
                    "  tip: verhoog maxiter, of zoek gebieden met extreme steekproefvarianties",
                    model=self.model_name, method=self.method.upper(), n=len(self.trace) - 1, steps="; ".join(steps),
                ),
                NotConvergedWarning,
                stacklevel=3,
            )  # fmt: skip
            return
        for edge in self._edges():
            warnings.warn(edge, BoundaryWarning, stacklevel=3)
