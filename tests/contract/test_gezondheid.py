"""The example of three shares and a mark: what its script makes, and what a run reads of it."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from buurtsae.errors import BuurtsaeError
from buurtsae.model.outcome.binomial import Binomial
from buurtsae.model.outcome.gaussian import Gaussian
from buurtsae.model.outcome.per_measure import PerMeasure
from buurtsae.publication.about import COLUMNS
from buurtsae.publication.contract import stored_text
from buurtsae.runs import steps
from buurtsae.scale import PERCENT, Scale


def test_the_data_are_what_the_script_makes(root: Path, tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("make_gezondheid", root / "benchmarks" / "make_gezondheid.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.make(tmp_path)
    for path in tmp_path.iterdir():
        assert path.read_bytes() == (root / "data" / "gezondheid" / path.name).read_bytes(), path.name


def changed(root: Path, folder: Path, code: int) -> Path:
    """The run file of a copy, in which everybody gave one answer on loneliness."""
    for name in ("data", "models"):
        shutil.copytree(root / name, folder / name)
    path = folder / "data" / "gezondheid" / "enquete_gezondheidsmonitor.csv"
    pd.read_csv(path).assign(voelt_zich_eenzaam=code).to_csv(path, index=False)
    return folder / "models" / "gezondheid.toml"


@pytest.mark.parametrize(("code", "share"), [(1, 0), (4, 100)], ids=["never", "very often"])
def test_a_share_with_one_answer_is_found_by_the_check(root: Path, tmp_path: Path, code: int, share: int) -> None:
    with pytest.raises(BuurtsaeError) as caught:
        steps.check(changed(root, tmp_path, code))
    says = f"eenzaam has one answer only\n  got 2,000 times {share}; expected two answers or more\n  hint: "
    assert str(caught.value).startswith(says)


def test_a_share_without_answers_is_left_out_and_named(root: Path, tmp_path: Path) -> None:
    inputs = steps.check(changed(root, tmp_path, 99))
    assert any("voelt_zich_eenzaam has no answers at all" in note for note in inputs.direct.notes)
    assert "eenzaam" not in inputs.direct.subdimensions


def test_parts_of_a_whole_that_do_not_add_are_found_by_the_check(root: Path, tmp_path: Path) -> None:
    """One that nobody answered, and benchmarks beside them: both before anything is fitted."""
    path = changed(root, tmp_path, 99)
    with (tmp_path / "data" / "gezondheid" / "begrip.toml").open("a", encoding="utf-8") as file:
        file.write('[compositions]\nalles = ["eenzaam", "vrijwilligerswerk", "thuisgevoel"]\n')
    with path.open("a", encoding="utf-8") as file:
        file.write('[benchmark]\nlevel = "gemeente"\n')
    with pytest.raises(BuurtsaeError) as caught:
        steps.check(path)
    says = str(caught.value)
    assert "parts of composition alles are not in the data\n" in says
    assert "benchmarks do not know that parts add up\n" in says


def test_shares_and_the_mark_are_read_each_on_its_scale(root: Path) -> None:
    inputs = steps.check(root / "models" / "gezondheid.toml")
    mark = Scale(1, 10, "rapportcijfer", "mark", 1)
    share = Binomial(effective=True, scale=PERCENT)
    names = ("eenzaam", "vrijwilligerswerk", "thuisgevoel")
    assert inputs.model.outcome == PerMeasure(dict.fromkeys(names, share) | {"leefbaarheid": Gaussian(mark)})
    assert inputs.concept.heading.nl == "Gezondheid en leefbaarheid"
    assert inputs.concept.total is None
    # weighted means of the whole, from the file itself: codes 3 and 4 of eenzaam count, 99 is no answer
    answers = pd.read_csv(root / "data" / "gezondheid" / "enquete_gezondheidsmonitor.csv")
    answered = answers[answers["voelt_zich_eenzaam"] != 99]
    expected = 100 * np.average(answered["voelt_zich_eenzaam"] >= 3, weights=answered["gewicht"])
    whole = inputs.direct.totals("land", inputs.concept).set_index("measure")["direct"]
    np.testing.assert_allclose(whole["eenzaam"], expected, rtol=1e-9)
    answered = answers[answers["cijfer_buurt"] != 99]
    expected = np.average(answered["cijfer_buurt"], weights=answered["gewicht"])
    np.testing.assert_allclose(whole["leefbaarheid"], expected, rtol=1e-9)


def test_no_words_of_another_concept(root: Path) -> None:
    """The model in words, and what the files say of their columns, speak of measures."""
    words = steps.check(root / "models" / "gezondheid.toml").model.words
    for text in (str(words), words.nl, stored_text(), *COLUMNS.values()):
        assert "dimensi" not in text.casefold()
        assert "buurtverbondenheid" not in text.casefold()
