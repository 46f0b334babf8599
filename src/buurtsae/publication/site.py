"""The static site: a start page, a page per gemeente and per buurt, and the method statement; no server, no network.

Pages are filled from the documents per gemeente (`content`). Tables and maps are there without scripts; a page carries
its own style and script and a policy that allows no other, so that a hostile name is text and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np

from buurtsae.drawing.style import COLOURS, DARK, LABELS, NO_FIGURE, VERDICT_COLOURS, VERDICT_WORDS, Classes
from buurtsae.estimates.labels import in_english
from buurtsae.estimates.words.explanation import leans_on, most
from buurtsae.figures import both, decimals, dutch, interval
from buurtsae.notes import Note
from buurtsae.publication.about import of_run
from buurtsae.publication.content import Content
from buurtsae.publication.outlines import merged, outlines
from buurtsae.publication.pages import write_page
from buurtsae.schemas import records

if TYPE_CHECKING:
    import geopandas as gpd

    from buurtsae.publication.method import Statement

NO_RESIDENTS = Note("no residents, or no estimate", "geen bewoners of geen schatting")
NOTHING = Note("–", "–")
UNCOMPARED = Note("the municipality has no figure", "de gemeente heeft geen cijfer")  # in part in the run, or hidden
LABEL_ORDER = list(LABELS)
VERDICT_ORDER = {nl: i for i, (nl, _) in enumerate(VERDICT_WORDS)}
START_PIXELS = 600  # of the map of gemeenten: with all names for the search the page stays below 500 kB
Row = Mapping[str, Any]


def write_site(content: Content, folder: Path, statement: Statement | None = None) -> None:
    """Write `dashboard/` and `json/`: a page and a file per gemeente, a page per buurt.

    Parameters
    ----------
    content : Content
    folder : path
        The output folder.
    statement : Statement, optional
        What the method statement says; only the fixed text without it.
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
        pages = _Gemeente(document, common["first"], content, alone=len(content.names) == 1)
        write_page(
            dashboard / "gemeente" / f"{code}.html",
            "gemeente.html",
            **common,
            **pages.page(by_gemeente[code]),
            up="../",
            here="gemeente",
        )
        for buurt, values in pages.buurten():
            write_page(dashboard / "buurt" / f"{buurt}.html", "buurt.html", **common, **values, up="../", here="buurt")
    write_page(
        dashboard / "index.html", "index.html", **common, **_index(content, common["first"]), up="", here="index"
    )
    write_page(
        dashboard / "verantwoording.html", "verantwoording.html", **common, statement=statement, up="",
        here="verantwoording",
    )  # fmt: skip


def _common(content: Content) -> dict[str, Any]:
    return {
        "run": of_run(content.run),
        "year": content.years[-1],
        "years": content.years,
        "nodes": content.concept.nodes,
        "first": content.measures[0],
        "tree": _tree(content),
        "colours": COLOURS,
        "verdict_colours": VERDICT_COLOURS,
        "dark": DARK,
        "scale": content.concept.scale,
        "axis": content.classes,
        "classes": content.classes.words,
        "verdicts": VERDICT_WORDS,
        "no_figure": Note("not published, or no residents", NO_FIGURE),
        "no_verdict": Note("no figure of the area or of the municipality", "geen cijfer van de buurt of de gemeente"),
    }


def _tree(content: Content) -> list[dict[str, Any]]:
    """The measures in the order of the concept's tree, with their depth."""
    tree: list[dict[str, Any]] = []
    depth: dict[str | None, int] = {}
    for node in (content.concept.nodes[m] for m in content.measures):
        depth[node.id] = depth.get(node.parent, -1) + 1
        about = Note(node.about_en or node.about, node.about)
        tree.append({"id": node.id, "nl": node.nl, "en": _title(node.en), "about": about, "depth": depth[node.id]})
    return tree


