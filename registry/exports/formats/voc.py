"""Pascal VOC: an XML file per image and an image list per part.

Layout: ``Annotations/PART/NAME.xml``, ``ImageSets/Main/PART.txt`` and, where photos are linked or copied,
``JPEGImages/PART/PHOTO``. File names repeat over splits, so each part has a folder and the lists hold
``PART/NAME``, which readers expand to ``Annotations/PART/NAME.xml``. ``labelmap.txt`` names the classes in order, as
CVAT and datumaro require.

Boxes are in pixels counted from 1, both ends included, as in VOC: the pixels that the box touches inside the image,
``xmin = floor(x1) + 1`` and ``xmax = ceil(x2)``. For whole-numbered edges, ``xmin - 1`` and ``xmax`` give x1 and x2
back. The manifest counts boxes that were cut at the border or had fractions. A box without width or height inside the
image touches no pixel: its item is left out, and counted.

VOC's fields of an object, from the attributes of the item:

* ``pose``: Frontal for viewpoint 2 (frontal). Unspecified for 1 (no wear), where nobody wears the item, and for 3 (side
  or back), which covers three of VOC's poses.
* ``truncated`` (the box is not the full extent of the object): 1 for zoom_in 2 and 3, items that are partly outside
  the photo.
* ``occluded`` (a significant portion of the object within the box is hidden): 1 for occlusion 2 and 3.
* ``difficult`` (not scored, and by many not trained on): 1 for occlusion 3 (heavy) alone.

An image without items has an XML without objects. A photo without a released annotation (test) has no XML. A part of
such photos alone lists them, as VOC's own test sets do. A part with annotated images lists those alone, as readers open
the XML of every image on a list. ``depth`` is always 3: the released photos are colour JPEGs.

Source: the development kits of VOC2007 and VOC2012, http://host.robots.ox.ac.uk/pascal/VOC.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import compress, islice
from typing import Final
from xml.sax.saxutils import escape

import pyarrow as pa
import pyarrow.compute as pc

from registry.dataset.file_names import stem
from registry.dataset.tables import BOX_COLUMNS
from registry.exports.builtin import VOC_ATTRIBUTES
from registry.exports.columns.bounds import cut_boxes, item_sizes, note, note_boxes, require_sizes
from registry.exports.columns.text import TextFiles, choose, concat, join_groups, numbers
from registry.exports.job import Job
from registry.exports.work import ChunkWork
from registry.subset.rows import Chunk

_COLUMNS: Final = ("category_id", *BOX_COLUMNS, "viewpoint", "zoom_in", "occlusion")
#: VOC element, its column of items, and the lowest code for which the element is 1.
_FLAGS: Final = (("truncated", "zoom_in", 2), ("occluded", "occlusion", 2), ("difficult", "occlusion", 3))


def write(job: Job) -> None:
    """Write the XML of every annotated image, the list of every part, and ``labelmap.txt``."""
    require_sizes(job, "Pascal VOC files hold the size of the image", lambda _, annotated: annotated is not None)
    columns = tuple(dict.fromkeys((*_COLUMNS, *VOC_ATTRIBUTES))) if job.options["attributes"] else _COLUMNS
    for part in job.parts:
        stems: dict[bool, list[str]] = {True: [], False: []}  # with and without an XML
        for chunk, files in job.map(part, columns, _chunk_files):
            is_annotated = chunk.images.column("num_items").is_valid().to_pylist()
            for name, has_file in zip(chunk.file_names(), is_annotated, strict=True):
                stems[has_file].append(f"{part.name}/{stem(name)}\n")
            job.files.write_all(files.with_bytes())
        listed = stems[True] or stems[False]
        job.files.write(f"ImageSets/Main/{part.name}.txt", "".join(listed).encode())
        place = "on the list" if listed is stems[False] else "not on the list"
        note(job, "images", f"have no annotation in the release: {place}, without an XML", len(stems[False]))
    labels = ["# label:color_rgb:parts:actions", *(f"{member.name}:::" for member in job.classes)]
    job.files.write("labelmap.txt", ("\n".join(labels) + "\n").encode("ascii"))


def _chunk_files(work: ChunkWork, chunk: Chunk) -> TextFiles:
    """Return the XML of each annotated image of a chunk."""
    names = chunk.file_names()
    texts, num_objects = _objects(work, chunk)
    is_annotated = chunk.images.column("num_items").is_valid()
    rows = iter(num_objects)
    objects = join_groups(texts, [sum(islice(rows, number)) for number in chunk.num_items], "")
    width, height = (numbers(chunk.images.column(name)).fill_null("") for name in ("width", "height"))
    files = concat(
        f"<annotation>\n\t<folder>{chunk.part.name}</folder>\n\t<filename>",
        pa.array(map(escape, names), pa.string()),
        "</filename>\n\t<source>\n\t\t<database>DeepFashion2</database>\n\t</source>\n\t<size>\n\t\t<width>", width,
        "</width>\n\t\t<height>", height,
        "</height>\n\t\t<depth>3</depth>\n\t</size>\n\t<segmented>0</segmented>\n", objects, "</annotation>\n",
    )  # fmt: skip
    paths = [f"Annotations/{chunk.part.name}/{stem(name)}.xml" for name in names]
    return TextFiles(list(compress(paths, is_annotated.to_pylist())), files.filter(is_annotated))


def _objects(work: ChunkWork, chunk: Chunk) -> tuple[pa.Array, list[int]]:
    """Return the ``<object>`` of each item with a box inside the image, and the number of objects per item (0 or 1)."""
    boxes = cut_boxes(chunk, item_sizes(chunk))
    has_box = pc.and_(pc.greater(boxes.x2, boxes.x1), pc.greater(boxes.y2, boxes.y1))
    note_boxes(work, chunk, boxes, has_box)
    low = [pc.add(pc.floor(side), pa.scalar(1.0)) for side in (boxes.x1, boxes.y1)]
    high = [pc.ceil(side) for side in (boxes.x2, boxes.y2)]
    whole = pc.and_(*(pc.equal(pc.floor(side), side) for side in (boxes.x1, boxes.y1)))
    whole = pc.and_(whole, pc.and_(*(pc.equal(*pair) for pair in zip(high, (boxes.x2, boxes.y2), strict=True))))
    why = "have fractions of a pixel: widened to whole pixels"
    note(work, "boxes", why, pc.sum(pc.and_(pc.invert(whole), has_box)).as_py())

    items = chunk.items
    is_frontal = pc.fill_null(pc.equal(items.column("viewpoint"), 2), False)
    fields: list[tuple[str, pa.Array]] = [
        ("name", work.classes.names(items.column("category_id"))),  # nothing in them to escape
        ("pose", choose(("Unspecified", "Frontal"), is_frontal.cast(pa.int8()))),
    ]
    for tag, column, lowest in _FLAGS:
        values = items.column(column)
        why = f"is not known, so {tag} is 0"
        if values.null_count:
            work.notice(
                pc.and_(values.is_null(), has_box).true_count, f"item's {column} {why}", f"items' {column} {why}"
            )
        fields.append((tag, numbers(pc.fill_null(pc.greater_equal(values, lowest), False).cast(pa.int8()))))
    pieces: list[pa.Array | str] = ["\t<object>\n"]
    for tag, texts in fields:
        pieces += [f"\t\t<{tag}>", texts, f"</{tag}>\n"]
    pieces.append("\t\t<bndbox>\n")
    for tag, side in zip(("xmin", "ymin", "xmax", "ymax"), (*low, *high), strict=True):
        pieces += [f"\t\t\t<{tag}>", numbers(side.cast(pa.int32())), f"</{tag}>\n"]
    pieces.append("\t\t</bndbox>\n")
    if work.options["attributes"]:
        pieces += _attributes(chunk)
    return concat(*pieces, "\t</object>\n").filter(has_box), has_box.cast(pa.int8()).to_pylist()


def _attributes(chunk: Chunk) -> Iterator[pa.Array | str]:
    """Yield the pieces of ``<attributes>`` of each item."""
    yield "\t\t<attributes>\n"
    for name in VOC_ATTRIBUTES:
        column = chunk.items.column(name)
        if name == "pair_id":
            column = pc.add(column.cast(pa.int64()), chunk.part.offset(chunk.split))
        texts = column if name == "source" else numbers(column)
        yield from (f"\t\t\t<attribute>\n\t\t\t\t<name>{name}</name>\n\t\t\t\t<value>", texts)
        yield "</value>\n\t\t\t</attribute>\n"
    yield "\t\t</attributes>\n"
