r"""Direct estimates as an office hands them over: a table per buurt or wijk, because microdata stay in the office.

Smoothing: S_d = sum_a (n_a - 1) n_a v_ad / sum_a (n_a - 1) with n the effective number of respondents, and then
v_ad := S_d / n_a. Sampling correlations between sub-dimensions, where given, are kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from buurtsae.areas.areas import Areas
from buurtsae.areas.codes import SOURCES
from buurtsae.areas.columns import numbers
from buurtsae.errors import DataError, Problems, shown
from buurtsae.notes import Note
from buurtsae.scale import Scale
from buurtsae.survey.codebook import Codebook, available
from buurtsae.survey.concept import Concept
from buurtsae.survey.source_estimates import SourceEstimates
from buurtsae.tables import boolean, read_table

REQUIRED = ("area_code", "measure", "source", "estimate", "variance", "n_respondents")
KEY = ["area_code", "source", "measure"]
LONGEST = 200  # name of a source, in characters, as in a run file
ABSURD = 10  # scales away: not noise but another unit
REPAIR = "correct or drop these rows"
COVARIANCE = ("area_code", "source", "measure_1", "measure_2", "covariance")


def read_area_table(
    path: Path, covariances: Path | None, areas: Areas, concept: Concept, year: int, smooth: bool, drop: bool = False
) -> tuple[tuple[str, ...], tuple[SourceEstimates, ...], tuple[Note, ...]]:
    """Return the sub-dimensions, the estimates per source and the notes; see `DirectEstimates.from_table`."""
    problems, notes = Problems(), list[Note]()
    table = _columns(read_table(path, text=KEY), path, REQUIRED, problems)
    pairs = None
    if covariances is not None:
        pairs = problems.attempt(read_table, covariances, text=COVARIANCE[:-1])
        pairs = None if pairs is None else _columns(pairs, covariances, COVARIANCE, problems)
    problems.raise_if_any()
    if drop:
        table, pairs = _within(table, areas, path, notes), None if pairs is None else _within(pairs, areas, None, notes)
    if "n_effective" not in table:
        notes.append(Note(
            "{file} has no n_effective: the number of respondents is used",
            "{file} heeft geen n_effective: het aantal respondenten is gebruikt",
            file=path.name,
        ))  # fmt: skip
        table = table.assign(n_effective=table["n_respondents"])
    _check(table, path, areas, concept, smooth, problems)
    if covariances is not None and pairs is not None:
        _check_pairs(pairs, covariances, areas, concept, table["source"], problems)
    problems.raise_if_any()
    for level in SOURCES:
        if (empty := table["area_code"].isin(areas.at(level).difference(areas.inhabited_at(level)))).any():
            notes.append(Note(
                "{n} rows of {file} left out: {level}en without residents",
                "{n} rijen van {file} weggelaten: {level}en zonder inwoners",
                n=int(empty.sum()), file=path.name, level=level,
            ))  # fmt: skip
        table = table[~empty]
    table = table[table["estimate"].notna() & (table["n_respondents"] > 0)]
    if count := int(_outside(table, concept).sum()):
        notes.append(Note(
            "{n} of {of} estimates of {file} lie outside {ends}: used as they are, with their variances",
            "{n} van de {of} schattingen van {file} liggen buiten {ends}: gebruikt zoals ze zijn, "
            "met hun varianties",
            n=count, of=len(table), file=path.name, ends=concept.span.ends,
        ))  # fmt: skip
    if table.empty:
        raise DataError(f"{path.name} has no usable estimate", "0 rows", "some", "check the extract")
    if smooth:
        table = _smoothed(table, path)
    if pairs is None:
        notes.append(Note(
            "{file} comes without covariances: sampling errors taken as uncorrelated",
            "{file} komt zonder covarianties: steekproeffouten gelden als ongecorreleerd",
            file=path.name,
        ))  # fmt: skip
    measures = tuple(measure for measure in concept.subdimensions if measure in set(table["measure"]))
    groups = table.groupby("source", sort=False)
    sources = tuple(_arrange(rows, pairs, str(source), year, measures, problems) for source, rows in groups)
    problems.raise_if_any()
    return measures, sources, tuple(notes)


def _columns(table: pd.DataFrame, path: Path, required: tuple[str, ...], problems: Problems) -> pd.DataFrame:
    if absent := [column for column in required if column not in table]:
        problems.add(f"{path.name} lacks columns", shown(table.columns), shown(absent), "rename or add them")
    table = table[[column for column in (*required, "n_effective") if column in table]]
    for column in ("estimate", "variance", "covariance", "n_respondents", "n_effective"):
        if column not in table:
            continue
        if boolean(table[column]):
            problems.add(f"{path.name}, {column} is true and false", "booleans", "numbers", "name another column")
        if (values := numbers(table[column], f"{path.name}, {column} is no number", problems)) is not None:
            table = table.assign(**{column: values})
    return table


def _within(table: pd.DataFrame, areas: Areas, path: Path | None, notes: list[Note]) -> pd.DataFrame:
    """Return the rows of areas that there are, if any; those of a table that is named are counted."""
    level, code = _level(table["area_code"]), table["area_code"]
    here = pd.concat([code[level == name].isin(areas.at(name)) for name in SOURCES]).reindex(table.index)
    if not here.any():
        return table  # nothing left: the checks say which codes
    if path is not None and not here.all():
        notes.append(Note(
            "{n} of {of} rows of {file} left out: areas that are not there ({codes})",
            "{n} van de {of} rijen van {file} weggelaten: die gebieden zijn er niet ({codes})",
            n=int((~here).sum()), of=len(table), file=path.name, codes=sorted(code[~here].unique()),
        ))  # fmt: skip
    return table[here]


def _level(code: pd.Series) -> pd.Series:
    """Level of each area code: what begins as a wijkcode does is one, and anything else is meant as a buurtcode."""
    wijk = code.astype("string").str.startswith("WK", na=False)
    return pd.Series(np.where(wijk, "wijk", "buurt"), index=code.index)


def _check_areas(table: pd.DataFrame, areas: Areas, file: str, problems: Problems) -> None:
    """Codes must be known, and those of one source of one level."""
    level = _level(table["area_code"])
    for name in SOURCES:
        of_level, what = table[level == name], f"{file} has unknown {name}en of {areas.year}"
        omitted = int(areas.left_out(name, of_level["area_code"]).sum())
        widen = f"{omitted} rows are of areas that `where` leaves out: widen it"
        hint = (widen if omitted else REPAIR) + ', or set `unknown_areas = "drop"` in [direct]'
        _check_codes(of_level, ["area_code"], areas.at(name), what, problems, hint)
    for source, rows in table.groupby("source", sort=False):
        if (wijk := level[rows.index] == "wijk").any() and not wijk.all():
            what, codes = f"{file} has both buurten and wijken of {source}", shown(rows["area_code"][wijk])
            both = f"{int((~wijk).sum())} rows of buurten, {int(wijk.sum())} of wijken ({codes})"
            hint = "leave out the rows of one level, or name the source of the wijken otherwise"
            problems.add(what, both, "one level per source", hint)


def _check_codes(
    table: pd.DataFrame, columns: list[str], known: Iterable[str], what: str, problems: Problems, hint: str = REPAIR
) -> None:
    if unknown := sorted(set(table[columns].fillna("").to_numpy().ravel()) - set(known)):
        problems.add(what, shown(unknown), shown(known), hint)


def _check_pairs(
    pairs: pd.DataFrame, path: Path, areas: Areas, concept: Concept, sources: pd.Series, problems: Problems
) -> None:
    """Covariances must be complete and of known areas, sub-dimensions and sources; both triangles may be given."""
    file, measures = path.name, ["measure_1", "measure_2"]
    _check_areas(pairs, areas, file, problems)
    _check_codes(pairs, measures, concept.subdimensions, f"{file} has unknown sub-dimensions", problems)
    _check_codes(pairs, ["source"], sources.dropna().unique(), f"{file} has unknown sources", problems)
    if len(missing := pairs[~np.isfinite(pairs["covariance"])]):
        hint = "complete or drop them"
        problems.add(f"{file}: covariances are missing", shown(missing["area_code"]), "numbers", hint)
    ends = np.sort(pairs[measures].to_numpy(dtype=str), axis=1)
    each = pairs.assign(measure_1=ends[:, 0], measure_2=ends[:, 1]).drop_duplicates(list(COVARIANCE))
    if len(twice := each[each.duplicated(list(COVARIANCE[:-1]))]):
        hint = "correct the table"
        problems.add(f"{file} has different covariances of a pair", shown(twice["area_code"]), "one per pair", hint)


def _check(table: pd.DataFrame, path: Path, areas: Areas, concept: Concept, smooth: bool, problems: Problems) -> None:
    file = path.name
    nameless = table["source"].isna() | (table["source"] == "")
    if count := int(nameless.sum()):
        problems.add(f"{file} has rows without a source", f"{count} rows", "a name in each", "complete the column")
    if len(long := table["source"][table["source"].str.len() > LONGEST].unique()):
        hint = "shorten them"
        problems.add(f"{file} has sources with long names", shown(long), f"at most {LONGEST} characters", hint)
    _check_areas(table, areas, file, problems)
    _check_codes(table, ["measure"], concept.subdimensions, f"{file} has unknown sub-dimensions", problems)
    if len(twice := table[table.duplicated(KEY)]):
        what = f"{file} has estimates twice"
        problems.add(what, shown(twice["area_code"]), "one row per area, source, measure", "remove")
    filled = table["estimate"].notna()
    known = table[filled & table["measure"].isin(concept.subdimensions)]
    for scale, rows in known.groupby(known["measure"].map(concept.scale_of), sort=False):
        _check_unit(rows, scale, file, problems)
    if len(part := table[filled & (table["n_respondents"] != table["n_respondents"].round())].dropna()):
        values = shown(f"{value:g}" for value in part["n_respondents"])
        hint = "give the number of people; an effective number is `n_effective`"
        problems.add(f"{file}: n_respondents is no whole number", values, "persons", hint)
    for column in ("n_respondents", "n_effective"):
        if len(bad := table[filled & ~(table[column] >= 0)]):
            problems.add(f"{file}: {column} missing or negative", shown(bad["area_code"]), ">= 0", "complete it")
    if len(below := table[filled & (table["variance"] < 0)]) and smooth:  # 0 and missing can be smoothed
        problems.add(f"{file}: variances that are negative", shown(below["area_code"]), "0 or more", "correct them")
    if len(zero := table[filled & ~(table["variance"] > 0)]) and not smooth:
        hint = "smooth them first, or set `smooth = true`"
        problems.add(f"{file}: variances that are zero, negative or missing", shown(zero["area_code"]), "> 0", hint)


def _outside(table: pd.DataFrame, concept: Concept) -> pd.Series:
    """Which estimates lie beyond an end of the scale of their measure."""
    scales = [concept.scale_of(measure) for measure in table["measure"]]
    beyond = [bool(scale.outside(value)) for scale, value in zip(scales, table["estimate"], strict=True)]
    return pd.Series(beyond, table.index, dtype=bool)


def _check_unit(table: pd.DataFrame, scale: Scale, file: str, problems: Problems) -> None:
    """Estimates far outside their scale, or most of them outside, are of another unit."""
    far = ABSURD * scale.width
    if len(absurd := table[~table["estimate"].between(scale.lower - far, scale.upper + far)]):
        values = shown(f"{value:g}" for value in absurd["estimate"])
        what = f"{file}: estimates far outside the scale"
        problems.add(what, values, f"about {scale.range.removeprefix('from ')}", f"rescale to {scale.ends}")
    for (source, measure), rows in table.groupby(["source", "measure"]):
        outside = scale.outside(rows["estimate"])
        if outside.mean() > 0.5 and not len(absurd):
            middle, hint = rows["estimate"].median(), "rescale them"
            if middle > scale.upper and scale.lower == 0:
                hint = f"these look like 0-{10 * scale.upper:g}: divide them by 10, and their variances by 100"
            what = f"{file}: most estimates of {measure} by {source} lie outside the scale"
            many = f"{int(outside.sum())} of {len(rows)}, {middle:g} in the middle"
            problems.add(what, many, scale.range.removeprefix("from "), hint)


def _smoothed(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Replace variances by the pooled unit variance over the effective number of respondents."""
    n = table["n_effective"].clip(lower=1.0)
    usable = table["variance"].fillna(0) > 0
    freedom = (n - 1).where(usable, 0.0)
    groups = [table["source"], table["measure"]]
    top = (freedom * n * table["variance"].fillna(0)).groupby(groups).transform("sum")
    bottom = freedom.groupby(groups).transform("sum")
    if (bottom <= 0).any():
        what, hint = f"{path.name}: variances cannot be pooled", "give smoothed variances and set `smooth = false`"
        none = "no area with two effective respondents and a positive variance"
        raise DataError(what, none, "several such areas per source and measure", hint)
    return table.assign(before=table["variance"], variance=top / bottom / n)


