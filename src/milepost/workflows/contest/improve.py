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
from milepost._base.digest import canonical_json, sha256_file
from milepost.contests.runner import Events, Fitted, HeldVectors, run
from milepost.data.splitting.folding import Folding, fold_examples
from milepost.entities.contest import Contest
from milepost.entities.decision import Decision
from milepost.entities.errors import DataError, UnknownNameError
from milepost.entities.example import QualityReport
from milepost.entities.ids import ContestId, Digest
from milepost.entities.job import Plan
from milepost.entities.release import Channel, Manifest
from milepost.entities.scorecard import Spending
from milepost.entities.serving import Feedback
from milepost.entities.task import Task
from milepost.evaluation.forecast import forecast
from milepost.evaluation.measuring import measure_of, own_file
from milepost.releases.gate import decide
from milepost.strategy import Problem, Strategy
from milepost.workflows.contest.corrections import feedback_for
from milepost.workflows.contest.curve import curve_of
from milepost.workflows.contest.datasets import Material, once_per_message, prepare
from milepost.workflows.contest.examining import examine_chosen, with_examination
from milepost.workflows.contest.incumbent import incumbent_evidence
from milepost.workflows.contest.judge import FLOOR_STRATEGY, Bench, Judgement, judge
from milepost.workflows.contest.naive import naive_of, with_naive
from milepost.workflows.contest.options import (
    Options,
    check_options,
    competing,
    entering,
    work_key,
)
from milepost.workflows.contest.steps import (
    STRATEGY,
    Entries,
    keep_curve,
    keep_examination,
    keep_judgement,
    keep_material,
    keep_naive,
    store_candidates,
)
from milepost.workflows.context import Context
from milepost.workflows.listening import announced
from milepost.workflows.looking.looks import require_unworn, take_look
from milepost.workflows.serving.fidelity import Chosen, check_released
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
        serves: On which variant of the encoder a server answers with what was released, and why;
            ``None`` where nothing was, or where there is nothing to choose.
    """

    contest: Contest
    quality: QualityReport
    serves: Chosen | None = None


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
    # Read once: what is said while the contest runs is for the next one.
    said = feedback_for(context, task) if options.with_feedback else None

    def key() -> Digest:
        return work_key(context, task, options, strategies, said)

    plan = Plan(
        kind=KIND,
        subject=name,
        key=key(),
        arguments={
            "budget": options.budget,
            "seed": options.seed,
            "strategies": [strategy.name for strategy in strategies],
            **({} if said is None else {"feedback": len(said)}),
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
            lambda: _read(context, task, _contest_id(work), said, lambda: key() == plan.key),
        )
        contest = _concluded(context, work)
        if contest is None:
            require_unworn(context, task, material, _contest_id(work))
            asked = _Asked(task, entering(task, strategies), options)
            contest = _contest(context, work, asked, material)
    # The release stands; a server that finds this done already starts the sooner.
    serves = check_released(context, contest)
    return Improvement(contest=contest, quality=material.quality, serves=serves)


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
    problem = problem_of(context, task, material, options.seed, deadline, work.tell)
    entries = Entries(
        context, work, problem, material.train.ids, _template(task, material, options.seed), {}
    )
    entered = run(
        problem,
        folding_of(context, material, problem),
        asked.strategies,
        lambda what, share: work.tell(what, 0.1 + 0.7 * share),
        entries.around,
    )
    work.tell("judging", 0.8)
    contest_id = _contest_id(work)
    bench = work.reach(lambda: _bench(context, task, material, problem, contest_id))
    fitted = {entry.strategy: entry.fitted for entry in entered if entry.fitted is not None}
    judgement = keep_judgement(work, bench, fitted, lambda: judge(bench, entered, contest_id))
    judgement = _examined(work, problem, asked, bench, judgement, fitted)
    if len(material.leaks):
        naive = keep_naive(
            work, lambda: naive_of(bench, problem, material, asked.strategies, judgement)
        )
        judgement = with_naive(judgement, naive, len(material.leaks))
    work.tell("learning curve", 0.9)
    curve = keep_curve(work, problem, lambda: curve_of(bench, problem, entered))
    work.tell("recording", 0.95)
    contest = Contest(
        id=contest_id,
        task=task.name,
        task_version=version_of(task),
        examples=material.examples_digest,
        holdout=material.holdout_digest,
        split=context.artifacts.put(canonical_json(material.split)),
        regime=material.regime,
        seed=options.seed,
        budget_seconds=budget,
        started=work.job.created,
        seconds=spent + time.monotonic() - started,
        candidates=store_candidates(context, bench, judgement, entries),
        curve=curve,
        forecast=forecast(bench.measure, curve, context.settings.confidence),
        decision=decided(context, bench, judgement, standing),
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
    context: Context,
    task: Task,
    contest: ContestId,
    said: Sequence[Feedback] | None,
    unchanged: Callable[[], bool],
) -> Material:
    material = prepare(context, task, contest, said)
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
        prepare=material.split.prepare,
    )


def problem_of(
    context: Context,
    task: Task,
    material: Material,
    seed: int,
    deadline: Deadline,
    event: Events,
) -> Problem:
    """What the strategies of a contest solve; nothing is encoded before one asks."""
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


def folding_of(context: Context, material: Material, problem: Problem) -> Folding:
    """Which rows answer which out of fold."""
    return fold_examples(
        material.train, problem.y, context.settings.folds, problem.seed, material.own
    )


def _bench(
    context: Context, task: Task, material: Material, problem: Problem, contest: ContestId
) -> Bench:
    spent = take_look(context, task, material, contest)
    return bench_of(context, task, material, problem, spent)


def bench_of(
    context: Context,
    task: Task,
    material: Material,
    problem: Problem,
    spent: Spending | None,
) -> Bench:
    """What candidates are judged on, at a look that costs so much; records none."""
    # What came of feedback stands behind the task's own examples, and is never evidence.
    counted = once_per_message(material.train.take(range(material.own)))
    if material.train.times:
        folding = folding_of(context, material, problem)
        counted = counted[folding.counts[counted]]
    judged, judged_y = material.train.take(counted.tolist()), material.train_y[counted]
    if material.holdout is not None and material.holdout_y is not None:
        judged, judged_y = material.holdout, material.holdout_y
    provenance = {
        "examples": material.examples_digest,
        "encoder": problem.encoder.digest,
        "encoder_name": problem.encoder.name,
        "variant": problem.encoder.variant,
        "code": code_version(),
    }
    if material.holdout_digest is not None:
        provenance["holdout"] = material.holdout_digest
    own = own_file(task.objective, context.root)
    if own is not None:
        provenance["measure"] = sha256_file(own)
    return Bench(
        task=task,
        labels=material.labels,
        regime=material.regime,
        train=material.train,
        train_y=material.train_y,
        counted=counted,
        own=material.own,
        judged=judged,
        judged_y=judged_y,
        encoder=problem.encoder,
        bare_encoder=context.bare_encoder(),
        settings=context.settings,
        seed=problem.seed,
        looks=spent.look if spent else 0,
        spent=spent,
        one_sided=1.0 - spent.alpha if spent else None,
        provenance=provenance,
        measure=measure_of(task.objective, material.labels, context.root),
        cases=material.cases,
        prepare=context.preparation(material.split.prepare) if material.split.prepare else None,
    )


def decided(
    context: Context, bench: Bench, judgement: Judgement, standing: Channel | None
) -> Decision:
    """What the gate says of the chosen candidate, against the release that stands."""
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
        bench.sampling.deciding,
    )
    return msgspec.structs.replace(decision, reasons=(*decision.reasons, *left_out))
