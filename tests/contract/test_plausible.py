"""Nonsense in the inputs is seen: what cannot be is refused, what is strange is a note, and clean data have neither."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from example_runs import Example, call

from buurtsae.areas.areas import Areas
from buurtsae.model.plausible import figures
from buurtsae.runs import steps
from buurtsae.runs.runfile import RunFile
from buurtsae.simulate.survey import simulate_to
from buurtsae.survey.concept import Concept
from buurtsae.survey.direct import direct
from buurtsae.survey.survey import Survey

VM, BP, KWB = "enquete_veiligheidsmonitor.csv", "enquete_burgerpeiling.csv", "kerncijfers.csv"
USUAL = (  # of the example: BU99030207 has more over-65s than any area with respondents
    "secret or missing codes", "predicted there from what", "omega", "it says little about", "the range of pct_65plus",
)  # fmt: skip
Spoil = Callable[[Example], None]


def notes_of(example: Example) -> list[str]:
    """What `check` notes, apart from what it notes of the example as it is."""
    done = call("check", example.run)
    assert done.status == 0, done.err
    notes = [line.removeprefix("note: ") for line in done.out.splitlines() if line.startswith("note: ")]
    return [n for n in notes if not any(u in n for u in USUAL)]


def weights(change: Callable[[pd.DataFrame], object]) -> Spoil:
    """Other weights in the survey."""

    def text(frame: pd.DataFrame) -> pd.DataFrame:
        found = change(frame.astype({"gewicht": float}))
        return frame.assign(gewicht=pd.Series(found, index=frame.index).map("{:.9g}".format))

    return lambda e: e.table(VM, text)


def _in_gemeente(frame: pd.DataFrame, code: str) -> pd.Series:
    return frame["buurtcode"].str[2:6] == code


def _by_number(e: Example) -> None:
    """Weights that follow the identifier."""
    number = np.random.default_rng(1).permutation(1000) * 3
    e.table(VM, lambda f: f.assign(nummer=number.astype(str), gewicht=(50 + 0.1 * number).astype(str)))
    e.toml('source = "veiligheidsmonitor"', 'source = "veiligheidsmonitor"\nid = "nummer"')


def _strata(e: Example) -> None:
    """The population of every stratum, and ten times the weights in one of them."""
    table = pd.read_csv(e.data / VM).groupby("stratum")["gewicht"].sum().rename("population").reset_index()
    table.to_csv(e.data / "strata.csv", index=False)
    key = 'strata_population = "../data/voorbeeldstad/strata.csv"'
    e.toml('source = "veiligheidsmonitor"', f'source = "veiligheidsmonitor"\n{key}')
    weights(lambda f: f["gewicht"] * np.where(f["stratum"] == "GM9902|65+", 10, 1))(e)


def _undersampled(f: pd.DataFrame) -> pd.DataFrame:
    """One in five of the respondents of a gemeente, with five times their weights."""
    here = _in_gemeente(f, "9901")
    kept = f[~here | (here.cumsum() % 5 == 0)].astype({"gewicht": float})
    return kept.assign(gewicht=kept["gewicht"] * np.where(_in_gemeente(kept, "9901"), 5, 1))


def _inverse_and_relative(e: Example) -> None:
    def change(f: pd.DataFrame) -> pd.DataFrame:
        kept = _undersampled(f)
        inverse = 1 / kept["gewicht"]
        return kept.assign(gewicht=(inverse / inverse.mean()).map("{:.9g}".format))

    e.table(VM, change)


def _another_source(e: Example, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    """The survey again, as a source of another name."""
    book = (resources.files("buurtsae") / "survey" / "codebooks" / "veiligheidsmonitor.toml").read_text("utf-8")
    own = book.replace('id = "veiligheidsmonitor"', 'id = "eigen"')
    (e.run.parent / "eigen.toml").write_text(own, encoding="utf-8")
    shutil.copy(e.data / VM, e.data / BP)
    e.table(BP, change)
    e.toml('source = "burgerpeiling"', 'source = "eigen.toml"')


def _last_far_away(f: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """The last buurt 40 km to the north."""
    return f.set_geometry(f.geometry.where(f.index < len(f) - 1, f.translate(yoff=40_000)))


STRANGE: dict[str, tuple[Spoil, str]] = {
    "a percentage, by its name": (
        lambda e: e.table(KWB, lambda f: f.assign(pct_groei=["-5", "140"] + ["2"] * (len(f) - 2))),
        "pct_groei sounds like a percentage and lies outside 0-100: -5, 140 in 2 areas (BU99010001, BU99010002)",
    ),
    "polygons that overlap": (
        lambda e: e.areas(lambda f: f.set_geometry(f.buffer(150))),
        "pairs of buurten overlap by more than 10% of the smaller (BU9901",
    ),
    "a polygon far away": (
        lambda e: e.areas(_last_far_away),
        "buurten that lie more than 25 km from all others: 1 (BU99030308)",
    ),
    "gaps between all polygons": (
        lambda e: e.areas(lambda f: f.set_geometry(f.buffer(-1))),
        "areas have 0.0 neighbours on average, where 2.5 to 10 is usual",
    ),
    "gaps between some polygons": (
        lambda e: e.areas(
            lambda f: f.set_geometry([g.buffer(-1) if k % 5 == 0 else g for k, g in enumerate(f.geometry)], crs=f.crs)
        ),
        "25 of 120 areas have no neighbours",
    ),
    "all respondents in one buurt": (
        lambda e: e.table(VM, lambda f: f.assign(buurtcode="BU99010001")),
        f"{VM}: all 1000 respondents live in one buurt (BU99010001)",
    ),
    "households that nobody told of": (
        lambda e: e.table(
            VM,
            lambda f: f.assign(huishouden=f["buurtcode"] + "|" + (f.groupby("buurtcode").cumcount() // 2).astype(str)),
        ),
        "% of the respondents share a value of huishouden with another one of their area",
    ),
    "one weight that is most": (
        weights(lambda f: [1e6, *f["gewicht"][1:]]),
        f"{VM}: one weight (1e+06) is 87% of the sum of 1000 weights",
    ),
    "a sequence for weights": (
        weights(lambda f: np.random.default_rng(1).permutation(len(f)) + 1),
        f"{VM}: the weights are the whole numbers 1 to 1000, each once",
    ),
    "weights that follow the row": (
        weights(lambda f: 100 + 0.1 * np.arange(len(f))),
        f"{VM}: the weights follow the number of the row perfectly",
    ),
    "weights that follow an identifier": (_by_number, f"{VM}: the weights follow the identifier perfectly"),
    "weights that sum to too little": (
        weights(lambda f: f["gewicht"] / 10),
        "veiligheidsmonitor: the weights sum to 15,029.5 and have mean 15: neither near the 150,295 residents",
    ),
    "weights that sum to too much": (
        weights(lambda f: f["gewicht"] * 10),
        "veiligheidsmonitor: the weights sum to 1.50295e+06 and have mean 1.5e+03: neither near the 150,295 residents",
    ),
    "sampling fractions for weights": (
        weights(lambda f: 1 / f["gewicht"]),
        "their inverses sum to 150,295, near the residents: are they sampling fractions?",
    ),
    "weights of one gemeente": (
        weights(lambda f: f["gewicht"] * np.where(_in_gemeente(f, "9902"), 10, 1)),
        "veiligheidsmonitor: weights per resident of 1 of 3 gemeenten are far from those elsewhere (GM9902 10 times)",
    ),
    "weights of one stratum": (
        _strata,
        f"{VM}: weights per resident of 1 of 9 strata are far from those elsewhere (GM9902|65+ 10 times)",
    ),
    "inverse weights that are relative": (
        _inverse_and_relative,
        "their inverses are even: are they sampling fractions?",
    ),
    "a file that is in itself twice": (
        lambda e: e.table(VM, lambda f: pd.concat([f, f])),
        f"{VM}: 1000 of 2000 rows repeat another one, answers included",
    ),
    "one file as two sources": (
        lambda e: _another_source(e, lambda f: f),
        "veiligheidsmonitor and eigen have the same respondents",
    ),
    "the same respondents in another order": (
        lambda e: _another_source(e, lambda f: f.iloc[::-1]),
        "veiligheidsmonitor and eigen have the same respondents",
    ),
}


@pytest.mark.parametrize("name", STRANGE)
def test_what_is_strange_is_a_note(example: Example, name: str) -> None:
    spoil, note = STRANGE[name]
    spoil(example)
    found = notes_of(example)
    assert sum(note in n for n in found) == 1, found
    (told,) = (n for n in steps.check(example.run).notes if note in n)
    assert told.nl != told
    assert not re.search(r"\b(the|are|and|more|respondents|weights)\b", told.nl), told.nl  # nothing is left in English


def _same_polygon(frame: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    return frame.set_geometry([frame.geometry.iloc[0]] * len(frame), crs=frame.crs)


IMPOSSIBLE: dict[str, tuple[Spoil, tuple[str, str, str, str]]] = {
    "residents in thousands": (
        lambda e: e.table(KWB, lambda f: f.assign(inwoners=[f"{int(n) / 1000:.3f}" for n in f["inwoners"]])),
        ("the number of residents is no whole number", "0.15, 2.865", "persons", "write 2865 for 2.865"),
    ),
    "residents with decimals": (
        lambda e: e.table(KWB, lambda f: f.assign(inwoners=["1,5", *f["inwoners"][1:]])),
        ("the number of residents is no whole number", "1.5 in 1 buurten", "persons", "without decimals"),
    ),
    "a percentage above 100": (
        lambda e: e.table(KWB, lambda f: f.assign(pct_65plus=["130", *f["pct_65plus"][1:]])),
        (
            "pct_65plus lies outside its range",
            "130 in 1 areas",
            "0 to 100: % van",
            "correct these cells",
        ),
    ),
    "a percentage below 0": (
        lambda e: e.table(KWB, lambda f: f.assign(pct_koopwoningen=["-3", *f["pct_koopwoningen"][1:]])),
        ("pct_koopwoningen lies outside its range", "-3 in 1 areas", "0 to 100", "correct"),
    ),
    "a class of urbanity that there is not": (
        lambda e: e.table(KWB, lambda f: f.assign(stedelijkheid=["7", *f["stedelijkheid"][1:]])),
        ("stedelijkheid lies outside its range", "7 in 1 areas", "1 to 5", "correct"),
    ),
    "one polygon for all": (
        lambda e: e.areas(_same_polygon),
        ("all areas have the same polygon", "120 buurten in one place", "a polygon per buurt", "by buurtcode"),
    ),
    "degrees called RD": (
        lambda e: e.areas(lambda f: f.to_crs(4326).set_crs(28992, allow_override=True)),
        ("120 areas lie outside the Netherlands", "x 5.0", "RD New", "these are degrees"),
    ),
    "another origin called RD": (
        lambda e: e.areas(lambda f: f.set_geometry(f.translate(xoff=-155_000, yoff=-463_000))),
        ("120 areas lie outside the Netherlands", "x -2", "RD New", "assign the coordinate system"),
    ),
    "true and false for answers": (
        lambda e: e.table(VM, lambda f: f.assign(verlichting=np.where(f["verlichting"] > "3", "True", "False"))),
        ("verlichting: answers are true and false", "booleans", "1, 2, 3, 4, 5", "export the codes"),
    ),
    "true and false for weights": (
        lambda e: e.table(VM, lambda f: f.assign(gewicht="True")),
        ("weights that are true and false", "booleans", "numbers > 0", "name another column"),
    ),
}


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_what_cannot_be_is_refused(example: Example, name: str) -> None:
    spoil, lines = IMPOSSIBLE[name]
    spoil(example)
    done = call("check", example.run)
    assert done.status == 1
    for part in lines:
        assert part in done.err


CLEAN: dict[str, Spoil] = {
    "as it is": lambda e: None,
    "relative weights": weights(lambda f: f["gewicht"] / f["gewicht"].mean()),
    "weights of persons of 15 and over": weights(lambda f: 0.84 * f["gewicht"]),
    "equal weights": weights(lambda f: 150.295),
    "a gemeente with fewer respondents": lambda e: e.table(
        VM, lambda f: (k := _undersampled(f)).assign(gewicht=k["gewicht"].map("{:.9g}".format))
    ),
}


@pytest.mark.parametrize("name", CLEAN)
def test_clean_data_have_no_note(example: Example, name: str) -> None:
    CLEAN[name](example)
    assert notes_of(example) == []


@pytest.mark.national
def test_a_real_province_has_no_note(root: Path, shared: Path, tmp_path: Path) -> None:
    """The run of the province of Utrecht, with its simulated respondents."""
    part = RunFile.load(root / "models" / "utrecht.toml").spec.areas
    nl = shared / "data" / "nl"
    tables = [(nl / Path(t.file).name, t.key) for t in part.tables]
    areas = Areas.read(nl / Path(part.file).name, part.year, tables=tables, where=part.where, region=part.region)
    assert areas.region == "Provincie Utrecht"
    assert all("no geometry" in n or "without residents" in n for n in areas.notes)
    assert areas.graph().notes == []
    assert not any(figures(areas))
    simulate_to(areas, tmp_path, {"veiligheidsmonitor": 1 / 80, "burgerpeiling": 1 / 200}, 2024)
    surveys = [
        Survey.read(tmp_path / f"enquete_{s}.csv", s, 2024, strata="stratum")
        for s in ("veiligheidsmonitor", "burgerpeiling")
    ]
    assert direct([Concept.load().score(s) for s in surveys], areas).notes == ()


@pytest.mark.national
def test_the_country_has_no_note(shared: Path) -> None:
    nl = shared / "data" / "nl"
    tables = [
        (nl / "kwb_2024_buurt.csv", "buurtcode"),
        (nl / "rivm_gezondheid_buurt.csv", "buurtcode"),
        (nl / "gemeente_ggd_provincie_2024.csv", "gemeentecode"),
    ]
    areas = Areas.read(nl / "buurt_2024.parquet", 2024, tables=tables)
    assert all("no geometry" in n or "without residents" in n for n in areas.notes)
    assert (areas.region, areas.national, areas.partial) == ("Nederland", True, {})
    assert len(areas.at("provincie")) == 12
    assert areas.graph().notes == []
    assert not any(figures(areas))


@pytest.mark.slow
def test_direct_estimates_outside_the_scale_are_fitted_and_published(example: Example) -> None:
    start = steps.check(example.run).direct
    keys = ["source", "area_code", "measure"]
    mean = pd.concat(
        pd.DataFrame(s.mean, s.codes, start.subdimensions)
        .stack()
        .rename_axis(keys[1:])
        .to_frame("estimate")
        .assign(source=s.source)
        for s in start.sources
    )
    table = start.variances().merge(mean.reset_index(), on=keys).rename(columns={"after": "variance"})
    some = table.index[table["n_respondents"] >= 12][:6]  # so many are published beside the estimates
    table.loc[some[:3], "estimate"], table.loc[some[3:], "estimate"] = -2.5, 13.0
    table.drop(columns="before").to_csv(example.data / "direct.csv", index=False)
    before, after = example.run.read_text(encoding="utf-8").split("[[sources]]", 1)
    after = '[direct]\nfile = "../data/voorbeeldstad/direct.csv"\n\n[model]' + after.split("[model]")[1]
    example.run.write_text(before + after, encoding="utf-8", newline="\n")
    example.toml("draws = 4000", "draws = 400\nhyperparameters = 80")
    out = example.folder / "out"
    done = call("run", example.run, "--out", out, "--quiet")
    assert done.status in (0, 3), done.err  # the gate is not what is tested
    published = pd.read_parquet(out / "estimates.parquet")
    assert (published["direct"].min(), published["direct"].max()) == (-2.5, 13.0)
    assert published["estimate"].dropna().between(0, 10).all()


@pytest.mark.national
def test_rotterdam_is_no_province_and_no_country(shared: Path) -> None:
    nl = shared / "data" / "nl"
    tables = [(nl / "kwb_2024_buurt.csv", "buurtcode")]
    areas = Areas.read(nl / "buurt_2024.parquet", 2024, tables=tables, where={"gemeentecode": "GM0599"})
    assert areas.levels == ("buurt", "wijk", "gemeente", "land")
    assert (areas.region, areas.national, areas.partial) == ("Rotterdam", False, {})
    assert "1 provincie of which the run holds a part, without a figure as a whole: PV28" in areas.notes
