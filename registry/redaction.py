"""Keep secrets and control characters out of messages, logs and tracebacks.

Secrets are replaced by ``***`` (:func:`redact`), control characters by escape sequences (:func:`printable`).
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
#: Names of storage options, environment variables and query parameters with secret values. Words are separated by
#: ``_``; camelCase names are split first.
_SECRET_NAME: Final = re.compile(
    r"secret|token|passw|passphrase|credential|signature|authorization|cookie|jwt|bearer|apikey|accountkey"
    r"|accesskey|sharedkey|privatekey|conn_?str|connection_?string"
    r"|(^|[_.-])(key|sas|sig|auth|access_key_id|pass|pwd)($|[_.-])",
    re.IGNORECASE,
)
_CAMEL_CASE: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
#: Prefixes of the environment variables of client libraries, git, DVC and this program.
_ENVIRONMENT: Final = ("AWS_", "AZURE_", "GOOGLE_", "GCS_", "GCSFS_", "FSSPEC_", "DF2_", "DVC_", "GIT_")
#: Beginning of a URL. After a single colon it is part of a password: ``https://ada:a://b@host``.
_URL: Final = re.compile(r"(?:(?<![\w+.:-])|(?<=::))[A-Za-z][\w+.-]*://")
#: Beginning of a URL in a command-line argument or option, also with a missing slash or scheme.
_MEANT_URL: Final = re.compile(r"(?:--?[\w-]+=)?@?([A-Za-z][\w+.-]*:)?//?(?=[^/@\s]*@)")
_SPACE: Final = re.compile(r"\s")
_URL_END: Final = re.compile(r"[\s'\"<>`\\]")
#: Schemes in which a name before ``@`` without a colon is a token. With ssh:// it is a user, with abfs:// a container.
_TOKEN_SCHEMES: Final = ("http", "https", "webdav", "webdavs")
#: Host and port of a URL.
_HOST: Final = re.compile(r"(\[[^\]]*\]|[^:\[\]@]*)(:\d*)?")
#: ``user:password@host:path``: git's short form of an SSH URL. git allows no password in it, but users try.
_SHORT_FORM: Final = re.compile(r"(?<![\w/:@.*-])([\w.-]+:)[^\s:@/'\"*]+(@[\w.-]+[:/])")
_PARAMETER: Final = re.compile(r"([?&;#]([\w.%-]+)=)[^&;#\s'\"\\]+")
#: First field of an Azure connection string; :data:`_PARAMETER` matches the fields after a semicolon.
_FIELD: Final = re.compile(r"\b((?:AccountKey|SharedAccessKey|SharedAccessSignature)=)[^;\s'\"\\]+", re.IGNORECASE)
_HEADER: Final = re.compile(r"(Authorization['\"]?\s*[:=]\s*['\"]?(?:[A-Za-z-]+ +)?)[^\s'\",;*]+", re.IGNORECASE)
#: Minimum length of a secret: shorter ones would match inside ordinary words.
_SHORTEST: Final = 6
#: Minimum length of a single line of a multi-line key that is hidden by itself.
_LINE: Final = 16

#: Control characters (C0, DEL, C1), line and paragraph separators, bidirectional controls and surrogates.
_UNPRINTABLE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")

_remembered: set[str] = set()


def printable(text: str, keep: str = "") -> str:
    r"""Return a text with its control characters as escape sequences (``\n``, ``\x1b``, ``\u202e``).

    Use it for names from archives, lists, manifests, listings and servers before they reach a terminal or a log.

    Args:
        text: any text.
        keep: control characters to keep.
    """
    return _UNPRINTABLE.sub(lambda match: match[0] if match[0] in keep else _escaped(match[0]), text)


def printable_lines(text: str) -> str:
    """Return a text with its control characters escaped, except line breaks and tabs."""
    return printable(text, keep="\n\t")


def _escaped(character: str) -> str:
    """Return the escape sequence of a character."""
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


def is_secret(name: str) -> bool:
    """Return whether an option of this name has a secret value."""
    return _SECRET_NAME.search(name) is not None or _SECRET_NAME.search(_CAMEL_CASE.sub("_", name)) is not None


def remember(options: Mapping[str, Any]) -> None:
    """Register the secret values of storage options for :func:`redact`."""
    _remembered.update(_secrets(options))


def remember_url(url: str) -> None:
    """Register the password or token in a URL: client libraries show it in errors without the URL."""
    parts = split_user(url)
    if parts is None:
        return
    user, password = unquote(parts.user), unquote(parts.password or "")
    is_token = parts.password is None and parts.scheme.removesuffix("://").lower() in _TOKEN_SCHEMES
    remember({"password": user if is_token else password, "username": user})


def remember_word(word: str) -> None:
    """Register the password or token in a command-line argument that is, or resembles, a URL.

    Code that takes the argument for a path shows it with a slash missing, or cut elsewhere.
    """
    match = _MEANT_URL.match(word)
    if match:
        remember_url(f"{match[1] or 'https:'}//{word[match.end() :]}")


class UserInfo(NamedTuple):
    """The parts of a URL before and after the ``@``, percent-encoded as in the URL.

    Attributes:
        scheme: with ``://``.
        user: name, or ``""``.
        password: None if there is no colon.
        rest: host and everything after it.
    """

    scheme: str
    user: str
    password: str | None
    rest: str


def split_user(url: str) -> UserInfo | None:
    """Return the parts of a URL, or None if it has no user.

    In a password that is not percent-encoded, ``@``, ``/``, ``?`` and ``#`` belong to the password if the text before
    them cannot be a host: in ``ada:hun/ter2@host``, ``hun`` is no port.
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
    """Return user, host and port of a URL without its scheme."""
    try:
        return urlsplit(f"//{rest}").netloc
    except ValueError:  # brackets without an IPv6 address
        return re.split("[/?#]", rest, maxsplit=1)[0]


