"""The table of a contest: who took part, how good, how sure, how fast, and what the gate said."""

from milepost.entities.cascade import PERSON
from milepost.entities.contest import Candidate, Contest
from milepost.entities.measures import ORDER_NOTE
from milepost.reports import words
from milepost.reports.asked import asked_lines
from milepost.reports.backups import size
from milepost.reports.cascades import cascade_parts
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
from milepost.reports.examination.findings import FLOOR, finding_lines
from milepost.reports.scales import bar, leaders_scale

NAME_WIDTH = 22
BAR_WIDTH = 14
LOG_LOSS = "log_loss"
TIE = 0.0005
"""Metrics closer than this are shown as the same."""
MOST_TOLD = 3
"""Most rivals whose log loss is held against that of the chosen one."""
LEAST_LUCK = 0.0005
"""Smallest optimism of choosing that is worth a sentence."""
TRUSTED = (
    "★ is, of those within the limits on time and cost, the most trusted one that neither metric "
    "nor {loss} puts two standard errors behind the best out of fold."
)
"""What is true of whoever is chosen, whatever ranks higher."""
LOSSES = {"rmse": "squared error", "span_f1": "the number of wrong spans"}
"""What a row loses of answers that are no labels, by a measure that only theirs have."""
FOR_PEOPLE = (
    "★ leaves to people what no rung is sure of, as `cascade: {last: person}` asks; each such "
    "answer counts as wrong here."
)
NEVER_CHOSEN = (
    f"`{FLOOR}` ranks higher, but is only what others are held against: it is not chosen where "
    "another one could be fitted."
)


class Leaderboard(Document):
    """A contest as a table; prints itself in terminals and notebooks.

    Args:
        contest: The contest.
        ids: Whether to add the id and the fitting time of each candidate.
    """

    __slots__ = ("contest",)

    contest: Contest

    def __init__(self, contest: Contest, *, ids: bool = False) -> None:
        parts: list[Part] = [*_head(contest), BLANK, leaderboard_grid(contest), *_luck(contest)]
        parts += asked_lines(contest)
        parts.append(BLANK)
        if ids:
            parts += [ids_grid(contest), BLANK, size_grid(contest), BLANK]
        super().__init__((*parts, *_verdict(contest)))
        object.__setattr__(self, "contest", contest)


def _head(contest: Contest) -> list[Line]:
    scorecard = words.shown_scorecard(contest)
    metric = words.metric_in_full(scorecard) if scorecard else "quality"
    regime = words.regime_words(scorecard) if scorecard else "no candidate could be measured"
    facts = f"seed {contest.seed}, {words.duration(contest.seconds)}, contest {contest.id}"
    notes = scorecard.notes if scorecard else ()
    return [
        Line(((contest.task, "accent"), (f"  {metric}, {regime}", ""))),
        sentence(facts, "dim"),
        *(sentence(note, "dim") for note in notes if note.startswith(ORDER_NOTE)),
    ]


def _luck(contest: Contest) -> list[Line]:
    """Why one is chosen that ranks lower than others, and what luck its number had."""
    chosen = contest.chosen
    if chosen is None or chosen.selection is None or chosen.scorecard is None:
        return []
    sign = -1 if chosen.scorecard.lower_is_better else 1
    mine = sign * chosen.selection.value
    rivals = [
        c
        for c in contest.candidates
        if c.selection is not None
        and c is not chosen
        and sign * c.selection.value > mine - (TIE if c.strategy != FLOOR else 0.0)
    ]
    above = [c.strategy for c in rivals]
    lines: list[Line] = []
    if _leaves_to_people(chosen):
        lines.append(sentence(FOR_PEOPLE, "dim"))
    elif any(name != FLOOR for name in above):
        measured = chosen.scorecard.metrics
        loss = next((LOSSES[name] for name in LOSSES if name in measured), "log loss")
        lines.append(sentence(TRUSTED.format(loss=loss), "dim"))
    if FLOOR in above:
        lines.append(sentence(NEVER_CHOSEN, "dim"))
    lines += [sentence(said, "dim") for said in _log_losses(chosen, rivals)]
    luck = sign * (chosen.selection.value - chosen.scorecard.objective.value)
    if chosen.scorecard.regime != "cross_fitted" or luck < LEAST_LUCK:
        return lines
    lines.append(
        sentence(
            f"★ measured {words.score(chosen.selection.value)} out of fold; the luck of being the "
            f"best of several, {words.score(luck)}, is taken off.",
            "dim",
        )
    )
    return lines


def _log_losses(chosen: Candidate, rivals: list[Candidate]) -> list[str]:
    """The log loss of the chosen one beside those of its rivals, where they are known."""
    told = [
        (f"`{c.strategy}`", c.scorecard.metrics[LOG_LOSS].value)
        for c in rivals
        if c.scorecard is not None and c.strategy != FLOOR and LOG_LOSS in c.scorecard.metrics
    ][:MOST_TOLD]
    card = chosen.scorecard
    if (
        card is None
        or _leaves_to_people(chosen)
        or card.metric == LOG_LOSS
        or LOG_LOSS not in card.metrics
        or not told
    ):
        return []
    mine, where = card.metrics[LOG_LOSS].value, ""
    if card.regime != "cross_fitted":
        where = " on the examples that certify"
    others = ", ".join(f"that of {name} {value:.3f}" for name, value in told)
    return [f"Its log loss{where} is {mine:.3f}, {others}; lower is better."]


