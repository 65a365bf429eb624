"""What breaks a candidate: changed inputs, and the tests of behaviour that the task declares."""

from collections.abc import Iterator, Sequence

from milepost.entities.examination import BehaviourScore, Case, ChangeScore
from milepost.entities.task import Task
from milepost.reports import words
from milepost.reports.document import BLANK, Bar, Cell, Column, Grid, Line, Part, Row
from milepost.reports.examination.section import (
    MATTERS,
    ORDER,
    OUTCOMES,
    Section,
    cases_shown,
    said,
)
from milepost.reports.records import Examined

BREAKS = "robustness"
BEHAVES = "behaviour"
BEHAVIOUR = "How it behaves"
CHANGES_WITH_CASES = 2
TESTS_WITH_CASES = 4
FEW_CASES = 30
"""Below so many cases a test that passed says on how many it did."""
PARTS = 10
"""Values of a column that a terminal shows."""
CHANGED = {
    "typos": "typos",
    "upper_case": "capital letters",
    "lower_case": "small letters",
    "no_punctuation": "missing punctuation",
    "repeated_punctuation": "repeated punctuation",
    "whitespace": "extra spaces",
    "no_accents": "missing accents",
    "contractions": "contractions",
    "look_alikes": "look-alike letters",
    "full_width": "full-width letters",
    "invisible": "invisible characters",
    "cut_end": "a cut-off end",
    "padding_before": "a sentence before",
    "padding_after": "a sentence after",
}
"""What inputs have that were changed, by the name of the change."""


def robustness(examined: Examined, *, full: bool) -> Section:
    """A table of changes with what each costs, and the inputs that it broke."""
    title = "What breaks it"
    scores = worst_first(examined.found.robustness)
    if not scores:
        return Section(BREAKS, title, absent="No inputs were changed to see what breaks it.")
    metric = words.metric_name(scores[0].metric)
    harmful = [score for score in scores if score.drop_low > 0]
    parts: list[Part] = [_lead(scores, harmful), BLANK, _changes(scores, metric)]
    for score in scores if full else harmful[:CHANGES_WITH_CASES]:
        if score.cases:
            name = change_name(score.change)
            heading: list[Part] = [] if full else [Line(((name, "strong"),))]
            title_of_cases = f"{name}: right before, wrong after"
            parts += [BLANK, *heading, *cases_shown(score.cases, full=full, title=title_of_cases)]
    return Section(BREAKS, title, tuple(parts), _advice(harmful, examined.task))


def worst_first(scores: Sequence[ChangeScore]) -> list[ChangeScore]:
    """Changes by what they cost."""
    return sorted(scores, key=lambda score: (-score.drop, score.change))


def change_name(name: str) -> str:
    """What the changed inputs have, in words."""
    return CHANGED.get(name, name.replace("_", " "))


def _lead(scores: Sequence[ChangeScore], harmful: Sequence[ChangeScore]) -> Line:
    tried = words.count(len(scores), "kind of change", "kinds of changes")
    if not harmful:
        metric = words.metric_name(scores[0].metric)
        none = f"None of {tried} is shown to make it worse"
        unsure = sum(score.drop_high > MATTERS for score in scores)
        if not unsure:
            return said(f"{none}; each costs at most {MATTERS:g} of {metric}.", "✔", "good")
        these = f"{unsure} of them" if unsure < len(scores) else "any of them"
        return said(
            f"{none}, but so few inputs cannot rule out that {these} cost more than {MATTERS:g} "
            f"of {metric}.",
            "?",
            "warn",
        )
    do = "makes" if len(harmful) == 1 else "make"
    return said(f"{len(harmful)} of {tried} {do} it worse.", "!", "warn")


def _changes(scores: Sequence[ChangeScore], metric: str) -> Grid:
    low = min(0.0, *(score.drop_low for score in scores))
    high = max(*(score.drop_high for score in scores), low + 0.01)
    columns = (
        Column("inputs with", wraps=True),
        Column("n", "right"),
        Column(metric, "right"),
        Column("then", "right"),
        Column("worse by", "right"),
        Column("", width=10),
        Column("flips", "right"),
    )
    return Grid(
        columns,
        tuple(
            Row(
                (
                    Cell(change_name(score.change)),
                    Cell(words.count(score.n)),
                    Cell(words.score(score.before.value)),
                    Cell(words.score(score.after.value)),
                    Cell(
                        words.difference(score.drop, score.drop_low, score.drop_high),
                        "warn" if score.drop_low > 0 else "",
                    ),
                    Cell(bar=Bar(score.drop_low, score.drop, score.drop_high, low, high)),
                    Cell(words.percent(score.flips.value)),
                )
            )
            for score in scores
        ),
    )


def _advice(harmful: Sequence[ChangeScore], task: Task) -> tuple[str, ...]:
    if not harmful:
        return ()
    said = f"If inputs with {change_name(harmful[0].change)} happen, add some to the labelled "
    if BEHAVES in task.no_room_for:
        return (f"{said}examples.",)
    return (
        f"{said}examples, or declare an invariance under `behaviour` so that no release may break "
        "on them.",
    )


