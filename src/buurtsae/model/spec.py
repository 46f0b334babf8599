r"""The area-level model, as the user states it; nothing here has seen data.

Counts are seen as their outcome says (`model.outcome`), given eta. Of direct estimates,

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
from typing import Annotated, Literal, get_args

from annotated_types import Interval

from buurtsae.areas.graph import Graph
from buurtsae.errors import ModelError, cut, shown
from buurtsae.model.breaks import Break
from buurtsae.model.covariates import Covariate, Missing
from buurtsae.model.links import PARTICIPATORY, SURVEY, Link
from buurtsae.model.outcome.base import Outcome
from buurtsae.model.outcome.count import Count
from buurtsae.model.outcome.gaussian import Gaussian
from buurtsae.model.outcome.per_measure import PerMeasure, outcome_of
from buurtsae.model.priors import Normal, Prior
from buurtsae.model.terms.base import Term
from buurtsae.model.trend import Trend
from buurtsae.notes import Note
from buurtsae.ranges import check_ranges

Estimand = Literal["expected", "realised"]
Smooth = Literal["none", "auto"]


@dataclass(frozen=True, repr=False)
class AreaModel:
    """A multivariate spatial Fay-Herriot model.

    Parameters
    ----------
    formula : str
        Right-hand side of the linear part, as in R (formulaic): ``"1 + stedelijkheid + pct_koopwoningen"``.
        Numeric covariates are standardised over inhabited buurten.
    terms : sequence of Term
        Random effects, such as `BYM2` and `IID`; of one kind there may be several that data can tell apart, each with a
        name of its own.
    intercept, coefficient : Normal
        Priors: of the mean score, Normal(5, 2) by default and wide on the link's scale for counts, and of the effect of
        one standard deviation of a covariate.
    link, participatory : Link
        Priors of alpha, lambda and tau of surveys other than the reference, and of participatory sources.
    variances : Prior, optional
        Without it sampling variances are taken as known. With it they are estimated together with the means: the prior
        of kappa, the standard deviation of log variances within buurten, per source and sub-dimension.
    covariates : sequence of Covariate
        What is to be known about covariates of the formula: source, transformation, whether they are sensitive.
    missing : {"refuse", "impute"}
        What to do with a covariate that is missing in an inhabited area: raise, or predict it from the area's other
        covariates and what lies around it, with the error that this has, and flag the area (a category: fill it in).
    smooth : {"none", "auto"}
        `auto`: each numeric covariate of the formula has a smooth term, `Spline`, where there are enough areas with
        respondents, 200.
    outcome : Outcome
        What is modelled, with its scale: normal by default, on the scale of the data.
    trend : Trend, "auto" or None
        What years know of each other's intercept and coefficients, where there are several: a random walk; nothing
        (None). `auto`: a random walk where a term is over time, `OverTime`, else nothing.
    breaks : sequence of Break
        Years from which a source reads its measures higher or lower, where there are several years.
    estimand : {"expected", "realised"}
        The expected score of residents, what the area is like; or the mean of the residents who live there, which
        differs from it by chance in small areas (`buurtsae.model.realised`).

    Raises
    ------
    ModelError
        On what is no term, terms of the same name, a prior or an outcome of another kind, or an unknown `missing`,
        `estimand` or `smooth`.

    Examples
    --------
    >>> from buurtsae import IID
    >>> model = AreaModel("1 + pct_koopwoningen", terms=[IID("buurt"), IID("gemeente")])
    >>> model
    AreaModel("1 + pct_koopwoningen", terms: buurt, gemeente)
    >>> print(model)
    Area-level model (multivariate Fay-Herriot)
    ...
    """

    formula: str = "1"
    terms: tuple[Term, ...] = ()
    intercept: Normal = None  # type: ignore[assignment]  # that of the outcome
    coefficient: Normal = Normal(0.0, 1.0)
    link: Link = SURVEY
    participatory: Link = PARTICIPATORY
    variances: Annotated[Prior, Interval(ge=0)] | None = None
    covariates: tuple[Covariate, ...] = ()
    missing: Missing = "refuse"
    outcome: Outcome = Gaussian()
    estimand: Estimand = "expected"
    smooth: Smooth = "none"
    trend: Trend | Literal["auto"] | None = "auto"
    breaks: tuple[Break, ...] = ()

    def __post_init__(self) -> None:
        if hasattr(self.terms, "on"):
            raise ModelError("the terms are no list", repr(self.terms), "a list of terms", "write [ ] around it")
        for name in ("terms", "covariates", "breaks"):
            if not isinstance(value := getattr(self, name), list | tuple):
                hint = "write it in brackets, with a comma"
                raise ModelError(f"`{name}` is no sequence", cut(repr(value)), f"a list of {name}", hint)
            object.__setattr__(self, name, tuple(value))  # lists are welcome, and frozen here
        if self.intercept is None:
            object.__setattr__(self, "intercept", getattr(self.outcome, "intercept", Gaussian.intercept))
        if unknown := [cut(repr(term)) for term in self.terms if isinstance(term, type) or not hasattr(term, "on")]:
            hint = "give its arguments, as in IID('gemeente') or BYM2(graph)"
            raise ModelError("a term is unknown", ", ".join(unknown), "a term, such as BYM2 or IID", hint)
        check_ranges(self, "model:")
        if not (self.trend is None or self.trend == "auto" or isinstance(self.trend, Trend)):
            got, hint = cut(repr(self.trend)), "Trend() is a random walk"
            raise ModelError("`trend` is unknown", got, 'a Trend, "auto" or None', hint)
        trend = self.over_years
        names = [*(name for name, _ in (trend.parameters if trend else ())), *(term.name for term in self.terms)]
        if len(set(names)) < len(names):
            raise ModelError(
                "terms have the same name", ", ".join(names), "a name each", "leave one out, or give it another `name`"
            )
        choices = {"missing": Missing, "estimand": Estimand, "smooth": Smooth}
        for name, known in ((name, get_args(kind)) for name, kind in choices.items()):
            if (value := getattr(self, name)) not in known:
                raise ModelError(f"`{name}` is unknown", cut(repr(value)), " or ".join(known), "choose one")

    @property
    def over_years(self) -> Trend | None:
        """What years know of each other's intercept and coefficients; None where that is nothing."""
        if isinstance(self.trend, Trend) or self.trend is None:
            return self.trend
        return Trend() if any(term.lasting for term in self.terms) else None

    def intercept_of(self, measure: str) -> Normal:
        """Return the prior of the intercept of a measure: of shares and counts beside scores, that of their outcome."""
        outcome = outcome_of(self.outcome, measure)
        own = isinstance(self.outcome, PerMeasure) and isinstance(outcome, Count)
        return outcome.intercept if own else self.intercept

    @property
    def counts(self) -> tuple[str, ...]:
        """Measures of its outcome, where it has one for each, that are counted."""
        each = self.outcome.outcomes if isinstance(self.outcome, PerMeasure) else {}
        return tuple(name for name, outcome in each.items() if isinstance(outcome, Count))

    @property
    def graph(self) -> Graph | None:
        """The graph of its first spatial term, if there is one."""
        return next((term.neighbours for term in self.terms if term.neighbours), None)

    def _repr_html_(self) -> str:
        """A notebook's view: the model in words."""
        return f"<pre>{escape(str(self))}</pre>"

    def __repr__(self) -> str:
        return f'AreaModel("{cut(self.formula)}", terms: {shown(term.name for term in self.terms) or "none"})'

    def __str__(self) -> str:
        return str(self.words)

    @property
    def words(self) -> Note:
        """The model in words and symbols, in English and in Dutch."""
        realised = self.estimand == "realised"
        parts = ["x[a]' beta[d]", *(term.symbol for term in self.terms), *(["r[a,d]"] if realised else [])]
        symbols = " + ".join(parts)
        counted, trend = isinstance(self.outcome, Count), self.over_years
        lines = [
            *(_COUNTS if counted else self._seen()),
            Note(
                "  eta[a,d] = {symbols}   {what}",
                "  eta[a,d] = {symbols}   {what}",
                symbols=symbols,
                what=Note("on the scale of the link", "op de schaal van de link")
                if counted
                else Note("mean of the residents", "gemiddelde van de bewoners")
                if realised
                else Note("score of the residents", "score van de bewoners"),
            ),
            *([_REALISED] if realised else []),
            self.outcome.words,
            in_formula(self.formula),
            *([_CURVES] if self.smooth == "auto" else []),
            *([trend.words] if trend else [_FREE] if any(term.lasting for term in self.terms) else []),
            *(
                Note("  {name}: {about}", "  {name}: {about}", name=covariate.name, about=_described(covariate))
                for covariate in self.covariates
            ),
            Note("Terms", "Effecten"),
            *(term.words for term in self.terms),
            Note("Priors", "Priors (wat vooraf is aangenomen)"),
            _prior("intercept", self.intercept),
            *(
                Note(
                    "  {name:16} {prior} of {measure}",
                    "  {name:16} {prior} van {measure}",
                    name="",
                    prior=self.intercept_of(measure),
                    measure=measure,
                )
                for measure in self.counts
            ),
            Note(
                "  beta             {prior} per standard deviation",
                "  beta             {prior} per standaardafwijking",
                prior=self.coefficient,
            ),
            *(
                _prior(f"{name}.{parameter.name}", parameter.prior.words)
                for name, parameters in (trend.parameters if trend else ())
                for parameter in parameters
            ),
            *(
                _prior(f"{term.name}.{parameter.name}", parameter.prior.words)
                for term in self.terms
                for parameter in term.parameters
            ),
            *(
                Note(
                    "  {name:16} {survey}, participatory {other}; {fixed} for the reference source of a measure",
                    "  {name:16} {survey}, participatief {other}; {fixed} voor de referentiebron van een maat",
                    name=name,
                    survey=getattr(self.link, of),
                    other=getattr(self.participatory, of),
                    fixed=fixed,
                )
                for name, of, fixed in (("alpha", "offset", 0), ("lambda", "slope", 1), ("tau", "extra", 0))
                if not counted
            ),
            *([_prior("kappa", self.variances)] if self.variances else []),
            *(one.words for one in self.breaks),
            missing(self.missing),
        ]
        return Note.joined(lines, "\n")

    def _seen(self) -> list[Note]:
        """What direct estimates say about the scores."""
        return [
            Note(
                "Area-level model (multivariate Fay-Herriot)",
                "Gebiedsmodel (multivariaat Fay-Herriot)",
            ),
            Note("{formula}   direct estimate of source s", "{formula}   directe schatting van bron s", formula=_SEEN),
            Note(
                "  e ~ N(0, V[s,a]), w ~ N(0, 1); V {how}",
                "  e ~ N(0, V[s,a]), w ~ N(0, 1); V {how}",
                how=Note("as given", "zoals gegeven") if self.variances is None else _JOINT,
            ),
        ]


