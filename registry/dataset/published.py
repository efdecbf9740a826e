"""The published results of Match R-CNN on validation.

Source: README of the dataset (https://github.com/switchablenorms/DeepFashion2); of its subsets, the tables of the paper
(Ge et al., DeepFashion2, 2019).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from registry.dataset.deepfashion2 import ATTRIBUTE_CODES

_MODEL: Final = "Match R-CNN"
#: The limits of the results, for their readers.
REMARK: Final = (
    "Match R-CNN: published for validation; the paper does not say whether its subsets are of images or of items"
)


@dataclass(frozen=True, slots=True)
class PublishedResult:
    """Published results of a model on a slice.

    Attributes:
        model: the model, and where it has several ways to compare items, the way.
        slice: ``all``, or such as ``occlusion=heavy``.
        values: from 0 to 1, by the name of the metric.
    """

    model: str
    slice: str
    values: Mapping[str, float]


#: task -> metric -> value on validation, by the model that was trained on the released data.
_RESULTS: Final[Mapping[str, Mapping[str, float]]] = {
    "boxes": {"AP": 0.638, "AP50": 0.789, "AP75": 0.745},
    "masks": {"AP": 0.640, "AP50": 0.797, "AP75": 0.754},
    "landmarks": {
        "AP": 0.529,
        "AP50": 0.775,
        "AP75": 0.596,
        "AP-visible": 0.605,
        "AP50-visible": 0.790,
        "AP75-visible": 0.684,
    },
}
#: Way to compare items -> share of the queries with a hit among the first :data:`_RANKS`.
_RETRIEVAL: Final[Mapping[str, tuple[float, ...]]] = {
    "class": (0.079, 0.198, 0.273, 0.329, 0.366),
    "keypoints": (0.182, 0.326, 0.416, 0.469, 0.510),
    "segmentation": (0.135, 0.271, 0.350, 0.407, 0.447),
    "class + keypoints": (0.192, 0.345, 0.435, 0.488, 0.524),
    "class + segmentation": (0.152, 0.295, 0.379, 0.435, 0.477),
}
_RANKS: Final = (1, 5, 10, 15, 20)
#: The subsets of the paper, in the order of its tables.
_SUBSETS: Final = [f"{name}={meaning}" for name, codes in ATTRIBUTE_CODES.items() for meaning in codes.values()]
#: task -> metric -> value on each subset. The training data is not stated: it was probably the whole data set, of which
#: a part is released, so these agree with :data:`_RESULTS` for no model.
_OF_SUBSETS: Final[Mapping[str, Mapping[str, tuple[float, ...]]]] = {
    "boxes": {
        "AP": (0.604, 0.700, 0.660, 0.712, 0.654, 0.372, 0.695, 0.629, 0.466, 0.624, 0.681, 0.641),
        "AP50": (0.780, 0.851, 0.768, 0.844, 0.810, 0.531, 0.848, 0.755, 0.563, 0.713, 0.832, 0.796),
        "AP75": (0.717, 0.809, 0.744, 0.812, 0.768, 0.433, 0.806, 0.718, 0.525, 0.688, 0.791, 0.744),
    },
    "masks": {"AP": (0.634, 0.703, 0.666, 0.720, 0.656, 0.381, 0.701, 0.637, 0.478, 0.664, 0.689, 0.635)},
    "landmarks": {
        "AP": (0.497, 0.607, 0.555, 0.643, 0.530, 0.248, 0.616, 0.489, 0.319, 0.510, 0.596, 0.456),
        "AP-visible": (0.587, 0.687, 0.599, 0.669, 0.631, 0.398, 0.688, 0.559, 0.375, 0.527, 0.677, 0.536),
    },
}


def published(task: str) -> Iterator[PublishedResult]:
    """Yield the published results of a task, those of everything first.

    Args:
        task: ``boxes``, ``masks``, ``landmarks``, ``retrieval`` or ``embeddings``.
    """
    if task in ("retrieval", "embeddings"):
        for compared, shares in _RETRIEVAL.items():
            values = {f"top-{rank}": share for rank, share in zip(_RANKS, shares, strict=True)}
            yield PublishedResult(f"{_MODEL}, {compared}", "all", values)
        return
    yield PublishedResult(_MODEL, "all", _RESULTS[task])
    of_subsets = _OF_SUBSETS[task]
    for number, name in enumerate(_SUBSETS):
        yield PublishedResult(_MODEL, name, {metric: values[number] for metric, values in of_subsets.items()})
