"""Bounds for the bytes of an answer: a hostile server sends without end, and client libraries keep all of it.

A read of a range may have as many bytes as were asked for, a read of a whole file :data:`MAX_WHOLE`. Files that are
copied to a disk have bounds of their own (:meth:`registry.storage.place.Place.fetch`).
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any, Final

#: Bytes of a file that is read into memory as a whole: the manifest of an export of two million files.
MAX_WHOLE: Final = 256 << 20
#: Bytes of an answer that are taken at a time.
PIECE: Final = 1 << 20
_RANGE: Final = re.compile(r"bytes=(\d+)-(\d+)")


class TooMuchError(OSError):
    """A server sent more than it was asked for, or a file is larger than is read."""

    def __init__(self, most: int) -> None:
        super().__init__(f"it has, or the server sends, more than the {most:,} bytes that are read of it")


class Pieces:
    """The bytes of an answer that arrives in pieces.

    Args:
        most: bytes that it may have.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._pieces: list[bytes] = []
        self._size = 0

    def add(self, piece: bytes) -> None:
        """Append a piece.

        Raises:
            TooMuchError: the answer has more bytes than it may have now.
        """
        self._pieces.append(piece)
        self._size += len(piece)
        if self._size > self._most:
            raise TooMuchError(self._most)

    def joined(self) -> bytes:
        """Return the bytes that arrived, the last piece among them if there were too many."""
        return b"".join(self._pieces)


def most_of(range_header: str | None) -> int:
    """Return the bytes that an answer to a request may have."""
    match = _RANGE.fullmatch(range_header or "")
    return min(MAX_WHOLE, int(match[2]) - int(match[1]) + 1) if match else MAX_WHOLE


@cache
def bounded_response() -> type[Any]:
    """Return the class of answers of aiohttp whose ``read()`` and ``text()`` have the bounds."""
    import aiohttp

    class BoundedResponse(aiohttp.ClientResponse):
        async def read(self) -> bytes:
            content = self.content
            asked = self.request_info.headers.get("Range")
            match = _RANGE.fullmatch(asked or "")
            if match and self.status == 200:  # the server knows no ranges: it sends the file from its beginning
                bounded = _Bounded(content, int(match[2]) + 1, is_enough=True)
            else:  # the page of an error may be longer than the range
                bounded = _Bounded(content, most_of(asked if self.status == 206 else None))
            self.content = bounded  # type: ignore[assignment]
            try:
                return await super().read()
            finally:
                self.content = content

    return BoundedResponse


class _Bounded:
    """A stream of bytes that is read to its end, or to a bound; all else is the stream's own.

    Args:
        stream: has a coroutine ``readany()``.
        most: bytes that are read.
        is_enough: whether reading ends there; else more is an error.
    """

    def __init__(self, stream: Any, most: int, *, is_enough: bool = False) -> None:
        self._stream = stream
        self._most = most
        self._is_enough = is_enough

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    async def read(self) -> bytes:
        pieces = Pieces(self._most)
        try:
            while piece := await self._stream.readany():
                pieces.add(piece)
        except TooMuchError:
            if not self._is_enough:
                raise
        return pieces.joined()


class BoundedBody:
    """The body of an answer of S3 whose ``read()`` has a bound; all else is the body's own.

    Args:
        body: of aiobotocore.
        range_header: of the request.
    """

    def __init__(self, body: Any, range_header: str | None) -> None:
        self._body = body
        self._most = most_of(range_header)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._body, name)

    async def read(self, size: int | None = None) -> bytes:
        """Return so many bytes, or all.

        Raises:
            TooMuchError: there are more than the bound.
        """
        if size is not None:
            return bytes(await self._body.read(size))
        pieces = Pieces(self._most)
        while piece := await self._body.read(PIECE):
            pieces.add(piece)
        return pieces.joined()
