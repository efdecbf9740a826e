"""Pictures of a photo with its annotation."""

from __future__ import annotations

import io
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from registry.dataset.deepfashion2 import CATEGORIES
from registry.pictures import labels
from registry.pictures.annotated import annotate
from registry.pictures.palette import BLACK, ITEM_COLOURS, LABEL, WHITE, contrast, item_colours
from registry.pictures.photo import Photo, decode
from registry.pictures.predicted import Prediction
from registry.pictures.view import Rect
from registry.sources.photo_decoding import PhotoError
from tests.helpers import item, photo
from tests.pictures.items import skirt


def grey(width: int, height: int) -> Photo:
    """Return a plain grey photo."""
    return Photo(Image.new("RGB", (width, height), (128, 128, 128)), width, height)


def near(first: tuple[int, ...], second: tuple[int, ...]) -> bool:
    """Return whether two colours look the same."""
    return all(abs(a - b) <= 12 for a, b in zip(first, second, strict=True))


def test_a_visible_landmark_is_a_disc_in_the_colour_of_the_item_and_an_occluded_one_a_white_diamond() -> None:
    row = skirt(1, (40, 40, 160, 160), "22221222", segmentation=[])
    shown = annotate([row], grey(200, 200), size=1000, has_labels=False)
    view, picture = shown.view, shown.picture.load()
    assert picture is not None

    def at(x: float, y: float) -> Any:
        return picture[round(view.x(x)), round(view.y(y))]

    assert near(at(160, 160), ITEM_COLOURS[0])  # landmark 7
    assert near(at(40, 160), WHITE)  # landmark 5
    # Just inside the corner of the square around it a disc is filled, a diamond is not.
    x, y = round(view.x(160)), round(view.y(160))
    radius = next(n for n in range(1, 40) if not near(picture[x + n, y], ITEM_COLOURS[0]))
    corner = round(radius * 0.65)
    assert near(picture[x + corner, y + corner], ITEM_COLOURS[0])
    x, y = round(view.x(40)), round(view.y(160))
    radius = next(n for n in range(1, 40) if not near(picture[x - n, y], WHITE))
    corner = round(radius * 0.65)
    assert not near(picture[x - corner, y + corner], WHITE)


def test_a_link_with_an_occluded_end_is_dashed() -> None:
    def has_gaps(visibility: str) -> bool:
        row = skirt(1, (40, 40, 160, 160), visibility, segmentation=[], y2=190)  # the box is away from the hem
        shown = annotate([row], grey(200, 200), size=1000, has_labels=False)
        y = round(shown.view.y(160))
        hem = range(round(shown.view.x(50)), round(shown.view.x(88)))
        return any(shown.picture.getpixel((x, y)) == (128, 128, 128) for x in hem)

    assert not has_gaps("22222222")
    assert has_gaps("22222122")


def test_a_landmark_that_is_not_labelled_is_not_drawn() -> None:
    row = skirt(1, (40, 40, 160, 160), "00000000", segmentation=[], x1=0, y1=0, x2=0, y2=0)
    shown = annotate([row], grey(200, 200), has_labels=False)
    assert shown.picture.getcolors() == [(1200 * 1200, (128, 128, 128))]


def test_a_mask_is_the_union_of_its_polygons_without_their_holes() -> None:
    outline = [20.0, 20, 120, 20, 120, 120, 20, 120]
    part = [60.0, 60, 180, 60, 180, 180, 60, 180]  # overlaps the outline
    row = skirt(1, (0, 0, 0, 0), "00000000", segmentation=[outline, part])
    shown = annotate([row], grey(200, 200), size=1000, has_labels=False)
    only, both, other, outside = (
        shown.picture.getpixel((round(shown.view.x(x)), round(shown.view.y(y))))
        for x, y in ((40, 40), (90, 90), (150, 150), (150, 40))
    )
    assert only == both == other != outside == (128, 128, 128)


