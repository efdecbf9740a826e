"""The description of a registry as Croissant 1.1: JSON-LD that other tools read the tables by.

Types and meanings come from :mod:`registry.dataset.tables` and the views, digests from the manifest. The same registry
gives the same bytes. Specification: https://docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from registry.dataset.deepfashion2 import ATTRIBUTE_CODES, SPLITS
from registry.dataset.tables import BOX_COLUMNS, FIELDS, TABLES, Field, Table, arrow_type
from registry.dataset.terms import AUTHORS, CITATION, TERMS, TERMS_URL
from registry.dataset.views import load_views
from registry.errors import RegistryFormatError

if TYPE_CHECKING:
    from registry.snapshot.manifest import DataFile
    from registry.store.registry import Registry

#: File of the description, beside the manifest.
CROISSANT_NAME: Final = "croissant.json"
#: Views whose rows are written to files of their own: no table of the registry holds the pairs.
PAIR_VIEWS: Final = ("instance_pairs", "image_pairs")
#: Tables that are not described: files that could not be ingested are no data.
_LEFT_OUT: Final = ("quarantine",)
_PARQUET: Final = "application/x-parquet"
_ARTICLE: Final = "https://arxiv.org/abs/1901.07973"

#: The context of Croissant 1.1, word for word as its readers expect it.
_CONTEXT: Final = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "arrayShape": "cr:arrayShape",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "containedIn": "cr:containedIn",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "description": {"@container": "@language"},
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isArray": "cr:isArray",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "name": {"@container": "@language"},
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
#: Type of a column -> data type of Croissant, without the lists around it.
_TYPES: Final = {
    "int8": "cr:Int8",
    "int16": "cr:Int16",
    "int32": "cr:Int32",
    "int64": "cr:Int64",
    "float64": "cr:Float64",
    "bool": "sc:Boolean",
    "string": "sc:Text",
    "binary": "sc:Text",
}
_SPLIT_URLS: Final = {"train": "cr:TrainingSplit", "validation": "cr:ValidationSplit", "test": "cr:TestSplit"}
#: Properties of a file that the first and the second partition column are read from. mlcroissant joins by the first
#: reference and replaces the property by the value, so the columns read different properties.
_PATH_PROPERTIES: Final = ("fullpath", "filepath")
#: Column -> the field that its values are those of. Together, the columns of a key reference one record.
_REFERENCES: Final = {
    "split": "splits/name",
    **dict.fromkeys(("image_id", "user_image_id", "shop_image_id"), "images/image_id"),
    **dict.fromkeys(("user_item_no", "shop_item_no"), "items/item_no"),
    **dict.fromkeys(("category_id", "user_category_id", "shop_category_id"), "categories/id"),
    **{name: f"{name}/code" for name in ATTRIBUTE_CODES},
}


@dataclass(frozen=True, slots=True)
class Croissant:
    """The description of a registry.

    Attributes:
        text: of :data:`CROISSANT_NAME`, JSON.
        files: path below the registry -> content of the files that hold the pairs.
    """

    text: bytes
    files: Mapping[str, bytes]


def describe(registry: Registry) -> Croissant:
    """Return the description of a registry, and files with the rows of :data:`PAIR_VIEWS`.

    Raises:
        RegistryFormatError: a file cannot be read.
    """
    snapshot = registry.snapshot()
    manifest = snapshot.manifest
    files = {view: _parquet(registry, view) for view in PAIR_VIEWS}
    if registry.manifest != manifest:
        raise RegistryFormatError(f"{snapshot.place} was replaced while it was described: start again.")
    paths = {view: f"croissant/{view}.parquet" for view in PAIR_VIEWS}
    tables = [table for name, table in TABLES.items() if name not in _LEFT_OUT and manifest.of_table(name)]
    described = [file for table in tables for file in manifest.of_table(table.name)]
    distribution = [
        *(_file_object(file.path, file.bytes, file.sha256) for file in described),
        *(_file_object(paths[view], len(data), hashlib.sha256(data).hexdigest()) for view, data in files.items()),
        *(_file_set(table, manifest.of_table(table.name)) for table in tables if table.partition),
    ]
    names = {"splits", *ATTRIBUTE_CODES, *(table.name for table in tables)}
    record_sets = [
        _splits(manifest.splits),
        *(_codes(name) for name in ATTRIBUTE_CODES),
        *(_table(table, manifest.of_table(table.name), names) for table in tables),
        *(_pairs(view, paths[view], names) for view in PAIR_VIEWS),
    ]
    document = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.1",
        "name": "DeepFashion2",
        "description": "Clothing items in photos of consumers and shops, with boxes, landmarks, masks and attributes, "
        "and pairs of the same item in both. The photos themselves are not part of the files.",
        "license": TERMS_URL,
        "usageInfo": TERMS,
        "url": TERMS_URL,
        "sameAs": _ARTICLE,
        "citeAs": CITATION,
        "creator": [{"@type": "sc:Person", "name": name} for name in AUTHORS],
        "datePublished": "2019",
        "version": f"1.0.0+{manifest.sha256[:12]}",
        "isLiveDataset": False,
        "distribution": distribution,
        "recordSet": record_sets,
    }
    text = (json.dumps(document, indent=1) + "\n").encode("ascii")
    return Croissant(text, {paths[view]: data for view, data in files.items()})


def write_description(registry: Registry) -> list[str]:
    """Write the description into a registry; return the paths of the files.

    Raises:
        RegistryFormatError: a file cannot be read.
        StorageError: the registry cannot be written.
    """
    described = describe(registry)
    for path, data in described.files.items():
        registry.place.write(path, data)
    registry.place.write(CROISSANT_NAME, described.text)
    return [CROISSANT_NAME, *described.files]


def _parquet(registry: Registry, view: str) -> bytes:
    """Return the rows of a view as a Parquet file, sorted by its key."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = registry.sql(f"FROM {view} ORDER BY {', '.join(load_views()[view].key)}").to_arrow_table()
    schema = pa.schema([pa.field(name, arrow_type(FIELDS[name].type), nullable=False) for name in rows.column_names])
    out = io.BytesIO()
    pq.write_table(rows.cast(schema), out, compression="zstd", store_schema=False)
    return out.getvalue()


