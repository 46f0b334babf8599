"""Borders that move: a survey on an old edition of buurten, fitted on the new one, against a known truth.

    python benchmarks/borders.py [--worlds 60] [--out docs/borders.md]

A square of 15 x 15 buurten. In the old edition 40 pairs of neighbours were one buurt each, with 20 to 80% of the
addresses in the first; of 20 other pairs, 5 to 30% of the addresses of the first lay with the second. True scores are
drawn from the model (a scaled ICAR field and independent effects); respondents, 8 per buurt on average, live at a
random address and answer with standard deviation 1.2. Of each world the same respondents are used in four ways:

* known: as if the new buurt of each were known, which is the best that can be had;
* crosswalk: by old buurt, with the shares of addresses;
* crosswalk, rough: with shares that err as those of 50 addresses do, and say so (`concentration`), as polygons may;
* by code: each old buurt is taken for the new one with its code, as is often done.

Then real maps, of the folder `shared` beside the checkout, where it is there: wijken of 2016 and 2022, by how much of
the ground two wijken share to be the same.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd
from pages import write_part

import buurtsae as bs

MARKS = "<!-- borders: written by benchmarks/borders.py -->", "<!-- end of borders -->"
MAPS = "<!-- maps: written by benchmarks/borders.py -->", "<!-- end of maps -->"
NL = Path(__file__).resolve().parents[1].parent / "shared" / "data" / "nl"
SIDE, SPLIT, MOVED = 15, 40, 20
SIGMA, PHI, WITHIN, EACH, ROUGH = 0.6, 0.5, 1.2, 8, 50


def geography(rng: np.random.Generator) -> tuple[bs.Areas, bs.Graph, pd.DataFrame]:
    """Return the new buurten with their graph, and the addresses of old and new ones; 500 per new buurt."""
    code = [f"a{r:02}{c:02}" for r in range(SIDE) for c in range(SIDE)]
    areas = bs.Areas.from_frame(pd.DataFrame({"code": code, "population": 1000}), code="code", year=2024)
    pairs = [(code[k], code[k + 1]) for k in range(len(code)) if (k + 1) % SIDE]
    graph = bs.Graph.from_pairs(code, [*pairs, *zip(code, code[SIDE:], strict=False)])
    free, chosen = set(code), []
    for k in rng.permutation(len(pairs)):
        if len(chosen) < SPLIT + MOVED and set(pairs[k]) <= free:
            chosen.append(pairs[k])
            free -= set(pairs[k])
    rows = [(one, one, 500) for one in sorted(free)]
    for first, second in chosen[:SPLIT]:
        n = int(rng.integers(100, 401))
        rows += [(first, first, n), (first, second, 500 - n)]
    for first, second in chosen[SPLIT:]:
        n = int(rng.integers(25, 151))
        rows += [(first, first, 500 - n), (first, second, n), (second, second, 500)]
    return areas, graph, pd.DataFrame(rows, columns=["old", "new", "n"])


def respondents(rng: np.random.Generator, areas: bs.Areas, addresses: pd.DataFrame, truth: pd.Series) -> pd.DataFrame:
    """Return respondents with their old and new buurt."""
    weight = addresses["n"] / addresses["n"].sum()
    at = rng.choice(len(addresses), size=EACH * len(areas.codes), p=weight)
    people = addresses[["old", "new"]].iloc[at].reset_index(drop=True)
    return people.assign(y=truth[people["new"]].to_numpy() + WITHIN * rng.normal(size=len(people)))


def estimates(people: pd.DataFrame, by: str, areas: bs.Areas | None, codes: pd.Index, year: int) -> bs.DirectEstimates:
    """Return means per buurt, with the variance within buurten taken as known."""
    table = people.groupby(by)["y"].agg(["mean", "size"]).reindex(codes)
    table = pd.DataFrame(
        {"code": codes, "score": table["mean"].to_numpy(), "var": WITHIN**2 / table["size"].to_numpy()}
    )
    on = areas or bs.Areas.from_frame(pd.DataFrame({"code": codes}), code="code", year=year)
    return bs.DirectEstimates.from_frame(table, y="score", variance="var", area="code", areas=on, year=year)


def rough(shares: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Return shares as estimated from few addresses."""
    drawn = shares.assign(share=rng.gamma(ROUGH * shares["share"]))
    return drawn.assign(share=drawn["share"] / drawn.groupby("old")["share"].transform("sum"))