def _arrange(
    rows: pd.DataFrame, pairs: pd.DataFrame | None, source: str, year: int, measures: Sequence[str], problems: Problems
) -> SourceEstimates:
    known = pd.Index(sorted(set(rows["area_code"])))
    row, column = known.get_indexer(rows["area_code"]), pd.Index(measures).get_indexer(rows["measure"])
    shape = (len(known), len(measures))
    mean, before = np.full(shape, np.nan), np.full(shape, np.nan)
    n, n_effective, sd = np.zeros(shape, dtype=np.int64), np.zeros(shape), np.zeros(shape)
    mean[row, column] = rows["estimate"]
    n[row, column] = rows["n_respondents"]
    n_effective[row, column] = rows["n_effective"]
    sd[row, column] = np.sqrt(rows["variance"])
    before[row, column] = np.sqrt(rows["before"] if "before" in rows else rows["variance"])
    correlation = np.zeros((*shape, shape[1]))
    correlation[:] = np.eye(len(measures))
    if pairs is not None:
        pairs = pairs[(pairs["source"] == source) & pairs["area_code"].isin(known)]
        pairs = pairs[pairs[["measure_1", "measure_2"]].isin(measures).all(axis=1)]
        pairs = pairs[pairs["measure_1"] != pairs["measure_2"]]
        a = known.get_indexer(pairs["area_code"])
        d, e = (pd.Index(measures).get_indexer(pairs[name]) for name in ("measure_1", "measure_2"))
        scale = before[a, d] * before[a, e]
        ratio = np.divide(pairs["covariance"].to_numpy(dtype=float), scale, out=np.zeros(len(pairs)), where=scale > 0)
        correlation[a, d, e] = correlation[a, e, d] = ratio
        lowest = np.linalg.eigvalsh(correlation)[:, 0]
        if (lowest <= 0).any():
            expected, hint = "a positive definite matrix per area", "check both tables, or leave the covariances out"
            problems.add(f"covariances of {source} do not fit the variances", shown(known[lowest <= 0]), expected, hint)
    smoothed, raw = (correlation * (root[:, :, None] * root[:, None, :]) for root in (sd, before))
    kind = Codebook.load(source).kind if source in available() else "survey"
    level = str(_level(rows["area_code"]).iloc[0])
    return SourceEstimates(source, year, known, mean, smoothed, n, n_effective, raw, kind, level=level)
