"""The steps of a contest as records: what each came to is stored once, and read back as it was.

A step that is read back gives what fitting it again would give, to the bit, and costs nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar, cast

import msgspec
import numpy as np

from milepost._base.digest import canonical_json
from milepost.contests.runner import Entry, Fitted
from milepost.entities.asked import Answering, Asked
from milepost.entities.contest import Candidate, CurvePoint
from milepost.entities.decision import Comparison
from milepost.entities.errors import CorruptError
from milepost.entities.examination import Examination, Knowing
from milepost.entities.ids import Digest
from milepost.entities.job import Step
from milepost.entities.prediction import Predictions
from milepost.entities.release import Manifest
from milepost.entities.scorecard import Latency
from milepost.predictors.base import Predictor
from milepost.predictors.bundle import MANIFEST, bundle_files, predictor_from_files
from milepost.strategy import Problem, Strategy
from milepost.workflows.contest.asking.money import Purse
from milepost.workflows.contest.datasets import Material, Split, prepared
from milepost.workflows.contest.judge import Bench, Judgement, judged_again
from milepost.workflows.contest.naive import Naive
from milepost.workflows.contest.stored_predictions import load_predictions, store_predictions
from milepost.workflows.context import Context
from milepost.workflows.upkeep.jobs import Kept, Work

STRATEGY = "strategy "
"""What the name of a strategy's step begins with."""

_Record = TypeVar("_Record")


class KeptEntry(msgspec.Struct, frozen=True, kw_only=True):
    """What one strategy came to, as it is recorded.

    Attributes:
        strategy: Its name.
        parameters: Its parameters.
        error: Why there is nothing; ``None`` after a success.
        seconds: Wall time of all its fits.
        cpu_seconds: Processor time of all its fits.
        manifest: Of its predictor, whose files are stored; ``None`` after a failure. The certified
            metrics are still missing in it.
        out_of_fold: Digest of the stored out-of-fold probabilities; ``None`` after a failure.
        asked: What it asked language models.
        answering: What its answers took, of one that asks.
        held: Digest of its stored answers to what is held out, of one that asks.
        rungs: Which rung gave each of those, of a cascade that asks.
        rung_names: Names of the rungs.
        notes: What its fits said.
    """

    strategy: str
    parameters: dict[str, object]
    error: str | None
    seconds: float
    cpu_seconds: float
    manifest: Manifest | None = None
    out_of_fold: Digest | None = None
    asked: tuple[Asked, ...] = ()
    answering: Answering | None = None
    held: Digest | None = None
    rungs: tuple[int, ...] = ()
    rung_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class _KeptTimes(msgspec.Struct, frozen=True):
    latencies: dict[str, Latency]


class _KeptJudgement(msgspec.Struct, frozen=True):
    candidates: tuple[Candidate, ...]
    against_majority: Comparison | None


