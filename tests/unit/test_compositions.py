"""Parts of a whole: draws that add, with the variance of a multinomial posterior, and figures that add when rounded."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_fit import make_areas

import buurtsae as bs
from buurtsae.draws import Draws
from buurtsae.errors import BuurtsaeError
from buurtsae.estimates.compositions import adding_up, composed, refuse_benchmarks, rounded, wholes
from buurtsae.estimates.summary import tabulate
from buurtsae.model.outcome.per_measure import PerMeasure
from buurtsae.publication.statline import observations
from buurtsae.publication.swing import swing
from buurtsae.survey.concept import Concept

PARTS = ("car", "bike", "else")
PERCENT = bs.Scale(0, 100, "%", "%")


def drawn(eta: np.ndarray, outcome: Any) -> Draws:
    """Draws (S, N, K) in two chains."""
    names = PARTS[: eta.shape[2]]
    return Draws(
        eta.reshape(2, -1, *eta.shape[1:]), tuple(f"a{k}" for k in range(eta.shape[1])), names, outcome=outcome
    )


def posterior(y: np.ndarray, kind: str, n: int = 40_000) -> Draws:
    """Draws of flat posteriors of one area, each part by itself: Beta of a share, Gamma of a rate."""
    rng, size = np.random.default_rng(5), y.sum()
    if kind == "poisson":
        return drawn(np.log(rng.gamma(y, 1 / size, (n, 1, len(y)))), bs.Poisson())
    p = rng.beta(y, size - y, (n, 1, len(y)))
    return drawn(np.log(p / (1 - p)), bs.Binomial(scale=PERCENT))


@pytest.mark.parametrize("kind", ["poisson", "binomial"])
@pytest.mark.parametrize("y", [(300, 300), (50, 550), (200, 300, 100), (540, 40, 20)])
def test_the_spread_is_that_of_the_multinomial_posterior(kind: str, y: tuple[int, ...]) -> None:
    """Dirichlet(y): exactly of rates; of shares to first order, 3% at 20 answers, beside half the variance without."""
    counts = np.array(y, dtype=float)
    draws = posterior(counts, kind)
    found = composed(draws, PARTS[: len(y)]).scores()[:, 0]
    whole = 1.0 if kind == "poisson" else 100.0
    np.testing.assert_allclose(found.sum(axis=1), whole, rtol=1e-12)
    p, n = counts / counts.sum(), counts.sum()
    np.testing.assert_allclose(found.mean(axis=0) / whole, p, rtol=0.02)
    sd = np.sqrt(p * (1 - p) / (n + 1))
    np.testing.assert_allclose(found.std(axis=0) / whole, sd, rtol=0.02 if kind == "poisson" else 0.05)
    if kind == "binomial" and y == (300, 300):  # half the variance: sd times 0.71
        shares = draws.scores()[:, 0]
        assert (shares / shares.sum(axis=1, keepdims=True)).std(axis=0)[0] < 0.75 * sd[0]


def test_other_measures_and_years_stay_apart() -> None:
    rng = np.random.default_rng(2)
    outcome = PerMeasure({"car": bs.Binomial(), "bike": bs.Binomial(), "else": bs.Gaussian((0, 10))})
    draws = drawn(rng.normal(size=(50, 3, 3)), outcome)
    found = composed(draws, ("bike", "car"))
    np.testing.assert_allclose(found.scores()[..., :2].sum(axis=2), 1)
    np.testing.assert_array_equal(found.flat[..., 2], draws.flat[..., 2])


@pytest.fixture(scope="module")
def fit() -> bs.Fit:
    table = pd.DataFrame(
        {"code": range(12), "car": [6, 0, 4] * 4, "bike": [3, 9, 5] * 4, "n": 10, "land": ["x", "y"] * 6}
    )
    table["else"] = table["n"] - table["car"] - table["bike"]
    areas = bs.Areas.from_frame(table[["code", "land"]], code="code", levels={"state": "land"})
    counts = bs.AreaCounts.from_frame(table, y=list(PARTS), exposure="n", area="code", areas=areas)
    model = bs.AreaModel("1", [bs.IID("area")], outcome=bs.Poisson())
    return bs.fit(model, counts, progress=False, draws=200, hyperparameters=60)


def test_a_fit_whose_parts_add_at_every_level(fit: bs.Fit) -> None:
    est = bs.estimate(composed(fit, PARTS))
    sums = est.table.groupby(["level", "area_code"])["estimate"].sum()
    np.testing.assert_allclose(sums, 1.0, atol=1e-12)
    assert len(sums) == 12 + 2 + 1
    # an area above 6 of 10 with a car is nearer to that than one with none
    car = est.select("car")["estimate"]
    assert car.iloc[0] > car.iloc[1]


@pytest.mark.parametrize("decimals", [2, 3])
def test_published_figures_of_parts_add_up(fit: bs.Fit, decimals: int) -> None:
    rules = bs.Rules(decimals=decimals, min_residents=0)
    draws = composed(fit, PARTS)
    published = bs.estimate(draws, rules=rules).published
    exact = bs.estimate(draws, rules=bs.Rules(min_residents=0)).published
    sums = published.groupby(["level", "area_code"])["estimate"].sum()
    np.testing.assert_allclose(sums, 1.0, atol=1e-9)
    apart = exact["estimate"].round(decimals).groupby([exact["level"], exact["area_code"]]).sum()
    assert (abs(apart - 1) > 0.5 * 10.0**-decimals).any()  # each rounded by itself they do not
    assert (abs(published["estimate"] - exact["estimate"]) < 10.0**-decimals).all()
    np.testing.assert_allclose(published["estimate"], published["estimate"].round(decimals), atol=1e-12)
    assert (published["lower"] <= published["estimate"]).all()
    assert (published["estimate"] <= published["upper"]).all()
    other = ["sd", "direct", "n_respondents", "label"]  # nothing else differs
    before = bs.estimate(replace(draws, draws=replace(draws.draws, wholes=())), rules=rules).published
    pd.testing.assert_frame_equal(published[other], before[other])


def test_layouts_have_the_figures_that_add_up(fit: bs.Fit) -> None:
    est = bs.estimate(composed(fit, PARTS), rules=bs.Rules(decimals=2, min_residents=0))
    places = est.published.drop_duplicates(["level", "area_code"])[["level", "area_code", "area_name"]]
    cells = observations(est.published, places.assign(country=False), list(PARTS))
    values = cells[cells["Marges"] == "MW00000"].groupby("RegioS")["Value"].sum()
    np.testing.assert_allclose(values, 1.0, atol=1e-9)
    wide = swing(est.published, places.assign(country=False), list(PARTS))
    np.testing.assert_allclose(wide[list(PARTS)].astype(float).sum(axis=1), 1.0, atol=1e-9)


def test_what_does_not_add_up_is_rounded_as_before() -> None:
    """An area with a hidden part, one that met benchmarks and adds to 0.9, and one that adds up."""
    rows = [("a", 0.335, 0.335, 0.33), ("b", 0.3, np.nan, 0.3), ("c", 0.305, 0.295, 0.3)]
    table = pd.DataFrame(
        [("area", code, name, x) for code, *figures in rows for name, x in zip(PARTS, figures, strict=True)],
        columns=["level", "area_code", "measure", "estimate"],
    ).assign(lower=lambda t: t["estimate"] - 0.001, upper=lambda t: t["estimate"] + 0.001)
    plain = table.round(2)
    found = adding_up(plain, table["estimate"], {PARTS: bs.Scale(0, 1)}, 2)
    assert found["estimate"][:3].tolist() == [0.34, 0.33, 0.33]
    assert found["lower"][:3].tolist() == [0.33, 0.33, 0.33]
    assert found["upper"][:3].tolist() == [0.34, 0.34, 0.33]
    pd.testing.assert_frame_equal(found[3:], plain[3:])


def test_rounded_shares_add() -> None:
    rng = np.random.default_rng(1)
    shares = 100 * rng.dirichlet(np.full(7, 0.4), 500)
    for decimals in (0, 1):
        found = rounded(shares, 100, decimals)
        np.testing.assert_allclose(found.sum(axis=1), 100, atol=1e-9)
        assert (np.abs(found - shares) < 10.0**-decimals).all()
        np.testing.assert_allclose(found, np.round(found, decimals), atol=1e-12)
    assert rounded([29.0, 71.0], 100).tolist() == [29, 71]
    assert rounded([0.29, 0.71], 1, 2).tolist() == [0.29, 0.71]  # in binary 0.29 lies below
    assert rounded([[25.5, 25.5, 49.0]], 100).tolist() == [[26, 25, 49]]


def test_what_is_no_composition_is_refused() -> None:
    draws = drawn(np.zeros((10, 2, 3)), bs.Binomial())
    scores = drawn(np.zeros((10, 2, 3)), bs.Gaussian((0, 10)))
    mixed = PerMeasure({"car": bs.Binomial(), "bike": bs.Binomial(scale=PERCENT), "else": bs.Poisson()})
    for call, what in (
        (lambda: composed(draws, ("car", "tram")), "no such measures"),
        (lambda: composed(draws, ("car",)), "fewer than two parts"),
        (lambda: composed(draws), "fewer than two parts"),
        (lambda: composed(draws, ("car", "bike"), ("bike", "else")), "in two wholes"),
        (lambda: composed(scores, PARTS), "neither shares nor rates"),
        (lambda: composed(drawn(np.zeros((10, 2, 3)), mixed), ("car", "bike")), "different scales"),
        (lambda: composed(drawn(np.zeros((10, 2, 3)), mixed), ("car", "else")), "neither shares nor rates"),
        (lambda: rounded([50.0, 40.0], 100), "do not add"),
        (lambda: rounded([-1.0, 101.0], 100), "do not add"),
        (lambda: rounded([np.nan, 100.0], 100), "do not add"),
    ):
        with pytest.raises(BuurtsaeError, match=what) as caught:
            call()
        assert len(str(caught.value).splitlines()) == 3


BOOK = """
id = "rook"
nl = "Rook"
kind = "survey"
level = "gemeente"
references = ["een rapport"]
missing = [9]
min_share_answered = 1.0
"""
SCALE = """
[[scale]]
id = "{id}"
subdimension = "{id}"
answers = {{ 1 = "nooit", 2 = "vroeger", 3 = "nu" }}
share = {{ codes = [{code}] }}
items = [{{ name = "rookt" }}]
"""
NODE = '[[node]]\nid = "{id}"\nnl = "{id}"\nen = "{id}"\nabout = "x"\n{keys}\n'
SMOKES = ("rookt_nooit", "rookt_vroeger", "rookt_nu")


def concept(folder: Path, nodes: Sequence[str], compositions: str, keys: str = 'outcome = "share"') -> Concept:
    path = folder / "begrip.toml"
    text = "".join(NODE.format(id=name, keys=keys) for name in nodes)
    path.write_text(f"{text}\n[compositions]\n{compositions}\n", encoding="utf-8", newline="\n")
    return Concept.load(path)


@pytest.mark.slow
def test_parts_that_a_concept_declares_add_up_in_draws_and_in_what_is_published(tmp_path: Path) -> None:
    """One question of three answers, each a share of its own: from the file of respondents to the published table."""
    areas, rng = make_areas(), np.random.default_rng(4)
    lived = areas.codes[areas.inhabited]
    asked = pd.DataFrame({"buurtcode": rng.choice(lived[5:], 900), "rookt": rng.choice([1, 2, 3, 9], 900)})
    asked.assign(gewicht=rng.uniform(0.5, 2, 900)).to_csv(tmp_path / "rook.csv", index=False)
    scales = [SCALE.format(id=name, code=k + 1) for k, name in enumerate(SMOKES)]
    (tmp_path / "rook.toml").write_text(BOOK + "".join(scales), encoding="utf-8", newline="\n")
    survey = bs.Survey.read(tmp_path / "rook.csv", str(tmp_path / "rook.toml"), 2024)
    of = concept(tmp_path, SMOKES, f"roken = {json.dumps(SMOKES)}")
    data = bs.direct(of.score(survey), areas)
    np.testing.assert_allclose(np.nansum(data.sources[0].mean, axis=1), 100)
    outcome = PerMeasure(dict.fromkeys(SMOKES, bs.Binomial(scale=PERCENT)))
    fit = bs.fit(bs.AreaModel("1", [bs.IID("buurt")], outcome=outcome), data, progress=False, draws=200)
    est = bs.estimate(fit, concept=of, rules=bs.Rules(protection=0))
    np.testing.assert_allclose(est.draws.scores().sum(axis=2), 100, rtol=1e-12)
    assert np.abs(fit.draws.scores().sum(axis=2) - 100).max() > 1
    np.testing.assert_allclose(est.table.groupby(["level", "area_code"])["estimate"].sum(), 100, rtol=1e-12)
    pd.testing.assert_frame_equal(est.model_table, tabulate(fit, of, est.rules, fit.draws, est.release))
    for decimals in (None, 0, 2):
        published = replace(est, rules=replace(est.rules, decimals=decimals)).published
        hidden = published["label"] == "niet_publiceren"
        assert hidden.any()
        assert published["estimate"].isna().equals(hidden)
        sums = published[~hidden].groupby(["level", "area_code"])["estimate"].sum()
        np.testing.assert_allclose(sums, 100, atol=1e-9)
        exact, shown = est.table["estimate"][~hidden], published["estimate"][~hidden]
        if decimals is None:  # nothing is rounded, and they add up
            np.testing.assert_array_equal(shown, exact)
            continue
        digits = decimals
        assert (np.abs(shown - exact) < 10.0**-digits).all()
        np.testing.assert_allclose(shown, shown.round(digits))
        plain = exact.round(digits)
        assert (np.abs(plain.groupby([est.table["level"], est.table["area_code"]]).sum() - 100) > 1e-9).any()


@pytest.mark.parametrize(
    ("keys", "compositions", "says"),
    [
        ('outcome = "share"', 'w = ["a"]', ("'w' has fewer than two parts", "got a;")),
        ('outcome = "share"', 'w = ["a", "x"]', ("'w' has unknown parts", "got x; expected a, b")),
        ('outcome = "share"', 'w = ["a", "b", "a"]', ("'w' has parts that are named twice", "got a;")),
        ('outcome = "share"', 'w = ["a", "b"]\nv = ["b", "c"]', ("'v' has parts that are named twice", "got b;")),
        ("", 'w = ["a", "b"]', ("'w' is not one of shares", "a: score from 0 to 10", "shares on one scale")),
        ('outcome = "share"\nscale = { lower = 1, upper = 2 }', 'w = ["a", "b"]', ("'w' is not one of shares",)),
        ('outcome = "share"', 'w = "a"', ("the concept cannot be read", "compositions.w")),
    ],
)
def test_what_is_no_composition_of_a_concept_is_refused(
    tmp_path: Path, keys: str, compositions: str, says: tuple[str, ...]
) -> None:
    with pytest.raises(BuurtsaeError) as caught:
        concept(tmp_path, "abc", compositions, keys)
    assert all(text in str(caught.value) for text in says)


def test_a_composition_is_whole_or_absent_and_not_benchmarked(tmp_path: Path) -> None:
    of = concept(tmp_path, "abc", 'w = ["a", "b"]')
    assert wholes(of, ("a", "b", "c")) == [("a", "b")]
    assert wholes(of, ("c",)) == []
    for call, what in ((lambda: wholes(of, ("a", "c")), "not in the data"), (lambda: refuse_benchmarks(of), "add up")):
        with pytest.raises(BuurtsaeError, match=what) as caught:
            call()
        assert len(str(caught.value).splitlines()) == 3
    refuse_benchmarks(Concept.load())
