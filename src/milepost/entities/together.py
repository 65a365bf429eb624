"""Records of tasks that were tuned together, and of which tasks help which."""

from typing import Literal

import msgspec

from milepost.entities.decision import Verdict
from milepost.entities.ids import Digest


class JoinedTask(msgspec.Struct, frozen=True, kw_only=True):
    """What one task gave to a tuning of several.

    Attributes:
        name: Name of the task.
        examples: Digest of its snapshot.
        folds: Fold of each of its training examples, by id.
        tuned: How many of these the adapter of all saw: those alone that say nothing that any
            task's holdout says.
    """

    name: str
    examples: Digest
    folds: dict[str, int]
    tuned: int


class Together(msgspec.Struct, frozen=True, kw_only=True):
    """Adapters that were tuned over several tasks at once.

    Attributes:
        encoder: Digest of the encoder.
        tasks: What each task gave.
        adapters: Per fold where the adapter is stored that saw no row of it.
        whole: Where that of all rows is stored.
        seed: The one seed.
        tuning: How the encoder was tuned.
        mix: How the tasks shared it.
        steps: Steps that each tuning took, that of all rows last.
        seconds: Wall time of all tunings.
        cpu_seconds: Processor time of all tunings; 0 where it was not measured.
        notes: What did not go as asked, as sentences.
    """

    encoder: Digest
    tasks: tuple[JoinedTask, ...]
    adapters: tuple[Digest, ...]
    whole: Digest
    seed: int
    tuning: dict[str, object]
    mix: dict[str, object]
    steps: tuple[int, ...]
    seconds: float
    cpu_seconds: float = 0.0
    notes: tuple[str, ...] = ()


class Gain(msgspec.Struct, frozen=True, kw_only=True):
    """What tuning together did to one task.

    Attributes:
        task: Name of the task.
        metric: The objective's metric.
        solo: The best of its other candidates, as ranked out of fold.
        solo_value: The metric of that one.
        together_value: The metric of ``multitask``; ``None`` where it could not be fitted.
        difference: How much better ``multitask`` is, in units of the metric; negative if worse.
        low: Lower end of the paired interval of the difference; ``None`` where neither of the two
            was chosen.
        high: Upper end of it.
        chosen: Strategy that went before the gate; ``None`` where none did.
        verdict: What the gate said.
        error: Why ``multitask`` could not be fitted; ``None`` where it could.
    """

    task: str
    metric: str
    solo: str
    solo_value: float
    together_value: float | None
    difference: float | None
    low: float | None
    high: float | None
    chosen: str | None
    verdict: Verdict
    error: str | None = None


class LeftOut(msgspec.Struct, frozen=True, kw_only=True):
    """A task that takes no part, and why, as a sentence."""

    task: str
    why: str


class Effect(msgspec.Struct, frozen=True, kw_only=True):
    """What one task's examples are expected to do for another.

    Attributes:
        source: Whose examples are learned.
        target: Who is measured.
        gain: Relative decrease of the target's log loss, in (-inf, 1); negative where it rises.
        low: Lower end of its interval.
        high: Upper end of it.
        verdict: ``helps`` or ``harms`` where that is shown (Holm over all pairs) and not minute;
            else ``unclear``.
    """

    source: str
    target: str
    gain: float
    low: float
    high: float
    verdict: Literal["helps", "harms", "unclear"]


class Affinity(msgspec.Struct, frozen=True, kw_only=True):
    """Which tasks help or harm which, estimated on vectors without training the encoder.

    Attributes:
        tasks: Names, in the order of their groups.
        examples: How many examples of each were used.
        effects: One for each ordered pair.
        groups: Tasks that are expected to help each other; a task alone is a group.
        left_out: Tasks that take no part.
        encoder: Name of the encoder.
        confidence: Of the intervals.
        seconds: How long it took.
    """

    tasks: tuple[str, ...]
    examples: tuple[int, ...]
    effects: tuple[Effect, ...]
    groups: tuple[tuple[str, ...], ...]
    left_out: tuple[LeftOut, ...] = ()
    encoder: str = ""
    confidence: float = 0.95
    seconds: float = 0.0
