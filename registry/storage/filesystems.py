"""fsspec file systems of URLs: which options they get, what their errors become, when a call is made again.

With :mod:`registry.storage.place` the only user of fsspec.
"""

from __future__ import annotations

import logging
import os
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, Final, TypeVar, cast
from urllib.parse import unquote, urlsplit

from registry.errors import MissingDependencyError, RegistryError, StorageError
from registry.redaction import remember, remember_url
from registry.storage.bounded_reads import TooMuchError
from registry.storage.paths import local_path as local_path  # noqa: PLC0414 (others import it from here)
from registry.storage.timeouts import (
    NoAnswerError,
    is_timeout,
    limit,
    limit_attempts,
    network_timeout,
    server_of,
    set_network_timeout,
)

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

#: Protocol -> the extra of this package that brings it.
_EXTRAS: Final = {
    "s3": "s3",
    "s3a": "s3",
    "gs": "gs",
    "gcs": "gs",
    "abfs": "azure",
    "abfss": "azure",
    "az": "azure",
    "sftp": "ssh",
    "ssh": "ssh",
    "webdav": "webdav",
    "webdavs": "webdav",
}

#: Protocols of S3.
S3: Final = ("s3", "s3a")

__all__ = ["filesystem", "local_path", "open_binary", "retried", "set_network_timeout"]

#: Options by name; ``PROTOCOL:NAME`` or ``URL:NAME`` is for the places of that protocol, or below that URL, alone.
StorageOptions = Mapping[str, Any]
_Answer = TypeVar("_Answer")
_IGNORE: Final = logging.NullHandler()

#: Seconds before a call to a store is made again.
_DELAYS: Final = (0.3, 2.0)


def options_of(url: str, options: StorageOptions | None) -> dict[str, Any]:
    """Return the options that are for a URL, those for it alone before the others."""
    found: dict[str, Any] = {}
    for name in sorted(options or {}, key=lambda name: len(name.rpartition(":")[0])):
        scope, _, inner = name.rpartition(":")
        if scope in ("", url.partition("://")[0]) or ("://" in scope and f"{url}/".startswith(f"{scope}/")):
            found[inner] = (options or {})[name]
    return found


def s3_options(url: str, options: StorageOptions | None) -> dict[str, Any]:
    """Return the options that are for an S3 URL, and below them those of fsspec's configuration."""
    from fsspec.config import conf

    return {**conf.get("s3", {}), **conf.get("s3a", {}), **options_of(url, options)}


def filesystem(url: str, options: StorageOptions | None = None) -> tuple[AbstractFileSystem, str]:
    """Return the fsspec file system of a URL and the path in it.

    Args:
        url: fsspec URL; also ``webdav://`` and ``webdavs://USER:PASSWORD@HOST/path``.
        options: passed to fsspec, as far as they are for this URL (:func:`options_of`). What is not given comes from
            where the libraries of the stores look: the environment, ``~/.ssh/config``, fsspec's configuration.

    Raises:
        MissingDependencyError: the protocol needs an extra that is not installed.
        StorageError: the protocol or an option is unknown, or the store cannot be reached.
    """
    import fsspec

    protocol = url.partition("://")[0]
    given = s3_options(url, options) if protocol in S3 else options_of(url, options)
    remember(given)
    remember_url(url)
    if protocol in ("gs", "gcs"):
        # Without it, gcsfs asks another service for the kind of every bucket, and tells that it may not.
        os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
        # It logs a traceback of what it raises; without any handler that goes to stderr.
        logging.getLogger("gcsfs").addHandler(_IGNORE)
    try:
        last = url.rpartition("::")[2]
        if last != url and "://" in last:  # a chain of URLs, whose options go by protocol
            scheme = last.partition("://")[0]
            given[scheme] = limit(scheme, given.get(scheme) or {})
        else:
            given = limit(protocol, given)
        with remote_errors():
            if protocol in ("webdav", "webdavs"):
                return _webdav(url, given)
            fs, path = fsspec.core.url_to_fs(url, **given)
            limit_attempts(protocol, fs)
            logging.getLogger(__name__).debug("%s for %s://", type(fs).__name__, protocol)
    except ImportError as error:
        extra = _EXTRAS.get(protocol)
        install = f"pip install 'deepfashion2-registry[{extra}]'" if extra else str(error)
        raise MissingDependencyError(f"{protocol}:// needs a package that is not installed: {install}") from error
    except OSError as error:
        what = "use" if isinstance(error.__cause__, ValueError | TypeError) else "reach"
        raise StorageError(f"Cannot {what} {url}: {reason(error)}") from error
    return fs, path


