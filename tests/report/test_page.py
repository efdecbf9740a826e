"""The content of the report."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest

import registry
from registry.checks.settings import CheckSettings
from registry.errors import UnknownNameError
from registry.ingest.build import ingest
from registry.pictures.album import Album
from registry.report.evaluation import evaluation_section
from registry.report.page import report
from registry.report.provenance import Against
from registry.report.thumbnails import Thumbnails
from registry.sources.photos import Photos
from registry.store.registry import Registry
from registry.subset.options import Subset
from tests.evaluation.generated import make_registry as make_generated
from tests.evaluation.generated import unique_predictions
from tests.helpers import annotation, item, jpeg, write_split
from tests.registries import make_newer, make_three_splits
from tests.report.pages import VOID, outline

pytest.importorskip("altair", reason="needs the extra report")

# The tests look at the same few pages, which take seconds to write in every worker of pytest-xdist.
pytestmark = pytest.mark.xdist_group("report-pages")

CONDITION = Subset.of(where="x1 < 1000 AND '<script>' <> ''")


@pytest.fixture(scope="module")
def three_splits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a registry of three splits."""
    return make_three_splits(tmp_path_factory.mktemp("three"))


@pytest.fixture(scope="module")
def df2(three_splits: Path) -> Registry:
    """Return it, open."""
    return registry.open(str(three_splits))


@pytest.fixture(scope="module")
def page(df2: Registry) -> str:
    """Return the report on all of it."""
    return report(df2).html


@pytest.fixture(scope="module")
def page_of_condition(df2: Registry) -> str:
    """Return the report on the items of ``CONDITION``."""
    return report(df2, CONDITION).html


@pytest.fixture(scope="module")
def page_of_test(df2: Registry) -> str:
    """Return the report on a split without annotation."""
    return report(df2, Subset.of(split="test")).html


@pytest.fixture(scope="module")
def empty_page(df2: Registry) -> str:
    """Return the report on a subset of no item."""
    return report(df2, Subset.of(style=99)).html


