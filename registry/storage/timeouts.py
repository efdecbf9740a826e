"""The network timeout: a single setting, translated to the limits of each client library."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from registry.errors import UsageError
from registry.storage.bounded_reads import BoundedBody, bounded_response

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

#: Environment variable: seconds without an answer or progress, over all attempts together.
VARIABLE: Final = "DF2_NETWORK_TIMEOUT"
DEFAULT: Final = 90.0
_LONGEST: Final = 86_400.0
#: Attempts of gcsfs, and the seconds it pauses between them at most; neither can be set.
_GCSFS_ATTEMPTS: Final = 6
_GCSFS_PAUSES: Final = 36.0
#: Bytes a second that an upload to S3 must reach: its progress is not visible, so its limit follows from its size.
_SLOWEST_UPLOAD: Final = 16_384
#: Attempts of botocore, and of s3fs, which retries reads in two nested loops.
S3_RETRIES: Final = {"total_max_attempts": 1, "mode": "standard"}
S3_ATTEMPTS: Final = 2
#: Seconds before the second attempt of a call that an S3 server answered with a server error.
_S3_PAUSE: Final = 0.1


class NoAnswerError(TimeoutError):
    """A server that did not answer within the network timeout, or did not accept a connection.

    Args:
        server: host and port; None if the client's error does not name them.
        seconds: time waited.
    """

    def __init__(self, server: str | None, seconds: float) -> None:
        self.server = server
        self.seconds = seconds
        super().__init__(
            f"no answer from {server or 'the server'} for {seconds:.{0 if seconds >= 10 else 1}f} s. "
            f"--network-timeout or {VARIABLE} (now {network_timeout():g} s) allows more."
        )


def network_timeout() -> float:
    """Return the network timeout in seconds.

    Raises:
        UsageError: the environment variable is not a number of seconds in range.
    """
    text = os.environ.get(VARIABLE, "")
    if not text:
        return DEFAULT
    try:
        return _checked(float(text))
    except ValueError:
        raise UsageError(f"{VARIABLE} is {text!r}: expected seconds from above 0 to {_LONGEST:,.0f}.") from None


def set_network_timeout(seconds: float) -> None:
    """Set the network timeout of this process and its child processes, by the environment variable.

    Raises:
        UsageError: ``seconds`` is not above 0, or more than a day.
    """
    try:
        os.environ[VARIABLE] = f"{_checked(seconds):g}"
    except ValueError:
        raise UsageError(f"Expected a network timeout from above 0 to {_LONGEST:,.0f} s, found {seconds}.") from None


def _checked(seconds: float) -> float:
    """Return ``seconds``; raise ValueError unless 0 < seconds <= a day."""
    if not math.isfinite(seconds) or not 0 < seconds <= _LONGEST:
        raise ValueError(seconds)
    return seconds


def attempt_timeout() -> float:
    """Return the timeout of an attempt in seconds: three attempts, and a tenth of the network timeout for pauses."""
    return 0.3 * network_timeout()


def limit(protocol: str, options: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a file system, with time limits for its client library added.

    Limits that the options already set stay. The limits apply to silence: a transfer that makes progress has none.
    """
    seconds = attempt_timeout()
    limits: dict[str, Any] = {}
    if protocol in ("s3", "s3a"):
        # obstore tries first, for a third of the network timeout; s3fs makes up to four attempts in the rest.
        quarter = dict.fromkeys(("connect_timeout", "read_timeout"), seconds / 2)
        variables = {"AWS_MAX_ATTEMPTS", "AWS_RETRY_MODE"} & os.environ.keys()
        retries = {} if variables else {"retries": S3_RETRIES}
        return {**options, "config_kwargs": {**retries, **quarter, **(options.get("config_kwargs") or {})}}
    if protocol in ("http", "https"):
        client = {"timeout": _aiohttp_timeout(seconds), "response_class": bounded_response()}
        client |= options.get("client_kwargs") or {}
        return {**options, "client_kwargs": client}
    if protocol in ("gs", "gcs"):
        pauses = min(_GCSFS_PAUSES, 2 * seconds)
        # gcsfs has no default limit.
        limits = {"requests_timeout": _aiohttp_timeout((3 * seconds - pauses) / _GCSFS_ATTEMPTS)}
        session = {"response_class": bounded_response(), **(options.get("session_kwargs") or {})}
        return {**limits, **options, "session_kwargs": session}
    if protocol in ("ssh", "sftp"):
        # Connecting is a single attempt; keep-alive messages then detect a dead server.
        whole = 3 * seconds
        limits = {"connect_timeout": whole, "login_timeout": whole}
        limits |= {"keepalive_interval": whole / 4, "keepalive_count_max": 3}
    elif protocol in ("webdav", "webdavs"):
        limits = {"timeout": seconds}
    elif protocol in ("abfs", "abfss", "az", "adl"):
        whole_seconds = max(1, round(seconds))
        limits = {"connection_timeout": whole_seconds, "read_timeout": whole_seconds}
    return {**limits, **options}


def limit_attempts(protocol: str, fs: AbstractFileSystem) -> None:
    """Set the attempts of client libraries that take them from the file system object, not from options."""
    if protocol in ("s3", "s3a"):
        fs.retries = S3_ATTEMPTS
        _limit_calls(fs)
    if protocol in ("abfs", "abfss", "az", "adl"):
        # adlfs passes no options to Azure's client, which makes four attempts of a minute with 57 s of pauses.
        config = getattr(getattr(fs, "service_client", None), "_config", None)
        if (policy := getattr(config, "retry_policy", None)) is not None:
            policy.total_retries = 0


