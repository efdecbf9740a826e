"""Predictions of boxes, masks and landmarks from a file, a URL or a frame.

**COCO results** (JSON, also in gzip): a list of records, or an object with the list under ``annotations`` or
``predictions``. A record has

* ``image_id``: the number of the image, or a name such as ``000001.jpg`` or ``validation_000001.jpg``. Where several
  splits are evaluated, as an export of several splits has it (1,000,000 added in train, 2,000,000 in validation,
  3,000,000 in test), or with a key ``split``;
* ``category_id``, 1 to 13, or a name, also in ``category_name``: ours, or that of the official converter;
* ``score``: a finite number;
* ``bbox``: x, y, width, height in px; optional for masks and landmarks;
* for masks ``segmentation``: polygons, or an RLE with ``size`` [height, width] and ``counts``;
* for landmarks ``keypoints``: flat x, y and a number that is not read, of all 294 slots or of those of the category; or
  only x, y.

**Parquet, Arrow IPC, CSV or JSON lines**, by the suffix of the name, an Arrow table, or a frame of pandas or polars:
the same names as columns. Instead of ``bbox`` there may be ``x1``, ``y1``, ``x2``, ``y2``. ``segmentation`` is a list
of polygons, or a struct of ``size`` and ``counts``; ``keypoints`` a list of numbers.

A file may name the registry that its images are from: an object, or the metadata of a table, by the key ``registry``
with the SHA-256 of its manifest, or an object with ``manifest_sha256`` as in ``export.json``.

Records count from 0 in messages and in :attr:`registry.evaluation.detections.Detections.position`.
"""

from __future__ import annotations

import os
from typing import Any

from registry.errors import StorageError, UsageError
from registry.evaluation.coco_results import read_coco_results
from registry.evaluation.detections import Detections
from registry.evaluation.image_index import ImageIndex
from registry.evaluation.records import GEOMETRY, Collector
from registry.files.regular_files import open_regular
from registry.redaction import redact
from registry.storage.filesystems import reason
from registry.storage.options import StorageOptions
from registry.subset.local_copy import local_copy
from registry.subset.row_files import KINDS, suffix_of


def read_predictions(
    source: Any,
    index: ImageIndex,
    task: str,
    *,
    skip_bad: bool = False,
    storage_options: StorageOptions | None = None,
) -> Detections:
    """Return the predictions in a file or a frame.

    Args:
        source: path or fsspec URL, Arrow table, or frame of pandas or polars.
        index: the images of the registry, and which of them are evaluated.
        task: ``boxes``, ``masks`` or ``landmarks``.
        skip_bad: whether bad records are left out, with a notice, instead of an error.
        storage_options: passed to fsspec for a URL.

    Raises:
        UsageError: there is no such task, or the value is no such source.
        NotFoundError, StorageError: the file does not exist or cannot be read.
        AnnotationError: the file is damaged, or has bad records, all of which the message counts.
    """
    if task not in GEOMETRY:
        raise UsageError(f"Expected one of {', '.join(GEOMETRY)} to evaluate, found {task!r}.")
    is_path = isinstance(source, str | os.PathLike)
    name = os.fspath(source) if is_path else "the predictions"
    collector = Collector(redact(name), index, task)
    if not is_path:
        from registry.evaluation.table_results import read_frame

        version = read_frame(source, task, collector)
    else:
        with local_copy(name, storage_options) as path:
            if suffix_of(name) in KINDS:
                from registry.evaluation.table_results import read_table

                version = read_table(path, name, task, collector)
            else:
                try:
                    with open_regular(path) as descriptor, open(descriptor, "rb", closefd=False) as file:
                        version = read_coco_results(file, name, task, collector)
                except OSError as error:
                    raise StorageError(f"{redact(name)} cannot be read: {reason(error)}") from error
    if None not in (version, index.registry_sha256) and version != index.registry_sha256:
        collector.notices.append(
            f"the predictions name another version of the registry ({str(version)[:12]}) than the evaluated one "
            f"({str(index.registry_sha256)[:12]}): images and items may differ"
        )
    return collector.detections(skip_bad=skip_bad)
