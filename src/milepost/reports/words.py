"""Numbers, names and verdicts as people read them; the same words in terminal, page and chart."""

import math
import unicodedata
from datetime import datetime

import msgspec

from milepost.entities.contest import Candidate, Contest
from milepost.entities.decision import Verdict
from milepost.entities.errors import UnknownNameError
from milepost.entities.estimate import UNDEFINED, Estimate
from milepost.entities.example import QualityReport
from milepost.entities.images import named
from milepost.entities.inputs import MARK
from milepost.entities.measures import MeasureKind, measure_kind
from milepost.entities.release import Approved, Channel
from milepost.entities.scorecard import Scorecard
from milepost.entities.task import Objective

VERDICTS: dict[Verdict, tuple[str, str, str]] = {
    "released": ("✔", "released", "good"),
    "kept": ("●", "kept", "calm"),
    "rejected": ("✘", "rejected", "bad"),
    "insufficient_evidence": ("?", "insufficient evidence", "warn"),
}
"""Icon, words and role of each verdict."""

BETWEEN = "↔"
"""What people see between the two sides of a pair."""

UNREADABLE = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\ufeff")
"""Marks that reorder the text around them: one example must not rearrange a table."""


def kind_of(name: str) -> MeasureKind:
    """What is known of a metric; of one that this version does not know, only its name."""
    try:
        return measure_kind(name)
    except UnknownNameError:
        return MeasureKind(name.replace("_", " "), -math.inf, math.inf, higher=None)


def metric_name(name: str) -> str:
    """A metric's name in words, such as ``macro F1``."""
    return kind_of(name).words


def metric_range(name: str) -> tuple[float, float]:
    """What a metric can be; infinite where nothing bounds it."""
    kind = kind_of(name)
    return kind.low, kind.high


def judged(n: int, metric: str) -> str:
    """How many a metric was measured on, in its own unit: ``60 queries``, ``1,219 examples``."""
    return count(n, *kind_of(metric).over)


def metric_in_full(scorecard: Scorecard) -> str:
    """The objective's metric with what a reader must know: ``log loss in nats, lower is better``.

    A share that is better when higher needs no word.
    """
    kind = kind_of(scorecard.metric)
    unit = f" in {kind.unit}" if kind.unit else ""
    return f"{kind.words}{unit}{', lower is better' if scorecard.lower_is_better else ''}"


def count(n: int, one: str = "", many: str = "") -> str:
    """A whole number with thousands separators, and the noun in its number when one is given."""
    if not one:
        return f"{n:,}"
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def truths(quality: QualityReport) -> str:
    """How many labels examples have, or what their scores are like."""
    found = quality.scores
    if isinstance(found, msgspec.UnsetType):
        return count(len(quality.label_counts), "label")
    return (
        f"{count(found.levels, 'different score')} from {found.low:g} to {found.high:g}, "
        f"mean {found.mean:.3g}"
    )


def score(value: float) -> str:
    """A metric with three decimals below 10, fewer above; a dash when it is not a number."""
    return _fixed(value, 3 - _whole_digits(value)) if math.isfinite(value) else "–"


def bounds(estimate: Estimate) -> str:
    """The two-sided interval, with a third decimal where two would hide it."""
    low, high = estimate.low, estimate.high
    if not (math.isfinite(low) and math.isfinite(high)):
        return "[–]"
    digits = 3 if high - low < 0.02 and high > low else 2
    digits -= _whole_digits(low, high)
    return f"[{_fixed(low, digits)}, {_fixed(high, digits)}]"


def _whole_digits(*values: float) -> int:
    """Digits before the point beyond the first, of the largest; a large number needs fewer behind.

    Metrics that are shares have none; losses, utilities and own measures may have many.
    """
    largest = max(abs(value) for value in values)
    return max(0, math.floor(math.log10(largest))) if largest >= 1 else 0


def _fixed(value: float, digits: int) -> str:
    """A number with so many decimals and no minus before a zero."""
    text = f"{value:,.{max(0, digits)}f}"
    return text if any(digit in text for digit in "123456789") else text.removeprefix("-")


def measured(estimate: Estimate) -> str:
    """Value and interval, such as ``0.912 [0.88, 0.94]``; a dash for a value of nothing."""
    value = "–" if estimate.method.startswith(UNDEFINED) else score(estimate.value)
    return f"{value} {bounds(estimate)}"


def confidence(share: float) -> str:
    """A confidence in two digits that never claims certainty: ``>0.99``."""
    return ">0.99" if share > 0.99 else f"{share:.2f}"


