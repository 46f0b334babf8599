# ruff: noqa: E501
"""Inputs that are spoiled in one place, by class; shared by the suite and by `benchmarks/fuzz.py`.

Each takes a copy of the small run of `small_run`, spoils it, and returns the command that reads it. Nothing is random:
a class is a table of (place, value) pairs, and who wants fewer takes every k-th.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from itertools import product
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
from shapely import affinity, wkb
from shapely.geometry import GeometryCollection, LineString, MultiPoint, MultiPolygon, Point, Polygon
from small_run import BOOK, BOOKS, COMMON, DIRECT_SOURCE, SOURCES, write_toml

CHECK = ["check", "bron.toml"]
DIRECT = ["check", "direct.toml"]


@dataclass(frozen=True)
class Mutation:
    """One spoiled input: its class, what was done, and how; `spoil` returns the command to call."""

    kind: str
    name: str
    spoil: Callable[[Path], list[str]]

    def __str__(self) -> str:
        return f"{self.kind}: {self.name}"


def nested(depth: int) -> list[Any]:
    """A list in a list in a list ..."""
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


VALUES: dict[str, Any] = {
    "empty": "", "space": " ", "NUL": "a\0b", "newline": "a\nb", "long": "x" * 10_000, "long path": "é" * 300 + "/x.csv",
    "folder": "..", "markup": "<script>x</script>", "geometry": "geometry", "area": "area", "weight": "weight", "cluster_2": "cluster_2",
    "-1": -1, "0": 0, "0.5": 0.5, "1": 1, "huge whole": 10**30, "1e308": 1e308, "-1e308": -1e308, "1e-308": 1e-308,
    "nan": math.nan, "inf": math.inf, "-inf": -math.inf, "true": True, "text": "abc", "list": [], "table": {},
    "list of list": [[]], "huge pair": [1e308, 1e308], "nan pair": [math.nan, math.nan], "negative pair": [-1, -1],
    "zero pair": [0, 0], "inf pair": [math.inf, math.inf], "empty names": ["", ""], "same names": ["a", "a"],
    "many names": [f"n{k}" for k in range(1000)], "nested": nested(60), "inner": {"a": {"b": 1}},
    "date": date(2024, 1, 1),
}  # fmt: skip


def _places(value: Any, loc: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every key and the first two entries of every list."""
    if loc:
        yield loc
    inner = value.items() if isinstance(value, dict) else enumerate(value[:2]) if isinstance(value, list) else ()
    for key, part in inner:
        yield from _places(part, (*loc, key))


def _put(raw: Any, loc: tuple[str | int, ...], value: Any) -> None:
    for part in loc[:-1]:
        raw = raw[part]
    raw[loc[-1]] = value


def _edited(file: str, edit: Callable[[dict[str, Any]], None], command: list[str]) -> Callable[[Path], list[str]]:
    def spoil(folder: Path) -> list[str]:
        raw = tomllib.loads((folder / file).read_text(encoding="utf-8"))
        edit(raw)
        write_toml(folder / file, raw)
        return command

    return spoil


def keys_of(raw: dict[str, Any], file: str, kind: str, command: list[str]) -> Iterator[Mutation]:
    """Every key of a TOML file with every value, and without."""
    places = list(_places(raw))
    for loc in places:
        where = ".".join(map(str, loc))

        def drop(raw: Any, loc: tuple[str | int, ...] = loc) -> None:
            for part in loc[:-1]:
                raw = raw[part]
            del raw[loc[-1]]

        yield Mutation(kind, f"{where} left out", _edited(file, drop, command))
        yield Mutation(
            kind, f"{where} misspelt",
            _edited(file, lambda raw, loc=loc: _put(raw, (*loc[:-1], f"{loc[-1]}_x"), 1)
                    if isinstance(loc[-1], str) else _put(raw, loc, {"x": 1}), command),
        )  # fmt: skip
    for (name, value), loc in product(VALUES.items(), places):
        where = ".".join(map(str, loc))
        yield Mutation(
            kind, f"{where} = {name}", _edited(file, lambda raw, loc=loc, v=value: _put(raw, loc, v), command)
        )


