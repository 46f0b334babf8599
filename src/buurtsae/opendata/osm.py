"""Voorzieningen of OpenStreetMap per buurt: counted, measured and how lately mapped, from an extract given as a file.

Of a theme with n objects in a buurt of A square kilometres and N residents: n, 1000 n / N, n / A, and the distance from
the centre of the buurt, as the crow flies, to the nearest object anywhere in the extract. Of a theme of areas: the part
of A that they cover together, each spot once. A buurt holds the objects whose point lies in it; see `osm_tags.toml`.

Volunteers map one place more eagerly than another (Haklay 2010, Environment and Planning B 37), so that a zero may be
nothing there or nothing mapped: `osm_mapped_share` is the percentage of a buurt's objects edited in the three years
before the extract was made. Where the extract does not reach there is no figure, and no zero.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from scipy.spatial import cKDTree

from buurtsae.errors import DataError, Problems, cut, shown
from buurtsae.notes import Note
from buurtsae.opendata.loaded import COLUMNS, REASONS, Loaded
from buurtsae.opendata.osm_objects import RD, Objects, read_objects
from buurtsae.opendata.osm_tags import TagSets, ThemePart
from buurtsae.opendata.registry import Registry
from buurtsae.retrieved import Retrieved
from buurtsae.sparse import Floats, Ints

RECENT = 3 * 365.25 * 86400  # seconds: an object edited since is of a place that somebody looks after
RESIDENTS = ("inwoners", "aantal_inwoners")
BEYOND = "buiten het OpenStreetMap-uittreksel"
NOBODY = "geen inwoners"
NOWHERE = "geen object in het uittreksel"
UNDATED = "geen object met een datum"
MAPPED = "deel van de objecten dat in de drie jaar voor het uittreksel is bewerkt; is het laag, dan zegt een nul minder"


def voorzieningen(
    file: str | Path,
    areas: gpd.GeoDataFrame,
    tags: str | Path | TagSets | None = None,
    *,
    addresses: gpd.GeoDataFrame | None = None,
    registry: Registry | None = None,
) -> Loaded:
    """Count and measure the objects of an OpenStreetMap extract per buurt.

    Parameters
    ----------
    file : path
        The extract: .osm.pbf, .osm, .osm.gz or .osm.bz2. It should reach somewhat beyond the areas, for the distances.
    areas : GeoDataFrame
        One row per buurt: `buurtcode`, geometry, and for figures per 1,000 residents `inwoners`.
    tags : path or TagSets, optional
        Themes of your own, in a file like `osm_tags.toml`.
    addresses : GeoDataFrame, optional
        Points with `buurtcode`, and `adressen` where one stands for several: distances are from their mean. By default,
        and in buurten without any, from the centroid, or from a point inside where that lies outside its buurt.
    registry : Registry, optional
        For the licence; by default that of the package.

    Returns
    -------
    Loaded
        `buurtcode`, of each theme `osm_THEME_aantal`, `_per_1000` and `_per_km2` and `osm_afstand_THEME_km`, or
        `osm_pct_THEME`, and `osm_mapped_share`.

    Raises
    ------
    BuurtsaeError
        If osmium is not installed.
    DataError or ProblemsError
        Areas without codes or coordinate system, a file that cannot be read, or without an object inside the areas.
    """
    sets = tags if isinstance(tags, TagSets) else TagSets.load(tags)
    zones = _zones(areas)
    shapes, n = zones.geometry.to_numpy(), len(zones)
    covered = _Shares(shapes, sets)
    objects = read_objects(file, sets, covered.add)
    place = _inside(objects.points, shapes)
    if not ((place >= 0) & (objects.themes > 0)).any():
        where, hint = f"objects within {_bounds(shapes)} (RD)", "give the extract of this region"
        raise DataError(f"no object of {cut(Path(file).name)} lies inside the areas", _around(objects), where, hint)
    beyond = _beyond(zones, objects, place)
    centres, notes = _centres(zones, addresses)
    residents = next((pd.to_numeric(zones[name]) for name in RESIDENTS if name in zones), None)
    figures = _Figures(zones["buurtcode"].to_numpy(), np.flatnonzero(beyond))
    for k, theme in enumerate(sets.themes):
        if theme.share:
            title, unit = f"Aandeel {theme.nl.lower()}", "% van het landoppervlak"
            figures.add(f"osm_pct_{theme.id}", title, unit, theme.about, 100 * covered.share(k), theme)
            continue
        of = (objects.themes >> k & 1).astype(bool)
        count = np.bincount(place[of & (place >= 0)], minlength=n).astype(float)
        figures.add(f"osm_{theme.id}_aantal", theme.nl, "aantal", theme.about, count, theme)
        if residents is not None:
            persons = residents.to_numpy(dtype=float, na_value=np.nan)
            per = np.divide(1000 * count, persons, out=np.full(n, np.nan), where=persons > 0)
            title, unit = f"{theme.nl} per 1.000 inwoners", "aantal per 1.000 inwoners"
            figures.add(f"osm_{theme.id}_per_1000", title, unit, theme.about, per, theme, NOBODY)
        title, density = f"{theme.nl} per vierkante kilometer", 1e6 * count / shapely.area(shapes)
        figures.add(f"osm_{theme.id}_per_km2", title, "aantal per km2", theme.about, density, theme)
        far = cKDTree(objects.points[of]).query(centres)[0] / 1000 if of.any() else np.full(n, np.nan)
        title, about = f"Afstand tot {theme.nl.lower()}", f"hemelsbreed, van het midden van de buurt; {theme.about}"
        figures.add(f"osm_afstand_{theme.id}_km", title, "km", about, far, theme, NOWHERE)
    counted = (objects.themes & ~sets.shares > 0) & (place >= 0)
    recent, title = _recent(objects, place, counted, n), "Onlangs in kaart gebracht"
    figures.add("osm_mapped_share", title, "% van de objecten", MAPPED, recent, None, UNDATED)
    empty = (np.bincount(place[counted], minlength=n) == 0) & ~beyond
    notes += _notes(objects, int(empty.sum()), int(beyond.sum()), residents is not None)
    return figures.loaded((_retrieved(Path(file), sets, objects, registry or Registry.load()),), tuple(notes))


class _Shares:
    """Share of each zone that the areas of a theme cover, each spot once."""

    def __init__(self, zones: np.ndarray, sets: TagSets) -> None:
        self.zones, self.tree = zones, shapely.STRtree(zones)
        self.pieces: dict[int, list[tuple[Ints, np.ndarray]]] = {
            k: [] for k, theme in enumerate(sets.themes) if theme.share
        }

    def add(self, shapes: np.ndarray, themes: Ints) -> None:
        """Keep what of these polygons lies in the zones."""
        shape, zone = self.tree.query(shapes, predicate="intersects")
        parts = shapely.intersection(shapes[shape], self.zones[zone])
        for k, pieces in self.pieces.items():
            of = (themes[shape] >> k & 1).astype(bool)
            pieces.append((zone[of], parts[of]))

    def share(self, k: int) -> Floats:
        """Return the share of each zone that theme k covers."""
        covered = np.zeros(len(self.zones))
        if self.pieces[k]:
            zone, parts = (np.concatenate(column) for column in zip(*self.pieces[k], strict=True))
            order = np.argsort(zone, kind="stable")
            labels, starts = np.unique(zone[order], return_index=True)
            groups = np.split(parts[order], starts[1:])
            covered[labels] = [shapely.area(shapely.union_all(group)) for group in groups if len(group)]
        return covered / shapely.area(self.zones)


class _Figures:
    """Columns as they are found, with what is known of each and why cells are missing."""

    def __init__(self, codes: np.ndarray, beyond: Ints) -> None:
        self.codes, self.beyond = codes, beyond
        self.frame: dict[str, object] = {"buurtcode": codes}
        self.columns: list[tuple[object, ...]] = []
        self.reasons: list[pd.DataFrame] = []

    def add(
        self, name: str, title: str, unit: str, about: str, values: Floats, theme: ThemePart | None, why: str = ""
    ) -> None:
        """Add a column; what is missing in it is so because of `why`, and beyond the extract all is."""
        values = values.copy()
        values[self.beyond] = np.nan
        missing = np.flatnonzero(np.isnan(values))
        reason = np.where(np.isin(missing, self.beyond), BEYOND, why)
        self.reasons.append(pd.DataFrame({"code": self.codes[missing], "column": name, "reason": reason}))
        self.frame[name] = values
        tags = "; ".join(theme.tags) if theme else ""
        self.columns.append((name, tags, title, unit, about, float(1 - len(missing) / len(values))))

    def loaded(self, retrieved: tuple[Retrieved, ...], notes: tuple[Note, ...]) -> Loaded:
        """Return them."""
        reasons = pd.concat(self.reasons, ignore_index=True)[list(REASONS)]
        return Loaded(
            pd.DataFrame(self.frame), pd.DataFrame(self.columns, columns=list(COLUMNS)), reasons, retrieved, notes
        )


def _zones(areas: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """The areas in RD New, valid, sorted by code."""
    problems = Problems()
    if "buurtcode" not in areas:
        problems.add("the areas have no codes", shown(areas.columns, 8), "a column `buurtcode`", "rename the column")
    elif len(twice := areas["buurtcode"][areas["buurtcode"].duplicated()].unique()):
        problems.add("areas occur more than once", shown(twice), "one row per buurt", "dissolve them by buurtcode")
    if not isinstance(areas, gpd.GeoDataFrame):
        problems.add("the areas have no geometry", type(areas).__name__, "polygons", "fetch the borders first")
    elif areas.crs is None:
        hint = "say which: areas.set_crs(28992) for RD New, or fetch the borders again"
        problems.add("the areas have no coordinate system", "none", f"one, such as {RD}", hint)
    elif (bad := areas.geometry.isna() | areas.geometry.is_empty).any():
        codes = areas["buurtcode"][bad] if "buurtcode" in areas else areas.index[bad]
        problems.add("areas have no geometry", shown(codes), "a polygon for each", "leave them out, or complete them")
    problems.raise_if_any()
    zones = areas.to_crs(RD).sort_values("buurtcode", ignore_index=True)
    return zones.set_geometry(shapely.make_valid(zones.geometry.to_numpy()), crs=RD)


def _inside(points: Floats, shapes: np.ndarray) -> Ints:
    """Number of the area that a point lies in, of two at a border the first; -1 where it lies in none."""
    place = np.full(len(points), -1)
    point, zone = shapely.STRtree(shapes).query(shapely.points(points), predicate="intersects")
    place[point[::-1]] = zone[::-1]
    return place


def _beyond(zones: gpd.GeoDataFrame, objects: Objects, place: Ints) -> np.ndarray:
    """True for areas that the extract does not reach: empty and beyond its box, or their whole gemeente empty."""
    seen = np.bincount(place[place >= 0], minlength=len(zones))
    gemeente = zones["gemeentecode"] if "gemeentecode" in zones else zones["buurtcode"].astype(str).str[:6]  # BU0344
    empty = (pd.Series(seen).groupby(gemeente.to_numpy()).transform("sum") == 0).to_numpy()
    if objects.box is None:
        return empty
    points, (west, south, east, north) = shapely.get_coordinates(zones.geometry.representative_point()), objects.box
    outside = (points < (west, south)).any(axis=1) | (points > (east, north)).any(axis=1)
    return empty | (outside & (seen == 0))


def _centres(zones: gpd.GeoDataFrame, addresses: gpd.GeoDataFrame | None) -> tuple[Floats, list[Note]]:
    """Where distances are measured from, and a note that says so."""
    centroid, inside = zones.geometry.centroid, zones.geometry.representative_point()
    centres = shapely.get_coordinates(centroid.where(centroid.within(zones.geometry), inside))
    if addresses is None:
        en = "distances are as the crow flies, from the centroid of each buurt, or a point inside if that lies outside"
        nl = "afstanden zijn hemelsbreed, vanaf het zwaartepunt van elke buurt, of een punt erin als dat erbuiten ligt"
        return centres, [Note(en, nl)]
    problems = Problems()
    if "buurtcode" not in addresses:
        problems.add("the addresses have no codes", shown(addresses.columns, 8), "a column `buurtcode`", "add it")
    if addresses.crs is None:
        hint = "say which: addresses.set_crs(28992)"
        problems.add("the addresses have no coordinate system", "none", f"one, such as {RD}", hint)
    problems.raise_if_any()
    weight = addresses["adressen"].to_numpy(dtype=float) if "adressen" in addresses else np.ones(len(addresses))
    xy = shapely.get_coordinates(addresses.geometry.to_crs(RD)) * weight[:, None]
    sums = pd.DataFrame({"x": xy[:, 0], "y": xy[:, 1], "w": weight}).groupby(addresses["buurtcode"].to_numpy()).sum()
    sums = sums.reindex(zones["buurtcode"])
    known = (sums["w"] > 0).to_numpy()
    centres[known] = sums.loc[known, ["x", "y"]].to_numpy() / sums.loc[known, ["w"]].to_numpy()
    return centres, [
        Note(
            "distances are as the crow flies, from the mean of the addresses of each buurt; in {n} buurten without "
            "addresses from the centroid",
            "afstanden zijn hemelsbreed, vanaf het gemiddelde van de adressen van elke buurt; in {n} buurten zonder "
            "adressen vanaf het zwaartepunt",
            n=int((~known).sum()),
        )
    ]


def _recent(objects: Objects, place: Ints, counted: np.ndarray, n: int) -> Floats:
    """Percentage of the objects of each area that were edited lately; of those that have a time."""
    dated = counted & (objects.edited > 0)
    recent = dated & (objects.edited >= objects.made - RECENT)
    known, lately = (np.bincount(place[of], minlength=n) for of in (dated, recent))
    return np.divide(100.0 * lately, known, out=np.full(n, np.nan), where=known > 0)


def _notes(objects: Objects, empty: int, beyond: int, residents: bool) -> Iterator[Note]:
    """What a user must know."""
    yield Note(
        "a zero is no proof that nothing is there: volunteers map some places better than others. {n} buurten have no "
        "object at all; see osm_mapped_share, the percentage of the objects edited in the last three years",
        "een nul bewijst niet dat er niets is: vrijwilligers brengen de ene plek beter in kaart dan de andere. {n} "
        "buurten hebben geen enkel object; zie osm_mapped_share, het percentage objecten dat in de laatste drie jaar "
        "is bewerkt",
        n=empty,
    )
    yield Note(
        "data of OpenStreetMap are under the ODbL 1.0: name © OpenStreetMap contributors. Figures per buurt are a "
        "produced work; a table of the objects themselves may be passed on under the same licence only",
        "gegevens van OpenStreetMap vallen onder de ODbL 1.0: vermeld © OpenStreetMap contributors. Cijfers per buurt "
        "zijn een vervaardigd werk; een tabel van de objecten zelf mag alleen onder die licentie worden doorgegeven",
    )
    if beyond:
        yield Note(
            "{n} buurten lie beyond the extract, and have no figures",
            "{n} buurten liggen buiten het uittreksel en hebben geen cijfers",
            n=beyond,
        )
    if objects.box is None:
        yield Note(
            "the extract does not say what it covers: gemeenten without any object in it have no figures, and other "
            "buurten beyond it would have zeros",
            "het uittreksel zegt niet wat het beslaat: gemeenten zonder een object erin hebben geen cijfers, en andere "
            "buurten erbuiten zouden nullen hebben",
        )
    if objects.broken:
        yield Note(
            "{n} areas of the extract are not whole in it, or cross themselves, and are left out",
            "{n} vlakken staan niet volledig in het uittreksel of snijden zichzelf, en tellen niet mee",
            n=objects.broken,
        )
    if not objects.said:
        yield Note(
            "the extract does not say when it was made: its last edit stands for it",
            "het uittreksel zegt niet wanneer het is gemaakt: de laatste bewerking erin geldt als datum",
        )
    if not residents:
        yield Note(
            "the areas have no residents: there are no figures per 1,000 residents",
            "bij de buurten staan geen inwoners: er zijn geen cijfers per 1.000 inwoners",
        )


def _retrieved(file: Path, sets: TagSets, objects: Objects, registry: Registry) -> Retrieved:
    """The record of the extract; it was made at the moment that its edition says."""
    table = registry.table("voorzieningen")
    made = str(np.datetime64(objects.made, "s")) + "Z" if objects.made else ""
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    title = f"{table.title}, {file.name}, themes of {sets.version}"
    terms = table.service.licence, table.service.licence_url, table.attribution
    return Retrieved(table.service.publisher, file.name, title, made, "", made, *terms, digest, file.stat().st_size)


def _bounds(shapes: np.ndarray) -> str:
    """The box of shapes in kilometres, RD."""
    west, south, east, north = np.round(shapely.total_bounds(shapes) / 1000).astype(int)
    return f"x {west} to {east} km, y {south} to {north} km"


def _around(objects: Objects) -> str:
    """Where the objects of a file are."""
    return (
        f"{len(objects.points):,} objects within " + _bounds(shapely.points(objects.points))
        if len(objects.points)
        else "no objects"
    )
