"""Hugging Face: the card, the files, and ``datasets.load_dataset`` on them without a network."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow.parquet as pq
import pytest

import registry
from registry.errors import UsageError
from registry.exports.run import Plan, export
from registry.subset.options import Subset
from registry.subset.resplit import Resplit
from tests.exports.releases import run_export
from tests.sources.packing import files_in, write_zipcrypto

CARD = """\
---
pretty_name: DeepFashion2
license: other
license_name: deepfashion2-non-commercial-research
license_link: https://github.com/switchablenorms/DeepFashion2
task_categories:
- object-detection
- image-segmentation
- keypoint-detection
- image-to-image
configs:
- config_name: default
  data_files:
  - split: validation
    path: data/validation-*.parquet
dataset_info:
  features:
  - name: split
    dtype: string
  - name: image_id
    dtype: int32
  - name: file_name
    dtype: string
  - name: source
    dtype:
      class_label:
        names:
          '0': user
          '1': shop
  - name: pair_id
    dtype: int32
  - name: width
    dtype: int32
  - name: height
    dtype: int32
  - name: objects
    list:
    - name: item_no
      dtype: int16
    - name: category
      dtype:
        class_label:
          names:
            '0': short sleeve top
            '1': long sleeve top
            '2': short sleeve outwear
            '3': long sleeve outwear
            '4': vest
            '5': sling
            '6': shorts
            '7': trousers
            '8': skirt
            '9': short sleeve dress
            '10': long sleeve dress
            '11': vest dress
            '12': sling dress
    - name: category_id
      dtype: int8
    - name: style
      dtype: int32
    - name: bbox
      list: float64
    - name: scale
      dtype: int8
    - name: occlusion
      dtype: int8
    - name: zoom_in
      dtype: int8
    - name: viewpoint
      dtype: int8
    - name: landmarks
      list:
        list: int32
    - name: segmentation
      list:
        list: float64
  splits:
  - name: validation
    num_bytes: @
    num_examples: 2
---

# DeepFashion2

