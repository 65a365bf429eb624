"""The recorded examination of a release or a candidate: what to show, and what it is."""

from milepost.entities.contest import Candidate, Contest
from milepost.entities.errors import InputError, UnknownNameError, WorkspaceError
from milepost.reports.records import Examined
from milepost.workflows.context import Context
from milepost.workflows.tasks.current import current_task

PRODUCTION = "production"


def examined(
    context: Context, name: str, release: int | None = None, candidate: str | None = None
) -> Examined:
    """What is in production with its examination; before a release, the last one chosen.

    Args:
        context: The workspace.
        name: Name of the task.
        release: Number of a release instead.
        candidate: Id of a candidate instead.

    Raises:
        UnknownNameError: If there is no such task, release or candidate of it.
        WorkspaceError: If the task has had no contest, or nothing could be chosen in the last.
        InputError: If both are given, or the candidate failed.
    """
    current_task(context, name)
    if release is not None and candidate is not None:
        raise InputError(
            "give either a release or a candidate.", where=name, advice="Leave one of them out."
        )
    if candidate is not None:
        return _of(context, *_named(context, name, candidate))
    channel = context.ledger.channel(name, PRODUCTION)
    if release is None and channel is not None:
        release = channel.release
    if release is None:
        return _of(context, *_last(context, name))
    row = context.ledger.release(name, release)
    contest = context.ledger.contest(row.contest)
    found = next(each for each in contest.candidates if each.id == row.candidate)
    return _of(context, contest, found)


def _named(context: Context, name: str, candidate: str) -> tuple[Contest, Candidate]:
    found = context.ledger.candidate(candidate)
    contest = context.ledger.contest_of(candidate)
    if contest.task != name:
        tried = [c.id for each in context.ledger.contests(name, limit=20) for c in each.candidates]
        raise UnknownNameError(f"candidate of {name!r}", candidate, tried)
    if found.scorecard is None:
        raise InputError(
            f"the candidate {candidate!r} has no scorecard: {found.error}", where="--candidate"
        )
    return contest, found


def _last(context: Context, name: str) -> tuple[Contest, Candidate]:
    contest = context.ledger.latest_contest(name)
    advice = f"Run `milepost improve {name}`."
    if contest is None:
        raise WorkspaceError(f"the task {name!r} has had no contest yet.", advice=advice)
    if contest.chosen is None:
        raise WorkspaceError("the last contest could choose no candidate.", advice=advice)
    return contest, contest.chosen


def _of(context: Context, contest: Contest, candidate: Candidate) -> Examined:
    """A candidate with the task as it was, and with its release where it has one."""
    versions = context.ledger.task_versions(contest.task)
    version = next(each for each in versions if each.digest == contest.task_version)
    channel = context.ledger.channel(contest.task, PRODUCTION)
    made = contest.release
    released = made is not None and context.ledger.release(contest.task, made).candidate
    number = made if released == candidate.id else None
    return Examined(
        task=version.task,
        contest=contest,
        candidate=candidate,
        release=number,
        live=number is not None and channel is not None and channel.release == number,
    )
