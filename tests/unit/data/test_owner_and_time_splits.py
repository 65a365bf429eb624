"""Sides by owner and by time: nothing straddles, nothing moves, the draw ignores the order."""

from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milepost._base.settings import Settings
from milepost.data.duplicates import joined, regroup, said_elsewhere
from milepost.data.examples import gather_examples
from milepost.data.load import load_table
from milepost.data.snapshot import read_snapshot, snapshot_digest, write_snapshot
from milepost.data.split import CUT, assign_sides
from milepost.data.splitting.columns import check_columns, moment, owners, shown, times
from milepost.data.splitting.folding import FIRST, fold_examples
from milepost.data.splitting.leaks import against_test
from milepost.data.splitting.owned import about_owners, check_owners
from milepost.entities.errors import DataError, UnknownNameError
from milepost.entities.example import Examples
from milepost.entities.task import DataFiles, Task

SMALL = Settings(holdout_min=20, holdout_min_per_label=2)
DAY = 86_400.0


def examples(rows):
    """Examples of (text, label, owner, day) rows; a day of ``None`` in the first means no times."""
    n = len(rows)
    texts, labels, named, days = zip(*rows, strict=True) if rows else ((), (), (), ())
    plain = Examples(
        ids=tuple(f"{i}" for i in range(n)),
        texts=texts,
        labels=labels,
        groups=("",) * n,
        sources=tuple(f"f.csv:{i + 1}" for i in range(n)),
        owners=named if any(owner is not None for owner in named) else (),
        times=tuple(day * DAY for day in days) if days and days[0] is not None else (),
    )
    return regroup([plain], 0.8)[0]


def row(text, owner=None, day=None, label=None):
    return (f"message {text}", label or "ab"[text % 2], owner and f"c{owner}", day)


def owned_rows(timed):
    """Batches of rows with few texts and owners, so that they meet often."""
    made = st.builds(
        row,
        st.integers(0, 400),
        st.one_of(st.none(), st.integers(1, 60)),
        st.integers(0, 40) if timed else st.none(),
    )
    return st.lists(st.lists(made, min_size=30, max_size=90), min_size=1, max_size=3)


def drawn(batches):
    """Places after each batch, each with the rows so far and what was recorded."""
    known: dict[str, str] = {}
    rows: list[tuple[str, str, str | None, float | None]] = []
    for batch in batches:
        rows = rows + batch
        data = examples(rows)
        sides = assign_sides(data, known, SMALL)
        assert not set(sides.new) & set(known)
        known = {**known, **sides.new}
        yield data, sides, dict(known)


def assert_apart(data, sides):
    """No message and no owner is both trained on and held out."""
    for names in (data.texts, data.owners):
        held = {names[i] for i in sides.rows("holdout")} if names else set()
        trained = {names[i] for i in sides.rows("train")} if names else set()
        assert not (held & trained) - {None}


@settings(max_examples=25)
@given(owned_rows(timed=False))
def test_no_owner_and_no_message_is_on_two_sides_and_none_moves(batches):
    before = ()
    for data, sides, _ in drawn(batches):
        assert_apart(data, sides)
        for was, place in zip(before, sides.places, strict=False):
            assert was == place or was == "quarantined"
        before = sides.places


@settings(max_examples=25)
@given(owned_rows(timed=True))
def test_what_is_held_out_is_later_than_what_is_trained_on(batches):
    before, cut = (), None
    for data, sides, known in drawn(batches):
        held = [data.times[i] for i in sides.rows("holdout")]
        trained = [data.times[i] for i in sides.rows("train")]
        if held:
            assert max(trained) < min(held)
        assert_apart(data, sides)
        for was, place in zip(before, sides.places, strict=False):
            assert {was, place} != {"train", "holdout"}
        before = sides.places
        assert cut is None or known[CUT] == cut
        cut = known.get(CUT)


@settings(max_examples=12)
@given(owned_rows(timed=False), owned_rows(timed=True), st.randoms(use_true_random=False))
def test_the_draw_ignores_the_order_of_the_rows(untimed, timed, random):
    for batches in (untimed, timed):
        # Of what several owners say the first one's is taken, so that their order does count.
        whose: dict[str, str | None] = {}
        rows = [
            each
            for batch in batches
            for each in batch
            if each[2] is None or whose.setdefault(each[0], each[2]) == each[2]
        ]
        order = list(range(len(rows)))
        random.shuffle(order)
        straight = assign_sides(examples(rows), {}, SMALL)
        mixed = assign_sides(examples([rows[i] for i in order]), {}, SMALL)
        assert mixed.places == tuple(straight.places[i] for i in order)
        assert mixed.new == straight.new
        assert mixed.regime == straight.regime


