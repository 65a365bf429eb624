"""Improve a task: data → contest → scorecards → gate → release, each step a record in the ledger.

Nothing is visible before it is whole: bundles are stored first, then the contest with all its
candidates, its release, the channel and the audit rows in one transaction. Until then the contest
is a job: however its process ends, the next one goes on after the last finished step.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from milepost._base.clock import Deadline
from milepost.contests.runner import Entry, Events, Fitted, HeldVectors, learning_curve, run
from milepost.entities.contest import Contest, CurvePoint
from milepost.entities.decision import Decision
from milepost.entities.errors import DataError, UnknownNameError
from milepost.entities.example import QualityReport
from milepost.entities.ids import ContestId, Digest
from milepost.entities.job import Plan
from milepost.entities.release import Channel, Manifest
from milepost.entities.task import Task
from milepost.metrics.intervals import estimate
from milepost.releases.gate import decide
from milepost.strategies.head_closed_form import HeadClosedForm
from milepost.strategy import Problem, Strategy
from milepost.workflows.contest.datasets import Material, once_per_message, prepare
from milepost.workflows.contest.examining import examine_chosen, with_examination
from milepost.workflows.contest.incumbent import incumbent_evidence
from milepost.workflows.contest.judge import FLOOR_STRATEGY, Bench, Judgement, judge
from milepost.workflows.contest.options import Options, check_options, competing, work_key
from milepost.workflows.contest.steps import (
    STRATEGY,
    Entries,
    keep_curve,
    keep_examination,
    keep_judgement,
    keep_material,
    store_candidates,
)
from milepost.workflows.context import Context
from milepost.workflows.listening import announced
from milepost.workflows.tasks.current import current_task, version_of
from milepost.workflows.upkeep.jobs import Work, working
from milepost.workflows.versions import code_version

CHANNEL = "production"
KIND = "improve"
"""Kind of the jobs that contests are."""

_log = logging.getLogger("milepost.jobs")


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Improvement:
    """What an improvement came to.

    Attributes:
        contest: The record of the contest, verdict included.
        quality: What was found in the data.
    """

    contest: Contest
    quality: QualityReport


def improve(context: Context, name: str, options: Options) -> Improvement:
    """Let strategies compete on a task, judge them, and release what passes the gate.

    Goes on with a contest that was interrupted, where task, data, options and code are the same.

    Raises:
        InputError: If the task file, its data or an option cannot be used.
        HeldError: If another process improves the task at this moment.
        LostError: If the job was cancelled meanwhile.
    """
    check_options(options)
    task = current_task(context, name)
    strategies = competing(options.strategies)
    context.encoder()  # one that cannot be opened is found before anything is recorded
    context.record_configuration()

    def key() -> Digest:
        return work_key(context, task, options, strategies)

    plan = Plan(
        kind=KIND,
        subject=name,
        key=key(),
        arguments={
            "budget": options.budget,
            "seed": options.seed,
            "strategies": [strategy.name for strategy in strategies],
        },
    )
    with (
        working(context, plan) as work,
        announced(context, task, _contest_id(work), work.job.created),
    ):
        if work.finished:
            done = sum(step.startswith(STRATEGY) for step in work.finished)
            _log.info("Resuming: %d of %d strategies were done.", done, len(strategies))
        work.tell("reading data", 0.0)
        material = keep_material(
            context,
            work,
            lambda: _read(context, task, _contest_id(work), lambda: key() == plan.key),
        )
        contest = _concluded(context, work)
        if contest is None:
            contest = _contest(context, work, _Asked(task, strategies, options), material)
        return Improvement(contest=contest, quality=material.quality)


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    """What a contest was asked for: the task, who competes, and how."""

    task: Task
    strategies: Sequence[Strategy]
    options: Options


def _contest(context: Context, work: Work, asked: _Asked, material: Material) -> Contest:
    """Hold the contest, as far as no earlier process did, and conclude it."""
    task, options = asked.task, asked.options
    spent, started = work.spent, time.monotonic()
    budget = options.budget
    deadline = Deadline.after(None if budget is None else max(0.0, budget - spent))
    standing = work.reach(lambda: context.ledger.channel(task.name, CHANNEL))
    problem = _problem(context, task, material, options.seed, deadline, work.tell)
    entries = Entries(
        context, work, problem, material.train.ids, _template(task, material, options.seed), {}
    )
    entered = run(
        problem,
        material.train.groups,
        asked.strategies,
        context.settings.folds,
        lambda what, share: work.tell(what, 0.1 + 0.7 * share),
        entries.around,
    )
    work.tell("judging", 0.8)
    contest_id = _contest_id(work)
    bench = work.reach(lambda: _bench(context, task, material, problem, contest_id))
    fitted = {entry.strategy: entry.fitted for entry in entered if entry.fitted is not None}
    judgement = keep_judgement(work, bench, fitted, lambda: judge(bench, entered, contest_id))
    judgement = _examined(work, problem, asked, bench, judgement, fitted)
    work.tell("learning curve", 0.9)
    folds = context.settings.folds
    curve = keep_curve(work, problem, lambda: _curve(bench, problem, entered, folds))
    work.tell("recording", 0.95)
    contest = Contest(
        id=contest_id,
        task=task.name,
        task_version=version_of(task),
        examples=material.examples_digest,
        holdout=material.holdout_digest,
        regime=material.regime,
        seed=options.seed,
        budget_seconds=budget,
        started=work.job.created,
        seconds=spent + time.monotonic() - started,
        candidates=store_candidates(context, bench, judgement, entries),
        curve=curve,
        decision=_decide(context, bench, judgement, standing),
        code=code_version(),
        actors=work.job.actors,
    )
    return _conclude(context, work, contest, standing)


def _examined(
    work: Work,
    problem: Problem,
    asked: _Asked,
    bench: Bench,
    judgement: Judgement,
    fitted: Mapping[str, Fitted],
) -> Judgement:
    """The judgement with the chosen candidate's examination."""
    chosen = judgement.chosen
    if chosen is None or chosen.strategy not in fitted:
        return judgement
    work.tell("examining", 0.85)
    out_of_fold = fitted[chosen.strategy].out_of_fold
    found = keep_examination(
        work, lambda: examine_chosen(bench, problem, asked.strategies, judgement, out_of_fold)
    )
    return with_examination(judgement, found)


