"""A release or candidate measured on a labelled file from outside."""

from collections.abc import Sequence
from dataclasses import replace

import msgspec
import numpy as np

from milepost.contests.asking import asked_predictions
from milepost.data.duplicates import regroup
from milepost.data.ranking import at_home
from milepost.data.read import read_examples
from milepost.entities.asked import Answering
from milepost.entities.contest import Evaluation
from milepost.entities.errors import DataError
from milepost.entities.estimate import Estimate
from milepost.entities.example import Examples
from milepost.entities.kinds import truths
from milepost.entities.prediction import Predictions
from milepost.entities.task import Task
from milepost.evaluation.measuring import row_units, task_measure
from milepost.evaluation.scorecard import Evidence, build_scorecard
from milepost.evaluation.slices import slice_masks, where_mask
from milepost.metrics.inference.intervals import Sampling, estimate_of
from milepost.metrics.scoring.measures import Measure, Sample
from milepost.models.encoder import Encoder
from milepost.models.pairs import reads
from milepost.predictors.reading import batch_for
from milepost.workflows.answering.answered import Which
from milepost.workflows.answering.bulk import check_encoder
from milepost.workflows.answering.speaking import language_of
from milepost.workflows.contest.honest import trained_on
from milepost.workflows.contest.timing import Encoders, latencies
from milepost.workflows.context import Context
from milepost.workflows.looking.looks import look_by_evaluation
from milepost.workflows.release.bundles import Answerer, find_answerer
from milepost.workflows.tasks.current import current_task
from milepost.workflows.versions import code_version


def evaluate(
    context: Context, name: str, source: object, which: Which, where: str | None
) -> Evaluation:
    """Measure a release or candidate on a labelled file from outside.

    Rows that the candidate was trained on, or near-duplicates of such, are measured too, but
    counted, and the objective's metric is given without them as well; labels that the task does
    not know count as wrong. Rows that contests judge on are recorded as a look.

    Raises:
        InputError: As ``answer_file``; also if no row has a label.
    """
    task = current_task(context, name)
    answerer = find_answerer(context, name, which.release, which.candidate)
    read = read_examples(
        [source],
        at_home(task, context.root),
        context.settings,
        unknown_labels="keep",
        prepare=context.preparation(answerer.manifest.prepare),
    )
    examples = read.examples
    if where is not None:
        columns = {**examples.metadata, task.data.label: examples.labels}
        mask = where_mask(replace(examples, metadata=columns), task.input_name, where)
        examples = examples.take(np.flatnonzero(mask).tolist())
    examples = examples.take(examples.labelled_rows)
    if not len(examples):
        raise DataError(
            "no row has a label.",
            where=read.sources[0].path,
            advice=f"Is {task.data.label!r} the column?",
        )
    found = _evaluation(context, task, answerer, examples)
    who = f"release {answerer.release}" if answerer.release else f"candidate {answerer.candidate}"
    look_by_evaluation(context, name, examples, f"evaluate {who} on {read.sources[0].path}")
    return found


def _evaluation(context: Context, task: Task, answerer: Answerer, examples: Examples) -> Evaluation:
    predictor = answerer.predictor
    context = context.reading(answerer.manifest.encoder)
    encoder = reads(answerer.manifest.inputs, context.encoder())
    if predictor.uses == "vectors":
        check_encoder(answerer, encoder.digest)
    y = truths(task.kind, examples.labels, predictor.labels)
    given, answering = _given(context, answerer, examples, encoder)
    probabilities = given.judged
    measure = task_measure(task, predictor.labels, context.root)
    sampling = Sampling(
        confidence=context.settings.confidence, resamples=context.settings.bootstrap
    )
    seen = _trained_rows(context, answerer, examples)
    unseen = np.setdiff1d(np.arange(len(y)), seen)
    card = build_scorecard(
        Evidence(
            labels=predictor.labels,
            kind=task.kind,
            objective=task.objective,
            regime="test_file",
            y=y,
            probabilities=given.probabilities,
            judged=given.judged,
            ids=examples.ids,
            texts=examples.texts,
            slice_masks=slice_masks(examples, task.input_name, task.objective.slices),
            temperature=predictor.temperature,
            sampling=sampling,
            notes=_seen_notes(examples, seen),
            measure=measure,
            units=row_units(examples.groups),
            provenance={
                "bundle_examples": answerer.manifest.examples or "",
                "code": code_version(),
            },
        )
    )
    encoders = Encoders(reads(answerer.manifest.inputs, context.bare_encoder()), encoder)
    known = {} if answering is None else {"this": answering}
    timed = latencies({"this": predictor}, examples.texts, encoders, context.settings, known)
    return Evaluation(
        task=task.name,
        release=answerer.release,
        candidate=answerer.candidate,
        scorecard=msgspec.structs.replace(card, latency=timed["this"]),
        seen=len(seen),
        rows=len(examples),
        on_unseen=_on_unseen(measure, Sample(y[unseen], probabilities[unseen]), sampling)
        if seen
        else None,
    )


def _on_unseen(measure: Measure, sample: Sample, sampling: Sampling) -> Estimate | None:
    """The measure on rows that were not trained on; ``None`` where it says nothing of them.

    Of an order of candidates rows may be left, and no query with a right one among them.
    """
    if not len(sample.y):
        return None
    found = estimate_of(measure.found(sample), sampling.confidence)
    return found if found.n else None


def _given(
    context: Context, answerer: Answerer, examples: Examples, encoder: Encoder
) -> tuple[Predictions, Answering | None]:
    """Answers, and what they took where language models were asked for them."""
    predictor = answerer.predictor
    batch = batch_for(predictor, examples.texts, encoder)
    if not predictor.upstreams:
        return predictor.predict(batch), None
    with language_of(context, answerer.manifest.task, predictor, "evaluate") as language:
        found, costs = asked_predictions(predictor, batch, language)
    return found, costs.summary()


def _trained_rows(context: Context, answerer: Answerer, examples: Examples) -> list[int]:
    """Rows that were trained on, word for word or nearly."""
    trained = trained_on(context, context.ledger.contest_of(answerer.candidate))
    ours, theirs = regroup([examples, trained], context.settings.near_duplicate)
    known = set(theirs.duplicates)
    return [i for i, group in enumerate(ours.duplicates) if group in known]


def _seen_notes(examples: Examples, seen: Sequence[int]) -> tuple[str, ...]:
    if not seen:
        return ()
    return (
        f"{len(seen):,} of {len(examples):,} rows were trained on, word for word or nearly; the "
        f"first is {examples.sources[seen[0]]}.",
    )
