"""Time of a crosswalk and of a fit on another edition, at the size of the country.

    python benchmarks/borders_national.py [--out docs/borders.md]

Needs the folder `shared` beside the checkout: the real buurten of 2024. Their borders of 2020 are made: one in ten of
the old buurten was two, one in twenty had a tenth of its addresses beside it; 500 addresses per buurt, 8 respondents on
average with standard deviation 1.2. Fitted with the new buurt of each respondent known, and through the crosswalk.
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path

import numpy as np
import pandas as pd
from pages import write_part

import buurtsae as bs

MARKS = "<!-- national: written by benchmarks/borders_national.py -->", "<!-- end of national -->"
NL = Path(__file__).resolve().parents[1].parent / "shared" / "data" / "nl"
SPLIT, MOVED, ADDRESSES, EACH, WITHIN = 0.1, 0.05, 500, 8, 1.2


def borders(codes: np.ndarray, rng: np.random.Generator) -> pd.DataFrame:
    """Return addresses of old and new buurten; those next to each other by code are taken together."""
    rows, k = list[tuple[str, str, int]](), 0
    while k < len(codes):
        one, draw = codes[k], rng.uniform() if k + 1 < len(codes) else 1.0
        two = codes[min(k + 1, len(codes) - 1)]
        if draw < SPLIT:
            rows += [(one, one, ADDRESSES * 3 // 5), (one, two, ADDRESSES * 2 // 5)]
        elif draw < SPLIT + MOVED:
            rows += [(one, one, ADDRESSES * 9 // 10), (one, two, ADDRESSES // 10), (two, two, ADDRESSES)]
        else:
            rows.append((one, one, ADDRESSES))
        k += 2 if draw < SPLIT + MOVED else 1
    return pd.DataFrame(rows, columns=["old", "new", "n"])


def means(people: pd.DataFrame, by: str, on: bs.Areas, year: int) -> bs.DirectEstimates:
    """Return means per buurt, with the variance within buurten taken as known."""
    table = people.groupby(by)["y"].agg(["mean", "size"])
    frame = pd.DataFrame(
        {"code": table.index, "score": table["mean"].to_numpy(), "var": WITHIN**2 / table["size"].to_numpy()}
    )
    return bs.DirectEstimates.from_frame(frame, y="score", variance="var", area="code", areas=on, year=year)


def main() -> None:
    """Time it and print, or write, the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    rng, rows = np.random.default_rng(1), []
    real = bs.Areas.read(NL / "buurt_2024.parquet", 2024, tables=[(NL / "kwb_2024_buurt.csv", "buurtcode")])
    live = real.frame[real.inhabited]
    areas = bs.Areas.from_frame(
        pd.DataFrame({"code": live.index, "population": live["population"]}), code="code", year=2024
    )
    graph = bs.Graph.from_geometry(live[["geometry"]], "queen")
    parts = borders(areas.codes.to_numpy(), rng)
    table = parts.loc[parts.index.repeat(parts["n"]), ["old", "new"]].reset_index(drop=True)
    number = np.arange(len(table))
    table = table.assign(postcode6=pd.Series(1000 + number // 1000).astype(str) + "AB", huisnummer=number % 1000)

    def timed(what: str, made: object, start: float) -> None:
        rows.append({"step": what, "seconds": round(time.perf_counter() - start, 1), "result": str(made)})
        print(rows[-1], flush=True)

    start = time.perf_counter()
    walk = bs.Crosswalk.from_addresses(table, "old", "new", years=(2020, 2024), level="area")
    timed("crosswalk", f"{len(table):,} addresses, {walk.audit()['redrawn']:,} of {len(walk.old):,} redrawn", start)
    start = time.perf_counter()
    on = areas.with_edition(walk)
    timed("edition", f"{len(on.at('area_2020')):,} old areas", start)
    truth = pd.Series(6 + 0.5 * rng.normal(size=len(areas.codes)), index=areas.codes)
    people = table[["old", "new"]].iloc[rng.integers(len(table), size=EACH * len(areas.codes))]
    people = people.assign(y=truth[people["new"]].to_numpy() + WITHIN * rng.normal(size=len(people)))
    old_areas = bs.Areas.from_frame(pd.DataFrame({"code": walk.old}), code="code", year=2020)
    data = {
        "fit, known": means(people, "new", areas, 2024),
        "fit, crosswalk": bs.on_edition(means(people, "old", old_areas, 2020), on, "area_2020"),
    }
    model = bs.AreaModel("1", [bs.BYM2(graph, by_residents=False)], bs.Normal(5.0, 4.0))
    for what, direct in data.items():
        start = time.perf_counter()
        fit = bs.fit(model, direct, seed=1, progress=False, draws=1000)
        error = fit.draws.flat[:, :, 0].mean(axis=0) - truth.to_numpy()
        timed(what, f"1,000 draws, RMSE {np.sqrt((error**2).mean()):.3f}", start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    rows.append({"step": "peak", "seconds": "", "result": f"{peak:.1f} GiB"})
    text = pd.DataFrame(rows).to_markdown(index=False)
    print(text)
    if options.out:
        write_part(options.out, *MARKS, text)


if __name__ == "__main__":
    main()
