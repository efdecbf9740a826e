"""The Croissant description: mlcroissant validates and loads it, and its keys and references name fields."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import mlcroissant
import pytest
from click.testing import CliRunner

import registry
from registry.cli.main import main
from registry.dataset.deepfashion2 import CATEGORIES
from registry.dataset.tables import FIELDS, TABLES
from registry.dataset.terms import TERMS, TERMS_URL
from registry.dataset.views import load_views
from registry.report.croissant import CROISSANT_NAME, PAIR_VIEWS, describe, write_description
from registry.snapshot.sync import sync
from registry.snapshot.verify import verify_registry
from registry.storage.place import Place
from tests.registries import make_three_splits

pytestmark = [
    # mlcroissant reads the description anew for every record set, which takes half a second.
    pytest.mark.xdist_group("croissant"),
    # Of rdflib and pandas, by which mlcroissant reads JSON-LD and tables.
    pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated"),
    pytest.mark.filterwarnings("ignore:The inplace keyword"),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a registry of three small splits with its description."""
    path: Path = make_three_splits(tmp_path_factory.mktemp("described"))
    assert write_description(registry.open(str(path)))[0] == CROISSANT_NAME
    return path


@pytest.fixture(scope="module")
def document(place: Path) -> dict[str, Any]:
    """Return the description."""
    return dict(json.loads((place / CROISSANT_NAME).read_text()))


