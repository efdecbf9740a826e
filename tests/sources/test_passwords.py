"""Protected zips: both kinds open with the password, and the password appears in no output."""

from __future__ import annotations

import logging
import os
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from registry.errors import MissingDependencyError, PasswordError, SourceError
from registry.ingest.build import ingest
from registry.ingest.fingerprint import fingerprint_source
from tests.forks import Forks
from tests.helpers import SMALL_SPLIT, jpeg, notices_of, write_split
from tests.sources.ingesting import open_source
from tests.sources.packing import files_in, write_zip, write_zipcrypto

SECRET = "marker-Geheimnis-7391"
SET_IT = "set DF2_ZIP_PASSWORD to the password from the dataset's authors."


@pytest.fixture
def members(tmp_path: Path) -> dict[str, bytes]:
    folder = write_split(tmp_path / "plain" / "train", SMALL_SPLIT, {k: jpeg() for k in SMALL_SPLIT})
    return {f"train/{name}": data for name, data in files_in(folder).items()}


@pytest.fixture(params=["ZipCrypto", "AES"])
def protected(request: pytest.FixtureRequest, members: dict[str, bytes], tmp_path: Path) -> Path:
    """Return a protected zip of either kind."""
    if request.param == "AES":
        return write_zip(tmp_path / "train.zip", members, aes=SECRET)
    return write_zipcrypto(tmp_path / "train.zip", members, SECRET)


def test_the_test_archives_are_encrypted_as_intended(members: dict[str, bytes], tmp_path: Path) -> None:
    with zipfile.ZipFile(write_zipcrypto(tmp_path / "a.zip", members, SECRET)) as archive:
        assert {name: archive.read(name, SECRET.encode()) for name in archive.namelist()} == members
    with zipfile.ZipFile(write_zip(tmp_path / "b.zip", members, aes=SECRET)) as archive:
        assert {info.compress_type for info in archive.infolist()} == {99}


def test_a_protected_zip_gives_the_same_registry_as_the_folder(protected: Path, tmp_path: Path) -> None:
    ingest("train", str(tmp_path / "plain"), str(tmp_path / "a"))
    ingest("train", str(protected), str(tmp_path / "b"), password=SECRET)
    assert files_in(tmp_path / "b") == files_in(tmp_path / "a")


def test_a_missing_password_is_an_error_with_the_remedy(protected: Path, tmp_path: Path) -> None:
    with pytest.raises(PasswordError) as caught:
        ingest("train", str(protected), str(tmp_path / "r"))
    assert str(caught.value) == f"{protected} is protected: {SET_IT}"
    assert caught.value.exit_code == 3
    assert not (tmp_path / "r").exists()


# ZipCrypto's own check lets 1 wrong password of 256 through; of 600, two or three get to the content's CRC.
@pytest.mark.parametrize("wrong", [["wrong"], [f"{SECRET}{k}" for k in range(600)]], ids=["one", "many"])
def test_a_wrong_password_is_a_clear_error(wrong: list[str], protected: Path) -> None:
    if len(wrong) > 1 and b"AE" in protected.read_bytes()[:200]:
        wrong = wrong[:20]  # each costs a thousand hashes
    for password in wrong:
        with pytest.raises(PasswordError) as caught:
            open_source(str(protected), "train", password=password)
        assert str(caught.value) == (
            f"The password in DF2_ZIP_PASSWORD does not open {protected} "
            "(or the archive is damaged at train/annos/000001.json)."
        )


def test_a_member_with_another_password_is_an_issue(members: dict[str, bytes], tmp_path: Path) -> None:
    mixed = write_zip(tmp_path / "train.zip", members, aes=SECRET)
    import pyzipper

    with pyzipper.AESZipFile(mixed, "a", compression=pyzipper.ZIP_DEFLATED, encryption=pyzipper.WZ_AES) as archive:
        archive.setpassword(b"another")
        archive.writestr("train/annos/000099.json", b"{}")
        archive.writestr("train/image/000099.jpg", jpeg())
    report = ingest("train", str(mixed), str(tmp_path / "r"), password=SECRET, on_error="quarantine")
    assert [str(issue) for issue in report.issues] == [
        "train/annos/000099.json: cannot be read: the archive's password does not open it"
    ]
    assert report.images == len(SMALL_SPLIT)