def test_an_owner_stays_on_its_side_when_its_old_messages_are_gone():
    rows = [row(i, owner=i % 60 + 1) for i in range(240)]
    first = assign_sides(examples(rows), {}, SMALL)
    held = {rows[i][2] for i in first.rows("holdout")}
    assert held
    later = [row(1000 + i, owner=i % 60 + 1) for i in range(60)]
    again = assign_sides(examples(later), first.new, SMALL)
    assert {later[i][2] for i in again.rows("holdout")} == held


def test_a_new_row_that_links_an_owner_to_the_other_side_is_quarantined():
    rows = [row(i, owner=i + 1) for i in range(240)]
    sides = assign_sides(examples(rows), {}, SMALL)
    trained, held = sides.rows("train")[0], sides.rows("holdout")[0]
    bridge = (rows[held][0], rows[held][1], rows[trained][2], None)
    linked = examples([*rows, bridge])
    again = assign_sides(linked, sides.new, SMALL)
    assert again.places[:-1] == sides.places
    assert again.places[-1] == "quarantined"
    (finding,) = about_owners(linked, "customer")
    assert (finding.check, finding.count) == ("said_by_other_groups", 1)
    assert finding.examples[0].startswith(f"f.csv:241 and f.csv:{held + 1}: ")


def test_a_row_without_an_owner_that_links_an_owner_to_the_other_side_is_quarantined():
    rows = [row(i, owner=i + 1) for i in range(240)]
    rows.append(("thanks", "a", None, None))
    sides = assign_sides(examples(rows), {}, SMALL)
    held = sides.rows("holdout" if sides.places[-1] == "train" else "train")[0]
    again = assign_sides(examples([*rows, ("thanks", "a", rows[held][2], None)]), sides.new, SMALL)
    assert again.places[-1] == "quarantined"
    assert again.places[:-1] == sides.places
    assert [finding.check for finding in again.findings] == ["bridging_rows"]


def test_what_several_owners_say_does_not_join_them():
    # A chain: x and y share b, y and z share c. Each stays by itself.
    groups, owners = ["a", "b", "b", "c", "c", "d", "b"], ["x", "x", "y", "y", "z", "z", None]
    assert joined(groups, owners) == ("a", "a", "c", "c", "d", "d", "a")
    # Who says nothing of its own is nobody else.
    assert len({*joined(["a", "a", "a"], ["x", "y", "z"])}) == 3


def test_of_what_several_owners_say_only_the_first_ones_rows_are_used():
    rows = [row(i, owner=i % 12 + 1) for i in range(240)]
    rows += [("see you there", "a", f"c{owner}", None) for owner in range(1, 13)]
    data = examples(rows)
    assert len(set(data.groups)) == 12
    assert said_elsewhere(data) == list(range(241, 252))
    sides = assign_sides(data, {}, SMALL)
    assert sides.rows("quarantined") == said_elsewhere(data)
    assert_apart(data, sides)
    given, test = regroup([data, examples([row(1000 + i, owner=50 + i) for i in range(9)])], 0.8)
    assert against_test(given, test).rows("quarantined") == said_elsewhere(data)


@settings(max_examples=25)
@given(owned_rows(timed=False))
def test_an_owner_is_one_group_and_no_two_owners_share_one(batches):
    data = examples([each for batch in batches for each in batch])
    pairs = {(o, g) for o, g in zip(data.owners, data.groups, strict=False) if o is not None}
    assert len(pairs) == len({o for o, _ in pairs}) == len({g for _, g in pairs})
    left = set(said_elsewhere(data))
    used = [i for i in range(len(data)) if i not in left]
    of_message: dict[str, set[str]] = {}
    for i in used:
        of_message.setdefault(data.duplicates[i], set()).add(data.groups[i])
    assert all(len(groups) == 1 for groups in of_message.values())


