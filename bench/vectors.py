"""Real labelled texts with their frozen vectors, encoded once and kept between benchmarks."""

import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.common import data_folder

MOST_TRAIN, MOST_TEST = 3000, 1200
FEWEST = 5
"""Examples of a label below which the label is left out."""


@dataclass(frozen=True, slots=True, eq=False)
class Texts:
    """One set: training rows first drawn, test rows as published.

    Attributes:
        name: As results call it.
        labels: The ``k`` label names, sorted.
        texts: ``n`` training texts, each once.
        y: ``(n,) int64``.
        groups: Near-duplicate group of each.
        vectors: ``(n, d) float32``.
        label_vectors: ``(k, d) float32`` of the label names.
        test_y: ``(m,) int64``.
        test_vectors: ``(m, d) float32``.
    """

    name: str
    labels: tuple[str, ...]
    texts: tuple[str, ...]
    y: NDArray[np.int64]
    groups: tuple[str, ...]
    vectors: NDArray[np.float32]
    label_vectors: NDArray[np.float32]
    test_y: NDArray[np.int64]
    test_vectors: NDArray[np.float32]


TRAIN_FILES = {"ag_news_test_split": "train_pool", "humaid_crisis_tweets": "valid"}
SKIPPED = {"clinc150": "oos", "banking77_oos": "oos"}


def load(name: str) -> Texts:
    """A set with at most ``MOST_TRAIN`` random training and ``MOST_TEST`` random test rows."""
    from milepost.data.duplicates import group_texts
    from milepost.strategies.problems import humanise

    folder = data_folder() / name
    train_texts, train_labels = _read(folder / f"{TRAIN_FILES.get(name, 'train')}.parquet", name)
    test_texts, test_labels = _read(folder / "test.parquet", name)
    names, counts = np.unique(train_labels, return_counts=True)
    labels = tuple(names[counts >= FEWEST].tolist())
    position = {label: i for i, label in enumerate(labels)}
    texts, y = _drawn(train_texts, train_labels, position, MOST_TRAIN, set())
    test, test_y = _drawn(test_texts, test_labels, position, MOST_TEST, set(texts))
    names_as_words = [humanise(label) for label in labels]
    vectors = frozen_vectors(name, [*texts, *test, *names_as_words])
    n, m = len(texts), len(test)
    return Texts(
        name=name,
        labels=labels,
        texts=tuple(texts),
        y=y,
        groups=group_texts(texts, 0.8).groups,
        vectors=vectors[:n],
        label_vectors=vectors[n + m :],
        test_y=test_y,
        test_vectors=vectors[n : n + m],
    )


def _read(path: Path, name: str) -> tuple[list[str], list[str]]:
    import pyarrow.parquet as pq

    table = pq.read_table(path, columns=["text", "label"])
    rows = zip(table["text"].to_pylist(), table["label"].to_pylist(), strict=True)
    kept = [(text, str(label)) for text, label in rows if text and label != SKIPPED.get(name)]
    return [text for text, _ in kept], [label for _, label in kept]


def _drawn(
    texts: list[str], labels: list[str], position: dict[str, int], most: int, known: set[str]
) -> tuple[list[str], NDArray[np.int64]]:
    """Distinct texts of known labels, not among ``known``, at random."""
    first: dict[str, str] = {}
    for text, label in zip(texts, labels, strict=True):
        if label in position and text not in known:
            first.setdefault(text, label)
    order = np.random.default_rng(0).permutation(len(first))[:most]
    pairs = list(first.items())
    chosen = [pairs[i] for i in order.tolist()]
    return [text for text, _ in chosen], np.asarray([position[c] for _, c in chosen], np.int64)


def frozen_vectors(name: str, texts: list[str]) -> NDArray[np.float32]:
    """Frozen vectors, kept in the system's folder for temporary files."""
    from milepost.models.catalog import open_encoder
    from milepost.workflows.opening import cache_folder

    digest = hashlib.sha256("\0".join(texts).encode("utf-8", "surrogatepass")).hexdigest()[:16]
    kept = Path(tempfile.gettempdir()) / "milepost-bench-vectors" / f"{name}-{digest}.npy"
    if kept.exists():
        return np.load(kept)
    vectors = open_encoder("embedded", cache_folder()).encode(texts)
    kept.parent.mkdir(parents=True, exist_ok=True)
    half = kept.with_suffix(".part.npy")
    np.save(half, vectors)
    half.replace(kept)
    return vectors


class Held:
    """An encoder that knows the vectors of a set and nothing else."""

    name, digest, variant, dimensions = "held", "0" * 64, "fp32", 384

    def __init__(self, texts: Texts) -> None:
        from milepost.strategies.problems import humanise

        names = [humanise(label) for label in texts.labels]
        self._vectors = dict(zip(names, texts.label_vectors, strict=True))
        self._vectors.update(zip(texts.texts, texts.vectors, strict=True))

    def encode(self, texts, progress=None) -> NDArray[np.float32]:
        del progress
        return np.stack([self._vectors[text] for text in texts])


def problem(texts: Texts, rows: NDArray[np.int64], y: NDArray[np.int64], encoder: Held):
    """Some rows of a set as a strategy sees them, with the labels that are given."""
    from milepost.strategy import Problem

    return Problem(
        labels=texts.labels,
        descriptions=("",) * len(texts.labels),
        instruction="",
        texts=tuple(texts.texts[i] for i in rows.tolist()),
        y=y,
        encoder=encoder,
    )
