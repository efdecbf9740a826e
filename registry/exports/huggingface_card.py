"""The dataset card of a Hugging Face export: ``README.md`` with its YAML front matter."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any, Final

from registry.dataset.deepfashion2 import ATTRIBUTE_CODES, CATEGORIES
from registry.dataset.terms import CITATION, TERMS, TERMS_ID, TERMS_URL
from registry.subset.classes import Classes

_TEXT: Final = """
# DeepFashion2

Clothing items in photos of consumers and shops, with boxes, landmarks, masks and attributes; a subset or all of
[DeepFashion2](https://github.com/switchablenorms/DeepFashion2), written by `df2 export huggingface`. Which subset, of
which data, and the sha256 of every file stand in `export.json`.

{counts}

```python
import datasets

dataset = datasets.load_dataset("PATH_OF_THIS_FOLDER")
```

## Fields

One row per image, with its items in `objects`, in the order of the annotation file.

| field | meaning |
|---|---|
{photo}| `split`, `image_id`, `file_name` | `SPLIT/image/FILE_NAME` in the release; ids and names repeat by split |
| `source` | 0 `user` (a consumer's photo), 1 `shop`; null where no annotation was released |
| `pair_id` | group of photos with the same clothes; restarts in every split |
| `width`, `height` | of the photo, px; null where not known |
| `objects` | the items; empty where none was annotated or chosen |
| `item_no` | number of the item in its file, from 1, may have gaps |
| `category` | {category} |
| `category_id` | 1 to 13, as in the annotations |
| `style` | `split`, `pair_id` and a `style` above 0 are one identity; 0: not seen on both sides |
| `bbox` | `[x1, y1, x2, y2]`, px from the top-left corner |
{codes}
| `landmarks` | {fewest} to {most} by category, each `[x, y, v]`; v 2 visible, 1 occluded, 0 not labelled (x = y = 0) |
| `segmentation` | polygons, each `[x, y, ...]`, px; the mask is their union |

## Licence

{terms}: it is obtained from its authors with their
form. Do not publish this folder.

## Citation

```bibtex
{citation}
```
"""
_LICENCE: Final = {
    "pretty_name": "DeepFashion2",
    "license": "other",
    "license_name": TERMS_ID,
    "license_link": TERMS_URL,
}
_SHORT_TEXT: Final = f"""
# DeepFashion2

A subset or all of [DeepFashion2](https://github.com/switchablenorms/DeepFashion2), written by `df2 export`. The lines
above tell `datasets.load_dataset("PATH_OF_THIS_FOLDER")` the splits and the types of all values, also where a split has
only nulls. Which subset, of which data, and the sha256 of every file stand in `export.json`.

{TERMS}: do not publish this folder.
"""
_PHOTO: Final = "| `image` | the photo; a decoder that turns photos by their EXIF data moves it away from its boxes |\n"


def card(features: Mapping[str, Any], splits: Mapping[str, Mapping[str, int]], classes: Classes) -> str:
    """Return the text of the card.

    Args:
        features: features of the rows, in the JSON form of ``datasets``.
        splits: name -> ``num_bytes``, ``num_examples`` and ``items``, in order.
        classes: of the items.
    """
    listed = _with_rows(splits)
    front_matter = {
        **_LICENCE,
        "task_categories": ["object-detection", "image-segmentation", "keypoint-detection", "image-to-image"],
        "configs": [_config({name: f"data/{name}-*.parquet" for name in listed})],
        "dataset_info": {
            "features": _features(features),
            "splits": [
                {"name": name, "num_bytes": sizes["num_bytes"], "num_examples": sizes["num_examples"]}
                for name, sizes in listed.items()
            ],
        },
    }
    rows = [f"| {name} | {sizes['num_examples']:,} | {sizes['items']:,} |" for name, sizes in splits.items()]
    codes = (
        f"| `{name}` | {', '.join(f'{code} {meaning}' for code, meaning in meanings.items())} |"
        for name, meanings in ATTRIBUTE_CODES.items()
    )
    numbers = [category.num_landmarks for category in CATEGORIES]
    text = _TEXT.format(
        counts="\n".join(["| split | images | items |", "|---|---:|---:|", *rows]),
        photo=_PHOTO if "image" in features else "",
        category=_category_meaning(classes),
        codes="\n".join(codes),
        terms=TERMS,
        citation=CITATION,
        fewest=min(numbers),
        most=max(numbers),
    )
    return f"---\n{_yaml(front_matter)}---\n{text}"


def _category_meaning(classes: Classes) -> str:
    """Return the meaning of the field ``category``."""
    if not classes.are_chosen:
        return "0 to 12, the 13 names; it is `category_id` - 1, as class labels count from 0"
    return f"the classes of this export, from 0: {', '.join(map(str, classes))}"


def short_card(features: Mapping[str, Any], splits: Mapping[str, Mapping[str, int]], paths: Mapping[str, str]) -> str:
    """Return the text of a card that names the splits and the types of their rows, and the licence.

    Args:
        features: features of the rows, in the JSON form of ``datasets``.
        splits: name -> ``num_examples``, in order.
        paths: name of a split -> pattern of its files.
    """
    front_matter = {
        **_LICENCE,
        "configs": [_config({name: paths[name] for name in _with_rows(splits)})],
        "dataset_info": {"features": _features(features)},
    }
    return f"---\n{_yaml(front_matter)}---\n{_SHORT_TEXT}"


def _with_rows(splits: Mapping[str, Mapping[str, int]]) -> Mapping[str, Mapping[str, int]]:
    """Return the splits with rows, as ``datasets`` cannot load others; all splits if none has any."""
    return {name: sizes for name, sizes in splits.items() if sizes["num_examples"]} or splits


def _config(paths: Mapping[str, str]) -> dict[str, Any]:
    files = [{"split": name, "path": path} for name, path in paths.items()]
    return {"config_name": "default", "data_files": files}


def _features(features: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return features in the form of a card, as ``datasets`` writes them."""
    return [{"name": name, **_feature(feature)} for name, feature in features.items()]


def _feature(feature: Any) -> dict[str, Any]:
    """Return a feature in the form of a card, without its name."""
    if isinstance(feature, list):
        (element,) = feature
        if isinstance(element, dict) and "_type" not in element:
            return {"list": _features(element)}
        inner = _feature(element)
        return {"list": inner["dtype"] if set(inner) == {"dtype"} and isinstance(inner["dtype"], str) else inner}
    if "_type" not in feature:
        return {"struct": _features(feature)}
    if feature["_type"] == "ClassLabel":
        names = {str(number): name for number, name in enumerate(feature["names"])}
        return {"dtype": {"class_label": {"names": names}}}
    return {"dtype": feature.get("dtype", "image")}


def _yaml(document: Mapping[str, Any]) -> str:
    """Return a document as YAML in block style."""
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.default_flow_style = False
    yaml.width = 4096
    text = io.StringIO()
    yaml.dump(document, text)
    return text.getvalue()