def _file_object(path: str, size: int, sha256: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": path,
        "name": path,
        "contentUrl": path,
        "contentSize": f"{size} B",
        "encodingFormat": _PARQUET,
        "sha256": sha256,
    }


def _file_set(table: Table, files: Sequence[DataFile]) -> dict[str, Any]:
    """Return the files of a table with partitions; it includes the files of the manifest and no others."""
    return {
        "@type": "cr:FileSet",
        "@id": f"{table.name}-files",
        "name": f"{table.name}-files",
        "description": f"The files of the table {table.name}.",
        "encodingFormat": _PARQUET,
        "includes": [file.path for file in files],
    }


def _splits(splits: Sequence[str]) -> dict[str, Any]:
    """Return the record set of the splits that the registry has."""
    return {
        "@type": "cr:RecordSet",
        "@id": "splits",
        "name": "splits",
        "description": "One row per split.",
        "dataType": "cr:Split",
        "key": {"@id": "splits/name"},
        "field": [
            {"@type": "cr:Field", "@id": "splits/name", "name": "name", "dataType": "sc:Text"},
            {"@type": "cr:Field", "@id": "splits/url", "name": "url", "dataType": "sc:URL"},
        ],
        "data": [
            {"splits/name": split, "splits/url": _SPLIT_URLS[split].replace("cr:", str(_CONTEXT["cr"]))}
            for split in SPLITS
            if split in splits
        ],
    }


