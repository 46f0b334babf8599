"""Disclosure across domains: what is hidden of an age group cannot be computed from the others and the whole."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest
from attacker import computed, residents_of
from made_fit import make_areas

from buurtsae.areas.areas import Areas
from buurtsae.errors import BuurtsaeError
from buurtsae.estimates.disclosure.domains import BETWEEN, across
from buurtsae.estimates.labels import Rules
from buurtsae.scale import Scale

NAMES = ("18-34", "35-64", "65+")
SHARE = Scale(0, 10)  # the attacker knows figures between 0 and 10


def made(
    areas: Areas,
    seed: int = 1,
    few: tuple[str, ...] = (),
    names: tuple[str, ...] = NAMES,
    people: Mapping[str, tuple[int, ...]] | None = None,
) -> tuple[dict[str, pd.DataFrame], np.ndarray, np.ndarray]:
    """Tables of domains and the whole, with residents and figures of the cells, (areas, domains)."""
    rng, live = np.random.default_rng(seed), areas.inhabited
    n = np.where(live[:, None], np.floor(areas.population[:, None] * np.array([0.3, 0.45, 0.25])[-len(names) :]), 0.0)
    n[areas.codes.isin(few), -1] = 4
    for code, of in (people or {}).items():
        n[areas.codes == code] = of
    x = rng.uniform(1, 6, n.shape)
    tables = {}
    for name, part in {"all": slice(None), **{name: [k] for k, name in enumerate(names)}}.items():
        count, total = n[:, part].sum(axis=1), (n * x)[:, part].sum(axis=1)
        rows = []
        for level in areas.levels:
            of = areas.parents(level).where(live)
            for code in sorted(set(of.dropna())):
                inside = (of == code).to_numpy()
                if count[inside].sum():
                    figure = total[inside].sum() / count[inside].sum()
                    rows.append((level, code, "lonely", figure, count[inside].sum()))
        frame = pd.DataFrame(rows, columns=["level", "area_code", "measure", "estimate", "population"])
        tables[name] = frame.assign(label="betrouwbaar", reason=None)
    return tables, n, x


def attacked(
    areas: Areas, tables: dict[str, pd.DataFrame], n: np.ndarray, x: np.ndarray
) -> dict[tuple[str, str], float]:
    """How wide the interval is of what is hidden, by linear programs that are not the package's."""
    every = {key: w > 0 for key, w in residents_of(areas).items()}
    weights, hidden, names = {}, set(), [name for name in tables if name != "all"]
    for name, table in tables.items():
        part = np.ones(len(names)) if name == "all" else np.eye(len(names))[names.index(name)]
        for row in table.itertuples():
            kind = "cell" if row.level == "buurt" and name != "all" else f"{row.level} of {name}"
            key = (kind, f"{row.area_code}{BETWEEN}{name}")
            weights[key] = (every[row.level, row.area_code][:, None] * n * part).ravel()
            if row.label == "niet_publiceren":
                hidden.add(key)
    return computed(weights, "cell", x.reshape(1, -1, 1), hidden)


FEW = {"none": (), "one": ("BU03440200",), "two": ("BU03440200", "BU03550003"), "whole wijk": tuple(
    f"BU034401{k:02}" for k in range(4))}  # fmt: skip


@pytest.mark.parametrize("names", [NAMES, NAMES[1:]], ids=["three", "two"])
@pytest.mark.parametrize("few", FEW)
def test_hidden_domains_cannot_be_computed(few: str, names: tuple[str, ...]) -> None:
    areas = make_areas()
    tables, n, x = made(areas, few=FEW[few], names=names)
    before = {name: table.copy() for name, table in tables.items()}
    found = across(tables, areas, "all", SHARE, Rules(min_residents=10, protection=2.0))
    marked = {name: t["label"].eq("niet_publiceren") for name, t in found.tables.items()}
    ruled = {name: set(t.loc[t["population"] < 10, "area_code"]) for name, t in tables.items()}
    assert set(FEW[few]) <= ruled["65+"]
    for name, table in found.tables.items():
        assert ruled[name] <= set(table.loc[marked[name], "area_code"])
    width = attacked(areas, dict(found.tables), n, x)
    secret = {f"{code}{BETWEEN}{name}" for name, codes in ruled.items() for code in codes}
    # what the attacker finds of secrets; draws are one figure, so the package's attack is exact
    assert min((w for (_, named), w in width.items() if named in secret), default=9.0) >= 2.0
    # the whole stays, but for areas that are small themselves
    assert set(found.tables["all"].loc[marked["all"], "area_code"]) <= ruled["all"] | {"BU03440002", "BU03440003"}
    for name, table in tables.items():
        pd.testing.assert_frame_equal(table, before[name])


