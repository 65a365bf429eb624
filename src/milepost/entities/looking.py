"""Who looked at the messages that a task is judged on, what it cost, and what is left."""

from datetime import datetime

import msgspec

from milepost.entities.decision import Verdict
from milepost.entities.ids import ContestId, Digest


class LookTaken(msgspec.Struct, frozen=True, kw_only=True):
    """One look at judged messages.

    Attributes:
        at: When, UTC.
        actor: Who.
        purpose: What for.
        holdout: Digest of what was looked at.
        contest: The contest that looked; ``None`` for an evaluation, which decides nothing.
        verdict: What the gate said; ``None`` where it was not asked, or the contest did not end.
        of_life: Life of the judged messages, from 1; ``None`` for an evaluation.
        look: Which look of that life, from 1; ``None`` for an evaluation.
        alpha: Probability of a false statement that its decision was allowed; ``None`` for an
            evaluation.
        paid: How much of it is lost to later looks; 0 after a release, which hands it on.
    """

    at: datetime
    actor: str
    purpose: str
    holdout: Digest
    contest: ContestId | None = None
    verdict: Verdict | None = None
    of_life: int | None = None
    look: int | None = None
    alpha: float | None = None
    paid: float = 0.0


class Looks(msgspec.Struct, frozen=True, kw_only=True):
    """All looks at the messages that a task is judged on, and what the next one may spend.

    Attributes:
        task: Name of the task.
        taken: In the order of time.
        of_life: The current life of the judged messages; 0 before the first look.
        used: Looks of this life so far.
        most: Looks after which the messages are worn out.
        alpha: What all looks of a life may spend together.
        left: What is left of it.
        next_alpha: What the next look of this life may spend; 0 where none is left.
        margin: How many times as far above its floor a candidate must be measured at that look as
            at one that pays nothing, about.
        advice: What to do where the messages are worn, else empty.
    """

    task: str
    taken: tuple[LookTaken, ...]
    of_life: int
    used: int
    most: int
    alpha: float
    left: float
    next_alpha: float
    margin: float
    advice: str = ""
