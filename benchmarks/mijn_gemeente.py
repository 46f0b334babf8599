"""From services to estimates for three real gemeenten: with letters in the codes, an island, one that merged.

    python benchmarks/mijn_gemeente.py [--shared ../shared] [--docs docs/open-data.md]

`init` fetches borders and figures of a server on this machine that replays the real map and kerncijfers of 2024, and
writes the run file; nothing is made by hand. Respondents are made (`buurtsae simulate`), some hundreds to thousands.
Seconds by the clock: of `init` with all that it fetches, of the fit, and of what `run` does besides.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
from pages import write_part

ROOT = Path(__file__).parents[1]
MARKS = "<!-- gemeenten: written by benchmarks/mijn_gemeente.py -->", "<!-- end of gemeenten -->"
GEMEENTEN = {"GM0448": ("Texel", 0.05), "GM1992": ("Voorne aan Zee", 0.02), "GM0363": ("Amsterdam", 0.01)}


def measured(shared: Path, code: str, folder: Path) -> dict[str, object]:
    """Start from nothing but respondents, and end with published estimates."""
    import world
    from replay import Replay

    import buurtsae as bs
    from buurtsae.opendata.cache import Cache
    from buurtsae.opendata.http import Fetcher
    from buurtsae.opendata.registry import Registry
    from buurtsae.runs import steps
    from buurtsae.simulate.survey import simulate_to
    from buurtsae.start import fetched
    from buurtsae.start.init import Wanted, init
    from buurtsae.start.places import Place

    name, rate = GEMEENTEN[code]
    nl = shared / "data" / "nl"
    tables = [(nl / "kwb_2024_buurt.csv", "buurtcode")]
    areas = bs.Areas.read(nl / "buurt_2024.parquet", 2024, tables=tables, where={"gemeentecode": code})
    simulate_to(areas, folder / "enquete", {"veiligheidsmonitor": rate}, seed=4)
    survey = folder / "enquete" / "enquete_veiligheidsmonitor.csv"
    with Replay() as replay:
        world.real(replay, shared, (code,))
        fetcher = Fetcher(Registry.load(replay.sources(folder)), Cache.at(folder / "cache"))
        start = time.perf_counter()
        init(Wanted(survey, Place("gemeente", (name,)), 2024), folder / "mijn", fetch=fetched.by(fetcher))
        began = time.perf_counter() - start
    start = time.perf_counter()
    outcome = steps.run(folder / "mijn" / "run.toml", folder / "out", progress=False)
    ran = time.perf_counter() - start
    fitted = json.loads((folder / "out" / "manifest.json").read_text(encoding="utf-8"))["timings"]["fit"]
    return {
        "gemeente": name,
        "buurten": len(areas.codes),
        "respondents": f"{len(pd.read_csv(survey)):,}",
        "init, s": began,
        "run but the fit, s": ran - fitted,
        "fit, s": fitted,
        "gate": "met" if outcome.passed else "not met",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    parser.add_argument("--docs", type=Path, default=None, help="page whose part between the markers is replaced")
    args = parser.parse_args()
    sys.path.insert(0, str(ROOT / "tests" / "opendata"))
    rows = []
    for code in GEMEENTEN:
        with TemporaryDirectory() as name:
            rows.append(measured(args.shared, code, Path(name)))
            print(rows[-1], flush=True)
    text = pd.DataFrame(rows).to_markdown(index=False, floatfmt=".0f")
    print(text)
    if args.docs:
        write_part(args.docs, *MARKS, text)


if __name__ == "__main__":
    main()
