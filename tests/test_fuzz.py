"""Short runs of the fuzzers: malformed documents and conditions are accepted or refused, and access no other file.

``make fuzz`` runs them at full length; docs/reference/benchmarks-decisions.md has the counts.
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

from benchmarks.fuzz import CASES, AccessMonitor, access_monitor, change, damage, run_case
from benchmarks.fuzz_conditions import condition, fuzz_conditions
from registry.errors import RegistryError
from registry.store.conditions import check_condition


@pytest.fixture
def monitor(tmp_path: Path) -> Iterator[AccessMonitor]:
    """Yield the audit hook of this process, with the folder ``inside`` allowed and a file beside it."""
    (tmp_path / "inside").mkdir()
    (tmp_path / "precious.txt").write_text("precious")
    hook = access_monitor()
    hook.folder = os.path.realpath(tmp_path / "inside")
    hook.violations.clear()
    yield hook
    hook.folder = ""
    hook.violations.clear()


#: Accesses outside the folder, given the path of ``precious.txt``.
OUTSIDE: dict[str, Callable[[Path], object]] = {
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


@pytest.mark.parametrize("name", OUTSIDE)
def test_the_audit_hook_records_accesses_outside_its_folder(monitor: AccessMonitor, tmp_path: Path, name: str) -> None:
    folder, monitor.folder = monitor.folder, ""
    (tmp_path / "inside" / "link").symlink_to("../precious.txt")
    monitor.folder = folder
    OUTSIDE[name](tmp_path / "precious.txt")
    assert monitor.violations


def test_the_audit_hook_allows_its_folder_and_imports(
    monitor: AccessMonitor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))  # which the import lists, as it was never looked at
    file = Path(monitor.folder, "a.txt")
    file.write_text("x")
    assert file.read_text() == "x"
    assert os.listdir(monitor.folder) == ["a.txt"]
    file.unlink()
    sys.modules.pop("colorsys", None)
    assert importlib.import_module("colorsys")
    assert not monitor.violations


@settings(max_examples=400)
@given(name=st.sampled_from(sorted(CASES)), rng=st.randoms(use_true_random=False), is_text=st.booleans())
def test_a_mutated_document_is_accepted_or_refused(
    tmp_path_factory: pytest.TempPathFactory, name: str, rng: random.Random, is_text: bool
) -> None:
    text = change(rng, CASES[name][0])
    _, faults = run_case(name, damage(rng, text) if is_text else text, tmp_path_factory.getbasetemp() / "fuzz")
    assert faults == []


@settings(max_examples=150)
@given(rng=st.randoms(use_true_random=False))
def test_a_random_condition_is_accepted_or_refused(rng: random.Random) -> None:
    text = condition(rng)
    try:
        check_condition(text)
    except RegistryError as error:
        assert str(error)


def test_accepted_conditions_read_only_the_items() -> None:
    counts, faults = fuzz_conditions(1, 0, 300)
    assert faults == []
    assert counts["where: refused"] > 10
    assert counts["where: accepted, run"] > 10
