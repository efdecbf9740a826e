"""Elements of HTML: texts are escaped, tables have headers for screen readers."""

from __future__ import annotations

from registry.report.elements import Html, element, join, table, text


def test_texts_and_attributes_are_escaped_and_elements_are_not() -> None:
    inner = element("em", "a < b & 'c'")
    assert inner == "<em>a &lt; b &amp; &#x27;c&#x27;</em>"
    assert element("p", inner, title='"><script>') == f'<p title="&quot;&gt;&lt;script&gt;">{inner}</p>'


def test_attributes_without_a_value_are_left_out() -> None:
    assert element("img", alt="", src="data:,", hidden=False, width=None) == '<img alt="" src="data:,">'
    assert element("div", class_="a", aria_label="b", hidden=True) == '<div class="a" aria-label="b" hidden></div>'


def test_nothing_is_a_child_that_is_left_out() -> None:
    assert join("a", None, "", Html("<br>")) == "a<br>"


def test_a_table_heads_its_rows_and_columns_and_scrolls_in_its_own_box() -> None:
    html = table("Counts <all>", [{"split": "train", "num_items": 1234}, {"split": "<b>", "num_items": None}])
    assert html.startswith('<div class="scroll" tabindex="0" role="region" aria-label="Counts &lt;all&gt;">')
    assert "<caption>Counts &lt;all&gt;</caption>" in html
    assert '<th scope="row">train</th><td class="number">1,234</td>' in html
    assert '<th scope="row">&lt;b&gt;</th><td class="number"></td>' in html
    assert html.count('<th scope="col"') == 2


def test_values_are_texts_for_people() -> None:
    assert [text(value) for value in (None, True, False, 12345, 0.25, "x")] == ["", "yes", "no", "12,345", "0.25", "x"]
