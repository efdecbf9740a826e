"""Who may ask, and what nobody gets: foreign names and origins, tokens, paths, floods, secrets."""

from __future__ import annotations

import http.client
import logging
import random
import shutil
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

import registry
from registry import redaction
from registry.errors import UsageError
from registry.sources.photos import Photos
from registry.web import answers
from registry.web.app import create_app
from registry.web.security import Access
from registry.web.site import Settings, Site
from tests.web.requests import KINDS, random_request
from tests.web.serving import served

TOKEN = "a-token-of-24-characters"
#: Names that a page in the same browser can have while they lead to this machine.
FOREIGN = (
    "evil.example", "evil.example:8022", "127.0.0.1.evil.example", "localhost.evil.example", "127.0.0.1.nip.io",
    "0.0.0.0", "[::]", "2130706433", "0x7f000001", "127.1", "127.0.0.1@evil.example", "evil.example#127.0.0.1",
    "127.0.0.1/evil", "127.0.0.1:80:80", "127.0.0.1:port", "", " ", "[::1", "::1", "localhost\\evil",
)  # fmt: skip


@pytest.fixture
def app(sample_site: Site) -> Starlette:
    return create_app(sample_site, Access.of("127.0.0.1"))


@pytest.fixture
def client(app: Starlette) -> TestClient:
    return TestClient(app, base_url="http://127.0.0.1", follow_redirects=False)


@pytest.fixture
def locked(sample_site: Site) -> TestClient:
    """Return a client of a site that needs a token."""
    app = create_app(sample_site, Access.of("127.0.0.1", token=TOKEN))
    return TestClient(app, base_url="http://127.0.0.1", follow_redirects=False)


@pytest.fixture(scope="module")
def url(sample_site: Site) -> Iterator[str]:
    with served(sample_site) as address:
        yield address


