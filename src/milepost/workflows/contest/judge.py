"""From contest entries to candidates: scorecards, latency, choice, paired comparisons.

In the cross-fitted regime every number comes from out-of-fold predictions and the chosen
candidate's estimate is corrected for the choosing; otherwise candidates are chosen out of fold
and every number comes from the holdout.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from milepost._base.settings import Settings
from milepost.contests.asking import Language
from milepost.contests.runner import Entry, Fitted
from milepost.contests.thresholds import answers_out_of_fold
from milepost.data.splitting.folding import Folding
from milepost.entities.cascade import CascadeScore
from milepost.entities.contest import Candidate
from milepost.entities.decision import Comparison
from milepost.entities.example import Examples
from milepost.entities.ids import CandidateId, ContestId
from milepost.entities.kinds import KINDS, Link
from milepost.entities.money import MICRO
from milepost.entities.prediction import Predictions
from milepost.entities.scorecard import Latency, Regime, Spending
from milepost.entities.task import Objective, Task
from milepost.evaluation.cascading import Given, cascade_score
from milepost.evaluation.comparison import Pair, compare
from milepost.evaluation.measuring import row_units
from milepost.evaluation.scorecard import Evidence, build_scorecard
from milepost.evaluation.slices import slice_masks
from milepost.metrics.inference.intervals import Sampling, estimate_of
from milepost.metrics.inference.multiplicity import holm
from milepost.metrics.inference.selection import Selection, Ties, best_by, best_of
from milepost.metrics.scoring.deciding import decided
from milepost.metrics.scoring.links import loss_rows
from milepost.metrics.scoring.measures import Measure, Sample
from milepost.models.encoder import Encoder
from milepost.models.language.asking import Speaker
from milepost.predictors.base import Predictor
from milepost.predictors.cascade import CascadePredictor
from milepost.predictors.preparation import Preparation
from milepost.predictors.reading import batch_for
from milepost.strategies.registry import trust_of
from milepost.workflows.contest.corrections import noted
from milepost.workflows.contest.timing import Encoders, latencies
from milepost.workflows.looking.looks import look_notes

FLOOR_STRATEGY = "majority"


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Bench:
    """What all candidates of a contest are judged on.

    Attributes:
        task: The task.
        labels: Label names in column order.
        regime: How numbers are certified.
        train: Labelled training examples, those that came of feedback last.
        train_y: ``(n,) int64``.
        folding: Which of them answered which out of fold.
        counted: Rows of ``train`` that count as evidence: one per message.
        own: How many of ``train`` are the task's own examples.
        judged: Examples that numbers come from: the counted rows of ``train`` when cross-fitted.
        judged_y: ``(m,) int64``; -1 for labels that the task does not know.
        encoder: Holds the vectors of all these texts.
        bare_encoder: Without a cache, for timing.
        settings: Settings of the workspace.
        seed: The one seed.
        looks: Looks at the judged examples, this one included.
        spent: What this look costs; ``None`` where looks are not paid for.
        provenance: Digests for the scorecards.
        measure: The objective's measure.
        one_sided: Confidence of what this look decides; ``None`` takes that of the settings.
        cases: Cases of the files that declared tests of behaviour name, by file.
        prepare: Prepares an input that is none of these examples; ``None`` for a task that
            prepares nothing.
        language: Language models that may be asked about further inputs, as far as it can be paid.
    """

    task: Task
    labels: tuple[str, ...]
    regime: Regime
    train: Examples
    train_y: NDArray[Any]
    folding: Folding
    counted: NDArray[np.int64]
    own: int
    judged: Examples
    judged_y: NDArray[Any]
    encoder: Encoder
    bare_encoder: Encoder
    settings: Settings
    seed: int
    looks: int
    provenance: Mapping[str, str]
    measure: Measure
    one_sided: float | None = None
    spent: Spending | None = None
    cases: Mapping[str, Examples] = field(default_factory=dict[str, Examples])
    prepare: Preparation | None = None
    language: Language = field(default_factory=dict[str, Speaker])

    @property
    def sampling(self) -> Sampling:
        """Confidence, resamples and seed of every estimate."""
        return Sampling(
            confidence=self.settings.confidence,
            resamples=self.settings.bootstrap,
            seed=self.seed,
            one_sided=self.one_sided,
        )

    @property
    def link(self) -> Link:
        """From a predictor's numbers to an answer."""
        return KINDS[self.task.kind].link

    def out_of_fold(self, fitted: Fitted) -> Predictions:
        """Answers to the counted training examples, each by what saw nothing of its group."""
        asked = (self.train_y, self.task.objective.metric)
        return answers_out_of_fold(
            fitted.predictor, fitted.out_of_fold, asked, self.folding, self.counted
        )

    @property
    def cross_fitted(self) -> bool:
        """Whether nothing was set aside."""
        return self.regime == "cross_fitted"


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Judgement:
    """Candidates in rank order with the predictions they were judged by.

    Attributes:
        candidates: Best first, failures last; without bundles and stored predictions.
        predictors: Fitted predictor of each candidate that has one, by strategy.
        probabilities: ``(m, k) float32`` on ``Bench.judged``, as measures read them, by strategy.
        against_majority: The chosen candidate against ``majority``; ``None`` when it is
            ``majority``, or nothing was chosen.
    """

    candidates: tuple[Candidate, ...]
    predictors: Mapping[str, Predictor]
    probabilities: Mapping[str, NDArray[np.float32]]
    against_majority: Comparison | None

    @property
    def chosen(self) -> Candidate | None:
        """The candidate that goes before the gate."""
        return next((c for c in self.candidates if c.chosen), None)


