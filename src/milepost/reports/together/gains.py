"""What tuning tasks together did to each, as a table and as plain data."""

from collections.abc import Sequence

from milepost.entities.together import Gain, LeftOut, Together
from milepost.reports import words
from milepost.reports.document import (
    BLANK,
    Cell,
    Column,
    Document,
    Grid,
    Line,
    Part,
    Row,
    sentence,
)

JOINT = "multitask"


def gains_table(record: Together, gains: Sequence[Gain], left_out: Sequence[LeftOut]) -> Document:
    """A row per task, and what it comes to over all.

    Args:
        record: The tuning.
        gains: What it did to each task.
        left_out: Tasks that took no part.
    """
    columns = (
        Column("task", wraps=True),
        Column("alone", "right"),
        Column("together", "right"),
        Column("difference", "right"),
        Column("before the gate", wraps=True),
        Column(""),
    )
    size = sum(task.tuned for task in record.tasks)
    spent = words.duration(record.seconds)
    head = f"{len(gains)} tasks tuned together on {size:,} examples, {spent}"
    parts: list[Part] = [Line(((head, "accent"),)), BLANK]
    parts += [Grid(columns, tuple(map(_row, gains))), BLANK]
    parts += [sentence(said, "dim") for said in summary(gains)]
    parts += [sentence(note, "dim") for note in record.notes]
    for gain in gains:
        if gain.error is not None:
            parts.append(Line(((f"{gain.task}: {gain.error}", ""),), mark=("!", "warn")))
    for each in left_out:
        parts.append(Line(((f"{each.task} was left out. {each.why}", ""),), mark=("!", "warn")))
    return Document(tuple(parts))


def totals(gains: Sequence[Gain]) -> dict[str, object]:
    """Mean and worst difference, before and after each task's own choice; points of the metric."""
    known = [gain for gain in gains if gain.difference is not None]
    apart = [100 * (gain.difference or 0.0) for gain in known]
    kept = [_after(gain) for gain in gains]
    worse = sum(each < 0 for each in apart)
    shown = sum(gain.high is not None and gain.high < 0 for gain in known)
    return {
        "tasks": len(gains),
        "tuned": len(known),
        "mean_points": sum(apart) / len(apart) if apart else None,
        "worst_points": min(apart, default=None),
        "worse": worse,
        "shown_worse": shown,
        "negative_transfer_rate": worse / len(known) if known else None,
        "chosen": sum(gain.chosen == JOINT for gain in gains),
        "mean_points_after_choice": sum(kept) / len(kept) if kept else None,
        "worst_points_after_choice": min(kept, default=None),
    }


def summary(gains: Sequence[Gain]) -> list[str]:
    """What it comes to, in sentences."""
    told = totals(gains)
    if not told["tuned"]:
        return ["No task has an answer of what was tuned together."]
    before = (
        f"Against the best of each task's own candidates: {told['mean_points']:+.1f} points on "
        f"average, {told['worst_points']:+.1f} at worst; worse on {told['worse']} of "
        f"{told['tuned']} tasks (negative transfer {100 * _float(told):.0f} %), shown on "
        f"{told['shown_worse']}."
    )
    after = (
        f"Each contest chose for itself: {told['chosen']} of {told['tasks']} tasks take what was "
        f"tuned together, {told['mean_points_after_choice']:+.1f} points on average over all, "
        f"{told['worst_points_after_choice']:+.1f} at worst."
    )
    return [before, after]


def gains_json(
    record: Together, gains: Sequence[Gain], left_out: Sequence[LeftOut]
) -> dict[str, object]:
    """The stable JSON form."""
    return {
        "tasks": [task.name for task in record.tasks],
        "tuning": record.tuning,
        "mix": record.mix,
        "steps": list(record.steps),
        "seconds": record.seconds,
        "notes": list(record.notes),
        "gains": list(gains),
        "left_out": list(left_out),
        "totals": totals(gains),
    }


def _after(gain: Gain) -> float:
    """Points that the task gained by what its contest chose."""
    taken = gain.chosen == JOINT and gain.difference is not None
    return 100 * gain.difference if taken and gain.difference is not None else 0.0


def _float(told: dict[str, object]) -> float:
    rate = told["negative_transfer_rate"]
    return rate if isinstance(rate, float) else 0.0


def _row(gain: Gain) -> Row:
    icon, _, role = words.VERDICTS[gain.verdict]
    apart = gain.difference
    if apart is None:
        difference = Cell("–", "dim")
    else:
        shown = gain.low is not None and gain.high is not None
        span = f" [{100 * (gain.low or 0):+.1f}, {100 * (gain.high or 0):+.1f}]" if shown else ""
        tone = "good" if (gain.low or 0) > 0 else "bad" if (gain.high or 0) < 0 else ""
        difference = Cell(f"{100 * apart:+.1f}{span}", tone)
    together = "–" if gain.together_value is None else words.score(gain.together_value)
    return Row(
        (
            Cell(gain.task, "strong"),
            Cell(words.score(gain.solo_value)),
            Cell(together),
            difference,
            Cell(gain.chosen or "–", "accent" if gain.chosen == JOINT else ""),
            Cell(icon, role),  # pyright: ignore[reportArgumentType] — the table holds roles
        )
    )
