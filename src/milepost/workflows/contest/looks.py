"""What each look at the judged messages costs, how many are left, and when they are worn out.

A contest's decision pays for its look from one budget of error per life of the judged messages
(``metrics.spending``). A life ends when more than half of what is judged was not looked at before
that life had begun. Evaluations are recorded; they decide nothing and pay nothing.
"""

import math
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from functools import cached_property

import msgspec

from milepost.data.duplicates import text_keys
from milepost.data.snapshot import read_snapshot
from milepost.data.splitting.columns import time_column
from milepost.entities.contest import Contest
from milepost.entities.errors import DataError, StorageError, UnknownNameError
from milepost.entities.example import Examples
from milepost.entities.ids import ContestId
from milepost.entities.looking import Looks, LookTaken
from milepost.entities.release import Look
from milepost.entities.scorecard import LabelScore, Scorecard, Spending
from milepost.entities.task import Task
from milepost.metrics.spending import left, level, margin
from milepost.workflows.contest.datasets import Material, Split
from milepost.workflows.context import Context

PURPOSE = "certify the candidates of a contest"

WORN_MARGIN = 2.0
"""From this margin on messages count as getting worn."""

WORN_LEFT = 5
"""So do they when no more looks than this are left."""

_NAMED = 3
"""Labels that the advice names."""


@dataclass(frozen=True, slots=True)
class _Past:
    """A look of a contest, with the contest where it was concluded, and where the look stands."""

    look: Look
    contest: Contest | None
    of_life: int
    number: int
    alpha: float
    hands_on: bool = True

    @property
    def released(self) -> bool:
        return self.contest is not None and self.contest.decision.verdict == "released"

    @property
    def paid(self) -> float:
        return 0.0 if self.released else self.alpha


class History:
    """The looks of a task's contests, in the order in which they were recorded.

    Args:
        context: The workspace.
        task: Name of the task.
        before: Leaves out this contest's look and all that were recorded after it; ``None`` for
            none.
    """

    def __init__(self, context: Context, task: str, before: ContestId | None = None) -> None:
        self.alpha = 1.0 - context.settings.confidence
        self.most = context.settings.most_looks
        self._context = context
        self._contests = {contest.id: contest for contest in context.ledger.contests(task)}
        self._keys: dict[str, frozenset[str] | None] = {}
        self.looks = sorted(context.ledger.looks(task), key=lambda look: look.at)
        own = [i for i, look in enumerate(self.looks) if look.contest and look.contest == before]
        self.already_looked = bool(own)
        known = self.looks[: own[0]] if own else self.looks
        self.past: list[_Past] = []
        for look in known:
            if look.contest is not None:
                self.past.append(self._placed(look, self._contests.get(look.contest)))

    def next(self, judged: Set[str] | None = None) -> Spending:
        """What a look at messages of these keys would cost; ``None`` for those of the last look."""
        of_life, look = self._place(judged)
        life = [each for each in self.past if each.of_life == of_life]
        last = life[-1] if life else None
        handed_on = last.alpha if last and last.released and last.hands_on else 0.0
        alpha = level(self.alpha, look, handed_on)
        return Spending(
            look=look,
            of_life=of_life,
            alpha=alpha,
            left=left(self.alpha, [*(each.paid for each in life), alpha]),
            most=self.most,
            margin=margin(self.alpha, alpha),
        )

    @cached_property
    def last_card(self) -> Scorecard | None:
        """Scorecard of the candidate that was chosen last."""
        for each in reversed(self.past):
            if each.contest and each.contest.chosen and each.contest.chosen.scorecard:
                return each.contest.chosen.scorecard
        return None

    def seen_at_start(self) -> Set[str]:
        """Keys of what was looked at before the current life began or at its first look."""
        of_life = self.past[-1].of_life if self.past else 0
        seen: set[str] = set()
        for each in self.past:
            if each.of_life < of_life or (each.of_life == of_life and each.number == 1):
                seen |= self._keys_of(each.contest) or frozenset()
        return seen

    def _placed(self, look: Look, contest: Contest | None) -> _Past:
        spent = _spent(contest)
        if spent is not None:
            return _Past(look, contest, spent.of_life, spent.look, spent.alpha)
        of_life, number = self._place(None if contest is None else self._keys_of(contest))
        if contest is None:
            return _Past(look, contest, of_life, number, level(self.alpha, number))
        # What was judged before looks were paid for was judged at the full level.
        return _Past(look, contest, of_life, number, self.alpha, hands_on=False)

    def _place(self, judged: Set[str] | None) -> tuple[int, int]:
        """Life and number of a look at messages of these keys after all of ``past``."""
        if not self.past:
            return 1, 1
        last = self.past[-1]
        if judged is not None and 2 * len(judged - self.seen_at_start()) > len(judged):
            return last.of_life + 1, 1
        return last.of_life, last.number + 1

    def _keys_of(self, contest: Contest | None) -> frozenset[str] | None:
        """Keys of what a contest judged on; ``None`` where that is not known any more."""
        if contest is None:
            return None
        name = contest.split or f"{contest.regime} {contest.holdout or contest.examples}"
        if name not in self._keys:
            try:
                self._keys[name] = judged_keys(self._context, contest)
            except (StorageError, UnknownNameError):
                self._keys[name] = None
        return self._keys[name]


