"""The HTML document around the content of a page: one file that loads nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from registry.report.elements import Html, element

_STYLE: Final = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")
#: The page may load nothing: a browser refuses whatever this does not name.
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"


def document(title: str, header: Html, main: Html, *, command: str, contents: Html | None = None) -> str:
    """Return a page.

    Args:
        title: for the window's title.
        header: its heading and what stands with it.
        main: its sections.
        command: of ``df2`` that makes it, for the foot.
        contents: links to the sections.
    """
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", name="robots", content="noindex"),
        element("meta", name="referrer", content="no-referrer"),
        element("title", title),
        element("link", rel="icon", href="data:,"),
        element("style", Html(_STYLE)),
    )
    body = element(
        "body",
        element("a", "Skip to the content", href="#main", class_="skip"),
        element("header", header),
        contents,
        element("main", main, id="main"),
        element("footer", f"Made by {command} of deepfashion2-registry. It loads nothing and opens offline."),
    )
    return f"<!DOCTYPE html>\n{element('html', head, body, lang='en')}\n"
