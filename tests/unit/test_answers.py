"""Respondents collapsed to cells: sums by hand, levels by name, effective numbers, and answers that cannot be used."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_cells import letters, made_cells, table

from buurtsae.errors import BuurtsaeError
from buurtsae.survey.answers import Answers
from buurtsae.survey.cells import Cells

CELLS = made_cells(names=("leeftijd", "geslacht"))


def persons(n: int = 400, seed: int = 1) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    chosen = CELLS.frame.sample(n, replace=True, random_state=seed)[["area_code", "leeftijd", "geslacht"]]
    frame = chosen.astype(str).reset_index(drop=True)
    frame["eenzaam"] = 100.0 * (rng.uniform(size=n) < 0.3)
    return frame.assign(oordeel=rng.integers(1, 5, n), cijfer=rng.normal(7, 1, n), gewicht=rng.gamma(4, 0.25, n))


PERSONS = persons()
KEY = ["area_code", "leeftijd", "geslacht"]


def in_words(answers: Answers) -> pd.DataFrame:
    frame = answers.frame
    return frame.assign(**{name: frame[name].astype(str) for name in KEY}).set_index(KEY).sort_index()


def test_a_share_is_how_many_and_how_many_say_yes() -> None:
    spoilt = PERSONS.assign(eenzaam=PERSONS["eenzaam"].mask(PERSONS.index < 10))
    answers = Answers.of(spoilt, "eenzaam", CELLS)
    groups = spoilt.dropna().groupby(KEY)["eenzaam"]
    found = in_words(answers)
    np.testing.assert_array_equal(found["size"], groups.size())
    np.testing.assert_allclose(found["y"], groups.sum() / 100)
    assert (np.diff(answers.area) >= 0).all()
    assert answers.level.shape == (len(found), 2)
    assert answers.weight is None
    assert [str(note) for note in answers.notes] == ["10 of 400 respondents did not answer: left out"]
    ones = Answers.of(spoilt.assign(eenzaam=spoilt["eenzaam"] / 100), "eenzaam", CELLS)
    np.testing.assert_array_equal(ones.y, answers.y)


def test_ordered_answers_and_scores() -> None:
    ordered = Answers.of(PERSONS, "oordeel", CELLS, outcome="ordinal")
    assert ordered.categories == (1.0, 2.0, 3.0, 4.0)
    counts = pd.crosstab([PERSONS[name] for name in KEY], PERSONS["oordeel"])
    np.testing.assert_array_equal(in_words(ordered)[["y_1", "y_2", "y_3", "y_4"]], counts)
    scores = Answers.of(PERSONS, "cijfer", CELLS, outcome="score")
    groups = PERSONS.groupby(KEY)["cijfer"]
    sums = np.column_stack([groups.size(), groups.sum(), groups.agg(lambda y: (y**2).sum())])
    np.testing.assert_allclose(in_words(scores)[["size", "sum", "sum_of_squares"]], sums)


def test_levels_are_equal_by_name_whatever_their_order() -> None:
    frame = table(CELLS.areas, names=("leeftijd", "geslacht"))
    other = Cells.from_frame(
        frame, CELLS.areas, characteristics={"geslacht": ["vrouw", "man"], "leeftijd": ["65+", "18-44", "45-64"]}
    )
    text = PERSONS.assign(leeftijd=pd.Categorical(PERSONS["leeftijd"], ["45-64", "65+", "18-44"]))
    for cells, source in ((other, PERSONS), (CELLS, text)):
        found = in_words(Answers.of(source, "eenzaam", cells))
        pd.testing.assert_frame_equal(found, in_words(Answers.of(PERSONS, "eenzaam", CELLS)))


def test_characteristics_of_another_name_and_numbers() -> None:
    rng = np.random.default_rng(3)
    frame = table(CELLS.areas, names=("geslacht",)).assign(jaar=rng.uniform(18, 90, 24))
    cells = Cells.from_frame(frame, CELLS.areas, bins={"jaar": [18, 40, 65, 120]})
    source = PERSONS.assign(age=rng.uniform(18, 90, len(PERSONS)))
    answers = Answers.of(source, "eenzaam", cells, characteristics={"jaar": "age"})
    place = list(cells.characteristics).index("jaar")
    expected = np.bincount(np.digitize(source["age"], [40, 65]))
    np.testing.assert_array_equal(np.bincount(answers.level[:, place], answers.size), expected)


def test_effective_numbers_are_those_of_kish_within_the_cell() -> None:
    answers = Answers.of(PERSONS, "eenzaam", CELLS, weight="gewicht", effective=True)
    w = PERSONS["gewicht"]
    sums = PERSONS.assign(w2=w**2, wy=w * PERSONS["eenzaam"] / 100).groupby(KEY)[["gewicht", "w2", "wy"]].sum()
    found, n = in_words(answers), sums["gewicht"] ** 2 / sums["w2"]
    np.testing.assert_allclose(found["size"], n)
    np.testing.assert_allclose(found["y"], n * sums["wy"] / sums["gewicht"])
    assert (found["size"] <= found["n_respondents"] + 1e-9).all()
    equal = Answers.of(PERSONS.assign(gewicht=3.0), "eenzaam", CELLS, weight="gewicht", effective=True)
    np.testing.assert_allclose(equal.y, Answers.of(PERSONS, "eenzaam", CELLS).y)
    assert answers.weight is not None
    np.testing.assert_allclose((answers.weight * answers.respondents).sum(), w.sum())
    scores = Answers.of(PERSONS, "cijfer", CELLS, outcome="score", weight="gewicht", effective=True)
    mean = (w * PERSONS["cijfer"]).groupby([PERSONS[name] for name in KEY]).sum() / sums["gewicht"]
    found = in_words(scores)
    np.testing.assert_allclose(found["sum"] / found["size"], mean)


def test_a_cell_of_yes_only_has_no_more_of_them_than_answers_by_rounding() -> None:
    yes = PERSONS["geslacht"] == PERSONS["geslacht"].iloc[0]
    answers = Answers.of(PERSONS.assign(eenzaam=100.0 * yes), "eenzaam", CELLS, weight="gewicht", effective=True)
    assert (answers.y <= answers.size).all()
    np.testing.assert_allclose(answers.y[answers.y > 0], answers.size[answers.y > 0], rtol=1e-12)


def test_groups_of_respondents() -> None:
    answers = Answers.of(PERSONS, "eenzaam", CELLS)
    groups = answers.frame.assign(deel=100 * answers.y / answers.size, n_eff=0.8 * answers.size)
    again = Answers.of(groups, "deel", CELLS, number="n_respondents")
    np.testing.assert_allclose(again.y, answers.y)
    less = Answers.of(groups, "deel", CELLS, number="n_respondents", effective="n_eff")
    np.testing.assert_allclose(less.y, 0.8 * answers.y)
    np.testing.assert_allclose(less.respondents, answers.size)


def test_the_scheme_is_kept_and_a_text_is_one_name() -> None:
    assert Answers.of(PERSONS, "eenzaam", CELLS, scheme=["leeftijd", "inkomen"]).scheme == ("leeftijd", "inkomen")
    one = Answers.of(PERSONS, "eenzaam", CELLS, scheme="inkomen")
    assert one.scheme == ("inkomen",)
    persons = PERSONS.rename(columns={"leeftijd": "klasse"})
    renamed = Answers.of(
        persons, "eenzaam", CELLS, characteristics={"leeftijd": "klasse"}, scheme=["klasse", "area_code"]
    )
    assert renamed.scheme == ("leeftijd",)  # as the cells call it; the area is what everything is about
    assert Answers.of(PERSONS, "eenzaam", CELLS).scheme == ()


def test_clusters_are_characteristics_of_the_answers_only() -> None:
    """Levels as they occur; within cells the answers are those without clusters, and empty cells are noted alike."""
    source = PERSONS.assign(huis=PERSONS.index // 2, wie="z")
    answers = Answers.of(source, "eenzaam", CELLS, clusters=("huis", "wie"))
    assert list(answers.characteristics) == ["leeftijd", "geslacht", "huis", "wie"]
    assert set(answers.characteristics["huis"]) == {str(k) for k in range(200)}
    assert answers.characteristics["wie"] == ("z",)
    groups = source.groupby([*KEY, "huis"])["eenzaam"]
    assert len(answers.size) == len(groups)
    found = answers.frame.assign(huis=answers.frame["huis"].astype(str).astype(int))
    found = found.assign(**{name: found[name].astype(str) for name in KEY}).set_index([*KEY, "huis"]).sort_index()
    np.testing.assert_array_equal(found["size"], groups.size())
    np.testing.assert_allclose(found["y"], groups.sum() / 100)
    apart = Answers.of(source, "eenzaam", CELLS)
    np.testing.assert_allclose(in_words(answers).groupby(KEY)["y"].sum(), in_words(apart)["y"])
    empty = Cells(CELLS.areas, CELLS.characteristics, CELLS.area, CELLS.level, CELLS.count * (CELLS.level[:, 1] > 0))
    notes = [Answers.of(source, "eenzaam", empty, clusters=names).notes for names in ((), ("huis",))]
    assert notes[0] == notes[1] != ()
    again = Answers.of(source.sample(frac=1, random_state=1), "eenzaam", CELLS, clusters=("huis", "wie"))
    pd.testing.assert_frame_equal(again.frame, answers.frame)


def test_respondents_where_nobody_lives_are_noted() -> None:
    count = CELLS.count * (CELLS.level[:, 1] > 0)
    empty = Cells(CELLS.areas, CELLS.characteristics, CELLS.area, CELLS.level, count)
    n = (PERSONS["geslacht"] == "man").sum()
    assert Answers.of(PERSONS, "eenzaam", empty).notes[0].startswith(f"{n} respondents are in cells without residents")


BAD: dict[str, tuple[dict[str, Any], dict[str, Any], str, str]] = {
    "level": ({"leeftijd": "12-17"}, {}, "cells lack levels of leeftijd", "12-17 (400 respondents)"),
    "missing": ({"geslacht": None}, {}, "characteristic geslacht is missing", "400 of 400 respondents"),
    "area": ({"area_code": "zz"}, {}, "400 respondents live in unknown areas", "zz"),
    "weights": ({"gewicht": 0}, {"weight": "gewicht"}, "not above zero", "400 of 400 rows (0 missing, lowest 0)"),
    "one answer": ({"eenzaam": 100}, {}, "one answer only", "400 times 100"),
    "no answer": ({"eenzaam": np.nan}, {}, "one answer only", "no answers"),
    "outside": ({"eenzaam": np.arange(400) - 1.0}, {}, "lie outside 0-100", "299 of 400, from -1 to 398"),
    "between": ({"eenzaam": np.arange(400) % 3 * 50}, {}, "neither all nor nothing", "133 of 400, such as 50"),
    "text": ({"eenzaam": "ja"}, {}, "is no number", "ja"),
    "category": ({}, {"outcome": "ordinal", "categories": [0, 1, 2, 3, 4]}, "nobody chose", "0: 0 times"),
    "no category": ({}, {"outcome": "ordinal", "categories": [1, 2, 3]}, "no category", "4: "),
    "column": ({}, {"area": "buurt"}, "answers lack columns", "buurt"),
    "unweighted": ({}, {"effective": True}, "cannot be collapsed so", "no weights"),
    "effective": ({"n": 2, "m": 3}, {"number": "n", "effective": "m"}, "above the numbers", "400 of 400 rows"),
    "crowded": ({"area_code": "a"}, {}, "more respondents than residents", "a: 400 of 300"),
    "unknown": ({}, {"characteristics": {"inkomen": "x"}}, "cells lack characteristics", "inkomen"),
    "categories": ({}, {"outcome": "ordinal", "categories": ["a", "b"]}, "categories are no numbers", "a"),
    "category twice": ({}, {"outcome": "ordinal", "categories": [1, 2, 3, 4, 4]}, "missing or occur twice", "4"),
    "categories as one": ({}, {"outcome": "ordinal", "categories": 5}, "`categories` is of another kind", "int: 5"),
    "outcome": ({}, {"outcome": "percentage"}, "no such outcome", "percentage"),
    "measures": ({}, {"measure": ["eenzaam"]}, "`measure` is of another kind", "list"),
    "names": ({}, {"characteristics": 5}, "`characteristics` is of another kind", "int: 5"),
    "cells": ({}, {"cells": None}, "`cells` is of another kind", "NoneType: None"),
    "source": ({}, {"source": 5}, "`source` is of another kind", "int: 5"),
    "answers of tables": ({}, {"source": PERSONS.to_dict()}, "`source` is of another kind", "dict"),
    "effective as number": ({}, {"effective": 1}, "`effective` is of another kind", "int: 1"),
    "scheme": ({}, {"scheme": 5}, "`scheme` is of another kind", "int: 5"),
    "twice": ({}, {"source": pd.concat([PERSONS, PERSONS[["eenzaam"]]], axis=1)}, "columns twice", "eenzaam"),
    "area twice": ({}, {"source": pd.concat([PERSONS, PERSONS[["area_code"]]], axis=1)}, "columns twice", "area_code"),
    "but for spaces": ({" geslacht": "man"}, {}, "columns twice", "geslacht"),
    "lists": ({"gewicht": [[1, 2]] * 400}, {"weight": "gewicht"}, "cells are no single values", "list"),
    "no cluster": ({"huis": None}, {"clusters": ["huis"]}, "characteristic huis is missing", "400 of 400"),
    "cluster of the cells": ({}, {"clusters": ["geslacht"]}, "clusters are characteristics of the cells", "geslacht"),
    "column of clusters": ({}, {"clusters": "huis"}, "answers lack columns", "huis"),
    "cluster twice": ({"huis": 1}, {"clusters": ["huis", "huis"]}, "clusters are named twice", "huis"),
    "clusters": ({}, {"clusters": 5}, "`clusters` is of another kind", "int: 5"),
}


@pytest.mark.parametrize("name", BAD)
def test_answers_that_cannot_be_used(name: str) -> None:
    columns, options, text, got = BAD[name]
    measure = "oordeel" if options.get("outcome") == "ordinal" else "eenzaam"
    with pytest.raises(BuurtsaeError) as caught:
        Answers.of(**{"source": PERSONS.assign(**columns), "measure": measure, "cells": CELLS} | options)
    said = str(caught.value)
    assert text in said
    assert got in said
    assert len(said.splitlines()) % 3 == 0


def test_all_problems_are_told_at_once() -> None:
    spoilt = PERSONS.assign(gewicht=-1.0, leeftijd=PERSONS["leeftijd"].mask(PERSONS.index == 0, "?"), eenzaam=0.0)
    spoilt.loc[3, "area_code"] = "elders"
    with pytest.raises(BuurtsaeError) as caught:
        Answers.of(spoilt, "eenzaam", CELLS, weight="gewicht")
    for text in ("? (1 respondents)", "1 respondents live in unknown areas", "not above zero", "one answer only"):
        assert text in str(caught.value)


def test_nothing_depends_on_rows() -> None:
    cells = made_cells(residents=300, names=("leeftijd", "geslacht"))
    shuffled = Answers.of(PERSONS.sample(frac=1, random_state=2), "eenzaam", cells)
    pd.testing.assert_frame_equal(shuffled.frame, Answers.of(PERSONS, "eenzaam", cells).frame)
    assert letters().codes.equals(cells.areas.codes)
