"""Who may ask: the names under which the server is reached, the token, and the sources that a page may load."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import logging
import re
import secrets
import traceback
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, quote, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse

from registry.errors import UsageError
from registry.redaction import printable, redact, remember

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_LOG: Final = logging.getLogger(__name__)

#: Hosts that only this machine reaches.
LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
#: Addresses that stand for all of this machine.
WILDCARDS: Final = ("", "0.0.0.0", "::")
#: The parameter with the token, and the beginning of the cookie's name.
TOKEN: Final = "token"
_COOKIE: Final = "df2_token"
#: A token that is hard to guess and needs no quotes in addresses and headers.
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{16,200}")
#: Methods that change nothing.
_SAFE: Final = ("GET", "HEAD")
#: ``HOST``, ``HOST:PORT`` or ``[ADDRESS]:PORT``.
_HOST: Final = re.compile(r"(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::[0-9]{0,5})?")
#: Characters of a path; those of pages are short, and Python refuses to read numbers of thousands of digits.
_LONGEST_PATH: Final = 1_000
#: Bytes of a request beside its address and headers, which hold 64 KiB.
_LARGEST_BODY: Final = 1 << 20
#: Pages that may show the site in a frame: notebooks of this machine.
_NOTEBOOKS: Final = "'self' http://127.0.0.1:* http://localhost:*"
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors {frames}"
)
_NEEDS_TOKEN: Final = (
    "This server needs its token: open the address that df2 browse printed, or send it as "
    "'Authorization: Bearer TOKEN'."
)


@dataclass(frozen=True)
class Access:
    """Who may ask.

    Attributes:
        names: hosts, without port, that requests may name; other names are those of an attacker's site that resolves
            to this machine (DNS rebinding).
        token: that every request needs, as the parameter ``token`` once and then as a cookie; None for none.
        in_frames: whether notebooks of this machine may show the pages in a frame.
        any_number: whether requests may name any IP address, which no attacker's site has as its name.
    """

    names: frozenset[str]
    token: str | None = None
    in_frames: bool = False
    any_number: bool = False

    @classmethod
    def of(
        cls, host: str, more_names: Iterable[str] = (), *, token: str | None = None, in_frames: bool = False
    ) -> Access:
        """Return the access to a server on an address; one that others can reach always has a token.

        Args:
            host: address that the server listens on.
            more_names: hosts of a proxy in front of it, or names of this machine.
            token: to use; a new one by default.
            in_frames: see :class:`Access`.

        Raises:
            UsageError: a name is none, or the token is easy to guess.
        """
        names = tuple(name.lower().rstrip(".") for name in more_names)
        for name in names:
            if not name or (name != _host(name) and not _is_number(name.removeprefix("[").removesuffix("]"))):
                raise UsageError(f"Expected the name of a host without scheme and port, found {name[:80]!r}.")
        if token is not None and not _TOKEN.fullmatch(token):
            raise UsageError("The token needs 16 to 200 letters, digits, hyphens and underscores.")
        needs_token = host not in LOOPBACK or bool(names) or token is not None
        if needs_token:
            token = token or secrets.token_urlsafe(24)
            remember({TOKEN: token})  # no page, message or log shows it
        hosts = {*LOOPBACK, host.lower(), *(name.strip("[]") for name in names)} - {*WILDCARDS}
        return cls(frozenset(hosts), token, in_frames, host in WILDCARDS)

    def knows(self, host: str) -> bool:
        """Return whether requests may name a host."""
        return host in self.names or (self.any_number and _is_number(host))


class Guard:
    """ASGI middleware: refuses foreign hosts, origins and missing tokens, and limits the sources that a page may load.

    It also answers where a page fails in a way that nobody foresaw: the error goes to the log, not to the reader.

    Args:
        app: the application.
        access: who may ask.
        root_path: prefix that a proxy adds to all addresses, whether it removes it from requests or not.
    """

    def __init__(self, app: ASGIApp, access: Access, root_path: str = "") -> None:
        self._app = app
        self._access = access
        self._root_path = root_path
        digest = hashlib.sha256((access.token or "").encode()).hexdigest()[:8]
        # Servers on other ports of the host get the same cookies, under other names.
        self._cookie = f"{_COOKIE}_{digest}"
        frames = _NOTEBOOKS if access.in_frames else "'none'"
        self._headers = {
            "Content-Security-Policy": _POLICY.format(frames=frames),
            "X-Content-Type-Options": "nosniff",
            # Not no-referrer, with which browsers hide the origin of a form of these pages.
            "Referrer-Policy": "same-origin",
            "Cross-Origin-Resource-Policy": "same-origin",
            **({} if access.in_frames else {"X-Frame-Options": "DENY"}),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if self._root_path:
            path = scope["path"]
            is_whole = path == self._root_path or path.startswith(f"{self._root_path}/")
            path = path if is_whole else f"{self._root_path}{path}"
            scope = {**scope, "root_path": self._root_path, "path": path}
        has_begun = False

        async def send_with_headers(message: Message) -> None:
            nonlocal has_begun
            if message["type"] == "http.response.start":
                has_begun = True
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            refusal = self._refusal(scope)
            app = self._app if refusal is None else refusal
            await app(scope, receive, send_with_headers)
        except Exception as error:  # noqa: BLE001  # one page fails, not the server
            log_failure(scope["method"], scope["path"], error)
            if not has_begun:
                await PlainTextResponse(f"{FAILURE}\n", 500)(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> ASGIApp | None:
        """Return the answer to a request that is not passed on; None for a request that is."""
        headers = Headers(scope=scope)
        host = headers.get("host", "").lower()
        if len(headers.getlist("host")) != 1 or not self._access.knows(_host(host)):
            return PlainTextResponse(
                "This host name is not one of this server. Open the address that df2 browse printed; behind a proxy, "
                "name its host with --allow-host.\n",
                status_code=421,
            )
        if len(scope["path"]) > _LONGEST_PATH:
            return PlainTextResponse("The address is too long.\n", status_code=414)
        if _is_foreign(scope, headers, host):
            return PlainTextResponse("Only the pages of this server may ask this.\n", status_code=403)
        refusal = self._refusal_of_token(scope, headers) if self._access.token is not None else None
        if refusal is None and scope["method"] not in _SAFE:
            return _refusal_of_body(headers)
        return refusal

    def _refusal_of_token(self, scope: Scope, headers: Headers) -> ASGIApp | None:
        params = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        tokens = [value for name, value in params if name == TOKEN]
        if tokens and self._is_token(tokens[-1]):
            rest = urlencode([(name, value) for name, value in params if name != TOKEN])
            # One slash at the beginning: "//host" would lead to another host.
            path = quote("/" + scope["path"].lstrip("/"))
            response = RedirectResponse(f"{path}?{rest}" if rest else path, status_code=303)
            response.set_cookie(
                self._cookie, tokens[-1], httponly=True, samesite="strict", max_age=30 * 24 * 3600,
                path=self._root_path or "/", secure=headers.get("x-forwarded-proto") == "https",
            )  # fmt: skip
            response.headers["Cache-Control"] = "no-store"
            return response
        if self._is_token(HTTPConnection(scope).cookies.get(self._cookie, "")):
            return None
        if self._is_token(headers.get("authorization", "").removeprefix("Bearer ")):
            return None
        if headers.get("sec-fetch-site") == "cross-site" and headers.get("sec-fetch-mode") == "navigate":
            # A link on another site: the browser keeps the cookie back, and sends it when this page asks again.
            again = f'<!DOCTYPE html><meta http-equiv="refresh" content="0"><p>{_NEEDS_TOKEN}</p>\n'
            return HTMLResponse(again, 401, {"Cache-Control": "no-store"})
        return PlainTextResponse(f"{_NEEDS_TOKEN}\n", 401, {"Cache-Control": "no-store"})

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(errors="replace"), (self._access.token or "").encode())


#: The text of an error that nobody foresaw.
FAILURE: Final = "The server failed at this page. Its log says where; the other pages go on."


def log_failure(method: str, path: str, error: Exception) -> None:
    """Log an error that nobody foresaw, on standard error unless logging is set up, without secrets."""
    lines = "".join(traceback.format_exception(error))
    _LOG.error("%s %s failed:\n%s", printable(method), printable(redact(path[:200])), redact(lines).rstrip())


def _is_foreign(scope: Scope, headers: Headers, host: str) -> bool:
    """Return whether another site asks: by its script or form, or by an element of its page."""
    origin = headers.get("origin")
    if origin is None and scope["method"] not in _SAFE:
        return True
    if origin is not None and origin.lower() not in (f"http://{host}", f"https://{host}"):
        return True
    is_other = headers.get("sec-fetch-site") in ("cross-site", "same-site")
    return is_other and headers.get("sec-fetch-mode") != "navigate"


def _refusal_of_body(headers: Headers) -> ASGIApp | None:
    length = headers.get("content-length", "")
    if not re.fullmatch("[0-9]{1,12}", length):
        return PlainTextResponse("Say the length of the request (Content-Length).\n", status_code=411)
    if int(length) > _LARGEST_BODY:
        return PlainTextResponse(f"Expected a request of at most {_LARGEST_BODY:,} bytes.\n", status_code=413)
    return None


def _host(netloc: str) -> str:
    """Return the host of ``HOST:PORT`` in lower case; empty if there is none."""
    match = _HOST.fullmatch(netloc.lower())
    return (match[1] or match[2]).rstrip(".") if match else ""


def _is_number(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
