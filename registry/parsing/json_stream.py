"""Reads a JSON document of any size a value at a time, from a file whose bytes are read once and in order.

Only the outer object and its lists are taken apart here. The caller parses each value, which is why a value may still
be malformed inside.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO, Final, TypeVar

from registry.parsing.text import MARK, check_encoding

#: Bytes to read at a time.
_BLOCK: Final = 4 << 20
#: Maximum bytes of a value.
_MAX_VALUE: Final = 64 << 20
_SPACE: Final = re.compile(rb"[ \t\r\n]*")
#: A bracket, or a string, whose brackets do not count. The group is empty if the string has no end yet.
_TOKEN: Final = re.compile(rb'[{}\[\]]|"[^"\\]*(?:\\.[^"\\]*)*("|\\?\Z)', re.DOTALL)
#: The end of an object and the comma behind it, in the text before the next object.
_OBJECT_END: Final = re.compile(rb"\}[ \t\r\n]*,[ \t\r\n]*\Z")
#: Maximum bytes of the text between two objects, and objects to look at, where many elements are read at once.
_MAX_GAP: Final = 64
_MAX_GUESSES: Final = 64
_SCALAR: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[-+.\w]+', re.DOTALL)

_Values = TypeVar("_Values")


class StreamError(ValueError):
    """The document is not JSON, or ends early; the message says where."""


class JsonStream:
    """A JSON document that is read forward.

    Args:
        file: the document, at its beginning.

    Attributes:
        num_bytes: bytes read so far.
        crc: CRC-32 of these bytes.
        has_mark: whether the document begins with a byte order mark.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.num_bytes = 0
        self.crc = 0
        self._file = file
        self._data = b""
        self._position = 0
        self._ended = False
        self._more()
        try:
            check_encoding(self._data)
        except ValueError as error:
            raise StreamError(str(error)) from error
        self.has_mark = self._data.startswith(MARK)
        self._position = len(MARK) if self.has_mark else 0

    def members(self) -> Iterator[str]:
        """Yield each key of the outer object; the caller reads its value by :meth:`value` or :meth:`elements`.

        Raises:
            StreamError: the document is not one object.
        """
        self._expect(b"{", "one JSON object")
        if self.peek() == b"}":
            self._position += 1
        else:
            while True:
                if self.peek() != b'"':
                    raise self._error("a key in quotes")
                key = json.loads(self.value())
                self._expect(b":", "a colon after the key")
                yield str(key)
                if not self._next(b"}"):
                    break
        if self.peek():
            raise self._error("nothing after the JSON object")

    def elements(self) -> Iterator[tuple[int, bytes]]:
        """Yield the place in the file and the text of each element of a list.

        Raises:
            StreamError: the value is no list, or the document ends early.
        """
        self._expect(b"[", "a list")
        if self.peek() == b"]":
            self._position += 1
            return
        while True:
            self.peek()
            start = self._offset
            yield start, self.value()
            if not self._next(b"]"):
                return

    def decoded_elements(
        self, decode: Callable[[bytes], _Values | None]
    ) -> Iterator[tuple[_Values | None, list[bytes]]]:
        """Yield the elements of a list of objects many at a time, decoded in a single call.

        Args:
            decode: returns the values in the text of a JSON list; None if it cannot read the text.

        Yields:
            The values, and no texts; or None and the text of each element, where ``decode`` cannot read them together.

        Raises:
            StreamError: the value is no list, or the document ends early.
        """
        self._expect(b"[", "a list")
        if self.peek() == b"]":
            self._position += 1
            return
        while True:
            self.peek()
            end = self._last_object_end()
            # Where the text parses as a list, it ends with an element: no other place to cut it would do so.
            values = decode(b"[%b]" % self._data[self._position : end]) if end > 0 else None
            if values is not None:
                self._position = end
                yield values, []
                if not self._next(b"]"):
                    return
                continue
            stop = self._offset + (len(self._data) if end < 0 else end) - self._position
            texts = [self.value()]
            while (has_more := self._next(b"]")) and self._offset < stop:
                texts.append(self.value())
            yield None, texts
            if not has_more:
                return

    def peek(self) -> bytes:
        """Return the next character that is no space, b"" at the end, and move to it."""
        while True:
            space = _SPACE.match(self._data, self._position)
            assert space is not None  # it matches nothing too
            self._position = space.end()
            if self._position < len(self._data) or not self._more():
                return self._data[self._position : self._position + 1]

    def value(self) -> bytes:
        """Return the text of the next value.

        Raises:
            StreamError: it is malformed at its beginning, too long, or the document ends early.
        """
        first = self.peek()
        end = -1
        while end < 0:
            end = self._simple_object_end() if first == b"{" else -1
            if end < 0:
                end = self._value_end(first)
            if end < 0:
                if len(self._data) - self._position > _MAX_VALUE:
                    raise StreamError(f"expected values of at most {_MAX_VALUE:,} bytes, found more{self._where}")
                if not self._more():
                    raise self._error("more")
        text = self._data[self._position : end]
        self._position = end
        return text

    def read_rest(self) -> None:
        """Read the bytes that are left, for the checksum."""
        while self._more():
            self._position = len(self._data)

    @property
    def _offset(self) -> int:
        return self.num_bytes - len(self._data) + self._position

    @property
    def _where(self) -> str:
        return f" at byte {self._offset:,}"

    def _simple_object_end(self) -> int:
        """Return the end of an object without objects and escapes in it, nearly all that there are; -1 for others."""
        end = self._data.find(b"}", self._position) + 1
        if not end:
            return -1
        start = self._position
        if self._data.find(b"{", start + 1, end) >= 0 or self._data.find(b"\\", start, end) >= 0:
            return -1
        return -1 if self._data.count(b'"', start, end) % 2 else end

    def _last_object_end(self) -> int:
        """Return where the last object but one ends in the bytes read so far, as far as can be guessed; -1 if nowhere.

        It reads more bytes first where few are left.
        """
        for _ in range(2):
            start = len(self._data)
            for _ in range(_MAX_GUESSES):
                start = self._data.rfind(b"{", self._position + 1, start)
                if start < 0:
                    break
                match = _OBJECT_END.search(self._data, max(start - _MAX_GAP, self._position), start)
                if match is not None:
                    return match.start() + 1
            if len(self._data) - self._position >= _BLOCK or not self._more():
                break
        return -1

    def _value_end(self, first: bytes) -> int:
        """Return the end of a value in the bytes read so far, -1 if it is not among them."""
        if first not in (b"{", b"["):
            match = _SCALAR.match(self._data, self._position)
            if match is None:
                if first == b'"' and not self._ended:
                    return -1
                raise self._error("a JSON value")
            return -1 if match.end() == len(self._data) and not self._ended else match.end()
        depth = 0
        for match in _TOKEN.finditer(self._data, self._position):
            token = match[0]
            if token in (b"{", b"["):
                depth += 1
            elif token in (b"}", b"]"):
                depth -= 1
                if not depth:
                    return match.end()
            elif match[1] != b'"':
                return -1
        return -1

    def _next(self, closing: bytes) -> bool:
        """Pass over a comma and return True, or over the closing bracket and return False."""
        character = self.peek()
        if character not in (b",", closing):
            raise self._error(f"a comma or {closing.decode()}")
        self._position += 1
        return character == b","

    def _expect(self, character: bytes, expected: str) -> None:
        if self.peek() != character:
            raise self._error(expected)
        self._position += 1

    def _error(self, expected: str) -> StreamError:
        if self._position >= len(self._data) or expected == "more":
            if not self.num_bytes:
                return StreamError("the file is empty; expected one JSON object")
            return StreamError(
                f"the file is cut short: it ends after {self.num_bytes:,} bytes in the middle of a value"
            )
        character = self._data[self._position : self._position + 1]
        return StreamError(f"expected {expected}, found {character.decode('latin-1')!a}{self._where}")

    def _more(self) -> bool:
        """Read more bytes and forget those that are passed; return False at the end of the file."""
        if self._ended:
            return False
        rest = self._data[self._position :]
        block = self._file.read(max(_BLOCK, len(rest)))
        self._ended = not block
        self.num_bytes += len(block)
        self.crc = zlib.crc32(block, self.crc)
        self._data, self._position = rest + block, 0
        return bool(block)
