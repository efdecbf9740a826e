"""Builds the wheel and the sdist, the same bytes each time, and checks the files in them."""

from __future__ import annotations

import os
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tools.commands import FailedError, run

#: Folder of the checkout -> its place in the wheel.
_PLACES: Final = {
    "registry": "registry",
    **{f"schemas/{name}": f"registry/schemas/{name}" for name in ("checks", "tables", "views", "views_spark")},
}


@dataclass(frozen=True, slots=True)
class Packages:
    """The files that are published.

    Attributes:
        wheel: path of the wheel.
        sdist: path of the sdist.
    """

    wheel: Path
    sdist: Path

    def digests(self) -> dict[str, bytes]:
        """Return name -> bytes of both files."""
        return {path.name: path.read_bytes() for path in (self.wheel, self.sdist)}


def build(source: Path, dest: Path, epoch: int, umask: int = 0o022) -> Packages:
    """Build the wheel and the sdist of a folder with the hatchling of this environment.

    Args:
        source: the checkout or unpacked sdist.
        dest: folder for both files.
        epoch: time of every file in them, in seconds since 1970.
        umask: of the build.
    """
    variables = {**os.environ, "SOURCE_DATE_EPOCH": str(epoch)}
    run([sys.executable, "-m", "hatchling", "build", "-d", dest], source, variables=variables, umask=umask)
    (wheel,), (sdist,) = dest.glob("*.whl"), dest.glob("*.tar.gz")
    return Packages(wheel, sdist)


def build_checked(source: Path, scratch: Path) -> Packages:
    """Return packages of a checkout that were built three times with the same bytes and hold every file.

    The second build runs with another umask, the third from the unpacked sdist in another folder.

    Args:
        source: the checkout; the date of its commit is the time of all files.
        scratch: folder for the builds.

    Raises:
        FailedError: the bytes differ, or a file is missing; the message names it.
    """
    epoch = int(run(["git", "log", "-1", "--format=%ct"], source))
    packages = build(source, scratch / "first", epoch)
    check_contents(packages, source)
    with tarfile.open(packages.sdist) as archive:
        archive.extractall(scratch / "unpacked", filter="data")
    (unpacked,) = (scratch / "unpacked").iterdir()
    for name, folder in (("second", source), ("from-sdist", unpacked)):
        other = build(folder, scratch / name, epoch, umask=0o077)
        differing = sorted(file for file, data in packages.digests().items() if other.digests().get(file) != data)
        if differing:
            raise FailedError(
                f"Two builds of the same commit differ in {', '.join(differing)}: compare those in {scratch / 'first'} "
                f"and {scratch / name}."
            )
    return packages


def check_contents(packages: Packages, source: Path) -> None:
    """Compare the files in the packages with those of the checkout.

    Raises:
        FailedError: a file is missing, or in the wheel and not in the checkout.
    """
    listed = run(["git", "ls-files", "--cached", "--others", "--exclude-standard"], source).splitlines()
    places = {file: place for file in listed if (place := _place_in_wheel(file)) and (source / file).exists()}
    names = {name for name in zipfile.ZipFile(packages.wheel).namelist() if ".dist-info/" not in name}
    with tarfile.open(packages.sdist) as archive:
        members = {member.name.partition("/")[2] for member in archive if member.isfile()}
    wheel, sdist = packages.wheel.name, packages.sdist.name
    problems = [f"{wheel} lacks {name}" for name in sorted(set(places.values()) - names)]
    problems += [
        f"{wheel} has {name}, which is no file of the checkout" for name in sorted(names - set(places.values()))
    ]
    problems += [f"{sdist} lacks {file}" for file in sorted(places) if file not in members]
    if problems:
        raise FailedError("\n".join([*problems, "Look at [tool.hatch.build] in pyproject.toml."]))


def _place_in_wheel(file: str) -> str | None:
    """Return the path in the wheel of a file of the checkout; None if it is no part of the package."""
    for folder, place in _PLACES.items():
        if file.startswith(f"{folder}/"):
            return place + file.removeprefix(folder)
    return None
