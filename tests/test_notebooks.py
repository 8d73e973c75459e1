"""The notebooks run, in a kernel of their own and an empty folder, and what is kept of them is such a run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

NOTEBOOKS = sorted((Path(__file__).parents[1] / "examples" / "notebooks").glob("*.ipynb"))
_A_NUMBER = re.compile(r"\d+(\.\d+)?(e[-+]\d+)?")


def said(notebook) -> list[list[str]]:
    """What each cell has printed or shown as text: numbers, which a processor may round otherwise, as #."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [[_A_NUMBER.sub("#", text) for text in map(_text, cell.outputs)] for cell in cells]


def _text(output) -> str:
    return str(output.get("text") or output.get("data", {}).get("text/plain", output.output_type))


def executed(notebook, folder: Path):
    """The notebook, every cell of it run anew."""
    again = nbformat.from_dict(notebook)
    nbclient.NotebookClient(again, timeout=300, resources={"metadata": {"path": str(folder)}}).execute()
    return again


def test_there_are_three():
    names = [path.stem for path in NOTEBOOKS]
    assert names == ["certified_removal", "comparing_methods", "own_network_and_method"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs_and_says_what_it_said(path, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert said(executed(notebook, tmp_path)) == said(notebook)
    assert str(Path.home()) not in path.read_text(encoding="utf-8")