def judge(
    bench: Bench,
    entries: Sequence[Entry],
    contest: ContestId,
    timed: Mapping[str, Latency] | None = None,
    foreseen: Mapping[str, int] | None = None,
) -> Judgement:
    """Rank the entries, choose one out of fold, and measure all of them.

    Args:
        bench: What they are judged on.
        entries: Who competes.
        contest: Id of the contest.
        timed: Latency by strategy, as it was recorded; the others are timed now.
        foreseen: Micro-USD that the calls of each were foreseen to cost, where that could be said.
    """
    fitted = {e.strategy: e.fitted for e in entries if e.fitted is not None}
    predictors = {name: each.predictor for name, each in fitted.items()}
    timed = timed_entries(bench, entries, timed)
    selection, eligible = choose(bench, fitted, timed)
    answers = {name: _judged_answers(bench, each) for name, each in fitted.items()}
    probabilities = {name: each.judged for name, each in answers.items()}
    chosen = eligible[selection.chosen] if selection else None

    masks = slice_masks(bench.judged, bench.task.input_name, bench.task.objective.slices)
    rows = [_candidate(bench, entry, contest, masks, timed, answers) for entry in entries]
    costs = foreseen or {}
    rows = [
        msgspec.structs.replace(row, foreseen_micro_usd=costs.get(row.strategy)) for row in rows
    ]
    if selection is not None:
        rows = [_chosen(bench, row, selection) if row.strategy == chosen else row for row in rows]
    rows = [_with_comparison(bench, row, probabilities, len(eligible)) for row in rows]
    rows = _with_rivals(bench, rows, probabilities, chosen)
    rows.sort(key=lambda row: _rank(row, bench.measure.sign))
    picked = next((row for row in rows if row.chosen), None)
    return Judgement(
        candidates=tuple(rows),
        predictors=predictors,
        probabilities=probabilities,
        against_majority=picked.against if picked else None,
    )


def timed_entries(
    bench: Bench, entries: Sequence[Entry], known: Mapping[str, Latency] | None = None
) -> dict[str, Latency]:
    """Latency of each entry that came to something; what is known is not measured again."""
    fitted = {e.strategy: e.fitted for e in entries if e.fitted is not None}
    found = {name: each for name, each in (known or {}).items() if name in fitted}
    left = {name: each.predictor for name, each in fitted.items() if name not in found}
    if not left:
        return found
    answering = {n: each.answering for n, each in fitted.items() if each.answering is not None}
    encoders = Encoders(bench.bare_encoder, bench.encoder)
    return found | latencies(left, bench.train.texts, encoders, bench.settings, answering)


def judged_again(
    bench: Bench,
    fitted: Mapping[str, Fitted],
    candidates: tuple[Candidate, ...],
    against_majority: Comparison | None,
) -> Judgement:
    """A judgement that was recorded, with the predictions of the same entries beside it."""
    return Judgement(
        candidates=candidates,
        predictors={name: each.predictor for name, each in fitted.items()},
        probabilities={name: _judged_answers(bench, each).judged for name, each in fitted.items()},
        against_majority=against_majority,
    )


