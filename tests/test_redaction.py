"""Secrets are redacted in texts, errors, log records and tracebacks."""

from __future__ import annotations

import base64
import json
import logging
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from typing import Any

import pytest

from registry import redaction
from registry.errors import RegistryError, StorageError
from registry.redaction import install, is_secret, printable, redact, remember, remember_url, without_user
from registry.sources.issues import Issue
from registry.storage.place import Place

MARKER = "s3cr3t-MARKER/+value"


@pytest.fixture(autouse=True)
def _forget_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start each test without remembered secrets."""
    monkeypatch.setattr(redaction, "_remembered", set())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("key", True), ("secret", True), ("token", True), ("password", True), ("account_key", True),
        ("sas_token", True),
        ("AWS_SECRET_ACCESS_KEY", True), ("X-Amz-Signature", True), ("sig", True), ("auth", True), ("passphrase", True),
        *[(name, True) for name in ("apikey", "api_key", "pwd", "pass", "conn_str", "cookies", "jwt", "bearer")],
        *[(name, True) for name in ("private_key", "client_secret", "accountKey", "apiKey", "SharedAccessKey")],
        *[(name, False) for name in ("compass", "bypass_cache", "keys", "passive", "assign", "design", "monkeys")],
        ("connection_string", True), ("Authorization", True), ("secretKey", True),
        ("endpoint_url", False), ("client_keys", False), ("region_name", False), ("anon", False), ("keepalive", False),
        ("monkey", False), ("username", False), ("signed", False), ("known_hosts", False),
    ],
)  # fmt: skip
def test_secret_options_are_recognised_by_name(name: str, expected: bool) -> None:
    assert is_secret(name) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("at webdav://ada:hunter2@host/x: no", "at webdav://ada:***@host/x: no"),
        ("clone https://hunter2@host/x.git", "clone https://***@host/x.git"),
        ("https://h/x?sig=abc%2F&v=1 and", "https://h/x?sig=***&v=1 and"),
        ("https://h/x?X-Amz-Credential=A&X-Amz-Signature=b'", "https://h/x?X-Amz-Credential=***&X-Amz-Signature=***'"),
        ("s3://bucket/key=1/a.parquet", "s3://bucket/key=1/a.parquet"),
        ("ssh://ada@host:22/x", "ssh://ada@host:22/x"),
        ("12:30 mail ada@host", "12:30 mail ada@host"),
        ("at webdav://ada:hun@ter2@host/x", "at webdav://ada:***@host/x"),
        ("at webdav://ada:hun/ter2@host/x", "at webdav://ada:***@host/x"),
        ("at webdav://ada:h@n/ter2@host/x", "at webdav://ada:***@host/x"),
        ("at webdav://ada:hun:ter2@host/x", "at webdav://ada:***@host/x"),
        ("at webdav://ada:a://b@host/x", "at webdav://ada:***@host/x"),
        ("at webdav://ada:hun%ter2@host/x", "at webdav://ada:***@host/x"),
        ("at webdav://ada:hun?ter2@host/x", "at webdav://ada:***@host/x"),
        ("at webdav://ada:hun#ter2@host:80/x", "at webdav://ada:***@host:80/x"),
        ("at 'webdav://ada:hun'ter2@host/x'", "at 'webdav://ada:***@host/x'"),
        ("https://ada:hunter2@[::1]:80/x", "https://ada:***@[::1]:80/x"),
        ("https://[::1]:80/x@y https://host:8080/pkg@1.2", "https://[::1]:80/x@y https://host:8080/pkg@1.2"),
        ("https://h/x?a=1;token=abc and", "https://h/x?a=1;token=*** and"),
        ("https://h/x?%74oken=abc", "https://h/x?%74oken=***"),
        ("https://h/x#access_token=abc&b=1", "https://h/x#access_token=***&b=1"),
        ("https://a:one@h,https://b:two@h; https://tok@h", "https://a:***@h,https://b:***@h; https://***@h"),
        ("simplecache::https://ada:hunter2@host/x", "simplecache::https://ada:***@host/x"),
        ("https://h/?next=https://ada:hunter2@h", "https://h/?next=https://ada:***@h"),
        ("git+https://hunter2@host/x.git", "git+https://***@host/x.git"),
        ("git@host:team/x.git ada:hunter2@host:x.git", "git@host:team/x.git ada:***@host:x.git"),
        ("abfs://container@account.dfs/x", "abfs://container@account.dfs/x"),
        ("AccountName=a;AccountKey=b/+==;Suffix=c", "AccountName=a;AccountKey=***;Suffix=c"),
        ("AccountKey=b/+==", "AccountKey=***"),
        ("{'Authorization': 'Bearer abc.def'}", "{'Authorization': 'Bearer ***'}"),
    ],
)
def test_secrets_in_urls_are_redacted(text: str, expected: str) -> None:
    assert redact(text) == expected


@pytest.mark.parametrize(
    "options",
    [
        {"secret": MARKER},
        {"auth": ("ada", MARKER)},
        {"auth": ["ada", MARKER]},
        {"client_kwargs": {"headers": {"Authorization": MARKER}}},
        {"credentials": {"anything": [MARKER]}},
    ],
)
def test_remembered_secrets_are_redacted_everywhere_in_a_text(options: dict[str, Any]) -> None:
    text = f"refused: {MARKER} and https://h/?x=s3cr3t-MARKER%2F%2Bvalue, not {MARKER}2"
    assert redact(text) == text
    remember(options)
    assert redact(text) == f"refused: *** and https://h/?x=***, not {MARKER}2"


def test_secrets_in_the_environment_are_redacted_but_not_credential_paths(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", MARKER)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/etc/google.json")
    monkeypatch.setenv("OTHER_TOKEN", "visible")
    assert redact(f"{MARKER} /etc/google.json visible") == "*** /etc/google.json visible"


def test_secrets_in_the_fsspec_configuration_are_redacted(monkeypatch: pytest.MonkeyPatch) -> None:
    import fsspec.config

    monkeypatch.setitem(fsspec.config.conf, "s3", {"secret": MARKER, "endpoint_url": "http://here"})
    assert redact(f"{MARKER} http://here") == "*** http://here"


def test_very_short_secrets_are_not_redacted() -> None:
    remember({"secret": "a"})
    assert redact("a banana") == "a banana"


KEY = "-----BEGIN PRIVATE KEY-----\nMIIEabcdefghijklmnop\nqrst/uvwxyzABCDEFGH==\n-----END PRIVATE KEY-----\n"


@pytest.mark.parametrize("quote", [str, repr, json.dumps, lambda key: repr(repr(key)), lambda key: json.dumps([key])])
def test_a_multiline_key_is_redacted_in_repr_and_json(quote: Callable[[str], str]) -> None:
    remember({"private_key": KEY})
    shown = redact(f"cannot use {quote(KEY)} here")
    assert "MIIE" not in shown
    assert "uvwxyz" not in shown
    assert shown.startswith("cannot use ")
    assert shown.endswith(" here")


@pytest.mark.parametrize(
    "options", [{"auth": ["ada", "hunter 2\xe9"]}, {"username": "ada", "password": "hunter 2\xe9"}]
)
def test_a_password_is_redacted_in_every_encoding(options: dict[str, Any]) -> None:
    remember(options)
    basic = base64.b64encode("ada:hunter 2\xe9".encode()).decode()
    for encoded in (
        "hunter 2\xe9", "hunter%202%C3%A9", "hunter%202%c3%a9", "hunter+2%C3%A9", "hunter 2\\u00e9", basic
    ):  # fmt: skip
        assert redact(f"<{encoded}>") == "<***>"


def test_the_password_of_a_url_is_redacted_outside_of_the_url() -> None:
    remember_url("webdav://ada:hun%2Fter2@host/x")
    assert redact("login as ada with hun/ter2 failed") == "login as ada with *** failed"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://ada:h@x@host:80/p@v1", "https://host:80/p@v1"),
        ("https://tok@host/p", "https://host/p"),
        ("ssh://git@host:22/p", "ssh://git@host:22/p"),
        ("ssh://git:hunter2@host/p", "ssh://git@host/p"),
        ("git@host:p", "git@host:p"),
        ("/folder/a@b", "/folder/a@b"),
    ],
)
def test_without_user_removes_credentials_and_keeps_host_and_path(url: str, expected: str) -> None:
    assert without_user(url) == expected


def test_control_characters_are_escaped() -> None:
    assert printable("a\x1b[31m\nb\t\x7f\x9b\u2028\u202e\udcff\xe9") == (
        "a\\x1b[31m\\nb\\t\\x7f\\x9b\\u2028\\u202e\\udcff\xe9"
    )
    assert str(RegistryError("No \x1b[2J.\n\tTry\r")) == "No \\x1b[2J.\n\tTry\\r"
    assert (
        str(Issue("train/\x1b]0;x\n.json", ("item1", "a\nb"), "no\r"))
        == "train/\\x1b]0;x\\n.json > item1 > a\\nb: no\\r"
    )


def test_errors_and_places_do_not_show_secrets() -> None:
    remember({"secret": MARKER})
    assert str(StorageError(f"with {MARKER}")) == "with ***"
    assert "hunter2" not in str(RegistryError("s3://a:hunter2@b"))
    with pytest.raises(StorageError) as caught:
        Place("nosuch://ada:hunter2@host/x", {"secret": MARKER})
    assert "hunter2" not in str(caught.value)
    assert str(Place("memory://ada:hunter2@x/y")) == "memory://ada:***@x/y"


def test_log_records_and_tracebacks_do_not_show_secrets(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    factory = logging.getLogRecordFactory()
    remember({"secret": MARKER})
    try:
        install()
        logging.getLogger("fsspec").warning("using %s", {"secret": MARKER})
        assert caplog.messages == ["using {'secret': '***'}"]
        try:
            raise ValueError(f"cannot sign with {MARKER}")
        except ValueError:
            sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
        shown = capsys.readouterr().err
        assert "ValueError: cannot sign with ***" in shown
        assert MARKER not in shown.replace('f"cannot sign with {MARKER}"', "")
    finally:
        logging.setLogRecordFactory(factory)


SCRIPT = """
import gc, logging, sys, threading, warnings
from registry.redaction import install, remember
secret = "-".join(["s3cr3t", "MARKER"])
remember({"secret": secret})
install()
logging.basicConfig(format="%(message)s %(args)s")
log = logging.getLogger("x")
def fail():
    raise ValueError("with " + secret)
