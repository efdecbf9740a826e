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
        subset: whose options follow.
    """
    rest = [str(word) for word in words] + (_flags(subset) if subset is not None else [])
    return redact(f"{site.settings.command} {shlex.join(rest)}")


def python(site: Site, call: str, *arguments: Any, subset: Subset | None = None, within: Subset | None = None) -> str:
    """Return an expression in Python: ``registry.open("data/registry").image("train", 1)``.

    Args:
        site: has the expression that opens the registry.
        call: method of the registry, or function of the package (``registry.show``), which gets the registry first.
        arguments: by position.
        subset: whose options follow by name.
        within: a subset that is one argument, as the functions of the package take it; left out where it is whole.
    """
    opened = site.settings.python
    written = [repr(value) for value in arguments]
    written += [f"{name}={value!r}" for name, value in (_options(subset) if subset is not None else {}).items()]
    if within is not None and within != Subset():
        written.append(f"subset={_options(within)!r}")
    if call.startswith("registry."):
        return redact(f"import registry\n{call}({', '.join([opened, *written])})")
    return redact(f"import registry\n{opened}.{call}({', '.join(written)})")


def of_subset(site: Site, subset: Subset) -> dict[str, str]:
    """Return ``command`` and ``python`` for a page about a subset, for its context as ``commands``."""
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
    opened = python(site, "select", subset=subset)
    if of is None:
        return {"command": command(site, "stats", subset=subset), "python": f"{opened}.stats()"}
    return {"command": command(site, "stats", "--of", of, subset=subset), "python": f"{opened}.stats(of={of!r})"}


def of_checks(site: Site, subset: Subset, name: str | None = None) -> dict[str, str]:
    """Return ``command`` and ``python`` for all checks of a subset, or for one."""
    words, arguments = (("check",), ()) if name is None else (("check", "--only", name), (name,))
    return {
        "command": command(site, *words, subset=subset),
        "python": python(site, "registry.check", *arguments, within=subset),
    }


def of_model(site: Site, name: str, subset: Subset) -> dict[str, str]:
    """Return ``command`` and ``python`` for the scores of a model."""
    words = site.settings.task, str(site.settings.predictions[name])
    return {
        "command": command(site, "evaluate", *words, subset=subset),
        "python": python(site, "registry.evaluate", *words, within=subset),
    }


def _options(subset: Subset) -> dict[str, Any]:
    """Return the options of a subset that are set, as :meth:`registry.subset.options.Subset.of` reads them."""
    return {
        name: value[0] if isinstance(value, list) and len(value) == 1 else value
        for name, value in subset.to_dict().items()
        if name != "items"  # a list in memory has no file
    }


def _flags(subset: Subset) -> list[str]:
    """Return the options of a subset on a command line."""
    words = []
    for name, value in _options(subset).items():
        flag = f"--{name.replace('_', '-')}"
        if OPTIONS[name].default is False:
            words.append(flag)
        else:
            words += [f"{flag}={entry}" for entry in (value if isinstance(value, list) else [value])]
    return words


def of_difference(site: Site, against: str, subset: Subset) -> dict[str, str]:
    """Return ``command`` and ``python`` for the differences from another version."""
    opened = "registry.open" + site.settings.python.partition("registry.open")[2]
    is_place = "://" in against or os.path.isdir(against)
    place = re.sub(r", rev='[^']*'", "", opened.removesuffix(")"))
    old = f"registry.open({against!r})" if is_place else f"{place}, rev={against!r})"
    arguments = "".join(f", {name}={value!r}" for name, value in _options(subset).items())
    return {
        "command": command(site, "diff", against, "--rows", subset=subset),
        "python": redact(f"import registry\n{old}.diff({opened}{arguments}).summary"),
    }
