"""Calls for other machines: the same results, and no secret in them."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from registry.errors import MissingDependencyError, PasswordError, UsageError
from registry.execution.packing import pack, run_packed, unpack
from registry.ingest.build import ingest
from registry.version import __version__
from tests.sources.packing import files_in, write_zipcrypto

SECRET = "marker-Geheimnis-7391"


def test_a_packed_secret_is_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    value = {"password": SECRET, "bytes": SECRET.encode(), "other": [1, "text"]}
    packed = pack(value, {SECRET: "DF2_ZIP_PASSWORD"})
    assert SECRET.encode() not in packed
    assert SECRET.encode() in pickle.dumps(value)
    monkeypatch.setenv("DF2_ZIP_PASSWORD", SECRET)
    assert unpack(packed) == value


@pytest.mark.parametrize(("there", "found"), [("", "has no"), ("Geheimnis-0", "has another")])
def test_an_environment_without_the_secret_is_refused(monkeypatch: pytest.MonkeyPatch, there: str, found: str) -> None:
    packed = pack([SECRET], {SECRET: "DF2_ZIP_PASSWORD"})
    monkeypatch.setenv("DF2_ZIP_PASSWORD", there)
    with pytest.raises(PasswordError, match=f"A worker {found} DF2_ZIP_PASSWORD in its environment"):
        unpack(packed)


def test_another_version_on_a_worker_is_refused() -> None:
    call = pack((len, ("abc",)), {})
    assert run_packed(__version__, call) == 3
    with pytest.raises(
        MissingDependencyError, match=r"The workers have deepfashion2-registry .*, and this machine has 9"
    ):
        run_packed("9.9.9", call)


def test_any_executor_ingests_a_protected_zip(
    small_source: Path, small_registry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_zipcrypto(tmp_path / "train.zip", files_in(small_source), SECRET)
    monkeypatch.setenv("DF2_ZIP_PASSWORD", SECRET)
    with ThreadPoolExecutor(2) as threads:
        ingest("train", str(source), str(tmp_path / "other"), password=SECRET, executor=threads)
    assert files_in(tmp_path / "other") == files_in(small_registry)


@pytest.mark.parametrize(
    ("url", "options", "message"),
    [
        (
            "s3://bucket/release",
            {"s3:key": "AKIA0", "secret": "x" * 20},
            "The storage options s3:key, secret are secret",
        ),
        (
            "https://ada:hunter2secret@example.org/release",
            {},
            r"https://ada:\*\*\*@example\.org/release holds a secret",
        ),
        ("memory://release", {}, "memory://release lies in the memory of this process"),
    ],
)
def test_no_secret_and_no_memory_goes_to_a_worker(
    url: str, options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with ThreadPoolExecutor(1) as threads, pytest.raises(UsageError, match=message):
        ingest("train", url, str(tmp_path / "r"), storage_options=options, executor=threads)
    assert not (tmp_path / "r").exists()
