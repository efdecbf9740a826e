"""Pictures as files: PNG, JPEG and PDF, with the terms of the data in their metadata."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any, Final

from PIL import Image, PdfParser, PngImagePlugin

from registry.dataset.terms import TERMS_NOTICE
from registry.errors import UsageError
from registry.files.temporary import replacing

#: Suffix of a file -> format of Pillow.
FORMATS: Final = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".pdf": "PDF"}

_QUALITY: Final = 92
_WEBP_QUALITY: Final = 80
#: EXIF tags.
_IMAGE_DESCRIPTION: Final = 0x010E
_COPYRIGHT: Final = 0x8298
#: Px of a picture for an inch of a PDF.
_RESOLUTION: Final = 150


def format_of(path: Path) -> str:
    """Return the format that a file's suffix stands for.

    Raises:
        UsageError: it stands for none.
    """
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise UsageError(
            f"{path}: expected a name that ends in {' '.join(FORMATS)}, found {path.suffix or 'no suffix'}."
        )
    return FORMATS[suffix]


def png(picture: Image.Image, title: str = "") -> bytes:
    """Return a picture as PNG."""
    return _encoded(picture, "PNG", title)


def jpeg(picture: Image.Image, title: str = "") -> bytes:
    """Return a picture as JPEG."""
    return _encoded(picture, "JPEG", title)


def webp(picture: Image.Image, title: str = "") -> bytes:
    """Return a picture as WebP, for pages that hold many of them: a third of the bytes of a JPEG."""
    return _encoded(picture, "WEBP", title)


def data_uri(picture: bytes, kind: str) -> str:
    """Return a picture as the address of an image that stands in the page itself.

    Args:
        picture: of :func:`jpeg` or :func:`webp`.
        kind: ``jpeg`` or ``webp``.
    """
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"


def page_paths(path: Path, total: int) -> list[Path]:
    """Return the file of each page: a PDF holds all; else ``out-1.png``, ``out-2.png``, ... if there are several."""
    if total <= 1 or format_of(path) == "PDF":
        return [path]
    digits = len(str(total))
    return [path.with_name(f"{path.stem}-{number:0{digits}d}{path.suffix}") for number in range(1, total + 1)]


def write_pages(pages: Iterable[Image.Image], total: int, path: Path, title: str = "") -> Iterator[int]:
    """Write pages as they come, and yield the number of those written; each file appears when it is complete.

    Args:
        pages: at least one.
        total: their number.
        path: of the first file, see :func:`page_paths`.
        title: for the metadata.

    Raises:
        UsageError: the suffix stands for no format.
        StorageError: a file cannot be written.
    """
    if format_of(path) == "PDF":
        with replacing(path) as partial, partial.open("w+b") as file:
            yield from _write_pdf(pages, total, file, title)
        return
    for number, (picture, page) in enumerate(zip(pages, page_paths(path, total), strict=True), 1):
        with replacing(page) as partial:
            partial.write_bytes(_encoded(picture, format_of(path), title))
        yield number


def _write_pdf(pages: Iterable[Image.Image], total: int, file: IO[bytes], title: str) -> Iterator[int]:
    """Write a PDF page by page, and yield the number of those written.

    ``Image.save(append=True)`` would read all earlier pages before each page: minutes for 400 pages.
    """
    with PdfParser.PdfParser(f=file) as pdf:
        pdf.info["Title"], pdf.info["Subject"] = title, TERMS_NOTICE
        pdf.start_writing()
        pdf.write_header()
        references = [pdf.next_object_id(0) for _ in range(total)]
        pdf.pages += references
        pdf.write_catalog()
        for number, (picture, reference) in enumerate(zip(pages, references, strict=True), 1):
            data = io.BytesIO()
            picture.save(data, "JPEG", quality=_QUALITY)
            image = pdf.write_obj(
                None,
                stream=data.getvalue(),
                Type=PdfParser.PdfName("XObject"),
                Subtype=PdfParser.PdfName("Image"),
                Width=picture.width,
                Height=picture.height,
                BitsPerComponent=8,
                ColorSpace=PdfParser.PdfName("DeviceRGB"),
                Filter=PdfParser.PdfName("DCTDecode"),
            )
            width, height = (side * 72 / _RESOLUTION for side in picture.size)
            contents = pdf.write_obj(None, stream=b"q %f 0 0 %f 0 0 cm /image Do Q\n" % (width, height))
            pdf.write_page(
                reference,
                Resources=PdfParser.PdfDict(XObject=PdfParser.PdfDict(image=image)),
                MediaBox=[0, 0, width, height],
                Contents=contents,
            )
            yield number
        pdf.write_xref_and_trailer()


def _encoded(picture: Image.Image, format: str, title: str) -> bytes:
    out = io.BytesIO()
    picture.save(out, format, **_options(format, title))
    return out.getvalue()


def _options(format: str, title: str) -> dict[str, Any]:
    """Return options of Pillow that put title and terms into the metadata; no clock and no name of a file."""
    if format in ("JPEG", "WEBP"):
        exif = Image.Exif()
        exif[_COPYRIGHT] = TERMS_NOTICE
        if title:
            exif[_IMAGE_DESCRIPTION] = title
        if format == "WEBP":
            return {"quality": _WEBP_QUALITY, "exif": exif.tobytes()}
        return {"quality": _QUALITY, "subsampling": 0, "comment": TERMS_NOTICE, "exif": exif}
    info = PngImagePlugin.PngInfo()
    if title:
        info.add_text("Title", title)
    info.add_text("Copyright", TERMS_NOTICE)
    return {"pnginfo": info}
