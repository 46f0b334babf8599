r"""A made region: buurten with realistic shapes, water and an island, and kerncijfers as CBS publishes them.

Each bank of the river is divided into the Voronoi cells of its buurt centres, which lie closer together in the
towns. The whole map is then bent by a smooth random field p -> p + f(p), where each component of f is a sum of
plane waves sqrt(2/m) cos(k'p + c), weakened until no border crosses another. Both sides of a border bend alike.

References
----------
Aurenhammer, F. (1991). Voronoi diagrams: a survey of a fundamental geometric data structure. ACM Computing Surveys 23.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from buurtsae.sparse import Floats, Ints

if TYPE_CHECKING:
    import geopandas as gpd
    from shapely import Geometry

ORIGIN = (142_000.0, 505_000.0)  # in the Markermeer: no real buurt lies there
GEMEENTEN = {"GM9901": "Voorbeeldstad", "GM9902": "Lindemeer", "GM9903": "Overwaard"}
SECRET = -99_997  # CBS's code of a figure that is hidden
NO_RESIDENTS, HARDLY_ANY, FEW = 2, 1, 4  # buurten with 0, under 10, and 15 to 60 residents


class Wijk(NamedTuple):
    """One wijk: code, name, centre and spread in metres, number of buurten."""

    code: str
    name: str
    x: float
    y: float
    spread: float
    buurten: int


WIJKEN = (
    Wijk("WK990100", "Binnenstad", 1300, 1700, 650, 14),
    Wijk("WK990101", "Noord", 1600, 3900, 800, 11),
    Wijk("WK990102", "Oost", 3700, 2500, 900, 11),
    Wijk("WK9901AD", "Havenkwartier", -900, 2900, 800, 10),
    Wijk("WK990103", "Rivierwijk", 1900, -400, 800, 10),
    Wijk("WK990200", "Lindemeer Dorp", 4700, -1300, 700, 11),
    Wijk("WK990201", "Nieuw-Lindemeer", 6000, 900, 800, 8),
    Wijk("WK990202", "Lindepolder", 5000, -4000, 1200, 8),
    Wijk("WK990300", "Overwaard Dorp", -2600, -1600, 700, 12),
    Wijk("WK990301", "Meerzijde", -5100, 0, 900, 8),
    Wijk("WK990302", "Waardpolder", -3900, -4300, 1200, 8),
    Wijk("WK990303", "Zuidwaard", -700, -4200, 900, 8),
)
ISLAND, ISLAND_CENTRE, ISLAND_RADIUS = "WK990301", (-4700.0, 4100.0), 420.0
RIVER = ((-4000, 3300), (-2600, 1400), (-900, 300), (200, -1500), (1600, -2900), (2100, -5000), (2200, -9000))
BEND = ((6000.0, 260.0), (1800.0, 75.0), (700.0, 32.0))  # wavelength and amplitude of the field, metres

TREES = (
    "Linden Beuken Eiken Iepen Wilgen Elzen Essen Kastanje Populieren Berken Vlier Hazelaar Meidoorn Esdoorn".split()
)
PLACES = "Molen Water Kerk Station Burcht Klooster Oever Slot Veer Brug Sluis Meer Zand Hoge Nieuwe Oude".split()
ENDINGS = "kwartier buurt hof weide park veld plantsoen laan gaarde horst akker singel".split()
RURAL = "Polder Buitengebied".split()


def made_areas(seed: int = 1) -> gpd.GeoDataFrame:
    """Make 120 buurten in 12 wijken and 3 gemeenten, in RD New, sorted by code.

    Columns `buurtcode`, `buurtnaam`, `wijkcode`, `wijknaam`, `gemeentecode`, `gemeentenaam` and `geometry`. A river
    keeps gemeente GM9903 apart from the others; one buurt is an island in the lake.
    """
    import geopandas as gpd
    import shapely
    from shapely.geometry import LineString, Point, Polygon

    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(2,)))
    angle = np.linspace(0, 2 * np.pi, 180, endpoint=False)
    radius = 6600 * (1 + 0.06 * np.cos(3 * angle + 0.5) + 0.04 * np.cos(5 * angle))
    land = Polygon(np.column_stack([1.15 * radius * np.cos(angle), radius * np.sin(angle)]))
    lakes = Point(-5000, 4600).buffer(2400), Point(3700, 300).buffer(330)
    water = shapely.union_all([LineString(RIVER).buffer(70), *lakes])
    banks = [part for part in land.difference(water).geoms if part.area > 1e7]
    wijk, centres = _buurt_centres(banks, rng)
    shapes = np.full(len(wijk), None, dtype=object)
    for bank in banks:
        inside = np.flatnonzero(shapely.contains_xy(bank, centres))
        shapes[inside] = _cells(bank, centres[inside])
    wijken = [*(WIJKEN[number] for number in wijk), next(wijk for wijk in WIJKEN if wijk.code == ISLAND)]
    shapes = np.append(shapes, Point(ISLAND_CENTRE).buffer(ISLAND_RADIUS))
    waves = [(amplitude, [plane_waves(rng, length) for _ in range(2)]) for length, amplitude in BEND]

    def bend(points: Floats, strength: float) -> Floats:
        moved = sum(amplitude * np.column_stack([smooth(points, wave) for wave in pair]) for amplitude, pair in waves)
        return np.asarray(np.round(points + strength * moved + ORIGIN, 1))

    straight = shapely.segmentize(shapes, 90.0)
    for strength in np.linspace(1, 0, 11):
        shapes = shapely.transform(straight, partial(bend, strength=strength))
        if shapely.is_valid(shapes).all() and shapely.coverage_is_valid(shapes):
            break
    frame = gpd.GeoDataFrame({"wijkcode": [wijk.code for wijk in wijken]}, geometry=shapes, crs="EPSG:28992")
    number = frame.groupby("wijkcode").cumcount() + 1
    frame["buurtcode"] = "BU" + frame["wijkcode"].str[2:] + number.astype(str).str.zfill(2)
    frame["wijknaam"] = [wijk.name for wijk in wijken]
    frame["gemeentecode"] = "GM" + frame["wijkcode"].str[2:6]
    frame["gemeentenaam"] = frame["gemeentecode"].map(GEMEENTEN)
    frame["buurtnaam"] = _names(frame, rng)
    columns = ["buurtcode", "buurtnaam", "wijkcode", "wijknaam", "gemeentecode", "gemeentenaam", "geometry"]
    return frame[columns].sort_values("buurtcode", ignore_index=True)


def made_kerncijfers(areas: gpd.GeoDataFrame, seed: int = 1) -> pd.DataFrame:
    """Make key figures for areas such as `made_areas` gives, with CBS's code for a hidden figure in small buurten.

    Two large buurten have no residents and no figures, one has under 10 residents, four have 15 to 60; the figures on
    dwellings of these are hidden (-99997), and those of one more buurt.
    """
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(3,)))
    count = len(areas)
    centroid = areas.geometry.centroid
    xy = np.column_stack([centroid.x, centroid.y])
    km2 = areas.geometry.area.to_numpy() / 1e6
    size = np.log(km2 / np.median(km2))

    # as skewed as real buurten, where the median is 0.6 of the mean: many small ones, with few respondents each
    residents = np.clip(np.exp(rng.normal(np.log(900) - 0.15 * size, 0.9, count)), 150, 8000)
    largest = rng.permutation(np.argsort(km2)[-16:])
    none, hardly, few = np.split(largest, np.cumsum([NO_RESIDENTS, HARDLY_ANY, FEW]))[:3]
    residents[few] = rng.uniform(15, 60, FEW)
    residents = 5 * np.round(residents / 5)  # CBS rounds the residents of buurten to multiples of 5
    residents[none], residents[hardly] = 0, 5
    density = residents / km2
    urban = -size / size.std()
    place = [smooth(xy, plane_waves(rng, length)) for length in (7000, 5000, 4000)]
    noise = rng.standard_normal((7, count))
    owned = 0.75 * place[0] - 0.45 * urban + 0.6 * noise[0]  # mean 0, sd about 1

    frame = pd.DataFrame(
        {
            "buurtcode": areas["buurtcode"].astype(str),
            "inwoners": residents.astype(int),
            "bevolkingsdichtheid": np.round(density).astype(int),
            "stedelijkheid": 5 - np.searchsorted([500, 1000, 1500, 2500], density / 2.1),  # 2.1 residents an address
            "pct_koopwoningen": _percent(56 + 17 * owned, 4, 97),
            "pct_eenpersoonshuishoudens": _percent(36 + 7 * urban - 7 * owned + 5 * noise[1], 8, 80),
            "pct_65plus": _percent(21 + 5 * place[1] - 2 * urban + 4 * noise[2], 4, 55),
            "gemiddelde_woz": np.round(350 * np.exp(0.22 * owned + 0.12 * place[2] + 0.06 * noise[3])).astype(int),
            "afstand_supermarkt": np.round(0.9 * np.exp(-0.35 * urban + 0.25 * noise[4]), 1),
            "afstand_groen": np.round(0.6 * np.exp(0.25 * urban + 0.3 * place[2] + 0.25 * noise[5]), 1),
        }
    )
    frame.loc[none, frame.columns[2:]] = SECRET
    one_more = np.argsort(np.where(residents >= 300, residents, np.inf))[:1]
    hidden = np.concatenate([hardly, few, one_more])
    frame.loc[hidden, ["pct_koopwoningen", "pct_eenpersoonshuishoudens", "gemiddelde_woz"]] = SECRET
    return frame.sort_values("buurtcode", ignore_index=True)


def smooth(xy: Floats, waves: tuple[Floats, Floats]) -> Floats:
    """Return a smooth random field at points: a sum of plane waves, with variance about 1."""
    vectors, phases = waves
    return np.asarray(np.sqrt(2 / len(phases)) * np.cos(xy @ vectors.T + phases).sum(axis=1))


def plane_waves(rng: np.random.Generator, length: float, m: int = 24) -> tuple[Floats, Floats]:
    """Wave vectors in all directions with wavelengths around `length`, and phases."""
    direction = rng.uniform(0, 2 * np.pi, m)
    k = 2 * np.pi / (length * rng.uniform(0.8, 1.6, m))
    return np.column_stack([k * np.cos(direction), k * np.sin(direction)]), rng.uniform(0, 2 * np.pi, m)


def _buurt_centres(banks: list[Geometry], rng: np.random.Generator) -> tuple[Ints, Floats]:
    """Wijk number and centre of each buurt: normal around the wijk's centre, nearest to it, and apart."""
    import shapely

    middle = np.array([(place.x, place.y) for place in WIJKEN])
    bank_of = np.array([next(b for b, bank in enumerate(banks) if shapely.contains_xy(bank, *m)) for m in middle])
    inner = [bank.buffer(-90) for bank in banks]  # a centre on the bank itself would give a sliver
    wijk, centres = [], np.empty((0, 2))
    for k, place in enumerate(WIJKEN):
        apart, placed = 0.75 * place.spread, 0
        rivals = np.flatnonzero(bank_of == bank_of[k])
        while placed < place.buurten:
            point = rng.normal(middle[k], place.spread)
            apart *= 0.995  # ends the search: in the end any point will do
            if not shapely.contains_xy(inner[bank_of[k]], *point):
                continue
            if rivals[np.argmin(np.hypot(*(middle[rivals] - point).T))] != k:
                continue
            closeness = 0.4 + 0.5 * np.hypot(*(point - middle[k])) / place.spread  # denser towards the centre
            if len(centres) and np.hypot(*(centres - point).T).min() < apart * closeness:
                continue
            wijk.append(k)
            centres = np.vstack([centres, point])
            placed += 1
    order = np.lexsort((np.hypot(*(centres - middle[wijk]).T), wijk))  # numbered from the centre of the wijk outwards
    return np.array(wijk)[order], centres[order]