def percent(share: float) -> str:
    """A share as a percentage with one decimal below 10 and none above, such as ``2.1 %``."""
    return f"{share * 100:.1f} %" if abs(share) < 0.0995 else f"{share * 100:.0f} %"


def error(share: float) -> str:
    """A probability of error in per cent, with three significant digits."""
    return f"{100 * share:.3g} %"


def error_left(left: float) -> str:
    """What looks at judged messages can still spend, the same wherever it is told."""
    return f"{error(left)} of error is left for later looks"


def share(estimate: Estimate) -> str:
    """A share with its interval in per cent, such as ``12 % [10, 15]``."""
    low, high, value = estimate.low * 100, estimate.high * 100, estimate.value * 100
    if not all(math.isfinite(end) for end in (low, high, value)):
        return "–"
    digits = 1 if high - low < 3 or high < 9.95 else 0
    return f"{value:.{digits}f} % [{low:.{digits}f}, {high:.{digits}f}]"


def difference(value: float, low: float, high: float) -> str:
    """A difference with its sign and interval, such as ``+0.083 [+0.06, +0.11]``."""
    large = _whole_digits(value, low, high)
    shown, digits = max(0, 3 - large), max(0, (3 if high - low < 0.02 else 2) - large)
    return f"{value:+,.{shown}f} [{low:+,.{digits}f}, {high:+,.{digits}f}]"


def chance(p_value: float) -> str:
    """A p-value with three decimals that is never zero."""
    return "<0.001" if p_value < 0.0005 else f"{p_value:.3f}"


def usd(amount: float) -> str:
    """USD with two significant digits below one dollar, such as ``$0.0004``; never ``e-05``."""
    if not math.isfinite(amount):
        return "–"
    if amount <= 0:
        return "$0"
    if amount < 1e-5:
        return "<$0.00001"
    if amount >= 1:
        return f"${amount:,.2f}" if amount < 1000 else f"${amount:,.0f}"
    digits = 1 - math.floor(math.log10(amount))
    text = f"{amount:.{digits}f}".rstrip("0").rstrip(".")
    return f"${text}"


def milliseconds(value: float) -> str:
    """Milliseconds without their unit: ``0.42``, ``4.1``, ``35``, ``1,234``."""
    if not math.isfinite(value):
        return "–"
    if value < 0.01:
        return "<0.01"
    digits = 2 if value < 1 else 1 if value < 10 else 0
    return f"{value:,.{digits}f}"


