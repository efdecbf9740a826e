"""The edits between a registry and an edited COCO export of it.

An annotation is matched with an item of its image by ``item_no``, else by an equal box, else by the box that it
overlaps most. Keys that the file does not carry are no edits.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from registry.corrections.edited_coco import EditedAnnotation, EditedFile, EditedImage
from registry.corrections.edits import Edit
from registry.corrections.geometry import Box, clean, extent, is_near, merged, merged_polygons, overlap
from registry.corrections.states import State
from registry.dataset.deepfashion2 import ATTRIBUTE_CODES, NUM_LANDMARK_SLOTS, Category, find_category
from registry.errors import UnknownNameError
from registry.ingest.corrections import ADD, REMOVE
from registry.ingest.diagnose import IMAGE_FIELDS
from registry.subset.rows import SPLIT_STRIDE
from registry.wording import sentence

#: Least overlap of the box of an item and that of an annotation of it.
_LEAST_OVERLAP: Final = 0.5
_CODES: Final = ("style", *ATTRIBUTE_CODES)

#: Returns image_id -> state in the registry and before corrections.
ReadStates = Callable[[Iterable[int]], dict[int, tuple[State, State]]]


@dataclass(slots=True)
class CocoEdits:
    """What an edited file changes.

    Attributes:
        states: image_id -> state in the registry, and before corrections.
        edits: image_id -> new values.
        issues: what cannot be matched or read, an entry each.
        counts: phrase and predicate of a notice, for :func:`registry.wording.sentence` -> its number.
    """

    states: dict[int, tuple[State, State]] = field(default_factory=dict)
    edits: dict[int, list[Edit]] = field(default_factory=dict)
    issues: list[str] = field(default_factory=list)
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)

    @property
    def notices(self) -> list[str]:
        """The notices, each with its count."""
        return sorted(sentence(number, *phrases) for phrases, number in self.counts.items())


def compare(coco: EditedFile, split: str, read_states: ReadStates, *, removes: bool) -> CocoEdits:
    """Return the edits that lead from the registry to a COCO file.

    Args:
        coco: the edited file.
        split: of its images.
        read_states: reads images of the registry.
        removes: whether items of the file's images that it lacks are removed.
    """
    result = CocoEdits()
    images = _images(coco.images, split, result)
    result.states = read_states(image_id for image_id, _ in images.values())
    categories = _categories(coco)
    by_image: dict[int | str, list[EditedAnnotation]] = defaultdict(list)
    ids = {image.id for image in coco.images}
    for annotation in coco.annotations:
        if annotation.image_id not in ids:
            result.issues.append(f"{_name(annotation)}: there is no image {annotation.image_id!r} in the file")
        by_image[annotation.image_id].append(annotation)
    for key, (image_id, image) in images.items():
        if image_id not in result.states:
            result.issues.append(f"image {image.file_name!r}: {split} has no image {image_id} with an annotation")
            continue
        image_edits = _ImageEdits(split, image_id, image, result.states[image_id][0], categories, result)
        edits = image_edits.edits(by_image[key], removes)
        if edits:
            result.edits[image_id] = edits
    return result


def _images(
    coco_images: Sequence[EditedImage], split: str, result: CocoEdits
) -> dict[int | str, tuple[int, EditedImage]]:
    """Return id in the file -> image_id and image; images of other splits are left out."""
    images: dict[int | str, tuple[int, EditedImage]] = {}
    seen: dict[int, str] = {}
    for image in coco_images:
        key = image.key()
        if key is None:
            result.issues.append(
                f"image {image.file_name!r}: expected a file name with the number of the image, such as 000001.jpg"
            )
        elif key[0] not in (split, None):
            result.counts["images of other splits", "were not compared: import the file with their --split too"] += 1
        elif image.id in images:
            result.issues.append(
                f"image {image.file_name!r}: image {images[image.id][1].file_name!r} has its id {image.id!r} too"
            )
        elif key[1] in seen:
            result.issues.append(
                f"image {image.file_name!r}: the file has image {key[1]} twice, as {seen[key[1]]!r} too"
            )
        else:
            seen[key[1]] = image.file_name
            images[image.id] = (key[1], image)
    return images


def _categories(coco: EditedFile) -> dict[int | str, Category | str]:
    """Return id in the file -> category, or its name if it is none of the dataset."""
    categories: dict[int | str, Category | str] = {}
    for category in coco.categories:
        try:
            categories[category.id] = find_category(category.name)
        except UnknownNameError:
            categories[category.id] = category.name
    return categories


def _name(annotation: EditedAnnotation) -> str:
    return f"annotation {annotation.id}"


class _ImageEdits:
    """The edits of an image."""

    def __init__(
        self,
        split: str,
        image_id: int,
        image: EditedImage,
        state: State,
        categories: dict[int | str, Category | str],
        result: CocoEdits,
    ) -> None:
        self._image = image
        self._state = state
        self._categories = categories
        self._result = result
        # In a part of several splits, exports add a number to the ids of each.
        shift = image.id - image_id if isinstance(image.id, int) else 0
        self._offset = shift if shift and shift % SPLIT_STRIDE == 0 else 0

    def edits(self, annotations: Sequence[EditedAnnotation], removes: bool) -> list[Edit]:
        """Return the edits of the image and its items."""
        sound = [annotation for annotation in annotations if self._is_sound(annotation)]
        matches, new_annotations = self._match(sound)
        edits = self._image_values(sound)
        for item_no, annotation in matches.items():
            edits += self._item_values(item_no, annotation)
        numbered = Counter(annotation.value("item_no") for annotation in new_annotations)
        numbers = {*self._state.items, *(number for number in numbered if number is not None)}
        for annotation in new_annotations:
            number = annotation.value("item_no")
            if number is not None and numbered[number] > 1:
                self._issue(annotation, f"{numbered[number]} new annotations of the image have item_no {number}")
                continue
            added = self._added(annotation, numbers)
            numbers.update(edit.item_no or 0 for edit in added)
            edits += added
        missing = [item_no for item_no in self._state.items if item_no not in matches]
        if removes and len(sound) == len(annotations):
            edits += [Edit(item_no, REMOVE, None) for item_no in missing]
        elif missing:
            text = "are not in it; --remove-missing removes such items"
            self._result.counts["items of images in the file", text] += len(missing)
        return edits

    def _issue(self, annotation: EditedAnnotation, text: str) -> None:
        self._result.issues.append(f"{_name(annotation)} of {self._image.file_name}: {text}")

    def _is_sound(self, annotation: EditedAnnotation) -> bool:
        """Return whether an annotation can be compared; report it if not."""
        category = self._categories.get(annotation.category_id)
        segmentation = annotation.segmentation
        text = None
        if not isinstance(category, Category):
            text = f"expected a category of the dataset, found {category or annotation.category_id!r}"
        elif annotation.iscrowd or isinstance(segmentation, dict):
            text = "expected polygons, found a mask (RLE) or a crowd"
        elif segmentation and not _are_polygons(segmentation):
            text = "expected polygons, each a list of x, y of at least 3 points"
        elif annotation.bbox is not None and len(annotation.bbox) != 4:
            text = f"expected a bbox of 4 numbers (x, y, width, height), found {len(annotation.bbox)}"
        elif annotation.bbox is None and not segmentation:
            text = "expected a bbox or polygons, found neither"
        elif not _is_item_no(annotation.value("item_no")):
            text = f"expected a whole number from 1 as item_no, found {annotation.value('item_no')!r}"
        if text is not None:
            self._issue(annotation, text)
        return text is None

    def _match(
        self, annotations: Sequence[EditedAnnotation]
    ) -> tuple[dict[int, EditedAnnotation], list[EditedAnnotation]]:
        """Return item_no -> its annotation, and the annotations of no item."""
        matches: dict[int, EditedAnnotation] = {}
        rest = []
        for annotation in annotations:
            item_no = annotation.value("item_no")
            if item_no in matches:
                self._issue(annotation, f"{_name(matches[item_no])} has item_no {item_no} too")
            elif item_no in self._state.items:
                matches[item_no] = annotation
            else:
                rest.append(annotation)
        scores = []
        for position, annotation in enumerate(rest):
            box = _box(annotation)
            category = self._categories[annotation.category_id]
            for item_no, item in self._state.items.items():
                boxes = [item["bounding_box"], extent(item["segmentation"] or [])]
                best = max(2.0 if is_near(box, other) else overlap(box, other) for other in boxes if other is not None)
                if item_no not in matches and best >= _LEAST_OVERLAP:
                    is_other = not isinstance(category, Category) or category.id != item["category_id"]
                    scores.append((-best, is_other, position, item_no))
        taken: set[int] = set()
        for _, _, position, item_no in sorted(scores):
            if position not in taken and item_no not in matches:
                taken.add(position)
                matches[item_no] = rest[position]
        return matches, [annotation for position, annotation in enumerate(rest) if position not in taken]

    def _image_values(self, annotations: Sequence[EditedAnnotation]) -> list[Edit]:
        """Return the edits of source and pair_id, on which the image and its annotations must agree."""
        edits = []
        for name in IMAGE_FIELDS:
            values = [getattr(self._image, name), *(annotation.value(name) for annotation in annotations)]
            present = [value for value in values if value is not None]
            if name == "pair_id":
                present = [value - self._offset if isinstance(value, int) else value for value in present]
            if not present or all(value == self._state.values[name] for value in present):
                continue
            if any(value != present[0] for value in present):
                listed = ", ".join(dict.fromkeys(map(repr, present)))
                self._result.issues.append(
                    f"image {self._image.file_name!r}: expected one {name} in the image and its annotations, found "
                    f"{listed}"
                )
            else:
                edits.append(Edit(None, name, present[0]))
        return edits

    def _item_values(self, item_no: int, annotation: EditedAnnotation) -> list[Edit]:
        """Return the edits of an item."""
        item = self._state.items[item_no]
        values: dict[str, Any] = {}
        category = self._categories[annotation.category_id]
        assert isinstance(category, Category)
        if category.id != item["category_id"]:
            values["category"] = category.name
        values |= {name: annotation.value(name) for name in _CODES if annotation.value(name) not in (None, item[name])}
        self._compare_geometry(annotation, item, values)
        landmarks = self._landmarks(annotation, category)
        if landmarks is None and "category" in values:
            landmarks = [0] * (3 * category.num_landmarks)
        if landmarks is not None and landmarks != item["landmarks"]:
            values["landmarks"] = landmarks
            if "category" in values and not any(landmarks):
                text = "have landmarks that are not labelled now, as the file has none"
                self._result.counts["items of another category", text] += 1
        return [Edit(item_no, name, value) for name, value in values.items()]

    def _compare_geometry(self, annotation: EditedAnnotation, item: dict[str, Any], values: dict[str, Any]) -> None:
        """Add the box and the polygons if they changed.

        CVAT and Label Studio drop the box of an item with polygons and write the box around the polygons instead.
        """
        polygons = annotation.segmentation or []
        segmentation = item["segmentation"] or []
        if polygons:
            merge = merged_polygons(segmentation, polygons)
            if merge != segmentation:
                values["segmentation"] = merge
        old = item["bounding_box"]
        new = _box(annotation)
        if is_near(old, new):
            return
        around_new, around_old = extent(polygons), extent(segmentation)
        is_derived = around_new is not None and is_near(new, around_new)
        if is_derived and not (around_old is not None and is_near(old, around_old)):
            text = "were not compared, since tools write such boxes themselves"
            self._result.counts["boxes around the polygons alone", text] += 1
            return
        values["bounding_box"] = merged(old, new)

    def _landmarks(self, annotation: EditedAnnotation, category: Category) -> list[int] | None:
        """Return the landmarks of an annotation, rounded to whole pixels; None without any."""
        keypoints = annotation.keypoints
        if not keypoints:
            return None
        size = 3 * category.num_landmarks
        if len(keypoints) == 3 * NUM_LANDMARK_SLOTS:
            start = 3 * category.landmark_offset
            keypoints = keypoints[start : start + size]
        elif len(keypoints) != size:
            expected = f"{size} keypoint numbers for {category.name}, or {3 * NUM_LANDMARK_SLOTS}"
            self._issue(annotation, f"expected {expected}, found {len(keypoints)}")
            return None
        rounded = [round(number) for number in keypoints]
        if any(abs(a - b) > 1e-6 for a, b in zip(rounded, keypoints, strict=True)):
            self._result.counts["annotations", "have landmarks between pixels, which were rounded"] += 1
        return rounded

    def _added(self, annotation: EditedAnnotation, item_nos: set[int]) -> list[Edit]:
        """Return the edit that adds an item; report an annotation that lacks values of an item."""
        category = self._categories[annotation.category_id]
        assert isinstance(category, Category)
        lacking = [name for name in _CODES if annotation.value(name) is None]
        if lacking:
            text = (
                f"fits no item of the image, whose items are {', '.join(map(str, sorted(self._state.items)))}; a new "
                f"item needs {', '.join(lacking)} too: give it attributes, or add it with 'df2 correct'"
            )
            self._issue(annotation, text)
            return []
        item_no = annotation.value("item_no")
        item = {
            "segmentation": [[clean(number) for number in ring] for ring in annotation.segmentation or []],
            **{name: annotation.value(name) for name in ("scale", "viewpoint", "zoom_in")},
            "landmarks": self._landmarks(annotation, category) or [0] * (3 * category.num_landmarks),
            "style": annotation.value("style"),
            "bounding_box": [clean(number) for number in _box(annotation)],
            "category_id": category.id,
            "occlusion": annotation.value("occlusion"),
            "category_name": category.name,
        }
        return [Edit(max(item_nos) + 1 if item_no is None else item_no, ADD, item)]


def _is_item_no(value: Any) -> bool:
    """Return whether a value may be an item_no; None is one that the tool dropped."""
    return value is None or (type(value) is int and value > 0)


def _are_polygons(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(ring, list)
        and len(ring) >= 6
        and len(ring) % 2 == 0
        and all(type(number) in (int, float) for number in ring)
        for ring in value
    )


def _box(annotation: EditedAnnotation) -> Box:
    """Return the box of an annotation (x1, y1, x2, y2); without ``bbox``, that around its polygons."""
    if annotation.bbox is None:
        around = extent(annotation.segmentation)
        assert around is not None
        return around
    x, y, width, height = annotation.bbox
    return (x, y, x + width, y + height)
