"""Notices of commands that change items or photos of which a registry has vectors."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from registry.cli.context import note
from registry.errors import RegistryError
from registry.redaction import printable

if TYPE_CHECKING:
    from registry.cli.context import Places


def note_out_of_date(places: Places, registry: str, split: str) -> None:
    """Print which models have vectors of a split that are out of date; the change itself is done already."""
    from registry.snapshot.manifest import read_manifest

    try:
        if not read_manifest(places.place(registry)).models:
            return
        from registry.embeddings.table import out_of_date

        notices = out_of_date(replace(places, registry=registry, rev=None, repo=None).open(), split)
    except RegistryError as error:
        notices = [f"whether vectors of models are out of date is not known: {error}"]
    for notice in notices:
        note(f"note: {printable(notice)}")
