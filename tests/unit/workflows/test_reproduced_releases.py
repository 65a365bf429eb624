from dataclasses import replace

import msgspec
import pytest
from sqlalchemy import text

from milepost._base.settings import Settings
from milepost.entities.errors import InputError
from milepost.workflows.contest.improve import improve
from milepost.workflows.contest.options import Options
from milepost.workflows.release.reproduce import held_against, reproduce

FLOOR = "objective: {metric: accuracy, at_least: 0.1}\n"


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


@pytest.mark.parametrize(
    "rules",
    [
        "out_of_scope: {label: other, keep: 0.5}\n",
        "behaviour:\n  - {name: case, kind: invariance, change: upper_case, at_least: 0.1}\n",
    ],
)
def test_what_a_task_declares_is_recomputed_with_it(context, things, write, rows, rules):
    write([*rows, *((f"o{i}", f"the weather over {row[1][-5:]}", "other")
                    for i, row in enumerate(rows))])  # fmt: skip
    file = context.root / "tasks/things.yaml"
    file.write_text(file.read_text().replace("tool: ''", "tool: '', other: ''") + rules + FLOOR)
    contest = improve(context, things, Options(strategies=("head_closed_form",))).contest
    assert contest.release == 1, contest.decision.reasons
    found = reproduce(context, things, 1)
    assert found.holds, (found.unequal, found.predictor, found.answers_apart)


def test_a_task_that_is_split_by_time_is_recomputed(context, things, rows):
    path = context.root / "data/things.csv"
    lines = path.read_text().splitlines()
    dated = [f"{line},2024-01-{day:02d}" for day, line in enumerate(lines[1:], 1)]
    path.write_text("\n".join([lines[0] + ",sent", *dated]) + "\n")
    file = context.root / "tasks/things.yaml"
    file.write_text(file.read_text().replace("id: id", "id: id, time: sent") + FLOOR)
    contest = improve(context, things, Options(strategies=("head_closed_form",))).contest
    assert contest.release == 1, contest.decision.reasons
    found = reproduce(context, things, 1)
    assert found.holds, (found.unequal, found.predictor, found.answers_apart)
    assert found.answers < 40


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