def duration(seconds: float) -> str:
    """Seconds in words: ``0.4 s``, ``12 s``, ``2 min 5 s``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60} s"


def day(moment: datetime) -> str:
    """Date and minute, such as ``2026-03-14 15:09 UTC``."""
    return f"{moment:%Y-%m-%d %H:%M} {moment.tzname() or ''}".rstrip()


def capital(text: str) -> str:
    """The text with its first letter in capitals."""
    return text[:1].upper() + text[1:]


def digest(value: str, length: int = 12) -> str:
    """The first digits of a digest."""
    return value[:length]


def clean(text: str) -> str:
    """Text that can be shown anywhere: no control characters, reordering marks or surrogates.

    What stands for an image becomes a short name, and the mark that keeps the sides of a pair apart
    becomes ``BETWEEN``.
    """
    text = named(text)
    if text.isascii() and text.isprintable():
        return text
    return "".join(_shown(c) for c in text)


def _shown(character: str) -> str:
    if character == MARK:
        return BETWEEN
    if character in "\n\r\t\u2028\u2029":
        return " "
    if character in UNREADABLE:
        return ""
    return "\ufffd" if unicodedata.category(character) in ("Cc", "Cs") else character


def shorten(text: str, length: int) -> str:
    """One line of at most ``length`` characters, cut at a word where that loses little."""
    line = " ".join(clean(named(text)[: 4 * length + 200]).split())
    if len(line) <= length:
        return line
    cut = line[: max(1, length - 1)]
    space = cut.rfind(" ")
    return (cut[:space] if space >= 0.7 * length else cut).rstrip(" ,;:.") + "…"


def middle(text: str, length: int) -> str:
    """At most ``length`` characters with the middle left out: names differ at both ends."""
    text = clean(text)
    if len(text) <= length:
        return text
    head = length // 2
    return f"{text[:head]}…{text[len(text) - (length - 1 - head) :]}"


def first_sentence(text: str, length: int) -> str:
    """The first line of an error, shortened."""
    return shorten(text.strip().split("\n", 1)[0], length)


def verdict_words(contest: Contest) -> str:
    """The verdict in words, with the release that it led to."""
    words = VERDICTS[contest.decision.verdict][1]
    if contest.release is not None and contest.decision.verdict == "released":
        waits = ", not in production yet" if contest.waits_for else ""
        return f"{words} as release {contest.release}{waits}"
    return words


def waiting_words(task: str, release: int, lacking: int) -> str:
    """What a release waits for, with the command that gives it."""
    waits = f"release {release} waits for {count(lacking, 'approval')}"
    return f"{waits}: milepost approve {task} {release}"


def approved_words(came: Approved) -> str:
    """What an approval came to, and what to do next."""
    where = f"{came.task}@{came.channel.name}" if came.channel else came.task
    said = f"Release {came.release} of {came.task} has {came.given} of " + (
        f"{count(came.needed, 'approval')}."
    )
    if came.repeated:
        said = f"You approved it before; nothing was added. {said}"
    if came.outcome == "waiting":
        left = came.needed - came.given
        return f"{said} It waits for {count(left, 'more', 'more')}, from somebody else."
    if came.outcome == "live":
        return f"{said} {where} is now release {came.release}."
    runs = f"stays at release {came.channel.release}" if came.channel else "points nowhere"
    return (
        f"{said} {where} {runs}: it was moved since release {came.release} was made, which was "
        f"measured against something else. To put it into production all the same: "
        f"milepost promote {came.task} {came.release}"
    )


def channel_words(now: Channel) -> str:
    """What a canary or shadow does from now on."""
    where = f"{now.task}@{now.name}"
    if not now.share:
        return f"{where} is off."
    part = "all" if now.share >= 1.0 else f"{100 * now.share:g} %"
    if now.name == "shadow":
        return f"{where} is release {now.release}: it sees {part} of the traffic, unheard."
    return (
        f"{where} is release {now.release}: it answers {part} of the traffic. "
        f"How it does: milepost ab {now.task}"
    )


def serves_words(variant: str, reason: str) -> str:
    """On which variant of the encoder a server answers with a release, and why."""
    return f"A server answers with it on {variant}: {reason}."


def shown_scorecard(contest: Contest) -> Scorecard | None:
    """Scorecard of the chosen candidate, else of the best one that has any."""
    chosen = contest.chosen
    if chosen is not None and chosen.scorecard is not None:
        return chosen.scorecard
    return next((c.scorecard for c in contest.candidates if c.scorecard), None)


def regime_words(scorecard: Scorecard) -> str:
    """How the numbers were certified, in a few words with their n."""
    n = judged(scorecard.objective.n, scorecard.metric)
    look = f", look {scorecard.looks}" if scorecard.looks else ""
    if scorecard.regime == "holdout":
        return f"certified on {n.replace(' ', ' held-out ')}{look}"
    if scorecard.regime == "test_file":
        return f"certified on your test file, {n}{look}"
    # The first look needs no word; the eighth, with eight seeds, does.
    look = look if scorecard.looks > 1 else ""
    return f"cross-fitted on {n}{look}; nothing set aside"


def regime_sentence(scorecard: Scorecard) -> str:
    """How the numbers were certified, for a reader who has never heard of it."""
    if scorecard.regime == "holdout":
        return (
            "Candidates were ranked by cross-validation on the training examples. All numbers "
            "come from a holdout that milepost had set aside and never used to choose."
        )
    if scorecard.regime == "test_file":
        return (
            "Candidates were ranked by cross-validation on the training examples. All numbers "
            "come from your own test file, which was never used to choose."
        )
    return (
        "There were too few labels to set any aside. Every example was judged by a model that "
        "had seen neither it nor its near-duplicates, the optimism of choosing the best "
        "candidate was removed, and the final model was fitted on everything."
    )


def metric_of(contest: Contest) -> str:
    """The objective's metric in words; ``quality`` when nothing could be measured."""
    scorecard = shown_scorecard(contest)
    return metric_name(scorecard.metric) if scorecard else "quality"


def asked(objective: Objective) -> tuple[str, float] | None:
    """The bound that the objective sets, with its name; ``None`` where it sets none."""
    if objective.at_least is not None:
        return "floor", objective.at_least
    return None if objective.ceiling is None else ("ceiling", objective.ceiling)


def lower_is_better(contest: Contest) -> bool:
    """Whether a lower value of the objective's metric is better."""
    scorecard = shown_scorecard(contest)
    return scorecard is not None and scorecard.lower_is_better


def outcome(candidate: Candidate) -> str:
    """What became of a candidate without a scorecard: ``failed`` when it crashed, or ``skipped``.

    A crash is told from a refusal by the first words that the contest's runner gives it.
    """
    return "failed" if (candidate.error or "").startswith("It failed") else "skipped"
