"""The services of maps, replayed: borders as features (OGC API) and as a GeoPackage (ATOM).

Each `install` takes a map of buurten: that of the example, made; or the real one of 2024 where the shared data are.
"""

from __future__ import annotations

import base64
import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
from replay import Answer, Asked, Replay, as_json
from shapely.affinity import translate
from shapely.geometry import box

RD = "http://www.opengis.net/def/crs/EPSG/0/28992"
LEVELS = {"buurten": "buurt", "wijken": "wijk", "gemeenten": "gemeente"}
EXAMPLE = Path(__file__).parents[2] / "data" / "voorbeeldstad"
NO_FIGURE = -99997


def example() -> gpd.GeoDataFrame:
    """The buurten of the example: names and codes of three levels, residents, polygons in RD New."""
    frame = gpd.read_file(EXAMPLE / "buurten.gpkg")
    figures = pd.read_csv(EXAMPLE / "kerncijfers.csv")
    return frame.merge(figures[["buurtcode", "inwoners"]], on="buurtcode", validate="one_to_one")


def real(shared: Path, gemeenten: tuple[str, ...] = ()) -> gpd.GeoDataFrame:
    """The buurten of the Netherlands in 2024, or of some gemeenten, with their residents."""
    frame = gpd.read_parquet(shared / "data" / "nl" / "buurt_2024.parquet").to_crs("EPSG:28992")
    frame = frame[frame["gemeentecode"].isin(gemeenten)] if gemeenten else frame
    figures = pd.read_csv(shared / "data" / "nl" / "kwb_2024_buurt.csv", usecols=["buurtcode", "inwoners"])
    frame = frame.merge(figures, on="buurtcode", how="left", validate="one_to_one")
    return frame.assign(wijknaam="Wijk " + frame["wijkcode"].str[-2:])


@dataclass
class Map:
    """A Wijk- en Buurtkaart: its layers as the service has them, and how many rows it gives at most in a page."""

    layers: dict[str, gpd.GeoDataFrame]
    year: int
    most: int = 1000

    @classmethod
    def of(cls, buurten: gpd.GeoDataFrame, year: int = 2024, most: int = 1000) -> Map:
        """The layers that belong to a map of buurten, with the columns of the service."""
        figures = {"inwoners": "aantal_inwoners"}
        frame = buurten.rename(columns=figures).assign(jaar=year, water="NEE")
        frame["aantal_inwoners"] = frame["aantal_inwoners"].fillna(NO_FIGURE).astype(int)
        frame["aantal_huishoudens"] = frame["aantal_inwoners"].where(
            frame["aantal_inwoners"] < 0, frame["aantal_inwoners"] // 2
        )
        frame["oppervlakte_land_in_ha"] = (frame.area / 1e4).round().astype(int)
        frame["indelingswijziging_wijken_en_buurten"] = 1
        frame["percentage_personen_0_tot_15_jaar"] = -99995
        layers = {"buurten": frame.drop(columns=["wijknaam", "provinciecode", "meter_per_eenheid"], errors="ignore")}
        for layer, keys in (("wijken", ["wijkcode", "wijknaam", "gemeentecode"]), ("gemeenten", ["gemeentecode"])):
            names = list(dict.fromkeys([*keys, "gemeentenaam"]))
            whole = buurten[[*names, "inwoners", "geometry"]].dissolve(keys[0], aggfunc="first").reset_index()
            sums = buurten.groupby(keys[0])["inwoners"].sum().astype(int)
            whole["aantal_inwoners"] = whole[keys[0]].map(sums)
            layers[layer] = whole[[*names, "aantal_inwoners", "geometry"]].assign(jaar=year, water="NEE")
        layers["gemeenten"]["indelingswijziging_wijken_en_buurten"] = "."  # as the map has it of gemeenten
        return cls(layers, year, most)

    def add(self, layer: str, shape: Any, **properties: Any) -> None:
        """Add a row, such as water."""
        row = gpd.GeoDataFrame([{**properties, "jaar": self.year, "geometry": shape}], crs="EPSG:28992")
        self.layers[layer] = pd.concat([self.layers[layer], row], ignore_index=True)

    def items(self, layer: str, asked: Asked, crs: str = RD, link: bool = True, all_rows: bool = False) -> Answer:
        """A page of features: `limit`, `bbox` and the cursor as GoKoala has them; degrees unless `crs` is asked for."""
        known = {"f", "limit", "cursor", "crs", "bbox", "bbox-crs"}
        if set(asked.query) - known:
            return Answer(b"unknown query parameter(s) found", "text/plain", 400)
        rows = self.layers[layer]
        if "bbox" in asked.query and not all_rows:
            assert asked.query["bbox-crs"] == RD
            rows = rows[rows.intersects(box(*map(float, asked.query["bbox"].split(","))))]
        start = int(base64.b64decode(asked.query["cursor"])) if "cursor" in asked.query else 0
        limit = min(int(asked.query.get("limit", 10)), self.most)
        page = rows.iloc[start : start + limit]
        system = crs if asked.query.get("crs") == RD else "http://www.opengis.net/def/crs/OGC/1.3/CRS84"
        page = page if system == RD else page.to_crs("EPSG:4326")
        content = json.loads(page.to_json(drop_id=True))
        for number, feature in enumerate(content["features"], start=start):
            feature["id"] = number
        content |= {"numberReturned": len(page), "links": [{"rel": "self", "href": "x"}]}
        content.pop("crs", None)
        if link and start + limit < len(rows):
            cursor = base64.b64encode(str(start + limit).encode()).decode()
            query = "&".join(f"{key}={value}" for key, value in {**asked.query, "cursor": cursor}.items())
            content["links"].append({"rel": "next", "href": f"{asked.base}/{asked.path}?{query}"})
        return as_json(content, Content_Crs=f"<{system}>")


