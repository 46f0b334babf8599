"""The static site: a start page, a page per gemeente and per buurt, and the method statement; no server, no network.

Pages are filled from the documents per gemeente (`content`). Tables and maps are there without scripts; a page carries
its own style and script and a policy that allows no other, so that a hostile name is text and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from buurtsae.drawing.style import COLOURS, DARK, LABELS, NO_FIGURE, VERDICT_COLOURS, VERDICT_WORDS, plain
from buurtsae.estimates.labels import in_english
from buurtsae.estimates.words.change import WORDS
from buurtsae.estimates.words.explanation import leans_on, most
from buurtsae.figures import both, dutch
from buurtsae.notes import Note
from buurtsae.publication import cells
from buurtsae.publication.about import of_run
from buurtsae.publication.cells import Row
from buurtsae.publication.content import Content
from buurtsae.publication.outlines import outlines
from buurtsae.publication.over_years import Years, of_script, over_years
from buurtsae.publication.pages import write_page
from buurtsae.publication.start import index

if TYPE_CHECKING:
    import geopandas as gpd

    from buurtsae.publication.method import Statement

SIMULATED = Note("simulated answers alone", "gesimuleerde antwoorden alleen")


def write_site(content: Content, folder: Path, statement: Statement | None = None) -> None:
    """Write `dashboard/` and `json/`: a page and a file per gemeente, a page per buurt.

    Without a statement the method statement has its fixed text alone.
    """
    dashboard = folder / "dashboard"
    for path in (dashboard / "gemeente", dashboard / "buurt", folder / "json"):
        path.mkdir(parents=True)
    common = _common(content)
    by_gemeente = dict(list(content.geometry.groupby("gemeente")))
    for document in content.documents():
        code = document["gemeente"]["area_code"]
        text = json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=str)
        (folder / "json" / f"{code}.json").write_text(text + "\n", encoding="utf-8", newline="\n")
        gemeente = _Gemeente(document, common["tree"], content, alone=len(content.names) == 1)
        pages = [("gemeente", code, gemeente.page(by_gemeente[code]))]
        pages += [("buurt", buurt, values) for buurt, values in gemeente.buurten()]
        for here, name, values in pages:
            write_page(dashboard / here / f"{name}.html", f"{here}.html", **common, **values, up="../", here=here)
    for here, values in (("index", index(content, common["tree"])), ("verantwoording", {"statement": statement})):
        write_page(dashboard / f"{here}.html", f"{here}.html", **common, **values, up="", here=here)


def _common(content: Content) -> dict[str, Any]:
    classes, years = content.classes[content.measures[0]], Years.of(content)
    return {
        "run": of_run(content.run),
        "year": content.year,
        "years": years.all,
        "several": years,
        "nodes": content.concept.nodes,
        "first": content.measures[0],
        "tree": _tree(content),
        "colours": COLOURS,
        "verdict_colours": VERDICT_COLOURS,
        "dark": DARK,
        "scale": content.concept.span,
        "noun": content.concept.noun,
        "Noun": Note(_title(str(content.concept.noun)), _title(content.concept.noun.nl)),
        "heading": content.concept.heading,
        "total": content.concept.total,
        "axis": classes if len({each.axis for each in content.classes.values()}) == 1 else None,
        "classes": classes.words,
        "verdicts": VERDICT_WORDS,
        "said": WORDS,
        "no_change": Note("no figure in one of the two years", "in een van de twee jaren geen cijfer"),
        "no_figure": Note("not published, or no residents", NO_FIGURE),
        "no_verdict": Note("no figure of the area or of the municipality", "geen cijfer van de buurt of de gemeente"),
    }


def _tree(content: Content) -> list[dict[str, Any]]:
    """The measures in the order of the concept's tree, with their depth."""
    tree: list[dict[str, Any]] = []
    depth: dict[str | None, int] = {}
    for node in (content.concept.nodes[measure] for measure in content.measures):
        depth[node.id] = depth.get(node.parent, -1) + 1
        about = Note(node.about_en or node.about, node.about)
        scale = content.concept.scale_of(node.id)
        unit = (
            None
            if scale.plain or scale.sign or not content.concept.span.mixed
            else Note(f" ({scale.en})", f" ({scale.nl})")
        )
        names = {"nl": node.nl + (unit.nl if unit else ""), "en": _title(node.en) + (unit or "")}
        tree.append({"id": node.id, **names, "about": about, "depth": depth[node.id]})
    return tree


