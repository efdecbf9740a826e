"""Finds checks: those of this package, of other packages, and of the user's folders."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from registry.dataset.checks import Check, load_checks, read_check
from registry.dataset.deepfashion2 import unknown_name
from registry.entry_points import entry_points
from registry.errors import UsageError

#: Entry points of this group add a folder of SQL files: ``my-checks = "my_package:CHECKS_FOLDER"``, a path.
ENTRY_POINTS: Final = "deepfashion2_registry.checks"


@dataclass(frozen=True, slots=True)
class Checks:
    """All checks that can be run.

    Attributes:
        by_name: the checks of this package, then those of other packages and of the user, as they were found.
        broken: name of a check whose file is no check -> the problem; the path of a file whose name is taken.
    """

    by_name: dict[str, Check] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """All names, those of broken checks too."""
        return list(dict.fromkeys([*self.by_name, *self.broken]))

    def chosen(self, only: Sequence[str] = (), severities: Sequence[str] = ()) -> Checks:
        """Return the checks of these names and severities; all without any. Broken checks have no severity.

        Raises:
            UnknownNameError: there is no such check; the message lists all.
        """
        for name in only:
            if name not in self.names:
                raise unknown_name("check", name, self.names)
        return Checks(
            {
                name: check
                for name, check in self.by_name.items()
                if (not only or name in only) and (not severities or check.severity in severities)
            },
            {name: problem for name, problem in self.broken.items() if not only or name in only},
        )


def find_checks(folders: Iterable[Path] = ()) -> Checks:
    """Return all checks: of this package, of packages that register a folder, and of the user's folders.

    A file that is no check, or has the name of another check, does not keep the other checks from running.

    Raises:
        UsageError: a folder does not exist or has no SQL file, or a package registers no folder.
    """
    checks = Checks(dict(load_checks()))
    for folder in [*_registered(), *folders]:
        try:
            files = (
                sorted(file for file in folder.iterdir() if file.suffix.lower() == ".sql") if folder.is_dir() else []
            )
        except OSError as error:
            raise UsageError(f"{folder} cannot be read: {error.strerror}. Expected a folder of checks.") from error
        if not files:
            raise UsageError(f"There is no check in {folder}: expected a folder with files such as my-check.sql.")
        for file in files:
            if file.stem in checks.by_name:
                checks.broken[str(file)] = f"{file}: there is another check {file.stem}. Give the file another name."
                continue
            try:
                check = read_check(file)
                if check.slices:  # rows with NULL in that column would be in no slice
                    raise UsageError(
                        f"{file}: slices: only checks of the package are counted in slices; remove the line."
                    )
                checks.by_name[file.stem] = check
            except UsageError as error:
                checks.broken[file.stem] = str(error)
    return checks


def _registered() -> list[Path]:
    """Return the folders that other packages register."""
    folders = []
    for point in sorted(entry_points(group=ENTRY_POINTS), key=lambda point: point.name):
        expected = "expected the path of a folder with SQL files"
        try:
            folder: Any = point.load()
        except (ImportError, AttributeError) as error:
            raise UsageError(f"The checks {point.name} ({point.value}) cannot be loaded: {error}") from error
        if not isinstance(folder, str | Path):
            raise UsageError(f"The checks {point.name} ({point.value}): {expected}, found {type(folder).__name__}.")
        folders.append(Path(folder))
    return folders
