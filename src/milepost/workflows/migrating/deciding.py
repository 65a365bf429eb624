"""Which of the judged tasks move: each by its verdict, all or none together, or nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from milepost.entities.contest import Contest
from milepost.entities.errors import UnknownNameError
from milepost.entities.migration import MovedTask, Together
from milepost.releases.together import (
    decide_together,
    decided_together,
    only_judged,
    standing_of,
    together_of,
)
from milepost.workflows.context import Context
from milepost.workflows.looking.history import judged_keys
from milepost.workflows.migrating.judging import Judged
from milepost.workflows.migrating.options import MigrateOptions

NOTHING = "Nothing moves: only the verdicts were asked for."


@dataclass(frozen=True, slots=True, eq=False)
class Decided:
    """What was decided of the judged tasks.

    Attributes:
        contests: By task, each with the verdict that counts.
        together: What they gain or lose on average; ``None`` where there is no mean.
        reason: Why all of them move, or none does; empty where each has its own verdict.
    """

    contests: Mapping[str, Contest]
    together: Together | None = None
    reason: str = ""


def decide(
    context: Context,
    options: MigrateOptions,
    contests: Mapping[str, Contest],
    judged: Sequence[Judged],
) -> Decided:
    """The contests with the verdicts that count, as production stands at this moment."""
    mean = _mean(context, contests)
    stale = _moved_meanwhile(context, judged)
    if options.move == "none":
        own = {name: only_judged(each, NOTHING) for name, each in contests.items()}
        return Decided(own, mean, NOTHING)
    if options.move == "all" and contests:
        moves, reason = decide_together(contests, mean, options.loss)
        failed = [each.task for each in judged if each.failed]
        if failed:
            moves, reason = False, f"{', '.join(failed)} could not be judged, so that none moves."
        elif stale:
            moves, reason = False, f"Production of {', '.join(stale)} was moved meanwhile."
        return Decided(_all(contests, moves=moves, reason=reason), mean, reason)
    stays = "Production was moved while it was judged; it stays."
    own = {
        name: decided_together(each, moves=False, reason=stays) if name in stale else each
        for name, each in contests.items()
    }
    return Decided(own, mean)


def concluded(
    context: Context, options: MigrateOptions, contests: Mapping[str, Contest]
) -> Decided | None:
    """What an earlier process decided and wrote; ``None`` where none did."""
    try:
        found = {name: context.ledger.contest(each.id) for name, each in contests.items()}
    except UnknownNameError:
        return None
    if not found:
        return None
    first = next(iter(found.values()))
    told = {"each": "", "all": first.decision.reasons[0], "none": NOTHING}
    return Decided(found, _mean(context, found), told[options.move])


def row_of(judged: Judged, contest: Contest | None) -> MovedTask:
    """What became of a task, for the report."""
    if contest is None:
        return MovedTask(
            task=judged.task,
            standing="settled" if judged.settled else "failed" if judged.failed else "not_judged",
            moved=False,
            reason=judged.why,
            before=judged.release,
        )
    chosen, moving = contest.chosen, contest.moving
    card = chosen.scorecard if chosen is not None else None
    return MovedTask(
        task=judged.task,
        standing=standing_of(contest),
        moved=contest.release is not None,
        reason=contest.decision.reasons[0],
        before=judged.release,
        release=contest.release,
        waits_for=contest.waits_for,
        contest=contest.id,
        strategy=chosen.strategy if chosen is not None else "",
        metric=card.metric if card is not None else "",
        was=moving.before if moving is not None else None,
        now=card.objective if card is not None else None,
        against=moving.against if moving is not None else None,
    )


def _all(contests: Mapping[str, Contest], *, moves: bool, reason: str) -> dict[str, Contest]:
    return {
        name: decided_together(each, moves=moves, reason=reason) for name, each in contests.items()
    }


def _mean(context: Context, contests: Mapping[str, Contest]) -> Together | None:
    compared = [each for each in contests.values() if each.moving and each.moving.against]
    return together_of(compared, _units(context, compared))


def _moved_meanwhile(context: Context, judged: Sequence[Judged]) -> list[str]:
    """Tasks whose production is no longer what they were judged against."""
    found: list[str] = []
    for each in judged:
        if each.contest is None:
            continue
        channel = context.ledger.channel(each.task)
        if channel is None or channel.version != each.version:
            found.append(each.task)
    return found


def _units(context: Context, contests: Sequence[Contest]) -> list[list[str]]:
    """Tasks that share a judged message with each other, directly or by way of a third."""
    unit_of: dict[str, int] = {}
    units: dict[int, list[str]] = {}
    members: dict[int, set[str]] = {}
    for at, contest in enumerate(contests):
        names, held = [contest.task], set(judged_keys(context, contest))
        for unit in {unit_of[key] for key in held if key in unit_of}:
            names += units.pop(unit)
            held |= members.pop(unit)
        units[at], members[at] = names, held
        unit_of.update(dict.fromkeys(held, at))
    return list(units.values())