class _Gemeente:
    """The pages of one gemeente, from its document."""

    def __init__(self, document: Mapping[str, Any], tree: list[Row], content: Content, *, alone: bool) -> None:
        self.classes, self.noun, self.total = content.classes, content.concept.noun, content.concept.total
        self.scales = {measure: content.concept.scale_of(measure) for measure in content.measures}
        ends = {measure: each.marks for measure, each in self.classes.items()}
        self.axes = {measure: [plain(marks[end]) for end in (0, -1)] for measure, marks in ends.items()}
        self.titles = {"": ("Wie wonen er, en hoe", "Who lives there, and how")}  # of dimensions of objective figures
        for part in document["measures"]:
            self.titles[part["measure"]] = f"Omgeving, bij {part['nl'].lower()}", f"Surroundings, for {part['en']}"
        self.alike = len({each.axis for each in content.classes.values()}) == 1
        self.document, self.tree, self.first, self.year = document, tree, tree[0]["id"], document["opens"]
        self.years = Years.of(content)
        self.rows = {(row["area_code"], row["measure"], row["year"]): row for row in document["estimates"]}
        of_change = ("area_code", "measure", "year_from", "year_to")
        self.changes = {tuple(row[key] for key in of_change): row for row in document["changes"]}
        self.land = {(row["measure"], row["year"]): row for row in document["land"]}
        self.residents: dict[
            str, dict[str, dict[tuple[str, str], Row]]
        ] = {}  # by area, characteristic, group and measure
        for row in document["groups"]:
            if row["year"] == self.year:
                of_area = self.residents.setdefault(row["area_code"], {}).setdefault(row["characteristic"], {})
                of_area[row["group"], row["measure"]] = row
        self.indicators = {figure["name"]: (figure["dimension"], _words(figure)) for figure in document["indicators"]}
        self.code = document["gemeente"]["area_code"]
        areas = [area for area in document["areas"] if area["level"] == "buurt"]
        self.areas = sorted(areas, key=lambda area: (area["area_name"].casefold(), area["area_code"]))
        self.whole = self.rows.get((self.code, self.first, self.year))
        land_name = str(document["land"][0]["area_name"]) if document["land"] else "–"
        # of one gemeente alone the whole is the gemeente itself
        self.head = {"gemeente": document["gemeente"], "land_name": None if alone and self.whole else land_name}

    def page(self, geometry: gpd.GeoDataFrame) -> dict[str, Any]:
        official = {row["measure"]: row["value"] for row in self.document["official"]}
        figures, data = {node["id"]: self._figure(node["id"], official) for node in self.tree}, self._data()
        return {
            **self.head,
            "figures": figures,
            "without": self._without(),
            "official": any(figure["official"] for figure in figures.values()),
            "residents_of": self._residents(self.code),
            "over_years": self._over_years(self.code),
            "pairs": data.get("pairs", []),
            "shape": outlines(geometry),
            "rows": [self._row(area) for area in self.areas],
            "data": data,
        }

    def _without(self) -> Note | None:
        """Why there is no figure of the gemeente, if there is none."""
        if cells.is_shown(self.whole) or not self.rows:  # nobody lives in any buurt, which each of them says
            return None
        if self.whole is None:
            return Note(
                "There is no figure of the whole municipality: only a part of its areas is in these results.",
                "Er is geen cijfer van de hele gemeente: maar een deel van de buurten zit in deze resultaten.",
            )
        return Note(
            "The figure of the municipality is not published: {why}.",
            "Het cijfer van de gemeente is niet gepubliceerd: {why}.",
            why=cells.words(self.whole)["reason"],
        )

    def _figure(self, measure: str, official: Mapping[str, float]) -> dict[str, Any]:
        """The gemeente's figure; what others publish, or its respondents alone say, where that reads differently."""
        row, land = self.rows.get((self.code, measure, self.year)), self.land.get((measure, self.year))
        scale = self.scales[measure]
        score, digits = cells.score(row, scale), scale.digits
        if cells.is_shown(row):
            digits = min(cells.digits_of(row, scale.digits), scale.digits + 1)  # those of a direct estimate
        others, shown = [], dutch(row["estimate"], digits) if cells.is_shown(row) else score
        if (value := official.get(measure)) is not None and dutch(value, digits) != shown:
            others.append(Note("{x} (published)", "{x} (gepubliceerd)", x=both(dutch(value, digits) + scale.sign)))
        if row is not None and row["direct"] is not None and dutch(row["direct"], digits) != shown:
            who = SIMULATED if self.document["run"].get("fictitious") else Note("survey alone", "enquête alleen")
            others.append(Note("{x} ({who})", "{x} ({who})", x=both(cells.own_margin(row, digits, scale)), who=who))
        return {**cells.figures(row, scale), "land": cells.score(land, scale), "official": Note.joined(others)}

    def _row(self, area: Row) -> dict[str, Any]:
        """What the table and the map show of a buurt without scripts: the first measure, the last year."""
        row = self.rows.get((area["area_code"], self.first, self.year))
        return {
            "code": area["area_code"],
            "name": area["area_name"],
            **cells.figures(row, self.scales[self.first]),
            "people": cells.people(row),
            "css": cells.css(row, self.classes[self.first])
            + "i" * (cells.is_shown(row) and row["label"] == "indicatief"),
            **cells.words(row),
        }

    def _data(self) -> dict[str, Any]:
        """What the script of the page needs, printed numbers only."""
        reasons: dict[str, int] = {}

        def packed(code: str, measure: str, year: int) -> Any:
            return cells.packed(self.rows.get((code, measure, year)), reasons, self.classes[measure])

        names, years = [node["id"] for node in self.tree], self.document["years"]
        codes = [area["area_code"] for area in self.areas]
        return {
            "first": self.first,
            "years": years,
            "year": self.year,
            "buurten": [[area["area_code"], area["area_name"]] for area in self.areas],
            "measures": {part["measure"]: self._of_measure(part) for part in self.document["measures"]},
            "verdicts": VERDICT_WORDS,
            "noun": cells.in_both(self.noun),
            "uncompared": cells.in_both(cells.UNCOMPARED),
            "labels": [cells.in_both(label) for label in LABELS.values()],
            "nobody": cells.in_both(cells.NO_RESIDENTS),
            "rows": {year: {name: [packed(code, name, year) for code in codes] for name in names} for year in years},
            "whole": {year: {name: packed(self.code, name, year) for name in names} for year in years},
            "reasons": [[reason, in_english(reason)] for reason in reasons],
            **(of_script(self.years, self.changes, codes, self.scales) if self.years.several else {}),
        }

    def _over_years(self, code: str) -> dict[str, Any] | None:
        """The figures of an area in every year, and how they changed."""
        rows = {key[1:]: row for key, row in self.rows.items() if key[0] == code}
        changes = {key[1:]: row for key, row in self.changes.items() if key[0] == code}
        return over_years(self.years, self.tree, self.scales, rows, changes)

    def _of_measure(self, part: Row) -> dict[str, Any]:
        """What the script needs of a measure: names, decimals, sign, marks of an axis, and classes of the map."""
        measure = part["measure"]
        classes, scale = self.classes[measure], self.scales[measure]
        about = {"nl": part["nl"], "en": part["en"], "digits": classes.digits, "marks": classes.marks}
        signed = {"sign": scale.sign} if scale.sign else {}
        return about | signed | ({} if self.alike else {"classes": [cells.in_both(text) for text in classes.words]})

    def buurten(self) -> list[tuple[str, dict[str, Any]]]:
        """Return what the page of each buurt shows."""
        profile: dict[str, list[Row]] = {}
        for row in self.document["profile"]:
            profile.setdefault(row["area_code"], []).append(row)
        leaning = {(row["area_code"], row["measure"]): row for row in self.document["leaning"]}
        return [(area["area_code"], self._buurt(area, profile, leaning)) for area in self.areas]

    def _buurt(
        self, area: Row, profile: Mapping[str, list[Row]], leaning: Mapping[tuple[str, str], Row]
    ) -> dict[str, Any]:
        code = area["area_code"]
        scores = list(self._scores(code, self.year, leaning))
        whole = self.rows.get((code, self.first, self.year)) if self.total else None
        return {
            **self.head,
            "area": area,
            "groups": self._groups(profile.get(code, [])),
            "scores": scores,
            "residents_of": self._residents(code),
            "shown": any(score["bar"] for score in scores),
            "most": most(whole["own_data_share"], whole["n_respondents"]) if cells.is_shown(whole) else None,
            "over_years": self._over_years(code),
            "data": self._of_years(code) if self.years.several and scores else {},
        }

    def _scores(self, code: str, year: int, leaning: Mapping[tuple[str, str], Row]) -> Iterator[dict[str, Any]]:
        """What the table of a buurt shows of each measure in a year."""
        for node in self.tree:
            row, parts = self.rows.get((code, node["id"], year)), leaning.get((code, node["id"]))
            if row is None:
                continue
            scale = self.scales[node["id"]]
            yield {
                **{key: node[key] for key in ("id", "nl", "en", "depth")},
                **cells.figures(row, scale),
                "bar": self._bar(row),
                "axis": self.axes[node["id"]],
                "sign": scale.sign,
                "gemeente": cells.score(self.rows.get((self.code, node["id"], year)), scale),
                "leaning": leans_on(row, parts, scale) if parts is not None and cells.is_shown(row) else None,
                **cells.words(row),
            }

    def _of_years(self, code: str) -> dict[str, Any]:
        """The cells of that table in every year, for the script: of each measure of the year that opens."""

        def cell(row: dict[str, Any]) -> list[Any]:
            label = row["label"]
            if row["reason"]:
                label = Note("{label} ({why})", "{label} ({why})", label=label, why=row["reason"])
            written = [row["gemeente"], cells.in_both(row["verdict"]), cells.in_both(label)]
            return [row["score"], row["interval"], row["bar"], *written]

        absent = ["–", "–", None, "–", *[cells.in_both(cells.NOTHING)] * 2]
        of = {year: {row["id"]: cell(row) for row in self._scores(code, year, {})} for year in self.years.all}
        names = list(of[self.year])
        return self.years.for_script(
            {year: {"scores": [found.get(name, absent) for name in names]} for year, found in of.items()}
        )

    def _residents(self, code: str) -> list[dict[str, Any]]:
        """Figures of groups of residents of an area, a table per characteristic: measures by groups."""
        tables = []
        for characteristic, found in self.residents.get(code, {}).items():
            groups, measures = ([*dict.fromkeys(key[k] for key in found)] for k in (0, 1))
            rows = [
                {**{key: node[key] for key in ("nl", "en")},
                 "cells": [cells.figures(found.get((group, node["id"])), self.scales[node["id"]]) for group in groups]}
                for node in self.tree if node["id"] in measures
            ]  # fmt: skip
            tables.append({"characteristic": characteristic, "groups": groups, "rows": rows})
        return tables

    def _bar(self, row: Row | None) -> list[float] | None:
        """Ends and middle of a bar along an axis of 200 steps."""
        if not cells.is_shown(row):
            return None
        return [round(200 * self.classes[row["measure"]].along(row[end]), 1) for end in ("lower", "estimate", "upper")]

    def _groups(self, profile: list[Row]) -> list[tuple[str, str, list[Row]]]:
        """The objective figures: who lives there, then per dimension."""
        groups: dict[str, list[Row]] = {}
        for row in profile:
            dimension, words = self.indicators[row["indicator"]]
            groups.setdefault(dimension, []).append({**row, **words})
        return [(*self.titles[dimension], rows) for dimension, rows in groups.items() if dimension in self.titles]


def _words(figure: Row) -> dict[str, Note]:
    """Name, unit and source of an objective figure."""
    words = {key: Note(figure[f"{key}_en"] or figure[key], figure[key]) for key in ("unit", "source")}
    return {**words, "name": Note(figure["en"] or figure["nl"], figure["nl"])}


def _title(text: str) -> str:
    """Begin with a capital."""
    return text[:1].upper() + text[1:]
