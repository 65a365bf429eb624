"""Records of recomputing the numbers of a release."""

import msgspec

from milepost.entities.ids import CandidateId, ContestId


class Unequal(msgspec.Struct, frozen=True, kw_only=True):
    """One value that did not come out as it is recorded.

    Attributes:
        where: Its place in the record, such as ``scorecard.metrics.accuracy.low``.
        recorded: As it is recorded, as JSON; empty where it is not there.
        recomputed: As it came out, as JSON; empty where it did not.
        apart: How far two numbers are apart; ``None`` where they are not both numbers.
    """

    where: str
    recorded: str
    recomputed: str
    apart: float | None = None


class Reproduction(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the numbers of a release come out again.

    Attributes:
        task: Task name.
        release: Number of the release.
        candidate: Its candidate.
        contest: Its contest.
        strategy: Name of its strategy.
        numbers: Numbers of the scorecard, the selection, the comparison and the
            decision that were recomputed.
        texts: Sentences, names and digests among them that were recomputed.
        unequal: Those of both that differ by more than the tolerance.
        tolerance: Largest difference between two numbers that counts as the same.
        predictor: Whether fitting again gave the same files to the byte.
        answers: Stored probabilities that were recomputed.
        answers_apart: Largest difference between a stored and a recomputed probability.
        vectors: Texts that were encoded again; 0 where no predictor reads vectors.
        vectors_apart: Largest difference between a coordinate of a kept vector and a new one.
        seconds: Wall time.
        notes: What was not recomputed, and why numbers may differ.
    """

    task: str
    release: int
    candidate: CandidateId
    contest: ContestId
    strategy: str
    numbers: int
    texts: int
    unequal: tuple[Unequal, ...]
    tolerance: float
    predictor: bool
    answers: int
    answers_apart: float
    vectors: int
    vectors_apart: float
    seconds: float
    notes: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether everything came out the same; vectors within what encoders promise."""
        return (
            not self.unequal
            and self.predictor
            and self.answers_apart <= self.tolerance
            and self.vectors_apart <= VECTORS_AGREE
        )


VECTORS_AGREE = 1e-5
"""How near two vectors of one text are, whatever else was in the batch."""