def world(seed: int) -> pd.DataFrame:
    """Return error, cover and width of every buurt in every way."""
    rng = np.random.default_rng(seed)
    areas, graph, addresses = geography(rng)
    covariance = np.linalg.pinv(graph.icar.precision.toarray(), hermitian=True)
    field = rng.multivariate_normal(np.zeros(len(covariance)), PHI * covariance + (1 - PHI) * np.eye(len(covariance)))
    truth = pd.Series(6 + SIGMA * field, index=areas.codes)
    people = respondents(rng, areas, addresses, truth)
    total = addresses.groupby("old")["n"].transform("sum")
    shares = addresses.assign(share=addresses["n"] / total)
    parts = shares.groupby("old")["share"].transform("max") < 1
    kind = pd.Series("same", index=areas.codes)
    kind[shares["new"][parts]] = "border moved"
    split = ~shares["new"][parts].isin(shares["old"])
    kind[shares["new"][shares["old"].isin(shares.loc[split.index[split], "old"])]] = "split"
    old = pd.Index(sorted(shares["old"].unique()))
    size = shares.groupby("old")["n"].sum()
    walks = {
        "crosswalk": bs.Crosswalk.from_table(shares, years=(2020, 2024), size=size, level="area"),
        "crosswalk, rough": bs.Crosswalk.from_table(
            rough(shares, rng), years=(2020, 2024), size=size, level="area", concentration=ROUGH
        ),
    }
    data = {"known": estimates(people, "new", areas, areas.codes, 2024)}
    for name, walk in walks.items():
        data[name] = bs.on_edition(estimates(people, "old", None, old, 2020), areas.with_edition(walk), "area_2020")
    data["by code"] = estimates(people, "old", areas, areas.codes, 2024)
    kept = walks["crosswalk"].convert_counts(size.astype(float)).sum()
    assert kept == addresses["n"].sum(), "sums of addresses are kept"
    model = bs.AreaModel("1", [bs.BYM2(graph, by_residents=False)], bs.Normal(5.0, 4.0))
    parts_ = []
    for way, direct in data.items():
        fit = bs.fit(model, direct, seed=seed, progress=False, draws=1000, hyperparameters=100)
        low, middle, high = np.quantile(fit.draws.flat[:, :, 0], [0.025, 0.5, 0.975], axis=0)
        parts_.append(pd.DataFrame({"way": way, "kind": kind.to_numpy(), "error": middle - truth.to_numpy(),
                                    "covered": (low <= truth) & (truth <= high), "width": high - low}))  # fmt: skip
    return pd.concat(parts_)


def maps() -> str:
    """Return what became of the wijken of 2016 in 2022, by threshold."""
    import geopandas as gpd

    old = gpd.read_parquet(NL / "wijk_2016.parquet")
    old = old.assign(geometry=old.geometry.make_valid()).dissolve("wijkcode")  # one code is there twice
    old = old[~old.geometry.is_empty]
    new = gpd.read_parquet(NL / "wijk_2022.parquet").set_index("wijkcode")
    rows = []
    for same in (0.99, 0.98, 0.95, 0.9):
        walk = bs.Crosswalk.from_polygons(
            old[["geometry"]], new[["geometry"]], years=(2016, 2022), level="wijk", least=0.02, same=same
        )
        audit = walk.audit()
        names = ("old", "same", "recoded", "split", "merged", "border", "gone", "new")
        rows.append(
            {"same ground from": f"{same:.0%}", **{name: audit[name] for name in names}, "reused": len(walk.reused)}
        )
    return pd.DataFrame(rows).to_markdown(index=False)


def main() -> None:
    """Run the worlds and print, or write, the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=60)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    start, rows = time.perf_counter(), []
    for seed in range(1, options.worlds + 1):
        rows.append(world(seed).assign(world=seed))
        print(f"world {seed}: {time.perf_counter() - start:.0f} s", flush=True)
    table = pd.concat(rows)
    groups = table.groupby(["kind", "way"], sort=False)
    by_world = (
        table.groupby(["kind", "way", "world"], sort=False)["covered"].mean().groupby(["kind", "way"], sort=False)
    )
    found = pd.DataFrame({
        "buurten": groups.size() // options.worlds,
        "bias": groups["error"].mean().round(3),
        "RMSE": groups["error"].apply(lambda e: float(np.sqrt((e**2).mean()))).round(3),
        "covered, %": (100 * groups["covered"].mean()).round(1),
        "+-": (200 * by_world.std() / np.sqrt(options.worlds)).round(1),
        "width": groups["width"].mean().round(2),
    }).loc[["same", "border moved", "split"]].reset_index()  # fmt: skip
    text = found.to_markdown(index=False)
    print(text)
    real = maps() if NL.is_dir() else ""
    print(real)
    if options.out:
        write_part(options.out, *MARKS, text)
        if real:
            write_part(options.out, *MAPS, real)


if __name__ == "__main__":
    main()
