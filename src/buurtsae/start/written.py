"""The files that `init` writes: the run file, a codebook to complete, a selection of the areas, and the README."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from buurtsae.areas.areas import Areas
from buurtsae.areas.completeness import WHOLE
from buurtsae.notes import Note
from buurtsae.retrieved import Retrieved, read_record, write_record
from buurtsae.start.area_column import Matched, told
from buurtsae.start.books import draft
from buurtsae.start.choices import Choice
from buurtsae.start.codes import completed
from buurtsae.start.columns import Looked
from buurtsae.start.places import Given, Place
from buurtsae.start.proposal import THEME, covariates, group_of, parts_of
from buurtsae.start.readme import readme_text
from buurtsae.start.respondents import DRAFT, Roles
from buurtsae.start.runtext import Plan, Source, run_text
from buurtsae.start.toml import listed, quoted, slug
from buurtsae.survey.codebook import available
from buurtsae.tables import read_table, write_csv

DATA = "data"
SAME_YEAR = Note(
    "as the areas: correct it if the fieldwork was in another year",
    "als de gebieden: verbeter dit als het veldwerk in een ander jaar was",
)
# tables by buurtcode that `fetch` makes; others are no figures of buurten
JOINED = ("kerncijfers", "nabijheid", "gezondheid", "misdrijven", "leefbaarometer", "monumenten", "voorzieningen")
SELECT = {"gemeente": "gemeentecode", "provincie": "provinciecode", "ggd": "ggdregio"}


@dataclass(frozen=True)
class Files:
    """Where files are: `folder` is written into now and will be `out`; areas and tables are the user's, or fetched."""

    folder: Path
    out: Path
    survey: Path
    areas: Path | None
    tables: tuple[tuple[Path, str], ...] = ()
    fetched: dict[str, str] = field(default_factory=dict)

    def with_fetched(self, files: Mapping[str, Path]) -> Files:
        """Return them with what was fetched: borders are the areas, figures by code are tables."""
        figures = tuple((file, "buurtcode") for what, file in files.items() if what in JOINED)
        about = {self.named(file): what for what, file in files.items()}
        return replace(self, areas=files["borders"], tables=(*self.tables, *figures), fetched=about)

    def named(self, file: Path) -> str:
        """Return how the run file names a file: from where it will lie."""
        if file.is_relative_to(self.folder):
            return file.relative_to(self.folder).as_posix()
        try:
            return Path(os.path.relpath(file.resolve(), self.out.resolve())).as_posix()
        except ValueError:  # on another drive of Windows
            return file.resolve().as_posix()

    @property
    def retrieved(self) -> list[Retrieved]:
        """What the records beside the files of areas and figures say."""
        files = [file for file in (self.areas, *(table for table, _ in self.tables)) if file is not None]
        return [part for file in files if (record := read_record(file)) for part in record.retrieved]


