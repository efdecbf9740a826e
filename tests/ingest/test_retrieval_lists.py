"""Query and gallery lists in all their forms, and every contradiction to the annotations."""

# ruff: noqa: E501 - a contradiction and its notice are on the same line

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path
from typing import Any

import fsspec
import pytest

import registry
from registry.errors import AnnotationError, SourceError
from registry.ingest.build import ingest
from registry.ingest.fingerprint import fingerprint_source
from registry.ingest.retrieval_lists import read_retrieval
from tests.helpers import SMALL_SPLIT, annotation, item, jpeg, notices_of, to_bytes, write_split

BOX = [10, 20, 110, 220]


def query(image_id: int, style: int, cls: int, **changes: Any) -> dict[str, Any]:
    return {"query_image_id": image_id, "bbox": BOX, "cls": cls, "style": style, "pair_id": 1} | changes


def gallery(image_id: int, style: int, **changes: Any) -> dict[str, Any]:
    return {"gallery_image_id": image_id, "bbox": BOX, "style": style, "pair_id": 1} | changes


#: Entries that match the annotations of SMALL_SPLIT.
QUERIES = [query(1, 1, 1), query(1, 2, 8), query(2, 1, 9), query(7, 3, 13, pair_id=2, bbox=[0, 0, 0, 0])]
GALLERY = [gallery(3, 1), gallery(4, 2), gallery(4, 1)]


@pytest.fixture
def validation(tmp_path: Path) -> Path:
    return write_split(tmp_path / "validation", SMALL_SPLIT)


