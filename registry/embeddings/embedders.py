"""Embedders, which make a vector of the crop of an item: those of the package, and those of plug-ins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.metadata import EntryPoint
from typing import Any, Final, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from registry.dataset.deepfashion2 import unknown_name
from registry.embeddings.colour_texture import ColourTexture
from registry.embeddings.vector_file import not_finite
from registry.entry_points import entry_points
from registry.errors import RegistryError, UsageError
from registry.redaction import printable
from registry.wording import plural

#: Group of the entry points of plug-ins: the name of an embedder, and a class or function that makes it.
ENTRY_POINTS: Final = "deepfashion2_registry.embedders"
#: Numbers that a vector may have.
_DIMENSIONS: Final = 1 << 20

Vectors = npt.NDArray[np.float32]


@runtime_checkable
class Embedder(Protocol):
    """Makes vectors of crops.

    A plug-in is a package with an entry point in the group ``deepfashion2_registry.embedders`` that names a class or
    function without arguments, which returns an embedder. Each worker process calls it once. It may also have an
    attribute ``weights``: the SHA-256 of its weights, hex digits.

    Attributes:
        name: of the embedder.
        dimensions: numbers in each vector.
        margin: fraction of a box's width and height that is added on each side.
        crop: how items are cut out of photos, in words.
    """

    @property
    def name(self) -> str:  # noqa: D102 - described above
        ...

    @property
    def dimensions(self) -> int:  # noqa: D102
        ...

    @property
    def margin(self) -> float:  # noqa: D102
        ...

    @property
    def crop(self) -> str:  # noqa: D102
        ...

    def embed(self, crops: Sequence[npt.NDArray[np.uint8]]) -> npt.NDArray[np.float32]:
        """Return the vectors (n, dimensions) of RGB crops (height, width, 3), in their order."""
        ...


#: The embedders of the package.
EMBEDDERS: Final[dict[str, Callable[[], Embedder]]] = {ColourTexture.name: ColourTexture}


def embedder_names() -> list[str]:
    """Return the names of all embedders: those of the package, then those of plug-ins."""
    return [*EMBEDDERS, *sorted(_plug_ins())]


def find_embedder(name: str) -> Embedder:
    """Return an embedder, made anew.

    Raises:
        UnknownNameError: there is none of this name.
        UsageError: a plug-in cannot be loaded, or makes no embedder.
    """
    if name in EMBEDDERS:
        return EMBEDDERS[name]()
    points = _plug_ins()
    if name not in points:
        raise unknown_name("embedder", name, embedder_names())
    point = points[name]
    place = f"The embedder {printable(name)} of {printable(point.value)}"
    try:
        embedder = point.load()()
    except RegistryError:
        raise
    except (Exception, SystemExit) as error:  # a plug-in may raise anything
        raise UsageError(f"{place} cannot be loaded: {_reason(error)}.") from error
    if not isinstance(embedder, Embedder):
        raise UsageError(
            f"{place} makes no embedder: expected an object with name, dimensions, margin, crop and embed(), found "
            f"{type(embedder).__name__}."
        )
    return embedder


def open_embedder(embedder: str | Embedder) -> Embedder:
    """Return an embedder, which may be given by its name, with attributes that can be used.

    Raises:
        UnknownNameError: there is no embedder of this name.
        UsageError: it cannot be loaded, or an attribute cannot be used.
    """
    opened = find_embedder(embedder) if isinstance(embedder, str) else embedder
    check_embedder(opened)
    return opened


def embed(embedder: Embedder, crops: Sequence[npt.NDArray[np.uint8]], names: Sequence[str]) -> Vectors:
    """Return the vectors of crops, float32 [crops, dimensions], none of them zeros.

    Args:
        embedder: makes them.
        crops: RGB [height, width, 3].
        names: of the crops, for messages.

    Raises:
        UsageError: the embedder fails, or returns something else.
    """
    name = f"The embedder {printable(embedder.name)}"
    batch = names[0] if len(crops) == 1 else f"a batch of {plural(len(crops), 'crop')} that begins with {names[0]}"
    try:
        returned = np.asarray(embedder.embed(crops))
        if returned.dtype.kind not in "fiu":
            raise TypeError(f"expected an array of numbers, found {returned.dtype}")
        with np.errstate(over="ignore"):
            # A copy: an embedder may write the vectors of the next batch into the same array.
            vectors = returned.astype(np.float32)
    except RegistryError:
        raise
    except (Exception, SystemExit) as error:  # a plug-in may raise anything
        raise UsageError(f"{name} failed on {batch}: {_reason(error)}") from error
    expected = (len(crops), embedder.dimensions)
    if vectors.shape != expected:
        raise UsageError(f"{name} returned an array {vectors.shape} for {batch}: expected {expected}.")
    bad = np.flatnonzero(not_finite(vectors) | ~vectors.any(1))
    if len(bad):
        raise UsageError(
            f"{name} returned a vector of zeros, or with numbers that are not finite, for {names[int(bad[0])]}: "
            "expected finite numbers up to 1e15, not all below 1e-30."
        )
    return vectors


def check_embedder(embedder: Embedder) -> None:
    """Refuse an embedder whose attributes cannot be used.

    Raises:
        UsageError: one of them is of another type, or raises.
    """
    expected: dict[str, tuple[str, Callable[[Any], bool]]] = {
        "name": ("a text", lambda value: isinstance(value, str)),
        "dimensions": (
            f"a whole number from 1 to {_DIMENSIONS:,}",
            lambda value: isinstance(value, int) and 1 <= value <= _DIMENSIONS,
        ),
        "margin": ("a number from 0", lambda value: isinstance(value, int | float) and 0 <= value < float("inf")),
        "crop": ("a text", lambda value: isinstance(value, str)),
        "weights": ("a text, or none of this name", lambda value: value is None or isinstance(value, str)),
    }
    for attribute, (wanted, is_right) in expected.items():
        try:
            value = getattr(embedder, "weights", None) if attribute == "weights" else getattr(embedder, attribute)
        except Exception as error:  # a plug-in may raise anything
            raise UsageError(f"The {attribute} of the embedder cannot be read: {_reason(error)}.") from error
        if not is_right(value):
            found = printable(repr(value)[:80])
            raise UsageError(f"The {attribute} of the embedder: expected {wanted}, found {found}.")


def _plug_ins() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=ENTRY_POINTS) if point.name not in EMBEDDERS}


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}".rstrip(": .")