def test_a_holdout_of_few_owners_is_not_drawn():
    few = [row(i, owner=i % 12 + 1) for i in range(240)]
    assert assign_sides(examples(few), {}, SMALL).regime == "cross_fitted"
    many = [row(i, owner=i % 60 + 1) for i in range(240)]
    assert assign_sides(examples(many), {}, SMALL).regime == "holdout"
    timed = [row(i, owner=i // 40 + 1, day=i) for i in range(240)]
    sides = assign_sides(examples(timed), {}, SMALL)
    assert sides.regime == "cross_fitted"
    assert CUT not in sides.new


@pytest.mark.parametrize(
    ("owner_of", "refused"),
    [
        (lambda i: i % 3 + 1, "of 3 groups by 'customer'; at least 4 are needed"),
        (lambda i: 1 if i < 31 else i, "31 of the 60 rows to judge on are of one group, customer"),
        (lambda i: i % 4 + 1, None),
        (lambda i: 1 if i < 30 else i, None),
    ],
)  # fmt: skip
def test_few_owners_are_refused(owner_of, refused):
    data = examples([row(i, owner=owner_of(i)) for i in range(60)])
    if refused is None:
        check_owners(data, range(60), "customer", "t.yaml")
        return
    with pytest.raises(DataError) as caught:
        check_owners(data, range(60), "customer", "t.yaml")
    assert refused in caught.value.what
    assert caught.value.where == "t.yaml"
    assert "other groups (at least 10 in all)" in caught.value.advice


def test_few_owners_are_warned_of():
    checks = [
        [f.check for f in about_owners(examples([row(i, owner=i % n + 1) for i in range(60)]), "c")]
        for n in (4, 9, 10)
    ]
    assert checks == [["few_groups"], ["few_groups"], []]
    assert about_owners(examples([row(i) for i in range(60)]), "c") == ()


def test_rows_without_an_owner_are_joined_by_their_text_alone():
    assert joined(["a", "b", "c", "b"], [None, None, "x", "x"]) == ("a", "b", "b", "b")
    assert joined(["b", "a"], ["x", "x"]) == ("a", "a")


def test_late_rows_of_groups_that_were_there_before_are_left_out_and_said():
    rows = [row(i, owner=i + 1, day=i) for i in range(200)]
    rows += [row(1000 + i, owner=1, day=199) for i in range(3)]
    sides = assign_sides(examples(rows), {}, SMALL)
    assert [sides.places[i] for i in (200, 201, 202)] == ["quarantined"] * 3
    (finding,) = sides.findings
    assert finding.check == "across_the_cut"
    assert finding.count == 3


def test_newer_rows_join_the_holdout_and_an_overgrown_one_is_said():
    rows = [row(i, day=i) for i in range(200)]
    first = assign_sides(examples(rows), {}, SMALL)
    assert first.regime == "holdout"
    assert first.rows("holdout") == list(range(160, 200))
    newer = [row(1000 + i, day=300 + i) for i in range(300)]
    older = [row(2000, day=3)]
    again = assign_sides(examples([*rows, *newer, *older]), first.new, SMALL)
    assert again.places[:200] == first.places
    assert set(again.places[200:500]) == {"holdout"}
    assert again.places[500] == "train"
    assert [finding.check for finding in again.findings] == ["old_training"]


def test_one_time_for_all_rows_gives_no_holdout():
    sides = assign_sides(examples([row(i, day=1) for i in range(300)]), {}, SMALL)
    assert sides.regime == "cross_fitted"
    assert CUT not in sides.new


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1970-01-02", DAY),
        ("1970-01-02T01:00:00+01:00", DAY),
        ("1970-01-02 00:00:00Z", DAY),
        ("1970-01-02 00:00:00 UTC", DAY),
        ("1970/01/02", DAY),
        ("1971", 365 * DAY),
        (19_700_102, DAY),
        (1_600_000_000, 1_600_000_000.0),
        ("1600000000", 1_600_000_000.0),
        (1_600_000_000_500, 1_600_000_000.5),
        ("1600000000500000", 1_600_000_000.5),
        (1_600_000_000_500_000_000, 1_600_000_000.5),
        (1.6e9, 1_600_000_000.0),
        ("yesterday", None),
        ("01/02/2024", None),
        ("", None),
        (None, None),
        (True, None),
        (12, None),
        ("20241399", None),
    ],
)
def test_times_are_read_in_every_usual_form(value, expected):
    assert moment(value) == expected


def test_a_typed_column_of_moments_is_read():
    from datetime import UTC, datetime

    table = load_table({"text": ["a"], "at": [datetime(1970, 1, 2, tzinfo=UTC)]})
    task = Task(name="t", data=DataFiles(time="at"))
    assert times(table, task, [0]) == (DAY,)
    assert shown(DAY) == "1970-01-02"
    assert shown(DAY + 60) == "1970-01-02 00:01 UTC"


def test_a_time_that_cannot_be_read_is_named_with_its_row():
    table = load_table({"text": ["a", "b", "c"], "at": ["2024-01-01", "soon", None]})
    with pytest.raises(DataError) as caught:
        times(table, Task(name="t", data=DataFiles(time="at")), [0, 1, 2])
    assert '"soon" at dataframe:2, nothing at dataframe:3' in caught.value.what
    assert caught.value.where == "dataframe:2"


def test_a_missing_column_offers_the_nearest_and_the_text_cannot_be_a_group():
    table = load_table({"text": ["a"], "label": ["x"], "customer_id": [1]})
    with pytest.raises(UnknownNameError, match="customer_id"):
        check_columns(table, Task(name="t", data=DataFiles(group="custmer_id")))
    with pytest.raises(DataError, match="is the label"):
        check_columns(table, Task(name="t", data=DataFiles(time="label")))


