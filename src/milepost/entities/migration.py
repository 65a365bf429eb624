"""Records of tasks that move to another encoder."""

from typing import Literal

import msgspec

from milepost.entities.decision import Comparison
from milepost.entities.estimate import Estimate
from milepost.entities.ids import ContestId, Digest

Move = Literal["each", "all", "none"]
"""``each``: every task by its own verdict. ``all``: all tasks or none, by what they lose together.
``none``: the verdicts are given, and nothing moves."""

Standing = Literal[
    "better",
    "as_good",
    "worse",
    "not_shown",
    "no_use",
    "misses",
    "settled",
    "not_judged",
    "failed",
]
"""How the task does on the other encoder. ``better``: shown to be better than what is in
production. ``as_good``: shown to lose no more than is accepted. ``worse``: shown to be worse.
``not_shown``: the labels cannot tell whether more is lost. ``no_use``: the task has no floor, and
it is not shown to be above ``majority`` there. ``misses``: what the task demands besides is missed
or not shown. ``settled``: it reads that encoder already. ``not_judged``: there was nothing to
judge. ``failed``: it could not be judged."""


class MovedTask(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one task.

    Attributes:
        task: Its name.
        standing: How it does on the other encoder.
        moved: Whether production points, or will once it is approved, at a release on it.
        reason: What decided, as a sentence.
        before: Number of the release that was in production; ``None`` without one.
        release: Number of the release on the other encoder; ``None`` where none was made.
        waits_for: Approvals that it still lacks.
        contest: The contest that judged it; ``None`` where none did.
        strategy: What was refitted.
        metric: The objective's metric; empty where nothing was judged.
        was: The metric of the release that was in production, on the examples of both.
        now: The metric on the other encoder.
        against: The paired comparison of the two.
    """

    task: str
    standing: Standing
    moved: bool
    reason: str
    before: int | None = None
    release: int | None = None
    waits_for: int = 0
    contest: ContestId | None = None
    strategy: str = ""
    metric: str = ""
    was: Estimate | None = None
    now: Estimate | None = None
    against: Comparison | None = None


class Together(msgspec.Struct, frozen=True, kw_only=True):
    """What several tasks gain or lose on average.

    Attributes:
        difference: Mean difference of the tasks' metrics, the other encoder minus what is in
            production; above 0 is a gain.
        low: One-sided lower bound of it.
        confidence: Of that bound.
        tasks: How many tasks it is the mean of.
        units: How many of them, or groups of them, share no judged message with another.
    """

    difference: float
    low: float
    confidence: float
    tasks: int
    units: int


class EncoderNamed(msgspec.Struct, frozen=True, kw_only=True):
    """An encoder: what ``milepost.toml`` calls it, its own name, its digest, its dimensions."""

    spec: str
    name: str
    digest: Digest
    dimensions: int


class Migration(msgspec.Struct, frozen=True, kw_only=True):
    """What a migration came to.

    Attributes:
        source: The encoder for new contests before.
        target: The encoder that tasks were to move to.
        move: What was asked.
        loss: Largest loss of a task's metric that was accepted.
        tasks: Every task that was asked about, by name.
        together: What they gain or lose on average; ``None`` where fewer than two were compared
            by a metric that is a share.
        reason: Why all moved, or none did, where that was decided together.
        held_with: The encoder for new contests now.
        seconds: Wall time, that of interrupted runs included.
    """

    source: EncoderNamed
    target: EncoderNamed
    move: Move
    loss: float
    tasks: tuple[MovedTask, ...]
    together: Together | None = None
    reason: str = ""
    held_with: str
    seconds: float

    @property
    def moved(self) -> tuple[MovedTask, ...]:
        """The tasks that moved."""
        return tuple(each for each in self.tasks if each.moved)

    @property
    def stayed(self) -> tuple[MovedTask, ...]:
        """The tasks that were judged, or should have been, and did not move."""
        return tuple(
            each
            for each in self.tasks
            if not each.moved and (each.contest is not None or each.standing == "failed")
        )
