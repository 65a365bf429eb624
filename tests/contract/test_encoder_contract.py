"""Every encoder keeps the promises of the protocol; the checks catch those that do not."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from milepost.models.cached import CachedEncoder
from milepost.models.catalog import load_encoder, open_encoder, save_encoder
from milepost.models.embedded import embedded_path
from milepost.models.encoder import Encoder, Progress
from milepost.storage.files.vectors import FileVectorStore, MemoryVectorStore
from milepost.testing.encoders import HashedEncoder, check_encoder


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    if embedded_path() is None:
        pytest.skip("the embedded encoder's package is not installed")
    return open_encoder("embedded", tmp_path_factory.mktemp("encoders"))


@pytest.mark.parametrize("dimensions", [32, 64])
def test_the_hashed_encoder(dimensions: int) -> None:
    check_encoder(HashedEncoder(dimensions))


def test_the_embedded_encoder(embedded: Encoder) -> None:
    check_encoder(embedded)


def test_a_saved_encoder(embedded: Encoder, tmp_path: Path) -> None:
    save_encoder(embedded, tmp_path / "saved")
    check_encoder(load_encoder(tmp_path / "saved", threads=1))


def test_a_cached_encoder(embedded: Encoder, tmp_path: Path) -> None:
    check_encoder(CachedEncoder(HashedEncoder(), MemoryVectorStore()))
    check_encoder(CachedEncoder(embedded, FileVectorStore(tmp_path), save_every=3))


@dataclass(frozen=True)
class BatchDependent(HashedEncoder):
    def encode(self, texts: Sequence[str], progress: Progress | None = None) -> NDArray[np.float32]:
        vectors = super().encode(texts, progress)
        mixed = vectors + 0.01 * vectors.mean(axis=0) if len(texts) else vectors
        return (mixed / np.linalg.norm(mixed, axis=1, keepdims=True)).astype(np.float32)


@dataclass(frozen=True)
class Constant(HashedEncoder):
    def encode(self, texts: Sequence[str], progress: Progress | None = None) -> NDArray[np.float32]:
        return super().encode([""] * len(texts), progress)


@dataclass(frozen=True)
class NotUnit(HashedEncoder):
    def encode(self, texts: Sequence[str], progress: Progress | None = None) -> NDArray[np.float32]:
        return super().encode(texts, progress) * 2


@dataclass(frozen=True)
class Silent(HashedEncoder):
    def encode(self, texts: Sequence[str], progress: Progress | None = None) -> NDArray[np.float32]:
        return super().encode(texts)


@pytest.mark.parametrize(
    ("broken", "promise"),
    [
        (BatchDependent(), "alone and in a batch"),
        (Constant(), "different texts"),
        (NotUnit(), "unit length"),
        (Silent(), "progress"),
    ],
)
def test_the_checks_catch_a_broken_promise(broken: Encoder, promise: str) -> None:
    with pytest.raises(AssertionError, match=promise):
        check_encoder(broken)


def test_heads_learn_from_the_hashed_encoder() -> None:
    from sklearn.linear_model import LogisticRegression

    about = {"card": "my card is lost and stolen", "money": "please refund the payment to me"}
    rng = np.random.default_rng(0)
    rows = [
        (" ".join(rng.permutation(words.split())[:4]), label)
        for label, words in about.items()
        for _ in range(40)
    ]
    vectors = HashedEncoder().encode([text for text, _ in rows])
    labels = [label for _, label in rows]
    head = LogisticRegression().fit(vectors[::2], labels[::2])
    assert head.score(vectors[1::2], labels[1::2]) > 0.95