def fields_of(record_set: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the fields of a record set and those in them."""
    for field in record_set["field"]:
        yield field
        yield from field.get("subField", [])


def plain(value: Any) -> Any:
    """Return a loaded value without the types of NumPy, and texts instead of bytes."""
    if isinstance(value, list):
        return [plain(member) for member in value]
    if isinstance(value, bytes):
        return value.decode()
    return value.item() if hasattr(value, "item") else value


Loaded = Callable[[str], list[dict[str, Any]]]


@pytest.fixture(scope="module")
def loaded(place: Path) -> Loaded:
    """Return a function that gives the records of a record set, which mlcroissant loads once for all tests.

    A record has the names of its columns; the edges of a box stand among them.
    """

    @cache
    def loaded(name: str) -> list[dict[str, Any]]:
        # Once mlcroissant 1.1.1 has read a record set that refers to another, it yields no records of that other one.
        fresh = mlcroissant.Dataset(jsonld=str(place / CROISSANT_NAME))
        rows = []
        for record in fresh.records(name):
            flat: dict[str, Any] = {}
            for field, value in dict(record).items():
                flat.update(value if isinstance(value, dict) else {field: value})
            rows.append({field.removeprefix(f"{name}/"): plain(value) for field, value in flat.items()})
        return rows

    return loaded


def test_mlcroissant_finds_nothing_to_say(place: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        dataset = mlcroissant.Dataset(jsonld=str(place / CROISSANT_NAME))
    assert caplog.messages == []
    issues = dataset.metadata.ctx.issues
    assert (issues.errors, issues.warnings) == (set(), set())


@pytest.mark.parametrize("name", [*(name for name in TABLES if name != "quarantine"), *PAIR_VIEWS])
def test_every_table_is_loaded_as_the_registry_reads_it(place: Path, loaded: Loaded, name: str) -> None:
    opened = registry.open(str(place))
    if name in TABLES and not opened.manifest.of_table(name):
        pytest.skip(f"the registry has no file of the table {name}")
    relation = opened.sql(f"FROM {name}")
    key = TABLES[name].key if name in TABLES else load_views()[name].key
    expected = [dict(zip(relation.columns, row, strict=True)) for row in relation.fetchall()]

    def by_key(row: dict[str, Any]) -> tuple[Any, ...]:
        return tuple(row[column] for column in key)

    rows = sorted(loaded(name), key=by_key)
    assert rows == sorted(expected, key=by_key)


def test_splits_and_codes_are_loaded(loaded: Loaded) -> None:
    assert [row["name"] for row in loaded("splits")] == ["train", "validation", "test"]
    assert loaded("occlusion")[0] == {"code": 1, "meaning": "slight or none"}
    assert len(loaded("categories")) == len(CATEGORIES)


def test_every_key_names_fields_of_its_record_set_and_is_unique(document: dict[str, Any], loaded: Loaded) -> None:
    for record_set in document["recordSet"]:
        name = record_set["@id"]
        keys = record_set["key"] if isinstance(record_set["key"], list) else [record_set["key"]]
        ids = [key["@id"] for key in keys]
        assert set(ids) <= {field["@id"] for field in fields_of(record_set)}
        rows = loaded(name)
        values = [tuple(row[key.removeprefix(f"{name}/")] for key in ids) for row in rows]
        assert len(set(values)) == len(values), name


def test_every_reference_names_a_key_field_of_another_record_set_and_is_fulfilled(
    document: dict[str, Any], loaded: Loaded
) -> None:
    sets = {record_set["@id"]: record_set for record_set in document["recordSet"]}
    count = 0
    for name, record_set in sets.items():
        for field in fields_of(record_set):
            if "references" not in field:
                continue
            count += 1
            target = field["references"]["field"]["@id"]
            other = target.partition("/")[0]
            keys = sets[other]["key"]
            assert target in {key["@id"] for key in (keys if isinstance(keys, list) else [keys])}
            column = field["@id"].removeprefix(f"{name}/")
            values = {row[column] for row in loaded(name)} - {None}
            assert values <= {row[target.removeprefix(f"{other}/")] for row in loaded(other)}
    assert count > 20


def test_every_file_of_the_manifest_is_named_with_its_digest(place: Path, document: dict[str, Any]) -> None:
    objects = {entry["@id"]: entry for entry in document["distribution"] if entry["@type"] == "cr:FileObject"}
    files = [file for file in registry.open(str(place)).manifest.files if file.table != "quarantine"]
    assert {file.path for file in files} | {f"croissant/{view}.parquet" for view in PAIR_VIEWS} == set(objects)
    for path, entry in objects.items():
        data = (place / path).read_bytes()
        assert entry["contentUrl"] == path
        assert entry["sha256"] == hashlib.sha256(data).hexdigest()
        assert entry["contentSize"] == f"{len(data)} B"
    includes = [set(entry["includes"]) for entry in document["distribution"] if entry["@type"] == "cr:FileSet"]
    assert set.union(*includes) <= set(objects)


def test_types_and_descriptions_come_from_the_declaration(document: dict[str, Any]) -> None:
    sets = {record_set["@id"]: record_set for record_set in document["recordSet"]}
    for table in TABLES.values():
        if table.name not in sets:
            continue
        described = {field["name"]: field for field in fields_of(sets[table.name])}
        assert [name for name in described if name != "bbox"] == [column.name for column in table.columns]
        assert all(
            described[name]["description"].startswith(FIELDS[name].meaning) for name in described.keys() & FIELDS
        )
    items = {field["name"]: field for field in fields_of(sets["items"])}
    assert items["bbox"]["dataType"] == "cr:BoundingBox"
    assert items["segmentation"]["dataType"] == ["cr:Float64", "cr:SegmentationMask"]
    assert (items["segmentation"]["arrayShape"], items["landmarks"]["arrayShape"]) == ("-1,-1", "-1")
    assert items["style"]["dataType"] == "cr:Int32"


def test_the_terms_of_the_authors_are_the_licence(document: dict[str, Any]) -> None:
    assert (document["license"], document["usageInfo"]) == (TERMS_URL, TERMS)
    assert "A Versatile Benchmark" in document["citeAs"]


def test_a_changed_file_is_not_loaded(place: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    sync(Place(str(place)), Place(str(copy)))
    write_description(registry.open(str(copy)))
    (copy / "croissant" / "image_pairs.parquet").write_bytes(b"PAR1")
    dataset = mlcroissant.Dataset(jsonld=str(copy / CROISSANT_NAME))
    with pytest.raises(Exception, match=r"Download\(croissant/image_pairs.parquet\)"):
        list(dataset.records("image_pairs"))


def test_the_same_registry_gives_the_same_bytes_and_stays_a_sound_registry(place: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    sync(Place(str(place)), Place(str(copy)))
    first, second = describe(registry.open(str(place))), describe(registry.open(str(copy)))
    assert first == second
    assert first.text == (place / CROISSANT_NAME).read_bytes()
    assert verify_registry(Place(str(place))).is_whole


def test_the_command_writes_into_the_registry_or_prints(place: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    sync(Place(str(place)), Place(str(copy)))
    printed = CliRunner().invoke(main, ["-r", str(copy), "croissant", "-"])
    assert printed.exit_code == 0
    assert not (copy / CROISSANT_NAME).exists()
    written = CliRunner().invoke(main, ["-r", str(copy), "croissant"])
    assert written.stdout.splitlines()[0] == f"{copy}/{CROISSANT_NAME}"
    assert (copy / CROISSANT_NAME).read_text() == printed.stdout
    assert CliRunner().invoke(main, ["-r", str(copy), "croissant", "elsewhere.json"]).exit_code == 2
    assert CliRunner().invoke(main, ["-r", str(copy), "--rev", "v1", "croissant"]).exit_code == 2


def test_a_registry_in_the_memory_of_a_remote_file_system_is_described(place: Path) -> None:
    sync(Place(str(place)), Place("memory://described"))
    opened = registry.open("memory://described")
    write_description(opened)
    assert opened.place.read(CROISSANT_NAME) == (place / CROISSANT_NAME).read_bytes()
