"""The options of a subset: a table of them, and the subset that they choose.

The command line, Python and params.yaml take these options; :mod:`registry.store.selection` finds the items.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Final

from registry.dataset.checks import load_checks
from registry.dataset.deepfashion2 import ATTRIBUTE_CODES, CATEGORY_BY_ID, SOURCES, SPLITS, unknown_name
from registry.errors import UsageError
from registry.subset import values
from registry.subset.item_list import ItemList, is_digest, read_item_list
from registry.subset.values import Range


@dataclass(frozen=True, slots=True)
class Option:
    """An option of a subset.

    Attributes:
        read: returns the canonical value from a value and the name of the option; raises a UsageError.
        write: returns a plain value from which ``read`` returns the same canonical value.
        metavar: the value in help texts.
        help: one line.
        default: the value of an option that is not used; its type tells the kind: ``()`` for an option that takes
            several values, False for a flag, else a single value.
        needs_item: whether the option chooses items: images without a chosen item are then left out.
    """

    read: Callable[[Any, str], Any]
    write: Callable[[Any], Any]
    metavar: str
    help: str
    default: Any
    needs_item: bool


def _option(
    read: Callable[[Any, str], Any],
    metavar: str,
    help_text: str,
    *,
    default: Any = (),
    needs_item: bool = False,
    write: Callable[[Any], Any] = lambda value: list(value) if isinstance(value, tuple) else value,
) -> Any:
    """Return a field of :class:`Subset` that declares an option."""
    return field(default=default, metadata={"option": Option(read, write, metavar, help_text, default, needs_item)})


def _attribute(name: str) -> Any:
    """Return the field of an attribute with codes, such as ``occlusion``."""
    codes = ", ".join(f"{code} {meaning}" for code, meaning in ATTRIBUTE_CODES[name].items())
    return _option(values.read_codes, "CODE|NAME", f"{codes}; 1-2 for a range.", needs_item=True)


def _ranges(read: Callable[[Any, str], Any], metavar: str, help_text: str, *, needs_item: bool = False) -> Any:
    """Return the field of an option that takes numbers and ranges of numbers."""
    return _option(read, metavar, help_text, needs_item=needs_item, write=values.format_ranges)


def _write_categories(category_ids: Sequence[int]) -> list[str]:
    return [CATEGORY_BY_ID[category_id].name for category_id in category_ids]


@dataclass(frozen=True, slots=True)
class Subset:
    """Some items of a registry; without any option, all items and all images.

    Values of an option are alternatives (``category`` of two names: either). Different options all have to hold.
    Each attribute is an option, declared once for the command line, Python and params.yaml; :data:`OPTIONS` lists
    them with their help.
    """

    # fmt: off
    split: tuple[str, ...] = _option(values.read_splits, "|".join(SPLITS), "Only this split.")
    category: tuple[int, ...] = _option(
        values.read_categories, "NAME|ID", "Only items of this category.", needs_item=True, write=_write_categories)
    source: tuple[str, ...] = _option(values.read_sources, "|".join(SOURCES), "Only photos of consumers, or of shops.")
    scale: tuple[int, ...] = _attribute("scale")
    occlusion: tuple[int, ...] = _attribute("occlusion")
    zoom_in: tuple[int, ...] = _attribute("zoom_in")
    viewpoint: tuple[int, ...] = _attribute("viewpoint")
    style: tuple[Range, ...] = _ranges(
        values.read_ranges, "N|A-B", "Only items of this style or range (1- for 1 and above).", needs_item=True)
    pair_id: tuple[Range, ...] = _ranges(values.read_ranges, "N|A-B", "Only images of this pair_id or range.")
    image_id: tuple[Range, ...] = _ranges(
        values.read_image_ids, "N|A-B|NAME|@FILE", "Only these images: numbers, names such as 000001.jpg, or those in "
        "the lines of FILE; a name such as train/image/000001.jpg also chooses its split.")
    items: ItemList | None = _option(  # noqa: RUF009
        read_item_list, "FILE", "Only these items: a CSV, JSON lines, Parquet or Arrow file with split, image_id and "
        "item_no, or split and image_id for whole images; or a text file with train/000001_2 a line.",
        default=None, write=lambda items: items.text)
    has_landmarks: bool = _option(
        values.read_flag, "", "Only items with at least one labelled landmark (v > 0).", default=False, needs_item=True)
    min_box_area: float | None = _option(
        values.read_area, "PX2", "Only items whose box has at least this area, in px²; 0 leaves out those without "
        "width or height.", default=None, needs_item=True)
    where: str | None = _option(
        values.read_where, "SQL", "Only items for which this condition over the columns of the table items holds: "
        "'x2 - x1 > 2 * (y2 - y1)'.", default=None, needs_item=True)
    exclude_check: tuple[str, ...] = _option(
        values.read_checks, "NAME", "Without the items, photos or identities that this check of "
        "docs/reference/checks.md finds in the registry, accepted ones too.")
    paired: bool = _option(
        values.read_flag, "", "Only items with a counterpart in the subset: same identity, other source.",
        default=False, needs_item=True)
    whole_images: bool = _option(values.read_flag, "", "All items of every image with a matching item.", default=False)
    sample: str | None = _option(
        values.read_sample, "N|P%", "A number or share of the items, chosen by a hash of their key; of whole "
        "identities with --paired, else of whole images with --whole-images.", default=None)
    seed: int = _option(values.read_seed, "S", "Seed of the sample and of the division.", default=0)
    limit: int | None = _option(
        values.read_limit, "N", "At most N items, the first in order; identities or images as for --sample.",
        default=None)
    # fmt: on

    @classmethod
    def of(cls, /, **options: Any) -> Subset:
        """Return the subset for options the way users write them.

        An option with several values takes a single value or a list: names or numbers of categories (``"skirt"``,
        ``9``), codes or names of attributes (``1``, ``"slight or none"``, ``"1-2"``), numbers and ranges (``7``,
        ``"7-9"``, ``"100-"``), for ``image_id`` also names of files (``"000001.jpg"``) and ``"@FILE"`` with one of
        these a line; a name with its split (``"train/image/000001.jpg"``) chooses the split too. ``items`` takes a file
        or a frame of keys (:func:`registry.subset.item_list.read_item_list`). Hyphens in option names count as
        underscores. None and empty values count as unset.

        Raises:
            UsageError: an option or value that does not exist; the message lists those that do.
            NotFoundError: the file after ``@`` or of ``items`` does not exist.
        """
        return cls._of(options, reads_files=True)

    @classmethod
    def of_document(cls, options: Mapping[str, Any]) -> Subset:
        """Return the subset in a document from elsewhere: as :meth:`of`, but no value makes it read a file.

        Raises:
            UsageError: as for :meth:`of`, and for ``"@FILE"`` or ``items`` that are not the digest of a list.
        """
        return cls._of(options, reads_files=False)

    @classmethod
    def _of(cls, options: Mapping[str, Any], *, reads_files: bool) -> Subset:
        canonical: dict[str, Any] = {}
        for spelled_name, value in options.items():
            name = spelled_name.replace("-", "_")
            if name not in OPTIONS:
                raise unknown_name("option of a subset", spelled_name, list(OPTIONS))
            if value is None or (isinstance(value, str | Sequence | Mapping) and not value):
                continue
            if isinstance(value, Mapping):
                raise UsageError(f"{name}: expected a value or a list of values, found {value!r}.")
            if not reads_files and name == "image_id" and any(map(values.is_list_file, values.as_list(value))):
                raise UsageError(f"{name} {value!r}: expected numbers and ranges; no file is read for it here.")
            if not reads_files and name == "items" and not is_digest(value):
                raise UsageError(f"{name} {value!r}: expected sha256:... of a list; no file is read for it here.")
            try:
                canonical[name] = OPTIONS[name].read(value, name)
            except (TypeError, ValueError, OverflowError) as error:  # a number of thousands of digits
                raise UsageError(f"{name}: {str(value)[:80]!r} cannot be read: {error}.") from error
        if "image_id" in canonical:
            _choose_split(canonical, options)
        return cls(**canonical)

    def to_dict(self) -> dict[str, Any]:
        """Return the options that are set, as plain values that :meth:`of` reads back to an equal subset."""
        return {
            name: option.write(getattr(self, name))
            for name, option in OPTIONS.items()
            if getattr(self, name) != option.default and (name != "seed" or self.sample is not None)
        }

    @property
    def text(self) -> str:
        """The canonical text: JSON of the options, equal for equal subsets however they were written."""
        return json.dumps(self.to_dict(), sort_keys=True, ensure_ascii=False)

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical text, hex digits."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def picks_items(self) -> bool:
        """Whether an image belongs to the subset only with a chosen item, so that images without items do not."""
        options = self.to_dict()
        takes_some_items = not self.whole_images and ("sample" in options or "limit" in options)
        lists_items = self.items is not None and self.items.has_items
        return (
            takes_some_items or lists_items or self.excludes_items or any(OPTIONS[name].needs_item for name in options)
        )

    @property
    def excludes_items(self) -> bool:
        """Whether a check leaves out items of images that stay."""
        return any({"item_no", "style"} & set(load_checks()[name].unit) for name in self.exclude_check)


def _choose_split(canonical: dict[str, Any], options: Mapping[str, Any]) -> None:
    """Set the split to that of the files that ``image_id`` names, if they name any.

    Raises:
        UsageError: the option ``split`` chooses another split.
    """
    image_ids = next(value for name, value in options.items() if name.replace("-", "_") == "image_id")
    split = values.read_image_split(image_ids, "image_id")
    if split is None:
        return
    if canonical.setdefault("split", (split,)) != (split,):
        chosen = ", ".join(canonical["split"])
        raise UsageError(f"image_id names files of {split}, and split is {chosen}: expected the same split.")


#: The options by name, in the order of help texts. The command line has ``--NAME`` with hyphens; Python and params.yaml
#: take hyphens and underscores.
OPTIONS: Final[dict[str, Option]] = {declaration.name: declaration.metadata["option"] for declaration in fields(Subset)}
