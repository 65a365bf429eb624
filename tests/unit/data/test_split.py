import random
from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milepost._base.settings import Settings
from milepost.data.duplicates import regroup, text_keys
from milepost.data.split import assign_sides
from milepost.data.splitting.folding import folds
from milepost.data.splitting.leaks import against_test
from milepost.entities.errors import DataError
from milepost.entities.example import Examples

SMALL = Settings(holdout_min=20, holdout_min_per_label=10)


def examples(texts, labels, groups=None):
    n = len(texts)
    plain = Examples(
        ids=tuple(str(i) for i in range(n)),
        texts=tuple(texts),
        labels=tuple(labels),
        groups=tuple(groups or ("",) * n),
        sources=tuple(f"f.csv:{i + 1}" for i in range(n)),
    )
    return plain if groups else regroup([plain], 0.8)[0]


def many(n, start=0, labels="ab"):
    return examples(
        [f"message {i}" for i in range(start, start + n)],
        [labels[i % len(labels)] for i in range(n)],
    )


def join(*parts):
    return regroup(
        [examples([t for p in parts for t in p.texts], [c for p in parts for c in p.labels], None)],
        0.8,
    )[0]


def test_few_labels_are_all_for_training_and_recorded():
    sides = assign_sides(many(50), {}, SMALL)
    assert sides.regime == "cross_fitted"
    assert set(sides.places) == {"train"}
    assert len(sides.new) == 50


def test_enough_labels_set_a_stratified_holdout_aside():
    data = examples([f"m {i}" for i in range(1000)], ["a"] * 700 + ["b"] * 300)
    sides = assign_sides(data, {}, SMALL)
    held = Counter(data.labels[i] for i in sides.rows("holdout"))
    assert sides.regime == "holdout"
    assert held == {"a": 140, "b": 60}


def test_the_draw_just_at_the_limit_reaches_the_smallest_holdout():
    data = examples([f"m {i}" for i in range(100)], [f"c{i % 7}" for i in range(100)])
    sides = assign_sides(data, {}, SMALL)
    assert len(sides.rows("holdout")) >= 20
    assert sides.regime == "holdout"


def test_many_labels_with_few_examples_each_are_cross_fitted():
    data = examples([f"m {i}" for i in range(200)], [f"c{i % 50}" for i in range(200)])
    assert assign_sides(data, {}, SMALL).regime == "cross_fitted"


@settings(max_examples=30)
@given(st.integers(0, 1000), st.lists(st.integers(1, 120), min_size=1, max_size=5))
def test_recorded_sides_never_change_when_data_is_added(seed, sizes):
    known = {}
    rng = random.Random(seed)  # noqa: S311
    texts, labels = [], []
    for size in sizes:
        texts += [f"message {rng.randrange(400)}" for _ in range(size)]
        labels += [rng.choice("abc") for _ in range(size)]
        data = examples(texts, labels)
        sides = assign_sides(data, known, SMALL, seed=seed)
        assert not set(sides.new) & set(known)
        for key, place in zip(text_keys(data.texts), sides.places, strict=True):
            assert place == known.get(key, sides.new.get(key))
        known |= sides.new
        of_group = defaultdict(set)
        for group, place in zip(data.groups, sides.places, strict=True):
            of_group[group].add(place)
        assert all(len(places) == 1 for places in of_group.values())


def retold(family, word):
    """A message of 24 words of its own family, in which one word is changed."""
    body = [f"f{family}w{i}" for i in range(24)]
    if word is not None:
        body[word] = "changed"
    return " ".join(body)


@settings(max_examples=15)
@given(st.integers(0, 1000), st.lists(st.integers(20, 80), min_size=2, max_size=4))
def test_the_holdout_only_grows_and_no_near_duplicate_straddles(seed, sizes):
    rng = random.Random(seed)  # noqa: S311
    known, rows, held_before, was_judged_on_it = {}, [], set(), False
    for size in sizes:
        rows += [
            (rng.randrange(100), rng.choice([None, *range(24)]), rng.choice("aab"))
            for _ in range(size)
        ]
        data = examples([retold(f, w) for f, w, _ in rows], [label for _, _, label in rows])
        sides = assign_sides(data, known, SMALL)
        known |= sides.new
        held = {data.texts[i] for i in sides.rows("holdout")}
        assert held_before <= held
        held_before = held
        trained = {rows[i][:2] for i in sides.rows("train")}
        # Equal, or one is the other with a word changed; two changed words are below the threshold.
        for family, word in {rows[i][:2] for i in sides.rows("holdout")}:
            assert (family, word) not in trained
            assert (family, None) not in trained
            assert word is not None or not any(f == family for f, _ in trained)
        assert was_judged_on_it <= (sides.regime == "holdout")
        was_judged_on_it = sides.regime == "holdout"
        if was_judged_on_it:
            n = {c: data.labels.count(c) for c in "ab"}
            share = len(sides.rows("holdout")) / len(rows)
            for label in "ab":
                of_label = [i for i in sides.rows("holdout") if data.labels[i] == label]
                assert len(of_label) >= share * n[label] / 2


