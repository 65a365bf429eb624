"""What each look at the judged messages costs, how many are left, and when they are worn out.

A contest's decision pays for its look from one budget of error per life of the judged messages
(``metrics.inference``). A life ends when more than half of what is judged was never looked at.
Evaluations are recorded; they decide nothing and pay nothing.
"""

import math
from collections.abc import Sequence

from milepost.data.duplicates import text_keys
from milepost.data.splitting.columns import time_column
from milepost.entities.errors import DataError, StorageError, UnknownNameError
from milepost.entities.example import Examples
from milepost.entities.ids import ContestId
from milepost.entities.looking import Looks, LookTaken
from milepost.entities.release import Look
from milepost.entities.scorecard import LabelScore, Scorecard, Spending
from milepost.entities.task import Task
from milepost.metrics.inference.spending import left
from milepost.workflows.contest.datasets import Material
from milepost.workflows.context import Context
from milepost.workflows.looking.history import (
    History,
    Past,
    judged_digest,
    judged_keys,
    judged_now,
)

PURPOSE = "certify the candidates of a contest"

WORN_MARGIN = 2.0
"""From this margin on messages count as getting worn."""

WORN_LEFT = 5
"""So do they when no more looks than this are left."""

_NAMED = 3
"""Labels that the advice names."""


def require_unworn(context: Context, task: Task, material: Material, contest: ContestId) -> None:
    """Check that the judged messages may be looked at once more, before anything is fitted.

    Raises:
        DataError: If they are worn out; says what to label next.
    """
    history = History(context, task.name, contest, material)
    if history.already_looked:
        return
    spent = history.next()
    if spent.look <= spent.most:
        return
    what = {"holdout": "holdout", "test_file": "test file", "cross_fitted": "labels"}
    raise DataError(
        f"the {what[material.regime]} of the task '{task.name}' {_are_worn(material)}: "
        f"{spent.most} contests have looked at the same messages, and another look could not tell "
        "a good candidate from a lucky one.",
        where=f"tasks/{task.name}.yaml",
        advice=f"{_label_next(task, material, history)} Nothing is lost: what runs goes "
        "on running, and all data stays. `most_looks` in milepost.toml is the limit.",
    )


def take_look(context: Context, task: Task, material: Material, contest: ContestId) -> Spending:
    """Record the look of a contest, and say what it costs; a resumed contest pays once."""
    context.ledger.record_look(
        task.name,
        judged_digest(material),
        purpose=PURPOSE,
        actor=context.actor,
        contest=contest,
    )
    return History(context, task.name, contest, material).next()


def look_by_evaluation(context: Context, task: str, examples: Examples, purpose: str) -> int:
    """Record that messages which contests judge on were evaluated on; pays nothing.

    Nothing is decided by it, so it cannot release anything falsely.

    Args:
        context: The workspace.
        task: Name of the task.
        examples: What was evaluated on.
        purpose: What for, such as ``evaluate release 3``.

    Returns:
        How many of the examples contests judge on; nothing is recorded where none is.
    """
    for contest in context.ledger.contests(task):  # newest first
        try:
            judged = judged_keys(context, contest)
        except (StorageError, UnknownNameError):
            continue
        known = sum(key in judged for key in text_keys(examples.texts))
        if known:
            said = f"{purpose} ({known:,} of {len(examples):,} rows)"
            digest = contest.holdout or contest.examples
            context.ledger.record_look(task, digest, said, actor=context.actor)
        return known
    return 0


def looks(context: Context, name: str) -> Looks:
    """All looks at what a task is judged on, and what the next one may spend.

    Raises:
        UnknownNameError: If the ledger knows no such task.
    """
    history = History(context, name)
    by_contest = {each.look.contest: each for each in history.past}
    following = history.next()
    last = history.past[-1] if history.past else None
    used = last.number if last else 0
    over = used >= history.most
    life = [each for each in history.past if last and each.of_life == last.of_life]
    return Looks(
        task=name,
        taken=tuple(_taken(look, by_contest.get(look.contest)) for look in history.looks),
        of_life=last.of_life if last else 0,
        used=used,
        most=history.most,
        alpha=history.alpha,
        left=left(history.alpha, [each.paid for each in life]),
        next_alpha=0.0 if over else following.alpha,
        margin=following.margin,
        advice=_worn_words(following) if last else "",
    )