def test_the_password_is_tried_only_on_protected_members(members: dict[str, bytes], tmp_path: Path) -> None:
    plain = write_zip(tmp_path / "train.zip", members)
    assert ingest("train", str(plain), str(tmp_path / "r"), password="not needed").images == len(SMALL_SPLIT)


def test_aes_without_pyzipper_is_an_error_with_the_remedy(
    members: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    protected = write_zip(tmp_path / "train.zip", members, aes=SECRET)
    monkeypatch.setitem(sys.modules, "pyzipper", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'deepfashion2-registry\[zip\]'"):
        open_source(str(protected), "train", password=SECRET)


def test_zipcrypto_needs_no_package(members: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    protected = write_zipcrypto(tmp_path / "train.zip", members, SECRET)
    monkeypatch.setitem(sys.modules, "fast_zip_decryption", None)
    monkeypatch.setitem(sys.modules, "pyzipper", None)
    assert ingest("train", str(protected), str(tmp_path / "r"), password=SECRET).images == len(SMALL_SPLIT)


def test_lists_in_a_protected_zip_are_read_with_the_password(
    protected: Path, members: dict[str, bytes], tmp_path: Path
) -> None:
    lists = write_zipcrypto(tmp_path / "json_for_train.zip", {"query.txt": b"000001.jpg\n"}, SECRET)
    with pytest.raises(PasswordError, match=r"json_for_train\.zip is protected"):
        ingest("train", str(tmp_path / "plain"), str(tmp_path / "r"), retrieval=[str(lists)])
    report = ingest("train", str(protected), str(tmp_path / "r"), retrieval=[str(lists)], password=SECRET)
    assert (report.bad_files, notices_of(report)) == ([], [])


def _damaged(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 255
    path.write_bytes(data)


def _untouched(path: Path) -> None:
    pass


@pytest.fixture(scope="module")
def developing() -> Iterator[Forks]:
    """Yield forks that show all warnings."""
    with Forks("tests.cli.forked", os.environ | {"PYTHONWARNINGS": "default", "PYTHONDEVMODE": "1"}) as forks:
        yield forks


@pytest.mark.parametrize("change", [_untouched, _damaged])
@pytest.mark.parametrize("password", [SECRET, f"{SECRET}-wrong"])
def test_the_password_is_in_no_output_and_no_file(
    change: Callable[[Path], None], password: str, protected: Path, developing: Forks, tmp_path: Path
) -> None:
    change(protected)
    outputs = b""
    for command in (
        ["ingest", str(protected), str(tmp_path / "r"), "--split", "train"],
        ["ingest", str(protected), str(tmp_path / "r"), "--split", "train", "--on-error", "quarantine"],
        ["fingerprint", str(protected), "--split", "train", "-o", str(tmp_path / "seen.json")],
    ):
        output = tmp_path / "output"
        status = developing.call("df2", command, {"DF2_ZIP_PASSWORD": password}, output=output, folder=tmp_path)
        shown = output.read_bytes()
        output.unlink()
        assert os.waitstatus_to_exitcode(status) in (0, 3), shown
        assert b"Traceback" not in shown
        outputs += shown
    assert outputs
    assert SECRET.encode() not in outputs
    written = files_in(tmp_path)
    assert len(written) > len(SMALL_SPLIT)
    assert [name for name, data in written.items() if SECRET.encode() in data] == []


def test_the_password_is_in_no_representation_no_log_and_no_chained_error(
    protected: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    source = open_source(str(protected), "train", password=SECRET)
    assert SECRET not in repr(source)
    assert SECRET not in fingerprint_source(str(protected), "train", password=SECRET)
    with pytest.raises(SourceError) as caught:
        open_source(str(protected), "train", password=SECRET[:-1])
    error: BaseException | None = caught.value
    while error is not None:
        assert SECRET[:-1] not in str(error)
        error = error.__cause__ or error.__context__
    assert SECRET[:-1] not in caplog.text
