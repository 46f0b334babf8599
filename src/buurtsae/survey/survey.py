"""A survey: respondents with their buurt (or wijk), weight and stratum, and their answers to a codebook's items.

'Geen antwoord' is a code of the codebook and becomes missing. An item that the source did not ask this time is
named in `not_asked`; a column that is simply absent is an error. Weights are design weights, never frequencies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd

from buurtsae.areas.areas import Areas
from buurtsae.areas.codes import CBS, CodeSystem
from buurtsae.errors import DataError, Problems, shown
from buurtsae.notes import Note
from buurtsae.survey.codebook import Codebook
from buurtsae.survey.design_columns import ID, RESERVED, DesignInfo, add_design
from buurtsae.survey.plausible import Rows, of_file
from buurtsae.survey.population_totals import Calibration
from buurtsae.survey.replicates import ReplicatePlan
from buurtsae.survey.sampling import Lonely
from buurtsae.tables import as_number, boolean, read_table


@dataclass(frozen=True)
class Survey:
    """Respondents of one source in one year.

    Attributes
    ----------
    frame : DataFrame, one row per respondent
        Columns `area_code` (buurtcode or wijkcode), `weight` (> 0), `stratum` (text), the further columns of the design
        (see `buurtsae.survey.design_columns`), and one float column per item, NaN where there is no answer.
    codebook : Codebook
    year : int
        Year of the fieldwork.
    design : DesignInfo
        How the columns of the design are used.
    level : {"buurt", "wijk"}
        Where respondents are known to live.

    Examples
    --------
    >>> from buurtsae.runs.example import folder
    >>> survey = Survey.read(folder() / "enquete_veiligheidsmonitor.csv", "veiligheidsmonitor", 2024)
    >>> survey
    Survey Veiligheidsmonitor 2024: 1000 respondents in 106 buurten, 18 items for omgang_en_relaties, participatie,
    plaatsidentiteit, plaatsgeschiktheid
    """

    frame: pd.DataFrame
    codebook: Codebook
    year: int
    design: DesignInfo = field(default_factory=DesignInfo)
    level: str = "buurt"

    @classmethod
    def read(
        cls,
        path: str | Path,
        source: str | Path,
        year: int,
        *,
        level: str | None = None,
        system: CodeSystem = CBS,
        area: str | None = None,
        weight: str | None = "gewicht",
        strata: str | None = None,
        not_asked: Sequence[str] = (),
        cluster: str | Sequence[str] = (),
        fpc: str | Sequence[str] = (),
        strata_population: str | Path | pd.DataFrame | None = None,
        id: str | None = None,
        replicates: ReplicatePlan | None = None,
        lonely: Lonely = "adjust",
        calibrate: Calibration | None = None,
        characteristics: Mapping[str, str] | None = None,
    ) -> Survey:
        """Read respondents from CSV or Parquet and check them against the source's codebook.

        Parameters
        ----------
        path : path
        source : str or path
            Identifier of a codebook in the package, or a TOML file of your own.
        year : int
            Year of the fieldwork.
        level : {"buurt", "wijk"}, optional
            Whether respondents are known per buurt, the default, or per wijk only; in another code system, per area or
            per area of the first level above.
        system : CodeSystem
            Of the codes: that of CBS, or `system` of the areas.
        area, weight, strata : str
            Columns with the area code (None: `buurtcode`, or `wijkcode` by the level), the design weight, and the
            stratum (None: one stratum). A participatory source may come without weights: all are 1 then.
        not_asked : sequence of str
            Items of the codebook that this edition did not ask.
        cluster : str or sequence of str
            Column of the sampled clusters, or two of them: clusters and units within clusters.
        fpc : str or sequence of str
            Column per stage with the number of units in the population of the stratum (second stage: of the cluster),
            or, when none is above 1, the sampling fraction.
        strata_population : path or DataFrame, optional
            The same for the first stage as a table `stratum, population`.
        id : str, optional
            Column that identifies respondents: nobody may occur twice. Of a panel they have the same in each year, by
            which is known whose answers come back.
        replicates : ReplicatePlan, optional
            Replicate weights in the file; they take the place of the linearised variance.
        lonely : {"adjust", "fail", "certainty", "average"}
            What to do with a stratum with one sampled unit; see `SampleDesign`.
        calibrate : Calibration, optional
            Population totals that the weights have to meet.
        characteristics : mapping of str to str, optional
            Of respondents, such as their age, with the column of each: for models of persons. They are kept as text.

        Raises
        ------
        DataError or ProblemsError
            Everything that is wrong with the file, at once.
        """
        codebook = Codebook.load(source)
        if codebook.kind == "objective":
            what = f"{codebook.id} has no respondents"
            hint = "join its figures to the areas by `tables`, and name them in the formula"
            raise DataError(what, "an objective source", "a survey or a participatory source", hint)
        level = level or system.base
        if level not in (sources := system.levels[:-1][:2]):
            raise DataError(f"level of {codebook.id} is unknown", repr(level), " or ".join(sources), "correct it")
        path, area = Path(path), area or f"{level}code"
        clusters, sizes = ([column] if isinstance(column, str) else list(column) for column in (cluster, fpc))
        of_persons = dict(characteristics or {})
        text = [column for column in (area, strata, id, *clusters, *of_persons.values()) if column is not None]
        raw = read_table(path, text=text)
        problems = Problems()
        once = {item.name: item for item in codebook.items}.values()  # the answers to one may make several shares
        asked = [item for item in once if item.name not in not_asked]
        participatory = codebook.kind == "participatory"
        if weight is not None and weight not in raw and participatory:
            weight = None
        if unknown := sorted(set(not_asked) - {item.name for item in codebook.items}):
            problems.add(f"`not_asked` names unknown items of {codebook.id}", shown(unknown), "its items", "correct it")
        told = (area, weight, strata, id, *clusters, *sizes, *of_persons.values())
        named = list(dict.fromkeys(column for column in told if column is not None))
        taken = {item.name for item in asked}.union(codebook.subdimensions)
        if odd := [name for name in of_persons if name in taken or RESERVED.fullmatch(name)]:
            hint = "give it another name, also in the cells"
            problems.add("characteristics have a name that is in use", shown(odd), "a name of their own", hint)
        if absent := [column for column in named if column not in raw]:
            hint = "correct the names in [[sources]]"
            problems.add(f"{path.name} lacks columns", shown(raw.columns), shown(absent), hint)
        if weight is None and not participatory:
            problems.add(f"{codebook.id} has no weights", "none", "a column of weights", "name it with `weight`")
        if absent := [item.name for item in asked if item.name not in raw]:
            what = f"{path.name} lacks items of {codebook.id}"
            hint = "rename the columns, or list these items in `not_asked`"
            problems.add(what, f"no column {shown(absent)}", "one column per item of the codebook", hint)
        if raw.empty:
            problems.add(f"{path.name} has no respondents", "0 rows", "one row per respondent", "check the extract")
        problems.raise_if_any()

        frame = pd.DataFrame({"area_code": raw[area].astype("string"), "weight": 1.0, "stratum": "all"})
        if strata:
            frame["stratum"] = raw[strata].astype("string").fillna("")
        if weight is not None:
            frame["weight"] = _weights(raw[weight], frame["stratum"], path.name, problems)
        if count := int((empty := frame["area_code"].isna() | (frame["area_code"] == "")).sum()):
            hint = "complete the column, or drop these rows"
            problems.add(f"{path.name} has respondents without {level}code", f"{count} rows", "a code in each", hint)
        if bad := system.malformed(pd.Series(frame["area_code"][~empty].unique()), level):
            other = next(name for name in sources if name != level)
            hint = "give codes as text" if system.malformed(pd.Series(bad), other) else f'set `level = "{other}"`'
            form = f"the form {system.forms[level][0]}"
            problems.add(f"{path.name} has malformed {level}codes", shown(bad), form, hint)
        if id is not None:
            _identifiers(raw[id], frame["area_code"], level, path.name, problems)
            frame[ID] = raw[id].astype("string")
        frame = frame.assign(**{name: raw[column] for name, column in of_persons.items()})
        calibrate = None if problems.found else calibrate  # weights and codes that are wrong meet no totals
        how = clusters, sizes, strata_population, replicates, lonely, calibrate, level, system
        frame, info = add_design(frame, raw, path.name, problems, strata is not None, *how)
        answers = {
            i.name: _answers(raw[i.name], i.codes, codebook.missing, f"{path.name}, {i.name}", problems) for i in asked
        }
        problems.raise_if_any()
        w = frame.get("base_weight", frame["weight"]).to_numpy(dtype=float)  # as in the file, before calibration
        number = None if id is None else pd.to_numeric(raw[id], errors="coerce").to_numpy(dtype=float)
        persons = "fpc" in frame and not clusters and bool((frame["fpc"] > 1).any())
        population = frame["fpc"].to_numpy(dtype=float) if persons else None
        table = pd.DataFrame(answers)
        unused = raw.drop(columns=[column for column in (*named, *table) if column in raw])
        rows = Rows(path.name, level, frame["area_code"], w, frame["stratum"], population, number, table, unused)
        info = replace(info, notes=(*info.notes, *of_file(rows)))
        return cls(pd.concat([frame, table], axis=1), codebook, year, info, level)

    def within(self, areas: Areas) -> Survey:
        """Return the respondents who live in `areas`, if any, with a note of how many were left out.

        Weights, and what they were calibrated to, stay those of the whole file.
        """
        here = self.frame["area_code"].isin(areas.at(self.level))
        if here.all() or not here.any():  # without anybody left the checks say which codes
            return self
        where = self.frame["area_code"][~here].unique()
        note = Note(
            "{n} of {of} respondents of {source} left out: they live in {places} {level} that the areas do not have "
            "({codes})",
            "{n} van de {of} respondenten van {source} weggelaten: zij wonen in {places} {level} die niet bij de "
            "gebieden horen ({codes})",
            n=int((~here).sum()), of=len(here), source=self.codebook.id,
            places=len(where), level=areas.system.noun(self.level), codes=sorted(where),
        )  # fmt: skip
        design = replace(self.design, notes=(*self.design.notes, note))
        return replace(self, frame=self.frame[here].reset_index(drop=True), design=design)

    @property
    def notes(self) -> tuple[Note, ...]:
        """What an analyst should know of the design: lonely strata, strata without respondents, calibration."""
        return self.design.notes

    def __len__(self) -> int:
        return len(self.frame)

    def __repr__(self) -> str:
        book, places = self.codebook, f"{self.frame['area_code'].nunique()} {self.level}en"
        about = f"{len(book.items)} items for {shown(book.subdimensions)}"
        return f"Survey {book.nl} {self.year}: {len(self)} respondents in {places}, {about}"


def check_areas(survey: Survey, areas: Areas, problems: Problems, code_year: int | None = None) -> None:
    """Record respondents whose buurt or wijk does not exist in `areas`, or whose codes are of another year."""
    check_codes(survey.frame["area_code"], survey.codebook.id, survey.level, areas, problems, code_year)


def check_codes(
    area: pd.Series, source: str, level: str, areas: Areas, problems: Problems, code_year: int | None = None
) -> None:
    """Record which area codes of a source's respondents do not exist in `areas`, or are of another year."""
    if code_year is not None and code_year != areas.year:
        hint = f"give a crosswalk from the areas of {code_year} in [[areas.editions]], or the codes of {areas.year}"
        problems.add(f"the {level}codes of {source} are of another year", str(code_year), str(areas.year), hint)
    if len(unknown := area[~area.isin(areas.at(level))]):
        share, omitted = len(unknown) / len(area), areas.left_out(level, unknown)
        why = "the codes look like another year's: recode them" if share > 0.02 else "correct these codes"
        place = f": a {level} may exist at CBS and have no polygon here"
        if omitted.any():
            why, place = f"{int(omitted.sum())} of them live where `where` leaves out: widen it", ""
        what = f"{len(unknown)} respondents of {source} live in unknown {areas.system.noun(level)}"
        hint = f'{why}, or set `unknown_areas = "drop"` in [[sources]]{place}'
        problems.add(what, shown(sorted(unknown.unique())), f"{level}codes of {areas.year}", hint)