def write(
    files: Files,
    looked: Looked,
    given: Given,
    seen: Matched,
    roles: Roles,
    year: Choice,
    place: tuple[Place, Choice],
    area: str | None,
    near: list[Note],
) -> tuple[tuple[Choice, ...], tuple[Note, ...]]:
    """Write everything into `files.folder`; return what was chosen, and what is left to do."""
    where, choice = place
    assert files.areas is not None  # given or fetched
    path, select = files.areas, None
    if files.fetched or where.kind == "land":
        pass
    elif len(where.names) == 1:
        select = (SELECT[where.kind], where.names[0])
    else:
        path = _selection(files, given, where, int(year.value))
    columns = {one.key.removeprefix("[areas] "): one for one in given.choices}
    areas = Areas.read(
        path, int(year.value), code=given.code, name=given.name, population=given.population, tables=files.tables,
        where=dict([select] if select else []),
    )  # fmt: skip
    answered = seen.coded.codes[seen.coded.codes.isin(areas.at(seen.coded.level))].nunique()
    chosen, group = covariates(areas, answered), group_of(areas)
    survey = files.survey if seen.coded.whole else _with_codes(files, seen)
    area_choice = told(area, seen.choice)
    if roles.source.value == DRAFT:
        used = [seen.coded.column, *(one.value for one in roles.columns.values()), *looked.replicates]
        text, _ = draft(looked, [*used, *(one.column for one in looked.codes)], f"Enquête {looked.file}")
        (files.folder / DRAFT).write_text(text, encoding="utf-8", newline="\n")
    credit = list(dict.fromkeys(part.credit for part in files.retrieved))
    left = _left(seen, roles, year, near, not credit)
    region = where.region if areas.region == WHOLE and where.region else _named(areas)
    foreign = roles.fit is not None and roles.fit.foreign
    title = f"{roles.fit.book.nl if roles.fit is not None and foreign else 'Buurtverbondenheid'} in {region}"
    fieldwork = roles.year or Choice("year", year.value, SAME_YEAR)
    plan = Plan(
        slug(f"{region}-{year.value}"),
        title,
        year,
        files.named(path),
        [(files.named(file), key) for file, key in files.tables],
        columns,
        select,
        where.region if areas.region == WHOLE else "",
        choice,
        "; ".join(credit),
        _source(files, survey, seen, roles, fieldwork, area_choice),
        chosen,
        group,
        parts_of(areas),
        [_editions(year, near)] if seen.other_year else [],
    )
    (files.folder / "run.toml").write_text(run_text(plan), encoding="utf-8", newline="\n")
    choices = (
        *(Choice("year", year.value, year.why), choice, *given.choices, area_choice, roles.source),
        *(*roles.columns.values(), *roles.said, replace(fieldwork, key="fieldwork")),
        *chosen.formula,
        *([Choice("theme", ", ".join(chosen.theme), THEME)] if chosen.theme else []),
        *(*chosen.left_out, group),
    )
    about = _about(files, path, survey, roles)
    readme = readme_text(title, about, credit, [one.line for one in choices], left)
    (files.folder / "README.md").write_text(readme, encoding="utf-8", newline="\n")
    return choices, tuple(left)


def _named(areas: Areas) -> str:
    """What the whole is called: by the areas, or after its gemeenten."""
    if areas.region != WHOLE:
        return areas.region
    names = [areas.label("gemeente", code) for code in areas.at("gemeente")]
    return (
        " en ".join(filter(None, [", ".join(names[:-1]), names[-1]])) if len(names) <= 3 else f"{len(names)} gemeenten"
    )


def _selection(files: Files, given: Given, place: Place, year: int) -> Path:
    """Write the areas of several gemeenten, as they are in the user's file, and return where."""
    assert files.areas is not None  # there are areas to select from
    kept = given.frame[given.frame[SELECT[place.kind]].isin(place.names)]
    path = files.folder / DATA / f"buurten_{year}.parquet"
    path.parent.mkdir(exist_ok=True)
    kept[[*given.own, "geometry"]].to_parquet(path)
    if record := read_record(files.areas):
        notes = [Note(en, nl) for en, nl in record.notes]
        part = Note("a selection of {file}", "een selectie uit {file}", file=files.areas.name)
        write_record(path, record.retrieved, [*notes, part])
    return path


def _with_codes(files: Files, seen: Matched) -> Path:
    """Write the respondents with whole codes, all else as it was, and return where."""
    raw = read_table(files.survey)
    column = seen.coded.column
    table = read_table(files.survey, text=list(raw.columns))
    code = completed(table[column].str.removesuffix(".0"), seen.coded.level)
    table[column] = code.fillna(table[column])  # what can be no code is the user's to correct
    path = files.folder / DATA / "respondenten.csv"
    path.parent.mkdir(exist_ok=True)
    write_csv(table, path)
    return path


def _source(files: Files, survey: Path, seen: Matched, roles: Roles, fieldwork: Choice, area: Choice) -> Source:
    """The part of the run file that is about the respondents."""
    book = roles.source.value
    named = book if book in available() or book == DRAFT else files.named(Path(book))
    keys = [("source", quoted(named), str(roles.source.why)), ("file", quoted(files.named(survey)), "")]
    keys.append(("year", fieldwork.value, str(fieldwork.why)))
    if seen.coded.level != "buurt":
        keys.append(("level", quoted(seen.coded.level), "of each respondent the wijk is known, and no buurt"))
    keys.append(("area", quoted(area.value), str(area.why)))
    keys += [(key, quoted(one.value), str(one.why)) for key, one in roles.columns.items()]
    if roles.fit is not None and roles.fit.absent:
        keys.append(("not_asked", listed(roles.fit.absent), "items of the codebook that are no columns of the file"))
    remarks = [f"{one.key}: {one.why}" for one in roles.said]
    if outside := seen.unknown + seen.elsewhere:
        remarks.append(
            f'unknown_areas = "drop": left to say; {outside} respondents have a code that is no area of the run, and '
            "this leaves them out"
        )
    return Source(keys, remarks)


