"""The chosen candidate under close examination, with all that its contest has of it at hand."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import msgspec
import numpy as np
from numpy.typing import NDArray

from milepost._base.clock import Deadline
from milepost.contests.held import HeldVectors
from milepost.contests.runner import predict
from milepost.contests.runner import refit as refit_like
from milepost.contests.training import trains
from milepost.entities.contest import Candidate
from milepost.entities.examination import Examination
from milepost.entities.example import Examples
from milepost.evaluation.examination.examine import examine
from milepost.evaluation.examination.subject import Answering, Subject
from milepost.predictors.base import Predictor
from milepost.predictors.preparation import Preparation
from milepost.predictors.scoped import ScopedPredictor
from milepost.strategy import Combining, Problem, Strategy
from milepost.workflows.contest.judge import Bench, Judgement


def examine_chosen(
    bench: Bench,
    problem: Problem,
    strategies: Sequence[Strategy],
    judgement: Judgement,
    out_of_fold: NDArray[np.float32],
    *,
    brief: bool = False,
) -> Examination:
    """Examine the candidate that goes before the gate.

    Args:
        bench: What it was judged on.
        problem: What it was fitted to.
        strategies: Those of the contest; the chosen one's is among them.
        judgement: Its predictor and its answers.
        out_of_fold: ``(n, k) float32``, its out-of-fold answers to the training examples.
        brief: Whether to find only what the gate checks, and what the release promises.
    """
    chosen = judgement.chosen
    if chosen is None or bench.link != "softmax":
        return Examination()
    # What a task demands is checked however little time the candidates were given.
    problem = replace(problem, deadline=Deadline())
    if isinstance(problem.encoder, HeldVectors):
        problem.encoder.lift_deadline()
    strategy = next(each for each in strategies if each.name == chosen.strategy)
    predictor = judgement.predictors[chosen.strategy]
    # What trains for minutes is not trained many times over to be looked at.
    can_refit = not (
        predictor.upstreams or isinstance(strategy, Combining) or trains(strategy) is not None
    )

    def refit(rows: NDArray[np.int64]) -> Answering:
        return _answering(bench, refit_like(problem.take(rows), strategy, predictor))

    return examine(
        Subject(
            task=bench.task,
            labels=bench.labels,
            regime=bench.regime,
            examples=bench.judged,
            y=bench.judged_y,
            probabilities=judgement.probabilities[chosen.strategy],
            predict=_answering(bench, predictor),
            encode=bench.encoder.encode,
            # Only the task's own examples, which stand first, are looked at.
            train=bench.train.take(range(bench.own)),
            train_y=bench.train_y[: bench.own],
            out_of_fold=out_of_fold[: bench.own],
            refit=refit if can_refit else None,
            detector=predictor if isinstance(predictor, ScopedPredictor) else None,
            cases=bench.cases,
            chars=bench.settings.examine_chars,
            sampling=bench.sampling,
        ),
        brief=brief,
    )


def with_examination(judgement: Judgement, examination: Examination) -> Judgement:
    """The judgement with the chosen candidate's examination on its scorecard."""

    def of(candidate: Candidate) -> Candidate:
        if not candidate.chosen or candidate.scorecard is None:
            return candidate
        card = msgspec.structs.replace(candidate.scorecard, examination=examination)
        return msgspec.structs.replace(candidate, scorecard=card)

    return Judgement(
        candidates=tuple(of(candidate) for candidate in judgement.candidates),
        predictors=judgement.predictors,
        probabilities=judgement.probabilities,
        against_majority=judgement.against_majority,
    )


def _answering(bench: Bench, predictor: Predictor) -> Answering:
    def answer(texts: Sequence[str]) -> NDArray[np.float32]:
        if bench.prepare is not None:
            texts = prepared_where_new(bench.prepare, texts, known)
        return predict(predictor, texts, bench.encoder, bench.language)

    known = known_texts((bench.train, bench.judged, *bench.cases.values()))
    return answer


def known_texts(parts: Iterable[Examples]) -> frozenset[str]:
    """Inputs that are prepared already."""
    return frozenset(text for part in parts if part.originals for text in part.texts)


def prepared_where_new(
    prepare: Preparation, texts: Sequence[str], known: frozenset[str]
) -> list[str]:
    """Texts as they would be read if somebody asked them; those that are known are prepared.

    What an examination changes in an input is prepared like any input that comes in.
    """
    new = list(dict.fromkeys(text for text in texts if text not in known))
    done = dict(zip(new, prepare(new), strict=True))
    return [done.get(text, text) for text in texts]
