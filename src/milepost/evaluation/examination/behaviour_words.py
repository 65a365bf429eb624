"""What a test of behaviour asks and how it came out, in words."""

import math

from milepost.entities.examination import BehaviourScore, Case
from milepost.entities.expectations import Behaviour

_SHOWN_CHARS = 200
_QUOTED_CHARS = 80
_FEW = 3


def asked(test: Behaviour, tolerance: float) -> str:
    """What the test asks, without a full stop."""
    if test.kind == "minimum":
        return f"the cases of {test.file} are answered right"
    must = "does not change the answer"
    if test.kind == "direction":
        must = f"lowers the probability of `{test.label}` by at most {tolerance:g}"
    return f"{_change(test)} {must}"


def _change(test: Behaviour) -> str:
    if test.change is not None:
        return f"the change `{test.change}`"
    if test.replace:
        pairs = list(test.replace.items())
        first = ", ".join(f"{old} by {new or 'nothing'}" for old, new in pairs[:_FEW])
        more = f" and {len(pairs) - _FEW} more" if len(pairs) > _FEW else ""
        return f"replacing {first}{more}"
    sides = ((test.prefix, "before"), (test.suffix, "behind"))
    put = [f"{quoted(text)} {where}" for text, where in sides if text]
    return f"putting {' and '.join(put)} the input"


def sentence(score: BehaviourScore, confidence: float) -> str:
    """How the test came out, with its numbers and what to do where it did not pass.

    Args:
        score: The test.
        confidence: That of the whole look; the score's own bound pays for all sampled tests.
    """
    head = f"Behaviour `{score.name}` ({score.asks})"
    if score.passed is None:
        return f"{head} was not tested: {_nothing(score)}"
    bar = f"{_asked_share(score.at_least)} asked"
    share, bound = _share(score.passed.value, score.at_least), score.passed.at_most
    unit = "case" if score.kind == "minimum" else "input"
    facts = f"{head} holds for {score.n - score.failed:,} of {_counted(score.n, unit)}, {share}"
    if score.outcome == "passed":
        return f"{facts}; {bar}."
    if score.parts:
        bad = [part for part in score.parts if part.outcome == "failed"]
        named = ", ".join(f"{p.name} ({p.n - p.failed} of {p.n})" for p in bad[:_FEW])
        more = f" and {len(bad) - _FEW} more" if len(bad) > _FEW else ""
        return (
            f"{facts}, but not for {len(bad)} of the {len(score.parts)} values of `{score.by}` "
            f"({bar} of each): {named}{more}.{_worst(score)}"
        )
    if score.outcome == "failed" and score.kind == "minimum":
        return f"{facts}; {bar}.{_worst(score)}"
    if score.outcome == "failed":
        return (
            f"{facts}, which is shown to be below the {bar} (at most "
            f"{_share(bound, score.at_least)} with {confidence * 100:g} % confidence over all "
            f"tests).{_worst(score)}"
        )
    return (
        f"{facts}, below the {bar} but not shown to be: so few inputs cannot tell. Let more take "
        f"part (examine_chars in milepost.toml, or more examples).{_worst(score)}"
    )


def _nothing(score: BehaviourScore) -> str:
    if score.kind == "minimum":
        return "no case is left. Look at its `where`."
    return (
        "there is no input that it changes within examine_chars (milepost.toml). Add such inputs "
        "to the examples, or take the test out."
    )


def _worst(score: BehaviourScore) -> str:
    """The worst failure; empty where there is none."""
    case = next((c for part in score.parts for c in part.cases), None) if score.parts else None
    case = case or next(iter(score.cases), None)
    return "" if case is None else f" For example, {case_in_words(case, score.kind)}."


def case_in_words(case: Case, kind: str) -> str:
    """A failure as a clause."""
    if kind == "minimum":
        return (
            f"{quoted(case.text)} is `{case.actual}` and was answered `{case.answer}` "
            f"({case.confidence:.2f})"
        )
    then = 0.0 if case.confidence_then is None else case.confidence_then
    if kind == "direction":
        return (
            f"the probability of `{case.answer}` fell from {case.confidence:.2f} to {then:.2f} "
            f"when {quoted(case.text)} became {quoted(case.changed or '')}"
        )
    return (
        f"{quoted(case.text)} was answered `{case.answer}` ({case.confidence:.2f}) and "
        f"{quoted(case.changed or '')} was answered `{case.answer_then}` ({then:.2f})"
    )


def shortened(text: str) -> str:
    """At most 200 characters of a text; the middle is left out."""
    return _shorter(text, _SHOWN_CHARS)


def quoted(text: str) -> str:
    """A text within a sentence, on one line."""
    return f'"{_shorter(" ".join(text.split()) or text, _QUOTED_CHARS)}"'


def _shorter(text: str, most: int) -> str:
    """Its beginning and its end: what a change added may be at either."""
    if len(text) <= most:
        return text
    half = (most - 3) // 2
    return f"{text[:half]} … {text[-half:]}"


def _counted(n: int, unit: str) -> str:
    return f"{n:,} {unit}{'' if n == 1 else 's'}"


def _asked_share(bar: float) -> str:
    return f"{bar * 100:.6g} %"


def _share(value: float, bar: float) -> str:
    """A share in per cent with as many digits as show on which side of the bar it lies."""
    for digits in range(1, 7):
        scale = 10**digits
        shown = math.floor(value * 100 * scale + 1e-9) / scale
        if (shown >= bar * 100) == (value >= bar):
            return f"{shown:.{digits}f} %"
    return f"{value * 100!r} %"