def _contest_id(work: Work) -> ContestId:
    """The same in every process that works on the job."""
    return ContestId(f"c{work.job.id[1:]}")


def _read(
    context: Context, task: Task, contest: ContestId, unchanged: Callable[[], bool]
) -> Material:
    material = prepare(context, task, contest)
    if not unchanged():
        raise DataError(
            "a data file changed while it was read.",
            where=f"tasks/{task.name}.yaml",
            advice="Run the command again once it is whole.",
        )
    return material


def _concluded(context: Context, work: Work) -> Contest | None:
    """The contest, where an earlier process concluded it and ended before it could say so."""
    if work.job.attempts == 1:
        return None
    try:
        return context.ledger.contest(_contest_id(work))
    except UnknownNameError:
        return None


def _conclude(context: Context, work: Work, contest: Contest, standing: Channel | None) -> Contest:
    """Make it visible, once: a repeated call finds it done, and only the job's holder may."""
    return work.reach(
        lambda: context.ledger.conclude(
            contest,
            expected_version=standing.version if standing else 0,
            actor=context.actor,
            channel=CHANNEL,
            idempotency_key=contest.id,
            fence=work.lease,
        )
    )


def _template(task: Task, material: Material, seed: int) -> Manifest:
    """What the manifests of all the contest's predictors have in common."""
    return Manifest(
        kind="",
        task=task.name,
        task_version=version_of(task),
        labels=material.labels,
        strategy="",
        examples=material.examples_digest,
        seed=seed,
        code=code_version(),
    )


