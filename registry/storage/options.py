"""Storage options: which of a user's options apply to a URL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from registry.redaction import remember, remember_url

#: Options by name. ``PROTOCOL:NAME`` and ``URL:NAME`` apply only to that protocol, or below that URL.
StorageOptions = Mapping[str, Any]

#: Protocols of S3.
S3: Final = ("s3", "s3a")


def options_of(url: str, options: StorageOptions | None) -> dict[str, Any]:
    """Return the options that apply to a URL; those with a longer scope override the others."""
    applying: dict[str, Any] = {}
    for key, value in sorted((options or {}).items(), key=lambda option: len(option[0].rpartition(":")[0])):
        scope, _, name = key.rpartition(":")
        if scope in ("", url.partition("://")[0]) or ("://" in scope and f"{url}/".startswith(f"{scope}/")):
            applying[name] = value
    return applying


def resolved_options(url: str, options: StorageOptions | None) -> dict[str, Any]:
    """Return the options that apply to a URL and, on S3, fsspec's configuration below them.

    Their secrets and those of the URL are registered for redaction.
    """
    resolved = options_of(url, options)
    if url.partition("://")[0] in S3:
        from fsspec.config import conf

        resolved = {**conf.get("s3", {}), **conf.get("s3a", {}), **resolved}
    remember(resolved)
    remember_url(url)
    return resolved
