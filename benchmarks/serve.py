"""The server under load: requests per second and delays, by wrk on the same machine.

    python benchmarks/serve.py FOLDER [--out docs/dashboard.md]

FOLDER holds results, such as out/voorbeeldstad of `make demo`. Needs wrk (Debian: apt-get install wrk). The server is
one process; wrk has one thread and 20 connections, for ten seconds per row after two of warming up.
"""

from __future__ import annotations

import argparse
import http.client
import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
from pages import write_part

MARKS = "<!-- load: written by benchmarks/serve.py -->", "<!-- end of load -->"
PORT = 8765


def get(path: str, **headers: str) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=30)
    connection.request("GET", path, headers=headers)
    return connection.getresponse().read()


def wait() -> None:
    """Return when the server answers."""
    for _ in range(300):
        try:
            get("/health")
            return
        except OSError:
            time.sleep(0.1)
    raise SystemExit("the server did not start")


def load(path: str, coding: str, seconds: int) -> str:
    """Return what wrk prints."""
    header = f"Accept-Encoding: {coding}"
    command = ["wrk", "-t1", "-c20", f"-d{seconds}", "--latency", "-H", header, f"http://127.0.0.1:{PORT}{path}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def measured(path: str, coding: str) -> dict[str, object]:
    """Return a row: sizes, requests per second, delays, and whether anything went wrong."""
    load(path, coding, 2)
    said = load(path, coding, 10)
    found = {k: re.search(rf"{k}\s+([\d.]+)(us|ms|s)", said) for k in ("50%", "99%")}
    scale = {"us": 1e-3, "ms": 1.0, "s": 1e3}
    return {
        "address": path,
        "coding": coding,
        "kB": len(get(path, **{"Accept-Encoding": coding})) / 1000,
        "requests/s": float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1]),
        "median ms": float(found["50%"][1]) * scale[found["50%"][2]],
        "99% ms": float(found["99%"][1]) * scale[found["99%"][2]],
        "failed": sum(int(n) for n in re.findall(r"Non-2xx or 3xx responses: (\d+)", said))
        + sum(int(n) for n in re.findall(r"(?:connect|read|write|timeout) (\d+)", said)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, default=None, help="page whose part between the markers is replaced")
    args = parser.parse_args()
    if not shutil.which("wrk"):
        raise SystemExit("needs wrk: apt-get install wrk")
    command = [sys.executable, "-m", "buurtsae", "serve", str(args.folder), "--port", str(PORT)]
    server = subprocess.Popen(command)
    try:
        wait()
        about = json.loads(get("/v1"))
        gemeente, measure = about["gemeenten"][0]["area_code"], about["measures"][-1]
        paths = [
            f"/v1/gemeenten/{gemeente}",
            f"/v1/gemeenten/{gemeente}/geojson?measure={measure}",
            f"/v1/levels/buurt?measure={measure}",
            f"/v1/areas/{gemeente}",
            f"/dashboard/gemeente/{gemeente}.html",
        ]
        rows = [measured(path, coding) for path in paths for coding in ("gzip", "identity")]
    finally:
        server.terminate()
        server.wait()
    text = pd.DataFrame(rows).to_markdown(index=False, floatfmt=("", "", ".0f", ",.0f", ".1f", ".1f", ".0f"))
    print(text)
    if args.out:
        write_part(args.out, *MARKS, text)


if __name__ == "__main__":
    main()
