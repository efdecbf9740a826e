"""Short runs of the fuzzers in ``benchmarks.fuzz``: hostile documents are read or refused, and touch no other file.

``make fuzz`` runs them at full length; docs/benchmarks.md has the counts.
"""

from __future__ import annotations

import importlib
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.fuzz import CASES, Watch, change, condition, damage, run_case, the_watch, where
from registry.errors import RegistryError
from registry.store.conditions import check_condition


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Watch]:
    """Yield the audit hook of this process while it watches a folder with a neighbour."""
    (tmp_path / "inside").mkdir()
    (tmp_path / "precious.txt").write_text("precious")
    found = the_watch()
    found.folder = os.path.realpath(tmp_path / "inside")
    found.seen.clear()
    yield found
    found.folder = ""
    found.seen.clear()


BESIDE: dict[str, Callable[[Path], object]] = {
    "read": lambda path: path.read_text(),
    "write": lambda path: path.write_text("x"),
    "write to a new file": lambda path: path.with_name("new.txt").write_text("x"),
    "remove": lambda path: path.unlink(),
    "rename into the folder": lambda path: path.rename(path.parent / "inside" / "x"),
    "list": lambda path: os.listdir(path.parent),
    "make a folder": lambda path: path.with_name("new").mkdir(),
    "read by a link": lambda path: (path.parent / "inside" / "link").read_text(),
    "start a program": lambda _: subprocess.run([sys.executable, "-c", ""], check=True),
    "change a module": lambda _: open(os.open(__import__("registry").__file__, os.O_RDWR), closefd=True).close(),
}


@pytest.mark.parametrize("name", BESIDE)
def test_the_watch_sees_what_is_done_beside_its_folder(watch: Watch, tmp_path: Path, name: str) -> None:
    folder, watch.folder = watch.folder, ""
    (tmp_path / "inside" / "link").symlink_to("../precious.txt")
    watch.folder = folder
    BESIDE[name](tmp_path / "precious.txt")
    assert watch.seen


def test_the_watch_passes_over_its_folder_and_modules(watch: Watch) -> None:
    file = Path(watch.folder, "a.txt")
    file.write_text("x")
    assert file.read_text() == "x"
    assert os.listdir(watch.folder) == ["a.txt"]
    file.unlink()
    sys.modules.pop("colorsys", None)
    assert importlib.import_module("colorsys")
    assert not watch.seen


@settings(max_examples=400)
@given(name=st.sampled_from(sorted(CASES)), rng=st.randoms(use_true_random=False), is_text=st.booleans())
def test_a_document_that_somebody_changed_is_taken_or_refused(
    tmp_path_factory: pytest.TempPathFactory, name: str, rng: random.Random, is_text: bool
) -> None:
    text = change(rng, CASES[name][0])
    _, faults = run_case(name, damage(rng, text) if is_text else text, tmp_path_factory.getbasetemp() / "fuzz")
    assert faults == []


@settings(max_examples=150)
@given(rng=st.randoms(use_true_random=False))
def test_a_condition_is_taken_or_refused(rng: random.Random) -> None:
    text = condition(rng)
    try:
        check_condition(text)
    except RegistryError as error:
        assert str(error)


def test_conditions_that_are_taken_read_the_items_alone() -> None:
    counts, faults = where(1, 0, 300)
    assert faults == []
    assert counts["where: refused"] > 10
    assert counts["where: taken, run"] > 10
