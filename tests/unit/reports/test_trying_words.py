"""What is said of a canary: the difference is that of the numbers beside it; the end is told."""

from datetime import UTC, datetime

import msgspec
import pytest

from milepost.entities.trying import Arm, Trial
from milepost.reports.trying import trial_document

AT = datetime(2026, 5, 4, 3, 2, tzinfo=UTC)
TRIAL = Trial(
    task="route",
    since=AT,
    share=0.1,
    production=Arm(channel="production", release=1, n=300, mean=0.81, paired=0.776),
    canary=Arm(channel="canary", release=2, n=23, mean=0.782, paired=0.782),
    blocks=23,
    difference=0.006,
    low=-0.21,
    high=0.187,
)


def test_the_difference_is_that_of_the_shown_means_of_the_blocks():
    said = str(trial_document(TRIAL))
    for shown in ("78.2 %", "81.0 %", "77.6 %", "good in blocks", "+0.6 points [-21.0, +18.7]"):
        assert shown in said
    assert "23 blocks" in said
    assert max(map(len, said.splitlines())) <= 80


@pytest.mark.parametrize(
    ("decided", "words"),
    [("canary", "The canary was better."), ("production", "was worse."), (None, "undecided")],
)
def test_a_trial_that_ended_says_how(decided, words):
    said = str(trial_document(msgspec.structs.replace(TRIAL, until=AT, decided=decided)))
    assert "the last one ended" in said
    assert words in said
    assert "Next:" not in said


def test_without_any_trial_it_says_how_to_begin():
    arm = msgspec.structs.replace(TRIAL.production, n=0, mean=None, paired=None)
    said = str(trial_document(Trial(task="route", since=None, share=0.0, production=arm)))
    assert "Begin one: milepost canary route RELEASE" in said
