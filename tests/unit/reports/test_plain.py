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


def test_what_was_searched_and_what_fitting_took_is_told(banking: ReportSubject) -> None:
    contest = banking.contest
    assert contest is not None
    chosen = contest.chosen
    assert chosen is not None
    assert chosen.scorecard is not None
    assert chosen.scorecard.latency is not None
    searched = {"tried": 5, "of": 8, "folds": [{"c": 3.0}] * 5}
    found = msgspec.structs.replace(
        chosen,
        parameters={"c": 3.0, "searched": searched},
        fit_seconds=13.0,
        size_bytes=4096,
        scorecard=msgspec.structs.replace(
            chosen.scorecard,
            latency=msgspec.structs.replace(chosen.scorecard.latency, cpu_seconds_per_1k=4.0),
        ),
    )
    plain = msgspec.structs.replace(chosen, chosen=False, parameters={"c": 1.0}, scorecard=None)
    contest = msgspec.structs.replace(contest, candidates=(found, plain))
    (task,) = validated(improve_json([contest]), "improve")["tasks"]
    first, second = task["candidates"]
    told = ("parameters", "searched", "fit_seconds", "size_bytes", "texts_per_second")
    assert [first[name] for name in told] == [{"c": 3.0}, searched, 13.0, 4096, 250.0]
    assert (second["parameters"], second["searched"]) == ({"c": 1.0}, None)
    assert second["texts_per_second"] is None


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
