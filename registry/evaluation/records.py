"""Records of a predictions file, checked a block at a time, and gathered into detections."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from registry.dataset.deepfashion2 import CATEGORIES
from registry.evaluation.detections import Detections
from registry.evaluation.image_index import (
    AMBIGUOUS,
    NOT_EVALUATED,
    UNKNOWN,
    UNLABELLED,
    ImageIndex,
)
from registry.evaluation.landmark_numbers import JsonLandmarkLists, LandmarkLists
from registry.evaluation.record_keys import NO_CATEGORY, RecordKeys
from registry.evaluation.repeated import repeated_records
from registry.evaluation.rle_masks import RleMasks
from registry.evaluation.segmentations import Segmentation, read_masks
from registry.parsing.problems import Problems
from registry.wording import sentence

_CATEGORY_NAMES: Final = ", ".join(f"{category.id} {category.name}" for category in CATEGORIES)
_SCORE: Final = ("records with a score that is no finite number", "a number, usually from 0 to 1")
_BOX: Final = ("records with a bbox that is not four finite numbers", "x, y, width and height in px")
#: Key of a record -> the problem where its value cannot be read, and the expected value.
_WRONG: Final = {
    "image_id": (
        "records with an image_id that is neither a number nor a name",
        "a number such as 1, or a name such as 000001.jpg",
    ),
    "category_id": (
        "records with a category_id that is neither a number nor a name",
        "a number from 1 to 13, or a name",
    ),
    "category_name": ("records with a category_name that is no text", "a name such as trousers"),
    "score": _SCORE,
    "bbox": _BOX,
    "segmentation": (
        "records with a segmentation that is no mask",
        "a list of polygons, or an object with size [height, width] and counts (COCO's text, or whole numbers)",
    ),
    "split": ("records with a split that is no text", "train, validation or test"),
}
GEOMETRY: Final = {"boxes": "bbox", "masks": "segmentation", "landmarks": "keypoints"}


@dataclass(slots=True)
class Records:
    """Records as they were written: columns of equal length.

    Attributes:
        position: int64, of each in the file, from 0.
        image_id: numbers, or numbers and names.
        category: numbers, or numbers and names; None where there is only a name.
        score: float64; NaN where there is none.
        split: name of the split where a record names it.
        category_name: name of the category where a record has it.
        boxes: float64 (n, 4): x, y, width, height, px.
        has_box: bool.
        segmentations: of each record, where the task needs it; None where there is none.
        keypoints: of each record, where the task needs it.
    """

    position: np.ndarray
    image_id: Sequence[Any] | np.ndarray
    category: Sequence[Any] | np.ndarray
    score: np.ndarray
    boxes: np.ndarray
    has_box: np.ndarray
    split: Sequence[str | None] | None = None
    category_name: Sequence[str | None] | None = None
    segmentations: Sequence[Segmentation | None] | None = None
    keypoints: LandmarkLists | JsonLandmarkLists | None = None

    def __len__(self) -> int:
        return len(self.position)


class Collector:
    """Gathers the good records of a predictions file, and the problems of the others.

    Args:
        file: name of the file, as the user gave it.
        index: the images of the registry.
        task: ``boxes``, ``masks`` or ``landmarks``.
    """

    def __init__(self, file: str, index: ImageIndex, task: str) -> None:
        self.problems = Problems(file)
        self.notices: list[str] = []
        self._index = index
        self._task = task
        self._columns: dict[str, list[Any]] = {}
        self._mask_counts = bytearray()
        self._other_slots: dict[int, np.ndarray] = {}
        self._keys = RecordKeys()
        self._num_bad = 0
        self._num_records = 0
        self._num_foreign = 0
        self._num_odd_scores = 0
        self._num_zeros = 0

    def add_unread(self, position: int, key: str, reason: str, image_id: Any = None) -> None:
        """Note a record that cannot be read.

        Args:
            position: of the record in the file.
            key: of the value that is wrong, or is missing (``reason`` is then empty); empty for the whole record.
            reason: why it cannot be read.
            image_id: of the record, if it has one.
        """
        self._num_records += 1
        self._num_bad += 1
        where = _place(position, image_id)
        if key and not reason:
            keys = f"image_id, category_id, score and {GEOMETRY[self._task]}"
            self.problems.add(f"records without {key}", keys, [where])
            return
        kind, expected = _WRONG.get(key, ("records that cannot be read", "JSON objects with the keys of COCO results"))
        self.problems.add(kind, expected, [f"{where}: {reason}"])

    def add(self, records: Records) -> None:
        """Check records, and gather the good ones."""
        self._num_records += len(records)
        number, split = self._keys.images(records.image_id, records.split)
        image = self._index.find(number, split)
        category_id, id_of_name = self._keys.categories(records.category, records.category_name)
        is_foreign = image == NOT_EVALUATED
        is_bad = np.zeros(len(records), bool)

        def report(is_wrong: np.ndarray, kind: str, expected: str, found: Callable[[int], str] | None = None) -> None:
            places = np.flatnonzero(is_wrong & ~is_foreign)
            if len(places):
                is_bad[places] = True
                texts = (self._place(records, k) + (f": {found(k)}" if found else "") for k in places.tolist())
                self.problems.add(kind, expected, texts, len(places))

        self._report_images(image, report)
        self._report_categories(records, category_id, id_of_name, report)
        report(
            ~np.isfinite(records.score),
            *_SCORE,
            lambda k: f"score {records.score[k]}",
        )
        self._report_boxes(records, report)
        with_image = np.flatnonzero((image >= 0) & (category_id > 0))
        with np.errstate(over="ignore", invalid="ignore"):  # of bad records
            areas = np.where(records.has_box, records.boxes[:, 2] * records.boxes[:, 3], np.nan)
        masks: list[bytes] = []
        mask_sizes = np.zeros((len(records), 2), np.int64)
        if records.segmentations is not None:
            masks, mask_sizes, mask_areas = read_masks(records.segmentations, image, with_image, self._index, report)
            areas = np.where(records.has_box, areas, mask_areas)
        landmarks, lengths = np.zeros(0), np.zeros(len(records), np.int64)
        if records.keypoints is not None:
            is_whole = self._needs_all_slots(image, category_id)
            landmarks, lengths = records.keypoints.read(category_id, with_image, report, is_whole)
            for k in np.flatnonzero(is_whole & ~is_bad).tolist():
                slots = records.keypoints.all_slots(k)
                if slots is not None:
                    self._other_slots[int(records.position[k])] = slots
        is_good = ~is_bad & (image >= 0)
        self._num_bad += int(is_bad.sum())
        self._num_foreign += int((is_foreign & ~is_bad).sum())
        self._num_odd_scores += int(((records.score < 0) | (records.score > 1))[is_good].sum())
        if records.keypoints is not None:
            self._keep("landmarks", landmarks[np.repeat(is_good, lengths)])
            self._keep("num_numbers", lengths[is_good])
        if records.segmentations is not None:
            counts = [masks[k] for k in np.flatnonzero(is_good).tolist()]
            self._mask_counts += b"".join(counts)
            self._keep("mask_lengths", np.fromiter(map(len, counts), np.int64, len(counts)))
            self._keep("mask_sizes", mask_sizes[is_good])
        self._keep("image", image[is_good])
        self._keep("category_id", category_id[is_good])
        self._keep("score", records.score[is_good])
        self._keep("boxes", np.where(records.has_box[:, None], records.boxes, np.nan)[is_good])
        self._keep("areas", areas[is_good])
        self._keep("position", records.position[is_good])

    def detections(self, *, skip_bad: bool) -> Detections:
        """Return the good records.

        Raises:
            AnnotationError: there are bad records, and they are not to be skipped.
        """
        columns = {name: self._joined(name) for name in ("score", "areas")}
        columns |= {name: self._joined(name, (0,), np.int64) for name in ("image", "category_id", "position")}
        boxes = columns["boxes"] = self._joined("boxes", (0, 4))
        masks = landmarks = runs = None
        if self._task == "masks":
            ends = np.cumsum(self._joined("mask_lengths", (0,), np.int64))
            sizes = self._joined("mask_sizes", (0, 2), np.int64)
            masks = RleMasks(self._mask_counts, np.concatenate([[0], ends]), sizes)
            runs = np.frombuffer(masks.counts, np.uint8), masks.offsets
        if self._task == "landmarks":
            landmarks = self._joined("landmarks")
            runs = landmarks, np.cumsum(np.concatenate([[0], self._joined("num_numbers", (0,), np.int64)]))
            if len(landmarks):
                self._num_zeros = int((~np.logical_or.reduceat(landmarks != 0, runs[1][:-1])).sum())
        is_repeated, first = repeated_records(columns["image"], columns["category_id"], columns["score"], boxes, runs)
        is_bad = is_repeated
        if len(first):
            self._report_repeated(columns, np.flatnonzero(is_repeated), first)
        if masks is not None:
            is_bad = is_bad | self._report_sizes(columns, masks.sizes)
        if is_bad.any():
            self._num_bad += int(is_bad.sum())
            columns = {name: values[~is_bad] for name, values in columns.items()}
            masks = None if masks is None else masks.take(np.flatnonzero(~is_bad))
            if landmarks is not None and runs is not None:
                landmarks = landmarks[np.repeat(~is_bad, np.diff(runs[1]))]
        position = columns["position"]
        slots = [k for k in sorted(self._other_slots) if k in position] if self._other_slots else []
        has_boxes = self._task == "boxes" or not np.isnan(columns["boxes"]).all()
        return Detections(
            image=columns["image"],
            category_id=columns["category_id"],
            score=columns["score"],
            position=position,
            boxes=columns["boxes"] if has_boxes else None,
            areas=columns["areas"],
            masks=masks,
            landmarks=landmarks,
            other_slots={int(np.searchsorted(position, k)): self._other_slots[k] for k in slots},
            notices=[*self.notices, *self._notices(), *self.problems.check(self._num_bad if skip_bad else None)],
        )

    def _notices(self) -> Iterator[str]:
        if not self._num_records:
            yield "the predictions have no record"
        if self._num_foreign:
            yield sentence(
                self._num_foreign, "predictions", "are of images outside the evaluated subset, and were left out"
            )
        if self._num_odd_scores:
            yield sentence(
                self._num_odd_scores, "predictions", "have a score below 0 or above 1, which counts only by its order"
            )
        if self._num_zeros:
            yield sentence(
                self._num_zeros,
                "predictions",
                "have zeros for all landmarks, which count as positions (as in pycocotools)",
            )

    def _report_images(self, image: np.ndarray, report: Callable[..., None]) -> None:
        splits = " and ".join(self._index.splits)
        report(image == UNKNOWN, "records for an image that the registry does not have", f"images of {splits}")
        report(
            image == UNLABELLED,
            "records for an image without annotations",
            "images with annotations; those of test have none, so that nothing can be compared",
        )
        report(
            image == AMBIGUOUS,
            "records with an image_id that does not tell the split",
            f"for {splits} together the ids of an export of several splits (1,000,000 added in train, 2,000,000 in "
            "validation), names such as validation_000001.jpg, or a key split; or evaluate one split (--split)",
        )

    def _report_categories(
        self, records: Records, category_id: np.ndarray, id_of_name: np.ndarray | None, report: Callable[..., None]
    ) -> None:
        def category(k: int) -> str:
            value = records.category[k]
            name = records.category_name[k] if value is None and records.category_name else value
            return "no category" if name is None else f"category {str(name)[:80]}"

        is_unknown = category_id == NO_CATEGORY
        report(is_unknown, "records of an unknown category", f"one of {_CATEGORY_NAMES}", category)
        if id_of_name is not None:
            is_wrong = ~is_unknown & (id_of_name != category_id) & (id_of_name >= 0)
            report(is_wrong, "records with another category_name than category_id", "the same category in both")

    def _report_boxes(self, records: Records, report: Callable[..., None]) -> None:
        boxes, has_box = records.boxes, records.has_box

        def box(k: int) -> str:
            return "found others" if np.isnan(boxes[k]).all() else f"bbox {boxes[k].tolist()}"

        if self._task == "boxes":
            report(~has_box, "records without bbox", "image_id, category_id, score and bbox")
        with np.errstate(over="ignore", invalid="ignore"):
            is_finite = np.isfinite(boxes).all(1)
            is_finite &= np.isfinite(boxes[:, 2] * boxes[:, 3]) & np.isfinite(boxes[:, :2] + boxes[:, 2:]).all(1)
        report(has_box & ~is_finite, *_BOX, box)
        is_negative = (boxes[:, 2] < 0) | (boxes[:, 3] < 0)
        report(
            has_box & is_finite & is_negative,
            *("records with a bbox of negative size", "x, y, width and height in px, not two corners", box),
        )

    def _report_repeated(self, columns: dict[str, np.ndarray], repeated: np.ndarray, first: np.ndarray) -> None:
        places = (
            f"{_place(int(columns['position'][k]), self._index.name(int(columns['image'][k])))} as record "
            f"{columns['position'][original]:,}"
            for k, original in zip(repeated.tolist(), first.tolist(), strict=True)
        )
        self.problems.add(
            "repeated records",
            "each once: an earlier record has the same image, category, score and geometry",
            places,
            len(repeated),
        )

    def _report_sizes(self, columns: dict[str, np.ndarray], sizes: np.ndarray) -> np.ndarray:
        """Report masks of another size than the first of their image, where the size of the photo is not known."""
        image = columns["image"]
        is_unknown = (self._index.width[image] <= 0) | (self._index.height[image] <= 0)
        _, first, number = np.unique(image, return_index=True, return_inverse=True)
        is_other = is_unknown & (sizes != sizes[first[number]]).any(1)
        places = np.flatnonzero(is_other)
        if len(places):
            self.problems.add(
                "records with a mask of another size than the first of the image",
                "one size in an image, that of the photo",
                (
                    f"{_place(int(columns['position'][k]), self._index.name(int(image[k])))}: size {sizes[k].tolist()}"
                    for k in places.tolist()
                ),
                len(places),
            )
        return np.asarray(is_other)

    def _needs_all_slots(self, image: np.ndarray, category_id: np.ndarray) -> np.ndarray:
        wanted = self._index.needs_all_slots
        if not wanted:
            return np.zeros(len(image), bool)
        pairs = zip(image.tolist(), category_id.tolist(), strict=True)
        return np.fromiter((pair in wanted for pair in pairs), bool, len(image))

    def _keep(self, name: str, values: np.ndarray) -> None:
        self._columns.setdefault(name, []).append(values)

    def _joined(self, name: str, empty: tuple[int, ...] = (0,), kind: type[Any] = np.float64) -> np.ndarray:
        arrays = self._columns.pop(name, [])
        return np.concatenate(arrays) if arrays else np.zeros(empty, kind)

    def _place(self, records: Records, k: int) -> str:
        split = records.split[k] if records.split else None
        value = records.image_id[k]
        return _place(int(records.position[k]), value if split is None else f"{split}/{value}")


def _place(position: int, image_id: Any) -> str:
    image = "" if image_id is None else f" (image {str(image_id)[:80]})"
    return f"record {position:,}{image}"