def install(replay: Replay, world: Map) -> None:
    """Borders as features and as a GeoPackage."""
    for layer in LEVELS:
        path = f"wijken-en-buurten-{world.year}/ogc/v1/collections/{layer}/items"
        replay.add("pdok", path, lambda asked, layer=layer: world.items(layer, asked))
    install_atom(replay, world)


def install_atom(replay: Replay, world: Map, versions: tuple[int, ...] = (1, 2)) -> None:
    """An index of GeoPackages, of which the newest is this map."""
    names = [f"wijkenbuurten_{world.year}_v{version}.gpkg" for version in versions]
    links = "".join(f'<entry><link rel="section" href="downloads/{name}"/></entry>' for name in names)
    index = f'<?xml version="1.0"?><feed xmlns="http://www.w3.org/2005/Atom">{links}</feed>'.encode()
    replay.add(
        "atom", f"wijkenbuurten/{world.year}/atom/index.xml", lambda asked: Answer(index, "application/atom+xml")
    )
    content = list[bytes]()

    def geopackage(asked: Asked) -> Answer:
        if not content:
            content.append(as_geopackage(world.layers))
        return Answer(content[0], "application/geopackage+sqlite3")

    replay.add("atom", f"wijkenbuurten/{world.year}/atom/downloads/{names[-1]}", geopackage)


