"""Who may ask: the names under which the server is reached, the token, and what a page may load."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Hosts that only this machine reaches.
LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
#: The parameter and the cookie with the token.
TOKEN: Final = "token"
_COOKIE: Final = "df2_token"
#: Methods that change nothing.
_SAFE: Final = ("GET", "HEAD")
#: Pages that may show the site in a frame: notebooks of this machine.
_NOTEBOOKS: Final = "'self' http://127.0.0.1:* http://localhost:*"
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors {frames}"
)


@dataclass(frozen=True)
class Access:
    """Who may ask.

    Attributes:
        names: hosts, without port, that requests may name; other names are those of an attacker's site that resolves
            to this machine (DNS rebinding).
        token: that every request needs, as the parameter ``token`` once and then as a cookie; None for none.
        in_frames: whether notebooks of this machine may show the pages in a frame.
    """

    names: frozenset[str]
    token: str | None = None
    in_frames: bool = False

    @classmethod
    def of(
        cls, host: str, more_names: Iterable[str] = (), *, token: str | None = None, in_frames: bool = False
    ) -> Access:
        """Return the access to a server on an address; one that others can reach always has a token.

        Args:
            host: address that the server listens on.
            more_names: hosts of a proxy in front of it.
            token: to use; a new one by default.
            in_frames: see :class:`Access`.
        """
        is_local = host in LOOPBACK
        names = {*LOOPBACK, host.lower(), *(name.lower() for name in more_names)} - {"0.0.0.0", "::"}
        needs_token = not is_local or bool(tuple(more_names)) or token is not None
        return cls(frozenset(names), (token or secrets.token_urlsafe(24)) if needs_token else None, in_frames)


class Guard:
    """ASGI middleware: refuses foreign hosts, origins and missing tokens, and limits what a page may load."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access
        frames = _NOTEBOOKS if access.in_frames else "'none'"
        self._headers = {
            "Content-Security-Policy": _POLICY.format(frames=frames),
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "same-origin",
            **({} if access.in_frames else {"X-Frame-Options": "DENY"}),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = self._refusal(scope)
        app = self._app if refusal is None else refusal
        await app(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> ASGIApp | None:
        """Return the answer to a request that is not passed on; None for one that is."""
        headers = Headers(scope=scope)
        if _host(headers.get("host", "")) not in self._access.names or len(headers.getlist("host")) != 1:
            return PlainTextResponse(
                "This host name is not one of this server. Open the address that df2 browse printed; behind a proxy, "
                "name its host with --allow-host.\n",
                status_code=421,
            )
        origin = headers.get("origin")
        is_foreign = (
            origin is not None and _host(urlsplit(origin).netloc if "//" in origin else "") not in self._access.names
        )
        if is_foreign or (origin is None and scope["method"] not in _SAFE):
            return PlainTextResponse("Only the pages of this server may ask this.\n", status_code=403)
        return self._refusal_of_token(scope, headers) if self._access.token is not None else None

    def _refusal_of_token(self, scope: Scope, headers: Headers) -> ASGIApp | None:
        params = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        given = [value for name, value in params if name == TOKEN]
        if given and self._is_token(given[-1]):
            rest = urlencode([(name, value) for name, value in params if name != TOKEN])
            # One slash at the beginning: "//host" would lead to another host.
            path = "/" + (scope.get("root_path", "") + scope["path"]).lstrip("/")
            response = RedirectResponse(f"{path}?{rest}" if rest else path, status_code=303)
            response.set_cookie(_COOKIE, given[-1], httponly=True, samesite="strict", max_age=30 * 24 * 3600)
            response.headers["Cache-Control"] = "no-store"
            return response
        if self._is_token(_cookie(headers)) or self._is_token(headers.get("authorization", "").removeprefix("Bearer ")):
            return None
        return PlainTextResponse(
            "This server needs its token: open the address that df2 browse printed, or send it as "
            "'Authorization: Bearer TOKEN'.\n",
            status_code=401,
        )

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(errors="replace"), (self._access.token or "").encode())


def _host(netloc: str) -> str:
    """Return the host of ``HOST:PORT`` in lower case; empty if there is none."""
    try:
        parts = urlsplit(f"//{netloc}")
        _ = parts.port
        return "" if parts.username is not None or parts.path else (parts.hostname or "").rstrip(".")
    except ValueError:
        return ""


def _cookie(headers: Headers) -> str:
    cookies: SimpleCookie = SimpleCookie()
    try:
        cookies.load(headers.get("cookie", ""))
    except CookieError:
        return ""
    return cookies[_COOKIE].value if _COOKIE in cookies else ""
