"""Ingestions whose outcome the tests of sources compare."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from registry.errors import AnnotationError
from registry.ingest.build import ingest
from registry.sources.listing import Source
from registry.sources.locate import locate_source
from registry.sources.open import open_location
from tests.helpers import notices_of
from tests.sources.packing import files_in


def ingested(source: object, target: Path, split: str = "train", **options: Any) -> dict[str, bytes]:
    """Ingest and return the registry's files; no notice or bad file is expected."""
    report = ingest(split, str(source), str(target), jobs=1, **options)
    assert (report.bad_files, notices_of(report)) == ([], [])
    return {name: data for name, data in files_in(target).items() if name != ".lock"}


def open_source(url: str, split: str, password: str | None = None) -> Source:
    """Return the source of a split at a path or URL."""
    return open_location(locate_source(url, split), split, None, password)


def refusal(source: object, tmp_path: Path, split: str = "train") -> list[str]:
    """Return the issues in the error of an ingestion that fails."""
    with pytest.raises(AnnotationError) as caught:
        ingest(split, str(source), str(tmp_path / "refused"), jobs=1)
    return [line.strip() for line in str(caught.value).splitlines()[1:-1]]
