"""Records as the JSON that ``--json`` prints: a stable contract, published as JSON Schema.

Fields may be added, never renamed or removed.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, cast

import msgspec

from milepost.entities.contest import SEARCHED, Candidate, Contest, CurvePoint, Evaluation
from milepost.entities.estimate import Estimate
from milepost.entities.money import MICRO
from milepost.entities.prediction import Scores, Spans
from milepost.entities.ranking import Rankings
from milepost.entities.scorecard import Latency, Scorecard, SliceScore
from milepost.reports.asked import asked_json
from milepost.reports.examination.sheet import absent, sections
from milepost.reports.records import Answered, Examined

SchemaName = Literal[
    "improve", "evaluate", "predict", "examine", "behave", "compare", "migrate", "verify"
]


def schema(name: SchemaName) -> dict[str, object]:
    """The published JSON Schema (draft 2020-12) of a command's output."""
    path = Path(__file__).parent / "schemas" / f"{name}.json"
    return cast("dict[str, object]", msgspec.json.decode(path.read_bytes()))


def improve_json(contests: Iterable[Contest]) -> dict[str, object]:
    """The output of ``milepost improve --json``."""
    return {"tasks": [_contest(contest) for contest in contests]}


def _contest(contest: Contest) -> dict[str, object]:
    return {
        "task": contest.task,
        "id": contest.id,
        "decision": contest.decision.verdict,
        "reasons": list(contest.decision.reasons),
        "release": contest.release,
        "waits_for_approvals": contest.waits_for,
        "regime": contest.regime,
        "seed": contest.seed,
        "seconds": round(contest.seconds, 3),
        "budget_usd": None
        if contest.budget_micro_usd is None
        else contest.budget_micro_usd / MICRO,
        "spent_usd": contest.spent_micro_usd / MICRO,
        "candidates": [_candidate(candidate) for candidate in contest.candidates],
        "curve": [_point(point) for point in contest.curve],
        "forecast": [_point(point) for point in contest.forecast],
        "no_forecast": None if contest.forecast else _no_forecast(contest),
    }


def _no_forecast(contest: Contest) -> str | None:
    from milepost.evaluation.forecast import why_none

    card = next((c.scorecard for c in contest.candidates if c.scorecard is not None), None)
    return why_none(card.metric if card is not None else "", contest.curve, contest)


def _candidate(candidate: Candidate) -> dict[str, object]:
    card = candidate.scorecard
    objective = card.objective if card else None
    latency = card.latency if card else None
    return {
        "id": candidate.id,
        "strategy": candidate.strategy,
        "metric": card.metric if card else None,
        "value": objective.value if objective else None,
        "low": objective.low if objective else None,
        "high": objective.high if objective else None,
        "n": objective.n if objective else 0,
        "cost_per_1k_usd": latency.cost_per_1k_usd if latency else None,
        "p50_ms": latency.p50_ms if latency else None,
        "texts_per_second": None if latency is None else latency.texts_per_second,
        "parameters": {k: v for k, v in candidate.parameters.items() if k != SEARCHED},
        "searched": candidate.parameters.get(SEARCHED),
        "fit_seconds": candidate.fit_seconds,
        "fit_cost_usd": candidate.fit_cost_usd,
        "size_bytes": candidate.size_bytes,
        "foreseen_usd": None
        if candidate.foreseen_micro_usd is None
        else candidate.foreseen_micro_usd / MICRO,
        "asked": [asked_json(each) for each in candidate.asked],
        "chosen": candidate.chosen,
        "error": candidate.error,
        "selection": _estimate(candidate.selection),
        **(_closer_look(card) if card else {}),
    }


def _closer_look(card: Scorecard) -> dict[str, object]:
    """What a scorecard tells beside its numbers: direction, looks, leaks and the examination."""
    found, spent = card.examination, card.spent
    return {
        "lower_is_better": card.lower_is_better,
        "looks": card.looks,
        "spent": None if spent is None else msgspec.to_builtins(spent),
        "naive": _estimate(card.naive),
        "examination": None if found is None else msgspec.to_builtins(found),
    }