def test_a_draw_does_not_depend_on_the_order_of_rows():
    data = many(300)
    order = list(range(300))
    random.Random(1).shuffle(order)  # noqa: S311
    first, second = assign_sides(data, {}, SMALL), assign_sides(data.take(order), {}, SMALL)
    assert first.new == second.new
    assert assign_sides(data, {}, SMALL, seed=1).new != first.new


def test_later_additions_give_at_most_half_of_the_new_groups():
    known = assign_sides(many(90), {}, SMALL).new
    assert set(known.values()) == {"train"}
    grown = many(120)
    sides = assign_sides(grown, known, SMALL)
    assert len(sides.rows("holdout")) <= 15
    assert sides.regime == "cross_fitted"  # set aside, but not yet large enough
    larger = many(200)
    later = assign_sides(larger, {**known, **sides.new}, SMALL)
    assert later.regime == "holdout"


def test_a_row_that_links_both_sides_is_quarantined_and_reported():
    data = examples(["one", "two", "three", "four"], ["a", "b", "a", "b"], ["g", "g", "g", "h"])
    keys = text_keys(data.texts)
    sides = assign_sides(data, {keys[0]: "train", keys[1]: "holdout"}, SMALL)
    assert sides.places == ("train", "holdout", "quarantined", "train")
    assert set(sides.new) == {keys[3]}
    assert sides.findings[0].count == 1
    assert "f.csv:3" in sides.findings[0].examples[0]


def test_unlabelled_rows_follow_their_group_and_are_not_recorded_alone():
    data = examples(["a b", "c d", "e f"], [None, None, "x"], ["g", "h", "g"])
    sides = assign_sides(data, {text_keys(["e f"])[0]: "holdout"}, SMALL)
    assert sides.places == ("holdout", "train", "holdout")
    assert set(sides.new) == {text_keys(["a b"])[0]}


def test_rows_of_the_test_file_are_leaks():
    train = examples(["Thanks a lot", "new", "x y"], ["a", "b", "a"])
    test = examples(["thanks a lot!", "x y", "other"], ["b", "a", "a"])
    sides = against_test(*regroup([train, test], 0.8))
    assert sides.places == ("leak", "train", "leak")
    assert sides.regime == "test_file"
    summary = sides.findings[0].summary
    assert summary.startswith("2 training rows are also in the test file (1 word for word")
    assert "1 of them has another label there" in summary


@given(
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 4)), min_size=2, max_size=80),
    st.integers(2, 6),
    st.integers(0, 5),
)
def test_folds_keep_groups_together_and_none_is_empty(rows, k, seed):
    groups = [f"g{g}" for g, _ in rows]
    y = np.asarray([c for _, c in rows], np.int64)
    if len(set(groups)) < 2:
        with pytest.raises(DataError, match="near-duplicates"):
            folds(groups, y, k, seed)
        return
    fold = folds(groups, y, k, seed)
    assert set(fold.tolist()) == set(range(min(k, len(set(groups)))))
    assert all(len({f for f, h in zip(fold, groups, strict=True) if h == g}) == 1 for g in groups)
    order = np.random.default_rng(seed).permutation(len(rows))
    assert (folds([groups[i] for i in order], y[order], k, seed) == fold[order]).all()


def test_each_label_is_spread_as_far_as_it_goes():
    y = np.repeat(np.arange(60), np.r_[np.full(20, 3), np.full(20, 5), np.full(20, 17)])
    fold = folds([str(i) for i in range(len(y))], y, 5, 0)
    table = np.zeros((60, 5), int)
    np.add.at(table, (y, fold), 1)
    assert (table.max(axis=1) - table.min(axis=1) <= 1).all()
    sizes = np.bincount(fold)
    assert sizes.max() - sizes.min() <= 1


def test_nonsense_folds():
    with pytest.raises(ValueError, match="1 folds"):
        folds(["a", "b"], np.zeros(2, np.int64), 1)
