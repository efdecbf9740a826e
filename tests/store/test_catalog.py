"""The database file over a registry, read by this DuckDB and, where installed, by a client of version 1."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pytest

from registry.dataset.tables import TABLES
from registry.dataset.views import load_views
from registry.errors import ConflictError, NotFoundError, StorageError, UsageError
from registry.ingest.build import ingest
from registry.storage.place import Place
from registry.store.catalog import write_catalog
from registry.store.registry import Registry
from tests.helpers import annotation, item, write_split
from tests.registries import make_three_splits

NAMES = [*TABLES, *load_views()]


def read(file: Path, query: str) -> list[tuple[Any, ...]]:
    """Return the rows of a query on a database file, as any client asks for them."""
    with duckdb.connect(str(file), read_only=True) as connection:
        return connection.execute(query).fetchall()


@pytest.mark.parametrize("copy", [False, True])
def test_a_catalog_has_every_table_and_view_with_the_rows_of_the_registry(
    df2: Registry, three_splits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, copy: bool
) -> None:
    write_catalog(Place(str(three_splits)), tmp_path / "df2.duckdb", copy=copy)
    monkeypatch.chdir("/")
    for name in NAMES:
        query = f"SELECT * FROM {name} ORDER BY ALL"
        assert read(tmp_path / "df2.duckdb", query) == df2.sql(query).fetchall()
        query = f"DESCRIBE {name}"
        assert read(tmp_path / "df2.duckdb", query) == df2.sql(query).fetchall()


def test_a_catalog_of_a_relative_path_can_be_read_from_anywhere(
    three_splits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(three_splits.parent)
    write_catalog(Place(three_splits.name), tmp_path / "df2.duckdb")
    monkeypatch.chdir("/")
    assert read(tmp_path / "df2.duckdb", "SELECT count(*) FROM instance_pairs") == [(6,)]


@pytest.mark.parametrize("copy", [False, True])
def test_the_comments_of_a_catalog_are_the_declared_meanings(three_splits: Path, tmp_path: Path, copy: bool) -> None:
    write_catalog(Place(str(three_splits)), tmp_path / "df2.duckdb", copy=copy)
    kind = "duckdb_tables()" if copy else "duckdb_views()"
    name = "table_name" if copy else "view_name"
    comments = dict(read(tmp_path / "df2.duckdb", f"SELECT {name}, comment FROM {kind} WHERE NOT internal"))
    assert {table: comments[table] for table in TABLES} == {table.name: table.meaning for table in TABLES.values()}
    columns = "SELECT column_name, comment FROM duckdb_columns() WHERE table_name = 'items'"
    described = dict(read(tmp_path / "df2.duckdb", columns))
    assert described["x1"] == "Left edge of the bounding box. [px from the left edge]"
    assert all(described.values())
    views = dict(read(tmp_path / "df2.duckdb", "SELECT view_name, comment FROM duckdb_views() WHERE NOT internal"))
    assert {view: views[view] for view in load_views()} == {v.name: v.meaning for v in load_views().values()}


def test_a_catalog_shows_the_registry_as_it_is_after_an_ingestion(tmp_path: Path) -> None:
    target = make_three_splits(tmp_path)
    write_catalog(Place(str(target)), tmp_path / "df2.duckdb")
    write_catalog(Place(str(target)), tmp_path / "copy.duckdb", copy=True)
    shutil.rmtree(tmp_path / "validation")
    write_split(tmp_path / "validation", {9: annotation([item(9, 4)]), 10: annotation([item(3, 4)], "shop")})
    ingest("validation", str(tmp_path / "validation"), str(target), jobs=1)
    query = "SELECT * FROM instance_pairs WHERE split = 'validation'"
    assert read(tmp_path / "df2.duckdb", query) == [("validation", 1, 4, 9, 1, 9, 10, 1, 3)]
    assert read(tmp_path / "copy.duckdb", query) == [("validation", 1, 1, 1, 1, 7, 2, 1, 7)]


def test_a_catalog_with_copies_needs_the_registry_no_more(tmp_path: Path) -> None:
    target = make_three_splits(tmp_path)
    write_catalog(Place(str(target)), tmp_path / "copy.duckdb", copy=True)
    shutil.rmtree(target)
    assert read(tmp_path / "copy.duckdb", "SELECT split, num_instance_pairs FROM split_counts") == [
        ("test", 0),
        ("train", 5),
        ("validation", 1),
    ]


def test_a_catalog_replaces_the_earlier_catalog_and_leaves_no_other_file(three_splits: Path, tmp_path: Path) -> None:
    for copy in (True, False, True):
        write_catalog(Place(str(three_splits)), tmp_path / "df2.duckdb", copy=copy)
    assert os.listdir(tmp_path) == ["df2.duckdb"]


@pytest.mark.parametrize("name", ["o'brien é", 'a "b" c', "br[1]*?x", "$HOME"])
def test_a_catalog_works_in_and_over_folders_of_any_name(three_splits: Path, tmp_path: Path, name: str) -> None:
    target = tmp_path / name / "registry"
    shutil.copytree(three_splits, target)
    shutil.copytree(three_splits, tmp_path / "br1xx" / "registry")  # the folder that an unescaped pattern would match
    file = tmp_path / name.replace("?", "") / "df2 o'catalog.duckdb"  # DuckDB cuts its own paths at a question mark
    file.parent.mkdir(exist_ok=True)
    write_catalog(Place(str(target)), file)
    assert read(file, "SELECT count(*) FROM items") == [(10,)]


def test_a_catalog_that_cannot_be_written_is_an_error_of_storage(three_splits: Path, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=f"^Cannot write {tmp_path}/none/df2.duckdb: "):
        write_catalog(Place(str(three_splits)), tmp_path / "none" / "df2.duckdb")


def test_a_catalog_of_no_registry_or_of_a_remote_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="There is no registry at"):
        write_catalog(Place(str(tmp_path)), tmp_path / "df2.duckdb")
    with pytest.raises(UsageError, match="copy its rows into the catalog with --copy"):
        write_catalog(Place("memory://x"), tmp_path / "df2.duckdb")
    assert os.listdir(tmp_path) == []


_COLUMNS = sorted({column.name for table in TABLES.values() for column in table.columns})


@pytest.mark.parametrize("copy", [False, True])
@pytest.mark.parametrize("change", [str, str.upper])
def test_no_folder_above_a_registry_changes_a_column_of_its_catalog(
    df2: Registry, three_splits: Path, tmp_path: Path, copy: bool, change: Any
) -> None:
    target = tmp_path.joinpath(*(f"{change(name)}=7" for name in _COLUMNS), "registry")
    shutil.copytree(three_splits, target)
    write_catalog(Place(str(target)), tmp_path / "df2.duckdb", copy=copy)
    for name in NAMES:
        query = f"SELECT * FROM {name} ORDER BY ALL"
        assert read(tmp_path / "df2.duckdb", query) == df2.sql(query).fetchall()
    assert not _other_counts(tmp_path / "df2.duckdb", df2)


def test_a_catalog_reads_the_files_of_the_splits_and_categories_asked_for_alone(
    three_splits: Path, tmp_path: Path
) -> None:
    write_catalog(Place(str(three_splits)), tmp_path / "df2.duckdb")
    query = "EXPLAIN ANALYZE SELECT sum(style) FROM items WHERE split = 'train' AND category_id IN (8, 9)"
    ((_, plan),) = read(tmp_path / "df2.duckdb", query)
    assert "Scanning Files: 2/" in plan


@pytest.mark.parametrize("name", ["back\\slash", "two\nlines"])
def test_a_registry_in_a_path_that_no_pattern_can_name_is_refused_or_copied(
    three_splits: Path, tmp_path: Path, name: str
) -> None:
    target = tmp_path / name / "registry"
    shutil.copytree(three_splits, target)
    with pytest.raises(UsageError, match=r"cannot read the registry .* by its path.*with --copy, or move it"):
        write_catalog(Place(str(target)), tmp_path / "df2.duckdb")
    write_catalog(Place(str(target)), tmp_path / "df2.duckdb", copy=True)
    assert read(tmp_path / "df2.duckdb", "SELECT count(*) FROM items") == [(10,)]


@pytest.mark.parametrize("name", ["what?.duckdb", "back\\slash.duckdb", "two\nlines.duckdb", "v[1].duckdb"])
def test_a_catalog_may_have_any_name(three_splits: Path, tmp_path: Path, name: str) -> None:
    for _ in range(2):
        write_catalog(Place(str(three_splits)), tmp_path / name)
    assert os.listdir(tmp_path) == [name]
    os.rename(tmp_path / name, tmp_path / "df2.duckdb")
    assert read(tmp_path / "df2.duckdb", "SELECT count(*) FROM items") == [(10,)]


def _other_database(path: Path) -> None:
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE items AS SELECT 1 AS id")


def _catalog_with_more(path: Path, three_splits: Path) -> None:
    write_catalog(Place(str(three_splits)), path)
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE mine AS SELECT 1 AS id")


@pytest.mark.parametrize("kind", ["text", "folder", "database", "more"])
def test_nothing_but_an_earlier_catalog_is_replaced(three_splits: Path, tmp_path: Path, kind: str) -> None:
    file = tmp_path / "notes"
    {
        "text": lambda: file.write_text("mine"),
        "folder": file.mkdir,
        "database": lambda: _other_database(file),
        "more": lambda: _catalog_with_more(file, three_splits),
    }[kind]()
    before = file.read_bytes() if file.is_file() else b""
    with pytest.raises(
        UsageError, match=r"notes is there and is not a catalog that 'df2 catalog' wrote: name another file"
    ):
        write_catalog(Place(str(three_splits)), file)
    assert os.listdir(tmp_path) == ["notes"]
    assert not before or file.read_bytes() == before


OF_THE_USER = {
    "CREATE MACRO mine(x) AS x + 1": "the macro mine",
    "CREATE MACRO mine(x) AS TABLE SELECT x": "the macro mine",
    "CREATE SCHEMA mine": "the schema mine",
    "CREATE SCHEMA mine; CREATE TABLE mine.items (id INT PRIMARY KEY)": "the schema mine, the table mine.items",
    "CREATE SCHEMA mine; CREATE VIEW mine.split_counts AS SELECT 1 AS a": "the schema mine, the view mine.split_counts",
    "CREATE VIEW mine AS SELECT 1 AS a": "the view mine",
    "CREATE OR REPLACE VIEW split_counts AS SELECT 1 AS a": "the view split_counts",
    "CREATE SEQUENCE mine": "the sequence mine",
    "CREATE TYPE mine AS ENUM ('a')": "the type mine",
    "CREATE INDEX mine ON items (style)": "the index mine",
    "ALTER TABLE items ADD COLUMN mine INT": "the column items.mine",
    "ALTER TABLE items ALTER COLUMN style SET NOT NULL": "the constraint items.items_style_not_null",
    "COMMENT ON TABLE items IS 'mine'": "the table items",
    "COMMENT ON COLUMN items.style IS 'mine'": "the column items.style",
    "COMMENT ON COLUMN split_counts.split IS 'mine'": "the column split_counts.split",
    "; ".join(f"CREATE TABLE mine{k} (a INT)" for k in range(9)): (
        "the table mine0, the table mine1, the table mine2, the table mine3, the table mine4 and 4 more"
    ),
}


@pytest.fixture(scope="module")
def copied_catalog(three_splits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a catalog with all rows, which no test changes."""
    file = tmp_path_factory.mktemp("catalog") / "df2.duckdb"
    write_catalog(Place(str(three_splits)), file, copy=True)
    return file


