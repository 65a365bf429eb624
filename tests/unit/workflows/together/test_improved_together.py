"""Tasks improved together, the whole way on a tiny encoder: folds, contests, record, again."""

import csv
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from milepost.entities.errors import InputError
from milepost.models.adapters import Adapter
from milepost.workflows.contest.honest import trained_on
from milepost.workflows.contest.options import Options, competing, entering
from milepost.workflows.learning.forget import forget
from milepost.workflows.release.reproduce import reproduce
from milepost.workflows.tasks.current import current_task
from milepost.workflows.together import improving, tuning
from milepost.workflows.together.improving import improve_together
from milepost.workflows.together.stored import adapter_bytes, read_adapter
from milepost.workflows.upkeep.collect import collect

OPTIONS = Options(
    strategies=["head_logistic", "multitask"],
    parameters={"multitask": {"steps": 4, "batch": 8, "layers": 1}},
)


@pytest.fixture
def two(add, rows_of):
    return add("things", rows_of("fruit", "tool")), add("places", rows_of("north", "south"))


@pytest.fixture
def done(context, two):
    return improve_together(context, two, OPTIONS)


@pytest.mark.slow
def test_each_task_has_a_contest_in_which_it_competes(context, done):
    assert [each.contest.task for each in done.improvements] == ["things", "places"]
    for each in done.improvements:
        rows = {c.strategy: c for c in each.contest.candidates}
        assert rows["multitask"].scorecard is not None, rows["multitask"].error
        assert rows["head_logistic"].scorecard is not None
    assert len(done.record.adapters) == 2
    assert done.record.steps == (4, 4, 4)


@pytest.mark.slow
def test_each_task_pays_its_share_of_the_tuning(done):
    record = done.record
    assert min(record.seconds, record.cpu_seconds) > 0
    for each in done.improvements:
        row = {c.strategy: c for c in each.contest.candidates}["multitask"]
        alone = row.fit_seconds - record.seconds / 2
        assert 0 < alone < row.fit_seconds
        assert row.fit_cpu_seconds > record.cpu_seconds / 2


@pytest.mark.slow
def test_gains_hold_it_against_the_best_of_the_others(done):
    for gain, each in zip(done.gains, done.improvements, strict=True):
        cards = {c.strategy: c.scorecard for c in each.contest.candidates}
        assert gain.solo == "head_logistic"
        apart = cards["multitask"].objective.value - cards["head_logistic"].objective.value
        assert gain.difference == pytest.approx(apart)
        assert gain.chosen == each.contest.chosen.strategy


@pytest.mark.slow
def test_a_release_is_recomputed_to_the_last_digit(context, done):
    released = [each.contest for each in done.improvements if each.contest.release]
    assert released
    for contest in released:
        again = reproduce(context, contest.task, contest.release)
        assert again.unequal == ()
        assert again.predictor


@pytest.mark.slow
def test_whoever_forgets_is_told_whose_adapter_learned_from_it_too(context, two):
    alone = replace(OPTIONS, strategies=("multitask",))
    released = {
        each.contest.task: each.contest.release
        for each in improve_together(context, two, alone).improvements
    }
    assert released == {"things": 1, "places": 1}
    file = context.ledger.task("things").task.data.example_files[0]
    with (context.root / file).open(encoding="utf-8") as rows:
        text = next(csv.DictReader(rows))["text"]
    done = forget(context, "things", f"text = '{text}'", (), reason="asked for", dry_run=True)
    assert done.joined == ("places#1",)
    assert any("adapter of places#1 was tuned on examples of things" in each for each in done.left)


@pytest.mark.slow
def test_what_recomputing_needs_is_not_collected(context, done):
    collect(context, older_than=0.0, least=timedelta(0))
    for digest in (*done.record.adapters, done.record.whole):
        assert context.artifacts.exists(digest)


@pytest.mark.slow
def test_whoever_was_tuned_with_others_has_seen_their_examples(context, done, rows_of):
    texts = set(trained_on(context, done.improvements[0].contest).texts)
    assert {text for text, _ in rows_of("north", "south")} <= texts


@pytest.mark.slow
def test_what_was_interrupted_goes_on_after_the_last_adapter(context, two, monkeypatch):
    real, calls = tuning.Tuner._tuned, []

    def stops(self, fold, *rest):
        calls.append(fold)
        if fold is None:
            raise KeyboardInterrupt
        return real(self, fold, *rest)

    monkeypatch.setattr(tuning.Tuner, "_tuned", stops)
    with pytest.raises(KeyboardInterrupt):
        improve_together(context, two, OPTIONS)
    monkeypatch.setattr(
        tuning.Tuner,
        "_tuned",
        lambda self, fold, *rest: calls.append(fold) or real(self, fold, *rest),
    )
    improve_together(context, two, OPTIONS)
    assert calls == [0, 1, None, None]


def test_alone_it_does_not_enter(add, context, rows_of):
    add("things", rows_of("fruit", "tool"))
    task = current_task(context, "things")
    every = competing(None)
    timed = entering(task, every, (), Options(budget=60))
    assert "multitask" not in {each.name for each in timed}
    named = entering(task, every, (), Options(strategies=["multitask"]))
    assert "multitask" in {each.name for each in named}


def test_without_torch_it_says_what_to_install(context, two, monkeypatch):
    monkeypatch.setattr(tuning, "_NEEDED", ("no_such_package",))
    with pytest.raises(InputError, match=r"milepost\[train\]"):
        improve_together(context, two, OPTIONS)


def test_one_task_is_refused_before_anything_is_tuned(context, add, rows_of):
    name = add("things", rows_of("fruit", "tool"))
    with pytest.raises(InputError, match="fewer than two"):
        improve_together(context, [name], OPTIONS)


def test_a_wrong_knob_is_refused_with_the_nearest(context, two):
    with pytest.raises(InputError, match="weightin"):
        improve_together(context, two, Options(parameters={"multitask": {"weightin": "famo"}}))


def test_an_adapter_is_the_same_after_it_was_stored(context):
    rng = np.random.default_rng(0)
    down, up = (rng.normal(size=shape).astype(np.float32) for shape in ((32, 2), (2, 32)))
    one = Adapter("e" * 64, {"1.query": down}, {"1.query": up})
    assert read_adapter(adapter_bytes(one), "e" * 64).digest == one.digest


def test_the_job_of_many_tasks_has_a_name_of_bounded_length():
    class Named:
        def __init__(self, name):
            self.name = name

    tasks = [Named(f"a_task_of_some_length_{i}") for i in range(40)]
    assert len(improving._subject(tasks)) < 60
