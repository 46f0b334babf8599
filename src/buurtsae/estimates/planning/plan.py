"""Sample planning: how many more respondents, and where, bring a share of the buurten to the label `betrouwbaar`.

Buurten that need fewest respondents come first, in steps after which all posterior variances are exact again, so that
what neighbours gain counts; what that makes unnecessary is taken off. The mathematics is in `preposterior`, and of what
respondents tell in `of_areas` (scores, shares, numbers) and `of_persons`: it says how precise figures are expected to
become, given the fitted model, and nothing about what they will be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from buurtsae.engines.base import Fit
from buurtsae.errors import DataError, Problems, cut, shown
from buurtsae.estimates.labels import WIDEST, Rules
from buurtsae.estimates.measured import measured
from buurtsae.estimates.planning.preposterior import Preposterior, allocate, needed
from buurtsae.figures import dutch
from buurtsae.survey.concept import Concept
from buurtsae.survey.direct import DirectEstimates


@dataclass(frozen=True)
class Plan:
    """How many more respondents, where, and what to expect of them.

    Attributes
    ----------
    table : DataFrame
        Buurten with residents: `area_code`, `area_name`, `population`, `n_respondents` (now, all sources), `extra`,
        `reliability`, `reliability_expected`, `label`, `label_expected`. Over several measures each is that of the
        worst, and a buurt is `betrouwbaar` when all its measures are.
    curve : DataFrame
        `budget` (extra respondents) and `share`, the expected share of buurten that are `betrouwbaar`: each is exact.
    budget : int
    target : float
        Share of the buurten with enough residents to publish about.
    needed : int or None
        Respondents that suffice for the target, an upper bound where the budget does not; None if no number does.
    measures : tuple of str
    source : str
        Whose respondents they are.
    deff : float
    concept : Concept
    spread : bool
        Of a model of persons: extra respondents of a buurt are spread over characteristics as its residents are.
    """

    table: pd.DataFrame
    curve: pd.DataFrame
    budget: int
    target: float
    needed: int | None
    measures: tuple[str, ...]
    source: str
    deff: float
    concept: Concept
    spread: bool = False

    @property
    def extra(self) -> int:
        """Extra respondents in all."""
        return int(self.table["extra"].sum())

    @property
    def share(self) -> float:
        """Share of the buurten that are `betrouwbaar` now."""
        return float(self.curve["share"].iloc[0])

    @property
    def share_expected(self) -> float:
        """Expected share with the extra respondents."""
        return float(self.curve["share"].iloc[-1])

    @property
    def reached(self) -> bool:
        """Whether the target is expected to be reached within the budget."""
        return self.share_expected >= self.target - 1e-9

    @property
    def text(self) -> str:
        """What it says, in Dutch."""
        chosen = self.table[self.table["extra"] > 0]
        n = len(self.measures)
        names = f"elk van de {n} maten" if n > 1 else self.concept.nodes[self.measures[0]].nl
        now, expected, target = (dutch(100 * share) for share in (self.share, self.share_expected, self.target))
        lines = [
            f"{dutch(self.extra, 0)} extra respondenten van {self.source} in {dutch(len(chosen), 0)} buurten "
            f"(budget {dutch(self.budget, 0)}).",
            f"Betrouwbaar voor {names}: nu {now}% van de buurten, naar verwachting {expected}%; het doel is {target}%.",
        ]
        if self.reached:
            lines.append("Het doel wordt naar verwachting bereikt.")
        elif self.needed is None:
            lines.append("Het doel is met extra respondenten alleen niet te bereiken, hoe groot het budget ook is.")
        else:
            lines.append(f"Het doel wordt niet bereikt; daarvoor zijn {dutch(self.needed, 0)} respondenten nodig.")
        figures = "scores" if {self.concept.outcome_of(name) for name in self.measures} == {"score"} else "cijfers"
        lines.append(
            f"Dit is een verwachting onder het geschatte model: hoe nauwkeurig de {figures} worden, niet hoe hoog. "
            f"Ontwerpeffect {dutch(self.deff, 2)}; iedereen antwoordt zo volledig als tot nu toe"
            f"{', en wie erbij komt is van elk kenmerk zoals de bewoners van zijn buurt' if self.spread else ''}."
        )
        most = chosen.nlargest(10, "extra")
        lines += [f"  {row.area_code} {row.area_name}: {dutch(row.extra, 0)} erbij" for row in most.itertuples()]
        lines += [f"  en {dutch(len(chosen) - len(most), 0)} andere buurten"] if len(chosen) > len(most) else []
        return "\n".join(lines)

    def __repr__(self) -> str:
        done = f"{self.extra} of {self.budget} extra respondents of {self.source}"
        return f"Plan: {done}; reliable {self.share:.1%}, expected {self.share_expected:.1%}, target {self.target:.1%}"


def plan(
    fit: Fit,
    *,
    budget: int,
    target: float = 0.9,
    rules: Rules | None = None,
    concept: Concept | None = None,
    measure: str | Sequence[str] | None = None,
    max_per_area: float = 0.1,
    deff: float = 1.0,
    source: str | None = None,
) -> Plan:
    """Return where extra respondents bring a share of the buurten to the label `betrouwbaar`.

    Parameters
    ----------
    fit : Fit
        With respondents: of a table of estimates it is not known what one more would tell. Of scores, shares and
        numbers of areas; or figures of a model of persons, `fit_of()`, of all residents.
    budget : int
        Extra respondents at most.
    target : float
        Share of the buurten with enough residents to publish about.
    rules : Rules, optional
        When a figure is `betrouwbaar`.
    concept : Concept, optional
    measure : str or sequence of str, optional
        A buurt counts when all of these are `betrouwbaar`; by default all measures.
    max_per_area : float
        Share of the residents of a buurt that may answer, respondents of the source up to now included.
    deff : float
        Design effect of the extra sample: respondents per effective respondent. What weights and clusters take off.
    source : str, optional
        Whose questions they answer; by default the survey per buurt that informs most sub-dimensions of the measures.

    Returns
    -------
    Plan

    Raises
    ------
    DataError or ProblemsError
        All at once: a budget, target, share or design effect that is impossible, an unknown measure or source, a
        source that is known per wijk, estimates without respondents, figures of some residents, overdispersion; or
        rules by which no buurt is published.
    ModelError
        If areas and levels of persons are too many for memory.

    Examples
    --------
    >>> from buurtsae.runs.example import voorbeeldstad
    >>> plan(voorbeeldstad().fit, budget=200)
    Plan: ... of 200 extra respondents of veiligheidsmonitor; reliable ...%, expected 90...%, target 90.0%
    """
    rules, concept = rules or Rules(), measured(fit, concept)
    weights = concept.matrix_of(fit.draws.subdimensions)
    measures = [measure] if isinstance(measure, str) else list(weights.index if measure is None else measure)
    problems = Problems()
    problems.attempt(
        check_plan, fit.direct, budget=budget, target=target, rules=rules, concept=concept, measure=measures,
        max_per_area=max_per_area, deff=deff, source=source, persons=bool(fit.persons),
    )  # fmt: skip
    if fit.of_domain:
        what, hint = "a plan is of all residents", "take the figures of all: fit_of() without a domain"
        problems.add(what, "figures of some residents", "of all", hint)
    if varying := [fit.design.columns[w] for w in fit.design.overdispersion]:
        what, hint = "a plan does not know overdispersion", "leave it out: `IID` of areas says nearly the same"
        problems.add(what, shown(varying), "shares without", hint)
    problems.raise_if_any()
    s = _source(fit, weights.loc[measures].to_numpy() > 0, source)
    p = Preposterior.of(fit, concept, weights.loc[measures], s, rules, max_per_area, deff)
    if (n := int(p.publishable.sum())) == 0:
        what, least = "no buurt may be published, however many answer", f"min_residents = {rules.min_residents}"
        raise DataError(what, least, "buurten with as many residents", "lower `min_residents`")
    goal = int(np.ceil(target * n - 1e-9))
    path = allocate(p, goal, budget)
    last = path[-1]
    table = pd.DataFrame(
        {
            "area_code": fit.areas.codes,
            "area_name": fit.areas.frame["name"].to_numpy(),
            "population": fit.areas.population.astype("int64"),
            "n_respondents": p.respondents.min(axis=1),
            "extra": last.m,
            "reliability": p.reliability(p.now.covariance, p.now.m).min(axis=1),
            "reliability_expected": p.reliability(last.covariance, last.m).min(axis=1),
            "label": p.labels(p.now),
            "label_expected": p.labels(last),
        }
    )
    table = table[fit.areas.inhabited].reset_index(drop=True)
    curve = pd.DataFrame([state.point for state in path], columns=["budget", "share"])
    curve["share"] /= n
    most, name = needed(p, last, goal), fit.direct.labels[s]
    return Plan(table, curve, budget, target, most, tuple(measures), name, deff, concept, bool(fit.persons))


def check_plan(
    direct: DirectEstimates,
    *,
    budget: int,
    target: float = 0.9,
    rules: Rules | None = None,
    concept: Concept | None = None,
    measure: str | Sequence[str] | None = None,
    max_per_area: float = 0.1,
    deff: float = 1.0,
    source: str | None = None,
    persons: bool = False,
) -> None:
    """Refuse what `plan` cannot do, before there is a fit: the same options, and the same errors.

    `persons` says that the model is of persons.
    """
    problems, rules, concept = Problems(), rules or Rules(), concept or Concept.of(direct.subdimensions)
    known = list(concept.matrix_of(direct.subdimensions).index)
    measures = [measure] if isinstance(measure, str) else list(known if measure is None else measure)
    if rules.max_width < WIDEST or rules.min_own_share > 0:
        what = "a plan does not know rules about width or own-data share"
        thresholds = f"max_width = {rules.max_width:g}, min_own_share = {rules.min_own_share:g}"
        expected = "rules about residents, respondents and reliability"
        problems.add(what, thresholds, expected, "ask for the reliability that such a width needs")
    if not (isinstance(budget, int | np.integer) and 0 < budget <= 10**9):
        problems.add("the budget is impossible", cut(budget), "a whole number of respondents above 0", "correct it")
    for what, value in (("target", target), ("share of residents that may answer", max_per_area)):
        if not 0 < value <= 1:
            problems.add(f"the {what} is impossible", repr(value), "above 0, at most 1", "give a share")
    if not 0.01 <= deff <= 100:
        expected = "0.01 to 100; 1 for a simple random sample"
        problems.add("the design effect is impossible", repr(deff), expected, "correct it")
    if unknown := [name for name in measures if name not in known] or ([] if measures else ["no measure"]):
        problems.add("there is no such measure", shown(unknown), shown(known, 10), "choose among these")
    if not direct.scores and not persons:  # a model of persons knows what one answers
        what, expected = "planning needs the covariance of a respondent's scores", "respondents and their scores"
        problems.add(what, "a table of estimates, without respondents", expected, "start from [[sources]]")
    levels = {label: origin.level for label, origin in zip(direct.labels, direct.sources, strict=True)}
    if source is not None and source not in levels:
        problems.add("there is no such source", cut(repr(source)), shown(levels), "choose one of these")
    elif direct.areas.base not in ({levels[source]} if source else set(levels.values())):
        what = source or shown(levels)
        problems.add("extra respondents have no buurt", f"{what} per wijk", "a source per buurt", "name another source")
    problems.raise_if_any()


def _source(fit: Fit, parts: NDArray[np.bool_], source: str | None) -> int:
    """Position of the source: as named, or of a survey, then of most sub-dimensions that are asked for."""
    sources = fit.direct.sources
    if source is not None:
        return fit.direct.labels.index(source)

    def rank(position: int) -> tuple[bool, bool, int, int]:
        estimates = sources[position]
        asked = int((estimates.informs & parts.any(axis=0)).sum())
        return estimates.level == fit.areas.base, estimates.kind == "survey", asked, -position

    return max(range(len(sources)), key=rank)
