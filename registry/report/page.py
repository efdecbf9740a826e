"""The report as one HTML file that loads nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from registry.checks.official import compare_with_release
from registry.checks.run import run_checks
from registry.checks.settings import CheckSettings
from registry.pictures.album import Album, Problems
from registry.report.changes import changes
from registry.report.checks import checks
from registry.report.document import document
from registry.report.elements import Html, element, join, section
from registry.report.evaluation import evaluation_section
from registry.report.official import official
from registry.report.overview import overview
from registry.report.plots import check_installed
from registry.report.provenance import Against, provenance, terms
from registry.report.statistics import figures
from registry.report.thumbnails import Thumbnails
from registry.subset.options import Subset

if TYPE_CHECKING:
    from registry.evaluation.results import Evaluation
    from registry.execution.progress import Progress
    from registry.sources.photos import Photos
    from registry.store.registry import Registry
    from registry.store.selection import Selection

_TITLE: Final = "DeepFashion2 registry: report"
_SECTION: Final = re.compile(r'<section id="([a-z]+)"[^>]*><h2 [^>]*>(.*?)</h2>')


@dataclass(frozen=True, slots=True)
class Report:
    """A page about a registry.

    Attributes:
        html: the page.
        problems: photos that are drawn as plain canvases.
    """

    html: str
    problems: Problems


def report(
    registry: Registry,
    subset: Subset | None = None,
    *,
    against: Against | None = None,
    photos: Photos | None = None,
    must_have_photos: bool = False,
    settings: CheckSettings | None = None,
    evaluation: Evaluation | None = None,
    revision: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> Report:
    """Return the report on a registry, or on a subset of it.

    Args:
        registry: an open registry.
        subset: some of its items.
        against: an older version; the page lists the changes since then.
        photos: of the release; without them annotations are drawn on plain canvases.
        must_have_photos: whether a missing photo is bad input: the user has named the release.
        settings: limits, folders and accepted exceptions of checks.
        evaluation: of predictions of a model; the page shows them first.
        revision: of the repository of the registry; see :func:`registry.history.git.revision_of`.
        progress: called with the number of checks that are done and that there are.

    Raises:
        MissingDependencyError: the extra ``report`` is not installed.
        UsageError: the subset names a split that does not exist, its condition is not allowed, or the settings of
            checks are wrong.
        PasswordError: the photos are in a protected archive, and the password is missing or wrong.
        RegistryFormatError: a file of a registry cannot be read.
    """
    check_installed()
    selection = registry.select(subset)
    album = Album(registry, photos, must_have_photos=must_have_photos)
    thumbnails = Thumbnails(album)
    sections = [
        *([] if evaluation is None else [evaluation_section(evaluation, thumbnails)]),
        overview(selection, thumbnails),
        _statistics(selection),
        checks(
            selection,
            run_checks(
                selection, settings or CheckSettings(), is_whole=selection.subset == Subset(), progress=progress
            ),
            thumbnails,
        ),
    ]
    if set(selection.subset.to_dict()) <= {"split"}:  # any other subset differs from the release by its nature
        sections.append(official(compare_with_release(selection)))
    if against is not None:
        difference = against.registry.diff(registry, selection.subset)
        old = Album(against.registry, photos, must_have_photos=must_have_photos)
        old.problems = album.problems
        sections.append(changes(difference, against.name, lambda change: thumbnails.of_change(change, old)))
    sections.append(provenance(selection, revision or {}, against))
    return Report(_page(selection.subset, sections), album.problems)


def _statistics(selection: Selection) -> Html:
    plots = list(figures(selection))
    content = element("div", *plots, class_="grid") if plots else element("p", "There is nothing to count.")
    return section("statistics", "Statistics", content)


def _page(subset: Subset, sections: list[Html]) -> str:
    """Return the page around the sections."""
    body = join(*sections)
    links = [element("li", element("a", Html(title), href=f"#{anchor}")) for anchor, title in _SECTION.findall(body)]
    title = _TITLE if subset == Subset() else f"{_TITLE} on a subset"
    header = join(
        element("h1", title),
        element("p", "Subset: ", element("code", subset.text)) if subset != Subset() else None,
        terms(),
    )
    contents = element("nav", element("h2", "Contents"), element("ul", *links), aria_label="Contents")
    return document(title, header, body, command="df2 report", contents=contents)
