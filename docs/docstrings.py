"""Makes links of the roles and page names in docstrings, when the site is built."""

from __future__ import annotations

import re
from typing import Any, Final

import griffe

_ROLE: Final = re.compile(r":(?:attr|class|data|exc|func|meth|mod):`(?P<short>~?)(?P<name>[\w.]+)`")
#: A page that a docstring names; pages about Python lie two folders below docs/.
_PAGE: Final = re.compile(r"(?:``)?docs/(?P<folder>how-to|reference)/(?P<page>[\w-]+)\.md(?:``)?")


class Docstrings(griffe.Extension):
    """Rewrites docstrings as Markdown; a role becomes a link where the site has its target."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the docstring of an object."""
        if obj.docstring is not None:
            text = _ROLE.sub(lambda role: _link(obj, role), obj.docstring.value)
            obj.docstring.value = _PAGE.sub(r"[\g<page>](../../\g<folder>/\g<page>.md)", text)


def _link(obj: griffe.Object, role: re.Match[str]) -> str:
    """Return the reference of a role; it stays plain code where no page describes the target."""
    name = role["name"]
    try:
        target = name if name.startswith("registry.") else obj.resolve(name)
    except griffe.NameResolutionError:
        target = name
    shown = name if name.count(".") < 2 and not role["short"] else name.rpartition(".")[2]
    return f'<autoref optional identifier="{target}"><code>{shown}</code></autoref>'
