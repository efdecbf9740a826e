"""Read HTTP/1.1 messages piece by piece, with their raw bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

_PIECE = 1 << 16


@dataclass(frozen=True)
class Head:
    """The first line and the headers of a request or an answer."""

    raw: bytes
    line: tuple[str, str, str]
    headers: Mapping[str, str]  #: names in lower case

    @property
    def status(self) -> int:
        """The status code of an answer."""
        return int(self.line[1])

    @property
    def keeps_alive(self) -> bool:
        """Whether the connection stays open after this message."""
        return self.headers.get("connection", "").lower() != "close" and "HTTP/1.0" not in self.line


async def read_head(reader: asyncio.StreamReader) -> Head | None:
    """Return the next head, or None if the connection was closed."""
    try:
        raw = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise
        return None
    first, *lines = raw.decode("latin-1").split("\r\n")[:-2]
    a, b, c = (*first.split(" ", 2), "")[:3]
    pairs = (line.partition(":") for line in lines)
    return Head(raw, (a, b, c), {name.lower(): value.strip() for name, _, value in pairs})


class Piece(NamedTuple):
    """Bytes of a body, with the chunk framing before and after them."""

    before: bytes
    payload: bytes
    after: bytes


class Body:
    """The body that follows a head.

    Args:
        reader: positioned after the head.
        head: gives the length of the body.
        of_answer: True for answers, whose body ends with the connection if they have no length; requests without a
            length have no body.
        is_empty: True for answers without a body, such as those to HEAD requests.
    """

    def __init__(self, reader: asyncio.StreamReader, head: Head, *, of_answer: bool, is_empty: bool = False) -> None:
        self._reader = reader
        self._is_chunked = "chunked" in head.headers.get("transfer-encoding", "").lower()
        length = head.headers.get("content-length")
        self._left = int(length) if length is not None else None
        if self._left is None and not of_answer and not self._is_chunked:
            self._left = 0
        self._is_over = is_empty
        #: Whether the body ends with the connection.
        self.ends_with_connection = not is_empty and not self._is_chunked and self._left is None

    async def read(self, most: int = _PIECE) -> Piece | None:
        """Return the next piece; None at the end."""
        if self._is_over:
            return None
        if self._is_chunked:
            return await self._read_chunk()
        data = b"" if self._left == 0 else await self._reader.read(min(most, self._left or most))
        if self._left is not None:
            if self._left and not data:
                raise asyncio.IncompleteReadError(data, self._left)
            self._left -= len(data)
        self._is_over = not data
        return Piece(b"", data, b"") if data else None

    async def _read_chunk(self) -> Piece:
        line = await self._reader.readuntil(b"\r\n")
        size = int(line.split(b";")[0], 16)
        if size:
            return Piece(line, await self._reader.readexactly(size), await self._reader.readexactly(2))
        self._is_over = True
        trailer = await self._reader.readuntil(b"\r\n")
        while not trailer.endswith(b"\r\n\r\n") and trailer != b"\r\n":
            trailer += await self._reader.readuntil(b"\r\n")
        return Piece(line, b"", trailer)


def error_answer(status: int, code: str, path: str, *, has_body: bool) -> tuple[bytes, bytes]:
    """Return head and body of an S3 error."""
    body = (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{code}, said the proxy.</Message>'
        f"<Resource>{path}</Resource><RequestId>0</RequestId></Error>"
    ).encode()
    if not has_body:
        body = b""
    head = f"HTTP/1.1 {status} {code}\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode(), body