class _Gemeente:
    """The pages of one gemeente, from its document."""

    def __init__(self, document: Mapping[str, Any], first: str, content: Content, *, alone: bool) -> None:
        self.scale, self.classes, self.digits = content.concept.scale, content.classes, content.classes.digits
        self.document, self.first, self.year = document, first, document["years"][-1]
        self.rows = {(r["area_code"], r["measure"], r["year"]): r for r in document["estimates"]}
        self.land = {(r["measure"], r["year"]): r for r in document["land"]}
        self.code = document["gemeente"]["area_code"]
        areas = [a for a in document["areas"] if a["level"] == "buurt"]
        self.areas = sorted(areas, key=lambda a: (a["area_name"].casefold(), a["area_code"]))
        self.land_name = str(document["land"][0]["area_name"]) if document["land"] else "–"
        whole = self.rows.get((self.code, first, self.year))
        self.inside = not (alone and whole is not None)  # of more: otherwise the whole is the gemeente itself

    def page(self, geometry: gpd.GeoDataFrame) -> dict[str, Any]:
        official = {r["measure"]: r["value"] for r in self.document["official"]}
        figures = {m["measure"]: self._figure(m["measure"], official) for m in self.document["measures"]}
        return {
            "gemeente": self.document["gemeente"],
            "land_name": self.land_name if self.inside else None,
            "figures": figures,
            "without": self._without(),
            "official": any(f["official"] for f in figures.values()),
            "shape": outlines(geometry),
            "rows": [self._row(a) for a in self.areas],
            "data": self._data(),
        }

    def _without(self) -> Note | None:
        """Why there is no figure of the gemeente, if there is none."""
        row = self.rows.get((self.code, self.first, self.year))
        if _shown(row) or not self.rows:  # nobody lives in any buurt, which each of them says
            return None
        if row is None:
            return Note(
                "There is no figure of the whole municipality: only a part of its areas is in these results.",
                "Er is geen cijfer van de hele gemeente: maar een deel van de buurten zit in deze resultaten.",
            )
        return Note(
            "The figure of the municipality is not published: {why}.",
            "Het cijfer van de gemeente is niet gepubliceerd: {why}.",
            why=_words(row)["reason"],
        )

    def _figure(self, measure: str, official: Mapping[str, float]) -> dict[str, Any]:
        """The gemeente's figure; what others publish, or its respondents alone say, where that reads differently."""
        row, land = self.rows.get((self.code, measure, self.year)), self.land.get((measure, self.year))
        score, digits = _score(row, self.digits), self.digits
        if _shown(row):
            digits = min(_decimals(row, self.digits), self.digits + 1)  # those of a direct estimate
        others, said = [], dutch(row["estimate"], digits) if _shown(row) else score
        if (value := official.get(measure)) is not None and dutch(value, digits) != said:
            others.append(Note("{x} (published)", "{x} (gepubliceerd)", x=both(dutch(value, digits))))
        if row is not None and row["direct"] is not None and dutch(row["direct"], digits) != said:
            who = Note("survey alone", "enquête alleen")
            if self.document["run"].get("fictitious"):
                who = Note("simulated answers alone", "gesimuleerde antwoorden alleen")
            others.append(Note("{x} ({who})", "{x} ({who})", x=both(_margin(row, digits, self.digits)), who=who))
        return {
            "score": score,
            "interval": _interval(row, self.digits),
            "land": _score(land, self.digits),
            "official": Note.joined(others),
        }

    def _row(self, area: Row) -> dict[str, Any]:
        """What the table and the map show of a buurt without scripts: the first measure, the last year."""
        row = self.rows.get((area["area_code"], self.first, self.year))
        return {
            "code": area["area_code"],
            "name": area["area_name"],
            "score": _score(row, self.digits),
            "interval": _interval(row, self.digits),
            "people": _people(row),
            "css": _css(row, self.classes) + "i" * (_shown(row) and row["label"] == "indicatief"),
            **_words(row),
        }

    def _data(self) -> dict[str, Any]:
        """What the script of the page needs, printed numbers only."""
        reasons: dict[str, int] = {}

        def packed(code: str, measure: str, year: int) -> Any:
            return _packed(self.rows.get((code, measure, year)), reasons, self.classes)

        measures, years = [m["measure"] for m in self.document["measures"]], self.document["years"]
        return {
            "first": self.first,
            "years": years,
            "buurten": [[a["area_code"], a["area_name"]] for a in self.areas],
            "measures": {m["measure"]: {"nl": m["nl"], "en": m["en"]} for m in self.document["measures"]},
            "verdicts": VERDICT_WORDS,
            "marks": self.classes.marks,
            "digits": self.digits,
            "uncompared": _both(UNCOMPARED),
            "labels": [_both(label) for label in LABELS.values()],
            "nobody": _both(NO_RESIDENTS),
            "rows": {y: {m: [packed(a["area_code"], m, y) for a in self.areas] for m in measures} for y in years},
            "whole": {y: {m: packed(self.code, m, y) for m in measures} for y in years},
            "reasons": [[reason, in_english(reason)] for reason in reasons],
        }

    def buurten(self) -> list[tuple[str, dict[str, Any]]]:
        """Return what the page of each buurt shows."""
        profile: dict[str, list[Row]] = {}
        for r in self.document["profile"]:
            profile.setdefault(r["area_code"], []).append(r)
        leaning = {(r["area_code"], r["measure"]): r for r in self.document["leaning"]}
        return [(a["area_code"], self._buurt(a, profile.get(a["area_code"], []), leaning)) for a in self.areas]

    def _buurt(self, area: Row, profile: list[Row], leaning: Mapping[tuple[str, str], Row]) -> dict[str, Any]:
        code = area["area_code"]
        depth: dict[str | None, int] = {}
        scores = []
        for m in self.document["measures"]:
            depth[m["measure"]] = depth.get(m["parent"], -1) + 1
            row = self.rows.get((code, m["measure"], self.year))
            if row is None:
                continue
            parts = leaning.get((code, m["measure"]))
            scores.append(
                {
                    "nl": m["nl"],
                    "en": _title(m["en"]),
                    "depth": depth[m["measure"]],
                    "score": _score(row, self.digits),
                    "interval": _interval(row, self.digits),
                    "bar": self._bar(row),
                    "gemeente": _score(self.rows.get((self.code, m["measure"], self.year)), self.digits),
                    "leaning": leans_on(row, parts, self.scale) if parts is not None and _shown(row) else None,
                    **_words(row),
                }
            )
        whole = self.rows.get((code, self.first, self.year))
        return {
            "area": area,
            "gemeente": self.document["gemeente"],
            "land_name": self.land_name if self.inside else None,
            "groups": self._groups(profile),
            "scores": scores,
            "shown": any(s["bar"] for s in scores),
            "most": most(whole["own_data_share"], whole["n_respondents"]) if _shown(whole) else None,
        }

    def _bar(self, row: Row | None) -> list[float] | None:
        """Ends and middle of a bar along an axis of 200 steps."""
        if not _shown(row):
            return None
        return [round(200 * self.classes.along(row[c]), 1) for c in ("lower", "estimate", "upper")]

    def _groups(self, profile: list[Row]) -> list[tuple[str, str, list[Row]]]:
        """The objective figures: who lives there, then per dimension."""
        about = {i["name"]: i for i in self.document["indicators"]}
        measures = {m["measure"]: m for m in self.document["measures"]}
        groups: dict[str, list[Row]] = {}
        for r in profile:
            indicator = about[r["indicator"]]
            told = {k: Note(indicator[f"{k}_en"] or indicator[k], indicator[k]) for k in ("unit", "source")}
            name = Note(indicator["en"] or indicator["nl"], indicator["nl"])
            groups.setdefault(indicator["dimension"], []).append({**r, **told, "name": name})
        names = {"": ("Wie wonen er, en hoe", "Who lives there, and how")}
        names |= {m: (f"Omgeving, bij {d['nl'].lower()}", f"Surroundings, for {d['en']}") for m, d in measures.items()}
        return [(*names[d], rows) for d, rows in groups.items() if d in names]


