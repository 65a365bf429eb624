"""The columns by which a task wants its rows split: groups, such as customers, and times."""

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import msgspec

from milepost.data.clean import Plain, as_labels, as_text
from milepost.data.load import Table
from milepost.data.wording import number_of, quote, verb
from milepost.entities.errors import DataError
from milepost.entities.task import Task

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?")
_ZONE_NAME = re.compile(r"\s*(?:UTC|GMT)$", re.IGNORECASE)
_SINCE_1973 = 1e8
"""Seconds; numbers from here to the year 5138 cannot be mistaken for a finer unit."""


def group_column(task: Task) -> str | None:
    """Column of the groups; ``None`` where the task names none."""
    return None if isinstance(task.data.group, msgspec.UnsetType) else task.data.group


def time_column(task: Task) -> str | None:
    """Column of the times; ``None`` where the task names none."""
    return None if isinstance(task.data.time, msgspec.UnsetType) else task.data.time


def check_columns(table: Table, task: Task) -> None:
    """Check that the columns by which rows are split are there and are not the text or label.

    Raises:
        UnknownNameError: If one is missing; offers the nearest one.
        DataError: If it is the column of the text or the label.
    """
    for key, column in (("group", group_column(task)), ("time", time_column(task))):
        if column is None:
            continue
        table.column(column)
        if column in {*task.input_columns.values(), task.data.label}:
            what = "label" if column == task.data.label else "text"
            raise DataError(
                f"the column {column!r} is the {what} and cannot be the {key} as well.",
                where=table.name,
                advice=f"Name another column under data: {key}: or leave it out.",
            )


def owners(table: Table, task: Task, rows: Sequence[int]) -> tuple[str | None, ...]:
    """Group value of each of the rows as text; empty where task or table has no such column."""
    column = group_column(task)
    if column is None or column not in table.columns:
        return ()
    values = as_labels(table.columns[column])
    return tuple(values[i] for i in rows)


def times(table: Table, task: Task, rows: Sequence[int]) -> tuple[float, ...]:
    """Time of each of the rows in seconds since 1970; empty where the task has no such column.

    Raises:
        UnknownNameError: If the column is missing.
        DataError: If a time cannot be read; names the rows.
    """
    column = time_column(task)
    if column is None:
        return ()
    values = table.column(column)
    known: dict[Plain, float | None] = {}
    found: list[float] = []
    bad: list[int] = []
    for i in rows:
        value = values[i]
        if value not in known:
            known[value] = moment(value)
        seconds = known[value]
        if seconds is None:
            bad.append(i)
        else:
            found.append(seconds)
    if bad:
        shown = ", ".join(
            f"{quote(as_text(values[i]), 40)} at {table.name}:{table.rows[i]}"
            if as_text(values[i]).strip()
            else f"nothing at {table.name}:{table.rows[i]}"
            for i in bad[:3]
        )
        raise DataError(
            f"{number_of(len(bad), 'row')} {verb(len(bad), 'has', 'have')} no time that can be "
            f"read in the column {column!r}: {shown}{', …' if len(bad) > 3 else ''}.",
            where=f"{table.name}:{table.rows[bad[0]]}",
            advice="Write times as 2024-03-31, 2024-03-31T18:30:00+02:00, or seconds or "
            "milliseconds since 1970; every row needs one.",
        )
    return tuple(found)


def moment(value: Plain) -> float | None:
    """Seconds since 1970-01-01 UTC; ``None`` for what is no time.

    Read are ISO 8601 dates and times (without a zone: UTC), years, and counts since 1970 in
    seconds, milliseconds, microseconds or nanoseconds, told apart by their size from 1973 on.
    """
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return _counted(value)
    text = value.strip()
    if _NUMBER.fullmatch(text):
        return _counted(float(text))
    try:
        read = datetime.fromisoformat(_ZONE_NAME.sub("+00:00", text).replace("/", "-"))
    except ValueError:
        return None
    return _since_1970(read if read.tzinfo else read.replace(tzinfo=UTC))


def shown(seconds: float) -> str:
    """A time as people read it: a date, with hours and minutes unless it is midnight (UTC)."""
    at = _EPOCH + timedelta(seconds=seconds)
    whole = at.hour == at.minute == at.second == 0
    return at.strftime("%Y-%m-%d") if whole else at.strftime("%Y-%m-%d %H:%M UTC")


def _since_1970(at: datetime) -> float:
    return (at - _EPOCH).total_seconds()


def _counted(number: float) -> float | None:
    """Seconds since 1970 of a year, a date written as 20240331, or a count since 1970."""
    if 1000 <= number <= 9999 and number == int(number):
        return _since_1970(datetime(int(number), 1, 1, tzinfo=UTC))
    if 19_000_101 <= number <= 21_001_231 and number == int(number):
        try:
            day = date.fromisoformat(str(int(number)))
        except ValueError:
            return None
        return _since_1970(datetime(day.year, day.month, day.day, tzinfo=UTC))
    for unit in (1.0, 1e3, 1e6, 1e9):
        if _SINCE_1973 <= number / unit < 1e11:
            return number / unit
    return None
