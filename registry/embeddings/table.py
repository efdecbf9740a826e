"""The models whose vectors are in a registry."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from registry.dataset.deepfashion2 import SPLITS
from registry.dataset.tables import EMBEDDINGS
from registry.embeddings.vector_file import EmbeddingsFile, open_parts
from registry.errors import StorageError
from registry.files.private_folder import private_folder
from registry.files.regular_files import regular_digest
from registry.wording import plural, sentence

if TYPE_CHECKING:
    from registry.snapshot.manifest import DataFile
    from registry.store.registry import Registry

_QUERY: Final = """
    SELECT split, model, dimensions, dtype, weights, crop, registry_sha256, coalesce(num_vectors, 0) AS num_vectors,
        coalesce(num_missing, 0) AS num_missing, coalesce(num_stale, 0) AS num_stale,
        coalesce(num_unknown, 0) AS num_unknown
    FROM embedding_models
    LEFT JOIN (SELECT model, split, count(*) AS num_vectors FROM embeddings GROUP BY ALL) USING (model, split)
    LEFT JOIN (
        SELECT model, split, count(*) FILTER (state = 'missing') AS num_missing,
            count(*) FILTER (state = 'stale') AS num_stale, count(*) FILTER (state = 'unknown') AS num_unknown
        FROM embedding_states GROUP BY ALL
    ) USING (model, split)
    ORDER BY model, list_position($splits, split)
"""
_STALE: Final = "SELECT count(*) FROM embedding_states WHERE model = $model AND state = 'stale'"


@dataclass(frozen=True, slots=True)
class ModelPart:
    """The vectors of a model in a split.

    Attributes:
        model: its name.
        split: of the items.
        dimensions: numbers in each vector.
        dtype: of the stored numbers: ``float16`` or ``float32``.
        weights: SHA-256 of the model's weights; None where not told.
        crop: how items were cut out of photos, in words; None where not told.
        registry_sha256: of the manifest that they were added to.
        num_vectors: of the split.
        num_missing: items without a vector.
        num_stale: vectors of items whose box or photo is another now.
        num_unknown: vectors of no item.
    """

    split: str
    model: str
    dimensions: int
    dtype: str
    weights: str | None
    crop: str | None
    registry_sha256: str
    num_vectors: int
    num_missing: int
    num_stale: int
    num_unknown: int


def models(registry: Registry) -> list[ModelPart]:
    """Return the models of a registry, a part for each split, sorted by name."""
    return [ModelPart(*row) for row in registry.sql(_QUERY, {"splits": list(SPLITS)}).fetchall()]


def out_of_date(registry: Registry, split: str) -> list[str]:
    """Return a sentence for each model whose vectors of a split do not fit its items or photos any more."""
    notices = []
    for part in models(registry):
        counts = []
        if part.num_stale:
            counts.append(f"{plural(part.num_stale, 'vector')} of an item whose box or photo changed")
        if part.num_unknown:
            counts.append(f"{plural(part.num_unknown, 'vector')} of no item")
        if part.num_missing:
            counts.append(f"{plural(part.num_missing, 'item')} without a vector")
        if part.split == split and counts:
            notices.append(
                f"model {part.model}, {split}: {', '.join(counts)}; the view embedding_states has their keys, and "
                "'df2 embeddings add --replace' renews them"
            )
    return notices


def model_names(registry: Registry) -> list[str]:
    """Return the names of the models whose vectors are in a registry, sorted."""
    return registry.manifest.models


@contextmanager
def open_model(registry: Registry, name: str) -> Iterator[EmbeddingsFile]:
    """Yield the vectors of a model, whose files are compared with their digests first.

    Args:
        registry: an open registry.
        name: of the model, one of :func:`model_names`.

    Raises:
        StorageError: a file cannot be read, or is not the one that the manifest names.
    """
    files = [file for file in registry.manifest.of_model(name) if file.table == EMBEDDINGS.name]
    files.sort(key=lambda file: SPLITS.index(str(file.split)))
    with ExitStack() as stack:
        folder = None
        if registry.place.path is None:
            folder = Path(stack.enter_context(TemporaryDirectory(dir=private_folder())))
        parts = [(str(file.split), _local(registry, file, folder)) for file in files]
        opened = open_parts(parts, f"{name} of the registry")
        ((num_stale,),) = registry.sql(_STALE, {"model": name}).fetchall()
        if num_stale:
            text = "are of an item whose box or photo changed since: 'df2 embeddings add --replace' renews them"
            opened.notices.append(sentence(num_stale, f"vectors of the model {name}", text))
        yield opened


def _local(registry: Registry, file: DataFile, folder: Path | None) -> Path:
    """Return the local path of a file, or of a copy in a folder.

    Raises:
        StorageError: it is another file than the manifest names.
    """
    if folder is None:
        assert registry.place.path is not None
        path = registry.place.path / file.path
    else:
        path = folder / file.path.replace("/", "_")
        registry.place.fetch(file.path, path, most=file.bytes)
    if regular_digest(path, file.bytes) != (file.bytes, bytes.fromhex(file.sha256)):
        raise StorageError(
            f"{registry.place}/{file.path} is not the file that its manifest names: it was changed or cut. "
            f"'df2 verify {registry.place}' finds all such files."
        )
    return path
