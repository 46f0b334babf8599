r"""The area-level model, as the user states it; nothing here has seen data.

    y_[s,a] = c + alpha_s + lambda_s * (eta_a - c) + e,   e ~ N(0, V_[s,a])     (vectors over sub-dimensions d)
    eta_ad = x_a' beta_d + sum of terms

c is the mean of the reference source's direct estimates, a constant that makes alpha a difference in level and lambda
one in scale; alpha = 0 and lambda = 1 for the reference source of each sub-dimension.

References
----------
Fay, R. and Herriot, R. (1979). J. American Statistical Association 74.
Rao, J. and Molina, I. (2015). Small Area Estimation, ch. 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from buurtsae.errors import ModelError
from buurtsae.model.priors import LogNormal, Normal
from buurtsae.model.terms import BYM2, IID, Term


@dataclass(frozen=True)
class AreaModel:
    """A multivariate spatial Fay-Herriot model.

    Parameters
    ----------
    formula : str
        Right-hand side of the linear part, as in R (formulaic): ``"1 + stedelijkheid + pct_koopwoningen"``.
        Numeric covariates are standardised over inhabited buurten.
    terms : sequence of BYM2 or IID
        Random effects.
    intercept, coefficient : Normal
        Priors: of the mean score, and of the effect of one standard deviation of a covariate.
    offset, slope : Normal, LogNormal
        Priors of alpha and lambda of sources other than the reference.
    missing : {"refuse", "impute"}
        What to do with a covariate that is missing in an inhabited buurt: raise, or fill with the median of the
        gemeente (of all, where that is missing too) and flag the buurt.

    Examples
    --------
    >>> print(AreaModel("1 + pct_koopwoningen"))  # doctest: +ELLIPSIS
    Area-level model of buurtverbondenheid (multivariate Fay-Herriot)
    ...
    """

    formula: str = "1"
    terms: tuple[Term, ...] = ()
    intercept: Normal = Normal(5.0, 5.0)
    coefficient: Normal = Normal(0.0, 1.0)
    offset: Normal = Normal(0.0, 1.0)
    slope: LogNormal = LogNormal(0.0, 0.2)
    missing: Literal["refuse", "impute"] = "refuse"

    def __post_init__(self) -> None:
        object.__setattr__(self, "terms", tuple(self.terms))  # lists are welcome, and frozen here
        unknown = [type(t).__name__ for t in self.terms if not isinstance(t, BYM2 | IID)]
        if unknown:
            raise ModelError("a term is unknown", ", ".join(unknown), "BYM2 or IID", "choose one of these")
        names = [t.group if isinstance(t, IID) else "BYM2" for t in self.terms]
        if len(set(names)) < len(names):
            raise ModelError(
                "a term occurs twice", ", ".join(names), "each level once", "remove one: they cannot be told apart"
            )
        if self.missing not in ("refuse", "impute"):
            raise ModelError("`missing` is unknown", repr(self.missing), "refuse or impute", "choose one")

    def __str__(self) -> str:
        lines = [
            "Area-level model of buurtverbondenheid (multivariate Fay-Herriot)",
            "  y[s,a] = c + alpha[s] + lambda[s] * (eta[a] - c) + e,  e ~ N(0, V[s,a])   direct estimate of source s",
            "  eta[a,d] = "
            + " + ".join(["x[a]' beta[d]", *(_symbol(t) for t in self.terms)])
            + "   score of the residents",
            f"  x: {self.formula}; numeric covariates per standard deviation",
            "Terms",
            *(_words(t) for t in self.terms),
            "Priors",
            f"  intercept   {self.intercept}",
            f"  beta        {self.coefficient} per standard deviation",
            *(_priors(t) for t in self.terms),
            f"  alpha       {self.offset}; 0 for the reference source of a sub-dimension",
            f"  lambda      {self.slope}; 1 for the reference source",
            f"Missing covariates: {'refused' if self.missing == 'refuse' else 'imputed by the median, and flagged'}",
        ]
        return "\n".join(lines)


def _symbol(term: Term) -> str:
    if isinstance(term, BYM2):
        return "sigma[d] (sqrt(1 - phi[d]) v[a,d] + sqrt(phi[d]) u[a,d])"
    return f"sigma_{term.group}[d] g[{term.group}(a),d]"


def _words(term: Term) -> str:
    if isinstance(term, BYM2):
        return f"  BYM2 on {term.graph!r}: v unstructured, u scaled intrinsic CAR; correlated across sub-dimensions"
    return f"  IID per {term.group}, correlated across sub-dimensions"


def _priors(term: Term) -> str:
    name = "sigma" if isinstance(term, BYM2) else f"sigma_{term.group}"
    lines = [f"  {name:11} {term.sd} for the common {name}; per sub-dimension times LogNormal(0, sd {term.spread:g})"]
    lines += [f"  phi         {term.mixing}"] if isinstance(term, BYM2) else []
    return "\n".join([*lines, f"  {', '.join(term.matrices):11} {term.correlation}"])
