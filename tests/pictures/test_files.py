"""Pictures as files."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image, PdfParser

from registry.dataset.terms import TERMS, TERMS_URL
from registry.errors import StorageError, UsageError
from registry.pictures.files import page_paths, write_pages

PAGES = [Image.new("RGB", (60, 40), colour) for colour in ("red", "green", "blue")]
NOTICE = f"{TERMS}: {TERMS_URL}"


def test_pages_are_numbered_files_or_one_pdf() -> None:
    assert page_paths(Path("a/out.png"), 1) == [Path("a/out.png")]
    assert page_paths(Path("a/out.png"), 2) == [Path("a/out-1.png"), Path("a/out-2.png")]
    assert page_paths(Path("out.jpg"), 10)[8:] == [Path("out-09.jpg"), Path("out-10.jpg")]
    assert page_paths(Path("out.pdf"), 10) == [Path("out.pdf")]


def test_every_format_has_the_terms_of_the_data_in_its_metadata(tmp_path: Path) -> None:
    for name in ("a.png", "a.jpg", "a.JPEG", "a.pdf"):
        assert list(write_pages(PAGES[:1], 1, tmp_path / name, "train/000001 · skirt")) == [1]
    with Image.open(tmp_path / "a.png") as png, Image.open(tmp_path / "a.jpg") as jpeg:
        assert png.info == {"Title": "train/000001 · skirt", "Copyright": NOTICE}
        assert jpeg.info["comment"] == NOTICE.encode()
        assert jpeg.getexif()[0x8298] == NOTICE
    with PdfParser.PdfParser(str(tmp_path / "a.pdf")) as pdf:
        assert pdf.info.Subject == NOTICE
        assert pdf.info.Title == "train/000001 · skirt"


def test_a_pdf_has_all_pages_and_no_clock(tmp_path: Path) -> None:
    for name in ("a.pdf", "b.pdf"):
        assert list(write_pages(iter(PAGES), 3, tmp_path / name)) == [1, 2, 3]
    data = (tmp_path / "a.pdf").read_bytes()
    assert data == (tmp_path / "b.pdf").read_bytes()
    assert b"CreationDate" not in data
    assert str(tmp_path).encode() not in data
    with PdfParser.PdfParser(str(tmp_path / "a.pdf")) as pdf:
        assert len(pdf.pages) == 3


def test_a_pdf_of_many_pages_has_each_page_and_its_index_once(tmp_path: Path) -> None:
    """Pages that are appended one by one would each bring an index and a list of all pages: time by their square."""
    assert list(write_pages((Image.new("RGB", (9, 9 + n)) for n in range(300)), 300, tmp_path / "a.pdf"))[-1] == 300
    data = (tmp_path / "a.pdf").read_bytes()
    assert (data.count(b"%%EOF"), data.count(b"DCTDecode")) == (1, 300)
    with PdfParser.PdfParser(str(tmp_path / "a.pdf")) as pdf:
        boxes = [pdf.read_indirect(page)[b"MediaBox"] for page in pdf.pages]
    assert [round(box[3] * 150 / 72) for box in boxes] == list(range(9, 309))


def test_pages_are_drawn_as_they_are_written(tmp_path: Path) -> None:
    drawn = []

    def draw() -> object:
        for number, page in enumerate(PAGES, 1):
            drawn.append(number)
            yield page

    for number in write_pages(draw(), 3, tmp_path / "out.png"):  # type: ignore[arg-type]
        assert drawn == list(range(1, number + 1))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out-1.png", "out-2.png", "out-3.png"]


@pytest.mark.parametrize("name", ["out", "out.gif", "out.png.txt"])
def test_a_suffix_of_no_format_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"ends in \.png \.jpg \.jpeg \.pdf"):
        list(write_pages(PAGES[:1], 1, tmp_path / name))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", [".png", ".pdf"])
def test_a_failure_leaves_the_old_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    path.write_text("old")

    def draw() -> object:
        yield PAGES[0]
        raise OSError("no space")

    with pytest.raises((OSError, StorageError)):
        list(write_pages(draw(), 1, path))  # type: ignore[arg-type]
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    if suffix == ".pdf":
        assert path.read_text() == "old"