def _editions(year: Choice, near: list[Note]) -> str:
    text = f"the codes of the respondents are hardly those of {year.value}"
    text += f" (share of their codes that are areas: {'; '.join(near)})" if near else ""
    return f"{text}: give a crosswalk in [[areas.editions]] and say code_year under [[sources]] (docs/borders.md)"


def _left(seen: Matched, roles: Roles, year: Choice, near: list[Note], uncredited: bool) -> list[Note]:
    """What the user has to do yet."""
    left = list(roles.left)
    level = seen.coded.level
    if seen.other_year:
        left.append(Note(
            "{share:.0%} of the {level}codes are areas of {year}{near}: they look like another year's; give a "
            "crosswalk in `[[areas.editions]]` (`buurtsae fetch adressen --before YEAR` has one) and `code_year` under "
            "`[[sources]]` (docs/borders.md)",
            "{share:.0%} van de {level}codes zijn gebieden van {year}{near}: ze lijken van een ander jaar; geef een "
            "omzettabel in `[[areas.editions]]` (uit `buurtsae fetch adressen --before JAAR`) en `code_year` bij "
            "`[[sources]]` (docs/borders.md)",
            share=seen.share, level=level, year=year.value,
            near=Note(f" ({'; '.join(near)})", f" ({'; '.join(n.nl for n in near)})") if near else "",
        ))  # fmt: skip
    elif seen.unknown:
        left.append(Note(
            '{n} respondents have a {level}code that is no area of {year}: correct it, or say `unknown_areas = "drop"`',
            "{n} respondenten hebben een {level}code die geen gebied van {year} is: verbeter die, of zeg "
            '`unknown_areas = "drop"`',
            n=seen.unknown, level=level, year=year.value,
        ))  # fmt: skip
    if seen.elsewhere:
        left.append(Note(
            "{n} respondents live elsewhere, or have codes from before their gemeente merged ({codes}): say "
            '`unknown_areas = "drop"`, take a larger region, or recode them',
            "{n} respondenten wonen elders, of hebben codes van voor de fusie van hun gemeente ({codes}): zeg "
            '`unknown_areas = "drop"`, neem een groter gebied, of zet de codes om',
            n=seen.elsewhere, codes=seen.others,
        ))  # fmt: skip
    if seen.empty:
        left.append(Note(
            "{n} respondents have no {level}code, or something else in its place: complete it, or drop these rows",
            "{n} respondenten hebben geen {level}code, of er staat iets anders: vul die aan, of laat deze rijen weg",
            n=seen.empty, level=level,
        ))  # fmt: skip
    if uncredited:
        left.append(Note(
            "say in `credit` whom the borders and figures come from, with their licence",
            "noem in `credit` van wie de grenzen en cijfers zijn, met de licentie",
        ))  # fmt: skip
    return left


def _about(files: Files, path: Path, survey: Path, roles: Roles) -> dict[str, Note]:
    """The files of the folder, with what each is."""
    about = {
        "run.toml": Note(
            "the run file: what is estimated, from what", "het runbestand: wat er wordt geschat, en waaruit"
        )
    }
    if roles.source.value == DRAFT:
        about[DRAFT] = Note("the codebook of the survey, to complete", "het codeboek van de enquête, om af te maken")
    for name, what in files.fetched.items():
        nl = {"borders": "grenzen"}.get(what, what)
        about[name] = Note("{what}, fetched", "{what}, opgehaald", what=Note(what, nl))
    if files.fetched:
        about[f"{DATA}/*.columns.csv"] = Note("what their columns are", "wat de kolommen ervan zijn")
        if any((files.folder / DATA).glob("*.missing.csv")):
            about[f"{DATA}/*.missing.csv"] = Note("why cells are missing", "waarom cijfers ontbreken")
        about[f"{DATA}/*.provenance.json"] = Note(
            "where they come from, with licences", "waar ze vandaan komen, met licenties"
        )
    if path != files.areas:
        about[files.named(path)] = Note("the buurten of the place", "de buurten van het gebied")
    if survey != files.survey:
        about[files.named(survey)] = Note(
            "the respondents with whole area codes: personal data, not to be shared",
            "de respondenten met volledige gebiedscodes: persoonsgegevens, niet om te delen",
        )
    else:
        about[files.named(survey)] = Note("the respondents, where they were", "de respondenten, waar die al lagen")
    return about
