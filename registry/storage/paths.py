"""Tell local paths from URLs, and refuse names that df2, fsspec and DuckDB would understand differently."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from registry.errors import UsageError

_FILE: Final = "file://"
#: A URL that went through pathlib, which removes one of the two slashes.
_CUT_URL: Final = re.compile("(s3a?|gc?s|abfss?|az|https?|ssh|sftp|webdavs?|memory|file):/(?!/)")
_NO_ESCAPE: Final = re.compile("%(?![0-9A-Fa-f]{2})")


def local_path(url: str) -> Path | None:
    """Return the absolute local path of a path or ``file://`` URL, or None for a remote URL.

    Raises:
        UsageError: the text is empty, or neither a path nor a URL that all programs understand alike.
    """
    if not url:
        raise UsageError("Expected a path or URL, found an empty text. The current folder is '.'.")
    if "\0" in url:
        raise UsageError(f"Expected a path or URL, found a zero byte in {url!r}.")
    if "::" in url:
        _check_chain(url)
        return None
    if url.startswith(_FILE):
        return _encodable(_of_file_url(url))
    if "://" in url:
        if not url.partition("://")[2].strip("/"):
            raise UsageError(f"{url} names no folder: expected one after it, such as {url.rstrip('/')}//name.")
        return None
    if _CUT_URL.match(url):
        raise UsageError(f"{url} is neither a path nor a URL: expected two slashes, or ./{url} for a folder.")
    try:
        path = Path(url).expanduser() if url.startswith("~") else Path(url)  # Path("./~") is Path("~")
    except RuntimeError as error:
        user = url.partition("/")[0]
        raise UsageError(f"{url}: there is no user {user[1:]!r}. A folder of that name is ./{url}.") from error
    return _encodable(path)


def trimmed(url: str) -> str:
    """Return a path or URL without trailing slashes; the root stays.

    Raises:
        UsageError: as :func:`local_path`.
    """
    local_path(url)
    scheme, separator, rest = url.rpartition("://")
    return f"{scheme}{separator}{rest.rstrip('/') or '/'}"


def _of_file_url(url: str) -> Path:
    """Return the path of a ``file://`` URL."""
    host, slash, rest = url[len(_FILE) :].partition("/")
    if host not in ("", "localhost"):
        raise UsageError(
            f"{url} names a file of the computer {host!r}: expected {_FILE}/PATH. A relative path is written without "
            f"{_FILE}."
        )
    if _NO_ESCAPE.search(rest):
        raise UsageError(f"{url} holds a '%' that escapes nothing: expected %25, or the path without {_FILE}.")
    path = unquote(slash + rest, errors="surrogateescape")
    if not slash or "\0" in path:
        raise UsageError(f"{url} names no file: expected {_FILE}/PATH.")
    return Path(path)


def _encodable(path: Path) -> Path:
    """Return a path made absolute.

    Raises:
        UsageError: the path is not UTF-8.
    """
    text = str(path.absolute())
    text = "/" + text.lstrip("/") if text.startswith("//") else text  # pathlib keeps two leading slashes
    try:
        text.encode()
    except UnicodeEncodeError as error:
        shown = text.encode("utf-8", "backslashreplace").decode()
        raise UsageError(
            f"The path {shown} is not UTF-8, which Parquet and DuckDB need: rename the folder or file."
        ) from error
    return Path(text)


def _check_chain(url: str) -> None:
    """Raise unless ``::`` joins file systems of fsspec; fsspec takes an unknown protocol for a local folder."""
    from fsspec.registry import known_implementations, registry

    *links, end = url.split("::")
    for link in links:
        protocol = link.partition("://")[0]
        if protocol not in known_implementations and protocol not in registry:
            raise UsageError(
                f"'::' joins file systems, as in zip::s3://bucket/a.zip, and {protocol!r} in {url!r} is none. The name "
                "of a folder or file cannot hold '::'."
            )
    is_inside = bool(end) and "://" in links[-1]  # zip://annos::train.zip
    if not is_inside and "://" not in end and not end.startswith("/"):
        # fsspec would open the working directory for "file::x".
        raise UsageError(
            f"'::' joins file systems, as in zip::s3://bucket/a.zip, and {end!r} at the end of {url!r} is no URL and "
            "no absolute path. The name of a folder or file cannot hold '::'."
        )