def look_notes(spent: Spending) -> tuple[str, ...]:
    """Sentences for a scorecard on what its look cost."""
    if spent.look == 1:
        return ()
    confidence = f"{100 * (1 - spent.alpha):.4g}"
    notes = (
        f"This is look {spent.look} of at most {spent.most} at these messages. What decides holds "
        f"with {confidence} % confidence, so that all looks together seldom release falsely.",
    )
    worn = _worn_words(spent)
    return (*notes, worn) if worn else notes


def is_worn(spent: Spending) -> bool:
    """Whether a look costs so much, or so few are left, that new messages should be labelled."""
    return spent.margin >= WORN_MARGIN or spent.most - spent.look < WORN_LEFT


def _worn_words(spent: Spending) -> str:
    """A warning, where the judged messages are getting worn; else empty."""
    if spent.look > spent.most:
        return (
            f"The judged messages are worn out: all {spent.most} looks at them are used. "
            "`milepost improve` says what to label next."
        )
    if not is_worn(spent):
        return ""
    return (
        f"The judged messages are getting worn: a candidate must now be measured about "
        f"{spent.margin:.1f} times as far above its floor as at a look that pays nothing, and "
        f"after {spent.most} looks none is left. Label new messages: once more than half of the "
        "judged ones are new, the count begins anew."
    )


def _taken(look: Look, placed: Past | None) -> LookTaken:
    contest = placed.contest if placed else None
    return LookTaken(
        at=look.at,
        actor=look.actor,
        purpose=look.purpose,
        holdout=look.holdout,
        contest=look.contest,
        verdict=contest.decision.verdict if contest else None,
        of_life=placed.of_life if placed else None,
        look=placed.number if placed else None,
        alpha=placed.alpha if placed else None,
        paid=placed.paid if placed else 0.0,
    )


def _are_worn(material: Material) -> str:
    return "are worn out" if material.regime == "cross_fitted" else "is worn out"


def _label_next(task: Task, material: Material, history: History) -> str:
    """How many new messages begin a new life, and of which labels."""
    judged = judged_now(material)
    seen = history.seen()
    old = len(judged if seen is None else judged & seen)
    new = max(1, 2 * old - len(judged) + 1)
    match material.regime:
        case "test_file":
            where = f"Put {new:,} new labelled messages into a test file"
        case "cross_fitted":
            where = f"Label {new:,} new messages"
        case "holdout" if time_column(task) is not None:
            where = f"Label {new:,} messages that came later"
        case "holdout":
            share = _held_share(material)
            total = max(2 * new, math.ceil(new / share))
            where = f"Label about {total:,} new messages, of which about {new:,} will be set aside"
    labels = _thinnest(history.last_card)
    return f"{where}{f', above all {labels}' if labels else ''}."


def _held_share(material: Material) -> float:
    """Share of the labelled messages that is held out now, in (0, 1)."""
    held = 0 if material.holdout is None else len(material.holdout)
    return max(held / (held + material.own), 0.01)


def _thinnest(card: Scorecard | None) -> str:
    """The labels of which least is known, in words: those with the widest interval of recall."""
    if card is None:
        return ""

    def width(row: LabelScore) -> float:
        return row.recall.high - row.recall.low if row.recall else 1.0

    rows = sorted(card.labels, key=lambda row: (-width(row), row.n, row.label))
    return _listed([f"`{row.label}` ({row.n:,} judged so far)" for row in rows[:_NAMED]])


def _listed(names: Sequence[str]) -> str:
    return " and ".join(names) if len(names) < 3 else f"{', '.join(names[:-1])} and {names[-1]}"
