"""The options -v, which logs, and -q, which silences notes."""

from __future__ import annotations

import logging

import pytest

from tests.cli.conftest import Run


def test_quiet_silences_notes_and_keeps_answers_and_errors(run: Run) -> None:
    loud, quiet = run("tables", "--format", "table"), run("-q", "tables", "--format", "table")
    assert (quiet.stdout, quiet.stderr) == (loud.stdout, "")
    assert loud.stderr != ""
    failed = run("--quiet", "image", "train", 99)
    assert (failed.exit_code, failed.stderr) == (1, "Error: train has no image 99; its images are 1 to 7.\n")


@pytest.mark.parametrize(
    ("options", "names"),
    [((), []), (("-v",), ["info"]), (("-vv",), ["info", "debug"]), (("--verbose", "-v"), ["info", "debug"])],
)
def test_verbose_logs_the_package(
    run: Run, options: tuple[str, ...], names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from registry.store.registry import Registry

    sql = Registry.sql

    def logged(self: Registry, query: str, params: object = None) -> object:
        log = logging.getLogger("registry.store")
        log.info("info of %s", "\x1b[31mred")
        log.debug("debug")
        return sql(self, query, params)  # type: ignore[arg-type]

    monkeypatch.setattr(Registry, "sql", logged)
    result = run(*options, "sql", "SELECT 1 AS a")
    assert (result.exit_code, result.stdout) == (0, '[{"a": 1}]\n')
    lines = [line.partition(" registry.store: ")[2] for line in result.stderr.splitlines()]
    assert [line.split()[0] for line in lines if line] == names
    assert "\x1b" not in result.stderr
    assert logging.getLogger("registry").handlers == []


def test_verbose_says_which_registry_is_open_and_how_large_it_is(run: Run) -> None:
    lines = run("-v", "stats", "-o", "-").stderr.splitlines()
    assert any("registry.store.registry: Opened " in line and " files" in line for line in lines)
