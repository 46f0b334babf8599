r"""Disclosure across domains: estimates of age groups, say, that together are all residents of an area.

With N_ag residents of area a in domain g, all figures are weighted means of those of cells (a, g):

    N_a m_a = sum_g N_ag m_ag,      N_Gg m_Gg = sum_{a in G} N_ag m_ag,

so a hidden cell follows from the figure of all and those of the other domains, or from an area above and the areas
beside it. Where the figure of one domain of an area is hidden, because few live there, those of all domains are, and
that of all residents stays; then the smallest areas beside it are closed in the same way, until what can be computed
of what is hidden by rule is an interval of `protection` at least, by the attack of `suppression` on areas by domains.

References
----------
Hundepool, A. et al. (2012). Statistical Disclosure Control, ch. 4. Fischetti, M. and Salazar, J. (2000). JASA 95.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.sparse as sp

from buurtsae.areas.areas import Areas
from buurtsae.errors import DataError, Problems, shown
from buurtsae.estimates.disclosure.suppression import Cells, Hidden, Key, widths
from buurtsae.estimates.labels import PROTECTING, Rules
from buurtsae.scale import Scale
from buurtsae.sparse import Floats

KEY = ["level", "area_code", "measure"]
BETWEEN = " / "  # an area's code and a domain
AGREE = 1e-6  # of the scale: how far a whole may lie from the mean of its parts


@dataclass(frozen=True)
class Domains:
    """Tables of estimates by domain, with what may be published of them together.

    Attributes
    ----------
    tables : mapping of domain to DataFrame
        As given, with `label` and `reason` of rows that are hidden.
    hidden : Hidden
        Areas are named with their domain, `BU03440001 / 65+`.
    """

    tables: Mapping[str, pd.DataFrame]
    hidden: Hidden

    def __repr__(self) -> str:
        return f"Domains {shown(self.tables, 10)}: {self.hidden!r}"


def across(
    tables: Mapping[str, pd.DataFrame],
    areas: Areas,
    whole: str,
    scale: Scale,
    rules: Rules | None = None,
    *,
    of: Mapping[str, Areas] | None = None,
) -> Domains:
    """Hide what must be hidden so that nothing hidden follows from tables of domains that add up.

    Parameters
    ----------
    tables : mapping of domain to DataFrame
        As `Estimates.table` of each domain: `level`, `area_code`, `measure`, `estimate`, `population` (residents of the
        domain), `label` and `reason`. Cells without residents may have no row.
    areas : Areas
    whole : str
        The domain that the others divide.
    scale : Scale
        Of the measures.
    rules : Rules, optional
        `min_residents` of a domain in an area, and `protection`.
    of : mapping of domain to Areas, optional
        With the residents of each domain, such as those of `UnitFit.fit_of`, where they are no whole numbers: those of
        tables are rounded.

    Returns
    -------
    Domains

    Raises
    ------
    DataError or ProblemsError
        If the whole is absent or alone, a table lacks columns or has a row twice, residents of the parts are not those
        of the whole, or figures of the whole are not the means of their parts.

    Examples
    --------
    In area b live four old people: old and young are hidden there, and in another area, so that nothing follows.

    >>> import numpy as np
    >>> import pandas as pd
    >>> import buurtsae as bs
    >>> people = np.array([[60, 40], [100, 4], [50, 40], [100, 100]])
    >>> sums = people * [[2.0, 4.0], [3.0, 5.0], [2.0, 5.0], [4.0, 4.0]]
    >>> table = pd.DataFrame({"code": list("abcd"), "population": people.sum(axis=1)})
    >>> areas, made = bs.Areas.from_frame(table, code="code"), {}
    >>> where = {"level": ["area"] * 4 + ["all"], "area_code": [*areas.codes, *areas.at("all")]}
    >>> for name, part in {"all": [0, 1], "young": [0], "old": [1]}.items():
    ...     n, y = (np.append(v[:, part].sum(axis=1), v[:, part].sum()) for v in (people, sums))
    ...     figures = {"measure": "lonely", "estimate": y / n, "population": n}
    ...     made[name] = pd.DataFrame({**where, **figures, "label": "betrouwbaar", "reason": None})
    >>> found = bs.across(made, areas, "all", bs.Scale())
    >>> old = found.tables["old"]
    >>> old.loc[old["label"] == "niet_publiceren", "area_code"].tolist()
    ['b', 'c']
    """
    rules = rules or Rules()
    given, names = tables, [name for name in tables if name != whole]
    tables = {name: table if of is None else _counted(table, of[name]) for name, table in given.items()}
    _check(tables, areas, whole, scale, names)
    cells = _cells(tables, areas, whole, scale, names)
    ruled: set[Key] = set()
    for name, table in tables.items():
        few = table["population"].gt(0) & table["population"].lt(rules.min_residents)
        few |= table["label"].eq("niet_publiceren") & table["population"].gt(0)
        rows = table.loc[few, ["level", "area_code"]].drop_duplicates()
        ruled |= {(level, _named(code, name)) for level, code in rows.itertuples(index=False)}
    hidden = _suppressed(cells, areas, ruled, [whole, *names], rules.protection)
    return Domains({name: _marked(t, name, hidden, rules.min_residents) for name, t in given.items()}, hidden)


def _counted(table: pd.DataFrame, areas: Areas) -> pd.DataFrame:
    """A table with its residents as they are, not rounded."""
    residents = {(level, code): n for level in areas.levels for code, n in areas.residents(level).items()}
    keys = zip(table["level"], table["area_code"], strict=True)
    return table.assign(population=[float(residents.get(key, 0.0)) for key in keys])


def _suppressed(cells: Cells, areas: Areas, ruled: set[Key], names: list[str], protection: float) -> Hidden:
    """Close areas, for all parts and for the whole where that is a secret, until secrets are protected."""
    whole, *parts = names
    closed: dict[Key, bool] = {}  # an area, and whether its whole is hidden too
    for level, named in sorted(ruled):
        code, domain = named.split(BETWEEN, 1)
        closed[level, code] = closed.get((level, code), False) or domain == whole
    position = {key: k for k, key in enumerate(cells.above)}
    place = {str(code): k for k, code in enumerate(cells.codes)}
    size = pd.Series(areas.population, index=areas.codes)[areas.inhabited].sort_values(kind="stable")
    secrets = {key: cells.holds(key) for key in sorted(ruled)}
    secrets = {key: held for key, held in secrets.items() if cells.weights[held].any()}

    def hidden() -> set[Key]:
        return {(level, _named(code, name)) for (level, code), all_of in closed.items()
                for name in (names if all_of else parts)}  # fmt: skip

    widest, exposed = dict[Key, Floats](), list(secrets)
    while exposed:  # what is hidden besides gives away less, never more: who is protected stays so
        gone, shut = np.zeros(len(cells.codes), dtype=bool), np.zeros(len(cells.above), dtype=bool)
        keys = hidden()
        gone[[place[named] for level, named in keys if level == areas.base and named in place]] = True
        shut[[position[key] for key in keys if key in position]] = True
        told = {key: secrets[key] for key in exposed if gone[secrets[key]].all()}
        widest |= dict(zip(told, widths(cells, gone, shut, list(told.values())), strict=True))
        exposed = [key for key in told if widest[key].min() < protection]
        for level, named in exposed:
            code, domain = named.split(BETWEEN, 1)
            own, every = (cells.weights[cells.holds((level, _named(code, of)))].sum(axis=0) for of in (domain, whole))
            # beside few others the published whole of its area says what it is
            of_all = domain == whole or bool((10 * (every - own) < protection * own).any())
            if of_all and not closed[level, code]:
                closed[level, code] = True
            else:
                _close(areas, level, code, of_all, closed, size)
    keys = hidden()
    narrowest = np.array(list(widest.values())).reshape(len(widest), len(cells.measures))
    audit = pd.DataFrame(list(widest), columns=["level", "area_code"]).assign(
        ruled=True,
        measure=np.array(cells.measures, dtype=object)[narrowest.argmin(axis=1)],
        width=narrowest.min(axis=1),
    )
    return Hidden(frozenset(ruled), frozenset(keys - ruled), audit)


def _close(areas: Areas, level: str, code: str, whole: bool, closed: dict[Key, bool], size: pd.Series) -> None:
    """Close the smallest open area beside one, in the lowest area above it that has any; else that area itself.

    An area of which a lower one is closed, because nothing beside it was left there, has others closed with the areas
    that hold them up to there: their own sums would give them away.
    """
    inside, levels = areas.parents(level) == code, areas.levels
    for k in range(levels.index(level) + 1, len(levels)):
        above, of = levels[k], areas.parents(levels[k])
        for holding in pd.unique(of[inside].dropna()):
            beside = (of == holding) & ~inside
            for candidate in size.index[size.index.isin(of.index[beside])]:
                if (areas.base, candidate) not in closed or (whole and not closed[areas.base, candidate]):
                    closed[areas.base, candidate] = whole
                    for lower in levels[1:k]:
                        held = areas.parents(lower)[candidate]
                        if pd.notna(held) and not (inside & (areas.parents(lower) == held)).any():
                            closed[lower, held] = closed.get((lower, held), False) or whole
                    return
            shut = closed.get((above, holding))
            if above != areas.system.whole and (shut is None or (whole and not shut)):
                closed[above, holding] = whole
                return
    hint = "lower `protection`, or publish fewer levels or domains"
    raise DataError("a domain of an area cannot be protected", f"{code}, all others hidden", "areas beside it", hint)


def _named(code: str, domain: str) -> str:
    return f"{code}{BETWEEN}{domain}"


def _check(tables: Mapping[str, pd.DataFrame], areas: Areas, whole: str, scale: Scale, names: list[str]) -> None:
    if whole not in tables or len(names) < 2:
        hint = "name the domain of all residents, and give two parts or more"
        raise DataError("domains do not divide a whole", shown(tables, 10), f"{whole} and its parts", hint)
    problems = Problems()
    columns = [*KEY, "estimate", "population", "label", "reason"]
    for name, table in tables.items():
        if absent := [column for column in columns if column not in table]:
            problems.add(
                f"the table of {name} lacks columns", shown(absent), shown(columns, 10), "take Estimates.table"
            )
        elif table.duplicated(KEY).any():
            twice = shown(table.loc[table.duplicated(KEY), "area_code"])
            problems.add(f"rows of {name} occur twice", twice, "one per level, area and measure", "remove one")
    problems.raise_if_any()
    every = pd.concat([tables[name] for name in names])
    weighted = every.assign(total=every["estimate"] * every["population"]).groupby(KEY)[["total", "population"]].sum()
    both = (
        tables[whole]
        .set_index(KEY)[["estimate", "population"]]
        .join(weighted.rename(columns={"population": "population_parts"}))
    )
    same = np.isclose(both["population"], both["population_parts"].fillna(0), rtol=1e-9, atol=0)  # sums of fractions
    if len(odd := both.index[~same]):
        hint = "give all parts, of the same cells"
        got = shown(f"{key[1]}: {both.at[key, 'population_parts']:g} of {both.at[key, 'population']:g}" for key in odd)
        problems.add("residents of domains do not add up to those of the whole", got, "their sum", hint)
    else:
        apart = (both["estimate"] - both["total"] / both["population_parts"]).abs()
        if len(odd := both.index[apart > AGREE * 10 * scale.point]):
            got, hint = (
                shown(f"{code} by {apart[(level, code, m)]:.2g}" for level, code, m in odd),
                "take the same draws",
            )
            problems.add("figures of the whole are not the means of their parts", got, "the same figures", hint)
    problems.raise_if_any()


def _cells(tables: Mapping[str, pd.DataFrame], areas: Areas, whole: str, scale: Scale, names: list[str]) -> Cells:
    """Areas by domains, and what is above them: the whole of each, and areas above of each domain and of the whole."""
    base, live = areas.base, areas.inhabited
    codes = areas.codes[live].to_numpy(dtype=str)
    measures = tuple(tables[whole]["measure"].unique())
    shape = len(codes), len(names), len(measures)
    weights, figures = np.zeros(shape), np.zeros((1, *shape))
    for g, name in enumerate(names):
        rows = tables[name][tables[name]["level"] == base]
        for m, measure in enumerate(measures):
            of = rows[rows["measure"] == measure].set_index("area_code").reindex(codes)
            weights[:, g, m] = of["population"].fillna(0)
            figures[0, :, g, m] = of["estimate"].fillna(0)
    every = np.ones(len(names))
    above: list[Key] = [(base, _named(code, whole)) for code in codes]
    member = [sp.kron(sp.eye_array(len(codes)), every[None])]
    for level in areas.levels[1:]:
        labels, matrix = areas.aggregation(level)
        kept = np.flatnonzero(areas.complete(level, labels))
        holds = sp.csr_array(matrix[kept][:, live] > 0).astype(float)
        for name, of in ((whole, every), *zip(names, np.eye(len(names)), strict=True)):
            above += [(level, _named(labels[k], name)) for k in kept]
            member.append(sp.kron(holds, of[None]))
    named = np.array([_named(code, name) for code in codes for name in names])
    flat, drawn = weights.reshape(-1, len(measures)), figures.reshape(1, -1, len(measures))
    parts = base, named, flat, drawn, np.arange(len(named)), measures, tuple(above)
    return Cells(*parts, sp.csr_array(sp.vstack(member)), system=areas.system, scales=(scale,) * len(measures))


def _marked(table: pd.DataFrame, domain: str, hidden: Hidden, least: int) -> pd.DataFrame:
    """The table with the label of what is hidden; what was hidden before keeps its reason."""
    keys = [(level, _named(code, domain)) for level, code in zip(table["level"], table["area_code"], strict=True)]
    gone = np.array([key in hidden.keys for key in keys], dtype=bool) & ~table["label"].eq("niet_publiceren").to_numpy()
    ruled = np.array([key in hidden.ruled for key in keys], dtype=bool)
    reason = np.where(ruled, f"minder dan {least} inwoners", PROTECTING)
    new = table.assign(label=table["label"].mask(gone, "niet_publiceren"))
    return new.assign(reason=table["reason"].astype(object).mask(gone, pd.Series(reason, index=table.index)))
