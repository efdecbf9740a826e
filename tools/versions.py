"""The files that name the version of the package, and their text in a release."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from tools.commands import FailedError

CHANGELOG: Final = "CHANGELOG.md"
CITATION: Final = "CITATION.cff"
INSTALL: Final = "docs/how-to/install.md"
#: The only place of the version in the code.
VERSION_FILE: Final = "registry/version.py"

_VERSION: Final = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")
_IN_CODE: Final = re.compile(r'^__version__ = "(.+)"$', re.M)
#: The section of changes that are in no release, with its text.
_UNRELEASED: Final = re.compile(r"^## Unreleased\n(.*?)(?=^## |\Z)", re.M | re.S)


def read_version(folder: Path) -> str:
    """Return the version in ``registry/version.py`` of a checkout."""
    return _only(_IN_CODE, folder / VERSION_FILE)[1]


def check_version(version: str, folder: Path) -> None:
    """Check that a version can follow that of a checkout, and that there are changes to release.

    Raises:
        FailedError: the version has another form or is not newer, or no change stands in the changelog.
    """
    if not _VERSION.fullmatch(version):
        raise FailedError(f"Expected a version such as 1.2.0, found {version!r}: make release VERSION=1.2.0")
    current = read_version(folder)
    if numbers(version) <= numbers(current):
        raise FailedError(f"{VERSION_FILE} has version {current}: expected a newer one, found {version}.")
    if not _only(_UNRELEASED, folder / CHANGELOG)[1].strip():
        raise FailedError(f"{CHANGELOG} has no entry below '## Unreleased': there is nothing to release.")


def numbers(version: str) -> tuple[int, ...]:
    """Return the three numbers of a version."""
    return tuple(map(int, version.split(".")))


def write_version(version: str, date: str, folder: Path) -> list[str]:
    """Write a version and its date into the files of a checkout; return their paths in it.

    Args:
        version: such as ``1.2.0``.
        date: of the release, such as ``2026-12-01``.
        folder: the checkout.
    """
    current = read_version(folder)
    changes = {
        VERSION_FILE: [(_IN_CODE, f'__version__ = "{version}"')],
        CHANGELOG: [(re.compile(r"^## Unreleased\n", re.M), f"## Unreleased\n\n## {version} ({date})\n")],
        CITATION: [
            (re.compile(r"^version: .+$", re.M), f"version: {version}"),
            (re.compile(r"^date-released: .+$", re.M), f"date-released: {date}"),
        ],
        INSTALL: [(re.compile(rf"(?<=deepfashion2_registry-){re.escape(current)}(?=-)"), version)],
    }
    for name, replacements in changes.items():
        path = folder / name
        text = path.read_text(encoding="utf-8")
        for pattern, replacement in replacements:
            text, count = pattern.subn(replacement, text)
            if not count:
                raise FailedError(f"{path}: expected {pattern.pattern!r}, which the release replaces; found none.")
        path.write_text(text, encoding="utf-8")
    return sorted(changes)


def _only(pattern: re.Pattern[str], path: Path) -> re.Match[str]:
    matches = list(pattern.finditer(path.read_text(encoding="utf-8")))
    if len(matches) != 1:
        raise FailedError(f"{path}: expected {pattern.pattern!r} once, found it {len(matches)} times.")
    return matches[0]