def _limit_calls(fs: AbstractFileSystem) -> None:
    """Limit the calls of an s3fs file system: uploads in time, reads in bytes; retry quick server errors once.

    aiohttp has no timeout for sending a body. s3fs itself retries SlowDown only, and never the parts of a multipart
    upload, so a server error (500, 502, ...) needs the retry here.
    """
    import asyncio  # late: it takes a tenth of the start of a command

    from fsspec.asyn import sync_wrapper

    call = partial(type(fs)._call_s3, fs)
    seconds = 2 * attempt_timeout()

    async def limited(method: str, *arguments: Any, **options: Any) -> Any:
        body = options.get("Body")
        if method == "get_object":
            answer = await call(method, *arguments, **options)
            return {**answer, "Body": BoundedBody(answer["Body"], options.get("Range"))}
        if not isinstance(body, bytes | bytearray | memoryview):
            return await call(method, *arguments, **options)
        begin = time.monotonic()
        try:
            return await asyncio.wait_for(call(method, *arguments, **options), seconds + len(body) / _SLOWEST_UPLOAD)
        except TimeoutError as error:
            if isinstance(error, NoAnswerError):
                raise
            raise NoAnswerError(_endpoint(fs), time.monotonic() - begin) from error

    async def repeated(method: str, *arguments: Any, **options: Any) -> Any:
        begin = time.monotonic()
        try:
            return await limited(method, *arguments, **options)
        except OSError as error:
            if not _is_server_error(error) or time.monotonic() - begin > attempt_timeout() / 10:
                raise
        await asyncio.sleep(_S3_PAUSE)
        return await limited(method, *arguments, **options)

    fs._call_s3 = repeated
    fs.call_s3 = sync_wrapper(repeated, fs)


def _is_server_error(error: OSError) -> bool:
    """Return whether S3 answered with a status of 500 or above, except SlowDown."""
    response = getattr(error.__cause__, "response", None)
    if not isinstance(response, dict):
        return False
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return isinstance(status, int) and status >= 500 and response.get("Error", {}).get("Code") != "SlowDown"


def _endpoint(fs: AbstractFileSystem) -> str | None:
    """Return host and port of an s3fs file system, or None for AWS."""
    url = fs.endpoint_url or (fs.client_kwargs or {}).get("endpoint_url")
    return urlsplit(url).netloc.rpartition("@")[2] if url else None


def _aiohttp_timeout(seconds: float) -> Any:
    """Return aiohttp's timeout for silence, instead of its default of five minutes for a whole transfer."""
    import aiohttp

    return aiohttp.ClientTimeout(total=None, sock_connect=seconds, sock_read=seconds)


def is_timeout(error: BaseException) -> bool:
    """Return whether an error or any of its causes is a timeout; the client libraries have no common class for it."""
    for cause in _causes(error):
        if any("Timeout" in kind.__name__ for kind in type(cause).__mro__) or "responding to keepalive" in str(cause):
            return True
    return False


def server_of(error: BaseException) -> str | None:
    """Return the host and port in an error of a client library, or None."""
    for cause in _causes(error):
        if isinstance(cause, NoAnswerError) and cause.server is not None:
            return cause.server
        details = getattr(cause, "kwargs", None)
        url = details.get("endpoint_url") if isinstance(details, dict) else None  # botocore
        if url is None:
            # httpx; its public property raises if the error has no request
            url = getattr(getattr(cause, "_request", None), "url", None)
        if url is not None and (host := urlsplit(str(url)).netloc.rpartition("@")[2]):
            return host
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and its chain of causes."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)


@contextmanager
def dvc_limits(remotes: Mapping[str, dict[str, Any]]) -> Iterator[None]:
    """Add time limits to DVC's remotes during the block: in their options, else in fsspec's configuration.

    The configuration and the environment (``AWS_MAX_ATTEMPTS``, for botocore) are restored afterwards.

    Args:
        remotes: name -> DVC options of the remote; changed in place. Limits that they already set stay.
    """
    from fsspec.config import conf

    for options in remotes.values():
        options.update({**_dvc_limits(str(options.get("url", "")).partition("://")[0]), **options})
    configured = {protocol: conf.get(protocol) for protocol in ("gs", "gcs", "ssh", "sftp")}
    attempts = os.environ.get("AWS_MAX_ATTEMPTS")
    os.environ.setdefault("AWS_MAX_ATTEMPTS", "1")
    try:
        for protocol, options in configured.items():
            with suppress(ImportError):  # without aiohttp there is no gcsfs to limit
                conf[protocol] = limit(protocol, dict(options or {}))
        yield
    finally:
        for protocol, options in configured.items():
            if options is None:
                conf.pop(protocol, None)
            else:
                conf[protocol] = options
        if attempts is None:
            os.environ.pop("AWS_MAX_ATTEMPTS", None)


def _dvc_limits(protocol: str) -> dict[str, float]:
    """Return the time limits that DVC accepts as options of a remote with this protocol."""
    whole = 3 * attempt_timeout()
    if protocol in ("s3", "azure"):
        fifth = max(1, int(whole / 5))  # s3fs makes five attempts
        names = ("connect_timeout", "read_timeout") if protocol == "s3" else ("connection_timeout", "read_timeout")
        return dict.fromkeys(names, fifth)
    if protocol in ("http", "https"):
        return dict.fromkeys(("connect_timeout", "read_timeout"), whole / 10)  # ten attempts for the size of a file
    if protocol == "ssh":
        return {"timeout": max(1, round(whole))}
    if protocol in ("webdav", "webdavs"):
        return {"timeout": max(1, int(whole / 5))}
    return {}
