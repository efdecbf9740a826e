"""The vectors that a user names: a model whose vectors are in the registry, a file, or a frame."""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from registry.dataset.deepfashion2 import unknown_name
from registry.embeddings.table import model_names, open_model
from registry.embeddings.vector_file import EmbeddingsFile, open_embeddings
from registry.errors import NotFoundError, UnknownNameError, UsageError
from registry.redaction import redact
from registry.storage.options import StorageOptions
from registry.subset.row_files import KINDS, suffix_of

if TYPE_CHECKING:
    from registry.store.registry import Registry


def is_model_name(embeddings: Any) -> bool:
    """Return whether a value can only be the name of a model: a text without a slash and without a suffix of files.

    A file of vectors has one of these suffixes, so that no name is both.
    """
    return isinstance(embeddings, str) and not {"/", "\\"} & {*embeddings} and suffix_of(embeddings) not in KINDS


def find_model(registry: Registry, name: str | None) -> str:
    """Return the name of a model in a registry; the only model for None.

    Raises:
        NotFoundError: the registry has no model.
        UnknownNameError: it has none of this name.
        UsageError: no name is given, and it has several.
    """
    names = model_names(registry)
    if name in names:
        return str(name)
    if name is not None:
        no_file = f"A file of vectors ends in {', '.join(KINDS)}."
        if not names:
            raise UnknownNameError(f"The registry has no model {redact(name)!r}, nor any other. {no_file}")
        raise UnknownNameError(f"{unknown_name('model', redact(name), names)} {no_file}")
    if not names:
        raise NotFoundError(
            "The registry has no vectors of a model. Name a file with --embeddings, or add a model: df2 embeddings add."
        )
    if len(names) > 1:
        raise UsageError(f"The registry has {len(names)} models: {', '.join(names)}. Name one with --embeddings.")
    return names[0]


@contextmanager
def open_vectors(
    registry: Registry, embeddings: Any, storage_options: StorageOptions | None = None
) -> Iterator[EmbeddingsFile]:
    """Yield the vectors that a user names.

    Args:
        registry: an open registry.
        embeddings: name of a model (:func:`is_model_name`), None for the only model, path or fsspec URL of a file,
            Arrow table, or frame of pandas or polars.
        storage_options: passed to fsspec for a URL.

    Raises:
        UnknownNameError, NotFoundError, UsageError: see :func:`find_model`; or the file cannot be used.
        StorageError: it cannot be read.
    """
    if embeddings is None or is_model_name(embeddings):
        with open_model(registry, find_model(registry, embeddings)) as file:
            yield file
    else:
        with open_embeddings(embeddings, storage_options) as file:
            yield file


def signature(registry: Registry, embeddings: Any) -> Hashable:
    """Return a value that changes with the vectors that a user names; of a remote file only with its name.

    The vectors of a model change only with the manifest of its registry.
    """
    if embeddings is None or is_model_name(embeddings):
        return str(embeddings)
    if not isinstance(embeddings, str | os.PathLike):
        return id(embeddings)
    name = os.fspath(embeddings)
    try:
        status = os.stat(name)
    except OSError:
        return redact(name)
    return redact(name), status.st_mtime_ns, status.st_size
