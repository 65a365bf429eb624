"""What several strategies ask of a problem: checks, vectors, and labels read as text."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from milepost.entities.errors import EncoderError
from milepost.models.encoder import Encoder
from milepost.strategy import Problem

_WORD_BREAK = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|[\s_\-./:]+")


def too_few_labels(problem: Problem) -> str | None:
    """The reason, as a sentence, why nothing can be told apart: fewer than two labels seen."""
    seen = len(np.unique(problem.y))
    if seen >= 2:
        return None
    have = "no label has an example" if seen == 0 else "only one label has examples"
    return f"At least two labels need an example, and {have}."


def encode(encoder: Encoder, texts: Sequence[str]) -> NDArray[np.float32]:
    """Vectors of texts, checked.

    Returns:
        ``(n, d) float32``.

    Raises:
        EncoderError: If the encoder gives another shape or a value that is not finite.
    """
    if not texts:
        return np.zeros((0, encoder.dimensions), np.float32)
    vectors = np.asarray(encoder.encode(texts), np.float32)
    expected = (len(texts), encoder.dimensions)
    if vectors.shape != expected or not np.isfinite(vectors).all():
        raise EncoderError(
            f"it gave vectors of shape {vectors.shape} for {expected}, or values that are not "
            "finite.",
            where=encoder.name,
            advice="Run `milepost doctor` and export the encoder again.",
        )
    return vectors


def humanise(name: str) -> str:
    """A label name as words: ``card_arrival``, ``cardArrival`` -> ``card arrival``."""
    words = [word for word in _WORD_BREAK.split(name) if word]
    return " ".join(words).lower() or name


@dataclass(frozen=True, slots=True, eq=False)
class LabelExamples:
    """Label names and descriptions as examples of their labels.

    Attributes:
        vectors: ``(m, d) float32``, one or two per label.
        y: ``(m,) int64`` index of each one's label.
        weights: ``(m,) float32``; those of one label add up to 1.
    """

    vectors: NDArray[np.float32]
    y: NDArray[np.int64]
    weights: NDArray[np.float32]


def label_examples(problem: Problem) -> LabelExamples:
    """The labels of a problem, read as text and encoded.

    A name without a letter, such as ``1``, says nothing where there is a description, and is
    left out then.
    """
    texts: list[str] = []
    y: list[int] = []
    for label, (name, description) in enumerate(
        zip(problem.labels, problem.descriptions, strict=True)
    ):
        described = description.strip()
        telling = any(letter.isalpha() for letter in name)
        own = ([humanise(name)] if telling or not described else []) + [described] * bool(described)
        texts.extend(own)
        y.extend([label] * len(own))
    index = np.array(y, np.int64)
    share = 1.0 / np.bincount(index, minlength=len(problem.labels))
    return LabelExamples(encode(problem.encoder, texts), index, share[index].astype(np.float32))
