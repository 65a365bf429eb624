"""Tables of the command line and of notebooks; each is a document that prints itself."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

from milepost.entities.cascade import PERSON
from milepost.entities.contest import Evaluation
from milepost.entities.example import Finding, QualityReport
from milepost.entities.prediction import Answer, LabelSets, Predictions, Scores, Spans
from milepost.entities.release import ApprovalState, Channel, Release
from milepost.entities.scorecard import Latency, Scorecard, SliceScore
from milepost.reports import words
from milepost.reports.cascades import score_parts
from milepost.reports.document import (
    BLANK,
    Bar,
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
from milepost.reports.leaderboard import Leaderboard
from milepost.reports.records import DoctorRow, TaskRow
from milepost.reports.scales import bar, common_scale

__all__ = [
    "Leaderboard",
    "doctor_table",
    "evaluation_table",
    "findings_table",
    "predictions_table",
    "releases_table",
    "tasks_table",
]

SEVERITIES: dict[str, tuple[str, Role]] = {
    "error": ("✘", "bad"),
    "warning": ("!", "warn"),
    "note": ("·", "dim"),
}
"""Mark and role of a finding's severity."""
STATUSES: dict[str, tuple[str, Role]] = {
    "ok": ("✔", "good"),
    "missing": ("○", "dim"),
    "warning": ("!", "warn"),
}
"""Mark and role of what the doctor found."""
EXAMPLES_SHOWN = 3


def tasks_table(rows: Sequence[TaskRow]) -> Document:
    """The tasks of a workspace with their last verdict and what runs."""
    if not rows:
        return Document((sentence("There are no tasks yet."),))
    columns = (
        Column("", width=1),
        Column("task", wraps=True),
        Column("verdict", wraps=True),
        Column("metric", wraps=True),
        Column("last candidate", "right"),
        Column("runs", "right"),
        Column("USD/1k", "right"),
        Column("p50 ms", "right"),
    )
    return Document((Grid(columns, tuple(_task_row(row) for row in rows)),))


def _task_row(row: TaskRow) -> Row:
    if row.verdict is None:
        metric = Cell(words.metric_name(row.metric), "dim")
        verdict = Cell("not improved yet", "dim")
        said = (Cell(), Cell(row.task, "strong"), verdict, metric)
        return Row((*said, Cell(), Cell(_runs(row)), Cell(), Cell()))
    icon, said, verdict_role = words.VERDICTS[row.verdict]
    role: Role = verdict_role  # pyright: ignore[reportAssignmentType] — the table holds roles
    return Row(
        (
            Cell(icon, role),
            Cell(row.task, "strong"),
            Cell(said, role),
            Cell(words.metric_name(row.metric)),
            Cell(words.measured(row.estimate) if row.estimate else ""),
            Cell(_runs(row)),
            Cell(words.usd(row.cost_per_1k_usd) if row.cost_per_1k_usd is not None else ""),
            Cell(words.milliseconds(row.p50_ms) if row.p50_ms is not None else ""),
        )
    )


def _runs(row: TaskRow) -> str:
    return "–" if row.production is None else str(row.production)


def releases_table(
    releases: Sequence[Release],
    channel: Channel | None,
    approvals: Mapping[int, ApprovalState] | None = None,
    beside: Sequence[Channel] = (),
) -> Document:
    """The newest releases of a task, newest first, and which one is in production.

    Args:
        releases: The newest ones, or all.
        channel: Where production points.
        approvals: How far each is with its approvals, by number; ``None`` shows none.
        beside: The canary and the shadow, where there are any.
    """
    if not releases:
        return Document((sentence("There is no release yet."),))
    parts: list[Part] = [releases_grid(releases, channel, approvals, beside)]
    # Numbers have no gaps: below the oldest one shown are as many as its number says.
    older = min(release.number for release in releases) - 1
    if older:
        said = f"{words.count(older, 'older release')} not shown; see all with --all."
        parts += [BLANK, sentence(said, "dim")]
    before, runs = (channel.previous, channel.release) if channel else (None, 0)
    for state in (approvals or {}).values():
        if state.lacking and state.release > runs and state.release != before:
            said = words.waiting_words(releases[0].task, state.release, state.lacking)
            parts.append(Line(((said, ""),), mark=("!", "warn")))
    return Document(tuple(parts))