def _weights(column: pd.Series, stratum: pd.Series, file: str, problems: Problems) -> pd.Series:
    if boolean(column):
        problems.add(f"{file} has weights that are true and false", "booleans", "numbers > 0", "name another column")
    weight = as_number(column, strict=False)
    if count := int(weight.isna().sum()):
        hint = "complete the weights"
        problems.add(f"{file} has weights that are missing or no number", f"{count} rows", "a number > 0", hint)
    if (nothing := (weight == 0).groupby(stratum).transform("all")).any():
        where = shown(sorted(stratum[nothing].unique()))
        problems.add(f"{file} has strata with all weights zero", where, "> 0", "correct these weights or drop the rows")
    if count := int(((weight <= 0) & ~nothing).sum()):
        what = f"{file} has weights that are not positive"
        problems.add(what, f"{count} rows, lowest {weight[~nothing].min():g}", "> 0", "drop or correct them")
    return weight


def _identifiers(column: pd.Series, area: pd.Series, level: str, file: str, problems: Problems) -> None:
    """Nobody lives in two areas, or answers twice."""
    if count := int((column.isna() | (column == "")).sum()):
        problems.add(f"{file} has respondents without identifier", f"{count} rows", "one each", "complete the column")
    again = pd.DataFrame({"id": column, "area": area})[column.duplicated(keep=False) & column.notna()]
    places = again.groupby("id")["area"].nunique()
    for what, who in (
        (f"respondents in two {level}en", places.index[places > 1]),
        (f"respondents twice in one {level}", places.index[places <= 1]),
    ):
        if len(who):
            problems.add(f"{file} has {what}", shown(sorted(who)), "one row per respondent", "remove the doubles")


def _answers(
    column: pd.Series, valid: tuple[int, ...], missing: tuple[int, ...], where: str, problems: Problems
) -> pd.Series:
    if boolean(column):
        problems.add(f"{where}: answers are true and false", "booleans", shown(valid, 12), "export the codes")
    answer = as_number(column, strict=False)
    if len(text := column[answer.isna() & column.notna()].unique()):
        problems.add(f"{where}: answers are not codes", shown(text), "numbers", "export codes, not labels")
    answer = answer.mask(answer.isin(missing))
    if len(outside := answer[answer.notna() & ~answer.isin(valid)].unique()):
        expected, hint = f"{shown(valid, 12)}; missing {shown(missing)}", "correct the data or the codebook"
        problems.add(f"{where}: answers outside the scale", shown(f"{v:g}" for v in sorted(outside)), expected, hint)
    return answer
