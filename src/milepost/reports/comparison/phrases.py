"""What a comparison says in the words of the task's kind: one label is right, others are better."""

from milepost.entities.difference import Changed, Difference, Part
from milepost.entities.inputs import MARK
from milepost.entities.kinds import KINDS
from milepost.evaluation.differences import apart, cases_words, direction
from milepost.reports import words
from milepost.reports.document import Role

CONFIDENCE = 0.95
"""From which on a part is coloured as different."""

_LEVEL = {
    "rank": ("both in the best order", "the same order", "another"),
    "score": ("both exact", "the same number", "either side"),
}
"""How two answers are as good, where these are no labels: best, the same, and neither."""


def graded(found: Difference) -> bool:
    """Whether answers are better or worse, and not right or wrong."""
    return KINDS[found.kind].link != "softmax"


def case(found: Difference) -> str:
    """What an example is called: that, or a query."""
    return cases_words(found.kind, 1).partition(" ")[2]


def value_name(found: Difference) -> str:
    """What says how good one answer is by itself."""
    if found.kind == "score":
        return "distance"
    return words.metric_name(found.metric) if found.kind == "rank" else "F1"


def headings(found: Difference) -> tuple[str, str, str]:
    """Of the examples that were won, lost, and changed without either."""
    neither = "Neither better, each its own way" if graded(found) else (
        "Both wrong, each its own way"
    )  # fmt: skip
    return f"Won by {found.second.name}", f"Lost by {found.second.name}", neither


def counts_words(found: Difference) -> str:
    """How the answers agree, as a sentence or two."""
    counts = found.counts
    if graded(found):
        level = counts.n - counts.wins - counts.losses
        right, same, other = _LEVEL.get(
            found.kind, ("both right", "the same mistakes", "other ones")
        )
        parts = [
            f"{said} on {many:,}"
            for said, many in (
                (right, counts.both_right),
                (same, counts.same_wrong),
                (other, counts.differently_wrong),
            )
            if many
        ]
        inside = f" ({', '.join(parts)})" if parts else ""
        level_said = f", as good on {level:,}{inside}" if level else ""
        return (
            f"Better on {counts.wins:,} of {cases_words(found.kind, counts.n)}, worse on "
            f"{counts.losses:,}{level_said}."
        )
    agreed = words.percent(counts.agreement)
    wrong = counts.same_wrong + counts.differently_wrong
    differently = f" ({counts.differently_wrong:,} differently)" if counts.differently_wrong else ""
    return (
        f"Same answer to {agreed}. Right answers: both {counts.both_right:,}, won "
        f"{counts.wins:,}, lost {counts.losses:,}; both wrong {wrong:,}{differently}."
    )


def parts_words(found: Difference) -> str:
    """How labels and slices are compared, as a sentence; empty where there are none."""
    if not graded(found):
        return (
            "Labels and slices are compared by right answers, in points; p is two-sided, adjusted "
            "by Holm over all of them."
        )
    said: list[str] = []
    if found.labels:
        what = "spans" if found.kind == "extract" else "examples"
        said.append(
            f"Labels are compared by F1, in points; counted are the {what} that have one or were "
            "given it"
        )
    if found.slices:
        what = "slices are compared" if said else "Slices are compared"
        said.append(f"{what} by {words.metric_name(found.metric)}")
    tail = "p-values are two-sided, adjusted by Holm over all of them."
    return f"{'; '.join(said)}. {words.capital(tail)}" if said else ""


def columns(found: Difference, *, of_labels: bool) -> tuple[str, str, str]:
    """Headings of what a part is measured by, and of what was won and lost in it."""
    if not graded(found):
        return "right", "won", "lost"
    if of_labels:
        return "F1", "won", "lost"
    return words.metric_name(found.metric), "better", "worse"


def share_moved(found: Difference, part: Part, *, of_labels: bool) -> str:
    """The difference of a part, in points or in the metric."""
    moved = part.second - part.first
    if of_labels or not graded(found):
        return f"{100 * moved:+.1f}"
    return apart(found.metric, moved)


def part_role(found: Difference, part: Part, *, of_labels: bool) -> Role:
    """Good or bad where a difference is shown."""
    if part.p_value >= 1.0 - CONFIDENCE:
        return ""
    sign = 1.0 if of_labels or not graded(found) else direction(found.metric)
    return "good" if sign * (part.second - part.first) > 0 else "bad"


def legend(found: Difference) -> str:
    """How a listed example is to be read."""
    if found.kind == "score":
        return f"truth: {found.first.name} → {found.second.name}, with how far off each is"
    if found.kind == "rank":
        return f"each order with its {value_name(found)}"
    if graded(found):
        return "each answer with its F1; “not” is what was rightly left out"
    return f"label: {found.first.name} → {found.second.name}, with confidences"


def ordered(found: Difference) -> tuple[str, str, str]:
    """What comes first among the examples of each heading; empty where nothing needs saying."""
    return ("largest gain first", "largest loss first", "worst first") if graded(found) else (
        "", "", ""
    )  # fmt: skip


def text_of(each: Changed) -> str:
    """The input with the sides of a pair told apart."""
    return each.text.replace(MARK, "|")


def answer_of(name: str, confidence: float | None, value: float | None) -> str:
    """One answer with what is known of it."""
    if confidence is not None:
        return f"{name} {words.confidence(confidence)}"
    if value is None:
        return name
    return f"{name} (off by {f'{value:.3g}' if value < 1000 else f'{value:,.0f}'})"


def rows_of(found: Difference, each: Changed) -> list[tuple[str, str, str, Role]]:
    """An example as lines: what it is, what is said, a number, and its role."""
    ranks = found.kind == "rank"

    def number(value: float | None) -> str:
        return "" if value is None else f"{value:.2f}"

    lines: list[tuple[str, str, str, Role]] = [
        ("relevant" if ranks else "truth", each.actual, "", "strong"),
        (found.first.name, each.first, number(each.first_value), ""),
        (found.second.name, each.second, number(each.second_value), ""),
    ]
    if each.won:
        lines.append(("won", ", ".join(each.won), "", "good"))
    if each.lost:
        lines.append(("lost", ", ".join(each.lost), "", "bad"))
    return lines
