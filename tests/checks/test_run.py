"""Checks of a registry: counts, limits, accepted exceptions, and checks that are broken."""

from __future__ import annotations

import json
from collections.abc import Iterable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import duckdb
import pytest

import registry
from registry.checks import find
from registry.checks.accepted import accepted_schema
from registry.checks.junit import junit_text
from registry.checks.run import CheckRun
from registry.dataset.checks import load_checks
from registry.errors import QueryError, UnknownNameError, UsageError
from registry.ingest.build import ingest
from registry.store.registry import Registry
from tests.checks.conftest import WIDE_BOX

TWICE = {"split": "train", "image_id": 1, "item_no": 1, "other_item_no": 2}


def counts(run: CheckRun) -> dict[str, int | None]:
    """Return the counts that are not zero."""
    return {result.name: result.count for result in run if result.count}


def accept(params: Path, *lines: Any) -> None:
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    (params.parent / "checks" / "accepted.jsonl").write_text("\n".join(texts) + "\n")


def test_every_check_of_the_package_is_run_the_worst_severity_first(odd: Registry) -> None:
    run = registry.check(odd)
    assert [result.name for result in run] == list(load_checks())
    severities = [result.severity for result in run]
    assert severities == sorted(severities, key=["error", "warning", "note"].index)
    assert counts(run) == {
        "degenerate-box": 1,
        "missing-picture": 1,
        "duplicate-items": 1,
        "one-sided-pair-id": 1,
        "orphan-identity": 2,
    }
    assert (run.failures, run.broken) == ([], [])
    assert run.notices == [
        "1 image of train has no width and height: box-outside-image, landmark-outside-image, polygon-outside-image, "
        "scale-mismatch and 1 more see nothing odd in it",
        *(
            f"{name}-picture was not run, as the table photos is empty; 'df2 photos describe' fills it"
            for name in ("unreadable", "duplicate", "blurred", "dark", "near-duplicate")
        ),
    ]


def test_a_result_has_five_plain_values_and_passes_without_a_limit(odd: Registry) -> None:
    (result,) = registry.check(odd, only="duplicate-items")
    assert result.to_dict() == {
        "check": "duplicate-items", "severity": "warning", "count": 1, "limit": None, "passed": True
    }  # fmt: skip


def test_the_rows_of_a_check_are_sorted_by_its_key(odd: Registry) -> None:
    run = registry.check(odd, only=["orphan-identity", "duplicate-items"])
    assert [row[:3] for row in run.rows("orphan-identity").fetchall()] == [("train", 1, 2), ("train", 2, 4)]
    assert run.rows("duplicate-items").columns[:4] == list(TWICE)
    with pytest.raises(UnknownNameError, match="Unknown check 'degenerate-box'"):
        run.rows("degenerate-box")


def test_a_check_of_a_subset_sees_its_rows_alone(odd: Registry) -> None:
    within = registry.check(odd, subset={"image_id": 2}, only="orphan-identity")
    assert [row[:3] for row in within.rows("orphan-identity").fetchall()] == [("train", 1, 1)]
    assert counts(registry.check(odd, subset={"category": "shorts"}, severity="error")) == {"degenerate-box": 1}


def test_only_and_severity_choose_checks(odd: Registry) -> None:
    assert {result.severity for result in registry.check(odd, severity=["error", "note"])} == {"error", "note"}
    with pytest.raises(UnknownNameError, match=r"Unknown check 'degenerate-boxes'\. Did you mean 'degenerate-box'"):
        registry.check(odd, only="degenerate-boxes")
    with pytest.raises(UnknownNameError, match="Unknown severity 'bad'"):
        registry.check(odd, severity="bad")


def test_a_count_above_its_limit_fails_where_the_severity_is_error(odd: Registry, params: Path) -> None:
    params.write_text("checks: {limits: {degenerate-box: 0, missing-picture: 1, duplicate-items: 0}}")
    run = registry.check(odd, params=params)
    assert [result.name for result in run if result.passed is False] == ["degenerate-box", "duplicate-items"]
    assert [result.name for result in run.failures] == ["degenerate-box"]


