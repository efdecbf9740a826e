"""Repeated keys, NaN and Infinity are errors in every JSON document."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from registry.cli.main import main
from registry.errors import RegistryFormatError
from registry.exports.manifest import ExportManifest
from registry.parsing.json_files import REPEATED, load_json
from registry.snapshot.manifest import MANIFEST_NAME, Manifest
from tests.dataset.test_names import export_manifest


@pytest.mark.parametrize(
    ("before", "after", "place"),
    [
        ('"files": [', '"files": [], "files": [', "files"),
        ('"sources": {', '"sources": {"train": "x", "train": "y"}, "other": {', "sources > train"),
        ('"rows": 1', '"rows": 1, "r\\u006fws": 2', "files > 0 > rows"),
        ('"schema_version": 3', '"schema_version": 1, "schema_version": 3', "schema_version"),
        ('"schema_version": 3', '"later": {"a": [{"b": 1, "b": 2}]}, "schema_version": 3', "later > a > 0 > b"),
    ],
)
def test_a_repeated_key_of_a_manifest_is_named_with_its_path(
    small_registry: Path, before: str, after: str, place: str
) -> None:
    manifest = Manifest.from_json((small_registry / MANIFEST_NAME).read_bytes(), "x")
    text = manifest.to_json().decode().replace('"rows": 13', '"rows": 1', 1)
    with pytest.raises(RegistryFormatError) as caught:
        Manifest.from_json(text.replace(before, after, 1).encode(), "s3://b/manifest.json")
    first, *lines = str(caught.value).split("\n")
    assert first == "s3://b/manifest.json is not a manifest of a registry:"
    assert f"manifest.json > {place}: {REPEATED}" in lines


def test_a_manifest_with_two_lists_of_files_is_not_read_as_empty(small_registry: Path, tmp_path: Path) -> None:
    shutil.copytree(small_registry, tmp_path / "twice")
    path = tmp_path / "twice" / MANIFEST_NAME
    path.write_text(path.read_text().rstrip()[:-1] + ', "files": []}')
    for command in ("stats", "verify"):
        place = ["--registry", str(path.parent)] if command == "stats" else []
        result = CliRunner().invoke(main, [*place, command, *([] if place else [str(path.parent)])])
        assert result.exit_code != 0
        assert f"manifest.json > files: {REPEATED}" in result.output


def test_a_repeated_key_of_an_export_is_named_with_its_path() -> None:
    text = export_manifest().decode().replace('"bytes": 1', '"bytes": 2, "bytes": 1', 1)
    with pytest.raises(RegistryFormatError, match=rf"export\.json > files > 0 > bytes: {REPEATED}"):
        ExportManifest.from_json(text.encode(), "out/export.json")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_nan_and_infinity_are_refused(number: str) -> None:
    for text in (export_manifest(later=1), export_manifest(options={"names": 1})):
        document = text.decode().replace('"later": 1', f'"later": {number}').replace('"names": 1', f'"names": {number}')
        with pytest.raises(RegistryFormatError, match="is not the manifest of an export: "):
            ExportManifest.from_json(document.encode(), "out/export.json")
    with pytest.raises(ValueError, match=f"expected JSON numbers, found {number}"):
        load_json(f'{{"a": {number}}}'.encode())


def test_a_valid_document_is_parsed() -> None:
    document = {"a": [{"b": 1}, {"b": 2.5}], "c": None, "é": "é"}
    assert load_json(json.dumps(document).encode()) == document
    with pytest.raises(ValueError, match=f"a > 1 > b: {REPEATED}"):
        load_json(b'{"a": [{"b": 1}, {"b": 2, "b": 3}]}')