def releases_grid(
    releases: Sequence[Release],
    channel: Channel | None,
    approvals: Mapping[int, ApprovalState] | None = None,
    beside: Sequence[Channel] = (),
) -> Grid:
    """Releases, newest first; the one in production is marked."""
    asked = any(state.needed or state.approvals for state in (approvals or {}).values())
    columns = (
        Column("", width=1),
        Column("release", "right"),
        Column("strategy", wraps=True),
        Column("made"),
        Column("by", wraps=True),
        Column("bundle"),
        *([Column("approved by", wraps=True)] if asked else []),
        Column("", wraps=True),
    )
    newest_first = sorted(releases, key=lambda release: -release.number)
    states = approvals or {}
    channels = (*([channel] if channel else []), *beside)
    return Grid(
        columns,
        tuple(
            _release_row(r, channels, states.get(r.number) if asked else None) for r in newest_first
        ),
    )


def _release_row(
    release: Release, channels: Sequence[Channel], approvals: ApprovalState | None
) -> Row:
    production = next((each for each in channels if each.name == "production"), None)
    runs = production is not None and production.release == release.number
    before = production is not None and production.previous == release.number
    roles = [_role(each) for each in channels if each.release == release.number and _on(each)]
    if before and not roles:
        roles.append("rollback")
    return Row(
        (
            Cell("●" if runs else ""),
            Cell(str(release.number)),
            Cell(release.strategy),
            Cell(f"{release.created:%Y-%m-%d %H:%M}"),
            Cell(release.actor),
            Cell(words.digest(release.bundle, 8), "dim"),
            *([Cell(_approvers(approvals))] if approvals else []),
            Cell(", ".join(roles), "dim"),
        ),
        "strong" if runs else "",
    )


def _on(channel: Channel) -> bool:
    return channel.name == "production" or bool(channel.share)


def _role(channel: Channel) -> str:
    """Name of a channel, with its share where it has one of less than everything."""
    share = channel.share
    return channel.name if share is None or share >= 1.0 else f"{channel.name} {100 * share:g} %"


def _approvers(state: ApprovalState) -> str:
    names = ", ".join(approval.actor for approval in state.approvals)
    if not state.lacking:
        return names or "–"
    so_far = f"{len(state.approvals)} of {state.needed}"
    return f"{names} ({so_far})" if names else so_far


def findings_table(quality: QualityReport, shown: AbstractSet[Finding] = frozenset()) -> Document:
    """What was found in a dataset, worst first, each with places to look at.

    Args:
        quality: What was found.
        shown: Findings that need not be shown again, such as those of another task's same file.
    """
    head = (
        f"{words.count(quality.rows, 'row')} read, {words.count(quality.used)} used, "
        f"{words.count(quality.labelled)} labelled, "
        f"{words.truths(quality)}"
    )
    parts: list[Part] = [sentence(head, "dim")]
    for finding in quality.findings:
        parts += () if finding in shown else _finding(finding)
    again = sum(finding in shown for finding in quality.findings)
    if again:
        parts.append(sentence(f"{words.count(again, 'finding')} as above.", "dim"))
    if not quality.findings:
        parts.append(Line((("Nothing to complain about.", ""),), mark=("✔", "good")))
    return Document(tuple(parts))


def _finding(finding: Finding) -> list[Part]:
    icon, role = SEVERITIES.get(finding.severity, ("·", ""))
    name = finding.check.replace("_", " ")
    head = Line(((name, "strong"), (f"  {finding.summary}", "")), mark=(icon, role))
    shown = [
        Line(((words.shorten(example, 150), "dim"),), indent=2, mark=("·", "dim"))
        for example in finding.examples[:EXAMPLES_SHOWN]
    ]
    return [head, *shown]