def test_the_checks_of_a_folder_run_beside_the_others(odd: Registry, params: Path) -> None:
    run = registry.check(odd, params=params)
    assert run[-1].to_dict() == {
        "check": "wide-box", "severity": "error", "count": 4, "limit": 10, "passed": True
    }  # fmt: skip
    assert run.rows("wide-box").fetchall() == [
        ("train", 1, 1, 100.0), ("train", 1, 2, 100.0), ("train", 2, 1, 100.0), ("train", 3, 1, 100.0)
    ]  # fmt: skip


def test_accepted_rows_do_not_count_and_are_no_rows(odd: Registry, params: Path) -> None:
    accept(params, {"check": "duplicate-items", "key": TWICE, "why": "twins", "who": "Ann"}, "")
    run = registry.check(odd, params=params, only="duplicate-items")
    assert (run[0].count, run[0].accepted, run.notices) == (0, 1, [])
    assert run.rows("duplicate-items").fetchall() == []


def test_an_exception_that_fits_no_row_any_more_is_told_unless_it_may_lie_outside_of_the_subset(
    odd: Registry, params: Path
) -> None:
    accept(params, {"check": "duplicate-items", "key": TWICE | {"image_id": 9}, "why": "twins"})
    run = registry.check(odd, params=params, only="duplicate-items")
    place = params.parent / "checks" / "accepted.jsonl"
    assert run.notices == [
        f"1 accepted exception of duplicate-items fits no row any more and can be removed: {place}, line 1"
    ]
    assert run[0].count == 1
    assert registry.check(odd, params=params, only="duplicate-items", subset={"split": "train"}).notices == []


def test_all_wrong_lines_of_the_accepted_exceptions_are_told_together(odd: Registry, params: Path) -> None:
    sound = {"check": "duplicate-items", "key": TWICE, "why": "twins"}
    accept(
        params,
        sound,
        {"check": "duplicate-item", "key": TWICE, "why": "twins"},
        {"check": "degenerate-box", "key": TWICE, "why": "twins"},
        {"check": "duplicate-items", "key": TWICE, "why": " "},
        sound,
        '{"check": "duplicate-items", "key": {}, "key": {}}',
        "[",
    )
    with pytest.raises(UsageError) as caught:
        registry.check(odd, params=params)
    lines = [line.partition("accepted.jsonl, ")[2] for line in str(caught.value).splitlines()]
    assert [line.partition(":")[0] for line in lines] == [f"line {n}" for n in (2, 3, 4, 5, 6, 7)]
    assert "Unknown check 'duplicate-item'. Did you mean 'duplicate-items'" in lines[0]
    assert "expected a key of degenerate-box with split, image_id, item_no; found split, image_id" in lines[1]
    assert "`$.why`" in lines[2]
    assert lines[3] == "line 5: line 1 accepts the same row; remove one of them."
    assert "key: the key stands more than once" in lines[4]


HEADER = "-- One row per x.\n-- key: split, image_id\n-- severity: error\n-- source: items\n"


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT 1", "expected a first line '-- One row per ...'"),
        (HEADER.replace("error", "bad") + "SELECT 1", "severity: expected error, warning, note; found bad"),
        (HEADER + "SELECT split FROM items", "expected the columns of its key split, image_id; its rows have split."),
        (HEADER + "SELECT spilt FROM items", "spilt"),
        (HEADER + "SELEC", "Parser Error"),
        (HEADER + "DROP TABLE items", "Expected one statement that reads"),
        (HEADER + "SELECT split, image_id FROM items WHERE split::INTEGER = 1", "Could not convert string 'train'"),
        (
            HEADER.replace("-- severity", "-- slices: image_id\n-- severity") + "FROM items",
            "only checks of the package are",
        ),
        (b"\xff\xfe\x00", "UTF-16"),
    ],
)
def test_a_broken_check_is_told_once_and_the_others_run(odd: Registry, params: Path, sql: Any, message: str) -> None:
    path = params.parent / "checks" / "broken.sql"
    path.write_bytes(sql if isinstance(sql, bytes) else sql.encode())
    run = registry.check(odd, params=params)
    (broken,) = run.broken
    assert broken.name == "broken" and message in broken.problem
    assert (broken.count, broken.passed) == (None, False)
    assert [result.count for result in run if result.name in ("wide-box", "degenerate-box")] == [1, 4]
    with pytest.raises((duckdb.Error, QueryError, UsageError)):
        run.rows("broken").fetchall()