def lists(folder: Path, **files: Any) -> Path:
    """Write list files; ``val_query=...`` becomes ``val_query.json``, ``query_txt=...`` becomes ``query.txt``."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        full = f"{name.removesuffix('_txt')}.txt" if name.endswith("_txt") else f"{name}.json"
        (folder / full).write_bytes(to_bytes(content))
    return folder


def notices(source: Path, *paths: Path, split: str = "validation") -> list[str]:
    report = ingest(split, str(source), str(source.parent / "r"), retrieval=[str(path) for path in paths])
    assert report.bad_files == []
    return notices_of(report)


def test_lists_that_agree_give_no_notice_and_a_row_for_every_entry(validation: Path, tmp_path: Path) -> None:
    assert notices(validation, lists(tmp_path / "l", val_query=QUERIES, val_gallery=GALLERY)) == []
    df2 = registry.open(str(tmp_path / "r"))
    columns = "list_file, entry_no, role, image_id, x1, y1, x2, y2, category_id, style, pair_id"
    rows = df2.sql(f"SELECT {columns} FROM retrieval_lists WHERE split = 'validation' ORDER BY ALL").fetchall()
    assert rows == [
        ("val_gallery.json", 1, "gallery", 3, 10, 20, 110, 220, None, 1, 1),
        ("val_gallery.json", 2, "gallery", 4, 10, 20, 110, 220, None, 2, 1),
        ("val_gallery.json", 3, "gallery", 4, 10, 20, 110, 220, None, 1, 1),
        ("val_query.json", 1, "query", 1, 10, 20, 110, 220, 1, 1, 1),
        ("val_query.json", 2, "query", 1, 10, 20, 110, 220, 8, 2, 1),
        ("val_query.json", 3, "query", 2, 10, 20, 110, 220, 9, 1, 1),
        ("val_query.json", 4, "query", 7, 0, 0, 0, 0, 13, 3, 2),
    ]


def test_every_contradiction_with_the_annotations_is_a_notice(validation: Path, tmp_path: Path) -> None:
    wrong = [
        query(1, 1, 2),  # another category
        query(1, 5, 8),  # another style; with it an item is missing from the list
        query(2, 1, 9, bbox=[10, 20, 110, 221]),
        query(3, 1, 1),  # a shop photo
        query(8, 1, 1),  # no such image
        QUERIES[3],
    ]
    assert notices(validation, lists(tmp_path / "l", val_query=wrong, val_gallery=GALLERY[:2])) == [
        "val_gallery.json: lacks the gallery item of image 000004 with pair_id 1, style 1 and box [10.0, 20.0, 110.0, 220.0]",
        "val_query.json > entry 1: image 000001 is listed as long sleeve top, its item is short sleeve top",
        "val_query.json > entry 2: image 000001 has no query item with pair_id 1, style 5 and box [10.0, 20.0, 110.0, 220.0]",
        "val_query.json > entry 3: image 000002 has no query item with pair_id 1, style 1 and box [10.0, 20.0, 110.0, 221.0]",
        "val_query.json > entry 4: image 000003 has no query item with pair_id 1, style 1 and box [10.0, 20.0, 110.0, 220.0]",
        "val_query.json > entry 4: image 000003 is listed as query, its source is shop",
        "val_query.json > entry 5: image 000008 is not among the images of validation",
        "val_query.json: lacks the query item of image 000001 with pair_id 1, style 2 and box [10.0, 20.0, 110.0, 220.0]",
        "val_query.json: lacks the query item of image 000002 with pair_id 1, style 1 and box [10.0, 20.0, 110.0, 220.0]",
    ]  # fmt: skip


def test_items_that_differ_only_in_category_both_match(tmp_path: Path) -> None:
    source = write_split(tmp_path / "validation", {1: annotation([item(1, 1), item(2, 1)])})
    told = notices(source, lists(tmp_path / "l", val_query=[query(1, 1, 1), query(1, 1, 2), query(1, 1, 3)]))
    assert told == [
        "val_query.json > entry 3: image 000001 is listed as short sleeve outwear, "
        "its item is long sleeve top and short sleeve top"
    ]


def test_negative_zero_in_a_box_matches_zero(tmp_path: Path) -> None:
    source = write_split(tmp_path / "validation", {1: annotation([item(bounding_box=[-0.0, 0, 1, 2])])})
    text = json.dumps([query(1, 1, 1, bbox=[0, 7, 1, 2])]).replace("7", "-0.0")
    assert notices(source, lists(tmp_path / "l", val_query=text)) == []


def test_lists_of_images_are_compared_by_source(validation: Path, tmp_path: Path) -> None:
    folder = lists(
        tmp_path / "l",
        query_txt="000001.jpg\n\nimage/000002.jpg\r\n000003.json\n",
        retrieval_val_shop_information={"images": [{"file_name": "000003.jpg", "id": 3}, {"file_name": "000009.jpg"}]},
        keypoints_val_information={"images": [{"file_name": "000001.jpg"}]},
    )
    assert notices(validation, folder) == [
        "query.txt > entry 3: image 000003 is listed as query, its source is shop",
        "retrieval_val_shop_information.json > entry 2: image 000009 is not among the images of validation",
    ]
    rows = registry.open(str(tmp_path / "r")).sql(
        "SELECT list_file, entry_no, image_id FROM retrieval_lists ORDER BY ALL"
    )
    assert rows.fetchall() == [
        ("query.txt", 1, 1), ("query.txt", 2, 2), ("query.txt", 3, 3),
        ("retrieval_val_shop_information.json", 1, 3), ("retrieval_val_shop_information.json", 2, 9),
    ]  # fmt: skip


def test_photos_of_the_test_split_get_their_source_from_the_lists(tmp_path: Path) -> None:
    source = write_split(tmp_path / "test", {}, {k: jpeg() for k in (1, 2, 3)})
    folder = lists(
        tmp_path / "l",
        retrieval_test_consumer_information={"images": [{"file_name": "000001.jpg"}, {"file_name": "000004.jpg"}]},
        retrieval_test_shop_information={"images": [{"file_name": "000002.jpg"}, {"file_name": "000001.jpg"}]},
    )
    assert notices(source, folder, split="test") == [
        "retrieval_test_consumer_information.json > entry 2: image 000004 is not among the images of test",
        "retrieval_test_shop_information.json > entry 2: image 000001 is listed as gallery, its source is user",
    ]
    df2 = registry.open(str(tmp_path / "r"))
    assert df2.sql("SELECT image_id, source, num_items FROM images ORDER BY image_id").fetchall() == [
        (1, "user", None),
        (2, "shop", None),
        (3, None, None),
    ]
    assert df2.sql("SELECT count(*) FROM items").fetchall() == [(0,)]


@pytest.mark.parametrize("form", ["files", "folder", "zip", "memory"])
def test_lists_are_read_as_files_from_a_folder_a_zip_and_a_remote_folder(
    form: str, validation: Path, tmp_path: Path
) -> None:
    folder = lists(tmp_path / "l", val_query=QUERIES, val_gallery=GALLERY, unrelated={})
    (folder / "._val_query.json").write_bytes(b"\0")
    paths = [str(folder)]
    if form == "files":
        paths = [str(folder / "val_query.json"), str(folder / "val_gallery.json")]
    elif form == "zip":
        with zipfile.ZipFile(tmp_path / "l.zip", "w") as archive:
            for path in folder.iterdir():
                archive.write(path, f"json_for_validation/{path.name}")
            archive.writestr("__MACOSX/json_for_validation/._val_query.json", b"\0")
        paths = [str(tmp_path / "l.zip")]
    elif form == "memory":
        fs = fsspec.filesystem("memory")
        fs.pipe({f"/lists/{path.name}": path.read_bytes() for path in folder.iterdir()})
        paths = ["memory://lists"]
    report = ingest("validation", str(validation), str(tmp_path / "r"), retrieval=paths)
    assert (report.bad_files, notices_of(report)) == ([], [])
    count = registry.open(str(tmp_path / "r")).sql("SELECT count(*) FROM retrieval_lists").fetchall()
    assert count == [(len(QUERIES) + len(GALLERY),)]


FIELDS = "query_image_id, bbox, style, pair_id, cls"
BAD_LISTS = {
    "no JSON": ({"val_query": "["}, ["val_query.json: expected valid JSON: Expecting value (character 1 of 1)"]),
    "empty": ({"val_query": ""}, ["val_query.json: the file is empty; expected one JSON list"]),
    "deep": ({"val_query": '[{"x": ' + "[" * 100_000}, ["val_query.json: expected JSON nested at most 4 deep, found it nested too deeply to read"]),
    "missing": ({"val_query": [{"bbox": BOX}]}, [
        "val_query.json > 1 > pair_id: missing; expected an integer from 0 to 2147483647",
        "val_query.json > 1 > query_image_id: missing; expected an integer from 0 to 2147483647",
        "val_query.json > 1 > style: missing; expected an integer from 0 to 2147483647",
    ]),
    "type": ({"val_gallery": [gallery(1, "1")]}, ['val_gallery.json > 1 > style: expected an integer from 0 to 2147483647, found "1"']),  # type: ignore[arg-type]
    "too large": ({"val_gallery": [gallery(1, 2**31)]}, ["val_gallery.json > 1 > style: expected an integer from 0 to 2147483647, found 2147483648"]),
    "category": ({"val_query": [query(1, 1, 14)]}, ["val_query.json > 1 > cls: expected an integer from 1 to 13, found 14"]),
    "truth value": ({"val_query": [query(1, 1, True)]}, ["val_query.json > 1 > cls: expected an integer from 1 to 13, found true"]),
    "box": ({"val_query": [query(1, 1, 1, bbox=[1, 2, 3])]}, ["val_query.json > 1 > bbox: expected 4 numbers (x1, y1, x2, y2), found 3"]),
    "no box": ({"val_query": [query(1, 1, 1, bbox=None)]}, ["val_query.json > 1 > bbox: expected [x1, y1, x2, y2], found null"]),
    "not exact": ({"val_query": [query(1, 1, 1)] * 16 + [query(1, 1, 1, bbox=[1, 2, 3, 123456789012345678901234567890])]}, [
        "val_query.json > 17 > bbox > 3: expected a number below 2^53 in size, found 123456789012345678901234567890",
    ]),
    "not exact beside a decimal": ({"val_query": [query(1, 1, 1, bbox=[1.5, 2, 3, 2**53 + 1])]}, [
        "val_query.json > 1 > bbox > 3: expected a number below 2^53 in size, found 9007199254740993",
    ]),
    "cut": ({"val_query": json.dumps([query(1, 1, 1)]).replace("220", "123456789.12345678901234")}, [
        "val_query.json > 1 > bbox > 3: expected a number of at most 17 significant digits, found 123456789.12345678901234",
    ]),
    "too small for a double": ({"val_query": json.dumps([query(1, 1, 1)]).replace("220", "1e-400")}, [
        "val_query.json > 1 > bbox > 3: expected a number that is not too small for a double, found 1e-400",
    ]),
    "too large for a double": ({"val_query": json.dumps([query(1, 1, 1)]).replace("220", "1e999")}, [
        "val_query.json > 1 > bbox > 3: expected a number that fits a double, found one that is too large",
    ]),
    "NaN": ({"val_query": json.dumps([query(1, 1, 1)]).replace("220", "NaN")}, ["val_query.json: expected JSON numbers, found NaN"]),
    "unknown key": ({"val_query": [query(1, 1, 1, colour="red")]}, [f"val_query.json > 1 > colour: unknown key; expected {FIELDS}"]),
    "repeated key": ({"val_query": json.dumps([query(1, 1, 1)]).replace('"cls": 1', '"cls": 1, "cls": 2')}, [
        "val_query.json > 1 > cls: the key stands more than once; expected it once",
    ]),
    "no object": ({"val_query": [query(1, 1, 1), 7]}, ["val_query.json > 2: expected an object, found a number"]),
    "object": ({"val_query": {}}, ["val_query.json: expected one JSON list, found an object"]),
    "names": ({"query_txt": "000001.gif\n\n000002.jpg\n3"}, [
        'query.txt > 1: expected the name of an image or annotation such as 000001.jpg, found "000001.gif"',
        'query.txt > 3: expected the name of an image or annotation such as 000001.jpg, found "3"',
    ]),
    "not UTF-8": ({"query_txt": b"\xff"}, ["query.txt: expected UTF-8 text, found byte 0xff at byte 0"]),
    "information": ({"retrieval_val_shop_information": []}, ["retrieval_val_shop_information.json: expected one JSON object, found a list"]),
    "no images": ({"retrieval_val_shop_information": {}}, ["retrieval_val_shop_information.json > images: expected a list of images, found none"]),
    "image": ({"retrieval_val_shop_information": {"images": [{"id": 1}]}}, [
        "retrieval_val_shop_information.json > images > 1 > file_name: "
        "expected the name of an image or annotation such as 000001.jpg, found null",
    ]),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_LISTS)
def test_a_list_that_cannot_be_read_is_an_issue(name: str, validation: Path, tmp_path: Path) -> None:
    files, issues = BAD_LISTS[name]
    folder = lists(tmp_path / "l", **files)
    with pytest.raises(AnnotationError) as caught:
        ingest("validation", str(validation), str(tmp_path / "r"), retrieval=[str(folder)])
    assert [line.strip() for line in str(caught.value).splitlines()[1:-1]] == issues
    report = ingest("validation", str(validation), str(tmp_path / "r"), retrieval=[str(folder)], on_error="quarantine")
    assert report.images == len(SMALL_SPLIT)
    [path] = folder.iterdir()
    rows = registry.open(str(tmp_path / "r")).sql("SELECT file, raw FROM quarantine").fetchall()
    assert rows == [(path.name, path.read_bytes())]


def test_the_first_hundred_issues_of_a_list_are_reported(validation: Path, tmp_path: Path) -> None:
    folder = lists(tmp_path / "l", val_query=[query(1, -1, 1)] * 1000)
    report = ingest("validation", str(validation), str(tmp_path / "r"), retrieval=[str(folder)], on_error="quarantine")
    assert len(report.issues) == 101
    assert str(report.issues[0]) == "val_query.json: has 900 issues more than the 100 that are told"


def test_a_list_that_is_too_large_is_an_issue(
    validation: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("registry.ingest.retrieval_lists.MAX_LIST", 100)
    folder = lists(tmp_path / "l", val_query=QUERIES)
    size = (folder / "val_query.json").stat().st_size
    with zipfile.ZipFile(tmp_path / "l.zip", "w") as archive:
        archive.write(folder / "val_query.json", "val_query.json")
    monkeypatch.setattr("registry.sources.zips.MAX_LIST", 100)
    for path in (folder, folder / "val_query.json", tmp_path / "l.zip"):
        retrieval = read_retrieval("validation", [str(path)])
        shown = "more" if path.suffix == ".json" else size
        assert [str(issue) for bad in retrieval.bad_files for issue in bad.issues] == [
            f"val_query.json: expected at most 100 bytes, found {shown}"
        ]


def test_a_list_that_is_not_a_regular_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "val_query.json")
    with pytest.raises(SourceError, match=r"val_query\.json: expected a regular file, found a pipe \(FIFO\)\."):
        read_retrieval("validation", [str(tmp_path / "val_query.json")])
    retrieval = read_retrieval("validation", [str(tmp_path)])
    assert [str(issue) for bad in retrieval.bad_files for issue in bad.issues] == [
        "val_query.json: expected a regular file, found a pipe (FIFO)"
    ]


def test_a_path_without_a_list_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="nothing does not exist; expected query and gallery lists"):
        read_retrieval("validation", [str(tmp_path / "nothing")])
    (tmp_path / "other.json").write_text("[]")
    with pytest.raises(SourceError, match=r"other\.json is no retrieval list: expected a name like \*query\*\.txt"):
        read_retrieval("validation", [str(tmp_path / "other.json")])
    (tmp_path / "broken.zip").write_bytes(b"PK")
    with pytest.raises(SourceError, match=r"broken\.zip is not a complete zip archive"):
        read_retrieval("validation", [str(tmp_path / "broken.zip")])


def test_two_lists_with_the_same_name_are_refused(tmp_path: Path) -> None:
    paths = [lists(tmp_path / name, query_txt=f"{name}.jpg") for name in ("1", "2")]
    with pytest.raises(SourceError, match=r"Two retrieval lists are named query\.txt"):
        read_retrieval("validation", [str(path) for path in paths])


def test_the_lists_of_a_release_are_read_without_an_option(validation: Path, tmp_path: Path) -> None:
    lists(tmp_path / "json_for_validation", val_query=QUERIES[:3], val_gallery=GALLERY)
    report = ingest("validation", str(tmp_path), str(tmp_path / "r"))
    assert notices_of(report) == [
        "val_query.json: lacks the query item of image 000007 with pair_id 2, style 3 and box [0.0, 0.0, 0.0, 0.0]"
    ]


def test_lists_give_the_same_registry_from_a_folder_and_as_files(validation: Path, tmp_path: Path) -> None:
    folder = lists(tmp_path / "l", val_query=QUERIES, val_gallery=GALLERY, query_txt="000001.jpg")
    manifests = []
    for paths in ([folder], [folder / name for name in ("val_query.json", "val_gallery.json", "query.txt")]):
        notices(validation, *paths)
        manifests.append(json.loads((tmp_path / "r" / "manifest.json").read_bytes()))
    assert manifests[0] == manifests[1]


def test_a_named_list_wins_over_the_one_beside_the_split(validation: Path, tmp_path: Path) -> None:
    found = lists(tmp_path / "json_for_validation", val_query=QUERIES[:3], val_gallery=GALLERY)
    own = lists(tmp_path / "own", val_query=QUERIES)
    for named in (own, own / "val_query.json"):
        report = ingest("validation", str(tmp_path), str(tmp_path / "r"), retrieval=[str(named)], jobs=1)
        assert notices_of(report) == [
            f"val_query.json: the list at {named} is read, another one at {found} is passed over"
        ]
        count = "SELECT count(*) FROM retrieval_lists"
        assert registry.open(str(tmp_path / "r")).sql(count).fetchall() == [(len(QUERIES) + len(GALLERY),)]
    fingerprints = {
        fingerprint_source(str(tmp_path), "validation", [str(own)]),
        fingerprint_source(str(validation), "validation", [str(own), str(found / "val_gallery.json")]),
    }
    assert len(fingerprints) == 1


def test_the_lists_beside_the_split_may_be_named_too(validation: Path, tmp_path: Path) -> None:
    found = lists(tmp_path / "json_for_validation", val_query=QUERIES, val_gallery=GALLERY)
    for named in (found, found / "val_query.json"):
        report = ingest("validation", str(tmp_path), str(tmp_path / "r"), retrieval=[str(named)], jobs=1)
        assert notices_of(report) == []


@pytest.mark.parametrize("place", ["local", "memory"])
def test_lists_in_a_folder_of_the_same_name_inside_are_read_with_a_notice(
    place: str, validation: Path, tmp_path: Path
) -> None:
    folder = lists(tmp_path / "json_for_validation" / "json_for_validation", val_query=QUERIES, val_gallery=GALLERY)
    url = str(folder.parent)
    if place == "memory":
        url = "memory://nested-lists"
        fsspec.filesystem("memory").pipe(
            {f"/nested-lists/in/{path.name}": path.read_bytes() for path in folder.iterdir()}
        )
    inner = "in" if place == "memory" else "json_for_validation"
    assert notices(validation, url) == [f"{url}: the lists are read from the folder {inner}/ in it"]
    before = fingerprint_source(str(validation), "validation", [url], output=tmp_path / "f.json")
    if place == "local":
        lists(folder, val_query=QUERIES[:1])
        assert fingerprint_source(str(validation), "validation", [url], output=tmp_path / "f.json") != before


def test_a_byte_order_mark_in_lists_and_annotations_is_left_out_with_a_notice(validation: Path, tmp_path: Path) -> None:
    folder = lists(tmp_path / "l", query_txt="000001.jpg\n000002.jpg\n000007.jpg", val_gallery=GALLERY)
    assert notices(validation, folder) == []
    query = "SELECT * FROM items ORDER BY ALL"
    rows = registry.open(str(tmp_path / "r")).sql(query).fetchall()
    for path in [*folder.iterdir(), validation / "annos" / "000002.json"]:
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    left_out = "was left out; it changes no value"
    assert notices(validation, folder) == [
        f"retrieval lists of validation: a byte order mark at the beginning of 2 lists {left_out}",
        f"validation/annos: a byte order mark at the beginning of 1 file {left_out}",
    ]
    assert registry.open(str(tmp_path / "r")).sql(query).fetchall() == rows  # content_hash too
    (folder / "query.txt").write_bytes("000001.jpg".encode("utf-16"))
    with pytest.raises(AnnotationError, match=r"query\.txt: .* found the byte order mark of UTF-16; save the file as"):
        notices(validation, folder)
