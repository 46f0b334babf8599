"""A fit that was stopped goes on where it was, to the same bytes, whatever the model and wherever its file was torn."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import test_smaller
from made_persons import made as made_persons

import buurtsae as bs
from buurtsae.draws import Draws
from buurtsae.engines import smaller
from buurtsae.engines.checkpoint import HEAD, Checkpoint, CheckpointWarning, Remembered
from buurtsae.engines.laplace import LaplaceOptions, _marginal, sample
from buurtsae.engines.marginal import Marginal
from buurtsae.errors import DataError
from buurtsae.model.design import Design

KINDS = "BYM2", "heavy tails", "counts", "variances"


def design_of(kind: str) -> Design:
    return test_smaller.small_world(kind) if kind == "variances" else test_smaller.made(kind)


def drawn(design: Design, checkpoint: Path | None = None, seed: int = 1, threads: int = 2) -> Draws:
    options = LaplaceOptions(draws=40, hyperparameters=30, threads=threads, checkpoint=checkpoint)
    return sample(design, seed, options, progress=False)


def same(one: Draws, other: Draws) -> bool:
    """Whether draws are alike to the last bit, with what is said of them."""
    names = one.hyper.keys() == other.hyper.keys()
    hyper = all(np.array_equal(value, other.hyper[name][1]) for name, (_, value) in one.hyper.items())
    return names and hyper and np.array_equal(one.eta, other.eta) and one.certificate == other.certificate


@pytest.fixture(autouse=True)
def part(monkeypatch: pytest.MonkeyPatch) -> None:
    """The search begins in a part of the areas, as it does in a country."""
    monkeypatch.setattr(smaller, "PARTS", 2)
    monkeypatch.setattr(smaller, "LEAST", 4)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often a model of direct estimates was asked for a value, and for a gradient."""
    counts: Counter[str] = Counter()
    for name in ("posterior", "with_gradient"):
        ask = getattr(Marginal, name)
        monkeypatch.setattr(Marginal, name, lambda self, xi, ask=ask, name=name: counts.update([name]) or ask(self, xi))
    return counts


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_fit_goes_on_where_it_was_to_the_same_bytes(kind: str, tmp_path: Path) -> None:
    design, file = design_of(kind), tmp_path / "a" / "values.txt"
    whole = drawn(design)
    assert same(drawn(design, file), whole)
    kept = file.read_bytes()
    for share in (0.35, 0.8) if kind == "BYM2" else (0.6,):  # in the search for the mode, in the values
        file.write_bytes(kept[: int(share * len(kept))])
        assert same(drawn(design, file), whole)
        assert set(file.read_bytes().split(b"\n")) >= set(kept.split(b"\n"))


def test_a_model_of_persons_goes_on_too(tmp_path: Path) -> None:
    world, file = made_persons(), tmp_path / "values.txt"
    model = bs.UnitModel(terms=[bs.BYM2(world.graph)], persons=[bs.Factor("leeftijd")])
    options = {"draws": 40, "hyperparameters": 30, "progress": False}
    whole = bs.fit_persons(model, world.yes, world.residents, **options)
    for _ in range(2):
        found = bs.fit_persons(model, world.yes, world.residents, checkpoint=file, **options)
        assert same(found.raw, whole.raw)
        assert np.array_equal(found.draws.f, whole.draws.f)
        file.write_bytes(file.read_bytes()[:-50])


def test_what_is_known_is_not_asked_again(tmp_path: Path, asked: Counter[str]) -> None:
    design, file = design_of("BYM2"), tmp_path / "values.txt"
    drawn(design, file)
    first = asked.copy()
    asked.clear()
    drawn(design, file)
    assert asked["with_gradient"] == 2  # who the model is, and who its part
    assert asked["posterior"] <= 20 < first["posterior"]  # for draws, of which there are 20 pairs


def test_another_model_or_data_or_a_spoiled_file_has_no_say(tmp_path: Path) -> None:
    design, file = design_of("BYM2"), tmp_path / "values.txt"
    drawn(design, file)
    shifted = replace(design, y=design.y + np.where(np.arange(design.y.shape[1]) == 7, 1e-9, 0.0)[:, None])
    assert same(drawn(shifted, file), drawn(shifted))
    wider = bs.BYM2(test_smaller.GRAPH, sd=bs.PC(2.0, 0.05))
    data = test_smaller.direct_of(test_smaller.world(1, test_smaller.SIDE, 1), (2020,))
    other = test_smaller.design(bs.AreaModel("1 + groen", [wider]), data)
    assert same(drawn(other, file), drawn(other))
    assert same(drawn(design, file, seed=2), drawn(design, seed=2))
    lines = file.read_text().splitlines()
    file.write_text("\n".join(line.replace("0x1.", "0x1.8", 1) for line in lines))  # other numbers, the old hash
    assert same(drawn(design, file), drawn(design))
    for rest in (HEAD + bytes(range(256)) * 40, HEAD[:9], b""):
        file.write_bytes(rest)
        for _ in range(2):
            assert same(drawn(design, file), drawn(design))


@pytest.mark.parametrize("name", ["enquete.csv", "values\0.txt"])
def test_another_file_is_refused_and_stays_as_it_is(tmp_path: Path, name: str) -> None:
    (tmp_path / "enquete.csv").write_text("buurtcode,gewicht\nBU00000000,1\n")
    with pytest.raises(DataError, match="is no checkpoint"):
        drawn(design_of("BYM2"), tmp_path / name)
    assert (tmp_path / "enquete.csv").read_text() == "buurtcode,gewicht\nBU00000000,1\n"


def test_a_prior_whose_middle_is_the_same_is_another_model() -> None:
    """At the middle of the priors models would be alike that differ elsewhere."""
    graph, data = test_smaller.GRAPH, test_smaller.direct_of(test_smaller.world(1, test_smaller.SIDE, 1), (2020,))
    names = set()
    for spread in (0.5, 0.8):
        term = bs.BYM2(graph, sd=bs.LogNormal(0.5, spread))
        marginal = _marginal(test_smaller.design(bs.AreaModel("1", [term]), data))
        names.add(Remembered(marginal, Checkpoint(Path("none"))).name)
    assert len(names) == 2


def test_a_full_disk_stops_no_fit(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    design = design_of("BYM2")
    with pytest.warns(CheckpointWarning, match="begun anew"):
        found = drawn(design, tmp_path / "file" / "values.txt")
    assert same(found, drawn(design))


def test_answers_of_many_threads_and_processes_stay_whole(tmp_path: Path) -> None:
    file = tmp_path / "values.txt"
    processes = [Checkpoint.at(file) for _ in range(3)]

    def add(k: int) -> None:
        for n in range(50):
            processes[k % 3].answer(f"{k}-{n}", lambda n=n: np.array([k, n / 3, -np.inf]))

    workers = [threading.Thread(target=add, args=(k,)) for k in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    found, answers = Checkpoint.at(file), []
    for k in range(6):
        for n in range(50):
            answers.append(found.answer(f"{k}-{n}", lambda: np.full(3, np.nan)))
            np.testing.assert_array_equal(answers[-1], [k, n / 3, -np.inf])
    assert len(answers) == 300