def _title(text: str) -> str:
    """Begin with a capital."""
    return text[:1].upper() + text[1:]


def _shown(row: Row | None) -> TypeGuard[Row]:
    """Whether there is a row with a figure that may be seen."""
    return row is not None and row["estimate"] is not None and row["label"] != "niet_publiceren"


def _decimals(row: Row, least: int) -> int:
    return decimals(row["lower"], row["upper"], least)


def _score(row: Row | None, least: int) -> str:
    return dutch(row["estimate"], _decimals(row, least)) if _shown(row) else "–"


def _interval(row: Row | None, least: int) -> str:
    return interval(row["lower"], row["upper"], least=least) if _shown(row) else "–"


def _margin(row: Row, digits: int, least: int) -> str:
    """A direct figure with its 95% margin, in as many decimals as show one; none where the error is rounded to zero."""
    margin = 1.96 * (row["direct_se"] or 0.0)
    digits = max(digits, decimals(0.0, margin, least))
    return dutch(row["direct"], digits) + (f" ± {dutch(margin, digits)}" if margin else "")


def _both(note: Note) -> list[str]:
    """Dutch and English, for the script."""
    return [note.nl, str(note)]


def _css(row: Row | None, classes: Classes) -> str:
    """The class of style of an area on a map."""
    return f"k{classes.place(row['estimate'])}" if _shown(row) else "x"


