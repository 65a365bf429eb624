from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from milepost.models.cached import CachedEncoder, text_keys, vector_space
from milepost.models.encoder import Progress
from milepost.storage.files.vectors import MemoryVectorStore
from milepost.testing.encoders import HashedEncoder


@dataclass(frozen=True)
class Recorder(HashedEncoder):
    """Remembers the texts that reached it; fails after ``limit`` of them."""

    seen: list[str] = field(default_factory=list, compare=False)
    limit: int = 10**9

    def encode(self, texts: Sequence[str], progress: Progress | None = None) -> NDArray[np.float32]:
        if len(self.seen) + len(texts) > self.limit:
            raise KeyboardInterrupt
        self.seen.extend(texts)
        return super().encode(texts, progress)


def test_a_text_is_encoded_once_for_all() -> None:
    inner = Recorder()
    encoder = CachedEncoder(inner, MemoryVectorStore())
    encoder.encode(["a", "b", "a"])
    encoder.encode(["b", "c", "c"])
    assert inner.seen == ["a", "b", "c"]


@settings(max_examples=60)
@given(st.lists(st.lists(st.text(max_size=8), max_size=12), max_size=5), st.integers(1, 5))
def test_the_answer_is_that_of_the_inner_encoder(calls: list[list[str]], every: int) -> None:
    inner = HashedEncoder(16)
    encoder = CachedEncoder(inner, MemoryVectorStore(), save_every=every)
    for texts in calls:
        assert np.array_equal(encoder.encode(texts), inner.encode(texts))


def test_an_interrupt_loses_only_what_was_not_written() -> None:
    store = MemoryVectorStore()
    texts = [f"text {i}" for i in range(10)]
    with pytest.raises(KeyboardInterrupt):
        CachedEncoder(Recorder(limit=7), store, save_every=3).encode(texts)
    later = Recorder()
    CachedEncoder(later, store).encode(texts)
    assert later.seen == texts[6:]


def test_progress_counts_what_was_known_and_never_goes_back() -> None:
    encoder = CachedEncoder(HashedEncoder(), MemoryVectorStore(), save_every=2)
    encoder.encode(["a", "b"])
    calls: list[tuple[int, int]] = []
    encoder.encode(["a", "c", "d", "e", "c", "c"], lambda done, total: calls.append((done, total)))
    done = [done for done, _ in calls]
    assert done == sorted(done)
    assert calls[0] == (1, 6)
    assert calls[-1] == (6, 6)


def test_encoders_never_share_vectors() -> None:
    store = MemoryVectorStore()
    one, two = HashedEncoder(16, seed=1), HashedEncoder(16, seed=2)
    CachedEncoder(one, store).encode(["a"])
    assert np.array_equal(CachedEncoder(two, store).encode(["a"]), two.encode(["a"]))
    assert vector_space(one) != vector_space(two)


def test_the_exporter_is_part_of_the_space() -> None:
    @dataclass(frozen=True)
    class Exported(HashedEncoder):
        exporter: str = "torch-1"

    spaces = {vector_space(e) for e in (HashedEncoder(), Exported(), Exported(exporter="bert-1"))}
    assert len(spaces) == 3


def test_keys_are_the_start_of_sha256() -> None:
    keys = text_keys(["", "\ud800", "é"])
    assert keys.shape == (3, 16)
    assert keys[0].tobytes().hex() == "e3b0c44298fc1c149afbf4c8996fb924"
    assert text_keys([]).shape == (0, 16)