def text_of(file: str, kind: str, command: list[str]) -> Iterator[Mutation]:
    """The text of a TOML file."""
    deep = 5000
    more: dict[str, Callable[[bytes], bytes]] = {
        "empty": lambda b: b"",
        "blank": lambda b: b"\n\n",
        "byte order mark": lambda b: b"\xef\xbb\xbf" + b,
        "UTF-16": lambda b: b.decode().encode("utf-16"),
        "Latin-1": lambda b: b + "# caf\xe9".encode("latin-1"),
        "a NUL": lambda b: b + b"\0",
        "lists 5,000 deep": lambda b: b + b"\nz = " + b"[" * deep + b"]" * deep,
        "tables 5,000 deep": lambda b: b + b"\nz = " + b"{a = " * deep + b"1" + b"}" * deep,
        "keys 5,000 deep": lambda b: b + b"\n" + b".".join([b"z"] * deep) + b" = 1\n",
        "a number of 5,000 digits": lambda b: b + b"\nz = " + b"9" * deep,
        "a date that is none": lambda b: b + b"\nz = 2024-13-45",
        "a key twice": lambda b: b + b"\nz = 1\nz = 2",
        "1,000 unknown keys": lambda b: b + b"\n" + b"\n".join(b"u%d = 1" % k for k in range(1000)),
        "1,000 unknown long keys": lambda b: (
            b + b"\n" + b"\n".join(b"u%d%s = 1" % (k, b"u" * 500) for k in range(1000))
        ),
        "a key of a megabyte": lambda b: b + b"\n" + b"k" * 1_000_000 + b" = 1",
        "a value of a megabyte": lambda b: b + b'\nz = "' + b"v" * 1_000_000 + b'"',
        "a surrogate": lambda b: b + b'\nz = "\\ud800"',
        "bytes at random": lambda b: np.random.default_rng(1).bytes(2000),
        "comments only": lambda b: b"# nothing\n",
    }
    for name, change in more.items():

        def spoil(folder: Path, change: Callable[[bytes], bytes] = change) -> list[str]:
            (folder / file).write_bytes(change((folder / file).read_bytes()))
            return command

        yield Mutation(kind, name, spoil)
    for k in range(1, 60):

        def cut(folder: Path, k: int = k) -> list[str]:
            raw = (folder / file).read_bytes()
            (folder / file).write_bytes(raw[: len(raw) * k // 60])
            return command

        yield Mutation(kind, f"cut at {k}/60", cut)
        if k % 3 == 0:

            def flip(folder: Path, k: int = k) -> list[str]:
                raw = bytearray((folder / file).read_bytes())
                raw[len(raw) * k // 60] ^= 1 << (k % 7)
                (folder / file).write_bytes(raw)
                return command

            yield Mutation(kind, f"a bit flipped at {k}/60", flip)

    def folder_instead(folder: Path) -> list[str]:
        (folder / file).unlink()
        (folder / file).mkdir()
        return command

    def dangling(folder: Path) -> list[str]:
        (folder / file).unlink()
        (folder / file).symlink_to(folder / "nowhere")
        return command

    yield Mutation(kind, "a folder instead", folder_instead)
    yield Mutation(kind, "a link to nowhere", dangling)


Column = Callable[[pd.Series], Any]


def _first(column: pd.Series, value: Any) -> pd.Series:
    out = column.astype(object)
    out.iloc[0] = value
    return out


def _whole(column: pd.Series, value: Any) -> pd.Series:
    return pd.Series([value] * len(column), index=column.index, dtype=object)


CELLS: dict[str, Column] = {
    **{f"one cell {name}": lambda c, v=v: _first(c, v).astype(str) for name, v in {
        "empty": "", "a space": " ", "text": "abc", "inf": "inf", "-inf": "-inf", "nan": "nan", "1e308": "1e308",
        "-1e308": "-1e308", "1e-308": "1e-308", "-5": "-5", "0": "0", "huge": "9" * 400, "long": "x" * 100_000,
        "quotes": 'a"b', "a line break": "a\nb", "a comma": "1,5", "thousands": "1.234,5", "formula": "=1+1",
        "NUL": "a\0b", "-99997": "-99997", "a code": "BU99010001", "a wijk": "WK990101"}.items()},
    **{f"all cells {name}": lambda c, v=v: _whole(c, v).astype(str) for name, v in {
        "empty": "", "0": "0", "1": "1", "text": "abc", "inf": "inf", "1e308": "1e308", "1e-308": "1e-308",
        "-1": "-1", "true": "True", "a date": "2024-01-01", "huge": "9" * 30}.items()},
}  # fmt: skip

PARQUET: dict[str, Column] = {
    "lists": lambda c: _whole(c, [1.0, 2.0]),
    "lists of different length": lambda c: pd.Series([[1.0] * (k % 3) for k in range(len(c))], index=c.index),
    "dictionaries": lambda c: _whole(c, {"a": 1}),
    "bytes": lambda c: _whole(c, b"\xff\xfe"),
    "bytes of the text": lambda c: c.astype(str).str.encode("utf-8"),
    "dates": lambda c: pd.Series(pd.date_range("2024-01-01", periods=len(c)), index=c.index),
    "durations": lambda c: pd.Series(pd.to_timedelta(np.arange(len(c)), unit="D"), index=c.index),
    "booleans": lambda c: pd.Series(np.arange(len(c)) % 2 == 0, index=c.index),
    "booleans with missing": lambda c: pd.Series([True, None] * (len(c) // 2) + [None] * (len(c) % 2), index=c.index),
    "categories": lambda c: c.astype("category"),
    "numbers as inf": lambda c: pd.Series(np.inf, index=c.index),
    "numbers as nan": lambda c: pd.Series(np.nan, index=c.index),
    "numbers of 1e308": lambda c: pd.Series(1e308, index=c.index),
    "numbers of 1e-308": lambda c: pd.Series(1e-308, index=c.index),
    "one number inf": lambda c: pd.to_numeric(c, errors="coerce").astype(float).where(np.arange(len(c)) > 0, np.inf),
    "one number of 1e308": lambda c: (
        pd.to_numeric(c, errors="coerce").astype(float).where(np.arange(len(c)) > 0, 1e308)
    ),
    "whole numbers of 64 bits": lambda c: pd.Series(np.iinfo(np.int64).max, index=c.index),
    "half floats": lambda c: pd.to_numeric(c, errors="coerce").astype("float32"),
    "nothing": lambda c: _whole(c, None),
    "decimals": lambda c: _whole(c, __import__("decimal").Decimal("1.50")),
    "times": lambda c: _whole(c, __import__("datetime").time(1, 2)),
}
TABLES: dict[str, tuple[list[str], tuple[str, ...]]] = {
    "kerncijfers.csv": (CHECK, ("buurtcode", "inwoners", "stedelijkheid", "afstand_groen", "soort", "stadsdeel")),
    "vm.csv": (CHECK, ("buurtcode", "gewicht", "stratum", "pand", "nummer", "veel_contact")),
    "eigen.csv": (CHECK, ("buurtcode", "gewicht", "stratum", "aantal", "rep_2", "veiligheid")),
    "strata.csv": (CHECK, ("stratum", "population")),
    "totalen.csv": (CHECK, ("margin", "category", "total")),
    "benchmark.csv": (CHECK, ("level", "area_code", "measure", "value", "se")),
    "direct.csv": (
        DIRECT,
        ("area_code", "measure", "source", "estimate", "variance", "n_respondents", "n_effective"),
    ),
    "cov.csv": (DIRECT, ("area_code", "source", "measure_1", "measure_2", "covariance")),
}
RENAMES: dict[str, Callable[[pd.DataFrame, str], pd.DataFrame]] = {
    "dropped": lambda f, c: f.drop(columns=c),
    "twice": lambda f, c: pd.concat([f, f[[c]]], axis=1),
    "twice but for a space": lambda f, c: f.assign(**{f" {c} ": f[c]}),
    "renamed with a space": lambda f, c: f.rename(columns={c: f"{c} "}),
    "in capitals": lambda f, c: f.rename(columns={c: c.upper()}),
    "renamed to nothing": lambda f, c: f.rename(columns={c: ""}),
    "renamed to geometry": lambda f, c: f.rename(columns={c: "geometry"}),
    "renamed to weight": lambda f, c: f.rename(columns={c: "weight"}),
    "with a long name": lambda f, c: f.rename(columns={c: "x" * 100_000}),
}
SHAPES: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "no rows": lambda f: f.iloc[:0],
    "one row": lambda f: f.iloc[:1],
    "two rows": lambda f: f.iloc[:2],
    "no columns": lambda f: f.iloc[:, :0],
    "one column": lambda f: f.iloc[:, :1],
    "every row twice": lambda f: pd.concat([f, f]),
    "the first row twice": lambda f: pd.concat([f, f.iloc[:1]]),
    "rows reversed": lambda f: f.iloc[::-1],
    "1,000 columns more": lambda f: pd.concat([f, pd.DataFrame(0, f.index, [f"c{k}" for k in range(1000)])], axis=1),
    "1,000 columns of inf more": lambda f: pd.concat(
        [f, pd.DataFrame(np.inf, f.index, [f"c{k}" for k in range(1000)])], axis=1
    ),
    "everything missing": lambda f: pd.DataFrame(None, f.index, f.columns, dtype=object),
    "columns of reserved names more": lambda f: f.assign(
        **{
            c: 1.0
            for c in ("area", "weight", "population", "name", "wijk", "cluster_2", "index", "level_0")
            if c not in f
        }
    ),
}


def _csv(folder: Path, file: str, frame: pd.DataFrame) -> None:
    frame.to_csv(folder / file, index=False, encoding="utf-8", lineterminator="\n")


def _parquet(folder: Path, file: str, frame: pd.DataFrame) -> None:
    """The table as Parquet in the place of the CSV, in both run files."""
    new = Path(file).with_suffix(".parquet").name
    frame.to_parquet(folder / new)
    for run in ("bron.toml", "direct.toml"):
        text = (folder / run).read_text(encoding="utf-8")
        (folder / run).write_text(text.replace(f'"{file}"', f'"{new}"'), encoding="utf-8", newline="\n")


Write = Callable[[Path, str, pd.DataFrame], None]


def _table(
    file: str,
    command: list[str],
    change: Callable[[pd.DataFrame], pd.DataFrame],
    write: Write = _csv,
    text: bool = True,
) -> Callable[[Path], list[str]]:
    def spoil(folder: Path) -> list[str]:
        frame = pd.read_csv(folder / file, **({"dtype": str, "keep_default_na": False} if text else {}))
        write(folder, file, change(frame))
        return command

    return spoil


def tables() -> Iterator[Mutation]:
    """Every column of every table with every kind of cell; names, shapes and bytes of the files."""
    columns = [(file, c) for file, (_, names) in TABLES.items() for c in names]
    for (name, change), (file, c) in product(CELLS.items(), columns):
        command = TABLES[file][0]
        yield Mutation(
            "cells of a CSV", f"{file}, {c}: {name}",
            _table(file, command, lambda f, c=c, g=change: f.assign(**{c: g(f[c])})),
        )  # fmt: skip
    for (name, change), (file, c) in product(PARQUET.items(), columns):
        command = TABLES[file][0]
        yield Mutation(
            "cells of Parquet", f"{file}, {c}: {name}",
            _table(file, command, lambda f, c=c, g=change: f.assign(**{c: g(f[c])}), _parquet, text=False),
        )  # fmt: skip
    for (name, rename), (file, c) in product(RENAMES.items(), columns):
        yield Mutation(
            "columns of a table", f"{file}, {c}: {name}",
            _table(file, TABLES[file][0], lambda f, c=c, g=rename: g(f, c)),
        )  # fmt: skip
    for (name, shape), (file, (command, _)), (how, write) in product(
        SHAPES.items(), TABLES.items(), (("CSV", _csv), ("Parquet", _parquet))
    ):
        yield Mutation(
            "shape of a table", f"{file}, {how}: {name}", _table(file, command, shape, write, text=write is _csv)
        )
    index: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
        "a repeated index": lambda f: f.set_axis([0] * len(f), axis=0),
        "the first column as index": lambda f: f.set_index(f.columns[0]),
        "an index of two columns": lambda f: f.set_index(list(f.columns[:2])),
        "an index of the name of a column": lambda f: f.set_axis(pd.Index(range(len(f)), name=f.columns[0]), axis=0),
        "columns that are numbers": lambda f: f.assign(**{"0": 1}),
    }
    for (name, change), (file, (command, _)) in product(index.items(), TABLES.items()):
        yield Mutation("shape of a table", f"{file}: {name}", _table(file, command, change, _parquet, text=False))
    bytes_: dict[str, Callable[[bytes], bytes]] = {
        "empty": lambda b: b"",
        "one line break": lambda b: b"\n",
        "byte order mark": lambda b: b"\xef\xbb\xbf" + b,
        "UTF-16": lambda b: b.decode().encode("utf-16"),
        "Latin-1": lambda b: b.replace(b"\n", "\n\xe9".encode("latin-1"), 3),
        "a NUL": lambda b: b[:40] + b"\0" + b[40:],
        "semicolons": lambda b: b.replace(b",", b";"),
        "tabs": lambda b: b.replace(b",", b"\t"),
        "lone returns": lambda b: b.replace(b"\n", b"\r"),
        "an open quote": lambda b: b + b'"',
        "a row too long": lambda b: b + b"1," * 50 + b"\n",
        "a row too short": lambda b: b + b"1\n",
        "blank lines": lambda b: b.replace(b"\n", b"\n\n"),
        "a header twice": lambda b: b.split(b"\n")[0] + b"\n" + b,
        "no header": lambda b: b.split(b"\n", 1)[1],
        "bytes at random": lambda b: np.random.default_rng(2).bytes(3000),
        "half of it": lambda b: b[: len(b) // 2],
    }
    for (name, change), (file, (command, _)) in product(bytes_.items(), TABLES.items()):

        def spoil(
            folder: Path, file: str = file, g: Callable[[bytes], bytes] = change, command: list[str] = command
        ) -> list[str]:
            (folder / file).write_bytes(g((folder / file).read_bytes()))
            return command

        yield Mutation("bytes of a table", f"{file}: {name}", spoil)


def _line(polygon: Any) -> LineString:
    return LineString(polygon.exterior.coords)


def _bow(p: Any) -> Polygon:
    """A polygon that crosses itself."""
    a, b, c, d = p.bounds
    return Polygon([(a, b), (c, d), (c, b), (a, d)])


SHAPES_OF: dict[str, Callable[[Any], Any]] = {
    "points": lambda p: p.centroid,
    "several points": lambda p: MultiPoint([p.centroid, Point(p.bounds[:2])]),
    "lines": _line,
    "collections": lambda p: GeometryCollection([p, p.centroid]),
    "collections of lines": lambda p: GeometryCollection([_line(p), p.centroid]),
    "empty collections": lambda p: GeometryCollection(),
    "empty polygons": lambda p: Polygon(),
    "nothing": lambda p: None,
    "polygons of no area": lambda p: Polygon([p.bounds[:2], p.bounds[2:], p.bounds[:2]]),
    "polygons that cross themselves": _bow,
    "polygons in three dimensions": lambda p: Polygon([(x, y, 5.0) for x, y in p.exterior.coords]),
    "polygons of nan": lambda p: Polygon([p.bounds[:2], (math.nan, math.nan), p.bounds[2:], p.bounds[:2]]),
    "polygons of inf": lambda p: Polygon([(math.inf, 0), (0, math.inf), (math.inf, math.inf)]),
    "polygons of 1e308": lambda p: Polygon([(0, 0), (1e308, 0), (1e308, 1e308)]),
    "polygons of a millimetre": lambda p: affinity.scale(p, 1e-6, 1e-6),
    "polygons of a millimetre at one place": lambda p: affinity.scale(p, 1e-9, 1e-9, origin=(0, 0)),
    "one and the same polygon": lambda p: Polygon([(1e5, 4e5), (1e5 + 500, 4e5), (1e5, 4e5 + 500)]),
    "polygons in two parts": lambda p: MultiPolygon([p, affinity.translate(p, 1e5, 0)]),
    "polygons doubled": lambda p: MultiPolygon([p, p]),
    "polygons with a hole that is all": lambda p: Polygon(p.exterior, [p.exterior]),
    "curtains": lambda p: Polygon([(p.bounds[0], p.bounds[1], z) for z in (0.0, 1.0, 2.0)]),
}
SYSTEMS = ("EPSG:4326", "EPSG:3857", "EPSG:25831", "EPSG:4258", "EPSG:2154", "EPSG:7415", "EPSG:4978", "EPSG:9377")


def geometry() -> Iterator[Mutation]:
    """The map: kinds of geometry, in all rows or one; coordinate systems; columns; files of each kind."""

    def of(change: Callable[[gpd.GeoDataFrame], Any], file: str = "buurten.parquet") -> Callable[[Path], list[str]]:
        def spoil(folder: Path) -> list[str]:
            with np.errstate(all="ignore"):  # coordinates that are no numbers are meant
                frame = change(gpd.read_file(folder / "buurten.gpkg"))
            if file.endswith(".parquet"):
                frame.to_parquet(folder / file)
            else:
                (folder / file).unlink(missing_ok=True)
                frame.to_file(folder / file)
            for run in ("bron.toml", "direct.toml"):
                text = (folder / run).read_text(encoding="utf-8")
                (folder / run).write_text(text.replace('"buurten.gpkg"', f'"{file}"'), encoding="utf-8", newline="\n")
            return CHECK

        return spoil

    def few(frame: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
        """What a shapefile can hold."""
        return frame[["buurtcode", "buurtnaam", "geometry"]]

    for name, shape in SHAPES_OF.items():
        for file in ("buurten.parquet", "buurten.gpkg"):
            yield Mutation(
                "geometry", f"{file}: {name}",
                of(lambda f, g=shape: f.set_geometry(gpd.GeoSeries([g(p) for p in f.geometry], f.index, f.crs)), file),
            )  # fmt: skip
        yield Mutation(
            "geometry", f"one of {name}",
            of(lambda f, g=shape: f.set_geometry(
                gpd.GeoSeries([g(p) if k == 3 else p for k, p in enumerate(f.geometry)], f.index, f.crs))),
        )  # fmt: skip
    for system in SYSTEMS:
        yield Mutation("geometry", f"called {system}", of(lambda f, s=system: f.set_crs(s, allow_override=True)))
        yield Mutation("geometry", f"in {system}", of(lambda f, s=system: f.to_crs(s)))
        if system != "EPSG:4326":
            yield Mutation(
                "geometry", f"degrees called {system}",
                of(lambda f, s=system: f.to_crs("EPSG:4326").set_crs(s, allow_override=True)),
            )  # fmt: skip
    more: dict[str, Callable[[gpd.GeoDataFrame], Any]] = {
        "no coordinate system": lambda f: f.set_crs(None, allow_override=True),
        "degrees called RD": lambda f: f.to_crs(4326).set_crs(28992, allow_override=True),
        "no rows": lambda f: f.iloc[:0],
        "one row": lambda f: f.iloc[:1],
        "two rows": lambda f: f.iloc[:2],
        "a plain table": lambda f: pd.DataFrame(f.drop(columns="geometry")),
        "geometry as bytes": lambda f: pd.DataFrame(f).assign(geometry=[wkb.dumps(p) for p in f.geometry]),
        "another name of the geometry": lambda f: f.rename_geometry("vlak"),
        "the name of a code as the geometry": lambda f: f.rename(columns={"buurtcode": "code"}).rename_geometry(
            "buurtcode"
        ),
        "two geometries": lambda f: f.assign(punt=f.geometry.centroid),
        "a second geometry called geometry": lambda f: f.rename_geometry("vlak").assign(
            geometry=gpd.GeoSeries(f.geometry.to_numpy(), f.index, f.crs).centroid
        ),
        "no codes": lambda f: f.drop(columns="buurtcode"),
        "codes that are numbers": lambda f: f.assign(buurtcode=range(len(f))),
        "codes that are missing": lambda f: f.assign(buurtcode=None),
        "codes that are lists": lambda f: f.assign(buurtcode=[[c] for c in f["buurtcode"]]),
        "codes as index": lambda f: f.set_index("buurtcode"),
        "names that are lists": lambda f: f.assign(buurtnaam=[[1]] * len(f)),
        "names that are missing": lambda f: f.assign(buurtnaam=None),
        "names that are numbers": lambda f: f.assign(buurtnaam=1.5),
        "names of 100,000 letters": lambda f: f.assign(buurtnaam="n" * 100_000),
        "names of control characters": lambda f: f.assign(buurtnaam="a\u202e\0\x07\nb"),
        "columns that differ by a space": lambda f: f.assign(**{"buurtcode ": f["buurtcode"]}),
        "residents in the map": lambda f: f.assign(inwoners=100),
        "residents in the map, inf": lambda f: f.assign(inwoners=np.inf),
        "residents in the map, lists": lambda f: f.assign(inwoners=[[1]] * len(f)),
        "residents in the map, dates": lambda f: f.assign(inwoners=pd.Timestamp("2024-01-01")),
        "columns with reserved names": lambda f: f.assign(wijk=1, gemeente=2, population=3, name=4, area_code=5),
        "wijkcodes of its own": lambda f: f.assign(wijkcode="WK000000", gemeentecode="GM0000"),
        "wijknamen that are lists": lambda f: f.assign(wijknaam=[[1]] * len(f), gemeentenaam=[{"a": 1}] * len(f)),
        "provinces that are lists": lambda f: f.assign(provinciecode=[[1]] * len(f)),
        "provinces that are missing": lambda f: f.assign(provincie=None),
        "regions that are numbers": lambda f: f.assign(ggdregio=1.5),
        "rows in another order": lambda f: f.iloc[::-1],
        "a repeated index": lambda f: f.set_axis([0] * len(f), axis=0),
        "1,000 columns more": lambda f: pd.concat(
            [f, pd.DataFrame(0, f.index, [f"c{k}" for k in range(1000)])], axis=1
        ),
    }
    for name, change in more.items():
        yield Mutation("geometry", name, of(change))
    for file in ("buurten.gpkg", "buurten.parquet", "buurten.geojson", "buurten.shp"):
        for cut in (0, 100, 2000):

            def spoil(folder: Path, file: str = file, cut: int = cut) -> list[str]:
                command = of(few, file)(folder)
                (folder / file).write_bytes((folder / file).read_bytes()[:cut])
                return command

            yield Mutation("geometry", f"{file}, {cut} bytes of it", spoil)
        yield Mutation("geometry", f"as {file}", of(few, file))


FORMULAS = (
    "", " ", "0", "1", "-1", "1 +", "+", "((1)", "1 + + * x", "~", "1 ~ 1", "a | b", "1 | 1", ".", "1 + .", "\0", "x" * 5000,
    "1 + " * 3000 + "1", "(" * 500 + "1" + ")" * 500, "1 + onbekend", "stedelijkheid", "stedelijkheid - 1",
    "stedelijkheid + stedelijkheid", "stedelijkheid:stedelijkheid", "stedelijkheid * pct_65plus",
    "stedelijkheid / pct_65plus", "(stedelijkheid + pct_65plus)**2", "(stedelijkheid + pct_65plus)**999999",
    "(stedelijkheid + pct_65plus)^40", "(stedelijkheid + pct_65plus)**-1", "(stedelijkheid + pct_65plus)**pct_65plus",
    "(stedelijkheid + pct_65plus)**1.5", "stedelijkheid in pct_65plus", "stedelijkheid %in% pct_65plus",
    "C(stedelijkheid)", "C(stedelijkheid, Treatment)", "C(stedelijkheid, contr.treatment)", "Q('stedelijkheid')",
    "C(stedelijkheid) + stedelijkheid", "C(pct_65plus)", "poly(pct_65plus, 2)", "poly(pct_65plus, 10000)",
    "poly(pct_65plus, -1)", "poly(pct_65plus, degree=3)", "poly(pct_65plus)", "poly()", "poly(1, 2)",
    "bs(pct_65plus, df=4)", "bs(pct_65plus, df=100000)", "bs(pct_65plus, df=-4)", "bs(pct_65plus)", "cr(pct_65plus, df=3)",
    "cs(pct_65plus, df=3)", "cc(pct_65plus, df=3)", "bs(pct_65plus, degree=100)", "bs(pct_65plus, knots=[0.1])",
    "center(pct_65plus)", "scale(pct_65plus)", "standardize(pct_65plus)", "lag(pct_65plus)", "lag(pct_65plus, 3)",
    "hashed(pct_65plus, levels=10)", "log(pct_65plus)", "exp(pct_65plus)", "sqrt(abs(pct_65plus))", "np.log(pct_65plus)",
    "np.exp(pct_65plus)", "np.sqroot(pct_65plus)", "exp(exp(exp(exp(pct_65plus * 100))))", "abs(pct_65plus)",
    "log1p(abs(pct_65plus))", "I(pct_65plus ** 2)", "I(pct_65plus ** 999999)", "I(10 ** 10 ** 10)", "I(10 ** 1000000)",
    "I(pct_65plus / 0)", "I(1 / 0)", "I(pct_65plus % 0)", "I(pct_65plus // 0.5)", "I(1)", "I(0)", "I(nan)", "I('a')",
    "I('a' * 1000000000)", "I([1, 2])", "I((1, 2))", "I({1: 2})", "I(pct_65plus > 0)", "I(pct_65plus if 1 else 2)",
    "I(not pct_65plus)", "I(~pct_65plus)", "I(-pct_65plus)", "I(pct_65plus @ pct_65plus)", "I(1j * pct_65plus)",
    "I(pct_65plus[0])", "I(pct_65plus.mean())", "I(pct_65plus.__class__)", "I(lambda: 1)", "I((lambda: 1)())",
    "I([x for x in (1,)])", "I(f'{1}')", "I(b'a')", "I(...)", "I(None)", "I(True)", "I(x := 1)", "I(*[1])", "I(**{})",
    "I()", "I(pct_65plus, 1)", "{pct_65plus + 1}", "{pct_65plus.to_csv('geschreven')}", "{1}", "{}", "{{}}", "{pct_65plus",
    "{__import__('os').system('touch geschreven')}", "{exec('1')}", "{eval('1')}", "{globals()}", "{table}", "{self}",
    "open('geschreven', 'w').write('x')", "open('x').read()", "print(1)", "exit()", "os", "np", "np.array([1])",
    "np.zeros(1000000000)", "np.load('x')", "getattr(pct_65plus, 'mean')()", "int(1)", "len(pct_65plus)", "range(10)",
    "pct_65plus.mean()", "pct_65plus.to_csv('geschreven')", "`pct_65plus`", "`pct_65plus.to_csv('geschreven')`",
    "`a b`", "'a'", '"a"', "1.5", "2", "1e308", "1e999", "10**10", "9" * 5000, "pct_65plus + 1e308",
    "1 + pct_65plus + # x", "1 + pct_65plus\n+ stedelijkheid", "1; pct_65plus", "1, pct_65plus", "pct_65plus = 1",
    "[pct_65plus ~ stedelijkheid]", "[1 ~ 1]", "pct_65plus & 1", "pct_65plus || 1", "pct 65plus", "1 + ∑", "été", "1 + é",
    "population", "name", "wijk", "geometry", "buurtcode", "stadsdeel", "soort", "C(stadsdeel)", "C(soort)", "C(name)",
    "log(-1)", "log(0)", "exp(1000)", "bs(1, df=3)", "C(1)", "C(pct_65plus + stedelijkheid)", "center(center(pct_65plus))",
    "poly(poly(pct_65plus, 2), 2)", "scale(0)", "center('a')", "log('a')", "C('a')", "+".join(f"x{k}" for k in range(2000)),
    "*".join(["stedelijkheid", "pct_65plus"] * 10), "*".join(f"I(pct_65plus + {k})" for k in range(30)),
    "(" + "+".join(f"I(pct_65plus**{k})" for k in range(2, 9)) + ")**8", "I(" * 200 + "pct_65plus" + ")" * 200,
    "I(" + "-" * 5000 + "pct_65plus)", "I(" + "(" * 150 + "pct_65plus" + ")" * 150 + ")", "I(" + "1+" * 4000 + "pct_65plus)",
    "I(" + "(" * 7 + "999999" + "**10)" * 7 + ")", "1 + log", "1 + `log`", "I(log + pct_65plus)", "1 + bs(pct_65plus, 4)",
    "1 + poly(pct_65plus, 2)", "1 + cr(pct_65plus, df=3, constraints='center')", "1 + C(stedelijkheid)", "pct_65plus | s",
)  # fmt: skip


def formulas() -> Iterator[Mutation]:
    """Formulas, and the same for the list of covariates."""
    for k, text in enumerate(FORMULAS):

        def edit(raw: dict[str, Any], text: str = text) -> None:
            raw["model"]["formula"] = text
            raw["covariates"] = [c for c in raw["covariates"] if c["name"] in text]

        yield Mutation("formulas", f"{k} {text[:40]!r}", _edited("bron.toml", edit, CHECK))


EDITS: dict[str, tuple[str, tuple[str | int, ...], Any]] = {
    "one cluster, empty": ("bron.toml", ("sources", 0, "cluster"), ""),
    "clusters, one empty": ("bron.toml", ("sources", 0, "cluster"), [""]),
    "a number as cluster": ("bron.toml", ("sources", 0, "cluster"), 1),
    "a space as weight": ("bron.toml", ("sources", 0, "weight"), " "),
    "a survey wider than where": ("bron.toml", ("areas", "where"), {"gemeentecode": "GM9901"}),
    "direct estimates wider than where": ("direct.toml", ("areas", "where"), {"gemeentecode": "GM9901"}),
    "a file of 300 characters": ("bron.toml", ("sources", 0, "file"), "x" * 300 + ".csv"),
    "codes as groups": ("bron.toml", ("areas", "groupings"), ["buurtcode"]),
    "a covariate as groups": ("bron.toml", ("areas", "groupings"), ["stedelijkheid"]),
    "codes as residents": ("bron.toml", ("areas", "population"), "buurtcode"),
    "text as covariate": ("bron.toml", ("model", "formula"), "1 + soort + stedelijkheid"),
}
COLUMNS: dict[str, tuple[str, dict[str, Any]]] = {
    "a respondent without code": ("eigen.csv", {"buurtcode": lambda t: ["", *t["buurtcode"][1:]]}),
    "no residents": ("kerncijfers.csv", {"inwoners": "-99997"}),
    "thousands in one cell": ("kerncijfers.csv", {"inwoners": lambda t: ["2.860", *t["inwoners"][1:]]}),
    "estimates on 0-100": ("direct.csv", {"estimate": "62.5"}),
    "a long source": ("direct.csv", {"source": "x" * 5000}),
    "benchmarks of 1e-9": ("benchmark.csv", {"se": "1e-9"}),
    "a long column": ("kerncijfers.csv", {"k" * 50_000: "-99997"}),
    "1,000 columns of hidden codes": ("kerncijfers.csv", {f"c{k}": "-99997" for k in range(1000)}),
}


def audited() -> Iterator[Mutation]:
    """What an audit found."""

    def columns(folder: Path, file: str, change: dict[str, Any]) -> list[str]:
        table = pd.read_csv(folder / file, dtype=str)
        more = {c: v(table) if callable(v) else v for c, v in change.items()}
        table = pd.concat([table.drop(columns=table.columns.intersection(list(more))),
                           pd.DataFrame(more, index=table.index)], axis=1)  # fmt: skip
        table.to_csv(folder / file, index=False, lineterminator="\n")
        return DIRECT if file == "direct.csv" else CHECK

    def seed(folder: Path) -> list[str]:
        text = (folder / "bron.toml").read_text(encoding="utf-8")
        (folder / "bron.toml").write_text(text.replace('"seed" = 1,', f'"seed" = 0x{"f" * 6000},'), encoding="utf-8")
        return CHECK

    def exact(folder: Path) -> list[str]:
        _edited("bron.toml", lambda raw: _put(raw, ("benchmark", "exact"), True), CHECK)(folder)
        return columns(folder, "benchmark.csv", {"se": ["", "0.1"]})

    for name, (file, loc, value) in EDITS.items():
        yield Mutation(
            "audited", name,
            _edited(file, lambda raw, loc=loc, v=value: _put(raw, loc, v), CHECK if file == "bron.toml" else DIRECT),
        )  # fmt: skip
    for name, (file, change) in COLUMNS.items():
        yield Mutation("audited", name, lambda folder, file=file, change=change: columns(folder, file, change))
    yield Mutation("audited", "a seed of 24,000 bits", seed)
    yield Mutation("audited", "exact benchmarks, empty se", exact)


RUNS = ["bron.toml", "onbekend.toml", ".", "", "a\0b", "x" * 300, "vm.csv", "buurten.gpkg"]
NUMBERS = ["-1", "0", "nan", "inf", "-inf", "1e308", "1e-308", "abc", "", "9" * 400, "1.5", "0x10"]
COMMANDS: list[list[str]] = [
    *[[verb, file] for verb in ("check", "run", "plan", "curves", "compare", "explain") for file in RUNS],
    *[["run", file, "--out", "uit"] for file in RUNS[1:]],
    *[["plan", "bron.toml", "--budget", n] for n in ["-1", "0", "nan", "1.5", "abc", "", "9" * 400]],
    *[["plan", "bron.toml", "--budget", "10", f"--{option}", n]
      for option in ("target", "max-per-area", "deff") for n in NUMBERS if n not in ("1.5", "1e-308") or option == "target"],
    *[["plan", "bron.toml", "--budget", "10", "--measure", m] for m in ("x", "", "a\0b", "x" * 10_000)],
    *[["plan", "bron.toml", "--budget", "10", "--source", m] for m in ("x", "", "a\0b", "x" * 10_000)],
    ["plan", "direct.toml", "--budget", "10"],
    *[["curves", "bron.toml", "--covariate", c] for c in ("x", "", "a\0b", "geometry", "x" * 10_000, "afstand_groen")],
    *[["run", "bron.toml", "--out", "uit", "--engine", e] for e in ("x", "", "Laplace", "../laplace", "x" * 10_000)],
    *[["run", "bron.toml", "--out", "uit", "--seed", n] for n in NUMBERS if n not in ("0",)],
    *[["simulate", "--areas", file, "--out", "uit"] for file in ("nergens.gpkg", ".", "a\0b", "vm.csv", "x" * 300)],
    *[["simulate", "--areas", "buurten.gpkg", "--out", "uit", "--table", t] for t in
      ("nergens.csv", ".", "a\0b", "vm.csv", "strata.csv", "eigen.toml")],
    *[["simulate", "--areas", "buurten.gpkg", "--table", "kerncijfers.csv", "--out", "uit", f"--{option}", value]
      for option, values in {
          "rate": NUMBERS, "year": NUMBERS, "seed": NUMBERS,
          "source": [f"veiligheidsmonitor={n}" for n in NUMBERS]
          + ["", "=", "x=", "kwb", "nergens.toml", "concept.toml", "a\0b.toml", "veiligheidsmonitor=="],
          "covariate": ["x", "", "soort", "geometry", "inwoners"],
          "where": ["", "=", "x=1", "soort=zee", "buurtcode=BU99010001"],
          "code": ["", "x", "geometry", "buurtnaam"], "name": ["", "x", "geometry"],
          "population": ["", "x", "buurtcode", "geometry", "buurtnaam"],
      }.items() for value in values],
    *[["sources", s] for s in ("x", "", ".", "a\0b.toml", "x" * 300 + ".toml", "concept.toml", "bron.toml", "eigen.toml")],
    *[["explain", code, "--from", "."] for code in ("BU99010001", "", "..", "a\0b", "x" * 10_000)],
    ["explain", "BU99010001", "--from", "a\0b"], ["compare", ".", "."], ["compare", "vm.csv", "eigen.csv"],
    ["--version"], ["--help"], ["--debug"], [], ["x"], ["check"], ["check", "bron.toml", "--x"], ["check", "--json", "."],
    ["init"], ["init", "vm.csv"], ["init", "."], ["init", "a\0b"], ["init", "vm.csv", "--year", "x"],
    ["init", "vm.csv", "--out", "a\0b"], ["init", "eigen.csv", "--areas", "vm.csv", "--year", "2024", "--yes"],
    ["serve", "nergens"], ["serve", "vm.csv"], ["serve", "a\0b"],
]  # fmt: skip


def commands() -> Iterator[Mutation]:
    """Command lines."""
    for k, command in enumerate(COMMANDS):
        yield Mutation("command line", f"{k} {' '.join(command)[:60]!r}", lambda folder, command=command: command)


def mutations() -> list[Mutation]:
    """All of them, by class."""
    book, concept = (tomllib.loads((BOOKS / name).read_text(encoding="utf-8")) for name in (BOOK, "concept.toml"))
    return [
        *keys_of(COMMON | SOURCES, "bron.toml", "keys of the run file", CHECK),
        *keys_of(COMMON | DIRECT_SOURCE, "direct.toml", "keys of the run file, direct estimates", DIRECT),
        *keys_of(book, "eigen.toml", "keys of a codebook", CHECK),
        *keys_of(concept, "concept.toml", "keys of a concept", CHECK),
        *text_of("bron.toml", "text of the run file", CHECK),
        *text_of("eigen.toml", "text of a codebook", CHECK),
        *text_of("concept.toml", "text of a concept", CHECK),
        *tables(),
        *geometry(),
        *formulas(),
        *audited(),
        *commands(),
    ]
