"""Secrets do not show: in texts, errors, log records and tracebacks."""

from __future__ import annotations

import logging
import sys
from typing import Any

import pytest

from registry import redaction
from registry.errors import RegistryError, StorageError
from registry.redaction import install, is_secret, redact, remember
from registry.storage import Place

MARKER = "s3cr3t-MARKER/+value"


@pytest.fixture(autouse=True)
def _nothing_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "_remembered", set())


@pytest.mark.parametrize(
    ("name", "is_it"),
    [
        ("key", True), ("secret", True), ("token", True), ("password", True), ("account_key", True),
        ("sas_token", True),
        ("AWS_SECRET_ACCESS_KEY", True), ("X-Amz-Signature", True), ("sig", True), ("auth", True), ("passphrase", True),
        ("connection_string", True), ("Authorization", True), ("secretKey", True),
        ("endpoint_url", False), ("client_keys", False), ("region_name", False), ("anon", False), ("keepalive", False),
        ("monkey", False), ("username", False), ("signed", False), ("known_hosts", False),
    ],
)  # fmt: skip
def test_secret_options_are_known_by_their_names(name: str, is_it: bool) -> None:
    assert is_secret(name) is is_it


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
    ],
)
def test_secrets_in_urls_are_hidden(text: str, expected: str) -> None:
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
def test_given_secrets_are_hidden_wherever_they_stand(options: dict[str, Any]) -> None:
    text = f"refused: {MARKER} and https://h/?x=s3cr3t-MARKER%2F%2Bvalue, not {MARKER}2"
    assert redact(text) == text
    remember(options)
    assert redact(text) == f"refused: *** and https://h/?x=***, not {MARKER}2"


def test_secrets_in_the_environment_are_hidden_and_paths_to_them_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", MARKER)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/etc/google.json")
    monkeypatch.setenv("OTHER_TOKEN", "visible")
    assert redact(f"{MARKER} /etc/google.json visible") == "*** /etc/google.json visible"


def test_secrets_in_fsspecs_configuration_are_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    import fsspec.config

    monkeypatch.setitem(fsspec.config.conf, "s3", {"secret": MARKER, "endpoint_url": "http://here"})
    assert redact(f"{MARKER} http://here") == "*** http://here"


def test_short_values_would_hide_everything_and_are_not_looked_for() -> None:
    remember({"secret": "a"})
    assert redact("a banana") == "a banana"


def test_errors_and_places_show_no_secret() -> None:
    remember({"secret": MARKER})
    assert str(StorageError(f"with {MARKER}")) == "with ***"
    assert "hunter2" not in str(RegistryError("s3://a:hunter2@b"))
    with pytest.raises(StorageError) as caught:
        Place("nosuch://ada:hunter2@host/x", {"secret": MARKER})
    assert "hunter2" not in str(caught.value)
    assert str(Place("memory://ada:hunter2@x/y")) == "memory://ada:***@x/y"


def test_log_records_and_tracebacks_show_no_secret(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
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
