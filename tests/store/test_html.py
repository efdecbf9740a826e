"""The HTML that notebooks show."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import registry
from registry.store.html import html_table


def cells(html: str) -> list[list[str]]:
    """Return the texts of the header and the rows of a table."""
    table = ElementTree.fromstring(html)
    return [[cell.text or "" for cell in row] for row in table.iter("tr")]


def test_a_table_escapes_every_text() -> None:
    html = html_table("<a&b>", [{"<i>": "<script>", "n": 1234567, "none": None}, {"n": 2}])
    assert html == (
        "<table><caption>&lt;a&amp;b&gt;</caption>"
        "<thead><tr><th>&lt;i&gt;</th><th>n</th><th>none</th></tr></thead>"
        '<tbody><tr><td>&lt;script&gt;</td><td style="text-align: right">1,234,567</td><td></td></tr>'
        '<tr><td></td><td style="text-align: right">2</td><td></td></tr></tbody></table>'
    )
    assert html_table("", []) == "<table><caption></caption><thead><tr></tr></thead><tbody></tbody></table>"


def test_notebooks_show_the_counts_of_a_registry(small_registry: Path) -> None:
    header, row = cells(registry.open(str(small_registry))._repr_html_())
    counts = dict(zip(header, row, strict=True))
    assert (counts["split"], counts["num_items"]) == ("train", "8")


def test_notebooks_show_the_counts_of_a_selection(small_registry: Path) -> None:
    selection = registry.open(str(small_registry)).select(category="skirt")
    header, row = cells(selection._repr_html_())
    counts = dict(zip(header, row, strict=True))
    (total,) = [row for row in selection.summary() if row["category_name"] is None]
    assert counts == {name: str(value) for name, value in total.items() if value is not None}
    assert repr(selection) == (
        f"Selection({selection.subset.text}: train {total['images']} images, {total['items']} items)"
    )


def test_notebooks_show_the_counts_of_a_difference(small_registry: Path) -> None:
    df2 = registry.open(str(small_registry))
    difference = df2.diff(df2)
    assert cells(difference._repr_html_()) == [
        ["of", "added", "removed", "changed"],
        ["images", "0", "0", "0"],
        ["items", "0", "0", "0"],
        ["instance_pairs", "0", "0", ""],
    ]
    assert repr(difference) == (
        "Diff(images 0 added, 0 removed, 0 changed; items 0 added, 0 removed, 0 changed; "
        "instance_pairs 0 added, 0 removed)"
    )
