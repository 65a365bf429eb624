"""A cascade's promise in a few facts, for a page, a card or a list."""

from dataclasses import dataclass

from milepost.entities.cascade import PERSON, TRUTH, CascadeScore, Promise
from milepost.entities.estimate import Estimate


@dataclass(frozen=True, slots=True)
class Told:
    """One fact: what it is, in short, and what goes with it."""

    name: str
    value: str
    remark: str


def told(score: CascadeScore) -> tuple[Told, ...]:
    """What is promised, on what claim and how many labels, what was found, and what is left."""
    promise = score.promise
    last = promise.rungs[-1].name
    end = "a person" if last == PERSON else last
    return (
        Told("promised", limit(promise), f"of what is answered before {end}"),
        Told("confidence", f"{100 * promise.confidence:g} %", "over the labels that certified it"),
        _claim(promise),
        Told(
            "certified on",
            f"{promise.labels:,} labels",
            f"{promise.wrong:,} of {promise.answered:,} answers wrong",
        ),
        _found(score),
        _left(score, f"left to {end}"),
    )


def limit(promise: Promise) -> str:
    """What is promised, in a few words."""
    if promise.cost is not None:
        return f"mean cost ≤ {promise.cost.at_most:g}"
    return f"≤ {100 * (promise.at_most_wrong or 0.0):g} % wrong"


def _claim(promise: Promise) -> Told:
    if promise.against == TRUTH:
        return Told("about", "truth", "the labels are taken to be right")
    return Told("about", "agreement", f"with {promise.against}, who gave the labels; not truth")


def _found(score: CascadeScore) -> Told:
    held = score.cost if score.promise.cost is not None else score.wrong
    if not score.held_out:
        return Told("found", "–", "no examples were left to hold it against")
    if held is None:
        return Told("found", "–", f"none of {score.n:,} others was answered before the last rung")
    verdict = {"kept": "as promised", "open": "more, by no more than chance", "broken": "broken"}
    if score.promise.cost is not None:
        spread = f"{held.low:.3g} to {held.high:.3g}"
        value = f"{held.value:.3g}"
    else:
        spread = f"{100 * held.low:.1f} to {100 * held.high:.1f}"
        value = f"{100 * held.value:.1f} % wrong"
    return Told("found", value, f"{spread} on {held.n:,} others: {verdict[score.outcome]}")


def _left(score: CascadeScore, name: str) -> Told:
    kept: Estimate | None = score.answered
    if kept is None:
        return Told(name, "–", "")
    spread = f"{100 * (1 - kept.high):.1f} to {100 * (1 - kept.low):.1f}"
    return Told(name, f"{100 * (1 - kept.value):.1f} %", f"of {kept.n:,} inputs, {spread}")
