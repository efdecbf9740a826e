"""Contact sheets of rows, identities and differences."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from PIL import Image

import registry
from registry.errors import NotFoundError, RegistryFormatError, UsageError
from registry.pictures import gallery, sheet
from registry.pictures.album import Album, Subject
from registry.sources.photos import Photos
from registry.store.registry import Registry
from tests.helpers import jpeg, photo
from tests.hostile import POISON, poisoned
from tests.registries import make_newer
from tests.sources.packing import files_in, packed, write_zipcrypto


def album_of(df2: Registry, release: Path | str | None, **options: Any) -> Album:
    return Album(df2, Photos(str(release), **options) if release else None)


def cells(album: Album, rows: pa.Table) -> list[sheet.Cell]:
    return gallery.row_cells(album, gallery.RowKeys.of(rows.column_names), rows.to_pylist())


@pytest.mark.parametrize(
    ("columns", "images"),
    [
        ("split image_id", [("split", "image_id", None)]),
        ("split image_id item_no", [("split", "image_id", "item_no")]),
        (
            "split image_id item_no other_item_no iou",
            [("split", "image_id", "item_no"), ("split", "image_id", "other_item_no")],
        ),
        (
            "split image_id other_split other_image_id kind",
            [("split", "image_id", None), ("other_split", "other_image_id", None)],
        ),
        (
            "split user_image_id user_item_no shop_image_id shop_item_no",
            [("split", "user_image_id", "user_item_no"), ("split", "shop_image_id", "shop_item_no")],
        ),
        (
            "split query_image_id query_item_no gallery_image_id gallery_item_no",
            [("split", "query_image_id", "query_item_no"), ("split", "gallery_image_id", "gallery_item_no")],
        ),
    ],
)
def test_columns_name_the_pictures_of_a_row(columns: str, images: list[tuple[str, str, str | None]]) -> None:
    assert gallery.RowKeys.of(columns.split()).images == images


def test_rows_without_keys_are_refused(df2: Registry) -> None:
    with pytest.raises(UsageError, match=r"needs the columns split and image_id.*Found a, image_id"):
        gallery.RowKeys.of(["a", "image_id"])
    with pytest.raises(UsageError, match="Expected whole numbers in image_id, found 'x'"):
        cells(Album(df2), pa.table({"split": ["train"], "image_id": ["x"]}))


def test_rows_of_groups_have_a_cell_for_each_item(df2: Registry) -> None:
    rows = gallery.with_items(df2, df2.sql("FROM identities WHERE split = 'validation'").to_arrow_table())
    captions = [cell.caption for cell in cells(Album(df2), rows)]
    assert [lines[0] for lines in captions] == [f"validation/00000{n} item 1 shorts · no photo" for n in (1, 2)]
    assert captions[0][1].startswith("pair_id 1 · style 1")
    of_pair_id = gallery.with_items(df2, df2.sql("SELECT 'train' AS split, 1::BIGINT AS pair_id").to_arrow_table())
    assert of_pair_id.num_rows == 7


def test_a_caption_has_the_name_and_the_other_columns_of_the_row(df2: Registry, release: Path) -> None:
    rows = df2.sql(
        "SELECT split, image_id, item_no, 0.25 AS iou, NULL AS none, landmarks, 'a' AS kind FROM items "
        "WHERE split = 'train' LIMIT 1"
    )
    (cell,) = cells(album_of(df2, release), rows.to_arrow_table())
    assert cell.caption == ["train/000001 item 1 short sleeve top", "iou 0.25 · kind a"]
    (cell,) = cells(Album(df2), df2.sql("FROM images WHERE split = 'train' LIMIT 1").to_arrow_table())
    assert cell.caption[0] == "train/000001 · no photo"
    assert cell.caption[1] == "file_name 000001.jpg · source user · pair_id 1"
    wide = pa.table({"split": ["train"], "image_id": [1], **{f"column_{k}": ["x" * 30] for k in range(20)}})
    (cell,) = cells(Album(df2), wide)
    assert len(cell.caption) == 6
    assert cell.caption[-1] == "… 16 more"


def test_rows_of_pairs_have_two_pictures(df2: Registry, release: Path) -> None:
    rows = df2.sql("FROM instance_pairs WHERE split = 'validation'").to_arrow_table()
    (cell,) = cells(album_of(df2, release), rows)
    assert len(cell.pictures) == 2
    assert cell.caption[0] == "validation/000001 item 1 shorts | validation/000002 item 1 shorts"


def test_keys_that_fit_nothing_have_a_cell_that_says_so(df2: Registry) -> None:
    rows = pa.table({"split": ["train", "train", "val", None], "image_id": [1, 99, 1, 1], "item_no": [7, 1, 1, 1]})
    captions = [cell.caption[0] for cell in cells(Album(df2), rows)]
    assert captions[0].startswith("train/000001 item 7, not in the registry")
    assert captions[1:] == [
        "train/000099 item 1, not in the registry",
        "val/000001 item 1, not in the registry",
        "no image",
    ]


def test_pages_are_made_one_after_the_other_and_hold_all_rows(df2: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = pa.table({"split": ["train"] * 45, "image_id": [1, 2, 3] * 15})
    loaded = []
    load = Album.load

    def counted(album: Album, subjects: Any) -> Any:
        loaded.append(len(subjects))
        return load(album, subjects)

    monkeypatch.setattr(Album, "load", counted)
    pages = gallery.row_pages(Album(df2), rows)
    next(pages)
    assert loaded == [20]
    assert gallery.num_row_pages(rows) == 1 + len(list(pages)) == 3
    assert loaded == [20, 20, 5]


@pytest.mark.parametrize("kind", ["", ".zip", "protected", ".tar"])
def test_photos_come_out_of_folders_and_archives(df2: Registry, release: Path, kind: str, tmp_path: Path) -> None:
    files = files_in(release / "train")
    source = release / "train"
    if kind == "protected":
        source = write_zipcrypto(tmp_path / "train.zip", files, "secret")
    elif kind:
        source = packed(kind, files, tmp_path)
    album = Album(df2, Photos({"train": str(source)}, "secret" if kind == "protected" else None))
    assert [shown.photo for shown in album.load([Subject("train", 1), Subject("train", 2)])] == [jpeg(200, 300)] * 2


def test_photos_come_from_remote_places(df2: Registry, release: Path) -> None:
    import fsspec

    fs: Any = fsspec.filesystem("memory")
    fs.pipe({f"/pictures-release/train/{name}": data for name, data in files_in(release / "train").items()})
    (shown,) = album_of(df2, "memory://pictures-release").load([Subject("train", 4, 2)])
    assert shown.photo == jpeg(200, 300)
    assert shown.title() == "train/000004 item 2 · short sleeve dress · style 1 · shop · pair_id 1 · 200 x 300 px"


def test_missing_damaged_and_other_photos_are_said_once_each(df2: Registry, release: Path, tmp_path: Path) -> None:
    image = tmp_path / "train" / "image"
    image.mkdir(parents=True)
    (image / "000002.jpg").write_bytes(b"no photo")
    (image / "000003.jpg").write_bytes(photo(80, 80))
    album = Album(df2, Photos(str(tmp_path)), must_have_photos=True)
    rows = pa.table({"split": ["train"] * 6, "image_id": [1, 2, 3] * 2})
    third = "train/image/000003.jpg"
    assert len(list(gallery.row_pages(album, rows))) == 1
    assert album.problems.lines() == [
        (f"1 photo is not in {tmp_path} and drawn as a plain canvas: train/image/000001.jpg.", True),
        ("1 photo is damaged (no JPEG, PNG or WebP) and drawn as a plain canvas: train/image/000002.jpg.", True),
        (f"1 photo has another size than in the registry, so that annotations may not fit: {third}.", False),
    ]


def test_a_split_without_photos_is_said_once(df2: Registry, tmp_path: Path) -> None:
    album = album_of(df2, tmp_path)
    for image_id in (1, 2):
        assert gallery.single(album, Subject("train", image_id)).width > 300
    ((line, is_bad_input),) = album.problems.lines()
    assert line.startswith("The photos of train are drawn as plain canvases: Found no annotations or photos of train")
    assert not is_bad_input


def test_an_unknown_image_or_item_is_refused_with_what_there_is(df2: Registry) -> None:
    with pytest.raises(NotFoundError, match="train image 2 has no item 1; its items are 2, 5"):
        gallery.single(Album(df2), Subject("train", 2, 1))
    with pytest.raises(NotFoundError, match="test image 1 has no item 1; no item is annotated in it"):
        gallery.single(Album(df2), Subject("test", 1, 1))
    with pytest.raises(NotFoundError, match="train has no image 99"):
        gallery.single(Album(df2), Subject("train", 99))


@pytest.mark.parametrize("value", [1.7, True, float("inf"), float("nan"), "x", [1]])
def test_a_row_whose_number_is_no_whole_number_is_refused(value: Any) -> None:
    """1.7 was shown as image 1."""
    keys = gallery.RowKeys.of(["split", "image_id", "item_no"])
    for row in ({"image_id": value, "item_no": 1}, {"image_id": 1, "item_no": value}):
        with pytest.raises(UsageError, match=r"Expected whole numbers in image_id and item_no, found"):
            keys.subjects({"split": "train", **row})
    assert keys.subjects({"split": "train", "image_id": 2.0, "item_no": "1"}) == [Subject("train", 2, 1)]


@pytest.mark.parametrize("value", ["x", 1.5])
def test_a_group_whose_number_is_no_whole_number_is_refused(df2: Registry, value: Any) -> None:
    with pytest.raises(UsageError, match=r"Expected whole numbers in pair_id"):
        gallery.with_items(df2, pa.table({"split": ["train"], "pair_id": [value]}))


def test_an_identity_has_consumer_items_left_and_shop_items_right(
    df2: Registry, release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[list[sheet.Block]] = []

    def record(blocks: list[sheet.Block], footer: str) -> Image.Image:
        drawn.append(blocks)
        return sheet.sheet(blocks, footer)

    monkeypatch.setattr(gallery, "sheet", record)
    relation = df2.style("train", 1, 1)
    items = [dict(zip(relation.columns, row, strict=True)) for row in relation.fetchall()]
    (page,) = gallery.identity_pages(album_of(df2, release), items, "title")
    ((left, right),) = drawn
    assert (left.heading, right.heading) == ("consumer: 2 items", "shop: 2 items")
    assert [cell.caption[0] for cell in left.cells] == [
        "train/000001 item 1 short sleeve top",
        "train/000002 item 2 skirt",
    ]
    assert page.width > 600


def test_a_large_identity_has_several_pages(df2: Registry) -> None:
    items = [{"split": "train", "image_id": 1, "item_no": 1, "source": source} for source in ["user"] * 40 + ["shop"]]
    assert gallery.num_identity_pages(items) == len(list(gallery.identity_pages(Album(df2), items, "title"))) == 4


def test_differences_have_old_and_new_beside_each_other(small_registry: Path, tmp_path: Path) -> None:
    newer = registry.open(str(make_newer(small_registry, tmp_path)))
    older = registry.open(str(small_registry))
    difference = older.diff(newer)
    changes = list(difference.items())
    (page,) = gallery.change_pages(Album(older), Album(newer), changes, 1, "items")
    assert page.width > 2 * sheet.THUMBNAIL


def test_changes_name_their_columns_with_old_and_new_values() -> None:
    from registry.store.difference import Change

    key = {"split": "train", "image_id": 1, "item_no": 2, "category_name": "skirt"}
    change = Change(
        "changed", key, ("style", "landmarks"), {"style": 1, "landmarks": [1] * 90}, {"style": 3, "landmarks": [2] * 90}
    )
    assert gallery._change_title(change) == "changed: train/000001 item 2 skirt"
    assert change.lines() == ["style 1 -> 3", "landmarks differs"]


def is_read(table: str, column: str) -> bool:
    """Return whether pictures show a column; a poisoned image_id is that of another image."""
    return column not in ("image_id", "scale") and (table, column) != ("items", "source")


@pytest.mark.parametrize(("table", "column", "value"), [poison for poison in POISON if is_read(*poison[:2])])
def test_rows_that_no_ingestion_writes_are_refused(
    registry_folder: Path, tmp_path: Path, table: str, column: str, value: Any
) -> None:
    hostile = registry.open(str(poisoned(registry_folder, tmp_path / "hostile", table, column, value)))
    with pytest.raises(RegistryFormatError, match="df2 ingest"):
        Album(hostile).load([Subject("train", 1)])
