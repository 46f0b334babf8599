"""What can be computed back of four runs: every hidden figure attacked from all that leaves the folder.

1. Linear programs on the whole table of estimates and on the joint draws, areas of all levels, by code that is not the
   package's (`tests/unit/attacker.py`); and on the direct estimates, whose weights an attacker is given.
2. A search of every file for hidden figures, in all their digits or to six decimals.

    python benchmarks/disclosure.py          # writes its table into docs/attacks.md
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyogrio
import xarray as xr
from pages import write_part

from buurtsae.estimates.summary import Estimates
from buurtsae.runs import steps

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "tests" / "unit"))

from attacker import Key, computed, residents_of  # noqa: E402

DRAWS = 40
FIGURES = ("estimate", "sd", "lower", "upper", "direct", "direct_se", "reliability")
EXAMPLE = "../data/voorbeeldstad/"


def demo(folder: Path, toml: str) -> str:
    return toml


def hidden_wijk(folder: Path, toml: str) -> str:
    """All buurten of the largest wijk with four residents each, and a rule of a hundred."""
    return residents(folder, lambda code: code.str[2:8] == code.str[2:8].value_counts().index[0], 4, toml)


def hidden_gemeente(folder: Path, toml: str) -> str:
    """All buurten of one gemeente with two residents, and a rule of a hundred."""
    return residents(folder, lambda code: code.str[2:6] == code.str[2:6].max(), 2, toml)


def residents(folder: Path, where: Callable[[pd.Series], pd.Series], n: int, toml: str) -> str:
    table = pd.read_csv(folder / "kerncijfers.csv", dtype={"buurtcode": str})
    table.loc[where(table["buurtcode"]), "inwoners"] = n
    table.to_csv(folder / "kerncijfers.csv", index=False)
    return toml.replace("min_residents = 10 ", "min_residents = 100 ")


def one_source(folder: Path, toml: str) -> str:
    """Without the second survey."""
    return re.sub(r'(source = "burgerpeiling"\n)', r"\1use = false\n", toml)


RUNS: dict[str, Callable[[Path, str], str]] = {
    "demo, two sources": demo,
    "one source": one_source,
    "a hidden wijk": hidden_wijk,
    "a hidden gemeente": hidden_gemeente,
}


def run(spoil: Callable[[Path, str], str], out: Path) -> tuple[Estimates, Path]:
    """Run the example, changed, and return its estimates and the folder."""
    data, models = out / "data" / "voorbeeldstad", out / "models"
    shutil.copytree(ROOT / "data" / "voorbeeldstad", data)
    models.mkdir()
    path = models / "run.toml"
    path.write_text(spoil(data, (ROOT / "models" / "voorbeeldstad.toml").read_text(encoding="utf-8")), encoding="utf-8")
    return steps.run(path, out / "results", progress=False).estimates, out / "results"


def attack(est: Estimates) -> tuple[dict[Key, float], dict[Key, float]]:
    """Widths of what can be computed of hidden estimates, and of hidden direct ones."""
    table = est.published
    keys = pd.MultiIndex.from_frame(table[["level", "area_code"]])
    drawn = est.draws.flat[np.linspace(0, len(est.draws.flat) - 1, DRAWS).astype(int)]
    hidden = set(keys[table["estimate"].isna()].unique())
    estimates = computed(residents_of(est.areas), "buurt", np.clip(drawn, 0, 10), hidden)
    direct: dict[Key, float] = {}
    names = list(est.fit.direct.subdimensions)
    for s in np.unique(est.fit.direct.reference):
        frame = est.fit.direct.scores[s].frame
        own = [d for d, r in zip(names, est.fit.direct.reference, strict=True) if r == s]
        w = frame[own].notna().mul(frame["weight"], axis=0).groupby(frame["area_code"]).sum()
        mean = frame[own].fillna(0).mul(frame["weight"], axis=0).groupby(frame["area_code"]).sum() / w.where(w > 0)
        w, mean = (t.reindex(est.areas.codes).fillna(0).to_numpy() for t in (w, mean))
        weights = {key: w * (n > 0)[:, None] for key, n in residents_of(est.areas).items()}
        without = set(keys[table["direct"].isna()].unique())
        for key, width in computed(weights, "buurt", mean[None], without).items():
            direct[key] = min(width, direct.get(key, np.inf))
    return estimates, direct


def found(est: Estimates, folder: Path) -> int:
    """Return how many hidden figures stand in some file."""
    hidden = est.table.where(est.published[list(FIGURES)].isna())
    values = hidden[list(FIGURES)].to_numpy(dtype=float).ravel()
    # figures that stand there anyway, such as 5.0 or 5.625 among a million draws, are no evidence
    secrets = {v for v in values if np.isfinite(v) and abs(v - round(v, 2)) > 1e-6 and float(np.float32(v)) != v}
    told: set[float] = set()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        if path.suffix in (".parquet", ".geoparquet", ".xlsx", ".gpkg", ".nc"):
            told |= secrets & set(numbers(path).tolist())
        elif path.suffix in (".json", ".html", ".csv", ".svg"):
            text = set(re.findall(r"\d+[.,]\d{6,}", path.read_text(encoding="utf-8")))
            words = {float(t.replace(",", ".")) for t in text}
            told |= {v for v in secrets if v in words or round(v, 6) in words}
    return len(told)


def numbers(path: Path) -> np.ndarray:
    """All finite numbers in a binary file."""
    if path.suffix == ".xlsx":
        tables = list(pd.read_excel(path, sheet_name=None).values())
    elif path.suffix == ".gpkg":
        layers = pyogrio.list_layers(path)[:, 0]
        tables = [pyogrio.read_dataframe(path, layer=layer, read_geometry=False) for layer in layers]
    elif path.suffix == ".nc":
        with xr.open_dataset(path, engine="h5netcdf") as data:
            tables = [pd.DataFrame({"score": data["score"].to_numpy().ravel()})]
    else:
        tables = [pd.read_parquet(path)]
    values = np.concatenate([t.select_dtypes("number").to_numpy(dtype=float).ravel() for t in tables])
    return values[np.isfinite(values)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", help="one run, by its name")
    args = parser.parse_args()
    rows = []
    for name, spoil in RUNS.items():
        if args.only not in (None, name):
            continue
        with tempfile.TemporaryDirectory() as out:
            est, folder = run(spoil, Path(out))
            estimates, direct = attack(est)
            ruled, protection = est.release.estimates.ruled, est.rules.protection
            secret = est.release.few | ruled
            row = {
                "run": name,
                "hidden by rule": len(ruled),
                "to protect these": len(est.release.estimates.protecting),
                "narrowest interval": min(estimates.values(), default=np.nan),
                "recovered": sum(w < protection for w in estimates.values()),
                "direct hidden": len(direct),
                "narrowest of a few": min((w for key, w in direct.items() if key in secret), default=np.nan),
                "direct recovered": sum(w < protection for key, w in direct.items() if key in secret),
                "found in files": found(est, folder),
            }
            rows.append(row)
            print(row, flush=True)
    table = pd.DataFrame(rows)
    text = table.to_markdown(index=False, floatfmt=".2f")
    if args.only is None:
        write_part(
            ROOT / "docs" / "attacks.md",
            "<!-- disclosure: written by benchmarks/disclosure.py -->",
            "<!-- end of disclosure -->",
            text,
        )
    print(text)


if __name__ == "__main__":
    main()
