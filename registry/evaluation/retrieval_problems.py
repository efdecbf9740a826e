"""Problems of the records of a submission that can be read."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from registry.dataset.arrays import Bools, Ints
from registry.dataset.deepfashion2 import CATEGORIES
from registry.evaluation.retrieval_rows import RetrievalRows
from registry.evaluation.submissions import NUM_ANSWERS, Submission
from registry.parsing.problems import Problems
from registry.wording import counted, sentence


class SubmissionProblems:
    """Problems of a submission: records that are left out, and records that are evaluated as they are.

    Args:
        file: name of the file, as the user gave it.
    """

    def __init__(self, file: str) -> None:
        self.file = file
        self.all = Problems(file)
        self._kept = Problems(file)
        self._left_out = Problems(file)

    def check(self, num_left_out: int | None) -> list[str]:
        """Return sentences on the bad records; without skipping, raise an error with all problems.

        Args:
            num_left_out: records that are left out; None where bad records are not to be skipped.

        Raises:
            AnnotationError: there are problems, and they are not to be skipped.
        """
        if num_left_out is None:
            remedy = "--skip-bad leaves them out, and takes those with bad or missing answers as they are."
            return self.all.check(None, remedy)
        notices = self._left_out.check(num_left_out)
        if self._kept:
            notices += [f"{self.file}: some records have answers that are wrong", *self._kept.lines()]
        return notices

    def add(self, kind: str, expected: str, places: Iterable[str], count: int, *, is_kept: bool = False) -> None:
        """Note records with a problem, as :meth:`Problems.add`."""
        shown = list(places)
        for problems in (self.all, self._kept if is_kept else self._left_out):
            problems.add(kind, expected, shown, count)

    def note_unread(self, unread: Problems) -> int:
        """Take over the problems of records that cannot be read; return how many they are."""
        for problems in (self.all, self._left_out):
            problems.take(unread)
        return unread.total

    def passed_over(self) -> list[str]:
        """Return a sentence on the records that the official script takes as they are, with no word."""
        if not self.all:
            return []
        return [f"{self.file}: evaluated as the official script does, which does not check", *self.all.lines()]


def bad_records(rows: RetrievalRows, submission: Submission, problems: SubmissionProblems) -> Bools:
    """Return which records are to be left out, and note all problems.

    Args:
        rows: of the protocol.
        submission: the records.
        problems: gathers the problems.
    """
    is_bad = np.zeros(len(submission), bool)

    def report(
        is_wrong: Bools, kind: str, expected: str, shown: Callable[[int], str] | None = None, *, is_kept: bool = False
    ) -> None:
        wrong = np.flatnonzero(is_wrong & ~is_bad)
        if not is_kept:
            is_bad[wrong] = True
        if len(wrong):
            places = (place(submission, k) + (f": {shown(k)}" if shown else "") for k in wrong[:3].tolist())
            problems.add(kind, expected, places, len(wrong), is_kept=is_kept)

    image_id = submission.image_id
    queries = np.unique(np.concatenate([rows.user_images, rows.queries.image_id]))
    is_shop = np.isin(image_id, rows.shop_images)
    report(
        ~np.isin(image_id, queries) & ~is_shop,
        *("query images that the registry does not have", f"consumer images of {rows.split}"),
    )
    report(is_shop, "query images of shops", f"consumer images of {rows.split}, not those of shops")
    report(
        (submission.category_id < 1) | (submission.category_id > len(CATEGORIES)),
        *("unknown categories", f"query_cls from 1 to {len(CATEGORIES)}"),
        lambda k: f"query_cls {submission.category_id[k]}",
    )
    report(
        ~np.isfinite(submission.score),
        *("scores without a finite number", "finite numbers"),
        lambda k: f"score {submission.score[k]}",
    )
    report(np.asarray(~np.isfinite(submission.boxes).all(1)), "boxes without finite numbers", "x1, y1, x2, y2 in px")
    report(
        np.asarray((submission.boxes[:, 2:] < 0).any(1)),
        *("boxes of negative size", "x1, y1, x2, y2 in px, not x, y, width, height"),
        lambda k: f"query_bbox x, y, width, height {submission.boxes[k].tolist()}",
    )
    original = _repeated(submission)
    report(
        original >= 0,
        *("repeated records", "each once: all of it stands in an earlier record"),
        lambda k: f"as record {submission.position[original[k]]:,}",
    )
    _report_answers(rows, submission, report)
    return is_bad


def _report_answers(rows: RetrievalRows, submission: Submission, report: Callable[..., None]) -> None:
    """Note problems of answers; the records are evaluated with the answers that they have."""
    num_images, num_boxes = submission.num_images, submission.num_boxes
    report(
        num_images != num_boxes,
        "records with another number of boxes than of images in their answers",
        "one gallery_bbox for each gallery_image_id",
        lambda k: f"{num_images[k]} images, {num_boxes[k]} boxes",
        is_kept=True,
    )
    report(
        (num_images == num_boxes) & (num_images < NUM_ANSWERS),
        *("records with fewer than 20 answers", f"{NUM_ANSWERS}: the official script stops at them"),
        lambda k: counted(int(num_images[k]), "answers"),
        is_kept=True,
    )
    shops = np.unique(np.concatenate([rows.shop_images, rows.gallery.image_id]))
    answers = submission.answer_image_id
    is_known = np.isin(answers, shops)
    is_user = ~is_known & np.isin(answers, rows.user_images)
    sizes = submission.answer_boxes[:, 2:]
    is_finite = np.asarray(np.isfinite(submission.answer_boxes).all(1))

    def records_with(is_wrong: Bools) -> tuple[Bools, Callable[[int], str]]:
        """Return which records have such an answer, and a function that names the first one of a record."""
        sums = np.concatenate([[0], np.cumsum(is_wrong)])
        start, end = submission.first_answer, submission.first_answer + submission.num_answers

        def first(k: int) -> str:
            at = int(np.flatnonzero(is_wrong[start[k] : end[k]])[0])
            return f"answer {at + 1}, image {answers[start[k] + at]}"

        return sums[end] > sums[start], first

    for is_wrong, kind, expected in (
        (~is_known & ~is_user, "records with answers in images that the registry does not have", "images of shops"),
        (is_user, "records with answers in images of consumers", "images of shops"),
        (~is_finite, "records with answers whose box is not finite", "x1, y1, x2, y2 in px"),
        (
            np.asarray(is_finite & (sizes < 0).any(1)),
            "records with answers whose box has a negative size",
            "x1, y1, x2, y2 in px, not x, y, width, height",
        ),
    ):
        having, first = records_with(is_wrong)
        report(having, kind, expected, first, is_kept=True)


def extra_notices(rows: RetrievalRows, submission: Submission) -> list[str]:
    """Return sentences on records that are accepted though odd."""
    notices = []
    if not len(submission):
        notices.append("the submission has no record that counts")
    number = int(((submission.num_images > NUM_ANSWERS) & (submission.num_boxes > NUM_ANSWERS)).sum())
    if number:
        notices.append(
            sentence(number, "records", f"have more than {NUM_ANSWERS} answers, of which the others do not count")
        )
    number = int((~np.isin(submission.image_id, rows.queries.image_id)).sum())
    if number:
        notices.append(sentence(number, "records", "are of consumer images that have no row to compare with"))
    return notices


def place(submission: Submission, k: int) -> str:
    """Return the place of a record in messages: ``record 12 (image 5)``."""
    return f"record {submission.position[k]:,} (image {submission.image_id[k]})"


def _repeated(submission: Submission) -> Ints:
    """Return the position of the earlier record that each record repeats, -1 for none."""
    original = np.full(len(submission), -1)
    heads = np.column_stack(
        [submission.image_id, submission.category_id, submission.num_images, submission.num_boxes, submission.score,
         submission.boxes]
    )  # fmt: skip
    order = np.lexsort(heads.T[::-1])
    is_same = (heads[order[1:]] == heads[order[:-1]]).all(1)
    firsts: dict[tuple[bytes, bytes, bytes], int] = {}
    for k in np.unique(np.concatenate([order[1:][is_same], order[:-1][is_same]])).tolist():
        answers = slice(submission.first_answer[k], submission.first_answer[k] + submission.num_answers[k])
        key = (heads[k] + 0.0).tobytes(), submission.answer_image_id[answers].tobytes()
        first = firsts.setdefault((*key, submission.answer_boxes[answers].tobytes()), k)
        if first != k:
            original[k] = first
    return original
