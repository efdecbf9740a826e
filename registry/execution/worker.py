"""The work of a worker on another machine: it checks that it fits the caller, and runs a call."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib import metadata
from typing import Any, Final, NamedTuple

from registry.errors import (
    MissingDependencyError,
    NotFoundError,
    SourceError,
    StorageError,
    UnreadableSourceError,
    first_names,
)
from registry.execution.packing import unpack
from registry.version import __version__

#: Packages whose version may change a row, a count, a vector or a JPEG.
_PACKAGES: Final = ("duckdb", "imagesize", "msgspec", "numpy", "pillow", "pyarrow")
#: Errors that name the worker: the place that they name may be as it should on the machine of the user.
_OF_PLACES: Final = (SourceError, UnreadableSourceError, NotFoundError, StorageError)


class Sample(NamedTuple):
    """Some files of a place, for a worker to compare with its own.

    Attributes:
        place: for messages.
        digests: name of each file -> its digest where the command was started.
        function, arguments: return these digests where the worker is.
    """

    place: str
    digests: Mapping[str, str]
    function: Callable[..., Mapping[str, str]]
    arguments: tuple[Any, ...]


@lru_cache(maxsize=1)
def versions() -> dict[str, str]:
    """Return the version of this package, and of each package that the results depend on."""
    return {"deepfashion2-registry": __version__} | {name: metadata.version(name) for name in _PACKAGES}


def run_packed(expected: Mapping[str, str], samples: tuple[bytes, ...], call: bytes, *shared: bytes) -> Any:
    """Return the result of a packed ``(function, arguments)``.

    Args:
        expected: the caller's :func:`versions`.
        samples: each a packed pair of bytes that stand for the run, and a :class:`Sample`.
        call: packed.
        shared: with which the samples and the call were packed.

    Raises:
        MissingDependencyError: a package has another version here.
        SourceError: files of a sample are others here.
    """
    _check_versions(expected)
    try:
        for sample in samples:
            _check_sample(sample, *shared)
        function, arguments = unpack(call, shared)
        return function(*arguments)
    except _OF_PLACES as error:
        if type(error) not in _OF_PLACES:
            raise
        raise type(error)(f"Worker {socket.gethostname()}: {error}") from error


def _check_versions(expected: Mapping[str, str]) -> None:
    versions_here = versions()
    different = [
        f"{name} {versions_here.get(name, 'of no version')}, and this machine has {version}"
        for name, version in expected.items()
        if versions_here.get(name) != version
    ]
    if different:
        raise MissingDependencyError(
            f"Worker {socket.gethostname()} has {'; '.join(different)}: install the same versions on all machines, as "
            "others may give other results."
        )


@lru_cache(maxsize=32)
def _check_sample(packed: bytes, *shared: bytes) -> None:
    """Compare a sample of files; once for each sample that fits, as errors are not kept."""
    sample: Sample
    _, sample = unpack(packed, shared)
    digests = sample.function(*sample.arguments)
    different = [name for name, digest in sample.digests.items() if digests.get(name) != digest]
    if different:
        raise SourceError(
            f"{sample.place} holds other files than on the machine that started the command: "
            f"{first_names(different, 3)}. All machines must see the same files under this name."
        )
