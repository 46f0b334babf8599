"""The package as a whole: light to import, every public name there."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

import buurtsae

HEAVY = ("pymc", "nutpie", "statsmodels", "matplotlib", "geopandas", "libpysal", "arviz", "numba")


def imported_by(code: str) -> set[str]:
    """Top-level packages that a fresh interpreter imports for `code`."""
    command = [sys.executable, "-X", "importtime", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr[-800:]
    return {name.split(".")[0] for name in re.findall(r"(?m)\|\s+([\w.]+)$", done.stderr)}


def test_importing_the_package_loads_nothing_heavy() -> None:
    loaded = imported_by("import buurtsae")
    assert "buurtsae" in loaded
    assert loaded.isdisjoint({*HEAVY, "numpy", "pandas", "scipy"})


@pytest.mark.slow
def test_every_public_name_is_there_without_sampler_or_plots() -> None:
    loaded = imported_by("import buurtsae; [getattr(buurtsae, name) for name in buurtsae.__all__]")
    assert "pandas" in loaded
    assert loaded.isdisjoint(HEAVY)


def test_the_command_line_loads_nothing_heavy() -> None:
    loaded = imported_by(
        "import sys\n"
        "sys.argv = ['buurtsae', '--help']\n"
        "from buurtsae.cli import main\n"
        "try: main()\n"
        "except SystemExit as stop: assert not stop.code, stop.code"
    )
    assert "typer" in loaded
    assert loaded.isdisjoint(HEAVY)


def test_public_names_are_listed_and_others_refused() -> None:
    assert set(dir(buurtsae)) == set(buurtsae.__all__)
    assert "Areas" in dir(buurtsae)
    with pytest.raises(AttributeError, match="no attribute 'Gebieden'"):
        _ = buurtsae.Gebieden
