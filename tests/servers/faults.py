"""Requests recorded by the S3 proxy, and the faults that it can inject.

``proxy.fault`` is a rule: a callable that takes a request and returns a fault or None.

>>> proxy.fault = first(2, status(503, "SlowDown"), when=reads)
>>> proxy.fault = every(3, reset(after=100))
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass
class Request:
    """A request. It is recorded when its head was read; the counts follow while it is handled."""

    method: str
    path: str  #: percent-encoded as sent, without the query
    query: str
    range: str | None  #: the Range header
    headers: Mapping[str, str] = field(repr=False)  #: names in lower case
    status: int | None = None  #: sent to the client; None before or without an answer
    sent_bytes: int = 0  #: of the body, by the client
    received_bytes: int = 0  #: of the answer's body, sent to the client
    seconds: float | None = None  #: until the end of the answer; None before that
    fault: str | None = None  #: kind of the injected fault


@dataclass(frozen=True)
class Fault:
    """A fault for a request; the functions below create it."""

    kind: Literal["none", "status", "reset", "slow", "truncate", "flip"]
    status: int = 0
    code: str = ""
    reached: bool = True
    after: int = 0
    count: int = 0
    seconds: float = 0.0
    rate: float | None = None


When = Callable[[Request], bool]
Rule = Callable[[Request], Fault | None]


def status(number: int, code: str, *, reached: bool = False) -> Fault:
    """Answer with a status and an S3 error code, as ``status(503, "SlowDown")``.

    Args:
        number: the HTTP status.
        code: the code in the XML body.
        reached: whether the server still receives and executes the request.
    """
    return Fault("status", status=number, code=code, reached=reached)


def missing() -> Fault:
    """Answer that the object does not exist."""
    return status(404, "NoSuchKey")


def reset(after: int | None = None) -> Fault:
    """Break the connection (RST).

    Args:
        after: bytes of the answer's body sent before. 0: the server executes the request, but the client gets no
            answer. None: the server does not receive the request.
    """
    return Fault("reset", reached=after is not None, after=after or 0)


def slow(seconds: float = 0.0, rate: float | None = None) -> Fault:
    """Delay the request by seconds, or send the answer's body at a rate in bytes a second."""
    return Fault("slow", seconds=seconds, rate=rate)


def truncate(after: int) -> Fault:
    """Announce the full length of the answer, send ``after`` bytes of its body, and close the connection."""
    return Fault("truncate", after=after)


def flip(at: int = 0, count: int = 1) -> Fault:
    """Answer with ``count`` wrong bytes from position ``at`` of the body."""
    return Fault("flip", after=at, count=count)


def anything(request: Request) -> bool:
    """Match all requests."""
    return True


def reads(request: Request) -> bool:
    """Match GET requests for objects, not for buckets or listings."""
    return request.method == "GET" and "/" in request.path.strip("/")


def writes(request: Request) -> bool:
    """Match uploads of objects and parts, and the end of a multipart upload."""
    return request.method in ("PUT", "POST") and "/" in request.path.strip("/")


def always(fault: Fault, when: When = anything) -> Rule:
    """Return a rule that gives the fault to all matching requests."""
    return lambda request: fault if when(request) else None


def first(n: int, fault: Fault, when: When = anything) -> Rule:
    """Return a rule that gives the fault to the first n matching requests."""
    seen = 0

    def rule(request: Request) -> Fault | None:
        nonlocal seen
        seen += when(request)
        return fault if when(request) and seen <= n else None

    return rule


def every(n: int, fault: Fault, when: When = anything) -> Rule:
    """Return a rule that gives the fault to every n-th matching request, starting with the n-th."""
    seen = 0

    def rule(request: Request) -> Fault | None:
        nonlocal seen
        seen += when(request)
        return fault if when(request) and seen % n == 0 else None

    return rule
