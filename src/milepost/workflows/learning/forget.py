"""Forget examples: out of the data, out of what is stored of it, and out of the head that answers.

In this order, so that a killed command is finished by running it again: the audit log names the
releases that learned from them; the head in production forgets, where it is one that can; data
files, snapshots, feedback and cached vectors lose them; the audit log says what is done. What else
learned from them answers as before until a contest replaces it, and the gate lets no such release
stay in production, nor come back to it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from milepost._base.digest import digest_of
from milepost.data.duplicates import text_keys
from milepost.entities.contest import Contest
from milepost.entities.errors import InputError
from milepost.entities.ids import CandidateId
from milepost.entities.learning import LEARNED, Forgotten, Production
from milepost.entities.release import Release
from milepost.entities.serving import Feedback
from milepost.entities.task import Task
from milepost.storage.records.releases import PRODUCTION
from milepost.strategies.ensemble import Ensemble
from milepost.strategies.multitask import Multitask
from milepost.workflows.contest.datasets import Split
from milepost.workflows.context import Context
from milepost.workflows.learning.erasing import (
    erase_files,
    erase_snapshot,
    erase_vectors,
    feedback_on,
)
from milepost.workflows.learning.finding import Found, find
from milepost.workflows.learning.heads import LiveHead, open_head, without_chosen
from milepost.workflows.learning.learn import recorded
from milepost.workflows.tasks.current import current_task
from milepost.workflows.together.stored import together_of

_CARRYING = frozenset({Multitask.name, Ensemble.name})
"""Strategies whose releases may carry an adapter that was tuned on other tasks' examples."""


@dataclass(frozen=True, slots=True, eq=False)
class _Without:
    """The head in production without what is chosen.

    Attributes:
        head: It, with the record of what answers until now.
        counts: Labels learned and examples forgotten since the release was made.
        reason: What the audit log says of it.
    """

    head: LiveHead
    counts: tuple[int, int]
    reason: str


def forget(
    context: Context,
    name: str,
    where: str | None,
    ids: Sequence[str],
    *,
    reason: str,
    dry_run: bool = False,
) -> Forgotten:
    """Take examples out of a task, with an audit record of what, why, by whom, and never the text.

    Args:
        context: The workspace.
        name: Name of the task.
        where: Which, as a predicate in SQL over the columns that slices use and the label, by its
            column's name; ``None`` for none.
        ids: Which, by their ids.
        reason: Why; it is kept for good.
        dry_run: Only say what would be done.

    Raises:
        UnknownNameError: If there is no such task.
        InputError: If nothing is named, nothing fits, or what is left would be too little.
    """
    if where is None and not ids:
        raise InputError(
            "nothing says what is to be forgotten.",
            advice="Name a predicate, such as --where \"customer = 'c7'\", or ids with --id.",
        )
    if not reason.strip():
        raise InputError(
            "there is no reason.", where="reason", advice="Say why, for the audit log."
        )
    task = current_task(context, name)
    found = find(context, task, where, frozenset(ids))
    contests = _learned_from(context, task, found)
    made = [each for each in context.ledger.releases(name) if each.contest in contests]
    said = feedback_on(context, name, found.inputs)
    production, live = _production(context, task, made, said)
    plan = Forgotten(
        task=name,
        examples=found.present,
        past=found.past,
        dry_run=dry_run,
        releases=tuple(sorted(each.number for each in made)),
        candidates=_candidates(contests, made),
        joined=_joined(context, name, contests),
        production=production,
        release=live,
    )
    without = _without(context, found, plan)
    if without is not None:
        plan = msgspec.structs.replace(plan, production="updated")
    elif production == "to be replaced" and live is not None and live not in plan.releases:
        # It learned from them since it was made, and cannot be told apart from that any more.
        plan = msgspec.structs.replace(plan, releases=(*plan.releases, live))
    if dry_run:
        files = erase_files(context, task, found.rows, dry_run=True)
        planned = msgspec.structs.replace(plan, files=files, feedback=len(said))
        return msgspec.structs.replace(planned, left=_left(planned))
    return _carry_out(context, found, plan, without, reason)


def _carry_out(
    context: Context, found: Found, plan: Forgotten, without: _Without | None, reason: str
) -> Forgotten:
    task, actor = found.task, context.actor
    context.record_configuration()
    said: dict[str, object] = {
        "choice": digest_of([found.choice.where, sorted(found.choice.ids)]),
        "examples": plan.examples,
        "past": plan.past,
        "releases": list(plan.releases),
        "candidates": list(plan.candidates),
    }
    context.ledger.record_forgetting(task.name, said, done=False, reason=reason, actor=actor)
    if without is not None:
        recorded(context, without.head, without.counts, reason=without.reason)
    files = erase_files(context, task, found.rows, dry_run=False)
    snapshots = tuple(erase_snapshot(context, task.name, each) for each in found.held)
    told = feedback_on(context, task.name, found.inputs)
    feedback = context.ledger.erase_feedback([each.id for each in told])
    vectors = erase_vectors(context, found.inputs)
    done = msgspec.structs.replace(
        plan,
        files=files,
        snapshots=snapshots,
        feedback=feedback,
        vectors=vectors,
    )
    said |= {
        "files": [msgspec.to_builtins(each) for each in files],
        "snapshots": [msgspec.to_builtins(each) for each in snapshots],
        "feedback": feedback,
        "vectors": vectors,
        "production": plan.production,
    }
    context.ledger.record_forgetting(task.name, said, done=True, reason=reason, actor=actor)
    return msgspec.structs.replace(done, left=_left(done))


