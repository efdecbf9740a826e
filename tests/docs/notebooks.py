"""Runs the notebooks of the documentation.

``python -m tests.docs.notebooks`` runs them all and writes their outputs into them; a test fails if they are others.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any, Final
from unittest import mock

import nbformat
from nbclient import NotebookClient

FOLDER: Final = Path(__file__).parents[2] / "docs/notebooks"
NOTEBOOKS: Final = sorted(FOLDER.glob("*.ipynb"))
#: Seconds that a cell may take.
TIME_LIMIT: Final = 120
#: The command of a notebook that draws its sample, in five seconds.
_DRAW: Final = '["df2", "sample", "release"]'


def run(path: Path, folder: Path, sample: Path | None = None) -> nbformat.NotebookNode:
    """Return a notebook with the outputs of a run.

    Args:
        path: the notebook; it is not changed.
        folder: working directory of its kernel.
        sample: a drawn sample, of which the notebook gets a copy; None runs its command that draws the same one.

    Raises:
        CellExecutionError: a cell failed.
        CellTimeoutError: a cell took too long.
    """
    notebook = nbformat.read(path, as_version=4)
    first = next(cell for cell in notebook.cells if cell.cell_type == "code")
    source = first.source
    if sample is not None:
        assert source.count(_DRAW) == 1
        first.source = source.replace(_DRAW, json.dumps(["cp", "-r", str(sample), "release"]))
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(folder),
        "COLUMNS": "100",
        "LINES": "50",
        "JUPYTER_PLATFORM_DIRS": "1",
    }
    # The kernel is a process of its own, which gets this environment.
    with mock.patch.dict(os.environ, environment):
        NotebookClient(
            notebook, timeout=TIME_LIMIT, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
        ).execute()
    first.source = source
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # times
    return notebook


def texts(notebook: nbformat.NotebookNode) -> list[tuple[str, list[Any]]]:
    """Return source and outputs of each code cell; of a picture only that there is one, as drawing libraries differ."""
    return [
        (cell.source, [_text(output) for output in cell.outputs]) for cell in notebook.cells if cell.cell_type == "code"
    ]


def _text(output: nbformat.NotebookNode) -> Any:
    """Return the text of an output, or its kind where it holds pictures."""
    if output.output_type == "stream":
        return output.text
    data = output.get("data", {})
    if "image/png" in data:
        return "image/png"
    if "<img" in data.get("text/html", ""):
        return data["text/html"].partition("<img")[0], data["text/html"].count("<img")
    return json.loads(json.dumps(data))


def main() -> None:
    """Write the outputs of a run into each notebook."""
    for path in NOTEBOOKS:
        with tempfile.TemporaryDirectory() as folder:
            nbformat.write(run(path, Path(folder)), path)


if __name__ == "__main__":
    main()
