"""``df2 correct`` writes lines that the next ingestion applies."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import registry
from registry.cli.main import main
from registry.ingest.build import ingest
from tests.helpers import item, landmarks, write_split
from tests.ingest.correcting import line, write_corrections

Run = Callable[..., Result]


@pytest.fixture
def run(small_registry: Path, tmp_path: Path) -> Run:
    """Return a function that runs ``df2 correct`` on train of a small registry."""
    folder = tmp_path / "corrections"

    def correct(*words: str, code: int = 0, why: str = "seen") -> Result:
        arguments = ["-r", str(small_registry), "correct", "train", *words, "--why", why, "--who", "Ann"]
        done = CliRunner().invoke(main, [*arguments, "--corrections", str(folder)])
        assert done.exit_code == code, done.output
        return done

    return correct


def lines_of(tmp_path: Path) -> list[dict[str, Any]]:
    """Return the lines of train, without their date, which is that of today."""
    lines = [json.loads(text) for text in (tmp_path / "corrections" / "train.jsonl").read_text().splitlines()]
    return [{key: value for key, value in values.items() if key != "date"} for values in lines]


def reingest(tmp_path: Path) -> Any:
    """Ingest train anew with the corrections; return the open registry."""
    folder = str(tmp_path / "corrections")
    ingest("train", str(tmp_path / "train"), str(tmp_path / "registry"), corrections=folder, jobs=1)
    return registry.open(str(tmp_path / "registry"))


def test_a_line_has_the_old_value_of_the_registry_and_is_applied(run: Run, tmp_path: Path) -> None:
    done = run("000001.jpg", "1", "style=7", "occlusion=heavy", "bounding_box=1,2,3,4.5")
    today = datetime.date.today().isoformat()
    assert [json.loads(text) for text in done.stdout.splitlines()] == [
        {"split": "train", "image_id": 1, "item_no": 1, "field": name, "old": old, "new": new, "who": "Ann",
         "why": "seen", "date": today}
        for name, old, new in (
            ("style", 1, 7), ("bounding_box", [10, 20, 110, 220], [1, 2, 3, 4.5]), ("occlusion", 1, 3),
        )
    ]  # fmt: skip
    assert (tmp_path / "corrections" / "train.jsonl").read_text() == done.stdout
    query = "SELECT style, occlusion, y2, num_corrections FROM items WHERE image_id = 1 AND item_no = 1"
    assert reingest(tmp_path).sql(query).fetchall() == [(7, 3, 4.5, 3)]


def test_a_second_correction_replaces_the_line_and_keeps_the_value_of_the_annotation_file(
    run: Run, tmp_path: Path
) -> None:
    run("1", "1", "style=7")
    reingest(tmp_path)
    run("2", "2", "style=8")
    done = run("1", "1", "style=9", why="again")
    assert done.stderr == f"{tmp_path}/corrections/train.jsonl, line 1 was replaced.\n"
    expected = [(1, 1, "style", 1, 9, "again"), (2, 2, "style", 1, 8, "seen")]
    keys = ("image_id", "item_no", "field", "old", "new", "why")
    assert [tuple(values[key] for key in keys) for values in lines_of(tmp_path)] == expected
    assert reingest(tmp_path).sql("SELECT max(style) FROM items").fetchall() == [(9,)]
    assert run("1", "1", "style=1").stderr == f"{tmp_path}/corrections/train.jsonl, line 1 was removed.\n"
    assert len(lines_of(tmp_path)) == 1


def test_without_its_line_a_correction_in_the_registry_still_gives_the_value_of_the_annotation_file(
    run: Run, tmp_path: Path
) -> None:
    run("1", "1", "style=7")
    reingest(tmp_path)
    (tmp_path / "corrections" / "train.jsonl").unlink()
    run("1", "1", "style=9")
    assert [(values["old"], values["new"]) for values in lines_of(tmp_path)] == [(1, 9)]


def test_items_are_added_changed_and_removed(run: Run, tmp_path: Path) -> None:
    run("1", "3", f"add={json.dumps(item(4, 3))}")
    run("2", "5", "style=4")
    run("2", "5", "remove")
    done = CliRunner().invoke(main, ["-r", str(tmp_path / "registry"), "image", "train", "1"])
    assert done.exit_code == 0
    opened = reingest(tmp_path)
    assert opened.sql("SELECT image_id, item_no FROM items WHERE image_id < 3 ORDER BY ALL").fetchall() == [
        (1, 1), (1, 2), (1, 3), (2, 2),
    ]  # fmt: skip
    run("1", "3", "style=9")
    run("1", "source=shop", "pair_id=4")
    assert [(v["field"], v.get("item_no")) for v in lines_of(tmp_path)] == [
        ("add", 3), ("remove", 5), ("source", None), ("pair_id", None),
    ]  # fmt: skip
    query = "SELECT style, source, pair_id FROM items WHERE image_id = 1 AND item_no = 3"
    assert reingest(tmp_path).sql(query).fetchall() == [(9, "shop", 4)]


def test_another_category_takes_other_landmarks(run: Run, tmp_path: Path) -> None:
    problem = "expected 24 numbers for category 9 (skirt), found 75"
    assert problem in run("1", "1", "category=skirt", code=2).stderr
    run("1", "1", "category=9", "landmarks=none")
    query = "SELECT category_name, landmarks FROM items WHERE image_id = 1 AND item_no = 1"
    assert reingest(tmp_path).sql(query).fetchall() == [("skirt", landmarks(9, 0))]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("1", "1", "style=1"), 2, "Nothing changes: image 1 of train has these values already."),
        (("1", "1", "style=-1", "scale=9"), 2, "Nothing was written: 2 problems:\n  image 1 > item1 > scale"),
        (("1", "1", "colour=red"), 2, "Expected FIELD=VALUE with one of the fields"),
        (("1", "style=2"), 2, "style: expected ITEM before it"),
        (("1", "1", "source=shop"), 2, "source: expected no ITEM, since it is a field of the image"),
        (("1", "9", "style=2"), 1, "Image 1 of train has no item 9; its items are 1, 2."),
        (("1", "3", "add={}"), 2, "image 1 > item3 > category_id: missing"),
        (("1", "3", "add=5"), 2, "image 1 > item3: expected an object, found a number"),
        (("1", "1", "add={}"), 1, "Image 1 of train has an item 1; its items are 1, 2."),
        (("1", "1", "style=2", "style=3"), 2, "style: expected each field once"),
        (("3", "1", "remove"), 2, "image 3: its last item would be removed"),
        (("99", "1", "style=2"), 1, "train has no image 99"),
        (("1", "2"), 2, "Expected FIELD=VALUE after the number of the item"),
    ],
)
def test_what_cannot_be_corrected_is_refused(run: Run, tmp_path: Path, words: Any, code: int, message: str) -> None:
    assert message in run(*words, code=code).stderr
    assert not (tmp_path / "corrections" / "train.jsonl").exists()


def test_bad_lines_in_the_folder_are_to_be_mended_first(run: Run, tmp_path: Path) -> None:
    write_corrections(tmp_path / "corrections", ["{"])
    assert "holds lines to mend first: 1 issue:" in run("1", "1", "style=2", code=3).stderr
    assert (tmp_path / "corrections" / "train.jsonl").read_text() == "{\n"


def test_a_line_of_another_file_is_replaced_where_it_stands(run: Run, tmp_path: Path) -> None:
    write_corrections(tmp_path / "corrections", [line(2, 2, "scale", 2, 1), line(1, 1, "style", 1, 5)], "ann.jsonl")
    run("1", "1", "style=2")
    texts = (tmp_path / "corrections" / "ann.jsonl").read_text().splitlines()
    assert [json.loads(text)["new"] for text in texts] == [1, 2]
    assert not (tmp_path / "corrections" / "train.jsonl").exists()


def test_the_author_is_that_of_git(small_registry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "gitconfig"
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", "/dev/null")
    monkeypatch.chdir(tmp_path)
    arguments = ["-r", str(small_registry), "correct", "train", "1", "1", "style=2", "--why", "seen"]
    done = CliRunner().invoke(main, arguments)
    assert (done.exit_code, "give --who NAME" in done.stderr) == (2, True)
    config.write_text("[user]\nname = Zoé\n")
    assert CliRunner().invoke(main, arguments).exit_code == 0
    assert lines_of(tmp_path)[0]["who"] == "Zoé"


def test_an_image_without_annotation_has_nothing_to_correct(tmp_path: Path) -> None:
    from tests.helpers import jpeg

    write_split(tmp_path / "test", {}, {1: jpeg()})
    ingest("test", str(tmp_path / "test"), str(tmp_path / "r"), jobs=1)
    arguments = ["-r", str(tmp_path / "r"), "correct", "test", "1", "1", "style=2", "--why", "x", "--who", "A"]
    done = CliRunner().invoke(main, arguments)
    assert (done.exit_code, "Image 1 of test has no annotation to correct." in done.stderr) == (1, True)


def test_values_that_a_coco_file_does_not_tell_are_corrected_too(tmp_path: Path) -> None:
    document = {
        "images": [{"id": 1, "file_name": "000001.jpg", "width": 300, "height": 300}],
        "annotations": [
            {"id": k, "image_id": 1, "category_id": 1, "bbox": [k, 20, 30, 40], "segmentation": []} for k in (1, 2)
        ],
        "categories": [{"id": 1, "name": "skirt"}],
    }
    (tmp_path / "coco.json").write_text(json.dumps(document))
    place, folder = str(tmp_path / "r"), str(tmp_path / "corrections")
    ingest("train", str(tmp_path / "coco.json"), place, jobs=1)
    for words in (("1", "1", "style=3", "landmarks=none"), ("1", "2", "remove"), ("1", "source=shop")):
        arguments = ["-r", place, "correct", "train", *words, "--why", "seen", "--who", "Ann", "--corrections", folder]
        done = CliRunner().invoke(main, arguments)
        assert done.exit_code == 0, done.output
    ingest("train", str(tmp_path / "coco.json"), place, corrections=folder, jobs=1)
    query = "SELECT item_no, style, scale, source, landmarks FROM items"
    assert registry.open(place).sql(query).fetchall() == [(1, 3, None, "shop", landmarks(9, 0))]


def test_an_infinite_number_is_refused_with_the_other_problems(run: Run, tmp_path: Path) -> None:
    done = run("1", "1", "bounding_box=1,2,3,1e999", code=2)
    assert "infinite" in done.stderr
    assert not (tmp_path / "corrections").exists()
