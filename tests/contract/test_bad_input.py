"""Bad input: exit status 1, three lines per problem, nothing written; every problem of every file in one pass."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

import geopandas as gpd
import pandas as pd
import pytest
from example_runs import Example, call
from shapely.geometry import Polygon

from buurtsae.runs import steps

VM, BP, KWB = "enquete_veiligheidsmonitor.csv", "enquete_burgerpeiling.csv", "kerncijfers.csv"


def put(column: str, value: str, row: int = 0, rows: int = 1) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """Put a value in some rows of a column."""

    def change(frame: pd.DataFrame) -> pd.DataFrame:
        frame.loc[frame.index[row : row + rows], column] = value
        return frame

    return change


@dataclass(frozen=True)
class Defect:
    """One defect and what must be said of it: what is wrong, what was got and expected, and the hint."""

    make: Callable[[Example], None]
    what: str
    got: str
    expected: str
    hint: str


def _empty_geometry(frame: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    frame.loc[frame["buurtcode"] == "BU99010002", "geometry"] = Polygon()
    return frame


def _codes_twice(e: Example) -> None:
    """A second table, with one buurt twice."""
    table = pd.read_csv(e.data / KWB, dtype=str)[["buurtcode", "pct_eenpersoonshuishoudens"]]
    twice = pd.concat([table, table[table["buurtcode"] == "BU99010004"]])
    twice.to_csv(e.data / "huishoudens.csv", index=False, encoding="utf-8", lineterminator="\n")
    e.toml('key = "buurtcode" }]', 'key = "buurtcode" }, { file = "../data/voorbeeldstad/huishoudens.csv" }]')


def _no_crs(e: Example) -> None:
    frame = gpd.read_file(e.data / "buurten.gpkg").set_crs(None, allow_override=True)
    frame.to_parquet(e.data / "buurten.parquet")
    e.toml("buurten.gpkg", "buurten.parquet")


def _hide(frame: pd.DataFrame) -> pd.DataFrame:
    """Hide pct_koopwoningen in one buurt with residents, as CBS does."""
    return frame.assign(pct_koopwoningen=frame["pct_koopwoningen"].mask(frame["buurtcode"] == "BU99010002", "-99997"))


def _refuse(e: Example) -> None:
    """Leave one covariate in the model, hidden in one buurt."""
    e.toml('missing = "impute" ', 'missing = "refuse" ')
    e.toml("1 + stedelijkheid + pct_koopwoningen + pct_eenpersoonshuishoudens + pct_65plus", "1 + pct_koopwoningen")
    complete = pd.read_csv(e.data / KWB).replace(-99997, 50)  # the example's own hidden cells
    e.table(KWB, lambda f: _hide(f.assign(pct_koopwoningen=complete["pct_koopwoningen"].astype(str))))


def _no_respondents(e: Example) -> None:
    for name in (VM, BP):
        e.table(name, lambda f: f.iloc[:0])


def _another_year(e: Example) -> None:
    before, _, after = e.run.read_text(encoding="utf-8").rpartition("code_year = 2024")
    e.run.write_text(f"{before}code_year = 2022{after}", encoding="utf-8", newline="\n")


def _no_answers(e: Example) -> None:
    for name in (VM, BP):
        e.table(name, lambda f: f.assign(**dict.fromkeys(f.columns[3:], "9")))


def _alone(policy: str) -> Callable[[Example], None]:
    """The first respondent in a stratum of his own."""

    def make(e: Example) -> None:
        e.table(VM, put("stratum", "apart"))
        e.toml('source = "veiligheidsmonitor"', f'source = "veiligheidsmonitor"\nlonely = "{policy}"')

    return make


def _numbered(change: Callable[[pd.DataFrame], pd.DataFrame]) -> Callable[[Example], None]:
    """Respondents with a number, then changed."""

    def make(e: Example) -> None:
        e.table(VM, lambda f: change(f.assign(nummer=[str(k) for k in range(len(f))])))
        e.toml('source = "veiligheidsmonitor"', 'source = "veiligheidsmonitor"\nid = "nummer"')

    return make


def _strata(change: Callable[[pd.DataFrame], pd.DataFrame]) -> Callable[[Example], None]:
    """A table of strata and their residents, then changed."""

    def make(e: Example) -> None:
        f = pd.read_csv(e.data / VM)
        table = f.groupby("stratum")["gewicht"].sum().rename("population").reset_index()
        change(table).to_csv(e.data / "strata.csv", index=False, encoding="utf-8")
        key = 'strata_population = "../data/voorbeeldstad/strata.csv"'
        e.toml('source = "veiligheidsmonitor"', f'source = "veiligheidsmonitor"\n{key}')

    return make


def _totals(*more: tuple[str, str, float]) -> Callable[[Example], None]:
    """Residents per gemeente as totals to meet, with further rows."""

    def make(e: Example) -> None:
        f = pd.read_csv(e.data / VM)
        total = f.groupby(f["buurtcode"].str[2:6])["gewicht"].sum()
        rows = [*(("gemeente", f"GM{code}", n) for code, n in total.items()), *more]
        pd.DataFrame(rows, columns=["margin", "category", "total"]).to_csv(e.data / "totalen.csv", index=False)
        key = 'calibrate = { totals = "../data/voorbeeldstad/totalen.csv" }'
        e.toml('source = "veiligheidsmonitor"', f'source = "veiligheidsmonitor"\n{key}')

    return make


def _per_wijk(change: Callable[[pd.DataFrame], pd.DataFrame]) -> Callable[[Example], None]:
    """The burgerpeiling known per wijk, then changed."""

    def make(e: Example) -> None:
        e.table(BP, lambda f: change(f.assign(wijkcode="WK" + f.pop("buurtcode").str[2:8])))
        e.toml('source = "burgerpeiling"', 'source = "burgerpeiling"\nlevel = "wijk"')

    return make


def _origin(e: Example) -> None:
    e.table(KWB, lambda f: f.assign(pct_niet_westers=f["pct_65plus"]))
    e.toml("+ pct_65plus", "+ pct_niet_westers")


DEFECTS = {
    "a buurt that does not exist": Defect(
        lambda e: e.table(VM, put("buurtcode", "BU99099999")),
        "1 respondents of veiligheidsmonitor live in unknown buurten",
        "BU99099999",
        "buurtcodes of 2024",
        'unknown_areas = "drop"',
    ),
    "a buurtcode that is no code": Defect(
        lambda e: e.table(VM, put("buurtcode", "99010001")), "malformed", "99010001", "BU03440101", "as text"
    ),
    "codes of another year": Defect(
        _another_year, "burgerpeiling are of another year", "2022", "2024", "from the areas of 2022"
    ),
    "codes of another year, by their look": Defect(
        lambda e: e.table(BP, put("buurtcode", "BU99010099", rows=40)),  # 40 of 500 respondents
        "40 respondents of burgerpeiling",
        "BU99010099",
        "buurtcodes of 2024",
        "look like another year's",
    ),
    "a wijk that does not exist": Defect(
        _per_wijk(put("wijkcode", "WK990999")),
        "1 respondents of burgerpeiling live in unknown wijken",
        "WK990999",
        "wijkcodes of 2024",
        'unknown_areas = "drop"',
    ),
    "a wijkcode that is no code": Defect(
        _per_wijk(put("wijkcode", "WK9901")), "malformed wijkcodes", "WK9901", "WK034401", "as text"
    ),
    "buurtcodes in a source per wijk": Defect(
        _per_wijk(lambda f: f.assign(wijkcode=f["wijkcode"].str.replace("WK", "BU") + "01")),
        f"{BP} has malformed wijkcodes",
        "BU990",
        "WK034401",
        'set `level = "buurt"`',
    ),
    "wijkcodes in a source per buurt": Defect(
        lambda e: e.table(BP, lambda f: f.assign(buurtcode="WK" + f["buurtcode"].str[2:8])),
        f"{BP} has malformed buurtcodes",
        "WK990",
        "BU03440101",
        'set `level = "wijk"`',
    ),
    "a buurt twice": Defect(
        lambda e: e.areas(lambda f: pd.concat([f, f.iloc[[3]]])),
        "more than once",
        "BU990",
        "one row per buurt",
        "dissolve",
    ),
    "a weight column missing": Defect(
        lambda e: e.table(VM, lambda f: f.drop(columns="gewicht")),
        "lacks columns",
        "buurtcode",
        "gewicht",
        "[[sources]]",
    ),
    "an item missing": Defect(
        lambda e: e.table(VM, lambda f: f.drop(columns="veel_contact")),
        "lacks items of veiligheidsmonitor",
        "veel_contact",
        "one column per item",
        "not_asked",
    ),
    "answers as labels": Defect(
        lambda e: e.table(VM, put("veel_contact", "mee eens", row=1)), "not codes", "mee eens", "numbers", "not labels"
    ),
    "weights as text": Defect(
        lambda e: e.table(VM, put("gewicht", "zwaar")), "no number", "1 rows", "a number > 0", "complete the weights"
    ),
    "an answer outside its scale": Defect(
        lambda e: e.table(VM, put("veel_contact", "7")),
        "veel_contact: answers outside",
        "7",
        "1, 2, 3, 4, 5",
        "codebook",
    ),
    "a negative weight": Defect(
        lambda e: e.table(BP, put("gewicht", "-3")), "not positive", "1 rows, lowest -3", "> 0", "drop or correct"
    ),
    "a weight of zero": Defect(
        lambda e: e.table(BP, put("gewicht", "0")), "not positive", "1 rows, lowest 0", "> 0", "drop or correct"
    ),
    "missing weights": Defect(
        lambda e: e.table(BP, put("gewicht", "", rows=2)), "weights that are missing", "2 rows", "> 0", "complete"
    ),
    "a covariate missing in some buurten": Defect(
        _refuse, "pct_koopwoningen is missing in 1 buurten", "BU99010002", "a value for each", 'missing = "impute"'
    ),
    "a covariate absent": Defect(
        lambda e: e.toml("pct_65plus", "pct_80plus"),
        "covariates are absent",
        "pct_80plus",
        "pct_65plus",
        "join the table",
    ),
    "an empty geometry": Defect(
        lambda e: e.areas(_empty_geometry), "empty geometry", "BU99010002", "a polygon per buurt", "repair or drop"
    ),
    "no coordinate system": Defect(_no_crs, "no coordinate system", "none", "EPSG:28992", "assign one"),
    "a source without codebook": Defect(
        lambda e: e.toml('source = "burgerpeiling"', 'source = "omnibus"'),
        "source 'omnibus' has no codebook",
        "'omnibus'",
        "burgerpeiling, kwb, leefbaarometer",
        "your own codebook",
    ),
    "no respondents": Defect(
        lambda e: e.table(VM, lambda f: f.iloc[:0]), "has no respondents", "0 rows", "one row per respondent", "extract"
    ),
    "no answers at all": Defect(_no_answers, "no score at all", "0 respondents", "some", "check the extract"),
    "an objective source as a survey": Defect(
        lambda e: e.toml('source = "burgerpeiling"', 'source = "leefbaarometer"'),
        "leefbaarometer has no respondents",
        "an objective source",
        "a survey or a participatory source",
        "join its figures",
    ),
    "weights of zero in a stratum": Defect(
        lambda e: e.table(VM, lambda f: f.assign(gewicht=f["gewicht"].mask(f["stratum"] == "GM9901|65+", "0"))),
        f"{VM} has strata with all weights zero",
        "GM9901|65+",
        "> 0",
        "correct these weights or drop the rows",
    ),
    "a stratum with one respondent, and a policy that refuses it": Defect(
        _alone("fail"), "1 strata have one sampled unit", "apart", "two or more", 'lonely = "adjust"'
    ),
    "a respondent in two buurten": Defect(
        _numbered(lambda f: put("nummer", f["nummer"].iloc[-1])(f)),
        f"{VM} has respondents in two buurten",
        "999",
        "one row per respondent",
        "remove the doubles",
    ),
    "a stratum without a population": Defect(
        _strata(lambda t: t[t["stratum"] != "GM9902|35-64"]),
        f"strata of {VM} are not in strata.csv",
        "GM9902|35-64",
        "a row for each",
        "add them, or correct the names",
    ),
    "a population total for a category that nobody is in": Defect(
        _totals(("gemeente", "GM9904", 100)),
        "margin 'gemeente' has population totals without respondents",
        "GM9904",
        "respondents in every category",
        "merge these categories",
    ),
    "a figure on origin": Defect(
        _origin,
        "covariate pct_niet_westers is about origin",
        "no `sensitive = true`",
        "explicit choice",
        "leave it out",
    ),
    "all sources left out": Defect(
        lambda e: (
            e.toml('source = "veiligheidsmonitor"', 'source = "veiligheidsmonitor"\nuse = false')
            or e.toml('source = "burgerpeiling"', 'source = "burgerpeiling"\nuse = false')
        ),
        "the file is not right",
        "{",
        "keep at least one",
        "correct the value",
    ),
    "an unknown key in the run file": Defect(
        lambda e: e.toml("min_residents = 10", "min_inwoners = 10"),
        "unknown key publish.min_inwoners",
        "'min_inwoners'",
        "min_residents, min_respondents",
        "remove it",
    ),
    "a key absent from the run file": Defect(
        lambda e: e.toml('name = "voorbeeldstad"\n', ""), "key run.name is absent", "nothing", "a value", "add it"
    ),
    "an unknown engine option": Defect(
        lambda e: e.toml("chains = 4", "ketens = 4"),
        "no such option",
        "ketens",
        "chains, draws, tune",
        "correct the name",
    ),
    "a run file that is no TOML": Defect(
        lambda e: e.toml('title = "Buurt', "title = Buurt"), "is no TOML", "line", "a TOML file", "correct that line"
    ),
    "a file that is not there": Defect(
        lambda e: (e.data / BP).unlink(),
        "enquete_burgerpeiling.csv cannot be read",
        "no such file",
        BP,
        "correct the path",
    ),
    "a table with codes twice": Defect(
        _codes_twice, "huishoudens.csv has codes twice", "BU99010004", "one row per code", "remove the duplicates"
    ),
    "residents below zero": Defect(
        lambda e: e.table(KWB, put("inwoners", "-5")), "residents is negative", "-5", "0 or more", "correct"
    ),
    "a bridge to nowhere": Defect(
        lambda e: e.toml("bridges = []", 'bridges = [["BU99010001", "BU00000000"]]'),
        "a bridge names unknown areas",
        "BU00000000",
        "codes of the areas",
        "check the year",
    ),
}


def problems_in(text: str) -> list[list[str]]:
    """The three lines of each problem in stderr; the last line counts several."""
    lines = text.splitlines()
    if len(lines) > 3:
        assert lines.pop() == f"{len(lines) // 3} problems; nothing was written"
    assert len(lines) % 3 == 0, text
    found = [lines[i : i + 3] for i in range(0, len(lines), 3)]
    for what, got, hint in found:
        assert not what.startswith(" "), what
        assert got.startswith("  got "), got
        assert "; expected " in got
        assert hint.startswith("  hint: "), hint
    return found


@pytest.mark.parametrize("name", DEFECTS)
@pytest.mark.parametrize("verb", ["check", "run"])
def test_a_defect_is_said_in_three_lines(name: str, verb: str, example: Example) -> None:
    defect, out = DEFECTS[name], example.folder / "out"
    defect.make(example)
    done = call(verb, example.run, "--quiet", *(["--out", out] if verb == "run" else []))
    assert done.status == 1
    assert done.out == ""
    ((what, got, hint),) = problems_in(done.err)
    assert defect.what in what
    got, expected = got.removeprefix("  got ").split("; expected ", 1)
    assert defect.got in got
    assert defect.expected in expected
    assert defect.hint in hint
    assert not out.exists()


def test_nobody_answered(example: Example) -> None:
    _no_respondents(example)
    done = call("run", example.run, "--quiet", "--out", example.folder / "out")
    assert done.status == 1
    found = problems_in(done.err)
    assert [what for what, *_ in found] == [f"{VM} has no respondents", f"{BP} has no respondents"]
    assert not (example.folder / "out").exists()


def test_another_coordinate_system_is_reprojected_and_said(example: Example) -> None:
    before = steps.check(example.run)
    example.areas(lambda f: f.to_crs("EPSG:4326"))
    done = call("check", example.run)
    assert done.status == 0, done.err
    assert "note: geometry reprojected from WGS 84 to RD New (EPSG:28992)" in done.out
    after = steps.check(example.run)
    assert after.areas.frame.crs == "EPSG:28992"
    # there and back: PROJ's grid-free transformation closes to well under a metre
    assert after.areas.frame.geometry.hausdorff_distance(before.areas.frame.geometry).max() < 0.5
    assert after.model.terms[0].graph.codes == before.model.terms[0].graph.codes  # type: ignore[union-attr]


def test_missing_covariates_are_imputed_when_asked_and_named(example: Example) -> None:
    example.table(KWB, _hide)
    done = call("check", example.run)
    assert done.status == 0, done.err
    (note,) = [line for line in done.out.splitlines() if "covariate pct_koopwoningen is missing" in line]
    assert "BU99010002" in note


def test_all_defects_of_all_files_are_reported_in_one_pass(example: Example) -> None:
    names = [
        "an unknown key in the run file",
        "an unknown engine option",
        "answers as labels",
        "an answer outside its scale",
        "missing weights",
        "a buurt that does not exist",
        "codes of another year",
        "a covariate absent",
    ]
    for name in names:
        DEFECTS[name].make(example)
    for verb in (["check"], ["run", "--out", example.folder / "out"]):
        done = call(*verb, example.run, "--quiet")
        assert done.status == 1
        said = [what for what, *_ in problems_in(done.err)]
        assert len(said) == len(names)
        for name in names:
            assert sum(DEFECTS[name].what in what for what in said) == 1, name
    assert not (example.folder / "out").exists()


def test_problems_as_json(example: Example) -> None:
    DEFECTS["a negative weight"].make(example)
    DEFECTS["a covariate absent"].make(example)
    done = call("check", example.run, "--json")
    assert done.status == 1
    found = json.loads(done.out)
    assert found["ok"] is False
    assert len(found["problems"]) == 2
    assert all(set(p) == {"what", "got", "expected", "hint"} and all(p.values()) for p in found["problems"])


def test_a_source_per_wijk_passes_the_check(example: Example) -> None:
    _per_wijk(lambda f: f)(example)
    done = call("check", example.run)
    assert done.status == 0, done.err
    assert "burgerpeiling 2024: 12 wijken" in done.out  # data/voorbeeldstad/README.md: 120 buurten in 12 wijken
    inputs = steps.check(example.run)
    first, second = inputs.direct.sources
    assert (first.level, second.level) == ("buurt", "wijk")
    assert inputs.design.sites.shape == (120 + 12, 120)
    assert inputs.direct.reference.tolist() == [0] * len(inputs.direct.subdimensions)


def test_estimates_per_wijk_pass_the_check(example: Example) -> None:
    """Instead of respondents: a table with one source per buurt and one per wijk."""
    table = steps.check(example.run).direct.variances().rename(columns={"before": "variance"})
    rows = table[table["n_respondents"] > 1].assign(estimate=6.0)[["area_code", "measure", "source", "estimate"]]
    rows = rows.assign(**table.loc[rows.index, ["variance", "n_respondents", "n_effective"]])
    wijk = rows["source"] == "burgerpeiling"
    rows.loc[wijk, "area_code"] = "WK" + rows["area_code"].str[2:8]
    rows.drop_duplicates(["area_code", "measure", "source"]).to_csv(example.data / "direct.csv", index=False)
    text = example.run.read_text(encoding="utf-8")
    before, after = text.split("[[sources]]")[0], "[model]" + text.split("[model]")[1]
    middle = '[direct]\nfile = "../data/voorbeeldstad/direct.csv"\n\n'
    example.run.write_text(before + middle + after, encoding="utf-8", newline="\n")
    done = call("check", example.run)
    assert done.status == 0, done.err
    assert "burgerpeiling 2024: 12 wijken" in done.out


def notes_of(example: Example) -> list[str]:
    done = call("check", example.run)
    assert done.status == 0, done.err
    return [line.removeprefix("note: ") for line in done.out.splitlines() if line.startswith("note: ")]


def test_a_stratum_with_one_respondent_is_said_and_centred(example: Example) -> None:
    _alone("adjust")(example)
    assert f"1 strata of {VM} have one respondent (apart): centred at the grand mean" in notes_of(example)


def test_strata_without_respondents_are_said_with_their_share(example: Example) -> None:
    _strata(lambda t: pd.concat([t, pd.DataFrame({"stratum": ["GM9904|65+"], "population": [t["population"].sum()]})]))(
        example
    )
    assert "1 strata of strata.csv have no respondents (GM9904|65+): 50.0% of it" in notes_of(example)


def test_an_item_with_one_answer_is_said(example: Example) -> None:
    example.table(VM, lambda f: f.assign(verlichting="3"))
    text = "item verlichting has one answer category"
    assert any(text in note for note in notes_of(example))


def test_an_item_that_looks_reversed_is_said(example: Example) -> None:
    example.table(
        VM, lambda f: f.assign(trots_op_buurt=f["trots_op_buurt"].map(lambda a: str(6 - int(a)) if a != "9" else a))
    )
    (note,) = [n for n in notes_of(example) if "looks reversed" in n]
    assert "item trots_op_buurt" in note


def test_a_gemeente_with_one_respondent_is_said(example: Example) -> None:
    def one(frame: pd.DataFrame) -> pd.DataFrame:
        there = frame["buurtcode"].str.startswith("BU9903")
        return pd.concat([frame[~there], frame[there].head(1)])

    example.table(BP, one)
    assert "burgerpeiling has one respondent in 1 gemeenten (GM9903)" in notes_of(example)


def test_a_source_without_respondents_in_a_gemeente_has_no_figure_there(example: Example) -> None:
    example.table(BP, lambda f: f[~f["buurtcode"].str.startswith("BU9903")])
    table = steps.check(example.run).direct.variances()
    own = table[table["source"] == "burgerpeiling"]
    assert len(own)
    assert not own["area_code"].str.startswith("BU9903").any()
    assert (own["after"] > 0).all()


def test_leaving_a_source_out_is_one_line(example: Example) -> None:
    example.toml('source = "burgerpeiling"', 'source = "burgerpeiling"\nuse = false')
    example.table(BP, lambda f: f.iloc[:0])  # not even read
    assert "source burgerpeiling is left out by the run file" in notes_of(example)
    inputs = steps.check(example.run)
    assert [s.source for s in inputs.direct.sources] == ["veiligheidsmonitor"]
    assert BP not in {f.name for f in inputs.run.files}


def test_a_source_of_another_year_is_said(example: Example) -> None:
    example.toml(
        'source = "burgerpeiling"\nfile = "../data/voorbeeldstad/enquete_burgerpeiling.csv"\nyear = 2024',
        'source = "burgerpeiling"\nfile = "../data/voorbeeldstad/enquete_burgerpeiling.csv"\nyear = 2022',
    )
    assert any(n.startswith("source burgerpeiling is of 2022, the estimates are of 2024") for n in notes_of(example))


def test_known_totals_are_met(example: Example) -> None:
    """Residents of the gemeenten turned about: the weights follow."""
    _totals()(example)
    totals = pd.read_csv(example.data / "totalen.csv")
    totals["total"] = totals["total"].to_numpy()[::-1]
    totals.to_csv(example.data / "totalen.csv", index=False)
    inputs = steps.check(example.run)
    frame = inputs.direct.scores[0].frame
    met = frame.groupby("GM" + frame["area_code"].str[2:6])["weight"].sum()
    assert met.to_numpy() == pytest.approx(totals.set_index("category").loc[met.index, "total"].to_numpy(), rel=1e-9)
    assert {"totalen.csv"} <= {f.name for f in inputs.run.files}
