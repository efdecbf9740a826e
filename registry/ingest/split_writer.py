"""Writing the tables of a split: rows of its chunks, quarantine and retrieval lists."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from registry.dataset.tables import CORRECTIONS, IMAGES, ITEMS, PHOTOS, QUARANTINE, RETRIEVAL_LISTS, record_batch
from registry.execution.progress import Progress
from registry.ingest.batches import images_batch
from registry.ingest.chunks import CHUNK_FILES, FileChunk
from registry.ingest.content_digest import ContentDigest
from registry.ingest.corrections import Corrections, RawLine
from registry.ingest.report import IngestError, IngestReport, OnError
from registry.ingest.retrieval_lists import RetrievalLists
from registry.ingest.shard import BadFile, ChunkRows, photo_rows
from registry.snapshot.publish import Publication
from registry.sources.issues import MAX_ISSUES, Issue, summarise
from registry.sources.listing import Listing, Source
from registry.wording import plural

if TYPE_CHECKING:
    import pyarrow as pa

#: Maximum bytes of bad files in the table quarantine; they are in memory until the end.
_MAX_RAW: Final = 64 << 20

#: JSON of a line without a value.
_NO_VALUE: Final = (b"", b"null")


class SplitWriter:
    """Writes the rows of a split into the files of a publication, and counts them in a report.

    Args:
        tables: the publication.
        report: the report to fill.
        lists: the retrieval lists of the split.
        corrections: the corrections of the split.
        keeps_raw: whether to keep the bytes of bad files.
    """

    def __init__(
        self,
        tables: Publication,
        report: IngestReport,
        lists: RetrievalLists,
        corrections: Corrections,
        *,
        keeps_raw: bool,
    ) -> None:
        self._tables = tables
        self._report = report
        self._lists = lists
        self._corrections = dict(corrections.by_image)
        self._applied: list[RawLine] = []
        self._num_unapplied = 0
        self._correction_issues = list(corrections.issues)
        self._digest = ContentDigest()
        self._num_issues = 0
        self._num_turned = 0
        self._keeps_raw = keeps_raw
        self._raw_budget = _MAX_RAW if keeps_raw else 0

    def add_bad_files(self, bad_files: Iterable[BadFile]) -> None:
        """Add bad files to the report; their issues and bytes are limited over all files."""
        for bad_file in bad_files:
            issues, raw = bad_file.issues, bad_file.raw
            if self._num_issues > MAX_ISSUES and len(issues) > 1:
                issues = (issues[0], Issue(bad_file.file, (), f"has {len(issues) - 1} issues more"))
            self._num_issues += len(issues)
            if raw is not None and len(raw) > self._raw_budget:
                if self._keeps_raw:
                    text = f"its bytes are not kept: the bad files have more than {_MAX_RAW:,} bytes"
                    issues = (*issues, Issue(bad_file.file, (), text))
                raw = None
            self._raw_budget -= len(raw or b"")
            self._report.bad_files.append(BadFile(bad_file.file, issues, raw))

    def add_annotated(self, chunks: Iterable[ChunkRows], num_files: int, progress: Progress | None) -> None:
        """Write the images and items of a split with annotations.

        Args:
            chunks: rows of each chunk, in order of image_id.
            num_files: number of all files, for the progress.
            progress: called after each chunk.
        """
        split = self._report.split
        num_done = num_marked = 0
        images = self._tables.writer(IMAGES, split=split)
        for rows in chunks:
            images.write(rows.images)
            self._count_turned(rows.images)
            start = 0
            for category_id, count in rows.items_by_category:
                items = self._tables.writer(ITEMS, split=split, category_id=category_id)
                items.write(rows.items.slice(start, count))
                start += count
            self._lists.note_rows(rows.images, rows.items)
            self._report.images += rows.images.num_rows
            self._report.items += rows.items.num_rows
            self.add_bad_files(rows.bad_files)
            self._digest.update(rows.records)
            num_marked += rows.num_marked
            self._correction_issues += rows.corrected.issues
            for image_id in rows.corrected.image_ids:
                self._applied += self._corrections.pop(image_id)
            self._num_unapplied += sum(len(self._corrections.pop(k)) for k in rows.corrected.bad_image_ids)
            num_done += len(rows.records)
            if progress:
                progress(num_done, num_files)
        if num_marked:
            self._report.notices.append(
                f"{split}/annos: a byte order mark at the beginning of {plural(num_marked, 'file')} was left out; it "
                "changes no value"
            )

    def add_photos(self, source: Source, listing: Listing, image_sizes: bool) -> None:
        """Write the images of a split without annotations; their source is known from the retrieval lists."""
        photos = listing.photos
        images = self._tables.writer(IMAGES, split=self._report.split)
        for start in range(0, len(photos), CHUNK_FILES):
            entries = photos[start : start + CHUNK_FILES]
            sizes, bad_photos = photo_rows(
                source, FileChunk(self._report.split, entries, entries if image_sizes else None)
            )
            image_ids = [entry.image_id for entry in entries]
            names = [entry.name for entry in entries]
            nulls: list[Any] = [None] * len(entries)
            sources = [self._lists.source_of(image_id) for image_id in image_ids]
            rows = images_batch(image_ids, names, sources, nulls, sizes, nulls)
            images.write(rows)
            self._count_turned(rows)
            self._lists.note_rows(rows, None)
            self._report.images += len(entries)
            self.add_bad_files(bad_photos)
            self._digest.update(names)

    def _count_turned(self, images: pa.RecordBatch) -> None:
        """Add the photos that an EXIF tag turns or mirrors to their count."""
        import pyarrow.compute as pc

        self._num_turned += pc.greater(images.column("orientation"), 1).true_count

    def finish(self, on_error: OnError) -> None:
        """Write quarantine and retrieval lists, and publish the split.

        Raises:
            IngestError: there are bad files and ``on_error`` is ``fail``, or bad corrections; nothing is published.
        """
        report, split = self._report, self._report.split
        self._check_corrected_images()
        if self._num_turned:
            report.notices.append(
                f"{split}: {plural(self._num_turned, 'photo has', 'photos have')} an EXIF tag that turns or mirrors "
                "the photo when it is shown (orientation 2 to 8 in images); width, height and annotations count the "
                "stored pixels, and trainers that turn photos by the tag see other ones: see "
                "docs/how-to/turned-photos.md"
            )
        report.notices = sorted([*report.notices, *self._lists.disagreements()])
        has_bad_files = bool(report.bad_files)
        for file in sorted({issue.file for issue in self._correction_issues}):
            issues = tuple(issue for issue in self._correction_issues if issue.file == file)
            report.bad_files.append(BadFile(file, issues, None))
        report.bad_files.sort(key=lambda bad_file: bad_file.file)
        if self._correction_issues or (has_bad_files and on_error == "fail"):
            remedies = ["Mend or remove these lines of the corrections."] if self._correction_issues else []
            if has_bad_files and on_error == "fail":
                remedies.append("Mend or remove these files, or ingest the others with --on-error quarantine.")
            raise IngestError(
                f"{split} was not ingested, the registry is as it was: {summarise(report.issues)}\n"
                f"{' '.join(remedies)}",
                report,
            )
        # These tables have a file even without rows, so that patterns in a catalog always match.
        quarantine = self._tables.writer(QUARANTINE, split=split)
        if report.bad_files:
            quarantine.write(_quarantine_batch(report.bad_files))
        lists = self._tables.writer(RETRIEVAL_LISTS, split=split)
        if self._lists.entries:
            lists.write(self._lists.batch())
        corrections = self._tables.writer(CORRECTIONS, split=split)
        if self._applied:
            corrections.write(_corrections_batch(self._applied))
            report.corrections = len(self._applied)
        if not self._tables.kept(PHOTOS):
            self._tables.writer(PHOTOS, split=split)
        self._tables.publish(self._digest.hexdigest())

    def _check_corrected_images(self) -> None:
        """Report corrections of images that have no rows: in a notice if their file is bad, else as issues."""
        split = self._report.split
        for image_id, corrections in self._corrections.items():
            text = f"{split} has no image {image_id} with an annotation in this source"
            self._correction_issues += [correction.issue("image_id", text) for correction in corrections]
        if self._num_unapplied:
            number = plural(self._num_unapplied, "correction was", "corrections were")
            self._report.notices.append(
                f"{split}: {number} not applied, because the annotations of their images are bad"
            )


def _quarantine_batch(bad_files: Sequence[BadFile]) -> Any:
    """Return rows of the table quarantine; bad files of the same path become a single row."""
    rows: dict[str, tuple[list[str], bytes | None]] = {}
    for bad_file in bad_files:
        texts, raw = rows.setdefault(bad_file.file, ([], None))
        rows[bad_file.file] = texts + [str(issue) for issue in bad_file.issues], raw or bad_file.raw
    columns = (list(rows), [texts for texts, _ in rows.values()], [raw for _, raw in rows.values()])
    return record_batch(QUARANTINE, columns)


def _corrections_batch(corrections: Sequence[RawLine]) -> Any:
    """Return rows of the table corrections."""
    rows = []
    for raw_line in sorted(corrections):
        line = raw_line.parse_line()
        old, new = (None if raw in _NO_VALUE else raw.decode() for raw in (bytes(line.old), bytes(line.new)))
        date = line.date.isoformat() if line.date else None
        file = os.path.basename(raw_line.file)
        rows.append(
            (file, raw_line.line_no, line.image_id, line.item_no, line.field, old, new, line.who, line.why, date)
        )
    return record_batch(CORRECTIONS, list(zip(*rows, strict=True)))