def _people(row: Row | None) -> str:
    """Respondents, and the share of the estimate that is theirs."""
    if not _shown(row):
        return "–"
    share = row["own_data_share"]
    return f"{row['n_respondents']}" + ("" if share is None else f" ({100 * share:.0f}%)")


def _words(row: Row | None) -> dict[str, Note]:
    """Label, reason and verdict."""
    if row is None:
        return {"label": NOTHING, "verdict": NOTHING, "reason": NO_RESIDENTS}
    reason, verdict = row["reason"] or "", UNCOMPARED if _shown(row) else NOTHING
    if row["verdict"] is not None and _shown(row):
        nl, en = VERDICT_WORDS[VERDICT_ORDER[row["verdict"]]]
        verdict = Note(en, nl)
    return {"label": LABELS[row["label"]], "verdict": verdict, "reason": Note(in_english(reason), reason)}


def _packed(row: Row | None, reasons: dict[str, int], classes: Classes) -> Any:
    """A row for the script: score, lower, upper, label, verdict, respondents, own share in %, reason, class.

    Scores are as they are printed; where that takes more decimals than most, their number follows.
    """
    if row is None:
        return 0
    reason = None if not row["reason"] else reasons.setdefault(row["reason"], len(reasons))
    label = LABEL_ORDER.index(row["label"])
    if not _shown(row):
        return [None, None, None, label, None, None, None, reason, None]
    share, verdict, digits = row["own_data_share"], row["verdict"], _decimals(row, classes.digits)
    return [
        *(round(row[c], digits) for c in ("estimate", "lower", "upper")),
        label,
        None if verdict is None else VERDICT_ORDER[verdict],
        row["n_respondents"],
        None if share is None else round(100 * share),
        reason,
        classes.place(row["estimate"]),
        *([digits] if digits > classes.digits else []),
    ]


def _index(content: Content, first: str) -> dict[str, Any]:
    """What the start page shows: every measure of the whole, and every gemeente."""
    table = content.table[content.table["year"] == content.years[-1]]
    digits = content.classes.digits
    land = table[table["level"] == "land"].set_index("measure")
    buurten = table[table["level"] == "buurt"]
    counts = buurten.groupby(["measure", "label"]).size()
    overview = {
        m: {
            "score": dutch(land["estimate"].get(m), decimals(land["lower"].get(m), land["upper"].get(m), digits)),
            "interval": interval(land["lower"].get(m, np.nan), land["upper"].get(m, np.nan), least=digits),
            "counts": [int(counts.get((m, label), 0)) for label in LABELS],
        }
        for m in content.measures
    }
    of_gemeente = records(table[(table["level"] == "gemeente") & (table["measure"] == first)])
    found = {r["area_code"]: r for r in of_gemeente}
    inside = content.geometry.groupby("gemeente").size()
    rows = []
    for code, name in sorted(content.names.items(), key=lambda item: (item[1].casefold(), item[0])):
        row = found.get(code)
        rows.append(
            {
                "code": code,
                "name": name,
                "score": _score(row, digits),
                "interval": _interval(row, digits),
                "css": _css(row, content.classes),
                "buurten": int(inside[code]),
            }
        )
    names = content.geometry["name"] if "name" in content.geometry else content.geometry.index.to_series()
    buurten_of: dict[str, list[str]] = {}  # last four digits and name; of the whole country they take 0.3 MB
    for code, gemeente, name in zip(content.geometry.index, content.geometry["gemeente"], names, strict=True):
        buurten_of.setdefault(gemeente, []).append(code[6:] + " ".join(str(name).split()))
    return {
        "overview": overview,
        "labels": list(LABELS.values()),
        "rows": rows,
        "shape": outlines(merged(content.geometry, "gemeente"), START_PIXELS),
        "data": {"gemeenten": [[code, name, "\t".join(buurten_of[code])] for code, name in content.names.items()]},
    }
