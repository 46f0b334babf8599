r"""The model of persons, as the user states it; nothing here has seen data.

    answers of cell c of area a ~ outcome(eta_c),    eta_c = x_a' beta + sum of area terms(a) + sum_k f_k(level of c)

Figures of an area are means over its residents: sum_c N_ac h(eta_c) / sum_c N_ac over the cells of the population, so
that whom the survey reached more often counts no more than he does among the residents. That needs every variable on
which response depends among the terms of persons, or of areas.

References
----------
Gelman, A. and Little, T. (1997). Poststratification into many categories using hierarchical logistic regression. Survey
Methodology 23. Park, D., Gelman, A. and Bafumi, J. (2004). Bayesian multilevel estimation with poststratification.
Political Analysis 12.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from buurtsae.errors import ModelError, cut, shown
from buurtsae.model.covariates import Covariate, Missing
from buurtsae.model.outcome.binomial import Binomial
from buurtsae.model.persons.answer import Answering, answering
from buurtsae.model.persons.terms import PersonTerm
from buurtsae.model.priors import Normal
from buurtsae.model.spec import AreaModel, Estimand, in_formula, missing
from buurtsae.model.terms.base import Term
from buurtsae.notes import Note


@dataclass(frozen=True, repr=False)
class UnitModel:
    """A multilevel model of persons, for poststratification.

    Parameters
    ----------
    formula : str
        The linear part of the area, as in `AreaModel`.
    terms : sequence of Term
        Random effects of areas, such as `BYM2` and `IID`.
    persons : sequence of PersonTerm
        Effects of characteristics of persons: `Factor`, `Ordered`, `Fixed`, `Smooth`, `Linear`,
        `Cluster`.
    outcome : Binomial, Gaussian, Number or Ladder
        Yes or no; a number; ordered categories.
    intercept, coefficient : Normal
        Priors, as in `AreaModel`.
    covariates, missing
        As in `AreaModel`.
    estimand : {"expected", "realised"}
        The expected answer of residents; or the mean of those who live there: respondents as they answered, the others
        with the chance in their answers.

    Raises
    ------
    ModelError
        On terms that are none or have the same name, or what `AreaModel` refuses.

    Examples
    --------
    >>> from buurtsae import IID, Factor, Ordered, UnitModel
    >>> UnitModel("1", terms=[IID("buurt")], persons=[Ordered("leeftijd"), Factor("herkomst")])
    UnitModel("1", terms: buurt, persons: leeftijd, herkomst)
    """

    formula: str = "1"
    terms: tuple[Term, ...] = ()
    persons: tuple[PersonTerm, ...] = ()
    outcome: object = Binomial()
    intercept: Normal = None  # type: ignore[assignment]  # that of the outcome
    coefficient: Normal = Normal(0.0, 1.0)
    covariates: tuple[Covariate, ...] = ()
    missing: Missing = "refuse"
    estimand: Estimand = "expected"

    def __post_init__(self) -> None:
        if not isinstance(self.persons, list | tuple) or isinstance(self.terms, PersonTerm):
            raise ModelError("the terms are no list", cut(repr(self.persons)), "a list", "write [ ] around it")
        object.__setattr__(self, "persons", tuple(self.persons))
        if unknown := [cut(repr(term)) for term in self.persons if not isinstance(term, PersonTerm)]:
            hint = "terms of areas, such as BYM2 and IID, go into `terms`"
            known = "Factor, Ordered, Fixed, Smooth, Linear or Cluster"
            raise ModelError("a term of persons is unknown", shown(unknown), known, hint)
        if self.intercept is None:
            object.__setattr__(self, "intercept", self.answers.intercept)
        object.__setattr__(self, "terms", self.area.terms)
        object.__setattr__(self, "covariates", self.area.covariates)
        names = [*(term.name for term in self.terms), *(term.name for term in self.persons)]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ModelError("terms have the same name", shown(twice), "a name each", "leave one out")

    @property
    def answers(self) -> Answering:
        """What the outcome is of persons."""
        return answering(self.outcome)

    @property
    def area(self) -> AreaModel:
        """The part of the area, as of a model of shares."""
        return AreaModel(
            self.formula, self.terms, self.intercept, self.coefficient, covariates=self.covariates,
            missing=self.missing, outcome=Binomial(effective=True), estimand="expected",
        )  # fmt: skip

    def __repr__(self) -> str:
        areas, persons = (shown(term.name for term in part) or "none" for part in (self.terms, self.persons))
        return f'UnitModel("{cut(self.formula)}", terms: {areas}, persons: {persons})'

    def _repr_html_(self) -> str:
        """A notebook's view: the model in words."""
        return f"<pre>{escape(str(self))}</pre>"

    def __str__(self) -> str:
        return str(self.words)

    @property
    def words(self) -> Note:
        """The model in words and symbols, in English and in Dutch."""
        of_areas = [term.symbol.replace(",d]", "]").replace("[d]", "") for term in self.terms]
        symbols = " + ".join(["x[a]' beta", *of_areas, *(f"f({term.name})" for term in self.persons)])
        realised = self.estimand == "realised"
        lines = [
            Note("Model of persons in cells, poststratified", "Model van personen in cellen, gepoststratificeerd"),
            self.answers.words,
            Note("  eta[c] = {symbols}", "  eta[c] = {symbols}", symbols=symbols),
            in_formula(self.formula),
            Note("  figures of an area: means over its residents, {how}",
                 "  cijfers van een gebied: gemiddelden over de bewoners, {how}",
                 how=Note("respondents as they answered", "respondenten zoals zij antwoordden") if realised
                 else Note("as expected of each", "zoals van elk verwacht")),
            Note("Terms of areas", "Effecten van gebieden"),
            *(term.alone for term in self.terms),
            Note("Terms of persons", "Effecten van personen"),
            *(term.words for term in self.persons),
            Note("Priors", "Priors (wat vooraf is aangenomen)"),
            Note("  intercept        {prior}", "  intercept        {prior}", prior=self.intercept),
            Note("  beta             {prior} per standard deviation",
                 "  beta             {prior} per standaardafwijking", prior=self.coefficient),
            *(Note("  {name:16} {prior}", "  {name:16} {prior}", name=f"{term.name}.{p.name}", prior=p.prior.words)
              for term in self.terms for p in term.parameters if len(p.dims) < 2),
            missing(self.missing),
        ]  # fmt: skip
        return Note.joined(lines, "\n")
