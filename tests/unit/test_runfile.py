"""Run files: defaults, paths, and everything that is wrong in one pass."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from buurtsae.errors import BuurtsaeError, Problems
from buurtsae.model.covariates import Covariate
from buurtsae.model.links import PARTICIPATORY, SURVEY
from buurtsae.model.priors import LogNormal, Normal
from buurtsae.model.spec import AreaModel
from buurtsae.runs.runfile import PublishPart, ReplicatesPart, RunFile, read_run

RUN = """
[run]
name = "proef"
title = "Proef"
year = 2024
seed = 7
"""
AREAS = """
[areas]
file = "buurten.gpkg"
year = 2024
"""
SOURCE = """
[[sources]]
source = "burgerpeiling"
file = "enquete.csv"
year = 2023
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "models" / "proef.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="\n")
    return path


def problems_of(tmp_path: Path, text: str) -> list[BuurtsaeError]:
    with pytest.raises(BuurtsaeError) as raised:
        RunFile.load(written(tmp_path, text))
    found = list(getattr(raised.value, "problems", (raised.value,)))
    assert all(str(p).count("\n") == 2 for p in found)
    return found


def test_what_is_not_said_has_a_default(tmp_path: Path) -> None:
    spec = RunFile.load(written(tmp_path, RUN + AREAS + SOURCE)).spec
    assert spec.run.engine == "laplace"
    assert (spec.areas.code, spec.areas.name, spec.areas.population) == ("buurtcode", "buurtnaam", "inwoners")
    assert (spec.areas.region, spec.areas.tables, spec.areas.where) == ("", (), {})
    assert (spec.graph.rule, spec.graph.bridges) == ("queen", ())
    source = spec.sources[0]
    assert (source.level, source.area) == ("buurt", "buurtcode")
    assert (source.weight, source.strata, source.not_asked) == ("gewicht", None, ())
    assert (spec.model.formula, spec.model.missing) == ("1", "refuse")
    assert [(t.type, getattr(t, "level", None)) for t in spec.model.terms] == [("bym2", None), ("iid", "gemeente")]
    assert (spec.publish.min_residents, spec.publish.min_respondents, spec.publish.min_reliability) == (10, 1, 0.5)
    assert (spec.quality.rhat_max, spec.quality.ess_bulk_min, spec.quality.max_divergences) == (1.01, 400, 0)
    assert (spec.publish.draws, spec.quality.false_alarm, spec.engine) == (1000, 0.05, {})


def test_the_column_of_area_codes_is_called_after_the_level(tmp_path: Path) -> None:
    def source(more: str) -> tuple[str, str]:
        found = RunFile.load(written(tmp_path, RUN + AREAS + SOURCE + more)).spec.sources[0]
        return found.level, found.area

    assert source('level = "wijk"\n') == ("wijk", "wijkcode")
    assert source('level = "wijk"\narea = "wk"\n') == ("wijk", "wk")
    (problem,) = problems_of(tmp_path, RUN + AREAS + SOURCE + 'level = "gemeente"\n')
    assert problem.what == "proef.toml: sources.0.level is not right"


def test_the_start_may_be_a_table(tmp_path: Path) -> None:
    direct = RunFile.load(written(tmp_path, RUN + AREAS + '[direct]\nfile = "d.csv"\n')).spec.direct
    assert direct is not None
    assert (direct.file, direct.covariances, direct.year, direct.smooth) == ("d.csv", None, None, True)


def test_variances_follow_covariates_by_default_and_are_smoothed_from_respondents(tmp_path: Path) -> None:
    assert RunFile.load(written(tmp_path, RUN + AREAS + SOURCE)).spec.variances.method == "auto"
    table, variances = '[direct]\nfile = "d.csv"\n', '[variances]\nmethod = "{}"\n'
    assert RunFile.load(written(tmp_path, RUN + AREAS + table + variances.format("pooled"))).spec.direct is not None
    for method in ("gvf", "joint"):
        (problem,) = problems_of(tmp_path, RUN + AREAS + table + variances.format(method))
        assert "with [direct] there is `smooth`" in str(problem)
        assert str(problem).count("\n") == 2


def test_paths_are_relative_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = RunFile.load(written(tmp_path, RUN + AREAS + SOURCE))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert run.locate("../data/buurten.gpkg") == (tmp_path / "data" / "buurten.gpkg").resolve()
    assert run.locate(str(tmp_path / "x.csv")) == (tmp_path / "x.csv").resolve()
    assert run.codebook("burgerpeiling") == "burgerpeiling"
    assert run.codebook("eigen.toml") == (tmp_path / "models" / "eigen.toml").resolve()


