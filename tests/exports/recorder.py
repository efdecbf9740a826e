"""Runs a format on a single image in memory, for property tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from registry.dataset.tables import IMAGES, ITEMS, arrow_schema
from registry.exports.find import find_format
from registry.exports.work import ChunkWork, Result
from registry.subset.classes import Classes
from registry.subset.rows import Chunk, Part


class Recorder(ChunkWork):
    """A job with a single chunk that keeps its files in memory; implements only a part of Job."""

    def __init__(self, chunk: Chunk, options: Mapping[str, Any]) -> None:
        super().__init__(options, "none", Classes.of())
        self.parts = [chunk.part]
        self.chunk = chunk
        self.files = self
        self.written: dict[str, bytes] = {}

    def chunks(self, part: Part, columns: Sequence[str] = ()) -> Iterator[Chunk]:
        yield self.chunk

    def map(
        self, part: Part, columns: Sequence[str], function: Callable[[ChunkWork, Chunk], Result]
    ) -> Iterator[tuple[Chunk, Result]]:
        yield self.chunk, function(self, self.chunk)

    def write(self, path: str, data: bytes) -> None:
        self.written[path] = bytes(data)

    def write_all(self, files: Iterator[tuple[str, Any]]) -> None:
        for path, data in files:
            self.write(path, data)

    def count(self, part: Part, what: str, number: int) -> None:
        assert what == "rows"

    def num_left_out(self, what: str) -> int:
        """Return the number left out or changed."""
        return sum(number for (name, _), number in self.left_out.items() if name == what)

    def rows(self) -> list[list[float]]:
        text = self.written["labels/train/000001.txt"].decode()
        return [[float(number) for number in line.split()] for line in text.splitlines()]


def one_image(
    format: str,
    size: tuple[int | None, int | None],
    items: Sequence[Mapping[str, Any]],
    name: str = "000001.jpg",
    **options: Any,
) -> Recorder:
    """Return the job that wrote an image with these items, each a mapping of columns of the table."""
    image = {"split": "train", "image_id": 1, "file_name": name, "num_items": len(items)}
    images = [image | dict(zip(("width", "height"), size, strict=True))]
    schema = arrow_schema(ITEMS, stored=False)
    if items:
        schema = pa.schema([schema.field(name) for name in items[0]])
    chunk = Chunk(
        Part("train", ("train",)),
        "train",
        pa.RecordBatch.from_pylist(images, schema=arrow_schema(IMAGES, stored=False)),
        pa.RecordBatch.from_pylist(list(map(dict, items)), schema=schema),
        [len(items)],
    )
    job = Recorder(chunk, options)
    find_format(format).run(job)  # type: ignore[arg-type]  # a Recorder has only part of Job
    return job
