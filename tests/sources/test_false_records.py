"""Archives whose records contain false sizes, offsets and names: clear errors or issues, no crash and no hang."""

from __future__ import annotations

import io
import struct
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from registry.errors import AnnotationError, RegistryError
from registry.ingest.build import ingest
from tests.helpers import annotation, to_bytes
from tests.sources.packing import write_zip

SOUND = to_bytes(annotation())


def _end_record(data: bytes, **changes: int) -> bytes:
    """Return a zip with other values in its end record."""
    at = data.rindex(b"PK\x05\x06")
    fields = ["disk", "start", "here", "entries", "size", "offset", "comment"]
    values = dict(zip(fields, struct.unpack_from("<HHHHIIH", data, at + 4), strict=True)) | changes
    return data[: at + 4] + struct.pack("<HHHHIIH", *values.values()) + data[at + 22 :]


def _zip64(data: bytes, size: int, offset: int) -> bytes:
    """Return a zip with a zip64 end record."""
    at = data.rindex(b"PK\x05\x06")
    record = b"PK\x06\x06" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, 1, 1, size, offset)
    locator = b"PK\x06\x07" + struct.pack("<IQI", 0, at, 1)
    return data[:at] + record + locator + _end_record(data[at:], size=2**32 - 1, offset=2**32 - 1)


def _central(data: bytes, at: int, code: str, value: int) -> bytes:
    """Return a zip with another value in its first central header."""
    at += data.index(b"PK\x01\x02")
    return data[:at] + struct.pack(code, value) + data[at + struct.calcsize(code) :]


ZIPS: dict[str, Callable[[bytes], bytes]] = {
    "directory of 4 GB": lambda data: _end_record(data, size=2**32 - 2),
    "offset of 4 GB": lambda data: _end_record(data, offset=2**32 - 2),
    "65535 entries": lambda data: _end_record(data, entries=65535),
    "comment": lambda data: _end_record(data, comment=999),
    "directory of 2^40": lambda data: _zip64(data, 2**40, 0),
    "directory of 2^63": lambda data: _zip64(data, 2**63, 0),
    "offset of 2^63": lambda data: _zip64(data, 64, 2**63),
    "offset of 2^64 - 1": lambda data: _zip64(data, 64, 2**64 - 1),
    "packed size": lambda data: _central(data, 20, "<I", 2**32 - 2),
    "size": lambda data: _central(data, 24, "<I", 2**32 - 2),
    "header offset": lambda data: _central(data, 42, "<I", 2**32 - 2),
    "method 1": lambda data: _central(data, 10, "<H", 1),
    "method 93": lambda data: _central(data, 10, "<H", 93),
    "method 99": lambda data: _central(data, 10, "<H", 99),
    "LZMA": lambda data: _central(data, 10, "<H", 14),
    "bzip2": lambda data: _central(data, 10, "<H", 12),
    "encrypted": lambda data: _central(data, 8, "<H", 1),
    "strongly encrypted": lambda data: _central(data, 8, "<H", 0x41),
    "patch data": lambda data: _central(data, 8, "<H", 0x20),
    "name not UTF-8": lambda data: _central(data.replace(b"000001.json", b"00\xff001.json"), 8, "<H", 0x800),
    "name of 64 KB": lambda data: _central(data, 28, "<H", 65535),
    "extra field of 64 KB": lambda data: _central(data, 30, "<H", 65535),
}


@pytest.mark.parametrize("on_error", ["fail", "quarantine"])
@pytest.mark.parametrize("name", ZIPS)
def test_a_zip_with_false_records_is_a_clear_error_or_issue(name: str, on_error: str, tmp_path: Path) -> None:
    path = write_zip(tmp_path / "train.zip", {f"train/annos/{k:06d}.json": SOUND for k in (1, 2)})
    path.write_bytes(ZIPS[name](path.read_bytes()))
    try:
        report = ingest("train", str(path), str(tmp_path / "r"), jobs=1, on_error=on_error)  # type: ignore[arg-type]
        assert report.images + len(report.bad_files) == 2 or name == "65535 entries"
    except RegistryError as error:
        assert "\n" not in str(error) or isinstance(error, AnnotationError)


def _tar(size_field: bytes = b"", pax: dict[str, str] | None = None, kind: bytes = tarfile.REGTYPE) -> bytes:
    """Return a tar whose second member has another size field, PAX headers or type."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for number in (1, 2):
            info = tarfile.TarInfo(f"train/annos/{number:06d}.json")
            info.size, info.type = len(SOUND), kind if number == 2 else tarfile.REGTYPE
            if number == 2:
                info.pax_headers = pax or {}
            archive.addfile(info, io.BytesIO(SOUND))
    data = bytearray(out.getvalue())
    if size_field:
        at = data.rindex(b"train/annos/000002.json")
        data[at + 124 : at + 136] = size_field.ljust(12, b"\0")
        header = data[at : at + 512]
        header[148:156] = b" " * 8
        data[at + 148 : at + 156] = f"{sum(header):06o}\0 ".encode()
    return bytes(data)


TARS = {
    "size of 2^70": _tar(b"\x80" + (2**70).to_bytes(11)),
    "negative size": _tar(b"\xff" + (2**88 - 512).to_bytes(11)),
    "size of 2^40": _tar(b"\x80" + (2**40).to_bytes(11)),
    "size that is no number": _tar(b"99999999999"),
    "PAX size of 2^70": _tar(pax={"size": str(2**70)}),
    "negative PAX size": _tar(pax={"size": "-512"}),
    "PAX size that is no number": _tar(pax={"size": "x"}),
    "long name of 2^40": _tar(b"\x80" + (2**40).to_bytes(11), kind=tarfile.GNUTYPE_LONGNAME),
    "PAX header of 2^40": _tar(b"\x80" + (2**40).to_bytes(11), kind=tarfile.XHDTYPE),
    "sparse": _tar(kind=tarfile.GNUTYPE_SPARSE),
    "PAX sparse": _tar(pax={"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "9" * 30}),
    "headers in headers": _tar() [:1024] + _tar(b"0", kind=tarfile.XHDTYPE)[1024:1536] * 3000,
}  # fmt: skip


@pytest.mark.parametrize("on_error", ["fail", "quarantine"])
@pytest.mark.parametrize("kind", [".tar", ".tar.gz"])
@pytest.mark.parametrize("name", TARS)
def test_a_tar_with_false_headers_is_a_clear_error_or_issue(
    name: str, kind: str, on_error: str, tmp_path: Path
) -> None:
    path = tmp_path / f"train{kind}"
    path.write_bytes(TARS[name] if kind == ".tar" else zlib.compress(TARS[name], wbits=31))
    with pytest.raises(RegistryError) as caught:
        report = ingest("train", str(path), str(tmp_path / "r"), jobs=1, on_error=on_error)  # type: ignore[arg-type]
        raise AnnotationError("\n".join(map(str, report.issues)))
    assert caught.value.args[0]
