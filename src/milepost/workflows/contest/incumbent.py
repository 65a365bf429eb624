"""What the gate may know of the release in production: its answers on the same examples.

An answer counts only if the incumbent never saw the example's near-duplicate group: its stored
out-of-fold answer, or a fresh one on an example that is new to it.
"""

import numpy as np
from numpy.typing import NDArray

from milepost.contests.asking import UnaskedError
from milepost.contests.runner import predict
from milepost.data.duplicates import text_keys
from milepost.data.snapshot import read_snapshot
from milepost.entities.contest import Contest
from milepost.entities.errors import UpstreamError
from milepost.entities.example import Examples
from milepost.entities.release import Channel, Manifest, Release
from milepost.evaluation.measuring import row_units
from milepost.evaluation.scorecard import Evidence, build_scorecard
from milepost.evaluation.slices import slice_masks
from milepost.predictors.base import Predictor
from milepost.releases.gate import IncumbentEvidence
from milepost.workflows.contest.honest import trained_on
from milepost.workflows.contest.judge import Bench, Judgement, compare_answers
from milepost.workflows.contest.stored_predictions import load_predictions
from milepost.workflows.context import Context
from milepost.workflows.release.bundles import inputs_for, load_bundle


def incumbent_evidence(
    context: Context, bench: Bench, judgement: Judgement, standing: Channel | None
) -> IncumbentEvidence | None:
    """The release in production against the chosen candidate on the judged examples.

    Returns:
        ``None`` where there is no release yet, or none of the judged examples is honest for it.
    """
    chosen = judgement.chosen
    if standing is None or chosen is None:
        return None
    release = context.ledger.release(bench.task.name, standing.release)
    contest = context.ledger.contest(release.contest)
    answerer = load_bundle(context, release.bundle)
    predictor = answerer[0]
    rows, probabilities = _honest_answers(context, bench, release, contest, answerer)
    if not len(rows):
        return None
    mine = judgement.probabilities[chosen.strategy]
    other = np.zeros_like(mine)
    other[rows] = probabilities
    others = sum(c.scorecard is not None for c in judgement.candidates)
    comparison = compare_answers(bench, f"release {release.number}", (mine, other), rows, others)
    judged = bench.judged.take(rows.tolist())
    scorecard = build_scorecard(
        Evidence(
            labels=bench.labels,
            objective=bench.task.objective,
            regime=bench.regime,
            y=bench.judged_y[rows],
            probabilities=probabilities,
            ids=judged.ids,
            texts=judged.texts,
            slice_masks=slice_masks(judged, bench.task.input_name, bench.task.objective.slices),
            temperature=predictor.temperature,
            looks=bench.looks,
            sampling=bench.sampling,
            measure=bench.measure,
            units=row_units(judged.groups),
        )
    )
    return IncumbentEvidence(release=release.number, scorecard=scorecard, comparison=comparison)


def _honest_answers(
    context: Context,
    bench: Bench,
    release: Release,
    contest: Contest,
    answerer: tuple[Predictor, Manifest],
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Rows of the judged examples with an honest answer, and those answers."""
    predictor, manifest = answerer
    snapshot = _trained_on(context, contest)
    asks = bool(predictor.upstreams)
    stored = _stored_answers(context, release, contest, asks=asks)
    answered = dict(zip(snapshot.ids, snapshot.asked, strict=True))
    trained = _training_groups(context, bench, contest)
    positions: list[int] = []
    answers: dict[int, NDArray[np.float32]] = {}
    fresh: list[int] = []
    for row, (identity, text, group) in enumerate(
        zip(bench.judged.ids, bench.judged.asked, bench.judged.groups, strict=True)
    ):
        # An id that a user gives may have got another text since: its old answer does not count.
        same_text = answered.get(identity) == text
        # What was asked of a language model was paid for, and is not asked again.
        again = bench.cross_fitted or (asks and group not in trained)
        if again and same_text and identity in stored[1]:
            answers[row] = _aligned(stored[0], bench.labels, stored[1][identity])
            positions.append(row)
        elif group not in trained:
            fresh.append(row)
            positions.append(row)
    if fresh:
        texts = inputs_for(context, manifest, bench.judged.take(fresh))
        try:
            found = predict(predictor, texts, bench.encoder, bench.language)
        except (UpstreamError, UnaskedError):
            # Who cannot be asked, or not for what is left, is judged by what it said before.
            positions = [row for row in positions if row in answers]
        else:
            for row, answer in zip(fresh, found, strict=True):
                answers[row] = _aligned(predictor.labels, bench.labels, answer)
    rows = np.asarray(positions, np.int64)
    empty = np.zeros((0, len(bench.labels)), np.float32)
    return rows, np.stack([answers[row] for row in positions]) if positions else empty


def _stored_answers(
    context: Context, release: Release, contest: Contest, *, asks: bool
) -> tuple[tuple[str, ...], dict[str, NDArray[np.float32]]]:
    """Labels and recorded answers by example id; empty unless it was cross-fitted, or asks."""
    candidate = next(c for c in contest.candidates if c.id == release.candidate)
    if (contest.regime != "cross_fitted" and not asks) or candidate.predictions is None:
        return (), {}
    ids, labels, probabilities = load_predictions(context, candidate.predictions)
    return labels, dict(zip(ids, probabilities, strict=True))


def _trained_on(context: Context, contest: Contest) -> Examples:
    """All examples that the contest worked on, a holdout included."""
    dataset = context.ledger.dataset(contest.examples)
    return read_snapshot(context.artifacts.get(dataset.artifact))


def _training_groups(context: Context, bench: Bench, contest: Contest) -> set[str]:
    """Groups, as drawn now, that hold a text which the incumbent may have been trained on.

    Goes by the key of each text, because groups may have merged since.
    """
    seen = set(text_keys(trained_on(context, contest).asked))
    groups: set[str] = set()
    for part in (bench.train, bench.judged):
        keys = text_keys(part.asked)
        groups |= {g for key, g in zip(keys, part.groups, strict=True) if key in seen}
    return groups


def _aligned(
    labels: tuple[str, ...], wanted: tuple[str, ...], answer: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Probabilities re-ordered to ``wanted``; a label that is not known gets 0."""
    if labels == wanted:
        return answer
    position = {label: i for i, label in enumerate(labels)}
    return np.asarray([answer[position[w]] if w in position else 0.0 for w in wanted], np.float32)
