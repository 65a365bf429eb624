"""A comparison in the terminal: the verdict, both in numbers, where they differ, examples."""

from collections.abc import Callable, Sequence

from milepost.entities.difference import Changed, Difference, Part, Side
from milepost.reports import words
from milepost.reports.document import (
    BLANK,
    Bar,
    Bullets,
    Cell,
    Column,
    Document,
    Grid,
    Line,
    Role,
    Row,
    sentence,
)
from milepost.reports.document import Part as Shown

LABELS_SHOWN = 8
CHARS = 150
PARTS = (
    "Labels and slices are compared by right answers, in points; p is two-sided, adjusted by Holm "
    "over all of them."
)
MARKS: dict[str, tuple[str, Role]] = {
    "better": ("✔", "good"),
    "worse": ("✘", "bad"),
    "same": ("●", "calm"),
    "undecided": ("?", "warn"),
}
"""Mark and role of what is told of the second one."""


def difference_table(found: Difference) -> Document:
    """Everything that the comparison found, most important first."""
    mark, role = MARKS[found.told]
    title = f"  {found.first.name} → {found.second.name}, on {found.source}"
    parts: list[Shown] = [
        Line(((found.task, "accent"), (title, ""))),
        BLANK,
        Line(((found.verdict[0], "strong"),), mark=(mark, role)),
        *(sentence(each, indent=2) for each in found.verdict[1:]),
        BLANK,
        sides_grid(found),
        BLANK,
        _counts(found),
    ]
    for heading, rows in (("label", _most_different(found.labels)), ("slice", found.slices)):
        if rows:
            parts += [BLANK, parts_grid(rows, heading, found)]
    if len(found.labels) > LABELS_SHOWN:
        parts.append(
            sentence(
                f"The {LABELS_SHOWN} labels that changed most of {len(found.labels):,}.", "dim"
            )
        )
    if found.labels or found.slices:
        parts.append(sentence(PARTS, "dim"))
    legend = f"  label: {found.first.name} → {found.second.name}, with confidences"
    for heading, examples in groups(found):
        if examples:
            said = Line(((heading, "strong"), (legend, "dim")))
            parts += [BLANK, said, *_examples(examples)]
    if found.notes:
        parts += [BLANK, Bullets(found.notes)]
    return Document(tuple(parts))


def groups(found: Difference) -> tuple[tuple[str, tuple[Changed, ...]], ...]:
    """The kinds of examples that changed, each with its heading."""
    return (
        (f"Won by {found.second.name}", found.wins),
        (f"Lost by {found.second.name}", found.losses),
        ("Both wrong, each its own way", found.differently_wrong),
    )


def sides_grid(found: Difference) -> Grid:
    """The numbers of both, one column each."""
    first, second = found.first, found.second
    columns = (
        Column("", wraps=True),
        Column(first.name, "right", wraps=True),
        Column(second.name, "right", wraps=True),
    )
    rows = [
        _row(words.metric_name(found.metric), found, lambda s: words.measured(s.estimate)),
        _row("strategy", found, lambda side: side.strategy),
        _row("calibration error", found, lambda side: words.score(side.calibration.ece)),
        _row("the same by chance", found,
             lambda side: words.score(side.calibration.ece_if_perfect)),
        _row("mean confidence", found, lambda side: f"{side.confidence:.3f}"),
    ]  # fmt: skip
    if first.latency or second.latency:
        rows += [
            _row("p50 ms", found, lambda s: words.milliseconds(s.latency.p50_ms) if s.latency
                 else "–"),
            _row("USD per 1k", found, lambda s: words.usd(s.latency.cost_per_1k_usd)
                 if s.latency else "–"),
        ]  # fmt: skip
    return Grid(columns, tuple(rows))


def parts_grid(rows: Sequence[Part], heading: str, found: Difference) -> Grid:
    """Labels or slices with what was won and lost, and the simultaneous interval."""
    low = min([part.low for part in rows] + [0.0])
    high = max([part.high for part in rows] + [1e-3])
    columns = (
        Column(heading, wraps=True),
        Column("n", "right"),
        Column("right", "right"),
        Column("won", "right"),
        Column("lost", "right"),
        Column("difference", "right"),
        Column("", width=12),
        Column("p", "right"),
    )
    level = 1.0 - CONFIDENCE
    shown = [
        Row(
            (
                Cell(part.name),
                Cell(words.count(part.n)),
                Cell(f"{part.first:.2f} → {part.second:.2f}"),
                Cell(words.count(part.wins)),
                Cell(words.count(part.losses)),
                Cell(f"{100 * (part.second - part.first):+.1f}"),
                Cell(bar=Bar(part.low, part.second - part.first, part.high, low, high)),
                Cell(p_words(part.p_value)),
            ),
            "" if part.p_value >= level else "good" if part.second > part.first else "bad",
        )
        for part in rows
    ]
    return Grid(columns, tuple(shown))


CONFIDENCE = 0.95
"""From which on a part is coloured as different."""


def p_words(p_value: float) -> str:
    """A p-value in three digits that never claims certainty."""
    return "<0.001" if p_value < 0.001 else f"{p_value:.3f}"


def _row(name: str, found: Difference, of: Callable[[Side], str]) -> Row:
    return Row((Cell(name), Cell(of(found.first)), Cell(of(found.second))))


def _counts(found: Difference) -> Line:
    counts = found.counts
    agreed = words.percent(counts.agreement)
    wrong = counts.same_wrong + counts.differently_wrong
    apart = f" ({counts.differently_wrong:,} differently)" if counts.differently_wrong else ""
    return sentence(
        f"Same answer to {agreed}. Right answers: both {counts.both_right:,}, won "
        f"{counts.wins:,}, lost {counts.losses:,}; both wrong {wrong:,}{apart}."
    )


def _most_different(labels: Sequence[Part]) -> tuple[Part, ...]:
    return tuple(labels[:LABELS_SHOWN])


def _examples(examples: Sequence[Changed]) -> list[Line]:
    lines: list[Line] = []
    for each in examples:
        lines += [
            Line(((words.shorten(each.text, CHARS), ""),), mark=("·", "dim")),
            Line(
                (
                    (f"{each.actual}: ", "strong"),
                    (f"{each.first} {words.confidence(each.first_confidence)} → ", "dim"),
                    (f"{each.second} {words.confidence(each.second_confidence)}", "dim"),
                ),
                indent=2,
            ),
        ]
    return lines
