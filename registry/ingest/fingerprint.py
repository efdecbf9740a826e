"""A small text that stands for a raw source of hundreds of thousands of files.

It changes exactly when the content does, not with time stamps or the place of the source, so it can be committed
and compared between machines. Reading everything at each look would take seconds, so a note beside it keeps what
the file system showed (:mod:`registry.sources.looks`) when the content was read last.

Annotations and retrieval lists count with all their bytes. Photos, of which there are 16 GB, count with name, size and
the CRC-32 of their first 16 and last 4 KiB: the tables hold width and height alone, which stand at the beginning. In a
zip they count with the CRC-32 of all their bytes, which the archive's directory tells.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from registry.dataset.deepfashion2 import find_split
from registry.errors import StorageError
from registry.files.durability import make_folders
from registry.files.temporary import is_special, write_text
from registry.ingest.retrieval_lists import retrieval_files
from registry.sources.folders import LocalFolder
from registry.sources.listing import Entry, Source
from registry.sources.looks import Look, look_at
from registry.sources.open import locate_source, open_source, release_lists
from registry.sources.reading import Fault
from registry.storage.filesystems import StorageOptions, local_path

#: Notes of another version are not read.
_VERSION: Final = 2


@dataclass(frozen=True, slots=True)
class _Note:
    """What was seen when the content was read last.

    Attributes:
        question: of what it is the note.
        seen: part of the source -> digest of its look.
        young: part -> name -> mark of the content of files that were young, or None if they cannot be compared.
        marks: digest of the annotations and of the photos.
        text: the fingerprint.
    """

    question: str
    seen: dict[str, str]
    young: dict[str, dict[str, Any] | None]
    marks: dict[str, str]
    text: str


def fingerprint_source(
    source: str,
    split: str,
    retrieval: Sequence[str] = (),
    *,
    photos: bool = True,
    output: Path | None = None,
    password: str | None = None,
    options: StorageOptions | None = None,
) -> str:
    """Return a JSON text that changes when a file of a source is edited, added or removed.

    Links are followed wherever they lead: nothing but digests comes out.

    Args:
        source: as for :func:`registry.ingest.build.ingest`.
        split: the split it holds.
        retrieval: paths of retrieval lists.
        photos: whether photos count.
        output: file to write; its note ``.NAME.seen`` lies beside it.
        password: of a protected zip.
        options: passed to fsspec.

    Raises:
        UnknownNameError: there is no such split.
        SourceError, PasswordError: the source cannot be read.
        StorageError: ``output`` cannot be written.
    """
    find_split(split)
    located = locate_source(source, split, options)
    retrieval = [*retrieval, *release_lists(source, split, options)]
    looks = look_at(located, photos or split == "test", options)
    for number, path in enumerate(retrieval):
        looks |= {f"list {number} {name}": look for name, look in look_at(path, True, options).items()}
    question = repr((_VERSION, split, photos, located, retrieval))
    note_path = output.with_name(f".{output.name}.seen") if output and not is_special(output) else None
    old = _read_note(note_path, question)
    same = {part for part, look in looks.items() if old and _is_same(part, look, old, located)}
    if old and same == looks.keys() == old.seen.keys():
        text, marks = old.text, old.marks
    else:
        opened = open_source(located, split, options, password, follow_links=True)
        kept = {part: old.marks[part] for part in same if part in old.marks} if old else {}
        document, marks = _content(opened, split, photos, kept)
        document["retrieval"] = {
            name: hashlib.sha256(data.encode() if isinstance(data, Fault) else data).hexdigest()
            for name, data in sorted(retrieval_files(retrieval, options, password), key=lambda file: file[0])
        }
        text = json.dumps({"split": split, **document}, indent=1) + "\n"
    if output and not note_path:  # a device
        write_text(output, text)
    elif output and note_path:
        young = {part: _young_marks(part, look, located) for part, look in looks.items()}
        new = _Note(question, {part: look.digest for part, look in looks.items()}, young, marks, text)
        try:
            make_folders(output.parent)
        except OSError as error:
            raise StorageError(f"Cannot write {output}: {error.strerror}") from error
        write_text(output, text)
        if new != old:
            write_text(note_path, json.dumps({name: getattr(new, name) for name in _Note.__slots__}))
    return text


def _read_note(path: Path | None, question: str) -> _Note | None:
    """Return the note of the last look, if it is about the same question."""
    if path is None or not path.is_file():
        return None
    try:
        note = _Note(**json.loads(path.read_text(encoding="utf-8")))
        kinds = {"seen": dict, "young": dict, "marks": dict, "text": str}
        is_sound = all(isinstance(getattr(note, name), kind) for name, kind in kinds.items())
        return note if note.question == question and is_sound else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None  # a note of another version; it is written anew


def _is_same(part: str, look: Look, old: _Note, located: str) -> bool:
    """Return whether a part shows what it showed, and files that were young have the content they had."""
    young = old.young.get(part)
    if old.seen.get(part) != look.digest or young is None:
        return False
    return not young or _marks_of(part, young, located) == young


def _young_marks(part: str, look: Look, located: str) -> dict[str, Any] | None:
    """Return the marks of the young files of a part, or None if they cannot be told one by one."""
    if look.young is None:
        return None
    return _marks_of(part, look.young, located) if look.young else {}


def _marks_of(part: str, names: Iterable[str], located: str) -> dict[str, Any]:
    """Return name -> mark of the content of files of ``annos`` or ``image``; as JSON reads it."""
    path = local_path(located)
    assert path is not None  # others have no files of their own
    folder = LocalFolder(path, follow_links=True)
    entries = [Entry(0, name, name) for name in sorted(names) if name.endswith((".json", ".jpg"))]
    if part == "annos":
        contents = folder.read(entries)
        marks: list[Any] = [data if isinstance(data, Fault) else zlib.crc32(data) for data in contents]
    else:
        marks = [mark if isinstance(mark, Fault) else list(mark) for mark in folder.photo_marks(entries)]
    return dict(zip((entry.name for entry in entries), marks, strict=True))


def _content(
    source: Source, split: str, photos: bool, kept: Mapping[str, str]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the fingerprint of a source's files and the digests of its annotations and photos.

    Args:
        source: the files.
        split: the split they belong to.
        photos: whether photos count.
        kept: digests (``annos``, ``image``) of what is known to be as it was.
    """
    listing = source.list_files(split, photos=photos or split == "test")
    entries, images = listing.annotations, list(listing.photos.values())
    digests = {
        "annos": kept.get("annos") or _digest_annotations(source, entries),
        "image": kept.get("image") or _digest_photos(source, images),
    }
    seen = hashlib.sha256(digests["image"].encode())
    for issue in listing.issues:
        seen.update(str(issue).encode())
    document = {
        "annotations": {"files": len(entries), "digest": digests["annos"]},
        "photos": {"files": len(images), "digest": seen.hexdigest()},
    }
    return document, digests


def _digest_annotations(source: Source, entries: Sequence[Entry]) -> str:
    digest = hashlib.sha256()
    if all(isinstance(entry.crc, int) for entry in entries):
        for entry in entries:
            digest.update(repr((entry.name, entry.size, entry.crc)).encode())
        return digest.hexdigest()
    for entry, data in zip(entries, source.read(entries), strict=True):
        mark = (str(data),) if isinstance(data, Fault) else (len(data), zlib.crc32(data))
        digest.update(repr((entry.name, *mark)).encode())
    return digest.hexdigest()


def _digest_photos(source: Source, entries: Sequence[Entry]) -> str:
    digest = hashlib.sha256()
    for entry, mark in zip(entries, source.photo_marks(entries), strict=True):
        digest.update(repr((entry.name, str(mark) if isinstance(mark, Fault) else mark)).encode())
    return digest.hexdigest()