def compare_answers(
    bench: Bench,
    against: str,
    probabilities: tuple[NDArray[np.float32], NDArray[np.float32]],
    rows: NDArray[np.int64],
    candidates: int,
    sampling: Sampling | None = None,
) -> Comparison:
    """A paired comparison on ``rows`` of the judged examples, first against second answers."""
    mine, other = (each[rows] for each in probabilities)
    return compare(
        Pair(
            against=against,
            metric=bench.task.objective.metric,
            k=len(bench.labels),
            y=bench.judged_y[rows],
            answers=decided(mine),
            other=decided(other),
            candidates=candidates if bench.cross_fitted else 1,
            sampling=sampling or bench.sampling,
            measure=bench.measure,
            probabilities=(mine, other),
            units=row_units([bench.judged.groups[row] for row in rows.tolist()]),
        )
    )


def _judged_answers(bench: Bench, fitted: Fitted) -> Predictions:
    if bench.cross_fitted:
        return bench.out_of_fold(fitted)
    if fitted.held is not None:
        return fitted.held
    batch = batch_for(fitted.predictor, bench.judged.texts, bench.encoder)
    return fitted.predictor.predict(batch)


def choose(
    bench: Bench, fitted: Mapping[str, Fitted], timed: Mapping[str, Latency]
) -> tuple[Selection | None, list[str]]:
    """The most trusted of those that are not shown to be worse than the best out of fold.

    Where the task wants people to answer what nobody is sure of, a cascade is chosen if there is
    one. Only those within the limits on time and cost compete; where no candidate is, all do, and
    the gate says what is exceeded. The floor is what others are compared with; it is chosen only
    where nothing else could be fitted.
    """
    objective = bench.task.objective
    competing = [name for name in fitted if name != FLOOR_STRATEGY] or list(fitted)
    if not competing:
        return None, []
    eligible = [name for name in competing if _within_limits(objective, timed[name])] or competing
    if bench.task.leaves_to_people:
        # What is withheld counts as wrong, so that no measure would choose what was asked for.
        leaving = [
            name for name in eligible if isinstance(fitted[name].predictor, CascadePredictor)
        ]
        eligible = leaving or eligible
    y = bench.train_y[bench.counted]
    given = [bench.out_of_fold(fitted[name]) for name in eligible]
    ties = Ties(
        losses=np.stack([loss_rows(bench.link, y, each.probabilities) for each in given]),
        trust=np.array(trust_of(eligible), np.int64),
    )
    out_of_fold = np.stack([each.judged for each in given])
    units = row_units(bench.train.take(bench.counted.tolist()).groups)
    if bench.measure.read is not None or units is not None:
        samples = [Sample(y, each, units) for each in out_of_fold]
        return best_by(bench.measure, samples, bench.sampling, ties), eligible
    selection = best_of(
        objective.metric,
        y,
        decided(out_of_fold),
        len(bench.labels),
        bench.sampling,
        ties,
    )
    return selection, eligible


def _within_limits(objective: Objective, latency: Latency) -> bool:
    slow = objective.max_p95_ms is not None and latency.p95_ms > objective.max_p95_ms
    limit = objective.max_cost_per_1k_usd
    return not slow and not (limit is not None and latency.cost_per_1k_usd > limit)


def _candidate(
    bench: Bench,
    entry: Entry,
    contest: ContestId,
    masks: Mapping[str, NDArray[np.bool_]],
    timed: Mapping[str, Latency],
    answers: Mapping[str, Predictions],
) -> Candidate:
    identity = CandidateId(f"{contest}-{entry.strategy}")
    if entry.fitted is None:
        return Candidate(
            id=identity,
            strategy=entry.strategy,
            parameters=dict(entry.parameters),
            error=entry.error,
            fit_seconds=entry.seconds,
            fit_cpu_seconds=entry.cpu_seconds,
            notes=entry.notes,
            fit_cost_usd=_cost(bench, entry),
            asked=entry.asked,
        )
    given = answers[entry.strategy]
    card = build_scorecard(
        Evidence(
            labels=bench.labels,
            kind=bench.task.kind,
            objective=bench.task.objective,
            regime=bench.regime,
            y=bench.judged_y,
            probabilities=given.probabilities,
            judged=given.judged,
            ids=bench.judged.ids,
            texts=bench.judged.texts,
            slice_masks=masks,
            temperature=entry.fitted.predictor.temperature,
            looks=bench.looks,
            sampling=bench.sampling,
            provenance=bench.provenance,
            measure=bench.measure,
            units=row_units(bench.judged.groups),
            groups=len(set(bench.judged.clusters or ())),
            notes=(
                *(look_notes(bench.spent) if bench.spent else ()),
                *noted(len(bench.train), bench.own),
            ),
        )
    )
    out_of_fold = bench.out_of_fold(entry.fitted).judged
    return Candidate(
        id=identity,
        strategy=entry.strategy,
        parameters=dict(entry.parameters),
        selection=estimate_of(
            bench.measure.found(_ranked_on(bench, out_of_fold)),
            bench.sampling.confidence,
        ),
        scorecard=msgspec.structs.replace(
            card,
            latency=timed[entry.strategy],
            spent=bench.spent,
            cascade=_cascade(bench, entry.fitted.predictor, given),
        ),
        fit_seconds=entry.seconds,
        fit_cpu_seconds=entry.cpu_seconds,
        notes=entry.notes,
        fit_cost_usd=_cost(bench, entry),
        asked=entry.asked,
    )


