"""Which tables there are, what each is asked, and what cannot be asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from buurtsae.errors import Problems, cut, shown
from buurtsae.opendata import (
    addresses,
    bevolking,
    gebieden,
    gezondheid,
    kerncijfers,
    leefbaarometer,
    misdrijven,
    monuments,
    nabijheid,
    osm,
    pdok,
)
from buurtsae.opendata.http import Fetcher
from buurtsae.opendata.loaded import Loaded
from buurtsae.opendata.region import Asked, Region


@dataclass(frozen=True)
class Job:
    """What loaders are asked: a region, a year, and what some of them need besides.

    Attributes
    ----------
    fetcher : Fetcher
    asked : Asked
    year : int
    level : {"buurt", "wijk", "gemeente"}
        Of tables with figures.
    osm : path, optional
        An extract of OpenStreetMap, for `voorzieningen`.
    tags : path, optional
        Themes of objects in it, instead of those of the package.
    before : int, optional
        The earlier year of `adressen`.
    """

    fetcher: Fetcher
    asked: Asked
    year: int
    level: str = "buurt"
    osm: Path | None = None
    tags: Path | None = None
    before: int | None = None

    @cached_property
    def region(self) -> Region:
        """The gemeenten that are asked for, looked up in the map of the year, or before 2021 in its figures."""
        groups = gebieden.load(self.fetcher, self.year).frame if self.asked.grouped else None
        mapped = self.year in self.fetcher.registry.years("borders")
        of_year = (pdok.gemeenten if mapped else kerncijfers.gemeenten)(self.fetcher, self.year).frame
        return Region.of(self.asked, of_year, self.year, groups)

    @cached_property
    def borders(self) -> Loaded:
        """The buurten of the region."""
        return pdok.load(self.fetcher, self.year, self.region.gemeenten)

    def coded_as(self, what: str) -> Job:
        """Return the job in the year of the division whose codes a table has, whatever the year of its figures."""
        codes = self.fetcher.registry.table(what, self.year).codes_of or self.year
        return self if codes == self.year else replace(self, year=codes)


def _voorzieningen(job: Job) -> Loaded:
    assert job.osm is not None  # `checked` refuses it otherwise
    return osm.voorzieningen(job.osm, job.borders.frame, job.tags, registry=job.fetcher.registry)


def _misdrijven(job: Job) -> Loaded:
    figures = kerncijfers.load(job.fetcher, job.year, job.region.gemeenten, job.level).frame
    residents = figures.set_index(f"{job.level}code").get("inwoners")
    return misdrijven.load(job.fetcher, job.year, job.region.gemeenten, job.level, residents=residents)


def _leefbaarometer(job: Job) -> Loaded:
    coded = job.coded_as("leefbaarometer")
    buurten = list(job.borders.frame["buurtcode"]) if coded is job else None  # else their codes may be of other ground
    return leefbaarometer.load(job.fetcher, job.year, coded.region.gemeenten, buurten=buurten, division=job.year)


def _gezondheid(job: Job) -> Loaded:
    return gezondheid.load(job.fetcher, job.year, job.coded_as("gezondheid").region.gemeenten, job.level)


def _monumenten(job: Job) -> Loaded:
    counted, of = monuments.load(job.fetcher, job.borders.frame), job.borders.retrieved
    return replace(counted, retrieved=(*counted.retrieved, *of))


def _adressen(job: Job) -> Loaded:
    assert job.before is not None  # `checked` refuses it otherwise
    return addresses.load(job.fetcher, (job.before, job.year), job.region.gemeenten)


LOADERS: Mapping[str, Callable[[Job], Loaded]] = {
    "borders": lambda job: job.borders,
    "kerncijfers": lambda job: kerncijfers.load(job.fetcher, job.year, job.region.gemeenten, job.level),
    "nabijheid": lambda job: nabijheid.load(job.fetcher, job.year, job.region.gemeenten, job.level),
    "gezondheid": _gezondheid,
    "misdrijven": _misdrijven,
    "leefbaarometer": _leefbaarometer,
    "monumenten": _monumenten,
    "bevolking": lambda job: bevolking.load(job.fetcher, job.year, job.region.gemeenten),
    "voorzieningen": _voorzieningen,
    "adressen": _adressen,
}
NAMES = {"borders": "buurten"}
ONE_LEVEL = ("borders", "monumenten", "voorzieningen", "leefbaarometer", "adressen", "bevolking")


def name_of(what: str, job: Job) -> str:
    """Return what the files of a table are called, without suffix."""
    level = "" if job.level == "buurt" or what in ONE_LEVEL else f"_{job.level}"
    before = f"_{job.before}" if what == "adressen" else ""
    return f"{NAMES.get(what, what)}{level}{before}_{job.year}"


def checked(what: Sequence[str], job: Job) -> None:
    """Refuse what does not exist, or cannot be had without a file or a second year.

    Raises
    ------
    DataError or ProblemsError
        Of everything at once.
    """
    problems = Problems()
    registry = job.fetcher.registry
    if not what:
        problems.add("nothing is asked for", "no table", shown(LOADERS, 20), "name one or more")
    for each in dict.fromkeys(what):
        if each not in LOADERS:
            problems.add("there is no such open data", repr(cut(each)), shown(LOADERS, 20), "choose of these")
            continue
        years = registry.years(each)
        if years and job.year not in years:
            problems.attempt(registry.table, each, job.year)
        if each == "voorzieningen" and job.osm is None:
            hint = "download an extract (docs/open-data.md) and name it with --osm"
            problems.add("voorzieningen are counted in a file of OpenStreetMap", "no file", "an .osm.pbf", hint)
        if each == "adressen" and job.before is None:
            hint = "name the earlier year with --before"
            problems.add("adressen lead from one year to another", "one year", "two years", hint)
        elif each == "adressen" and job.before is not None:
            problems.attempt(registry.table, each, job.before)
            if job.before >= job.year:
                got = f"{job.before} and {job.year}"
                problems.add(
                    "adressen lead from an earlier year to --year", got, "--before less", "correct one of them"
                )
        if job.level != "buurt" and each in ONE_LEVEL:
            problems.add(f"{each} has no --level", job.level, "none", "fetch it apart, without --level")
    for option, of in (("osm", "voorzieningen"), ("tags", "voorzieningen"), ("before", "adressen")):
        if getattr(job, option) is not None and of not in what:
            problems.add(f"--{option} is for {of} only", f"{of} is not asked for", of, f"add {of}, or leave it out")
    groups = registry.years("gebieden")
    if job.asked.grouped and job.year not in groups:
        hint = "name the gemeenten themselves with --gemeente, or give the table of the year with --sources"
        what_lies = f"which gemeenten lie in a provincie or GGD-regio is not known of {job.year}"
        problems.add(what_lies, str(job.year), shown(groups), hint)
    problems.raise_if_any()