class Broken:
    def __del__(self):
        fail()
    def __repr__(self):
        return secret
log.error("message of %s", secret, stack_info=True)
log.error("object %r", Broken)
log.error("does not fit %d %s", secret)
log.error(secret)
try:
    fail()
except ValueError as error:
    log.exception("exception")
    log.error("%s", error)
thread = threading.Thread(target=fail, name=secret)
thread.start()
thread.join()
broken = Broken()
del broken
gc.collect()
warnings.warn("warned of " + secret)
fail()
"""


def test_logging_warnings_and_uncaught_exceptions_do_not_show_secrets() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "MARKER" not in done.stderr
    for expected in (
        "message of ***", "does not fit", "Exception in thread ***:", "UserWarning: warned of ***",
        "ignored",
    ):  # fmt: skip
        assert expected in done.stderr
    assert done.stderr.count("ValueError: with ***") == 4


@pytest.mark.parametrize(
    "word",
    [
        "http://ada:hunter2secret@h/p",
        "http:/ada:hunter2secret@h/p",
        "//ada:hunter2secret@h/p",
        "@s3://ada:hunter2secret@h/p",
        "--params=https://ada:hunter2secret@h/p",
    ],
)
def test_passwords_in_mistyped_urls_on_the_command_line_are_redacted(word: str) -> None:
    redaction.remember_word(word)
    assert "hunter2secret" not in redaction.redact(f"No such file: {word}, nor hunter2secret.")


@pytest.mark.parametrize("word", ["a@b", "SELECT '/a@b'", "ada:hunter2other", "image/a:hunter2other@2x.png", "--a=b@c"])
def test_other_words_of_the_command_line_are_not_redacted(word: str) -> None:
    redaction.remember_word(word)
    assert redaction.redact("hunter2other") == "hunter2other"
