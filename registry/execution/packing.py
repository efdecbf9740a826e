"""Calls as bytes that another machine can run, without the secrets in their arguments."""

from __future__ import annotations

import hashlib
import hmac
import io
import os
import pickle
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from registry.errors import PasswordError, UsageError
from registry.redaction import is_secret, redact

#: Cost of a digest that tells whether two machines have the same secret: 10 ms, once a process.
_SCRYPT: Final = {"n": 2**12, "r": 8, "p": 1}

#: Kind, variable, salt and digest of a secret; or the number of a shared byte string.
_Id = tuple[str, str, bytes, bytes] | int


def pack(value: Any, secrets: Mapping[str, str], shared: Sequence[bytes] = ()) -> bytes:
    """Return a value as bytes for :func:`unpack`.

    Args:
        value: can be pickled.
        secrets: text -> environment variable that holds it where the bytes are unpacked. The bytes have the name of
            the variable in place of every text or byte string that is such a text, and a digest to compare it by.
        shared: byte strings that are there where the bytes are unpacked, which hold their numbers instead.
    """
    buffer = io.BytesIO()
    _Pickler(buffer, secrets, shared).dump(value)
    return buffer.getvalue()


def unpack(data: bytes, shared: Sequence[bytes] = ()) -> Any:
    """Return a value that :func:`pack` made into bytes, with the same shared byte strings.

    Raises:
        PasswordError: the environment lacks a secret, or has another.
    """
    return _Unpickler(io.BytesIO(data), shared).load()


def pack_for_run(value: Any, secrets: Mapping[str, str]) -> bytes:
    """Return a value as bytes for :func:`unpack_once`: others each time, so that no worker has it of an earlier run.

    What an earlier run has opened on a worker, such as a registry or the photos of a release, may have changed since.
    """
    return pack((os.urandom(8), value), secrets)


@lru_cache(maxsize=1)
def unpack_once(data: bytes) -> Any:
    """Return a value of :func:`pack_for_run`; a worker keeps it for the next calls with the same bytes."""
    _, value = unpack(data)
    return value


def check_without_secrets(storage_options: Mapping[str, Any] | None, *urls: str) -> None:
    """Check that workers on other machines need no secret of the caller to read a place.

    Raises:
        UsageError: an option, or a value within one, or a URL holds one.
    """
    options = storage_options or {}
    names = sorted(name for name, value in options.items() if is_secret(name.rpartition(":")[2]) or _has_secret(value))
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


def _has_secret(value: Any) -> bool:
    """Return whether a value of an option is a text with a secret, such as a URL, or has one within it."""
    if isinstance(value, Mapping):
        return any(is_secret(str(name)) or _has_secret(part) for name, part in value.items())
    if isinstance(value, list | tuple):
        return any(map(_has_secret, value))
    return isinstance(value, str) and redact(value) != value


class _Pickler(pickle.Pickler):
    """Pickles secrets as the names of environment variables."""

    def __init__(self, file: io.BytesIO, secrets: Mapping[str, str], shared: Sequence[bytes]) -> None:
        super().__init__(file, pickle.HIGHEST_PROTOCOL)
        self._ids: dict[str | bytes, _Id] = {data: number for number, data in enumerate(shared)}
        for secret, variable in secrets.items():
            salt = _salt()
            digest = _digest(secret, salt)
            self._ids |= {secret: ("str", variable, salt, digest), secret.encode(): ("bytes", variable, salt, digest)}

    def persistent_id(self, value: Any) -> _Id | None:
        """Return what stands in the pickle for a secret or a shared byte string; None for any other value."""
        return self._ids.get(value) if isinstance(value, str | bytes) else None


class _Unpickler(pickle.Unpickler):
    """Takes secrets from the environment."""

    def __init__(self, file: io.BytesIO, shared: Sequence[bytes]) -> None:
        super().__init__(file)
        self._shared = shared

    def persistent_load(self, pid: _Id) -> str | bytes:
        """Return the secret that a name stands for, or the shared byte string of a number."""
        if isinstance(pid, int):
            return self._shared[pid]
        kind, variable, salt, digest = pid
        secret = os.environ.get(variable, "")
        if not secret or not hmac.compare_digest(_digest(secret, salt), digest):
            state = "has no" if not secret else "has another"
            raise PasswordError(f"A worker {state} {variable} in its environment: start every worker with it.")
        return secret if kind == "str" else secret.encode()


@lru_cache(maxsize=1)
def _salt() -> bytes:
    """Return random bytes, the same in all calls of a process: a digest with each salt costs time here and there."""
    return os.urandom(16)


@lru_cache(maxsize=16)
def _digest(secret: str, salt: bytes) -> bytes:
    return hashlib.scrypt(secret.encode(errors="surrogateescape"), salt=salt, **_SCRYPT)
