"""Writes a submission of retrieval in the official JSON."""

from __future__ import annotations

from pathlib import Path

import msgspec

from registry.dataset.arrays import Floats
from registry.evaluation.submissions import Submission
from registry.files.temporary import make_output_folder, replacing


def write_submission(path: Path, submission: Submission, boxes: Floats, answer_boxes: Floats) -> None:
    """Write records, one on a line.

    Args:
        path: file to write.
        submission: the records.
        boxes: float64 [records, 4]: x1, y1, x2, y2 of the queries.
        answer_boxes: float64 [records, answers, 4]: x1, y1, x2, y2 of the answers.

    Raises:
        StorageError: the file cannot be written.
    """
    encode = msgspec.json.Encoder().encode
    images = submission.answer_image_id.reshape(answer_boxes.shape[:2])
    make_output_folder(path.parent)
    with replacing(path) as partial, open(partial, "wb") as file:
        file.write(b"[")
        for k in range(len(submission)):
            record = {
                "query_image_id": int(submission.image_id[k]),
                "query_bbox": boxes[k].tolist(),
                "query_cls": int(submission.category_id[k]),
                "query_score": float(submission.score[k]),
                "gallery_image_id": images[k].tolist(),
                "gallery_bbox": answer_boxes[k].tolist(),
            }
            file.write(b",\n" if k else b"\n")
            file.write(encode(record))
        file.write(b"\n]\n")