def _webdav(url: str, options: dict[str, Any]) -> tuple[AbstractFileSystem, str]:
    """Return a WebDAV file system: webdav4 takes the server as an option and not from the URL."""
    from webdav4.fsspec import WebdavFileSystem

    parts = urlsplit(url)
    server = f"{parts.scheme.replace('webdav', 'http')}://{parts.netloc.rpartition('@')[2]}"
    if parts.username is not None and "auth" not in options:
        options["auth"] = (unquote(parts.username), unquote(parts.password or ""))
    if isinstance(options.get("auth"), list):  # JSON has no tuples
        options["auth"] = tuple(options["auth"])
    fs = WebdavFileSystem(options.pop("base_url", server), **options)
    return fs, unquote(parts.path).strip("/")


@contextmanager
def remote_errors() -> Iterator[None]:
    """Turn what the libraries of remote stores raise inside the block into OSError; they have no common base.

    Raises:
        NoAnswerError: the server stayed silent. fsspec says of such a web server that the file does not exist.
    """
    begin = time.monotonic()
    try:
        yield
    except (NoAnswerError, RegistryError):
        raise
    except Exception as error:
        if is_timeout(error):
            raise NoAnswerError(server_of(error), time.monotonic() - begin) from error
        if isinstance(error, FileNotFoundError) and _is_unreachable(error.__cause__):
            raise OSError(f"{type(error.__cause__).__name__}: {error.__cause__}") from error
        if isinstance(error, OSError | ImportError):
            raise
        raise OSError(f"{type(error).__name__}: {error}") from error


def _is_unreachable(cause: BaseException | None) -> bool:
    """Return whether a web server was not reached, or answered with something else than that there is no such file."""
    if cause is None or not type(cause).__module__.startswith("aiohttp."):
        return False
    return getattr(cause, "status", None) not in (404, 410)


def retried(call: Callable[[], _Answer]) -> _Answer:
    """Return what a call to a store returns; what may pass (a busy server, a lost connection) is tried again.

    Another attempt is made if, should it last as long as the last one, all together stay within the network timeout.

    Raises:
        OSError: it failed for good.
    """
    begin = time.monotonic()
    for delay in (*_DELAYS, None):
        attempt = time.monotonic()
        try:
            with remote_errors():
                return call()
        except (
            FileNotFoundError,
            FileExistsError,
            PermissionError,
            NotADirectoryError,
            IsADirectoryError,
            TooMuchError,
        ):
            raise
        except OSError as error:
            if is_conflict(error) or isinstance(error.__cause__, TypeError | ValueError):
                raise  # what cannot be is no more likely the second time
            now = time.monotonic()
            if delay is None or 2 * now - begin - attempt > network_timeout():
                if isinstance(error, NoAnswerError):
                    raise NoAnswerError(error.server, now - begin) from error
                raise
            time.sleep(delay * random.uniform(0.5, 1))
    raise AssertionError("the last attempt returns or raises")


def reason(error: OSError) -> str:
    """Return what an error says, or what it is called where it says nothing."""
    return error.strerror or str(error) or type(error).__name__


def is_conflict(error: OSError) -> bool:
    """Return whether a store refused a conditional write because its condition does not hold."""
    response = getattr(error.__cause__, "response", None)
    code = response.get("Error", {}).get("Code") if isinstance(response, dict) else None
    return isinstance(error, FileExistsError) or code in ("PreconditionFailed", "ConditionalRequestConflict", "412")


def open_binary(url: str, options: StorageOptions | None = None) -> BinaryIO:
    """Open a local or remote file for reading.

    Raises:
        OSError: it cannot be opened.
    """
    path = local_path(url)
    if path is not None:
        return open(path, "rb")
    fs, inner = filesystem(url, options)
    return retried(lambda: cast(BinaryIO, fs.open(inner, "rb")))