class _KeptCurve(msgspec.Struct, frozen=True):
    points: tuple[CurvePoint, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Entries:
    """Keeps what each strategy came to; ``around`` is wrapped around the entering of one.

    Attributes:
        context: The workspace.
        work: The job.
        problem: What the strategies solve.
        ids: Id of each of the problem's examples.
        template: What the manifests of all predictors have in common.
        kept: By strategy, filled as they enter.
        purse: Says what does not fit into the budget.
        held: Id of each text that is held out.
    """

    context: Context
    work: Work
    problem: Problem
    ids: tuple[str, ...]
    template: Manifest
    kept: dict[str, KeptEntry]
    purse: Purse
    held: tuple[str, ...] = ()

    def around(self, strategy: Strategy, enter: Callable[[], Entry]) -> Entry:
        """The strategy's entry as an earlier process recorded it, or a new one, recorded now.

        What the budget cut short is not recorded: a later process with time left tries again.
        """
        entry, kept = self.work.once(
            f"{STRATEGY}{strategy.name}",
            lambda: self._stored(self.purse.around(strategy, enter)),
            save=self._record,
            load=self._read,
        )
        self.kept[strategy.name] = kept
        return entry

    def _stored(self, entry: Entry) -> tuple[Entry, KeptEntry]:
        """Store what was fitted; what no bundle can hold is a failure of the strategy."""
        if entry.fitted is None:
            return entry, _kept(entry)
        predictor = entry.fitted.predictor
        reads_vectors = predictor.uses == "vectors"
        manifest = msgspec.structs.replace(
            self.template,
            kind=predictor.kind,
            labels=predictor.labels,
            strategy=entry.strategy,
            parameters=dict(entry.parameters),
            encoder=Digest(self.problem.encoder.digest) if reads_vectors else None,
            variant=self.problem.encoder.variant if reads_vectors else None,
        )
        try:
            files = bundle_files(predictor, manifest)
        except (TypeError, ValueError) as error:
            failed = replace(entry, fitted=None, error=f"It cannot be stored: {error}")
            return failed, _kept(failed)
        manifest = msgspec.json.decode(files.pop(MANIFEST), type=Manifest)
        for data in files.values():
            self.context.artifacts.put(data)
        out_of_fold = store_predictions(
            self.context, self.ids, self.problem.labels, entry.fitted.out_of_fold
        )
        kept = msgspec.structs.replace(_kept(entry), manifest=manifest, out_of_fold=out_of_fold)
        return entry, self._with_held(kept, entry.fitted)

    def _with_held(self, kept: KeptEntry, fitted: Fitted) -> KeptEntry:
        """With the answers to what is held out, which were paid for."""
        found = fitted.held
        if found is None:
            return kept
        return msgspec.structs.replace(
            kept,
            held=store_predictions(
                self.context, self.held, self.problem.labels, found.probabilities
            ),
            rungs=() if found.rungs is None else tuple(found.rungs.tolist()),
            rung_names=found.rung_names,
        )

    def _record(self, value: tuple[Entry, KeptEntry]) -> Kept | None:
        entry, kept = value
        if entry.late or self.problem.deadline.passed:
            return None
        files = kept.manifest.files if kept.manifest is not None else ()
        stored = (digest for digest in (kept.out_of_fold, kept.held) if digest is not None)
        return Kept(_plain(kept), (*(file.sha256 for file in files), *stored))

    def _read(self, step: Step) -> tuple[Entry, KeptEntry]:
        kept = _typed(step, KeptEntry)
        fitted = None
        if kept.manifest is not None and kept.out_of_fold is not None:
            _, _, out_of_fold = load_predictions(self.context, kept.out_of_fold)
            fitted = Fitted(
                _predictor(self.context, kept.manifest),
                out_of_fold,
                held=_held(self.context, kept),
                answering=kept.answering,
            )
        entry = Entry(
            strategy=kept.strategy,
            parameters=kept.parameters,
            fitted=fitted,
            error=kept.error,
            seconds=kept.seconds,
            cpu_seconds=kept.cpu_seconds,
            asked=kept.asked,
            notes=kept.notes,
        )
        return entry, kept


def keep_material(context: Context, work: Work, prepare: Callable[[], Material]) -> Material:
    """What the contest works on, read once: later processes take the stored snapshots."""

    def save(material: Material) -> Kept:
        # With many rows the record is large: it is stored beside the ledger, not in it.
        split = context.artifacts.put(canonical_json(material.split))
        stored = material.split
        more = stored.unlabeled or None
        parts = (stored.examples_artifact, stored.test_artifact, *stored.cases.values(), more)
        return Kept({"split": split}, (split, *(part for part in parts if part is not None)))

    def load(step: Step) -> Material:
        data = context.artifacts.get(str(step.result["split"]))
        return prepared(context, _decoded(data, Split, step.name))

    return work.once("data", prepare, save, load)


def keep_times(
    work: Work, entered: Sequence[Entry], compute: Callable[[], dict[str, Latency]]
) -> dict[str, Latency]:
    """What answers of the entries take; not kept where the budget cut any short."""

    def save(found: dict[str, Latency]) -> Kept | None:
        if not all(f"{STRATEGY}{entry.strategy}" in work.finished for entry in entered):
            return None
        return Kept(_plain(_KeptTimes(found)))

    return work.once("timing", compute, save, lambda step: _typed(step, _KeptTimes).latencies)


def keep_judgement(
    work: Work, bench: Bench, fitted: Mapping[str, Fitted], compute: Callable[[], Judgement]
) -> Judgement:
    """The judgement of the entries, timings included; not kept where the budget cut any short."""

    def save(judgement: Judgement) -> Kept | None:
        if not _whole(work, judgement.candidates):
            return None
        kept = _KeptJudgement(judgement.candidates, judgement.against_majority)
        return Kept(_plain(kept))

    def load(step: Step) -> Judgement:
        kept = _typed(step, _KeptJudgement)
        return judged_again(bench, fitted, kept.candidates, kept.against_majority)

    return work.once("judging", compute, save, load)


def keep_examination(work: Work, compute: Callable[[], Examination]) -> Examination:
    """The examination of the chosen candidate."""
    return work.once(
        "examining",
        compute,
        lambda found: Kept(_plain(found)),
        lambda step: _typed(step, Examination),
    )


def keep_naive(work: Work, compute: Callable[[], Naive]) -> Naive:
    """The number that leaking rows would have led to."""
    return work.once(
        "naive", compute, lambda found: Kept(_plain(found)), lambda step: _typed(step, Naive)
    )


def keep_curve(
    work: Work, problem: Problem, compute: Callable[[], tuple[CurvePoint, ...]]
) -> tuple[CurvePoint, ...]:
    """The learning curve; not kept where the budget left points out."""

    def save(points: tuple[CurvePoint, ...]) -> Kept | None:
        return None if problem.deadline.passed else Kept(_plain(_KeptCurve(points)))

    return work.once("learning curve", compute, save, lambda step: _typed(step, _KeptCurve).points)


def store_candidates(
    context: Context, bench: Bench, judgement: Judgement, entries: Entries
) -> tuple[Candidate, ...]:
    """The candidates with their bundles and the predictions they were judged by, all stored.

    The files of the bundles are there since the strategies entered; only the manifests, which now
    name the certified metrics, are new.
    """
    stored: list[Candidate] = []
    for candidate in judgement.candidates:
        kept, card = entries.kept[candidate.strategy], candidate.scorecard
        if kept.manifest is None or card is None:
            stored.append(candidate)
            continue
        metrics = {name: each.value for name, each in card.metrics.items()}
        manifest = msgspec.structs.replace(
            kept.manifest,
            metrics=metrics,
            abstain_below=_threshold(candidate),
            set_thresholds=_set_thresholds(candidate),
        )
        probabilities = judgement.probabilities[candidate.strategy]
        moved = bool(judgement.predictors[candidate.strategy].thresholds)
        same = bench.cross_fitted and len(bench.counted) == len(bench.train) and not moved
        predictions = kept.out_of_fold if same else None
        stored.append(
            msgspec.structs.replace(
                candidate,
                bundle=context.artifacts.put(canonical_json(manifest)),
                size_bytes=sum(file.size for file in manifest.files),
                predictions=predictions
                or store_predictions(context, bench.judged.ids, bench.labels, probabilities),
            )
        )
    return tuple(stored)


def _knowing(candidate: Candidate) -> Knowing | None:
    card = candidate.scorecard
    return card.examination.knowing if card is not None and card.examination else None


def _set_thresholds(candidate: Candidate) -> dict[str, float] | msgspec.UnsetType:
    """Thresholds of the sets of labels, where any were examined."""
    found = _knowing(candidate)
    limits = {f"{each.coverage:g}": each.threshold for each in found.sets} if found else {}
    return limits or msgspec.UNSET


def _threshold(candidate: Candidate) -> float | msgspec.UnsetType:
    """Confidence below which the candidate gives no answer, where one was certified."""
    found = _knowing(candidate)
    rule = found.abstention if found is not None else None
    return msgspec.UNSET if rule is None or rule.threshold is None else rule.threshold


def _kept(entry: Entry) -> KeptEntry:
    return KeptEntry(
        strategy=entry.strategy,
        parameters=dict(entry.parameters),
        error=entry.error,
        seconds=entry.seconds,
        cpu_seconds=entry.cpu_seconds,
        asked=entry.asked,
        notes=entry.notes,
        answering=None if entry.fitted is None else entry.fitted.answering,
    )


def _held(context: Context, kept: KeptEntry) -> Predictions | None:
    if kept.held is None:
        return None
    _, labels, probabilities = load_predictions(context, kept.held)
    rungs = np.array(kept.rungs, np.int64) if kept.rungs else None
    return Predictions(labels, probabilities, rungs=rungs, rung_names=kept.rung_names)


def _predictor(context: Context, manifest: Manifest) -> Predictor:
    files = {file.name: context.artifacts.get(file.sha256) for file in manifest.files}
    return predictor_from_files({**files, MANIFEST: canonical_json(manifest)})[0]


def _whole(work: Work, candidates: Sequence[Candidate]) -> bool:
    """Whether every strategy's step is recorded, so that no later process enters one again."""
    return all(f"{STRATEGY}{candidate.strategy}" in work.finished for candidate in candidates)


def _plain(record: msgspec.Struct) -> dict[str, object]:
    return cast("dict[str, object]", msgspec.to_builtins(record))


def _typed(step: Step, kind: type[_Record]) -> _Record:
    return _decoded(canonical_json(step.result), kind, step.name)


def _decoded(data: bytes, kind: type[_Record], where: str) -> _Record:
    """The record that was kept.

    Raises:
        CorruptError: If it is none; the step is done again then.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.DecodeError as error:
        raise CorruptError(f"what was kept of it cannot be read ({error}).", where=where) from error
