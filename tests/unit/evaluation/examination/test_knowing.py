"""What an examination says of abstention, sets of labels and scope."""

import numpy as np
import pytest

from milepost.entities.example import Examples
from milepost.entities.expectations import AbstainRule, ScopeRule
from milepost.entities.task import Task
from milepost.evaluation.examination.knowing import SURE, knowing
from milepost.evaluation.examination.subject import Subject

LABELS = tuple("abcd")


def refuse(asked):
    raise AssertionError(asked)


def drawn(rng, n, signal):
    y = rng.integers(0, 4, n)
    z = rng.normal(size=(n, 4))
    z[np.arange(n), y] += signal
    p = np.exp(z * signal)
    return y, (p / p.sum(axis=1, keepdims=True)).astype(np.float32)


def examples(y, prefix, kinds=("near", "far")):
    n = len(y)
    return Examples(
        ids=tuple(f"{prefix}{i}" for i in range(n)),
        texts=tuple(f"{prefix} text {i}" for i in range(n)),
        labels=tuple(LABELS[j] for j in y),
        groups=tuple(f"{prefix}{i}" for i in range(n)),
        sources=("",) * n,
        metadata={"kind": tuple(kinds[i % 2] for i in range(n))},
    )


def subject(signal, *, regime="holdout", n=500, seed=0, **rules):
    rng = np.random.default_rng(seed)
    y, p = drawn(rng, n, signal)
    ty, tp = (y, p) if regime == "cross_fitted" else drawn(rng, 600, signal)
    return Subject(
        task=Task(name="t", **rules),
        labels=LABELS,
        regime=regime,
        examples=examples(y, "j"),
        y=y,
        probabilities=p,
        predict=refuse,
        encode=refuse,
        train=examples(ty, "t"),
        train_y=ty,
        out_of_fold=tp,
        refit=refuse,
    )


@pytest.mark.parametrize("regime", ["holdout", "cross_fitted"])
def test_a_certified_threshold_is_told_with_its_counts(regime):
    asked = subject(2.5, regime=regime, abstain=AbstainRule(at_most_wrong=0.05))
    found, (check,) = knowing(asked)
    kept = found.abstention
    given = asked.probabilities.max(axis=1).astype(float) >= kept.threshold
    wrong = ~asked.right & given
    assert check.outcome == "passed"
    assert kept.answered.value == given.mean()
    assert kept.wrong.value == wrong.sum() / given.sum()
    assert kept.wrong.at_most <= 0.05 + 1e-9
    assert f"{wrong.sum()} of {given.sum()} were" in check.sentence


def test_too_few_examples_leave_the_rule_open_and_say_how_many_would_do():
    found, (check,) = knowing(subject(2.5, n=40, abstain=AbstainRule(at_most_wrong=0.05)))
    assert found.abstention.threshold is None
    assert check.outcome == "open"
    assert "examples to judge on would show it" in check.sentence


def test_a_hopeless_candidate_fails_the_rule():
    asked = subject(0.0, abstain=AbstainRule(at_most_wrong=0.05))
    found, (check,) = knowing(asked)
    assert found.abstention.threshold is None
    assert check.outcome == "failed"


@pytest.mark.parametrize("regime", ["holdout", "cross_fitted"])
def test_sets_keep_their_promise_as_often_as_they_say(regime):
    rows = [knowing(subject(1.2, regime=regime, seed=seed))[0].sets for seed in range(40)]
    for at, promise in enumerate((0.8, 0.9, 0.95)):
        covered = np.array([sets[at].covered.value for sets in rows])
        assert [sets[at].coverage for sets in rows] == [promise] * 40
        # More than the promise on average, because each threshold must keep it.
        assert covered.mean() > promise
        assert rows[0][at].size > 1.0
        assert SURE == 0.95


def test_no_set_is_claimed_of_too_few_examples():
    found, _ = knowing(subject(2.0, regime="cross_fitted", n=70))
    assert [each.coverage for each in found.sets] == [0.8, 0.9]  # 35 set the threshold; 0.95: 59


def test_shares_of_scope_are_counted_from_the_answers():
    asked = subject(2.0, out_of_scope=ScopeRule(label="d", keep=0.5))
    found, (check,) = knowing(asked)
    out, away = asked.y == 3, asked.answers == 3
    scope = found.scope
    assert scope.kept.value == (~away[~out]).mean()
    assert scope.in_scope.value == (asked.right & ~out)[~out].mean()
    assert scope.recall.value == away[out].mean()
    assert scope.precision.value == out[away].mean()
    near = out & (np.arange(len(out)) % 2 == 0)
    assert scope.near["near"].value == away[near].mean()
    assert scope.near["far"].n == (out & ~near).sum()
    assert check.outcome == "passed"
    strict = subject(2.0, out_of_scope=ScopeRule(label="d", keep=0.999))
    assert knowing(strict)[1][0].outcome == "failed"
