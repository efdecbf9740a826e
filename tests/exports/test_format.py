"""Formats of other packages, with the example of docs/how-to/own-format.md."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from registry.errors import MissingDependencyError, UnknownNameError, UsageError
from registry.exports.find import find_format, format_names
from registry.exports.format import Option
from tests.exports.releases import run_export

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "own-format.md").read_text(encoding="utf-8")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install a package with entry points for the format of the page, a value that is no Format, a missing module."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (toml,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    (group,) = re.findall(r'entry-points."(.*)"', toml)
    (point,) = re.findall(r'(tags) = "(.*)"', toml)
    folder = tmp_path / "site"
    (folder / "my_package").mkdir(parents=True)
    (folder / "my_package" / "tags.py").write_text(code, encoding="utf-8")
    metadata = folder / "my_package-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1\n")
    lines = f"[{group}]\n{point[0]} = {point[1]}\nodd = my_package.tags:write\ngone = my_package.gone:FORMAT\n"
    (metadata / "entry_points.txt").write_text(lines)
    monkeypatch.syspath_prepend(str(folder))
    yield folder
    for name in [name for name in sys.modules if name.startswith("my_package")]:
        del sys.modules[name]


def test_the_format_of_the_docs_page_works(package: Path, exportable: Path, release: Path, tmp_path: Path) -> None:
    assert format_names()[-3:] == ["gone", "odd", "tags"]
    manifest = run_export(exportable, "tags", tmp_path / "out", separator=" + ")
    assert (tmp_path / "out" / "train.txt").read_text() == (
        "train/image/000001.jpg: trousers + short sleeve top\n"
        "train/image/000002.jpg: long sleeve top + skirt\n"
        "train/image/000003.jpg: short sleeve top\n"
        "train/image/000004.jpg: short sleeve dress + trousers\n"
        "train/image/000007.jpg: sling dress\n"
    )
    assert manifest.left_out == [{"what": "images", "why": "no item to speak of", "number": 2}]
    run_export(exportable, "tags", tmp_path / "copied", images="copy", photos=release)
    assert (tmp_path / "copied" / "images" / "train" / "000001.jpg").exists()


def test_an_entry_point_that_is_no_format_is_an_error(package: Path) -> None:
    with pytest.raises(UsageError, match=r"The format odd \(my_package\.tags:write\) is no"):
        find_format("odd")
    with pytest.raises(MissingDependencyError, match=r"The format gone .* cannot be loaded: No module named"):
        find_format("gone")
    with pytest.raises(UnknownNameError, match=r"Unknown format 'tagz'\. Did you mean 'tags'\?"):
        find_format("tagz")


@pytest.mark.parametrize(
    ("option", "value", "text"),
    [
        (Option("deep", "", "flag"), 1, "deep: expected true or false, found 1."),
        (Option("area", "", "choice", "box", ("box", "mask")), "round", "Unknown value of area 'round'"),
        (Option("k", "", "integer", 0), 1.5, "k: expected a value of kind integer, found 1.5."),
        (Option("k", "", "integer", 0), True, "k: expected a value of kind integer, found True."),
        (Option("k", "", "integer", 5, minimum=1), 0, "k: expected at least 1, found 0."),
        (Option("margin", "", "number", 0.0), -0.5, "margin: expected at least 0, found -0.5."),
        (Option("columns", "", "text", None), 3, "columns: expected a value of kind text, found 3."),
    ],
)
def test_an_option_value_of_another_kind_is_an_error(option: Option, value: object, text: str) -> None:
    with pytest.raises(UsageError) as caught:
        option.read(value)
    assert text in str(caught.value)
    assert option.read(option.default) == option.default
