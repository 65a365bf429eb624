import itertools
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milepost.models.catalog import EncoderOptions, load_encoder, open_encoder
from milepost.models.onnx_encoder import PADDED_TOKENS, OnnxEncoder, _batches
from milepost.models.trunk import _encodable

WORDS = st.sampled_from(["card", "stolen", "a", "the", "Köln", "日本", "👍", "incomprehensible"])
MIXED = st.lists(st.lists(WORDS, max_size=60).map(" ".join), min_size=1, max_size=12)


@settings(max_examples=25)
@given(MIXED)
def test_a_text_has_one_vector_whatever_is_in_the_batch(
    embedded: OnnxEncoder, texts: list[str]
) -> None:
    together = embedded.encode(texts)
    alone = np.concatenate([embedded.encode([text]) for text in texts])
    assert np.abs(together - alone).max() <= 1e-5


def test_the_number_of_threads_changes_nothing(embedded: OnnxEncoder) -> None:
    texts = [f"message {i} " * (i % 30) for i in range(60)]
    one = load_encoder(embedded.directory, threads=1).encode(texts)
    assert np.abs(one - embedded.encode(texts)).max() <= 1e-5


def test_no_text_gives_an_empty_answer(embedded: OnnxEncoder) -> None:
    assert embedded.encode([]).shape == (0, 384)


def test_an_empty_text_has_a_unit_vector(embedded: OnnxEncoder) -> None:
    assert np.linalg.norm(embedded.encode([""])[0]) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("unit", ["x", " ", "word ", "é ", "ab-", "日"])
def test_a_text_of_two_megabytes_is_read_from_its_start(embedded: OnnxEncoder, unit: str) -> None:
    long = unit * (2_000_000 // len(unit))
    cut = unit * (900_000 // len(unit))
    assert np.abs(embedded.encode([long]) - embedded.encode([cut])).max() <= 1e-5


def test_words_after_much_white_space_are_read(embedded: OnnxEncoder) -> None:
    late = " " * 100_000 + "my card was stolen"
    assert np.abs(embedded.encode([late]) - embedded.encode(["my card was stolen"])).max() <= 1e-5


def test_lone_surrogates_are_replaced(embedded: OnnxEncoder) -> None:
    assert _encodable("a\ud800b") == "a\ufffdb"
    assert _encodable("\U0001f44d é") == "\U0001f44d é"
    assert np.isfinite(embedded.encode(["bad \udcff text"])).all()


def test_duplicates_are_encoded_once_and_counted_all(embedded: OnnxEncoder) -> None:
    calls: list[tuple[int, int]] = []
    texts = ["a", "b", "a", "a", "c"] * 3
    vectors = embedded.encode(texts, lambda done, total: calls.append((done, total)))
    assert np.array_equal(vectors[0], vectors[2])
    assert calls[-1] == (15, 15)
    assert all(a <= b for a, b in itertools.pairwise(calls))


def test_an_error_in_the_callback_stops_the_work(embedded: OnnxEncoder) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        embedded.encode([f"text {i}" for i in range(300)], stop)
    assert embedded.encode(["still works"]).shape == (1, 384)


def test_threads_share_one_encoder(embedded: OnnxEncoder) -> None:
    texts = [f"text number {i}" for i in range(40)]
    expected = embedded.encode(texts)
    worst: list[float] = []

    def work() -> None:
        worst.append(float(np.abs(embedded.encode(texts) - expected).max()))

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(worst) == 4
    assert max(worst) <= 1e-5


@given(st.lists(st.integers(1, 512), min_size=1, max_size=300), st.integers(1, 8))
def test_batches_hold_every_row_once_within_the_budget(lengths: list[int], threads: int) -> None:
    batches = _batches(lengths, threads)
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= PADDED_TOKENS


def test_the_token_limit_is_part_of_the_digest(embedded: OnnxEncoder, tmp_path: Path) -> None:
    short = open_encoder("embedded", tmp_path, EncoderOptions(max_tokens=8))
    assert short.max_tokens == 8
    assert short.digest != embedded.digest
    a, b = short.encode(["one two three four five six seven", "one two three four five six eight"])
    assert np.abs(a - b).max() <= 1e-5
