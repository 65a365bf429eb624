"""Hold a contest: everybody enters, the judge measures, the gate decides, the ledger has it all.

Each step is kept as soon as it is done, so that another process goes on where one was killed.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import msgspec

from milepost._base.clock import Deadline
from milepost._base.digest import canonical_json
from milepost.contests.asking import Language
from milepost.contests.runner import Entry, Fitted, combine, run
from milepost.contests.searching.searched import settled
from milepost.entities.contest import Contest, CurvePoint, Moving
from milepost.entities.decision import Decision
from milepost.entities.errors import InputError
from milepost.entities.ids import ContestId
from milepost.entities.money import MICRO
from milepost.entities.release import Channel, Manifest
from milepost.entities.scorecard import Latency
from milepost.entities.task import Task
from milepost.evaluation.forecast import forecast
from milepost.models.pairs import reads
from milepost.releases.gate import decide
from milepost.strategy import Problem, Strategy
from milepost.workflows.contest.asking.combining import combining, contenders, with_times
from milepost.workflows.contest.asking.money import (
    by_cost,
    purse_of,
    spent_by,
    tell_foreseen,
)
from milepost.workflows.contest.curve import curve_of
from milepost.workflows.contest.datasets import Material
from milepost.workflows.contest.examining import examine_chosen, with_examination
from milepost.workflows.contest.incumbent import incumbent_evidence
from milepost.workflows.contest.judge import FLOOR_STRATEGY, Bench, Judgement, judge
from milepost.workflows.contest.naive import naive_of, with_naive
from milepost.workflows.contest.options import (
    Options,
)
from milepost.workflows.contest.setting import bench_of, folding_of, problem_of
from milepost.workflows.contest.steps import (
    Entries,
    keep_curve,
    keep_examination,
    keep_judgement,
    keep_naive,
    keep_times,
    store_candidates,
)
from milepost.workflows.contest.timing import Encoders, latencies
from milepost.workflows.context import Context
from milepost.workflows.looking.looks import take_look
from milepost.workflows.tasks.current import version_of
from milepost.workflows.together.stored import kept_with, with_tuning
from milepost.workflows.upkeep.jobs import Work
from milepost.workflows.versions import code_version

CHANNEL = "production"


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """What a contest was asked for: the task, who competes, how, and whom they may ask.

    A contest whose task is to move to another encoder compares the same strategy on both: it draws
    no learning curve, and examines only what the gate and the release need.
    """

    task: Task
    strategies: Sequence[Strategy]
    options: Options
    language: Language
    moving: Moving | None = None


class _Entered(NamedTuple):
    """What the strategies came to, what their answers take, and what they were foreseen to cost."""

    entries: list[Entry]
    timed: Mapping[str, Latency]
    foreseen: Mapping[str, int]


def hold(context: Context, work: Work, asked: Asked, material: Material) -> Contest:
    """Hold the contest, as far as no earlier process did, and conclude it."""
    contest, standing = held(context, work, asked, material)
    return _conclude(context, work, contest, standing)


def held(
    context: Context, work: Work, asked: Asked, material: Material
) -> tuple[Contest, Channel | None]:
    """The contest before it is concluded, and where production pointed when it began."""
    task, options = asked.task, asked.options
    spent, started = work.spent, time.monotonic()
    budget = options.budget
    deadline = Deadline.after(None if budget is None else max(0.0, budget - spent))
    standing = work.reach(lambda: context.ledger.channel(task.name, CHANNEL))
    problem = problem_of(context, task, material, options.seed, deadline, work.tell, asked.language)
    entries = _entries(context, work, asked, material, problem)
    came = _enter_all(context, asked, material, entries)
    entered = with_tuning(context, material, came.entries)
    if asked.moving is not None:
        _require_fitted(entered)
    asked = _settled(asked, entered)
    work.tell("judging", 0.8)
    named = contest_id(work)
    bench = work.reach(lambda: bench_with_look(context, task, material, problem, named))
    fitted = {entry.strategy: entry.fitted for entry in entered if entry.fitted is not None}
    judgement = keep_judgement(
        work, bench, fitted, lambda: judge(bench, entered, named, came.timed, came.foreseen)
    )
    judgement = _examined(work, problem, asked, bench, judgement, fitted)
    if len(material.leaks):
        naive = keep_naive(
            work, lambda: naive_of(bench, problem, material, asked.strategies, judgement)
        )
        judgement = with_naive(judgement, naive, len(material.leaks))
    curve: tuple[CurvePoint, ...] = ()
    if asked.moving is None:
        work.tell("learning curve", 0.9)
        curve = keep_curve(work, problem, lambda: curve_of(bench, problem, entered))
    work.tell("recording", 0.95)
    decision, moving = weighed(context, bench, judgement, standing, asked.moving)
    contest = Contest(
        id=named,
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
        decision=decision,
        code=code_version(),
        actors=work.job.actors,
        budget_micro_usd=None if options.budget_usd is None else round(options.budget_usd * MICRO),
        spent_micro_usd=spent_by(context, work, asked.language) if asked.language else 0,
        moving=moving,
        needs=kept_with(context, material),
    )
    return contest, standing


def _entries(
    context: Context, work: Work, asked: Asked, material: Material, problem: Problem
) -> Entries:
    """What keeps the entries of a contest; what each would cost is said before anybody asks."""
    held = material.holdout.texts if material.holdout is not None else ()
    folds = folding_of(context, material, problem).count
    purse = purse_of(problem, asked.strategies, folds, held)
    tell_foreseen(purse)
    return Entries(
        context=context,
        work=work,
        problem=problem,
        ids=material.train.ids,
        template=_template(asked.task, material, asked.options.seed),
        kept={},
        purse=purse,
        held=material.holdout.ids if material.holdout is not None else (),
    )


def _enter_all(context: Context, asked: Asked, material: Material, entries: Entries) -> _Entered:
    """Everybody enters, those that cost money after the others, and last who is made of others."""
    problem, work = entries.problem, entries.work
    folding = folding_of(context, material, problem)
    held = material.holdout.texts if material.holdout is not None else ()
    made_of = combining(asked.strategies)
    own = by_cost([each for each in asked.strategies if each not in made_of], entries.purse)

    def tell(what: str, share: float) -> None:
        work.tell(what, 0.1 + 0.65 * share)

    entered = run(problem, folding, own, tell, entries.around, held)
    timed: dict[str, Latency] = {}
    if made_of:
        work.tell("timing", 0.75)
        timed = keep_times(work, entered, lambda: times_of(context, material, problem, entered))
        others = contenders(problem, own, entered, timed)
        last = combine(problem, folding, made_of, others, entries.around, held)
        entered += [with_times(entry) for entry in last]
    return _Entered(entered, timed, entries.purse.foreseen)


def _require_fitted(entered: Sequence[Entry]) -> None:
    """Refuse to judge the floor in place of the one strategy that a task is to move with.

    Raises:
        InputError: If that could not be fitted.
    """
    for each in entered:
        if each.fitted is None and each.strategy != FLOOR_STRATEGY:
            raise InputError(f"`{each.strategy}` was not fitted. {each.error}")


def _settled(asked: Asked, entered: Sequence[Entry]) -> Asked:
    """With what was chosen for each strategy in it: what is fitted from here on keeps it."""
    found = {entry.strategy: entry.parameters for entry in entered}
    strategies = [settled(each, found.get(each.name, {})) for each in asked.strategies]
    return replace(asked, strategies=strategies)


def times_of(
    context: Context, material: Material, problem: Problem, entered: Sequence[Entry]
) -> dict[str, Latency]:
    """What an answer of each of the entries takes, before anybody is judged."""
    fitted = {each.strategy: each.fitted for each in entered if each.fitted is not None}
    return latencies(
        {name: each.predictor for name, each in fitted.items()},
        material.train.texts,
        Encoders(reads(material.split.inputs, context.bare_encoder()), problem.encoder),
        context.settings,
        {n: each.answering for n, each in fitted.items() if each.answering is not None},
    )


def _examined(
    work: Work,
    problem: Problem,
    asked: Asked,
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
        work,
        lambda: examine_chosen(
            bench,
            problem,
            asked.strategies,
            judgement,
            out_of_fold,
            brief=asked.moving is not None,
        ),
    )
    return with_examination(judgement, found)


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
        answers=msgspec.UNSET if task.kind == "classify" else task.kind,
        inputs=task.composition or msgspec.UNSET,
    )


def bench_with_look(
    context: Context, task: Task, material: Material, problem: Problem, contest: ContestId
) -> Bench:
    """What the contest is judged with, once its look at what is judged is paid for."""
    spent = take_look(context, task, material, contest)
    return bench_of(context, task, material, problem, spent)


def decided(
    context: Context,
    bench: Bench,
    judgement: Judgement,
    standing: Channel | None,
    moving: Moving | None = None,
) -> Decision:
    """What the gate says of the chosen candidate, against the release that stands."""
    return weighed(context, bench, judgement, standing, moving)[0]


def weighed(
    context: Context,
    bench: Bench,
    judgement: Judgement,
    standing: Channel | None,
    moving: Moving | None,
) -> tuple[Decision, Moving | None]:
    """What the gate says, and what a task that is to move would lose or gain."""
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
        ), moving
    standing_now = incumbent_evidence(context, bench, judgement, standing, fixed=moving is not None)
    decision = decide(
        bench.task.objective,
        chosen.scorecard,
        judgement.against_majority,
        standing_now,
        bench.sampling.deciding,
        loss=None if moving is None else moving.loss,
    )
    if moving is not None and standing_now is not None and standing_now.scorecard is not None:
        before = standing_now.scorecard.objective
        moving = msgspec.structs.replace(moving, against=standing_now.comparison, before=before)
    return msgspec.structs.replace(decision, reasons=(*decision.reasons, *left_out)), moving


def contest_id(work: Work) -> ContestId:
    """The same in every process that works on the job."""
    return ContestId(f"c{work.job.id[1:]}")
