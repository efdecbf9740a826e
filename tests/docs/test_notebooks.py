"""The notebooks run, and their committed outputs are those of a run."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

from tests.docs.notebooks import NOTEBOOKS, run, texts

pytestmark = pytest.mark.system

#: Bytes of a notebook with its pictures.
MOST_BYTES = 300_000


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # sockets that jupyter_client leaves to the garbage collector
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_outputs_of_a_notebook_are_those_of_a_run(path: Path, demo: Path, tmp_path: Path) -> None:
    committed = texts(nbformat.read(path, as_version=4))
    assert texts(run(path, tmp_path, demo / "data/sample")) == committed, "run: python -m tests.docs.notebooks"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_small_and_names_no_place_of_a_machine(path: Path) -> None:
    assert path.stat().st_size < MOST_BYTES
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert all(cell.outputs for cell in notebook.cells[2:] if cell.cell_type == "code")
    written = str(texts(notebook))
    assert "/tmp" not in written
    assert "/home" not in written
