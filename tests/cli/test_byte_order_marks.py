"""Files of users that begin with a byte order mark, as Windows programs write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from registry.subset.params import load_params
from tests.cli.conftest import Run

MARK = b"\xef\xbb\xbf"


def test_a_list_of_images_may_begin_with_a_byte_order_mark(run: Run, tmp_path: Path) -> None:
    for name, mark in (("plain.txt", b""), ("marked.txt", MARK)):
        (tmp_path / name).write_bytes(mark + b"000001.jpg\r\n3\r\n")
    plain, marked = (run("subset", "--image-id", f"@{name}").stdout for name in ("plain.txt", "marked.txt"))
    assert plain == marked != ""


def test_sql_may_begin_with_a_byte_order_mark(run: Run, tmp_path: Path) -> None:
    (tmp_path / "q.sql").write_bytes(MARK + b"SELECT 1 AS a")
    assert run("sql", "--file", "q.sql", "--format", "csv").stdout == "a\n1\n"


def test_the_manifest_of_an_export_and_parameters_may_begin_with_a_byte_order_mark(run: Run, tmp_path: Path) -> None:
    assert run("export", "csv", "a").exit_code == 0
    manifest = tmp_path / "a" / "export.json"
    manifest.write_bytes(MARK + manifest.read_bytes())
    assert run("verify", "a").exit_code == 0
    assert run("export", "--from-manifest", manifest, "b").exit_code == 0
    (tmp_path / "params.yaml").write_bytes(MARK + b"subsets:\n  skirts:\n    category: [skirt]\n")
    assert load_params(tmp_path / "params.yaml") == {"subsets": {"skirts": {"category": ["skirt"]}}}


@pytest.mark.parametrize("command", [("subset", "--image-id", "@u.txt"), ("sql", "--file", "u.txt")])
def test_utf_16_is_refused_with_its_name(run: Run, tmp_path: Path, command: tuple[str, ...]) -> None:
    (tmp_path / "u.txt").write_bytes("1".encode("utf-16"))
    result = run(*command)
    assert result.exit_code == 2
    assert "found the byte order mark of UTF-16; save the file as UTF-8" in result.stderr