@pytest.mark.parametrize("category", CATEGORIES, ids=lambda category: category.name)
def test_every_category_has_a_picture(category: Any) -> None:
    fields = item(category.id)
    row = {**fields, **dict(zip(("x1", "y1", "x2", "y2"), fields["bounding_box"], strict=True)), "item_no": 1}
    shown = annotate([row], None, image_size=(200, 300))
    assert shown.picture.size == (800, 1200)
    assert len(shown.picture.getcolors(1 << 20) or ()) > 50


@pytest.mark.parametrize("size", [(32, 32), (1, 1), (2000, 3), (3, 900), (6000, 4000)])
def test_tiny_narrow_and_huge_photos_have_pictures_of_the_same_size_with_a_readable_label(
    size: tuple[int, int],
) -> None:
    width, height = size
    shown = annotate([skirt(1, (0, 0, width / 2, height / 2))], grey(width, height))
    assert max(shown.picture.size) == 1200
    assert min(shown.picture.size) >= 299
    (rect,) = shown.labels
    assert rect is not None
    assert rect[3] - rect[1] >= 20


def test_annotations_outside_the_photo_are_shown_up_to_a_bound() -> None:
    beyond = annotate([skirt(1, (-20, 10, 50, 90))], grey(100, 100))
    assert beyond.view.region[0] == pytest.approx(-15)
    far = annotate([skirt(1, (-(2.0**53) + 1, 10, 2.0**53 - 1, 90))], grey(100, 100))
    assert far.view.region == pytest.approx((-15, 0, 115, 100))
    usual = annotate([skirt(1, (-1, 10, 50, 90))], grey(100, 100))
    assert usual.view.region == (0, 0, 100, 100)


def test_a_crop_shows_the_box_and_a_margin() -> None:
    shown = annotate([skirt(1, (50, 60, 90, 140))], grey(200, 200), crop=True)
    assert shown.view.region == pytest.approx((42, 52, 98, 148))
    degenerate = skirt(1, (0, 0, 0, 0), "00000000", segmentation=[[50, 60, 90, 60, 90, 140]])
    assert annotate([degenerate], grey(200, 200), crop=True).view.region == pytest.approx((42, 52, 98, 148))
    nothing = skirt(1, (0, 0, 0, 0), "00000000", segmentation=[])
    assert annotate([nothing], grey(200, 200), crop=True).view.region == (0, 0, 200, 200)
    outside = annotate([skirt(1, (1000, 1000, 1100, 1100))], grey(200, 200), crop=True)
    assert outside.view.region[2] > outside.view.region[0]


def test_without_photo_and_size_the_canvas_holds_the_annotation() -> None:
    shown = annotate([skirt(1, (10, 20, 400, 600))], None)
    assert not shown.has_photo
    assert shown.view.photo == pytest.approx((0, 0, 420, 630))


def test_reversed_and_enormous_boxes_are_drawn() -> None:
    reversed_box = skirt(1, (10, 20, 90, 80), x1=90, y1=80, x2=10, y2=20)
    assert annotate([reversed_box], grey(100, 100)).labels[0] is not None
    assert annotate([skirt(1, (-(2.0**52), -(2.0**52), 2.0**52, 2.0**52))], None).picture.size == (1200, 1200)


def test_labels_of_eight_items_at_the_same_place_do_not_overlap() -> None:
    rows = [skirt(number, (40 + number, 40, 120, 160)) for number in range(1, 9)]
    shown = annotate(rows, grey(200, 260))
    rects = [rect for rect in shown.labels if rect is not None]
    assert len(rects) == 8
    assert not any(labels.overlap(first, second) for first, second in combinations(rects, 2))
    assert all(rect[0] >= 0 and rect[2] <= shown.picture.width for rect in rects)
    assert all(rect[1] >= 0 and rect[3] <= shown.picture.height for rect in rects)


