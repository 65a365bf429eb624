"""The looks of a task's contests, and which life of the judged messages each belongs to.

A life ends when more than half of what is judged was never looked at.
"""

from collections.abc import Iterable, Set
from dataclasses import dataclass
from functools import cached_property

import msgspec

from milepost.data.duplicates import text_keys
from milepost.data.snapshot import read_snapshot
from milepost.entities.contest import Contest
from milepost.entities.errors import StorageError, UnknownNameError
from milepost.entities.example import Examples
from milepost.entities.ids import ContestId, Digest
from milepost.entities.release import Look
from milepost.entities.scorecard import Scorecard, Spending
from milepost.metrics.inference.spending import left, level, margin
from milepost.workflows.contest.datasets import Material, Split
from milepost.workflows.contest.snapshots import stored_examples
from milepost.workflows.context import Context


@dataclass(frozen=True, slots=True)
class Past:
    """A look of a contest, with the contest where it was concluded, and where the look stands."""

    look: Look
    contest: Contest | None
    of_life: int
    number: int
    alpha: float
    hands_on: bool = True

    @property
    def released(self) -> bool:
        """Whether the look ended in a release."""
        return self.contest is not None and self.contest.decision.verdict == "released"

    @property
    def paid(self) -> float:
        """How much of the error is lost to later looks; 0 after a release, which hands it on."""
        return 0.0 if self.released and self.hands_on else self.alpha


class History:
    """The looks of a task's contests, in the order in which they were recorded.

    Args:
        context: The workspace.
        task: Name of the task.
        before: Leaves out this contest's look and all that were recorded after it; ``None`` for
            none.
        material: What this contest judges on; another one that looks at the same at this moment
            is known by it.
    """

    def __init__(
        self,
        context: Context,
        task: str,
        before: ContestId | None = None,
        material: Material | None = None,
    ) -> None:
        self.alpha = round(1.0 - context.settings.confidence, 12)  # 1 - 0.95 is not 0.05
        self.most = context.settings.most_looks
        self._context = context
        self._contests = {contest.id: contest for contest in context.ledger.contests(task)}
        self._keys: dict[str, frozenset[str] | None] = {}
        self._judged = None if material is None else judged_now(material)
        self._digest = None if material is None else judged_digest(material)
        self.looks = sorted(context.ledger.looks(task), key=lambda look: look.at)
        own = [i for i, look in enumerate(self.looks) if look.contest and look.contest == before]
        self.already_looked = bool(own)
        known = self.looks[: own[0]] if own else self.looks
        self.past: list[Past] = []
        for look in known:
            if look.contest is not None:
                self.past.append(self._placed(look, self._contests.get(look.contest)))

    def next(self) -> Spending:
        """What a look at the material would cost; without one, at what was looked at last."""
        of_life, look = self._place(self._judged)
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

    def seen(self) -> Set[str] | None:
        """Keys of all that was ever looked at; ``None`` while no look is known to the key."""
        known = [self._keys_at(each.look, each.contest) for each in self.past]
        found = [keys for keys in known if keys is not None]
        return frozenset().union(*found) if found else None

    def _placed(self, look: Look, contest: Contest | None) -> Past:
        spent = _spent(contest)
        if spent is not None:
            return Past(look, contest, spent.of_life, spent.look, spent.alpha)
        of_life, number = self._place(self._keys_at(look, contest))
        # What was judged before looks were paid for hands nothing on.
        alpha = level(self.alpha, number)
        return Past(look, contest, of_life, number, alpha, hands_on=contest is None)

    def _place(self, judged: Set[str] | None) -> tuple[int, int]:
        """Life and number of a look at messages of these keys after all of ``past``."""
        if not self.past:
            return 1, 1
        last = self.past[-1]
        seen = None if judged is None else self.seen()
        if judged is not None and seen is not None and 2 * len(judged - seen) > len(judged):
            return last.of_life + 1, 1
        return last.of_life, last.number + 1

    def _keys_at(self, look: Look, contest: Contest | None) -> frozenset[str] | None:
        """Keys of what was looked at; ``None`` where that is not known yet, or any more."""
        if contest is None:
            return self._judged if look.holdout == self._digest else None
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
        return _keys(stored_examples(context, kept).take(rows))
    digest = contest.holdout if contest.regime == "test_file" else None
    dataset = context.ledger.dataset(digest or contest.examples)
    examples = read_snapshot(context.artifacts.get(dataset.artifact))
    keys = _keys(examples.take(examples.labelled_rows))
    if contest.regime != "holdout":
        return keys
    sides = context.ledger.sides(contest.task)
    return frozenset(key for key in keys if sides.get(key) == "holdout")


def _spent(contest: Contest | None) -> Spending | None:
    """What a concluded contest's look cost, as its scorecards say."""
    cards: Iterable[Scorecard | None] = (
        () if contest is None else (candidate.scorecard for candidate in contest.candidates)
    )
    return next((card.spent for card in cards if card is not None and card.spent), None)


def _keys(examples: Examples) -> frozenset[str]:
    return frozenset(text_keys(examples.texts))


def judged_now(material: Material) -> frozenset[str]:
    """Keys of the messages that a contest is about to judge on."""
    own = material.train.take(range(material.own))
    return _keys(own if material.holdout is None else material.holdout)


def judged_digest(material: Material) -> Digest:
    """Digest of what a contest is about to judge on, as its look is recorded."""
    return material.holdout_digest or material.examples_digest
