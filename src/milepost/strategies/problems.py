"""What several strategies ask of a problem: checks, vectors, and labels read as text."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from milepost.entities.errors import EncoderError
from milepost.models.encoder import Encoder
from milepost.models.images.trunk import in_one_space
from milepost.strategies.softmax_regression import Targets
from milepost.strategy import Problem

FRAMES = ("{}", "it is {}", "this text is {}", "{} text", "about {}")
"""How a label's name is said to an encoder: one wording's accident weighs little among several."""

_WORD_BREAK = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|[\s_\-./:]+")


def too_few_labels(problem: Problem) -> str | None:
    """The reason, as a sentence, why nothing can be told apart: fewer than two labels seen."""
    seen = len(np.unique(problem.y))
    if seen >= 2:
        return None
    have = "no label has an example" if seen == 0 else "only one label has examples"
    return f"At least two labels need an example, and {have}."


def too_little(problem: Problem) -> str | None:
    """The reason, as a sentence, why nothing can be learned, whatever the kind; else ``None``."""
    if problem.link == "softmax":
        return too_few_labels(problem)
    if problem.link == "identity":
        alike = len(np.unique(problem.y)) < 2
        return "All scores are alike." if alike else None
    given = problem.y[:, : len(problem.labels)] > 0
    return None if given.any() else "No label holds for any example."


def targets_of(problem: Problem, weights: NDArray[np.float32] | None = None) -> Targets:
    """What a linear model of the problem is fitted to; scores with mean 0 and spread 1.

    Args:
        problem: The problem.
        weights: ``(n,) float32`` weight of each example; ``None`` for ones.
    """
    given = np.ones(len(problem.y), np.float32) if weights is None else weights
    k, y = len(problem.labels), problem.y
    if problem.link == "sigmoid":
        y = (y[:, :k] > 0).astype(np.float32)
    elif problem.link == "identity":
        mean, spread = scale_of(problem)
        y = ((y - mean) / spread).astype(np.float32)[:, None]
    return Targets(problem.link, y, k, given)


def scale_of(problem: Problem) -> tuple[float, float]:
    """Mean and spread of a problem's scores; 0 and 1 of what has none."""
    if problem.link != "identity" or not len(problem.y):
        return 0.0, 1.0
    return float(problem.y.mean()), float(problem.y.std()) or 1.0


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


def framed(words: str, frames: Sequence[str] = FRAMES) -> tuple[str, ...]:
    """A label's name, as words, in each frame."""
    return tuple(frame.format(words) for frame in frames)


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


def label_examples(problem: Problem, frames: Sequence[str] = ("{}",)) -> LabelExamples:
    """The labels of a problem, read as text and encoded.

    A name without a letter, such as ``1``, says nothing where there is a description, and is left
    out then. Where labels in words cannot be compared with images, there are none.

    Args:
        problem: The problem.
        frames: How names are said; the vector of a name is the mean of those of its frames (Radford
            et al. 2021, 3.1.4), as long as they are on average.
    """
    if problem.images and not in_one_space(problem.encoder):
        nothing = np.zeros((0, problem.encoder.dimensions), np.float32)
        return LabelExamples(nothing, np.zeros(0, np.int64), np.zeros(0, np.float32))
    said: list[tuple[str, ...]] = []
    y: list[int] = []
    for label, (name, description) in enumerate(
        zip(problem.labels, problem.descriptions, strict=True)
    ):
        described = description.strip()
        telling = any(letter.isalpha() for letter in name)
        own = [framed(humanise(name), frames)] if telling or not described else []
        own += [(described,)] * bool(described)
        said.extend(own)
        y.extend([label] * len(own))
    index = np.array(y, np.int64)
    share = 1.0 / np.bincount(index, minlength=len(problem.labels))
    vectors = encode(problem.encoder, [text for texts in said for text in texts])
    return LabelExamples(_means(vectors, said), index, share[index].astype(np.float32))


def _means(vectors: NDArray[np.float32], said: Sequence[tuple[str, ...]]) -> NDArray[np.float32]:
    """Mean vector of each group of texts, as long as its vectors are on average."""
    sizes = np.array([len(texts) for texts in said])
    begins = np.cumsum(sizes) - sizes
    sums = np.add.reduceat(vectors, begins, axis=0)
    lengths = np.add.reduceat(np.linalg.norm(vectors, axis=1), begins)
    scale = lengths / np.maximum(np.linalg.norm(sums, axis=1), 1e-12) / sizes
    return (sums * scale[:, None]).astype(np.float32)
