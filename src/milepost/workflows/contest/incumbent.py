"""What the gate may know of the release in production: its answers on the same examples.

An answer counts only if the incumbent never saw the example's near-duplicate group: its stored
out-of-fold answer, or a fresh one on an example that is new to it.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from milepost.contests.asking import UnaskedError, asked_predictions
from milepost.data.duplicates import text_keys
from milepost.data.snapshot import read_snapshot
from milepost.entities.contest import Contest
from milepost.entities.errors import UpstreamError
from milepost.entities.example import Examples
from milepost.entities.kinds import width_of
from milepost.entities.release import Channel, Manifest, Release
from milepost.evaluation.measuring import row_units
from milepost.evaluation.scorecard import Evidence, build_scorecard
from milepost.evaluation.slices import slice_masks
from milepost.models.encoder import Encoder
from milepost.predictors.base import Predictor
from milepost.predictors.reading import batch_for
from milepost.releases.gate import IncumbentEvidence
from milepost.workflows.contest.honest import aligned, trained_on
from milepost.workflows.contest.judge import Bench, Judgement, compare_answers
from milepost.workflows.contest.stored_predictions import load_predictions
from milepost.workflows.context import Context
from milepost.workflows.release.bundles import inputs_for, load_bundle

NO_ENCODER = "it reads vectors of an encoder that milepost.toml names no more"
"""Why a release has no answer where the encoder was changed by hand."""


def incumbent_evidence(
    context: Context,
    bench: Bench,
    judgement: Judgement,
    standing: Channel | None,
    *,
    fixed: bool = False,
) -> IncumbentEvidence | None:
    """The release in production against the chosen candidate on the judged examples.

    What it asks language models is asked within what is left of the contest's money. Where they
    cannot be asked it is compared by its recorded answers, and that is said.

    Args:
        context: The workspace.
        bench: What both are judged on.
        judgement: The candidates.
        standing: Where production points.
        fixed: Whether it was settled before which candidate is compared, so that no choosing is
            paid for; the interval is then as sure as the decision.

    Returns:
        ``None`` where there is no release yet.
    """
    chosen = judgement.chosen
    if standing is None or chosen is None:
        return None
    release = context.ledger.release(bench.task.name, standing.release)
    if release.number in context.ledger.forgotten_by(bench.task.name):
        return _forgets(release)
    contest = context.ledger.contest(release.contest)
    answerer = load_bundle(context, release.bundle)
    predictor = answerer[0]
    found = _honest_answers(context, bench, release, contest, answerer)
    rows, probabilities = found.rows, found.probabilities
    if not len(rows):
        return _not_compared(context, release, predictor, found)
    mine = judgement.probabilities[chosen.strategy]
    other = np.zeros_like(mine)
    other[rows] = probabilities
    others = 1 if fixed else sum(c.scorecard is not None for c in judgement.candidates)
    sampling = bench.sampling
    if fixed:
        sampling = replace(sampling, confidence=2.0 * sampling.deciding - 1.0)
    name = f"release {release.number}"
    comparison = compare_answers(bench, name, (mine, other), rows, others, sampling)
    judged = bench.judged.take(rows.tolist())
    scorecard = build_scorecard(
        Evidence(
            labels=bench.labels,
            kind=bench.task.kind,
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
    note = ""
    if found.missing and found.why == NO_ENCODER:
        note = (
            f"Release {release.number} cannot answer any more: {NO_ENCODER}. It is compared on the "
            f"{len(rows):,} examples that it has a recorded answer to."
        )
    elif found.missing:
        note = (
            f"Release {release.number} asks {_names(predictor)}, and not all could be asked now "
            f"({found.why}): {found.missing:,} examples without a recorded answer are left out of "
            f"the comparison with it."
        )
    return IncumbentEvidence(
        release=release.number, scorecard=scorecard, comparison=comparison, note=note
    )


def _forgets(release: Release) -> IncumbentEvidence:
    """A release that learned from forgotten examples is compared with nothing: it goes."""
    note = (
        f"Release {release.number} learned from examples that were forgotten since, so that this "
        "candidate takes its place."
    )
    return IncumbentEvidence(release=release.number, scorecard=None, comparison=None, note=note)


def _not_compared(
    context: Context, release: Release, predictor: Predictor, found: "_Honest"
) -> IncumbentEvidence:
    """What is said of a release of which no answer counts, and whether it stays."""
    who, stays = f"Release {release.number}", False
    gone = set(predictor.upstreams) - {each.name for each in context.ledger.upstreams()}
    if not found.missing:
        note = (
            f"{who} was not compared: it may have been trained on every example that judges, or "
            "on their like."
        )
    elif found.why == NO_ENCODER:
        note = f"{who} cannot answer: {NO_ENCODER}; this candidate takes its place."
    elif gone:
        note = (
            f"{who} asks {_names(predictor)}, which is registered no more, so it cannot answer; "
            "this candidate takes its place."
        )
    else:
        stays = True
        note = (
            f"{who} asks {_names(predictor)}, which could not be asked now ({found.why}), and has "
            "no recorded answer to an example that judges: whether this candidate is better is "
            f"not known, and {who.lower()} stays. Let it be asked, with its key and --budget-usd, "
            "and improve again; or `milepost rollback`."
        )
    return IncumbentEvidence(
        release=release.number, scorecard=None, comparison=None, note=note, stays=stays
    )


def _names(predictor: Predictor) -> str:
    return " and ".join(f"`{name}`" for name in sorted(predictor.upstreams))


class _Honest(NamedTuple):
    """Answers of the release that count.

    Attributes:
        rows: ``(m,)`` rows of the judged examples.
        probabilities: ``(m, k)`` answers to them.
        missing: Rows that it could have answered, if what it asks could have been asked.
        why: Why that could not be asked, in words.
    """

    rows: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    missing: int = 0
    why: str = ""


def _honest_answers(
    context: Context,
    bench: Bench,
    release: Release,
    contest: Contest,
    answerer: tuple[Predictor, Manifest],
) -> _Honest:
    """Rows of the judged examples with an honest answer, and those answers."""
    predictor, manifest = answerer
    snapshot = _trained_on(context, contest)
    asks = bool(predictor.upstreams)
    stored = _stored_answers(context, release, contest, asks=asks)
    answered = dict(zip(snapshot.ids, snapshot.asked, strict=True))
    trained = _training_groups(context, bench, contest)
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
            answers[row] = _aligned(bench, stored[0], stored[1][identity])
        elif group not in trained:
            fresh.append(row)
    why = ""
    if fresh:
        texts = inputs_for(context, manifest, bench.judged.take(fresh))
        encoder = _encoder_of(context, bench, manifest)
        found, why = [None] * len(texts), NO_ENCODER
        if encoder is not None:
            found, why = _answers_now(predictor, texts, bench, encoder)
        for row, answer in zip(fresh, found, strict=True):
            if answer is not None:
                answers[row] = _aligned(bench, predictor.labels, answer)
    rows = sorted(answers)
    width = width_of(bench.link, len(bench.labels))
    probabilities = [answers[row] for row in rows] or np.zeros((0, width), np.float32)
    missing = sum(row not in answers for row in fresh)
    return _Honest(np.asarray(rows, np.int64), np.asarray(probabilities), missing, why)


def _encoder_of(context: Context, bench: Bench, manifest: Manifest) -> Encoder | None:
    """The encoder whose vectors the release reads; ``None`` where the workspace has it no more."""
    if manifest.encoder in {None, bench.encoder.digest}:
        return bench.encoder
    encoder = context.reading(manifest.encoder).encoder()
    return encoder if encoder.digest == manifest.encoder else None


def _answers_now(
    predictor: Predictor, texts: Sequence[str], bench: Bench, encoder: Encoder
) -> tuple[Sequence[NDArray[np.float32] | None], str]:
    """Fresh answers, ``None`` where a language model did not answer, and why it did not."""
    batch = batch_for(predictor, texts, encoder)
    if not predictor.upstreams:
        return list(predictor.predict(batch).judged), ""
    try:
        found, costs = asked_predictions(predictor, batch, bench.language)
    except (UpstreamError, UnaskedError) as error:
        return [None] * len(texts), str(error.what).rstrip(".")
    # An upstream that fails now is no mistake of the release.
    answers = [
        answer if whole else None
        for answer, whole in zip(found.probabilities, costs.answered.tolist(), strict=True)
    ]
    failed = len(texts) - int(costs.answered.sum())
    return answers, f"{failed:,} calls failed" if failed else ""


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
    bench: Bench, labels: tuple[str, ...], answer: NDArray[np.float32]
) -> NDArray[np.float32]:
    """One answer ``(k,)`` over the labels of the bench; a label that is not known gets 0."""
    return aligned(labels, bench.labels, answer[None], bench.link)[0]