def _problem(
    context: Context,
    task: Task,
    material: Material,
    seed: int,
    deadline: Deadline,
    event: Events,
) -> Problem:
    texts = material.train.texts
    held = material.holdout.texts if material.holdout is not None else ()

    def encoding(done: int, total: int) -> None:
        event(f"encoding {done:,} of {total:,} texts", 0.1 + 0.1 * done / max(1, total))

    return Problem(
        labels=material.labels,
        descriptions=tuple(task.labels.get(label, "") for label in material.labels),
        instruction=task.instruction,
        texts=texts,
        y=material.train_y,
        encoder=HeldVectors(context.encoder(), [*texts, *held], encoding, deadline),
        seed=seed,
        deadline=deadline,
    )


def _bench(
    context: Context, task: Task, material: Material, problem: Problem, contest: ContestId
) -> Bench:
    counted = once_per_message(material.train)
    judged, judged_y = material.train.take(counted.tolist()), material.train_y[counted]
    if material.holdout is not None and material.holdout_y is not None:
        judged, judged_y = material.holdout, material.holdout_y
    looks = context.ledger.record_look(
        task.name,
        material.holdout_digest or material.examples_digest,
        purpose="certify the candidates of a contest",
        actor=context.actor,
        contest=contest,
    )
    provenance = {
        "examples": material.examples_digest,
        "encoder": problem.encoder.digest,
        "encoder_name": problem.encoder.name,
        "variant": problem.encoder.variant,
        "code": code_version(),
    }
    if material.holdout_digest is not None:
        provenance["holdout"] = material.holdout_digest
    return Bench(
        task=task,
        labels=material.labels,
        regime=material.regime,
        train=material.train,
        train_y=material.train_y,
        counted=counted,
        judged=judged,
        judged_y=judged_y,
        encoder=problem.encoder,
        bare_encoder=context.bare_encoder(),
        settings=context.settings,
        seed=problem.seed,
        looks=looks,
        provenance=provenance,
    )


def _curve(
    bench: Bench, problem: Problem, entries: Sequence[Entry], fold_count: int
) -> tuple[CurvePoint, ...]:
    """Out-of-fold learning curve of the closed-form head; empty where it did not compete."""
    strategy = HeadClosedForm()
    entry = next((e for e in entries if e.strategy == strategy.name), None)
    if entry is None or entry.fitted is None:
        return ()
    points = learning_curve(problem, bench.train.groups, strategy, fold_count)
    whole = round(len(problem.texts) * (1 - 1 / fold_count))
    points.append((whole, entry.fitted.out_of_fold.argmax(axis=1)))
    metric, k = bench.task.objective.metric, len(bench.labels)
    return tuple(
        CurvePoint(
            examples=examples,
            estimate=estimate(
                metric, bench.train_y[bench.counted], answers[bench.counted], k, bench.sampling
            ),
        )
        for examples, answers in points
    )


def _decide(
    context: Context, bench: Bench, judgement: Judgement, standing: Channel | None
) -> Decision:
    chosen = judgement.chosen
    late = [c.strategy for c in judgement.candidates if c.error and "budget" in c.error]
    left_out = (
        (f"The budget left out {len(late)} of {len(judgement.candidates)} strategies.",)
        if late
        else ()
    )
    if chosen is None or chosen.scorecard is None or chosen.strategy == FLOOR_STRATEGY:
        return Decision(
            verdict="insufficient_evidence",
            reasons=(
                f"Nothing but `{FLOOR_STRATEGY}` could be fitted, so there is nothing to release.",
                *left_out,
            ),
        )
    decision = decide(
        bench.task.objective,
        chosen.scorecard,
        judgement.against_majority,
        incumbent_evidence(context, bench, judgement, standing),
        context.settings.confidence,
    )
    return msgspec.structs.replace(decision, reasons=(*decision.reasons, *left_out))
