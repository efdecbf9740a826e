"""Requests that went through a proxy, and what a proxy can do to them instead of passing them on.

``proxy.fault`` decides about each request: a rule is a callable that takes the request and returns a fault or None.

>>> proxy.fault = first(2, status(503, "SlowDown"), when=reads)
>>> proxy.fault = every(3, reset(after=100))
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass
class Request:
    """One request; it is in the list as soon as its head was read, and gets its numbers as they come up."""

    method: str
    path: str  #: as it was sent, percent signs and all, without the query
    query: str
    range: str | None  #: the header of that name
    headers: Mapping[str, str] = field(repr=False)  #: names in lower case
    status: int | None = None  #: what the client was answered; None while or because it got no answer
    sent_bytes: int = 0  #: of the body, by the client
    received_bytes: int = 0  #: of the answer's body, handed to the client
    seconds: float | None = None  #: until the end of the answer; None before that
    fault: str | None = None  #: the kind of the fault, if it got one


@dataclass(frozen=True)
class Fault:
    """What happens to one request; see the functions that make them."""

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
        reached: whether the server got the request all the same, and did what it said.
    """
    return Fault("status", status=number, code=code, reached=reached)


def missing() -> Fault:
    """Answer that there is no such object."""
    return status(404, "NoSuchKey")


def reset(after: int | None = None) -> Fault:
    """Break the connection (RST).

    Args:
        after: so many bytes of the answer's body. 0: the server did what it was asked, and nothing of its answer
            reaches the client. None: the server never hears of the request.
    """
    return Fault("reset", reached=after is not None, after=after or 0)


def slow(seconds: float = 0.0, rate: float | None = None) -> Fault:
    """Wait before the request goes on, or hand out the answer's body at so many bytes a second."""
    return Fault("slow", seconds=seconds, rate=rate)


def truncate(after: int) -> Fault:
    """Announce the whole answer, hand out so many bytes of its body, and hang up."""
    return Fault("truncate", after=after)


def flip(at: int = 0, count: int = 1) -> Fault:
    """Answer with the right status and length, but with wrong bytes from a place of the body on."""
    return Fault("flip", after=at, count=count)


def anything(request: Request) -> bool:
    """Match all requests."""
    return True


def reads(request: Request) -> bool:
    """Match reads of objects: GET that is no listing and no question about a bucket."""
    return request.method == "GET" and "/" in request.path.strip("/")


def writes(request: Request) -> bool:
    """Match what puts objects, their parts, or ends an upload."""
    return request.method in ("PUT", "POST") and "/" in request.path.strip("/")


def always(fault: Fault, when: When = anything) -> Rule:
    """Give the fault to all matching requests."""
    return lambda request: fault if when(request) else None


def first(n: int, fault: Fault, when: When = anything) -> Rule:
    """Give the fault to the first n matching requests."""
    seen = 0

    def rule(request: Request) -> Fault | None:
        nonlocal seen
        seen += when(request)
        return fault if when(request) and seen <= n else None

    return rule


def every(n: int, fault: Fault, when: When = anything) -> Rule:
    """Give the fault to every n-th matching request, beginning with the n-th."""
    seen = 0

    def rule(request: Request) -> Fault | None:
        nonlocal seen
        seen += when(request)
        return fault if when(request) and seen % n == 0 else None

    return rule
