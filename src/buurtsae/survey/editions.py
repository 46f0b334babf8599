"""Respondents and direct estimates on another edition of the areas, and direct estimates joined.

Nobody is moved: what was observed in an old area stays what it is, an observation of a weighted mean of the areas that
it lies in (`buurtsae.areas.editions`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from buurtsae.areas.areas import Areas
from buurtsae.areas.editions import Edition
from buurtsae.errors import DataError, Problems, check_kinds, cut, shown
from buurtsae.notes import Note
from buurtsae.survey.counts import AreaCounts
from buurtsae.survey.direct import DirectEstimates
from buurtsae.survey.panels import panels
from buurtsae.survey.scales import Scores
from buurtsae.survey.source_estimates import SourceEstimates, widened

Data = TypeVar("Data", bound=Scores | DirectEstimates)
MISSING = {"mean": np.nan, "rarest": np.inf}  # of a measure that a source does not have; 0 of other arrays


def on_edition(data: Data, areas: Areas, level: str) -> Data:
    """Return respondents, or direct estimates, of another edition on these areas.

    Parameters
    ----------
    data : Scores or DirectEstimates
        With codes of the other edition.
    areas : Areas
        Of the edition that is asked for, with the other one: `areas.with_edition(crosswalk)`.
    level : str
        Which: `buurt_2020`.

    Returns
    -------
    Scores or DirectEstimates
        Ready for `direct`, or for `fit` and `joined`. Areas with the ground of a new one have its code, others their
        own, with the year. Notes count what cannot be observed: areas that are gone, or lie elsewhere.

    Raises
    ------
    DataError or ProblemsError
        If the areas do not have the edition, codes are unknown in it, nothing is left, or the data are counts beside
        trials or an exposure, or of wijken where the crosswalk is of buurten.

    Examples
    --------
    >>> import pandas as pd
    >>> import buurtsae as bs
    >>> new = bs.Areas.from_frame(pd.DataFrame({"code": ["a", "b", "c"]}), code="code", year=2024)
    >>> table = pd.DataFrame({"old": ["a", "b", "b"], "new": ["a", "b", "c"], "share": [1, 0.3, 0.7]})
    >>> new = new.with_edition(bs.Crosswalk.from_table(table, years=(2020, 2024), level="area"))
    >>> rates = pd.DataFrame({"code": ["a", "b"], "rate": [2.0, 3.0], "var": 0.2})
    >>> old = bs.DirectEstimates.from_frame(rates, y="rate", variance="var", area="code", year=2020)
    >>> bs.on_edition(old, new, "area_2020").sources[0].codes.tolist()
    ['a', 'b (2020)']
    """
    check_kinds(data=(data, (Scores, DirectEstimates)), areas=(areas, Areas), level=(level, str))
    if level not in areas.editions:
        hint = "areas.with_edition(crosswalk) gives them one"
        raise DataError("the areas have no such edition", cut(repr(level)), shown(areas.editions) or "none", hint)
    edition = areas.editions[level]
    if isinstance(data, Scores):
        return _respondents(data, areas, edition)  # type: ignore[return-value]
    if isinstance(data, AreaCounts):
        hint = "give direct estimates with variances"
        raise DataError("counts cannot be taken to another edition", "AreaCounts", "Scores or DirectEstimates", hint)
    problems, sources, remarks = Problems(), list[SourceEstimates](), list(data.notes)
    for source in data.sources:
        found = problems.attempt(_source, source, areas, edition)
        if found is not None:
            sources.append(found[0])
            remarks += found[1]
    scores = [problems.attempt(_respondents, each, areas, edition) for each in data.scores]
    problems.raise_if_any()
    known = tuple(each for each in scores if each is not None)
    together = panels(sources, known, data.subdimensions) if len(known) == len(sources) else ()
    return replace(data, sources=tuple(sources), scores=known, areas=areas, notes=tuple(remarks), panels=together)


def _respondents(scores: Scores, areas: Areas, edition: Edition) -> Scores:
    """Respondents with the labels of an edition."""
    kept, code, notes = _labelled(scores.frame["area_code"], scores.source, scores.level, "respondents", edition)
    level = areas.base if code[kept].isin(areas.codes).all() else edition.level
    errors = None if scores.errors is None else scores.errors[kept]
    frame = scores.frame.assign(area_code=code)[kept]
    return replace(scores, frame=frame, errors=errors, notes=(*scores.notes, *notes), level=level)


def _source(source: SourceEstimates, areas: Areas, edition: Edition) -> tuple[SourceEstimates, list[Note]]:
    """One source with the labels of an edition, sorted by these."""
    codes = pd.Series(source.codes)
    kept, code, notes = _labelled(codes, source.source, source.level, "estimates", edition)
    at = np.flatnonzero(kept)
    at = at[np.argsort(code.to_numpy()[at].astype(str))]
    arrays = {name: getattr(source, name) for name in PER_AREA}
    rows = {name: array[at] for name, array in arrays.items() if array is not None}
    labels = pd.Index(code.to_numpy()[at], name="area_code")
    level = areas.base if labels.isin(areas.codes).all() else edition.level
    return widened(replace(source, codes=labels, level=level, **rows), areas), notes


PER_AREA = ("mean", "variance", "respondents", "n_effective", "given", "within", "freedom", "rarest", "alike")


def _labelled(
    code: pd.Series, source: str, level: str, what: str, edition: Edition
) -> tuple[pd.Series, pd.Series, list[Note]]:
    """Which rows can be observed, the labels of all, and a note on the others."""
    walk = edition.walk
    if level != walk.level:
        hint = "give a crosswalk from that level"
        raise DataError(f"{source} is of another level than the crosswalk", level, walk.level, hint)
    if len(unknown := code[~code.isin(walk.old)]):
        got = f"{len(unknown)} {what} in {unknown.nunique()} areas ({shown(sorted(map(str, unknown.unique())))})"
        expected, hint = f"areas of {walk.years[0]} ({shown(walk.old, 2)})", "is the source of another edition?"
        raise DataError(f"{source} has areas that the crosswalk does not know", got, expected, hint)
    label = edition.label(code)
    kept = label.notna()
    if not kept.any():
        hint = "is the source of this region?"
        raise DataError(f"nothing of {source} lies in these areas", f"{len(code)} {what}", "some", hint)
    lost = sorted(map(str, code[~kept].unique()))
    note = Note(
        "{n} {what} of {source} left out: their areas of {year} are gone, or lie for the most part where there are no "
        "inhabited areas of the run ({codes})",
        "{n} {what} van {source} weggelaten: hun gebieden van {year} zijn verdwenen, of liggen grotendeels waar de "
        "run geen bewoonde gebieden heeft ({codes})",
        n=int((~kept).sum()), what=WORDS[what], source=source, year=walk.years[0], codes=lost,
    )  # fmt: skip
    return kept, label, [note] if lost else []


WORDS = {"respondents": Note("respondents", "respondenten"), "estimates": Note("estimates", "schattingen")}


def joined(*several: DirectEstimates) -> DirectEstimates:
    """Return direct estimates on the same areas as one, with the sources of all.

    Parameters
    ----------
    *several : DirectEstimates
        Their order is that of the sources: the first that informs a measure is its reference, as `reference` says.

    Returns
    -------
    DirectEstimates
        With respondents where all have them; with the editions of all.

    Raises
    ------
    DataError or ProblemsError
        If areas or scales differ, a source of one year is there twice, or some are counts.

    Examples
    --------
    >>> import pandas as pd
    >>> import buurtsae as bs
    >>> table = pd.DataFrame({"code": ["a", "b"], "x": [2.0, 3.0], "y": [1.0, 2.0], "var": 0.2})
    >>> areas = bs.Areas.from_frame(table[["code"]], code="code")
    >>> of = {"variance": "var", "area": "code", "areas": areas}
    >>> bs.joined(*(bs.DirectEstimates.from_frame(table, y=y, year=t, **of) for y, t in [("x", 2022), ("y", 2024)]))
    DirectEstimates of x, y (direct 2022: 2 areas, direct 2024: 2 areas)
    """
    problems, first = Problems(), several[0] if several else None
    if first is None or any(not isinstance(one, DirectEstimates) or isinstance(one, AreaCounts) for one in several):
        kinds = shown(type(one).__name__ for one in several) or "nothing"
        raise DataError("these are no direct estimates", kinds, "DirectEstimates, one or more", "give these")
    for other in several[1:]:
        if not other.areas.codes.equals(first.areas.codes) or other.areas.year != first.areas.year:
            expected, hint = repr(first.areas), "bring them to one edition first, by `on_edition`"
            problems.add("direct estimates are of different areas", repr(other.areas), expected, hint)
        if other.scale != first.scale:
            hint = "bring them to one scale first"
            problems.add("direct estimates are on different scales", other.scale.range, first.scale.range, hint)
    keys = [(source.source, source.year) for one in several for source in one.sources]
    if twice := sorted({key for key in keys if keys.count(key) > 1}):
        got = shown(f"{name} {year}" for name, year in twice)
        problems.add("sources are given twice", got, "each once", "combine the files first")
    problems.raise_if_any()
    measures = tuple(dict.fromkeys(name for one in several for name in one.subdimensions))
    sources = tuple(_padded(source, one.subdimensions, measures) for one in several for source in one.sources)
    editions = {level: edition for one in several for level, edition in one.areas.editions.items()}
    scores = tuple(each for one in several for each in one.scores) if all(one.scores for one in several) else ()
    found = panels(sources, scores, measures)
    noted = [*(note for one in several for note in one.notes), *(panel.words for panel in found)]
    notes = tuple(dict.fromkeys(noted))
    return replace(
        first, subdimensions=measures, sources=sources, areas=replace(first.areas, editions=editions), scores=scores,
        notes=notes, years=(), anchors=(), panels=found, counted=all(one.counted for one in several),
    )  # fmt: skip


def _padded(source: SourceEstimates, known: Sequence[str], measures: Sequence[str]) -> SourceEstimates:
    """A source with columns for all measures."""
    if tuple(known) == tuple(measures):
        return source
    at, d = np.array([measures.index(name) for name in known]), len(measures)
    changed = dict[str, Any]()
    for name in (*PER_AREA, "icc", "pooled"):
        array = getattr(source, name)
        if array is None:
            continue
        square = name in ("variance", "given")
        shape = (*array.shape[: -2 if square else -1], *([d, d] if square else [d]))
        full = np.full(shape, MISSING.get(name, 0), dtype=array.dtype)
        if square:
            full[..., at[:, None], at] = array
        else:
            full[..., at] = array
        changed[name] = full
    return replace(source, **changed)
