"""How the report was made: the data, the revision, the command and the versions; no clock, host or path."""

from __future__ import annotations

import platform
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Final

from registry.dataset.deepfashion2 import SPLITS
from registry.dataset.terms import TERMS, TERMS_URL
from registry.report.elements import Html, definitions, element, section
from registry.subset.options import Subset
from registry.version import __version__

if TYPE_CHECKING:
    from registry.store.registry import Registry
    from registry.store.selection import Selection

#: Packages whose version may change the page.
_PACKAGES: Final = ("duckdb", "pyarrow", "shapely", "pillow", "altair", "vl-convert-python")


@dataclass(frozen=True, slots=True)
class Against:
    """Another version to compare with.

    Attributes:
        registry: the older version.
        name: as the user named it, without secrets and folders.
    """

    registry: Registry
    name: str


def provenance(selection: Selection, revision: Mapping[str, str], against: Against | None) -> Html:
    """Return the section on how the report was made.

    Args:
        selection: the subset.
        revision: of the repository of the registry; see :func:`registry.history.git.revision_of`.
        against: the other version, if the page says what changed since then.
    """
    manifest = selection.manifest
    rows: dict[str, str] = {
        "Registry": element("code", manifest.sha256),
        "Schema version": str(manifest.schema_version),
    }
    rows |= {f"Source of {split}": element("code", source) for split, source in _in_order(manifest.sources)}
    rows |= {_REVISION[name]: element("code", value) for name, value in revision.items()}
    if selection.subset != Subset():
        rows["Subset"] = element("code", selection.subset.text)
        rows["Digest of the subset"] = element("code", selection.subset.digest)
    rows |= {f"Table {name}": element("code", digest) for name, digest in selection.used_tables.items()}
    if against is not None:
        rows[f"Registry {against.name}, compared with"] = element("code", against.registry.manifest.sha256)
    rows["Command"] = element("code", command(selection.subset, against.name if against else None))
    rows["Versions"] = ", ".join(
        [f"deepfashion2-registry {__version__}", f"Python {platform.python_version()}", *map(_version, _PACKAGES)]
    )
    return section(
        "made",
        "How it was made",
        element(
            "p",
            "Equal data, options and versions give an equal page. The registry is named by the SHA-256 of its "
            "manifest, a split by the fingerprint of its raw files.",
        ),
        definitions(rows),
        terms(),
    )


def terms() -> Html:
    """Return the terms of the data, with the place where they stand."""
    return element(
        "p",
        f"{TERMS}: this page holds parts of it, so keep it among those who have agreed to them. ",
        element("a", "The authors' terms", href=TERMS_URL),
        ".",
        class_="terms",
    )


_REVISION: Final = {"git": "Git commit", "dvc_lock": "dvc.lock", "dvc_stage": "Stage of DVC"}


def command(subset: Subset, against: str | None = None) -> str:
    """Return a command that makes the report again from the same registry."""
    words = ["df2", "report", "report.html"]
    for name, value in subset.to_dict().items():
        flag = f"--{name.replace('_', '-')}"
        values = value if isinstance(value, list) else [value]
        words += [flag] if value is True else [word for single in values for word in (flag, str(single))]
    return shlex.join(words if against is None else [*words, "--against", against])


def _in_order(sources: Mapping[str, str]) -> list[tuple[str, str]]:
    return sorted(sources.items(), key=lambda source: SPLITS.index(source[0]))


def _version(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:  # such as duckdb of another distribution
        return f"{package}, version not known"
