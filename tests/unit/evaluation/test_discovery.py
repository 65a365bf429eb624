"""Slices that nobody declared: formed, said in SQL, searched, and told apart."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milepost.entities.example import Examples
from milepost.entities.task import Objective, Task
from milepost.evaluation.examination.discovery import FEWEST, discover
from milepost.evaluation.examination.subject import Subject
from milepost.evaluation.slices import slice_masks
from milepost.evaluation.slicing.clusters import spherical_k_means
from milepost.evaluation.slicing.language import language_of
from milepost.evaluation.slicing.metadata import by_metadata
from milepost.evaluation.slicing.pool import Material, pool
from milepost.evaluation.slicing.wording import Words, by_unseen_words

LABELS = ("a", "b", "c")
TOPICS = ("my card did not arrive", "the transfer is late today", "please close this account",
          "wo ist die karte und der brief", "what is the rate of exchange")  # fmt: skip


def examples(n, seed=0, **metadata):
    rng = np.random.default_rng(seed)
    texts = tuple(
        f"{TOPICS[rng.integers(len(TOPICS))]} {'so ' * rng.integers(0, 30)}{i}" for i in range(n)
    )
    ids = tuple(map(str, range(n)))
    return Examples(
        ids=ids, texts=texts, labels=tuple(LABELS[i % 3] for i in range(n)), groups=ids,
        sources=ids, metadata=metadata,
    )  # fmt: skip


def subject(given, wrong, **changes):
    """A candidate that answers every row right but those that are ``wrong``."""
    y = np.array([LABELS.index(label) for label in given.labels])
    answers = np.where(wrong, (y + 1) % 3, y)
    probabilities = np.full((len(y), 3), 0.1, np.float32)
    probabilities[np.arange(len(y)), answers] = 0.8
    vectors = np.random.default_rng(1).standard_normal((len(y), 16)).astype(np.float32)
    made = Subject(
        task=Task(name="desk"), labels=LABELS, regime="holdout", examples=given, y=y,
        probabilities=probabilities, predict=lambda texts: probabilities[: len(texts)],
        encode=lambda _: vectors, train=given, train_y=y, out_of_fold=probabilities,
        refit=lambda _: lambda texts: probabilities[: len(texts)],
    )  # fmt: skip
    return replace(made, **changes)


def metadata(n, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "channel": tuple(("phone", "web", "it's", None)[i] for i in rng.integers(0, 4, n)),
        "Years": tuple(int(v) for v in rng.integers(0, 90, n)),
        "price": tuple(f"{v:.2f}" for v in rng.random(n) * 100),
        "vip": tuple(bool(v) for v in rng.integers(0, 2, n)),
        "at": tuple(
            f"2024-{m:02d}-{d:02d}T10:00:00" for m, d in rng.integers(1, 13, (n, 2)).tolist()
        ),
        "order_id": tuple(str(v) for v in rng.permutation(n)),
    }


@given(st.integers(0, 10_000))
@settings(max_examples=3)
def test_every_predicate_gives_exactly_the_rows_of_its_slice(seed):
    n = 150
    given_ = examples(n, seed, **metadata(n, seed))
    made = subject(given_, np.zeros(n, bool))
    found = pool(
        Material(
            examples=given_, input_name="text", labels=LABELS, y=made.y, answers=made.answers,
            vectors=made.encode(given_.texts), train=given_.texts,
        )
    )  # fmt: skip
    said = {str(i): c.predicate for i, c in enumerate(found) if c.predicate}
    masks = slice_masks(given_, "text", said)
    assert len(said) > 50
    for i, mask in masks.items():
        assert (mask == found[int(i)].mask).all(), found[int(i)].description
    assert {c.kind for c in found} >= {"metadata", "conjunction", "length", "word", "label"}
    assert len({c.mask.tobytes() for c in found}) == len(found)


def test_columns_that_name_rows_are_left_out_and_dates_become_months_and_days():
    given_ = examples(200, **metadata(200))
    told = [c.description for c in by_metadata(given_, "text", 5)]
    assert not [each for each in told if "order_id" in each]
    assert 'channel is "it\'s"' in told
    assert "channel is missing" in told
    assert "at in 2024-03" in told
    assert any(each.startswith("at on a ") for each in told)
    assert any(each.startswith("Years from ") for each in told)
    assert any(each.startswith("price from ") for each in told)


@pytest.mark.parametrize("planted", ["value", "pair", "word", "length"])
def test_a_failing_slice_is_found_first_and_said_in_words_and_sql(planted):
    n, rng = 1200, np.random.default_rng(5)
    given_ = examples(n, **metadata(n))
    channel = np.array(given_.metadata["channel"], object)
    masks = {
        "value": channel == "phone",
        "pair": (channel == "phone") & np.array(given_.metadata["vip"]),
        "word": np.array(["exchange" in text for text in given_.texts]),
        "length": np.array([len(text) >= 95 for text in given_.texts]),
    }
    wrong = rng.random(n) < np.where(masks[planted], 0.5, 0.08)
    found = discover(subject(given_, wrong)).found
    top = found[0]
    told = {"value": 'channel is "phone"', "pair": "vip is True", "word": "rate", "length": "char"}
    if planted == "word":
        # Every word of that topic says the same rows; one of them is listed, the others are not.
        assert top.kind in ("word", "token")
        assert len([each for each in found if each.kind == "word"]) == 1
    else:
        assert told[planted].lower() in top.description.lower()
    rows = slice_masks(given_, "text", {"top": top.predicate})["top"]
    assert (rows & masks[planted]).sum() / (rows | masks[planted]).sum() > 0.6
    assert top.n == rows.sum()
    assert top.p_value <= 0.001
    assert 0.0 < top.gap_low < top.gap
    assert top.gap == pytest.approx(wrong[rows].mean() - wrong[~rows].mean())
    assert top.estimate.value == pytest.approx(1 - wrong[rows].mean())
    assert all(case.actual != case.answer for case in top.cases)
    assert len(top.cases) == 3


def test_what_another_finding_explains_is_not_listed_again():
    n, rng = 1500, np.random.default_rng(6)
    place = rng.integers(0, 6, n)
    given_ = examples(
        n,
        place=tuple(f"p{v}" for v in place),
        # A region that only fails because one of its two places does.
        region=tuple(f"r{v // 2}" for v in place),
    )
    wrong = rng.random(n) < np.where(place == 2, 0.5, 0.08)
    told = [each.description for each in discover(subject(given_, wrong)).found]
    assert told[0] == 'place is "p2"'
    assert 'region is "r1"' not in told


def test_a_part_that_fails_far_more_than_the_rest_of_a_failing_slice_is_listed_too():
    n, rng = 1500, np.random.default_rng(7)
    place = rng.integers(0, 10, n)
    given_ = examples(
        n,
        place=tuple(f"p{v}" for v in place),
        region=tuple("north" if v < 5 else "south" for v in place),
    )
    wrong = rng.random(n) < np.select([place == 2, place < 5], [0.6, 0.3], 0.03)
    told = [each.description for each in discover(subject(given_, wrong)).found]
    assert told[:2] == ['region is "north"', 'place is "p2"']
    # The other places of the region fail as often as the region does.
    assert not {f'place is "p{v}"' for v in (0, 1, 3, 4)} & set(told)


def test_mistakes_anywhere_are_no_finding_but_the_nearest_is_suspected():
    n = 400
    given_ = examples(n, **metadata(n))
    wrong = np.random.default_rng(8).random(n) < 0.15
    found = discover(subject(given_, wrong))
    assert found.found == ()
    assert found.searched > 100
    for each in found.suspected:
        assert each.p_value > 0.05
        assert each.gap > 0.0


def test_another_metric_is_said_to_be_searched_by_right_answers():
    n = 200
    given_ = examples(n)
    task = Task(name="desk", objective=Objective(metric="macro_f1"))
    found = discover(subject(given_, np.arange(n) % 9 == 0, task=task))
    assert "Share of right answers" in found.method
    assert "not macro_f1" in found.method


def test_with_few_examples_nothing_is_searched():
    n = FEWEST - 1
    assert discover(subject(examples(n), np.arange(n) % 2 == 0)) is None


def test_languages_are_told_by_script_and_frequent_words():
    assert language_of("I would like to know what is in the letter") == "English"
    assert language_of("Wo ist die Karte und der Brief, ich habe sie nicht") == "German"
    assert language_of("où est la carte que vous avez pour moi, je ne sais pas") == "French"
    assert language_of("Где моя карта") == "Cyrillic"
    assert language_of("カードはどこですか") == "Japanese"
    assert language_of("12345 ??") is None
    assert language_of("refund") is None


def test_words_that_training_lacks_are_counted():
    words = Words.read(["the card is glowing", "the card is late", "quux blorb zorg"])
    masks = {c.description: c.mask.tolist() for c in
             by_unseen_words(words, ["the card is late"], seen=False)}  # fmt: skip
    assert masks["texts with at least a word that no training example has"] == [True, False, True]
    assert masks["texts with at least 3 words that no training example has"] == [False, False, True]


def test_clusters_are_of_neighbours_and_repeatable():
    rng = np.random.default_rng(0)
    centres = np.eye(4, 8, dtype=np.float32)
    rows = centres[np.repeat(np.arange(4), 25)] + rng.normal(0, 0.05, (100, 8)).astype(np.float32)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    found, _ = spherical_k_means(unit, 4, seed=0)
    assert [len(set(found[i * 25 : i * 25 + 25].tolist())) for i in range(4)] == [1, 1, 1, 1]
    assert (found == spherical_k_means(unit, 4, seed=0)[0]).all()
