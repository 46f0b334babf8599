"""The site of the whole of the Netherlands: time, memory, and the size of its pages.

    python benchmarks/national_site.py [--shared ../shared] [--out docs/dashboard.md] [--keep FOLDER]

14,566 buurten of 2024 with their real borders, 342 gemeenten, seven measures, and the objective figures of 2024 for the
profiles; direct estimates are made (see `benchmarks/national.py`). Buurten with fewer than ten residents are hidden.
Time and peak memory of the site are of a process of its own that reads the estimates of the first; both are given.
"""

from __future__ import annotations

import argparse
import pickle
import resource
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from national import ROOT, made
from pages import write_part

MARKS = "<!-- national: written by benchmarks/national_site.py -->", "<!-- end of national -->"
PROFILE = (
    *("inwoners_65plus", "inwoners_0_14", "gem_huishoudensgrootte", "gem_woz_x1000eur", "pct_koopwoningen"),
    *("pct_eengezinswoning", "gem_inkomen_per_inwoner_x1000eur", "stedelijkheid", "omgevingsadressendichtheid_per_km2"),
    *("afstand_huisarts_km", "afstand_grote_supermarkt_km", "afstand_school_km", "scholen_binnen_3km"),
)


def peak() -> float:
    """Return the peak memory of this process in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def prepared(shared: Path) -> tuple[Any, Any]:
    """Return model and direct estimates, with names and figures of the areas for profiles."""
    model, direct, areas, *_ = made(shared, [0, 1, 2, 3])
    columns = ["buurtcode", "gemeentenaam", "inwoners", *PROFILE]
    known = pd.read_csv(shared / "data/nl/kwb_2024_buurt.csv", usecols=columns)
    known = known.set_index("buurtcode").reindex(areas.codes)
    gemeenten = known.pop("gemeentenaam").groupby(areas.frame["gemeente"]).first().dropna().to_dict()
    residents = known.pop("inwoners").clip(lower=0).fillna(0)
    own = np.where(areas.inhabited, residents.clip(lower=1), 0).astype("int64")
    frame = areas.frame.assign(population=own, **known.where(known >= 0))
    areas = replace(areas, frame=frame, names={"gemeente": gemeenten})
    sources = tuple(replace(s, mean=np.clip(s.mean, 0, 10)) for s in direct.sources)
    return model, replace(direct, sources=sources, areas=areas)


def estimated(shared: Path, to: Path) -> dict[str, Any]:
    """Fit, estimate and keep what is published; return time and memory."""
    from buurtsae.engines.base import fit
    from buurtsae.estimates.summary import estimate
    from buurtsae.publication.content import Content

    est = estimate(fit(*prepared(shared), seed=1, progress=False, draws=1000))
    start = time.perf_counter()
    run = {"title": "Nederland, verzonnen enquête", "created": "2026-01-01T00:00:00+00:00", "run_id": "made"}
    content = Content.of(est, {**run, "draft": False})
    with to.open("wb") as file:
        pickle.dump(content, file)
    took = time.perf_counter() - start
    return {"work": "what estimates lean on and profiles, from the draws", "s": took, "peak GiB": peak()}


def written(at: Path, folder: Path) -> dict[str, Any]:
    """Write the site of what was kept; return time and memory."""
    from buurtsae.publication.site import write_site

    with at.open("rb") as file:
        content = pickle.load(file)
    start = time.perf_counter()
    write_site(content, folder)
    return {"work": "all pages and the files per gemeente", "s": time.perf_counter() - start, "peak GiB": peak()}


def sizes(folder: Path) -> pd.DataFrame:
    """Return number and sizes of the files of each kind, in kB."""
    rows = []
    kinds = {
        "start page": "dashboard/index.html",
        "method statement": "dashboard/verantwoording.html",
        "gemeente": "dashboard/gemeente/*.html",
        "buurt": "dashboard/buurt/*.html",
        "JSON per gemeente": "json/*.json",
    }
    for name, pattern in kinds.items():
        kb = np.array([p.stat().st_size for p in folder.glob(pattern)]) / 1000
        rows.append(
            {
                "files": name,
                "number": f"{len(kb):,}",
                "median kB": np.median(kb),
                "largest kB": kb.max(),
                "all MB": kb.sum() / 1000,
            }
        )
    return pd.DataFrame(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    parser.add_argument("--out", type=Path, default=None, help="page whose part between the markers is replaced")
    parser.add_argument("--keep", type=Path, default=None, help="new folder in which the site stays")
    args = parser.parse_args()
    rows = []
    with TemporaryDirectory() as name:
        kept, folder = Path(name) / "content.pkl", args.keep or Path(name) / "site"
        folder.mkdir(parents=True)
        for step, arguments in ((estimated, (args.shared, kept)), (written, (kept, folder))):
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                rows.append(pool.submit(step, *arguments).result())
            print(rows[-1], flush=True)
        table = pd.DataFrame(rows)
        table.loc[len(table)] = ["the site", table["s"].sum(), table["peak GiB"].max()]
        text = table.to_markdown(index=False, floatfmt=("", ".1f", ".2f"))
        text += "\n\n" + sizes(folder).to_markdown(index=False, floatfmt=("", "", ".0f", ".0f", ".0f"))
    print(text)
    if args.out:
        write_part(args.out, *MARKS, text)


if __name__ == "__main__":
    main()
