"""Table of the built-in formats: name, summary, function, options, and modes of photos.

Functions are given as ``module:function`` and imported when an export runs, so that listing formats stays fast.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from registry.exports.format import Format, Option
from registry.store.unknown import PAIRING

#: Columns of ``items`` that ``--attributes`` adds to the annotations of COCO.
COCO_ATTRIBUTES: Final = ("source", "scale", "occlusion", "zoom_in", "viewpoint", "item_no", "item_order")
#: Keys that ``--attributes`` adds to the images of COCO. ``match_desc`` maps the styles of the image to its pair_id.
COCO_IMAGE_ATTRIBUTES: Final = ("source", "pair_id", "match_desc", "orientation")
#: Columns of ``items`` that ``--attributes`` adds to the objects of Pascal VOC.
VOC_ATTRIBUTES: Final = ("item_no", "pair_id", "style", "source", "scale", "occlusion", "zoom_in", "viewpoint")
#: Path of photos in ``metric-learning`` and ``pairs``.
PHOTO_PATH: Final = "images/{part}/{name}"

_COLUMNS: Final = Option(
    "columns",
    "Columns in this order: a,b,c, of the table items but content_hash and num_corrections, or TABLE.COLUMN of "
    "--table.  [default: all of items]",
    "text",
    None,
)
#: Of formats that hold fixed columns of items.
_OWN_COLUMNS: Final = Option(
    "columns", "Add these columns of --table to every item: TABLE.COLUMN,TABLE.COLUMN.", "text", None
)
_CHECK_OWN: Final = "registry.exports.columns.own_values:check_own"

_COCO_OPTIONS: Final = (
    Option(
        "attributes",
        f"Add {', '.join(COCO_ATTRIBUTES)} and bbox_xyxy to every annotation, and "
        f"{', '.join(COCO_IMAGE_ATTRIBUTES)} to every image.",
    ),
    Option(
        "names",
        "Category names of the official converter, or of the dataset.",
        "choice",
        "converter",
        ("converter", "dataset"),
    ),
    Option(
        "area",
        "Of the box, as the official converter has it, or of the mask: the union of the polygons.",
        "choice",
        "box",
        ("box", "mask"),
    ),
    _OWN_COLUMNS,
)
#: Released photos have 56 KB on average, so a default shard has about 250 MB.
_SHARD_SIZE: Final = Option(
    "shard-size", "Images in a shard; the last shard of a part may have fewer.", "integer", 4096, (), 1
)
#: Lines of Python that show files of rows, by their kind.
_SHOW_ROWS: Final = {
    "parquet": "import duckdb; duckdb.read_parquet('{dest}/data/*.parquet').show()",
    "arrow": "from pyarrow import feather; print(feather.read_table('{dest}/{file}'))",
    "csv": "import duckdb; duckdb.read_csv('{dest}/data/*.csv').show()",
    "jsonl": "import duckdb; duckdb.read_json('{dest}/data/*.jsonl').show()",
}
#: Smallest pretrained model of ultralytics for each task.
_YOLO_MODELS: Final = {"detect": "yolo11n.pt", "segment": "yolo11n-seg.pt", "pose": "yolo11n-pose.pt"}


def _coco_needs(options: Mapping[str, Any]) -> tuple[str, ...]:
    return ("landmarks",) if options["landmarks"] == "union" else ()


def _yolo_needs(options: Mapping[str, Any]) -> tuple[str, ...]:
    return ("landmarks",) if options["task"] == "pose" else ()


def _voc_needs(options: Mapping[str, Any]) -> tuple[str, ...]:
    return VOC_ATTRIBUTES if options["attributes"] else ()


def _python(line: str) -> str:
    """Return the command line that runs a line of Python."""
    return f'python -c "{line}"'


def _train_yolo(options: Mapping[str, Any]) -> str:
    """Return the command line of ultralytics; the first file of an export is ``data.yaml``."""
    return f"yolo train data={{dest}}/{{file}} model={_YOLO_MODELS[options['task']]}"


def _show_pairs(options: Mapping[str, Any]) -> str:
    return _python(_SHOW_ROWS[options["as"]])


def _row_format(kind: str, summary: str) -> Format:
    """Return a format that writes items as rows of a file."""
    return Format(
        kind,
        summary,
        f"registry.exports.formats.row_files:write_{kind}",
        (_COLUMNS,),
        images=("none",),
        photo_path=None,
        check="registry.exports.formats.row_files:check",
        has_classes=True,
        next_step=_python(_SHOW_ROWS[kind]),
    )


_FORMATS: Final = (
    Format(
        "coco",
        "COCO JSON, as the official converter writes it: annotations/SPLIT.json with 294 landmarks.",
        "registry.exports.formats.coco:write",
        (
            *_COCO_OPTIONS,
            Option(
                "landmarks",
                "All 294 slots in every annotation (882 numbers), or none.",
                "choice",
                "union",
                ("union", "none"),
            ),
        ),
        has_classes=True,
        check=_CHECK_OWN,
        next_step=_python("from pycocotools.coco import COCO; COCO('{dest}/{file}')"),
        needs=_coco_needs,
        uses_cluster=True,
    ),
    Format(
        "coco-per-category",
        "COCO JSON by category: annotations/SPLIT/CATEGORY.json with its own landmarks, skeleton and swaps.",
        "registry.exports.formats.coco_per_category:write",
        _COCO_OPTIONS,
        has_classes=True,
        check=_CHECK_OWN,
        next_step=_python("from pycocotools.coco import COCO; COCO('{dest}/{file}')"),
        needs=("landmarks",),
        uses_cluster=True,
    ),
    Format(
        "yolo",
        "YOLO labels and data.yaml, as ultralytics reads them: boxes, polygons or landmarks.",
        "registry.exports.formats.yolo:write",
        (
            Option(
                "task",
                "What a row holds: the box, the polygon, or the box and the landmarks.",
                "choice",
                "detect",
                ("detect", "segment", "pose"),
            ),
            Option(
                "multipolygon",
                "Of --task segment, for an item with several polygons: join them into one ring, write a row for each, "
                "write the largest, or refuse.  [default: bridge]",
                "choice",
                None,
                ("bridge", "split", "largest", "fail"),
            ),
            Option(
                "landmarks",
                "Of --task pose: all 294 slots, the most a category has (39, without mirroring), or a dataset for each "
                "category.  [default: union]",
                "choice",
                None,
                ("union", "padded", "per-category"),
            ),
        ),
        images=("none", "link", "copy"),
        photo_path=None,  # depends on the options: photos are next to their labels
        check="registry.exports.formats.yolo:check",
        has_classes=True,
        next_step=_train_yolo,
        needs_photos=True,
        needs=_yolo_needs,
        uses_cluster=True,
    ),
    Format(
        "voc",
        "Pascal VOC: Annotations/PART/NAME.xml and ImageSets/Main/PART.txt.",
        "registry.exports.formats.voc:write",
        (
            Option(
                "attributes",
                f"Add {', '.join(VOC_ATTRIBUTES)} to every object, the way CVAT and datumaro write attributes.",
            ),
        ),
        images=("none", "link", "copy"),
        photo_path="JPEGImages/{part}/{name}",
        has_classes=True,
        next_step=_python(
            "from supervision import DetectionDataset as Dataset; "
            "print(len(Dataset.from_pascal_voc('{dest}/JPEGImages/{part}', '{dest}/Annotations/{part}')))"
        ),
        needs_photos=True,
        needs=_voc_needs,
        uses_cluster=True,
    ),
    Format(
        "deepfashion2",
        "The released layout: SPLIT/annos/NNNNNN.json, with every value as it was ingested.",
        "registry.exports.formats.deepfashion2:write",
        (
            Option(
                "renumber",
                "Number the items of each image item1, item2, ... without gaps, for loaders that count them; the "
                "numbers are then not those of the release.",
            ),
        ),
        images=("none", "link", "copy"),
        photo_path=None,
        next_step="df2 ingest --split {split} {dest}/{part} REGISTRY",
        needs=(*PAIRING, "scale", "occlusion", "zoom_in", "viewpoint", "landmarks"),
        uses_cluster=True,
    ),
    Format(
        "retrieval",
        "The query and gallery lists of the official retrieval evaluation: val_query.json, val_gallery.json.",
        "registry.exports.formats.retrieval:write",
        (
            Option(
                "ground-truth",
                "List all consumer items as queries, those of style 0 too: the official script assigns detections to "
                "all of them and counts those with a style.",
            ),
            Option(
                "answerable",
                "Leave out queries without a counterpart in the gallery, at which the official script stops; with "
                "--ground-truth they stay with style 0. The gallery stays whole.",
            ),
        ),
        images=("none",),
        photo_path=None,
        next_step=_python("import json; print(len(json.load(open('{dest}/{file}'))))"),
        needs=PAIRING,
    ),
    Format(
        "metric-learning",
        "The CSV of Open Metric Learning: metric_learning.csv, a row an item, its label an identity.",
        "registry.exports.formats.metric_learning:write",
        (
            Option(
                "min-items-per-label",
                "Of train, leave out labels with fewer items: balanced samplers need as many as they draw of a label.",
                "integer",
                1,
                (),
                1,
            ),
            _OWN_COLUMNS,
        ),
        images=("reference", "link", "copy"),
        photo_path=PHOTO_PATH,
        has_classes=True,
        check=_CHECK_OWN,
        next_step=_python("import duckdb; duckdb.read_csv('{dest}/{file}').show()"),
        needs=PAIRING,
    ),
    Format(
        "pairs",
        "Pairs of a consumer item and a shop item, a row each, for siamese and triplet networks.",
        "registry.exports.formats.pairs:write",
        (
            Option(
                "negatives", "For every pair so many shop items of its category with another pair_id.", "integer", 0
            ),
            Option(
                "hard-negatives",
                "For every pair so many shop items of its pair_id with another style; those of its category first.",
                "integer",
                0,
            ),
            Option("negative-seed", "Another number chooses other negatives.", "integer", 0),
            Option("as", "Kind of the file.", "choice", "parquet", ("parquet", "csv", "jsonl")),
        ),
        images=("reference", "link", "copy"),
        photo_path=PHOTO_PATH,
        has_classes=True,
        next_step=_show_pairs,
        needs=PAIRING,
    ),
    _row_format("parquet", "Items as rows of data/PART-00000-of-00001.parquet, with the columns of the table."),
    _row_format("arrow", "Items as rows of data/PART-00000-of-00001.arrow (Arrow IPC file, Feather 2)."),
    _row_format("csv", "Items as rows of data/PART-00000-of-00001.csv; lists as JSON in quotes."),
    _row_format("jsonl", "Items as rows of data/PART-00000-of-00001.jsonl, one JSON object a line."),
    Format(
        "webdataset",
        "WebDataset: PART-NNNNNN.tar with SPLIT_NNNNNN.jpg and SPLIT_NNNNNN.json of every image, and a card.",
        "registry.exports.formats.webdataset:write",
        (_SHARD_SIZE, _OWN_COLUMNS),
        images=("copy", "none"),
        photo_path=None,
        has_classes=True,
        check=_CHECK_OWN,
        next_step=_python(
            "from webdataset import WebDataset; "
            "print(next(iter(WebDataset('{dest}/{part}-000000.tar', shardshuffle=0))).keys())"
        ),
        uses_cluster=True,
    ),
    Format(
        "huggingface",
        "Hugging Face: data/SPLIT-NNNNN-of-NNNNN.parquet with the photos in them, and a dataset card.",
        "registry.exports.formats.huggingface:write",
        (_SHARD_SIZE, _OWN_COLUMNS),
        images=("copy", "none"),
        photo_path=None,
        has_classes=True,
        check=_CHECK_OWN,
        next_step=_python("from datasets import load_dataset; print(load_dataset('{dest}'))"),
        uses_cluster=True,
    ),
    Format(
        "crops",
        "Crops of the items' boxes: PART/CATEGORY/IDENTITY/SOURCE/NAME.jpg, listed in crops.csv.",
        "registry.exports.formats.crops:write",
        (
            Option("margin", "Added to the box on each side, as a fraction of its width and height.", "number", 0.0),
            Option("quality", "Of the JPEGs, 1 to 100.", "integer", 95, (), 1),
        ),
        images=("copy",),
        photo_path=None,
        check="registry.exports.formats.crops:check",
        has_classes=True,
        uses_cluster=True,
        next_step=_python("from torchvision.datasets import ImageFolder; print(ImageFolder('{dest}/{part}'))"),
        needs=PAIRING,
    ),
)
#: The built-in formats by name, in the order in which they are listed.
FORMATS: Final = {built_in.name: built_in for built_in in _FORMATS}
