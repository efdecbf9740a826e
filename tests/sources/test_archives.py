"""Archives that are damaged, and archives that are read in place by several processes."""

from __future__ import annotations

import os
import random
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

import registry
from registry.errors import SourceError
from registry.ingest.build import ingest
from tests.helpers import SMALL_SPLIT, to_bytes
from tests.sources.ingesting import ingested, open_source
from tests.sources.packing import files_in, packed, write_zip

KINDS = (".zip", ".tar", ".tar.gz", ".tgz")


@pytest.mark.parametrize("kind", KINDS)
def test_an_archive_cut_short_anywhere_is_a_clear_error(kind: str, small_source: Path, tmp_path: Path) -> None:
    whole = packed(kind, files_in(small_source), tmp_path).read_bytes()
    before = ingested(small_source, tmp_path / "r")
    cut = tmp_path / f"cut{kind}"
    # In a plain tar every member ends at a multiple of 512, where nothing but the missing end tells.
    zeros = len(whole) - len(whole.rstrip(b"\0")) if kind == ".tar" else 0
    ends = range(0, len(whole) - zeros, 512 if kind == ".tar" else 97)
    for end in [*ends, len(whole) - zeros - 1]:
        cut.write_bytes(whole[:end])
        with pytest.raises(SourceError, match=r"is not a complete (zip|tar) archive .* Fetch it again\."):
            ingest("train", str(cut), str(tmp_path / "r"))
    assert ingested(small_source, tmp_path / "r") == before


@pytest.mark.parametrize("kind", [*KINDS, "aes"])
def test_a_damaged_archive_never_gives_a_wrong_row(kind: str, photographed: Path, tmp_path: Path) -> None:
    members = files_in(photographed)
    password = "secret" if kind == "aes" else None
    if kind == "aes":
        path = write_zip(tmp_path / "whole.zip", members, aes=password)
    else:
        path = packed(kind, members, tmp_path)
    ingest("train", str(path), str(tmp_path / "r"), password=password)
    query = "SELECT * FROM items ORDER BY ALL"
    expected = {repr(row) for row in registry.open(str(tmp_path / "r")).sql(query).fetchall()}
    chance = random.Random(0)
    whole = path.read_bytes()
    for _ in range(25):
        data = bytearray(whole)
        for _ in range(chance.choice([1, 20])):
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        path.write_bytes(data)
        try:
            report = ingest("train", str(path), str(tmp_path / "r"), password=password, on_error="quarantine")
        except SourceError:
            continue
        rows = {repr(row) for row in registry.open(str(tmp_path / "r")).sql(query).fetchall()}
        # A plain tar has no checksum over content: there the annotation's own rules are all there is.
        if kind != ".tar":
            assert rows == expected or (report.bad_files and rows < expected)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_of_an_archive_is_written_to_disk(kind: str, photographed: Path, tmp_path: Path) -> None:
    archive = packed(kind, files_in(photographed), tmp_path)
    opened: list[str] = []
    watching = True

    def watch(event: str, args: tuple[Any, ...]) -> None:
        if watching and event == "open" and isinstance(args[0], str) and args[2] & (os.O_WRONLY | os.O_RDWR):
            opened.append(args[0])

    sys.addaudithook(watch)
    ingest("train", str(archive), str(tmp_path / "r"), jobs=1)
    watching = False
    names = (".lock", ".manifest.json.partial", ".staging/.made-by-df2")
    assert sorted(opened) == [f"{tmp_path}/r/{name}" for name in names]


def test_a_pickled_source_is_small_and_reads_without_listing_again(photographed: Path, tmp_path: Path) -> None:
    """A pickled source carries no directory of hundreds of thousands of names."""
    import pickle

    for kind in KINDS:
        source = open_source(str(packed(kind, files_in(photographed), tmp_path)), "train")
        assert len(pickle.dumps(source)) < 1000
        listing = source.list_files("train", photos=True)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            again = pickle.loads(pickle.dumps(source))
            assert list(again.read(listing.annotations)) == [to_bytes(SMALL_SPLIT[k]) for k in SMALL_SPLIT]
