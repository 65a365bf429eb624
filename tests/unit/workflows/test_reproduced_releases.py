from dataclasses import replace

import msgspec
import pytest
from sqlalchemy import text

from milepost._base.settings import Settings
from milepost.entities.errors import InputError
from milepost.workflows.contest.improve import improve
from milepost.workflows.contest.options import Options
from milepost.workflows.release.reproduce import held_against, reproduce


@pytest.fixture
def released(context, things):
    contest = improve(
        context, things, Options(strategies=("head_closed_form", "tfidf_linear"), seed=3)
    ).contest
    assert contest.release == 1, contest.decision.reasons
    return contest


def test_every_number_comes_out_again(context, things, released):
    looks = context.ledger.looks(things)
    found = reproduce(context, things, 1)
    assert found.holds, found.unequal
    assert found.numbers > 100
    assert found.predictor
    assert found.answers == 40
    assert found.vectors == 20
    assert context.ledger.looks(things) == looks


def test_the_settings_of_then_are_used(context, things, released):
    configuration = msgspec.structs.replace(
        context.configuration, settings=Settings(folds=3, bootstrap=500, confidence=0.9)
    )
    now = replace(context, configuration=configuration)
    now.record_configuration()
    assert reproduce(now, things, 1).holds


def test_a_changed_number_is_found(context, things, released):
    with context.ledger.database.write(context.ledger.tenant) as connection:
        triggers = connection.scalars(
            text("SELECT name FROM sqlite_master WHERE type = 'trigger'")
        ).all()
        for name in triggers:
            if name.startswith("candidates"):
                connection.execute(text(f"DROP TRIGGER {name}"))
        record = connection.scalar(
            text("SELECT record FROM candidates WHERE id = :id"), {"id": released.chosen.id}
        )
        plain = msgspec.json.decode(record)
        plain["scorecard"]["metrics"]["mcc"]["low"] = 0.123
        connection.execute(
            text("UPDATE candidates SET record = :record WHERE id = :id"),
            {"record": msgspec.json.encode(plain).decode(), "id": released.chosen.id},
        )
    found = reproduce(context, things, 1)
    assert not found.holds
    assert [each.where for each in found.unequal] == ["scorecard.metrics.mcc.low"]
    assert found.unequal[0].recorded == "0.123"


def test_without_the_split_it_says_what_is_missing(context, things, released, monkeypatch):
    monkeypatch.setattr(
        type(context.artifacts), "exists", lambda self, digest: digest != released.split
    )
    with pytest.raises(InputError, match="was not kept"):
        reproduce(context, things, 1)


def test_the_split_is_not_collected(context, things, released):
    assert released.split in context.ledger.needed_artifacts().files


def test_a_tolerance_must_be_one(context, things, released):
    with pytest.raises(InputError, match="out of range"):
        reproduce(context, things, 1, tolerance=-1.0)


def test_records_are_held_against_each_other_value_by_value():
    recorded = {"a": [1.0, 2.0], "b": {"c": "word", "d": None}, "e": True}
    again = {"a": [1.0, 2.5], "b": {"c": "word", "d": 1}, "e": True}
    numbers, texts, unequal = held_against(recorded, again, 0.0)
    assert (numbers, texts) == (3, 2)
    assert [(each.where, each.apart) for each in unequal] == [("a.1", 0.5), ("b.d", None)]
    assert held_against(recorded, recorded, 0.0)[2] == ()
    assert [each.where for each in held_against(recorded, again, 1.0)[2]] == ["b.d"]