def _cascade(bench: Bench, predictor: Predictor, given: Predictions) -> CascadeScore | None:
    """What a cascade promised, held against judged rows; ``None`` for what is no cascade."""
    if not isinstance(predictor, CascadePredictor) or predictor.promise is None:
        return None
    rungs = None if bench.cross_fitted else given.rungs
    answers = Given(decided(given.probabilities), bench.judged_y)
    return cascade_score(predictor.promise, rungs, answers, bench.settings.confidence)


def _ranked_on(bench: Bench, out_of_fold: NDArray[np.float32]) -> Sample:
    groups = bench.train.take(bench.counted.tolist()).groups
    return Sample(bench.train_y[bench.counted], out_of_fold, row_units(groups))


def _cost(bench: Bench, entry: Entry) -> float:
    calls = sum(each.micro_usd for each in entry.asked) / MICRO
    return entry.cpu_seconds / 3600 * bench.settings.cpu_usd_per_hour + calls


def _chosen(bench: Bench, row: Candidate, selection: Selection) -> Candidate:
    """Mark the chosen one; when cross-fitted its estimate pays for having been chosen."""
    card = row.scorecard
    if card is not None and bench.cross_fitted:
        note = (
            f"Chosen among several on the same predictions: the optimism of choosing, "
            f"{selection.optimism:.3f}, is removed from {card.metric.replace('_', ' ')}."
        )
        card = msgspec.structs.replace(
            card,
            metrics={**card.metrics, card.metric: selection.estimate},
            notes=(*card.notes, note),
        )
    return msgspec.structs.replace(row, chosen=True, scorecard=card)


def _with_comparison(
    bench: Bench,
    row: Candidate,
    probabilities: Mapping[str, NDArray[np.float32]],
    candidates: int,
) -> Candidate:
    mine, floor = probabilities.get(row.strategy), probabilities.get(FLOOR_STRATEGY)
    if mine is None or floor is None or row.strategy == FLOOR_STRATEGY:
        return row
    every = np.arange(len(mine))
    comparison = compare_answers(bench, FLOOR_STRATEGY, (mine, floor), every, candidates)
    return msgspec.structs.replace(row, against=comparison)


def _with_rivals(
    bench: Bench,
    rows: list[Candidate],
    probabilities: Mapping[str, NDArray[np.float32]],
    chosen: str | None,
) -> list[Candidate]:
    """The chosen candidate against each other one; nothing is decided by it.

    When cross-fitted it was chosen on these same rows, which each p-value pays for once more.
    """
    mine = probabilities.get(chosen or "")
    rivals = [row.strategy for row in rows if row.strategy in probabilities]
    rivals = [name for name in rivals if name != chosen]
    if mine is None or not rivals:
        return rows
    # As sure as what is shown: what a look spends is for the gate.
    sampling = replace(bench.sampling, one_sided=None)
    every, most = np.arange(len(mine)), len(rivals) + 1
    found = {
        name: compare_answers(bench, name, (mine, probabilities[name]), every, most, sampling)
        for name in rivals
    }
    better = holm(np.array([each.p_value for each in found.values()]))
    worse = holm(np.array([each.p_worse for each in found.values()]))
    behind = {
        name: msgspec.structs.replace(
            each,
            p_value=float(better[i]),
            p_worse=float(worse[i]),
            method=f"{each.method}, Holm over {len(found)}",
        )
        for i, (name, each) in enumerate(found.items())
    }
    return [msgspec.structs.replace(row, behind=behind.get(row.strategy)) for row in rows]


def _rank(row: Candidate, sign: float) -> tuple[bool, bool, float]:
    value = sign * row.selection.value if row.selection else 0.0
    return (row.error is not None, not row.chosen, -value)
