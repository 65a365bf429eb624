from dataclasses import replace

import msgspec
import numpy as np
import pytest

from milepost._base.clock import Deadline
from milepost.contests.runner import run
from milepost.data.splitting.folding import fold_examples
from milepost.entities.ids import ContestId
from milepost.entities.scorecard import Latency
from milepost.entities.task import Objective
from milepost.strategies.registry import strategy_named
from milepost.workflows.contest.datasets import prepare
from milepost.workflows.contest.holding import bench_with_look
from milepost.workflows.contest.judge import choose, judge
from milepost.workflows.contest.setting import problem_of as _problem
from milepost.workflows.tasks.current import current_task

STRATEGIES = ("majority", "tfidf_linear", "neighbours", "head_closed_form")


def latency(p95, cost):
    return Latency(p50_ms=p95 / 2, p95_ms=p95, n=50, cpu_seconds_per_1k=1.0, cost_per_1k_usd=cost)


TIMED = {
    "majority": latency(0.1, 1e-6),
    "tfidf_linear": latency(1.0, 1e-5),
    "neighbours": latency(9.0, 1e-3),
    "head_closed_form": latency(20.0, 1e-2),
}


@pytest.fixture
def contest(context, things):
    """A bench and the entries of four strategies on it."""
    task = current_task(context, things)
    material = prepare(context, task, ContestId("c0"))
    problem = _problem(context, task, material, 0, Deadline(), lambda what, share: None)
    folding = fold_examples(material.train, problem.y, 5)
    entries = run(problem, folding, [strategy_named(s) for s in STRATEGIES])
    return bench_with_look(context, task, material, problem, ContestId("c0")), entries


def with_objective(bench, objective):
    return replace(bench, task=msgspec.structs.replace(bench.task, objective=objective))


def chosen(bench, entries):
    fitted = {entry.strategy: entry.fitted for entry in entries}
    selection, eligible = choose(bench, fitted, TIMED)
    return eligible[selection.chosen], set(eligible)


@pytest.mark.parametrize(
    ("objective", "allowed"),
    [
        (Objective(), {"tfidf_linear", "neighbours", "head_closed_form"}),
        (Objective(max_p95_ms=10), {"tfidf_linear", "neighbours"}),
        (Objective(max_cost_per_1k_usd=1e-4), {"tfidf_linear"}),
        (Objective(max_p95_ms=20, max_cost_per_1k_usd=1e-3), {"tfidf_linear", "neighbours"}),
        # nobody is within the limits: all compete, and the gate says what is exceeded
        (Objective(max_p95_ms=0.5), {"tfidf_linear", "neighbours", "head_closed_form"}),
    ],
)
def test_the_choice_is_made_within_the_limits(contest, objective, allowed):
    bench, entries = contest
    best, eligible = chosen(with_objective(bench, objective), entries)
    assert eligible == allowed
    assert best in allowed


def test_the_floor_is_chosen_only_when_it_is_alone(contest):
    bench, entries = contest
    assert chosen(bench, entries[:1])[0] == "majority"
    assert chosen(bench, entries[:2])[0] == "tfidf_linear"
    assert choose(bench, {}, {}) == (None, [])


def test_judging_ranks_the_chosen_first_and_failures_last(contest):
    bench, entries = contest
    failed = replace(entries[1], fitted=None, error="It failed.")
    judgement = judge(bench, [entries[0], failed, *entries[2:]], ContestId("c0"))
    first, *_, last = judgement.candidates
    assert judgement.chosen == first
    assert [row.chosen for row in judgement.candidates].count(True) == 1
    assert last.strategy == "tfidf_linear"
    assert last.scorecard is None
    assert first.against.against == "majority"
    assert judgement.against_majority == first.against
    assert "tfidf_linear" not in judgement.predictors


def test_the_chosen_one_pays_for_having_been_chosen(contest):
    bench, entries = contest
    judgement = judge(bench, entries, ContestId("c0"))
    card = judgement.chosen.scorecard
    assert card.metrics["accuracy"].value <= judgement.chosen.selection.value
    assert any("optimism of choosing" in note for note in card.notes)
    for name, probabilities in judgement.probabilities.items():
        assert probabilities.shape == (20, 2), name
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)


def test_the_chosen_one_is_compared_with_every_other(contest):
    bench, entries = contest
    judgement = judge(bench, entries, ContestId("c0"))
    assert judgement.chosen.behind is None
    others = [row for row in judgement.candidates if not row.chosen]
    for row in others:
        assert row.behind.against == row.strategy
        assert "Holm over 3" in row.behind.method
        mine = judgement.chosen.selection.value
        assert row.behind.difference == pytest.approx(mine - row.selection.value)
        assert 0.0 < row.behind.p_value <= 1.0
