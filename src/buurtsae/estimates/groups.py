"""Estimates of groups of residents, such as those of an age, by the draws of all; and what of it may be published.

Groups of a characteristic divide the residents of an area, so that a hidden figure of one would follow from the others
and that of all: they are hidden together (`disclosure.domains`), and with them, where it must be, figures of all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import pandas as pd

from buurtsae.engines.units import UnitFits
from buurtsae.estimates.disclosure.domains import BETWEEN, across
from buurtsae.estimates.disclosure.suppression import Key
from buurtsae.estimates.summary import Estimates, estimate, tabulate
from buurtsae.model.persons.tables import Domain
from buurtsae.schemas import ESTIMATES, check_estimates

ALL = "\tall"  # the group of all residents: no level is called so
GROUP = ("characteristic", "group")


@dataclass(frozen=True)
class Groups:
    """Estimates of groups.

    Attributes
    ----------
    whole : Estimates
        Of all residents, with what the groups hide of them hidden too.
    table : DataFrame
        Published rows as those of `Estimates.published`, after `characteristic` and `group`.

    Examples
    --------
    >>> import pandas as pd
    >>> import buurtsae as bs
    >>> areas = bs.Areas.from_frame(pd.DataFrame({"code": [1, 2, 3], "population": [60, 60, 60]}), code="code")
    >>> table = pd.DataFrame({"code": [1, 1, 2, 2, 3, 3], "age": ["18-64", "65+"] * 3, "aantal": 30, "n": 9})
    >>> cells = bs.Cells.from_frame(table, areas, area="code", characteristics={"age": ["18-64", "65+"]})
    >>> table = table.assign(lonely=[0.2, 0.5, 0.3, 0.4, 0.1, 0.6], active=[0.4, 0.3, 0.6, 0.2, 0.7, 0.3])
    >>> names, model = ["lonely", "active"], bs.UnitModel(terms=[bs.IID("area")], persons=[bs.Factor("age")])
    >>> answers = {name: bs.Answers.of(table, name, cells, area="code", number="n") for name in names}
    >>> models = dict.fromkeys(names, model)
    >>> fits = bs.fit_units(models, answers, cells, draws=100, hyperparameters=50, progress=False)
    >>> ages = {"young": {"age": ["18-64"]}, "old": {"age": ["65+"]}}
    >>> groups = bs.estimate_groups(bs.estimate(fits.fit_of()), fits, {"age": ages})
    >>> groups
    Groups of {'age': 2}: 16 figures, 0 hidden
    """

    whole: Estimates
    table: pd.DataFrame

    def __repr__(self) -> str:
        counts = self.table.groupby("characteristic", sort=False)["group"].nunique().to_dict()
        hidden = int((self.table["label"] == "niet_publiceren").sum())
        return f"Groups of {counts}: {len(self.table)} figures, {hidden} hidden"


def estimate_groups(whole: Estimates, fits: UnitFits, domains: Mapping[str, Mapping[str, Domain]]) -> Groups:
    """Estimate groups of residents, and hide what would give others away.

    Parameters
    ----------
    whole : Estimates
        Of `fits.fit_of()`: groups have its concept, rules and year.
    fits : UnitFits
    domains : mapping of characteristic to mapping of group to Domain
        Groups that together are all residents.

    Returns
    -------
    Groups

    Raises
    ------
    DataError
        If groups do not divide the residents, have nobody, or cannot be protected.

    Examples
    --------
    >>> import pandas as pd
    >>> import buurtsae as bs
    >>> areas = bs.Areas.from_frame(pd.DataFrame({"code": [1, 2, 3], "population": [60, 60, 60]}), code="code")
    >>> table = pd.DataFrame({"code": [1, 1, 2, 2, 3, 3], "age": ["18-64", "65+"] * 3, "aantal": 30, "n": 9})
    >>> cells = bs.Cells.from_frame(table, areas, area="code", characteristics={"age": ["18-64", "65+"]})
    >>> table = table.assign(lonely=[0.2, 0.5, 0.3, 0.4, 0.1, 0.6], active=[0.4, 0.3, 0.6, 0.2, 0.7, 0.3])
    >>> names, model = ["lonely", "active"], bs.UnitModel(terms=[bs.IID("area")], persons=[bs.Factor("age")])
    >>> answers = {name: bs.Answers.of(table, name, cells, area="code", number="n") for name in names}
    >>> models = dict.fromkeys(names, model)
    >>> fits = bs.fit_units(models, answers, cells, draws=100, hyperparameters=50, progress=False)
    >>> ages = {"young": {"age": ["18-64"]}, "old": {"age": ["65+"]}}
    >>> groups = bs.estimate_groups(bs.estimate(fits.fit_of()), fits, {"age": ages})
    >>> groups.table.loc[groups.table["level"] == "all", ["group", "measure", "population"]].values.tolist()
    [['young', 'lonely', 90], ['young', 'active', 90], ['old', 'lonely', 90], ['old', 'active', 90]]
    """
    year, run = int(whole.table["year"].iloc[0]), str(whole.table["run_id"].iloc[0])
    made = {
        characteristic: {
            name: estimate(fits.fit_of(domain), concept=whole.concept, rules=whole.rules, year=year, run_id=run,
                           fictitious=whole.fictitious)
            for name, domain in groups.items()
        }
        for characteristic, groups in domains.items()
    }  # fmt: skip
    while True:  # what groups of one characteristic hide of all residents, those of another must not give away
        hidden = {characteristic: _hidden(whole, groups) for characteristic, groups in made.items()}
        closed = hiding(whole, (key for of in hidden.values() for key in of[ALL]))
        if closed is whole:
            break
        whole = closed
    parts = [
        hiding(est, hidden[characteristic][name]).published.assign(characteristic=characteristic, group=name)
        for characteristic, groups in made.items()
        for name, est in groups.items()
    ]
    table = pd.concat(parts, ignore_index=True)
    return Groups(whole, table[[*GROUP, *(name for name in table if name not in GROUP)]])


def _hidden(whole: Estimates, groups: Mapping[str, Estimates]) -> dict[str, set[Key]]:
    """What must be hidden of each group, and of all residents, so that nothing hidden follows: on any scale."""
    every, found = {ALL: whole, **groups}, dict[str, set[Key]]()
    scales = {measure: whole.concept.scale_of(measure) for measure in whole.measures}
    for scale in dict.fromkeys(scales.values()):
        measures = [measure for measure, of in scales.items() if of == scale]
        tables = {name: est.table[est.table["measure"].isin(measures)] for name, est in every.items()}
        residents = {name: est.areas for name, est in every.items()}
        told = across(tables, whole.areas, ALL, scale, whole.rules, of=residents)
        for level, named in told.hidden.keys:
            code, _, name = named.partition(BETWEEN)
            found.setdefault(name, set()).add((level, code))
    return {name: found.get(name, set()) for name in every}


def hiding(est: Estimates, keys: Iterable[Key]) -> Estimates:
    """Return estimates with more areas of which nothing is published, compared with those that still are."""
    old, more = est.release, frozenset(keys) - est.release.estimates.keys
    if not more:
        return est
    hidden = replace(old.estimates, protecting=old.estimates.protecting | more)
    release = replace(old, estimates=hidden, direct=old.direct | more, errors=old.errors | more)
    table = tabulate(est.fit, est.concept, est.rules, est.draws, release)
    table = table.assign(**{name: est.table[name].iloc[0] for name in ("year", "benchmarked", "run_id")})
    table = check_estimates(table[[column.name for column in ESTIMATES]], est.concept.span)
    return replace(est, table=table, release=release)
