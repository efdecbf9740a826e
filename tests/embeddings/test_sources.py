"""The vectors that a user names: models of the registry, or files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import registry
from registry.embeddings import sources
from registry.embeddings.add import add_embeddings, remove_embeddings
from registry.errors import NotFoundError, UnknownNameError, UsageError
from registry.snapshot.sync import sync
from registry.storage.place import Place
from tests.embeddings.test_similar import embeddings_of, opened  # noqa: F401 - a fixture
from tests.registries import make_three_splits

NAMES = ["colour-texture", "resnet50"]


def keys_of(answer: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = answer.rows.select(["split", "image_id", "item_no"]).to_pylist()
    return rows


@pytest.fixture(scope="module")
def two_models(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = str(make_three_splits(tmp_path_factory.mktemp("models")))
    for number, name in enumerate(NAMES):
        add_embeddings(folder, name, embeddings_of(registry.open(folder), size=number + 3), dtype="float32")
    return registry.open(folder)


def test_a_model_is_found_by_its_name(two_models: Any) -> None:
    answers = [keys_of(registry.similar(two_models, "train", 1, 1, embeddings=name)) for name in NAMES]
    expected = [
        keys_of(registry.similar(two_models, "train", 1, 1, embeddings=embeddings_of(two_models, size=size)))
        for size in (3, 4)
    ]
    assert answers == expected
    assert answers[0] != answers[1]


def test_the_only_model_needs_no_name(two_models: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has 2 models: colour-texture, resnet50"):
        registry.similar(two_models, "train", 1, 1)
    sync(two_models.place, Place(str(tmp_path / "one")))
    remove_embeddings(str(tmp_path / "one"), NAMES[1])
    of_only = registry.similar(registry.open(str(tmp_path / "one")), "train", 1, 1)
    assert of_only.rows == registry.similar(two_models, "train", 1, 1, embeddings=NAMES[0]).rows


def test_an_unknown_model_is_told_with_those_there_are_and_the_suffixes_of_files(two_models: Any) -> None:
    with pytest.raises(
        UnknownNameError, match=r"'colour-textur'\. Did you mean 'colour-texture'\?.* ends in \.parquet"
    ):
        registry.similar(two_models, "train", 1, 1, embeddings="colour-textur")
    with pytest.raises(UnknownNameError, match="Did you mean 'resnet50'"):
        registry.evaluate(two_models, "embeddings", "resnet5")


def test_a_registry_without_models_says_how_to_name_vectors(opened: Any) -> None:  # noqa: F811
    with pytest.raises(NotFoundError, match="df2 embeddings add"):
        registry.similar(opened, "train", 1, 1)
    with pytest.raises(UnknownNameError, match="has no model 'resnet50', nor any other"):
        registry.similar(opened, "train", 1, 1, embeddings="resnet50")


def test_embeddings_are_evaluated_by_the_name_of_their_model(two_models: Any) -> None:
    options = {"subset": {"split": "validation"}, "resamples": 0}
    by_name = registry.evaluate(two_models, "embeddings", "resnet50", **options)
    by_table = registry.evaluate(two_models, "embeddings", embeddings_of(two_models, size=4), **options)
    assert by_name.records() == by_table.records()


@pytest.mark.parametrize("name", ["resnet50", "colour-texture", "v1.5"])
def test_names_of_models_are_no_files(name: str) -> None:
    assert sources.is_model_name(name)


@pytest.mark.parametrize("name", ["e.parquet", "./resnet50", "s3://b/e", "e.ARROW", "a\\b", None, 7])
def test_files_and_frames_are_no_names_of_models(name: Any) -> None:
    assert not sources.is_model_name(name)