def in_formula(formula: str) -> Note:
    """Return the line of the covariates."""
    return Note(
        "  x: {formula}; numeric covariates per standard deviation",
        "  x: {formula}; numerieke kenmerken per standaardafwijking",
        formula=formula,
    )


def missing(what: Missing) -> Note:
    """Return the line on missing covariates."""
    done = {
        "refuse": Note("refused", "geweigerd"),
        "impute": Note("predicted, with their error, and flagged", "voorspeld, met hun fout, en gemeld"),
    }
    return Note("Missing covariates: {done}", "Ontbrekende kenmerken: {done}", done=done[what])


def _described(c: Covariate) -> Note:
    flags = {"modelled": Note("modelled", "zelf gemodelleerd"), "sensitive": Note("sensitive", "gevoelig")}
    absent = Note("missing: {what}", "ontbrekend: {what}", what=_MISSING[c.missing]) if c.missing else None
    parts = [Note(text, text) for text in (c.transform if c.transform != "none" else "", c.source) if text]
    parts += [*([absent] if absent else []), *(note for name, note in flags.items() if getattr(c, name))]
    return Note.joined(parts, ", ") if parts else Note("as it is", "zoals het is")


_CURVES = Note(
    "  each numeric covariate with a smooth effect besides, from 200 areas with respondents on",
    "  elk numeriek kenmerk met daarnaast een vloeiend effect, vanaf 200 gebieden met respondenten",
)
_FREE = Note(
    "  over years: an intercept and coefficients of its own for each",
    "  over de jaren: elk een eigen intercept en eigen coëfficiënten",
)
_COUNTS = [Note("Area-level model of counts", "Gebiedsmodel van aantallen")]
_SEEN = "  y[s,a] = c + alpha[s] + lambda[s] * (eta[a] - c) + tau[s] w[s,a] + e"
_MISSING = {"refuse": Note("refuse", "weigeren"), "impute": Note("impute", "vervangen")}
_JOINT = Note(
    "times exp(h), h ~ N(-kappa^2/2, kappa^2), with the variance within the area ~ chi^2",
    "maal exp(h), h ~ N(-kappa^2/2, kappa^2), met de variantie binnen het gebied ~ chi^2",
)


_REALISED = Note(
    "  r[a] ~ N(0, S / N[a]): N residents, S their covariance within areas; V times 1 - n[a] / N[a]",
    "  r[a] ~ N(0, S / N[a]): N bewoners, S hun covariantie binnen gebieden; V maal 1 - n[a] / N[a]",
)


def _prior(name: str, prior: object) -> Note:
    return Note("  {name:16} {prior}", "  {name:16} {prior}", name=name, prior=prior)