def as_geopackage(layers: dict[str, gpd.GeoDataFrame]) -> bytes:
    """The bytes of a GeoPackage with these layers."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "map.gpkg"
        for name, frame in layers.items():
            frame.to_file(path, layer=name, driver="GPKG")
        return path.read_bytes()


def zipped(files: dict[str, str | bytes]) -> bytes:
    """A zip of these files."""
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return memory.getvalue()


FOLDER = "Leefbaarometer 3.0 - Meting 2024 - open data/"
MEAN = 4.102265  # lbm - afw, in the two samples of the shared data


def scores(codes: list[str], year: int = 2024) -> pd.DataFrame:
    """Made scores of buurten, by the identities of the Leefbaarometer."""
    rng = np.random.default_rng(year)
    parts = pd.DataFrame(rng.normal(0, 0.1, (len(codes), 5)), columns=["fys", "onv", "soc", "vrz", "won"])
    afw = parts.sum(axis=1)
    head = pd.DataFrame({"jaar": year, "bu_code": codes, "bu_naam": "Buurt é", "lbm": afw + MEAN, "afw": afw})
    return pd.concat([head, parts], axis=1)


def install_leefbaarometer(replay: Replay, *tables: pd.DataFrame, sep: str = ",", encoding: str = "utf-8") -> None:
    """The zip with its levels; tables are scores per buurt of measurements."""
    text = pd.concat(tables).to_csv(index=False, sep=sep, decimal="," if sep == ";" else ".").encode(encoding)
    names = ["Leefbaarometer-scores wijken 2002-2024.csv", "Leefbaarometer-ontwikkeling buurten 2002-2024.csv"]
    files = {FOLDER: b"", FOLDER + "Leefbaarometer-scores buurten 2002-2024.csv": text}
    files |= {FOLDER + name: b"jaar\n" for name in names}
    body = zipped(files)
    path = "open-data-leefbaarometer-meting-2024.zip"
    replay.add("leefbaarometer", path, lambda asked: Answer(body, "application/zip"))


def install_addresses(
    replay: Replay,
    path: str,
    table: pd.DataFrame,
    year: int,
    day: str,
    *,
    name: str = "",
    names: dict[str, str] | None = None,
) -> None:
    """The zip of a year as CBS sends it: PC6, Huisnummer and numeric codes, with files of names in cp1252.

    `table` has PC6, Huisnummer and `code` (`BU03630001`, or with letters).
    """
    short = table["code"].str.removeprefix("BU").str.lstrip("0")
    columns = {f"Buurt{year}": short, f"Wijk{year}": short.str[:-2], f"Gemeente{year}": short.str[:-4]}
    text = table[["PC6", "Huisnummer"]].assign(**columns).to_csv(index=False, sep=";")
    called = "\n".join(f'{code};"{told}"' for code, told in (names or {"3630001": "Café é"}).items())
    files = {name or f"pc6hnr{day}_gwb.csv": text, f"buurt{year}.csv": f"Buurt;Naam\n{called}".encode("cp1252")}
    body = zipped(files | {f"gem{year}.csv": "Gem;Naam\n363;Súdwest".encode("cp1252")})
    replay.add("adressen", path, lambda asked: Answer(body, "application/zip"))


def made_addresses(codes: list[str], each: int = 20, start: int = 0) -> pd.DataFrame:
    """Made addresses: `each` of a postcode, one postcode per buurt."""
    rows = [
        (f"{1000 + (start + k) // 26}{chr(65 + (start + k) % 26)}B", number, code)
        for k, code in enumerate(codes)
        for number in range(1, each + 1)
    ]
    return pd.DataFrame(rows, columns=["PC6", "Huisnummer", "code"])


def made_monuments(buurten: gpd.GeoDataFrame, count: int = 60) -> gpd.GeoDataFrame:
    """Made rijksmonumenten: points in the first 20 buurten, of complexes, archaeological, one of another status."""
    inside, number = buurten.geometry.representative_point(), np.arange(count)
    return gpd.GeoDataFrame(
        {
            "rijksmonument_nummer": 500_000 + number,
            "complex_nummer": [530_000 if k % 20 == 0 else None for k in number],
            "juridische_status": ["voorbeschermd" if k == 7 else "rijksmonument" for k in number],
            "aard_monument": ["Archeologisch" if k % 10 == 3 else "Gebouwd of aangelegd" for k in number],
            "hoofdcategorie": "Woningen en woningbouwcomplexen",
        },
        geometry=[translate(inside.iloc[k % min(20, len(inside))], k // 20 * 0.5) for k in number],
        crs="EPSG:28992",
    )


@dataclass
class Register:
    """The WFS of the RCE: `bbox`, `sortBy`, `startIndex` and `count`; web mercator unless asked otherwise."""

    monuments: gpd.GeoDataFrame
    most: int = 25

    def answer(self, asked: Asked) -> Answer:
        """A page of points."""
        *edges, _ = asked.query["bbox"].split(",")
        rows = self.monuments[self.monuments.intersects(box(*map(float, edges)))].sort_values(asked.query["sortBy"])
        start, count = int(asked.query["startIndex"]), min(int(asked.query["count"]), self.most)
        system = asked.query.get("srsName", "EPSG:3857")
        page = rows.iloc[start : start + count].to_crs(system)
        content = json.loads(page.to_json(drop_id=True))
        name = {"name": "urn:ogc:def:crs:EPSG::" + system.removeprefix("EPSG:")}
        content |= {
            "crs": {"type": "name", "properties": name},
            "numberMatched": len(rows),
            "numberReturned": len(page),
        }
        return as_json(content)


def install_monuments(replay: Replay, register: Register) -> None:
    """The register of monuments."""
    replay.add("rce", "", register.answer)


def install_others(replay: Replay, buurten: gpd.GeoDataFrame, scored: int = 100) -> None:
    """What else is known of buurten: made scores of the first ones, made monuments, addresses of 2020 and 2023."""
    codes = buurten["buurtcode"].tolist()
    install_leefbaarometer(replay, scores(codes[:scored]))
    install_monuments(replay, Register(made_monuments(buurten), most=2000))
    old = made_addresses(codes)
    new = old.assign(code=old["code"].mask((old["code"] == codes[0]) & (old["Huisnummer"] > 10), codes[1]))
    install_addresses(replay, "2020-cbs-pc6huisnr20200801-buurt.zip", old, 2020, "20200801")
    install_addresses(replay, "2023-cbs-pc6huisnr20230801_buurt_20250225.zip", new, 2023, "20230801")
