"""The vectors that a user names: models of the registry, or files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import registry
from registry.embeddings import sources
from registry.embeddings.vector_file import EmbeddingsFile, open_embeddings
from registry.errors import NotFoundError, UnknownNameError, UsageError
from tests.embeddings.test_similar import embeddings_of, opened  # noqa: F401 - a fixture

NAMES = ["colour-texture", "resnet50"]


@pytest.fixture
def two_models(opened: Any, monkeypatch: pytest.MonkeyPatch) -> Any:  # noqa: F811
    tables = {name: embeddings_of(opened, size=number + 3) for number, name in enumerate(NAMES)}

    @contextmanager
    def open_model(registry: Any, name: str) -> Iterator[EmbeddingsFile]:
        with open_embeddings(tables[name]) as file:
            yield file

    monkeypatch.setattr(sources, "model_names", lambda registry: NAMES)
    monkeypatch.setattr(sources, "open_model", open_model)
    return opened


def test_a_model_is_found_by_its_name(two_models: Any) -> None:
    answers = [registry.similar(two_models, "train", 1, 1, embeddings=name).rows for name in NAMES]
    expected = [
        registry.similar(two_models, "train", 1, 1, embeddings=embeddings_of(two_models, size=size)).rows
        for size in (3, 4)
    ]
    assert answers == expected
    assert answers[0] != answers[1]


def test_the_only_model_needs_no_name(two_models: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="has 2 models: colour-texture, resnet50"):
        registry.similar(two_models, "train", 1, 1)
    monkeypatch.setattr(sources, "model_names", lambda registry: NAMES[:1])
    named = registry.similar(two_models, "train", 1, 1, embeddings=NAMES[0])
    assert registry.similar(two_models, "train", 1, 1).rows == named.rows


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
