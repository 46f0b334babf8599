"""The notebooks: stored without outputs, executed as a reader would."""

from __future__ import annotations

import base64
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

NAME = "01_first_estimates.ipynb"


def execute(notebook: Any, root: Path, to: Path) -> tuple[list[Any], list[bytes], str]:
    """Run a notebook in a folder of its own; return its outputs, figures and printed text."""
    from nbclient import NotebookClient

    (to / "notebooks").mkdir()
    shutil.copytree(root / "data" / "voorbeeldstad", to / "data" / "voorbeeldstad")
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(to / "notebooks")}}).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert [o.text for o in outputs if o.get("name") == "stderr"] == []  # no warning reaches a reader
    figures = [base64.b64decode(o.data["image/png"]) for o in outputs if "image/png" in o.get("data", {})]
    assert all(png.startswith(b"\x89PNG") and len(png) > 20_000 for png in figures)  # an empty figure has 3 kB
    return outputs, figures, "\n".join(o.text for o in outputs if o.output_type == "stream")


@pytest.fixture
def notebook(root: Path) -> Any:
    return nbformat.read(root / "notebooks" / NAME, as_version=4)


def test_it_is_short_and_stored_without_outputs(notebook: Any) -> None:
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)
    lines = [line for cell in code for line in cell.source.splitlines() if line.strip()]
    assert len(lines) <= 25  # "about 20 lines with the public API"
    assert '= "/' not in "\n".join(lines)  # paths from the folder of the notebook, none of one machine


def test_publish_is_a_function_whatever_was_imported() -> None:
    program = "import buurtsae.publication.output, buurtsae, sys; sys.exit(not callable(buurtsae.publish))"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.slow
@pytest.mark.xdist_group("notebook")
def test_it_runs_from_its_folder(notebook: Any, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")  # otherwise Jupyter warns of folders that will move
    outputs, figures, text = execute(notebook, root, tmp_path)
    assert len(figures) == 2
    assert "Area-level model (multivariate Fay-Herriot)" in text
    (check,) = [o.data["text/plain"] for o in outputs if "advice" in o.get("data", {}).get("text/plain", "")]
    assert check.startswith("Empty DataFrame")  # as the text above it says
    assert "% eigen data" in text
    assert "geen eigen respondenten" in text
    assert outputs[-1].data["text/plain"] == "True"  # the quality gate
    assert (tmp_path / "out" / "eerste" / "manifest.json").is_file()
    assert (tmp_path / "out" / "eerste" / "dashboard" / "index.html").is_file()


@pytest.mark.slow
@pytest.mark.xdist_group("notebook")
def test_the_survey_side_runs(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    second = nbformat.read(root / "notebooks" / "02_survey_side.ipynb", as_version=4)
    code = [cell for cell in second.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)
    outputs, figures, text = execute(second, root, tmp_path)
    assert len(figures) == 1
    assert "Place attachment scale" in text
    assert "Reliability of veiligheidsmonitor 2024" in text
    assert any("deff_weights" in o.get("data", {}).get("text/plain", "") for o in outputs)


@pytest.mark.slow
@pytest.mark.xdist_group("notebook")
def test_the_classical_estimators_run(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    third = nbformat.read(root / "notebooks" / "03_classical.ipynb", as_version=4)
    code = [cell for cell in third.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)
    outputs, figures, text = execute(third, root, tmp_path)
    assert len(figures) == 1
    assert "Fay-Herriot Model" in text
    assert "likelihood ratio" in text
    assert any("eblup_rmse" in o.get("data", {}).get("text/plain", "") for o in outputs)
