"""Direct estimates of `composite` against R's sae 1.3 and emdi 2.2.2, on data in the folder `shared`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from buurtsae.classical.composite import direct
from buurtsae.survey.variance import hajek

pytestmark = [pytest.mark.national, pytest.mark.xdist_group("national")]


@pytest.fixture(scope="module")
def classic(shared: Path) -> Path:
    return shared / "golden" / "classic"


def case_of(folder: Path, file: str, name: str) -> dict[str, Any]:
    cases = json.loads((folder / file).read_text(encoding="utf-8"))["cases"]
    return next(c["expected"] for c in cases if c["name"] == name)


@pytest.mark.parametrize("kind", ["ht", "srswor", "wr_weights"])
def test_incomes_of_52_provinces(classic: Path, kind: str) -> None:
    expected = case_of(classic, "sae.json", f"sae_direct_{kind}")
    frame = pd.read_csv(classic / "data" / "sae_incomedata.csv", encoding="utf-8")
    sizes = pd.read_csv(classic / "data" / "sae_sizeprov.csv", encoding="utf-8", index_col="provlab")["Nd"]
    area = pd.Index(expected["domain"]).get_indexer(frame["provlab"])
    weight = None if kind == "srswor" else frame["weight"].to_numpy(float)
    size = sizes.loc[expected["domain"]].to_numpy(float)
    found = direct(frame["income"].to_numpy(float), area, size, weight, replacement=kind == "wr_weights")
    assert found.n.tolist() == expected["sampsize"]
    np.testing.assert_allclose(found.mean, expected["direct"], rtol=1e-12)
    # with replacement, sae gives the standard deviation of one draw, not of the mean of n: docs/classical.md
    draws = np.sqrt(found.n - 1) if kind == "wr_weights" else 1.0
    np.testing.assert_allclose(np.sqrt(found.variance) * draws, expected["sd"], rtol=1e-11)
    np.testing.assert_allclose(100 * np.sqrt(found.variance) * draws / found.mean, expected["cv"], rtol=1e-11)


def test_equivalised_incomes_of_70_districts(classic: Path) -> None:
    expected = case_of(classic, "emdi.json", "emdi_direct_eqIncome")
    frame = pd.read_csv(classic / "data" / "emdi_eusilcA_smp.csv", encoding="utf-8")
    area = pd.Index(expected["domain"]).get_indexer(frame["district"])
    income = frame["eqIncome"].to_numpy(float)
    y = np.column_stack([income, income < 11064.82])  # the threshold of the call
    mean, _, _ = hajek(y, frame["weight"].to_numpy(float), area.astype(np.int64), 70)
    np.testing.assert_allclose(mean[:, 0], expected["Mean"], rtol=1e-12)
    np.testing.assert_allclose(mean[:, 1], expected["Head_Count"], rtol=1e-12)
