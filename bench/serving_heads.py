"""Heads and students for ``bench.serving``: ten of clinc150's intents each, fitted in milliseconds.

Linear discriminant analysis with shrinkage (Friedman 1989) on twenty examples an intent: means and
scatter of all intents are computed once, and a task takes those of its own.
"""

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bench.common import data_folder

if TYPE_CHECKING:
    from milepost.models.cached import CachedEncoder
    from milepost.models.export import Variant
    from milepost.predictors.base import Predictor

LABELS = 10
PER_INTENT = 20

Statistics = tuple[NDArray[np.str_], NDArray[np.float64], NDArray[np.float64]]
"""Intents, their mean vectors, and their common scatter with a tenth of it spread evenly."""


def head(seed: int, *, guards: bool = False) -> "Predictor":
    """The head of ten intents; of a guard, the first intent against the other nine."""
    from milepost.predictors.linear import LinearPredictor

    statistics = vector_statistics()
    names, means, scatter = statistics
    if not guards:
        labels, weights, bias = _linear(statistics, seed)
        return LinearPredictor(labels=labels, weights=weights, bias=bias)
    drawn = _drawn(names, seed)
    centres = np.stack([means[drawn[0]], means[drawn[1:]].mean(axis=0)])
    two = (np.array(["trips", "passes"]), centres, scatter)
    labels, weights, bias = _linear(two, None)
    return LinearPredictor(labels=labels, weights=weights, bias=bias)


def compared(predictor: "Predictor") -> tuple[int, int]:
    """Texts that a head was not fitted to, and on how many INT8 and fp32 give the same label."""
    from milepost.predictors.base import Batch

    texts, intents = examples(skip=PER_INTENT)
    own = np.isin(intents, predictor.labels)
    rows = np.flatnonzero(own) if own.any() else np.arange(0, len(texts), 10)
    batch = [texts[i] for i in rows]
    slow, fast = (
        predictor.predict(Batch(tuple(batch), _encoder(variant).encode(batch))).probabilities
        for variant in ("fp32", "int8")
    )
    return len(batch), int((slow.argmax(axis=1) == fast.argmax(axis=1)).sum())


def student(seed: int) -> "Predictor":
    """A student that looks words up, for ten intents."""
    from milepost.predictors.static import StaticPredictor

    tokenizer, table, statistics = student_statistics()
    labels, weights, bias = _linear(statistics, seed)
    return StaticPredictor(
        labels=labels, tokenizer=tokenizer, table=table, weights=weights, bias=bias
    )


def _drawn(names: NDArray[np.str_], seed: int) -> NDArray[np.int64]:
    return np.random.default_rng(seed).choice(len(names), LABELS, replace=False)


def _linear(
    statistics: Statistics, seed: int | None
) -> tuple[tuple[str, ...], NDArray[np.float32], NDArray[np.float32]]:
    """Labels, weights and bias of the discriminant of the intents drawn by a seed, or of all."""
    names, means, scatter = statistics
    drawn = np.arange(len(names)) if seed is None else _drawn(names, seed)
    weights = np.linalg.solve(scatter, means[drawn].T).T
    bias = -0.5 * (weights * means[drawn]).sum(axis=1)
    labels = tuple(map(str, names[drawn]))
    return labels, weights.astype(np.float32), bias.astype(np.float32)


@cache
def vector_statistics() -> Statistics:
    return _statistics(_encoder().encode(examples()[0]))


@cache
def student_statistics() -> tuple[str, NDArray[np.float16], Statistics]:
    """Tokenizer, table and statistics of the students; the table is kept in the cache folder."""
    from milepost.models.embedded import embedded_path
    from milepost.predictors.static import distil_table, pooled, read_tokenizer
    from milepost.workflows.opening import cache_folder

    folder = embedded_path()
    assert folder is not None, "the embedded encoder is not installed"
    tokenizer = (folder / "tokenizer.json").read_text(encoding="utf-8")
    kept = cache_folder() / "bench" / "students" / f"{_encoder().digest}.npy"
    if not kept.is_file():
        kept.parent.mkdir(parents=True, exist_ok=True)
        np.save(kept, distil_table(_encoder().encode, tokenizer))
    table = np.load(kept)
    rows = read_tokenizer(tokenizer).encode_batch_fast(examples()[0], add_special_tokens=False)
    return tokenizer, table, _statistics(pooled(table, [row.ids for row in rows]))


def _statistics(vectors: NDArray[np.float32]) -> Statistics:
    names, place = np.unique(examples()[1], return_inverse=True)
    means = np.stack([vectors[place == i].mean(axis=0) for i in range(len(names))])
    apart = vectors - means[place]
    scatter = (apart.T @ apart / len(apart)).astype(np.float64)
    even = np.trace(scatter) / len(scatter) * np.eye(len(scatter))
    return names, means.astype(np.float64), 0.9 * scatter + 0.1 * even


@cache
def _encoder(variant: "Variant" = "fp32") -> "CachedEncoder":
    """The encoder, with the vectors of earlier runs on disk."""
    from milepost.models.cached import CachedEncoder
    from milepost.models.catalog import EncoderOptions, open_encoder
    from milepost.storage.files.vectors import FileVectorStore
    from milepost.workflows.opening import cache_folder

    store = FileVectorStore(cache_folder() / "bench" / "vectors")
    opened = open_encoder("embedded", cache_folder(), EncoderOptions(variant=variant))
    return CachedEncoder(opened, store)


@cache
def examples(skip: int = 0) -> tuple[list[str], NDArray[np.str_]]:
    """Texts and intents: twenty training rows of each intent of clinc150, after the first some."""
    import pyarrow.parquet as pq

    table = pq.read_table(data_folder() / "clinc150" / "train.parquet")
    pairs = dict(zip(table["text"].to_pylist(), table["label"].to_pylist(), strict=True))
    kept: dict[str, list[str]] = {}
    for text, intent in pairs.items():
        kept.setdefault(intent, []).append(text)
    kept = {i: rows[skip : skip + PER_INTENT] for i, rows in kept.items() if i != "oos"}
    texts = [text for rows in kept.values() for text in rows]
    return texts, np.repeat(list(kept), [len(rows) for rows in kept.values()])