Clothing items in photos of consumers and shops, with boxes, landmarks, masks and attributes; a subset or all of
[DeepFashion2](https://github.com/switchablenorms/DeepFashion2), written by `df2 export huggingface`. Which subset, of
which data, and the sha256 of every file stand in `export.json`.

| split | images | items |
|---|---:|---:|
| validation | 2 | 2 |

```python
import datasets

dataset = datasets.load_dataset("PATH_OF_THIS_FOLDER")
```

## Fields

One row per image, with its items in `objects`, in the order of the annotation file.

| field | meaning |
|---|---|
| `split`, `image_id`, `file_name` | `SPLIT/image/FILE_NAME` in the release; ids and names repeat by split |
| `source` | 0 `user` (a consumer's photo), 1 `shop`; null where no annotation was released |
| `pair_id` | group of photos with the same clothes; restarts in every split |
| `width`, `height` | of the photo, px; null where not known |
| `objects` | the items; empty where none was annotated or chosen |
| `item_no` | number of the item in its file, from 1, may have gaps |
| `category` | 0 to 12, the 13 names; it is `category_id` - 1, as class labels count from 0 |
| `category_id` | 1 to 13, as in the annotations |
| `style` | `split`, `pair_id` and a `style` above 0 are one identity; 0: not seen on both sides |
| `bbox` | `[x1, y1, x2, y2]`, px from the top-left corner |
| `scale` | 1 small, 2 moderate, 3 large |
| `occlusion` | 1 slight or none, 2 medium, 3 heavy |
| `zoom_in` | 1 none, 2 medium, 3 large |
| `viewpoint` | 1 no wear, 2 frontal, 3 side or back |
| `landmarks` | 8 to 39 by category, each `[x, y, v]`; v 2 visible, 1 occluded, 0 not labelled (x = y = 0) |
| `segmentation` | polygons, each `[x, y, ...]`, px; the mask is their union |

## Licence

DeepFashion2 is for non-commercial research and may not be redistributed: it is obtained from its authors with their
form. Do not publish this folder.

## Citation

```bibtex
@inproceedings{DeepFashion2,
  author    = {Yuying Ge and Ruimao Zhang and Lingyun Wu and Xiaogang Wang and Xiaoou Tang and Ping Luo},
  title     = {A Versatile Benchmark for Detection, Pose Estimation, Segmentation and Re-Identification of
               Clothing Images},
  booktitle = {CVPR},
  year      = {2019}
}
```
"""


@pytest.fixture
def datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return the library, with its caches below ``tmp_path`` and no way to the network."""
    for name, value in {"HF_DATASETS_OFFLINE": "1", "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "home")}.items():
        monkeypatch.setenv(name, value)
    import datasets

    # Where another test has imported it before, it has read the environment already.
    monkeypatch.setattr(datasets.config, "HF_DATASETS_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()
    return datasets


def shards(folder: Path) -> dict[str, list[tuple[str, int]]]:
    """Return split and image_id of the rows in each file."""
    return {
        path.name: [
            (row["split"], row["image_id"]) for row in pq.read_table(path, columns=["split", "image_id"]).to_pylist()
        ]
        for path in sorted((folder / "data").iterdir())
    }


def released(release: Path, split: str, image_id: int) -> dict[str, Any]:
    """Return an annotation as it was released."""
    actual: dict[str, Any] = json.loads((release / split / "annos" / f"{image_id:06d}.json").read_bytes())
    return actual


def test_the_card_describes_the_export(exportable: Path, tmp_path: Path) -> None:
    run_export(exportable, "huggingface", tmp_path / "out", subset={"split": "validation"}, images="none")
    size = (tmp_path / "out" / "data" / "validation-00000-of-00001.parquet").stat().st_size
    assert (tmp_path / "out" / "README.md").read_text() == CARD.replace("@\n", f"{size}\n", 1)


def test_a_row_has_the_image_and_its_items(exportable: Path, release: Path, tmp_path: Path) -> None:
    manifest = run_export(exportable, "huggingface", tmp_path / "out", photos=release, subset={"split": "validation"})
    assert [file.path for file in manifest.files] == ["README.md", "data/validation-00000-of-00001.parquet"]
    assert manifest.counts == {"validation": {"images": 2, "items": 2, "shards": 1}}
    (row, _) = pq.read_table(tmp_path / "out" / "data").to_pylist()
    photo = (release / "validation" / "image" / "000001.jpg").read_bytes()
    assert row == {
        "image": {"bytes": photo, "path": "000001.jpg"},
        "split": "validation",
        "image_id": 1,
        "file_name": "000001.jpg",
        "source": 0,
        "pair_id": 1,
        "width": 200,
        "height": 300,
        "objects": [
            {
                "item_no": 1,
                "category": 6,
                "category_id": 7,
                "style": 1,
                "bbox": [10.0, 20.0, 110.0, 220.0],
                "scale": 2,
                "occlusion": 1,
                "zoom_in": 1,
                "viewpoint": 2,
                "landmarks": [[10 + number, 20 + number, 2] for number in range(1, 11)],
                "segmentation": [[10.5, 20.25, 110.0, 20.0, 110.0, 220.125]],
            }
        ],
    }


def test_the_library_loads_it_with_photos_and_types(
    datasets: ModuleType, exportable: Path, release: Path, tmp_path: Path
) -> None:
    run_export(exportable, "huggingface", tmp_path / "out", photos=release, shard_size=2)
    loaded = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    assert {name: len(rows) for name, rows in loaded.items()} == {"train": 5, "validation": 2, "test": 2}
    features = loaded["train"].features
    assert isinstance(features["image"], datasets.Image)
    assert features["source"].names == ["user", "shop"]
    category = features["objects"].feature["category"]
    assert (category.num_classes, category.int2str(0), category.str2int("sling dress")) == (13, "short sleeve top", 12)
    for split, rows in loaded.items():
        for row in rows:
            assert row["image"].size == (row["width"], row["height"]) == ((40, 30) if split == "test" else (200, 300))
            if split == "test":
                assert (row["source"], row["pair_id"], row["objects"]) == (None, None, [])
                continue
            original = released(release, split, row["image_id"])
            assert features["source"].int2str(row["source"]) == original.pop("source")
            assert row["pair_id"] == original.pop("pair_id")
            assert sorted(original) == sorted(f"item{actual['item_no']}" for actual in row["objects"])
            for actual in row["objects"]:
                item = original[f"item{actual['item_no']}"]
                assert category.int2str(actual["category"]) == item["category_name"]
                assert actual["bbox"] == item["bounding_box"]
                assert [value for point in actual["landmarks"] for value in point] == item["landmarks"]
                same = ("category_id", "style", "scale", "occlusion", "zoom_in", "viewpoint", "segmentation")
                assert {name: actual[name] for name in same} == {name: item[name] for name in same}


@pytest.mark.parametrize("images", ["copy", "none"])
def test_card_and_files_declare_the_same_types(
    images: str, datasets: ModuleType, exportable: Path, release: Path, tmp_path: Path
) -> None:
    run_export(exportable, "huggingface", tmp_path / "out", images=images, photos=release)
    of_files = [
        datasets.Features.from_arrow_schema(pq.read_schema(path)) for path in (tmp_path / "out" / "data").iterdir()
    ]
    of_card = datasets.load_dataset_builder(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache")).info.features
    assert of_files == [of_card] * 3
    assert ("image" in of_card) == (images == "copy")


def test_files_have_the_requested_number_of_images(exportable: Path, tmp_path: Path) -> None:
    manifest = run_export(exportable, "huggingface", tmp_path / "out", images="none", shard_size=2)
    assert shards(tmp_path / "out") == {
        "test-00000-of-00001.parquet": [("test", 1), ("test", 2)],
        "train-00000-of-00003.parquet": [("train", 1), ("train", 2)],
        "train-00001-of-00003.parquet": [("train", 3), ("train", 4)],
        "train-00002-of-00003.parquet": [("train", 7)],
        "validation-00000-of-00001.parquet": [("validation", 1), ("validation", 2)],
    }
    assert manifest.counts["train"] == {"images": 5, "items": 8, "shards": 3}


def test_bytes_do_not_depend_on_chunk_boundaries(
    exportable: Path, release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("registry.exports.formats.huggingface._GROUP", 3)
    run_export(exportable, "huggingface", tmp_path / "first", photos=release, shard_size=4)
    monkeypatch.setattr("registry.store.chunks.CHUNK_IMAGES", 2)
    run_export(exportable, "huggingface", tmp_path / "second", photos=release, shard_size=4)
    assert files_in(tmp_path / "first") == files_in(tmp_path / "second")
    file = pq.ParquetFile(tmp_path / "first" / "data" / "train-00000-of-00002.parquet")
    assert [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)] == [3, 1]


def test_parts_of_a_resplit_are_splits(datasets: ModuleType, exportable: Path, release: Path, tmp_path: Path) -> None:
    resplit = Resplit.parse("train=0.5,val-a=0.5", 1)
    run_export(exportable, "huggingface", tmp_path / "out", resplit=resplit, photos=release)
    loaded = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    assert set(loaded) == {"train", "val_a"}
    rows = [row for actual in loaded.values() for row in actual]
    assert len({(row["split"], row["image_id"]) for row in rows}) == 7
    paths = loaded["train"].cast_column("image", datasets.Image(decode=False))
    for row in paths:
        assert row["image"]["path"] == f"{row['split']}_{row['file_name']}"


def test_part_names_that_become_the_same_split_name_are_refused(exportable: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="two parts are val_a: name them otherwise"):
        run_export(
            exportable, "huggingface", tmp_path / "out", resplit=Resplit.parse("val-a=0.5,val_a=0.5"), images="none"
        )
    assert list(tmp_path.iterdir()) == []


def test_a_part_without_images_does_not_hinder_the_others(
    datasets: ModuleType, exportable: Path, release: Path, tmp_path: Path
) -> None:
    subset = {"split": ["train", "validation"], "category": "shorts"}
    run_export(exportable, "huggingface", tmp_path / "out", subset=subset, photos=release)
    assert shards(tmp_path / "out")["train-00000-of-00001.parquet"] == []
    loaded = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    assert {name: len(rows) for name, rows in loaded.items()} == {"validation": 2}


def test_an_empty_subset_can_be_streamed(datasets: ModuleType, exportable: Path, release: Path, tmp_path: Path) -> None:
    run_export(exportable, "huggingface", tmp_path / "out", subset={"category": "sling"}, photos=release)
    loaded = datasets.load_dataset(str(tmp_path / "out"), streaming=True, cache_dir=str(tmp_path / "cache"))
    assert {name: list(rows) for name, rows in loaded.items()} == {"train": [], "validation": [], "test": []}


def test_photos_are_read_from_a_protected_zip(exportable: Path, release: Path, tmp_path: Path) -> None:
    photos = files_in(release / "validation")
    (tmp_path / "zips").mkdir()
    packed = {f"validation/{path}": data for path, data in photos.items()}
    write_zipcrypto(tmp_path / "zips" / "validation.zip", packed, "secret")
    plan = Plan.of("huggingface", Subset.of(split="validation"))
    opened = registry.open(str(exportable))
    export(opened, plan, str(tmp_path / "out"), photos=str(tmp_path / "zips"), password="secret")
    rows = pq.read_table(tmp_path / "out" / "data").to_pylist()
    assert [row["image"]["bytes"] for row in rows] == [photos["image/000001.jpg"], photos["image/000002.jpg"]]
