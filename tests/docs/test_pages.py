"""The pages agree with the package, and what names a page names one that exists."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

import registry
from registry import errors
from registry.cli.main import main
from tests.docs.blocks import read_blocks
from tests.docs.session import Session, packages_that_a_reader_lacks

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
#: Texts that name pages of the docs, by their patterns below the root.
NAMING = [
    path
    for pattern in (
        "*.md",
        "[!.]*/README.md",
        "Makefile",
        "*.yaml",
        "[!.]*/**/*.py",
        "schemas/**/*.sql",
        "registry/**/*.html",
    )
    for path in ROOT.glob(pattern)
]
#: Variables that df2 sets for processes that it starts, or that click reads for the completion.
INNER = {"DF2_GIT_USER", "DF2_GIT_PASSWORD", "DF2_COMPLETE"}


def test_pages_that_texts_name_exist() -> None:
    missing = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in NAMING
        for name in re.findall(r"(?<![\w./])(?:\.\./)?(docs/[\w/-]+\.md)", path.read_text(encoding="utf-8"))
        if not (ROOT / name).is_file()
    ]
    assert missing == []


def test_the_page_of_exit_codes_has_all_codes_and_variables() -> None:
    text = (DOCS / "reference" / "exit-codes.md").read_text(encoding="utf-8")
    classes = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, Exception)]
    codes = {str(value.exit_code) for value in classes}
    assert codes <= set(re.findall(r"(?m)^\| (\d+) \|", text))
    package = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "registry").rglob("*.py"))
    assert set(re.findall(r"`(DF2_\w+)`", text)) == set(re.findall(r"\bDF2_[A-Z_]+\b", package)) - INNER


def test_the_page_of_functions_lists_the_names_of_the_package() -> None:
    text = (DOCS / "reference" / "python" / "index.md").read_text(encoding="utf-8")
    assert set(re.findall(r"\]\[registry\.(\w+)\]", text)) == set(registry.__all__) - {"__version__"}


def test_the_commands_and_the_code_of_the_home_page_run(
    small_registry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (DOCS / "index.md").read_text(encoding="utf-8")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "registry").symlink_to(small_registry)
    monkeypatch.chdir(tmp_path)
    (line,) = re.findall(r"(?m)^\.venv/bin/df2 (.*)$", text)
    result = CliRunner().invoke(main, shlex.split(line))
    assert result.exit_code == 0, result.output
    (code,) = [block for block in read_blocks(DOCS / "index.md") if block.language == "python"]
    with Session(tmp_path, tmp_path, packages_that_a_reader_lacks(code.path)) as session:
        assert "items" in session.run(code)