@pytest.mark.parametrize("scale", [Scale(0, 100, "%", "%"), Scale(1, 5)], ids=["per cent", "codes"])
def test_what_is_hidden_does_not_depend_on_the_scale(scale: Scale) -> None:
    """Protection is in tenths of the scale, whatever that is."""
    areas = make_areas()
    tables, *_ = made(areas, few=FEW["two"])
    rules = Rules(min_residents=10, protection=2.0)
    other = {
        name: t.assign(estimate=scale.lower + scale.point * t["estimate"] * 10 / SHARE.width)
        for name, t in tables.items()
    }
    found, expected = across(other, areas, "all", scale, rules), across(tables, areas, "all", SHARE, rules)
    assert found.hidden.keys == expected.hidden.keys
    assert len(found.hidden.protecting)


def test_without_secondary_suppression_a_hidden_domain_is_a_subtraction() -> None:
    """The attack can fail: of the rules alone the hidden figure follows to the digit."""
    areas = make_areas()
    tables, n, x = made(areas, few=("BU03440200",))
    found = across(tables, areas, "all", SHARE, Rules(min_residents=10, protection=0.0)).tables
    alone = {name: t.assign(label=np.where(t["population"] < 10, "niet_publiceren", "x")) for name, t in found.items()}
    width = attacked(areas, alone, n, x)
    assert width["cell", f"BU03440200{BETWEEN}65+"] < 1e-6


def test_domains_that_do_not_add_up_are_refused() -> None:
    areas = make_areas()
    tables, *_ = made(areas)
    less = tables | {"65+": tables["65+"].assign(population=tables["65+"]["population"] + 1)}
    other = tables | {"65+": tables["65+"].assign(estimate=tables["65+"]["estimate"] + 0.5)}
    twice = tables | {"65+": pd.concat([tables["65+"], tables["65+"].iloc[:1]])}
    for given, what in (
        (less, "residents of domains do not add up"),
        (other, "not the means of their parts"),
        (twice, "occur twice"),
        ({"all": tables["all"]}, "do not divide a whole"),
        (tables | {"65+": tables["65+"].drop(columns="estimate")}, "lacks columns"),
    ):
        with pytest.raises(BuurtsaeError, match=what) as caught:
            across(given, areas, "all", SHARE)
        assert len(str(caught.value).splitlines()) % 3 == 0


def test_an_area_that_is_nearly_one_group_is_hidden_with_its_whole() -> None:
    """Nine old of ten: the figure of all ten says that of the nine to a ninth of the scale, whatever else is hidden."""
    areas, code = make_areas(), "BU03440200"
    tables, n, x = made(areas, names=NAMES[1:], people={code: (1, 9)})
    found = across(tables, areas, "all", SHARE, Rules(min_residents=10, protection=2.0))
    assert found.tables["all"].set_index(["level", "area_code"])["label"]["buurt", code] == "niet_publiceren"
    width = attacked(areas, dict(found.tables), n, x)
    assert width["cell", f"{code}{BETWEEN}65+"] >= 2.0


def test_the_only_area_of_its_wijk_with_a_group_is_protected_from_other_wijken() -> None:
    """Nobody else of its wijk is old: what is closed beside it lies in another wijk, whose sum would give it away."""
    areas, code = make_areas(), "BU03440200"
    wijk = areas.parents("wijk")
    alone = {other: (40, 0) for other in wijk.index[wijk == wijk[code]] if other != code}
    tables, n, x = made(areas, names=NAMES[1:], people={**alone, code: (60, 4)})
    found = across(tables, areas, "all", SHARE, Rules(min_residents=10, protection=2.0))
    width = attacked(areas, dict(found.tables), n, x)
    assert width["cell", f"{code}{BETWEEN}65+"] >= 2.0
    assert found.tables["all"].set_index(["level", "area_code"])["label"]["buurt", code] == "betrouwbaar"
