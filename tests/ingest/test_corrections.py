"""Corrections applied at ingestion: the same registry as that of edited annotation files."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

import registry
from registry.cli.main import main
from registry.dataset.tables import IMAGES, ITEMS
from registry.errors import SourceError
from registry.ingest.build import IngestError, ingest
from registry.ingest.fingerprint import fingerprint_source
from registry.snapshot.manifest import read_manifest
from registry.storage.place import Place
from tests.helpers import SMALL_SPLIT, annotation, annotations, item, items, landmarks, notices_of, write_split
from tests.ingest.correcting import line, write_corrections

FIELDS = (
    "segmentation, scale, viewpoint, zoom_in, landmarks, style, bounding_box, occlusion, category, source, pair_id, "
    "add, remove"
)


def rows(place: Path) -> list[Any]:
    """Return all rows of images and items, all columns but the number of corrections."""
    tables = []
    for table in (IMAGES, ITEMS):
        names = [column.name for column in table.columns if column.name != "num_corrections"]
        files = [file for file in read_manifest(Place(str(place))).files if file.table == table.name]
        rows = []
        for file in files:
            of_path = dict(part.split("=") for part in file.path.split("/") if "=" in part)  # the same for all its rows
            rows += [of_path | row for row in pq.read_table(place / file.path, partitioning=None).to_pylist()]
        rows.sort(key=lambda row: tuple(row[name] for name in table.key))
        tables.append([[row[name] for name in names] for row in rows])
    return tables


def run(tmp_path: Path, lines: list[Any], documents: Any = SMALL_SPLIT, **options: Any) -> Any:
    """Ingest documents with corrections into ``tmp_path / "corrected"``; return the report."""
    source = write_split(tmp_path / "source" / "train", documents)
    folder = write_corrections(tmp_path / "corrections", lines)
    options = {"jobs": 1, **options}
    return ingest("train", str(source), str(tmp_path / "corrected"), corrections=str(folder), **options)


def issues_of(tmp_path: Path, lines: list[Any], **options: Any) -> list[str]:
    """Return the issues of an ingestion that refuses its corrections."""
    with pytest.raises(IngestError) as error:
        run(tmp_path, lines, **options)
    assert not (tmp_path / "corrected" / "manifest.json").exists()
    prefix = f"{tmp_path / 'corrections'}/"
    return [str(issue).replace(prefix, "") for issue in error.value.report.issues]


def edited(tmp_path: Path, documents: dict[Any, Any]) -> list[Any]:
    """Return the rows of a registry of edited annotation files."""
    source = write_split(tmp_path / "edited" / "train", documents)
    ingest("train", str(source), str(tmp_path / "from_edited"), jobs=1)
    return rows(tmp_path / "from_edited")


def test_every_field_is_corrected_as_in_an_edited_file(tmp_path: Path) -> None:
    old = SMALL_SPLIT[1]["item1"]
    new = {
        "style": 9, "scale": 3, "occlusion": 2, "zoom_in": 3, "viewpoint": 1, "bounding_box": [1, 2.5, 30, -0.0],
        "landmarks": landmarks(8, 1), "segmentation": [[1, 2, 3, 4, 5, 6.5], [0, 0, 1, 1, 2, 2, 3, 3]],
    }  # fmt: skip
    lines = [line(1, 1, name, old[name], value) for name, value in new.items()]
    lines += [line(1, 1, "category", "short sleeve top", "trousers")]
    lines += [line(1, None, "source", "user", "shop"), line(1, None, "pair_id", 1, 7)]
    report = run(tmp_path, lines)
    assert (report.images, report.items, report.corrections) == (5, 8, 11)
    documents = copy.deepcopy(SMALL_SPLIT)
    documents[1]["item1"] = {**old, **new, "category_id": 8, "category_name": "trousers"}
    documents[1] |= {"source": "shop", "pair_id": 7}
    assert rows(tmp_path / "corrected") == edited(tmp_path, documents)
    counts = (
        "SELECT image_id, item_no, num_corrections FROM items ORDER BY num_corrections DESC, image_id, item_no LIMIT 3"
    )
    assert registry.open(str(tmp_path / "corrected")).sql(counts).fetchall() == [(1, 1, 11), (1, 2, 2), (2, 2, 0)]


def test_items_are_added_and_removed_as_in_an_edited_file(tmp_path: Path) -> None:
    documents = copy.deepcopy(SMALL_SPLIT)
    lines = [line(2, 9, "add", None, item(4, 3)), line(2, 7, "add", None, item(5)), line(2, 2, "remove", item(9, 1))]
    run(tmp_path, lines)
    documents[2] = {"source": "user", "pair_id": 1, "item5": item(2, 0), "item7": item(5), "item9": item(4, 3)}
    assert rows(tmp_path / "corrected") == edited(tmp_path, documents)


@st.composite
def corrected_documents(draw: st.DrawFn) -> tuple[dict[int, Any], dict[int, Any], list[Any]]:
    """Draw documents, their edited form, and the corrections that lead from the first to the second."""
    documents = draw(st.dictionaries(st.integers(0, 999), annotations(), min_size=1, max_size=8))
    result, lines = {}, []
    for image_id, document in documents.items():
        changed = dict(document)
        for name, values in (("source", ["user", "shop"]), ("pair_id", [0, 5])):
            value = draw(st.sampled_from([document[name], *values]))
            if value != document[name]:
                lines.append(line(image_id, None, name, document[name], value))
                changed[name] = value
        keys = [key for key in document if key.startswith("item")]
        for key in keys:
            number, old = int(key[4:]), document[key]
            what = draw(st.sampled_from(["keep", "change", "remove"]))
            if what == "remove" and sum(name.startswith("item") for name in changed) > 1:
                lines.append(line(image_id, number, "remove", old))
                del changed[key]
            elif what == "change":
                new = draw(items())
                names = draw(
                    st.sets(st.sampled_from([name for name in new if name[:8] not in ("category", "landmark")]))
                )
                if draw(st.booleans()) and new["category_id"] != old["category_id"]:
                    lines.append(line(image_id, number, "category", old["category_name"], new["category_name"]))
                    names |= {"category_id", "category_name", "landmarks"}
                edit = {name: new[name] for name in names if new[name] != old[name]}
                lines += [
                    line(image_id, number, name, old[name], value)
                    for name, value in edit.items()
                    if not name.startswith("category")
                ]
                changed[key] = {**old, **edit}
        for number in sorted(draw(st.sets(st.integers(1, 2**15 - 1), max_size=2))):
            if f"item{number}" not in document:
                changed[f"item{number}"] = draw(items())
                lines.append(line(image_id, number, "add", None, changed[f"item{number}"]))
        result[image_id] = changed
    return documents, result, draw(st.permutations(lines))


@settings(max_examples=20)
@given(drawn=corrected_documents())
def test_any_corrections_give_the_registry_of_edited_files_whatever_their_order(
    drawn: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    documents, result, lines = drawn
    tmp_path = tmp_path_factory.mktemp("corrected")
    report = run(tmp_path, lines, documents)
    assert (report.corrections, notices_of(report)) == (len(lines), [])
    assert rows(tmp_path / "corrected") == edited(tmp_path, result)


def test_the_table_says_what_was_applied(tmp_path: Path) -> None:
    lines = [
        line(1, 1, "style", 1, 2, date="2026-11-28"),
        '{"split": "validation", "image_id": "bad", "field": 3}',
        "",
        line(3, None, "source", "shop", "user", why="a café"),
    ]
    run(tmp_path, lines)
    df2 = registry.open(str(tmp_path / "corrected"))
    assert df2.sql("SELECT * FROM corrections ORDER BY line_no").fetchall() == [
        ("train", "train.jsonl", 1, 1, 1, "style", "1", "2", "Ann", "seen in the photo", "2026-11-28"),
        ("train", "train.jsonl", 4, 3, None, "source", '"shop"', '"user"', "Ann", "a café", None),
    ]


@pytest.mark.parametrize(
    "keys",
    [
        '"old": 1, "new": 2, "old": 1',
        '"old": 1, "new": 2, "why": "b"',
        '"item_no": 1, "old": 1, "new": 2',
        '"new": 2, "n\\u0065w": 3, "old": 1',
    ],
)
def test_a_repeated_key_is_refused(tmp_path: Path, keys: str) -> None:
    text = '{"split": "train", "image_id": 1, "item_no": 1, "field": "style", "who": "A", "why": "a", ' + keys + "}"
    (issue,) = issues_of(tmp_path, [text])
    assert issue.endswith("the key stands more than once; expected it once")


def test_half_a_surrogate_pair_and_a_blank_reason_are_refused(tmp_path: Path) -> None:
    line = {"split": "train", "image_id": 1, "item_no": 1, "field": "style", "old": 1, "new": 9, "who": "Ann"}
    assert issues_of(tmp_path, [line | {"why": "\ud800"}, line | {"why": " "}]) == [
        r"train.jsonl > line 1: expected texts that can be written in UTF-8, found half a surrogate pair "
        r"such as \ud800",
        'train.jsonl > line 2 > why: expected a text, found " "',
    ]


def test_quotes_in_a_text_are_no_repeated_key(tmp_path: Path) -> None:
    assert run(tmp_path, [line(1, 1, "style", 1, 2, who='A "B" C', why='"')]).corrections == 1


def test_several_processes_give_the_same_bytes(tmp_path: Path) -> None:
    documents: dict[int | str, Any] = {k: annotation([item(1 + k % 13)]) for k in range(1, 1200)}
    lines = [line(k, 1, "style", 1, 2) for k in range(1, 1200, 3)]
    for name, jobs in (("a", 1), ("b", 2)):
        (tmp_path / name).mkdir()
        run(tmp_path / name, lines, documents, jobs=jobs)
    manifests = [(tmp_path / name / "corrected" / "manifest.json").read_bytes() for name in "ab"]
    assert manifests[0] == manifests[1]


def test_every_bad_line_is_named_with_all_others_and_nothing_is_ingested(tmp_path: Path) -> None:
    issues = issues_of(
        tmp_path,
        [
            line(1, 1, "style", 2, 3),
            line(1, 9, "style", 1, 3),
            line(99, 1, "style", 1, 3),
            line(1, 1, "colour", 1, 3),
            line(1, 1, "category_id", 1, 3),
            line(2, 2, "scale", 2, 4),
            line(2, 2, "viewpoint", 2, 2),
            line(3, 1, "category", "short sleeve top", "skirt"),
            line(3, None, "style", 1, 2),
            line(3, 1, "pair_id", 1, 2),
            line(4, 1, "bounding_box", [10, 20, 110, 220], [1, 2, 3]),
            line(4, 1, "landmarks", [1], [1, 2, 3]),
            line(7, 1, "remove", item(13, 3, bounding_box=[0, 0, 0, 0], landmarks=landmarks(13, 0))),
            line(1, 2, "add", None, item()),
            line(4, 2, "add", item(), {**item(), "scale": 7}),
            line(4, 2, "remove"),
            line(1, 1, "zoom_in", 1, 2, who="", date="today"),
            line(1, 1, "style", 1, 4),
            '{"split": "train", "split": "train"}',
            "{",
            line(-1, 1, "occlusion", 1, 2, split="val"),
            line(4, 2, "occlusion", 1, 2),
        ],
    )
    assert [issue.removeprefix("train.jsonl > ") for issue in issues] == [
        "line 1 > old: expected the value in the annotation file, 1, found 2",
        "line 10 > item_no: expected none, since the field is one of the image, found 1",
        "line 11 > new: expected 4 numbers (x1, y1, x2, y2), found 3",
        "line 12 > new > 2: expected v 0, 1 or 2, found 3",
        "line 12 > old: expected three numbers for each landmark, found 1",
        "line 13: removes the last item of image 7; expected one to stay, since a file has at least one item",
        "line 14 > item_no: image 1 has an item 2 already",
        "line 15 > new > scale: expected an integer from 1 to 3, found 7",
        "line 15 > old: expected none for add",
        "line 16 > old: missing; expected the whole item",
        'line 17 > date: expected a date such as 2026-11-28, found "today"',
        'line 17 > who: expected a text, found ""',
        "line 18 > field: style of item 1 of image 1 is corrected in train.jsonl, line 1 too",
        f"line 19 > field: expected one of {FIELDS}, found none",
        "line 19 > image_id: missing; expected an integer from 0 to 2147483647",
        "line 19 > split: the key stands more than once; expected it once",
        "line 19 > who: expected a text, found none",
        "line 19 > why: expected a text, found none",
        "line 2 > item_no: image 1 has no item 9; it has 1, 2",
        "line 20: expected valid JSON: Expecting property name enclosed in double quotes (character 1 of 1)",
        "line 21 > image_id: expected an integer from 0 to 2147483647, found -1",
        'line 21 > split: expected one of train, validation, test, found "val"',
        "line 3 > image_id: train has no image 99 with an annotation in this source",
        f'line 4 > field: expected one of {FIELDS}, found "colour"',
        f'line 5 > field: expected one of {FIELDS} (category stands for both), found "category_id"',
        "line 6 > new: expected an integer from 1 to 3, found 4",
        "line 7 > new: is the same as old; expected another value",
        "line 8 > new: the category changes and the landmarks stay: expected 24 numbers for category 9 (skirt), found 75; correct the field landmarks too",  # noqa: E501
        "line 9 > item_no: expected the number of the item, such as 2, found null",
    ]


def test_a_line_about_an_item_that_another_line_adds_or_removes_is_refused(tmp_path: Path) -> None:
    lines = [line(1, 3, "add", None, item(4)), line(1, 3, "style", 1, 2)]
    lines += [line(2, 2, "remove", item(9, 1)), line(2, 2, "scale", 2, 1)]
    assert issues_of(tmp_path, lines) == [
        "train.jsonl > line 2 > field: train.jsonl, line 1 adds item 3 of image 1; expected no other line about it",
        "train.jsonl > line 4 > field: train.jsonl, line 3 removes item 2 of image 2; expected no other line about it",
    ]


def test_bad_lines_are_refused_in_quarantine_mode_too_with_bad_files_beside_them(tmp_path: Path) -> None:
    documents: dict[int | str, Any] = {**SMALL_SPLIT, 5: b"{}"}
    issues = issues_of(tmp_path, [line(1, 1, "style", 8, 9)], documents=documents, on_error="quarantine")
    assert issues[0] == "train.jsonl > line 1 > old: expected the value in the annotation file, 1, found 8"
    assert {issue.split(":")[0].split(" > ")[0] for issue in issues[1:]} == {"train/annos/000005.json"}


def test_corrections_of_a_file_in_quarantine_are_not_applied_and_told(tmp_path: Path) -> None:
    documents: dict[int | str, Any] = {**SMALL_SPLIT, 5: b"{}"}
    lines = [line(1, 1, "style", 1, 9), line(5, 1, "style", 1, 9)]
    report = run(tmp_path, lines, documents, on_error="quarantine")
    assert report.corrections == 1
    assert notices_of(report) == [
        "train: 1 correction was not applied, because the annotations of their images are bad"
    ]


def test_the_test_split_has_no_annotation_to_correct(tmp_path: Path) -> None:
    from tests.helpers import jpeg

    source = write_split(tmp_path / "test", {}, {1: jpeg()})
    folder = write_corrections(tmp_path / "corrections", [line(1, 1, "style", 1, 9, split="test")])
    with pytest.raises(IngestError, match="test has no image 1 with an annotation in this source"):
        ingest("test", str(source), str(tmp_path / "r"), corrections=str(folder), jobs=1)


def test_a_missing_folder_is_refused_and_a_foreign_file_told(tmp_path: Path, small_source: Path) -> None:
    with pytest.raises(SourceError, match=r"There is no folder .*none: expected a folder of corrections"):
        ingest("train", str(small_source), str(tmp_path / "r"), corrections=str(tmp_path / "none"))
    folder = write_corrections(tmp_path / "corrections", [], "README.md")
    write_corrections(folder, [], "more.json")
    report = ingest("train", str(small_source), str(tmp_path / "r"), corrections=str(folder), jobs=1)
    assert notices_of(report) == [
        f"{folder}/more.json holds no corrections, as its name does not end in .jsonl; it was not read"
    ]


def test_the_raw_fingerprint_in_the_manifest_is_that_of_the_raw_files(tmp_path: Path, small_registry: Path) -> None:
    run(tmp_path, [line(1, 1, "style", 1, 9)])
    sources = [registry.open(str(place)).manifest.sources for place in (small_registry, tmp_path / "corrected")]
    assert sources[0] == sources[1]


def test_the_fingerprint_changes_with_the_corrections_of_its_split_alone(tmp_path: Path) -> None:
    source = write_split(tmp_path / "train", SMALL_SPLIT)
    folder = write_corrections(tmp_path / "corrections", [line(1, 1, "style", 1, 9)])
    output = tmp_path / "fingerprint.json"

    def fingerprint() -> str:
        text = fingerprint_source(str(source), "train", corrections=str(folder), output=output)
        assert output.read_text() == text
        return text

    first = fingerprint()
    assert json.loads(first)["corrections"]["lines"] == 1
    without = {key: value for key, value in json.loads(first).items() if key != "corrections"}
    assert without == json.loads(fingerprint_source(str(source), "train"))
    write_corrections(folder, [line(1, 1, "style", 1, 9, split="validation")], "validation.jsonl")
    assert fingerprint() == first
    write_corrections(folder, ["{"], "validation.jsonl")
    assert fingerprint() != first, "a line without a split is an issue of every split"
    write_corrections(folder, [], "validation.jsonl")
    assert fingerprint() == first
    write_corrections(folder, [line(1, 1, "style", 1, 8)])
    assert fingerprint() != first


def test_the_difference_shows_corrected_values(tmp_path: Path, small_registry: Path) -> None:
    run(tmp_path, [line(1, 1, "style", 1, 9), line(3, None, "pair_id", 1, 2)])
    arguments = ["diff", str(small_registry), str(tmp_path / "corrected"), "--rows"]
    changes = json.loads(CliRunner().invoke(main, arguments).stdout)
    assert [(row["image_id"], row["item_no"], row["old"], row["new"]) for row in changes] == [
        (1, 1, {"style": 1}, {"style": 9}),
        (3, 1, {"pair_id": 1}, {"pair_id": 2}),
    ]


def test_an_ingestion_without_corrections_tells_that_they_are_gone(tmp_path: Path) -> None:
    run(tmp_path, [line(1, 1, "style", 1, 9), line(3, None, "pair_id", 1, 2)])
    source = str(tmp_path / "source" / "train")
    notice = "train: the registry had 2 corrections, and has none now; --corrections DIR applies them again"
    assert notice in ingest("train", source, str(tmp_path / "corrected"), jobs=1).notices
    assert notice not in ingest("train", source, str(tmp_path / "corrected"), jobs=1).notices


def test_the_command_counts_corrections(tmp_path: Path, small_source: Path) -> None:
    folder = write_corrections(tmp_path / "corrections", [line(1, 1, "style", 1, 9)])
    arguments = ["ingest", str(small_source), str(tmp_path / "r"), "--split", "train", "-j", "1", "--no-image-sizes"]
    arguments += ["--issues", str(tmp_path / "issues.txt"), "--corrections", str(folder)]
    done = CliRunner().invoke(main, arguments)
    assert (done.exit_code, done.stdout) == (0, "train: 5 images, 8 items, 1 correction.\n")


def test_a_coco_file_is_corrected_too_where_it_has_no_value_as_well(tmp_path: Path) -> None:
    document = {
        "images": [{"id": k, "file_name": f"{k:06d}.jpg", "width": 300, "height": 300} for k in (1, 2)],
        "annotations": [
            {"id": k, "image_id": k, "category_id": 1, "bbox": [10, 20, 30, 40], "iscrowd": 0, "segmentation": []}
            for k in (1, 2)
        ],
        "categories": [{"id": 1, "name": "skirt"}],
    }
    (tmp_path / "coco.json").write_text(json.dumps(document))
    whole = {**item(9), "style": None, "landmarks": None, "segmentation": [], "bounding_box": [10, 20, 40, 60]}
    whole |= dict.fromkeys(("scale", "occlusion", "zoom_in", "viewpoint"))
    lines = [
        line(1, 1, "style", None, 4),
        line(1, 1, "landmarks", None, landmarks(9)),
        line(1, 1, "bounding_box", [10, 20, 40, 60], [11, 20, 40, 60]),
        line(1, None, "source", None, "shop"),
        line(2, 1, "remove", whole),
        line(2, 2, "add", None, item(4, 3)),
    ]
    folder = write_corrections(tmp_path / "corrections", lines)
    place = str(tmp_path / "r")
    report = ingest("train", str(tmp_path / "coco.json"), place, corrections=str(folder), jobs=1)
    assert (report.items, report.corrections) == (2, 6)
    query = "SELECT image_id, item_no, source, style, x1, num_landmarks_labelled, scale, num_corrections FROM items"
    assert registry.open(place).sql(f"{query} ORDER BY image_id").fetchall() == [
        (1, 1, "shop", 4, 11.0, 8, None, 4),
        (2, 2, None, 3, 10.0, 39, 2, 1),
    ]
    with pytest.raises(IngestError, match="line 1 > old: expected the value in the annotation file, null, found 3"):
        write_corrections(folder, [line(1, 1, "style", 3, 4)])
        ingest("train", str(tmp_path / "coco.json"), place, corrections=str(folder), jobs=1)


def test_the_fingerprint_of_a_coco_file_changes_with_its_corrections(tmp_path: Path) -> None:
    (tmp_path / "coco.json").write_text(json.dumps({"images": [], "annotations": [], "categories": []}))
    folder = write_corrections(tmp_path / "corrections", [])
    source, output = str(tmp_path / "coco.json"), tmp_path / "fingerprint.json"
    first = fingerprint_source(source, "train", corrections=str(folder), output=output)
    write_corrections(folder, [line(1, 1, "style", None, 4)])
    second = fingerprint_source(source, "train", corrections=str(folder), output=output)
    assert first != second == output.read_text()
    assert json.loads(second)["corrections"]["lines"] == 1
