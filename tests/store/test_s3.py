"""A registry in an S3 bucket, on a server on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import registry
from registry.errors import NotFoundError, QueryError
from registry.ingest.build import ingest
from tests.helpers import annotation, item, write_split


def test_a_registry_in_a_bucket_answers_like_a_local_one(
    bucket: dict[str, Any], small_source: Path, small_registry: Path, tmp_path: Path
) -> None:
    url, options = "s3://df2/a/registry", bucket
    with pytest.raises(NotFoundError, match="There is no registry at s3://df2/a/registry"):
        registry.open(url, options)
    ingest("train", str(small_source), url, jobs=1, storage_options=options)
    actual, local = registry.open(url, options), registry.open(str(small_registry))
    assert actual.manifest == local.manifest
    assert actual.pairs().fetchall() == local.pairs().fetchall()
    assert actual.image("train", 4).fetchall() == local.image("train", 4).fetchall()
    assert actual.stats() == local.stats()
    with pytest.raises(QueryError, match="Permission Error"):
        actual.sql("SELECT * FROM read_text('/etc/hostname')").fetchall()

    write_split(tmp_path / "again", {1: annotation([item(5, 1)])})
    ingest("train", str(tmp_path / "again"), url, jobs=1, storage_options=options)
    assert registry.open(url, options).sql("SELECT category_name FROM items").fetchall() == [("vest",)]