def test_owners_are_equal_whatever_type_the_file_gives_them():
    task = Task(name="t", data=DataFiles(group="c"))
    assert owners(load_table({"c": [7, 8.0, None]}), task, [0, 1, 2]) == ("7", "8", None)
    assert owners(load_table({"c": ["7", " 8 ", ""]}), task, [0, 1, 2]) == ("7", "8", None)
    assert owners(load_table({"c": ["7.0", "8.0", ""]}), task, [0, 1, 2]) == ("7", "8", None)
    assert owners(load_table({"d": [1]}), task, [0]) == ()


def test_a_file_from_outside_needs_no_column_of_groups_or_times():
    task = Task(name="t", labels={"x": "", "y": ""}, data=DataFiles(group="c", time="at"))
    table = load_table({"text": ["a", "b"], "label": ["x", "y"]})
    gathered = gather_examples([table], task, SMALL, unknown_labels="keep", to_split=False)
    assert gathered.examples.owners == ()
    with pytest.raises(UnknownNameError):
        gather_examples([table], task, SMALL, unknown_labels="keep")


def test_a_snapshot_keeps_owners_times_and_what_says_the_same():
    data = examples([row(1, owner=1, day=1.5), row(2, owner=1, day=2), row(3, None, 3)])
    again = read_snapshot(write_snapshot(data))
    for name in ("owners", "times", "duplicates", "groups"):
        assert getattr(again, name) == getattr(data, name)
    assert again.clusters == data.groups
    bare = replace(data, owners=(), times=(), duplicates=data.groups)
    assert snapshot_digest(bare) == snapshot_digest(data)
    assert b"duplicate" not in write_snapshot(bare)
    assert read_snapshot(write_snapshot(bare)).clusters is None


@settings(max_examples=25)
@given(owned_rows(timed=True), st.integers(2, 6))
def test_an_answer_that_counts_comes_from_earlier_rows_of_other_groups(batches, k):
    data = examples([each for batch in batches for each in batch])
    y = np.asarray(["ab".index(label) for label in data.labels])
    try:
        folding = fold_examples(data, y, k)
    except DataError:
        return
    assert folding.forward
    assert sorted(set(folding.fold_of.tolist())) == list(range(folding.count))
    for fold in range(folding.count):
        inside, fitted_on = folding.inside(fold), folding.fitted_on(fold)
        assert len(fitted_on)
        assert not set(inside.tolist()) & set(fitted_on.tolist())
        counted = [i for i in inside.tolist() if folding.counts[i]]
        if counted:
            assert fold >= FIRST
            assert max(data.times[i] for i in fitted_on) < min(data.times[i] for i in counted)
            groups = {data.groups[i] for i in fitted_on}
            assert not groups & {data.groups[i] for i in counted}


def test_without_times_every_row_counts():
    data = examples([row(i, owner=i % 9 + 1) for i in range(60)])
    folding = fold_examples(data, np.arange(60) % 2, 5)
    assert folding.counts.all()
    assert not folding.forward
    of_owner: dict[object, set[int]] = {}
    for owner, fold in zip(data.owners, folding.fold_of.tolist(), strict=True):
        of_owner.setdefault(owner, set()).add(fold)
    assert all(len(found) == 1 for found in of_owner.values())


def test_leaks_into_a_test_file_are_told_apart():
    task = Task(name="t", data=DataFiles(group="customer_id", time="at"))
    train = [row(i, owner=i + 1, day=i) for i in range(20)]
    later = [row(100, owner=3, day=18.5), row(5, owner=None, day=30), row(101, owner=99, day=31)]
    parts = [examples(train), examples(later)]
    given, test = regroup(parts, 0.8)
    sides = against_test(given, test, task)
    assert sides.rows("leak") == [2, 5, 19]
    same, owned, late = sides.findings
    assert (same.check, owned.check, late.check) == ("leaks", "group_leaks", "not_earlier")
    assert "same customer_id" in owned.summary
    assert (same.count, owned.count, late.count) == (1, 1, 1)


def test_a_test_file_that_is_not_later_is_refused():
    task = Task(name="t", data=DataFiles(time="at"))
    given, test = regroup(
        [examples([row(i, day=i) for i in range(20)]), examples([row(100, day=2)])], 0.8
    )
    with pytest.raises(DataError, match="18 of 20 training rows are not earlier"):
        against_test(given, test, task)


def test_a_task_without_these_columns_keeps_its_digest():
    plain = msgspec.json.encode(Task(name="t"))
    assert b"group" not in plain
    assert b"time" not in plain
