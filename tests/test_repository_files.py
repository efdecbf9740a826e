"""The files for people who work on the project: CITATION.cff, CONTRIBUTING.md and the templates of issues."""

from __future__ import annotations

import datetime
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from registry import __version__
from registry.dataset.terms import AUTHORS, CITATION

ROOT = Path(__file__).parents[1]
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
#: Keys of the citation and of its reference, all of them in the schema 1.2.0 of the citation file format.
CITATION_KEYS = {
    "cff-version", "message", "title", "abstract", "type", "authors", "version", "date-released", "license", "keywords",
    "references",
}  # fmt: skip
REFERENCE_KEYS = {"type", "title", "authors", "collection-title", "conference", "year", "url"}


def read(path: Path) -> Any:
    """Return the values of a YAML file."""
    return YAML(typ="safe").load(path.read_text(encoding="utf-8"))


def test_the_citation_names_this_version_as_the_changelog_does() -> None:
    citation = read(ROOT / "CITATION.cff")
    assert citation.keys() == CITATION_KEYS
    assert (citation["cff-version"], citation["type"], citation["version"]) == ("1.2.0", "software", __version__)
    assert isinstance(citation["date-released"], datetime.date)
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"\n## {__version__} ({citation['date-released']})\n" in changelog
    assert re.findall(r"^## (\S+)", changelog, re.M)[:2] == ["Unreleased", __version__]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert citation["license"] == project["license"]
    assert citation["abstract"].removesuffix(".") == project["description"]
    texts = ("message", "title", "abstract")
    assert all(isinstance(citation[key], str) and citation[key] for key in texts)
    assert [author.keys() for author in citation["authors"]] == [{"name"}]
    assert len(set(citation["keywords"])) == len(citation["keywords"]) > 0


def test_the_citation_refers_to_the_paper_of_the_dataset() -> None:
    (paper,) = read(ROOT / "CITATION.cff")["references"]
    assert paper.keys() == REFERENCE_KEYS
    assert all(author.keys() == {"given-names", "family-names"} for author in paper["authors"])
    assert tuple(f"{author['given-names']} {author['family-names']}" for author in paper["authors"]) == AUTHORS
    assert (paper["type"], paper["year"], paper["conference"]) == ("conference-paper", 2019, {"name": "CVPR 2019"})
    title = " ".join(CITATION.partition("title     = {")[2].partition("}")[0].split())
    assert paper["title"] == f"DeepFashion2: {title}"
    assert paper["url"].startswith("https://arxiv.org/abs/")


def test_the_guide_for_contributors_names_every_room_and_its_floor() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    linted = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    (floors,) = [contract["layers"] for contract in linted["contracts"] if contract["type"] == "layers"]
    assert text.split("```")[1].split("\n")[1:-1] == floors
    rooms = {path.parent.name for path in (ROOT / "registry").glob("*/__init__.py")}
    assert rooms <= {place.rstrip("/") for place in re.findall(r"^\| `([^`]+)` \|", text, re.M)}


@pytest.mark.parametrize("path", [path for path in FORMS if path.name != "config.yml"], ids=lambda path: path.stem)
def test_an_issue_form_is_complete(path: Path) -> None:
    form = read(path)
    assert form.keys() == {"name", "description", "labels", "body"}
    fields = [field for field in form["body"] if field["type"] != "markdown"]
    for field in form["body"]:
        assert field["type"] in {"markdown", "textarea", "input", "dropdown", "checkboxes"}
        assert field.keys() <= {"type", "id", "attributes", "validations"}
        assert field["attributes"]["value" if field["type"] == "markdown" else "label"]
        assert field.get("validations", {"required": True}) == {"required": True}
    ids = [field["id"] for field in fields]
    assert len(set(ids)) == len(ids)
    assert any("validations" in field for field in fields)


def test_bugs_and_questions_name_the_version() -> None:
    assert [path.stem for path in FORMS] == ["bug", "config", "data", "feature"]
    for name in ("bug", "data"):
        versions = [field for field in read(FORMS[0].with_name(f"{name}.yml"))["body"] if field.get("id") == "versions"]
        assert "`df2 --version`" in versions[0]["attributes"]["description"]
        assert versions[0]["validations"] == {"required": True}
