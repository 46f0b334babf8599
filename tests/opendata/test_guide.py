"""The guide `docs/mijn-gemeente.md`: every command in it runs, in its order, against replayed services."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
import routes_maps
import world
from replay import Replay

GUIDE = Path(__file__).parents[2] / "docs" / "mijn-gemeente.md"
INSTALL = 'pip install "buurtsae[osm]"'
TEXEL = "GM0448"


def commands(text: str) -> list[str]:
    """The lines of its blocks of shell."""
    return [line for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]


def extract(path: Path, buurten: object) -> None:
    """An extract of OpenStreetMap with a cafe and a park in the middle of each buurt."""
    import osmium

    points = buurten.representative_point().to_crs("EPSG:4326")  # type: ignore[attr-defined]
    with osmium.SimpleWriter(str(path)) as writer:
        for number, point in enumerate(points, 1):
            for offset, tags in enumerate(({"amenity": "cafe"}, {"leisure": "park"})):
                node = osmium.osm.mutable.Node(
                    id=2 * number + offset, location=(point.x, point.y), tags=tags, version=1,
                    timestamp="2025-06-01T00:00:00Z",
                )  # fmt: skip
                writer.add_node(node)


def test_both_languages_have_the_same_commands() -> None:
    dutch, english = GUIDE.read_text(encoding="utf-8").split("\n---\n")
    assert commands(dutch) == commands(english)
    assert commands(dutch)[0] == INSTALL
    assert len(commands(dutch)) == 12


@pytest.mark.slow
@pytest.mark.national
def test_every_command_runs(replay: Replay, shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from typer.testing import CliRunner

    from buurtsae.cli import app

    world.real(replay, shared, (TEXEL,))
    buurten = routes_maps.real(shared, (TEXEL,))
    routes_maps.install(replay, routes_maps.Map.of(buurten, 2023))
    monkeypatch.setenv("BUURTSAE_SOURCES", str(replay.sources(tmp_path)))
    monkeypatch.setenv("BUURTSAE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    extract(tmp_path / "noord-holland-latest.osm.pbf", buurten)
    for command in commands(GUIDE.read_text(encoding="utf-8").split("\n---\n")[0])[1:]:
        program, *words = shlex.split(command)
        assert program == "buurtsae"
        done = CliRunner().invoke(app, words, catch_exceptions=False)
        assert done.exit_code == 0, f"{command}\n{done.output}"
        if words[0] == "init":  # what the guide says to do with made respondents
            run = tmp_path / "texel" / "run.toml"
            text = run.read_text(encoding="utf-8").replace("[run]", '[run]\nfictitious = "respondents"')
            run.write_text(text, encoding="utf-8")
    manifest = json.loads((tmp_path / "texel" / "out" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["gate"]["passed"]
    tables = {part["table"] for record in manifest["open_data"] for part in record["retrieved"]}
    assert tables >= {"wijken-en-buurten-2024", "85984NED", "86134NED", "rce:NationalListedMonumentPoints"}
    method = (tmp_path / "texel" / "out" / "dashboard" / "verantwoording.html").read_text(encoding="utf-8")
    assert "Rijksdienst voor het Cultureel Erfgoed" in method
    data = {path.name for path in (tmp_path / "texel" / "data").glob("*.parquet")}
    assert data >= {"gezondheid_2024.parquet", "misdrijven_2024.parquet", "voorzieningen_2024.parquet"}
