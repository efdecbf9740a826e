"""Keeping secrets out of messages, logs and tracebacks: ``***`` takes their place."""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Final
from urllib.parse import quote

_HIDDEN: Final = "***"
#: Names of storage options, environment variables and query parameters whose values are secret.
_SECRET_NAME: Final = re.compile(
    r"secret|token|passw|passphrase|credential|signature|authorization|connection_string"
    r"|(^|[_.-])(key|sas|sig|auth|access_key_id)($|[_.-])",
    re.IGNORECASE,
)
#: What the programs of the stores, and this one, read from the environment.
_ENVIRONMENT: Final = ("AWS_", "AZURE_", "GOOGLE_", "GCS_", "FSSPEC_", "DF2_")
_PASSWORD: Final = re.compile(r"(\w[\w+.-]*://[^/\s:@'\"]*:)[^/\s@'\"]+@")
#: What stands before an @ without a colon: a name over SSH, a token over HTTP.
_TOKEN: Final = re.compile(r"(https?://)[^/\s:@'\"]+@")
_PARAMETER: Final = re.compile(r"([?&]([\w.-]+)=)[^&\s'\"]+")
#: Shorter values would be found in every other word.
_SHORTEST: Final = 6

_remembered: set[str] = set()


def is_secret(name: str) -> bool:
    """Return whether the value of an option of this name must not be shown."""
    return _SECRET_NAME.search(name) is not None


def remember(options: Mapping[str, Any]) -> None:
    """Keep the secret values among storage options in mind, so that :func:`redact` finds them in any text."""
    _remembered.update(_secrets(options))


def redact(text: str) -> str:
    """Return a text without its secrets.

    Hidden are passwords and tokens in URLs, query parameters with secret names (``X-Amz-Signature``, ``sig``), and
    the values of secret options that were given, that are in the environment, or in fsspec's configuration.
    """
    for user_info in (_PASSWORD, _TOKEN):
        text = user_info.sub(rf"\1{_HIDDEN}@", text)
    text = _PARAMETER.sub(lambda found: f"{found[1]}{_HIDDEN}" if is_secret(found[2]) else found[0], text)
    environment = {name: value for name, value in os.environ.items() if name.startswith(_ENVIRONMENT)}
    configured = sys.modules["fsspec.config"].conf if "fsspec.config" in sys.modules else {}
    for secret in sorted({*_remembered, *_secrets(environment), *_secrets(configured)}, key=len, reverse=True):
        for form in {secret, quote(secret, safe="")}:
            text = re.sub(rf"(?<![\w/+]){re.escape(form)}(?![\w/+])", _HIDDEN, text)
    return text


def without_user(url: str) -> str:
    """Return a URL without the name, password or token of whoever uses it over HTTP; over SSH, the name says where."""
    return re.sub(r"^(https?://)[^/@\s]+@", r"\1", url)


def install() -> None:
    """Redact the log records and the uncaught exceptions of this process."""
    sys.excepthook = _excepthook
    if logging.getLogRecordFactory() is logging.LogRecord:
        logging.setLogRecordFactory(_RedactedRecord)


class _RedactedRecord(logging.LogRecord):
    def getMessage(self) -> str:  # noqa: N802  # logging's name
        return redact(super().getMessage())


def _excepthook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    import traceback

    sys.stderr.write(redact("".join(traceback.format_exception(kind, error, trace))))


def _secrets(options: Mapping[str, Any]) -> Iterator[str]:
    for name, value in options.items():
        if is_secret(name):
            yield from _texts(value)
        elif isinstance(value, Mapping):
            yield from _secrets(value)


def _texts(value: Any) -> Iterator[str]:
    """Yield the texts in a secret value; a path says where the secret is, which helps and hurts nobody."""
    if isinstance(value, str) and len(value) >= _SHORTEST and not os.path.isabs(os.path.expanduser(value)):
        yield value
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _texts(one)
    elif isinstance(value, Mapping):
        yield from (text for one in value.values() for text in _texts(one))
