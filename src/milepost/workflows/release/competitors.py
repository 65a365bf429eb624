"""Who is meant by a name in a comparison: a release, a channel, a candidate or a strategy."""

import re

from milepost.entities.contest import Candidate, Contest
from milepost.entities.errors import InputError, UnknownNameError
from milepost.workflows.contest.honest import Competitor
from milepost.workflows.context import Context

_NUMBER = re.compile(r"#?([0-9]{1,9})")


def find_competitor(context: Context, task: str, asked: str) -> Competitor:
    """The candidate or release that a name means.

    Args:
        context: The workspace.
        task: Name of the task.
        asked: A release (``3`` or ``#3``), a channel (``production`` or ``@production``), the id
            of a candidate, or the name of a strategy of the last contest. The task may stand
            before it, as in ``route#3``.

    Raises:
        UnknownNameError: If nothing of the task is called that; offers the nearest names.
        InputError: If it failed, or its predictor was collected.
    """
    name = asked.strip().removeprefix(task) if asked.strip()[len(task):][:1] in ("#", "@") \
        else asked.strip()  # fmt: skip
    ledger = context.ledger
    numbered = _NUMBER.fullmatch(name)
    if numbered:
        return _release(context, task, int(numbered[1]))
    channel = next((c for c in ledger.channels(task) if c.name == name.removeprefix("@")), None)
    if channel is not None:
        return _release(context, task, channel.release)
    contest, candidate = _candidate(context, task, name, asked)
    released = next((r.number for r in ledger.releases(task) if r.candidate == candidate.id), None)
    if released is not None:
        return _release(context, task, released)
    latest = ledger.latest_contest(task)
    new = latest is not None and latest.id == contest.id
    named = f"`{candidate.strategy}`" + ("" if new else f" of contest {contest.id}")
    return _usable(context, Competitor(name=named, candidate=candidate, contest=contest,
                                       release=None))  # fmt: skip


def _release(context: Context, task: str, number: int) -> Competitor:
    release = context.ledger.release(task, number)
    contest = context.ledger.contest(release.contest)
    candidate = next(c for c in contest.candidates if c.id == release.candidate)
    return _usable(
        context,
        Competitor(name=f"release {number}", candidate=candidate, contest=contest, release=number),
    )


def _candidate(context: Context, task: str, name: str, asked: str) -> tuple[Contest, Candidate]:
    """A candidate of the task by its id, else by its strategy in the last contest."""
    latest = context.ledger.latest_contest(task)
    of_latest = latest.candidates if latest is not None else ()
    for candidate in of_latest:
        if latest is not None and name in (candidate.strategy, candidate.id):
            return latest, candidate
    try:
        contest = context.ledger.contest_of(name)
    except UnknownNameError:
        contest = None
    if contest is not None and contest.task == task:
        return contest, next(c for c in contest.candidates if c.id == name)
    known = [
        *(str(release.number) for release in context.ledger.releases(task, 20)),
        *(channel.name for channel in context.ledger.channels(task)),
        *(candidate.strategy for candidate in of_latest),
    ]
    raise UnknownNameError(f"release, channel, candidate or strategy of {task!r}", asked, known)


def _usable(context: Context, found: Competitor) -> Competitor:
    """The same, unless there is nothing of it to compare.

    Raises:
        InputError: If it failed, or its predictor was collected.
    """
    candidate = found.candidate
    if candidate.bundle is None or candidate.predictions is None:
        raise InputError(
            f"{found.name} has no answers: {(candidate.error or 'it failed').rstrip('.')}.",
            where=candidate.id,
            advice="Compare candidates that did not fail.",
        )
    when = context.ledger.given_up(candidate.id) if found.release is None else None
    if when is not None:
        raise InputError(
            f"the predictor and the answers of {found.name} were collected on "
            f"{when:%Y-%m-%d at %H:%M} UTC: it was not released, and keep_contests keeps those of "
            "newer contests only.",
            where=candidate.id,
            advice="Compare releases, or candidates of a newer contest.",
        )
    return found
