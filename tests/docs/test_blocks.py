"""The mechanism that runs the code blocks of pages: what it reads, compares and refuses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs import session as sessions
from tests.docs.blocks import Block, read_blocks, shows
from tests.docs.session import BlockError, Session, packages_that_a_reader_lacks

PAGE = """# A page

<!-- test: exit 3 -->
```sh
df2 check
```
```text
3 errors
```

```python title="embed.py"
import numpy
```

Text.

```text
a file
```
"""


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    """Yield a session in the empty folder ``work``."""
    (tmp_path / "work").mkdir()
    (tmp_path / "home").mkdir()
    with Session(tmp_path / "work", tmp_path / "home") as opened:
        yield opened


def block(text: str, language: str = "sh", **fields: str) -> Block:
    values = {"title": None, "output": None, "remark": "", **fields}
    return Block(path=Path("page.md"), line=7, language=language, text=text, **values)


def test_blocks_have_their_line_output_title_and_remark(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text(PAGE)
    assert read_blocks(path) == [
        Block(path, 5, "sh", None, "df2 check\n", "3 errors\n", "exit 3"),
        Block(path, 12, "python", "embed.py", "import numpy\n", None, ""),
        Block(path, 18, "text", None, "a file\n", None, ""),
    ]


@pytest.mark.parametrize(
    ("output", "real", "agrees"),
    [
        ("a\nb\n", "a  \n\nb\n", True),
        ("a\n...\nd\n", "a\nb\nc\nd\n", True),
        ("a\n...\n", "a\n", True),
        ("took ... s, 3 files\n", "took 0.5 s, 3 files\n", True),
        ("a\n", "a\nb\n", False),
        ("a\n...\nd\n", "a\nb\n", False),
        ("a...c\n", "a\nc\n", False),
        ("a.c\n", "abc\n", False),
        ("", "a\n", False),
    ],
)
def test_an_output_agrees_line_by_line(output: str, real: str, agrees: bool) -> None:
    assert shows(output, real) == agrees


def test_the_shell_keeps_its_folder_and_variables_and_python_its_names(session: Session, tmp_path: Path) -> None:
    session.run(block("mkdir sub && cd sub\nwhere=here\n"))
    assert session.run(block("echo $where; pwd")).splitlines() == ["here", str(tmp_path / "work/sub")]
    session.run(block("name = 3\n", "python"))
    session.run(block("import os\nprint(name, os.path.basename(os.getcwd()))\n", "python", output="3 sub\n"))
    session.run(block("saved\n", "json", title="a/file.json"))
    session.run(block("cat a/file.json\n", output="saved\n"))


def test_python_lacks_what_no_extra_brings_and_the_page_does_not_install(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```sh\npip install pandas\n```\n")
    lacking = packages_that_a_reader_lacks(page)
    assert lacking == ["polars"]
    with Session(tmp_path, tmp_path, lacking) as session:
        session.run(block("import pandas", "python"))
        with pytest.raises(BlockError, match=r"page\.md:7: (.|\n)*ModuleNotFoundError: No module named 'polars'"):
            session.run(block("import polars", "python"))


def test_output_and_errors_go_to_a_terminal_in_their_order_and_without_styles(session: Session) -> None:
    text = "echo wrong >&2\ntest -t 1 && test -t 2 && printf '\\033[1mbold\\033[0m\\n'\n"
    assert session.run(block(text)) == "wrong\nbold\n"


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (block("true\nfalse\necho on\n"), r"page\.md:8: exit code 1"),
        (block("false | true\n"), r"page\.md:7: exit code 1"),
        (block("exit 5\n"), r"page\.md:7: the shell ended"),
        (block("if true\n"), "exit code"),
        (block("true\n", remark="exit 3"), r"page\.md:7: expected exit 3"),
        (block("false\n", remark="exit 3"), r"page\.md:7: exit code 1"),
        (block("echo a\n", output="b\n"), r"page\.md:7: the page shows\nb\n\nbut the output is\na\n"),
        (block("x = 1\nx / 0\n", "python"), r"page\.md:7: (.|\n)*line 8(.|\n)*ZeroDivisionError"),
        (block("import os\nos._exit(1)\n", "python"), r"page\.md:7: the interpreter ended"),
        (block("print(1)\n", "python", output="2\n"), r"page\.md:7: the page shows\n2\n"),
        (block("SELECT 1\n", "sql"), r"page\.md:7: exit code 1(.|\n)*data/registry"),
    ],
)
def test_a_block_that_fails_is_named_with_file_and_line(session: Session, bad: Block, message: str) -> None:
    with pytest.raises(BlockError, match=message):
        session.run(bad)


def test_an_expected_exit_code_and_a_block_that_is_not_run_pass(session: Session) -> None:
    session.run(block("false\n", remark="exit 1"))
    assert session.run(block("false\n", remark="not run: needs a GPU")) == ""


@pytest.mark.parametrize("slow", [block("sleep 60\n"), block("import time\ntime.sleep(60)\n", "python")])
def test_a_block_has_a_time_limit(session: Session, slow: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "TIME_LIMIT", 0.5)
    with pytest.raises(BlockError, match=r"page\.md:7: not done after 0\.5 s"):
        session.run(slow)
