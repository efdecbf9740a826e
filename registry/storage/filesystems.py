"""fsspec file systems: how they are created from a URL, which errors they raise, and when a call is retried."""

from __future__ import annotations

import logging
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import unquote, urlsplit

from registry.errors import MissingDependencyError, RegistryError, StorageError
from registry.storage.bounded_reads import TooMuchError
from registry.storage.options import StorageOptions, resolved_options
from registry.storage.paths import local_path
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

__all__ = ["StorageOptions", "filesystem", "local_path", "retried", "set_network_timeout"]

#: Protocol -> the extra of this package that installs its client library.
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
#: Environment variable of gcsfs that chooses its client for hierarchical namespaces.
_GCSFS_VARIABLE: Final = "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"
_IGNORE: Final = logging.NullHandler()
#: Seconds before the second and the third attempt of a call.
_DELAYS: Final = (0.3, 2.0)
#: Errors that another attempt does not change.
_FINAL: Final = (
    FileNotFoundError,
    FileExistsError,
    PermissionError,
    NotADirectoryError,
    IsADirectoryError,
    TooMuchError,
)
_Answer = TypeVar("_Answer")


def filesystem(url: str, options: StorageOptions | None = None) -> tuple[AbstractFileSystem, str]:
    """Return the fsspec file system of a URL and the path in it.

    Args:
        url: fsspec URL; also ``webdav://`` and ``webdavs://USER:PASSWORD@HOST/path``.
        options: passed to fsspec, as far as they apply to this URL (:func:`registry.storage.options.options_of`).
            Missing options come from the client library's defaults: the environment, ``~/.ssh/config``, fsspec's
            configuration.

    Raises:
        MissingDependencyError: the protocol needs an extra that is not installed.
        StorageError: the protocol or an option is unknown, or the store cannot be reached.
    """
    protocol = url.partition("://")[0]
    resolved = resolved_options(url, options)
    try:
        with remote_errors():
            fs, path = _create(url, protocol, resolved)
            logging.getLogger(__name__).debug("%s for %s://", type(fs).__name__, protocol)
            return fs, path
    except ImportError as error:
        extra = _EXTRAS.get(protocol)
        install = f"pip install 'deepfashion2-registry[{extra}]'" if extra else str(error)
        raise MissingDependencyError(f"{protocol}:// needs a package that is not installed: {install}") from error
    except OSError as error:
        verb = "use" if isinstance(error.__cause__, ValueError | TypeError) else "reach"
        raise StorageError(f"Cannot {verb} {url}: {reason(error)}") from error


def _create(url: str, protocol: str, options: dict[str, Any]) -> tuple[AbstractFileSystem, str]:
    """Return the file system of a URL, with time limits, and the path in it."""
    import fsspec

    last = url.rpartition("::")[2]
    if last != url and "://" in last:  # a chain of URLs takes options by protocol
        scheme = last.partition("://")[0]
        options[scheme] = limit(scheme, options.get(scheme) or {})
    else:
        options = limit(protocol, options)
    if protocol in ("webdav", "webdavs"):
        return _webdav(url, options)
    if protocol in ("gs", "gcs"):
        logging.getLogger("gcsfs").addHandler(_IGNORE)  # it logs tracebacks; without a handler they go to stderr
        if _GCSFS_VARIABLE not in os.environ:
            # Not the class that fsspec would choose: that asks another service for each bucket's kind, and logs a
            # warning where it may not.
            from gcsfs.core import GCSFileSystem

            options = {**GCSFileSystem._get_kwargs_from_urls(url), **options}
            return GCSFileSystem(**options), GCSFileSystem._strip_protocol(url)
    fs, path = fsspec.core.url_to_fs(url, **options)
    limit_attempts(protocol, fs)
    return fs, path


def _webdav(url: str, options: dict[str, Any]) -> tuple[AbstractFileSystem, str]:
    """Return a WebDAV file system and the path in it; webdav4 takes the server as an option, not from the URL."""
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
    """Convert the errors of client libraries, which have no common base, to OSError.

    Raises:
        NoAnswerError: the server did not answer. For a web server, fsspec raises FileNotFoundError instead.
    """
    begin = time.monotonic()
    try:
        yield
    except (NoAnswerError, RegistryError):
        raise
    except Exception as error:
        if is_timeout(error):
            raise NoAnswerError(server_of(error), time.monotonic() - begin) from error
        if isinstance(error, FileNotFoundError) and _is_failed_request(error.__cause__):
            raise OSError(f"{type(error.__cause__).__name__}: {error.__cause__}") from error
        if isinstance(error, OSError | ImportError):
            raise
        raise OSError(f"{type(error).__name__}: {error}") from error


def _is_failed_request(cause: BaseException | None) -> bool:
    """Return whether a web server was unreachable or answered with an error other than 404 and 410."""
    if cause is None or not type(cause).__module__.startswith("aiohttp."):
        return False
    return getattr(cause, "status", None) not in (404, 410)


def retried(call: Callable[[], _Answer]) -> _Answer:
    """Return the result of a call to a store; retry twice after errors that may be temporary.

    There is no retry if all attempts together, the next as long as the last, would exceed the network timeout.

    Raises:
        OSError: the last attempt failed, or the error is permanent.
    """
    begin = time.monotonic()
    for delay in (*_DELAYS, None):
        attempt = time.monotonic()
        try:
            with remote_errors():
                return call()
        except _FINAL:
            raise
        except OSError as error:
            if is_conflict(error) or isinstance(error.__cause__, TypeError | ValueError):
                raise
            now = time.monotonic()
            if delay is None or 2 * now - begin - attempt > network_timeout():
                if isinstance(error, NoAnswerError):
                    raise NoAnswerError(error.server, now - begin) from error
                raise
            time.sleep(delay * random.uniform(0.5, 1))
    raise AssertionError("the last attempt returns or raises")


def reason(error: OSError) -> str:
    """Return the text of an error, or its class name if it has no text."""
    return error.strerror or str(error) or type(error).__name__


def is_conflict(error: OSError) -> bool:
    """Return whether a store refused a conditional write because its condition does not hold."""
    response = getattr(error.__cause__, "response", None)
    code = response.get("Error", {}).get("Code") if isinstance(response, dict) else None
    return isinstance(error, FileExistsError) or code in ("PreconditionFailed", "ConditionalRequestConflict", "412")