def ask(url: str, request: bytes) -> bytes:
    """Return all that a server answers to the bytes of a request."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), 20) as connection:
        answer = b""
        try:
            connection.sendall(request)
            while chunk := connection.recv(1 << 16):
                answer += chunk
        except (ConnectionResetError, BrokenPipeError):  # it answered before it had read everything
            pass
        return answer


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8022", "localhost", "LOCALHOST:1", "localhost.", "[::1]:9"])
def test_the_names_of_this_machine_are_known(client: TestClient, host: str) -> None:
    assert client.get("/", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("host", FOREIGN)
def test_a_foreign_name_is_refused(client: TestClient, host: str) -> None:
    answer = client.get("/", headers={"host": host})
    assert answer.status_code == 421
    assert "evil" not in answer.text


def test_no_name_and_two_names_are_refused(url: str) -> None:
    for head in (b"GET / HTTP/1.0\r\n", b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\n"):
        assert ask(url, head + b"\r\n").split()[1] in (b"421", b"400")
    foreign_target = b"GET http://evil.example/ HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
    assert ask(url, foreign_target).split()[1] == b"404"


def test_a_proxy_is_known_by_the_name_that_the_command_gives() -> None:
    access = Access.of("127.0.0.1", ["Fashion.Example.", "[2001:db8::1]", "2001:db8::2"])
    assert access.token is not None
    for name in ("fashion.example", "2001:db8::1", "2001:db8::2"):
        assert access.knows(name)
    assert not access.knows("evil.example")
    for name in ("", "https://fashion.example", "fashion.example:443", "fashion.example/path", "a b"):
        with pytest.raises(UsageError, match="name of a host"):
            Access.of("127.0.0.1", [name])


def test_a_server_for_all_is_known_by_its_numbers_and_names_alone() -> None:
    for host in ("0.0.0.0", "::", ""):
        access = Access.of(host, ["box"])
        assert access.token is not None
        assert access.knows("192.0.2.7")
        assert access.knows("box")
        assert not access.knows("evil.example")
        assert not access.knows("")


ORIGINS = {
    "http://127.0.0.1": 405, "https://127.0.0.1": 405, "HTTP://127.0.0.1": 405,
    "http://127.0.0.1:8888": 403, "http://localhost": 403, "http://evil.example": 403, "null": 403, "": 403,
    "file://": 403, "http://127.0.0.1@evil.example": 403, "http://127.0.0.1.evil.example": 403, "http://[": 403,
    None: 403,
}  # fmt: skip


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"])
@pytest.mark.parametrize("origin", ORIGINS)
def test_only_the_own_pages_may_change_anything(client: TestClient, method: str, origin: str | None) -> None:
    headers = {} if origin is None else {"origin": origin}
    answer = client.request(method, "/", headers={**headers, "content-length": "0"})
    assert answer.status_code == ORIGINS[origin]
    assert "access-control-allow-origin" not in answer.headers


def test_another_site_gets_no_picture_or_script_and_may_only_link(client: TestClient) -> None:
    for site in ("cross-site", "same-site"):
        for mode, status in (("no-cors", 403), ("cors", 403), ("navigate", 200)):
            answer = client.get("/", headers={"sec-fetch-site": site, "sec-fetch-mode": mode})
            assert answer.status_code == status
    for site in ("same-origin", "none"):
        assert client.get("/", headers={"sec-fetch-site": site, "sec-fetch-mode": "no-cors"}).status_code == 200
    assert client.get("/", headers={"origin": "http://evil.example"}).status_code == 403


def test_a_body_is_short_and_says_its_length(client: TestClient) -> None:
    own = {"origin": "http://127.0.0.1"}
    assert client.post("/", headers=own, content=b"x" * (1 << 20)).status_code == 405
    assert client.post("/", headers=own, content=b"x" * (1 << 20) + b"x").status_code == 413
    assert client.post("/", headers=own, content=iter([b"x"])).status_code == 411


def test_without_the_token_nothing_is_answered(locked: TestClient) -> None:
    for path in (
        "/",
        "/static/site.css",
        "/nowhere",
        f"/?token={TOKEN}x",
        "/?token=",
        "/?token=%ff%00",
        "/?token=\u00e4",
    ):
        answer = locked.get(path)
        assert answer.status_code == 401
        assert answer.headers["cache-control"] == "no-store"
    for value in ("", "Bearer", "Bearer ", f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}", "Bearer \u00e4".encode("latin-1")):
        assert locked.get("/", headers={"authorization": value}).status_code == 401
    assert locked.get("/", headers={"cookie": f"df2_token={TOKEN}"}).status_code == 401
    assert locked.get("/", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200


def test_the_token_leaves_the_address_for_a_cookie(locked: TestClient) -> None:
    answer = locked.get(f"/?token={TOKEN}&category=skirt&token={TOKEN}")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/?category=skirt"
    assert answer.headers["cache-control"] == "no-store"
    cookie = answer.headers["set-cookie"].lower()
    assert {"httponly", "samesite=strict", "path=/"} <= {part.strip() for part in cookie.split(";")}
    assert "secure" not in cookie
    page = locked.get("/?category=skirt")  # with the cookie
    assert page.status_code == 200
    assert TOKEN not in page.text
    behind = locked.get(f"/?token={TOKEN}", headers={"x-forwarded-proto": "https"})
    assert "secure" in behind.headers["set-cookie"].lower()


def test_servers_on_ports_of_one_host_have_cookies_of_their_own(sample_site: Site) -> None:
    names = set()
    for token in (TOKEN, f"{TOKEN}-2"):
        client = TestClient(create_app(sample_site, Access.of("::1", token=token)), base_url="http://127.0.0.1")
        answer = client.get(f"/?token={token}", follow_redirects=False)
        names.add(answer.headers["set-cookie"].partition("=")[0])
    assert len(names) == 2


def test_a_link_on_another_site_leads_back_with_the_cookie(locked: TestClient) -> None:
    answer = locked.get("/", headers={"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"})
    assert answer.status_code == 401
    assert '<meta http-equiv="refresh" content="0">' in answer.text
    again = locked.get("/", headers={"sec-fetch-site": "same-origin", "sec-fetch-mode": "navigate"})
    assert "refresh" not in again.text


@pytest.mark.parametrize(
    "path",
    ["//evil.example", "///evil.example/", "/\\evil.example", "/%5Cevil.example", "/%2F/evil.example",
     "/%09/evil.example", "/%0d%0aSet-Cookie:x=y", "/http://evil.example", "/%3F", "/@evil.example"],
)  # fmt: skip
def test_no_address_leads_to_another_host(locked: TestClient, path: str) -> None:
    # Written by hand: the client would clean the address.
    scope_path = path.encode()
    request = locked.build_request("GET", "http://127.0.0.1/")
    request.url = request.url.copy_with(raw_path=scope_path + f"?token={TOKEN}".encode())
    answer = locked.send(request)
    assert answer.status_code == 303
    location = answer.headers["location"]
    assert location.startswith("/")
    assert not location.startswith(("//", "/\\"))
    assert urlsplit(location).netloc == ""
    assert "x=y" not in answer.headers.get("set-cookie", "")


def test_tokens_that_can_be_guessed_are_refused() -> None:
    for token in ("short", "x" * 15, "a b c d e f g h i j", "ä" * 20, "x" * 201, "semi;colon-semi;colon"):
        with pytest.raises(UsageError, match="16 to 200"):
            Access.of("127.0.0.1", token=token)
    first, second = (Access.of("0.0.0.0").token for _ in range(2))
    assert first != second
    assert len(first or "") >= 32


TRAVERSALS = (
    "/static/../../../../../../etc/passwd", "/static/..%2f..%2f..%2fanswers.py", "/static/%2e%2e/app.py",
    "/static/....//app.py", "/static/", "/static", "/static/htmx.LICENSE.txt%00.css", "/static/..%5capp.py",
    "/static//etc/passwd", "/static/%c0%ae%c0%ae/app.py", "/static/site.css/..",
)  # fmt: skip


def test_no_address_leads_to_another_file(client: TestClient) -> None:
    for path in TRAVERSALS:
        request = client.build_request("GET", "http://127.0.0.1/")
        request.url = request.url.copy_with(raw_path=path.encode())
        answer = client.send(request)
        assert answer.status_code == 404, path
        assert "root:" not in answer.text
        assert "import" not in answer.text


def test_every_answer_says_what_a_page_may_load(client: TestClient, locked: TestClient) -> None:
    etag = client.get("/").headers["etag"]
    cases = {
        200: client.get("/"),
        304: client.get("/", headers={"if-none-match": f'"other", W/{etag}'}),
        400: client.get("/?category=hat"),
        401: locked.get("/"),
        403: client.post("/"),
        404: client.get("/nowhere"),
        405: client.post("/", headers={"origin": "http://127.0.0.1"}, content=b""),
        421: client.get("/", headers={"host": "evil.example"}),
    }
    cases |= {206: client.get("/static/site.css"), 207: client.head("/"), 208: client.get("/?format=json")}
    for status, answer in cases.items():
        assert answer.status_code == (200 if status in (206, 207, 208) else status)
        policy = answer.headers["content-security-policy"]
        assert "script-src 'self';" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"


def test_frames_are_for_notebooks_of_this_machine(sample_site: Site) -> None:
    client = TestClient(create_app(sample_site, Access.of("127.0.0.1", in_frames=True)), base_url="http://127.0.0.1")
    headers = client.get("/").headers
    assert "frame-ancestors 'self' http://127.0.0.1:* http://localhost:*" in headers["content-security-policy"]
    assert "x-frame-options" not in headers


@pytest.mark.parametrize("strips", [True, False])
def test_behind_a_prefix_all_addresses_have_it(sample_registry: Path, strips: bool) -> None:
    site = Site(registry.open(str(sample_registry)), Settings(root_path="/fashion"))
    client = TestClient(create_app(site, Access.of("127.0.0.1", token=TOKEN)), base_url="http://127.0.0.1")
    prefix = "" if strips else "/fashion"
    answer = client.get(f"{prefix}/?token={TOKEN}&category=skirt", follow_redirects=False)
    assert answer.headers["location"] == "/fashion/?category=skirt"
    assert "path=/fashion" in answer.headers["set-cookie"].lower()
    page = client.get(f"{prefix}/", headers={"authorization": f"Bearer {TOKEN}"})
    assert page.status_code == 200
    assert '<a href="/fashion/" aria-current="page">' in page.text
    style = client.get(f"{prefix}/static/site.css", headers={"authorization": f"Bearer {TOKEN}"})
    assert style.status_code == 200


def test_an_error_that_nobody_foresaw_is_in_the_log_and_not_in_the_answer(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    redaction.remember({"secret": "hunter2-hunter2"})

    def fail(*_: Any) -> None:
        raise ZeroDivisionError("with hunter2-hunter2 in it")

    monkeypatch.setattr(Site, "state", fail)
    for path, kind in (("/", "text/html"), ("/?format=json", "application/json")):
        caplog.clear()
        answer = client.get(path)
        assert answer.status_code == 500
        assert answer.headers["content-type"].startswith(kind)
        assert "content-security-policy" in answer.headers
        assert answer.headers["cache-control"] == "no-store"
        assert "ZeroDivisionError" not in answer.text
        assert "Traceback" in caplog.text
        assert "ZeroDivisionError: with ***" in caplog.text
        assert "hunter2" not in caplog.text
    monkeypatch.setattr(answers, "accepted", lambda _: 1 / 0)
    monkeypatch.setattr(answers, "_written", fail)  # even the page of the error fails
    answer = client.get("/")
    assert (answer.status_code, answer.headers["content-type"]) == (500, "text/plain; charset=utf-8")
    assert "content-security-policy" in answer.headers
    monkeypatch.undo()
    assert client.get("/").status_code == 200


def test_a_registry_that_is_gone_is_told_and_comes_back(sample_registry: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(sample_registry, tmp_path / "registry")
    app = create_app(Site(registry.open(str(folder)), Settings()), Access.of("127.0.0.1"))
    client = TestClient(app, base_url="http://127.0.0.1")
    assert client.get("/").status_code == 200
    folder.rename(tmp_path / "away")
    answer = client.get("/?category=skirt")
    assert answer.status_code in (404, 503)
    assert str(folder) in answer.text
    (tmp_path / "away").rename(folder)
    assert client.get("/?category=skirt").status_code == 200


def test_floods_of_headers_and_parameters_are_refused_in_time(url: str, client: TestClient) -> None:
    head = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
    assert ask(url, head + b"X: y\r\n" * 20_000 + b"\r\n").split()[1] in (b"200", b"400")
    assert ask(url, head + b"X: " + b"y" * (1 << 20) + b"\r\n\r\n").split()[1] == b"400"
    assert ask(url, b"GET /?" + b"a" * (1 << 20) + head[5:] + b"\r\n").split()[1] == b"400"
    assert ask(url, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500)).split()[1] == b"400"
    many = "&".join(f"p{number}=1" for number in range(5000))
    for query in (many, "&".join(["category=skirt"] * 4000), "category=" + "x" * 60_000):
        assert client.get(f"/?{query}").status_code == 400
    ranges = "+".join(str(2 * number) for number in range(10_000))
    assert client.get(f"/?style={ranges}").status_code == 400
    assert client.get(f"/?pair_id={ranges.replace('+', ',')}").status_code == 400
    assert client.get(f"/?style={'+'.join(ranges.split('+')[:300])}").status_code == 200
    assert client.get("/?where=" + "(" * 50_000).status_code == 400
    assert ask(url, head + b"\r\n").split()[1] == b"200"


def test_secrets_of_places_and_options_are_in_no_answer(
    sample_registry: Path, sample_release: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "environment-secret")
    options = {"secret": "option-secret-1", "client_kwargs": {"token": "option-secret-2"}}
    opened = registry.open(str(sample_registry), options)
    photos = Photos("https://ada:password-of-ada@photos.invalid/release", "password-of-zip", {"key": "option-secret-3"})
    site = Site(opened, Settings(photos=photos))
    app = create_app(site, Access.of("127.0.0.1", token=TOKEN))
    client = TestClient(app, base_url="http://127.0.0.1", headers={"authorization": f"Bearer {TOKEN}"})
    secrets = ("environment-secret", "option-secret-1", "option-secret-2", "option-secret-3", "password-of-ada")
    secrets += ("password-of-zip", TOKEN)
    rng = random.Random(15)
    with caplog.at_level(logging.DEBUG):
        for _ in range(60):
            method, path, headers = random_request(rng)
            text = client.request(method, path, headers=headers).text
            assert not [secret for secret in secrets if secret in text]
    assert not [secret for secret in secrets if secret in caplog.text]


def test_the_requests_that_are_tried_are_of_all_kinds() -> None:
    assert len(KINDS) >= 5


def test_no_random_request_makes_the_server_fail(app: Starlette, caplog: pytest.LogCaptureFixture) -> None:
    client = TestClient(app, base_url="http://127.0.0.1", follow_redirects=False)
    rng = random.Random(0)
    for _ in range(300):
        method, path, headers = random_request(rng)
        answer = client.request(method, path, headers=headers)
        assert answer.status_code < 500, (method, path, caplog.text)
        assert "root:x:" not in answer.text
    assert client.get("/").status_code == 200


@pytest.mark.parametrize("digits", [900, 4_301, 50_000])
def test_a_number_of_thousands_of_digits_is_no_failure(client: TestClient, digits: int) -> None:
    for path in ("/image/train/{}", "/thumbnail/train/{}.jpg", "/pair/train/{}", "/identity/train/1/{}"):
        assert client.get(path.format("1" * digits)).status_code in (400, 404, 414)


def test_a_half_sent_form_is_refused_in_time(app: Starlette, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("registry.web.forms._SECONDS", 0.3)
    with served(app.state.site) as address:
        place = urlsplit(address)
        with socket.create_connection((place.hostname, place.port)) as half:
            half.sendall(
                b"POST /checks/orphan-identity HTTP/1.1\r\nHost: " + place.netloc.encode() + b"\r\n"
                b"Origin: " + address.encode() + b"\r\nContent-Type: application/x-www-form-urlencoded\r\n"
                b"Content-Length: 100\r\n\r\nwhy="
            )
            half.settimeout(30)
            assert half.recv(100).startswith(b"HTTP/1.1 408 ")


def test_half_sent_requests_keep_nobody_out(app: Starlette, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("registry.web.protocol.HEAD_SECONDS", 0.3)
    with served(app.state.site) as address:
        place = urlsplit(address)
        with (
            socket.create_connection((place.hostname, place.port)) as half,
            closing(http.client.HTTPConnection(place.netloc)) as other,
        ):
            half.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX:")
            half.settimeout(30)
            assert half.recv(100) == b""  # closed, without an answer
            for _ in range(2):  # on one connection
                other.request("GET", "/static/site.css")
                assert other.getresponse().read()