def _learned_from(context: Context, task: Task, found: Found) -> dict[str, Contest]:
    """The contests that trained on any of the chosen rows, by id."""
    rows: dict[str, set[int]] = {}
    for each in found.held:
        if each.snapshot.role == "examples":
            rows.setdefault(each.snapshot.record.digest, set()).update(each.rows)
    contests: dict[str, Contest] = {}
    for contest in context.ledger.contests(task.name):
        held = rows.get(contest.examples)
        if held is None:
            continue
        split = _split(context, contest)
        if split is not None and not held.intersection(split.trained):
            continue
        contests[contest.id] = contest
    return contests


def _split(context: Context, contest: Contest) -> Split | None:
    if contest.split is None:
        return None
    return msgspec.json.decode(context.artifacts.get(contest.split), type=Split)


def _joined(context: Context, task: str, contests: dict[str, Contest]) -> tuple[str, ...]:
    """Releases of other tasks that were tuned together with the task of these contests."""
    splits = (_split(context, each) for each in contests.values())
    records = {
        split.together
        for split in splits
        if split is not None and not isinstance(split.together, msgspec.UnsetType)
        if context.artifacts.exists(split.together)
    }
    names = {each.name for digest in records for each in together_of(context, digest).tasks}
    found: list[str] = []
    for name in sorted(names - {task}):
        for release in context.ledger.releases(name):
            contest = context.ledger.contest(release.contest)
            split = _split(context, contest)
            carries = any(
                each.id == release.candidate and each.strategy in _CARRYING
                for each in contest.candidates
            )
            if carries and split is not None and split.together in records:
                found.append(f"{name}#{release.number}")
    return tuple(found)


def _candidates(contests: dict[str, Contest], made: Sequence[Release]) -> tuple[CandidateId, ...]:
    released = {each.candidate for each in made}
    return tuple(
        each.id
        for contest in contests.values()
        for each in contest.candidates
        if each.bundle is not None and each.id not in released and each.strategy != "majority"
    )


def _production(
    context: Context, task: Task, made: Sequence[Release], said: Sequence[Feedback]
) -> tuple[Production, int | None]:
    """What becomes of production, and its release: concerned where it learned, or was taught."""
    channel = context.ledger.channel(task.name, PRODUCTION)
    if channel is None:
        return "none", None
    taught = {each.release for each in said if each.channel == LEARNED}
    concerned = channel.release in {each.number for each in made} | taught
    return "to be replaced" if concerned else "untouched", channel.release


def _without(context: Context, found: Found, plan: Forgotten) -> _Without | None:
    """What would answer at once; ``None`` where production is not concerned or cannot forget."""
    if plan.production != "to be replaced" or plan.release is None:
        return None
    release = context.ledger.release(found.task.name, plan.release)
    try:
        head = open_head(context, found.task.name, release)
    except InputError:
        return None
    update = head.update
    keys = frozenset(text_keys(found.inputs))
    changed, rows, taught = without_chosen(context, head, found.choice.rows, keys)
    counts = (
        (update.learned if update else 0) - taught,
        (update.forgotten if update else 0) + rows,
    )
    return _Without(changed, counts, f"{rows + taught:,} examples are forgotten")


def _left(done: Forgotten) -> tuple[str, ...]:
    """What is known to be left, in sentences."""
    said: list[str] = []
    if done.releases:
        numbers = ", ".join(map(str, done.releases))
        said.append(
            f"Bundles of releases that learned from them ({numbers}) stay stored as evidence, and "
            "go into production no more."
        )
    if done.candidates:
        said.append(
            f"Predictors of {len(done.candidates):,} unreleased candidates that learned from them "
            "stay until `milepost gc` collects them (keep_contests in milepost.toml)."
        )
    if done.joined:
        said.append(
            f"The adapter of {', '.join(done.joined)} was tuned on examples of {done.task} as "
            "well, and answers as before until these tasks are improved again."
        )
    said += [
        "Scorecards of earlier contests may quote a few short passages, and keep ids and "
        "predicted probabilities.",
        "Recorded answers keep their inputs until they expire, as the task's recording says.",
        "Backups, exported folders and files outside the workspace are not touched.",
    ]
    shared = sorted({each for file in done.files for each in file.shared_with})
    if shared:
        said.append(
            f"{', '.join(shared)} read the same files: run the command for them too, so that "
            "their snapshots and heads forget."
        )
    return tuple(said)
