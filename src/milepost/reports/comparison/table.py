"""A comparison in the terminal: the verdict, both in numbers, where they differ, examples."""

from collections.abc import Callable, Sequence

from milepost.entities.difference import Changed, Difference, Part, Side
from milepost.reports import words
from milepost.reports.comparison import phrases
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
ANSWER = 170
"""Characters of an answer of many parts that are shown."""

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
        sentence(phrases.counts_words(found)),
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
        parts.append(sentence(phrases.parts_words(found), "dim"))
    for heading, said, examples in groups(found):
        head = Line(((heading, "strong"), (f"  {said}", "dim")))
        parts += [BLANK, head, *_examples(found, examples)]
    if found.notes:
        parts += [BLANK, Bullets(found.notes)]
    return Document(tuple(parts))


def groups(found: Difference) -> list[tuple[str, str, tuple[Changed, ...]]]:
    """The kinds of examples that changed, each with its heading, and how they are to be read."""
    won, lost, neither = phrases.headings(found)
    of = ((won, found.wins), (lost, found.losses), (neither, found.differently_wrong))
    shown = [
        (heading, order, examples)
        for (heading, examples), order in zip(of, phrases.ordered(found), strict=True)
        if examples
    ]
    # What holds below all headings is said below the first, unless it is all that is said.
    return [
        (heading, "; ".join(filter(None, (order, "" if order and at else phrases.legend(found)))),
         examples)
        for at, (heading, order, examples) in enumerate(shown)
    ]  # fmt: skip


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
    ]  # fmt: skip
    rows[1:1] = [
        _row(words.metric_name(name), found, lambda s, name=name: words.measured(s.also[name]))
        for name in first.also
    ]
    if first.calibration or second.calibration:
        of = " of a span" if found.kind == "extract" else ""
        rows += [
            _row(f"calibration error{of}", found,
                 lambda s: words.score(s.calibration.ece) if s.calibration else "–"),
            _row("the same by chance", found,
                 lambda s: words.score(s.calibration.ece_if_perfect) if s.calibration else "–"),
            _row(f"mean confidence{of}", found,
                 lambda s: "–" if s.confidence is None else f"{s.confidence:.3f}"),
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
    of_labels = heading == "label"
    measured, won, lost = phrases.columns(found, of_labels=of_labels)
    columns = (
        Column(heading, wraps=True),
        Column("n", "right"),
        Column(measured, "right"),
        Column(won, "right"),
        Column(lost, "right"),
        Column("difference", "right"),
        Column("", width=12),
        Column("p", "right"),
    )
    shown = [
        Row(
            (
                Cell(part.name),
                Cell(words.count(part.n)),
                Cell(f"{part.first:.2f} → {part.second:.2f}"),
                Cell(words.count(part.wins)),
                Cell(words.count(part.losses)),
                Cell(phrases.share_moved(found, part, of_labels=of_labels)),
                Cell(bar=Bar(part.low, part.second - part.first, part.high, low, high)),
                Cell(p_words(part.p_value)),
            ),
            phrases.part_role(found, part, of_labels=of_labels),
        )
        for part in rows
    ]
    return Grid(columns, tuple(shown))


def p_words(p_value: float) -> str:
    """A p-value in three digits that never claims certainty."""
    return "<0.001" if p_value < 0.001 else f"{p_value:.3f}"


def _row(name: str, found: Difference, of: Callable[[Side], str]) -> Row:
    return Row((Cell(name), Cell(of(found.first)), Cell(of(found.second))))


def _most_different(labels: Sequence[Part]) -> tuple[Part, ...]:
    return tuple(labels[:LABELS_SHOWN])


def _examples(found: Difference, examples: Sequence[Changed]) -> list[Shown]:
    """Examples below each other: answers that are long each in a line of its own."""
    if phrases.graded(found) and found.kind != "score":
        return [_cards(found, examples)]
    lines: list[Shown] = []
    for each in examples:
        first = phrases.answer_of(each.first, each.first_confidence, each.first_value)
        second = phrases.answer_of(each.second, each.second_confidence, each.second_value)
        lines += [
            Line(((words.shorten(phrases.text_of(each), CHARS), ""),), mark=("·", "dim")),
            Line(
                ((f"{each.actual}: ", "strong"), (f"{first} → ", "dim"), (second, "dim")), indent=2
            ),
        ]
    return lines


def _cards(found: Difference, examples: Sequence[Changed]) -> Grid:
    """The truth, both answers and what is between them, aligned over all examples."""
    rows: list[Row] = []
    for at, each in enumerate(examples):
        if at:
            rows.append(Row((Cell(), Cell(), Cell())))
        text = words.shorten(phrases.text_of(each), CHARS)
        rows.append(Row((Cell(phrases.case(found), "dim"), Cell(text), Cell())))
        rows += [
            Row((Cell(name, role if role in ("good", "bad") else "dim"),
                 Cell(words.shorten(said, ANSWER), role), Cell(number)))
            for name, said, number, role in phrases.rows_of(found, each)
        ]  # fmt: skip
    columns = (Column("", wraps=True), Column("", wraps=True), Column("", "right"))
    return Grid(columns, tuple(rows))
