"""All slices that a search tries, each set of rows once."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from milepost.entities.example import Examples
from milepost.evaluation.slicing.clusters import by_cluster
from milepost.evaluation.slicing.condition import Condition
from milepost.evaluation.slicing.language import by_language
from milepost.evaluation.slicing.metadata import by_metadata, pairs
from milepost.evaluation.slicing.wording import (
    Words,
    by_length,
    by_token,
    by_unseen_words,
    by_word,
)

LEAST = 10
"""Fewest rows of a slice."""

LARGEST = 0.75
"""Largest share of the rows that still is a slice rather than the whole."""

MOST_CELLS = 40_000_000
"""Most rows times slices; with more rows fewer slices are tried, the later ones left out."""

_LABELS_IN_PAIRS = 10


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Material:
    """What slices are formed from.

    Attributes:
        examples: ``n`` judged examples.
        input_name: Name of the input.
        labels: The ``k`` label names.
        y: ``(n,) int64`` actual labels, -1 for one that the task does not know.
        answers: ``(n,) int64`` answered labels.
        vectors: ``(n, d) float32``.
        train: The training texts.
        seen: Whether the judged texts are among them.
        seed: Of the clusters.
    """

    examples: Examples
    input_name: str
    labels: tuple[str, ...]
    y: NDArray[np.int64]
    answers: NDArray[np.int64]
    vectors: NDArray[np.float32]
    train: Sequence[str]
    seen: bool = False
    seed: int = 0


def pool(material: Material) -> list[Condition]:
    """Every slice worth trying, simplest kinds first; none knows which answers are wrong.

    Slices of equal rows are tried once, under the simplest name.
    """
    n = len(material.examples)
    least = max(LEAST, n // 400)
    texts, name = material.examples.texts, material.input_name
    words = Words.read(texts)
    metadata = by_metadata(material.examples, name, least)
    labels = _by_label(material)
    joined = [each for each in labels if each.about == "label"]
    few = joined if len(joined) <= _LABELS_IN_PAIRS else []
    found = [
        *metadata,
        *labels,
        *by_length(texts, name, least),
        *by_token(texts, name),
        *by_language(texts, least),
        *by_unseen_words(words, material.train, seen=material.seen),
        *by_cluster(texts, words, material.vectors, least, material.seed),
        *by_word(words, name, least),
        *pairs(_frequent([*metadata, *few], n, least), least),
    ]
    return _once(_frequent(found, n, least))[: MOST_CELLS // max(n, 1)]


def _by_label(material: Material) -> list[Condition]:
    found: list[Condition] = []
    for index, label in enumerate(material.labels):
        found.append(
            Condition(
                description=f'examples of "{label}"',
                kind="label",
                mask=material.y == index,
                about="label",
            )
        )
    for index, label in enumerate(material.labels):
        found.append(
            Condition(
                description=f'examples answered with "{label}"',
                kind="label",
                mask=material.answers == index,
                about="answer",
            )
        )
    unknown = Condition(
        description="examples of a label that the task does not know",
        kind="label",
        mask=material.y < 0,
        about="label",
    )
    return [*found, unknown]


def _frequent(conditions: Iterable[Condition], n: int, least: int) -> list[Condition]:
    return [c for c in conditions if least <= int(c.mask.sum()) <= LARGEST * n]


def _once(conditions: Iterable[Condition]) -> list[Condition]:
    seen: dict[bytes, Condition] = {}
    for condition in conditions:
        seen.setdefault(np.packbits(condition.mask).tobytes(), condition)
    return list(seen.values())