def predictions_table(
    texts: Sequence[str], predictions: Predictions, cover: float | None = None
) -> Document:
    """Answers: the text shortened, the label, the confidence as a number and a bar.

    With ``cover`` the labels of each set, most probable first, stand for the bar. Of a cascade it
    says which rung answered.
    """
    rungs = predictions.answered_by
    if isinstance(predictions, Scores):
        return _scores_table(texts, predictions)
    if isinstance(predictions, Spans):
        return _spans_table(texts, predictions)
    columns = (
        Column("text", wraps=True),
        Column("labels" if isinstance(predictions, LabelSets) else "label", wraps=True),
        *([Column("rung", wraps=True)] if rungs else []),
        Column("confidence", "right"),
        Column("", width=10)
        if cover is None
        else Column(f"one of these {words.percent(cover)}", wraps=True),
    )
    sets = [None] * len(texts) if cover is None else predictions.sets(cover)
    answers = zip(texts, predictions.answers, predictions.confidence.tolist(), sets, strict=True)
    rows = tuple(
        Row(
            (
                Cell(words.shorten(text, 76)),
                Cell("no answer", "dim") if answer is None else _answered(answer),
                *([Cell(rungs[at], "accent" if rungs[at] == PERSON else "dim")] if rungs else []),
                Cell(words.confidence(confidence)),
                Cell(bar=Bar(0.0, confidence, confidence, 0.0, 1.0))
                if labels is None
                else Cell(", ".join(labels)),
            )
        )
        for at, (text, answer, confidence, labels) in enumerate(answers)
    )
    parts: list[Part] = [Grid(columns, rows)]
    people = rungs.count(PERSON)
    if people:
        left = (
            f"{people:,} of {words.count(len(texts), 'text')} to a person: no rung is sure enough."
        )
        parts += [BLANK, Line(((left, ""),), mark=("·", "dim"))]
    return Document(tuple(parts))


def _answered(answer: Answer) -> Cell:
    """A label, or labels in the task's order."""
    if isinstance(answer, tuple):
        return Cell(", ".join(map(str, answer)), "strong") if answer else Cell("none", "dim")
    return Cell(str(answer), "strong")


def _scores_table(texts: Sequence[str], predictions: Scores) -> Document:
    """The text shortened and its score."""
    rows = tuple(
        Row((Cell(words.shorten(text, 100)), Cell(f"{value:.4g}", "strong")))
        for text, value in zip(texts, predictions.values.tolist(), strict=True)
    )
    return Document((Grid((Column("text", wraps=True), Column("score", "right")), rows),))


def _spans_table(texts: Sequence[str], predictions: Spans) -> Document:
    """A row for each span, under its text."""
    rows: list[Row] = []
    for text, spans in zip(texts, predictions.in_texts(texts), strict=True):
        shown = Cell(words.shorten(text, 76))
        if not spans:
            rows.append(Row((shown, Cell("none", "dim"), Cell(""), Cell(""))))
        for at, each in enumerate(spans):
            rows.append(
                Row(
                    (
                        Cell("") if at else shown,
                        Cell(words.shorten(each.text, 40), "strong"),
                        Cell(each.label, "accent"),
                        Cell(words.confidence(each.probability)),
                    )
                )
            )
    columns = (
        Column("text", wraps=True),
        Column("span", wraps=True),
        Column("label", wraps=True),
        Column("confidence", "right"),
    )
    return Document((Grid(columns, tuple(rows)),))


def evaluation_table(evaluation: Evaluation) -> Document:
    """A release or a candidate on a labelled file: metrics, slices, time and what to know."""
    card = evaluation.scorecard
    what = (
        f"candidate {evaluation.candidate}"
        if evaluation.release is None
        else f"release {evaluation.release}"
    )
    n = words.judged(card.objective.n, card.metric)
    parts: list[Part] = [
        Line(((evaluation.task, "accent"), (f"  {what} on {n}", ""))),
        BLANK,
        metrics_grid(card),
    ]
    if card.slices:
        parts += [BLANK, slices_grid(card)]
    if card.cascade is not None:
        parts += [BLANK, *score_parts(card.cascade)]
    if card.latency:
        parts += [BLANK, sentence(latency_words(card.latency), "dim")]
    if card.unknown_labels:
        rows = words.count(card.unknown_labels, "row has", "rows have")
        parts += [
            BLANK,
            Line(
                ((f"{rows} a label that the task does not know; counted as wrong.", ""),),
                mark=("!", "warn"),
            ),
        ]
    if evaluation.seen:
        parts += [BLANK, Line(((seen_words(evaluation), ""),), mark=("!", "warn"))]
    parts += [Line(((note, "dim"),), mark=("·", "dim")) for note in card.notes]
    return Document(tuple(parts))


