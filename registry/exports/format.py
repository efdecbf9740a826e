"""An export format: its name, its options, and the function that writes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final, Literal

from registry.dataset.deepfashion2 import unknown_name
from registry.errors import UsageError
from registry.exports.job import Job

#: Modes of photos. ``none``: no photos, data files name them as the format usually does. ``reference``: no photos, data
#: files name them by their path in the release (``train/image/000001.jpg``). ``link``, ``copy``: photos in the export.
IMAGES: Final = ("none", "reference", "link", "copy")

#: Maximum of an integer option (int32).
_MAX_INTEGER: Final = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Option:
    """An option of a format, on the command line ``--NAME``.

    Attributes:
        name: with hyphens.
        help: a line of help.
        kind: ``flag``, ``choice``, ``integer``, ``number`` or ``text``.
        default: value of an option that is not given.
        choices: values of a ``choice``.
        minimum: of an ``integer`` or ``number``.
    """

    name: str
    help: str
    kind: Literal["flag", "choice", "integer", "number", "text"] = "flag"
    default: Any = False
    choices: tuple[str, ...] = ()
    minimum: float = 0

    def read(self, value: Any) -> Any:
        """Return the value after checking it.

        Raises:
            UsageError: the value has another kind or is out of range.
        """
        if value is None and self.default is None:
            return None
        if self.kind == "choice" and value not in self.choices and value != self.default:
            raise unknown_name(f"value of {self.name}", value, list(self.choices))
        kinds: dict[str, tuple[type, ...]] = {"flag": (bool,), "integer": (int,), "number": (int, float)}
        if type(value) not in kinds.get(self.kind, (str,)):  # not isinstance: True is an int
            expected = "true or false" if self.kind == "flag" else f"a value of kind {self.kind}"
            raise UsageError(f"{self.name}: expected {expected}, found {value!r}.")
        if self.kind in ("integer", "number") and value is not None and value < self.minimum:
            raise UsageError(f"{self.name}: expected at least {self.minimum:g}, found {value}.")
        if isinstance(value, int) and value > _MAX_INTEGER:
            raise UsageError(f"{self.name}: expected at most {_MAX_INTEGER}, found {value}.")
        return value


@dataclass(frozen=True, slots=True)
class Format:
    """An export format.

    Attributes:
        name: as on the command line.
        summary: a line for ``df2 export --help``.
        write: reads the rows of a job and writes its files; the same rows give the same bytes. A function, or
            ``module:function``, which is imported when an export runs.
        options: options of the format.
        images: supported modes of :data:`IMAGES`; the first is the default.
        photo_path: path of a linked or copied photo in the export, with the placeholders ``{part}`` and ``{name}``;
            None if the format places photos itself.
        check: called with the options and the mode of photos before anything is read; raises a UsageError for options
            that cannot be combined. A function or ``module:function``.
        next_step: command line that trains on an export or loads it, with ``{dest}`` (the folder of the export),
            ``{part}`` (its first part), ``{split}`` (the part if it is a split, else train) and ``{file}`` (its first
            file); or a function of the options that returns it.
        needs_photos: whether ``next_step`` works only with photos in the export.
        needs: columns of items of which the format cannot store NULL, or a function of the options that returns them.
        uses_cluster: whether its work runs on :attr:`registry.exports.job.Job.cluster`, if there is one: by
            :meth:`registry.exports.job.Job.map`, or on photos.
        has_classes: whether the files have the classes of the job (:attr:`registry.exports.job.Job.classes`), so that
            ``--classes`` can change them.
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
    needs: Callable[[Mapping[str, Any]], tuple[str, ...]] | tuple[str, ...] = ()
    has_classes: bool = False
    uses_cluster: bool = False

    def run(self, job: Job) -> None:
        """Write the files of an export."""
        _function(self.write)(job)

    def check_options(self, options: Mapping[str, Any], images: str) -> None:
        """Check that options can be combined.

        Raises:
            UsageError: two options exclude each other, or need photos in another mode.
        """
        if self.check is not None:
            _function(self.check)(options, images)

    def needs_of(self, options: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the columns of items of which an export cannot store NULL."""
        return self.needs(options) if callable(self.needs) else self.needs

    def next_step_of(self, options: Mapping[str, Any], **names: str) -> str:
        """Return the command line that trains on an export or loads it; empty without any.

        Args:
            options: value of every option of the format, by name with hyphens.
            names: values of the placeholders of ``next_step``.
        """
        template = self.next_step(options) if callable(self.next_step) else self.next_step
        return template.format(**names)

    def read_options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the value of every option, by name with hyphens.

        Raises:
            UsageError: an option does not exist, or its value is invalid.
        """
        by_name = {option.name: option for option in self.options}
        values = {name: option.default for name, option in by_name.items()}
        for name, value in options.items():
            hyphened = name.replace("_", "-")
            if hyphened not in by_name:
                raise unknown_name(f"option of the format {self.name}", name, list(by_name) or ["none"])
            values[hyphened] = by_name[hyphened].read(value)
        return values


def _function(function: Callable[..., None] | str) -> Callable[..., None]:
    """Return the function; ``module:function`` is imported."""
    if not isinstance(function, str):
        return function
    module, _, name = function.partition(":")
    imported: Callable[..., None] = getattr(import_module(module), name)
    return imported