@pytest.mark.parametrize("statement", OF_THE_USER)
def test_a_catalog_to_which_the_user_added_something_is_not_replaced(
    three_splits: Path, copied_catalog: Path, tmp_path: Path, statement: str
) -> None:
    file = Path(shutil.copy(copied_catalog, tmp_path))
    with duckdb.connect(str(file)) as connection:
        connection.execute(statement)
    before = file.read_bytes()
    with pytest.raises(UsageError, match=r"is not a catalog that .* Replacing it would lose ") as told:
        write_catalog(Place(str(three_splits)), file)
    lost = str(told.value).partition(" would lose ")[2].removesuffix(".")
    assert lost == OF_THE_USER[statement]
    assert file.read_bytes() == before


def test_a_catalog_to_which_the_user_added_something_is_replaced_if_asked_for(
    three_splits: Path, copied_catalog: Path, tmp_path: Path
) -> None:
    file = Path(shutil.copy(copied_catalog, tmp_path))
    with duckdb.connect(str(file)) as connection:
        connection.execute("; ".join(("CREATE SCHEMA mine", "CREATE TABLE mine.items (id INT)", "CREATE SEQUENCE one")))
    write_catalog(Place(str(three_splits)), file, overwrite=True)
    assert read(file, "SELECT schema_name FROM duckdb_schemas() WHERE schema_name = 'mine'") == []