def _codes(name: str) -> dict[str, Any]:
    """Return the record set of the codes of an attribute."""
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": f"One row per code of the attribute {name}.",
        "dataType": "sc:Enumeration",
        "key": {"@id": f"{name}/code"},
        "field": [
            {"@type": "cr:Field", "@id": f"{name}/code", "name": "code", "dataType": "cr:Int8"},
            {"@type": "cr:Field", "@id": f"{name}/meaning", "name": "meaning", "dataType": "sc:Text"},
        ],
        "data": [{f"{name}/code": code, f"{name}/meaning": meaning} for code, meaning in ATTRIBUTE_CODES[name].items()],
    }


def _table(table: Table, files: Sequence[DataFile], names: set[str]) -> dict[str, Any]:
    """Return the record set of a table; the four edges of a box become one field."""
    source = {"fileSet": {"@id": f"{table.name}-files"}} if table.partition else {"fileObject": {"@id": files[0].path}}
    fields: list[dict[str, Any]] = []
    box: list[dict[str, Any]] = []
    for column in table.columns:
        described = _field(table.name, column.field, _extract(table, column.name, source), names)
        (box if column.name in BOX_COLUMNS else fields).append(described)
        if box and column.name == BOX_COLUMNS[-1]:
            fields.append(
                {
                    "@type": "cr:Field",
                    "@id": f"{table.name}/bbox",
                    "name": "bbox",
                    "description": "Bounding box: left, top, right and bottom edge, px from the top-left corner.",
                    "dataType": "cr:BoundingBox",
                    "subField": box,
                }
            )
    record_set = _record_set(table.name, table.meaning, table.key, fields)
    return record_set | ({"dataType": "sc:Enumeration"} if table.name == "categories" else {})


def _pairs(view: str, path: str, names: set[str]) -> dict[str, Any]:
    """Return the record set of a view of pairs."""
    from registry.store.views import view_columns

    declared = load_views()[view]
    fields = []
    for name, _ in view_columns()[view]:
        source = {"fileObject": {"@id": path}, "extract": {"column": name}}
        fields.append(_field(view, FIELDS[name], source, names, declared.column_meaning(name)))
    return _record_set(view, declared.meaning, declared.key, fields)


def _record_set(name: str, meaning: str, key: Sequence[str], fields: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    keys = [{"@id": f"{name}/{column}"} for column in key]
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": meaning,
        "key": keys[0] if len(keys) == 1 else keys,
        "field": list(fields),
    }


def _extract(table: Table, column: str, source: Mapping[str, Any]) -> dict[str, Any]:
    """Return where the values of a column are: a column of the files, or a folder in their paths."""
    if column not in table.partition:
        return {**source, "extract": {"column": column}}
    # The second alternative matches a value that mlcroissant has taken out of the path for a join.
    return {
        **source,
        "extract": {"fileProperty": _PATH_PROPERTIES[table.partition.index(column)]},
        "transform": {"regex": f"^.*{column}=([^/]+)/.*$|^([^/]+)$"},
    }


def _field(
    record_set: str, field: Field, source: Mapping[str, Any], names: set[str], meaning: str = ""
) -> dict[str, Any]:
    """Return a field of a record set."""
    kind = field.type.removeprefix("list<").removeprefix("list<").rstrip(">")
    types = [_TYPES[kind]]
    if field.name == "split":
        types.append("cr:Split")
    if field.name == "segmentation":
        types.append("cr:SegmentationMask")
    described: dict[str, Any] = {
        "@type": "cr:Field",
        "@id": f"{record_set}/{field.name}",
        "name": field.name,
        "description": (meaning or field.meaning) + (f" Unit: {field.unit}." if field.unit else ""),
        "dataType": types[0] if len(types) == 1 else types,
        **dict(_shape(field)),
    }
    target = _REFERENCES.get(field.name)
    if target and target.partition("/")[0] in names and target.partition("/")[0] != record_set:
        described["references"] = {"field": {"@id": target}}
    return {**described, "source": dict(source)}


def _shape(field: Field) -> Iterator[tuple[str, Any]]:
    """Yield the shape of a list, whose lengths vary."""
    depth = field.type.count("list<")
    if depth:
        yield "isArray", True
        yield "arrayShape", ",".join(["-1"] * depth)
