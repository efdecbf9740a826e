"""Every table and view in Spark SQL, on a cluster of Sail, has the rows that DuckDB has; ``make test-spark``."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner

import registry
from registry.cli.main import main
from registry.dataset.tables import TABLES
from registry.dataset.views import load_views
from registry.sample import write_sample
from registry.snapshot.sync import sync
from registry.storage.place import Place
from registry.store.ddl import make_ddl
from registry.store.registry import Registry
from tests.servers.s3 import S3Server
from tests.servers.sail import run_sail

pytest.importorskip("pysail", reason="needs Sail: make test-spark")
pytest.importorskip("pyspark", reason="needs the client of Spark: make test-spark")

pytestmark = [
    pytest.mark.xdist_group("sail"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

SPLITS = ("train", "validation", "test")
NAMES = [*TABLES, *load_views()]


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """Return a registry with pairs, photos that are the same or alike, vectors, and a file in quarantine."""
    folder = tmp_path_factory.mktemp("sample")
    source, target = folder / "release", folder / "a registry"
    write_sample(source, 80, 0)
    photos = [source / split / "image" / "000001.jpg" for split in ("train", "validation")]
    shutil.copyfile(photos[0], photos[0].with_name("000002.jpg"))
    shutil.copyfile(photos[0], photos[1])
    (source / "train" / "annos" / "999999.json").write_text("{")
    model = ("embeddings", "make", "--photos", source, "-j", 1)
    for arguments in (
        *(("ingest", source, target, "--split", split, "--on-error", "quarantine", "-j", 1) for split in SPLITS),
        ("photos", "describe", "--photos", source, "-j", 1),
        (*model, "halves", "--embedder", "colour-texture", "--split", "train"),
        (*model, "singles", "--embedder", "colour-texture", "--split", "validation", "--dtype", "float32"),
    ):
        result = CliRunner().invoke(main, ["-q", "-r", str(target), *map(str, arguments)], catch_exceptions=False)
        assert result.exit_code in (0, 3), result.output
    # Another photo than the vectors were made of.
    (photos[0].with_name("000003.jpg")).write_bytes(photos[1].with_name("000002.jpg").read_bytes())
    CliRunner().invoke(main, ["-q", "-r", str(target), "photos", "describe", "--photos", str(source), "-j", "1"])
    return registry.open(str(target))


@pytest.fixture(scope="module")
def spark(moto_server: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Yield a session of a client of Spark."""
    from pyspark.sql import SparkSession

    with run_sail(tmp_path_factory.mktemp("sail"), {**moto_server.environment, "AWS_ALLOW_HTTP": "true"}) as url:
        session = SparkSession.builder.remote(url).getOrCreate()
        yield session
        session.stop()


@pytest.fixture(scope="module", params=["folder", "bucket"])
def session(request: pytest.FixtureRequest, spark: Any, sample: Registry, moto_server: S3Server) -> Any:
    """Return a session with all tables and views of the sample, in a folder or a bucket."""
    df2 = sample
    if request.param == "bucket":
        moto_server.make_bucket("spark")
        sync(sample.snapshot().place, Place("s3://spark/registry", moto_server.storage_options))
        df2 = registry.open("s3://spark/registry", moto_server.storage_options)
    ddl = make_ddl(df2, "spark")
    assert [notice.split(" are ")[0] for notice in ddl.notices] == ["The vectors of the model halves"]
    for statement in ddl.statements:
        spark.sql(statement)
    return spark


@pytest.mark.parametrize("name", NAMES)
def test_spark_has_the_rows_of_duckdb(session: Any, sample: Registry, name: str) -> None:
    theirs = session.sql(f"SELECT * FROM {name}").toArrow()
    ours = sample.sql(f"SELECT * FROM {name}").to_arrow_table()
    assert theirs.column_names == ours.column_names
    assert _types(theirs) == _types(ours)
    rows, expected = (sorted(_rows(table, name), key=repr) for table in (theirs, ours))
    assert expected or name == "corrections"
    assert rows == expected  # doubles to the last bit


def _types(table: Any) -> list[str]:
    """Return the types of the columns, without the names of elements of lists."""
    return [re.sub(r"\w+: | not null", "", str(kind)) for kind in table.schema.types]


def _rows(table: Any, name: str) -> list[tuple[Any, ...]]:
    """Return the rows of a table; vectors of half floats are NULL, as Spark does not read them."""
    rows = [tuple(row.values()) for row in table.to_pylist()]
    if name == "embeddings":
        return [(*row[:-1], None if row[1] == "halves" else row[-1]) for row in rows]
    return rows
