"""Elements that a dataset skips because their photo cannot be read, counted over all worker processes."""

from __future__ import annotations

import errno
import json
import os
import sys
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeVar

from registry.errors import PasswordError, SourceError, StorageError, UnreadableSourceError, UsageError
from registry.files.private_folder import private_folder
from registry.loaders.shared_table import remove_own

_Element = TypeVar("_Element")

OnError = Literal["raise", "skip"]
#: A line of the log is appended whole by each process up to some 4 kB.
_MOST_CHARACTERS: Final = 300


@dataclass(frozen=True, slots=True)
class Skipped:
    """The place of an element whose photo cannot be read, with ``on_error="skip"``.

    Attributes:
        key: of the element: ``train/000012_1`` of an item, ``train/image/000012.jpg`` of an image.
        reason: the message of the error.
    """

    key: str
    reason: str


class SkippedLog:
    """The elements that were skipped in this process and in its workers; pickles as the path of a file."""

    def __init__(self) -> None:
        self._path = private_folder() / f"skipped-{os.urandom(8).hex()}.jsonl"
        self._path.touch(mode=0o600)
        weakref.finalize(self, remove_own, self._path, os.getpid())

    def add(self, skipped: Skipped) -> None:
        """Append an element.

        Raises:
            StorageError: the file was removed, or the disk is full.
        """
        line = (json.dumps([skipped.key, skipped.reason[:_MOST_CHARACTERS]]) + "\n").encode("ascii")
        with self._errors():
            file = os.open(self._path, os.O_WRONLY | os.O_APPEND)
            try:
                if os.write(file, line) < len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            finally:
                os.close(file)

    def read(self) -> dict[str, str]:
        """Return the reason of each skipped element by its key, in the order of their first skip.

        Raises:
            StorageError: the file was removed.
        """
        reasons: dict[str, str] = {}
        with self._errors():
            lines = self._path.read_text("ascii").splitlines()
        for line in lines:
            key, reason = json.loads(line)
            reasons.setdefault(key, reason)
        return reasons

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StorageError(
                f"The file of the skipped elements, {self._path}, cannot be used: {error.strerror}. Was the temporary "
                "folder removed? Make the dataset again; TMPDIR names another folder."
            ) from error


def check_on_error(on_error: str) -> None:
    """Refuse a policy that does not exist."""
    if on_error not in ("raise", "skip"):
        raise UsageError(f"on_error: expected 'raise' or 'skip', found {on_error!r}.")


def is_of_one_photo(error: SourceError) -> bool:
    """Return whether an error tells of a single photo, so that it may be skipped, and not of the whole place."""
    return not isinstance(error, PasswordError | UnreadableSourceError)


def kept(elements: Sequence[_Element | Skipped]) -> list[_Element]:
    """Return the elements of a batch that were not skipped.

    Raises:
        SourceError: all were.
    """
    rest = [element for element in elements if not isinstance(element, Skipped)]
    if elements and not rest:
        reason = next(element.reason for element in elements if isinstance(element, Skipped))
        raise SourceError(f"No photo of a batch of {len(elements)} can be read; the first: {reason}")
    return rest


def collate(elements: Sequence[Any]) -> tuple[list[Any], ...]:
    """Return a batch as lists: of images and of targets, as detection models of torchvision take them.

    Elements that were skipped are left out. In a worker process of torch, all tensors of a batch share memory.
    """
    batch = tuple(map(list, zip(*kept(elements), strict=True)))
    if "torch" not in sys.modules:
        return batch
    from torch.utils.data import get_worker_info

    if get_worker_info() is None:
        return batch
    from registry.loaders.shared_batch import in_shared_memory

    shared: tuple[list[Any], ...] = in_shared_memory(batch)
    return shared


def stack(elements: Sequence[Any]) -> Any:
    """Return a batch as torch stacks it by default, without the elements that were skipped.

    The images need one size: a transform resizes them.
    """
    from torch.utils.data import default_collate

    return default_collate(kept(elements))