def evaluate_json(evaluation: Evaluation) -> dict[str, object]:
    """The output of ``milepost evaluate --json``."""
    card = evaluation.scorecard
    return {
        "task": evaluation.task,
        "release": evaluation.release,
        "candidate": evaluation.candidate,
        "metric": card.metric,
        "lower_is_better": card.lower_is_better,
        "n": card.objective.n,
        "metrics": {name: _estimate(estimate) for name, estimate in card.metrics.items()},
        "slices": {part.name: _slice(part) for part in card.slices},
        "latency": _latency(card.latency),
        "calibration": None
        if card.calibration is None
        else {"ece": card.calibration.ece, "ece_if_perfect": card.calibration.ece_if_perfect},
        "unknown_labels": card.unknown_labels,
        "seen": evaluation.seen,
        "on_unseen": _estimate(evaluation.on_unseen),
        "notes": list(card.notes),
    }


def predict_json(answered: Answered) -> dict[str, object]:
    """The output of ``milepost predict --json``."""
    predictions = answered.predictions
    sets, rungs = answered.sets, predictions.answered_by
    answers: Sequence[object] = predictions.answers
    if isinstance(predictions, Spans):
        answers = [msgspec.to_builtins(each) for each in predictions.in_texts(answered.texts)]
    rows = zip(answered.texts, answers, predictions.confidence.tolist(), strict=True)
    scored = isinstance(predictions, Scores | Spans)
    may_abstain = answered.may_withhold or predictions.abstain_below is not None
    return {
        "task": answered.task,
        "release": answered.release,
        "candidate": answered.candidate,
        **_updated(answered),
        "predictions": [
            {
                "text": text,
                predictions.column: label,
                **({} if scored else {"confidence": round(confidence, 6)}),
                **({"abstained": label is None} if may_abstain else {}),
                **({"rung": rungs[at]} if rungs else {}),
                **({"set": sets[at]} if sets is not None else {}),
            }
            for at, (text, label, confidence) in enumerate(rows)
        ],
    }


def rank_json(found: Rankings) -> dict[str, object]:
    """The output of ``milepost predict --json`` of a task that ranks."""
    return {
        "task": found.task,
        "release": found.release,
        "candidate": found.candidate,
        "predictions": [
            {
                "text": query,
                "ranking": [{"text": each.text, "score": each.score} for each in ranking],
            }
            for query, ranking in zip(found.queries, found.rankings, strict=True)
        ],
    }


def _updated(answered: Answered) -> dict[str, object]:
    update = answered.update
    if update is None:
        return {}
    return {"updated": {"learned": update.learned, "forgotten": update.forgotten}}


def examine_json(examined: Examined) -> dict[str, object]:
    """The output of ``milepost examine --json``."""
    card = examined.scorecard
    left_out = absent(examined, sections(examined, full=False))
    return {
        "task": examined.task.name,
        "release": examined.release,
        "in_production": examined.live,
        "candidate": examined.candidate.id,
        "strategy": examined.candidate.strategy,
        "contest": examined.contest.id,
        "regime": card.regime,
        "metric": card.metric,
        "n": card.objective.n,
        "metrics": {name: _estimate(estimate) for name, estimate in card.metrics.items()},
        "forecast": [_point(point) for point in examined.contest.forecast],
        "not_examined": [{"section": title, "why": why} for title, why in left_out if title],
        **_closer_look(card),
    }


def _point(point: CurvePoint) -> dict[str, object]:
    return {"examples": point.examples, **(_estimate(point.estimate) or {})}


def _estimate(estimate: Estimate | None) -> dict[str, object] | None:
    if estimate is None:
        return None
    return {
        "value": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "n": estimate.n,
    }


def _slice(part: SliceScore) -> dict[str, object]:
    """An empty slice has an ``n`` of 0 and ``null`` for its numbers."""
    measured = _estimate(part.estimate) or {"value": None, "low": None, "high": None}
    return {
        **measured,
        "n": part.n,
        "predicate": part.predicate,
        "gap": part.gap,
        "gap_low": part.gap_low,
        "gap_high": part.gap_high,
        "p_value": part.p_value,
    }


def _latency(latency: Latency | None) -> dict[str, object]:
    """Empty where nothing was timed."""
    return {} if latency is None else cast("dict[str, object]", msgspec.to_builtins(latency))
