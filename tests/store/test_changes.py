"""Differences between two registries, compared with sets and dictionaries of their rows."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import registry
from registry.dataset.content_hash import HASHED
from registry.dataset.tables import IMAGE_COLUMNS, IMAGES, ITEM_COLUMNS, TABLES
from registry.errors import NotFoundError, RegistryFormatError, UnknownNameError, UsageError
from registry.ingest.build import ingest
from registry.snapshot.manifest import DataFile
from registry.store.changes import Diff
from registry.store.difference import PAIR_COLUMNS, Change
from registry.store.registry import Registry
from registry.subset.options import Subset
from tests.helpers import SMALL_SPLIT, annotation, item, jpeg, landmarks, make_version_1, write_split
from tests.registries import VALIDATION

Split = dict[int | str, Any]
OF_IMAGES = [name for name in IMAGE_COLUMNS if name not in IMAGES.key]


def make(folder: Path, **splits: Split) -> Registry:
    """Return an open registry of these splits."""
    for name, files in splits.items():
        ingest(name, str(write_split(folder / name, files)), str(folder / "registry"), jobs=1)
    return registry.open(str(folder / "registry"))


def edited(edit: Callable[[Split], Any]) -> Split:
    """Return SMALL_SPLIT with a change."""
    split = deepcopy(SMALL_SPLIT)
    edit(split)
    return split


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """Return a registry with SMALL_SPLIT as train, which no test changes."""
    return make(tmp_path_factory.mktemp("small"), train=SMALL_SPLIT)


@pytest.fixture(scope="session")
def version_1(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """Return the same registry as a program of schema version 1 made it."""
    made = make(tmp_path_factory.mktemp("old"), train=SMALL_SPLIT)
    return registry.open(str(make_version_1(Path(made.place.url))))


def counts(diff: Diff) -> tuple[tuple[int, ...], ...]:
    """Return the totals as numbers: of images, of items, of pairs."""
    return tuple(tuple(numbers.values()) for numbers in diff.summary.counts().values())


Rows = tuple[Mapping[tuple[Any, ...], Any], Mapping[tuple[Any, ...], Any]]


def rows_of(side: Registry, subset: Subset) -> Rows:
    """Return the images and the items of a subset: key -> the columns that are compared."""
    selection = side.select(subset)
    images = {
        (chunk.split, row["image_id"]): [row[name] for name in OF_IMAGES]
        for part in selection.parts
        for chunk in selection.chunks(part)
        for row in chunk.images.to_pylist()
    }
    items = selection.items(["split", "image_id", "item_no", *HASHED]).fetchall()
    return images, {tuple(row[:3]): row[3:] for row in items}


def naive(old: Rows, new: Rows) -> dict[str, Counter[str]]:
    """Return the changes of images, items and pairs between the rows of two sides."""
    actual = {}
    for what, before, after in zip(("images", "items"), old, new, strict=True):
        actual[what] = Counter(
            {
                "added": len(after.keys() - before.keys()),
                "removed": len(before.keys() - after.keys()),
                "changed": sum(before[key] != after[key] for key in before.keys() & after.keys()),
            }
        )
    before_pairs, after_pairs = pairs_of(old[1]), pairs_of(new[1])
    actual["instance_pairs"] = Counter(
        {"added": len(after_pairs - before_pairs), "removed": len(before_pairs - after_pairs)}
    )
    return actual


def pairs_of(items: Mapping[tuple[Any, ...], Any]) -> set[tuple[Any, ...]]:
    """Return the pairs among items: split, pair_id, style, and of both items the image and number."""
    return {
        (split, pair_id, style, *user, *shop)
        for (split, *user), (source, pair_id, style, *_) in items.items()
        for (other, *shop), (side, *identity) in items.items()
        if source == "user" and side == "shop" and style > 0 and (split, [pair_id, style]) == (other, identity[:2])
    }


def test_the_same_data_twice_is_no_difference(small: Registry, tmp_path: Path) -> None:
    diff = small.diff(make(tmp_path, train=SMALL_SPLIT))
    assert diff.summary.is_same
    assert diff.summary.counts() == {
        "images": {"added": 0, "removed": 0, "changed": 0},
        "items": {"added": 0, "removed": 0, "changed": 0},
        "instance_pairs": {"added": 0, "removed": 0},
    }
    assert (list(diff.images()), list(diff.items()), list(diff.instance_pairs())) == ([], [], [])
    assert diff.summary.splits == ["train"]


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        # images, items: added, removed, changed; pairs: added, removed
        (lambda s: s[1]["item1"].update(scale=3), ((0, 0, 0), (0, 0, 1), (0, 0))),
        (lambda s: s[1]["item1"].update(style=0), ((0, 0, 0), (0, 0, 1), (0, 2))),
        (lambda s: s[2]["item5"].update(style=2), ((0, 0, 0), (0, 0, 1), (1, 0))),
        (lambda s: s[3].update(source="user"), ((0, 0, 1), (0, 0, 1), (1, 2))),
        (lambda s: s[3].update(pair_id=2), ((0, 0, 1), (0, 0, 1), (0, 2))),
        (lambda s: s.pop(7), ((0, 1, 0), (0, 1, 0), (0, 0))),
        (lambda s: s.pop(3), ((0, 1, 0), (0, 1, 0), (0, 2))),
        (lambda s: s.update({8: annotation([item(1, 1), item(2, 2)], "shop", 1)}), ((1, 0, 0), (2, 0, 0), (3, 0))),
        (lambda s: s[1].pop("item2"), ((0, 0, 1), (0, 1, 0), (0, 1))),
        (lambda s: s[3].update(item2=item(3, 0)), ((0, 0, 1), (1, 0, 0), (0, 0))),
        (lambda s: s[3].update(item7=s[3].pop("item1")), ((0, 0, 0), (1, 1, 0), (2, 2))),
        (lambda s: s[1].update(item1=s[1].pop("item1")), ((0, 0, 0), (0, 0, 0), (0, 0))),
        (lambda s: s[1].update(item2=s[1].pop("item2")), ((0, 0, 0), (0, 0, 0), (0, 0))),
        (lambda s: s[7]["item1"].update(bounding_box=[-0.0, 0, 0.0, 0]), ((0, 0, 0), (0, 0, 0), (0, 0))),
    ],
)  # fmt: skip
def test_an_edit_is_found_in_both_directions(
    small: Registry, tmp_path: Path, edit: Any, expected: tuple[tuple[int, ...], ...]
) -> None:
    other = make(tmp_path, train=edited(edit))
    assert counts(small.diff(other)) == expected
    backwards = tuple((removed, added, *rest) for added, removed, *rest in expected)
    assert counts(other.diff(small)) == backwards


def test_changed_items_have_their_old_and_new_values(small: Registry, tmp_path: Path) -> None:
    split = deepcopy(SMALL_SPLIT)
    del split[7]
    split[8] = annotation([item(6, 4)], "user", 2)
    polygons = [[0, 0, 1, 0, 1, 1.5], [3, 3, 4, 3, 4, 4]]
    split[1]["item1"] |= {"scale": 3, "bounding_box": [11, 20, 110, 220], "segmentation": polygons}
    split[2]["item5"] |= {"category_id": 3, "category_name": "short sleeve outwear", "landmarks": landmarks(3, 1)}
    diff = small.diff(make(tmp_path, train=split))
    first, second, removed, added = diff.items()
    assert first == Change(
        "changed",
        {"split": "train", "image_id": 1, "item_no": 1, "category_name": "short sleeve top"},
        ["x1", "scale", "segmentation"],
        {"x1": 10.0, "scale": 2, "segmentation": SMALL_SPLIT[1]["item1"]["segmentation"]},
        {"x1": 11.0, "scale": 3, "segmentation": polygons},
    )
    assert (second.key["item_no"], second.key["category_name"]) == (5, "short sleeve outwear")
    assert second.fields == ["category_id", "category_name", "landmarks", "num_landmarks_labelled"]
    assert second.old is not None and second.new is not None
    assert second.old["landmarks"] == landmarks(2)
    assert second.new == {
        "category_id": 3, "category_name": "short sleeve outwear", "landmarks": landmarks(3, 1),
        "num_landmarks_labelled": 31,
    }  # fmt: skip
    for change, side, number in ((removed, small, 7), (added, registry.open(str(tmp_path / "registry")), 8)):
        columns = [name for name in ITEM_COLUMNS if name not in ("split", "image_id", "item_no")]
        actual = side.sql(f"SELECT {', '.join(columns)} FROM items WHERE image_id = {number}")
        whole = dict(zip(columns, actual.fetchall()[0], strict=True))
        assert (change.change, change.key["image_id"], change.fields) == (
            "removed" if number == 7 else "added",
            number,
            (),
        )
        assert (change.old, change.new) == ((whole, None) if number == 7 else (None, whole))
    assert diff.summary.fields["items"] == {
        "category_id": 1, "category_name": 1, "x1": 1, "scale": 1, "landmarks": 1, "num_landmarks_labelled": 1,
        "segmentation": 1,
    }  # fmt: skip
    assert [
        (row["of"], row["category_name"], row["added"], row["removed"], row["changed"]) for row in diff.summary.rows()
    ] == [
        ("items", "short sleeve top", 0, 0, 1),
        ("items", "short sleeve outwear", 0, 0, 1),
        ("items", "sling", 1, 0, 0),
        ("items", "sling dress", 0, 1, 0),
        ("images", None, 1, 1, 0),
        ("items", None, 1, 1, 2),
        ("instance_pairs", None, 0, 0, None),
    ]


def test_changed_images_have_their_old_and_new_values(small: Registry, tmp_path: Path) -> None:
    other = make(tmp_path, train=edited(lambda s: (s[3].update(source="user"), s[1].pop("item2"), s.pop(7))))
    diff = small.diff(other)
    assert list(diff.images()) == [
        Change("changed", {"split": "train", "image_id": 1}, ["num_items"], {"num_items": 2}, {"num_items": 1}),
        Change("changed", {"split": "train", "image_id": 3}, ["source"], {"source": "shop"}, {"source": "user"}),
        Change(
            "removed",
            {"split": "train", "image_id": 7},
            (),
            {
                "file_name": "000007.jpg",
                "source": "user",
                "pair_id": 2,
                "width": None,
                "height": None,
                "num_items": 1,
                "orientation": None,
            },
            None,
        ),
    ]
    assert diff.summary.fields["images"] == {"source": 1, "num_items": 1}


def test_pairs_come_with_both_items(small: Registry, tmp_path: Path) -> None:
    diff = small.diff(make(tmp_path, train=edited(lambda s: s[4].update(pair_id=2))))
    actual = [tuple(row.values()) for row in diff.instance_pairs()]
    assert [list(row) for row in diff.instance_pairs()] == [["change", *PAIR_COLUMNS]] * 3
    assert actual == [
        ("removed", "train", 1, 1, 1, 1, 4, 2),
        ("removed", "train", 1, 1, 2, 2, 4, 2),
        ("removed", "train", 1, 2, 1, 2, 4, 1),
    ]


def test_sizes_of_photos_count_and_photos_without_annotations_are_images(small: Registry, tmp_path: Path) -> None:
    sides = []
    for name, photos in (("a", {1: jpeg(), 2: jpeg(20, 50)}), ("b", {1: jpeg(), 2: jpeg(21, 50), 3: jpeg()})):
        ingest("test", str(write_split(tmp_path / name / "test", {}, photos)), str(tmp_path / name / "r"), jobs=1)
        sides.append(registry.open(str(tmp_path / name / "r")))
    diff = sides[0].diff(sides[1])
    assert counts(diff) == ((1, 0, 1), (0, 0, 0), (0, 0))
    assert [(change.change, change.fields) for change in diff.images()] == [("changed", ["width"]), ("added", ())]
    assert counts(sides[0].diff(sides[1], Subset.of(category="skirt"))) == ((0, 0, 0), (0, 0, 0), (0, 0))


def test_a_split_on_a_single_side_is_added_or_removed_as_a_whole(small: Registry, tmp_path: Path) -> None:
    both = make(tmp_path, train=SMALL_SPLIT, validation=VALIDATION)
    added = ((2, 0, 0), (2, 0, 0), (1, 0))
    assert counts(small.diff(both)) == added
    assert counts(small.diff(both, Subset.of(split="validation"))) == added
    assert counts(both.diff(small, Subset.of(split=["validation", "train"]))) == ((0, 2, 0), (0, 2, 0), (0, 1))
    assert small.diff(both).summary.splits == ["train", "validation"]
    assert small.diff(both, Subset.of(split="train")).summary.is_same


def test_registries_that_cannot_be_compared_are_an_error(small: Registry, tmp_path: Path) -> None:
    both = make(tmp_path, train=SMALL_SPLIT, validation=VALIDATION)
    text = f"The split test is neither in {small.place} nor in {both.place}; there is: train, validation."
    with pytest.raises(UnknownNameError) as caught:
        small.diff(both, Subset.of(split="test"))
    assert str(caught.value) == text
    with pytest.raises(UsageError, match="Unknown column 'nothing'"):
        small.diff(both, Subset.of(where="nothing > 1"))
    for path in (tmp_path / "registry" / "items").rglob("*.parquet"):
        path.unlink()
    with pytest.raises((RegistryFormatError, NotFoundError)):
        small.diff(both)


SUBSETS: list[dict[str, Any]] = [
    {},
    {"category": ["skirt", "trousers"]},
    {"category": "short sleeve top", "occlusion": 1},
    {"source": "shop"},
    {"style": "1-"},
    {"pair_id": 1},
    {"image_id": ["1-2", 8]},
    {"has_landmarks": True},
    {"min_box_area": 20_000},
    {"where": "x2 - x1 > 100 OR scale = 3"},
    {"paired": True},
    {"paired": True, "sample": "50%"},
    {"whole_images": True, "category": "skirt"},
    {"whole_images": True, "sample": 2, "seed": 3},
    {"sample": "50%"},
    {"sample": 3, "seed": 1},
    {"limit": 4},
    {"limit": 0},
    {"split": "train"},
]


@pytest.mark.parametrize("options", SUBSETS, ids=str)
def test_the_difference_of_a_subset_compares_the_selections_of_both_sides(
    small: Registry, version_1: Registry, changed: Registry, options: dict[str, Any]
) -> None:
    subset = Subset.of(**options)
    rows = {side: rows_of(side, subset) for side in (small, version_1, changed)}
    for old, new in ((small, changed), (changed, version_1), (version_1, changed), (version_1, small)):
        actual = old.diff(new, subset).summary.counts()
        assert {of: Counter(numbers) for of, numbers in actual.items()} == naive(rows[old], rows[new])


@pytest.mark.parametrize("options", [{}, {"where": "true"}, {"limit": 0}], ids=str)
def test_rows_are_compared_in_slices_with_the_same_result(
    small: Registry, changed: Registry, tmp_path: Path, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    both = make(tmp_path, train=SMALL_SPLIT, validation=VALIDATION)
    for old, new in ((small, changed), (both, changed), (changed, both)):
        expected = old.diff(new, Subset.of(**options))
        with monkeypatch.context() as patch:
            patch.setattr("registry.store.comparison.SLICE_ITEMS", 2)
            actual = old.diff(new, Subset.of(**options))
        assert actual.summary == expected.summary
        assert list(actual.items()) == list(expected.items())
        assert list(actual.images()) == list(expected.images())
        assert list(actual.instance_pairs()) == list(expected.instance_pairs())


@pytest.fixture(scope="session")
def changed(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """Return a registry in which most images of SMALL_SPLIT are different."""
    split = deepcopy(SMALL_SPLIT)
    del split[2]
    split[1]["item1"] |= {"scale": 3, "bounding_box": [0, 0, 200, 200]}
    split[1]["item2"] = item(9, 2)
    split[3]["item3"] = item(2, 2)
    split[4]["source"] = "user"
    split[8] = annotation([item(1, 1), item(9, 2)], "shop", 1)
    return make(tmp_path_factory.mktemp("changed"), train=split)


ONE = st.builds(
    lambda category, style, scale, x: item(category, style, scale=scale, bounding_box=[x, 0, 9, 9]),
    st.sampled_from([1, 9]),
    st.integers(0, 2),
    st.integers(1, 2),
    st.sampled_from([0, -0.0, 1, 1.5]),
)
FILES = st.builds(
    annotation,
    st.dictionaries(st.sampled_from(["item1", "item2", "item4"]), ONE, min_size=1),
    st.sampled_from(["user", "shop"]),
    st.integers(1, 2),
)
RELEASES = st.dictionaries(st.integers(1, 6), FILES, min_size=1)


@given(RELEASES, RELEASES, st.integers(0, 6), st.sampled_from(SUBSETS))
@settings(max_examples=25)
def test_any_two_releases_differ_as_dictionaries_say(
    old: Split, new: Split, shared: int, options: dict[str, Any]
) -> None:
    new = new | {number: document for number, document in old.items() if int(number) <= shared}
    with tempfile.TemporaryDirectory() as folder:
        before, after = make(Path(folder) / "old", train=old), make(Path(folder) / "new", train=new)
        subset = Subset.of(**options)
        diff = before.diff(after, subset)
        expected = naive(rows_of(before, subset), rows_of(after, subset))
        assert {of: Counter(numbers) for of, numbers in diff.summary.counts().items()} == expected
        assert Counter(change.change for change in diff.items()) == +expected["items"]
        assert Counter(change.change for change in diff.images()) == +expected["images"]
        assert Counter(row["change"] for row in diff.instance_pairs()) == +expected["instance_pairs"]
        assert all(change.fields for change in diff.items() if change.change == "changed")


def test_many_changes_are_read_in_batches(small: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("registry.store.changes._BATCH", 2)
    new = make(
        tmp_path,
        train=edited(lambda s: [one.update(zoom_in=3) for k in s for key, one in s[k].items() if "item" in key]),
    )
    actual = list(small.diff(new).items())
    assert [(change.old, change.new) for change in actual] == [({"zoom_in": 1}, {"zoom_in": 3})] * 8
    keys = [(change.key["image_id"], change.key["item_no"]) for change in actual]
    assert keys == [(1, 1), (1, 2), (2, 2), (2, 5), (3, 1), (4, 1), (4, 2), (7, 1)]


def test_files_of_both_versions_are_not_read(small: Registry, tmp_path: Path, files_read: list[DataFile]) -> None:
    made = make(tmp_path, train=edited(lambda s: s[7]["item1"].update(scale=3)))
    old, new = registry.open(str(small.place)), registry.open(str(made.place))
    (category_id,) = {item["category_id"] for item in SMALL_SPLIT[7].values() if isinstance(item, dict)}
    files_read.clear()
    diff = old.diff(new)
    assert [change.lines() for change in diff.items()] == [["scale 2 -> 3"]]
    # Images have the digest of their annotation file.
    folders = {file.path.rpartition("/")[0] for file in files_read}
    assert folders == {"images/split=train", f"items/split=train/category_id={category_id}"}


def test_a_registry_of_version_1_has_no_hashes_and_everything_else(small: Registry, version_1: Registry) -> None:
    assert (version_1.manifest.schema_version, small.manifest.schema_version) == (1, 3)
    files = [version_1.place.path / file.path for file in version_1.manifest.of_table("items") if version_1.place.path]
    assert all("content_hash" not in pq.read_schema(file).names for file in files)
    assert version_1.sql("SELECT DISTINCT content_hash, typeof(content_hash) FROM items").fetchall() == [
        (None, "BIGINT")
    ]
    for name in TABLES:
        query = f"SELECT {', '.join(column.name for column in TABLES[name].columns if column.since == 1)} FROM {name}"
        assert sorted(version_1.sql(query).fetchall(), key=str) == sorted(small.sql(query).fetchall(), key=str)
    assert version_1.stats() == small.stats()
    assert version_1.image("train", 2).fetchall() == small.image("train", 2).fetchall()
    assert version_1.style("train", 1, 1).fetchall() == small.style("train", 1, 1).fetchall()
    assert version_1.tables("items") == small.tables("items")


def test_versions_can_be_compared_with_each_other(small: Registry, version_1: Registry, changed: Registry) -> None:
    for old, new in ((version_1, small), (small, version_1), (version_1, version_1)):
        assert old.diff(new).summary.is_same
    expected, actual = small.diff(changed), version_1.diff(changed)
    assert actual.summary == expected.summary
    assert list(actual.items()) == list(expected.items())
    assert list(actual.instance_pairs()) == list(expected.instance_pairs())


def test_a_split_ingested_anew_does_not_make_a_registry_of_version_1_lie(tmp_path: Path) -> None:
    made = make(tmp_path, train=SMALL_SPLIT, validation=VALIDATION)
    make_version_1(tmp_path / "registry")
    ingest("train", str(tmp_path / "train"), str(tmp_path / "registry"), jobs=1)
    mixed = registry.open(str(tmp_path / "registry"))
    assert mixed.manifest.schema_version == 1
    assert mixed.sql("SELECT count(*), count(content_hash) FROM items").fetchall() == [(10, 0)]
    ingest("validation", str(tmp_path / "validation"), str(tmp_path / "registry"), jobs=1)
    assert made.sql("SELECT count(*), count(content_hash) FROM items").fetchall() == [(10, 10)]
    assert made.manifest.schema_version == 3
