"""What came of two releases that ran side by side."""

from datetime import datetime

import msgspec

from milepost.entities.estimate import Estimate


class Arm(msgspec.Struct, frozen=True, kw_only=True):
    """One of two releases, as those judged it who got its answers.

    Attributes:
        channel: ``production`` or ``canary``.
        release: Its number.
        n: Judgements that count.
        mean: Their mean, 0 (all wrong) to 1 (all right); ``None`` without any.
        paired: The mean of their means in the blocks in which both releases were judged, whose
            difference is that of the trial; ``None`` without a block.
    """

    channel: str
    release: int
    n: int
    mean: float | None = None
    paired: float | None = None


class Agreement(msgspec.Struct, frozen=True, kw_only=True):
    """How often the release in the shadow would have answered as production did.

    Attributes:
        release: Its number.
        agree: Share of the answers, with its interval; ``None`` without any.
        differ: The commonest pairs of differing labels: production's, the shadow's, how often.
    """

    release: int
    agree: Estimate | None = None
    differ: tuple[tuple[str | None, str | None, int], ...] = ()


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """A canary held against production, as far as it has got, or to where it ended.

    Attributes:
        task: Name of the task.
        since: Since when both have run side by side, UTC; ``None`` without a canary.
        until: When the canary ended, UTC; ``None`` while it runs.
        share: Share of the traffic that the canary gets.
        production: What production's answers came to.
        canary: What the canary's came to; ``None`` without one.
        blocks: Pairs of groups of judgements that were compared.
        difference: ``paired`` of the canary minus that of production; ``None`` without any.
        low: Lower bound of the difference; valid at every look.
        high: Upper bound.
        confidence: Probability that the bounds never miss the truth, at whatever look.
        decided: ``canary`` or ``production`` where one is better, ``None`` while it is open.
        more: About how many further judgements would decide it; ``None`` where it is decided,
            there are too few to say, or more than could be counted would be needed.
        repeated: Judgements left out because the same trace or subject was judged before.
        shadow: How the release in the shadow would have answered; ``None`` without one.
    """

    task: str
    since: datetime | None
    until: datetime | None = None
    share: float
    production: Arm
    canary: Arm | None = None
    blocks: int = 0
    difference: float | None = None
    low: float = -1.0
    high: float = 1.0
    confidence: float = 0.95
    decided: str | None = None
    more: int | None = None
    repeated: int = 0
    shadow: Agreement | None = None
