"""Upper bounds for response bodies: a hostile server may send without end, and client libraries buffer all of it.

A range request may receive as many bytes as it asked for, a request for a whole file :data:`MAX_WHOLE`. Files that are
copied to a local disk have their own bounds (:meth:`registry.storage.place.Place.fetch`).
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any, Final

#: Maximum bytes of a file that is read into memory as a whole: the manifest of an export of two million files.
MAX_WHOLE: Final = 256 << 20
#: Bytes that are read from a response at a time.
PIECE: Final = 1 << 20
_RANGE: Final = re.compile(r"bytes=(\d+)-(\d+)")


class TooMuchError(OSError):
    """A file, or the response of a server, is larger than its bound."""

    def __init__(self, most: int) -> None:
        super().__init__(f"it has, or the server sends, more than the {most:,} bytes that are read of it")


class Pieces:
    """Collects the pieces of a response.

    Args:
        most: maximum number of bytes.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._pieces: list[bytes] = []
        self._size = 0

    def add(self, piece: bytes) -> None:
        """Append a piece.

        Raises:
            TooMuchError: the response now exceeds its bound; the piece was appended.
        """
        self._pieces.append(piece)
        self._size += len(piece)
        if self._size > self._most:
            raise TooMuchError(self._most)

    def joined(self) -> bytes:
        """Return all bytes."""
        return b"".join(self._pieces)


def most_of(range_header: str | None) -> int:
    """Return the maximum number of bytes of the response to a request with this Range header."""
    match = _RANGE.fullmatch(range_header or "")
    return min(MAX_WHOLE, int(match[2]) - int(match[1]) + 1) if match else MAX_WHOLE


@cache
def bounded_response() -> type[Any]:
    """Return a subclass of aiohttp's response whose ``read()`` and ``text()`` are bounded."""
    import aiohttp

    class BoundedResponse(aiohttp.ClientResponse):
        async def read(self) -> bytes:
            content = self.content
            range_header = self.request_info.headers.get("Range")
            match = _RANGE.fullmatch(range_header or "")
            if match and self.status == 200:  # the server ignores ranges and sends the file from its beginning
                bounded = _Bounded(content, int(match[2]) + 1, is_enough=True)
            else:  # an error page may be longer than the range
                bounded = _Bounded(content, most_of(range_header if self.status == 206 else None))
            self.content = bounded  # type: ignore[assignment]
            try:
                return await super().read()
            finally:
                self.content = content

    return BoundedResponse


class _Bounded:
    """A proxy of aiohttp's stream whose ``read()`` is bounded.

    Args:
        stream: has a coroutine ``readany()``.
        most: maximum number of bytes.
        is_enough: whether reading stops at the bound, instead of raising.
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
    """A proxy of the body of an S3 response whose ``read()`` is bounded.

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
        """Return up to ``size`` bytes, or all.

        Raises:
            TooMuchError: the whole body exceeds its bound.
        """
        if size is not None:
            return bytes(await self._body.read(size))
        pieces = Pieces(self._most)
        while piece := await self._body.read(PIECE):
            pieces.add(piece)
        return pieces.joined()