_CHANGE = """
import duckdb, os, sys
connection = duckdb.connect(sys.argv[1])
connection.execute("SET wal_autocheckpoint = '1GB'")
connection.execute("CREATE TABLE mine AS SELECT 1 AS a")
print(flush=True)
sys.stdin.readline()
os.kill(os.getpid(), 9)
"""


@contextmanager
def _client(script: str, file: Path) -> Iterator[None]:
    """Run a process that has a database open until the block ends."""
    command = [sys.executable, "-c", script, str(file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as client:
        assert client.stdout
        client.stdout.readline()
        yield
        client.communicate("\n")


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("is_there", [False, True], ids=["new", "over a catalog"])
def test_changes_that_a_client_has_not_written_into_its_file_are_not_lost(
    three_splits: Path, tmp_path: Path, is_there: bool, overwrite: bool
) -> None:
    place, file = Place(str(three_splits)), tmp_path / "df2.duckdb"
    if is_there:
        write_catalog(place, file)
    unwritten = r"df2\.duckdb\.wal holds changes that are not in .*df2\.duckdb yet"
    with _client(_CHANGE, file), pytest.raises(UsageError, match=unwritten):
        write_catalog(place, file, overwrite=overwrite)
    if not is_there:
        file.unlink()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert set(before) == {"df2.duckdb.wal"} | ({"df2.duckdb"} if is_there else set())
    with pytest.raises(UsageError, match=r"df2\.duckdb\.wal holds changes .* open .* with DuckDB and close it"):
        write_catalog(place, file, overwrite=overwrite)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


_OPEN = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print(flush=True); sys.stdin.readline()"


def test_a_catalog_that_another_process_has_open_for_writing_is_not_replaced(
    three_splits: Path, tmp_path: Path
) -> None:
    place, file = Place(str(three_splits)), tmp_path / "df2.duckdb"
    write_catalog(place, file)
    is_open = r"Another process has .*df2\.duckdb open and may write to it"
    with _client(_OPEN, file), pytest.raises(ConflictError, match=is_open):
        write_catalog(place, file, overwrite=True)
    write_catalog(place, file)


def test_files_beside_a_catalog_stay(three_splits: Path, tmp_path: Path) -> None:
    names = [".df2.duckdb.partial", ".df2.duckdb.partial.wal", "df2.duckdb.partial"]
    for name in names:
        (tmp_path / name).write_bytes(b"mine")
    write_catalog(Place(str(three_splits)), tmp_path / "df2.duckdb")
    assert sorted(os.listdir(tmp_path)) == sorted([*names, "df2.duckdb"])


def _other_counts(file: Path, df2: Registry) -> dict[str, int]:
    """Return the counts of tables and views that a client of DuckDB 1 finds otherwise than the registry."""
    client = os.environ.get("DF2_DUCKDB1")
    if not client:
        return {}
    shown = subprocess.run(
        [sys.executable, "-c", _CLIENT, str(file), *NAMES],
        env={**os.environ, "PYTHONPATH": client},
        cwd="/",
        capture_output=True,
        text=True,
        check=True,
    )
    counts = json.loads(shown.stdout)
    return {n: counts[n] for n in NAMES if counts[n] != df2.sql(f"SELECT count(*) FROM {n}").fetchall()[0][0]}


_CLIENT = """
import duckdb, json, sys
connection = duckdb.connect(sys.argv[1], read_only=True)
assert duckdb.__version__.startswith("1."), duckdb.__version__
print(json.dumps({name: connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in sys.argv[2:]}))
"""


@pytest.mark.parametrize("copy", [False, True])
def test_a_client_of_duckdb_1_reads_every_table_and_view(
    df2: Registry, three_splits: Path, tmp_path: Path, copy: bool
) -> None:
    client = os.environ.get("DF2_DUCKDB1")
    if not client:
        pytest.skip("DF2_DUCKDB1 is unset; it names a folder made by: pip install --target FOLDER duckdb==1.1.3")
    file = tmp_path / "o'brien é.duckdb"
    write_catalog(Place(str(three_splits)), file, copy=copy)
    shown = subprocess.run(
        [sys.executable, "-c", _CLIENT, str(file), *NAMES],
        env={**os.environ, "PYTHONPATH": client},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.returncode == 0, shown.stderr
    assert json.loads(shown.stdout) == {n: df2.sql(f"SELECT count(*) FROM {n}").fetchall()[0][0] for n in NAMES}
