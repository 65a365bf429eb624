"""Improve several tasks together: tuned as one, then each in a contest of its own.

The contest is what keeps a task from harm: what was tuned together is one candidate more beside
the task's own, on the same folds, and goes before the gate only where it is chosen.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from milepost._base.clock import Deadline
from milepost._base.digest import digest_of
from milepost.entities.contest import Candidate, Contest
from milepost.entities.errors import InputError
from milepost.entities.ids import Digest
from milepost.entities.job import Plan
from milepost.entities.task import Task
from milepost.entities.together import Gain, LeftOut, Together
from milepost.strategies.multitask import Multitask
from milepost.strategies.registry import strategy_named
from milepost.workflows.contest.datasets import prepare
from milepost.workflows.contest.improve import Improvement, improve, said_of
from milepost.workflows.contest.judge import FLOOR_STRATEGY
from milepost.workflows.contest.options import (
    Options,
    by_hand,
    check_options,
    competing,
    work_key,
)
from milepost.workflows.context import Context
from milepost.workflows.tasks.current import current_task
from milepost.workflows.together.joining import Part, contest_like, join, unfit
from milepost.workflows.together.stored import together_of
from milepost.workflows.together.tuning import SHARE, Tuner, check_tunable
from milepost.workflows.upkeep.jobs import Work, working

KIND = "together"
"""Kind of the jobs that tune tasks together."""

NAME = Multitask.name


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ImprovedTogether:
    """What tasks came to that were improved together.

    Attributes:
        record: The tuning.
        improvements: Each task's contest.
        gains: What it did to each task.
        left_out: Tasks that took no part.
    """

    record: Together
    improvements: tuple[Improvement, ...]
    gains: tuple[Gain, ...]
    left_out: tuple[LeftOut, ...]


def improve_together(context: Context, names: Sequence[str], options: Options) -> ImprovedTogether:
    """Tune tasks together, let each compete with it, and release what passes the gate.

    Goes on with what was interrupted, where tasks, data, options and code are the same.

    Args:
        context: The workspace.
        names: Names of the tasks.
        options: As for one task; the budget is that of each task, and what all have is the time
            that tuning may take besides.

    Raises:
        InputError: If fewer than two tasks can be tuned, or an option cannot be used.
        HeldError: If another process improves one of them at this moment.
        LostError: If the job was cancelled meanwhile.
    """
    options = _asked(options)
    check_options(options)
    check_tunable(context)
    tasks = [current_task(context, name) for name in dict.fromkeys(names)]
    left_out = [LeftOut(task=each.name, why=why) for each in tasks if (why := unfit(each))]
    away = {each.task for each in left_out}
    tasks = [task for task in tasks if task.name not in away]
    strategy = strategy_named(NAME, options.parameters.get(NAME))
    if not isinstance(strategy, Multitask):
        raise TypeError(f"{NAME} is another strategy")
    context.encoder()
    context.record_configuration()
    plan = Plan(
        kind=KIND,
        subject=_subject(tasks),
        key=_key(context, tasks, options),
        arguments={"tasks": [each.name for each in tasks], "seed": options.seed},
    )
    with working(context, plan) as work:
        parts = [_part(context, work, task, options) for task in tasks]
        joined, more = join(
            parts,
            threshold=context.settings.near_duplicate,
            count=context.settings.folds,
            seed=options.seed,
        )
        budget = options.budget
        within = None if budget is None else max(0.0, budget * len(joined.parts) - work.spent)
        tuner = Tuner(context, work, joined, strategy, options.seed, Deadline.after(within))
        digest = tuner.record()
        done: list[Improvement] = []
        chosen = replace(options, together=digest)
        for at, part in enumerate(joined.parts):
            share = SHARE + (1 - SHARE) * at / len(joined.parts)
            work.tell(f"contest of {part.task.name}", share)
            done.append(improve(context, part.task.name, chosen))
    contests = [each.contest for each in done]
    return ImprovedTogether(
        record=together_of(context, digest),
        improvements=tuple(done),
        gains=tuple(gain_of(contest) for contest in contests),
        left_out=(*left_out, *more),
    )


def gain_of(contest: Contest) -> Gain:
    """What tuning together did to a task, from the contest that judged it.

    Its own candidates are represented by the best of them out of fold. Where one of the two went
    before the gate, the contest has compared them pair by pair.
    """
    rows = {c.strategy: c for c in contest.candidates}
    joint, chosen = rows.get(NAME), contest.chosen
    others = [c for c in contest.candidates if c.scorecard and c.strategy != NAME]
    solo = _best([c for c in others if c.strategy != FLOOR_STRATEGY] or others)
    if solo is None or solo.scorecard is None:
        raise InputError(f"nothing but {NAME} could be fitted.", where=contest.task)
    card = None if joint is None else joint.scorecard
    sign = -1.0 if solo.scorecard.lower_is_better else 1.0
    mine, its = solo.scorecard.objective.value, None if card is None else card.objective.value
    low, high = _interval(joint, solo, chosen, sign)
    return Gain(
        task=contest.task,
        metric=solo.scorecard.metric,
        solo=solo.strategy,
        solo_value=mine,
        together_value=its,
        difference=None if its is None else sign * (its - mine),
        low=low,
        high=high,
        chosen=None if chosen is None else chosen.strategy,
        verdict=contest.decision.verdict,
        error=joint.error if joint is not None else "It did not take part.",
    )


def _best(candidates: Sequence[Candidate]) -> Candidate | None:
    def rank(candidate: Candidate) -> float:
        card, found = candidate.scorecard, candidate.selection
        if card is None or found is None:
            return -math.inf
        return -found.value if card.lower_is_better else found.value

    return max(candidates, key=rank, default=None)


def _interval(
    joint: Candidate | None, solo: Candidate, chosen: Candidate | None, sign: float
) -> tuple[float | None, float | None]:
    """Of how much better what was tuned together is, where the contest compared the two."""
    if joint is None or chosen is None:
        return None, None
    if chosen.strategy == joint.strategy and solo.behind is not None:
        low, high = solo.behind.low, solo.behind.high
    elif chosen.strategy == solo.strategy and joint.behind is not None:
        low, high = -joint.behind.high, -joint.behind.low
    else:
        return None, None
    return (low, high) if sign > 0 else (-high, -low)


def _asked(options: Options) -> Options:
    """The options with ``multitask`` among the strategies, where some were named."""
    if options.strategies is None or NAME in options.strategies:
        return options
    if isinstance(options.strategies, str):
        return options  # refused by `check_options`
    return replace(options, strategies=(*options.strategies, NAME))


def _subject(tasks: Sequence[Task]) -> str:
    names = ", ".join(task.name for task in tasks)
    return names if len(names) <= 60 else f"{len(tasks)} tasks, {digest_of(names)[:8]}"


def _key(context: Context, tasks: Sequence[Task], options: Options) -> Digest:
    """Digest of everything that makes two tunings the same work."""
    keys: list[Digest] = []
    for task in tasks:
        strategies = competing(options.strategies, by_hand(task, options))
        keys.append(work_key(context, task, options, strategies, said_of(context, task, options)))
    return Digest(digest_of({"tasks": keys}))


def _part(context: Context, work: Work, task: Task, options: Options) -> Part:
    work.tell(f"reading {task.name}", 0.0)
    said = said_of(context, task, options)
    return Part(task, prepare(context, task, contest_like(work.job.id), said))
