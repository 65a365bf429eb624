"""A migration in the terminal: every task's verdict on the other encoder, and what moved."""

import math

from milepost.entities.migration import Migration, MovedTask, Standing
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
    Part,
    Role,
    Row,
    sentence,
)

STANDINGS: dict[Standing, tuple[str, str, Role]] = {
    "better": ("✔", "better", "good"),
    "as_good": ("✔", "as good", "good"),
    "worse": ("✘", "worse", "bad"),
    "not_shown": ("?", "not shown", "warn"),
    "no_use": ("?", "not above majority", "warn"),
    "misses": ("✘", "misses a demand", "bad"),
    "settled": ("●", "there already", "calm"),
    "not_judged": ("·", "not judged", "dim"),
    "failed": ("✘", "failed", "bad"),
}
"""Mark, words and role of how a task does on the other encoder."""

REASONS = 8
"""Most tasks that did not move whose reason is told below the table."""

_WHY = {"each": "Why tasks stay", "all": "Why tasks were not judged", "none": "Why"}


def migration_table(found: Migration) -> Document:
    """What became of every task, what they lose together, and what new contests are held with."""
    judged = [each for each in found.tasks if each.contest is not None]
    title = f"  {found.source.name} → {found.target.name}"
    title += f", {words.count(len(found.tasks), 'task')}, a loss of {found.loss:g} is accepted"
    parts: list[Part] = [Line((("migrate", "accent"), (title, ""))), BLANK]
    if found.tasks:
        parts += [_grid(found, judged), BLANK]
    parts.append(_outcome(found, judged))
    if found.together is not None and found.move != "all":
        parts.append(sentence(_mean(found), indent=2))
    if found.reason:
        parts.append(sentence(found.reason, indent=2))
    # Where all were decided together, the reason of those that were judged stands above already.
    reasons = [
        f"{each.task}: {each.reason}"
        for each in found.tasks
        if not each.moved and each.reason and (found.move != "all" or each.contest is None)
    ]
    if reasons:
        more = len(reasons) - REASONS
        told = reasons[:REASONS]
        told += [f"{more} more; --json has all reasons."] if more > 0 else []
        parts += [BLANK, Line(((_WHY[found.move], "strong"),)), Bullets(tuple(told))]
    parts += [BLANK, sentence(_held(found), "dim")]
    return Document(tuple(parts))


def _grid(found: Migration, judged: list[MovedTask]) -> Grid:
    pairs = [each.against for each in judged if each.against is not None]
    finite = [end for each in pairs for end in (each.low, each.high) if math.isfinite(end)]
    low, high = min([*finite, -found.loss]), max([*finite, found.loss, 1e-3])
    columns = (
        Column("", width=1),
        Column("task", wraps=True),
        Column("metric", wraps=True),
        Column("was", "right"),
        Column("now", "right"),
        Column("change", "right"),
        Column("", width=12),
        Column("n", "right"),
        Column("verdict"),
        Column("release", "right"),
    )
    return Grid(columns, tuple(_row(each, (low, high)) for each in found.tasks))


def _row(row: MovedTask, scale: tuple[float, float]) -> Row:
    mark, said, role = STANDINGS[row.standing]
    against = row.against
    change = Cell() if against is None else Cell(f"{against.difference:+.3f}")
    bar = (
        Cell()
        if against is None
        else Cell(bar=Bar(against.low, against.difference, against.high, *scale), role=role)
    )
    return Row(
        (
            Cell(mark, role),
            Cell(row.task, "strong"),
            Cell(words.metric_name(row.metric) if row.metric else "–", "dim"),
            Cell("–" if row.was is None else words.score(row.was.value)),
            Cell("–" if row.now is None else words.score(row.now.value)),
            change,
            bar,
            Cell("" if against is None else words.count(against.n)),
            Cell(said, role),
            Cell(_release(row), "" if row.moved else "dim"),
        )
    )


def _release(row: MovedTask) -> str:
    if row.moved:
        waits = " waits" if row.waits_for else ""
        return f"{row.before} → {row.release}{waits}"
    return "–" if row.before is None else f"{row.before} stays"


def _outcome(found: Migration, judged: list[MovedTask]) -> Line:
    moved, n = len(found.moved), len(judged)
    failed = sum(each.standing == "failed" for each in found.tasks)
    lost = f"{words.count(failed, 'task')} could not be judged." if failed else ""
    if not n and failed:
        return Line(((lost, "strong"),), mark=("✘", "bad"))
    if not n:
        return Line((("There was nothing to judge.", "strong"),), mark=("·", "dim"))
    mark: tuple[str, Role] = ("✔", "good") if moved == n + failed else ("●", "calm")
    if not moved:
        mark = ("?", "warn")
    waits = sum(each.waits_for > 0 for each in found.moved)
    said = f"{moved} of {words.count(n, 'judged task')} moved to {found.target.name}."
    if waits:
        said += f" {words.count(waits, 'release')} waits for approval."
    said = f"{said} {lost}".rstrip()
    return Line(((said, "strong"),), mark=mark)


def _mean(found: Migration) -> str:
    mean = found.together
    assert mean is not None  # noqa: S101 — seen by the caller, for the type checker
    shared = "none shares a judged message with another"
    if mean.units < mean.tasks:
        shared = f"{words.count(mean.units, 'group')} of them share no judged message"
    return (
        f"On average the metric changes by {mean.difference:+.4f} over {mean.tasks} tasks, at "
        f"least {mean.low:+.4f} with {100 * mean.confidence:.1f} % confidence ({shared})."
    )


def _held(found: Migration) -> str:
    seconds = f"{found.seconds:.0f} s"
    if found.held_with == found.target.spec != found.source.spec:
        return (
            f"{seconds}. New contests are held with {found.target.name} (milepost.toml: encoder)."
        )
    return (
        f"{seconds}. New contests are held with {found.held_with} as before (milepost.toml: "
        "encoder)."
    )
