r"""Rules of thumb: how scores hang together with one covariate, as curves on its own scale.

With X(x) the row of the model matrix at x, the other covariates at their means over residents (categories: the
commonest), x0 the mean of x and A_m the weights of a measure, per draw of the coefficients

    curve_m(x) = sum_d A_md [X(x) - X(x0)] beta_d,   beta (x - x0) / sd for a covariate that enters linearly.

An association between buurten given the model, not an effect. Where the covariate varies with the field, the field
takes part of it or hides it: so beside it the same model with independent buurt effects instead of the field.

References
----------
Hodges, J. and Reich, B. (2010). Adding spatially-correlated errors can mess up the fixed effect you love. The American
Statistician 64.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from buurtsae.drawing.curves import plot_curve
from buurtsae.engines import base
from buurtsae.engines.base import Fit
from buurtsae.errors import ModelError, Problems, shown
from buurtsae.estimates.measured import measured
from buurtsae.estimates.words.axis import Axis
from buurtsae.model.covariates import Provenance, known
from buurtsae.model.terms import IID, OverTime, Term
from buurtsae.notes import SWAPPED
from buurtsae.sparse import Floats
from buurtsae.survey.concept import Concept

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WORDS = (  # least probability that the difference is positive; the outer ones are those of a 95% interval without 0
    (0.975, "vrijwel zeker positief"),
    (0.8, "waarschijnlijk positief"),
    (0.2, "richting onzeker"),
    (0.025, "waarschijnlijk negatief"),
    (0.0, "vrijwel zeker negatief"),
)


@dataclass(frozen=True)
class Curves:
    """The association of one covariate with every measure.

    Attributes
    ----------
    covariate : Provenance
        Name, unit, source and transformation.
    curve : DataFrame
        Per `measure` and `value` of the covariate `difference`, `sd`, `lower` and `upper` (95%), in points from the
        score at `reference`; shares of the buurten and residents with at most this value, `buurten_below` and
        `residents_below` (of a category: with this value, `buurten` and `residents`). With a second fit also
        `difference_without`, `sd_without`, `lower_without`, `upper_without`: without the field.
    table : DataFrame
        Per measure from `low` to `high`, the 10% and 90% points over buurten (of categories: from the commonest to each
        other one): the same figures; `step`, and `per_step`, `per_step_lower`, `per_step_upper` the average difference
        per step in between; `p_positive` and `words`; with a second fit `confounded`: with and without the field the
        differences have opposite signs, one at least beyond doubt (95%), or lie more than 2 sd apart.
    reference : float
        Mean over residents, or the commonest category.
    step : float
        A natural unit; NaN for categories.
    unit : str
        What a step is, in Dutch.
    held : tuple of str
        Covariates that this one interacts with.
    categorical : bool
    buurten : int
        Inhabited buurten with a value.
    concept : Concept
    """

    covariate: Provenance
    curve: pd.DataFrame
    table: pd.DataFrame
    reference: float
    step: float
    unit: str
    held: tuple[str, ...]
    categorical: bool
    buurten: int
    concept: Concept

    @property
    def name(self) -> str:
        """Name of the covariate in Dutch, where a codebook knows it."""
        entry = known(self.covariate.name)
        return entry[1].nl if entry else self.covariate.name

    @property
    def text(self) -> str:
        """What it says, in Dutch."""
        covariate, noun = self.covariate, self.concept.noun.nl
        details = "; ".join(filter(None, [covariate.about, covariate.unit]))
        what = f"{self.name} ({details})" if details else self.name
        lines = [f"Verband van {what} met de {noun}s, over {self.buurten} buurten:"]
        for row in self.table.itertuples():
            digits = self.concept.scale_of(row.measure).digits + 1
            line = (
                f"  {self.concept.nodes[row.measure].nl}: {_number(row.high)} in plaats van {_number(row.low)} hangt "
                f"samen met een {noun} {'die' if noun == 'score' else 'dat'} {_points(row.difference, digits)} is "
                f"({_interval(row.lower, row.upper, digits)})"
            )
            if not self.categorical:
                line += f"; per {self.unit} {_points(row.per_step, digits)}"
            lines.append(f"{line}; {row.words}")
            if getattr(row, "confounded", False):
                lines.append(
                    f"    Let op: zonder de ruimtelijke component {_points(row.difference_without, digits)} "
                    f"({_interval(row.lower_without, row.upper_without, digits)}). Dit verband is niet goed te "
                    "scheiden van de ligging van de buurten."
                )
        if self.held:
            lines.append(f"Dit geldt bij een gemiddelde (of de meest voorkomende) waarde van {', '.join(self.held)}.")
        if covariate.modelled:
            lines.append("Dit kenmerk is zelf met een model geschat: overeenstemming is geen onafhankelijk bewijs.")
        lines.append(
            "Dit zijn verbanden tussen buurten die verder gelijk zijn op de kenmerken in het model. Het zijn geen "
            "gevolgen: ze zeggen niet wat er met de scores gebeurt als dit kenmerk verandert."
        )
        return "\n".join(lines)

    def plot(self, measure: str, ax: Axes | None = None) -> Axes:
        """Draw the curve of a measure with its 95% band, and without the field where that is known."""
        if measure not in set(self.curve["measure"]):
            measures = shown(self.curve["measure"].unique(), 10)
            raise ModelError("there is no such measure", repr(measure), measures, "choose one of these")
        rows = self.curve[self.curve["measure"] == measure]
        label = f"{self.name} ({self.covariate.unit})" if self.covariate.unit else self.name
        return plot_curve(rows, self.concept.nodes[measure].nl, label, categorical=self.categorical, ax=ax)

    def __repr__(self) -> str:
        ends = f"{_number(self.table['low'].iloc[0])} to {_number(self.table['high'].iloc[-1])}"
        return f"Curves of {self.table['measure'].nunique()} measures over {self.covariate.name}, {ends}"


def without_field(fit: Fit, **options: Any) -> Fit:
    """Fit the model again with independent buurt effects instead of the spatial field, and without other groupings.

    Themes of covariates stay.

    What is left over between buurten stays in the model, so that intervals of coefficients stay honest.

    Parameters
    ----------
    fit : Fit
    **options
        Settings of the engine `laplace`.

    Returns
    -------
    Fit

    Raises
    ------
    ModelError
        If the model has no spatial field.

    Examples
    --------
    >>> from buurtsae.runs.example import voorbeeldstad
    >>> alone = without_field(voorbeeldstad().fit, draws=400, hyperparameters=100)
    >>> [type(term).__name__ for term in alone.model.terms]
    ['IID']
    """
    field = next((term for term in fit.model.terms if term.neighbours), None)
    if field is None:
        hint = "there is nothing to leave out"
        raise ModelError("the model has no spatial field", "no spatial term", "one, such as BYM2", hint)
    within = field.term if isinstance(field, OverTime) else field
    alone: Term = IID(fit.areas.base, sd=within.sd, spread=within.spread, correlation=within.correlation)
    alone = field.of_term(alone) if isinstance(field, OverTime) else alone
    model = replace(fit.model, terms=(alone, *(term for term in fit.model.terms if term.theme)))
    return base.fit(model, fit.direct, "laplace", fit.seed, progress=False, **options)


def curves(
    fit: Fit,
    covariate: str,
    *,
    concept: Concept | None = None,
    grid: int = 50,
    without_field: Fit | None = None,
    step: float | None = None,
) -> Curves:
    """Return the association of a covariate with every measure.

    Parameters
    ----------
    fit : Fit
    covariate : str
        A column of the areas that is in the formula; ``C(x)`` in the formula makes it categorical.
    concept : Concept, optional
    grid : int
        Number of values over the observed range.
    without_field : Fit, optional
        The same formula without the spatial field, see the function `without_field`.
    step : float, optional
        Unit of the differences per step; by default 10 percentage points, 100 m, or a round number.

    Returns
    -------
    Curves

    Raises
    ------
    ModelError or ProblemsError
        All at once: a covariate that is not in the formula, or in a smooth term too, fewer than two values, a step
        that is not positive, a second fit with a field, or of another formula, other areas or other sub-dimensions.

    Examples
    --------
    >>> from buurtsae.runs.example import voorbeeldstad
    >>> curves(voorbeeldstad().fit, "pct_65plus")
    Curves of 7 measures over pct_65plus, 11 to 29
    """
    concept = measured(fit, concept)
    _check(fit, covariate, grid, without_field, step)
    axis = Axis.of(fit, covariate, grid)
    weights = concept.matrix_of(fit.draws.subdimensions)
    fits = {"": fit} | ({} if without_field is None else {"_without": without_field})
    ends = pd.DataFrame({"low": axis.low, "high": axis.high})
    curve = pd.concat(dict.fromkeys(weights.index, axis.support), names=["measure"]).reset_index("measure")
    table = pd.concat(dict.fromkeys(weights.index, ends), names=["measure"]).reset_index("measure")
    for suffix, one in fits.items():
        values = one.draws.hyper["beta"][1]
        beta = values.reshape(-1, *values.shape[2:]) @ weights.to_numpy().T  # (draws, P, M)
        curve = curve.assign(**_bands(axis.rows @ beta, suffix))
        table = table.assign(**_bands(axis.contrasts @ beta, suffix))
        if not suffix:
            table["p_positive"] = _long((axis.contrasts @ beta > 0).mean(axis=0))
    table["words"] = [next(word for least, word in WORDS if p >= least) for p in table["p_positive"]]
    size, unit = (np.nan, "") if axis.categorical else _step(axis, step)
    table["step"] = size
    for name, to in (("difference", "per_step"), ("lower", "per_step_lower"), ("upper", "per_step_upper")):
        table[to] = table[name] * size / (table["high"] - table["low"])
    if without_field is not None:
        beyond_doubt = (table["lower"] * table["upper"] > 0) | (table["lower_without"] * table["upper_without"] > 0)
        opposite = table["difference"] * table["difference_without"] < 0
        far = (table["difference"] - table["difference_without"]).abs() > 2 * table["sd"]
        table["confounded"] = (opposite & beyond_doubt) | far
    about = axis.reference, size, unit, axis.held, axis.categorical, axis.buurten
    return Curves(axis.covariate, curve.reset_index(drop=True), table.reset_index(drop=True), *about, concept)


def _bands(values: Floats, suffix: str) -> dict[str, Floats]:
    """Mean, sd and 95% interval of draws (draws, G, M), measures after one another."""
    lower, upper = np.quantile(values, [0.025, 0.975], axis=0)
    parts = {"difference": values.mean(axis=0), "sd": values.std(axis=0, ddof=1), "lower": lower, "upper": upper}
    return {name + suffix: _long(part) for name, part in parts.items()}


def _long(values: Floats) -> Floats:
    return np.asarray(values.T.ravel())


def _check(fit: Fit, covariate: str, grid: int, other: Fit | None, step: float | None) -> None:
    problems, kind, hint = Problems(), ModelError, "use without_field(fit)"
    of_themes = {name: term.name for term in fit.model.terms for name in term.theme}
    names = [entry.name for entry in fit.design.covariates if entry.name not in of_themes]
    if covariate in of_themes:
        what, one = f"{covariate} is of the theme {of_themes[covariate]}", "a covariate of the formula"
        hint_theme = "coefficients of covariates that go together mean little one by one: see what the theme explains"
        problems.add(what, "a shrunk coefficient", one, hint_theme, kind)
    elif covariate not in names:
        what = "the covariate is not in the formula"
        problems.add(what, repr(covariate), shown(names, 30), "choose one of these", kind)
    if fit.design.size is not None:
        what = "a curve of shares or counts is no line on their scale"
        problems.add(what, type(fit.model.outcome).__name__, "scores", "take a fit of the scores alone", kind)
    terms = fit.model.terms  # a curve has what the formula says, which beside a smooth term is a line and no more
    if smooth := [t.name for t in terms if covariate in (getattr(t, k, "") for k in ("covariate", "column"))]:
        what = f"{covariate} has a smooth term besides"
        problems.add(what, shown(smooth), "a covariate of the formula only", "choose another, or leave it out", kind)
    if not (isinstance(grid, int) and grid >= 2):
        problems.add("there are too few values for a curve", repr(grid), "2 or more", "raise `grid`", kind)
    if step is not None and not 0 < step < np.inf:
        problems.add("the step is impossible", repr(step), "above 0", "correct it", kind)
    if other is not None:
        if spatial := [term.name for term in other.model.terms if term.neighbours]:
            problems.add("the second fit has a spatial field", shown(spatial), "no spatial term", hint, kind)
        for what in ("coefficients", "areas", "measures"):
            if getattr(other.design, what) != getattr(fit.design, what):
                problems.add(f"the second fit has other {what}", "others", "the same", hint, kind)
    problems.raise_if_any()


def _step(axis: Axis, step: float | None) -> tuple[float, str]:
    """A natural unit of a covariate: as given, of its unit, or a round number of at most half of what is between."""
    unit, between = axis.covariate.unit, float(axis.high[0] - axis.low[0])
    percent = unit.startswith("%") or axis.covariate.name.startswith("pct_")
    metres = {"km": 0.1, "m": 100.0, "meter": 100.0}.get(unit, np.inf)
    if step is None and between >= metres:
        return metres, "100 m"
    if step is None and percent and between >= 10:
        step = 10.0
    power = 10.0 ** np.floor(np.log10(between / 2))
    size = max(factor * power for factor in (1, 2, 5) if factor * power <= between / 2) if step is None else step
    plain = unit if 0 < len(unit) <= 20 and not unit[0].isdigit() else "eenheid" if size == 1 else "eenheden"
    return size, f"{_number(size)} {'procentpunt' if percent else plain}"


def _number(value: float) -> str:
    """About three significant digits, in Dutch."""
    digits = 0 if value == 0 else int(np.clip(2 - np.floor(np.log10(abs(value))), 0, 6))
    text = f"{value:,.{digits}f}"
    return (text.rstrip("0").rstrip(".") if digits else text).translate(SWAPPED)


def _points(value: float, digits: int) -> str:
    return f"{abs(value):.{digits}f} punt {'hoger' if value >= 0 else 'lager'}".replace(".", ",")


def _interval(lower: float, upper: float, digits: int) -> str:
    return f"95%-interval {lower:+z.{digits}f} tot {upper:+z.{digits}f}".replace(".", ",")
