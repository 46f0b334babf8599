"""The method statement: what is estimated, and what is known and assumed of those who did not answer."""

from __future__ import annotations

from typing import Any

from buurtsae.estimates.labels import Rules
from buurtsae.publication.manifest import Provenance
from buurtsae.publication.method import ASSUMED, ESTIMANDS, Statement

ROW = {"direction": "lower", "median": -0.1, "outside": 0.0, "response": "equal"}


def statement(sources: list[dict[str, Any]], **more: Any) -> Statement:
    run = {"engine": "laplace", "versions": {}, "estimand": "realised"}
    report = {"run": run, "gate": {"checks": []}, "model": None, "benchmarks": {}, "notes": [], "sources": sources}
    return Statement.of(report | more, Provenance(), Rules())


def source(calibrated: list[str] | None) -> dict[str, Any]:
    about = {"source": "veiligheidsmonitor", "year": 2023, "level": "buurt", "respondents": 1234}
    return about | {"calibrated": calibrated}


def test_it_says_what_is_estimated() -> None:
    assert statement([]).estimand == ESTIMANDS["realised"]


def test_it_says_what_weights_were_calibrated_to() -> None:
    said = [statement([source(by)]).silent[0] for by in (["leeftijd", "gemeente:geslacht"], [], None)]
    assert "leeftijd, gemeente x geslacht" in said[0]
    assert "gekalibreerd op bekende aantallen naar leeftijd" in said[0].nl
    assert "not calibrated" in said[1]
    assert "made elsewhere" in said[2]


def test_it_always_says_what_was_assumed_and_that_answers_cannot_show_it() -> None:
    assert statement([source([])]).silent[1:] == (ASSUMED,)
    assert "cannot show" in ASSUMED
    refused = {"shift": 0.1, "column": None, "refused": "why", "rows": []}
    assert statement([source([])], nonresponse=refused).silent[1:] == (ASSUMED,)


def test_it_says_how_far_figures_would_move() -> None:
    rows = [
        ROW | {"level": "buurt", "largest": -0.13, "outside": 0.02},
        ROW | {"level": "buurt", "largest": -0.11},
        ROW | {"level": "land", "largest": -0.12, "outside": 1.0},
        ROW | {"level": "land", "largest": -0.11},
        ROW | {"level": "land", "largest": 0.5, "direction": "higher"},
    ]
    moved = statement([], nonresponse={"shift": 0.1, "column": None, "refused": "", "rows": rows}).silent[-1]
    for text in (
        "0.1 standard deviations",
        "whole moves by 0.12",
        "an area by 0.13",
        "1 of 2 figures",
        "2% of the areas",
    ):
        assert text in moved
    for text in ("0,1 standaardafwijking", "hoogstens 0,12 punt", "Van de 2 cijfers van het geheel liggen er dan 1"):
        assert text in moved.nl