def seen_words(evaluation: Evaluation) -> str:
    """What rows that were trained on do to the numbers of an evaluation, where there are any."""
    card, other = evaluation.scorecard, evaluation.on_unseen
    who = "the candidate" if evaluation.release is None else f"release {evaluation.release}"
    metric = words.metric_name(card.metric)
    rows = evaluation.rows or card.objective.n
    said = f"{who} was trained on {evaluation.seen:,} of these {rows:,} rows, so the "
    if other is None:
        return f"{said}numbers say nothing about new messages."
    return (
        f"{said}numbers flatter it. On the other {words.judged(other.n, card.metric)}, "
        f"{metric} is {words.measured(other)}."
    )


def metrics_grid(card: Scorecard) -> Grid:
    """All metrics with intervals; the objective's is marked.

    Those that are better when higher and at most 1 share a scale. A bar of another would only
    mislead beside theirs.
    """
    comparable = {name for name in card.metrics if _rises_to_one(name)}
    scale = common_scale([card.metrics[name] for name in comparable])
    columns = (
        Column("", width=1),
        Column("metric", wraps=True),
        Column("value", "right"),
        Column("", width=20),
        Column("n", "right"),
    )
    rows = tuple(
        Row(
            (
                Cell("★" if name == card.metric else ""),
                Cell(_metric_cell(name, card)),
                Cell(words.measured(estimate)),
                Cell(bar=bar(estimate, scale)) if name in comparable else Cell(),
                Cell(words.count(estimate.n)),
            ),
            "strong" if name == card.metric else "",
        )
        for name, estimate in card.metrics.items()
    )
    return Grid(columns, rows)


def _rises_to_one(name: str) -> bool:
    kind = words.kind_of(name)
    return kind.higher is True and kind.high == 1.0


def _metric_cell(name: str, card: Scorecard) -> str:
    """A metric's name, with an arrow down where lower is better."""
    lower = card.lower_is_better if name == card.metric else words.kind_of(name).higher is False
    return f"{words.metric_name(name)} ↓" if lower else words.metric_name(name)


def slices_grid(card: Scorecard) -> Grid:
    """Slices with how much worse than the rest they are; a gap that is shown is marked."""
    scale = common_scale([s.estimate for s in card.slices if s.estimate])
    columns = (
        Column("slice", wraps=True),
        Column(words.metric_name(card.metric), "right"),
        Column("", width=14),
        Column("worse by", "right"),
        Column("n", "right"),
    )
    return Grid(columns, tuple(_slice_row(part, scale) for part in card.slices))


def _slice_row(part: SliceScore, scale: tuple[float, float]) -> Row:
    if part.estimate is None:
        return Row((Cell(part.name), Cell("empty"), Cell(), Cell(), Cell("0")), "dim")
    shown = part.gap_low is not None and part.gap_low > 0
    gap = ""
    if part.gap is not None and part.gap_low is not None and part.gap_high is not None:
        gap = words.difference(part.gap, part.gap_low, part.gap_high)
    return Row(
        (
            Cell(part.name),
            Cell(words.measured(part.estimate)),
            Cell(bar=bar(part.estimate, scale)),
            Cell(gap, "warn" if shown else ""),
            Cell(words.count(part.n)),
        )
    )


def latency_words(latency: Latency) -> str:
    """Time and cost in one line."""
    return (
        f"one prediction: p50 {words.milliseconds(latency.p50_ms)} ms, "
        f"p95 {words.milliseconds(latency.p95_ms)} ms; a thousand: "
        f"{words.usd(latency.cost_per_1k_usd)}, "
        f"{words.milliseconds(latency.cpu_seconds_per_1k)} CPU seconds"
    )


def doctor_table(rows: Sequence[DoctorRow]) -> Document:
    """What is installed, what is missing, and what it enables."""
    columns = (
        Column("", width=1),
        Column("what", wraps=True),
        Column("found", wraps=True),
        Column("enables", wraps=True),
    )
    shown: list[Row] = []
    for row in rows:
        icon, role = STATUSES[row.status]
        cells = (
            Cell(icon, role),
            Cell(row.name, "strong"),
            Cell(row.found or "missing", role if row.status != "ok" else ""),
            Cell(row.enables),
        )
        shown.append(Row(cells))
    return Document((Grid(columns, tuple(shown)),))
