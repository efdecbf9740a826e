"""Embedders of tests, at the top of a module so that they pickle, and their registration as a package's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest


class Mean:
    """The mean colour of a crop, its width and its height."""

    name = "mean"
    dimensions = 5
    margin = 0.0
    crop = "the box"
    weights = "ab" * 32

    def embed(self, crops: Any) -> Any:
        return np.array([[*crop.mean((0, 1)), crop.shape[1], crop.shape[0]] for crop in crops], np.float32)


class Short(Mean):
    name = "short"

    def embed(self, crops: Any) -> Any:
        return super().embed(crops)[:, :3]


class Zero(Mean):
    name = "zero"

    def embed(self, crops: Any) -> Any:
        return super().embed(crops) * 0


class Failing(Mean):
    name = "failing"

    def embed(self, crops: Any) -> Any:
        raise RuntimeError("out of\nmemory")


class Leaving(Mean):
    name = "leaving"

    def embed(self, crops: Any) -> Any:
        raise SystemExit(0)


class Complex(Mean):
    name = "complex"

    def embed(self, crops: Any) -> Any:
        return super().embed(crops) * 1j


class Tiny(Mean):
    name = "tiny"

    def embed(self, crops: Any) -> Any:
        return super().embed(crops) * np.float32(1e-36)


class Careless(Mean):
    """Writes all its answers into the same array, and its means into the crops."""

    name = "careless"
    answers = np.zeros((64, 5), np.float32)

    def embed(self, crops: Any) -> Any:
        self.answers[: len(crops)] = super().embed(crops)
        for crop in crops:
            crop[:] = 0
        return self.answers[: len(crops)]


class Wide(Mean):
    name = "wide"
    margin = 0.5


def unloadable() -> None:
    raise OSError("no weights")


def register(folder: Path, monkeypatch: pytest.MonkeyPatch, points: Mapping[str, str]) -> None:
    """Put a package on the path that registers embedders."""
    metadata = folder / "my_package-1.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1\n")
    lines = "\n".join(f"{name} = {value}" for name, value in points.items())
    (metadata / "entry_points.txt").write_text(f"[deepfashion2_registry.embedders]\n{lines}\n")
    monkeypatch.syspath_prepend(str(folder))