@pytest.fixture(scope="module")
def page_with_settings(df2: Registry, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the report with a limit, checks of the user and an older version, which is the same."""
    folder = tmp_path_factory.mktemp("checks")
    (folder / "wide-box.sql").write_text(
        "-- One row per item whose box is <wide>\n-- key: split, image_id, item_no\n-- severity: warning\n"
        "-- source: items\nSELECT split, image_id, item_no, x2 - x1 AS width FROM items WHERE x2 - x1 > 50\n"
    )
    (folder / "broken.sql").write_text("SELECT")
    settings = CheckSettings({"orphan-identity": 0}, folders=(folder,))
    return report(df2, settings=settings, against=Against(df2, "v1.0")).html


class _Checker(HTMLParser):
    """Notes elements that are closed in another order than they were opened, and ids that repeat."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.problems: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        self.ids += [value for name, value in attrs if name == "id" and value]
        self.links += [value for name, value in attrs if name in ("href", "src") and value]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids += [value for name, value in attrs if name == "id" and value]

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.problems.append(tag)


def test_the_page_is_well_formed_and_its_links_lead_somewhere(page: str) -> None:
    checker = _Checker()
    checker.feed(page)
    assert not checker.open and not checker.problems
    assert len(set(checker.ids)) == len(checker.ids)
    inside = [link[1:] for link in checker.links if link.startswith("#")]
    assert inside and set(inside) <= set(checker.ids)
    assert {link for link in checker.links if not link.startswith(("#", "data:"))} == {
        "https://github.com/switchablenorms/DeepFashion2"
    }


def test_the_headings_are_in_order(page: str) -> None:
    levels = [level for level, _ in outline(page)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_the_counts_are_those_of_the_registry(page: str, df2: Registry) -> None:
    row = df2.sql("SELECT sum(num_images), sum(num_items) FROM split_counts").fetchall()
    assert f"{row[0][0]} images with {row[0][1]} items of" in page
    assert '<tr><th scope="row">images</th><td class="number">' in page


def test_equal_data_gives_an_equal_page_without_the_place_it_lies_at(page: str, tmp_path: Path) -> None:
    again = report(registry.open(str(make_three_splits(tmp_path / "elsewhere")))).html
    assert again == page
    assert str(tmp_path) not in page


def test_a_subset_is_named_and_counted_and_its_texts_are_escaped(page_of_condition: str) -> None:
    assert "<script>" not in page_of_condition and "&lt;script&gt;" in page_of_condition
    assert "--where" in page_of_condition and CONDITION.digest in page_of_condition


def test_an_empty_subset_gives_a_page(empty_page: str) -> None:
    assert "No image belongs to this subset." in empty_page and "There is nothing to count." in empty_page


def test_a_split_without_annotation_gives_a_page(page_of_test: str) -> None:
    assert "2 images with 0 items of 0 categories, in 1 split" in page_of_test


def test_an_unknown_split_of_the_subset_is_an_error(small_registry: Path) -> None:
    with pytest.raises(UnknownNameError):
        report(registry.open(str(small_registry)), Subset.of(split="test"))


def test_what_changed_is_counted_with_examples(small_registry: Path, tmp_path: Path) -> None:
    old, new = (registry.open(str(path)) for path in (small_registry, make_newer(small_registry, tmp_path / "new")))
    html = report(new, against=Against(old, "v1.0")).html
    assert "What changed since v1.0" in html and "df2 report report.html --against v1.0" in html
    assert re.search(r"train, image 9, item 1 \(long sleeve top\): added", html)
    assert old.manifest.sha256 in html and new.manifest.sha256 in html


def test_two_equal_versions_are_the_same(page_with_settings: str) -> None:
    assert "Nothing: images, items and pairs are the same." in page_with_settings


def test_every_check_is_counted_and_an_odd_row_is_shown(page: str, df2: Registry) -> None:
    for result in registry.check(df2):
        assert result.name in page
        assert (f'id="check-{result.name}"' in page) == bool(result.count)
    assert re.search(r'<img src="data:image/webp;base64,[^"]+" alt="annotation of the [a-z ]+ in train/', page)


def test_a_check_of_the_user_that_is_broken_is_told_and_the_others_go_on(page_with_settings: str) -> None:
    assert "Item whose box is &lt;wide&gt;. " in page_with_settings and "width 100" in page_with_settings
    assert "broken" in page_with_settings and "expected a line" in page_with_settings


def test_accepted_exceptions_and_limits_are_columns_where_there_are_any(page: str, page_with_settings: str) -> None:
    assert '<th scope="col" class="number">limit</th>' in page_with_settings and ">failed<" in page_with_settings
    assert ">limit</th>" not in page and ">accepted</th>" not in page


def test_pictures_end_where_the_page_would_be_too_large(df2: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("registry.report.thumbnails._MOST_BYTES", 0)
    assert report(df2).html.count("<img ") == 1


def test_a_whole_registry_stands_beside_the_release_and_a_subset_does_not(
    page: str, page_of_test: str, page_of_condition: str, empty_page: str
) -> None:
    assert "The official release" in page and "191,961" in page
    assert "The official release" in page_of_test
    assert "The official release" not in page_of_condition
    assert "The official release" not in empty_page


def test_photos_are_shown_and_a_damaged_one_is_a_plain_canvas(tmp_path: Path) -> None:
    photos = {1: jpeg(200, 300), 2: b"no photo"}
    source = write_split(tmp_path / "release/train", {1: annotation(), 2: annotation([item(2)])}, {1: jpeg(200, 300)})
    ingest("train", str(source), str(tmp_path / "registry"), jobs=1)
    write_split(source, {}, photos)
    made = report(registry.open(str(tmp_path / "registry")), photos=Photos(str(tmp_path / "release")))
    assert "annotation of the short sleeve top in train/000001 item 1, on a photo" in made.html
    assert "annotation of the long sleeve top in train/000002 item 1, on a plain canvas" in made.html
    ((problem, is_bad_input),) = made.problems.lines()
    assert "000002.jpg" in problem and is_bad_input
    assert str(tmp_path) not in made.html


def test_the_terms_of_the_data_are_shown(page: str) -> None:
    assert "DeepFashion2 is for non-commercial research and may not be redistributed" in page


def test_an_empty_subset_has_no_empty_table_and_counts_only_the_checks_that_were_run(empty_page: str) -> None:
    """The page had a table of a caption alone, and said that all checks had looked for rows."""
    assert "<caption>Counts by split</caption>" not in empty_page
    looked, not_run = map(
        int, re.findall(r"(\d+) checks looked for rows that are odd, (\d+) could not be run", empty_page)[0]
    )
    assert not_run == empty_page.count("<span>not run</span>") > 0
    assert looked == empty_page.count("<span>no limit</span>")


def test_predictions_are_the_first_section_with_their_worst_images(page: str, tmp_path: Path) -> None:
    df2 = registry.open(str(make_generated(tmp_path)))
    (tmp_path / "predictions.json").write_text(json.dumps(unique_predictions(df2, 1)))
    evaluations = {
        task: registry.evaluate(
            df2, task, str(tmp_path / "predictions.json"), by=["occlusion"], subset={"split": "validation"},
            resamples=20,
        )
        for task in ("landmarks", "boxes", "masks")
    }  # fmt: skip
    whole = report(df2, Subset(split=("validation",)), evaluation=evaluations["landmarks"]).html
    assert report(df2, Subset(split=("validation",)), evaluation=evaluations["landmarks"]).html == whole
    before, _, rest = whole.partition('<section id="evaluation"')
    after = rest.partition("</section>")[2]
    for task, evaluation in evaluations.items():
        # The other sections of the page do not depend on the task, and take longer to draw.
        section = str(evaluation_section(evaluation, Thumbnails(Album(df2))))
        page_of_task = before + section + after
        if task == "landmarks":
            assert page_of_task == whole
        else:
            assert str(evaluation_section(evaluation, Thumbnails(Album(df2)))) == section
        checker = _Checker()
        checker.feed(page_of_task)
        assert not checker.open and not checker.problems and len(set(checker.ids)) == len(checker.ids)
        titles = [text for level, text in outline(page_of_task) if level == 2]
        assert titles[1] == f"How good the predicted {task} are"
        assert "Match R-CNN" in section and "occlusion=heavy" in section and "±" in section
        kinds = ["Precision by recall", "AP by category", "Kinds of error", "Which category was predicted"]
        kinds += ["The landmarks predicted worst"] if task == "landmarks" else []
        assert [text for level, text in outline(section) if level == 3] == [*kinds, "The worst images"]
        assert re.search(r'<img [^>]*alt="annotation of \d+ items? and \d+ predictions? in validation/', section)
        assert section.count("<img ") == 12
    assert 'id="evaluation"' not in page
