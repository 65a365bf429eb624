import json

import msgspec
import numpy as np
import pytest

from milepost._base.clock import Deadline
from milepost.entities.ids import ContestId
from milepost.entities.spans import packed_row
from milepost.models.language.inside.fake import fake_upstream
from milepost.predictors.base import Batch
from milepost.workflows.contest.datasets import prepare
from milepost.workflows.contest.holding import bench_with_look
from milepost.workflows.contest.honest import aligned
from milepost.workflows.contest.improve import improve
from milepost.workflows.contest.incumbent import _honest_answers
from milepost.workflows.contest.options import Options
from milepost.workflows.contest.setting import problem_of as _problem
from milepost.workflows.contest.stored_predictions import load_predictions
from milepost.workflows.release.bundles import load_bundle
from milepost.workflows.tasks.current import current_task

OPTIONS = Options(strategies=("head_closed_form",))


@pytest.fixture
def released(context, things):
    """The first contest of the task and its release."""
    contest = improve(context, things, OPTIONS).contest
    assert contest.release == 1, contest.decision.reasons
    return contest, context.ledger.release(things, 1)


def bench_now(context, name):
    task = current_task(context, name)
    contest = ContestId("c0")
    material = prepare(context, task, contest)
    problem = _problem(context, task, material, 0, Deadline(), lambda what, share: None)
    return bench_with_look(context, task, material, problem, contest)


def honest(context, name, released):
    contest, release = released
    bench = bench_now(context, name)
    answerer = load_bundle(context, release.bundle)
    rows, probabilities, *_ = _honest_answers(context, bench, release, contest, answerer)
    ids = [bench.judged.ids[row] for row in rows]
    return bench, dict(zip(ids, probabilities, strict=True))


def stored_answers(context, released):
    contest, release = released
    chosen = next(c for c in contest.candidates if c.id == release.candidate)
    ids, _, probabilities = load_predictions(context, chosen.predictions)
    return dict(zip(ids, probabilities, strict=True))


def test_training_examples_count_with_their_out_of_fold_answers(context, things, released):
    _, answers = honest(context, things, released)
    stored = stored_answers(context, released)
    assert answers.keys() == stored.keys()
    for identity, answer in answers.items():
        np.testing.assert_array_equal(answer, stored[identity])


def test_new_examples_are_answered_afresh(context, things, rows, write, released):
    new = ("new", "screwdrivers upon shelves near windows", "tool")
    write([*rows, new])
    _, answers = honest(context, things, released)
    assert set(answers) == {identity for identity, _, _ in [*rows, new]}
    predictor, _ = load_bundle(context, released[1].bundle)
    vectors = context.encoder().encode([new[1]])
    np.testing.assert_allclose(
        answers["new"], predictor.predict(Batch((new[1],), vectors)).probabilities[0]
    )


def test_a_near_duplicate_of_a_training_example_does_not_count(
    context, things, rows, write, released
):
    write([*rows, ("twin", rows[0][1].upper() + "!", rows[0][2])])
    _, answers = honest(context, things, released)
    assert "twin" not in answers


def test_an_old_answer_does_not_count_for_another_text_under_the_same_id(
    context, things, rows, write, released
):
    changed = (rows[0][0], "a wrench between bolts under the bench", "tool")
    write([changed, *rows[1:]])
    _, answers = honest(context, things, released)
    stored = stored_answers(context, released)
    assert not np.array_equal(answers[changed[0]], stored[changed[0]])


def test_of_a_test_file_only_what_the_incumbent_never_saw_counts(
    context, things, rows, write, released
):
    seen = ("t1", rows[3][1], rows[3][2])
    unseen = ("t2", "plums with cherries beside melons", "fruit")
    write([seen, unseen], "things-test.csv")
    (context.root / "tasks/things.yaml").write_text(
        "name: things\nlabels: {fruit: '', tool: ''}\n"
        "data: {examples: data/things.csv, test: data/things-test.csv, id: id}\n"
    )
    bench, answers = honest(context, things, released)
    assert bench.regime == "test_file"
    assert set(answers) == {"t2"}


