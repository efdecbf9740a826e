"""Keeping secrets and control characters out of messages, logs and tracebacks.

``***`` takes the place of a secret (:func:`redact`), an escape sequence that of a control character
(:func:`printable`).
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import threading
import warnings
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import pairwise
from types import TracebackType
from typing import Any, Final, NamedTuple, TextIO
from urllib.parse import quote, quote_plus, unquote, urlsplit

_HIDDEN: Final = "***"
#: Names of storage options, environment variables and query parameters whose values are secret; words are separated
#: by ``_``, and so are those of camelCase.
_SECRET_NAME: Final = re.compile(
    r"secret|token|passw|passphrase|credential|signature|authorization|cookie|jwt|bearer|apikey|accountkey"
    r"|accesskey|sharedkey|privatekey|conn_?str|connection_?string"
    r"|(^|[_.-])(key|sas|sig|auth|access_key_id|pass|pwd)($|[_.-])",
    re.IGNORECASE,
)
_CAMEL_CASE: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
#: Environment variables of the stores' client libraries, of git, of DVC, and of this program begin so.
_ENVIRONMENT: Final = ("AWS_", "AZURE_", "GOOGLE_", "GCS_", "GCSFS_", "FSSPEC_", "DF2_", "DVC_", "GIT_")
#: Where a URL begins. A single colon before it belongs to a password: ``https://ada:a://b@host``.
_URL: Final = re.compile(r"(?:(?<![\w+.:-])|(?<=::))[A-Za-z][\w+.-]*://")
#: Where one begins in a word of a command line, of an option too; one of its slashes, or its scheme, may be missing.
_MEANT_URL: Final = re.compile(r"(?:--?[\w-]+=)?@?([A-Za-z][\w+.-]*:)?//?(?=[^/@\s]*@)")
_SPACE: Final = re.compile(r"\s")
_URL_END: Final = re.compile(r"[\s'\"<>`\\]")
#: Without a colon, a name before an @ is a token over HTTP; over SSH it is a user, with abfs:// a container.
_TOKEN_SCHEMES: Final = ("http", "https", "webdav", "webdavs")
#: Host and port, as they stand behind the user.
_HOST: Final = re.compile(r"(\[[^\]]*\]|[^:\[\]@]*)(:\d*)?")
#: ``user:password@host:path``: git's short form of an SSH URL. It has no place for a password; users try.
_SHORT_FORM: Final = re.compile(r"(?<![\w/:@.*-])([\w.-]+:)[^\s:@/'\"*]+(@[\w.-]+[:/])")
_PARAMETER: Final = re.compile(r"([?&;#]([\w.%-]+)=)[^&;#\s'\"\\]+")
#: A field of a connection string of Azure at its beginning; others follow a semicolon.
_FIELD: Final = re.compile(r"\b((?:AccountKey|SharedAccessKey|SharedAccessSignature)=)[^;\s'\"\\]+", re.IGNORECASE)
_HEADER: Final = re.compile(r"(Authorization['\"]?\s*[:=]\s*['\"]?(?:[A-Za-z-]+ +)?)[^\s'\",;*]+", re.IGNORECASE)
#: Shorter values would be found in every other word: they are not looked for.
_SHORTEST: Final = 6
#: A line of a key of several lines is looked for by itself from this length on.
_LINE: Final = 16

#: Control characters (C0, DEL, C1), line and paragraph separators, directions of writing, and surrogates.
_UNPRINTABLE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")

_remembered: set[str] = set()


def printable(text: str, keep: str = "") -> str:
    r"""Return a text with escape sequences (``\n``, ``\x1b``, ``\u202e``) instead of its control characters.

    Names from archives, lists, manifests, listings and servers go through it before a terminal or a log gets them.

    Args:
        text: any text.
        keep: control characters that stay, for texts of several lines.
    """
    return _UNPRINTABLE.sub(lambda match: match[0] if match[0] in keep else _escaped(match[0]), text)


def printable_lines(text: str) -> str:
    """Return a text of several lines, which stay, with all other control characters but tabs escaped."""
    return printable(text, keep="\n\t")


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


def is_secret(name: str) -> bool:
    """Return whether the value of an option of this name must not be shown."""
    return _SECRET_NAME.search(name) is not None or _SECRET_NAME.search(_CAMEL_CASE.sub("_", name)) is not None


def remember(options: Mapping[str, Any]) -> None:
    """Keep the secret values among storage options in mind, so that :func:`redact` finds them in any text."""
    _remembered.update(_secrets(options))


def remember_url(url: str) -> None:
    """Keep the password or token in a URL in mind: error texts of client libraries show it without the URL."""
    parts = split_user(url)
    if parts is None:
        return
    user, password = unquote(parts.user), unquote(parts.password or "")
    is_token = parts.password is None and parts.scheme.removesuffix("://").lower() in _TOKEN_SCHEMES
    remember({"password": user if is_token else password, "username": user})


def remember_word(word: str) -> None:
    """Keep the password or token in a word of a command line in mind, if it is a URL or was meant to be one.

    Programs that expect a path show it with one slash less, or cut it at another place.
    """
    match = _MEANT_URL.match(word)
    if match:
        remember_url(f"{match[1] or 'https:'}//{word[match.end() :]}")


class UserInfo(NamedTuple):
    """A URL taken apart at the ``@`` behind its user.

    Attributes:
        scheme: with the ``://``.
        user: name, or ``""``; as it is written.
        password: as it is written; None if there is no colon.
        rest: host and everything behind it.
    """

    scheme: str
    user: str
    password: str | None
    rest: str


def split_user(url: str) -> UserInfo | None:
    """Return a URL taken apart, or None if it names no user.

    A password should be percent-encoded. In one that is not, ``@``, ``/``, ``?`` and ``#`` belong to the password
    where the text before them cannot be a host: ``ada:hun/ter2@host`` has no port ``hun``.
    """
    scheme, separator, rest = url.partition("://")
    authority = _authority(rest)
    if "@" in rest[len(authority) :] and not _HOST.fullmatch(authority.rpartition("@")[2]):
        end = rest.rindex("@")
    elif "@" in authority:
        end = authority.rindex("@")
    else:
        return None
    user, colon, password = rest[:end].partition(":")
    return UserInfo(scheme + separator, user, password if colon else None, rest[end + 1 :])


def _authority(rest: str) -> str:
    try:
        return urlsplit(f"//{rest}").netloc
    except ValueError:  # brackets that are no IPv6 address
        return re.split("[/?#]", rest, maxsplit=1)[0]


def without_user(url: str) -> str:
    """Return a URL without the name, password or token of whoever uses it over HTTP, and over SSH without a password.

    Over SSH, the name says where.
    """
    parts = split_user(url)
    if parts is None:
        return url
    is_token = parts.scheme.removesuffix("://").lower() in _TOKEN_SCHEMES
    user = "" if is_token or not parts.user else f"{parts.user}@"
    return f"{parts.scheme}{user}{parts.rest}"


def redact(text: str) -> str:
    """Return a text without its secrets.

    Hidden are passwords and tokens in URLs, parameters with secret names (``X-Amz-Signature``, ``sig``,
    ``AccountKey``), and, in all their spellings, the values of secret options that were given, that are in the
    environment, or in fsspec's configuration. Values of fewer than six characters are not looked for.
    """
    text = _redact_urls(text)
    text = _SHORT_FORM.sub(rf"\1{_HIDDEN}\2", text)
    text = _PARAMETER.sub(lambda match: f"{match[1]}{_HIDDEN}" if is_secret(unquote(match[2])) else match[0], text)
    text = _FIELD.sub(rf"\1{_HIDDEN}", text)
    text = _HEADER.sub(rf"\1{_HIDDEN}", text)
    environment = {name: value for name, value in os.environ.items() if name.startswith(_ENVIRONMENT)}
    configured = sys.modules["fsspec.config"].conf if "fsspec.config" in sys.modules else {}
    secrets = {*_remembered, *_secrets(environment), *_secrets(configured)}
    return _pattern(frozenset(secrets)).sub(_HIDDEN, text) if secrets else text


def _redact_urls(text: str) -> str:
    pieces, at = [], 0
    starts = [match.start() for match in _URL.finditer(text)]
    for start, following in pairwise([*starts, len(text)]):
        end = _end(_URL_END, text, start, following)
        parts = split_user(text[start:end])
        if parts is None:  # a quote or an angle bracket may be part of the password
            run = text[start : _end(_SPACE, text, start, following)]
            parts = split_user(run) if _is_cut_by_quote(text[start:end], run) else None
            end = start + len(run) if parts is not None else end
        if parts is None:
            continue
        pieces += [text[at:start], _hidden_user(parts)]
        at = end
    return "".join((*pieces, text[at:]))


def _end(pattern: re.Pattern[str], text: str, start: int, limit: int) -> int:
    match = pattern.search(text, start, limit)
    return match.start() if match else limit


def _is_cut_by_quote(url: str, run: str) -> bool:
    """Return whether a URL ends at a quote within its password: no port stands behind its colon, an @ follows."""
    rest = url.partition("://")[2]
    return _authority(rest) == rest and not _HOST.fullmatch(rest) and "@" in run[len(url) :]


def _hidden_user(parts: UserInfo) -> str:
    if parts.password is None:
        is_token = parts.scheme.removesuffix("://").rpartition("+")[2].lower() in _TOKEN_SCHEMES
        return f"{parts.scheme}{_HIDDEN if is_token else parts.user}@{parts.rest}"
    # With another @ to come, the password may go on up to it.
    return f"{parts.scheme}{parts.user}:{_HIDDEN}@{parts.rest.rpartition('@')[2]}"


@lru_cache(maxsize=8)
def _pattern(secrets: frozenset[str]) -> re.Pattern[str]:
    """Return a pattern of secrets in all their spellings, the longest first."""
    whole, anywhere = set[str](), set[str]()
    for secret in secrets:
        whole |= _spellings(secret)
        if "\n" in secret:
            anywhere |= {line.strip() for line in secret.splitlines() if len(line.strip()) >= _LINE}
    # Behind an escaped line break, a secret follows the letter of the escape.
    words = rf"(?:(?<![\w/+])|(?<=\\[nrt]))(?:{_any_of(whole)})(?![\w/+])"
    return re.compile(f"{_any_of(anywhere)}|{words}" if anywhere else words)


def _any_of(texts: Iterable[str]) -> str:
    return "|".join(re.escape(text) for text in sorted(texts, key=len, reverse=True))


def _spellings(secret: str) -> set[str]:
    """Return a text as it is, percent-encoded, and as repr and JSON write it."""
    encoded = {quote(secret, safe=safe, errors="surrogatepass") for safe in ("", "/")}
    encoded.add(quote_plus(secret, errors="surrogatepass"))
    encoded |= {re.sub("%[0-9A-F]{2}", lambda match: match[0].lower(), text) for text in encoded}
    spelled = {repr(secret)[1:-1], json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    return {secret, *encoded, *spelled, *(text.replace("\\", "\\\\") for text in spelled)}


def install() -> None:
    """Redact the log records, warnings and uncaught exceptions of this process."""
    sys.excepthook = _excepthook
    threading.excepthook = _thread_excepthook
    sys.unraisablehook = _unraisablehook
    warnings.showwarning = _showwarning
    factory = logging.getLogRecordFactory()
    if not isinstance(factory, _RedactedRecords):
        logging.setLogRecordFactory(_RedactedRecords(factory))


class _RedactedRecords:
    """Makes log records whose message, traceback and stack show no secret, whatever handler gets them."""

    def __init__(self, factory: Callable[..., logging.LogRecord]) -> None:
        self._factory = factory

    def __call__(self, *args: Any, **options: Any) -> logging.LogRecord:
        record = self._factory(*args, **options)
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001  # arguments that do not fit must not show either
            message = f"{record.msg} {record.args}"
        record.msg, record.args = redact(message), None
        if isinstance(record.exc_info, tuple) and record.exc_info[0] is not None:
            record.exc_text = _traceback(*record.exc_info).rstrip("\n")  # formatters take it as it is
        if record.stack_info:
            record.stack_info = redact(record.stack_info)
        return record


def _traceback(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> str:
    import traceback

    return redact("".join(traceback.format_exception(kind, error, trace)))


def _excepthook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    _write(_traceback(kind, error, trace))


def _thread_excepthook(failure: threading.ExceptHookArgs) -> None:
    if failure.exc_type is SystemExit:  # as Python's own does
        return
    name = failure.thread.name if failure.thread is not None else "unknown"
    text = _traceback(failure.exc_type, failure.exc_value, failure.exc_traceback)
    _write(f"Exception in thread {printable(redact(name))}:\n{text}")


def _unraisablehook(failure: Any) -> None:
    place = redact(f"{failure.err_msg or 'Exception ignored in'}: {failure.object!r}")
    _write(f"{place}\n{_traceback(failure.exc_type, failure.exc_value, failure.exc_traceback)}")


def _showwarning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    _write(redact(warnings.formatwarning(message, category, filename, lineno, line)), file)


def _write(text: str, file: TextIO | None = None) -> None:
    stream = file or sys.stderr
    if stream is not None:
        stream.write(text)


def _secrets(options: Mapping[str, Any]) -> Iterator[str]:
    for name, value in options.items():
        if is_secret(name):
            yield from _texts(value)
        elif isinstance(value, Mapping):
            yield from _secrets(value)
    for user, password in _logins(options):
        yield b64encode(f"{user}:{password}".encode(errors="surrogateescape")).decode()


def _logins(options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the pairs of a user and a password, which Basic authentication sends as one word."""
    user = options.get("username") or options.get("user")
    pairs = [(user, options.get("password")), options.get("auth")]
    for pair in pairs:
        if isinstance(pair, tuple | list) and len(pair) == 2 and all(isinstance(part, str) for part in pair):
            yield pair[0], pair[1]


def _texts(value: Any) -> Iterator[str]:
    """Yield the texts in a secret value; a path says where the secret is, which helps and hurts nobody."""
    if isinstance(value, str) and len(value) >= _SHORTEST and not os.path.isabs(os.path.expanduser(value)):
        yield value
    elif isinstance(value, bytes):
        yield from _texts(value.decode(errors="surrogateescape"))
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _texts(part)
    elif isinstance(value, Mapping):
        yield from (text for part in value.values() for text in _texts(part))