@pytest.mark.parametrize(
    ("header", "sql"),
    [
        (HEADER, "SELECT split, image_id FROM items; -- the end; of it"),
        (HEADER, "SELECT split, image_id FROM items;\n/* the end */\n"),
        (HEADER, "SELECT split, image_id FROM items WHERE split <> '; --';"),
        (HEADER, "SELECT split, image_id, 3 AS position, 4 AS value_0 FROM items"),
        (HEADER.replace("split, image_id", "split,image_id , split"), "SELECT split, image_id FROM items"),
        (HEADER, "SELECT split AS Split, image_id AS IMAGE_ID FROM items"),
        (HEADER + "-- needs: items,images\n", "SELECT split, image_id FROM items"),
    ],
    ids=["comment behind", "lines behind", "text as a comment", "names of ours", "key", "cases", "needs"],
)
def test_a_check_may_be_written_in_many_ways(odd: Registry, params: Path, header: str, sql: str) -> None:
    (params.parent / "checks" / "wide-box.sql").write_text(header + sql)
    accept(params, {"check": "wide-box", "key": {"split": "train", "image_id": 1}, "why": "seen"})
    run = registry.check(odd, params=params, only="wide-box")
    assert (run.broken, run[0].count, run[0].accepted) == ([], 2, 3)
    assert [row[:2] for row in run.rows("wide-box").fetchall()] == [("train", 2), ("train", 3)]


def test_a_check_with_the_name_of_another_does_not_take_its_place(odd: Registry, params: Path) -> None:
    path = params.parent / "checks" / "degenerate-box.sql"
    path.write_text(WIDE_BOX)
    run = registry.check(odd, params=params, severity="error")
    assert [result.problem for result in run.broken] == [
        f"{path}: there is another check degenerate-box. Give the file another name."
    ]
    assert run[0].to_dict()["count"] == 1


def test_a_file_with_its_suffix_in_upper_case_is_a_check(odd: Registry, params: Path) -> None:
    (params.parent / "checks" / "other.SQL").write_text(WIDE_BOX)
    assert registry.check(odd, params=params, only="other")[0].count == 4


def test_a_check_whose_table_is_empty_is_not_run(odd: Registry, params: Path) -> None:
    text = WIDE_BOX.replace("-- source", "-- needs: quarantine\n-- source")
    (params.parent / "checks" / "wide-box.sql").write_text(text)
    run = registry.check(odd, params=params, only="wide-box")
    assert run[0].to_dict() | {"limit": None} == {
        "check": "wide-box", "severity": "error", "count": None, "limit": None, "passed": None
    }  # fmt: skip
    assert run.notices == ["wide-box was not run, as the table quarantine is empty"]
    with pytest.raises(UsageError, match="cannot be run: the table quarantine is empty"):
        run.rows("wide-box")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("checks: 7", "expected 'limits:' and 'folders:', found 7"),
        ("checks: []", r"expected 'limits:' and 'folders:', found \[\]"),
        ("checks: {limits: []}", r"expected lines such as 'degenerate-box: 0', found \[\]"),
        ("checks: {folders: ''}", "expected a list such as"),
        ("[checks]", r"expected keys such as 'checks:', found \['checks'\]"),
        ("checks: {limit: {}}", "expected limits and folders, found limit"),
        ("checks: {limits: [1]}", "expected lines such as 'degenerate-box: 0'"),
        ("checks: {limits: {degenerate-box: -1}}", "degenerate-box: expected a number of rows, found -1"),
        ("checks: {limits: {degenerate-box: true}}", "degenerate-box: expected a number of rows, found True"),
        ("checks: {limits: {degenerate: 1}}", "Unknown check 'degenerate'"),
        ("checks: {folders: checks}", "expected a list such as"),
        ("checks: {folders: [nowhere]}", "There is no check in .*nowhere: expected a folder with files"),
    ],
)
def test_wrong_settings_are_refused(odd: Registry, params: Path, text: str, message: str) -> None:
    params.write_text(text)
    with pytest.raises(UsageError, match=message):
        registry.check(odd, params=params)


