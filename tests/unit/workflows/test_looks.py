"""Looks at judged messages: paid once, never twice the same, anew with new messages, refused."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import msgspec
import pytest

from milepost._base.settings import Settings
from milepost.entities.errors import DataError
from milepost.entities.ids import ContestId
from milepost.entities.scorecard import Spending
from milepost.metrics.inference.spending import levels
from milepost.workflows.answering.answered import Which
from milepost.workflows.answering.evaluating import evaluate
from milepost.workflows.contest.datasets import prepare
from milepost.workflows.contest.improve import improve
from milepost.workflows.contest.options import Options
from milepost.workflows.looking.history import History
from milepost.workflows.looking.looks import (
    is_worn,
    look_notes,
    looks,
    require_unworn,
    take_look,
)
from milepost.workflows.tasks.current import current_task

ONLY = Options(strategies=("tfidf_linear",))


def with_settings(context, **changes):
    configuration = msgspec.structs.replace(context.configuration, settings=Settings(**changes))
    return replace(context, configuration=configuration)


@pytest.fixture
def at_hand(context, things):
    task = current_task(context, things)
    return task, prepare(context, task, ContestId("c0"))


def contests(count):
    return [ContestId(f"c{i:012x}") for i in range(count)]


def test_looks_of_contests_that_release_nothing_cost_less_and_less(context, at_hand):
    task, material = at_hand
    taken = [take_look(context, task, material, each) for each in contests(6)]
    assert [each.look for each in taken] == [1, 2, 3, 4, 5, 6]
    assert {each.of_life for each in taken} == {1}
    expected = levels(0.05, [False] * 5)
    assert [each.alpha for each in taken] == pytest.approx(expected)
    assert [each.left for each in taken] == pytest.approx(
        [0.05 - sum(expected[: i + 1]) for i in range(6)]
    )


def test_a_resumed_contest_pays_once(context, at_hand):
    task, material = at_hand
    first, second = contests(2)
    once = take_look(context, task, material, first)
    after = take_look(context, task, material, second)
    assert take_look(context, task, material, first) == once
    assert take_look(context, task, material, second) == after
    assert len(context.ledger.looks(task.name)) == 2


def test_contests_that_race_never_get_the_same_look(context, at_hand):
    task, material = at_hand
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda each: take_look(context, task, material, each), contests(16)))
    assert sorted(each.look for each in taken) == list(range(1, 17))
    moments = [look.at for look in context.ledger.looks(task.name)]
    assert len(set(moments)) == 16


def test_a_release_hands_its_error_on_and_the_scorecard_says_what_was_spent(context, things):
    first = improve(context, things, ONLY).contest
    second = improve(context, things, ONLY).contest
    third = improve(context, things, ONLY).contest
    assert first.decision.verdict == "released"
    assert [second.decision.verdict, third.decision.verdict] == ["kept", "kept"]
    spent = [contest.chosen.scorecard.spent for contest in (first, second, third)]
    assert [each.alpha for each in spent] == pytest.approx(levels(0.05, [True, False]))
    assert all(c.scorecard.spent == spent[1] for c in second.candidates if c.scorecard)
    assert any("look 2 of at most 50" in note for note in second.chosen.scorecard.notes)
    found = looks(context, things)
    assert [each.verdict for each in found.taken] == ["released", "kept", "kept"]
    assert [each.paid for each in found.taken] == pytest.approx([0, *(s.alpha for s in spent[1:])])
    assert (found.used, found.of_life, found.most) == (3, 1, 50)
    assert found.alpha == 0.05  # as the settings say, without the dust of 1 - 0.95
    assert found.left == pytest.approx(0.05 - spent[1].alpha - spent[2].alpha)
    assert found.next_alpha == pytest.approx(levels(0.05, [True, False, False])[-1])


def test_the_count_begins_anew_once_most_messages_were_never_looked_at(
    context, things, write, rows
):
    def more(word):
        return [(f"{word}{i}-{c}", f"{t} {word} {i}", c) for i, (_, t, c) in enumerate(rows)]

    improve(context, things, ONLY)
    write([*rows, *more("new")])
    improve(context, things, ONLY)
    assert looks(context, things).of_life == 1  # exactly half is not more than half
    grown = [*rows, *more("new"), *more("other"), ("one", "ripe apples of another day", "fruit")]
    write(grown)
    improve(context, things, ONLY)
    # Two thirds joined after the first look, but only a third was never looked at.
    assert looks(context, things).of_life == 1
    fresh = [row for word in ("third", "fourth", "fifth", "sixth") for row in more(word)]
    write([*grown, *fresh, ("two", "pears in the rain", "fruit")])
    improve(context, things, ONLY)
    found = looks(context, things)
    assert [(each.of_life, each.look) for each in found.taken] == [(1, 1), (1, 2), (1, 3), (2, 1)]
    write(rows)
    improve(context, things, ONLY)
    # What was looked at in an earlier life is not new in a later one.
    assert looks(context, things).taken[-1].look == 2


def test_worn_out_messages_are_refused_before_anything_is_fitted(context, things, rows):
    worn = with_settings(context, most_looks=1)
    improve(worn, things, ONLY)
    with pytest.raises(DataError) as caught:
        improve(worn, things, ONLY)
    said = str(caught.value)
    assert "worn out" in said
    assert f"Label {len(rows) + 1} new messages, above all `" in said
    assert len(worn.ledger.looks(things)) == 1
    assert looks(worn, things).next_alpha == 0
    assert looks(worn, things).advice


def test_a_contest_that_has_looked_may_go_on_at_the_limit(context, at_hand):
    task, material = at_hand
    worn = with_settings(context, most_looks=1)
    (first, second) = contests(2)
    take_look(worn, task, material, first)
    require_unworn(worn, task, material, first)
    with pytest.raises(DataError):
        require_unworn(worn, task, material, second)


def test_what_was_judged_before_looks_were_paid_for_counts_and_hands_nothing_on(context, things):
    contest = improve(context, things, ONLY).contest

    def unpaid(candidate):
        card = candidate.scorecard and msgspec.structs.replace(candidate.scorecard, spent=None)
        return msgspec.structs.replace(candidate, scorecard=card)

    old = msgspec.structs.replace(contest, candidates=tuple(map(unpaid, contest.candidates)))
    ledger = context.ledger

    class Before:
        looks = staticmethod(ledger.looks)

        @staticmethod
        def contests(task):
            return (old,)

    following = History(replace(context, ledger=Before()), things).next()
    assert following.look == 2
    assert following.alpha == pytest.approx(levels(0.05, [False])[-1])
    assert following.left == pytest.approx(0.05 - sum(levels(0.05, [False])))


def test_an_evaluation_on_judged_messages_is_a_look_that_decides_nothing(
    context, things, write, rows
):
    held = [(f"t{i}", f"{text} of another day", label) for i, (_, text, label) in enumerate(rows)]
    path = write(held, "test.csv")
    file = context.root / "tasks/things.yaml"
    text = file.read_text().replace("id: id", "id: id, test: data/test.csv")
    file.write_text(text)
    improve(context, things, ONLY)
    before = looks(context, things)
    evaluate(context, things, path, Which(), None)
    evaluate(context, things, write(held[:5], "part.csv"), Which(release=1), None)
    found = looks(context, things)
    first, second = found.taken[1:]
    assert first.actor == context.actor
    assert first.at > before.taken[0].at
    assert first.holdout == before.taken[0].holdout
    assert first.purpose == f"evaluate release 1 on {path} (20 of 20 rows)"
    assert second.purpose.endswith("part.csv (5 of 5 rows)")
    assert (first.contest, first.alpha, first.paid, first.verdict) == (None, None, 0.0, None)
    assert (found.used, found.left, found.next_alpha) == (
        before.used, before.left, before.next_alpha,
    )  # fmt: skip
    actions = [entry.action for entry in context.ledger.audit()]
    assert actions.count("holdout.looked") == 3
    new = [("n", "a saw from nowhere", "tool"), ("m", "pears of nobody", "fruit")]
    evaluate(context, things, write(new, "new.csv"), Which(), None)
    assert len(looks(context, things).taken) == 3


def test_a_scorecard_warns_when_the_margin_has_doubled():
    def spending(look):
        alpha = levels(0.05, [False] * look)[look - 1]
        from milepost.metrics.inference.spending import margin

        return Spending(look=look, of_life=1, alpha=alpha, left=0.01, most=50,
                        margin=margin(0.05, alpha))  # fmt: skip

    assert look_notes(spending(1)) == ()
    assert [is_worn(spending(look)) for look in (2, 7, 9, 30, 46)] == [
        False, False, True, True, True,
    ]  # fmt: skip
    assert "2.1 times as far above its floor" in look_notes(spending(10))[-1]
