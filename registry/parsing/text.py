"""Text from outside in UTF-8, also behind a byte order mark, which Windows programs write."""

from __future__ import annotations

import codecs
from typing import Final

#: The byte order mark of UTF-8.
MARK: Final = codecs.BOM_UTF8
#: Byte order mark -> encoding. That of UTF-32 begins with that of UTF-16, so it stands first.
_FOREIGN: Final = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


class ForeignEncodingError(ValueError):
    """A text begins with the byte order mark of another encoding than UTF-8; the message names it."""


def decode_text(data: bytes) -> str:
    """Return the text of UTF-8 bytes, without a byte order mark.

    Raises:
        ForeignEncodingError: the byte order mark is that of UTF-16 or UTF-32.
        UnicodeDecodeError: the bytes are not UTF-8; its positions count from the first byte after the mark.
    """
    check_encoding(data)
    return without_mark(data).decode("utf-8")


def without_mark(data: bytes) -> bytes:
    """Return bytes without the byte order mark of UTF-8; it says nothing, and parsers of JSON and SQL refuse it."""
    return data.removeprefix(MARK)


def check_encoding(data: bytes) -> None:
    """Refuse a text that begins with the byte order mark of another encoding than UTF-8.

    Raises:
        ForeignEncodingError: the byte order mark is that of UTF-16 or UTF-32.
    """
    for mark, encoding in _FOREIGN.items():
        if data.startswith(mark):
            raise ForeignEncodingError(
                f"expected UTF-8 text, found the byte order mark of {encoding}; save the file as UTF-8"
            )
