"""The result of an ingestion."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from registry.errors import AnnotationError
from registry.ingest.shard import BadFile
from registry.sources.issues import Issue

#: Treatment of bad files: change nothing, or put them into the table quarantine.
OnError = Literal["fail", "quarantine"]


@dataclass(slots=True)
class IngestReport:
    """The result of an ingestion.

    Attributes:
        split: the split.
        images, items, corrections: number of rows written.
        bad_files: annotation files and lists without rows (they are in the quarantine), photos without a readable
            size, and files of corrections with a bad line (never ingested).
        notices: oddities that were ingested nevertheless, sorted: photos without annotation, annotations without
            photo, contradictions between retrieval lists and annotations.
    """

    split: str
    images: int = 0
    items: int = 0
    corrections: int = 0
    bad_files: list[BadFile] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)

    @property
    def issues(self) -> list[Issue]:
        """The issues of all bad files, sorted."""
        return sorted(issue for bad_file in self.bad_files for issue in bad_file.issues)


class IngestError(AnnotationError):
    """Files are bad and the policy is to fail; the registry stays as it was.

    Attributes:
        report: the bad files and notices.
    """

    def __init__(self, message: str, report: IngestReport) -> None:
        super().__init__(message)
        self.report = report
