"""Predictions in the browser: counts and their pictures agree, and files of any kind are answered with a page."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from pycocotools import mask
from starlette.testclient import TestClient

import registry
from registry.cli.browse import _by_name
from registry.evaluation.run import evaluate
from registry.subset.options import Subset
from registry.web import predictions
from registry.web.app import create_app
from registry.web.prediction_shapes import outline
from registry.web.security import Access
from registry.web.site import Settings, Site
from tests.registries import make_three_splits

JSON = {"Accept": "application/json"}
TRAIN = "split=train"


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> registry.store.registry.Registry:
    return registry.open(str(make_three_splits(tmp_path_factory.mktemp("three"))))


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predictions, "_PATIENCE", 30.0)


def write_predictions(opened: Any, path: Path, seed: int = 1) -> Path:
    """Write predictions of the items of train: right ones, wrong ones, and none."""
    rng = np.random.default_rng(seed)
    rows = opened.sql("SELECT image_id, category_id, x1, y1, x2, y2 FROM items WHERE split = 'train'").fetchall()
    records = []
    for image_id, category_id, x1, y1, x2, y2 in [*rows, *rows, *rows]:
        x, y = (float(number) for number in rng.choice([0, 0, 5, 300], 2))
        category = int(category_id if rng.random() < 0.6 else rng.integers(1, 14))
        record = {"image_id": image_id, "category_id": category, "score": round(float(rng.random()), 3)}
        records.append({**record, "bbox": [x1 + x, y1 + y, x2 - x1, y2 - y1]})
    path.write_text(json.dumps(records))
    return path


def client_of(opened: Any, **files: Any) -> TestClient:
    task = files.pop("task", "boxes")
    site = Site(opened, Settings(predictions={name: str(path) for name, path in files.items()}, task=task))
    return TestClient(create_app(site, Access.of("127.0.0.1")), base_url="http://127.0.0.1")


@pytest.fixture(scope="module")
def files(opened: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("predictions")
    return {name: write_predictions(opened, folder / f"{name}.json", seed) for name, seed in (("old", 1), ("new", 2))}


@pytest.fixture(scope="module")
def client(opened: Any, files: dict[str, Path]) -> TestClient:
    return client_of(opened, **files)


def answer(client: TestClient, path: str) -> Any:
    response = client.get(path, headers=JSON)
    assert response.status_code == 200, response.text
    return response.json()


def test_scores_are_those_of_evaluate_and_two_models_have_their_difference(
    client: TestClient, opened: Any, files: dict[str, Path]
) -> None:
    page = answer(client, f"/predictions?{TRAIN}")
    evaluations = {
        name: evaluate(opened, "boxes", str(path), subset=Subset.of(split="train"), resamples=0)
        for name, path in files.items()
    }
    for row in page["scores"]:
        for metric, values in row["metrics"].items():
            old, new = (evaluations[name].value(metric, row["slice"]) for name in ("old", "new"))
            assert (values["old"], values["new"]) == (old, new)
            assert values["difference"] == (None if None in (old, new) else new - old)
    assert page["scores"][0]["slice"] == "all"


@pytest.mark.parametrize("least", ["", "&min_score=0.5", "&min_score=0.99", "&min_score=2"])
@pytest.mark.parametrize("model", ["old", "new"])
def test_each_number_leads_to_as_many_pictures(client: TestClient, model: str, least: str) -> None:
    page = answer(client, f"/predictions?{TRAIN}&model={model}{least}")
    for row in page["confusion"]["rows"]:
        for cell in row["cells"]:
            shown = answer(client, cell["link"])
            assert shown["count"] == cell["count"], cell
            assert len(shown["rows"]) == min(cell["count"], predictions.SIZE)
    for row in page["errors"]:
        shown = answer(client, row["models"][model]["link"])
        if least:
            assert shown["count"] == row["models"][model]["count"]


@pytest.mark.parametrize("least", ["0", "0.5", "0.9", "2"])
def test_missed_says_the_same_everywhere_at_a_score(
    client: TestClient, least: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predictions, "SIZE", 1000)
    page = answer(client, f"/predictions?{TRAIN}&model=old&min_score={least}")
    missed = next(row["models"]["old"] for row in page["errors"] if row["kind"] == "missed")
    nothing = [
        cell["count"] for row in page["confusion"]["rows"] for cell in row["cells"] if cell["predicted"] == "nothing"
    ]
    assert missed["count"] == sum(nothing) == sum(row["num_missed"] for row in page["images"])
    assert missed["count"] == answer(client, missed["link"])["count"]


def test_the_confusion_at_the_best_score_is_that_of_evaluate(opened: Any, files: dict[str, Path]) -> None:
    evaluation = evaluate(opened, "boxes", str(files["old"]), subset=Subset.of(split="train"), resamples=0)
    page = answer(
        client_of(opened, old=files["old"]), f"/predictions?{TRAIN}&min_score={evaluation.facts['best_score']}"
    )
    shown = {
        (row["truth"], cell["predicted"]): cell["count"]
        for row in page["confusion"]["rows"]
        for cell in row["cells"]
        if cell["count"]
    }
    assert shown == {
        (row["category"] or "nothing", row["predicted"] or "nothing"): row["count"]
        for row in evaluation.tables["confusion"].to_pylist()
    }


def test_the_worst_images_come_first_in_pages(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predictions, "SIZE", 2)
    path, rows = f"/predictions?{TRAIN}", []
    while path:
        page = answer(client, path)
        rows += page["images"]
        path = page["links"].get("next", "")
    assert len(rows) == page["num_worst"] > 2
    assert [row["badness"] for row in rows] == sorted((row["badness"] for row in rows), reverse=True)


def test_an_image_shows_each_prediction_with_its_kind_below_the_score_hidden(client: TestClient) -> None:
    path = f"/predictions/image/train/1?{TRAIN}&min_score=0.5"
    data, page = answer(client, path), client.get(path).text
    drawn = re.findall(r'<g class="prediction kind-([a-z]+) model-([01])( below)?" data-score="([0-9.]+)"', page)
    expected = [
        (row["kind"], str(number), " below" if row["score"] < 0.5 else "", row["score"])
        for number, rows in enumerate(data["predictions"].values())
        for row in rows
    ]
    assert sorted((*shape[:3], float(shape[3])) for shape in drawn) == sorted(expected)
    assert "style=" not in page


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("", "cannot be read"),
        ("{", "cannot be read"),
        ("[{}]", ""),
        ('[{"image_id": 1, "category_id": 99, "score": 1, "bbox": [0, 0, 1, 1]}]', "category"),
        ('[{"image_id": 77777, "category_id": 1, "score": 1, "bbox": [0, 0, 1, 1]}]', "--skip-bad"),
        ('[{"image_id": 1, "category_id": 1, "score": 1, "bbox": [0, 0, NaN, 1]}]', ""),
        (None, "no"),
    ],
)
def test_a_broken_file_is_told_on_the_page_and_the_other_model_is_shown(
    opened: Any, files: dict[str, Path], tmp_path: Path, content: str | None, text: str
) -> None:
    path = tmp_path / "broken.json"
    if content is not None:
        path.write_text(content)
    client = client_of(opened, broken=path, old=files["old"])
    page = answer(client, f"/predictions?{TRAIN}")
    assert list(page["problems"]) == ["broken"]
    assert text in page["problems"]["broken"]
    assert page["scores"][0]["metrics"]["AP"]["old"] is not None
    assert "confusion" in answer(client, f"/predictions?{TRAIN}&model=old")
    for path_of_page in ("/predictions", "/predictions/image/train/1"):
        assert client.get(f"{path_of_page}?{TRAIN}").status_code == 200
    assert client.get(f"/predictions/pictures?{TRAIN}&kind=missed").status_code in (400, 404, 503)


def test_bad_records_can_be_left_out(opened: Any, tmp_path: Path) -> None:
    path = tmp_path / "bad.json"
    record = {"image_id": 1, "category_id": 1, "score": 1, "bbox": [0, 0, 1, 1]}
    path.write_text(json.dumps([record, {**record, "category_id": 99}]))
    client = client_of(opened, bad=path)
    assert "confusion" not in answer(client, f"/predictions?{TRAIN}")
    assert "confusion" in answer(client, f"/predictions?{TRAIN}&skip_bad=1")


@pytest.mark.parametrize("task", ["boxes", "masks", "landmarks"])
def test_an_empty_file_misses_every_item(opened: Any, tmp_path: Path, task: str) -> None:
    path = tmp_path / "empty.json"
    path.write_text("[]")
    client = client_of(opened, empty=path, task=task)
    page = answer(client, f"/predictions?{TRAIN}")
    assert page["scores"][0]["metrics"]["AP"]["empty"] == 0
    assert {row["kind"] for row in page["errors"] if row["models"]["empty"]["count"]} == {"missed"}
    for path_of_page in ("/predictions", "/predictions/image/train/1"):
        assert client.get(f"{path_of_page}?{TRAIN}").status_code == 200
    assert client.get(f"/predictions/pictures?{TRAIN}&kind=missed").status_code == 200


def test_masks_and_landmarks_are_drawn(opened: Any, tmp_path: Path) -> None:
    ((image_id, category_id, width, height, landmarks),) = opened.sql(
        "SELECT image_id, category_id, width, height, landmarks FROM items JOIN images USING (split, image_id) "
        "WHERE split = 'train' AND len(landmarks) > 0 ORDER BY ALL LIMIT 1"
    ).fetchall()
    record = {"image_id": image_id, "category_id": category_id, "score": 0.5}
    masks = tmp_path / "masks.json"
    masks.write_text(json.dumps([{**record, "segmentation": [[1, 1, 9, 1, 9, 7, 1, 7]]}]))
    page = client_of(opened, m=masks, task="masks").get(f"/predictions/image/train/{image_id}?{TRAIN}&min_score=0")
    assert '<path class="over" d="M' in page.text, (width, height)
    points = tmp_path / "landmarks.json"
    points.write_text(json.dumps([{**record, "keypoints": landmarks}]))
    page = client_of(opened, m=points, task="landmarks").get(f"/predictions/image/train/{image_id}?{TRAIN}&min_score=0")
    assert page.text.count('<circle class="over"') == len(landmarks) // 3


def test_the_outline_of_a_mask_has_its_area_and_holes() -> None:
    pixels = np.zeros((20, 30), np.uint8)
    pixels[2:12, 3:15] = 1
    pixels[5:8, 6:9] = 0
    runs = mask.encode(np.asfortranarray(pixels))
    path = outline(list(runs["size"]), runs["counts"])
    assert path.count("M") == 2
    numbers = [float(number) for number in re.findall(r"[0-9.]+", path)]
    assert (min(numbers[0::2]), max(numbers[0::2]), min(numbers[1::2]), max(numbers[1::2])) == (3, 15, 2, 12)
    empty = mask.encode(np.zeros((4, 4), np.uint8, order="F"))
    assert outline(list(empty["size"]), empty["counts"]) == ""


def test_a_page_says_that_it_is_evaluating(
    opened: Any, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predictions, "_PATIENCE", 0.0)
    client = client_of(opened, old=files["old"])
    response = client.get(f"/predictions?{TRAIN}&min_score=0.5")
    assert response.status_code == 202
    assert 'hx-get="/predictions?split=train&amp;min_score=0.5"' in response.text
    monkeypatch.setattr(predictions, "_PATIENCE", 30.0)
    assert client.get(f"/predictions?{TRAIN}").status_code == 200


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/predictions?model=other", 400),
        ("/predictions?min_score=nan", 400),
        ("/predictions?min_score=1e999", 400),
        ("/predictions?page=-1", 400),
        ("/predictions?page=1e9", 200),
        ("/predictions?page=1e300", 400),
        ("/predictions/pictures", 400),
        ("/predictions/pictures?kind=odd", 400),
        ("/predictions/pictures?truth=skirt&predicted=hat", 400),
        ("/predictions/pictures?truth=nothing&predicted=nothing&split=train", 200),
        ("/predictions/image/train/999", 404),
        ("/predictions/image/other/1", 404),
        ("/predictions/image/train/99999999999999999999999", 404),
        ("/predictions?split=test", 200),
        ("/predictions?category=skirt&source=user", 200),
        ("/predictions?pair_id=99999", 200),
    ],
)
def test_odd_addresses_are_answered(client: TestClient, path: str, status: int) -> None:
    for kind in (JSON, {}):
        assert client.get(path, headers=kind).status_code == status


def test_a_server_without_predictions_says_how_to_show_them(opened: Any) -> None:
    response = client_of(opened).get("/predictions")
    assert response.status_code == 404
    assert "--predictions FILE" in response.text


def test_models_have_the_names_before_their_files_or_those_of_the_files() -> None:
    assert _by_name(("old=a.json", "runs/new.parquet")) == {"old": "a.json", "new": "runs/new.parquet"}
    assert _by_name(("s3://b/x.json?v=1",)) == {"x": "s3://b/x.json?v=1"}
    for models in (("a.json", "b/a.json"), ("a=1", "b=2", "c=3"), ("a=",)):
        with pytest.raises(click.UsageError, match="--predictions"):
            _by_name(models)
