"""Calls as bytes that another machine can run, without the secrets in their arguments."""

from __future__ import annotations

import hashlib
import hmac
import io
import os
import pickle
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from registry.errors import MissingDependencyError, PasswordError, SourceError, UnreadableSourceError, UsageError
from registry.redaction import is_secret, redact
from registry.version import __version__

#: Cost of a digest that tells whether two machines have the same secret: 10 ms, once a process.
_SCRYPT: Final = {"n": 2**12, "r": 8, "p": 1}


def pack(value: Any, secrets: Mapping[str, str]) -> bytes:
    """Return a value as bytes for :func:`unpack`.

    Args:
        value: can be pickled.
        secrets: text -> environment variable that holds it where the bytes are unpacked. The bytes have the name of
            the variable in place of every text or byte string that is such a text, and a digest to compare it by.
    """
    buffer = io.BytesIO()
    _Pickler(buffer, secrets).dump(value)
    return buffer.getvalue()


def unpack(data: bytes) -> Any:
    """Return a value that :func:`pack` made into bytes.

    Raises:
        PasswordError: the environment lacks a secret, or has another.
    """
    return _Unpickler(io.BytesIO(data)).load()


@lru_cache(maxsize=1)
def unpack_once(data: bytes) -> Any:
    """Return what :func:`unpack` does; a worker keeps it for the next calls with the same bytes."""
    return unpack(data)


def run_packed(version: str, call: bytes) -> Any:
    """Return the result of a packed ``(function, arguments)``. The work of a worker on another machine.

    Raises:
        MissingDependencyError: this machine has another version of the package than the caller.
    """
    if version != __version__:
        raise MissingDependencyError(
            f"The workers have deepfashion2-registry {__version__}, and this machine has {version}: install the same "
            "version on all of them."
        )
    function, arguments = unpack(call)
    try:
        return function(*arguments)
    except (SourceError, UnreadableSourceError) as error:
        if type(error) not in (SourceError, UnreadableSourceError):
            raise
        import socket

        raise type(error)(f"Worker {socket.gethostname()}: {error}") from error


def check_without_secrets(storage_options: Mapping[str, Any] | None, *urls: str) -> None:
    """Check that workers on other machines need no secret of the caller to read a place.

    Raises:
        UsageError: an option or a URL holds one.
    """
    names = sorted(name for name in storage_options or {} if is_secret(name.rpartition(":")[2]))
    if names:
        raise UsageError(
            f"The storage options {', '.join(names)} are secret, and are not sent to the workers of a cluster: leave "
            "them out, and set them in the environment of each worker and here, such as AWS_SECRET_ACCESS_KEY."
        )
    for url in urls:
        if "://" in url and redact(url) != url:
            raise UsageError(
                f"{redact(url)} holds a secret, which is not sent to the workers of a cluster: give the URL without "
                "it, and set it in the environment of this process and of each worker."
            )


class _Pickler(pickle.Pickler):
    """Pickles secrets as the names of environment variables."""

    def __init__(self, file: io.BytesIO, secrets: Mapping[str, str]) -> None:
        super().__init__(file, pickle.HIGHEST_PROTOCOL)
        self._ids: dict[str | bytes, tuple[str, str, bytes, bytes]] = {}
        for secret, variable in secrets.items():
            salt = os.urandom(16)
            digest = _digest(secret, salt)
            self._ids |= {secret: ("str", variable, salt, digest), secret.encode(): ("bytes", variable, salt, digest)}

    def persistent_id(self, value: Any) -> tuple[str, str, bytes, bytes] | None:
        """Return what stands in the pickle for a secret; None for any other value."""
        return self._ids.get(value) if isinstance(value, str | bytes) else None


class _Unpickler(pickle.Unpickler):
    """Takes secrets from the environment."""

    def persistent_load(self, pid: tuple[str, str, bytes, bytes]) -> str | bytes:
        """Return the secret that a name stands for."""
        kind, variable, salt, digest = pid
        secret = os.environ.get(variable, "")
        if not secret or not hmac.compare_digest(_digest(secret, salt), digest):
            state = "has no" if not secret else "has another"
            raise PasswordError(f"A worker {state} {variable} in its environment: start every worker with it.")
        return secret if kind == "str" else secret.encode()


@lru_cache(maxsize=16)
def _digest(secret: str, salt: bytes) -> bytes:
    return hashlib.scrypt(secret.encode(errors="surrogateescape"), salt=salt, **_SCRYPT)