def judged_keys(context: Context, contest: Contest) -> frozenset[str]:
    """Keys of the messages that a contest judged on, from the snapshots that it stored.

    Raises:
        StorageError: If they are gone.
        UnknownNameError: If the ledger does not know them.
    """
    if contest.split is not None:
        split = msgspec.json.decode(context.artifacts.get(contest.split), type=Split)
        rows = split.train if split.holdout is None else split.holdout
        kept = split.test_artifact or split.examples_artifact
        return _keys(read_snapshot(context.artifacts.get(kept)).take(rows))
    digest = contest.holdout if contest.regime == "test_file" else None
    dataset = context.ledger.dataset(digest or contest.examples)
    examples = read_snapshot(context.artifacts.get(dataset.artifact))
    keys = _keys(examples.take(examples.labelled_rows))
    if contest.regime != "holdout":
        return keys
    sides = context.ledger.sides(contest.task)
    return frozenset(key for key in keys if sides.get(key) == "holdout")


def require_unworn(context: Context, task: Task, material: Material, contest: ContestId) -> None:
    """Check that the judged messages may be looked at once more, before anything is fitted.

    Raises:
        DataError: If they are worn out; says what to label next.
    """
    history = History(context, task.name, before=contest)
    if history.already_looked:
        return
    judged = _judged(material)
    spent = history.next(judged)
    if spent.look <= spent.most:
        return
    what = {"holdout": "holdout", "test_file": "test file", "cross_fitted": "labels"}
    raise DataError(
        f"the {what[material.regime]} of the task '{task.name}' {_are_worn(material)}: "
        f"{spent.most} contests have looked at the same messages, and another look could not tell "
        "a good candidate from a lucky one.",
        where=f"tasks/{task.name}.yaml",
        advice=f"{_label_next(task, material, history, judged)} Nothing is lost: what runs goes "
        "on running, and all data stays. `most_looks` in milepost.toml is the limit.",
    )


def take_look(context: Context, task: Task, material: Material, contest: ContestId) -> Spending:
    """Record the look of a contest, and say what it costs; a resumed contest pays once."""
    context.ledger.record_look(
        task.name,
        material.holdout_digest or material.examples_digest,
        purpose=PURPOSE,
        actor=context.actor,
        contest=contest,
    )
    return History(context, task.name, before=contest).next(_judged(material))


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
        if contest.holdout is None:
            continue
        try:
            judged = judged_keys(context, contest)
        except (StorageError, UnknownNameError):
            continue
        known = sum(key in judged for key in text_keys(examples.texts))
        if known:
            said = f"{purpose} ({known:,} of {len(examples):,} rows)"
            context.ledger.record_look(task, contest.holdout, said, actor=context.actor)
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


def _taken(look: Look, placed: _Past | None) -> LookTaken:
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


def _spent(contest: Contest | None) -> Spending | None:
    """What a concluded contest's look cost, as its scorecards say."""
    cards: Iterable[Scorecard | None] = (
        () if contest is None else (candidate.scorecard for candidate in contest.candidates)
    )
    return next((card.spent for card in cards if card is not None and card.spent), None)


def _keys(examples: Examples) -> frozenset[str]:
    return frozenset(text_keys(examples.texts))


def _judged(material: Material) -> frozenset[str]:
    return _keys(material.train if material.holdout is None else material.holdout)


def _are_worn(material: Material) -> str:
    return "are worn out" if material.regime == "cross_fitted" else "is worn out"


def _label_next(task: Task, material: Material, history: History, judged: Set[str]) -> str:
    """How many new messages begin a new life, and of which labels."""
    seen = history.seen_at_start()
    old = len(judged & seen)
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
    return max(held / (held + len(material.train)), 0.01)


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
