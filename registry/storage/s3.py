"""Reading S3 with obstore, which starts and asks in a third of the time that s3fs takes.

It reads where nothing is special: with the credentials, the region and the endpoint that botocore finds, as s3fs has
them. Whatever else is set is for s3fs, and so is all that goes wrong: it tries again, and it says what is wrong.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cached_property
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from registry.redaction import remember
from registry.storage import bounded_reads
from registry.storage.filesystems import S3, StorageOptions, s3_options
from registry.storage.timeouts import attempt_timeout

if TYPE_CHECKING:
    from botocore.session import Session
    from obstore import GetResult
    from obstore.store import S3Credential, S3Store

#: Storage options that both libraries understand, those within ``client_kwargs`` among them.
_OPTIONS: Final = {"key", "secret", "token", "anon", "profile", "endpoint_url", "client_kwargs"}
_CLIENT_OPTIONS: Final = {"endpoint_url", "region_name"}
#: Settings of botocore, from its configuration file or the environment, that only s3fs heeds.
_SPECIAL: Final = ("s3", "use_fips_endpoint", "use_dualstack_endpoint", "ignore_configured_endpoint_urls")
#: Paths that stay as they are in the address of a request.
_PATH: Final = re.compile(r"[\w.=-]+(/[\w.=-]+)*", re.ASCII)
#: Credentials are asked for again when this is over; botocore renews those that end.
_CREDENTIALS_SECONDS: Final = 600
#: obstore would cut a transfer of over 30 s that makes progress.
_LONGEST_TRANSFER: Final = timedelta(days=1)


def s3_reader(url: str, options: StorageOptions | None) -> S3Reader | None:
    """Return what reads below a URL, or None if fsspec has to.

    Args:
        url: of a folder.
        options: as for :func:`registry.storage.filesystems.filesystem`.
    """
    protocol, _, path = url.partition("://")
    if protocol not in S3 or not _PATH.fullmatch(path):
        return None
    if not all(map(find_spec, ("obstore", "botocore", "s3fs"))):
        return None
    given = s3_options(url, options)
    if not (given.keys() <= _OPTIONS and (given.get("client_kwargs") or {}).keys() <= _CLIENT_OPTIONS):
        return None
    remember(given)
    return S3Reader(path, given)


class S3Reader:
    """Reads files below a path; serves many threads, of the process that made it.

    Args:
        path: bucket and prefix.
        options: storage options.
    """

    def __init__(self, path: str, options: Mapping[str, Any]) -> None:
        self._bucket, _, self._prefix = path.partition("/")
        self._options = options
        self._process = os.getpid()

    def read(self, name: str, bounds: tuple[int, int] | None = None) -> bytes | None:
        """Return a file's bytes, or those from the first bound up to the second; None if s3fs has to.

        Raises:
            TooMuchError: the server sends more than was asked for.
        """
        if self._process != os.getpid():  # obstore's threads are not there after a fork
            return None
        if self._store is None or not _PATH.fullmatch(name):
            return None
        import obstore

        path = f"{self._prefix}/{name}".removeprefix("/")
        try:
            return _read(obstore.get(self._store, path, options={"range": bounds} if bounds else None), bounds)
        except obstore.exceptions.BaseError:
            return None

    @cached_property
    def _store(self) -> S3Store | None:
        """The bucket, as botocore would reach it; None if that is special, or if it does not know how."""
        from botocore.exceptions import BotoCoreError, ClientError
        from botocore.session import Session
        from obstore.exceptions import BaseError
        from obstore.store import S3Store

        try:
            session = Session(profile=self._options.get("profile"))
            if any(session.get_config_variable(name) for name in _SPECIAL):
                return None
            client = self._options.get("client_kwargs") or {}
            region = client.get("region_name") or session.get_config_variable("region") or "us-east-1"
            endpoint = self._options.get("endpoint_url") or client.get("endpoint_url") or _configured_endpoint(session)
            endpoint = endpoint or f"https://s3.{region}.amazonaws.com"
            if endpoint.startswith("https:") and session.get_config_variable("ca_bundle"):
                return None
            silence = timedelta(seconds=attempt_timeout())
            is_anonymous = bool(self._options.get("anon"))
            credentials = None if is_anonymous else _credentials(session, self._options)
            if credentials is None and not is_anonymous:
                return None
            return S3Store(
                self._bucket,
                # By both names: the environment's AWS_ENDPOINT_URL_S3 comes before the plain one.
                endpoint=endpoint,
                aws_endpoint_url_s3=endpoint,
                region=region,
                virtual_hosted_style_request=False,
                skip_signature=is_anonymous,
                credential_provider=credentials,
                client_options={
                    "allow_http": endpoint.startswith("http:"),
                    "connect_timeout": silence,
                    "read_timeout": silence,
                    "timeout": _LONGEST_TRANSFER,
                },
                # For a connection that the server gave up meanwhile; not for a server that stays silent.
                retry_config={"max_retries": 1, "retry_timeout": silence / 2},
            )
        except (BotoCoreError, ClientError, BaseError):
            return None


def _read(answer: GetResult, bounds: tuple[int, int] | None) -> bytes:
    """Return the bytes of an answer; more than the range or the bound are an error."""
    pieces = bounded_reads.Pieces(bounds[1] - bounds[0] if bounds else bounded_reads.MAX_WHOLE)
    for piece in answer.stream(min_chunk_size=bounded_reads.PIECE):
        pieces.add(bytes(piece))
    return pieces.joined()


def _configured_endpoint(session: Session) -> str | None:
    from botocore.configprovider import ConfiguredEndpointProvider

    found: str | None = ConfiguredEndpointProvider(
        full_config=session.full_config, scoped_config=session.get_scoped_config(), client_name="s3"
    ).provide()
    return found


def _credentials(session: Session, options: Mapping[str, Any]) -> Callable[[], S3Credential] | None:
    """Return what gives credentials as obstore wants them: those of the options, or those that botocore finds."""
    from botocore.credentials import Credentials

    if options.get("key") or options.get("secret"):
        if not (options.get("key") and options.get("secret")):
            return None
        found = Credentials(options["key"], options["secret"], options.get("token"))
    else:
        found = session.get_credentials()
    if found is None:
        return None
    found.get_frozen_credentials()  # what is wrong with them is to be known now

    def give() -> S3Credential:
        frozen = found.get_frozen_credentials()
        return {
            "access_key_id": frozen.access_key,
            "secret_access_key": frozen.secret_key,
            "token": frozen.token,
            "expires_at": datetime.now(UTC) + timedelta(seconds=_CREDENTIALS_SECONDS),
        }

    return give
