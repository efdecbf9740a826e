"""Nothing in the rows of a registry leads an export out of its destination, or breaks the syntax of its files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

import registry
from registry.errors import RegistryFormatError
from registry.exports.builtin import FORMATS
from registry.exports.find import find_format
from registry.subset.resplit import Resplit
from tests.exports.releases import opened_once, run_export
from tests.hostile import POISON, poisoned, rewritten
from tests.sources.packing import files_in

#: Cells that formats make paths of.
NAMES = [("images", "file_name", "../../../../evil.jpg"), ("items", "category_name", "../../evil")]


@pytest.fixture(scope="module")
def with_names(exportable: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return a registry for each of ``NAMES``; no test changes them."""
    folder = tmp_path_factory.mktemp("with-names")
    return [poisoned(exportable, folder / str(number), *cell) for number, cell in enumerate(NAMES)]


@pytest.mark.parametrize("name", FORMATS)
def test_no_format_writes_beside_its_destination(
    name: str, with_names: list[Path], release: Path, tmp_path: Path
) -> None:
    for number, (folder_of_registry, (_, column, _)) in enumerate(zip(with_names, NAMES, strict=True)):
        folder = tmp_path / "a" / "b" / "c" / "d"
        before = set(files_in(tmp_path))
        for images in find_format(name).images:
            try:
                run_export(folder_of_registry, name, folder / f"{number}-{images}", images=images, photos=release)
            except RegistryFormatError as error:
                assert f" > train > image 1 > {column}: expected" in str(error)
            outside = {path for path in files_in(tmp_path) if path not in before and not path.startswith("a/b/c/d/")}
            assert not outside
            assert not [path for path in files_in(tmp_path) if "evil" in path]


@pytest.mark.parametrize(("table", "column", "value"), POISON)
def test_a_cell_that_ingestion_never_writes_is_an_error_with_its_place(
    table: str, column: str, value: Any, exportable: Path, tmp_path: Path
) -> None:
    registry = poisoned(exportable, tmp_path / "registry", table, column, value)
    with pytest.raises(RegistryFormatError, match=rf"registry > train > image -?\d+ > {column}: expected .*, found"):
        run_export(registry, "webdataset", tmp_path / "out", images="none")
    assert not (tmp_path / "out").exists()


def test_file_names_of_pairs_are_checked_too(exportable: Path, tmp_path: Path) -> None:
    registry = poisoned(exportable, tmp_path / "registry", "images", "file_name", "../evil.jpg")
    with pytest.raises(RegistryFormatError, match=r"image 1 > file_name: .*found '\.\./evil\.jpg'"):
        run_export(registry, "pairs", tmp_path / "out")


def _elsewhere(rows: pa.Table, image_id: int) -> pa.Table:
    """Return rows of items of which the first is of another image."""
    ids = pa.array([image_id, *rows.column("image_id").to_pylist()[1:]], pa.int32())
    position = rows.schema.get_field_index("image_id")
    return rows.set_column(position, rows.schema.field(position), ids)


def _without_first(rows: pa.Table) -> pa.Table:
    return rows.slice(1)


#: Table, the change of its rows, and the expected error.
FORGED: tuple[tuple[str, Callable[[pa.Table], pa.Table], str], ...] = (
    (
        "items",
        lambda rows: _elsewhere(rows, 999),
        "image 999 > image_id: expected one row in the table images, found 0",
    ),
    ("items", lambda rows: _elsewhere(rows, 3), r"image 1 > num_items: expected 1, for the rows .*, found 2"),
    ("items", _without_first, r"image 1 > num_items: expected 1, for the rows of the table items, found 2"),
    ("items", lambda rows: pa.concat_tables([rows, rows.slice(0, 1)]), "image 1 > num_items: expected 3, .*, found 2"),
    ("images", _without_first, "image 1 > image_id: expected one row in the table images, found 0 for 2 items"),
    ("images", lambda rows: pa.concat_tables([rows, rows]), "image 1 > image_id: expected one row .*, found 2"),
)


@pytest.mark.parametrize("number", range(len(FORGED)))
def test_tables_that_do_not_fit_together_are_an_error_and_no_item_is_dropped(
    number: int, exportable: Path, tmp_path: Path
) -> None:
    table, change, problem = FORGED[number]
    forged = rewritten(exportable, tmp_path / "registry", table, change)
    for name, resplit in (("coco", None), ("csv", None), ("pairs", None), ("coco", Resplit.parse("a=0.5,b=0.5"))):
        with pytest.raises(RegistryFormatError, match=f"registry > train > {problem}"):
            run_export(forged, name, tmp_path / "out", resplit=resplit)
        assert not (tmp_path / "out").exists()
    opened = registry.open(str(forged))
    for options in ({}, {"split": "train"}, {"whole_images": True, "category": range(1, 14)}, {"source": "user"}):
        with pytest.raises(RegistryFormatError, match=f"registry > train > {problem}"):
            opened.select(**options)
    whole = opened_once(str(exportable)).select(split="validation").summary()
    assert opened.select(split="validation").summary() == whole


def test_an_item_without_its_image_is_an_error_in_a_filtered_subset_too(exportable: Path, tmp_path: Path) -> None:
    gone = rewritten(exportable, tmp_path / "gone", "images", lambda rows: rows.filter(pc.field("image_id") > 2))
    fewer = rewritten(
        exportable,
        tmp_path / "fewer",
        "images",
        lambda rows: rows.set_column(
            rows.schema.get_field_index("num_items"),
            rows.schema.field("num_items"),
            pa.array([0] * len(rows), rows.schema.field("num_items").type),
        ),
    )
    of_gone, of_fewer = registry.open(str(gone)), registry.open(str(fewer))
    options: dict[str, Any]
    for options in ({"where": "true"}, {"limit": 1000}, {"category": range(1, 14)}, {"paired": True}):
        with pytest.raises(RegistryFormatError, match=r"gone > train > image [12] > image_id: expected one row"):
            of_gone.select(**options)
        with pytest.raises(
            RegistryFormatError, match=r"fewer > train > image \d > num_items: expected at least \d, .*found 0"
        ):
            of_fewer.select(**options)


def test_an_image_of_another_source_than_its_items_is_an_error(exportable: Path, tmp_path: Path) -> None:
    forged = poisoned(exportable, tmp_path / "registry", "images", "source", "shop")
    with pytest.raises(RegistryFormatError, match=r"image 1 > source, pair_id: expected the same in the tables images"):
        registry.open(str(forged)).select(source="user")


@pytest.mark.parametrize("options", [{"where": "style > 0"}, {"category": [1, 2]}, {"sample": "50%"}, {"limit": 3}])
def test_a_filter_that_drops_items_of_an_image_is_no_damage(options: dict[str, Any], exportable: Path) -> None:
    summary = opened_once(str(exportable)).select(split="train", **options).summary()
    assert summary[-1]["items"] > 0
