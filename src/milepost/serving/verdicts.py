"""From probabilities to what is answered: labels, abstention, verdicts of guards. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from milepost.entities.errors import UpstreamError
from milepost.entities.kinds import written_score, written_set
from milepost.entities.prediction import Scores, Spans, stated
from milepost.entities.serving import Guard, Shadowed, Verdict
from milepost.entities.spans import FoundSpan, Span, written_spans
from milepost.serving.loaded import Loaded
from milepost.serving.routing.plan import Guarding

DIGITS = 6
"""Decimals of a probability in an answer; float32 holds no more."""

_EVEN = 1.001
"""Most probable label's share of an even one, above which there is no need to look at the rest."""


@dataclass(frozen=True, slots=True)
class Given:
    """What a release says of one input.

    Attributes:
        label: Most probable label; ``None`` where it is withheld. Of other kinds the answer as the
            truth of an example is written.
        confidence: Its probability; ``None`` where the answer states none.
        probabilities: The most probable labels, most probable first.
        abstained: Whether it is withheld: nothing is decided, or not surely enough.
        failure: Why a language model did not answer, where it is withheld for that.
        labels: All labels that hold, where any number may.
        score: The number, where that is the answer.
        spans: Each span with its probability, where they are the answer.
    """

    label: str | None
    confidence: float | None
    probabilities: dict[str, float]
    abstained: bool
    failure: UpstreamError | None = None
    labels: tuple[str, ...] | None = None
    score: float | None = None
    spans: tuple[tuple[Span, float], ...] | None = None


WITHHELD = Given(None, 0.0, {}, abstained=False)
"""What is given of an answer that a guard stopped: nothing."""


def given(head: Loaded, row: NDArray[np.float32], top: int) -> Given:
    """The answer of a release to one input, as ``Predictions`` has it.

    Args:
        head: The release.
        row: ``(k,) float32`` probabilities.
        top: Most labels that are told, ≥ 1.
    """
    if head.predictor.link != "softmax":
        return _other(head, row, top)
    labels = head.predictor.labels
    found: list[float] = row.tolist()
    # Stable, so that of equally probable labels the first is answered. numpy would let other
    # threads run while it sorts, and the event loop wait for its turn.
    order = sorted(range(len(found)), key=found.__getitem__, reverse=True)[:top]
    confidence = found[order[0]]
    limit = head.manifest.abstain_below
    abstained = not isinstance(limit, msgspec.UnsetType) and confidence < limit
    if confidence * len(found) < _EVEN and len(found) > 1:
        abstained = abstained or min(found) == confidence  # nothing is decided
    return Given(
        None if abstained else labels[order[0]],
        round(confidence, DIGITS),
        {labels[i]: round(found[i], DIGITS) for i in order},
        abstained,
    )


def _other(head: Loaded, row: NDArray[np.float32], top: int) -> Given:
    """The answer of a release that gives any number of labels, a score, or spans."""
    found = head.predictor.meaning(row[None, :])
    confidence = stated(float(found.confidence[0]))
    if isinstance(found, Scores):
        score = round(float(found.values[0]), DIGITS)
        return Given(written_score(score), confidence, {}, abstained=False, score=score)
    if isinstance(found, Spans):
        (spans,) = found.found
        written = written_spans(span for span, _ in spans)
        return Given(written, confidence, {}, abstained=False, spans=spans)
    order = np.argsort(-row, kind="stable")[:top].tolist()
    labels = cast("tuple[str, ...]", found.answers[0])
    told = {found.labels[at]: round(float(row[at]), DIGITS) for at in order}
    return Given(written_set(labels), confidence, told, abstained=False, labels=labels)


def spans_told(
    spans: Sequence[tuple[Span, float]] | None, text: str
) -> tuple[FoundSpan, ...] | msgspec.UnsetType:
    """Spans with what stands there; unset where none are asked for."""
    if spans is None:
        return msgspec.UNSET
    return tuple(
        FoundSpan(
            start=begin,
            end=end,
            label=label,
            probability=round(likely, DIGITS),
            text=text[begin:end],
        )
        for (begin, end, label), likely in spans
    )


def shadowed(head: Loaded, row: NDArray[np.float32]) -> Shadowed:
    """What a release in the shadow would have answered."""
    said = given(head, row, 1)
    return Shadowed(release=head.release, label=said.label, confidence=said.confidence)


def verdict(guarding: Guarding, row: NDArray[np.float32]) -> Verdict:
    """What a guard says of one input.

    A guard without labels only tells its most probable label and that label's probability.

    Args:
        guarding: The guard and its release.
        row: ``(k,) float32`` probabilities of that release.
    """
    found: list[float] = row.tolist()
    best = found.index(max(found))
    label = guarding.head.predictor.labels[best]
    if not guarding.columns:
        return Verdict(label=label, score=round(found[best], DIGITS))
    chances = [found[column] for column in guarding.columns]
    alone = guarding.head.predictor.link == "sigmoid"  # labels that do not exclude each other
    together = max(chances) if alone else sum(chances)
    return Verdict(
        label=label,
        score=round(min(together, 1.0), DIGITS),
        tripped=together >= guarding.guard.at_least,
        action=guarding.guard.action,
    )


def stopped_by(guards: Sequence[Guarding], verdicts: Sequence[Verdict]) -> Guard | None:
    """The guard that decides about an input; ``None`` where the task answers.

    One that blocks goes before one that routes, else the first in the task file.
    """
    routing: Guard | None = None
    for guarding, said in zip(guards, verdicts, strict=True):
        if said.tripped and guarding.guard.action == "block":
            return guarding.guard
        if said.tripped and guarding.guard.action == "route" and routing is None:
            routing = guarding.guard
    return routing
