import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milepost.data.duplicates import group_texts, normalise, regroup, text_keys
from milepost.entities.example import Examples


def same(a, b, threshold=0.8):
    grouping = group_texts([a, b], threshold)
    return grouping.groups[0] == grouping.groups[1]


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("Thanks!", "thanks"),
        ("I can't  pay.", "i cant pay"),
        ("ﬁne Ａ", "FINE a"),
        ("STRASSE", "straße"),
        ("zero\u200bwidth", "zerowidth"),
    ],
)
def test_what_is_the_same_message(a, b):
    assert same(a, b, 1.0)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("thanks", "thanks a lot"),
        ("ok", "ko"),
        ("😀", "😡"),
        ("!!!", "???"),
        ("pay 5", "pay 50"),
        ("what is my balance", "what is my current balance"),
        ("block my card now", "cancel my card now"),
    ],
)
def test_what_is_another_message(a, b):
    assert not same(a, b)


LONG = (
    "dear customer your parcel could not be delivered today because nobody was at home please "
    "call the number on the card to arrange a new day"
)


def test_a_small_change_in_a_long_text_is_a_near_duplicate():
    assert same(LONG, LONG.replace("today", "yesterday"))
    assert not same(LONG, LONG.replace("today", "yesterday"), 1.0)
    assert not same(LONG, "please " + LONG.replace("parcel", "card").replace("today", "at noon"))


def test_scripts_without_spaces_are_compared_by_character():
    text = "この商品はとても良かったのでまた購入したいと思いますありがとうございました"
    assert same(text, text.replace("また", "また、"))
    assert same(text, text[:-1])
    assert not same(text, "この商品は良くないので返品したいと思います")


def brute_force(texts, threshold):
    normal = normalise(texts)

    def pairs(text):
        words = ["", *text.split(), ""]
        return set(pairwise(words)) if len(words) >= 8 else None

    sets = [pairs(text) for text in normal]
    group = list(range(len(texts)))
    for i in range(len(texts)):
        for j in range(i):
            near = (
                sets[i] and sets[j] and len(sets[i] & sets[j]) >= threshold * len(sets[i] | sets[j])
            )
            if normal[i] == normal[j] or near:
                old, new = max(group[i], group[j]), min(group[i], group[j])
                group = [new if g == old else g for g in group]
    return group


@settings(max_examples=60)
@given(st.integers(0, 2**32), st.sampled_from([0.3, 0.5, 0.8, 0.9, 1.0]))
def test_groups_are_those_of_a_brute_force_comparison(seed, threshold):
    rng = random.Random(seed)  # noqa: S311
    texts = [" ".join(rng.choices("abcd", k=rng.randint(0, 12))) for _ in range(40)]
    for _ in range(20):
        words = rng.choice(texts).split() or ["x"]
        words[rng.randrange(len(words))] = "e"
        texts.append(" ".join(words))
    if threshold == 1.0:
        expected = [normalise(texts).index(text) for text in normalise(texts)]
    else:
        expected = brute_force(texts, threshold)
    groups = group_texts(texts, threshold).groups
    for i in range(len(texts)):
        for j in range(i):
            assert (groups[i] == groups[j]) == (expected[i] == expected[j])


@given(st.lists(st.text(max_size=30), max_size=20), st.randoms())
def test_keys_and_groups_do_not_depend_on_company_or_order(texts, rng):
    grouping = group_texts(texts, 0.8)
    assert grouping.keys == tuple(text_keys([text])[0] for text in texts)
    order = list(range(len(texts)))
    rng.shuffle(order)
    shuffled = group_texts([texts[i] for i in order], 0.8)
    assert shuffled.groups == tuple(grouping.groups[i] for i in order)


def test_thousands_of_copies_of_a_template_are_one_group():
    texts = [f"{LONG} {i}" for i in range(3000)]
    assert len(set(group_texts(texts, 0.8).groups)) == 1


def test_regroup_spans_the_parts_and_keeps_the_rest():
    def part(text):
        return Examples(("1",), (text,), ("x",), ("",), ("f:1",), {"m": (1,)})

    first, second = regroup([part(LONG), part(LONG + " thanks")], 0.8)
    assert first.groups == second.groups
    assert second.metadata == {"m": (1,)}


def test_nothing_and_nonsense():
    assert group_texts([], 0.8).groups == ()
    assert len(set(group_texts(["", " "], 0.8).groups)) == 1
    with pytest.raises(ValueError, match="threshold"):
        group_texts(["a"], 0.0)
