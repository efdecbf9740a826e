"""The command and the Python expression for the rows of a page."""

from __future__ import annotations

import os
import re
import shlex
from typing import TYPE_CHECKING, Any

from registry.redaction import redact
from registry.subset.options import OPTIONS, Subset

if TYPE_CHECKING:
    from registry.web.site import Site


def command(site: Site, *words: str | int, subset: Subset | None = None) -> str:
    """Return a command line for the registry of a site: ``df2 -r data/registry show train 1``.

    Args:
        site: has the beginning of the command.
        words: the command and its arguments.
        subset: whose options follow, and the tables that a condition may name.
    """
    rest = [str(word) for word in words]
    if subset is not None or words[0] == "sql":
        rest[1:1] = [f"--table={name}={place}" for name, place in site.settings.tables.items()]
    if subset is not None:
        rest += _flags(site, subset, "only-items" if words[0] == "evaluate" else "items")
    return f"{site.settings.command} {shlex.join(rest)}"


def python(site: Site, call: str, *arguments: Any, subset: Subset | None = None, within: Subset | None = None) -> str:
    """Return an expression in Python: ``registry.open("data/registry").image("train", 1)``.

    Args:
        site: has the expression that opens the registry.
        call: method of the registry, or function of the package (``registry.show``), which gets the registry first.
        arguments: by position.
        subset: whose options follow by name.
        within: a subset that is one argument, as the functions of the package take it; left out where it is whole.
    """
    opened = _opened(site)
    written = [repr(value) for value in arguments]
    written += [f"{name}={value!r}" for name, value in (_options(site, subset) if subset is not None else {}).items()]
    if within is not None and within != Subset():
        written.append(f"subset={_options(site, within)!r}")
    if call.startswith("registry."):
        return f"import registry\n{call}({', '.join([opened, *written])})"
    return f"import registry\n{opened}.{call}({', '.join(written)})"


def of_subset(site: Site, subset: Subset) -> dict[str, str]:
    """Return ``command`` and ``python`` for a page about a subset, for its context as ``commands``."""
    if not _can_be_written(site, subset):
        return {}
    return {"command": command(site, "subset", subset=subset), "python": python(site, "select", subset=subset)}


def of_query(site: Site, query: str) -> dict[str, str]:
    """Return ``command`` and ``python`` for a query."""
    return {"command": command(site, "sql", "--", query), "python": python(site, "sql", query)}


def of_image(site: Site, split: str, image_id: int) -> dict[str, str]:
    """Return ``command`` and ``python`` for an image."""
    return {"command": command(site, "show", split, image_id), "python": python(site, "image", split, image_id)}


def of_identity(site: Site, split: str, pair_id: int, style: int) -> dict[str, str]:
    """Return ``command`` and ``python`` for an identity."""
    words = split, pair_id, style
    return {"command": command(site, "style", *words), "python": python(site, "style", *words)}


def of_pairs(site: Site, split: str, pair_id: int) -> dict[str, str]:
    """Return ``command`` and ``python`` for the pairs of a group."""
    words = "--split", split, "--pair-id", pair_id
    return {"command": command(site, "pairs", *words), "python": python(site, "pairs", split, pair_id)}


def of_statistics(site: Site, subset: Subset, of: str | None = None) -> dict[str, str]:
    """Return ``command`` and ``python`` for the counts of a subset, or for one of its statistics."""
    if not _can_be_written(site, subset):
        return {}
    opened = python(site, "select", subset=subset)
    if of is None:
        return {"command": command(site, "stats", subset=subset), "python": f"{opened}.stats()"}
    return {"command": command(site, "stats", "--of", of, subset=subset), "python": f"{opened}.stats(of={of!r})"}


def of_checks(site: Site, subset: Subset, name: str | None = None) -> dict[str, str]:
    """Return ``command`` and ``python`` for all checks of a subset, or for one."""
    if not _can_be_written(site, subset):
        return {}
    words, arguments = (("check",), ()) if name is None else (("check", "--only", name), (name,))
    return {
        "command": command(site, *words, subset=subset),
        "python": python(site, "registry.check", *arguments, within=subset),
    }


def of_model(site: Site, name: str, subset: Subset) -> dict[str, str]:
    """Return ``command`` and ``python`` for the scores of a model."""
    if not _can_be_written(site, subset):
        return {}
    words = site.settings.task, redact(str(site.settings.predictions[name]))
    return {
        "command": command(site, "evaluate", *words, subset=subset),
        "python": python(site, "registry.evaluate", *words, within=subset),
    }


def _options(site: Site, subset: Subset) -> dict[str, Any]:
    """Return the options of a subset that are set, as :meth:`registry.subset.options.Subset.of` reads them."""
    options = {
        name: value[0] if isinstance(value, list) and len(value) == 1 else value
        for name, value in subset.to_dict().items()
    }
    return options | ({} if subset.items is None else {"items": site.settings.items[subset.items.text]})


def _opened(site: Site, opened: str | None = None) -> str:
    """Return the expression that opens the registry (or another) with the tables of the user."""
    opened, tables = opened or site.settings.python, dict(site.settings.tables)
    comma = "" if opened.endswith("()") else ", "
    return opened.removesuffix(")") + f"{comma}tables={tables!r})" if tables else opened


def _can_be_written(site: Site, subset: Subset) -> bool:
    """Return whether a command can name a subset: a list of items in memory has no file."""
    return subset.items is None or subset.items.text in site.settings.items


def _flags(site: Site, subset: Subset, items: str) -> list[str]:
    """Return the options of a subset on a command line."""
    words = []
    for name, value in _options(site, subset).items():
        flag = f"--{items if name == 'items' else name.replace('_', '-')}"
        if OPTIONS[name].default is False:
            words.append(flag)
        else:
            words += [f"{flag}={entry}" for entry in (value if isinstance(value, list) else [value])]
    return words


def of_difference(site: Site, against: str, subset: Subset) -> dict[str, str]:
    """Return ``command`` and ``python`` for the differences from another version."""
    if not _can_be_written(site, subset):
        return {}
    opened = _opened(site)
    is_place = "://" in against or os.path.isdir(against)
    place = re.sub(r", rev='[^']*'", "", opened.removesuffix(")"))
    old = _opened(site, f"registry.open({against!r})") if is_place else f"{place}, rev={against!r})"
    arguments = "".join(f", {name}={value!r}" for name, value in _options(site, subset).items())
    return {
        "command": command(site, "diff", against, "--rows", subset=subset),
        "python": f"import registry\n{old}.diff({opened}{arguments}).summary",
    }
