"""What crosswalks are made from: tables of shares, addresses with a code per edition, and polygons that overlap.

Everything that is wrong with a table is collected and raised at once. What is left out is noted with its number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from buurtsae.areas.codes import CBS, clean
from buurtsae.areas.columns import numbers
from buurtsae.areas.polygons import polygon_parts
from buurtsae.errors import Problems, cut, shown
from buurtsae.notes import Note
from buurtsae.sparse import Floats

if TYPE_CHECKING:
    import geopandas as gpd

ROUNDING = 0.005  # of a sum of shares, as published with two or three decimals
Codes = Sequence[str] | None


@dataclass(frozen=True)
class Pairs:
    """What was read: codes of both editions, C, and what is not in it."""

    old: pd.Index
    new: pd.Index
    pairs: sp.csr_array
    unit: str
    outside: Floats = field(default_factory=lambda: np.zeros(0))
    unmatched: Floats = field(default_factory=lambda: np.zeros(0))
    fresh: Floats = field(default_factory=lambda: np.zeros(0))
    notes: Sequence[Note] = ()


def of_table(
    table: pd.DataFrame,
    columns: tuple[str, str, str],
    size: Mapping[str, float] | pd.Series | None,
    old_codes: Codes,
    new_codes: Codes,
) -> Pairs:
    """Return pairs of a table of shares; see `Crosswalk.from_table`."""
    problems = Problems()
    old, new, share = columns
    _check_columns(table, columns, "a crosswalk", problems)
    problems.raise_if_any()
    value = numbers(table[share], f"{cut(share)} is no number", problems, "shares", "correct the column", -np.inf)
    i, j = (clean(table[name]) for name in (old, new))
    for name, code in ((old, i), (new, j)):
        if count := int((code.isna() | (code == "")).sum()):
            problems.add(f"{cut(name)} has no code", f"{count} of {len(code)} rows", "a code in each", "complete them")
    if value is None:
        problems.raise_if_any()
        raise AssertionError  # numbers records a problem
    if (count := int((~np.isfinite(value)).sum())) or not len(value):
        problems.add("shares are missing", f"{count} of {len(value)} rows", "a number in each", "complete them")
    if (bad := (value < 0)).any():
        got = f"{int(bad.sum())} of {len(value)} rows ({shown(i[bad])})"
        problems.add("shares are negative", got, "0 to 1", "correct them")
    if (twice := pd.DataFrame({"i": i, "j": j}).duplicated()).any():
        got = f"{int(twice.sum())} pairs ({shown(i[twice] + ' to ' + j[twice], 3)})"
        problems.add("pairs of areas occur more than once", got, "one row per pair", "add them up, or remove them")
    elif not bad.any():
        total = value.groupby(i).sum()
        if len(off := total[(total - 1).abs() > ROUNDING]):
            got = f"{len(off)} of {len(total)} ({shown((f'{code}: {s:.3g}' for code, s in off.items()), 3)})"
            hint = "add what lies elsewhere, or divide by the sum if nobody lives there"
            problems.add("shares of old areas do not sum to 1", got, "1", hint)
    _check_known(i, old_codes, "old", problems)
    _check_known(j, new_codes, "new", problems)
    each = None if size is None else pd.Series(size, dtype=float)
    if each is not None and len(lost := i[~i.isin(each.index[each > 0])].unique()):
        hint = "give the addresses or residents of each, above 0"
        problems.add("old areas have no size", f"{len(lost)} ({shown(lost)})", "one of each", hint)
    problems.raise_if_any()
    total = value.groupby(i).transform("sum")
    weight = (value / total) * (1.0 if each is None else i.map(each))
    return Pairs(*_matrix(i, j, weight.to_numpy(dtype=float), old_codes, new_codes), "share")


def of_addresses(
    table: pd.DataFrame,
    old: str,
    new: str,
    address: tuple[str, str],
    level: str,
    old_codes: Codes,
    new_codes: Codes,
) -> Pairs:
    """Return pairs of addresses; see `Crosswalk.from_addresses`."""
    problems, notes = Problems(), list[Note]()
    _check_columns(table, (*address, old, new), "a table of addresses", problems)
    problems.raise_if_any()
    frame = pd.DataFrame({
        "postcode": clean(table[address[0]]).str.replace(" ", "").str.upper(), "number": clean(table[address[1]]),
        "old": published(clean(table[old]), level), "new": published(clean(table[new]), level),
    })  # fmt: skip
    key = ["postcode", "number"]
    if count := int((frame[key].isna() | (frame[key] == "")).any(axis=1).sum()):
        hint = "complete or drop them"
        problems.add("addresses are incomplete", f"{count} of {len(frame)} rows", f"{' and '.join(address)}", hint)
    each = frame.drop_duplicates()
    several = each[each.duplicated(key, keep=False)]
    differ = several.groupby(key)[["old", "new"]].nunique()
    for name, column in ((old, "old"), (new, "new")):
        if len(two := differ.index[differ[column] > 1]):
            got = f"{len(two)} ({shown((' '.join(pair) for pair in two), 3)})"
            hint = "an address lies in one area: correct the table, or add what tells these apart to the house number"
            problems.add(f"addresses have two codes in {cut(name)}", got, "one", hint)
    _check_known(each["old"].dropna(), old_codes, "old", problems)
    _check_known(each["new"].dropna(), new_codes, "new", problems)
    both = each["old"].notna() & each["new"].notna()
    if not (both.any() or len(several)):
        hint = "join the tables of both editions by postcode and house number"
        problems.add("no address is in both editions", f"{len(each)} addresses", "some with two codes", hint)
    problems.raise_if_any()
    if len(several):
        each = pd.concat([each.drop(several.index), several.groupby(key, as_index=False)[["old", "new"]].first()])
    if count := len(frame) - len(each):
        notes.append(Note(
            "{n} rows repeat an address: each counts once",
            "{n} rijen herhalen een adres: elk telt één keer",
            n=count,
        ))  # fmt: skip
    i, j = each["old"], each["new"]
    both = i.notna() & j.notna()
    known = (_all(i.dropna(), old_codes), _all(j.dropna(), new_codes))
    old_index, new_index, pairs = _matrix(i[both], j[both], np.ones(int(both.sum())), *known)
    lost = np.bincount(old_index.get_indexer(i[i.notna() & j.isna()]), minlength=len(old_index)).astype(float)
    fresh = np.bincount(new_index.get_indexer(j[j.notna() & i.isna()]), minlength=len(new_index)).astype(float)
    return Pairs(old_index, new_index, pairs, "addresses", unmatched=lost, fresh=fresh, notes=notes)


def of_polygons(
    old: gpd.GeoDataFrame, new: gpd.GeoDataFrame, points: gpd.GeoDataFrame | None, weight: str | None, least: float
) -> Pairs:
    """Return pairs of polygons that overlap; see `Crosswalk.from_polygons`."""
    import shapely

    problems, notes = Problems(), list[Note]()
    shapes = [_shapes(frame, which, notes, problems) for frame, which in ((old, "old"), (new, "new"))]
    layers = {"old": old, "new": new} | ({} if points is None else {"points": points})
    systems = {which: getattr(frame, "crs", None) for which, frame in layers.items()}
    if any(system != systems["old"] for system in systems.values()):
        got = "; ".join(f"{which} {cut(system, 40)}" for which, system in systems.items())
        problems.add("polygons are in different coordinate systems", got, "one for all", "reproject with `to_crs`")
    elif getattr(systems["old"], "is_geographic", False):
        hint = "reproject both with `to_crs`"
        problems.add("polygons are in degrees", cut(systems["old"]), "a coordinate system of metres", hint)
    if points is not None and weight is not None and weight not in points:
        problems.add("points have no such column", cut(repr(weight)), shown(points.columns), "correct `weight`")
    problems.raise_if_any()
    (i_codes, i_shape), (j_codes, j_shape) = (part for part in shapes if part is not None)
    if points is not None:
        w = np.ones(len(points)) if weight is None else points[weight].to_numpy(dtype=float)
        at = [_inside(points.geometry.to_numpy(), shape) for shape in (i_shape, j_shape)]
        here = at[0] >= 0
        n = np.bincount(at[0][here], w[here], len(i_codes))
        both = here & (at[1] >= 0)
        pairs = sp.csr_array((w[both], (at[0][both], at[1][both])), shape=(len(i_codes), len(j_codes)))
        unit = "points"
    else:
        i, j = shapely.STRtree(j_shape).query(i_shape, predicate="intersects")
        area = shapely.area(shapely.intersection(i_shape[i], j_shape[j]))
        n, kept = shapely.area(i_shape), area > 0
        pairs = sp.csr_array((area[kept], (i[kept], j[kept])), shape=(len(i_codes), len(j_codes)))
        unit = "area"
    inside = np.asarray(pairs.sum(axis=1))
    outside = np.clip(1 - np.divide(inside, n, out=np.ones_like(inside), where=n > 0), 0.0, 1.0)
    if least > 0:
        pairs, dropped = _without_slivers(pairs, least)
        notes += dropped
    order = [np.argsort(codes.to_numpy(dtype=str)) for codes in (i_codes, j_codes)]
    return Pairs(i_codes[order[0]], j_codes[order[1]], sp.csr_array(pairs[order[0]][:, order[1]]), unit,
                 outside=outside[order[0]], notes=notes)  # fmt: skip


def published(code: pd.Series, level: str) -> pd.Series:
    """Return codes of CBS as published: `3630001` of a buurt is `BU03630001`."""
    if level not in CBS.forms or code.dropna().empty:
        return code
    example, _ = CBS.forms[level]
    short = code.str.fullmatch(f"[0-9]{{1,4}}[0-9A-Z]{{0,{len(example) - 6}}}") & (code.str.len() <= len(example) - 2)
    return code.mask(short.fillna(False).astype(bool), example[:2] + code.str.zfill(len(example) - 2))


def _matrix(i: pd.Series, j: pd.Series, weight: Floats, old: Codes, new: Codes) -> tuple[pd.Index, pd.Index, Any]:
    indices = [pd.Index(_all(code, known), dtype=object) for code, known in ((i, old), (j, new))]
    at = [index.get_indexer(code) for index, code in zip(indices, (i, j), strict=True)]
    return *indices, sp.csr_array((weight, (at[0], at[1])), shape=(len(indices[0]), len(indices[1])))


def _all(code: pd.Series, known: Codes) -> list[str]:
    return sorted({*map(str, code.unique()), *map(str, () if known is None else known)})


def _check_columns(table: pd.DataFrame, columns: Sequence[str], what: str, problems: Problems) -> None:
    if absent := [name for name in columns if name not in table]:
        problems.add(f"{what} lacks columns", shown(absent), shown(table.columns, 10), "correct the names")
    elif len(set(columns)) < len(columns):
        problems.add(f"{what} has one column for two things", shown(columns), "different ones", "correct the names")


def _check_known(code: pd.Series, known: Codes, which: str, problems: Problems) -> None:
    if known is None:
        return
    if len(strange := code[~code.isin(list(known)) & code.notna()].unique()):
        got, hint = f"{len(strange)} ({shown(strange)})", "correct them: is the table of other years?"
        problems.add(f"codes are unknown in the {which} edition", got, f"{len(known)} codes ({shown(known, 2)})", hint)


def _shapes(frame: Any, which: str, notes: list[Note], problems: Problems) -> tuple[pd.Index, Any] | None:
    """Codes and valid polygons of an edition."""
    import shapely

    if not hasattr(frame, "geometry") or not hasattr(frame, "crs"):
        hint = "give the GeoDataFrame of the edition, indexed by code"
        problems.add(f"the {which} edition has no polygons", type(frame).__name__, "polygons by code", hint)
        return None
    code = pd.Index(map(str, frame.index), dtype=object)
    if len(twice := code[code.duplicated()].unique()):
        got = f"{len(twice)} ({shown(twice)})"
        problems.add(f"{which} areas occur more than once", got, "one row per code", "dissolve them by code")
    whole = frame.geometry.to_numpy().copy()
    if (broken := ~shapely.is_valid(whole) & ~shapely.is_missing(whole)).any():
        n = int(broken.sum())
        notes.append(Note("{n} invalid polygons repaired", "{n} ongeldige polygonen hersteld", n=n))
        whole[broken] = shapely.make_valid(whole[broken])
    mixed = shapely.get_type_id(whole) == 7  # what repair leaves: lines beside the polygons
    whole[mixed] = [shapely.union_all(polygon_parts(geometry)) for geometry in whole[mixed]]
    kind = np.isin(shapely.get_type_id(whole), (3, 6))  # polygons, and several as one
    if (bad := ~kind | shapely.is_empty(whole)).any():
        got = f"{int(bad.sum())} of {len(bad)} ({shown(code[bad])})"
        problems.add(f"{which} areas are no polygons", got, "a polygon each", "repair or drop these rows")
        return None
    return code, whole


def _inside(points: Any, shapes: Any) -> Any:
    """The first polygon that each point lies in, -1 for none."""
    import shapely

    point, shape = shapely.STRtree(shapes).query(points, predicate="intersects")
    at = np.full(len(points), -1)
    order = np.lexsort((-shape, point))  # the lowest is written last
    at[point[order]] = shape[order]
    return at


def _without_slivers(pairs: sp.csr_array, least: float) -> tuple[sp.csr_array, list[Note]]:
    """Return pairs without overlaps that are below `least` of both areas, and a note of how much that is."""
    coo = pairs.tocoo()
    row, column = (np.asarray(pairs.sum(axis=axis)) for axis in (1, 0))
    small = (coo.data < least * row[coo.row]) & (coo.data < least * column[coo.col])
    kept = sp.csr_array((coo.data[~small], (coo.row[~small], coo.col[~small])), shape=pairs.shape)
    note = Note(
        "{n} overlaps below {least:.1%} of both areas left out, {share:.2%} of the ground",
        "{n} overlappen van minder dan {least:.1%} van beide gebieden weggelaten, {share:.2%} van het gebied",
        n=int(small.sum()), least=least, share=float(coo.data[small].sum() / coo.data.sum()),
    )  # fmt: skip
    return kept, [note] if small.any() else []
