"""Embedders by name: those of the package, plug-ins, and names and plug-ins that do not work."""

from __future__ import annotations

from pathlib import Path

import pytest

from registry.embeddings.embedders import Embedder, embedder_names, find_embedder
from registry.errors import UnknownNameError, UsageError
from tests.embeddings.toy_embedders import Mean, register

TOY = "tests.embeddings.toy_embedders"


def test_the_embedder_of_the_package_is_there() -> None:
    found = find_embedder("colour-texture")
    assert isinstance(found, Embedder)
    assert found.name == embedder_names()[0] == "colour-texture"


def test_an_unknown_name_is_told_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="Unknown embedder 'color-texture'\\. Did you mean 'colour-texture'"):
        find_embedder("color-texture")


def test_a_plug_in_is_found_by_its_entry_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    register(tmp_path, monkeypatch, {"mean": f"{TOY}:Mean", "colour-texture": f"{TOY}:Mean"})
    assert embedder_names() == ["colour-texture", "mean"]
    assert isinstance(find_embedder("mean"), Mean)
    assert not isinstance(find_embedder("colour-texture"), Mean)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("no_such_module:Model", "cannot be loaded: ModuleNotFoundError: No module named 'no_such_module'"),
        (f"{TOY}:NoSuch", "cannot be loaded: AttributeError"),
        (f"{TOY}:unloadable", "cannot be loaded: OSError: no weights"),
        ("builtins:dict", "makes no embedder: expected an object with name, dimensions, margin, crop and embed"),
    ],
)
def test_a_plug_in_that_does_not_work_is_told_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str, text: str
) -> None:
    register(tmp_path, monkeypatch, {"mine": value})
    with pytest.raises(UsageError) as raised:
        find_embedder("mine")
    assert str(raised.value).startswith(f"The embedder mine of {value} ")
    assert text in str(raised.value)
