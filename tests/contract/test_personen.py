"""A run file with `[unit]`: the example of persons from its files to its pages, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from buurtsae.errors import BuurtsaeError, ProblemsError
from buurtsae.runs import steps
from buurtsae.runs.steps import Outcome


def copied(root: Path, folder: Path) -> Path:
    """The run file of a copy."""
    for name in ("data", "models"):
        shutil.copytree(root / name, folder / name)
    return folder / "models" / "personen.toml"


def edited(path: Path, *changes: tuple[str, str]) -> Path:
    """A run file with other texts."""
    text = path.read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def done(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    folder = tmp_path_factory.mktemp("personen")
    path = edited(copied(root, folder), ("draws = 2000", "draws = 400\nhyperparameters = 100"))
    return steps.run(path, folder / "out", progress=False)


def test_the_example_passes_its_gate(done: Outcome) -> None:
    assert done.quality["gate"]["passed"], done.quality["gate"]
    assert {check["id"] for check in done.quality["checks"]} >= {"level", "spread", "calibration", "interaction"}
    assert done.quality["gate"].get("unmade") is None


def test_figures_cover_the_truth_of_the_example(done: Outcome, root: Path) -> None:
    """95% intervals of 118 areas and three measures, whose answers no model of ours drew."""
    truth = pd.read_csv(root / "data" / "personen" / "waarheid.csv")
    table = done.estimates.published.merge(truth, on=["area_code", "measure"])
    shown = table[table["label"] != "niet_publiceren"]
    covered = shown["truth"].between(shown["lower"], shown["upper"]).groupby(shown["measure"]).mean()
    # areas of one measure share a field, so that their coverage has a standard error of .03 or so: three of these
    assert ((covered > 0.86) & (covered <= 1)).all(), covered
    assert covered.mean() > 0.9
    # who answers otherwise answers less: respondents alone are beside the truth, the model is not
    land = done.estimates.published[done.estimates.published["level"] == "land"].set_index("measure")
    people = done.estimates.areas.residents("buurt")
    whole = (
        truth.assign(n=truth["area_code"].map(people))
        .groupby("measure")[["truth", "n"]]
        .apply(lambda t: np.average(t["truth"], weights=t["n"]))
    )
    for measure in ("eenzaam", "ervaren_gezondheid", "rapportcijfer"):
        off = abs(land.loc[measure, "estimate"] - whole[measure]) / land.loc[measure, "sd"]
        assert off < 3, measure


def test_groups_are_files_and_pages(done: Outcome, root: Path) -> None:
    groups = pd.read_csv(done.folder / "groups.csv")
    again = pd.read_parquet(done.folder / "groups.parquet")
    assert len(groups) == len(again)
    assert list(groups.columns[:4]) == ["characteristic", "group", "level", "area_code"]
    assert set(groups["group"]) == {"18-64", "65+"}
    truth = pd.read_csv(root / "data" / "personen" / "waarheid_leeftijd.csv")
    old = truth[truth["leeftijd"] == "65+"].merge(groups[groups["group"] == "65+"], on=["area_code", "measure"])
    old = old[old["label"] != "niet_publiceren"]
    assert old["truth"].between(old["lower"], old["upper"]).mean() > 0.88
    package = json.loads((done.folder / "datapackage.json").read_text(encoding="utf-8"))
    described = next(r for r in package["resources"] if r["name"] == "groups")
    assert [f["name"] for f in described["schema"]["fields"]] == list(groups.columns)
    document = json.loads((done.folder / "json" / "GM9901.json").read_text(encoding="utf-8"))
    row = next(r for r in document["groups"] if r["area_code"] == "GM9901" and r["measure"] == "eenzaam")
    page = (done.folder / "dashboard" / "gemeente" / "GM9901.html").read_text(encoding="utf-8")
    assert "Naar leeftijd" in page
    assert f"{row['estimate']:.1f}".replace(".", ",") + "%" in page
    # nobody of few: what is hidden has no figure in any of the files
    hidden = groups[groups["label"] == "niet_publiceren"]
    assert len(hidden)
    assert hidden[["estimate", "sd", "lower", "upper", "direct", "n_respondents"]].isna().all(axis=None)
    assert groups["direct"].isna().all()


def test_the_method_statement_tells_of_persons(done: Outcome) -> None:
    page = (done.folder / "dashboard" / "verantwoording.html").read_text(encoding="utf-8")
    assert "Er is een model van personen, naar leeftijd, geslacht, opleiding" in page
    assert "leeftijd: een toevalswandeling" in page
    assert "buurtverbondenheid" not in page.lower()


def test_everything_wrong_is_told_at_once(root: Path, tmp_path: Path) -> None:
    path = edited(
        copied(root, tmp_path),
        ('opleiding = ["laag", "midden", "hoog"]', 'opleiding = ["laag", "hoog"]'),
        ('figure = "above 3"', 'figure = "above 5"'),
        ('"65+" = ["65+"] }', '"65+" = [] }'),
        ('[run]\nname = "personen"', '[run]\nengine = "eblup"\nname = "personen"'),
    )
    with pytest.raises(ProblemsError) as caught:
        steps.check(path)
    told = str(caught.value)
    assert "the engine does not fit persons\n  got 'eblup'; expected laplace or nuts" in told
    assert "cells have no known level of opleiding" in told
    path = edited(path, ('opleiding = ["laag", "hoog"]', 'opleiding = ["laag", "midden", "hoog"]'))
    with pytest.raises(ProblemsError) as caught:
        steps.check(path)
    told = str(caught.value)
    assert "figure gezond has an unknown category\n  got above 5; expected 1, 2, 3, 4, 5" in told
    assert "groups of leeftijd do not divide its levels\n  got 65+; expected each level once" in told


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (('"ordered"\non = "leeftijd"', '"ordered"\non = "inkomen"'), "the cells lack what inkomen is about"),
        (('type = "ordered"', 'type = "gam"'), "unit.terms.0.type is unknown"),
        (('on = "geslacht"', 'on = "geslacht"\nsds = 1'), "unknown key unit.terms.1.sds"),
        (("[unit.cells]  #", "[benchmark]\nlevel = 'gemeente'\n\n[unit.cells]  #"), "`domains` would not agree"),
        (('missing = "impute"', 'missing = "impute"\nsmooth = "auto"'), "smooth of [model] are for models of areas"),
        (('code_year = 2024\nscheme', 'code_year = 2024\nlevel = "wijk"\nscheme'), "[unit] needs the buurt of each"),
        (('of = "ervaren_gezondheid"', 'of = "eenzaam"'), "figure gezond is of no ordered measure"),
        (('id = "gezond"', 'id = "eenzaam"'), "figure eenzaam has the name of a measure"),
        (('id = "gezond"', 'id = "weight"'), "figure weight has a name that is in use"),
        (('id = "gezond"', 'id = "leeftijd"'), "figure leeftijd has a name that is in use"),
        (('"18-64" = ["18-29", "30-44", "45-64"], "65+" = ["65+"]', '"18+" = ["18-29", "30-44", "45-64", "65+"]'),
         "groups of leeftijd are no groups\n  got 18+; expected two or more"),
        (('type = "ordered"\non = "leeftijd"', 'type = "ordered"\non = "leeftijd"\nby = "leeftijd"'),
         "term leeftijd by leeftijd is about one twice"),
        (('code_year = 2024\nscheme', 'code_year = 2024\ncharacteristics = { beroep = "werk" }\nscheme'),
         "are not asked for\n  got beroep; expected leeftijd, geslacht, opleiding"),
        (('[[unit.domains]]  #', '[[unit.domains]]\non = "leeftijd"\n\n[[unit.domains]]  #'), "twice: what is hidden"),
    ],
    ids=["characteristic", "kind", "key", "benchmark", "smooth", "wijk", "figure", "name", "weight", "column",
         "one group", "twice", "beroep", "domains"],
)  # fmt: skip
def test_what_cannot_be_is_refused(root: Path, tmp_path: Path, change: tuple[str, str], says: str) -> None:
    with pytest.raises(BuurtsaeError) as caught:
        steps.check(edited(copied(root, tmp_path), change))
    assert says in str(caught.value)


def test_respondents_that_cells_do_not_know_are_told(root: Path, tmp_path: Path) -> None:
    path = copied(root, tmp_path)
    file = tmp_path / "data" / "personen" / "enquete_gezondheidsmonitor.csv"
    table = pd.read_csv(file)
    table.loc[:2, "leeftijd"] = "100+"
    table.rename(columns={"opleiding": "diploma"}).to_csv(file, index=False)
    with pytest.raises(BuurtsaeError, match="lacks columns"):
        steps.check(path)
    renamed = 'characteristics = { opleiding = "diploma" }\nscheme = ["diploma"'
    path = edited(path, ('scheme = ["leeftijd"', renamed))
    with pytest.raises(BuurtsaeError) as caught:
        steps.check(path)
    assert "the cells lack levels of leeftijd that respondents have\n  got 100+ (3 respondents)" in str(caught.value)


def test_a_variable_of_the_weights_without_a_term_is_noted(root: Path, tmp_path: Path) -> None:
    assert not any("weights depend on" in note for note in steps.check(root / "models" / "personen.toml").notes)
    path = edited(copied(root, tmp_path), ('[[unit.terms]]\ntype = "fixed"\non = "geslacht"\n', ""))
    assert any("weights depend on geslacht" in note for note in steps.check(path).notes)


def test_curves_are_of_areas(root: Path) -> None:
    with pytest.raises(BuurtsaeError, match="is of a model of areas"):
        steps.curves(root / "models" / "personen.toml", progress=False)


def test_cells_of_margins_are_made_by_the_run(root: Path, tmp_path: Path) -> None:
    """Margins of the register's own cells, and how all go together as the seed: the same residents by age."""
    path = copied(root, tmp_path)
    folder = tmp_path / "data" / "personen"
    cells = pd.read_csv(folder / "cellen.csv")
    wide = pd.concat([cells.pivot_table(index="buurtcode", columns=name, values="aantal", aggfunc="sum", fill_value=0)
                      for name in ("leeftijd", "geslacht", "opleiding")], axis=1)  # fmt: skip
    wide.reset_index().to_csv(folder / "marges.csv", index=False)
    cells.groupby(["leeftijd", "geslacht", "opleiding"])["aantal"].sum().reset_index().to_csv(
        folder / "kern.csv", index=False
    )
    text = path.read_text(encoding="utf-8")
    levels = {
        "leeftijd": ["18-29", "30-44", "45-64", "65+"],
        "geslacht": ["man", "vrouw"],
        "opleiding": ["laag", "midden", "hoog"],
    }
    margins = "".join(
        f'\n[[unit.cells.margins]]\non = "{name}"\ncolumns = {{ ' + ", ".join(f'"{k}" = "{k}"' for k in of) + " }\n"
        for name, of in levels.items()
    )
    start, end = text.index("[unit.characteristics]"), text.index("[[unit.terms]]")
    text = text[:start] + margins + "\n" + text[end:]
    text = text.replace('cellen.csv"', 'marges.csv"\nseed = "../data/personen/kern.csv"\ntables = 3')
    path.write_text(text, encoding="utf-8")
    inputs = steps.check(path)
    assert inputs.persons is not None
    assert len(inputs.persons.cells) == 3
    first, second = (table.residents({"leeftijd": ["65+"]}) for table in inputs.persons.cells[:2])
    old = (
        cells[cells["leeftijd"] == "65+"].groupby("buurtcode")["aantal"].sum().reindex(inputs.areas.codes, fill_value=0)
    )
    assert abs(first - old).max() <= 10  # rounding by 2.5 of each of four ages, and their sum
    assert (first != second).any()
