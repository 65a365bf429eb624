"""Improve a task: data → contest → scorecards → gate → release, each step a record in the ledger.

Nothing is visible before it is whole: bundles are stored first, then the contest with all its
candidates, its release, the channel and the audit rows in one transaction. Until then the contest
is a job: however its process ends, the next one goes on after the last finished step.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import msgspec

from milepost.entities.contest import Contest
from milepost.entities.errors import DataError, UnknownNameError
from milepost.entities.example import QualityReport
from milepost.entities.ids import ContestId, Digest
from milepost.entities.job import Plan
from milepost.entities.serving import Feedback
from milepost.entities.task import Task
from milepost.workflows.contest.asking.money import speakers_of, upstreams_for
from milepost.workflows.contest.corrections import feedback_for, taught
from milepost.workflows.contest.datasets import Material, prepare
from milepost.workflows.contest.holding import Asked, contest_id, hold
from milepost.workflows.contest.options import (
    Options,
    by_hand,
    check_options,
    check_paid,
    competing,
    entering,
    work_key,
)
from milepost.workflows.contest.steps import STRATEGY, keep_material
from milepost.workflows.context import Context
from milepost.workflows.listening import announced
from milepost.workflows.looking.looks import require_unworn
from milepost.workflows.migrating.naming import remember_encoder
from milepost.workflows.prompts.keeping import keep_prompts
from milepost.workflows.serving.fidelity import Chosen, check_released
from milepost.workflows.tasks.current import current_task
from milepost.workflows.upkeep.jobs import Work, working

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
    parameters = by_hand(task, options)
    strategies = competing(options.strategies, parameters)
    check_paid(options, strategies)
    context = context.for_task(task)
    context.encoder()  # one that cannot be opened is found before anything is recorded
    remember_encoder(context, task)
    context.record_configuration()
    upstreams = upstreams_for(context, task, options.budget_usd)
    # Read once: what is said while the contest runs is for the next one.
    said = said_of(context, task, options)

    def key() -> Digest:
        return work_key(context, task, options, strategies, said, upstreams)

    plan = Plan(
        kind=KIND,
        subject=name,
        key=key(),
        arguments={
            "budget": options.budget,
            "seed": options.seed,
            "strategies": [strategy.name for strategy in strategies],
            **({} if said is None else {"feedback": len(said)}),
            **({} if options.budget_usd is None else {"budget_usd": options.budget_usd}),
            **({"parameters": parameters} if parameters else {}),
        },
    )
    with (
        working(context, plan) as work,
        announced(context, task, contest_id(work), work.job.created),
    ):
        if work.finished:
            done = sum(step.startswith(STRATEGY) for step in work.finished)
            _log.info("Resuming: %d of %d strategies were done.", done, len(strategies))
        work.tell("reading data", 0.0)
        material = keep_material(
            context,
            work,
            lambda: _joined(
                _read(context, task, contest_id(work), said, lambda: key() == plan.key), options
            ),
        )
        contest = _concluded(context, work)
        if contest is None:
            require_unworn(context, task, material, contest_id(work))
            names = tuple(each.name for each in upstreams)
            begun = [step.removeprefix(STRATEGY) for step in work.finished]
            entered = entering(task, strategies, names, options, begun)
            with speakers_of(context, work, task, options.budget_usd) as language:
                asked = Asked(task, entered, options, language)
                contest = hold(context, work, asked, material)
    keep_prompts(context, contest)
    # The release stands; a server that finds this done already starts the sooner.
    serves = check_released(context, contest)
    return Improvement(contest=contest, quality=material.quality, serves=serves)


def said_of(context: Context, task: Task, options: Options) -> tuple[Feedback, ...] | None:
    """What was said of served answers and is trained on; ``None`` where nothing is."""
    said = feedback_for(context, task)
    return said if options.with_feedback else taught(said) or None


def _joined(material: Material, options: Options) -> Material:
    """The material with the record of the tasks that were tuned together, if they were."""
    if options.together is None:
        return material
    split = msgspec.structs.replace(material.split, together=options.together)
    return replace(material, split=split)


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
        return context.ledger.contest(contest_id(work))
    except UnknownNameError:
        return None