def without_user(url: str) -> str:
    """Return a URL without user, password and token; an SSH URL keeps its user, which is part of the address."""
    parts = split_user(url)
    if parts is None:
        return url
    is_token = parts.scheme.removesuffix("://").lower() in _TOKEN_SCHEMES
    user = "" if is_token or not parts.user else f"{parts.user}@"
    return f"{parts.scheme}{user}{parts.rest}"


def redact(text: str) -> str:
    """Return a text with its secrets replaced by ``***``.

    Hidden are passwords and tokens in URLs, parameters with secret names (``X-Amz-Signature``, ``sig``,
    ``AccountKey``), and secret values from registered options, the environment and fsspec's configuration, in every
    spelling. Values of fewer than six characters are not hidden.
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
    """Return a text with the passwords and tokens of its URLs hidden."""
    pieces, at = [], 0
    starts = [match.start() for match in _URL.finditer(text)]
    for start, following in pairwise([*starts, len(text)]):
        end = _end(_URL_END, text, start, following)
        parts = split_user(text[start:end])
        if parts is None:  # a quote or an angle bracket may belong to the password
            run = text[start : _end(_SPACE, text, start, following)]
            parts = split_user(run) if _is_cut_by_quote(text[start:end], run) else None
            end = start + len(run) if parts is not None else end
        if parts is None:
            continue
        pieces += [text[at:start], _hidden_user(parts)]
        at = end
    return "".join((*pieces, text[at:]))


def _end(pattern: re.Pattern[str], text: str, start: int, limit: int) -> int:
    """Return the position of the first match in a part of a text, or the end of the part."""
    match = pattern.search(text, start, limit)
    return match.start() if match else limit


def _is_cut_by_quote(url: str, run: str) -> bool:
    """Return whether a URL was cut at a quote inside its password: it has no port after the colon, and an @ follows."""
    rest = url.partition("://")[2]
    return _authority(rest) == rest and not _HOST.fullmatch(rest) and "@" in run[len(url) :]


def _hidden_user(parts: UserInfo) -> str:
    """Return a URL with its password or token hidden."""
    if parts.password is None:
        is_token = parts.scheme.removesuffix("://").rpartition("+")[2].lower() in _TOKEN_SCHEMES
        return f"{parts.scheme}{_HIDDEN if is_token else parts.user}@{parts.rest}"
    # The password may extend to the last @.
    return f"{parts.scheme}{parts.user}:{_HIDDEN}@{parts.rest.rpartition('@')[2]}"


@lru_cache(maxsize=8)
def _pattern(secrets: frozenset[str]) -> re.Pattern[str]:
    """Return a pattern that matches secrets in every spelling, longest first."""
    whole, anywhere = set[str](), set[str]()
    for secret in secrets:
        whole |= _spellings(secret)
        if "\n" in secret:
            anywhere |= {line.strip() for line in secret.splitlines() if len(line.strip()) >= _LINE}
    # A secret may follow an escaped line break, whose letter (\n, \r, \t) is no word boundary.
    words = rf"(?:(?<![\w/+])|(?<=\\[nrt]))(?:{_any_of(whole)})(?![\w/+])"
    return re.compile(f"{_any_of(anywhere)}|{words}" if anywhere else words)


def _any_of(texts: Iterable[str]) -> str:
    """Return a regular expression for any of these texts."""
    return "|".join(re.escape(text) for text in sorted(texts, key=len, reverse=True))


def _spellings(secret: str) -> set[str]:
    """Return a text as it is, percent-encoded, and as repr() and JSON write it."""
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
    """A factory of log records with redacted message, traceback and stack, for all handlers."""

    def __init__(self, factory: Callable[..., logging.LogRecord]) -> None:
        self._factory = factory

    def __call__(self, *args: Any, **options: Any) -> logging.LogRecord:
        record = self._factory(*args, **options)
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001  # arguments that do not fit the message may be secret, too
            message = f"{record.msg} {record.args}"
        record.msg, record.args = redact(message), None
        if isinstance(record.exc_info, tuple) and record.exc_info[0] is not None:
            record.exc_text = _traceback(*record.exc_info).rstrip("\n")  # formatters use it unchanged
        if record.stack_info:
            record.stack_info = redact(record.stack_info)
        return record


def _traceback(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> str:
    """Return a redacted traceback."""
    import traceback

    return redact("".join(traceback.format_exception(kind, error, trace)))


def _excepthook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    _write(_traceback(kind, error, trace))


def _thread_excepthook(failure: threading.ExceptHookArgs) -> None:
    if failure.exc_type is SystemExit:  # silent, as in Python's own hook
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
    """Write to a file, by default to stderr, which may be missing."""
    stream = file or sys.stderr
    if stream is not None:
        stream.write(text)


def _secrets(options: Mapping[str, Any]) -> Iterator[str]:
    """Yield the secret values of options, also of nested ones, and their HTTP Basic credentials."""
    for name, value in options.items():
        if is_secret(name):
            yield from _texts(value)
        elif isinstance(value, Mapping):
            yield from _secrets(value)
    for user, password in _logins(options):
        yield b64encode(f"{user}:{password}".encode(errors="surrogateescape")).decode()


def _logins(options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield pairs of user and password, which HTTP Basic authentication sends encoded together."""
    user = options.get("username") or options.get("user")
    pairs = [(user, options.get("password")), options.get("auth")]
    for pair in pairs:
        if isinstance(pair, tuple | list) and len(pair) == 2 and all(isinstance(part, str) for part in pair):
            yield pair[0], pair[1]


def _texts(value: Any) -> Iterator[str]:
    """Yield the strings in a secret value, except short ones and paths of files with secrets."""
    if isinstance(value, str) and len(value) >= _SHORTEST and not os.path.isabs(os.path.expanduser(value)):
        yield value
    elif isinstance(value, bytes):
        yield from _texts(value.decode(errors="surrogateescape"))
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _texts(part)
    elif isinstance(value, Mapping):
        yield from (text for part in value.values() for text in _texts(part))