def test_the_example_is_well_formed(root: Path) -> None:
    spec = RunFile.load(root / "models" / "voorbeeldstad.toml").spec
    assert spec.run.name == "voorbeeldstad"


def test_unknown_keys_wrong_types_and_absent_keys_in_one_pass(tmp_path: Path) -> None:
    text = """
    kleur = "rood"

    [run]
    name = "Niet Goed"
    title = "Proef"
    jaar = 2024
    seed = -1

    [areas]
    file = "buurten.gpkg"
    year = "vorig jaar"
    tables = [{ file = "k.csv", key = "postcode", kolom = 3 }]

    [[sources]]
    source = "burgerpeiling"
    file = "enquete.csv"
    year = 2023
    gewicht = "w"

    [model]
    formule = "1"

    [[model.terms]]
    type = "iid"
    level = "gemeente"
    prior = 2

    [[model.terms]]
    type = "car"

    [publish]
    min_reliability = 2.0

    [quality]
    rhat = 1.01
    """
    found = {p.what.removeprefix("proef.toml: "): p for p in problems_of(tmp_path, text)}
    assert set(found) == {
        "unknown key kleur",
        "run.name is not right",
        "unknown key run.jaar",
        "key run.year is absent",
        "run.seed is not right",
        "areas.year is not right",
        "areas.tables.0.key is not right",
        "unknown key areas.tables.0.kolom",
        "unknown key sources.0.gewicht",
        "unknown key model.formule",
        "unknown key model.terms.0.prior",
        "model.terms.1.type is unknown",
        "publish.min_reliability is not right",
        "unknown key quality.rhat",
    }
    # an unknown key is told which ones there are, at its own place
    assert found["unknown key kleur"].expected.startswith(
        "run, areas, graph, concept, sources, direct, variances, covariates, model, "
    )
    assert found["unknown key run.jaar"].expected == "name, title, year, seed, engine, contact, fictitious"
    assert found["unknown key areas.tables.0.kolom"].expected == "file, key"
    assert "weight" in found["unknown key sources.0.gewicht"].expected
    assert found["unknown key model.terms.0.prior"].expected == "type, sd, spread, correlation, name, level"
    assert found["areas.year is not right"].got == "'vorig jaar'"


def test_keys_are_fields_of_what_they_describe(tmp_path: Path) -> None:
    text = """
    replicates = { columns = "rep_", kind = "Fay", fay = 0.5 }
    [[covariates]]
    name = "groen"
    transform = "log1p"
    [model]
    intercept = [6, 2]
    [model.participatory]
    slope = [0, 0.1]
    [publish]
    min_direct = 30
    """
    spec = RunFile.load(written(tmp_path, RUN + AREAS + SOURCE + text)).spec
    assert spec.sources[0].replicates == ReplicatesPart("rep_", "Fay", fay=0.5)
    assert spec.covariates == (Covariate("groen", transform="log1p"),)
    assert (spec.model.intercept, spec.model.coefficient) == (Normal(6.0, 2.0), AreaModel.coefficient)
    assert spec.model.link == SURVEY
    assert spec.model.participatory == replace(PARTICIPATORY, slope=LogNormal(0.0, 0.1))  # the others keep theirs
    assert spec.publish == PublishPart(min_direct=30)
    told = spec.model_dump(mode="json")["model"]
    assert (told["intercept"], told["participatory"]["slope"]) == ([6.0, 2.0], [0.0, 0.1])


@pytest.mark.parametrize(
    ("text", "what", "expected"),
    [
        ("[model]\nintercept = [5, -1]", "proef.toml, model.intercept: the prior Normal has impossible", "at least"),
        ("[model.link]\nextra = [1, 2]", "proef.toml, model.link.extra: the prior PC has impossible", "alpha"),
        ("[model]\nintercept = [5]", "proef.toml: key model.intercept.1 is absent", "a value"),
        ("[model.link]\nsloop = 1", "proef.toml: unknown key model.link.sloop", "offset, slope, extra"),
        ("[publish]\ngeluk = 1", "proef.toml: unknown key publish.geluk", "decimals, draws"),
        ("[publish]\nmin_residents = 0", "proef.toml: publish.min_residents is not right", "equal to 1"),
        ("[quality]\nrhat_max = 1", "proef.toml: quality.rhat_max is not right", "greater than 1"),
        ("[[covariates]]\nnaam = 1", "proef.toml: key covariates.0.name is absent", "a value"),
    ],
)
def test_what_is_wrong_with_a_field_is_said_with_its_key(tmp_path: Path, text: str, what: str, expected: str) -> None:
    problem = problems_of(tmp_path, RUN + AREAS + SOURCE + text + "\n")[0]
    assert problem.what.startswith(what)
    assert expected in problem.expected


