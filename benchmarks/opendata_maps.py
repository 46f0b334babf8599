"""Time and memory of the country's borders and addresses: asked of a server, checked, kept, and read.

    python benchmarks/opendata_maps.py --docs docs/open-data.md

The borders are those of the shared data (`BUURTSAE_SHARED`, 14,566 buurten), as the GeoPackage that PDOK has: their
drawing is coarser than CBS's own. The addresses are made: 8 million in each of two years, 600 per buurt, of which one
buurt in a hundred is split and one address in a hundred is new. A file server gives both; each loader runs in a process
of its own, for its memory.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from time import perf_counter, process_time

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("BUURTSAE_SHARED", ROOT.parent / "shared"))
BEGIN, END = "<!-- maps: written by benchmarks/opendata_maps.py -->", "<!-- end of maps -->"
ROWS, OF_BUURT, OF_POSTCODE, CHUNK = 8_000_000, 600, 18, 500_000
FILES = {2022: "2022.zip", 2023: "2023.zip"}


def make_borders(folder: Path) -> None:
    """An index and the GeoPackage of 2024."""
    import geopandas as gpd
    import pandas as pd

    buurten = gpd.read_parquet(SHARED / "data" / "nl" / "buurt_2024.parquet").to_crs("EPSG:28992")
    figures = pd.read_csv(SHARED / "data" / "nl" / "kwb_2024_buurt.csv", usecols=["buurtcode", "inwoners"])
    buurten = buurten.merge(figures, on="buurtcode").rename(columns={"inwoners": "aantal_inwoners"})
    buurten["aantal_inwoners"] = buurten["aantal_inwoners"].fillna(-99997).astype(int)
    buurten = buurten.assign(jaar=2024, water="NEE", indelingswijziging_wijken_en_buurten=1)
    home = folder / "atom" / "wijkenbuurten" / "2024" / "atom"
    (home / "downloads").mkdir(parents=True)
    path = home / "downloads" / "wijkenbuurten_2024_v1.gpkg"
    wijken = buurten.dissolve("wijkcode", aggfunc="first").reset_index().assign(wijknaam="Wijk")
    layers = {"buurten": buurten, "wijken": wijken, "gemeenten": wijken.dissolve("gemeentecode").reset_index()}
    for name, layer in layers.items():
        layer.to_file(path, layer=name)
    (home / "index.xml").write_text(f'<feed><link href="downloads/{path.name}"/></feed>', encoding="utf-8")


def make_addresses(folder: Path) -> None:
    """A zip per year."""
    (folder / "adressen").mkdir()
    letters = [chr(65 + k // 26) + chr(65 + k % 26) for k in range(676)]
    for year, name in FILES.items():
        with (
            zipfile.ZipFile(folder / "adressen" / name, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
            archive.open(f"pc6hnr{year}0801_gwb.csv", "w", force_zip64=True) as file,
        ):
            file.write(f"PC6;Huisnummer;Buurt{year};Wijk{year};Gemeente{year}\n".encode())
            for start in range(0, ROWS, CHUNK):
                lines = list[str]()
                for k in range(start, start + CHUNK):
                    if k % 100 == 7 and year == 2022:
                        continue
                    post, number = divmod(k, OF_POSTCODE)
                    code = k // OF_BUURT + 100_000
                    if year == 2023 and code % 100 == 1 and k % OF_BUURT >= OF_BUURT // 2:
                        code += 5_000_000
                    postcode = f"{1000 + post // 676}{letters[post % 676]}"
                    lines.append(f"{postcode};{number + 1};{code};{code // 100};{code // 10_000}\n")
                file.write("".join(lines).encode())


def load(what: str, base: str, folder: Path) -> None:
    """Load one of the two, and print what it took."""
    from buurtsae.opendata import addresses, pdok
    from buurtsae.opendata.cache import Cache
    from buurtsae.opendata.http import Fetcher
    from buurtsae.opendata.registry import Registry

    yearly = "\n".join(f'{year} = "{name}"' for year, name in FILES.items())
    text = f'[service.atom]\nurl = "{base}/atom"\n[service.adressen]\nurl = "{base}/adressen"\n'
    sources = folder / "sources.toml"
    sources.write_text(f"{text}[table.adressen.by_year]\n{yearly}\n", encoding="utf-8")
    fetcher = Fetcher(Registry.load(sources), Cache.at(folder / "cache"))
    clock, processor = perf_counter(), process_time()
    if what == "borders":
        loaded = pdok.load(fetcher, 2024)
        assert loaded.frame.is_valid.all()
    else:
        loaded = addresses.load(fetcher, (2022, 2023))
        assert int(loaded.frame["old"].isna().sum()) == ROWS // 100
    took = {"clock": perf_counter() - clock, "processor": process_time() - processor}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    size = sum(part.bytes for part in loaded.retrieved) / 1e6
    print(json.dumps({**took, "rows": len(loaded.frame), "mb": size, "mib": peak}))


class Quiet(SimpleHTTPRequestHandler):
    """Files, of which nothing is printed."""

    def log_message(self, *args: object) -> None:
        """Nothing is printed."""


def main() -> None:
    """Make both, serve them, load each, and write the table."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--docs", type=Path, help="write the table into this file")
    ask.add_argument("--load", nargs=3, metavar=("WHAT", "BASE", "FOLDER"), help="load only")
    given = ask.parse_args()
    if given.load:
        load(given.load[0], given.load[1], Path(given.load[2]))
        return
    lines = ["| what | rows | MB | seconds by the clock | of processor | peak MiB |", "|---|---|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_borders(folder)
        make_addresses(folder)
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=name))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        base = f"http://127.0.0.1:{server.server_address[1]}"
        for what, title in (("borders", "borders of the country"), ("addresses", "addresses of two years")):
            command = [sys.executable, __file__, "--load", what, base, name]
            told = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
            row = "| {title} | {rows:,} | {mb:.0f} | {clock:.0f} | {processor:.0f} | {mib:,.0f} |"
            lines.append(row.format(title=title, **told))
        server.shutdown()
    table = "\n".join(lines)
    print(table)
    if given.docs:
        text = given.docs.read_text(encoding="utf-8")
        head, rest = text.split(BEGIN)
        given.docs.write_text(f"{head}{BEGIN}\n{table}\n{END}{rest.split(END)[1]}", encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
