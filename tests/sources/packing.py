"""Archives of a split, as people have them: zip (plain, ZipCrypto, AES-256), tar, tar.gz."""

from __future__ import annotations

import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path


def files_in(folder: Path) -> dict[str, bytes]:
    """Return path -> bytes of all files below a folder, sorted."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def write_zip(path: Path, members: Mapping[str, bytes], *, aes: str | None = None) -> Path:
    """Write a zip archive, with AES-256 if a password is given."""
    if aes is None:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in members.items():
                archive.writestr(zipfile.ZipInfo(name, (2019, 5, 1, 12, 0, 0)), data, zipfile.ZIP_DEFLATED)
        return path
    import pyzipper

    with pyzipper.AESZipFile(path, "w", compression=pyzipper.ZIP_DEFLATED, encryption=pyzipper.WZ_AES) as protected:
        protected.setpassword(aes.encode())
        for name, data in members.items():
            protected.writestr(name, data)
    return path


def write_tar(path: Path, members: Mapping[str, bytes], extra: Iterable[tarfile.TarInfo] = ()) -> Path:
    """Write a tar archive, compressed if its name says so; ``extra`` are members without content."""
    kinds = {".bz2": "bz2", ".tbz2": "bz2", ".xz": "xz", ".txz": "xz"}
    mode = "" if path.suffix.lower() == ".tar" else kinds.get(path.suffix.lower(), "gz")
    with tarfile.open(path, f"w:{mode}") as archive:  # type: ignore[call-overload]
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for info in extra:
            archive.addfile(info)
    return path


def _zipcrypto(data: bytes, password: bytes, check: int) -> bytes:
    """Encrypt with PKWARE's traditional cipher (APPNOTE 6.1), behind a header of 12 bytes."""
    table = [0] * 256
    for index in range(256):
        value = index
        for _ in range(8):
            value = (value >> 1) ^ (0xEDB88320 if value & 1 else 0)
        table[index] = value
    keys = [0x12345678, 0x23456789, 0x34567890]

    def update(byte: int) -> None:
        keys[0] = (keys[0] >> 8) ^ table[(keys[0] ^ byte) & 0xFF]
        keys[1] = ((keys[1] + (keys[0] & 0xFF)) * 134775813 + 1) & 0xFFFFFFFF
        keys[2] = (keys[2] >> 8) ^ table[(keys[2] ^ (keys[1] >> 24)) & 0xFF]

    for byte in password:
        update(byte)
    out = bytearray()
    for byte in b"eleven byte" + bytes([check]) + data:
        word = keys[2] | 2
        out.append(byte ^ (((word * (word ^ 1)) >> 8) & 0xFF))
        update(byte)
    return bytes(out)


@lru_cache(maxsize=256)
@lru_cache(maxsize=256)  # benchmarks write the same photos under thousands of names
def _protected(data: bytes, password: str) -> tuple[int, bytes]:
    """Return the CRC of a member's bytes, and the bytes deflated and encrypted."""
    crc = zlib.crc32(data)
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    return crc, _zipcrypto(packer.compress(data) + packer.flush(), password.encode(), crc >> 24)


def write_zipcrypto(path: Path, members: Mapping[str, bytes], password: str) -> Path:
    """Write a zip archive whose members are deflated and encrypted as Info-ZIP's ``zip -P`` does."""
    directory = bytearray()
    with open(path, "wb") as out:
        for name, data in members.items():
            crc, content = _protected(data, password)
            # needs 2.0, encrypted, deflated, time 0, 1980-01-01, CRC, sizes, length of the name, no extra field
            header = struct.pack("<HHHHHIIIHH", 20, 1, 8, 0, 33, crc, len(content), len(data), len(name), 0)
            directory += b"PK\x01\x02\x14\x00" + header + struct.pack("<HHHII", 0, 0, 0, 0, out.tell()) + name.encode()
            out.write(b"PK\x03\x04" + header + name.encode() + content)
        end = struct.pack("<HHHHIIH", 0, 0, len(members), len(members), len(directory), out.tell(), 0)
        out.write(bytes(directory) + b"PK\x05\x06" + end)
    return path


def packed(kind: str, members: dict[str, bytes], tmp_path: Path) -> Path:
    """Write ``packedKIND``, an archive of a kind such as ``.tar.gz``."""
    path = tmp_path / f"packed{kind}"
    return write_zip(path, members) if kind.lower() == ".zip" else write_tar(path, members)