def test_a_prior_that_is_refused_does_not_keep_the_inputs_from_being_read(tmp_path: Path) -> None:
    problems = Problems()
    run = read_run(written(tmp_path, RUN + AREAS + SOURCE + "[model]\nintercept = [5, -1]\n"), problems)
    assert run is not None
    assert len(problems.found) == 1


@pytest.mark.parametrize("start", ["", SOURCE + '[direct]\nfile = "d.csv"\n'])
def test_either_sources_or_direct(tmp_path: Path, start: str) -> None:
    (problem,) = problems_of(tmp_path, RUN + AREAS + start)
    assert problem.what == "proef.toml: the file is not right"
    assert "either [[sources]] with respondents, or [direct]" in problem.expected


def test_an_unknown_key_does_not_hide_what_is_checked_after_it(tmp_path: Path) -> None:
    """Checks of several keys together run when each is right: once more without the unknown ones."""
    found = [
        p.what for p in problems_of(tmp_path, RUN + "kleur = 1\n" + AREAS + "[model]\nterms = [{ type = 'iid' }]\n")
    ]
    assert found == ["proef.toml: unknown key run.kleur", "proef.toml: key model.terms.0.level is absent"]
    found = [p.what for p in problems_of(tmp_path, RUN + "kleur = 1\n" + AREAS)]
    assert found == ["proef.toml: unknown key run.kleur", "proef.toml: the file is not right"]


TYPES = "bym2, iid, icar, leroux, sar, rw1, ar1, ridge, horseshoe, spline"


@pytest.mark.parametrize(
    ("term", "what", "expected"),
    [
        ('type = "iid"', "key model.terms.0.level is absent", "a value"),
        ('type = "bym2"\nlevel = "wijk"', "unknown key model.terms.0.level", "mixing, by_residents"),
        ('type = "iid"\nlevel = "wijk"\nmixing = [1, 1]', "unknown key model.terms.0.mixing", "name, level"),
        ('type = "car"', "model.terms.0.type is unknown", TYPES),
        ('level = "wijk"', "key model.terms.0.type is absent", TYPES),
        ('type = "bym2"\nsd = "wide"', "model.terms.0.sd is not right", "a list"),
        ('type = "bym2"\nsd = [1, 2, 3]', "model.terms.0.sd is not right", "2 values"),
    ],
)
def test_keys_of_a_term_that_do_not_fit(tmp_path: Path, term: str, what: str, expected: str) -> None:
    (problem,) = problems_of(tmp_path, RUN + AREAS + SOURCE + f"[[model.terms]]\n{term}\n")
    assert problem.what == f"proef.toml: {what}"
    assert expected in problem.expected


@pytest.mark.parametrize("terms", ['["bym2"]', '"bym2"', "{ type = 'bym2' }"])
def test_terms_that_are_no_list_of_tables(tmp_path: Path, terms: str) -> None:
    """In the words of TOML, not in those of Python."""
    (problem,) = problems_of(tmp_path, RUN + AREAS + SOURCE + f"[model]\nterms = {terms}\n")
    assert problem.expected in ("a list", "a table")


def test_a_run_with_only_unknown_keys_is_still_read(tmp_path: Path) -> None:
    """So that the inputs it names are checked in the same pass."""
    problems = Problems()
    run = read_run(written(tmp_path, RUN + "kleur = 1\n" + AREAS + SOURCE), problems)
    assert run is not None
    assert run.spec.run.seed == 7
    assert [p.what for p in problems.found] == ["proef.toml: unknown key run.kleur"]


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(BuurtsaeError, match="cannot be read"):
        RunFile.load(tmp_path / "geen.toml")
    (problem,) = problems_of(tmp_path, "[run\n")
    assert problem.what == "run file proef.toml is no TOML"
    latin = tmp_path / "latin.toml"
    latin.write_bytes("titel = 'één'".encode("latin-1"))
    with pytest.raises(BuurtsaeError, match="no TOML"):
        RunFile.load(latin)


def test_it_does_not_change(tmp_path: Path) -> None:
    spec = RunFile.load(written(tmp_path, RUN + AREAS + SOURCE)).spec
    with pytest.raises(ValueError, match="frozen"):
        spec.run.seed = 8  # type: ignore[misc]
