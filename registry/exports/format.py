"""An export format: its name, its options, and the function that writes it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

from registry.dataset.deepfashion2 import unknown_name
from registry.errors import UsageError
from registry.subset.rows import Chunk, Part

if TYPE_CHECKING:
    import pyarrow as pa

    from registry.exports.destination import Files

#: What happens to photos. ``none``: the data files name them as the format does by itself. ``reference``: by their
#: place in the release (``train/image/000001.jpg``). ``link`` and ``copy``: they are put into the export.
IMAGES: Final = ("none", "reference", "link", "copy")

#: Highest whole number of an option: what 32 bits hold.
_MOST: Final = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Option:
    """An option of a format, on the command line ``--NAME``.

    Attributes:
        name: with hyphens.
        help: one line.
        kind: ``flag``, ``choice``, ``integer``, ``number`` or ``text``.
        default: its value where it is not given.
        choices: of a ``choice``.
        minimum: of an ``integer`` or ``number``.
    """

    name: str
    help: str
    kind: Literal["flag", "choice", "integer", "number", "text"] = "flag"
    default: Any = False
    choices: tuple[str, ...] = ()
    minimum: float = 0

    def read(self, value: Any) -> Any:
        """Return a value as the format gets it.

        Raises:
            UsageError: it is not of this kind.
        """
        if value is None and self.default is None:
            return None
        if self.kind == "choice" and value not in self.choices and value != self.default:
            raise unknown_name(f"value of {self.name}", value, list(self.choices))
        kinds: dict[str, tuple[type, ...]] = {"flag": (bool,), "integer": (int,), "number": (int, float)}
        if type(value) not in kinds.get(self.kind, (str,)):  # by its type alone: True is equal to 1
            expected = "true or false" if self.kind == "flag" else f"a value of kind {self.kind}"
            raise UsageError(f"{self.name}: expected {expected}, found {value!r}.")
        if self.kind in ("integer", "number") and value is not None and value < self.minimum:
            raise UsageError(f"{self.name}: expected at least {self.minimum:g}, found {value}.")
        if isinstance(value, int) and value > _MOST:
            raise UsageError(f"{self.name}: expected at most {_MOST}, found {value}.")
        return value


class Job(Protocol):
    """One export on its way: what a format reads, where it writes, and what it says of it.

    Attributes:
        files: takes the files.
        options: value of every option of the format, by name with hyphens.
        images: one of :data:`IMAGES`.
    """

    files: Files
    options: Mapping[str, Any]
    images: str

    @property
    def parts(self) -> Sequence[Part]:
        """The parts, in order: the splits, or those of a new division. Each may be empty."""

    @property
    def divided(self) -> bool:
        """Whether the parts are those of a new division."""

    @property
    def counts(self) -> Mapping[str, Mapping[str, int]]:
        """By name of the part its ``images`` and ``items``, and what :meth:`count` added."""

    def chunks(self, part: Part, columns: Sequence[str] = ()) -> Iterator[Chunk]:
        """Yield the images of a part with the named columns of their items, in file order."""

    def pairs(self, part: Part, negatives: int = 0, hard_negatives: int = 0, seed: int = 0) -> Iterator[pa.RecordBatch]:
        """Yield the pairs of items within a part (see :mod:`registry.store.pairs`)."""

    def photo_names(self, chunk: Chunk) -> list[str]:
        """Return what data files call the photo of each image of a chunk.

        ``PART/NAME`` below the folder of the format's photos where they are linked or copied, and the place in the
        release (``train/image/000001.jpg``) otherwise.
        """

    def photos(self, chunk: Chunk) -> Iterator[bytes]:
        """Yield the bytes of the photo of each image of a chunk.

        Raises:
            UsageError: no place of photos was given.
            SourceError: a photo is missing or cannot be read.
        """

    def put_photos(self, chunk: Chunk, names: Iterable[str]) -> None:
        """Put the photo of each image of a chunk into the export under these names, linked or copied."""

    def leave_out(self, what: str, why: str, number: int = 1) -> None:
        """Say that something of the rows is not in the files, or not as it was; it is counted and reported."""

    def count(self, part: Part, what: str, number: int) -> None:
        """Add to a count of the manifest, beside the images and items of the part."""


@dataclass(frozen=True, slots=True)
class Format:
    """A format to export to.

    Attributes:
        name: as on the command line.
        summary: one line, for ``df2 export --help``.
        write: reads the rows of a job and writes its files; the same rows give the same bytes. A function, or its
            name as ``module:function``, which is imported when an export runs.
        options: what can be chosen.
        images: those of :data:`IMAGES` it can do; the first is its default.
        photo_path: where a linked or copied photo lies, with ``{part}`` and ``{name}`` in it; None for a format
            that puts photos into its own files.
        check: raises a UsageError for options that do not go together; called with the options and the mode of photos
            before anything is read. A function or its name, as for ``write``.
        next_step: command line that trains on an export or loads it, with ``{dest}`` (the folder of the export),
            ``{part}`` (its first part) and ``{file}`` (its first file); or a function of the options that returns it.
        needs_photos: whether ``next_step`` works only with photos in the export.
    """

    name: str
    summary: str
    write: Callable[[Job], None] | str
    options: tuple[Option, ...] = ()
    images: tuple[str, ...] = IMAGES
    photo_path: str | None = "images/{part}/{name}"
    check: Callable[[Mapping[str, Any], str], None] | str | None = None
    next_step: Callable[[Mapping[str, Any]], str] | str = ""
    needs_photos: bool = False

    def run(self, job: Job) -> None:
        """Write the files of an export."""
        _function(self.write)(job)

    def check_options(self, options: Mapping[str, Any], images: str) -> None:
        """Refuse options that do not go together.

        Raises:
            UsageError: they do not.
        """
        if self.check is not None:
            _function(self.check)(options, images)

    def next_step_of(self, options: Mapping[str, Any], **names: str) -> str:
        """Return the command line that trains on an export or loads it; empty without any.

        Args:
            options: value of every option of the format, by name with hyphens.
            names: values of the placeholders of ``next_step``.
        """
        template = self.next_step(options) if callable(self.next_step) else self.next_step
        return template.format(**names)

    def read_options(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the value of every option, by name with hyphens.

        Raises:
            UsageError: an option that does not exist, or a value it cannot have.
        """
        by_name = {option.name: option for option in self.options}
        values = {name: option.default for name, option in by_name.items()}
        for name, value in given.items():
            hyphened = name.replace("_", "-")
            if hyphened not in by_name:
                raise unknown_name(f"option of the format {self.name}", name, list(by_name) or ["none"])
            values[hyphened] = by_name[hyphened].read(value)
        return values


def _function(function: Callable[..., None] | str) -> Callable[..., None]:
    """Return a function, imported if it is given as ``module:function``."""
    if not isinstance(function, str):
        return function
    module, _, name = function.partition(":")
    imported: Callable[..., None] = getattr(import_module(module), name)
    return imported
