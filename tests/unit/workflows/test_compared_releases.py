import numpy as np
import pandas as pd
import pytest

from milepost.entities.errors import InputError, UnknownNameError
from milepost.workflows.contest.improve import improve
from milepost.workflows.contest.options import Options
from milepost.workflows.looking.looks import looks
from milepost.workflows.release.differences import compare

NEW = (
    ("n1", "sweet plums upon market stalls today", "fruit"),
    ("n2", "screwdrivers upon shelves near windows", "tool"),
)


@pytest.fixture
def two(context, things, rows, write):
    """Two contests; the second one has two examples more and two candidates."""
    improve(context, things, Options(strategies=("tfidf_linear",)))
    write([*rows, *NEW])
    return improve(context, things, Options(strategies=("head_closed_form", "tfidf_linear")))


def test_two_of_one_contest_are_compared_on_its_recorded_answers(context, things, two):
    found = compare(context, things, "tfidf_linear", "head_closed_form")
    assert found.counts.n == found.comparison.n == 22
    assert found.first.fresh == found.second.fresh == 0
    of_contest = {c.strategy: c.scorecard.metrics["accuracy"] for c in two.contest.candidates}
    for side in (found.first, found.second):
        right = side.estimate.value * 22
        assert right == pytest.approx(round(right))
        assert side.strategy in of_contest


def test_an_older_one_is_asked_only_about_what_is_new_to_it(context, things, two):
    older = context.ledger.contests(things)[-1]
    candidate = next(c for c in older.candidates if c.strategy == "tfidf_linear")
    found = compare(context, things, candidate.id, "head_closed_form")
    assert found.counts.n == 22
    assert found.first.fresh == 2
    assert found.second.fresh == 0


def test_on_a_file_what_either_was_trained_on_is_left_out(context, things, two, rows):
    again = ("again", rows[0][1], rows[0][2])
    frame = pd.DataFrame([again, ("x", "bananas under canvas awnings", "fruit")],
                         columns=["id", "text", "label"])  # fmt: skip
    found = compare(context, things, "tfidf_linear", "head_closed_form", on=frame)
    assert found.counts.n == 1
    assert "1 example was left out" in found.notes[0]
    with pytest.raises(InputError, match="trained on by one of the two"):
        compare(context, things, "tfidf_linear", "head_closed_form", on=frame[:1])


def test_reading_held_out_answers_is_a_look_that_decides_nothing(context, things, write, rows):
    held = [(f"t{i}", f"{text} of another day", label) for i, (_, text, label) in enumerate(rows)]
    write(held, "test.csv")
    file = context.root / "tasks/things.yaml"
    file.write_text(file.read_text().replace("id: id", "id: id, test: data/test.csv"))
    improve(context, things, Options(strategies=("head_closed_form", "tfidf_linear")))
    before = looks(context, things)
    compare(context, things, "tfidf_linear", "head_closed_form")
    found = looks(context, things)
    (taken,) = found.taken[len(before.taken) :]
    assert taken.actor == context.actor
    assert taken.purpose == "compare `tfidf_linear` with release 1 (20 of 20 rows)"
    assert (found.used, found.left) == (before.used, before.left)


def test_reading_cross_fitted_answers_is_a_look_too(context, things, two):
    before = looks(context, things)
    compare(context, things, "tfidf_linear", "head_closed_form")
    found = looks(context, things)
    (taken,) = found.taken[len(before.taken) :]
    assert taken.purpose == "compare `tfidf_linear` with `head_closed_form` (22 of 22 rows)"
    assert taken.holdout == before.taken[-1].holdout == two.contest.examples
    assert (taken.contest, taken.paid) == (None, 0.0)
    assert (found.used, found.left) == (before.used, before.left)


def with_test_file(context, write, rows, name):
    """The task judges on a test file of these rows from now on."""
    write(rows, name)
    file = context.root / "tasks/things.yaml"
    text = file.read_text().partition(", test:")[0].rstrip("}\n")
    file.write_text(f"{text}, test: data/{name}}}\n")


def test_two_of_contests_with_other_test_files_are_compared_on_both(context, things, write, rows):
    options = Options(strategies=("head_closed_form", "tfidf_linear"))
    days = [
        [(f"{day}{i}", f"{text} on {day}", label) for i, (_, text, label) in enumerate(rows)]
        for day in ("mondays", "sundays")
    ]
    with_test_file(context, write, days[0], "monday.csv")
    older = improve(context, things, options).contest
    with_test_file(context, write, days[1], "sunday.csv")
    improve(context, things, options)
    found = compare(context, things, f"{older.id}-tfidf_linear", "head_closed_form")
    assert found.counts.n == 40
    assert found.first.fresh == found.second.fresh == 20


def test_rows_of_a_test_file_that_say_the_same_count_once(context, things, write, rows):
    held = [(f"t{i}", f"{text} of another day", label) for i, (_, text, label) in enumerate(rows)]
    with_test_file(context, write, held, "test.csv")
    options = Options(strategies=("head_closed_form", "tfidf_linear"))
    improve(context, things, options)
    once = compare(context, things, "majority", "head_closed_form")
    again = [(f"{name}-{i}", text, label) for name, text, label in held for i in range(5)]
    with_test_file(context, write, again, "test.csv")
    improve(context, things, options)
    found = compare(context, things, "majority", "head_closed_form")
    assert found.counts.n == 100
    assert found.comparison.method.startswith("bound of the paired difference by unit")
    # A hundred rows are not a hundred pieces of evidence.
    width = found.comparison.high - found.comparison.low
    assert width >= 0.9 * (once.comparison.high - once.comparison.low)
    for side, of_once in zip((found.first, found.second), (once.first, once.second), strict=True):
        assert side.estimate.high - side.estimate.low >= 0.9 * (
            of_once.estimate.high - of_once.estimate.low
        )


def test_swapped_they_say_the_opposite(context, things, two):
    one = compare(context, things, "majority", "head_closed_form")
    other = compare(context, things, "head_closed_form", "majority")
    assert one.counts.wins == other.counts.losses > 0
    assert np.isclose(one.comparison.difference, -other.comparison.difference)


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        ("head_closed_form", "head_closed_form", "are the same"),
        ("1", "production", "are the same"),
        ("nobody", "1", "nobody"),
        ("1", "7", "7"),
    ],
)
def test_names_that_cannot_be_used_are_refused(context, things, two, first, second, words):
    with pytest.raises(InputError, match=words):
        compare(context, things, first, second)


def test_the_nearest_name_is_offered(context, things, two):
    with pytest.raises(UnknownNameError, match="head_closed_form"):
        compare(context, things, "head_close_form", "1")


def test_what_was_collected_cannot_be_compared(context, things, two):
    older = context.ledger.contests(things)[-1]
    given_up = context.ledger.give_up(1, actor="tester")
    gone = next(c.id for c in older.candidates if c.id in given_up)
    with pytest.raises(InputError, match="were collected"):
        compare(context, things, gone, "head_closed_form")
