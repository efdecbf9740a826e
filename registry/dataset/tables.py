"""Declares every table and column of a registry.

A column is declared once (:data:`FIELDS`) and used by tables and views. The Arrow schemas, ``schemas/tables/*.json``,
``docs/reference/tables.md``, the comments in DuckDB and the output of ``df2 tables`` are generated from these
declarations.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import pyarrow as pa

#: Version of the tables and of the manifest; a reader refuses a registry with a higher one.
SCHEMA_VERSION: Final = 3

#: Type name -> DuckDB's type. :func:`arrow_type` returns Arrow's.
DUCKDB_TYPES: Final = {
    "int8": "TINYINT",
    "int16": "SMALLINT",
    "int32": "INTEGER",
    "int64": "BIGINT",
    "float64": "DOUBLE",
    "bool": "BOOLEAN",
    "string": "VARCHAR",
    "binary": "BLOB",
    "list<int32>": "INTEGER[]",
    "list<string>": "VARCHAR[]",
    "list<float32>": "FLOAT[]",
    "list<float64>": "DOUBLE[]",
    "list<list<float64>>": "DOUBLE[][]",
}


@dataclass(frozen=True, slots=True)
class Field:
    """A column, the same in every table and view that has it.

    Attributes:
        name: column name.
        type: a key of :data:`DUCKDB_TYPES`.
        meaning: a sentence.
        unit: of the values; empty for values without unit.
        source: origin of the value or its definition.
    """

    name: str
    type: str
    meaning: str
    unit: str = ""
    source: str = "annotation file"


_FIELD_LIST: Final = (
    Field("split", "string", "Split: train, validation or test. Begins every key.", source="ingest"),
    Field("image_id", "int32", "Number in the file name; restarts in every split.", source="file name"),
    Field("file_name", "string", "Name of the photo in the source, such as 000001.jpg.", source="file name"),
    Field("source", "string", "Who took the photo: user (consumer) or shop. NULL where it is not known."),
    Field("pair_id", "int32", "Group of consumer and shop photos; restarts in every split; not itself a pair."),
    Field("width", "int32", "Width of the photo as stored; NULL where it was not in the source.", "px", "photo header"),
    Field(
        "height", "int32", "Height of the photo as stored; NULL where it was not in the source.", "px", "photo header"
    ),
    Field(
        "orientation",
        "int8",
        "EXIF orientation, 1 to 8; from 2 on viewers and some trainers turn the photo. NULL without it, and before "
        "schema version 3.",
        source="photo header",
    ),
    Field("num_items", "int16", "Items annotated in the image; NULL where no annotation was released.", "items"),
    Field("item_no", "int16", "Number of the item in its file, from 1 (the 2 of item2); may have gaps."),
    Field("item_order", "int16", "Position of the item among the items of its file, from 1, in file key order."),
    Field("style", "int32", "Style within pair_id; 0 means not seen on both sides, never part of a pair."),
    Field("category_id", "int8", "Clothing category, 1 to 13."),
    Field("category_name", "string", "Name of the category, as in the annotation files."),
    Field("x1", "float64", "Left edge of the bounding box.", "px from the left edge"),
    Field("y1", "float64", "Top edge of the bounding box.", "px from the top edge"),
    Field("x2", "float64", "Right edge of the bounding box.", "px from the left edge"),
    Field("y2", "float64", "Bottom edge of the bounding box.", "px from the top edge"),
    Field("scale", "int8", "Share of the image: 1 small (box under 10 %), 2 moderate, 3 large (over 40 %)."),
    Field("occlusion", "int8", "1 slight or none, 2 medium, 3 heavy."),
    Field("zoom_in", "int8", "1 none, 2 medium, 3 large."),
    Field("viewpoint", "int8", "1 no wear, 2 frontal, 3 side or back."),
    Field(
        "landmarks",
        "list<int32>",
        "Flat x, y, v of every landmark of the category; v 2 visible, 1 occluded, 0 not labelled (then x = y = 0).",
        "px, px, code",
    ),
    Field("num_landmarks_labelled", "int16", "Landmarks with v > 0.", "landmarks", "counted at ingestion"),
    Field("segmentation", "list<list<float64>>", "Polygons, each flat x, y, ...; the mask is their union.", "px"),
    Field(
        "content_hash",
        "int64",
        "Hash of the row without its key and item_order; the same in every registry. NULL in schema version 1.",
        source="registry/dataset/content_hash.py",
    ),
    Field(
        "num_corrections",
        "int16",
        "Corrections that were applied to the row, those of its image among them. NULL before schema version 3.",
        "corrections",
        "corrections",
    ),
    Field("role", "string", "query or gallery.", source="retrieval files"),
    Field("list_file", "string", "Name of the published file the entry stands in.", source="retrieval files"),
    Field("entry_no", "int32", "Position of the entry in that file, from 1.", source="retrieval files"),
    Field("query_item_no", "int16", "Item of the query, as item_no.", source="annotation file"),
    Field("name", "string", "Name of the category in the annotation files.", source="dataset README"),
    Field("id", "int8", "Number of the category, 1 to 13.", source="dataset README"),
    Field("coco_name", "string", "Name the official COCO converter writes.", source="deepfashion2_to_coco.py"),
    Field("num_landmarks", "int16", "Landmarks of the category.", "landmarks", "dataset README"),
    Field("landmark_offset", "int16", "First slot of the category among the 294.", source="dataset README"),
    Field("slot", "int16", "Position of the landmark among all 294, from 0.", source="dataset README"),
    Field("landmark_no", "int16", "Number of the landmark on its category, from 1.", source="landmark figure"),
    Field("swap_slot", "int16", "Slot of the landmark in the mirrored image.", source="landmark figure"),
    Field(
        "oks_sigma",
        "float64",
        "Constant of object keypoint similarity.",
        "fraction of sqrt(area)",
        "deepfashion2_api evaluation code",
    ),
    Field(
        "file",
        "string",
        "Path of the file: of a bad file in the source, from the split on; of corrections in their folder.",
        source="ingest",
    ),
    Field("issues", "list<string>", "Problems of the file, an entry each.", source="ingest"),
    Field("raw", "binary", "The file's bytes as they were read; NULL where they could not be read.", source="file"),
    Field("line_no", "int32", "Line of the correction in its file, from 1.", source="corrections"),
    Field(
        "field",
        "string",
        "What was corrected: a column of the item or image as the annotation file has it, category, add or remove.",
        source="corrections",
    ),
    Field(
        "old",
        "string",
        "The value in the annotation file, as JSON; NULL for an added item, and where a COCO file has none.",
        source="corrections",
    ),
    Field("new", "string", "The corrected value, as JSON; NULL for a removed item.", source="corrections"),
    Field("who", "string", "Who made the correction.", source="corrections"),
    Field("why", "string", "Its reason.", source="corrections"),
    Field("date", "string", "Its date, such as 2026-11-28; NULL where it was not given.", source="corrections"),
    Field(
        "sha256", "string", "SHA-256 of the photo's bytes, hex digits; NULL where they cannot be read.", source="photo"
    ),
    Field(
        "dhash",
        "int64",
        "Difference hash: the stored pixels averaged to 9 x 8 grey ones; a bit, row by row from the highest, is 1 "
        "where a pixel is brighter than its left neighbour. Photos that look alike differ in few bits. NULL, as all "
        "that follows from pixels, where the photo cannot be decoded.",
        source="photo",
    ),
    Field("brightness", "float64", "Mean of the photo's grey pixels.", "0 (black) to 255 (white)", "photo"),
    Field(
        "brightness_spread",
        "float64",
        "Standard deviation of the photo's grey pixels; 0 for a plain one.",
        "grey levels",
        "photo",
    ),
    Field(
        "sharpness",
        "float64",
        "Variance of the Laplacian (4 times a grey pixel less its 4 neighbours) of the photo, which is first halved "
        "while its shorter side keeps 640 px; small for a blurred or plain photo.",
        "grey levels squared",
        "photo",
    ),
    Field("model", "string", "Name of the model that made the vectors.", source="df2 embeddings"),
    Field(
        "vector",
        "list<float32>",
        "The vector, of length 1; stored as half floats unless the model says float32.",
        source="df2 embeddings",
    ),
    Field("dimensions", "int32", "Numbers in each vector.", "numbers", "df2 embeddings"),
    Field("dtype", "string", "Type of the stored numbers: float16 or float32.", source="df2 embeddings"),
    Field("weights", "string", "SHA-256 of the model's weights, hex digits; NULL where not told.", source="user"),
    Field("crop", "string", "How items were cut out of photos, in words; NULL where not told.", source="user"),
    Field("registry_sha256", "string", "SHA-256 of the manifest that the vectors were added to.", source="ingest"),
    # Columns of views.
    Field("state", "string", "missing, stale or unknown.", source="compared"),
    Field("other_split", "string", "Split of the other photo.", source="ingest"),
    Field("other_image_id", "int32", "The other photo, as image_id.", source="file name"),
    Field(
        "kind",
        "string",
        "How the two photos belong together: the first that holds, as the view says.",
        source="compared",
    ),
    Field("distance", "int32", "Bits in which the difference hashes of the two photos differ.", "bits", "compared"),
    Field("has_same_bytes", "bool", "Whether the two photos are the same file.", source="compared"),
    Field("other_source", "string", "Who took the other photo, as source."),
    Field("other_pair_id", "int32", "Group of the other photo, as pair_id."),
    Field("x", "int32", "Landmark position.", "px from the left edge"),
    Field("y", "int32", "Landmark position.", "px from the top edge"),
    Field("v", "int32", "Landmark visibility: 2 visible, 1 occluded, 0 not labelled."),
    Field("polygon_no", "int32", "Number of the polygon in its item, from 1."),
    Field("points", "list<float64>", "The polygon as flat x, y, ...", "px"),
    Field("num_user_items", "int64", "Items in consumer photos.", "items", "counted"),
    Field("num_shop_items", "int64", "Items in shop photos.", "items", "counted"),
    Field("num_images", "int64", "Distinct images.", "images", "counted"),
    Field("categories", "list<string>", "Names of the categories that occur, sorted.", source="counted"),
    Field("user_image_id", "int32", "Image of the consumer item, as image_id."),
    Field("user_item_no", "int16", "Number of the consumer item, as item_no."),
    Field("user_category_id", "int8", "Category of the consumer item."),
    Field("shop_image_id", "int32", "Image of the shop item, as image_id."),
    Field("shop_item_no", "int16", "Number of the shop item, as item_no."),
    Field("shop_category_id", "int8", "Category of the shop item."),
    Field("num_instance_pairs", "int64", "Positive pairs of items.", "pairs", "counted"),
    Field("num_image_pairs", "int64", "Image pairs with at least one positive pair of items.", "pairs", "counted"),
    Field("query_image_id", "int32", "Image of the query item, as image_id."),
    Field("gallery_image_id", "int32", "Image of the gallery item, as image_id."),
    Field("gallery_item_no", "int16", "Number of the gallery item, as item_no."),
    Field("num_pair_ids", "int64", "Distinct values of pair_id.", "groups", "counted"),
    Field("num_user_images", "int64", "Images from consumers.", "images", "counted"),
    Field("num_shop_images", "int64", "Images from shops.", "images", "counted"),
    Field("num_identities", "int64", "Identities: distinct (split, pair_id, style > 0).", "identities", "counted"),
    Field("num_query_items", "int64", "Consumer items with style > 0.", "items", "counted"),
    Field("num_gallery_items", "int64", "Shop items of every style.", "items", "counted"),
    Field("num_quarantined", "int64", "Files in quarantine.", "files", "counted"),
    Field("attribute", "string", "scale, occlusion, zoom_in or viewpoint.", source="dataset README"),
    Field("code", "int8", "Code of the attribute, 1 to 3.", source="dataset README"),
    Field("meaning", "string", "Meaning of the code.", source="dataset README"),
    Field("share", "float64", "Share of the split's items.", "fraction of 1", "counted"),
    Field("num_styles", "int64", "Different styles above 0.", "styles", "counted"),
    Field("num_visible", "int64", "Items on which the landmark is visible.", "items", "counted"),
    Field("num_occluded", "int64", "Items on which the landmark is occluded.", "items", "counted"),
    Field("num_unlabelled", "int64", "Items on which the landmark is not labelled.", "items", "counted"),
    Field("share_visible", "float64", "Share of the items with the landmark visible.", "fraction of 1", "counted"),
    Field("share_occluded", "float64", "Share of the items with the landmark occluded.", "fraction of 1", "counted"),
    Field("share_unlabelled", "float64", "Share of the items without the landmark.", "fraction of 1", "counted"),
    Field("min_area", "float64", "Smallest area.", "px²", "counted"),
    Field("lower_quartile_area", "float64", "Area that a quarter of the items does not exceed.", "px²", "counted"),
    Field("median_area", "float64", "Area that half of the items do not exceed.", "px²", "counted"),
    Field("upper_quartile_area", "float64", "Area that three quarters do not exceed.", "px²", "counted"),
    Field("max_area", "float64", "Largest area.", "px²", "counted"),
    Field("mean_area", "float64", "Mean of the areas.", "px²", "counted"),
    Field(
        "median_share_of_image",
        "float64",
        "Share of the photo that half of the items do not exceed; NULL where no size of a photo is known.",
        "fraction of 1",
        "counted",
    ),
    Field("num_boxes", "int64", "Items with a bounding box.", "items", "counted"),
    Field("num_masks", "int64", "Items with a polygon.", "items", "counted"),
    Field("variation", "string", "scale, occlusion, zoom_in, viewpoint or category.", source="dataset README"),
    Field("value", "string", "Meaning of the code.", source="dataset README"),
)

FIELDS: Final[dict[str, Field]] = {field.name: field for field in _FIELD_LIST}
#: Columns of the bounding box: left, top, right and bottom edge.
BOX_COLUMNS: Final = ("x1", "y1", "x2", "y2")


@dataclass(frozen=True, slots=True)
class Column:
    """A field in a table.

    Attributes:
        field: the field.
        nullable: whether it may be NULL in this table.
        since: first schema version with the column; it is NULL in registries of earlier versions.
    """

    field: Field
    nullable: bool = False
    since: int = 1

    @property
    def name(self) -> str:
        """Column name."""
        return self.field.name


@dataclass(frozen=True, slots=True)
class Table:
    """A table of Parquet files.

    Attributes:
        name: table name, and its folder in the registry.
        meaning: "One row per ...".
        columns: in order; partition columns are in the paths, not in the files.
        key: columns that identify a row.
        partition: hive partition columns, outermost first.
        order: columns by which the rows of a file are sorted.
        row_group_size: rows in a Parquet row group (measured in docs/reference/benchmarks-decisions.md).
        max_row_group_size: rows in a row group of a large file; 0 if all groups have ``row_group_size`` rows.
    """

    name: str
    meaning: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    partition: tuple[str, ...] = ()
    order: tuple[str, ...] = ()
    row_group_size: int = 16_384
    max_row_group_size: int = 0

    @property
    def stored_columns(self) -> tuple[Column, ...]:
        """The columns in the files, without the partition columns."""
        return tuple(column for column in self.columns if column.name not in self.partition)


def _columns(names: str) -> tuple[Column, ...]:
    """Return columns for space-separated field names; a trailing ``?`` means nullable."""
    return tuple(Column(FIELDS[name.rstrip("?")], name.endswith("?")) for name in names.split())


IMAGES: Final = Table(
    "images",
    "One row per image: annotated ones of train and validation, all photos of test.",
    (
        *_columns("split image_id file_name source? pair_id? width? height? num_items?"),
        Column(FIELDS["orientation"], nullable=True, since=3),
    ),
    key=("split", "image_id"),
    partition=("split",),
    order=("image_id",),
    max_row_group_size=65_536,
)
ITEMS: Final = Table(
    "items",
    "One row per item: one garment in one image. Items from a COCO file have NULL where the file does not tell.",
    (
        *_columns(
            "split image_id item_no item_order source? pair_id? style? category_id category_name x1 y1 x2 y2 "
            "scale? occlusion? zoom_in? viewpoint? landmarks? num_landmarks_labelled? segmentation"
        ),
        Column(FIELDS["content_hash"], nullable=True, since=2),
        Column(FIELDS["num_corrections"], nullable=True, since=3),
    ),
    key=("split", "image_id", "item_no"),
    partition=("split", "category_id"),
    order=("image_id", "item_no"),
    row_group_size=2_048,
    max_row_group_size=8_192,
)
RETRIEVAL_LISTS: Final = Table(
    "retrieval_lists",
    "One row per entry of the published query and gallery lists, in their order.",
    _columns("split list_file entry_no role image_id x1? y1? x2? y2? category_id? style? pair_id?"),
    key=("split", "list_file", "entry_no"),
    partition=("split",),
    order=("list_file", "entry_no"),
)
CATEGORIES_TABLE: Final = Table(
    "categories",
    "One row per clothing category.",
    _columns("id name coco_name num_landmarks landmark_offset"),
    key=("id",),
    order=("id",),
)
LANDMARK_SLOTS_TABLE: Final = Table(
    "landmark_slots",
    "One row per landmark slot of the 294.",
    _columns("slot category_id landmark_no swap_slot oks_sigma"),
    key=("slot",),
    order=("slot",),
)
QUARANTINE: Final = Table(
    "quarantine",
    "One row per file that could not be ingested, with its bytes and problems.",
    _columns("split file issues raw?"),
    key=("split", "file"),
    partition=("split",),
    order=("file",),
)
CORRECTIONS: Final = Table(
    "corrections",
    "One row per correction that was applied to the annotations of a split.",
    _columns("split file line_no image_id item_no? field old? new? who why date?"),
    key=("split", "file", "line_no"),
    partition=("split",),
    order=("file", "line_no"),
)

PHOTOS: Final = Table(
    "photos",
    "One row per photo that 'df2 photos describe' has read; without rows before.",
    _columns("split image_id sha256? dhash? width? height? orientation? brightness? brightness_spread? sharpness?"),
    key=("split", "image_id"),
    partition=("split",),
    order=("image_id",),
)

EMBEDDINGS: Final = Table(
    "embeddings",
    "One row per vector that a model made of an item, with the box and the photo that it was made of.",
    _columns("split model image_id item_no x1 y1 x2 y2 sha256? vector"),
    key=("model", "split", "image_id", "item_no"),
    partition=("split", "model"),
    order=("image_id", "item_no"),
    row_group_size=8_192,
)
EMBEDDING_MODELS: Final = Table(
    "embedding_models",
    "One row per model and split with vectors in the table embeddings.",
    _columns("split model dimensions dtype weights? crop? registry_sha256"),
    key=("model", "split"),
    partition=("split", "model"),
    order=("dimensions",),
)
#: Tables of models, which an ingestion of their split leaves as they are.
MODEL_TABLES: Final = (EMBEDDINGS, EMBEDDING_MODELS)

TABLES: Final[dict[str, Table]] = {
    table.name: table
    for table in (
        IMAGES,
        ITEMS,
        RETRIEVAL_LISTS,
        CATEGORIES_TABLE,
        LANDMARK_SLOTS_TABLE,
        QUARANTINE,
        CORRECTIONS,
        PHOTOS,
        EMBEDDINGS,
        EMBEDDING_MODELS,
    )
}

#: Columns of images that exports have: those of schema version 1, so that exports of any registry have the same.
IMAGE_COLUMNS: Final = tuple(column.name for column in IMAGES.columns if column.since == 1)
#: Columns of items that exports and look-ups have: those of schema version 1, for the same reason.
ITEM_COLUMNS: Final = tuple(column.name for column in ITEMS.columns if column.since == 1)


def arrow_type(name: str) -> pa.DataType:
    """Return the Arrow type of a key of :data:`DUCKDB_TYPES`."""
    import pyarrow as pa

    if name.startswith("list<"):
        return pa.list_(pa.field("element", arrow_type(name[5:-1]), nullable=False))
    special = {"bool": pa.bool_(), "binary": pa.binary(), "string": pa.string(), "float32": pa.float32()}
    return special.get(name) or pa.type_for_alias(name)


def arrow_schema(table: Table, *, stored: bool = True) -> pa.Schema:
    """Return the Arrow schema of a table.

    Args:
        table: the table.
        stored: only the columns that are in the files (without the partition columns).
    """
    import pyarrow as pa

    columns = table.stored_columns if stored else table.columns
    return pa.schema([pa.field(c.name, arrow_type(c.field.type), nullable=c.nullable) for c in columns])


def record_batch(table: Table, columns: Iterable[Sequence[Any]]) -> pa.RecordBatch:
    """Return rows of a table from its stored columns, in order; Arrow arrays are used without conversion."""
    import pyarrow as pa

    schema = arrow_schema(table)
    arrays = [
        column if isinstance(column, pa.Array) else pa.array(column, field.type)
        for column, field in zip(columns, schema, strict=True)
    ]
    return pa.record_batch(arrays, schema=schema)


def duckdb_type(field: Field) -> str:
    """Return DuckDB's type for a field."""
    return DUCKDB_TYPES[field.type]


INT32_MAX: Final = 2**31 - 1
