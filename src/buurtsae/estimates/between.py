r"""Groups of residents compared within an area, from the same draws: 65 and over beside all others, say.

With m_g the figure of group g of an area (a mean over its residents), the difference m_1 - m_2 is taken per draw, so
that what both share, the effect of the area above all, cancels; of areas above, m_gG = sum_a N_ga m_ga / N_gG first.

A difference of two published figures tells no more than they do. Where one of them is hidden it would give it away, so
it is hidden too: by the rules, and by what protects hidden figures of the two groups and the rest of the residents
beside those of all (`disclosure.domains`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from buurtsae.areas.areas import Areas
from buurtsae.engines.unit import UnitFit
from buurtsae.errors import DataError, ModelError, Problems, check_kinds, cut, shown
from buurtsae.estimates.disclosure.domains import BETWEEN, Domains, across
from buurtsae.estimates.disclosure.suppression import Key
from buurtsae.estimates.groups import Groups
from buurtsae.estimates.labels import Rules
from buurtsae.estimates.summary import Estimates, estimate, level_draws
from buurtsae.model.persons.tables import Domain
from buurtsae.sparse import Floats
from buurtsae.survey.cells import Cells

LEAST = 1e-6  # residents: fewer are none, but for rounding
FIGURES = ["estimate", "sd", "lower", "upper", "p_above"]
PLACE = ["level", "area_code"]


def between(
    fit: UnitFit,
    first: Domain,
    second: Domain | None = None,
    figure: str | None = None,
    *,
    rules: Rules | None = None,
    beside: Domains | Groups | None = None,
) -> pd.DataFrame:
    """Compare two groups of residents within each area, and each area above.

    Parameters
    ----------
    fit : UnitFit
    first : mapping of characteristic to levels
    second : mapping of characteristic to levels, optional
        By default all others; `first` is then of one characteristic.
    figure : str, optional
        As of `UnitFit.fit_of`.
    rules : Rules, optional
        By which figures of groups are published.
    beside : Domains or Groups, optional
        What is published of other groups, by `across` or of a run: where one of these is hidden there is no comparison.

    Returns
    -------
    DataFrame, a row per level and area where both groups live
        `level`, `area_code`, `area_name`; `estimate`, `sd`, `lower`, `upper` (95%) of the figure of the first less that
        of the second, and `p_above`, the probability that it is above 0; `n_first` and `n_second`, respondents; and
        `hidden`: figures are then missing.

    Raises
    ------
    DataError or ProblemsError
        If groups have unknown characteristics or levels, overlap, or have no residents or respondents; or nothing else
        can protect a figure that is hidden.
    ModelError
        If this is no fit of persons.

    Examples
    --------
    >>> import pandas as pd
    >>> import buurtsae as bs
    >>> areas = bs.Areas.from_frame(pd.DataFrame({"code": [1, 2, 3], "population": [60, 60, 60]}), code="code")
    >>> table = pd.DataFrame({"code": [1, 1, 2, 2, 3, 3], "age": ["18-64", "65+"] * 3, "aantal": 30, "n": 9})
    >>> cells = bs.Cells.from_frame(table, areas, area="code", characteristics={"age": ["18-64", "65+"]})
    >>> table["share"] = [0.2, 0.5, 0.3, 0.4, 0.1, 0.6]
    >>> answers = bs.Answers.of(table, "share", cells, area="code", number="n")
    >>> model = bs.UnitModel(terms=[bs.IID("area")], persons=[bs.Factor("age")])
    >>> fit = bs.fit_persons(model, answers, cells, draws=100, hyperparameters=50, progress=False)
    >>> old = bs.between(fit, {"age": ["65+"]})
    >>> bool((old["p_above"] > 0.5).all()), old["n_first"].tolist()
    (True, [9, 9, 9, 27])
    """
    if not isinstance(fit, UnitFit):
        hint = "compare areas with `contrast`; groups are of a model of persons, by fit_persons"
        raise ModelError("groups are not known of this fit", cut(repr(fit)), "a UnitFit", hint)
    check_kinds(first=(first, Mapping), second=(second, (Mapping, type(None))), rules=(rules, (Rules, type(None))),
                beside=(beside, (Domains, Groups, type(None))))  # fmt: skip
    cells = fit.populations[0]
    second = _others(cells, first) if second is None else second
    rest = _rest(cells, first, second)
    rules = rules or Rules()
    whole, *groups = (estimate(fit.fit_of(domain, figure), rules=rules) for domain in (None, first, second))
    hidden = _hidden(whole, groups[0], groups[1], rest, rules)
    if beside is not None:
        hidden |= _hidden_in(beside) if isinstance(beside, Domains) else _secret(beside.table)
    one, two = (_drawn(est) for est in groups)
    rows = [_compared(level, one[level], two[level]) for level in whole.areas.levels if level in one and level in two]
    table = pd.concat(rows, ignore_index=True)
    keys = pd.MultiIndex.from_frame(table[PLACE])
    names = whole.table.set_index(PLACE)["area_name"]
    asked = (est.table.set_index(PLACE)["n_respondents"].reindex(keys).to_numpy() for est in groups)
    table = table.assign(
        area_name=names.reindex(keys).to_numpy(), **dict(zip(("n_first", "n_second"), asked, strict=True))
    )
    table["hidden"] = [key in hidden for key in keys]
    table[FIGURES] = table[FIGURES].mask(table["hidden"])
    return table[[*PLACE, "area_name", *FIGURES, "n_first", "n_second", "hidden"]]


def _others(cells: Cells, first: Domain) -> dict[str, list[str]]:
    """The residents who are not of a group of one characteristic."""
    cells.inside(first)  # names what there is not
    if len(first) != 1:
        hint = "give `second`, or make one characteristic of these"
        got = shown(first) or "none"
        raise DataError("all others are those of one characteristic", got, "one characteristic in `first`", hint)
    ((name, levels),) = first.items()
    named = {levels} if isinstance(levels, str) else set(levels)
    others = [level for level in cells.characteristics[name] if level not in named]
    if not others:
        raise DataError("there are no others", f"all levels of {name}", "fewer levels", "leave one out")
    return {name: others}


def _rest(cells: Cells, first: Domain, second: Domain) -> bool:
    """Whether some residents are in neither group; raise where some are in both."""
    problems = Problems()
    one, two = (problems.attempt(cells.inside, domain) for domain in (first, second))
    problems.raise_if_any()
    assert one is not None
    assert two is not None
    if n := float(cells.count[one & two].sum()):
        hint = "name levels that differ"
        raise DataError("the groups overlap", f"{n:,.0f} residents are in both", "groups apart", hint)
    return bool(cells.count[~one & ~two].sum() > 0)


def _drawn(est: Estimates) -> dict[str, tuple[list[str], Floats]]:
    """Codes and draws of each level, of areas where somebody of the group lives."""
    return {level: (codes, values) for _, level, codes, values in level_draws(est.fit, est.concept)}


def _compared(level: str, one: tuple[list[str], Floats], two: tuple[list[str], Floats]) -> pd.DataFrame:
    """Differences of the areas that both have."""
    codes = [code for code in one[0] if code in set(two[0])]
    x, y = (values[:, pd.Index(of).get_indexer(codes)] for of, values in (one, two))
    lower, upper = np.quantile(x - y, [0.025, 0.975], axis=0)
    above = (x > y).mean(axis=0) + 0.5 * (x == y).mean(axis=0)
    figures = (x - y).mean(axis=0), (x - y).std(axis=0, ddof=1), lower, upper, above
    return pd.DataFrame({"level": level, "area_code": codes, **dict(zip(FIGURES, figures, strict=True))})


def _hidden(whole: Estimates, one: Estimates, two: Estimates, rest: bool, rules: Rules) -> frozenset[Key]:
    """Areas where a figure of either group is hidden, beside that of all residents and of who is in neither.

    The last part is what is left of all residents, so that parts add up whatever rounding did.
    """
    parts = {"first": one, "second": two} if rest else {"first": one}
    tables = {"all": whole.table, **{name: est.table for name, est in parts.items()}}
    of = {"all": whole.areas, **{name: est.areas for name, est in parts.items()}}
    residents = pd.DataFrame({name: _at_levels(part) for name, part in of.items()})
    sums = residents * pd.DataFrame({name: table.set_index(PLACE)["estimate"] for name, table in tables.items()})
    left, total = (each["all"] - each.drop(columns="all").sum(axis=1) for each in (residents, sums))
    kept = left.reindex(pd.MultiIndex.from_frame(whole.table[PLACE])).to_numpy() > LEAST
    last = whole.table[kept].assign(label="betrouwbaar", reason=None)
    keys = pd.MultiIndex.from_frame(last[PLACE])
    last["estimate"] = (total / left).reindex(keys).to_numpy()
    base = whole.areas.codes
    people = left.reindex(pd.MultiIndex.from_product([[whole.areas.base], base])).fillna(0.0).to_numpy()
    areas = replace(whole.areas, frame=whole.areas.frame.assign(population=np.where(people > LEAST, people, 0.0)))
    tables["rest"], of["rest"] = last, areas
    scale = whole.concept.scale_of(whole.measures[0])
    found = across(tables, whole.areas, "all", scale, rules, of=of)
    return _hidden_in(found).union(*(_secret(est.table) for est in (whole, one, two)))


def _secret(table: pd.DataFrame) -> frozenset[Key]:
    """Areas with a row that is not published."""
    rows = table.loc[table["label"] == "niet_publiceren", PLACE]
    return frozenset((level, str(code)) for level, code in rows.itertuples(index=False))


def _at_levels(areas: Areas) -> pd.Series:
    """Residents of the areas of every level, by level and code."""
    return pd.concat({level: areas.residents(level) for level in areas.levels}, names=PLACE)


def _hidden_in(domains: Domains) -> frozenset[Key]:
    """Areas in which a figure of one of some groups is hidden."""
    return frozenset((level, named.partition(BETWEEN)[0]) for level, named in domains.hidden.keys)
