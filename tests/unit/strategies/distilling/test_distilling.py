"""What students are made of: the pruned tokenizer, the trained table, and who teaches."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from milepost._base.clock import Deadline
from milepost.strategies.distilling.averaging import Lesson, Pace, learn
from milepost.strategies.distilling.teaching import Lessons, best_teacher, told_by
from milepost.strategies.distilling.vocabulary import pruned
from milepost.strategies.head_closed_form import HeadClosedForm
from milepost.strategies.watching import Watch
from milepost.strategy import Contender, DeclinedError
from milepost.testing.encoders import HashedEncoder
from milepost.testing.strategies import example_problem
from milepost.testing.tiny import write_tiny


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = write_tiny(tmp_path_factory.mktemp("tiny") / "bert")
    return (folder / "tokenizer.json").read_text(encoding="utf-8")


@given(st.text(max_size=20))
def test_texts_whose_tokens_are_kept_are_read_as_before(tokenizer, text):
    before = Tokenizer.from_str(tokenizer)
    before.no_truncation()
    ids = before.encode(text).ids
    smaller, rows = pruned(tokenizer, ids, 0)
    again = Tokenizer.from_str(smaller).encode(text)
    assert rows[again.ids].tolist() == ids
    assert (np.diff(rows) > 0).all()
    assert len(rows) == Tokenizer.from_str(smaller).get_vocab_size()


def test_words_whose_token_is_gone_are_read_in_pieces():
    content = (
        '{"version": "1.0", "added_tokens": [{"id": 0, "content": "[UNK]", "special": true,'
        ' "single_word": false, "lstrip": false, "rstrip": false, "normalized": false}],'
        ' "pre_tokenizer": {"type": "Whitespace"}, "model": {"type": "WordPiece",'
        ' "unk_token": "[UNK]", "continuing_subword_prefix": "##",'
        ' "max_input_chars_per_word": 100, "vocab": {"[UNK]": 0, "the": 1, "card": 2,'
        ' "c": 3, "##a": 4, "##r": 5, "##d": 6}}}'
    )
    smaller, rows = pruned(content, [], 2)
    assert rows.tolist() == [0, 1, 3, 4, 5, 6]
    assert Tokenizer.from_str(smaller).encode("the card").tokens == [
        "the",
        "c",
        "##a",
        "##r",
        "##d",
    ]


def test_a_tokenizer_of_another_kind_stays_whole():
    model = '{"type": "WordLevel", "vocab": {"a": 0, "b": 1}, "unk_token": "a"}'
    words = f'{{"version": "1.0", "model": {model}}}'
    same, rows = pruned(words, [0], 0)
    assert (same, rows.tolist()) == (words, [0, 1])


def lesson(n=60, seed=0):
    """Token 1 says the first label, token 2 the second; the others say nothing."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    ids = [rng.permutation([1 + label, *rng.integers(3, 8, 4)]).astype(np.int64) for label in y]
    return Lesson([*ids, np.zeros(0, np.int64)], np.eye(2, dtype=np.float32)[[*y, 0]]), y


def test_the_table_learns_which_tokens_matter():
    taught, y = lesson()
    start = np.random.default_rng(1).normal(size=(9, 4)).astype(np.float32)
    kept = start.copy()
    found = learn(taught, start, Pace(epochs=60, batch=16, rate=0.02), seed=0)
    assert np.array_equal(start, kept)
    sums = np.stack([found.table[ids].sum(axis=0) for ids in taught.ids[:-1]])
    sums /= np.linalg.norm(sums, axis=1, keepdims=True)
    assert ((sums @ found.weights.T + found.bias).argmax(axis=1) == y).mean() >= 0.95
    assert np.array_equal(found.table[8], start[8])  # a token of no text
    again = learn(taught, start, Pace(epochs=60, batch=16, rate=0.02), seed=0)
    assert np.array_equal(again.table, found.table)


def test_no_step_is_begun_after_the_deadline():
    taught, _ = lesson()
    start = np.ones((9, 4), np.float32)
    found = learn(taught, start, Pace(), seed=0, watch=Watch(Deadline.after(0.0)))
    assert np.array_equal(found.table, start)
    assert not found.weights.any()


def test_a_loss_that_is_not_finite_is_said():
    taught, _ = lesson()
    broken = np.full((9, 4), np.nan, np.float32)
    with pytest.raises(FloatingPointError):
        learn(taught, broken, Pace(), seed=0)


def contender(problem, name, sure):
    k = len(problem.labels)
    answers = np.full((len(problem.y), k), (1 - sure) / (k - 1), np.float32)
    answers[np.arange(len(problem.y)), problem.y] = sure
    head = HeadClosedForm()
    return Contender(
        strategy=name,
        predictor=head.fit(problem),
        out_of_fold=answers,
        micro_usd_per_1k=1.0,
        p50_ms=1.0,
        refit=lambda rows: head.fit(problem.take(rows)),
    )


def test_the_best_teacher_is_the_one_that_is_least_surprised():
    problem = example_problem(HashedEncoder())
    names = {"head_logistic": 0.6, "head_closed_form": 0.9, "majority": 0.99, "cascade": 0.99}
    others = [contender(problem, name, sure) for name, sure in names.items()]
    assert best_teacher(problem, others).strategy == "head_closed_form"
    with pytest.raises(DeclinedError, match="no other candidate"):
        best_teacher(problem, others[2:])
    # What asks language models and sees labelled examples could carry them over a fold.
    shown = dataclasses.replace(others[1], strategy="prompted_examples-big", refit=None)
    assert best_teacher(problem, [others[0], shown]).strategy == "head_logistic"


def test_labels_and_the_teacher_share_the_targets():
    problem = example_problem(HashedEncoder())
    teacher = contender(problem, "head_closed_form", 0.9)
    rows, extra = np.arange(len(problem.y)), ("is it open", "my money")
    found = told_by(problem, teacher, teacher.predictor, rows, extra, Lessons(gold=0.25))
    assert found.texts == (*problem.texts, *extra)
    assert found.labelled == len(problem.texts)
    assert np.allclose(found.targets.sum(axis=1), 1.0, atol=1e-5)
    assert (found.targets[rows, problem.y] >= 0.25).all()
    alone = told_by(problem, teacher, teacher.predictor, rows, (), Lessons(gold=1.0))
    assert np.array_equal(alone.targets, np.eye(len(problem.labels), dtype=np.float32)[problem.y])
