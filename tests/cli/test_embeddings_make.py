"""``df2 embeddings make``: its rows, notes and errors."""

from __future__ import annotations

from pathlib import Path

import pytest

from registry.ingest.build import ingest
from tests.cli.conftest import Run
from tests.helpers import annotation, item, jpeg, write_split


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Return a registry of three items in three images, the photo of the last missing."""
    annotations = {number: annotation([item(bounding_box=[0, 0, 20, 20 + number])]) for number in (1, 2, 3)}
    write_split(tmp_path / "release" / "train", annotations, {1: jpeg(), 2: jpeg()})
    ingest("train", str(tmp_path / "release" / "train"), str(tmp_path / "registry"), jobs=1)
    return tmp_path / "registry"


def test_vectors_are_made_and_searched(run: Run, small: Path) -> None:
    result = run("embeddings", "make", "colour-texture", "--photos", "release", "-j", 1, registry=small)
    assert result.exit_code == 0, result.output
    assert result.stdout == "colour-texture: 2 vectors of 448 numbers.\n"
    assert (
        "note: 1 photo missing, damaged or another than the registry has, so that 1 item got no vector (train/image/"
        in result.stderr
    )
    assert "note: 1 item of the same splits has no vector" in result.stderr
    again = run("embeddings", "make", "colour-texture", "--photos", "release", registry=small)
    assert (again.exit_code, "--replace" in again.stderr) == (4, True)
    replaced = run("embeddings", "make", "colour-texture", "--photos", "release", "--replace", registry=small)
    assert replaced.exit_code == 0, replaced.output
    similar = run("similar", "train", 1, 1, "--format", "csv", registry=small)
    assert len(similar.stdout.splitlines()) == 2


def test_a_model_may_have_another_name_than_its_embedder(run: Run, small: Path) -> None:
    words = ("embeddings", "make", "run-3", "--embedder", "colour-texture", "--photos", "release", "--split", "train")
    result = run(*words, "-j", 2, "--dtype", "float32", registry=small)
    assert result.exit_code == 0, result.output
    assert "run-3,448,float32" in run("embeddings", "list", "--format", "csv", registry=small).stdout


def test_bad_words_are_refused(run: Run, small: Path) -> None:
    unknown = run("embeddings", "make", "run-3", "--photos", "release", registry=small)
    assert unknown.exit_code == 2
    assert "Unknown embedder 'run-3'. There is: colour-texture." in unknown.stderr
    without = run("embeddings", "make", "colour-texture", registry=small)
    assert without.exit_code == 2
    assert "No place of the photos is known: name it with --photos RELEASE." in without.stderr
