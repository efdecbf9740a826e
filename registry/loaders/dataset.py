"""The datasets' common part: rows in shared memory, photos, classes, and the policy for photos that cannot be read."""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from registry.errors import SourceError
from registry.loaders.chosen_rows import ChosenRows
from registry.loaders.photo_pixels import PhotoPixels, box_notices
from registry.loaders.shared_table import SharedTable
from registry.loaders.skipped import OnError, Skipped, SkippedLog, check_on_error, is_of_one_photo

if TYPE_CHECKING:
    import pyarrow as pa

    from registry.sources.photo_reader import PhotoReader
    from registry.store.registry import Registry
    from registry.subset.options import Subset
    from registry.subset.resplit import Resplit


class PhotoDataset(ABC):
    """A subset of a registry with its photos, as a map-style dataset of torch.

    It pickles in a few kB: worker processes map the rows into memory and open the photos themselves. The process that
    made it removes its files when it ends.

    Args:
        registry_or_url: an open registry, or its folder or URL.
        subset: a Subset, or its options by name (``{"category": "skirt"}``); everything without it.
        photos: release with the photos (folder, zip, tar, URL), a mapping from split to release, or a PhotoReader.
        transform: called with each element's images; the class says how.
        on_error: ``"raise"`` a SourceError that names the photo, or ``"skip"``: the element is then a
            :class:`registry.loaders.skipped.Skipped`, which ``collate`` and ``stack`` leave out of the batch.
        resplit: divides the subset anew, such as ``"train=0.8,val=0.2"``.
        part: only this split, or this part of the re-split.
        classes: ``"present"``, or a mapping from names of classes to their categories, as for ``df2 export``. Without
            it, the categories that the option ``category`` chooses, else the 13.
        password: of protected zips among the photos.
        open_options: ``storage_options``, ``cache``, ``memory``, ``timeout`` and ``tables`` of :func:`registry.open`.
            The storage options serve the photos, too. For a revision, open the registry first.

    Attributes:
        rows: a row for each element, in mapped memory.
        classes: names of the classes, by label.
        notices: plain sentences that count the images, items and elements that are left out.

    Raises:
        NotFoundError: there is no such registry, or the subset is empty.
        UsageError: an option that does not exist, or no photos.
        SourceError: the photos cannot be listed.
    """

    #: Prefixes of the columns of the boxes that elements are cropped to.
    _cropped: tuple[str, ...] = ()

    def __init__(
        self,
        registry_or_url: Registry | str,
        subset: Subset | Mapping[str, Any] | None = None,
        *,
        photos: str | Mapping[str, str] | PhotoReader | None = None,
        transform: Callable[..., Any] | None = None,
        on_error: OnError = "raise",
        resplit: Resplit | str | None = None,
        part: str | None = None,
        classes: Any = None,
        password: str | None = None,
        **open_options: Any,
    ) -> None:
        check_on_error(on_error)
        chosen = ChosenRows.of(
            registry_or_url, subset, resplit=resplit, part=part, classes=classes, open_options=open_options
        )
        self.notices = list(chosen.selection.notices)
        self.classes = tuple(member.name for member in chosen.classes)
        self._labels = chosen.labels()
        self.transform = transform
        self.on_error = on_error
        rows = self._read_rows(chosen)
        self.notices += box_notices(rows, self._cropped)
        self._rows = SharedTable(rows)
        self._photos = PhotoPixels(photos, chosen.splits, password, open_options.get("storage_options"))
        self._log = SkippedLog()

    @abstractmethod
    def _read_rows(self, chosen: ChosenRows) -> pa.Table:
        """Return a row for each element."""

    @abstractmethod
    def _element(self, row: dict[str, Any]) -> Any:
        """Return the element of a row.

        Raises:
            SourceError: its photo cannot be read.
        """

    @abstractmethod
    def _key(self, row: dict[str, Any]) -> str:
        """Return the key of the element of a row."""

    @property
    def rows(self) -> pa.Table:
        """A row for each element, in mapped memory."""
        return self._rows.table

    @property
    def class_to_idx(self) -> dict[str, int]:
        """The label of each class, as torchvision's folders of images have it."""
        return {name: label for label, name in enumerate(self.classes)}

    def __len__(self) -> int:
        return int(self.rows.num_rows)

    def __getitem__(self, index: int) -> Any:
        return self._made(self._row(index), self._element)

    def _made(self, row: dict[str, Any], make: Callable[[dict[str, Any]], Any]) -> Any:
        """Return the element that a function makes of a row, or that it is skipped."""
        try:
            return make(row)
        except SourceError as error:
            if self.on_error == "raise" or not is_of_one_photo(error):
                raise
            skipped = Skipped(self._key(row), str(error))
        self._log.add(skipped)
        return skipped

    def _row(self, index: int) -> dict[str, Any]:
        """Return the row of an element; a negative index counts from the end."""
        position = operator.index(index)
        if not -len(self) <= position < len(self):
            raise IndexError(f"There is no element {position}; the dataset has {len(self)}.")
        row: dict[str, Any] = self.rows.slice(position % len(self), 1).to_pylist()[0]
        return row

    def key(self, index: int) -> str:
        """Return the key of an element, such as ``train/000012_1`` of an item."""
        return self._key(self._row(index))

    @property
    def skipped(self) -> dict[str, str]:
        """The reason of each skipped element by its key, of this process and its workers."""
        return self._log.read()

    @property
    def num_skipped(self) -> int:
        """The number of elements that were skipped, each counted once."""
        return len(self.skipped)