def _cells(bank: Geometry, centres: Floats) -> list[Geometry]:
    """Voronoi cells of the centres within one bank; what water splits off goes to the neighbour it borders most."""
    import shapely
    from shapely.geometry import MultiPoint

    edges = shapely.voronoi_polygons(MultiPoint(centres), extend_to=bank, only_edges=True)
    lines = shapely.union_all([edges, bank.boundary])  # noded where they cross, so that faces share vertices
    faces = np.array(shapely.get_parts(shapely.polygonize([*shapely.get_parts(lines)])))
    faces = faces[shapely.contains(bank, shapely.point_on_surface(faces))]
    holds, owner = shapely.STRtree(shapely.points(centres)).query(faces, predicate="contains")
    of = np.full(len(faces), -1)
    of[holds] = owner
    for loose in np.flatnonzero(of < 0):
        border = shapely.length(shapely.intersection(faces[loose], faces[holds]))
        of[loose] = owner[np.argmax(border)]
    return [shapely.union_all(faces[of == centre]) for centre in range(len(centres))]


def _names(frame: gpd.GeoDataFrame, rng: np.random.Generator) -> list[str]:
    """Names: a centre per wijk, polders for the largest buurten, made-up compounds for the rest."""
    compounds = [stem + ending for stem in (*TREES, *PLACES) for ending in ENDINGS if not stem.endswith(ending[:2])]
    pick = [compounds[row] for row in rng.permutation(len(compounds))]
    rural = set(frame.geometry.area.nlargest(16).index)
    names = []
    for row, (wijk, code) in enumerate(zip(frame["wijknaam"], frame["buurtcode"], strict=True)):
        if row == len(frame) - 1:
            names.append("Ganzeneiland")
        elif code.endswith("01") and row not in rural:
            names.append(f"{wijk} Centrum")
        else:
            names.append(f"{RURAL[row % 2]} {pick[row]}" if row in rural else pick[row])
    return names


def _percent(values: Floats, low: float, high: float) -> Floats:
    return np.round(np.clip(values, low, high)).astype(int)
