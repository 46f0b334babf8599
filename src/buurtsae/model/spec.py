r"""The area-level model, as the user states it; nothing here has seen data.

    y_[s,a] = c + alpha_s + lambda_s * (eta_a - c) + tau_s * w_[s,a] + e,   e ~ N(0, V_[s,a])     (vectors over d)
    eta_ad = x_a' beta_d + sum of terms

c is the mean of the reference source's direct estimates, a constant that makes alpha a difference in level and lambda
one in scale; alpha = tau = 0 and lambda = 1 for the reference source of each sub-dimension. With variances modelled
jointly, V_[s,a] := D V D with D = diag exp(h_[s,a] / 2), h ~ N(-kappa^2 / 2, kappa^2), so that E exp(h) = 1, and the
variance s^2 within the buurt of its own respondents has f s^2 / (S exp(h)) ~ chi^2_f (S: pooled over buurten).

References
----------
Fay, R. and Herriot, R. (1979). J. American Statistical Association 74.
Rao, J. and Molina, I. (2015). Small Area Estimation, ch. 4.
You, Y. and Chapman, B. (2006). Small area estimation using area level models and estimated sampling variances.
Survey Methodology 32.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from buurtsae.errors import ModelError
from buurtsae.model.covariates import Covariate, Missing
from buurtsae.model.links import PARTICIPATORY, SURVEY, Link
from buurtsae.model.priors import PC, Normal
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
    link, participatory : Link
        Priors of alpha, lambda and tau of surveys other than the reference, and of participatory sources.
    variances : PC, optional
        Without it sampling variances are taken as known. With it they are estimated together with the means: the prior
        of kappa, the standard deviation of log variances within buurten, per source and sub-dimension.
    covariates : sequence of Covariate
        What is to be known about covariates of the formula: source, transformation, whether they are sensitive.
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
    link: Link = SURVEY
    participatory: Link = PARTICIPATORY
    variances: PC | None = None
    covariates: tuple[Covariate, ...] = ()
    missing: Missing = "refuse"

    def __post_init__(self) -> None:
        for name in ("terms", "covariates"):
            object.__setattr__(self, name, tuple(getattr(self, name)))  # lists are welcome, and frozen here
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

    def _repr_html_(self) -> str:
        """A notebook's view: the model in words."""
        return f"<pre>{escape(str(self))}</pre>"

    def __str__(self) -> str:
        lines = [
            "Area-level model of buurtverbondenheid (multivariate Fay-Herriot)",
            "  y[s,a] = c + alpha[s] + lambda[s] * (eta[a] - c) + tau[s] w[s,a] + e   direct estimate of source s",
            "  e ~ N(0, V[s,a]), w ~ N(0, 1); V " + ("as given" if self.variances is None else _JOINT),
            "  eta[a,d] = "
            + " + ".join(["x[a]' beta[d]", *(_symbol(t) for t in self.terms)])
            + "   score of the residents",
            f"  x: {self.formula}; numeric covariates per standard deviation",
            *(f"  {c.name}: {_described(c)}" for c in self.covariates),
            "Terms",
            *(_words(t) for t in self.terms),
            "Priors",
            f"  intercept   {self.intercept}",
            f"  beta        {self.coefficient} per standard deviation",
            *(_priors(t) for t in self.terms),
            *(
                f"  {name:11} {getattr(self.link, of)}, participatory {getattr(self.participatory, of)}; "
                f"{fixed} for the reference source of a sub-dimension"
                for name, of, fixed in (("alpha", "offset", 0), ("lambda", "slope", 1), ("tau", "extra", 0))
            ),
            *([f"  kappa       {self.variances}"] if self.variances else []),
            f"Missing covariates: {'refused' if self.missing == 'refuse' else 'imputed by the median, and flagged'}",
        ]
        return "\n".join(lines)


def _described(c: Covariate) -> str:
    said = [c.transform if c.transform != "none" else "", c.source, f"missing: {c.missing}" if c.missing else ""]
    said += [word for word in ("modelled", "sensitive") if getattr(c, word)]
    return ", ".join(filter(None, said)) or "as it is"


_JOINT = "times exp(h), h ~ N(-kappa^2/2, kappa^2), with the variance within the buurt ~ chi^2"


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
