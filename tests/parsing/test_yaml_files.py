"""YAML beyond the bounds is an error with file and position."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import pytest

from registry.errors import UsageError
from registry.parsing.yaml_files import MAX_BYTES, load_yaml, parse_yaml
from registry.subset.params import load_sources, load_subset

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + k)}: &{chr(98 + k)} [{', '.join([f'*{chr(97 + k)}'] * 9)}]\n" for k in range(9)
)
BAD = {
    "deep": ("[" * 3000, "line 1, column 51: expected at most 50 levels of nesting, found more."),
    "deep mappings": ("{a: " * 3000, "line 1, column 201: expected at most 50 levels of nesting, found more."),
    "aliases": (BOMB, "expected at most 200,000 values, aliases counted each time, found more."),
    "alias of itself": ("a: &a [*a]", "line 1, column 4: found an alias of a list or mapping inside itself."),
    "number as key": ("subsets:\n  {5: skirt}", "line 2, column 4: expected a key that is text, found '5'; write it"),
    "null as key": ("~: 1", "line 1, column 1: expected a key that is text, found '~'; write it in quotes."),
    "list as key": ("? [a]\n: 1", "line 1, column 3: expected a key that is text, found a list or mapping"),
    "repeated key": ("a: 1\nb: 2\na: 3", "line 3, column 1: the key 'a' stands twice; expected it once."),
    "repeated subset": ("subsets: {x: {}, x: {}}", "line 1, column 18: the key 'x' stands twice; expected it once."),
    "cut": ("a: [", "is not sound YAML: "),
    "two documents": ("a: 1\n---\nb: 1", "is not sound YAML: "),
    "tag": ("!!python/object/apply:os.system ['true']", "is not sound YAML: "),
    "NUL": ("a: \0", "is not sound YAML: "),
    "date": ("a: 2026-99-99", "is not sound YAML: "),
}


@pytest.mark.parametrize("name", BAD)
def test_yaml_beyond_a_bound_is_an_error_with_file_and_position(name: str, tmp_path: Path) -> None:
    text, expected = BAD[name]
    path = tmp_path / "params.yaml"
    path.write_text(text)
    tracemalloc.start()
    for load in (load_yaml, load_sources, lambda path: load_subset("easy", path)):
        with pytest.raises(UsageError) as caught:
            load(path)
        assert str(caught.value).startswith(str(path))
        assert expected in str(caught.value)
        assert "\n" not in str(caught.value)
    assert tracemalloc.get_traced_memory()[1] < 100_000_000
    tracemalloc.stop()


def test_files_that_are_too_large_and_folders_are_refused(tmp_path: Path) -> None:
    (tmp_path / "large.yaml").write_text("a" * (MAX_BYTES + 1))
    with pytest.raises(UsageError, match=r"large\.yaml is too large: expected at most 1,048,576 bytes\."):
        load_yaml(tmp_path / "large.yaml")
    os.mkfifo(tmp_path / "fifo.yaml")
    for name in ("fifo.yaml", "."):
        with pytest.raises(UsageError, match=r"is no file: expected YAML\."):
            load_yaml(tmp_path / name)
    (tmp_path / "bytes.yaml").write_bytes(b"a: \xff")
    with pytest.raises(UsageError, match=r"bytes\.yaml is not sound YAML"):
        load_yaml(tmp_path / "bytes.yaml")


def test_valid_yaml_is_parsed_as_dvc_parses_it() -> None:
    text = b"a: &x {b: [1, 2.5, yes, 'yes', null, true]}\nc: *x\nd: {<<: *x, e: 1}\n"
    values = [1, 2.5, "yes", "yes", None, True]
    assert parse_yaml(text, "x") == {"a": {"b": values}, "c": {"b": values}, "d": {"b": values, "e": 1}}
    assert parse_yaml(b"", "x") is None
    assert parse_yaml(b"5: 010\n", "x", as_text=True) == {"5": "010"}
