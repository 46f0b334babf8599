"""Time and memory of OpenStreetMap per buurt, by size of the extract.

    python benchmarks/osm.py --mb 5 20 100

Each extract is made: blocks of 100 x 100 metres, each with eight buildings, two streets, a bench and a tree; every
fifth with a café, a playground and a lawn, every fiftieth with a park as a multipolygon with a hole. Nine of ten
objects are of no theme, as in the Netherlands (buildings and streets). Buurten are of 500 x 500 metres. Read in a
process of its own: seconds of processor, and the most memory that it had at once beyond what it has after its imports.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import process_time

import numpy as np
import osmium
from osmium.osm.mutable import Node, Relation, Way

BYTES = 235  # of a block, about
STEP = 1e-3, 1.5e-3  # degrees of latitude and longitude: about 100 metres
HOME = 52.0, 5.0
STAMP = "2024-01-01T00:00:00Z"
SQUARE = np.array([(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)])
Shape = tuple[np.ndarray, bool, dict[str, str]]  # points in a block of 1 x 1, closed or not, tags


def blocks_of(path: Path) -> int:
    """How many blocks are in made_1428.osm.pbf."""
    return int(path.name.split(".")[0].split("_")[1])


def shapes(block: int) -> Iterator[Shape]:
    """What lies in a block."""
    rng = np.random.default_rng(block)
    for k in range(8):
        corner = np.array([(k % 4) / 4 + 0.03, 0.15 + 0.4 * (k // 4)]) + rng.uniform(0, 0.03, 2)
        tags = {"building": "house", "ref:bag": f"{rng.integers(10**15):016d}", "start_date": "1970", "source": "BAG"}
        yield corner + SQUARE * rng.uniform(0.05, 0.15, 2), True, tags
    yield np.column_stack([np.linspace(0, 1, 10), np.full(10, 0.08)]), False, {"highway": "residential", "name": "Laan"}
    yield np.column_stack([np.full(6, 0.01), np.linspace(0, 1, 6)]), False, {"highway": "footway"}
    if block % 5 == 0:
        yield np.array([0.7, 0.9]) + 0.05 * SQUARE, True, {"leisure": "playground"}
        yield np.array([0.1, 0.9]) + 0.09 * SQUARE, True, {"landuse": "grass"}
    if block % 50 == 0:
        yield np.array([0.3, 0.85]) + 0.14 * SQUARE, True, {}
        yield np.array([0.35, 0.9]) + 0.04 * SQUARE, True, {}


def make(path: Path, blocks: int) -> None:
    """Write an extract: nodes, ways, relations, each by number, as osmium wants them."""
    wide = int(np.ceil(np.sqrt(blocks)))
    header = osmium.io.Header()
    header.set("osmosis_replication_timestamp", "2026-01-01T00:00:00Z")
    ways: list[tuple[int, int, bool, dict[str, str]]] = []
    parks: list[int] = []
    number = 0
    with osmium.SimpleWriter(str(path), header=header, overwrite=True) as writer:

        def node(xy: np.ndarray, block: int, tags: dict[str, str]) -> None:
            nonlocal number
            number += 1
            lat, lon = (HOME[i] + STEP[i] * (xy[1 - i] + divmod(block, wide)[i]) for i in (0, 1))
            writer.add_node(Node(id=number, version=1, timestamp=STAMP, location=(lon, lat), tags=tags))

        for block in range(blocks):
            for points, closed, tags in shapes(block):
                ways.append((number + 1, len(points), closed, tags))
                if not tags:
                    parks.append(len(ways))
                for point in points:
                    node(point, block, {})
            node(np.array([0.6, 0.5]), block, {"amenity": "bench"})
            node(np.array([0.4, 0.5]), block, {"natural": "tree"})
            if block % 5 == 0:
                node(np.array([0.5, 0.5]), block, {"amenity": "cafe", "name": "Het Hoekje"})
        for k, (first, n, closed, tags) in enumerate(ways, 1):
            nodes = [*range(first, first + n), *([first] if closed else [])]
            writer.add_way(Way(id=k, version=1, timestamp=STAMP, nodes=nodes, tags=tags))
        for k, (outer, inner) in enumerate(zip(parks[::2], parks[1::2], strict=True), 1):
            members = [("w", outer, "outer"), ("w", inner, "inner")]
            tags = {"type": "multipolygon", "leisure": "park"}
            writer.add_relation(Relation(id=k, version=1, timestamp=STAMP, members=members, tags=tags))


def measure(path: Path) -> None:
    """Read it here and print seconds, MiB and what was found."""
    import geopandas as gpd
    import osmium  # noqa: F401  what is imported counts as there already
    import shapely

    from buurtsae.opendata.osm import voorzieningen

    blocks = blocks_of(path)
    wide = int(np.ceil(np.sqrt(blocks)))
    i, j = (k.ravel() for k in np.meshgrid(np.arange(0, wide, 5), np.arange(0, wide, 5)))
    south, west, north, east = (HOME[k] + STEP[k] * (x + end) for end in (0, 5) for k, x in ((0, i), (1, j)))
    codes = [f"BU0344{k:04d}" for k in range(len(i))]
    areas = gpd.GeoDataFrame(
        {"buurtcode": codes, "inwoners": 500}, geometry=shapely.box(west, south, east, north), crs=4326
    )
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, process_time()
    loaded = voorzieningen(path, areas.to_crs(28992))
    seconds, after = process_time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    count = loaded.frame["osm_buiten_aantal"].sum()
    expected = blocks + -(-blocks // 5) + -(-blocks // 50)  # benches, playgrounds, parks
    assert count == expected, (count, expected)
    print(json.dumps({"seconds": seconds, "mib": (after - before) / 1024, "buurten": len(areas), "objects": count}))


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--mb", type=float, nargs="+", default=[1, 4])
    ask.add_argument("--make", type=Path, help="make this file only")
    ask.add_argument("--read", type=Path, help="read this file only")
    given = ask.parse_args()
    if given.make:
        make(given.make, blocks_of(given.make))
        return
    if given.read:
        measure(given.read)
        return
    print(
        "| extract, MB | buurten | places outdoors | seconds of processor | per MB | MiB |\n|---|---|---|---|---|---|"
    )
    for mb in given.mb:
        with tempfile.TemporaryDirectory() as folder:
            blocks = int(mb * 1e6 / BYTES)
            path = Path(folder) / f"made_{blocks}.osm.pbf"
            subprocess.run(
                [sys.executable, __file__, "--make", str(path)], check=True
            )  # a small parent: a process starts with the peak of its parent
            size = path.stat().st_size / 1e6
            told = subprocess.run([sys.executable, __file__, "--read", str(path)], check=True, stdout=subprocess.PIPE)
            out = json.loads(told.stdout)
            row = size, out["buurten"], out["objects"], out["seconds"], out["seconds"] / size, out["mib"]
            print("| {:.1f} | {:,} | {:,.0f} | {:.1f} | {:.2f} | {:.0f} |".format(*row), flush=True)


if __name__ == "__main__":
    main()
