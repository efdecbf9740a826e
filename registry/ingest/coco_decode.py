"""Decoding COCO annotations into the rows of their images: the work of a worker process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from operator import attrgetter
from typing import Annotated, Any, Final, Literal, cast

import msgspec

from registry.dataset.deepfashion2 import ATTRIBUTE_CODES, CATEGORY_BY_ID, NUM_LANDMARK_SLOTS
from registry.dataset.tables import INT32_MAX
from registry.ingest.batches import images_batch, items_batch
from registry.ingest.coco_index import CocoImage, decode_problem
from registry.ingest.correct import correct
from registry.ingest.corrections import RawLine
from registry.ingest.decode import Annotations, Item, has_lost_digits
from registry.ingest.diagnose import INT16_MAX
from registry.ingest.json_checks import EXACT_MAX
from registry.ingest.shard import BadFile, ChunkRows
from registry.parsing.json_files import CutNumber, Duplicates, decode, repeated_keys
from registry.sources.issues import MAX_ISSUES_PER_FILE, Issue

_Code = Annotated[int, msgspec.Meta(ge=1, le=3)]
_Coordinate = Annotated[float, msgspec.Meta(gt=-EXACT_MAX, lt=EXACT_MAX)]
_Number = Annotated[int, msgspec.Meta(ge=0, le=INT32_MAX)]
_ItemNo = Annotated[int, msgspec.Meta(ge=1, le=INT16_MAX)]
_Length = Annotated[float, msgspec.Meta(gt=-2 * EXACT_MAX, lt=2 * EXACT_MAX)]


class CocoAnnotation(msgspec.Struct, gc=False):
    """An annotation: keys of COCO, of the official converter, and of ``df2 export coco --attributes``."""

    category_id: int
    bbox: tuple[_Coordinate, _Coordinate, _Length, _Length]
    segmentation: list[list[_Coordinate]] | None = None
    keypoints: list[float] | None = None
    iscrowd: int | bool | None = None
    pair_id: _Number | None = None
    style: _Number | None = None
    source: Literal["user", "shop"] | None = None
    scale: _Code | None = None
    occlusion: _Code | None = None
    zoom_in: _Code | None = None
    viewpoint: _Code | None = None
    item_no: _ItemNo | None = None
    item_order: _ItemNo | None = None
    bbox_xyxy: tuple[_Coordinate, _Coordinate, _Coordinate, _Coordinate] | None = None


_decode = msgspec.json.Decoder(CocoAnnotation).decode
#: Keys without an own column whose values follow from the others or say nothing about an item.
_IMPLIED_KEYS: Final = {"id", "image_id", "area", "num_keypoints"}
_KNOWN_KEYS: Final = _IMPLIED_KEYS | set(CocoAnnotation.__struct_fields__)
_attributes_of: Final = attrgetter(*ATTRIBUTE_CODES)
_VISIBILITIES: Final = {0, 1, 2}


@dataclass(frozen=True, slots=True)
class CocoChunk:
    """Images to decode in a single call.

    Attributes:
        split: the split.
        files: name of each file, for issues.
        categories: for each file its category id -> category id of the dataset.
        images: the images, ascending by image_id.
        sources: source of each image from elsewhere; None if it is not known.
        annotations: for each image (number of the file, position in it, text) of its annotations, in file order.
        corrections: of these images, by image_id.
    """

    split: str
    files: Sequence[str]
    categories: Sequence[dict[int, int]]
    images: Sequence[CocoImage]
    sources: Sequence[str | None]
    annotations: Sequence[Sequence[tuple[int, int, bytes]]]
    corrections: Mapping[int, Sequence[RawLine]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CocoRows:
    """The rows of a chunk.

    Attributes:
        rows: the rows, and a bad file for each image with a bad annotation.
        counts: what is missing or odd -> number of images or items; see :mod:`registry.ingest.coco_notices`.
        other_keys: keys of annotations that no table holds.
    """

    rows: ChunkRows
    counts: Counter[str]
    other_keys: frozenset[str]


def read_coco_chunk(chunk: CocoChunk) -> CocoRows:
    """Return the rows of the images of a chunk."""
    return _ChunkDecoder(chunk).run()


@dataclass(slots=True)
class _ChunkDecoder:
    """Fills columns with the images of a chunk."""

    chunk: CocoChunk
    counts: Counter[str] = field(default_factory=Counter)
    other_keys: set[str] = field(default_factory=set)
    seen_keys: set[tuple[bytes, ...]] = field(default_factory=set)
    columns: Annotations = field(default_factory=Annotations)
    images: list[CocoImage] = field(default_factory=list)
    bad_files: list[BadFile] = field(default_factory=list)

    def run(self) -> CocoRows:
        chunk = self.chunk
        for image, source, texts in zip(chunk.images, chunk.sources, chunk.annotations, strict=True):
            issues: list[Issue] = []
            records = [self._read(*annotation, issues) for annotation in texts]
            if not issues:
                self._add([record for record in records if record], image, source, texts, issues)
            if issues:
                path = f"{chunk.split}/{chunk.files[texts[0][0]]}/{image.name}"
                raw = b"[" + b",\n".join(text for _, _, text in texts) + b"]"
                self.bad_files.append(BadFile(path, tuple(issues[:MAX_ISSUES_PER_FILE]), raw))
        columns, images = self.columns, self.images
        columns, corrected = correct(columns, chunk.corrections)
        items, items_by_category = items_batch(columns)
        rows = images_batch(
            columns.image_ids,
            [image.name for image in images],
            columns.sources,
            columns.pair_ids,
            cast(Any, [(image.width, image.height, image.orientation) for image in images]),
            [number or None for number in columns.num_items],
        )
        return CocoRows(
            ChunkRows(
                rows,
                items,
                items_by_category,
                tuple(self.bad_files),
                (),
                0,
                corrected,
            ),
            self.counts,
            frozenset(self.other_keys),
        )

    def _read(self, file: int, number: int, text: bytes, issues: list[Issue]) -> CocoAnnotation | None:
        """Return an annotation with the landmarks of its category, or None after appending its issues."""
        path = f"{self.chunk.split}/{self.chunk.files[file]}"

        def report(text: str, *place: str) -> None:
            issues.append(Issue(path, ("annotations", str(number), *place), text))

        num_issues = len(issues)
        self._check_keys(text, report)
        try:
            record = _decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            inner, reason = decode_problem(error)
            report(reason, *inner)
            return None
        if has_lost_digits(text):
            _check_digits(text, report)
        if record.iscrowd:
            report("expected 0, found a crowd: DeepFashion2 has single items alone; leave crowds out", "iscrowd")
        category_id = self.chunk.categories[file].get(record.category_id)
        if category_id is None:
            report(f"there is no category with the id {record.category_id}", "category_id")
            return None
        for polygon_no, polygon in enumerate(record.segmentation or (), 1):
            if len(polygon) < 6 or len(polygon) % 2:
                text_of = f"expected an even count of at least 6 numbers, found {len(polygon)}"
                report(text_of, "segmentation", f"polygon {polygon_no}")
        if max(map(abs, _corners(record)[0])) >= EXACT_MAX:
            report("expected edges below 2^53 in size, found one beyond", "bbox")
        record.category_id = category_id
        if record.keypoints is not None:
            record.keypoints = _own_landmarks(record.keypoints, category_id, report)
        return None if len(issues) > num_issues else record

    def _check_keys(self, text: bytes, report: Any) -> None:
        """Report repeated keys, and remember keys that no table holds.

        All texts of an annotation are compared with those of earlier ones: only new ones are parsed.
        """
        texts = tuple(text.split(b'"')[1::2])
        if texts in self.seen_keys:
            return
        try:
            document = decode(text.decode("utf-8"))
        except (ValueError, RecursionError):
            return  # the decoder says why
        for place in repeated_keys(document):
            report("the key stands more than once; expected it once", *place)
        if isinstance(document, Duplicates):
            self.other_keys |= document.keys() - _KNOWN_KEYS
        # Texts without a repetition are keys that occur once, or the source.
        if len(set(texts)) == len(texts) and b"\\" not in text and len(self.seen_keys) < 1000:
            self.seen_keys.add(texts)

    def _add(
        self,
        records: list[CocoAnnotation],
        image: CocoImage,
        source: str | None,
        annotations: Sequence[tuple[int, int, bytes]],
        issues: list[Issue],
    ) -> None:
        """Add an image and its items to the columns, or append the issues of its annotations together."""

        def report(text: str, key: str) -> None:
            file, number, _ = annotations[0]
            path = f"{self.chunk.split}/{self.chunk.files[file]}"
            issues.append(Issue(path, ("annotations", str(number), key), f"{text} in {image.name}"))

        sources = {value for value in (image.source, *(record.source for record in records)) if value}
        if len(sources) > 1:
            report("expected the same source of all annotations and the image, found user and shop", "source")
        pair_ids = {record.pair_id - image.offset for record in records if record.pair_id is not None}
        if image.pair_id is not None:
            pair_ids.add(image.pair_id)
        if len(pair_ids) > 1:
            shown = ", ".join(map(str, sorted(pair_ids)))
            report(f"expected the same pair_id of all annotations and the image, found {shown}", "pair_id")
        elif min(pair_ids, default=0) < 0:
            report(f"expected a pair_id from {image.offset:,} on, as the image's id is moved by it", "pair_id")
        item_nos = [record.item_no for record in records if record.item_no is not None]
        if item_nos and len(set(item_nos)) < len(records):
            report(f"expected another item_no of each annotation, found {', '.join(map(str, item_nos))}", "item_no")
        if len(records) > INT16_MAX:
            report(f"expected at most {INT16_MAX:,} annotations, found {len(records):,}", "image_id")
        if issues:
            return
        if all(record.item_order for record in records):
            records.sort(key=lambda record: record.item_order or 0)
        self._count(records, image, source, sources, pair_ids)
        columns = self.columns
        self.images.append(image)
        columns.image_ids.append(image.image_id)
        columns.sources.append(cast(str, min(sources, default=source)))  # None is NULL
        columns.pair_ids.append(cast(int, min(pair_ids, default=None)))
        columns.num_items.append(len(records))
        for order, record in enumerate(records, 1):
            columns.item_keys.append(f"item{record.item_no or order}")
            columns.items.append(self._item(record))
            landmarks = record.keypoints
            columns.visibilities.append(cast(list[int], landmarks[2::3] if landmarks is not None else None))

    def _count(
        self,
        records: Sequence[CocoAnnotation],
        image: CocoImage,
        source: str | None,
        sources: set[str],
        pair_ids: set[int],
    ) -> None:
        """Count what is missing."""
        counts, number = self.counts, len(records)
        counts["images without size"] += image.width is None or image.height is None
        if not number:
            counts["images without annotation"] += 1
            return
        counts["images without source"] += not sources and source is None
        counts["images of other source"] += bool(sources and source and source not in sources)
        counts["images without pair_id"] += not pair_ids
        counts["items without style"] += sum(record.style is None for record in records)
        counts["items without landmarks"] += sum(record.keypoints is None for record in records)
        counts["items without segmentation"] += sum(record.segmentation is None for record in records)
        counts["items without attributes"] += sum(None in _attributes_of(record) for record in records)

    def _item(self, record: CocoAnnotation) -> Item:
        """Return the item of an annotation; fields that it does not have are None."""
        box, counted = _corners(record)
        self.counts["boxes of other size"] += counted
        fields: dict[str, Any] = {name: getattr(record, name) for name in (*ATTRIBUTE_CODES, "style")}
        return Item(
            segmentation=record.segmentation or [],
            landmarks=record.keypoints,  # type: ignore[arg-type]  # whole numbers, or None
            bounding_box=box,
            category_id=record.category_id,
            category_name=CATEGORY_BY_ID[record.category_id].name,
            **fields,
        )


def _corners(record: CocoAnnotation) -> tuple[tuple[float, float, float, float], bool]:
    """Return the box x1, y1, x2, y2 of an annotation, and whether its ``bbox_xyxy`` does not fit its ``bbox``.

    The sum of left edge and width is the right edge if both are whole; fractions may differ in the last digit, so
    ``bbox_xyxy`` is taken where its width and height are those of ``bbox``. A tool that moves a box knows only the
    latter.
    """
    x, y, width, height = record.bbox
    if record.bbox_xyxy is not None:
        x1, y1, x2, y2 = record.bbox_xyxy
        if (x1, y1, x2 - x1, y2 - y1) == (x, y, width, height):
            return record.bbox_xyxy, False
    return (x, y, x + width, y + height), record.bbox_xyxy is not None


def _own_landmarks(keypoints: list[float], category_id: int, report: Any) -> Any:
    """Return the landmarks of a category, from all 294 slots or its own; None for an empty list. Report problems."""
    category = CATEGORY_BY_ID[category_id]
    length = 3 * category.num_landmarks
    landmark_values = keypoints
    if not keypoints:
        return None
    if len(keypoints) == 3 * NUM_LANDMARK_SLOTS:
        start = 3 * category.landmark_offset
        landmark_values = keypoints[start : start + length]
        if any(keypoints[:start]) or any(keypoints[start + length :]):
            report(f"expected zeros in the slots of other categories than {category.name}", "keypoints")
    elif len(keypoints) != length:
        report(
            f"expected {3 * NUM_LANDMARK_SLOTS} numbers, or {length} for {category.name}, found {len(keypoints)}",
            "keypoints",
        )
        return None
    landmarks = [int(number) for number in landmark_values]
    if landmarks != landmark_values:
        position = next(k for k, number in enumerate(landmark_values) if number != int(number))
        report(f"expected whole numbers, found {landmark_values[position]}", "keypoints")
    elif not set(landmarks[2::3]) <= _VISIBILITIES:
        report("expected v 0, 1 or 2 of every landmark", "keypoints")
    elif any(abs(number) > INT32_MAX for number in landmarks):
        report("expected integers of at most 32 bits", "keypoints")
    return landmarks


def _check_digits(text: bytes, report: Any) -> None:
    """Report the numbers of an annotation's own columns that a double does not represent."""
    document = decode(text.decode("utf-8"))
    for key in ("bbox", "bbox_xyxy", "keypoints", "segmentation"):
        value = document.get(key) or []
        for number in chain.from_iterable(part if isinstance(part, list) else [part] for part in value):
            if isinstance(number, CutNumber):
                report(f"expected a number that a double holds with all its digits, found {number.literal[:40]}", key)
                break