def test_a_parameter_file_without_checks_and_none_at_all_have_no_limits(odd: Registry, tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").write_text("checks:\n  limits:\n  folders:\n")
    for name in ("empty.yaml", "none.yaml"):
        run = registry.check(odd, params=tmp_path / name, severity="error")
        assert [result.limit for result in run] == [None] * len(run)


def test_another_package_adds_the_checks_of_its_folder(
    odd: Registry, params: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = {"more": "tests.checks.conftest:WIDE_BOX"}

    def entry_points(group: str) -> Iterable[EntryPoint]:
        return [EntryPoint(name, value, group) for name, value in points.items() if group == find.ENTRY_POINTS]

    monkeypatch.setattr(find, "entry_points", entry_points)
    monkeypatch.setattr("tests.checks.conftest.WIDE_BOX", params.parent / "checks")
    assert registry.check(odd, only="wide-box")[0].count == 4
    points["more"] = "tests.checks.conftest:nothing"
    with pytest.raises(UsageError, match=r"The checks more .* cannot be loaded"):
        registry.check(odd)
    points["more"] = "tests.checks.conftest:registry"
    with pytest.raises(UsageError, match="expected the path of a folder with SQL files, found module"):
        registry.check(odd)


def test_the_schema_of_accepted_exceptions_knows_every_check_and_its_key() -> None:
    schema = accepted_schema()
    named = [rule["if"]["properties"]["check"]["const"] for rule in schema["allOf"]]
    assert named == list(load_checks())
    assert schema["required"] == ["check", "key", "why"]


def test_values_that_are_not_known_are_told_with_the_checks_that_read_them(tmp_path: Path) -> None:
    ids = [{"id": 1, "image_id": 1, "category_id": 9, "bbox": [0, 0, 9, 9], "segmentation": [[0, 0, 9, 0, 9, 9]]}]
    document = {"images": [{"id": 1, "file_name": "000001.jpg", "width": 20, "height": 20}], "annotations": ids}
    document["categories"] = [{"id": 9, "name": "skirt"}]
    (tmp_path / "coco.json").write_text(json.dumps(document))
    ingest("train", str(tmp_path / "coco.json"), str(tmp_path / "registry"), jobs=1)
    run = registry.check(registry.open(str(tmp_path / "registry")), only=["scale-mismatch", "orphan-identity"])
    assert run.notices == [
        "1 item of train has no source: orphan-identity sees nothing odd in it",
        "1 item of train has no pair_id: orphan-identity sees nothing odd in it",
        "1 item of train has no style: orphan-identity sees nothing odd in it",
        "1 item of train has no scale: scale-mismatch sees nothing odd in it",
    ]


def test_junit_has_a_case_a_check(odd: Registry, params: Path) -> None:
    (params.parent / "checks" / "broken.sql").write_text("SELECT 1")
    run = registry.check(odd, params=params, only=["degenerate-box", "wide-box", "broken"])
    lines = junit_text(run).splitlines()
    assert lines[1] == '<testsuite name="df2 check" tests="3" failures="1" errors="1" skipped="0">'
    assert '    <failure message="1 row, at most 0 allowed" />' in lines
    assert "    <system-out>4 rows, at most 10 allowed</system-out>" in lines


def test_junit_is_sound_xml_whatever_a_message_says(odd: Registry, params: Path) -> None:
    sql = "SELECT split, image_id FROM items WHERE error('<&' || chr(65535)) IS NULL"
    (params.parent / "checks" / "broken.sql").write_text(HEADER + sql)
    (params.parent / "checks" / "odd\x1bname.sql").write_text("")
    run = registry.check(odd, params=params)
    broken = [case for case in ElementTree.fromstring(junit_text(run)) if case.find("error") is not None]
    assert [case.get("name") for case in broken] == ["broken", "odd\ufffdname"]
    assert "<&\ufffd" in str(broken[0][0].get("message"))


def test_a_notebook_shows_a_run_as_a_table(odd: Registry) -> None:
    assert "<td>degenerate-box</td>" in registry.check(odd, only="degenerate-box")._repr_html_()