def test_the_next_contest_is_paired_with_the_release(context, things, released):
    contest = improve(context, things, OPTIONS).contest
    assert contest.decision.verdict == "kept"
    assert "release 1" in contest.decision.reasons[0]
    assert context.ledger.channel(things, "production").release == 1


def test_probabilities_follow_the_labels_of_today():
    answers = np.asarray([[0.2, 0.5, 0.3]], np.float32)
    found = aligned(("a", "b", "c"), ("c", "new", "a"), answers)
    np.testing.assert_array_equal(found, np.asarray([[0.3, 0.0, 0.2]], np.float32))
    assert aligned(("a", "b", "c"), ("a", "b", "c"), answers) is answers


def test_spans_follow_the_labels_of_today():
    row = packed_row([(0, 3, 0, 0.9), (5, 8, 1, 0.6)]).astype(np.float32)
    (found,) = aligned(("a", "b"), ("b", "a", "new"), row[None], "spans")
    np.testing.assert_array_equal(found[:8], np.float32([0, 3, 1, 0.9, 5, 8, 0, 0.6]))


class TestAnIncumbentThatAsks:
    """Its language model cannot be asked: that is said, and never taken for "nothing runs"."""

    @pytest.fixture
    def asking(self, context, things, rows):
        """A release that asks ``big``, and the examples of a second contest that it never saw."""
        words = ("kilo", "lima", "mike", "november", "oscar", "papa", "quebec", "romeo", "sierra")
        kinds = {"fruit": "sweet figs or plums near", "tool": "one drill with nails by"}
        new = [(f"n{w}{y}", f"{said} {w}", y) for w in words for y, said in kinds.items()]
        known = [{"text": text, "label": label} for _, text, label in [*rows, *new]]
        (context.root / "known.jsonl").write_text("".join(f"{json.dumps(k)}\n" for k in known))
        row = fake_upstream("big", "fake:?accuracy=1&seconds=0&knows=known.jsonl")
        context.ledger.add_upstream(row, reason="a test", actor="somebody")
        options = Options(strategies=("prompted",), budget_usd=1.0)
        contest = improve(context, things, options).contest
        assert contest.release == 1, contest.decision.reasons
        return new

    def test_it_is_compared_by_what_it_said(self, context, things, write, rows, asking):
        write([*rows, *asking])
        decision = improve(context, things, Options(strategies=("tfidf_linear",))).contest.decision
        assert decision.verdict == "kept"
        said = " ".join(decision.reasons)
        assert "release 1 stays" in said
        assert "Release 1 asks `big`, and not all could be asked now" in said
        assert "18 examples without a recorded answer are left out" in said
        assert "Nothing was released before" not in said

    def test_it_stays_where_nothing_is_known_of_it(self, context, things, write, asking):
        write(asking)
        decision = improve(context, things, Options(strategies=("tfidf_linear",))).contest.decision
        assert decision.verdict == "kept"
        assert decision.reasons[0].startswith("Release 1 asks `big`, which could not be asked now")
        assert "--budget-usd" in decision.reasons[0]
        options = Options(strategies=("tfidf_linear",), budget_usd=1.0)
        asked = improve(context, things, options).contest.decision
        assert "could not be asked" not in " ".join(asked.reasons)
        assert "release 1 stays" in " ".join(asked.reasons)

    def test_a_call_that_fails_is_no_mistake_of_it(self, context, things, write, rows, asking):
        failing = fake_upstream("big", "fake:?seconds=0&fault=server_error")
        failing = msgspec.structs.replace(failing, timeout_s=0.2)  # as long as it is tried again
        context.ledger.add_upstream(failing, reason="a test", actor="somebody", replace=True)
        write([*rows, *asking])
        options = Options(strategies=("tfidf_linear",), budget_usd=1.0)
        contest = improve(context, things, options).contest
        assert "18 calls failed" in " ".join(contest.decision.reasons)
        assert contest.decision.verdict == "kept"

    def test_it_goes_with_its_language_model(self, context, things, write, asking):
        context.ledger.remove_upstream("big", reason="gone", actor="somebody")
        write(asking)
        decision = improve(context, things, Options(strategies=("tfidf_linear",))).contest.decision
        assert decision.verdict == "released"
        assert "`big`, which is registered no more" in decision.reasons[0]
