"""The helper refuses what Open Metric Learning refuses or misreads, so that a test that passes it proves something."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.exports.oml_rules import check_csv

HEADER = "label,path,split,is_query,is_gallery,x_1,y_1,x_2,y_2,category,anything"
TRAIN = "0,a.jpg,train,,,10,20,30,40,vest,1"
QUERY = "1,a.jpg,validation,True,False,10,20,30,40,vest,1"
GALLERY = "1,a.jpg,validation,False,True,50,20,70,40,vest,1"


def write(folder: Path, *lines: str) -> Path:
    path = folder / "df.csv"
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


@pytest.mark.parametrize("rows", [(TRAIN, QUERY, GALLERY), (TRAIN,), (QUERY, GALLERY), (GALLERY,)])
def test_a_sound_file_passes(tmp_path: Path, rows: tuple[str, ...]) -> None:
    check_csv(write(tmp_path, HEADER, *rows))


def test_boxes_and_categories_may_be_left_out(tmp_path: Path) -> None:
    check_csv(write(tmp_path, "label,path,split,is_query,is_gallery", "1,a.jpg,train,,"))


def test_photos_are_resolved_against_root(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER, TRAIN)
    with pytest.raises(AssertionError, match=r"df\.csv:2: no photo .*a\.jpg"):
        check_csv(path, tmp_path)
    (tmp_path / "a.jpg").touch()

    check_csv(path, tmp_path)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (HEADER.replace("is_query", "query"), "no column is_query"),
        (HEADER.replace("x_1", "x1"), "of the box there are only ['y_1', 'x_2', 'y_2']"),
        (HEADER.replace("anything", "category"), "a column occurs twice"),
        (HEADER, "no rows"),
    ],
)
def test_a_broken_file_is_named(tmp_path: Path, header: str, message: str) -> None:
    path = write(tmp_path, header)

    with pytest.raises(AssertionError) as caught:
        check_csv(path)
    assert str(caught.value) == f"{path}: {message}"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (TRAIN.replace("0,a", "0.5,a"), "label 0.5 is not a whole number"),
        (TRAIN.replace("a.jpg", ""), "no path"),
        (TRAIN + ",", "not as many fields as columns"),
        (TRAIN.replace("10,", "10.5,"), "is not four whole numbers from 0"),
        (TRAIN.replace("10,", ","), "is not four whole numbers from 0"),
        (TRAIN.replace("10,", "-1,"), "is not four whole numbers from 0"),
        (TRAIN.replace("10,", "30,"), "x_1 30 is not left of x_2 30"),
        (TRAIN.replace("20,", "40,"), "y_1 40 is not above y_2 40"),
        (TRAIN.replace("train,,", "train,True,"), "of train are empty"),
        (TRAIN.replace("train,,", "test,,"), "split test is neither train nor validation"),
        (QUERY.replace("True", ""), "are True or False"),
        (QUERY.replace("True", "False"), "neither query nor gallery"),
        (QUERY, "query of label 1, which the gallery does not have"),
        (QUERY.replace("1,a", "7,a") + "\n" + TRAIN.replace("0,a", "7,a"), "query of label 7"),
        (TRAIN + "\n" + TRAIN.replace("vest", "sling"), "label 0 is sling and vest"),
    ],
)
def test_a_broken_row_is_named(tmp_path: Path, row: str, message: str) -> None:
    path = write(tmp_path, HEADER, row)

    with pytest.raises(AssertionError) as caught:
        check_csv(path)
    assert str(caught.value).startswith(f"{path}:")
    assert message in str(caught.value)


def test_an_empty_sequence_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"df\.csv:2: no sequence"):
        check_csv(write(tmp_path, HEADER.replace("anything", "sequence"), GALLERY.removesuffix("1")))
