"""What is published of one set of estimates, apart from how: tables, leaning, profile, and what the run says of itself.

`documents` yields a dictionary per gemeente with everything about it. It is the JSON file of the gemeente, and its
pages are filled from the same dictionary, so that they cannot differ.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from buurtsae.drawing.style import Classes, significant
from buurtsae.errors import DataError, Problems, cut, shown
from buurtsae.estimates.changes import COLUMNS as CHANGES
from buurtsae.estimates.labels import verdicts
from buurtsae.estimates.summary import Estimates
from buurtsae.estimates.waves import Waves
from buurtsae.estimates.words.change import change_lines
from buurtsae.estimates.words.explanation import explanation
from buurtsae.estimates.words.leaning import leaning
from buurtsae.estimates.words.profile import ProfileIndicator, indicators, profile
from buurtsae.folder.finished import Finished
from buurtsae.notes import MADE, Note
from buurtsae.origin import areas_made, as_in, source
from buurtsae.scale import SCORE, Scale
from buurtsae.schemas import CONTRACT_VERSION, records
from buurtsae.survey.concept import Concept

if TYPE_CHECKING:
    import geopandas as gpd

ROW = (
    *("level", "area_code", "measure", "year", "estimate", "sd", "lower", "upper", "n_respondents", "n_effective"),
    *("direct", "direct_se", "own_data_share", "reliability", "label", "basis", "reason", "p_above_parent"),
    *("rank_lower", "rank_upper", "benchmarked"),
)
NODE = ("nl", "en", "about", "about_en", "parent")


GROUP = (
    *("characteristic", "group", "area_code", "measure", "year", "estimate", "lower", "upper", "n_respondents"),
    *("population", "label", "reason"),
)
OFFICIAL = ("area_code", "measure", "value")
SAID = (*(name for name in CHANGES if name != "area_name"), "verdict")
PLACE = ("level", "area_code", "area_name", "population")
CODES = 20  # gemeenten whose rows are made Python objects at a time
PROFILE = ("area_code", "indicator", "value", "gemeente", "land")


@dataclass(frozen=True)
class Content:
    """Everything that pages and files per gemeente show.

    `run` has `title`, `created`, `run_id`, `draft` (the quality gate was not met), `fictitious` (what of the data is
    made, with a `notice` that says so), `credit` (whom the areas come from) and, if need be, a `source` line of its
    own. `table` are the published estimates of all levels; `geometry` all buurten in RD New by area_code, those without
    residents included, with `gemeente` and, where known, `name`; `indicators` and `profile` the objective figures;
    `official` those that an office has published itself; `groups` figures of groups of residents; `gemeenten` names of
    those without a row in the table, such as one of which the run holds a part; where there are several years `changes`
    is how figures changed between them and what is said of that, `opens` the year that pages open with, and `surveyed`
    are those with a survey.
    """

    run: Mapping[str, Any]
    table: pd.DataFrame
    geometry: gpd.GeoDataFrame
    concept: Concept
    leaning: pd.DataFrame = field(default_factory=partial(pd.DataFrame, columns=("area_code", "measure")))
    indicators: tuple[ProfileIndicator, ...] = ()
    profile: pd.DataFrame = field(default_factory=partial(pd.DataFrame, columns=("gemeente_code", *PROFILE)))
    official: pd.DataFrame = field(default_factory=partial(pd.DataFrame, columns=OFFICIAL))
    gemeenten: Mapping[str, str] = field(default_factory=dict)
    groups: pd.DataFrame = field(default_factory=partial(pd.DataFrame, columns=("level", *GROUP)))
    changes: pd.DataFrame = field(default_factory=partial(pd.DataFrame, columns=("area_name", *SAID)))
    opens: int | None = None
    surveyed: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        problems = Problems()
        buurten = self.table.loc[self.table["level"] == "buurt", "area_code"]
        for what, names, known in (
            ("measures are not in the concept", self.table["measure"], self.concept.nodes),
            ("estimates have no geometry", buurten, self.geometry.index),
        ):
            if unknown := sorted(set(names.unique()) - set(known)):
                problems.add(what, shown(unknown), "codes that are known", "check the concept and the areas' year")
        problems.raise_if_any()

    @classmethod
    def of(cls, every: Estimates | Waves, run: Mapping[str, Any], groups: pd.DataFrame | None = None) -> Content:
        """Return what is published of estimates, of one period or several years, and of groups of residents."""
        est = every.current if isinstance(every, Waves) else every
        official = pd.DataFrame(columns=OFFICIAL)
        if est.benchmarked is not None and not est.benchmarked.benchmarks.own:
            figures = est.benchmarked.benchmarks.table
            official = figures.loc[est.release.open(figures), list(OFFICIAL)]
        return cls(
            run,
            every.published,
            est.areas.frame,
            est.concept,
            leaning(est).reset_index()
            if est.fit.design.size is None or est.fit.persons
            else pd.DataFrame(columns=["area_code", "measure"]),
            indicators(est.areas, est.concept),
            profile(est.areas, est.concept),
            official,
            est.areas.names.get("gemeente", {}),
            *(() if groups is None else (groups,)),
            **_of_years(every),
        )

    @cached_property
    def measures(self) -> tuple[str, ...]:
        """The measures that there are, each followed by its parts."""
        known, nodes = set(self.table["measure"].unique()), self.concept.nodes

        def below(parent: str | None) -> Iterator[str]:
            for node in nodes.values():
                if node.parent == parent:
                    yield node.id
                    yield from below(node.id)

        return tuple(measure for measure in below(None) if measure in known)

    @cached_property
    def years(self) -> tuple[int, ...]:
        """The years that there are, latest last."""
        return tuple(sorted(map(int, self.table["year"].unique())))

    @property
    def year(self) -> int:
        """The year that pages open with."""
        return self.opens or self.years[-1]

    @property
    def asked(self) -> tuple[int, ...]:
        """The years with a survey; the others are what the model says of them."""
        return self.surveyed or self.years

    @cached_property
    def classes(self) -> dict[str, Classes]:
        """The classes of maps of each measure, the same for all years, and for all scores on a scale."""
        rows, of, nodes = self.table[self.table["level"] == "buurt"], self.concept.scale_of, self.measures
        made: dict[Scale, Classes] = {}
        classes = {}
        for measure in nodes:
            if self.concept.outcome_of(measure) != "score":
                classes[measure] = Classes.of(of(measure), rows[rows["measure"] == measure], fixed=False)
                continue
            if of(measure) not in made:
                alike = [m for m in nodes if of(m) == of(measure) and self.concept.outcome_of(m) == "score"]
                made[of(measure)] = Classes.of(of(measure), rows[rows["measure"].isin(alike)])
            classes[measure] = made[of(measure)]
        return classes

    @cached_property
    def names(self) -> dict[str, str]:
        """Name of every gemeente, its code where the table has none."""
        rows = self.table[self.table["level"] == "gemeente"].drop_duplicates("area_code")
        known = {**self.gemeenten, **dict(zip(rows["area_code"], rows["area_name"], strict=True))}
        return {str(code): str(known.get(code, code)) for code in sorted(self.geometry["gemeente"].unique())}

    def documents(self) -> Iterator[dict[str, Any]]:
        """Yield everything about each gemeente, in the order of their codes."""
        table = self.table.assign(verdict=verdicts(self.table))
        inside, places = self._gemeente(table), self._places()
        above = table[table["level"] != "buurt"].drop_duplicates(["level", "area_code"])
        parts = {
            "above": _split(above, inside.loc[above.index], PLACE, self.names),
            "areas": _split(places, places["gemeente"], PLACE, self.names),
            "estimates": _split(table, inside, (*ROW, "verdict"), self.names),
            "official": _split(self.official, self.official["area_code"], OFFICIAL, self.names),
            "profile": _split(self.profile, self.profile["gemeente_code"], PROFILE, self.names),
            "leaning": _split(self.leaning, _gemeente_of(self.leaning), self.leaning.columns, self.names),
            "groups": _split(self.groups, self._gemeente(self.groups), GROUP, self.names),
            "changes": _split(self.changes, self._gemeente(self.changes), SAID, self.names),
        }
        land = records(table.loc[table["level"] == "land", [*ROW, "area_name"]])
        for (code, name), *found in zip(self.names.items(), *parts.values(), strict=True):
            rows = dict(zip(parts, found, strict=True))
            yield {
                "contract_version": CONTRACT_VERSION,
                "run": {"source": source(self.run.get("fictitious", False), self.run.get("credit", "")).nl, **self.run},
                "gemeente": {"area_code": code, "area_name": name},
                "years": list(self.years),
                "opens": self.year,
                "surveyed": list(self.asked),
                "measures": [
                    {"measure": node.id, **{key: getattr(node, key) for key in NODE}, **self._scale(node.id)}
                    for node in (self.concept.nodes[name] for name in self.measures)
                ],
                "areas": rows["above"] + rows["areas"],
                "estimates": rows["estimates"],
                "land": land,
                "official": rows["official"],
                "indicators": [vars(figure) | self._origin(figure) for figure in self.indicators],
                "profile": rows["profile"],
                "leaning": rows["leaning"],
                "groups": rows["groups"],
                "changes": rows["changes"],
            }

    def _scale(self, measure: str) -> dict[str, Any]:
        """What figures of a measure can be, as documents say it."""
        scale = self.concept.scale_of(measure)
        lower, upper = (end if math.isfinite(end) else None for end in (scale.lower, scale.upper))
        of = {"outcome": self.concept.outcome_of(measure), "scale_lower": lower, "scale_upper": upper}
        return of | {"unit": scale.nl, "unit_en": scale.en, "decimals": scale.digits}

    def _origin(self, indicator: ProfileIndicator) -> dict[str, str]:
        """The register that an indicator is from, or is like."""
        register = Note(indicator.source_en or indicator.source, indicator.source)
        name = as_in(register, areas_made(self.run.get("fictitious", False)))
        return {"source": name.nl, "source_en": name}

    def _places(self) -> pd.DataFrame:
        """All buurten, those without residents too."""
        codes = self.geometry.index.to_series()
        names, people = self.geometry.get("name", codes), self.geometry.get("population", codes.map(lambda _: None))
        return pd.DataFrame(
            {
                "gemeente": self.geometry["gemeente"].to_numpy(),
                "level": "buurt",
                "area_code": codes.to_numpy(),
                "area_name": [str(name) for name in names],
                "population": pd.array([None if pd.isna(n) else int(n) for n in people], "Int64"),
            }
        )

    def _gemeente(self, table: pd.DataFrame) -> pd.Series:
        """The gemeente that a row is about; empty for what is in no single one."""
        inside = table["level"].isin(["gemeente", "wijk", "buurt"])
        codes = _gemeente_of(table).where(inside, "")
        if unknown := sorted(set(codes[inside]) - set(self.names)):
            what = "estimates are of gemeenten without buurten"
            raise DataError(what, shown(unknown), "the gemeenten of the map", "check the areas")
        return codes


def _of_years(every: Estimates | Waves) -> dict[str, Any]:
    """What there is of several years alone."""
    if not isinstance(every, Waves):
        return {}
    return {"changes": every.said, "opens": every.current_year, "surveyed": every.surveyed}


def _gemeente_of(table: pd.DataFrame) -> pd.Series:
    """The gemeente that the code of a buurt, wijk or gemeente has in it."""
    return "GM" + table["area_code"].astype(str).str[2:6]


def _split(
    table: pd.DataFrame, by: pd.Series, columns: Iterable[str], codes: Iterable[str]
) -> Iterator[list[dict[str, Any]]]:
    """Yield the rows of each code, in the order of the table; those of many codes are made at a time."""
    known, rows = pd.Index(list(codes)), table[list(columns)]
    place = known.get_indexer(pd.Index(by))
    order = np.argsort(place, kind="stable")
    ends = np.searchsorted(place[order], np.arange(len(known) + 1))
    for first in range(0, len(known), CODES):
        of = ends[first : first + CODES + 1]
        made = records(rows.iloc[order[of[0] : of[-1]]])
        yield from (made[low - of[0] : high - of[0]] for low, high in pairwise(of))


def of_area(folder: str | Path, code: str) -> dict[str, Any]:
    """Read what a finished run says of one buurt, wijk or gemeente: a code as published.

    Returns
    -------
    dict
        `names` and `scales` of the measures, and its rows of `estimates`, of the year that pages open with, `leaning`,
        `profile`, `indicators` and `changes`.

    Raises
    ------
    DataError
        If the folder holds no finished run, the run no file of the gemeente, or the file nothing of the area.
    """
    run, code = Finished.open(folder), code.strip().upper()
    name = f"json/GM{code[2:6]}.json"
    if name not in run.names:
        known = shown(Path(file).stem for file in run.names if file.startswith("json/")) or f"no gemeenten in {folder}"
        hint = "check the code, and --from FOLDER"
        raise DataError("there are no results of this area", cut(repr(code)), known, hint)
    document = run.json(name)
    of = ("leaning", "profile", "changes")
    parts = {part: [row for row in document.get(part, ()) if row["area_code"] == code] for part in of}
    year = document.get("opens", document["years"][-1])
    rows = [r for r in document["estimates"] if r["area_code"] == code and r["year"] == year]
    buurten = [area["area_code"] for area in document["areas"] if area["level"] == "buurt"]
    if code not in {above for buurt in buurten for above in (buurt, f"WK{buurt[2:8]}", f"GM{buurt[2:6]}")}:
        raise DataError("there is no such area", cut(repr(code)), shown(buurten), "check the code")
    if not rows:
        hint = "buurten without residents have none, nor areas of which the run holds a part"
        raise DataError("there is no estimate of this area", repr(code), "a code in the table", hint)
    about = next(area for area in document["areas"] if area["area_code"] == code)
    return {
        "notice": document["run"].get("notice", ""),
        "names": {measure["measure"]: measure["nl"] for measure in document["measures"]},
        "scales": {measure["measure"]: _read_scale(measure) for measure in document["measures"]},
        "estimates": [about | row for row in rows],
        "indicators": document["indicators"],
        **parts,
    }


def _read_scale(measure: Mapping[str, Any]) -> Scale:
    """The scale of a measure in a document; those of earlier versions have none."""
    if "unit" not in measure:
        return SCORE
    lower, upper = measure["scale_lower"], measure["scale_upper"]
    ends = (-math.inf if lower is None else lower, math.inf if upper is None else upper)
    return Scale(*ends, measure["unit"], measure["unit_en"], measure["decimals"])


def explained(area: Mapping[str, Any]) -> str:
    """Return in Dutch what `of_area` read."""
    leans = {row["measure"]: row for row in area["leaning"]}
    lines = [
        *([MADE.nl] if area["notice"] else []),
        explanation(area["estimates"], area["names"], leans, area["scales"]),
        *([change_lines(area["changes"], area["names"], area["scales"])] if area["changes"] else []),
    ]
    rows = {row["indicator"]: row for row in area["profile"]}
    for figure in (indicator for indicator in area["indicators"] if indicator["name"] in rows):
        value, gemeente, land = (significant(rows[figure["name"]][key]) for key in ("value", "gemeente", "land"))
        lines.append(f"  {figure['nl']:32} {value} (gemeente {gemeente}, geheel {land}) {figure['unit']}")
    return "\n".join(lines)
