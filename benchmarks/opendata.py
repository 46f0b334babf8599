"""Time and memory of the whole country of StatLine (OData v4): asked, checked, kept, and tabled; then from the cache.

    python benchmarks/opendata.py --docs docs/open-data.md

A server of its own process gives what CBS would in the shape that CBS has: 14,600 buurten, their 3,400 wijken and 342
gemeenten, 200 measures, of which one of seven figures is absent and one of fifty has a reason instead, in pages of
100,000 rows. The loader runs in a process of its own, once with an empty cache and once without a network: seconds by
the clock (the server makes a page while it waits) and of its own processor, and the most memory that it had at once.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from time import perf_counter, process_time
from urllib.parse import parse_qsl, urlsplit

GEMEENTEN, WIJKEN, BUURTEN, PAGE = 342, 10, 43, 100_000  # per gemeente: 3,420 wijken and 14,706 buurten
ROOT = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- statline: written by benchmarks/opendata.py -->", "<!-- end of statline -->"


def codes() -> list[str]:
    """The country, and each gemeente with its wijken and buurten."""
    found = ["NL00"]
    for g in range(1, GEMEENTEN + 1):
        found.append(f"GM{g:04d}")
        found += [f"WK{g:04d}{w:02d}" for w in range(WIJKEN)]
        found += [f"BU{g:04d}{b % WIJKEN:02d}{b // WIJKEN:02d}" for b in range(BUURTEN)]
    return found


def figure(cell: int) -> tuple[str, str] | None:
    """Attribute and value of a cell, as JSON; None where nothing is returned."""
    if cell % 7 == 3:
        return None
    return ("Impossible", "null") if cell % 50 == 7 else ("None", f"{cell % 9973 / 10}")


def serve(measures: int) -> None:
    """Answer requests for a table of this size; print the address first."""
    areas = codes()
    lists = {
        "Properties": {"Identifier": "85984NED", "ObservationsModified": "2025-11-20T02:00:00+01:00"},
        "Dimensions": {"value": [{"Identifier": "WijkenEnBuurten", "Kind": "GeoDetailDimension"}]},
        "MeasureGroups": {"value": []},
        "MeasureCodes": {"value": [
            {"Identifier": f"M{k:06d}", "MeasureGroupId": None, "Title": f"Cijfer {k}", "Description": "Over dit.",
             "DataType": "Double", "Unit": "aantal"} for k in range(measures)
        ]},
        "WijkenEnBuurtenCodes": {"value": [{"Identifier": code, "Title": f"Naam van {code}"} for code in areas]},
    }  # fmt: skip

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            name, query = parts.path.rsplit("/", 1)[1], dict(parse_qsl(parts.query))
            body = page(int(query.get("$skiptoken", 0))) if name == "Observations" else json.dumps(lists[name]).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            """Nothing is printed."""

    def page(cell: int) -> bytes:
        rows = list[str]()
        while len(rows) < PAGE and cell < len(areas) * measures:
            if (told := figure(cell)) is not None:
                area, measure = divmod(cell, measures)
                rows.append(
                    f'{{"Id":{cell},"Measure":"M{measure:06d}","ValueAttribute":"{told[0]}","Value":{told[1]},'
                    f'"StringValue":null,"WijkenEnBuurten":"{areas[area]}"}}'
                )
            cell += 1
        more = cell < len(areas) * measures
        link = f',"@odata.nextLink":"{base}/85984NED/Observations?$skiptoken={cell}"' if more else ""
        return (
            f'{{"@odata.context":"{base}/85984NED/$metadata#Observations","value":[{",".join(rows)}]{link}}}'.encode()
        )

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    base = f"http://127.0.0.1:{server.server_address[1]}/cbs"
    print(base, flush=True)
    threading.Thread(target=lambda: (sys.stdin.read(), server.shutdown()), daemon=True).start()  # ends with its parent
    server.serve_forever()


def load(base: str, folder: Path, offline: bool) -> None:
    """Load the whole country, and print what it took."""
    from buurtsae.opendata import kerncijfers
    from buurtsae.opendata.cache import Cache
    from buurtsae.opendata.http import Fetcher
    from buurtsae.opendata.registry import Registry

    sources = folder / "sources.toml"
    sources.write_text(f'[service.cbs]\nurl = "{base}"\npause = 0.0\n', encoding="utf-8")
    fetcher = Fetcher(Registry.load(sources), Cache.at(folder / "cache"), offline=offline)
    clock, processor = perf_counter(), process_time()
    loaded = kerncijfers.load(fetcher, 2024)
    took = {"clock": perf_counter() - clock, "processor": process_time() - processor}
    figures = loaded.frame[loaded.columns["column"]]
    measures, areas = figures.shape[1], codes()
    for row, code in ((0, "BU00010000"), (len(figures) - 1, sorted(areas)[GEMEENTEN * BUURTEN - 1])):
        first = areas.index(code) * measures
        expected = [
            told and (None if told[1] == "null" else float(told[1]))
            for told in map(figure, range(first, first + measures))
        ]
        got = [None if value != value else value for value in figures.iloc[row]]
        assert got == expected, (code, got[:9], expected[:9])
    replies = sum(part.bytes for part in loaded.retrieved)
    size = {
        "buurten": len(figures),
        "measures": measures,
        "figures": int(figures.notna().to_numpy().sum()),
        "mb": replies / 1e6,
    }
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({**took, **size, "reasons": len(loaded.reasons), "replies": len(loaded.retrieved), "mib": peak}))


def main() -> None:
    """Serve, load twice, and write the table."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--measures", type=int, default=200)
    ask.add_argument("--docs", type=Path, help="write the table into this file")
    ask.add_argument("--serve", action="store_true", help="serve only")
    ask.add_argument("--load", nargs=3, metavar=("BASE", "FOLDER", "OFFLINE"), help="load only")
    given = ask.parse_args()
    if given.serve:
        serve(given.measures)
        return
    if given.load:
        load(given.load[0], Path(given.load[1]), given.load[2] == "offline")
        return
    lines = [
        "| replies | MB | buurten | measures | figures | reasons | seconds by the clock | of processor | peak MiB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    command = [sys.executable, __file__, "--measures", str(given.measures)]
    with tempfile.TemporaryDirectory() as folder:
        server = subprocess.Popen([*command, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert server.stdin is not None
        assert server.stdout is not None
        base = server.stdout.readline().strip()
        for how in ("asked", "offline"):
            told = subprocess.run([*command, "--load", base, folder, how], check=True, stdout=subprocess.PIPE)
            out = json.loads(told.stdout)
            row = "| {replies} {how} | {mb:.0f} | {buurten:,} | {measures} | {figures:,} | {reasons:,} | {clock:.0f} |"
            what = "from the cache" if how == "offline" else how
            lines.append((row + " {processor:.0f} | {mib:,.0f} |").format(how=what, **out))
        server.stdin.close()
        server.wait(timeout=30)
    table = "\n".join(lines)
    print(table)
    if given.docs:
        text = given.docs.read_text(encoding="utf-8")
        head, rest = text.split(BEGIN)
        given.docs.write_text(f"{head}{BEGIN}\n{table}\n{END}{rest.split(END)[1]}", encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
