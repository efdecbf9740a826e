"""The images and items to show: their rows from a registry, and their photos from a release."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from registry.dataset.cells import check_images, check_items
from registry.dataset.tables import BOX_COLUMNS, IMAGES, ITEMS, Table, arrow_schema
from registry.errors import NotFoundError, PasswordError, SourceError, UnreadableSourceError, UsageError, first_names
from registry.pictures.annotated import SIZE, Annotated, annotate
from registry.pictures.palette import Colour, item_colours
from registry.pictures.photo import Photo, decode
from registry.pictures.predicted import Prediction
from registry.sources.faults import Fault
from registry.sources.photo_decoding import PhotoError
from registry.store.connection import duckdb_errors
from registry.wording import sentence

if TYPE_CHECKING:
    from registry.sources.photos import Photos
    from registry.store.registry import Registry

#: Columns of images and items that pictures show.
_IMAGE_COLUMNS: Final = ("split", "image_id", "file_name", "source", "pair_id", "width", "height")
_ITEM_COLUMNS: Final = (
    "image_id",
    "item_no",
    "style",
    "category_id",
    "category_name",
    *BOX_COLUMNS,
    "landmarks",
    "segmentation",
)
#: Photos that a message names.
_NAMES: Final = 5


@dataclass(frozen=True, slots=True)
class Subject:
    """An image to show, or an item in it.

    Attributes:
        split, image_id: of the image.
        item_no: None for all items of the image.
    """

    split: str
    image_id: int
    item_no: int | None = None

    @property
    def image(self) -> tuple[str, int]:
        """The key of the image."""
        return self.split, self.image_id

    def __str__(self) -> str:
        name = f"{self.split}/{self.image_id:06d}"
        return name if self.item_no is None else f"{name} item {self.item_no}"


@dataclass(frozen=True, slots=True)
class Shown:
    """A subject with everything that its picture needs.

    Attributes:
        subject: as asked for.
        image: row of the table images; None if the registry has no such image.
        items: rows of the items to show, by item_no.
        colours: of every item of the image, by item_no.
        photo: bytes; None without a photo.
    """

    subject: Subject
    image: Mapping[str, Any] | None
    items: Sequence[Mapping[str, Any]]
    colours: Mapping[int, Colour]
    photo: bytes | None

    @property
    def has_subject(self) -> bool:
        """Whether the registry has the image, and the item if one is asked for."""
        return self.image is not None and (self.subject.item_no is None or bool(self.items))

    def title(self) -> str:
        """Return a line about the image."""
        if self.image is None:
            return f"{self.subject} · not in the registry"
        parts = [str(self.subject)]
        if self.subject.item_no is not None:
            parts.append(self.items[0]["category_name"] if self.items else "not in the registry")
            parts += [f"style {item['style']}" for item in self.items if item["style"] is not None]
        image = self.image
        parts += [image["source"]] if image["source"] else []
        parts += [f"pair_id {image['pair_id']}"] if image["pair_id"] is not None else []
        parts += [f"{image['width']} x {image['height']} px"] if image["width"] else []
        if not self.colours:
            parts.append("no item is annotated")
        return " · ".join(parts)


@dataclass
class Problems:
    """Photos that are drawn as plain canvases, or do not fit their annotation.

    Attributes:
        names: what is wrong -> names of photos; none for a sentence about all photos of a split.
        bad_input: what is wrong with the data: a photo is damaged, or missing where the user says that it is.
        unknown: images and items that rows name and the registry lacks.
    """

    names: dict[str, list[str]] = field(default_factory=dict)
    bad_input: set[str] = field(default_factory=set)
    unknown: dict[str, None] = field(default_factory=dict)

    def add(self, text: str, name: str | None = None, *, is_bad_input: bool = False) -> None:
        """Add a photo, or a sentence about all photos of a split."""
        names = self.names.setdefault(text, [])
        if name is not None and name not in names:
            names.append(name)
        if is_bad_input:
            self.bad_input.add(text)

    def lines(self) -> list[tuple[str, bool]]:
        """Return a sentence for each problem, with the names of the first photos, and whether it is bad input."""
        unknown = sentence(len(self.unknown), "images or items", "are not in the registry, though rows name them")
        return [(f"{unknown}: {first_names(list(self.unknown), _NAMES)}.", False)] * bool(self.unknown) + [
            (
                f"{sentence(len(names), 'photos', text)}: {first_names(names, _NAMES)}." if names else text,
                text in self.bad_input,
            )
            for text, names in self.names.items()
        ]


class Album:
    """Reads the rows and the photos of subjects, and draws them.

    Args:
        registry: an open registry.
        photos: None to draw annotations on plain canvases.
        must_have_photos: whether a missing photo is bad input: the user has named the release.
        only_boxes: whether photos get boxes without masks and landmarks, which would hide the colours of garments. On a
            plain canvas the whole annotation is drawn.

    Attributes:
        registry, photos, only_boxes: as given.
    """

    def __init__(
        self,
        registry: Registry,
        photos: Photos | None = None,
        *,
        must_have_photos: bool = False,
        only_boxes: bool = False,
    ) -> None:
        self.registry = registry
        self.problems = Problems()
        self.photos = photos
        self.only_boxes = only_boxes
        self._must_have_photos = must_have_photos
        self._without_photos: set[str] = set()

    def find(self, subject: Subject) -> Shown:
        """Return a single subject.

        Raises:
            NotFoundError: the registry has no such image or item.
        """
        self.registry.image(subject.split, subject.image_id)  # its error lists the images
        (shown,) = self.load([subject])
        if not shown.has_subject:
            numbers = ", ".join(map(str, shown.colours))
            hint = f"its items are {numbers}" if numbers else "no item is annotated in it"
            image = f"{subject.split} image {subject.image_id}"
            raise NotFoundError(f"{image} has no item {subject.item_no}; {hint}.")
        return shown

    def load(self, subjects: Sequence[Subject]) -> list[Shown]:
        """Return subjects in their order; each image is read once.

        Raises:
            PasswordError: the photos are in a protected archive, and the password is missing or wrong.
            UnreadableSourceError: the place of the photos fails.
        """
        keys = list(dict.fromkeys(subject.image for subject in subjects))
        images: dict[tuple[str, int], Mapping[str, Any]] = {}
        items: dict[tuple[str, int], list[Mapping[str, Any]]] = {key: [] for key in keys}
        photos: dict[tuple[str, int], bytes] = {}
        for split in dict.fromkeys(split for split, _ in keys):
            image_ids = sorted(image_id for of_split, image_id in keys if of_split == split)
            images |= {(split, row["image_id"]): row for row in self._rows(IMAGES, _IMAGE_COLUMNS, split, image_ids)}
            for row in self._rows(ITEMS, _ITEM_COLUMNS, split, image_ids):
                items[split, row["image_id"]].append(row)
            photos |= self._read_photos(split, image_ids)
        shown = []
        for subject in subjects:
            rows = sorted(items[subject.image], key=lambda row: row["item_no"])
            colours = item_colours(row["item_no"] for row in rows)
            chosen = [row for row in rows if subject.item_no in (None, row["item_no"])]
            key = subject.image
            shown.append(Shown(subject, images.get(key), chosen, colours, photos.get(key)))
        return shown

    def draw(
        self,
        shown: Shown,
        *,
        size: int = SIZE,
        crop: bool = False,
        has_labels: bool = True,
        predictions: Sequence[Prediction] = (),
    ) -> Annotated:
        """Return the picture of a subject; see :func:`registry.pictures.annotated.annotate`."""
        image = shown.image or {}
        listed = (image["width"], image["height"]) if image.get("width") and image.get("height") else None
        photo = self._decode(shown, None if crop else size)
        if photo is not None and listed not in (None, (photo.width, photo.height)):
            self.problems.add("have another size than in the registry, so that annotations may not fit", _name(shown))
        items = shown.items
        if photo is not None and self.only_boxes:
            items = [{**item, "segmentation": [], "landmarks": []} for item in items]
        return annotate(
            items, photo, image_size=listed, size=size, crop=crop, has_labels=has_labels,
            colours=shown.colours, predictions=predictions,
        )  # fmt: skip

    def _decode(self, shown: Shown, size: int | None) -> Photo | None:
        if shown.photo is None:
            return None
        try:
            return decode(shown.photo, size)
        except PhotoError as error:
            text = f"are damaged ({error}) and drawn as a plain canvas"
            self.problems.add(text, _name(shown), is_bad_input=True)
            return None

    def _rows(
        self, table: Table, columns: Sequence[str], split: str, image_ids: Sequence[int]
    ) -> Iterable[dict[str, Any]]:
        """Return the rows of images of a split; none if the registry has no such split.

        Raises:
            RegistryFormatError: the rows are not as an ingestion writes them.
        """
        import pyarrow as pa

        if split not in self.registry.manifest.splits:
            return []
        query = (
            f"SELECT {', '.join(columns)} FROM {table.name} WHERE split = $split AND image_id BETWEEN $low AND $high "
            "AND list_contains($image_ids, image_id) ORDER BY image_id"
        )
        params = {"split": split, "low": image_ids[0], "high": image_ids[-1], "image_ids": image_ids}
        declared = arrow_schema(table, stored=False)
        schema = pa.schema([declared.field(name) for name in columns])
        with duckdb_errors():
            rows = self.registry.sql(query, params).to_arrow_table().cast(schema).combine_chunks()
        for batch in rows.to_batches():
            (check_images if table is IMAGES else check_items)(batch, split, self.registry.place)
        records: list[dict[str, Any]] = rows.to_pylist()
        return records

    def _read_photos(self, split: str, image_ids: Sequence[int]) -> dict[tuple[str, int], bytes]:
        """Return the photos that can be read; the others are problems."""
        if self.photos is None or split in self._without_photos:
            return {}
        read: dict[tuple[str, int], bytes] = {}
        try:
            for image_id, data in zip(image_ids, self.photos.find(split, image_ids), strict=True):
                name = f"{split}/image/{image_id:06d}.jpg"
                if isinstance(data, Fault):
                    text = f"are unreadable ({data}) and drawn as a plain canvas"
                    self.problems.add(text, name, is_bad_input=True)
                elif data is None:
                    text = f"are not in {self.photos.place(split)} and drawn as a plain canvas"
                    self.problems.add(text, name, is_bad_input=self._must_have_photos)
                else:
                    read[split, image_id] = data
            for notice in self.photos.notices:
                self.problems.add(notice)
        except (PasswordError, UnreadableSourceError):
            raise
        except (SourceError, UsageError) as error:  # the place has no photos of this split
            self._without_photos.add(split)
            text = f"The photos of {split} are drawn as plain canvases: {error}"
            self.problems.add(text, is_bad_input=self._must_have_photos)
        return read


def _name(shown: Shown) -> str:
    name = shown.image["file_name"] if shown.image else f"{shown.subject.image_id:06d}.jpg"
    return f"{shown.subject.split}/image/{name}"