def behaviour(examined: Examined, *, full: bool) -> Section:
    """The declared tests, failures first, with the inputs that failed."""
    refused = examined.task.no_room_for.get(BEHAVES)
    if refused is not None:
        return Section(BEHAVES, BEHAVIOUR, absent=f"Tests of behaviour are not for {refused}.")
    return behaviour_of(examined.found.behaviour, full=full)


def behaviour_of(
    found: Sequence[BehaviourScore], *, full: bool, rest: str = "on the page (--output)"
) -> Section:
    """The same, of the tests alone; ``rest`` says where what is left out is shown."""
    scores = failures_first(found)
    if not scores:
        why = "The task declares no tests of behaviour; declare some under `behaviour`."
        return Section(BEHAVES, BEHAVIOUR, absent=why)
    parts: list[Part] = [_count(scores), BLANK, _tests(scores, full=full)]
    for score in scores:
        parts += _parts(score, full=full, rest=rest)
    parts += _failures(scores, full=full)
    return Section(BEHAVES, BEHAVIOUR, tuple(parts), _repair(scores))


def failures_first(scores: Sequence[BehaviourScore]) -> list[BehaviourScore]:
    """Tests by outcome, then by the share that passed."""
    return sorted(
        scores, key=lambda s: (ORDER[s.outcome], s.passed.value if s.passed else 0.0, s.name)
    )


def _count(scores: Sequence[BehaviourScore]) -> Line:
    counts = {name: sum(s.outcome == name for s in scores) for name in OUTCOMES}
    listed = ", ".join(f"{n} {name}" for name, n in counts.items() if n)
    worst = "failed" if counts["failed"] else "open" if counts["open"] else "passed"
    tests = words.count(len(scores), "test")
    tail = "; open: the cases cannot tell" if counts["open"] else ""
    few = [score for score in scores if score.outcome == "passed" and 0 < score.n < FEW_CASES]
    if few:
        tail += f"; few cases: {', '.join(f'{each.name} on {_cases_of(each)}' for each in few)}"
    return said(f"{tests}: {listed}{tail}.", *OUTCOMES[worst])


def _cases_of(score: BehaviourScore) -> str:
    return words.count(score.n, "case")


def _tests(scores: Sequence[BehaviourScore], *, full: bool) -> Grid:
    columns = (
        Column("", width=1),
        Column("test", wraps=True),
        Column("kind"),
        Column("failed", "right"),
        Column("passed", "right"),
        Column("at least", "right"),
    )
    rows: list[Row] = []
    for score in scores:
        cells = (
            Cell(*OUTCOMES[score.outcome]),
            Cell(score.name),
            Cell(score.kind),
            Cell(f"{score.failed:,} of {score.n:,}"),
            Cell(words.share(score.passed) if score.passed else "–"),
            Cell(words.percent(score.at_least)),
        )
        rows.append(Row(cells, "", score.asks if full or score.outcome != "passed" else ""))
    return Grid(columns, tuple(rows))


def _parts(score: BehaviourScore, *, full: bool, rest: str) -> Iterator[Part]:
    """A minimum by the values of its column, worst first."""
    if not score.parts:
        return
    shown = score.parts if full else score.parts[:PARTS]
    counts = {name: sum(part.outcome == name for part in score.parts) for name in OUTCOMES}
    listed = ", ".join(f"{n} {name}" for name, n in counts.items() if n)
    columns = (
        Column("", width=1),
        Column(score.by or "part", wraps=True),
        Column("failed", "right"),
        Column("passed", "right"),
        Column("", width=14),
    )
    yield BLANK
    yield Line(((score.name, "strong"), (f" by {score.by}: {listed}", "")))
    yield Grid(
        columns,
        tuple(
            Row(
                (
                    Cell(*OUTCOMES[part.outcome]),
                    Cell(part.name),
                    Cell(f"{part.failed:,} of {part.n:,}"),
                    Cell(words.share(part.passed)),
                    Cell(bar=Bar(part.passed.low, part.passed.value, part.passed.high, 0.0, 1.0)),
                )
            )
            for part in shown
        ),
    )
    if len(shown) < len(score.parts):
        hidden = len(score.parts) - len(shown)
        yield Line(((f"{hidden:,} better ones {rest}.", "dim"),))


def _failures(scores: Sequence[BehaviourScore], *, full: bool) -> Iterator[Part]:
    """The most telling failures of the worst tests; on a page of all."""
    broken: list[tuple[str, Sequence[Case]]] = []
    for score in scores:
        if score.parts:
            broken += [(f"{score.name}, {part.name}", part.cases) for part in score.parts]
        else:
            broken.append((score.name, score.cases))
    broken = [(name, cases) for name, cases in broken if cases]
    for name, cases in broken if full else broken[:TESTS_WITH_CASES]:
        yield BLANK
        if not full:
            yield Line(((name, "strong"),))
        yield from cases_shown(cases, full=full, title=name)


def _repair(scores: Sequence[BehaviourScore]) -> tuple[str, ...]:
    advice: list[str] = []
    if any(score.outcome == "failed" for score in scores):
        advice.append(
            "Label examples like the failures, or lower at_least where a failure does no harm."
        )
    if any(score.outcome == "open" for score in scores):
        advice.append("Open tests need more cases, or more inputs that they apply to.")
    return tuple(advice)
