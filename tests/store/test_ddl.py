"""The statements of ``df2 views`` in a DuckDB session that knows nothing of the registry."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest
from click.testing import CliRunner

import registry
from registry.cli.main import main
from registry.dataset.tables import FIELDS, TABLES
from registry.dataset.views import load_views, schemas_folder, spark_views
from registry.errors import UnknownNameError, UsageError
from registry.ingest.build import ingest
from registry.snapshot.sync import sync
from registry.storage.place import Place
from registry.store.ddl import make_ddl, spark_type
from registry.store.registry import Registry
from tests.registries import make_version_2
from tests.servers.http import HTTPServer

NAMES = [*TABLES, *load_views()]


def read(registry: Registry, connection: duckdb.DuckDBPyConnection, names: Sequence[str] = NAMES) -> None:
    """Compare all rows, columns and types of tables and views with those of the registry."""
    connection.execute(str(make_ddl(registry)))
    for name in names:
        theirs, ours = connection.sql(f"FROM {name} ORDER BY ALL"), registry.sql(f"FROM {name} ORDER BY ALL")
        assert (theirs.columns, theirs.types) == (ours.columns, ours.types), name
        assert theirs.fetchall() == ours.fetchall(), name


def test_a_duckdb_session_has_all_rows_and_types(df2: Registry) -> None:
    read(df2, duckdb.connect())


def test_folders_above_the_registry_are_no_columns(small_source: Path, tmp_path: Path) -> None:
    target = tmp_path / "split=old [1] it's" / "category_id=x"
    ingest("train", str(small_source), str(target), jobs=1)
    read(registry.open(str(target)), duckdb.connect())


def test_columns_that_a_registry_is_too_old_for_are_null(small_registry: Path) -> None:
    old = registry.open(str(make_version_2(small_registry)))
    read(old, duckdb.connect())
    (images,) = make_ddl(old, "spark", ["images"]).statements
    assert "CAST(NULL AS TINYINT) AS orientation" in images


def test_a_duckdb_session_reads_a_bucket(bucket: dict[str, Any], small_registry: Path) -> None:
    import s3fs

    sync(Place(str(small_registry)), Place("s3://df2/registry", bucket))
    connection = duckdb.connect()
    connection.register_filesystem(s3fs.S3FileSystem(**bucket))
    # The views are the same text as over local files, and DuckDB asks the server for every file again in each.
    read(registry.open("s3://df2/registry", bucket), connection, [*TABLES, "instance_pairs"])


def test_a_password_in_a_url_is_not_printed(http_server: HTTPServer, small_registry: Path) -> None:
    shutil.copytree(small_registry, http_server.root / "r")
    place = http_server.url("r")
    result = CliRunner().invoke(main, ["-r", place.replace("://", "://ada:hunter2secret@"), "views", "images"])
    assert "hunter2secret" not in result.output
    assert f"['{place}/images/" in result.stdout
    assert f"note: The statements name {place} without its password" in result.stderr


def test_a_name_brings_what_it_reads_and_nothing_else(df2: Registry) -> None:
    created = [statement.split()[5] for statement in make_ddl(df2, names=["image_pairs"]).statements]
    assert created == ["items", "instance_pairs", "image_pairs"]
    created = [statement.split()[5] for statement in make_ddl(df2, "spark", ["landmark_visibility"]).statements]
    assert created == ["items", "categories", "landmark_slots", "landmarks", "landmark_visibility"]
    with pytest.raises(UnknownNameError, match=r"image_pair.*Did you mean 'image_pairs'"):
        make_ddl(df2, names=["image_pair"])
    with pytest.raises(UnknownNameError, match="hive"):
        make_ddl(df2, "hive")


def test_only_the_files_of_the_manifest_are_named(df2: Registry) -> None:
    for dialect in ("duckdb", "spark"):
        text = str(make_ddl(df2, dialect))
        assert "*" not in "".join(line for line in text.splitlines() if "parquet" in line)
        assert all(file.path.rpartition("/")[2] in text for file in df2.manifest.files)


def test_a_path_that_spark_takes_for_a_pattern_is_refused(small_source: Path, tmp_path: Path) -> None:
    target = tmp_path / "a[1]"
    ingest("train", str(small_source), str(target), jobs=1)
    with pytest.raises(UsageError, match=r"has '\[' '\]' in its path, which spark takes for something else"):
        make_ddl(registry.open(str(target)), "spark")


def test_every_type_of_a_field_has_one_in_spark() -> None:
    assert {spark_type(field.type) for field in FIELDS.values()} >= {"ARRAY<ARRAY<DOUBLE>>", "BINARY", "SMALLINT"}


def test_views_of_spark_stand_in_for_views_and_keep_their_headers() -> None:
    for file in (schemas_folder() / "views_spark").iterdir():
        view = load_views()[file.stem]
        assert spark_views()[file.stem].splitlines()[0] == f"-- {view.meaning}"
        assert spark_views()[file.stem].splitlines()[1] == f"-- key: {', '.join(view.key)}"


def test_the_command_prints_statements_that_a_shell_takes(three_splits: Path) -> None:
    result = CliRunner().invoke(main, ["-r", str(three_splits), "views", "identities"])
    assert result.exit_code == 0
    connection = duckdb.connect()
    connection.execute(result.stdout)
    assert connection.sql("SELECT count(*) FROM identities").fetchall() != [(0,)]
    assert result.stdout.endswith(";\n")
