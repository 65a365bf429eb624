"""Long work as a table: what runs, what was interrupted, what has ended."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from milepost.entities.job import Job
from milepost.reports import words
from milepost.reports.document import Bar, Cell, Column, Document, Grid, Role, Row, sentence

MARKS: dict[str, tuple[str, Role]] = {
    "running": ("●", "accent"),
    "interrupted": ("○", "warn"),
    "failed": ("✘", "bad"),
    "done": ("✔", "good"),
    "cancelled": ("✘", "dim"),
    "superseded": ("·", "dim"),
}
"""Mark and role of a status."""

BAR = 10
"""Terminal cells of the share that is done."""


def jobs_table(jobs: Sequence[Job], now: datetime) -> Document:
    """Jobs in the given order; ``now`` is what their age is counted from."""
    if not jobs:
        return Document((sentence("Nothing runs, and nothing waits to go on."),))
    columns = (
        Column("", width=1),
        Column("job"),
        Column("task", wraps=True),
        Column("kind"),
        Column("status"),
        Column("doing", wraps=True),
        Column("", width=BAR),
        Column("share", "right"),
    )
    return Document((Grid(columns, tuple(_row(job, now) for job in jobs)),))


def _row(job: Job, now: datetime) -> Row:
    mark, role = MARKS[job.status]
    return Row(
        (
            Cell(mark, role),
            Cell(job.id, "dim"),
            Cell(job.subject, "strong"),
            Cell(job.kind),
            Cell(job.status, role),
            Cell(job.doing),
            Cell(bar=Bar(0, job.share, job.share, 0, 1), role=role),
            Cell(f"{100 * job.share:.0f} %"),
        ),
        detail=_detail(job, now),
    )


def _detail(job: Job, now: datetime) -> str:
    """Who, since when, how far, and what to do."""
    finished = f"{words.count(job.steps, 'step')} finished"
    ago = _age(now - job.updated)
    if job.status == "running":
        tries = f", attempt {job.attempts}" if job.attempts > 1 else ""
        since = _age(now - job.created)
        return f"by {job.actor} for {since}, {job.holder}, {finished}{tries}."
    if job.status == "interrupted":
        again = f"`milepost {job.kind} {job.subject}` with the same options goes on"
        return f"by {job.actor}, {ago} ago, {finished}; {again}."
    if job.status == "failed":
        return f"by {job.actor}, {ago} ago, {finished}. {job.error}"
    return f"by {job.actor}, {ago} ago" + (f", {job.error}." if job.error else ".")


def _age(span: timedelta) -> str:
    """A span of time in its largest unit: ``12 s``, ``5 min``, ``3 h``, ``2 days``."""
    seconds = max(0, int(span.total_seconds()))
    if seconds < 120:
        return f"{seconds} s"
    if seconds < 120 * 60:
        return f"{seconds // 60} min"
    if seconds < 48 * 3600:
        return f"{seconds // 3600} h"
    return f"{seconds // 86400} days"
