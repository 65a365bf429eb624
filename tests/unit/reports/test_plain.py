from dataclasses import replace
from typing import Any, cast

import jsonschema
import msgspec
import pytest

from milepost.entities.contest import Evaluation
from milepost.entities.ids import Digest
from milepost.entities.learning import HeadUpdate
from milepost.reports.plain import SchemaName, evaluate_json, improve_json, predict_json, schema
from milepost.reports.records import Answered, ReportSubject


def through_json(value: object) -> Any:
    return msgspec.json.decode(msgspec.json.encode(value))


def validated(value: object, name: SchemaName) -> Any:
    decoded = through_json(value)
    jsonschema.validate(decoded, schema(name), cls=jsonschema.Draft202012Validator)
    return decoded


@pytest.mark.parametrize("name", ["improve", "evaluate", "predict"])
def test_schemas_are_schemas(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(schema(cast("SchemaName", name)))


@pytest.mark.parametrize("name", ["banking", "churn", "products", "foreign", "doomed"])
def test_improve_output_is_valid(request: pytest.FixtureRequest, name: str) -> None:
    subject: ReportSubject = request.getfixturevalue(name)
    assert subject.contest is not None
    (task,) = validated(improve_json([subject.contest]), "improve")["tasks"]
    assert task["task"] == subject.contest.task
    assert task["decision"] == subject.contest.decision.verdict
    assert len(task["candidates"]) == len(subject.contest.candidates)


def test_improve_fields_are_the_promised_ones(banking: ReportSubject) -> None:
    assert banking.contest is not None
    (task,) = through_json(improve_json([banking.contest]))["tasks"]
    promised = {"task", "decision", "reasons", "release", "seconds", "candidates"}
    assert promised <= task.keys()
    best, failed = task["candidates"][0], task["candidates"][-1]
    assert best["strategy"] == "head_logistic"
    assert best["metric"] == "accuracy"
    assert best["value"] == pytest.approx(0.8612)
    assert best["n"] == 3080
    assert best["chosen"] is True
    assert best["error"] is None
    assert failed["value"] is None
    assert failed["error"].startswith("It failed")
    assert failed["chosen"] is False


def test_no_contests_give_no_tasks() -> None:
    assert validated(improve_json([]), "improve") == {"tasks": []}


def test_evaluate_output_is_valid(evaluation: Evaluation) -> None:
    output = validated(evaluate_json(evaluation), "evaluate")
    assert output["metrics"]["accuracy"].keys() == {"value", "low", "high", "n"}
    assert output["slices"]["german"]["predicate"] == "lang = 'de'"
    assert output["slices"]["empty"] == {
        **dict.fromkeys(("value", "low", "high", "gap", "gap_low", "gap_high", "p_value")),
        "n": 0,
        "predicate": "text = ''",
    }
    assert output["latency"]["p50_ms"] == pytest.approx(4.13)
    assert output["unknown_labels"] == 4


def test_evaluate_without_timing_has_an_empty_latency(evaluation: Evaluation) -> None:
    card = msgspec.structs.replace(evaluation.scorecard, latency=None)
    bare = msgspec.structs.replace(evaluation, scorecard=card, release=None)
    assert validated(evaluate_json(bare), "evaluate")["latency"] == {}


def test_withheld_answers_and_sets_are_valid_output(answered: Answered) -> None:
    sets = tuple((label, "other") for label in answered.predictions.answers)
    unsure = replace(answered.predictions, abstain_below=0.5)
    asked = replace(answered, predictions=unsure, sets=sets)
    rows = validated(predict_json(asked), "predict")["predictions"]
    assert [row["abstained"] for row in rows] == [row["label"] is None for row in rows]
    assert rows[0]["set"] == ["card_lost_or_stolen", "other"]
    assert any(row["abstained"] for row in rows)


def test_answers_of_an_updated_head_say_so(answered: Answered) -> None:
    update = HeadUpdate(task="route", release=3, bundle=Digest("0" * 64), learned=2, forgotten=1)
    output = validated(predict_json(replace(answered, update=update)), "predict")
    assert output["updated"] == {"learned": 2, "forgotten": 1}
    assert "updated" not in predict_json(answered)


def test_predict_output_is_valid(answered: Answered) -> None:
    output = validated(predict_json(answered), "predict")
    assert output["release"] == 3
    assert output["predictions"][0] == {
        "text": "my card was stolen",
        "label": "card_lost_or_stolen",
        "confidence": pytest.approx(0.97),
    }