@given(
    st.lists(
        st.tuples(st.integers(20, 200), st.integers(10, 40), st.integers(-50, 350), st.integers(-50, 450)), max_size=12
    )
)
def test_placed_labels_never_overlap_and_stay_on_the_canvas(drawn: list[tuple[int, int, int, int]]) -> None:
    wanted = [labels.Label(width, height, (x, y, x + 60, y + 80)) for width, height, x, y in drawn]
    places = labels.place(wanted, 300, 400, [(x, y) for _, _, x, y in drawn])
    rects: list[Rect] = [
        (place[0], place[1], place[0] + label.width, place[1] + label.height)
        for place, label in zip(places, wanted, strict=True)
        if place is not None
    ]
    assert not any(labels.overlap(first, second) for first, second in combinations(rects, 2))
    assert all(rect[0] >= 0 and rect[1] >= 0 and rect[2] <= 300 and rect[3] <= 400 for rect in rects)
    assert len(rects) == len(wanted) or len(wanted) > 4


def test_a_label_covers_no_landmark_where_another_place_is_free() -> None:
    label = labels.Label(60, 20, (100, 100, 200, 200))
    assert labels.place([label], 400, 400, []) == [(100, 80)]
    assert labels.place([label], 400, 400, [(110, 90)]) == [(140, 80)]


def test_colours_are_distinct_and_stand_out_from_their_dark_edges_and_from_labels() -> None:
    assert len(set(ITEM_COLOURS)) == 8
    assert all(contrast(colour, BLACK) >= 3 for colour in ITEM_COLOURS)
    assert contrast(WHITE, LABEL) >= 7


def test_an_item_has_the_colour_of_its_number_in_every_version() -> None:
    assert item_colours([2, 3])[3] == item_colours([1, 2, 3])[3]
    assert len(set(item_colours([1, 9, 30]).values())) == 3


def test_an_exif_tag_does_not_turn_a_photo_as_annotations_count_stored_pixels() -> None:
    decoded = decode(photo(60, 20, orientation=6), 1200)
    assert (decoded.width, decoded.height) == decoded.pixels.size == (60, 20)


def test_a_large_jpeg_is_decoded_small() -> None:
    decoded = decode(photo(3200, 1600), 300)
    assert (decoded.width, decoded.height) == (3200, 1600)
    assert decoded.pixels.size == (400, 200)
    shown = annotate([skirt(1, (800, 400, 2400, 1200))], decoded, size=300)
    assert shown.picture.size == (300, 150)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "I;16"])
def test_photos_of_every_mode_are_decoded(mode: str) -> None:
    out = io.BytesIO()
    Image.new(mode, (9, 7)).save(out, "JPEG" if mode == "CMYK" else "PNG")
    assert decode(out.getvalue()).pixels.mode == "RGB"


@pytest.mark.parametrize("data", [b"", b"<html>", photo(40, 30)[:300]], ids=["empty", "text", "cut"])
def test_a_damaged_photo_is_an_error_with_its_reason(data: bytes) -> None:
    with pytest.raises(PhotoError, match=r"no JPEG, PNG or WebP|Truncated"):
        decode(data)


def test_the_same_input_gives_the_same_pixels() -> None:
    rows = [skirt(number, (10 * number, 20, 120, 160), "21212121") for number in range(1, 5)]
    first, second = (annotate(rows, grey(150, 200)).picture.tobytes() for _ in range(2))
    assert first == second


def test_a_prediction_is_a_dashed_white_box_with_a_label_that_covers_no_other() -> None:
    predictions = [Prediction((50, 60, 150, 140), "skirt .87"), Prediction((52, 60, 152, 140), "vest .50 background")]
    shown = annotate([skirt(1, (40, 40, 160, 160))], grey(200, 200), size=1000, predictions=predictions)
    rects = [rect for rect in shown.labels if rect is not None]
    assert len(rects) == 3
    assert not any(labels.overlap(first, second) for first, second in combinations(rects, 2))
    alone = annotate([], grey(200, 200), size=1000, has_labels=False, predictions=predictions[:1])
    y = round(alone.view.y(60))
    side = [alone.picture.getpixel((x, y)) for x in range(round(alone.view.x(51)), round(alone.view.x(149)))]
    num_white = sum(near(colour, WHITE) for colour in side)  # type: ignore[arg-type]
    assert 0.3 < num_white / len(side) < 0.7
    assert (128, 128, 128) in side
    same = annotate([], grey(200, 200), predictions=[Prediction((10, 10, 10, 10), "flat")])
    assert same.labels[0] is not None
