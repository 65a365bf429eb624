"""Recorded answers and what was said of them, as tables."""

from collections import Counter
from collections.abc import Sequence

from milepost.entities.example import QualityReport
from milepost.entities.images import named
from milepost.entities.serving import Feedback, Trace
from milepost.reports.document import (
    BLANK,
    Bullets,
    Cell,
    Column,
    Document,
    Grid,
    Line,
    Part,
    Role,
    Row,
    sentence,
)

_SHOWN_TEXT = 400
_LISTED_TEXT = 76
_PASSED = "upstream"
"""Channel of what a language model answered to a client itself."""


def traces_table(traces: Sequence[Trace]) -> Document:
    """Answers, newest first, each with its input on a line below where that was kept.

    An id, which is copied, and an input do not fit beside each other into 80 columns.
    """
    if not traces:
        return Document((sentence("There are no such traces."),))
    heading = Line(
        (("  UTC             trace                              answer, release", "dim"),)
    )
    return Document((heading, *(line for trace in traces for line in _trace_lines(trace))))


def trace_document(trace: Trace, said: Sequence[Feedback]) -> Document:
    """One answer with everything that was kept of it, and what was said of it."""
    stopped = _tripped(trace)
    facts: list[tuple[str, str]] = [
        ("task", trace.task),
        ("answered", f"{trace.at:%Y-%m-%d %H:%M:%S.%f} UTC in {1000 * trace.seconds:.2f} ms"),
        ("answer", _answer(trace)[0]),
        ("labels", ", ".join(f"{name} {p:.3f}" for name, p in trace.probabilities.items())),
        (
            ("upstream", trace.rung)
            if trace.channel == _PASSED
            else ("release", f"{trace.release} ({trace.channel}), {trace.rung}")
        ),
        ("input", _input(trace)),
        ("said", _cut(trace.said or "", _SHOWN_TEXT)),
        *((f"guard {name}", f"{v.label}, score {v.score:.3f}") for name, v in trace.guards.items()),
        ("tripped", ", ".join(stopped)),
        ("key", trace.key or ""),
        ("request", f"{trace.request} by {trace.protocol}" if trace.request else trace.protocol),
    ]
    if trace.shadow is not None:
        shadow = trace.shadow
        sure = "" if shadow.confidence is None else f" {shadow.confidence:.3f}"
        facts.append(("shadow", f"release {shadow.release} would say {shadow.label}{sure}"))
    rows = tuple(Row((Cell(name, "dim"), Cell(value))) for name, value in facts if value)
    grid = Grid((Column(""), Column(trace.id, wraps=True)), rows)
    return Document((grid, *((BLANK, *_feedback_parts(said)) if said else ())))


def feedback_table(said: Sequence[Feedback], shown: int) -> Document:
    """Counts of what was said, and the newest of it."""
    if not said:
        return Document((sentence("Nobody has said anything of these answers yet."),))
    return Document((sentence(_counts(said)), *_feedback_parts(said[:shown])))


def learned_from(quality: QualityReport) -> Document:
    """What of the feedback a contest was trained on, and what not."""
    parts: list[Part] = []
    for finding in quality.findings:
        if finding.check.startswith("feedback"):
            mark: tuple[str, Role] = (
                ("!", "warn") if finding.severity == "warning" else ("·", "dim")
            )
            parts.append(Line(((finding.summary, ""),), mark=mark))
            if finding.check == "feedback_left_out":
                parts.append(Bullets(finding.examples))
    return Document(tuple(parts))


def _counts(said: Sequence[Feedback]) -> str:
    corrected = sum(each.label not in {None, each.answered} for each in said)
    confirmed = sum(_confirms(each) for each in said)
    ratings = [each.rating for each in said if each.rating is not None]
    keys = Counter(each.key for each in said)
    words = [
        f"{len(said):,} from {len(keys):,} {'key' if len(keys) == 1 else 'keys'}",
        f"{corrected:,} corrected",
        f"{confirmed:,} confirmed",
    ]
    if ratings:
        mean = sum(ratings) / len(ratings)
        what = "rating" if len(ratings) == 1 else f"mean of {len(ratings):,} ratings"
        words.append(f"{what} {mean:.2f}")
    return ", ".join(words) + "."


def _confirms(said: Feedback) -> bool:
    if said.label is not None:
        return said.label == said.answered
    return said.rating is not None and said.rating >= 1.0


def _feedback_parts(said: Sequence[Feedback]) -> tuple[Part, ...]:
    columns = (
        Column("when"),
        Column("answered", wraps=True),
        Column("said", wraps=True),
        Column("rating", "right"),
        Column("key"),
        Column("input or comment", wraps=True),
    )
    return (Grid(columns, tuple(map(_feedback_row, said))),)


def _feedback_row(said: Feedback) -> Row:
    right = said.label is None or said.label == said.answered
    return Row(
        (
            Cell(f"{said.at:%m-%d %H:%M}", "dim"),
            Cell(said.answered or "–"),
            Cell(said.label or "–", "" if right else "warn"),
            Cell("–" if said.rating is None else f"{said.rating:g}"),
            Cell(said.key or "–", "dim"),
            Cell(_cut(said.comment or said.text or "–", 60)),
        )
    )


def _trace_lines(trace: Trace) -> tuple[Line, Line]:
    words, mark, role = _answer(trace)
    sure = "" if trace.confidence is None else f" {trace.confidence:.2f}"
    sure = f"{sure}, {trace.release}" if trace.label is not None else ""
    if trace.channel == _PASSED:
        sure = " (cached)" if trace.cached else ""
    facts: tuple[tuple[str, Role], ...] = (
        (f"{mark} ", role),
        (f"{trace.at:%m-%d %H:%M:%S}  ", ""),
        (f"{trace.id}  ", "dim"),
        (words, role),
        (sure, "dim"),
    )
    text = _input(trace)
    if trace.said:
        text = f"{_cut(text, _LISTED_TEXT // 2)} → {trace.said}"
    return Line(facts), Line(((f"  {_cut(text, _LISTED_TEXT)}", "dim"),))


def _answer(trace: Trace) -> tuple[str, str, Role]:
    stopped = _tripped(trace)
    if trace.label is None:
        if trace.abstained:
            return "withheld", "○", "warn"
        return f"stopped by {', '.join(stopped) or trace.rung}", "✘", "bad"
    if stopped:
        return f"{trace.label} (guard: {', '.join(stopped)})", "!", "warn"
    return trace.label, "·", ""


def _tripped(trace: Trace) -> list[str]:
    return [name for name, verdict in trace.guards.items() if verdict.tripped]


def _input(trace: Trace) -> str:
    if trace.text is not None:
        return _cut(trace.text, _SHOWN_TEXT)
    return f"SHA-256 {trace.text_sha256}" if trace.text_sha256 else "not kept"


def _cut(text: str, most: int) -> str:
    """One line of at most so many characters, without what a terminal would act on."""
    line = " ".join("".join(c if c.isprintable() else " " for c in named(text)).split())
    return line if len(line) <= most else line[: most - 1] + "…"