def _leaves_to_people(chosen: Candidate) -> bool:
    score = chosen.scorecard.cascade if chosen.scorecard is not None else None
    return score is not None and score.promise.rungs[-1].name == PERSON


def _verdict(contest: Contest) -> list[Part]:
    icon, _, role = words.VERDICTS[contest.decision.verdict]
    shown: Role = role  # pyright: ignore[reportAssignmentType] — the table of verdicts holds roles
    said = words.verdict_words(contest)
    parts: list[Part] = [Line(((f"{icon} {said}", shown),))]
    if contest.release is not None and contest.waits_for:
        waits = words.waiting_words(contest.task, contest.release, contest.waits_for)
        parts.append(Line(((waits, ""),), mark=("!", "warn")))
    if contest.decision.reasons:
        parts.append(Bullets(contest.decision.reasons))
    found = finding_lines(contest)
    return [*parts, *cascade_parts(contest), *([BLANK] if found else []), *found]


def ranked_apart(contest: Contest) -> bool:
    """Whether candidates were ranked on other examples than they were certified on."""
    scorecard = words.shown_scorecard(contest)
    return scorecard is not None and scorecard.regime != "cross_fitted"


def leaderboard_grid(contest: Contest) -> Grid:
    """The candidates, best first as ranked out of fold, with a bar on one common scale."""
    scale = leaders_scale(
        [c.scorecard.objective for c in contest.candidates if c.scorecard],
        lower=words.lower_is_better(contest),
    )
    apart = ranked_apart(contest)
    columns = [
        Column("", width=1),
        Column("strategy", width=_name_width(contest), wraps=True),
        *([Column("ranked", "right")] if apart else []),
        Column(words.metric_of(contest), "right"),
        Column("", width=BAR_WIDTH),
        Column("USD/1k", "right"),
        Column("p50 ms", "right"),
    ]
    rows = tuple(_row(c, scale, apart=apart) for c in contest.candidates)
    return Grid(tuple(columns), rows)


def _name_width(contest: Contest) -> int:
    longest = max((len(c.strategy) for c in contest.candidates), default=8)
    return min(NAME_WIDTH if not ranked_apart(contest) else 18, max(8, longest))


def _row(candidate: Candidate, scale: tuple[float, float], *, apart: bool) -> Row:
    card = candidate.scorecard
    marker = Cell("★" if candidate.chosen else "")
    if card is None:
        said = (
            [Cell(), Cell(words.outcome(candidate))] if apart else [Cell(words.outcome(candidate))]
        )
        cells = (marker, Cell(candidate.strategy), *said, Cell(), Cell(), Cell())
        said = (candidate.error or "", *candidate.notes)
        return Row(cells, "dim", " ".join(" ".join(said).split()))
    ranked = candidate.selection
    latency = card.latency
    cells = (
        marker,
        Cell(candidate.strategy),
        *([Cell(words.score(ranked.value) if ranked else "")] if apart else []),
        Cell(words.measured(card.objective)),
        Cell(bar=bar(card.objective, scale)),
        Cell(words.usd(latency.cost_per_1k_usd) if latency else ""),
        Cell(words.milliseconds(latency.p50_ms) if latency else ""),
    )
    return Row(cells, "strong" if candidate.chosen else "", " ".join(candidate.notes))


def ids_grid(contest: Contest) -> Grid:
    """Id, out-of-fold estimate, and how far the chosen one is ahead of each."""
    columns = (
        Column("candidate", wraps=True),
        Column("out of fold", "right"),
        Column("★ ahead by", "right"),
        Column("p", "right"),
    )
    rows = tuple(
        Row(
            (
                Cell(c.id),
                Cell(words.measured(c.selection) if c.selection else ""),
                Cell(f"{c.behind.difference:+.3f}" if c.behind else ""),
                Cell(words.chance(min(c.behind.p_value, c.behind.p_worse)) if c.behind else ""),
            ),
            "strong" if c.chosen else "",
        )
        for c in contest.candidates
    )
    return Grid(columns, rows)


def size_grid(contest: Contest) -> Grid:
    """How long each took to fit, what it takes on a disk, and what a processor answers in batches.

    The size is that of its own files; the encoder that tasks share is not part of it. What was not
    fitted is a row without numbers.
    """
    columns = (
        Column("strategy", wraps=True),
        Column("fitted in", "right"),
        Column("size", "right"),
        Column("texts/s", "right"),
    )
    rows = tuple(
        Row(
            (
                Cell(c.strategy),
                Cell(words.duration(c.fit_seconds) if c.scorecard else ""),
                Cell("" if c.size_bytes is None else size(c.size_bytes)),
                Cell(_per_second(c)),
            ),
            "strong" if c.chosen else "",
        )
        for c in contest.candidates
    )
    return Grid(columns, rows)


def _per_second(candidate: Candidate) -> str:
    latency = candidate.scorecard.latency if candidate.scorecard else None
    found = latency.texts_per_second if latency else None
    return "" if found is None else f"{found:,.0f}"
