"""Random requests: addresses of pages with options that are right, wrong, or made to break out."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final
from urllib.parse import quote, quote_plus

from registry.store.narrow_subset import IMAGE_SORTS, ITEM_SORTS
from registry.subset.options import OPTIONS
from registry.web.app import ROUTES

#: Texts that SQL, shells, paths, HTML and JSON may take for more than texts.
EVIL: Final = (
    "'", "''", '"', "\\", ";", "--", "/*", "*/", "%", "_", "\x00", "\r\n", "\t", "\u202e", "\ufeff", "\U0001f9e5",
    "' OR 1=1 --", "1; DROP TABLE items", "1) UNION SELECT * FROM duckdb_settings() --", "(SELECT 1)", "$sort", "?",
    "read_text('/etc/passwd')", "(SELECT content FROM read_text('/etc/passwd'))", "getenv('HOME')", "true", "1=1",
    "ATTACH '/tmp/x.db'", "COPY items TO '/tmp/stolen.csv'", "PRAGMA version", "@/etc/passwd", "@data.txt",
    "../../../../etc/passwd", "..%2f..%2fetc%2fpasswd", "file:///etc/passwd", "http://evil.example/", "s3://bucket/key",
    "<script>alert(1)</script>", '" onload="alert(1)', "{{ 7*7 }}", "{% raw %}", "${7*7}", "javascript:alert(1)",
    "[" * 3000, "9" * 400, "-1", "-9223372036854775809", "18446744073709551616", "1e309", "nan", "inf", "0x10", "1_000",
    "\u0661\u0662", "1.5", "null", "[]", "{}", "None", "NaN", "sha256:" + "0" * 64, "1-", "-", "1-0",
    "0-99999999999999999999", "/etc/passwd",
    "a" * 3000,
)  # fmt: skip
#: Values that are right for some option.
RIGHT: Final = (
    "skirt", "9", "1", "2", "train", "validation", "test", "user", "shop", "heavy", "1-2", "1-", "000001.jpg",
    "train/image/000001.jpg", "on", "true", "10%", "5", "x2 - x1 > 10", "num_landmarks_labelled > 3", "orphan-identity",
    "items", "images", "json", "arrow", "html", "image_id", "-box_area", "[1,5]", "[0,1,1]", "[null,0,1]", '["user",0]',
    *IMAGE_SORTS, *ITEM_SORTS,
)  # fmt: skip
_NAMES: Final = (*OPTIONS, "subset", "show", "sort", "after", "before", "format", "query", "item", "token", "q", "page")
_ACCEPT: Final = ("text/html", "application/json", "application/vnd.apache.arrow.stream", "*/*", "image/avif", ";;,")
_METHODS: Final = ("GET",) * 12 + ("HEAD", "POST", "PUT", "OPTIONS", "TRACE", "DELETE", "PROPFIND")


def _text(rng: random.Random) -> str:
    return (
        rng.choice(EVIL) if rng.random() < 0.6 else "".join(map(chr, rng.choices(range(1, 0xD7FF), k=rng.randrange(9))))
    )


def _value(rng: random.Random) -> str:
    value = rng.choice(RIGHT)
    return value if rng.random() < 0.6 else _text(rng) if rng.random() < 0.6 else value + _text(rng)


def _path(rng: random.Random) -> str:
    """Return the path of a page with random values in it."""
    path = rng.choice(ROUTES).path  # type: ignore[attr-defined]
    parts = []
    for part in path.split("/"):
        is_value = part.startswith("{")
        parts.append(quote(_value(rng), safe="") if is_value else part)
    return "/".join(parts) or "/"


def _of_page(rng: random.Random) -> str:
    return _path(rng)


def _with_options(rng: random.Random) -> str:
    pairs = [(rng.choice(_NAMES), _value(rng)) for _ in range(rng.randrange(1, 5))]
    return f"{_path(rng)}?{'&'.join(f'{name}={quote_plus(value)}' for name, value in pairs)}"


def _with_one_option(rng: random.Random) -> str:
    return f"/?{rng.choice(_NAMES)}={quote_plus(_value(rng))}"


def _with_foreign_names(rng: random.Random) -> str:
    return f"{_path(rng)}?{quote_plus(_text(rng))}={quote_plus(_text(rng))}&&=&{quote_plus(_text(rng))}"


def _with_raw_bytes(rng: random.Random) -> str:
    garbage = "".join(f"%{rng.randrange(256):02x}" for _ in range(rng.randrange(1, 12)))
    return f"{_path(rng)}?{rng.choice(_NAMES)}={garbage}" if rng.random() < 0.5 else f"/{garbage}"


def _elsewhere(rng: random.Random) -> str:
    return "/" + "/".join(quote(_text(rng)[:200], safe="/.") for _ in range(rng.randrange(1, 5)))


#: Functions that return an address.
KINDS: Final[tuple[Callable[[random.Random], str], ...]] = (
    _of_page, _with_options, _with_options, _with_one_option, _with_foreign_names, _with_raw_bytes, _elsewhere,
)  # fmt: skip


def random_request(rng: random.Random) -> tuple[str, str, dict[str, str]]:
    """Return method, address and headers of a random request; most of them are ones that the guard lets pass."""
    headers = {}
    method = rng.choice(_METHODS)
    if rng.random() < 0.4:
        headers["accept"] = rng.choice(_ACCEPT)
    if rng.random() < 0.2:
        headers["hx-request"] = "true"
    if method not in ("GET", "HEAD") and rng.random() < 0.8:
        headers["origin"] = "http://127.0.0.1"
        headers["content-length"] = "0"
    if rng.random() < 0.05:
        headers["if-none-match"] = rng.choice(("*", '""', '"x", W/"y"', "\\"))
    if rng.random() < 0.05:
        headers["cookie"] = rng.choice(("df2_token=x", "a=b; ;;=", '"="', "df2_token"))
    if rng.random() < 0.03:
        headers["host"] = rng.choice(("evil.example", "127.0.0.1.nip.io", "[", "a" * 300))
    return method, rng.choice(KINDS)(rng), headers
