"""The pictures of the report: images and items with their annotation, inside the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from registry.errors import UsageError
from registry.pictures.album import Album, Shown, Subject
from registry.pictures.files import data_uri, webp
from registry.pictures.gallery import RowKeys
from registry.report.elements import Html, element
from registry.wording import plural

if TYPE_CHECKING:
    from PIL.Image import Image

    from registry.pictures.annotated import Annotated
    from registry.pictures.predicted import Prediction
    from registry.store.difference import Change

#: Longer side of a picture, px.
_SIZE: Final = 400
#: The same where predictions are drawn too.
_LARGE: Final = 640
#: Bytes of all pictures in the page, so that it stays below 5 MB.
_MOST_BYTES: Final = 4_000_000
#: Values in a caption.
_VALUES: Final = 6


class Thumbnails:
    """Draws the pictures of one page, until they have as many bytes as a page may have.

    Args:
        album: reads rows and photos.
    """

    def __init__(self, album: Album) -> None:
        self._album = album
        self._bytes = 0

    def of_items(self, rows: Sequence[Mapping[str, Any]]) -> Html | None:
        """Return a picture of each item, cut out of its photo.

        Args:
            rows: split, image_id and item_no; other columns stand in the caption.
        """
        return self._figures(rows, RowKeys.of(list(rows[0])), crop=True) if rows else None

    def of_subjects(self, subjects: Sequence[Subject], *, crop: bool = True, size: int = _SIZE) -> list[Html | None]:
        """Return a picture of each subject; None for those beyond the bytes that a page may have."""
        return [self._image(self._album, shown, crop=crop, size=size) for shown in self._album.load(subjects)]

    def of_picture(self, picture: Image, text: str) -> Html:
        """Return a picture that is drawn already, and a text in place of it."""
        address = data_uri(webp(picture), "webp")
        self._bytes += len(address)
        return element("img", src=address, alt=text, width=picture.width, height=picture.height)

    def of_rows(self, rows: Sequence[Mapping[str, Any]]) -> Html | None:
        """Return pictures of rows that name images or items; None if they name none."""
        try:
            keys = RowKeys.of(list(rows[0]) if rows else [])
        except UsageError:
            return None
        return self._figures(rows, keys)

    def of_change(self, change: Change, old: Album) -> Html | None:
        """Return an item that differs, old and new beside each other.

        Args:
            change: the difference.
            old: reads the rows of the older version.
        """
        subject = Subject(change.key["split"], change.key["image_id"], change.key["item_no"])
        figures = []
        for name, album, is_there in (("old", old, change.change != "added"), ("new", self._album, change.new)):
            if is_there:
                (shown,) = album.load([subject])
                image = self._image(album, shown, name)
                figures.append(element("figure", image, element("figcaption", name)) if image else None)
        return element("div", *figures, class_="pair") if any(figures) else None

    def of_predictions(
        self, rows: Sequence[Mapping[str, Any]], predictions: Mapping[tuple[str, int], Sequence[Prediction]]
    ) -> Html | None:
        """Return a picture of each image with its items and what was predicted in it.

        Args:
            rows: split and image_id; other columns stand in the caption.
            predictions: by split and image_id.
        """
        keys = RowKeys.of(list(rows[0])) if rows else None
        subjects = [Subject(row["split"], row["image_id"]) for row in rows]
        figures = []
        for row, shown in zip(rows, self._album.load(subjects), strict=True):
            image = self._image(self._album, shown, predictions=predictions.get(shown.subject.image, ()), size=_LARGE)
            values = ", ".join(keys.captions(row)[:_VALUES]) if keys else ""
            caption = element("figcaption", str(shown.subject), element("div", values) if values else None)
            figures.append(element("figure", image, caption) if image else None)
        return element("div", *figures, class_="pictures large") if any(figures) else None

    def _figures(self, rows: Sequence[Mapping[str, Any]], keys: RowKeys, *, crop: bool = False) -> Html | None:
        subjects = [[subject for subject in _subjects(row, keys) if subject is not None] for row in rows]
        loaded = iter(self._album.load([subject for group in subjects for subject in group]))
        figures = []
        for row, group in zip(rows, subjects, strict=True):
            images = [self._image(self._album, next(loaded), crop=crop) for _ in group]
            values = ", ".join(keys.captions(row)[:_VALUES])
            caption = element("figcaption", " and ".join(map(str, group)), element("div", values) if values else None)
            if any(images):
                figures.append(element("figure", *images, caption))
        return element("div", *figures, class_="pictures") if figures else None

    def _image(
        self,
        album: Album,
        shown: Shown,
        name: str = "",
        *,
        crop: bool = False,
        size: int = _SIZE,
        predictions: Sequence[Prediction] = (),
    ) -> Html | None:
        """Return a picture, or None when the page has as many bytes of them as it may have."""
        if self._bytes > _MOST_BYTES or not shown.has_subject:
            return None
        has_labels = shown.subject.item_no is None
        drawn = album.draw(shown, size=size, crop=crop, has_labels=has_labels, predictions=predictions)
        address = data_uri(webp(drawn.picture, str(shown.subject)), "webp")
        self._bytes += len(address)
        width, height = drawn.picture.size
        return element("img", src=address, alt=_alt(shown, drawn, name, len(predictions)), width=width, height=height)


def _subjects(row: Mapping[str, Any], keys: RowKeys) -> list[Subject | None]:
    """Return the images or items of a row; both items where it is about two items of one image."""
    subjects = keys.subjects(row)
    if len(subjects) == 1 and subjects[0] is not None and row.get("other_item_no") is not None:
        return [subjects[0], replace(subjects[0], item_no=int(row["other_item_no"]))]
    return subjects


def _alt(shown: Shown, drawn: Annotated, name: str, num_predictions: int) -> str:
    """Return a text in place of a picture."""
    place = "photo" if drawn.has_photo else "plain canvas"
    item = f"the {shown.items[0]['category_name']}" if shown.subject.item_no else f"{len(shown.items)} items"
    more = f" and {plural(num_predictions, 'prediction')}" if num_predictions else ""
    return f"{name} annotation of {item}{more} in {shown.subject}, on a {place}".strip()
