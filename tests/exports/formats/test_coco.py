"""COCO files: the official ones value for value, and as their readers see them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import imagesize
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from registry.dataset.deepfashion2 import CATEGORIES, CATEGORY_BY_ID, LANDMARK_SLOTS
from registry.ingest.build import ingest
from registry.subset.resplit import Resplit
from tests.exports.official_coco import official_coco
from tests.exports.releases import PHOTO_SIZE, run_export
from tests.helpers import annotation, annotations, item, jpeg, landmarks, write_split

GOLDEN = """\
{"info": {}, "licenses": [], "images": [
{"coco_url": "", "date_captured": "", "file_name": "000003.jpg", "flickr_url": "", "id": 3, "license": 0, \
"width": 40, "height": 30, "source": "user", "pair_id": 7, "match_desc": {"2": 7, "1": 7}, \
"orientation": null},
{"coco_url": "", "date_captured": "", "file_name": "000012.jpg", "flickr_url": "", "id": 12, "license": 0, \
"width": null, "height": null, "source": "shop", "pair_id": 1, "match_desc": {"1": 1}, \
"orientation": null}],
"annotations": [
{"area": 20000, "bbox": [10, 20, 100, 200], "category_id": 9, "id": 1, "pair_id": 7, "image_id": 3, "iscrowd": 0, \
"style": 2, "segmentation": [[10.5,20.25,110,20,110,220.125]], "source": "user", "scale": 2, "occlusion": 1, \
"zoom_in": 1, "viewpoint": 2, "item_no": 2, "item_order": 1, \
"bbox_xyxy": [10, 20, 110, 220]},
{"area": 3.25, "bbox": [0.5, 1, 1.625, 2], "category_id": 1, "id": 2, "pair_id": 7, "image_id": 3, "iscrowd": 0, \
"style": 1, "segmentation": [[1,2,3,4,5,6],[0.1,2,3,4,5,6]], "source": "user", "scale": 2, "occlusion": 1, \
"zoom_in": 1, "viewpoint": 2, "item_no": 1, "item_order": 2, \
"bbox_xyxy": [0.5, 1, 2.125, 3]},
{"area": 20000, "bbox": [10, 20, 100, 200], "category_id": 1, "id": 3, "pair_id": 1, "image_id": 12, "iscrowd": 0, \
"style": 1, "segmentation": [], "source": "shop", "scale": 2, "occlusion": 1, "zoom_in": 1, "viewpoint": 2, \
"item_no": 1, "item_order": 1, "bbox_xyxy": [10, 20, 110, 220]}],
"categories": [
"""


def load(path: Path) -> dict[str, Any]:
    actual: dict[str, Any] = json.loads(path.read_bytes())
    return actual


def test_the_exact_file_of_an_image(tmp_path: Path) -> None:
    first = annotation(
        [
            item(1, 1, bounding_box=[0.5, 1, 2.125, 3], segmentation=[[1, 2, 3, 4, 5, 6], [0.1, 2.0, 3, 4, 5, 6]]),
            item(9, 2),
        ],
        "user",
        7,
    )
    write_split(tmp_path / "train", {3: first, 12: annotation([item(1, segmentation=[])], "shop", 1)}, {3: jpeg()})
    ingest("train", str(tmp_path / "train"), str(tmp_path / "r"), jobs=1)
    manifest = run_export(tmp_path / "r", "coco", tmp_path / "out", landmarks="none", attributes=True, names="dataset")
    text = (tmp_path / "out" / "annotations" / "train.json").read_text()
    names = ",\n".join(
        json.dumps({"id": category.id, "name": category.name, "supercategory": "clothes"}) for category in CATEGORIES
    )
    assert text == f"{GOLDEN}{names}]}}\n"
    why = "are not known, so width and height are null: ingest with the photos to have them"
    assert manifest.left_out == [{"what": "sizes of images", "why": why, "number": 1}]


@pytest.mark.parametrize("split", ["train", "validation"])
def test_the_official_conversion_of_the_drawn_release(
    split: str, drawn: Path, drawn_registry: Path, tmp_path: Path
) -> None:
    run_export(drawn_registry, "coco", tmp_path / "out")
    sizes = {int(path.stem): imagesize.get(path) for path in (drawn / split / "image").iterdir()}
    assert load(tmp_path / "out" / "annotations" / f"{split}.json") == official_coco(drawn / split / "annos", sizes)


@pytest.mark.parametrize("split", ["train", "validation"])
def test_the_official_conversion_of_the_real_samples(split: str, real_samples: Path, tmp_path: Path) -> None:
    ingest(split, str(real_samples / split), str(tmp_path / "r"), jobs=1)
    run_export(tmp_path / "r", "coco", tmp_path / "out")
    assert load(tmp_path / "out" / "annotations" / f"{split}.json") == official_coco(real_samples / split / "annos", {})


@settings(max_examples=6, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
@given(drawn_annotations=st.lists(annotations(), min_size=12, max_size=12))
def test_the_official_conversion_of_any_annotations(
    drawn_annotations: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    files: dict[int | str, Any] = {3**number: entry for number, entry in enumerate(drawn_annotations[:10])}
    folder = tmp_path_factory.mktemp("any")
    ingest("train", str(write_split(folder / "train", files)), str(folder / "r"), jobs=1)
    run_export(folder / "r", "coco", folder / "out")
    actual = load(folder / "out" / "annotations" / "train.json")
    assert actual == official_coco(folder / "train" / "annos", {})


def test_a_subset_has_new_annotation_ids_and_only_its_images(exportable: Path, tmp_path: Path) -> None:
    run_export(exportable, "coco", tmp_path / "out", subset={"category": "trousers", "split": "train"})
    actual = load(tmp_path / "out" / "annotations" / "train.json")
    assert [(record["id"], record["image_id"]) for record in actual["annotations"]] == [(1, 1), (2, 4)]
    assert [record["id"] for record in actual["images"]] == [1, 4]
    assert len(actual["categories"]) == 13


def test_photos_are_named_by_the_mode_of_images(exportable: Path, release: Path, tmp_path: Path) -> None:
    names = {}
    for images in ("none", "reference", "link", "copy"):
        run_export(exportable, "coco", tmp_path / images, images=images, photos=release)
        actual = load(tmp_path / images / "annotations" / "train.json")
        names[images] = actual["images"][0]["file_name"]
        assert (tmp_path / images / "images" / "train" / "000001.jpg").exists() == (images in ("link", "copy"))
    plain = "000001.jpg"
    assert names == {"none": plain, "reference": f"train/image/{plain}", "link": plain, "copy": plain}


def test_parts_of_several_splits_have_unique_ids_and_names(exportable: Path, release: Path, tmp_path: Path) -> None:
    resplit = Resplit.parse("a=0.5,b=0.5", 0)
    subset = {"split": ["train", "validation", "test"]}
    run_export(exportable, "coco", tmp_path / "out", subset=subset, resplit=resplit, images="copy", photos=release)
    images: list[dict[str, Any]] = []
    for part in "ab":
        actual = load(tmp_path / "out" / "annotations" / f"{part}.json")
        images += actual["images"]
        names = {path.name for path in (tmp_path / "out" / "images" / part).iterdir()}
        assert names == {image["file_name"] for image in actual["images"]}
        assert {image["image_id"] for image in actual["annotations"]} <= {image["id"] for image in actual["images"]}
        assert all(image["pair_id"] // 1_000_000 == image["image_id"] // 1_000_000 for image in actual["annotations"])
    by_name = {image["file_name"]: image["id"] for image in images}
    assert len(by_name) == len({image["id"] for image in images}) == 9
    assert by_name["train_000001.jpg"] == 1_000_001
    assert by_name["validation_000001.jpg"] == 2_000_001
    assert by_name["test_000002.jpg"] == 3_000_002


def test_the_mask_area_is_the_area_of_the_union(tmp_path: Path) -> None:
    square, inside, far = (
        [10, 10, 20, 10, 20, 20, 10, 20],
        [12, 12, 18, 12, 18, 18, 12, 18],
        [30, 5, 34, 5, 34, 9, 30, 9],
    )
    write_split(tmp_path / "train", {1: annotation([item(9, segmentation=[square, inside, far])])}, {1: jpeg()})
    ingest("train", str(tmp_path / "train"), str(tmp_path / "r"), jobs=1)
    run_export(tmp_path / "r", "coco", tmp_path / "out", area="mask")
    (actual,) = load(tmp_path / "out" / "annotations" / "train.json")["annotations"]
    assert actual["area"] == 116
    assert actual["bbox"] == [10, 20, 100, 200]


def results(dataset: Any, kind: str) -> Iterator[dict[str, Any]]:
    """Yield the ground truth as if a detector had found it."""
    for entry in dataset.loadAnns(dataset.getAnnIds()):
        actual = {"image_id": entry["image_id"], "category_id": entry["category_id"], "score": 1.0}
        if kind == "segm":
            actual["segmentation"] = dataset.annToRLE(entry)
        else:
            name = {"bbox": "bbox", "keypoints": "keypoints"}[kind]
            actual[name] = entry[name]
        yield actual


@pytest.mark.parametrize("kind", ["bbox", "segm", "keypoints"])
@pytest.mark.parametrize("library", ["pycocotools", "faster_coco_eval"])
def test_the_ground_truth_scores_1_against_itself(
    library: str, kind: str, drawn_registry: Path, tmp_path: Path
) -> None:
    run_export(drawn_registry, "coco", tmp_path / "out", subset={"split": "train", "min-box-area": 1})
    path = str(tmp_path / "out" / "annotations" / "train.json")
    sigmas = np.array([slot.oks_sigma for slot in LANDMARK_SLOTS])
    with redirect_stdout(StringIO()):
        if library == "pycocotools":
            from pycocotools.coco import COCO
            from pycocotools.cocoeval import COCOeval

            dataset = COCO(path)
            scoring = COCOeval(dataset, dataset.loadRes(list(results(dataset, kind))), kind)
        else:
            import faster_coco_eval

            dataset = faster_coco_eval.COCO(path)
            actual = dataset.loadRes(list(results(dataset, kind)))
            scoring = faster_coco_eval.COCOeval_faster(dataset, actual, kind)
        scoring.params.kpt_oks_sigmas = sigmas
        scoring.evaluate()
        scoring.accumulate()
        scoring.summarize()
    assert scoring.stats[0] == pytest.approx(1.0)
    assert len(dataset.getAnnIds()) > 20


def test_supervision_reads_the_same_boxes_and_masks(drawn: Path, drawn_registry: Path, tmp_path: Path) -> None:
    import supervision
    from pycocotools.coco import COCO

    run_export(drawn_registry, "coco", tmp_path / "out", subset={"split": "train"}, images="copy", photos=drawn)
    path = tmp_path / "out" / "annotations" / "train.json"
    dataset = supervision.DetectionDataset.from_coco(
        str(tmp_path / "out" / "images" / "train"), str(path), force_masks=True
    )
    with redirect_stdout(StringIO()):
        truth = COCO(str(path))
    assert dataset.classes == [category.coco_name for category in CATEGORIES]
    assert len(dataset) == len(truth.getImgIds())
    for image_path, _, actual in dataset:
        of_category = truth.loadAnns(truth.getAnnIds(imgIds=[int(Path(image_path).stem)]))
        xyxy = [[x, y, x + w, y + h] for x, y, w, h in (entry["bbox"] for entry in of_category)]
        assert np.allclose(actual.xyxy, np.array(xyxy).reshape(-1, 4))
        assert [entry["category_id"] - 1 for entry in of_category] == actual.class_id.tolist()
        for mask, entry in zip(actual.mask, of_category, strict=True):
            union = truth.annToMask(entry).astype(bool)
            overlap = (mask & union).sum() / max(1, (mask | union).sum())
            assert overlap > 0.9  # OpenCV and COCO draw the edges of polygons differently


def test_every_category_has_a_file_with_its_own_landmarks(drawn: Path, drawn_registry: Path, tmp_path: Path) -> None:
    run_export(drawn_registry, "coco-per-category", tmp_path / "out")
    whole = official_coco(drawn / "train" / "annos", {})
    for category in CATEGORIES:
        actual = load(tmp_path / "out" / "annotations" / "train" / f"{category.coco_name}.json")
        of_category = [record for record in whole["annotations"] if record["category_id"] == category.id]
        assert [record["id"] for record in actual["annotations"]] == list(range(1, len(of_category) + 1))
        first, last = 3 * category.landmark_offset, 3 * (category.landmark_offset + category.num_landmarks)
        for record, official in zip(actual["annotations"], of_category, strict=True):
            expected = official | {"keypoints": official["keypoints"][first:last], "id": record["id"]}
            assert record == expected
        assert [record["id"] for record in actual["images"]] == list(
            dict.fromkeys(record["image_id"] for record in of_category)
        )
        (record,) = actual["categories"]
        assert record["id"] == category.id
        assert len(record["keypoints"]) == len(record["sigmas"]) == category.num_landmarks
        assert record["skeleton"]
        assert all(1 <= number <= category.num_landmarks for link in record["skeleton"] for number in link)
        assert all(first < second <= category.num_landmarks for first, second in record["swap"])


@pytest.mark.parametrize("category", CATEGORIES, ids=lambda category: category.coco_name)
def test_the_landmarks_of_a_category_score_1_against_themselves(category: Any, tmp_path: Path) -> None:
    import faster_coco_eval

    rows = [item(category.id, landmarks=landmarks(category.id)), item(category.id, 2, bounding_box=[0, 0, 30, 40])]
    write_split(tmp_path / "train", {1: annotation(rows)}, {1: jpeg(*PHOTO_SIZE)})
    ingest("train", str(tmp_path / "train"), str(tmp_path / "r"), jobs=1)
    run_export(tmp_path / "r", "coco-per-category", tmp_path / "out")
    with redirect_stdout(StringIO()):
        dataset = faster_coco_eval.COCO(str(tmp_path / "out" / "annotations" / "train" / f"{category.coco_name}.json"))
        actual = dataset.loadRes(list(results(dataset, "keypoints")))
        scoring = faster_coco_eval.COCOeval_faster(dataset, actual, "keypoints")
        scoring.params.kpt_oks_sigmas = np.array(dataset.loadCats(dataset.getCatIds())[0]["sigmas"])
        scoring.evaluate()
        scoring.accumulate()
        scoring.summarize()
    assert scoring.stats[0] == pytest.approx(1.0)


@pytest.mark.parametrize("category", CATEGORIES, ids=lambda category: category.coco_name)
def test_the_metainfo_of_a_category_passes_mmposes_parser(category: Any, exportable: Path, tmp_path: Path) -> None:
    run_export(exportable, "coco-per-category", tmp_path / "out", subset={"split": "validation"})
    module: dict[str, Any] = {}
    exec((tmp_path / "out" / "metainfo" / f"{category.coco_name}.py").read_text(), module)
    info = module["dataset_info"]
    number = category.num_landmarks
    # Check the requirements of mmpose's parse_pose_metainfo.
    assert list(info["keypoint_info"]) == list(range(number))
    by_name = {entry["name"]: entry for entry in info["keypoint_info"].values()}
    assert len(by_name) == number
    for entry in by_name.values():
        assert entry["swap"] == "" or by_name[entry["swap"]]["swap"] == entry["name"]
        assert entry["swap"] != entry["name"]
    assert all(set(link["link"]) <= set(by_name) for link in info["skeleton_info"].values())
    assert len(info["joint_weights"]) == len(info["sigmas"]) == number
    slots = [slot for slot in LANDMARK_SLOTS if slot.category_id == category.id]
    offset = CATEGORY_BY_ID[category.id].landmark_offset
    for slot, entry in zip(slots, by_name.values(), strict=True):
        partner = slot.swap_slot - offset
        assert entry["swap"] == ("" if partner == entry["id"] else info["keypoint_info"][partner]["name"])


def test_one_category_passes_what_mmposes_configurations_for_deepfashion2_check(
    drawn_registry: Path, drawn: Path, tmp_path: Path
) -> None:
    run_export(drawn_registry, "coco", tmp_path / "out", subset={"category": "skirt", "split": "train"})
    document = load(tmp_path / "out" / "annotations" / "train.json")
    images = {image["id"]: image for image in document["images"]}
    skirt = CATEGORY_BY_ID[9]
    own = range(skirt.landmark_offset, skirt.landmark_offset + skirt.num_landmarks)
    num_instances = 0
    for record in document["annotations"]:
        # DeepFashion2Dataset is a BaseCocoStyleDataset: keypoints become (1, K, 3), and K is the head's 294 channels.
        points = np.array(record["keypoints"], np.float32).reshape(1, -1, 3)
        assert points.shape == (1, 294, 3)
        assert {record["iscrowd"], record["category_id"]} == {0, 9}
        assert set(np.flatnonzero(points[0, :, 2])) <= set(own), "no landmark of another category"
        assert record["num_keypoints"] == np.count_nonzero(points[0, :, 2])
        image = images[record["image_id"]]
        assert (drawn / "train/image" / image["file_name"]).is_file(), "data_prefix is train/image/ of the release"
        # The box, cut at the last pixel, has to have an area; an item without a labelled landmark is passed over.
        x, y, width, height = record["bbox"]
        left, right = np.clip([x, x + width], 0, image["width"] - 1)
        top, bottom = np.clip([y, y + height], 0, image["height"] - 1)
        num_instances += bool(record["num_keypoints"] and right > left and bottom > top)
    assert num_instances == len(document["annotations"]) > 0


@pytest.mark.parametrize("resplit", [None, Resplit.parse("a=0.5,b=0.5", 1)])
@pytest.mark.parametrize("name", ["coco", "coco-per-category"])
def test_images_carry_what_match_rcnn_reads(
    name: str, resplit: Resplit | None, drawn_registry: Path, tmp_path: Path
) -> None:
    """The loaders of SEAM-Match-RCNN take source and match_desc, style -> pair_id, of each image."""
    run_export(drawn_registry, name, tmp_path / "out", resplit=resplit, attributes=True)
    num_described = 0
    for path in (tmp_path / "out" / "annotations").rglob("*.json"):
        document = load(path)
        of_image: dict[int, list[dict[str, Any]]] = {image["id"]: [] for image in document["images"]}
        for entry in document["annotations"]:
            of_image[entry["image_id"]].append(entry)
        for image in document["images"]:
            items = of_image[image["id"]]
            num_described += len(image["match_desc"])
            assert image["match_desc"] == {str(entry["style"]): entry["pair_id"] for entry in items}
            assert list(image["match_desc"]) == list(dict.fromkeys(str(entry["style"]) for entry in items))
            for key in ("source", "pair_id"):
                assert {entry[key] for entry in items} <= {image[key]}
            if path.stem == "test":
                assert (image["pair_id"], image["match_desc"]) == (None, {})
    assert num_described > 0


@pytest.mark.parametrize("name", ["coco", "coco-per-category"])
def test_images_without_attributes_have_the_keys_of_the_official_converter(
    name: str, exportable: Path, tmp_path: Path
) -> None:
    run_export(exportable, name, tmp_path / "out")
    keys = ["coco_url", "date_captured", "file_name", "flickr_url", "id", "license", "width", "height"]
    images = [image for path in (tmp_path / "out").rglob("*/*.json") for image in load(path).get("images", [])]
    assert images
    assert all(list(image) == keys for image in images)
